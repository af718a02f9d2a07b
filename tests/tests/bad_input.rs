//! Input that is no report, and folders that hold strange things. Each fault is told with code, file, place and reason: in the log, in
//! a sidecar in the source's error folder, as an event, and in the list of conversion errors. The agent goes on, and touches nothing else.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a fault of this test is told where it stands")]
#![allow(clippy::disallowed_methods, reason = "imitates equipment, which writes files carelessly")]

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde_json::Value;
use waybill_ipc::protocol::{
    ActivityKind, Connection, ConversionErrorRow, Event, Page, Reply, Request, Snapshot, SourceState, Update,
};
use waybill_shared::error::{Code, ErrorReport};
use waybill_shared::text;
use waybill_tests::ipc::Ipc;
use waybill_tests::sample::several_reports;
use waybill_tests::station::SourceBuilder;
use waybill_tests::wait::{USUAL, holds_within, wait_until_within};
use waybill_tests::{Agent, Behaviour, Receiver, Station, cli, ipc_client, sample_id, sample_report, sample_value, wait_until};

/// How long something may take that should be there in an instant.
const SOON: Duration = Duration::from_secs(10);

// ---- content

#[test]
fn truncated_json_is_told_with_the_place_where_it_ends() {
    let mut scene = Scene::new();
    let (_, bytes) = sample_report(1);
    let cut = &bytes[..700];
    let path = scene.station.drop_file("ict", "cut.json", cut);
    let fault = Fault { code: Code::FileIncomplete, says: &["line 1, column 700", "not closed"], left: Left::SetAside(cut) };
    scene.expect(&path, &fault);
    scene.goes_on();
}

#[test]
fn json_with_a_mistake_is_told_with_line_and_column() {
    let mut scene = Scene::new();
    let wrong = b"{\n  \"type\": \"T\",\n  \"pn\": oops\n}\n";
    let path = scene.station.drop_file("ict", "mistake.json", wrong);
    let fault = Fault { code: Code::FileMalformed, says: &["line 3, column 9", "not valid JSON"], left: Left::SetAside(wrong) };
    scene.expect(&path, &fault);
    scene.goes_on();
}

#[test]
fn a_file_that_is_not_utf8_is_told_with_the_first_bad_byte() {
    let mut scene = Scene::new();
    let (_, mut bytes) = sample_report(1);
    bytes[300] = 0xe4;
    let path = scene.station.drop_file("ict", "latin1.json", &bytes);
    let fault = Fault { code: Code::FileMalformed, says: &["byte 300", "0xe4", "not UTF-8"], left: Left::SetAside(&bytes) };
    scene.expect(&path, &fault);
    scene.goes_on();
}

#[test]
fn a_file_of_0_bytes_is_told_once_it_has_stayed_so() {
    let mut scene = Scene::new();
    let path = scene.station.drop_file("ict", "empty.json", b"");
    let fault = Fault { code: Code::FileEmpty, says: &["0 bytes"], left: Left::SetAside(b"") };
    scene.expect(&path, &fault);
    scene.goes_on();
}

#[test]
fn a_file_of_200_mb_is_told_with_its_size_and_the_limit_and_never_read() {
    const BYTES: u64 = 200 * 1024 * 1024;
    let mut scene = Scene::new();
    let staged = scene.station.folder().join("staging").join("huge");
    File::create(&staged).unwrap().set_len(BYTES).unwrap();
    let path = scene.station.watch("ict").join("huge.json");
    fs::rename(&staged, &path).unwrap();
    let says = &["209715200 bytes", "at most 67108864"];
    let moved = scene.expect(&path, &Fault { code: Code::FileTooLarge, says, left: Left::SetAsideWhole(BYTES) });
    assert!(moved.fix.contains("convert.max_file_bytes"), "{}", moved.fix);
    if let Some(peak) = scene.agent.peak_resident_bytes() {
        assert!(peak < BYTES, "{peak} bytes of memory");
    }
    scene.goes_on();
}

#[test]
fn a_report_without_a_serial_number_is_told_with_its_field() {
    let mut scene = Scene::new();
    let bytes = without_serial(1);
    let path = scene.station.drop_file("ict", "no serial.json", &bytes);
    let told = scene.expect(&path, &Fault { code: Code::ReportInvalid, says: &["sn"], left: Left::SetAside(&bytes) });
    let paths: Vec<_> = told.details.iter().map(|fault| fault.path.as_str()).collect();
    assert_eq!(paths, ["sn"]);
    scene.goes_on();
}

#[test]
fn of_several_units_the_good_ones_arrive_and_the_bad_one_is_told_by_number_and_field() {
    let mut scene = Scene::new();
    let (ids, bytes) = several_reports(1..=3);
    let mut units: Value = serde_json::from_slice(&bytes).unwrap();
    units[1].as_object_mut().unwrap().remove("sn");
    let bytes = serde_json::to_vec(&units).unwrap();
    let path = scene.station.drop_file("ict", "lot.json", &bytes);
    let says = &["1 of 3 units", "2 good ones were queued"];
    let told = scene.expect(&path, &Fault { code: Code::ReportInvalid, says, left: Left::SetAside(&bytes) });
    let paths: Vec<_> = told.details.iter().map(|fault| fault.path.as_str()).collect();
    assert_eq!(paths, ["unit[1].sn"]);
    scene.delivered.extend([ids[0].clone(), ids[2].clone()]);
    scene.goes_on();
}

// ---- what stands under a name

#[test]
fn a_folder_in_place_of_a_file_is_told_once_and_stays_as_it_is() {
    let mut scene = Scene::new();
    let path = scene.station.watch("ict").join("folder.json");
    fs::create_dir(&path).unwrap();
    fs::write(path.join("inside.json"), sample_report(1).1).unwrap();
    scene.expect(&path, &Fault { code: Code::NotAFile, says: &["a folder"], left: Left::InPlace });
    // Each of these is an event of its own.
    for _ in 1..=3 {
        fs::write(path.join("more"), b"").unwrap();
        fs::remove_file(path.join("more")).unwrap();
    }
    scene.goes_on();
    assert_eq!(fs::read(path.join("inside.json")).unwrap(), sample_report(1).1);
}

#[cfg(unix)]
#[test]
fn a_link_in_place_of_a_file_is_told_and_neither_followed_nor_moved() {
    let mut scene = Scene::new();
    let target = scene.station.folder().join("staging").join("elsewhere.json");
    fs::write(&target, sample_report(1).1).unwrap();
    let path = scene.station.watch("ict").join("link.json");
    std::os::unix::fs::symlink(&target, &path).unwrap();
    scene.expect(&path, &Fault { code: Code::NotAFile, says: &["a link"], left: Left::InPlace });
    scene.goes_on();
    assert_eq!(fs::read_link(&path).unwrap(), target);
    assert_eq!(fs::read(&target).unwrap(), sample_report(1).1);
}

#[test]
fn a_file_that_is_deleted_while_it_is_being_written_is_told() {
    let mut scene = Scene::new();
    let path = scene.station.watch("ict").join("gone.json");
    let mut file = File::create(&path).unwrap();
    file.write_all(&sample_report(1).1).unwrap();
    fs::remove_file(&path).unwrap();
    drop(file);
    scene.expect(&path, &Fault { code: Code::FileVanished, says: &["deleted before it could be read"], left: Left::Nowhere });
    scene.goes_on();
}

#[test]
fn a_file_that_is_deleted_before_it_is_complete_is_told() {
    let mut scene = Scene::with(|source| source.set("incomplete_timeout_secs", 60));
    let path = scene.station.drop_file("ict", "half.json", &sample_report(1).1[..500]);
    scene.wait_for_event("it is seen", |event| matches!(event, Event::FileSeen { file, .. } if file == "half.json"));
    fs::remove_file(&path).unwrap();
    scene.expect(&path, &Fault { code: Code::FileVanished, says: &["deleted before it could be read"], left: Left::Nowhere });
    scene.goes_on();
}

#[test]
fn a_second_error_of_the_same_name_leaves_the_first_ones_sidecar_as_it_is() {
    let mut scene = Scene::new();
    let wrong = b"{ oops }";
    let path = scene.station.drop_file("ict", "same.json", wrong);
    let first = Fault { code: Code::FileMalformed, says: &["line 1"], left: Left::SetAside(wrong) };
    scene.expect(&path, &first);
    let mut file = File::create(&path).unwrap();
    file.write_all(b"{").unwrap();
    fs::remove_file(&path).unwrap();
    drop(file);
    scene.expect(&path, &Fault { code: Code::FileVanished, says: &["deleted"], left: Left::Nowhere });
    let sidecars = scene.sidecars();
    let codes: Vec<_> = sidecars.iter().map(|(_, note)| note["code"].as_str().unwrap()).collect();
    assert!(codes.contains(&"WB3003") && codes.contains(&"WB2004"), "{codes:?}: one note took the other's place");
    scene.goes_on();
}

#[test]
fn a_broken_file_that_is_named_like_a_sidecar_is_not_overwritten_by_one() {
    let mut scene = Scene::new();
    let (odd, wrong) = (b"{ the equipment's own }", b"{ oops }");
    let odd_path = scene.station.drop_file("ict", "a.json.error.json", odd);
    scene.wait_for_event("the odd one is set aside", |event| is_broken(event, "a.json.error.json"));
    let path = scene.station.drop_file("ict", "a.json", wrong);
    scene.wait_for_event("its namesake is set aside", |event| is_broken(event, "a.json"));
    let kept = scene.files_in_error();
    for (path, content) in [(odd_path, &odd[..]), (path, wrong)] {
        assert!(kept.iter().any(|(_, bytes)| bytes == content), "{} is lost; there are {:?}", path.display(), names(&kept));
    }
    scene.faults = 2;
    scene.goes_on();
}

#[test]
fn an_empty_file_that_is_filled_before_it_could_be_set_aside_is_taken() {
    filled_before_it_could_be_set_aside(b"");
}

#[test]
fn a_malformed_file_that_is_replaced_before_it_could_be_set_aside_is_taken() {
    filled_before_it_could_be_set_aside(b"{ oops }");
}

fn filled_before_it_could_be_set_aside(at_first: &[u8]) {
    let mut scene = Scene::new();
    let obstacle = scene.station.watch("ict").join("error");
    fs::write(&obstacle, "in the way").unwrap();
    scene.station.drop_file("ict", "mended.json", at_first);
    scene.agent.wait_for("it cannot be set aside", |snapshot| snapshot.sources[0].error.is_some());
    let (id, bytes) = sample_report(1);
    scene.station.drop_file("ict", "mended.json", &bytes);
    fs::remove_file(&obstacle).unwrap();
    let came = scene.receiver.happens_within(SOON, |state| state.has(&id));
    assert!(came, "a good report did not come; the error folder holds {:?}", names(&scene.files_in_error()));
    scene.delivered.push(id);
    scene.goes_on();
}

#[test]
fn a_crash_before_a_partly_broken_file_is_set_aside_tells_of_it_later_and_the_books_hold() {
    let mut scene = Scene::with(|source| source.set("incomplete_timeout_secs", 600));
    let obstacle = scene.station.watch("ict").join("error");
    fs::write(&obstacle, "in the way").unwrap();
    let (ids, bytes) = several_reports(1..=2);
    let mut units: Value = serde_json::from_slice(&bytes).unwrap();
    units[1].as_object_mut().unwrap().remove("sn");
    scene.station.drop_file("ict", "lot.json", &serde_json::to_vec(&units).unwrap());
    scene.agent.wait_for("the good one is sent and the file is stuck", |snapshot| {
        snapshot.destinations[0].sent == 1 && snapshot.sources[0].error.is_some()
    });
    scene.agent.kill();
    fs::remove_file(&obstacle).unwrap();
    // Waits for its rest all the time, and is older: it is seen first.
    let half = scene.station.drop_file("ict", "half.json", &sample_report(5).1[..500]);
    File::options()
        .write(true)
        .open(&half)
        .unwrap()
        .set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000))
        .unwrap();

    let agent = Agent::start(&scene.station);
    let snapshot = agent.wait_for("it is told", |snapshot| snapshot.sources[0].errors == 1);
    wait_until("it is set aside", || scene.sidecars().iter().any(|(_, note)| note["code"] == "WB3005"));
    let source = &snapshot.sources[0];
    assert_eq!((source.waiting, source.queued, source.errors), (1, 0, 1), "the unfinished file still waits");
    scene.receiver.assert_has_exactly(&ids[..1]);
    assert_eq!(scene.receiver.posts().len(), 1, "nothing is sent twice");
}

// ---- names

#[test]
fn good_files_with_strange_names_arrive_and_keep_their_names() {
    let mut scene = Scene::new();
    for (number, name) in strange_names().iter().enumerate() {
        let (id, bytes) = sample_report(number as u64);
        scene.put(name, &bytes);
        scene.receiver.wait(|state| state.has(&id));
        scene.delivered.push(id);
        let done = scene.station.watch("ict").join("done");
        wait_until("it is in done under its name", || {
            files_below(&done).iter().any(|(path, kept)| path.file_name() == Some(name) && *kept == bytes)
        });
    }
    assert!(scene.station.error_files("ict").is_empty());
    assert_says_nothing_to_a_terminal(&scene);
    scene.goes_on();
}

#[test]
fn broken_files_with_strange_names_are_told_in_harmless_characters_and_keep_their_names() {
    let mut scene = Scene::new();
    for name in strange_names() {
        let wrong = b"{ oops }";
        let path = scene.put(&name, wrong);
        let says = &["line 1, column 3"];
        scene.expect(&path, &Fault { code: Code::FileMalformed, says, left: Left::SetAside(wrong) });
        assert!(scene.files_in_error().iter().any(|(path, _)| path.file_name() == Some(&name)), "{name:?}");
    }
    assert_says_nothing_to_a_terminal(&scene);
    scene.goes_on();
}

#[test]
fn a_serial_number_that_is_a_path_stays_inside_of_the_folder_destination() {
    let station = Station::builder()
        .source("ict", |source| source.patterns(["*.json"]).converter("wsjf"))
        .folder_destination("archive")
        .build();
    let before = names_in(station.folder());
    let agent = Agent::start(&station);
    let serials = ["../../../evil", "/etc/evil", "..\\..\\evil", "C:\\evil", "nul", "a\nb\u{1b}[31m", &"x".repeat(100)];
    for (number, serial) in serials.iter().enumerate() {
        let mut report = sample_value(number as u64);
        report["sn"] = (*serial).into();
        station.drop_file("ict", &format!("{number}.json"), &serde_json::to_vec(&report).unwrap());
    }
    let snapshot = agent.wait_for("all came to an end", |snapshot| {
        snapshot.sources[0].errors + snapshot.destinations[0].sent + snapshot.destinations[0].failed == serials.len() as u64
    });
    let delivered = station.delivered("archive");
    assert_eq!(delivered.len() as u64, snapshot.destinations[0].sent, "each is where it belongs");
    assert!(delivered.contains_key(&sample_id(0)), "a serial number like a path is a serial number all the same: {delivered:?}");
    assert_eq!(names_in(station.folder()), before);
    assert_eq!(names_in(&station.folder().join("out")), ["archive"]);
}

// ---- configuration that fits the files badly

#[test]
fn a_file_that_two_sources_match_is_taken_by_neither_and_told() {
    let shared = tempfile::tempdir().unwrap();
    let (receiver, station) = overlapping(shared.path());
    let agent = Agent::start(&station);
    let mut scene = Scene::around(receiver, station, agent);
    let (_, bytes) = sample_report(1);
    let path = scene.station.drop_file("ict", "fct 1.json", &bytes);

    let broken = scene.wait_for_event("it is told", |event| is_broken(event, "fct 1.json"));
    let Event::FileBroken { error, correlation_id, .. } = broken else { unreachable!() };
    assert_eq!(error.code, Code::SourcesOverlap);
    for part in [&*text::path(&path), "\"ict\"", "\"fct\""] {
        assert!(error.message.contains(part), "{part} is not in {:?}", error.message);
    }
    wait_until_within(SOON, "it is in the log", || {
        scene.log().iter().any(|line| line["correlation_id"] == *correlation_id && line["code"] == "WB1005")
    });
    assert!(!path.exists());
    assert_eq!(scene.files_in_error().iter().filter(|(_, kept)| *kept == bytes).count(), 1);
    assert!(scene.sidecars().iter().any(|(_, note)| note["code"] == "WB1005" && note["file"] == *text::path(&path)));
    assert!(scene.conversion_errors().iter().all(|row| row.error.code == Code::SourcesOverlap));

    // What only one of them matches is taken.
    let ids = scene.station.drop_reports("ict", 50..51);
    scene.receiver.wait_for_reports(1);
    scene.receiver.assert_has_exactly(&ids);
}

#[test]
fn files_that_two_sources_match_are_set_aside_once_and_leave_no_source_in_trouble() {
    const FILES: u64 = 40;
    let shared = tempfile::tempdir().unwrap();
    let (receiver, station) = overlapping(shared.path());
    for n in 0..FILES {
        station.drop_file("ict", &format!("fct {n}.json"), &sample_report(n).1);
    }
    // Both find them at the same time.
    let agent = Agent::start(&station);
    let told = |snapshot: &Snapshot| snapshot.sources.iter().map(|source| source.errors).sum::<u64>() >= FILES;
    agent.wait_for("each is told, by one or by both", told);
    let mut snapshot = agent.snapshot();
    let well = holds_within(SOON, || {
        snapshot = agent.snapshot();
        snapshot.sources.iter().all(|source| source.error.is_none() && source.waiting == 0)
    });
    assert!(well, "a source is stuck with files that are gone: {:#?}", snapshot.sources);
    let mut kept: Vec<_> = files_below(&shared.path().join("error"));
    kept.retain(|(path, _)| !is_sidecar(path));
    assert_eq!(kept.len() as u64, FILES);
    assert_eq!(receiver.posts().len(), 0);
}

#[test]
fn an_address_that_answers_with_a_page_pauses_the_destination_and_breaks_no_file() {
    let mut scene = Scene::new();
    scene.receiver.set(Behaviour::Html200);
    let ids = scene.station.drop_reports("ict", 1..3);
    let event = scene.wait_for_event("the destination is paused", |event| {
        matches!(event, Event::Destination { state: Connection::Paused, .. })
    });
    let Event::Destination { destination, error: Some(error), next_try_ms: Some(_), .. } = event else {
        panic!("no reason, or no next try: {event:?}")
    };
    assert_eq!((destination.as_str(), error.code), ("main", Code::NotOurServer));
    assert!(error.message.contains("200") && !error.fix.is_empty(), "{error}");

    let snapshot = scene.agent.wait_for("both files are queued", |snapshot| snapshot.sources[0].queued == 2);
    let main = &snapshot.destinations[0];
    assert_eq!((main.state, main.error.as_ref().map(|e| e.code)), (Connection::Paused, Some(Code::NotOurServer)));
    assert_eq!(main.address.trim_end_matches('/'), scene.receiver.url());
    assert_eq!((main.pending + main.sending, main.failed, main.sent), (2, 0, 0));
    assert!(snapshot.recent.iter().any(|news| news.kind == ActivityKind::Trouble && news.place == "main"));
    wait_until("the files are in done", || scene.station.done_files("ict").len() == 2);
    let told = |line: &Value| line["destination"] == "main" && line["reason"].is_string() && line["code"] == "WB5004";
    wait_until_within(SOON, "it is in the log with its code", || scene.log().iter().any(told));
    assert!(scene.files_in_error().is_empty() && scene.conversion_errors().is_empty());
    let said = cli(&scene.station, &["status"]).stdout;
    assert!(said.contains("PAUSED") && said.contains(&error.message), "{said}");
    assert_eq!(scene.agent.status()["destinations"][0]["error"]["code"], "WB5004");

    scene.receiver.set(Behaviour::Accept);
    scene.delivered = ids;
    scene.goes_on();
}

// ---- one helper for all

/// What must be told of a file.
struct Fault<'a> {
    code: Code,
    /// Place and reason, each in the message or in a detail.
    says: &'a [&'a str],
    left: Left<'a>,
}

/// Where the file is afterwards.
#[derive(Clone, Copy)]
enum Left<'a> {
    /// In the error folder, with this content.
    SetAside(&'a [u8]),
    /// In the error folder, with this length.
    SetAsideWhole(u64),
    /// Where it was.
    InPlace,
    /// Nowhere: somebody else took it away.
    Nowhere,
}

/// A station at work, with things in its folder that are nobody's business.
struct Scene {
    receiver: Receiver,
    station: Station,
    agent: Agent,
    events: Ipc,
    bystanders: Vec<(PathBuf, Vec<u8>, SystemTime)>,
    /// Faults told so far.
    faults: u64,
    /// Reports that came so far.
    delivered: Vec<String>,
}

impl Scene {
    fn new() -> Self {
        Self::with(|source| source)
    }

    fn with(describe: impl FnOnce(SourceBuilder) -> SourceBuilder) -> Self {
        let receiver = Receiver::start();
        let describe =
            |source: SourceBuilder| describe(source.patterns(["*.json"]).converter("wsjf").set("incomplete_timeout_secs", 1));
        let station = Station::builder().source("ict", describe).wats(&receiver).quick().build();
        // Neither matched, nor finished, nor in this folder.
        let names = ["notes.txt", ".hidden.json", "~lock.json", "half.json.part", "older/inside.json", "README"];
        for (number, name) in names.into_iter().enumerate() {
            station.drop_file("ict", name, &sample_report(1000 + number as u64).1);
        }
        let agent = Agent::start(&station);
        Self::around(receiver, station, agent)
    }

    fn around(receiver: Receiver, station: Station, agent: Agent) -> Self {
        // What is there and gone again before a folder is watched, nobody can tell of.
        agent.wait_for("the folders are watched", |snapshot| {
            snapshot.sources.iter().all(|source| source.state == SourceState::Watching)
        });
        let mut events = ipc_client(&station);
        events.subscribe().unwrap();
        // What happens before the snapshot is taken is in it, and is no event.
        assert!(matches!(events.next_update(USUAL), Some(Update::Snapshot { .. })));
        let watch = station.watch("ict");
        let modified = |path: &Path| fs::metadata(path).unwrap().modified().unwrap();
        let bystanders = files_below(&watch).into_iter().map(|(path, bytes)| (path.clone(), bytes, modified(&path))).collect();
        Self { receiver, station, agent, events, bystanders, faults: 0, delivered: Vec::new() }
    }

    /// Renames a file of any name in.
    fn put(&self, name: &OsStr, bytes: &[u8]) -> PathBuf {
        let staged = self.station.folder().join("staging").join("next");
        let target = self.station.watch("ict").join(name);
        fs::write(&staged, bytes).unwrap();
        fs::rename(&staged, &target).unwrap();
        target
    }

    /// The next event that is wanted.
    #[track_caller]
    fn wait_for_event(&mut self, what: &str, wanted: impl Fn(&Event) -> bool) -> Event {
        loop {
            match self.events.next_update(USUAL) {
                Some(Update::Event { event, .. }) if wanted(&event) => return event,
                Some(_) => {}
                None => panic!("no event until {what}\n{}", self.agent.counts()),
            }
        }
    }

    /// Waits until the fault of a file is told, and checks all four places and the file.
    #[track_caller]
    fn expect(&mut self, path: &Path, fault: &Fault<'_>) -> ErrorReport {
        self.faults += 1;
        let name = text::printable(&path.file_name().unwrap().to_string_lossy(), 255);
        let event = self.wait_for_event("the fault is told", |event| is_broken(event, &name));
        let Event::FileBroken { source, correlation_id, error, moved_to, .. } = event else { unreachable!() };

        // 1: the event itself.
        assert_eq!((source.as_str(), error.code), ("ict", fault.code), "{error}");
        assert!(error.message.contains(&text::path(path)), "no file in {:?}", error.message);
        let details: String = error.details.iter().map(ToString::to_string).collect();
        for part in fault.says {
            assert!(error.message.contains(part) || details.contains(part), "{part:?} is not in {error} {details}");
        }
        assert!(!error.message.chars().any(char::is_control), "{:?}", error.message);
        assert!(!error.fix.is_empty());
        assert_eq!(error.correlation_id.map(|id| id.to_string()).as_deref(), Some(&*correlation_id));

        // 2: the sidecar.
        let notes = self.sidecars();
        let (sidecar, note) = notes
            .iter()
            .find(|(_, note)| note["correlation_id"] == *correlation_id)
            .unwrap_or_else(|| panic!("no sidecar of {correlation_id} among {notes:#?}"));
        assert_eq!(note["file"], *text::path(path));
        assert_eq!((&note["source"], &note["code"]), (&"ict".into(), &error.code.as_str().into()));
        assert_eq!((&note["message"], &note["fix"]), (&error.message.clone().into(), &error.fix.clone().into()));
        assert_eq!(note["details"], serde_json::to_value(&error.details).unwrap());

        // The file itself.
        let beside = sidecar.parent().unwrap();
        let set_aside = |fits: &dyn Fn(&Path) -> bool| {
            let mut there = fs::read_dir(beside).unwrap().map(|entry| entry.unwrap().path());
            assert!(
                there.any(|file| !is_sidecar(&file) && fits(&file)),
                "the file is not beside its sidecar {}",
                sidecar.display()
            );
            assert!(!path.exists(), "{} is still there", path.display());
            let shown = moved_to.as_ref().unwrap_or_else(|| panic!("the event does not say where the file is now"));
            assert!(shown.starts_with(&text::path(beside)), "{shown}");
        };
        match fault.left {
            Left::SetAside(bytes) => set_aside(&|file| fs::read(file).unwrap() == bytes),
            Left::SetAsideWhole(length) => set_aside(&|file| fs::metadata(file).unwrap().len() == length),
            Left::InPlace => assert!(fs::symlink_metadata(path).is_ok() && moved_to.is_none(), "it was moved to {moved_to:?}"),
            Left::Nowhere => assert!(!path.exists() && moved_to.is_none(), "it was moved to {moved_to:?}"),
        }

        // 3: the list of conversion errors.
        let rows = self.conversion_errors();
        let mine: Vec<_> = rows.iter().filter(|row| row.error.correlation_id == error.correlation_id).collect();
        let &[row] = mine.as_slice() else { panic!("{} rows of {correlation_id} in {rows:#?}", mine.len()) };
        assert_eq!((row.source.as_str(), &row.error), ("ict", &error));
        assert_eq!(row.moved_to.is_some(), moved_to.is_some());

        // 4: the log, which is written a moment later.
        wait_until("the fault is in the log", || {
            self.log().iter().any(|line| {
                line["event"] == "file_broken"
                    && line["correlation_id"] == *correlation_id
                    && line["code"] == error.code.as_str()
                    && line["reason"] == *error.message
                    && line["file"] == *name
            })
        });
        error
    }

    /// The agent works, and nothing was touched but the files that were told of.
    #[track_caller]
    fn goes_on(&mut self) {
        self.delivered.extend(self.station.drop_reports("ict", 900..902));
        self.receiver.wait_for_reports(self.delivered.len());
        self.receiver.assert_has_exactly(&self.delivered);
        let settled = |snapshot: &Snapshot| {
            let source = &snapshot.sources[0];
            source.state == SourceState::Watching && source.error.is_none() && source.waiting == 0 && source.errors == self.faults
        };
        self.agent.wait_for("the source is well and counts its faults", settled);
        assert_eq!(self.conversion_errors().len() as u64, self.faults);
        for (path, bytes, modified) in &self.bystanders {
            assert_eq!(&fs::read(path).unwrap(), bytes, "{}", path.display());
            assert_eq!(fs::metadata(path).unwrap().modified().unwrap(), *modified, "{}", path.display());
        }
    }

    fn conversion_errors(&self) -> Vec<ConversionErrorRow> {
        let page = Page { after: None, limit: 1000 };
        match ipc_client(&self.station).request(Request::ConversionErrors { page }) {
            Ok(Reply::ConversionErrors(rows)) => rows,
            other => panic!("{other:?}"),
        }
    }

    /// Everything in the error folder, sidecars too.
    fn files_in_error(&self) -> Vec<(PathBuf, Vec<u8>)> {
        files_below(&self.station.watch("ict").join("error"))
    }

    fn sidecars(&self) -> Vec<(PathBuf, Value)> {
        let notes = self.files_in_error().into_iter().filter(|(path, _)| is_sidecar(path));
        notes.filter_map(|(path, bytes)| Some((path, serde_json::from_slice(&bytes).ok()?))).collect()
    }

    /// Each whole line of the log; all of them must be JSON.
    fn log(&self) -> Vec<Value> {
        let text = fs::read_to_string(self.station.instance().logs().join("agent.log")).unwrap();
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        whole.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
    }
}

/// Two sources that look into one folder, with patterns that overlap only in part, which no check of a configuration sees.
fn overlapping(folder: &Path) -> (Receiver, Station) {
    let receiver = Receiver::start();
    let station = Station::builder()
        .source("ict", |source| source.patterns(["*.json"]).converter("wsjf").folder(folder))
        .source("fct", |source| source.patterns(["fct*"]).converter("wsjf").folder(folder))
        .wats(&receiver)
        .quick()
        .build();
    (receiver, station)
}

fn is_broken(event: &Event, name: &str) -> bool {
    matches!(event, Event::FileBroken { file, .. } if file == name)
}

fn is_sidecar(path: &Path) -> bool {
    path.as_os_str().as_encoded_bytes().ends_with(b".error.json")
}

fn without_serial(n: u64) -> Vec<u8> {
    let mut report = sample_value(n);
    report.as_object_mut().unwrap().remove("sn");
    serde_json::to_vec(&report).unwrap()
}

/// Names that equipment, a careless script or a malicious person gives, as far as this system lets a file have them.
fn strange_names() -> Vec<std::ffi::OsString> {
    let mut names: Vec<std::ffi::OsString> = vec![
        "a..b.json".into(),
        "x....json".into(),
        "%2e%2e%2fetc%2fpasswd.json".into(),
        " leading and trailing .json".into(),
        "quote ' and $(id) and {x}.json".into(),
        "\u{202e}nosj.exe.json".into(),
        format!("{}.json", "x".repeat(250)).into(),
    ];
    #[cfg(unix)]
    {
        use std::os::unix::ffi::OsStringExt as _;
        names.push("x..\\..\\..\\etc\\passwd.json".into());
        names.push("a\nb\u{1b}[31m.json".into());
        names.push("back`tick\t\u{7f}\u{9b}31m.json".into());
        names.push("C:\\evil.json".into());
        names.push(format!("{}.json", "ä".repeat(125)).into());
        names.push(std::ffi::OsString::from_vec(b"latin1 \xe4\xff.json".to_vec()));
    }
    names
}

/// No control character reaches a terminal or a log, whatever a name holds.
#[track_caller]
fn assert_says_nothing_to_a_terminal(scene: &Scene) {
    let mut said = vec![("the log".to_owned(), fs::read_to_string(scene.station.instance().logs().join("agent.log")).unwrap())];
    for command in [&["status"][..], &["status", "--json"], &["queue", "list"]] {
        let output = cli(&scene.station, command);
        assert!(output.success(), "{output}");
        said.push((command.join(" "), output.stdout));
    }
    for (whose, text) in said {
        let bad = text.chars().find(|c| (c.is_control() && *c != '\n' && *c != '\t') || *c == '\u{202e}');
        assert_eq!(bad, None, "in {whose}");
    }
}

fn files_below(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut found = Vec::new();
    for entry in entries.flatten() {
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => found.extend(files_below(&entry.path())),
            // The largest one is of no interest to who asks for contents.
            Ok(kind) if kind.is_file() && entry.metadata().is_ok_and(|meta| meta.len() < 1 << 20) => {
                // The agent moves files meanwhile: what is gone is not there.
                found.extend(fs::read(entry.path()).map(|bytes| (entry.path(), bytes)));
            }
            _ => {}
        }
    }
    found
}

fn names(files: &[(PathBuf, Vec<u8>)]) -> Vec<&OsStr> {
    files.iter().filter_map(|(path, _)| path.file_name()).collect()
}

fn names_in(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

//! The power goes before each call that changes a file: each write, sync, rename and removal of a start, of the way of a report, of a stop,
//! of making room, of a salvage and of an upgrade. What was not synced is lost by chance.
//!
//! Of writes one after the other only the first, the last and one between are taken; `WAYBILL_LONG=1` takes all, and lets also all of what
//! was not synced be lost, and nothing but the process.

use std::collections::BTreeSet;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::time::Duration;

use fastrand::Rng;
use serde_json::Value;
use waybill_tests::disk::{Disk, Lose, Point};
use waybill_tests::sample::large_report;
use waybill_tests::wait::{USUAL, holds_within};
use waybill_tests::{Agent, Receiver, Station, cli, conservation, sample_id, sample_report};

use super::trial::Trial;

/// Of the store, bytes.
const PAGE: usize = 4096;

/// Before which points the power goes, and what it takes.
struct Cuts {
    disk: Disk,
    random: Rng,
    all: bool,
    lose: Option<Lose>,
    calls: BTreeSet<String>,
}

impl Cuts {
    fn new(station: &Station, random: Rng, lose: Option<Lose>) -> Self {
        let all = std::env::var_os("WAYBILL_LONG").is_some();
        Self { disk: Disk::of(station), random, all, lose, calls: BTreeSet::new() }
    }

    /// The points of the last run that are worth a cut.
    fn chosen(&mut self) -> Vec<Point> {
        let log = self.disk.points();
        let is_write = |at: usize| log.get(at).is_some_and(|call| call.starts_with("write"));
        let mut worth = |at: usize| {
            let middle = at > 0 && is_write(at - 1) && is_write(at) && is_write(at + 1);
            self.all || !middle || self.random.u32(..8) == 0
        };
        Point::all_of(&log).into_iter().enumerate().filter(|(at, _)| worth(*at)).map(|(_, point)| point).collect()
    }

    /// Runs the agent until the power goes, or until `is_done` and it stopped in order. True if the power went.
    fn run(&mut self, station: &Station, point: &Point, mut is_done: impl FnMut() -> bool) -> bool {
        let lose = self.lose.unwrap_or_else(|| Lose::ByChance(self.random.u64(..)));
        let said = format!("{point:?}, {lose:?}");
        let status = match Agent::try_start(station, |command| self.disk.cut(command, point, lose)) {
            Err(failure) => match failure.status {
                Some(status) if status.signal() == Some(9) => status,
                _ => panic!("{said}: {failure}"),
            },
            Ok(mut agent) => {
                let ends = holds_within(USUAL, || !agent.is_running() || is_done());
                assert!(ends, "{said}: neither cut nor done; the last points: {:#?}", self.disk.points());
                if agent.is_running() {
                    agent.terminate().unwrap();
                }
                agent.wait_exit(Duration::from_secs(60))
            }
        };
        let cut = status.signal() == Some(9);
        assert!(cut || status.success(), "{said}: {status}");
        if cut {
            self.calls.extend(self.disk.points().pop());
        }
        cut
    }

    fn assert_went_before(&self, calls: &[&str]) {
        for call in calls {
            assert!(self.calls.iter().any(|cut| cut.starts_with(call)), "the power never went before {call}: {:#?}", self.calls);
        }
    }
}

/// Does it with what a power cut takes by chance; in the long run also with all and with nothing.
fn with_each_loss(test: impl Fn(&str, Option<Lose>)) {
    test("what was not synced is lost by chance", None);
    if std::env::var_os("WAYBILL_LONG").is_some() {
        test("what was not synced is lost", Some(Lose::All));
        test("the process is killed", Some(Lose::Nothing));
    }
}

#[test]
fn the_power_goes_on_the_way_of_a_report_and_nothing_is_lost() {
    with_each_loss(|what, lose| {
        let receiver = Receiver::start();
        let mut trial = Trial::new(what, &receiver, 1);
        let station = trial.station.clone();
        let mut cuts = Cuts::new(&station, trial.random.fork(), lose);
        let drop_files = |trial: &mut Trial| {
            let n = trial.files();
            trial.drop_file(&format!("{n}.json"), &sample_report(n).1);
            // Large enough for the spool.
            trial.drop_file(&format!("{}.json", n + 1), &large_report(n + 1, 400_000).1);
        };
        // The first start has more to do than the others: folders, the store.
        drop_files(&mut trial);
        cuts.run(&station, &Point::never(), || trial.is_done());
        for point in cuts.chosen() {
            drop_files(&mut trial);
            cuts.run(&station, &point, || trial.is_done());
            let mut agent = Agent::start(&station);
            trial.look(&agent);
            agent.kill();
        }
        cuts.assert_went_before(&[
            "write data/queue.db-wal",
            "sync data/queue.db-wal",
            "create data/spool/",
            "sync data/spool",
            "rename data/queue.mark",
            "rename watch/ict/.waybill-claim-",
            "rename watch/ict/done/",
        ]);
        let files = trial.files();
        trial.end(files);
        assert_eq!(leftovers(&station.data()), Vec::<String>::new());
    });
}

/// Each report that had to make room is in its file, whole, wherever the power went.
#[test]
fn the_power_goes_while_reports_make_room_and_each_lies_in_its_file_or_waits() {
    with_each_loss(|what, lose| {
        let receiver = Receiver::start();
        receiver.stop_listening();
        let station = Station::builder()
            .source("ict", |source| source.patterns(["*.json"]).converter("wsjf"))
            .wats(&receiver)
            .queue("max_entries", 2)
            .queue("when_full", "oldest_first")
            .quick()
            .build();
        let random = seeded(what);
        let mut cuts = Cuts::new(&station, random, lose);
        let mut dropped = 0;
        let mut point_list = None;
        loop {
            let point = match &mut point_list {
                None => Point::never(),
                Some(points) => match Vec::pop(points) {
                    Some(point) => point,
                    None => break,
                },
            };
            for _ in 0..3 {
                station.drop_file("ict", &format!("{dropped}.json"), &sample_report(dropped).1);
                dropped += 1;
            }
            cuts.run(&station, &point, || station.watched_files("ict").is_empty());
            let mut agent = Agent::start(&station);
            agent.wait_for("all were taken", |s| {
                s.sources[0].waiting == 0 && s.destinations[0].pending + s.destinations[0].evicted == dropped
            });
            let rows = cli(&station, &["queue", "evicted", "--limit", "100000", "--json"]).json();
            let rows = rows.as_array().unwrap();
            assert_eq!(rows.len() as u64, dropped - 2, "{point:?}");
            for row in rows {
                let path = row["receipt"].as_str().unwrap();
                let content = std::fs::read(path).unwrap_or_else(|error| panic!("{point:?}: {path}: {error}"));
                let report: Value = serde_json::from_slice(&content).unwrap_or_else(|error| panic!("{point:?}: {path}: {error}"));
                assert_eq!(report["id"], row["report_id"], "{point:?}: {path}");
            }
            agent.kill();
            if point_list.is_none() {
                point_list = Some(cuts.chosen());
            }
        }
        cuts.assert_went_before(&["create data/evicted/", "rename data/evicted/main/", "sync data/queue.db-wal"]);
        receiver.listen_again();
        let agent = Agent::start(&station);
        agent.wait_for("the last two go", |s| s.destinations[0].sent == 2);
        assert_eq!(leftovers(&station.data()), Vec::<String>::new());
        let evicted = std::fs::read_dir(station.instance().evicted().join("main")).unwrap();
        let mut ids: BTreeSet<String> = evicted
            .map(|file| {
                serde_json::from_slice::<Value>(&std::fs::read(file.unwrap().path()).unwrap()).unwrap()["id"]
                    .as_str()
                    .unwrap()
                    .to_owned()
            })
            .collect();
        ids.extend(receiver.report_ids());
        assert_eq!(ids, (0..dropped).map(sample_id).collect());
    });
}

/// A store of 40 reports with pages of noise in it, after a kill.
#[test]
fn the_power_goes_during_a_salvage_and_it_ends_as_if_it_had_not() {
    with_each_loss(|what, lose| {
        let receiver = Receiver::start();
        receiver.stop_listening();
        let station = Station::simple(&receiver);
        let mut agent = Agent::start(&station);
        station.drop_reports("ict", 0..40);
        agent.wait_for("all wait", |s| s.destinations[0].pending == 40 && s.sources[0].waiting == 0);
        agent.stop();
        let store = station.data().join("queue.db");
        let mut bytes = std::fs::read(&store).unwrap();
        bytes.chunks_exact_mut(PAGE).skip(4).step_by(5).for_each(|page| page.fill(0xa5));
        std::fs::write(&store, bytes).unwrap();
        std::fs::write(station.data().join("queue.mark"), "open").unwrap();
        std::fs::write(station.data().join("queue.db-wal"), b"").unwrap();
        let state = |agent: &Agent| {
            let snapshot = agent.snapshot();
            (snapshot.destinations[0].pending + snapshot.destinations[0].sending, snapshot.queue.losses)
        };
        let expected = from_the_same_state(&station, seeded(what), lose, state);
        assert!((10..40).contains(&expected.0) && expected.1 == 1, "{expected:?}");
    });
}

/// A store that the program of schema 1 left.
#[test]
fn the_power_goes_during_an_upgrade_and_it_ends_as_if_it_had_not() {
    with_each_loss(|what, lose| {
        let receiver = Receiver::start();
        receiver.stop_listening();
        let station = Station::simple(&receiver);
        let stored = Path::new(env!("CARGO_MANIFEST_DIR")).join("../agent/src/queue/schema/stored/schema-1.db.zst");
        let store = zstd::stream::decode_all(std::fs::File::open(stored).unwrap()).unwrap();
        std::fs::write(station.data().join("queue.db"), store).unwrap();
        let expected = from_the_same_state(&station, seeded(what), lose, |agent| {
            let counts = conservation(&agent.status());
            (counts.destination("main").unsent(), counts.destination("main").issued(), agent.snapshot().queue.losses)
        });
        assert!(expected.0 > 0 && expected.2 == 0, "{expected:?}");
    });
}

/// Lays the data folder as it is now before each cut; what the agent says after it must be what it says without one.
fn from_the_same_state<T: PartialEq + std::fmt::Debug>(
    station: &Station,
    random: Rng,
    lose: Option<Lose>,
    state: impl Fn(&Agent) -> T,
) -> T {
    let mut cuts = Cuts::new(station, random, lose);
    let kept = tempfile::tempdir().unwrap();
    copy(&station.data(), kept.path());
    let lay = || {
        std::fs::remove_dir_all(station.data()).unwrap();
        std::fs::create_dir(station.data()).unwrap();
        copy(kept.path(), &station.data());
    };
    cuts.run(station, &Point::never(), || true);
    let points = cuts.chosen();
    lay();
    let expected = state(&Agent::start(station));
    let mut times = 0;
    for point in points {
        lay();
        times += u32::from(cuts.run(station, &point, || true));
        assert_eq!(state(&Agent::start(station)), expected, "{point:?}: {:?}", cuts.disk.points().last());
    }
    assert!(times > 20, "the power went {times} times");
    expected
}

/// What was on its way to another name.
fn leftovers(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for file in std::fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        if path.is_dir() {
            found.extend(leftovers(&path));
        } else if path.file_name().unwrap().to_string_lossy().starts_with(".waybill-tmp-") {
            found.push(path.display().to_string());
        }
    }
    found
}

fn copy(from: &Path, to: &Path) {
    for file in std::fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        let target = to.join(file.file_name());
        if file.file_type().unwrap().is_dir() {
            std::fs::create_dir(&target).unwrap();
            copy(&file.path(), &target);
        } else {
            std::fs::copy(file.path(), target).unwrap();
        }
    }
}

fn seeded(what: &str) -> Rng {
    let seed = std::env::var("TEST_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(|| fastrand::u64(..));
    eprintln!("{what}: TEST_SEED={seed}");
    Rng::with_seed(seed)
}

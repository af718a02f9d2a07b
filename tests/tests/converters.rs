//! What files can be read, files that are tried, and files that could not be converted: taken again after what was wrong was mended.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::disallowed_methods,
    reason = "a fault of a test is told where it stands"
)]

use serde_json::Value;
use waybill_ipc::protocol::{ArgumentKind, ErrorFilter, Reply, Request};
use waybill_shared::error::Code;
use waybill_tests::sample::data_file;
use waybill_tests::{Agent, Receiver, Station, cli, ipc_client, sample_report, sample_value};

const JUNIT: &str = r#"<testsuite name="s" timestamp="2026-01-30T12:00:00Z"><testcase name="a"/><testcase name="b"><failure message="m"/></testcase></testsuite>"#;

/// A file outside of all folders.
fn at(folder: &tempfile::TempDir, name: &str, bytes: &[u8]) -> String {
    let path = folder.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn converters_are_listed_and_shown_with_their_arguments_by_the_command_line_and_by_the_agent() {
    let station = Station::builder().folder_destination("out").build();
    let listed = cli(&station, &["converters", "list", "--json"]).json();
    let names: Vec<_> = listed.as_array().unwrap().iter().map(|row| row["name"].as_str().unwrap().to_owned()).collect();
    for name in ["wsjf", "wsxf", "openhtf", "junit"] {
        assert!(names.iter().any(|known| known == name), "{name}: {names:?}");
        let shown = cli(&station, &["converters", "show", name]);
        for part in [name, "part_number", "time_zone", "no_serial_number", "refuse"] {
            assert!(shown.stdout.contains(part), "{part}: {shown}");
        }
    }
    let table = cli(&station, &["converters", "list"]);
    assert!(names.iter().all(|name| table.stdout.contains(name)), "{table}");
    let unknown = cli(&station, &["converters", "show", "junti"]);
    assert!(unknown.code() == Some(2) && unknown.stderr.contains("junit"), "{unknown}");

    let _agent = Agent::start(&station);
    let station_rows = || match ipc_client(&station).request(Request::Converters) {
        Ok(Reply::Converters(rows)) => rows,
        other => panic!("{other:?}"),
    };
    let rows = station_rows();
    assert_eq!(rows.iter().map(|row| row.name.clone()).collect::<Vec<_>>(), names);
    let argument = rows[0].arguments.iter().find(|argument| argument.name == "no_serial_number").unwrap();
    assert!(argument.common && argument.default.as_deref() == Some("refuse"), "{argument:?}");
    assert!(matches!(&argument.kind, ArgumentKind::OneOf(texts) if texts.len() == 3));
}

#[test]
fn what_each_converter_did_is_counted_with_its_time() {
    let station =
        Station::builder().source("any", |source| source.patterns(["*"]).converter("auto")).folder_destination("out").build();
    let agent = Agent::start(&station);
    let nothing = cli(&station, &["converters", "stats"]);
    assert!(nothing.stdout.contains("nothing was converted"), "{nothing}");
    station.drop_reports("any", 0..3);
    station.drop_file("any", "broken.xml", JUNIT.as_bytes());
    agent.wait_for("all are read", |s| s.sources[0].queued == 3 && s.sources[0].errors == 1);
    let rows = cli(&station, &["converters", "stats", "--json"]).json();
    let done = |name: &str| rows.as_array().unwrap().iter().find(|row| row["name"] == name).unwrap()["done"].clone();
    let (wsjf, junit) = (done("wsjf"), done("junit"));
    assert_eq!((&wsjf["files"], &wsjf["reports"], &wsjf["broken_units"]), (&3.into(), &3.into(), &0.into()), "{wsjf}");
    assert_eq!((&junit["files"], &junit["reports"], &junit["broken_units"]), (&1.into(), &0.into(), &1.into()), "{junit}");
    assert!(wsjf["took_us"].as_u64() >= wsjf["slowest_us"].as_u64() && wsjf["bytes"].as_u64().unwrap() > 1000, "{wsjf}");
    let table = cli(&station, &["converters", "stats"]);
    assert!(table.stdout.contains("wsjf") && !table.stdout.contains("openhtf"), "{table}");
}

#[test]
fn files_are_tried_and_what_came_of_each_is_told() {
    let station = Station::builder().build();
    let outside = tempfile::tempdir().unwrap();
    let (good, junit, none) = (
        at(&outside, "good.json", &sample_report(1).1),
        at(&outside, "SN77_suite.xml", JUNIT.as_bytes()),
        at(&outside, "none.bin", &[0xff; 40]),
    );
    let by_name = "file_name=(?<sn>SN[0-9]+)_.*";
    let output = cli(
        &station,
        &["converters", "test", &good, &junit, &none, "--json", "--argument", "part_number=P", "--argument", by_name],
    );
    assert_eq!(output.code(), Some(6), "{output}");
    let files = output.json();
    let counts = |at: usize| ["passed", "failed", "broken"].map(|key| files[at][key].as_u64().unwrap());
    assert_eq!((files[0]["converter"].as_str(), counts(0)), (Some("wsjf"), [1, 0, 0]), "{files:#}");
    assert_eq!((files[1]["converter"].as_str(), counts(1)), (Some("junit"), [0, 1, 0]), "{files:#}");
    assert!(
        files[2]["converter"].is_null() && files[2]["error"]["message"].as_str().unwrap().contains("no converter"),
        "{files:#}"
    );
    let table = cli(&station, &["converters", "test", &good]);
    assert!(table.code() == Some(0) && table.stdout.contains("wsjf"), "{table}");
    let refused = cli(&station, &["converters", "test", &junit, "--argument", "time_zone=Nowhere"]);
    assert!(refused.code() == Some(5) && refused.stderr.contains("time_zone"), "{refused}");

    // Where each value comes from.
    let explained = cli(
        &station,
        &["convert", &junit, "--explain", "--argument", "part_number=P", "--argument", "process_code=20", "--argument", by_name],
    );
    for part in ["recognised by: junit 90 %", "sn: from the file's name", "pn: from the argument part_number", "rev: from nobody"]
    {
        assert!(explained.stdout.contains(part), "{part}: {explained}");
    }
    let json = cli(&station, &["convert", &good, "--explain", "--json"]).json();
    assert_eq!(
        (json["converter"].as_str(), &json["units"][0]["not_from_the_file"]),
        (Some("wsjf"), &Value::Object(<_>::default()))
    );
}

#[test]
fn a_client_has_a_file_tried_and_nothing_is_queued() {
    let station = Station::builder().folder_destination("out").build();
    let agent = Agent::start(&station);
    let attempt = |converter: &str, bytes: &[u8], arguments: &[(&str, &str)]| {
        ipc_client(&station).request(Request::TryConversion {
            converter: converter.into(),
            file_name: "SN1.xml".into(),
            bytes: bytes.to_vec(),
            arguments: arguments.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect(),
        })
    };
    let arguments = [("part_number", "\"P\""), ("process_code", "20"), ("no_serial_number", "\"file name\"")];
    let Ok(Reply::ConversionTrial(trial)) = attempt("auto", JUNIT.as_bytes(), &arguments) else { panic!("no trial") };
    let unit = trial.units[0].as_ref().unwrap();
    assert_eq!((trial.converter.as_deref(), unit.serial.as_str(), unit.result.as_str()), (Some("junit"), "SN1", "F"));
    assert!(unit.report.as_ref().unwrap().contains("\"processCode\":20"), "{unit:?}");
    assert!(unit.not_from_the_file.contains(&("pn".into(), "the argument part_number".into())), "{unit:?}");
    let Ok(Reply::ConversionTrial(trial)) = attempt("junit", b"<testsuite><testcase", &[]) else { panic!("no trial") };
    assert_eq!(trial.error.unwrap().code, Code::FileIncomplete);
    for (converter, arguments) in [("nonsense", &[][..]), ("junit", &[("part_number", "7")]), ("junit", &[("part_number", "{")])]
    {
        assert!(attempt(converter, b"<a/>", arguments).is_err(), "{converter} {arguments:?}");
    }
    let status = agent.snapshot();
    assert_eq!((status.destinations[0].pending, status.destinations[0].sent), (0, 0));
}

/// A station whose files lack a part number, which its source does not supply yet.
fn unmended(receiver: &Receiver) -> Station {
    Station::builder()
        .source("unit", |source| source.patterns(["*.xml", "*.json"]).argument("no_serial_number", "file name"))
        .wats(receiver)
        .quick()
        .build()
}

fn errors(station: &Station) -> Vec<Value> {
    cli(station, &["errors", "list", "--json"]).json().as_array().unwrap().clone()
}

#[test]
fn what_could_not_be_converted_is_listed_and_taken_again_after_it_was_mended() {
    let receiver = Receiver::start();
    let station = unmended(&receiver);
    let mut agent = Agent::start(&station);
    for name in ["A1", "A2", "A3"] {
        station.drop_file("unit", &format!("{name}.xml"), JUNIT.as_bytes());
    }
    agent.wait_for("three are broken", |s| s.sources[0].errors == 3 && s.sources[0].waiting == 0);
    let listed = errors(&station);
    assert_eq!(listed.len(), 3);
    let number = |row: &Value| row["key"].to_string();
    let table = cli(&station, &["errors", "list", "--source", "UNIT"]);
    assert!(table.stdout.contains("A2.xml") && table.stdout.contains("no part number"), "{table}");
    assert_eq!(cli(&station, &["errors", "list", "--source", "other", "--json"]).json(), Value::Array(Vec::new()));
    let shown = cli(&station, &["errors", "show", &number(&listed[0])]);
    for part in ["pn", "part_number", "error", "logs --correlation"] {
        assert!(shown.stdout.contains(part), "{part}: {shown}");
    }
    assert_eq!(cli(&station, &["errors", "show", "999"]).code(), Some(2));

    // Nothing was mended: it fails again, and is in the list again.
    let again = cli(&station, &["errors", "retry", &number(&listed[0])]);
    assert!(again.success() && again.stdout.contains("1 given back"), "{again}");
    agent.wait_for("it is broken again", |s| s.sources[0].errors == 4 && s.sources[0].waiting == 0);
    assert_eq!(errors(&station).len(), 3);
    let broken = station.error_files("unit");
    assert_eq!(broken.len(), 3, "{broken:?}");
    let beside = std::fs::read_dir(broken[0].parent().unwrap()).unwrap().count();
    assert_eq!(beside, 6, "each has its note, and no more");

    // Mended; one is gone meanwhile, and the place of another is taken.
    assert!(cli(&station, &["config", "set", "source.unit.arguments.part_number=PN-7"]).success());
    let gone = errors(&station).into_iter().find(|row| row["path"].as_str().unwrap().contains("A3")).unwrap();
    std::fs::remove_file(gone["moved_to"].as_str().unwrap()).unwrap();
    let output = cli(&station, &["errors", "retry", "--all", "--json"]);
    assert_eq!(output.code(), Some(6), "{output}");
    let files = output.json()["files"].as_array().unwrap().clone();
    assert_eq!(files.iter().filter(|file| file["came_to"]["Ok"].is_string()).count(), 2, "{files:?}");
    receiver.wait_for_reports(2);
    agent.wait_for("all is put away", |s| s.sources[0].waiting == 0 && s.destinations[0].sent == 2);
    assert_eq!(errors(&station).len(), 0, "what is gone is an old story");
    let history = cli(&station, &["history", "list", "--action", "errors.retry"]);
    assert!(history.stdout.contains("2 given back"), "{history}");
    assert!(agent.stop().success());
    let stopped = cli(&station, &["errors", "retry", "--all"]);
    assert_eq!(stopped.code(), Some(3), "{stopped}");
}

#[test]
fn a_file_of_which_a_part_was_queued_is_taken_again_as_a_whole_and_its_reports_keep_their_ids() {
    let receiver = Receiver::start();
    let station = unmended(&receiver);
    let agent = Agent::start(&station);
    let mut lacking = sample_value(2);
    lacking.as_object_mut().unwrap().shift_remove("pn");
    let both = serde_json::to_vec(&Value::Array(vec![sample_value(1), lacking])).unwrap();
    station.drop_file("unit", "both.json", &both);
    agent.wait_for("one is sent, one is broken", |s| {
        s.destinations[0].sent == 1 && s.sources[0].errors == 1 && s.sources[0].waiting == 0
    });
    assert!(cli(&station, &["config", "set", "source.unit.arguments.part_number=PN-7"]).success());
    let client = ipc_client(&station);
    let Ok(Reply::RetriedErrors(part)) =
        client.request(Request::RetryConversions { filter: ErrorFilter::default(), before: None })
    else {
        panic!("nothing was given back")
    };
    assert!(part.files.len() == 1 && part.files[0].came_to.is_ok() && part.next.is_none(), "{part:?}");
    agent.wait_for("both are sent", |s| s.destinations[0].sent == 3 && s.sources[0].waiting == 0);
    let ids = [1, 2].map(|n| sample_value(n)["id"].as_str().unwrap().to_owned());
    receiver.assert_has_exactly(&ids);
    assert!(errors(&station).is_empty());
}

#[test]
fn a_mapping_reads_files_of_a_layout_of_ones_own_and_counts_as_it_is_when_a_file_comes() {
    let station = Station::builder()
        .source("table", |source| source.patterns(["*.csv"]).converter("teststand-db-csv").argument("part_number", "PN-1"))
        .folder_destination("out")
        .quick()
        .build();
    let mapping = include_str!("../../assets/mappings/teststand-db-csv.toml");
    let folder = station.folder().join("mappings");
    std::fs::create_dir(&folder).unwrap();
    let path = folder.join("teststand-db-csv.toml");
    let refused = Agent::try_start(&station, |_| ()).err().expect("there is no such mapping yet");
    assert!(refused.stderr.contains("teststand-db-csv"), "{refused:?}");
    std::fs::write(&path, mapping).unwrap();
    let agent = Agent::start(&station);
    let sample = data_file("mapping/Test Data VDM.csv");
    let file = station.drop_file("table", "first.csv", &sample);
    let done = agent.wait_for("its units are queued", |s| s.sources[0].queued == 1 && s.sources[0].waiting == 0);
    assert_eq!(
        done.destinations[0].pending + done.destinations[0].sending + done.destinations[0].sent,
        107,
        "{:?}",
        done.destinations
    );
    assert!(!file.exists());
    let listed = cli(&station, &["converters", "list"]);
    assert!(listed.stdout.contains("teststand-db-csv"), "{listed}");

    // Broken, its files wait; mended, they are taken.
    std::fs::write(&path, mapping.replace("[unit]", "[unnit]")).unwrap();
    let file = station.drop_file("table", "second.csv", &sample);
    agent.wait_for("the source says why it waits", |s| {
        s.sources[0].error.as_ref().is_some_and(|error| error.message.contains("unnit"))
    });
    assert!(file.exists());
    let validated = cli(&station, &["config", "validate"]);
    assert!(validated.code() == Some(5) && validated.stderr.contains("unnit"), "{validated}");
    std::fs::write(&path, mapping).unwrap();
    agent.wait_for("it is taken", |s| s.sources[0].queued == 2 && s.sources[0].waiting == 0);

    // In the making: what was found where, all faults at once, and one to begin with.
    let outside = tempfile::tempdir().unwrap();
    let csv = at(&outside, "a.csv", &sample);
    let (good, bad) =
        (at(&outside, "good.toml", mapping.as_bytes()), at(&outside, "bad.toml", b"name = 7\nformat = 'none'\ncolour = 'red'\n"));
    let checked = cli(&station, &["mapping", "check", &good, &csv]);
    assert!(
        checked.success() && checked.stdout.contains("107 of 107 units are whole") && checked.stdout.contains("line 2"),
        "{checked}"
    );
    let faults = cli(&station, &["mapping", "check", &bad]);
    assert_eq!(faults.code(), Some(5), "{faults}");
    assert!(["name", "format", "colour"].iter().all(|part| faults.stderr.contains(part)), "{faults}");
    let guessed = cli(&station, &["mapping", "guess", &csv]);
    let again = at(&outside, "guess.toml", guessed.stdout.as_bytes());
    assert!(cli(&station, &["mapping", "check", &again]).success(), "{guessed}");
}

/// The OS says that nobody writes any more: for a format that shows where it ends that is enough, whoever chose its converter.
#[cfg(target_os = "linux")]
#[test]
fn with_auto_a_file_that_shows_its_end_is_taken_at_once_and_one_that_does_not_waits() {
    let station = Station::builder()
        .source("any", |source| source.patterns(["*"]).converter("auto").set("settle_ms", 600_000))
        .folder_destination("out")
        .build();
    let agent = Agent::start(&station);
    let text = data_file("spea/DERIVED-first2units-testdata_SN9871234012.csv");
    let waits = station.drop_file("any", "spea.csv", &text);
    station.drop_reports("any", 0..2);
    agent.wait_for("two are taken", |s| s.sources[0].queued == 2);
    assert!(waits.exists(), "it may still grow");
}

use std::io::{Cursor, Write as _};

use serde_json::json;
use waybill_shared::report::{Report, Status, Step};
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use super::*;
use crate::convert::testing::{Converted, convert, cut_anywhere, data, flip_anywhere, golden};

const SAMPLES: [&str; 3] = [
    "1234_14_25_32_10.08.2018_Pass.xjlog",
    "55804022_XJT_2019-06-20_12-55-57_lumi_Pass.xjlog",
    "567567_14_29_24_17_06_2020_Pass.xml",
];

fn groups_and_functions(report: &Report) -> (usize, usize) {
    let groups = report.steps().filter(|step| step.is_sequence_call()).count() - 1;
    (groups, report.steps().filter(|step| step.boolean_meas.is_some()).count())
}

fn step<'a>(report: &'a Report, name: &str) -> &'a Step {
    report.steps().find(|step| step.name.as_deref() == Some(name)).unwrap()
}

#[test]
fn the_samples_arrive_as_they_are() {
    for (name, sn, counts, start) in [
        (SAMPLES[0], "1234", (12, 19), "2018-08-10T12:25:32.9968057Z"),
        (SAMPLES[1], "55804022", (18, 35), "2019-06-20T11:55:57.4460362Z"),
        (SAMPLES[2], "567567", (13, 24), "2020-06-17T13:29:24.258678Z"),
    ] {
        let report = golden(&Xjtag, &format!("xjtag/{name}"), &json!({})).only();
        assert_eq!((report.sn.as_deref(), groups_and_functions(&report)), (Some(sn), counts), "{name}");
        assert_eq!((report.result, report.start_utc.as_deref()), (Some(Status::Passed), Some(start)), "{name}");
    }
}

#[test]
fn texts_times_and_what_the_run_says_of_itself_are_there() {
    let plain = convert(&Xjtag, SAMPLES[2], &data(&format!("xjtag/{}", SAMPLES[2])), &json!({})).only();
    assert_eq!(plain.uut.as_ref().unwrap().exec_time.as_ref().unwrap().to_string(), "47.960");
    assert_eq!(plain.uut.as_ref().unwrap().user.as_deref(), Some("ADMINISTRATOR"));
    assert_eq!(step(&plain, "NEW_SERIAL_NUMBER").tot_time.as_ref().unwrap().to_string(), "4.231");
    let text = "LED D4 passed.\nD4.Test passed\ndevice-ref: board=XJDemo, device=D4";
    assert_eq!(step(&plain, "D4.Test").report_text.as_deref(), Some(text));
    assert!(step(&plain, "CONNTEST").report_text.as_deref().unwrap().contains("conntest-errors: No errors"));
    let skipped: Vec<_> = plain.steps().filter(|step| step.status == Some(Status::Skipped)).collect();
    assert_eq!(
        skipped.iter().map(|step| step.name.as_deref().unwrap()).collect::<Vec<_>>(),
        ["IC3.TestNonDestructive", "VerifyIC3"]
    );
    let info = |report: &Report, name: &str| {
        let infos = report.misc_infos.iter().flatten();
        infos.clone().find(|info| info.description.as_deref() == Some(name)).and_then(|info| info.text.clone())
    };
    assert_eq!(info(&plain, "xjlink-serial").as_deref(), Some("10199"));
    assert_eq!(info(&plain, "xjtag-version").as_deref(), Some("3.10.0.0"));
    let zipped = convert(&Xjtag, SAMPLES[0], &data(&format!("xjtag/{}", SAMPLES[0])), &json!({})).only();
    let call = zipped.root.as_ref().unwrap().seq_call.as_ref().unwrap();
    assert_eq!(call.name.as_deref(), Some("Demonstration hardware"));
    assert!(call.path.as_deref().unwrap().ends_with(r"\Board Test\demo.xjp"));
    assert!(step(&zipped, "D4.Test").report_text.as_deref().unwrap().contains("LED D4 passed."), "what stands between the texts");
    let took = |name: &str| step(&zipped, name).tot_time.as_ref().map(ToString::to_string);
    assert_eq!(
        (took("NEW_SERIAL_NUMBER").as_deref(), took("CheckChain").as_deref()),
        (Some("4.474"), Some("0.022")),
        "by the viewer's summary"
    );
    assert!(zipped.steps().filter(|step| step.boolean_meas.is_some()).all(|step| step.tot_time.is_some()));
    assert!(zipped.root.as_ref().unwrap().report_text.as_deref().unwrap().contains("ProgramIC3 skipped"));
}

#[test]
fn a_cut_or_spoilt_sample_is_never_a_clean_report() {
    for name in SAMPLES {
        let bytes = data(&format!("xjtag/{name}"));
        cut_anywhere(&Xjtag, name, &bytes, &json!({}));
    }
    flip_anywhere(&Xjtag, SAMPLES[2], &data(&format!("xjtag/{}", SAMPLES[2])), &json!({}));
    let small = zipped(&[("Run 1.xml", run("A", "Passed")), ("Info.xml", info(1))]);
    cut_anywhere(&Xjtag, "x.xjlog", &small, &json!({}));
    flip_anywhere(&Xjtag, "x.xjlog", &small, &json!({}));
    let bytes = data(&format!("xjtag/{}", SAMPLES[0]));
    let cut = convert(&Xjtag, "x.xjlog", &bytes[..bytes.len() - 30], &json!({}));
    assert!(matches!(cut.end, Err(ConvertError::Incomplete { .. })), "{:?}", cut.end);
}

fn run(serial: &str, result: &str) -> Vec<u8> {
    format!(
        "\u{feff}<?xml version=\"1.0\"?><testrun datetime=\"2024-01-02T03:04:05.1234567Z\"><testgroup name=\"g\"><testfunction name=\"f\">\
         <result value=\"Failed\"/><conntest-errors><error><error-message>short to GND</error-message><net name=\"N1\"/></error>\
         </conntest-errors></testfunction></testgroup><testruninfo><serial>{serial}</serial><xjlink-name>XJ-7</xjlink-name>\
         <result>{result}</result></testruninfo></testrun>"
    )
    .into_bytes()
}

fn info(runs: usize) -> Vec<u8> {
    format!("<LogFileInfo><TestRunCount>{runs}</TestRunCount></LogFileInfo>").into_bytes()
}

fn zipped(entries: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in entries {
        writer.start_file(*name, SimpleFileOptions::default()).unwrap();
        writer.write_all(bytes).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

fn read(entries: &[(&str, Vec<u8>)]) -> Converted {
    convert(&Xjtag, "x.xjlog", &zipped(entries), &json!({}))
}

#[test]
fn runs_in_any_order_are_one_unit_each_and_a_bad_one_does_not_lose_the_others() {
    let mut cut = run("C", "Passed");
    cut.truncate(200);
    let entries = [
        ("Run 10.xml", run("J", "Failed")),
        ("1_2", b"raw".to_vec()),
        ("Run 2.xml", run("B", "Failed")),
        ("Run 3.xml", cut),
        ("Run 4.xml", run("D", "Unheard")),
        ("Run 1.checksum", vec![0; 20]),
        ("Info.xml", info(6)),
        ("Run 1.xml", run("A", "Failed")),
    ];
    let converted = read(&entries);
    assert_eq!(converted.reports.iter().map(|report| report.sn.clone().unwrap()).collect::<Vec<_>>(), ["A", "B", "J"]);
    let errors: Vec<_> = converted.errors.iter().map(ToString::to_string).collect();
    assert!(errors[0].contains("Run 3.xml") && matches!(converted.errors[0], ConvertError::Malformed { .. }), "{errors:?}");
    assert!(errors[1].contains("Unheard") && errors[2].contains("announces 6 runs, and 5 are there"), "{errors:?}");
    assert_eq!((errors.len(), converted.end), (3, Ok(())));
    let report = &converted.reports[0];
    assert_eq!(report.machine_name.as_deref(), Some("XJ-7"));
    let step = step(report, "f");
    assert_eq!(step.error_message.as_deref(), Some("short to GND"));
    assert!(step.report_text.as_deref().unwrap().contains("net: name=N1"), "{step:?}");
}

#[test]
fn counts_that_do_not_fit_and_a_missing_info_are_told() {
    let more = read(&[("Run 1.xml", run("A", "Failed")), ("Run 2.xml", run("B", "Failed")), ("Info.xml", info(1))]);
    assert!(more.notes[1].iter().any(|note| note.contains("announces 1 runs, and 2")), "{:?}", more.notes);
    let without = read(&[("Run 1.xml", run("A", "Failed"))]);
    assert!(without.notes[0].iter().any(|note| note.contains("Info.xml")), "{:?}", without.notes);
    assert!(matches!(read(&[("Info.xml", info(0))]).end, Err(ConvertError::Malformed { .. })));
}

/// The converter with bounds that a test reaches soon.
struct Narrow;

impl Converter for Narrow {
    fn about(&self) -> &About {
        &ABOUT
    }
    fn sniff(&self, head: &crate::convert::Head) -> u8 {
        Xjtag.sniff(head)
    }
    fn convert(&self, input: &Input<'_>, sink: &mut Sink<'_>) -> Result<(), ConvertError> {
        super::convert(input, Bounds { entries: 8, entry_bytes: 64 * 1024, all_bytes: 200 * 1024 }, sink)
    }
}

#[test]
fn a_bomb_ends_in_a_clear_error() {
    let read = |entries: &[(&str, Vec<u8>)]| convert(&Narrow, "x.xjlog", &zipped(entries), &json!({}));
    let bombs =
        |converted: &Converted| converted.errors.iter().filter(|error| error.to_string().contains("more than is read")).count();
    let huge = vec![b' '; 10 * 1024 * 1024];
    let one = read(&[("Run 1.xml", huge), ("Run 2.xml", run("B", "Failed")), ("Info.xml", info(2))]);
    assert_eq!((bombs(&one), one.reports.len()), (1, 1), "the other one arrives: {:?}", one.errors);
    let large = || vec![b' '; 60 * 1024];
    let entries: Vec<_> = ["Run 1.xml", "Run 2.xml", "Run 3.xml", "Run 4.xml", "Run 5.xml"].map(|name| (name, large())).into();
    let all = read(&entries);
    assert_eq!((bombs(&all), all.errors.len()), (2, 5), "{:?}", all.errors);
    let info_bomb = read(&[("Run 1.xml", run("A", "Failed")), ("Info.xml", vec![b' '; 2 * 1024 * 1024])]);
    assert!(info_bomb.notes[0].iter().any(|note| note.contains("more than is read")), "{:?}", info_bomb.notes);
    let names: Vec<_> = (0..9).map(|number| number.to_string()).collect();
    let many: Vec<_> = names.iter().map(|name| (name.as_str(), Vec::new())).collect();
    assert!(read(&many).end.unwrap_err().to_string().contains("9 entries, at most 8"));
}

#[test]
fn names_that_climb_are_only_names() {
    let climbing = ["../Run 1.xml", "/Run 1.xml", "C:\\Run 1.xml", "../../etc/passwd", "Run 1.xml/../../x", "Run -1.xml"];
    let mut entries: Vec<_> = climbing.into_iter().map(|name| (name, run("X", "Failed"))).collect();
    entries.push(("Run 1.xml", run("A", "Failed")));
    entries.push(("Info.xml", info(1)));
    assert_eq!(read(&entries).only().sn.as_deref(), Some("A"));
}

#[test]
fn only_its_own_files_are_its_own() {
    for (head, sure) in [
        (run("A", "Passed"), true),
        (zipped(&[("Run 1.xml", run("A", "Passed")), ("Info.xml", info(1))]), true),
        (zipped(&[("xl/workbook.xml", Vec::new())]), false),
        (b"<testrun><testcase/></testrun>".to_vec(), false),
        (b"<root/>".to_vec(), false),
    ] {
        assert_eq!(Xjtag.sniff(&crate::convert::Head::new(&head)) >= 40, sure, "{}", String::from_utf8_lossy(&head));
    }
    let other = convert(&Xjtag, "x.xml", b"<other/>", &json!({}));
    assert!(matches!(other.end, Err(ConvertError::Malformed { .. })));
}

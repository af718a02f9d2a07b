use serde_json::json;
use waybill_shared::report::{Num, NumericMeas, Report, Status, Step};

use super::*;
use crate::convert::testing::{Converted, convert, cut_anywhere, data, flip_anywhere};

mod faults;
mod guesses;
mod layouts;

/// The mappings that are delivered, by the files that they read.
const DELIVERED: [(&str, &str); 8] = [
    ("Test Data VDM.csv", include_str!("../../../../assets/mappings/teststand-db-csv.toml")),
    ("steps-per-row.csv", include_str!("../../../../assets/mappings/steps-per-row-csv.toml")),
    ("header-and-table.csv", include_str!("../../../../assets/mappings/header-and-table-csv.toml")),
    ("BOARD_run.dat", include_str!("../../../../assets/mappings/columns-dat.toml")),
    ("sections.txt", include_str!("../../../../assets/mappings/sections-txt.toml")),
    ("fixed.prn", include_str!("../../../../assets/mappings/fixed-width.toml")),
    ("XMLReport.xml", include_str!("../../../../assets/mappings/custom-xml.toml")),
    ("custom.json", include_str!("../../../../assets/mappings/custom-json.toml")),
];

fn mapping(toml_text: &str) -> Mapping {
    Mapping::parse(toml_text).unwrap_or_else(|faults| panic!("{}", waybill_shared::schema::list(&faults)))
}

/// The delivered mapping for a file.
fn delivered(file: &str) -> Mapping {
    mapping(DELIVERED.iter().find(|(name, _)| *name == file).unwrap().1)
}

fn sample(mapping_of: &str, file: &str) -> Converted {
    convert(&delivered(mapping_of), file, &data(&format!("mapping/{file}")), &json!({}))
}

fn read(toml_text: &str, text: &str) -> Converted {
    convert(&mapping(toml_text), "x.csv", text.as_bytes(), &json!({}))
}

fn steps(report: &Report) -> &[Step] {
    report.root.as_ref().unwrap().steps.as_deref().unwrap()
}

fn step<'a>(report: &'a Report, name: &str) -> &'a Step {
    report.steps().find(|step| step.name.as_deref() == Some(name)).unwrap_or_else(|| panic!("{name}"))
}

fn numeric(step: &Step) -> &NumericMeas {
    &step.numeric_meas.as_ref().unwrap()[0]
}

/// Comparator, value, limits, unit and verdict of a number, as texts.
fn shown(step: &Step) -> String {
    let one = numeric(step);
    let text = |number: &Option<Num>| number.as_ref().map_or("-".to_owned(), ToString::to_string);
    let unit = one.unit.as_deref().unwrap_or("-");
    let (low, high) = (text(&one.low_limit), text(&one.high_limit));
    format!("{} {} {low} {high} {unit} {}", one.comp_op.as_deref().unwrap(), text(&one.value), one.status.unwrap())
}

fn info(report: &Report, name: &str) -> Option<String> {
    let found = report.misc_infos.iter().flatten().find(|info| info.description.as_deref() == Some(name));
    found.and_then(|info| info.text.clone())
}

#[test]
fn every_delivered_mapping_reads_its_file_and_is_known_to_auto_if_it_says_by_what() {
    for (file, text) in DELIVERED {
        let mapping = mapping(text);
        let bytes = data(&format!("mapping/{file}"));
        let converted = convert(&mapping, file, &bytes, &json!({}));
        assert_eq!((&converted.errors, &converted.end), (&Vec::new(), &Ok(())), "{file}");
        assert!(!converted.reports.is_empty() && !mapping.help().is_empty() && !mapping.patterns().is_empty(), "{file}");
        let sure = mapping.sniff(&crate::convert::Head::new(&bytes));
        assert_eq!(sure >= 40, text.contains("\n[recognise]"), "{file}");
        assert_eq!(mapping.sniff(&crate::convert::Head::new(b"something else")), 0, "{file}");
        for (other, _) in DELIVERED.iter().filter(|(other, _)| *other != file) {
            assert_eq!(
                mapping.sniff(&crate::convert::Head::new(&data(&format!("mapping/{other}")))),
                0,
                "{file} takes {other} for its own"
            );
        }
    }
}

#[test]
fn the_three_exports_of_a_teststand_database_arrive_as_they_are() {
    for (file, pn, passed, failed) in
        [("Test Data VDM.csv", "VDM", 84, 23), ("Test Data PMU.csv", "PMU", 90, 17), ("Test Data HL.csv", "HL", 131, 8)]
    {
        let reports = sample("Test Data VDM.csv", file).all();
        let count = |status| reports.iter().filter(|report| report.result == Some(status)).count();
        assert_eq!((reports.len(), count(Status::Passed), count(Status::Failed)), (passed + failed, passed, failed), "{file}");
        assert!(reports.iter().all(|report| report.pn.as_deref() == Some(pn)), "{file}");
        let text = String::from_utf8(data(&format!("mapping/{file}"))).unwrap();
        let rows: Vec<_> = text.lines().skip(1).collect();
        for (report, row) in reports.iter().zip(rows) {
            let cells: Vec<_> = row.split(',').collect();
            assert_eq!(report.sn.as_deref(), Some(cells[2]), "{row}");
            let header = text.lines().next().unwrap().split(',').count();
            let filled = cells.iter().take(header).skip(6).filter(|cell| !cell.is_empty()).count();
            assert_eq!(report.measurement_count(), filled, "{row}");
            let values: Vec<_> = report.steps().skip(1).map(|step| numeric(step).value.as_ref().unwrap().to_string()).collect();
            assert_eq!(values, cells.iter().take(header).skip(6).filter(|cell| !cell.is_empty()).copied().collect::<Vec<_>>());
        }
    }
}

#[test]
fn names_limits_loops_and_sockets_of_the_exports_are_right() {
    let hl = sample("Test Data VDM.csv", "Test Data HL.csv").all();
    let first = &hl[0];
    assert_eq!(
        (first.start.as_deref(), first.machine_name.as_deref()),
        (Some("2023-04-18T13:08:20+02:00"), Some("MAPTESTER-002"))
    );
    let sockets: Vec<_> = hl[..4].iter().map(|report| report.uut.as_ref().unwrap().test_socket_index.unwrap()).collect();
    assert_eq!(sockets, [1, 2, 3, 4]);
    assert!(hl[..4].iter().all(|report| report.start == first.start));
    assert_eq!(first.uut.as_ref().unwrap().exec_time.as_ref().unwrap().to_string(), "1159");
    assert_eq!(shown(step(first, "HL_2.5V_Reference")), "GELE 2.499 2.45 2.55 V Passed");
    assert_eq!(shown(step(first, "SplitVat HL_Trip ON")), "EQ 1.0 1 - - Passed", "`None` is no unit");
    assert_eq!(shown(step(first, "HL_24V_HL Lo (82.5 ohm) P2-4 0V")), "GTLT 0.0 -1 1 V Passed");
    assert_eq!(shown(step(first, "HL_24V_HL Lo (82.5 ohm) LEDOff")), "EQ 0.0 0 - - Passed");
    assert_eq!((steps(&hl[3]).len(), hl[3].result), (1, Some(Status::Failed)), "an empty cell is a step that was not run");
    assert_eq!(shown(&steps(&hl[3])[0]), "GELE 0.949 2.45 2.55 V Failed");
    let looped = hl.iter().flat_map(steps).filter(|step| step.loop_info.is_some()).collect::<Vec<_>>();
    assert!(
        looped
            .iter()
            .all(|step| step.name.as_deref() == Some("HL Program Flash") && numeric(step).low_limit == Num::parse("100"))
    );
    let vdm = sample("Test Data VDM.csv", "Test Data VDM.csv");
    let noted = vdm.notes.iter().filter(|notes| notes.iter().any(|note| note.contains("28 cells and its header 26"))).count();
    assert_eq!((noted, vdm.reports[0].sn.as_deref(), vdm.reports[1].sn.as_deref()), (16, Some("1379951"), Some("0000019")));
    let beyond = vdm.reports.iter().filter_map(|report| report.root.as_ref().unwrap().report_text.clone()).collect::<Vec<_>>();
    assert_eq!((beyond.len(), beyond.iter().filter(|text| *text == "column 27: 0.0\ncolumn 28: 0.0").count()), (16, 3));
}

#[test]
fn custom_xml_arrives_as_it_is() {
    let report = sample("XMLReport.xml", "XMLReport.xml").only();
    assert_eq!((report.sn.as_deref(), report.pn.as_deref(), report.rev.as_deref()), (Some("12345"), Some("Part1"), Some("1.0")));
    assert_eq!((report.process_code, report.result), (Some(50), Some(Status::Failed)), "the worst of its steps");
    assert_eq!(report.start.as_deref(), Some("2017-04-20T12:01:30+02:00"));
    let uut = report.uut.as_ref().unwrap();
    assert_eq!((uut.user.as_deref(), uut.exec_time.as_ref().unwrap().to_string().as_str()), (Some("Ragnar"), "20.5"));
    let sequences: Vec<_> =
        steps(&report).iter().map(|step| (step.name.as_deref().unwrap(), step.steps.as_ref().unwrap())).collect();
    assert_eq!(sequences.iter().map(|(name, _)| *name).collect::<Vec<_>>(), ["Startup", "Main"]);
    let shown: Vec<_> =
        sequences.iter().flat_map(|(_, steps)| *steps).filter(|step| step.numeric_meas.is_some()).map(shown).collect();
    assert_eq!(
        shown,
        [
            "GELE 4.56 4 5 V Passed",
            "GELE 1000.766 900 1100 Ohm Passed",
            "GELE 555.7 500 600 V Passed",
            "GELE 300.88 310 400 A Failed"
        ]
    );
    let software = step(&report, "Software version").string_meas.as_ref().unwrap()[0].clone();
    assert_eq!(
        (software.value.as_deref(), software.limit.as_deref(), software.status),
        (Some("3.4"), Some("3.4"), Some(Status::Passed))
    );
    assert_eq!(step(&report, "LED ok").boolean_meas.as_ref().unwrap()[0].status, Some(Status::Passed));
}

#[test]
fn a_cut_or_spoilt_file_is_never_a_clean_report_that_it_was_not() {
    for (file, _) in DELIVERED {
        let mapping = delivered(file);
        let mut bytes = data(&format!("mapping/{file}"));
        if bytes.len() > 4000 {
            let lines: Vec<_> = bytes.split_inclusive(|&byte| byte == b'\n').take(6).collect();
            bytes = lines.concat();
        }
        flip_anywhere(&mapping, file, &bytes, &json!({}));
        // Where rows are added to a unit and nothing says that it ends, a cut between two rows does not show.
        if !matches!(file, "steps-per-row.csv" | "header-and-table.csv") {
            cut_anywhere(&mapping, file, &bytes, &json!({}));
            continue;
        }
        let whole = convert(&mapping, file, &bytes, &json!({}));
        for cut in 0..bytes.len() {
            let part = convert(&mapping, file, &bytes[..cut], &json!({}));
            let ends_a_line = cut > 0 && bytes[cut - 1] == b'\n';
            assert!(ends_a_line || part.end.is_err(), "{file} cut at {cut}");
            for report in part.reports.iter().filter(|report| report.result == Some(Status::Passed)) {
                let of = |report: &Report| whole.reports.iter().position(|other| other.sn == report.sn);
                let original = of(report).map(|index| &whole.reports[index]);
                assert!(original.is_some_and(|original| steps(original).len() >= steps(report).len()), "{file} cut at {cut}");
            }
        }
    }
}

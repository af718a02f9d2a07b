use serde_json::json;
use waybill_shared::report::{Num, Report, Status, Step};

use super::*;
use crate::convert::testing::{Converted, convert, cut_anywhere, data, flip_anywhere, golden};

const SAMPLE: &str = "wstf/two-units.txt";

fn step<'a>(report: &'a Report, name: &str) -> &'a Step {
    report.steps().find(|step| step.name.as_deref() == Some(name)).unwrap()
}

fn text(number: &Option<Num>) -> String {
    number.as_ref().map_or_else(String::new, ToString::to_string)
}

#[test]
fn the_sample_arrives_as_it_is() {
    let reports = golden(&Wstf, SAMPLE, &json!({})).all();
    let [first, second] = reports.as_slice() else { panic!() };
    let head =
        |report: &Report| [&report.sn, &report.pn, &report.rev, &report.machine_name].map(|text| text.clone().unwrap()).join(" ");
    assert_eq!((head(first), head(second)), ("SN-1 PN-1 A ST7".to_owned(), "SN-2 PN-1 A ST7".to_owned()));
    assert_eq!((first.result, second.result), (Some(Status::Failed), Some(Status::Passed)));
    assert_eq!((first.process_code, first.start.as_deref()), (Some(10), Some("2026-01-30T12:26:16+01:00")));
    let uut = first.uut.as_ref().unwrap();
    assert_eq!(
        (uut.user.as_deref(), uut.batch_sn.as_deref(), uut.fixture_id.as_deref()),
        (Some("Jørgen"), Some("B7"), Some("F3"))
    );
    assert_eq!((uut.test_socket_index, uut.error_code, uut.error_message.as_deref()), (Some(2), Some(-17), Some("3V3 too low")));
    assert_eq!((text(&uut.exec_time), uut.comment.as_deref()), ("12.5".to_owned(), Some("at 25 °C")));
    let unit = &first.sub_units.as_ref().unwrap()[0];
    assert_eq!(
        [&unit.part_type, &unit.pn, &unit.sn, &unit.rev].map(|text| text.as_deref().unwrap()),
        ["PCBA", "PCB-1", "P1", "B"]
    );
    let infos: Vec<_> = first
        .misc_infos
        .iter()
        .flatten()
        .map(|info| (info.description.as_deref().unwrap(), info.text.as_deref().unwrap()))
        .collect();
    assert_eq!(infos, [("ConverterMode", "Import"), ("Firmware", "1.2.3")]);
    let call = first.root.as_ref().unwrap().seq_call.as_ref().unwrap();
    assert_eq!((call.name.as_deref(), call.version.as_deref()), (Some("Final test"), Some("2.1")));
    let rails = step(first, "3V3");
    let found = &rails.numeric_meas.as_ref().unwrap()[0];
    let shown = [text(&found.value), text(&found.low_limit), text(&found.high_limit)];
    assert_eq!(shown, ["3.10", "3.20", "3.40"]);
    assert_eq!((found.comp_op.as_deref(), found.unit.as_deref(), found.status), (Some("GELE"), Some("V"), Some(Status::Failed)));
    assert_eq!((rails.error_code, rails.error_message.as_deref(), rails.caused_seq_failure), (Some(5), Some("low"), Some(true)));
    assert_eq!((text(&rails.tot_time), rails.report_text.as_deref()), ("0.25".to_owned(), Some("at load")));
    let multi = step(first, "Rails");
    let names: Vec<_> = multi.numeric_meas.iter().flatten().map(|one| one.name.as_deref().unwrap()).collect();
    assert_eq!((multi.step_type.as_deref(), names), (Some("ET_MNLT"), vec!["1V8", "5V"]));
    assert_eq!(multi.numeric_meas.as_ref().unwrap()[1].comp_op.as_deref(), Some("LT"));
    let sweep = step(first, "Sweep");
    let chart = sweep.chart.as_ref().unwrap();
    let series = &chart.series.as_ref().unwrap()[0];
    assert_eq!((chart.chart_type.as_deref(), chart.label.as_deref()), (Some("LineLogX"), Some("Gain")));
    let axes = [&chart.y_unit, &chart.y_label, &chart.x_unit, &chart.x_label].map(|text| text.as_deref().unwrap());
    assert_eq!(axes, ["dB", "gain", "Hz", "frequency"]);
    let shown = [&series.name, &series.data_type, &series.ydata, &series.xdata].map(|text| text.as_deref().unwrap());
    assert_eq!(shown, ["up", "XYG", "1.5;2;3", "10;20;30"]);
    let nested = step(first, "Outer").steps.as_ref().unwrap();
    assert_eq!((nested.len(), nested[0].name.as_deref()), (2, Some("Inner")));
    assert_eq!(step(first, "FW").string_meas.as_ref().unwrap()[0].comp_op.as_deref(), Some("IGNORECASE"));
    assert_eq!(step(first, "Pins").step_type.as_deref(), Some("ET_MPFT"));
    assert_eq!(step(first, "IDs").step_type.as_deref(), Some("ET_MSVT"));
    assert_eq!(step(first, "Wait").step_type.as_deref(), Some("ET_A"));
}

#[test]
fn a_cut_or_spoilt_sample_is_never_a_clean_report() {
    let bytes = data(SAMPLE);
    cut_anywhere(&Wstf, "x.txt", &bytes, &json!({}));
    flip_anywhere(&Wstf, "x.txt", &bytes, &json!({}));
}

/// A unit with these rows; cells are separated by `|`.
fn rows(rows: &[&str]) -> Converted {
    unit("UUTStatus|Passed", rows, "")
}

fn unit(header: &str, rows: &[&str], footer: &str) -> Converted {
    let text = format!(
        "--Header-Start--\nSerialNumber|A1\nPartNumber|P\nRevision|1\nOperationTypeCode|10\nStartDateTime|2026-01-30T12:26:16\n{header}\n\
         --Step-Data-Start--\n{}\n--Step-Data-End--\n{footer}\n--UUT-End--\n",
        rows.join("\n")
    );
    convert(&Wstf, "x.txt", text.replace('|', "\t").as_bytes(), &json!({}))
}

#[test]
fn a_comparator_that_is_not_given_follows_from_the_limits_and_a_status_from_both() {
    for (cells, comparator, low, high, status) in [
        ("2|1|3||V", "GELE", "1", "3", Status::Passed),
        ("4|1|3||V", "GELE", "1", "3", Status::Failed),
        ("4|1|||V", "GE", "1", "", Status::Passed),
        ("4||3||V", "LE", "3", "", Status::Failed),
        ("4||||V", "LOG", "", "", Status::Passed),
        ("4|5||LT|V", "LT", "5", "", Status::Passed),
        ("4||5|LT|V", "LT", "5", "", Status::Passed),
        ("0|5|355|LEGE|V", "LEGE", "5", "355", Status::Passed),
        ("4,70|4,7||EQ|V", "EQ", "4.7", "", Status::Passed),
        ("4|1||GELE|V", "GE", "1", "", Status::Passed),
        ("4|1|3|gtlt|V|Passed", "GTLT", "1", "3", Status::Passed),
    ] {
        let converted = rows(&[&format!("NumericLimitTest|s||{cells}")]);
        let notes = converted.notes[0].join("\n");
        assert_eq!(notes.contains("computed"), !cells.ends_with("Passed"), "{cells}: {notes}");
        let report = converted.only();
        let found = step(&report, "s").numeric_meas.as_ref().unwrap()[0].clone();
        let shown = (found.comp_op.as_deref().unwrap(), text(&found.low_limit), text(&found.high_limit), found.status.unwrap());
        assert_eq!(shown, (comparator, low.to_owned(), high.to_owned(), status), "{cells}");
    }
    let wrong = rows(&["NumericLimitTest|s||4|1|3|GTLT|V|Passed"]);
    assert!(wrong.notes[0].iter().any(|note| note.contains("the file says Passed")), "{:?}", wrong.notes);
    let odd = rows(&["NumericLimitTest|s||4|1|3|LOG|V|Passed"]).only();
    assert_eq!(step(&odd, "s").report_text.as_deref(), Some("LowLimit: 1\nHighLimit: 3"), "limits that do not count");
}

#[test]
fn strings_and_verdicts_are_computed_where_they_are_missing() {
    for (cells, status) in [
        ("StringValueTest|s||abc|ABC||IGNORECASE", Status::Passed),
        ("StringValueTest|s||abc|ABC", Status::Failed),
        ("StringValueTest|s||abc|abc||CASESENSIT", Status::Passed),
        ("StringValueTest|s||abc|abc||NE", Status::Failed),
        ("StringValueTest|s||abc", Status::Passed),
        ("PassFailTest|s||True", Status::Passed),
        ("PassFailTest|s||0", Status::Failed),
        ("PassFailTest|s|||||||Failed", Status::Failed),
        ("ActionStep|s", Status::Done),
        ("NumericLimitTest|s|||||||Skipped", Status::Skipped),
    ] {
        let report = rows(&[cells]).only();
        assert_eq!(step(&report, "s").status, Some(status), "{cells}");
    }
    let by_steps = unit(
        "Comment|c",
        &["SequenceCall|q", "PassFailTest|s|||||||Failed", "EndSequenceCall", "PassFailTest|t|||||||Passed"],
        "",
    )
    .only();
    assert_eq!((by_steps.result, step(&by_steps, "q").status), (Some(Status::Failed), Some(Status::Failed)));
    let none = rows(&["PassFailTest|s"]);
    assert!(matches!(none.errors[..], [ConvertError::Faults(_)]), "{none:?}");
    for bad in ["PassFailTest|s|||||||Green", "ActionStep|s|||||||7"] {
        assert!(matches!(rows(&[bad]).errors[..], [ConvertError::Faults(_)]), "{bad}");
    }
    assert!(matches!(unit("Comment|c", &[], "").errors[..], [ConvertError::Faults(_)]), "nothing gives a verdict");
}

#[test]
fn rows_without_a_name_go_on_with_the_step_above() {
    let report = rows(&[
        "NumericLimitTest|s|a|1|0|2|GELE|V|Passed",
        "||b|2|0|2|GELE|V|Passed",
        "NumericLimitTest||c|3|0|2|GELE|V|Failed",
        "MultipleStringValueTest|m",
        "StringValueTest||x|1||||||",
        "StringValueTest|y||2",
        "EndMultipleStringValueTest|m|||||||Failed|1.5",
        "PassFailTest|p|||||||Passed",
    ])
    .only();
    let s = step(&report, "s");
    let names: Vec<_> = s.numeric_meas.iter().flatten().map(|one| one.name.as_deref().unwrap()).collect();
    assert_eq!((names, s.status), (vec!["a", "b", "c"], Some(Status::Failed)));
    let m = step(&report, "m");
    let values: Vec<_> =
        m.string_meas.iter().flatten().map(|one| (one.name.as_deref().unwrap(), one.value.as_deref().unwrap())).collect();
    assert_eq!((values, m.status, text(&m.tot_time)), (vec![("x", "1"), ("y", "2")], Some(Status::Failed), "1.5".to_owned()));
    assert_eq!(report.root.as_ref().unwrap().steps.as_ref().unwrap().len(), 3);
}

#[test]
fn a_first_row_of_names_says_where_the_columns_are_and_no_cell_is_lost() {
    let converted = rows(&[
        "StepType|StepName|Status|Value|StringLimit|LowLimit|Remark",
        "NumericLimitTest|n|Passed|5||4|why",
        "StringValueTest|t|Passed|a|a||",
        "GaugeStep|g|Done|7|||",
        "NumericLimitTest|w|Passed|abc||4||beyond",
    ]);
    assert!(converted.notes[0].iter().any(|note| note.contains("\"GaugeStep\" is not known")), "{:?}", converted.notes);
    let report = converted.only();
    assert_eq!(
        (step(&report, "n").report_text.as_deref(), step(&report, "n").numeric_meas.as_ref().unwrap()[0].comp_op.as_deref()),
        (Some("Remark: why"), Some("GE"))
    );
    assert_eq!(step(&report, "t").string_meas.as_ref().unwrap()[0].limit.as_deref(), Some("a"));
    assert_eq!(step(&report, "g").report_text.as_deref(), Some("StepType: GaugeStep\nValue: 7"));
    let w = step(&report, "w");
    assert_eq!(
        (w.string_meas.as_ref().unwrap()[0].value.as_deref(), w.report_text.as_deref()),
        (Some("abc"), Some("LowLimit: 4\nmore: beyond"))
    );
}

#[test]
fn the_footer_overrides_the_header_and_each_form_of_the_end_is_one() {
    let footer = "UUTStatus|Failed\nErrorCode|9\nOperator|x\nStationName|";
    let report =
        unit("UUTStatus|Passed\nStationName|S1\nOperationTypeName|Final", &["PassFailTest|s|||||||Passed"], footer).only();
    assert_eq!((report.result, report.machine_name.as_deref()), (Some(Status::Failed), Some("S1")));
    assert_eq!(report.uut.as_ref().unwrap().error_code, Some(9));
    let infos: Vec<_> = report.misc_infos.iter().flatten().map(|info| info.description.as_deref().unwrap()).collect();
    assert_eq!(infos, ["OperationTypeName", "Operator"].into_iter().rev().collect::<Vec<_>>());
    for (end, is_whole) in [("--UUT-End--", true), ("-- UUT-End--", true), ("--uut-end--\n\n", true), ("", false)] {
        let text = format!("--Header-Start--\nSerialNumber\tA\nPartNumber\tP\nUUTStatus\tPassed\n{end}");
        let found = convert(&Wstf, "x.txt", text.as_bytes(), &json!({}));
        assert_eq!((found.reports.len(), found.end.is_ok()), (usize::from(is_whole), is_whole), "{end}");
    }
    assert!(matches!(convert(&Wstf, "x.txt", b"hello", &json!({})).end, Err(ConvertError::Malformed { .. })));
    assert!(matches!(convert(&Wstf, "x.txt", b"\n", &json!({})).end, Err(ConvertError::Incomplete { .. })));
}

#[test]
fn a_unit_that_is_not_ended_loses_no_other() {
    let one = |sn: &str, rest: &str| format!("--Header-Start--\nSerialNumber\t{sn}\nPartNumber\tP\nUUTStatus\tPassed\n{rest}\n");
    let text = [
        one("1", "--Step-Data-Start--\nPassFailTest\ts\t\t\t\t\t\t\tPassed"),
        one("2", "--Step-Data-Start--\n--Step-Data-End--"),
        "stray\n".to_owned() + &one("3", "--UUT-End--\nstray"),
        one("4", "--UUT-End--"),
    ]
    .concat();
    let found = convert(&Wstf, "x.txt", text.as_bytes(), &json!({}));
    let serials: Vec<_> = found.reports.iter().map(|report| report.sn.as_deref().unwrap()).collect();
    assert_eq!((serials, found.errors.len()), (vec!["2", "3", "4"], 1));
    assert!(found.notes[0].iter().any(|note| note.contains("without the --UUT-End--")), "{:?}", found.notes);
    assert!(found.notes[2].iter().any(|note| note.contains("belongs to no unit")), "{:?}", found.notes);
}

#[test]
fn times_are_of_the_stations_clock_or_utc_and_one_that_is_none_is_refused() {
    let start = |header: &str| {
        let text = format!("--Header-Start--\nSerialNumber\tA\nPartNumber\tP\nUUTStatus\tPassed\n{header}\n--UUT-End--\n");
        convert(&Wstf, "x.txt", text.replace('|', "\t").as_bytes(), &json!({}))
            .reports
            .first()
            .map(|report| report.start.clone().unwrap())
    };
    assert_eq!(start("StartDateTime|2026-01-30T12:26:16.5").as_deref(), Some("2026-01-30T12:26:16.5+01:00"));
    assert_eq!(start("UTCStartDateTime|2026-01-30T11:26:16").as_deref(), Some("2026-01-30T12:26:16+01:00"));
    let both = "StartDateTime|2026-01-30T13:26:16\nUTCStartDateTime|2026-01-30T11:26:16";
    assert_eq!(start(both).as_deref(), Some("2026-01-30T13:26:16+02:00"), "another zone than the station's");
    let apart = "StartDateTime|2026-01-29T13:26:16\nUTCStartDateTime|2026-01-30T11:26:16";
    assert_eq!(start(apart).as_deref(), Some("2026-01-30T11:26:16+00:00"));
    assert_eq!(start("StartDateTime|30/01/2026 12:26"), None, "refused");
}

#[test]
fn a_chart_is_of_the_step_above_or_a_step_of_its_own() {
    let converted = rows(&[
        "Chart|Line|alone|V|u|s|t",
        "Series|a|XYG|1;2|1;2;3",
        "NumericLimitTest|s||1||||||",
        "Chart|Line|first",
        "Series|b|XYG|1,5;2,5|",
        "Chart|Line|second",
        "PassFailTest|p|||||||Passed",
        "Series|lost|XYG|1|1",
    ]);
    let notes = converted.notes[0].join("\n");
    assert!(notes.contains("2 values of Y and 3 of X") && notes.contains("a series without a chart"), "{notes}");
    let report = converted.only();
    let shown: Vec<_> = report
        .root
        .as_ref()
        .unwrap()
        .steps
        .iter()
        .flatten()
        .map(|step| (step.step_type.as_deref().unwrap(), step.name.as_deref().unwrap()))
        .collect();
    assert_eq!(shown, [("Chart", "alone"), ("ET_NLT", "s"), ("Chart", "second"), ("ET_PFT", "p")]);
    let series = &step(&report, "s").chart.as_ref().unwrap().series.as_ref().unwrap()[0];
    assert_eq!((series.ydata.as_deref(), series.xdata.as_deref()), (Some("1.5;2.5"), None));
}

#[test]
fn sequences_nest_up_to_a_bound_and_one_that_is_left_open_ends_with_the_unit() {
    let left_open = rows(&[
        "SequenceCall|a",
        "SequenceCall|b|||||||Passed",
        "PassFailTest|s|||||||Passed",
        "EndSequenceCall",
        "EndSequenceCall",
        "EndSequenceCall",
        "SequenceCall|c",
    ]);
    let open_block = rows(&["MultiplePassFailTest|m", "PassFailTest||a||||||Passed", "SequenceCall|c", "EndSequenceCall"]);
    assert!(open_block.notes[0].iter().any(|note| note.contains("\"m\" has no row that ends it")), "{:?}", open_block.notes);
    let notes = left_open.notes[0].join("\n");
    assert!(notes.contains("that has not begun") && notes.contains("1 sequences have no EndSequenceCall"), "{notes}");
    assert_eq!(step(&left_open.only(), "a").status, Some(Status::Passed));
    assert!(matches!(rows(&["SequenceCall|a"; 51]).errors[..], [ConvertError::Faults(_)]));
    assert!(rows(&["SequenceCall|a"; 50]).errors.is_empty());
}

#[test]
fn it_is_told_from_other_text() {
    assert!(Wstf.sniff(&crate::convert::Head::new(&data(SAMPLE))) > 90);
    assert_eq!(Wstf.sniff(&crate::convert::Head::new(b"SerialNumber\tA\nPartNumber\tP\n")), 0);
}

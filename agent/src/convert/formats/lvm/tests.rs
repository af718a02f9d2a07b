use serde_json::json;

use super::*;
use crate::convert::testing::{convert, cut_anywhere, data, flip_anywhere, golden};

#[track_caller]
fn sample(name: &str, values: &str) -> Report {
    golden(&Lvm, &format!("lvm/{name}.lvm"), &json!({"no_serial_number": "file name", "values": values})).only()
}

/// Of each curve: its chart's Y unit, its name, how many points it has, and the first and the last of them.
fn curves(report: &Report) -> Vec<(String, String, usize, String, String)> {
    let charts = report.steps().filter_map(|step| step.chart.as_ref());
    let of = |chart: &Chart| {
        let unit = chart.y_unit.clone().unwrap_or_default();
        chart
            .series
            .iter()
            .flatten()
            .map(|series| {
                let (xs, ys) = (series.xdata.as_deref().unwrap(), series.ydata.as_deref().unwrap());
                let points: Vec<_> = xs.split(';').zip(ys.split(';')).map(|(x, y)| format!("{x} {y}")).collect();
                assert_eq!(xs.split(';').count(), ys.split(';').count());
                (unit.clone(), series.name.clone().unwrap(), points.len(), points[0].clone(), points[points.len() - 1].clone())
            })
            .collect::<Vec<_>>()
    };
    charts.flat_map(of).collect()
}

fn curve(unit: &str, name: &str, count: usize, first: &str, last: &str) -> (String, String, usize, String, String) {
    (unit.to_owned(), name.to_owned(), count, first.to_owned(), last.to_owned())
}

#[test]
fn each_channel_with_its_own_x_is_a_curve() {
    let report = sample("multi_time_column", "none");
    let expected = [
        curve("Volts", "Voltage", 3, "0.000000 -0.035229", "3.906250E-5 -0.034191"),
        curve("g", "Acceleration", 3, "0.000000 0.532608", "3.906250E-5 0.467541"),
    ];
    let plain = |text: &str| text.replace("3.906250e-5", "3.906250E-5");
    let found: Vec<_> = curves(&report).into_iter().map(|(a, b, c, d, e)| (a, b, c, plain(&d), plain(&e))).collect();
    assert_eq!(found, expected);
    assert_eq!(report.start.as_deref(), Some("2016-08-23T10:45:47.035255731+02:00"));
    assert_eq!((report.uut.as_ref().unwrap().user.as_deref(), report.result), (Some("Ladisk"), Some(Status::Done)));
    let converted = convert(&Lvm, "x.lvm", &data("lvm/multi_time_column.lvm"), &json!({"no_serial_number": "file name"}));
    assert!(
        converted.notes[0].iter().any(|note| note.contains("51200 samples are announced, and there are 3")),
        "{:?}",
        converted.notes
    );
}

#[test]
fn empty_columns_are_no_curves_and_notes_are_kept() {
    let report = sample("with_empty_fields", "least, greatest and last");
    let names: Vec<_> = curves(&report).into_iter().map(|(_, name, count, ..)| (name, count)).collect();
    assert_eq!(names, [("Dev0/Ai0".to_owned(), 7), ("Dev0/Ai2".to_owned(), 7), ("Dev0/Ai0 1".to_owned(), 7)]);
    let step = &report.root.as_ref().unwrap().steps.as_ref().unwrap()[0];
    assert!(step.report_text.as_deref().unwrap().contains("Notes: X values guaranteed valid only for Dev0/Ai0"));
    let values: Vec<_> = step
        .numeric_meas
        .iter()
        .flatten()
        .map(|one| (one.name.as_deref().unwrap(), one.value.as_ref().unwrap().to_string()))
        .collect();
    assert_eq!(
        values[..3],
        [
            ("Dev0/Ai0 least", "-0.020074".to_owned()),
            ("Dev0/Ai0 greatest", "-0.009206".to_owned()),
            ("Dev0/Ai0 last", "-0.020074".to_owned())
        ]
    );
    assert_eq!((values.len(), step.step_type.as_deref()), (9, Some("WATS_XYGMNLT")));
}

#[test]
fn a_comma_is_read_and_x_is_counted_exactly() {
    let report = sample("short_new_line_end", "last");
    let expected = [
        curve("Newtons", "Excitation (Trigger)", 10, "0 0.914018", "0.0003515625 0.680572"),
        curve("m/s^2", "Response (Trigger)", 10, "0 1.204792", "0.0003515625 1.212775"),
    ];
    assert_eq!(curves(&report), expected);
    let last: Vec<_> =
        report.steps().filter_map(|step| Some(step.numeric_meas.as_ref()?[0].value.as_ref()?.to_string())).collect();
    assert_eq!(last, ["0.680572", "1.212775"]);
}

#[test]
fn two_segments_under_one_header_are_two() {
    let report = sample("long_single_header_multi_ch", "none");
    let found = curves(&report);
    let names: Vec<_> = found.iter().map(|(unit, name, count, ..)| (unit.as_str(), name.as_str(), *count)).collect();
    let one = [("g", "F", 8192), ("m/s^2", "m_1", 8192), ("m/s^2", "m_2", 8192)];
    assert_eq!(names, [one, one].concat());
    assert_eq!((found[0].3.as_str(), found[0].4.as_str()), ("0 0.052530", "8.002607 0.052156"));
    assert_eq!(found[5].4, "8.002607 0.263686");
    let steps: Vec<_> = report.root.as_ref().unwrap().steps.iter().flatten().map(|step| step.name.clone().unwrap()).collect();
    assert_eq!(steps, ["Segment 1: F", "Segment 1: m_1, m_2", "Segment 2: F", "Segment 2: m_1, m_2"]);
    assert_eq!(report.start.as_deref(), Some("2013-08-30T09:18:09.71763+02:00"));
}

#[test]
fn a_cut_or_spoilt_sample_is_never_a_clean_report() {
    for name in ["multi_time_column", "with_empty_fields", "short_new_line_end"] {
        let bytes = data(&format!("lvm/{name}.lvm"));
        cut_anywhere(&Lvm, "x.lvm", &bytes, &json!({"no_serial_number": "generate"}));
        flip_anywhere(&Lvm, "x.lvm", &bytes, &json!({"no_serial_number": "generate"}));
    }
}

#[track_caller]
fn made(separator: &str, header: &str, body: &str) -> crate::convert::testing::Converted {
    let text = format!("LabVIEW Measurement\nWriter_Version\t2\nSeparator\t{separator}\n{header}***End_of_Header***\n\n{body}");
    let text = if separator == "Comma" { text.replace('\t', ",") } else { text };
    convert(&Lvm, "SN9.lvm", text.as_bytes(), &json!({"no_serial_number": "refuse"}))
}

#[test]
fn the_header_names_the_unit_and_comments_are_kept() {
    let report = made(
        "Comma",
        "Serial_Number\tS1\nProject\tX\nDescription\td\n",
        "Channels\t1\nSamples\t2\n***End_of_Header***\nX_Value\tU\tComment\n0.5\t1\thot\n1.5\t2\n",
    )
    .only();
    assert_eq!((report.sn.as_deref(), report.uut.as_ref().unwrap().comment.as_deref()), (Some("S1"), Some("d")));
    let info = report.misc_infos.as_ref().unwrap().iter().find(|info| info.description.as_deref() == Some("Project"));
    assert_eq!(info.unwrap().text.as_deref(), Some("X"));
    assert_eq!(curves(&report), [curve("", "U", 2, "0.5 1", "1.5 2")]);
    assert!(report.root.unwrap().steps.unwrap()[0].report_text.as_deref().unwrap().contains("Comment: hot"));
}

#[test]
fn more_segments_have_headers_of_their_own() {
    let segment = |name: &str, x0: &str| {
        format!(
            "Channels\t1\t\nSamples\t2\t\nX0\t{x0}\t\nDelta_X\t2\t\n***End_of_Header***\t\t\nX_Value\t{name}\tComment\n\t1\n\tNaN\n\n"
        )
    };
    let report = made("Tab", "SN\tS1\n", &(segment("a", "0") + &segment("b", "10"))).only();
    assert_eq!(curves(&report), [curve("", "a", 2, "0 1", "2 NaN"), curve("", "b", 2, "10 1", "12 NaN")]);
}

#[test]
fn many_points_are_thinned_and_many_channels_are_several_charts() {
    let names: Vec<_> = (1..=12).map(|n| format!("c{n}")).collect();
    let row = |n: usize| format!("{n}\t{}\n", [if n == 7777 { "99" } else { "1" }; 12].join("\t"));
    let body =
        format!("***End_of_Header***\nX_Value\t{}\tComment\n{}", names.join("\t"), (0..12_345).map(row).collect::<String>());
    let converted = made("Tab", "SN\tS1\n", &body);
    assert!(converted.notes[0].iter().any(|note| note.contains("\"c1\" has 12345 points")), "{:?}", converted.notes);
    let report = converted.only();
    let charts: Vec<_> = report.steps().filter_map(|step| step.chart.as_ref()?.series.as_ref().map(Vec::len)).collect();
    assert_eq!(charts, [10, 2]);
    let series = report.steps().find_map(|step| step.chart.as_ref()?.series.as_ref()).unwrap();
    assert!(series.iter().all(|one| one.ydata.as_deref().unwrap().split(';').any(|y| y == "99")));
    assert!(series.iter().all(|one| one.ydata.as_deref().unwrap().split(';').count() <= 10_000));
}

#[test]
fn what_is_no_such_file_or_not_whole_is_told() {
    let end = |text: &str| convert(&Lvm, "x.lvm", text.as_bytes(), &json!({})).end;
    assert!(matches!(end("x\n"), Err(ConvertError::Malformed { .. })));
    assert!(matches!(end("LabVIEW Measurement\nSeparator\tTab\n"), Err(ConvertError::Incomplete { .. })));
    let whole = "LabVIEW Measurement\n***End_of_Header***\nX_Value\ta\n1\t2\n";
    assert!(matches!(end(&whole[..whole.len() - 1]), Err(ConvertError::Incomplete { .. })));
    assert!(matches!(end("LabVIEW Measurement\n***End_of_Header***\n1\t2\n"), Err(ConvertError::Malformed { .. })));
    assert_eq!(end(whole), Ok(()));
    assert_eq!((Lvm.sniff(&crate::convert::Head::new(whole.as_bytes())), Lvm.sniff(&crate::convert::Head::new(b"Time;U"))), (95, 0));
}

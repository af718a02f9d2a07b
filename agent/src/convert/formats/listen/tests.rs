use serde_json::json;
use waybill_shared::report::Num;

use super::*;
use crate::convert::testing::{Converted, convert, data, flip_anywhere, golden};

const SAMPLE: &str = "listen/Complete test 7-22-2020 (002).txt";

fn num(text: &str) -> Option<Num> {
    Num::parse(text)
}

#[test]
fn the_sample_arrives_as_it_is() {
    let reports = golden(&Listen, SAMPLE, &json!({})).all();
    let serials: Vec<_> = reports.iter().map(|report| report.sn.clone().unwrap()).collect();
    assert_eq!(serials, (13..=20).map(|number| format!("S/N {number}")).collect::<Vec<_>>());
    for report in &reports {
        let steps = report.root.as_ref().unwrap().steps.as_ref().unwrap();
        assert_eq!((steps.len(), report.result), (5, Some(Status::Passed)));
        assert!(steps.iter().all(|step| step.status == Some(Status::Passed)));
    }
    let first = &reports[0];
    let uut = first.uut.as_ref().unwrap();
    assert_eq!((uut.user.as_deref(), uut.batch_sn.as_deref()), (Some("Rick"), Some("P/N #12345")));
    assert_eq!(first.start.as_deref(), Some("2020-07-22T10:22:14+02:00"));
    let steps = first.root.as_ref().unwrap().steps.as_ref().unwrap();
    let sensitivity = &steps[0].numeric_meas.as_ref().unwrap()[0];
    assert_eq!(
        (&sensitivity.value, &sensitivity.low_limit, &sensitivity.high_limit),
        (&num("95.50"), &num("90.0"), &num("100.0"))
    );
    assert_eq!((sensitivity.comp_op.as_deref(), sensitivity.unit.as_deref()), (Some("GELE"), Some("dB")));
    let polarity = &steps[1].numeric_meas.as_ref().unwrap()[0];
    assert_eq!((polarity.comp_op.as_deref(), polarity.unit.as_deref()), (Some("LOG"), Some("deg.")));
    assert_eq!(steps[1].report_text.as_deref(), Some("Tolerance: Tolerance curves\nLimits: Individual Pts."));
}

#[test]
fn a_cut_file_gives_the_units_that_are_whole_and_waits_for_the_rest() {
    // Its header row and three units.
    let bytes = data(SAMPLE).split_inclusive(|&byte| byte == b'\n').take(16).collect::<Vec<_>>().concat();
    let whole = convert(&Listen, "x.txt", &bytes, &json!({})).all();
    for cut in 0..bytes.len() {
        let part = convert(&Listen, "x.txt", &bytes[..cut], &json!({}));
        let ends_a_line = cut > 0 && bytes[cut - 1] == b'\n';
        assert!(ends_a_line || matches!(part.end, Err(ConvertError::Incomplete { .. })), "{cut}: {:?}", part.end);
        for (index, report) in part.reports.iter().enumerate() {
            let steps = |report: &Report| report.root.clone().unwrap().steps.unwrap();
            // Of the very first unit nobody knows how many rows it will have.
            let begins = index == 0 && part.reports.len() == 1 && steps(&whole[0]).starts_with(&steps(report));
            assert!(whole.contains(report) || begins, "cut at {cut}");
        }
    }
    flip_anywhere(&Listen, "x.txt", &bytes, &json!({}));
}

fn read(text: &str, arguments: &serde_json::Value) -> Converted {
    convert(&Listen, "x.txt", text.as_bytes(), arguments)
}

const EU: &str = "Serial #:\tOperator:\tTime:\tLot #:\tName\tMargin\tUnit\tResult\tTolerance\tLimits\r\n";

#[test]
fn european_files_have_commas_and_days_first_unless_it_is_said_otherwise() {
    let text = format!("{EU}7\tAnna\t03-04-2021 14:05:06\tL1\tLevel\t95,50\tdB\tPASS\tMax/Min\t100,0/90,0\r\n");
    let report = read(&text, &json!({})).only();
    assert_eq!(report.start.as_deref(), Some("2021-04-03T14:05:06+02:00"));
    let level = &report.root.as_ref().unwrap().steps.as_ref().unwrap()[0].numeric_meas.as_ref().unwrap()[0];
    assert_eq!((&level.value, &level.low_limit, &level.high_limit), (&num("95.50"), &num("90.0"), &num("100.0")));
    let month = read(&text, &json!({"date_order": "month first"})).only();
    assert_eq!(month.start.as_deref(), Some("2021-03-04T14:05:06+01:00"));
    let slash = text.replace("03-04-2021", "03/04/2021");
    assert_eq!(read(&slash, &json!({})).only().start.as_deref(), Some("2021-04-03T14:05:06+02:00"), "by its commas");
    let points = slash.replace(',', ".");
    assert_eq!(read(&points, &json!({})).only().start.as_deref(), Some("2021-03-04T14:05:06+01:00"), "by its slashes");
    let wrong = read(&text.replace("03-04", "03-14"), &json!({}));
    assert!(wrong.notes[0].iter().any(|note| note.contains("date_order")), "{:?}", wrong.notes);
}

#[test]
fn columns_are_found_by_their_names_and_unknown_ones_are_kept() {
    let text = "SN\tName\tValue\tLimits\tTolerance\tComment\tResult\n\
                1\ta\t5\t4\tMax\tloud\t\n\
                1\tb\t5\t4\tMin\t\t\n\
                1\tc\tquiet\t\t\t\tFAIL\n\
                1\td\t\t\t\t\tPASS\textra\n\
                1\te\t5\t90/100\t\t\tPASS\n\
                1\tf\t5\t100/-\t\t\tPASS\n";
    let converted = read(text, &json!({}));
    let report = &converted.reports[0];
    let steps = report.root.as_ref().unwrap().steps.as_ref().unwrap();
    let numeric = |index: usize| steps[index].numeric_meas.as_ref().map(|all| all[0].clone()).unwrap();
    let comparators: Vec<_> = [0, 1, 4, 5].map(|index| numeric(index).comp_op.unwrap()).into_iter().collect();
    assert_eq!(comparators, ["LE", "GE", "LOG", "LE"]);
    assert_eq!((steps[0].status, steps[1].status), (Some(Status::Failed), Some(Status::Passed)), "where the file has no verdict");
    assert_eq!(steps[0].report_text.as_deref(), Some("Tolerance: Max\nComment: loud"));
    assert_eq!(steps[2].string_meas.as_ref().unwrap()[0].value.as_deref(), Some("quiet"));
    assert_eq!(steps[3].report_text.as_deref(), Some("column 8: extra"));
    assert_eq!(steps[4].report_text.as_deref(), Some("Limits: 90/100"), "limits that are the wrong way round are not guessed");
    assert_eq!(report.result, Some(Status::Failed));
    let odd = read("SN\tName\tMargin\tLimits\tResult\n1\ta\t5\t\tMAYBE\n2\ta\t5\t\tPASS\n", &json!({}));
    assert_eq!((odd.errors.len(), odd.reports.len()), (1, 1), "{:?}", odd.errors);
}

#[test]
fn rows_of_one_serial_number_and_time_are_one_unit_wherever_they_stand() {
    let row = |sn: &str, time: &str, name: &str| format!("{sn}\tA\t{time}\tL\t{name}\t1\tdB\tPASS\t\t\n");
    let (t1, t2) = ("7/22/2020 1:00:00 AM", "7/22/2020 1:00:00 PM");
    let text = [EU, &row("A", t1, "x"), &row("B", t1, "x"), &row("A", t2, "x"), &row("A", t1, "y"), &row("B", t1, "y")].concat();
    let reports = read(&text, &json!({})).all();
    let shown: Vec<_> =
        reports.iter().map(|r| (r.sn.clone().unwrap(), r.steps().count() - 1, r.start.clone().unwrap())).collect();
    assert_eq!(shown.iter().map(|(sn, count, _)| (sn.as_str(), *count)).collect::<Vec<_>>(), [("A", 2), ("B", 2), ("A", 1)]);
    assert!(shown[0].2.contains("T01:00:00") && shown[2].2.contains("T13:00:00"), "{shown:?}");
}

#[test]
fn curves_are_charts_of_the_unit_that_their_columns_name_or_of_the_one_before() {
    let text = format!(
        "{EU}A\tO\t22-07-2020 10:00:00\tL\tLevel\t1,5\tdB\tPASS\t\t\n\
         Serial #:\tOperator:\tTime:\tLot #:\tName\tUnit\n\
         A\tO\t22-07-2020 10:00:00\tL\tFundamental\tHz\t100\t200,5\t300\n\
         A\tO\t22-07-2020 10:00:00\tL\tFundamental\tdB\t80,1\t81,2\t82\n\
         \n\
         Impedance\n\
         Hz\t100\t200\n\
         Ohm\t8,1\t8,20\n"
    );
    let report = read(&text, &json!({})).only();
    let charts: Vec<_> = report.steps().filter_map(|step| Some((step.name.clone()?, step.chart.clone()?))).collect();
    assert_eq!(charts.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["Fundamental", "Impedance"]);
    for ((_, chart), (x_unit, y_unit, x, y)) in
        charts.iter().zip([("Hz", "dB", "100;200.5;300", "80.1;81.2;82"), ("Hz", "Ohm", "100;200", "8.1;8.20")])
    {
        let series = &chart.series.as_ref().unwrap()[0];
        assert_eq!((chart.x_unit.as_deref(), chart.y_unit.as_deref()), (Some(x_unit), Some(y_unit)));
        assert_eq!((series.xdata.as_deref(), series.ydata.as_deref()), (Some(x), Some(y)));
    }
    let uneven = read(&text.replace("\t8,1\t8,20", "\t8,1\t8,20\t9"), &json!({}));
    assert!(uneven.reports.is_empty() && uneven.errors[0].to_string().contains("line 9"), "{:?}", uneven.errors);
}

#[test]
fn what_has_no_result_is_refused_and_other_tables_are_not_its_own() {
    assert!(read("a\tb\n1\t2\n", &json!({})).end.is_err() || !read("a\tb\n1\t2\n", &json!({})).errors.is_empty());
    assert!(read(EU, &json!({})).end.is_err());
    for (head, sure) in [(EU, true), ("Name\tResult\n", false), ("Serial #:\tName\n", false), ("", false)] {
        assert_eq!(Listen.sniff(&crate::convert::Head::new(head.as_bytes())) >= 40, sure, "{head}");
    }
}

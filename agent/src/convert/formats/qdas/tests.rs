use serde_json::json;
use waybill_shared::report::{NumericMeas, Report, Status, Step};

use super::*;
use crate::convert::testing::{Converted, convert, cut_anywhere, data, flip_anywhere, golden};

const SAMPLE: &str = "qdas/basicDfq_threeParts_differentNumberOfCharacteristics.dfq";

#[track_caller]
fn made(text: &str) -> Converted {
    convert(&Qdas, "x.dfq", text.as_bytes(), &json!({"no_serial_number": "generate", "part_number": ""}))
}

fn steps(report: &Report) -> &[Step] {
    report.root.as_ref().unwrap().steps.as_deref().unwrap()
}

fn shown(step: &Step) -> String {
    let NumericMeas { comp_op, value, low_limit, high_limit, unit, status, .. } = &step.numeric_meas.as_ref().unwrap()[0];
    let text = |number: &Option<waybill_shared::report::Num>| number.as_ref().map_or("-".to_owned(), ToString::to_string);
    let (name, comp_op) = (step.name.as_deref().unwrap(), comp_op.as_deref().unwrap());
    format!(
        "{name} {} {comp_op} {} {} {} {}",
        text(value),
        text(low_limit),
        text(high_limit),
        unit.as_deref().unwrap_or("-"),
        status.unwrap()
    )
}

#[test]
fn the_sample_has_twelve_pieces_of_three_parts_and_26_values() {
    let reports = golden(&Qdas, SAMPLE, &json!({"no_serial_number": "generate", "part_number": ""})).all();
    let of = |part: &str| reports.iter().filter(|report| report.pn.as_deref() == Some(part)).collect::<Vec<_>>();
    let (first, second, third) = (of("<part_number_1>"), of("<part_number_2>"), of("<part_number_3>"));
    assert_eq!((first.len(), second.len(), third.len(), reports.len()), (8, 1, 3, 12));
    assert_eq!(reports.iter().map(Report::measurement_count).sum::<usize>(), 26);
    assert_eq!((steps(first[0]).len(), steps(second[0]).len(), steps(third[2]).len()), (1, 3, 5));
    assert_eq!(shown(&steps(third[2])[4]), "<characteristic_code_5> 7.8 GELE 5.0 10.0 - Passed");
    assert_eq!(third[2].start.as_deref(), Some("2013-01-03T15:18:31+01:00"));
    assert_eq!(steps(third[2])[4].report_text.as_deref(), Some("K2101: 7.5\nK0004: 03.01.2013/15:18:31"));
    let results: Vec<_> = first.iter().map(|report| report.result.unwrap()).collect();
    assert_eq!(
        results.iter().filter(|&&result| result == Status::Failed).count(),
        3,
        "2.1, 2.2 and 2.3 are above 2.0: {results:?}"
    );
    assert_eq!(shown(&steps(first[4])[0]), "<characteristic_code_1> 2.0 GELE 1.0 2.0 - Passed");
    let info = &first[0].misc_infos.as_ref().unwrap()[0];
    assert_eq!((info.description.as_deref(), info.text.as_deref()), (Some("K1002 part description"), Some("<part_title_1>")));
}

#[test]
fn a_cut_or_spoilt_sample_is_never_a_clean_report() {
    // Without its number, which stands behind it, a piece is whole for all that can be known: such a one is refused.
    for (bytes, policy) in [(data(SAMPLE), "generate"), (compact().into_bytes(), "refuse")] {
        cut_anywhere(&Qdas, "x.dfq", &bytes, &json!({"no_serial_number": policy}));
        flip_anywhere(&Qdas, "x.dfq", &bytes, &json!({"no_serial_number": policy}));
    }
}

const HEADER: &str = "K0100 2\r\nK1001/1 PN7\r\nK1004/1 C\r\nK1053/1 4711\r\nK1222/1 Jane\r\nK2001/1 10\r\nK2002/1 Bore\r\nK2101/1 5\r\nK2110/1 4.9\r\nK2111/1 5.10\r\nK2142/1 mm\r\nK2001/2 20\r\nK2002/2 Ra\r\nK2111/2 0.8\r\n";

/// Each piece a line, its number in a line of its own.
fn compact() -> String {
    let line = |bore: &str, time: &str, ra: &str| {
        format!("{bore}\u{14}0\u{14}{time}\u{14}\u{14}#B1#\u{14}3\u{14}Tom\u{f}{ra}\u{14}0\u{14}{time}\r\n")
    };
    format!(
        "{HEADER}{}K0014/1 S1\r\n{}K0014/1 S2\r\n",
        line("5.00", "01.02.2024/10:00:00", "0.80"),
        line("5.2", "1.2.24/10:00:05", "0.4")
    )
}

#[test]
fn a_line_of_values_is_a_piece() {
    let reports = made(&compact()).all();
    let [first, second] = &reports[..] else { panic!("{}", reports.len()) };
    assert_eq!((first.sn.as_deref(), second.sn.as_deref()), (Some("S1"), Some("S2")));
    assert_eq!((first.pn.as_deref(), first.rev.as_deref()), (Some("PN7"), Some("C")));
    let uut = first.uut.as_ref().unwrap();
    assert_eq!((uut.batch_sn.as_deref(), uut.user.as_deref()), (Some("B1"), Some("Tom")));
    assert_eq!(first.start.as_deref(), Some("2024-02-01T10:00:00+01:00"));
    assert_eq!(second.start.as_deref(), Some("2024-02-01T10:00:05+01:00"));
    let found: Vec<_> = reports.iter().flat_map(steps).map(shown).collect();
    assert_eq!(
        found,
        [
            "Bore 5.00 GELE 4.9 5.10 mm Passed",
            "Ra 0.80 LE 0.8 - - Passed",
            "Bore 5.2 GELE 4.9 5.10 mm Failed",
            "Ra 0.4 LE 0.8 - - Passed"
        ]
    );
    assert_eq!((first.result, second.result), (Some(Status::Passed), Some(Status::Failed)));
    let text = steps(first)[0].report_text.as_deref().unwrap();
    assert!(text.contains("K2001: 10") && text.contains("K0007: 3"), "{text}");
}

#[test]
fn values_one_a_line_are_of_the_piece_with_their_number_and_time_or_of_the_nth() {
    let values = |lines: &str| {
        let reports = made(&format!("{HEADER}{lines}")).all();
        let one = |report: &Report| {
            (
                report.sn.clone().filter(|sn| !sn.starts_with("NOSN")),
                steps(report).iter().map(shown).collect::<Vec<_>>().len(),
                report.result.unwrap(),
            )
        };
        reports.iter().map(one).collect::<Vec<_>>()
    };
    // By characteristic, without time and number.
    assert_eq!(
        values("K0001/1 5\nK0001/1 5.1\nK0001/2 0.1\nK0001/2 0.9\n"),
        [(None, 2, Status::Passed), (None, 2, Status::Failed)]
    );
    // By number.
    let by_number = "K0001/1 5\nK0014/1 A\nK0001/2 0.1\nK0014/2 A\nK0001/1 5\nK0014/1 B\nK0001/2 0.1\nK0014/2 B\n";
    assert_eq!(values(by_number), [(Some("A".to_owned()), 2, Status::Passed), (Some("B".to_owned()), 2, Status::Passed)]);
    // Index 0 is of all.
    let of_all = "K0001/1 5\nK0001/2 0.1\nK0014/0 A\nK0001/1 5\nK0001/2 0.1\nK0014/0 B\n";
    assert_eq!(values(of_all), [(Some("A".to_owned()), 2, Status::Passed), (Some("B".to_owned()), 2, Status::Passed)]);
    // What one lacks is no other's, and a piece that lacks a value has not passed.
    assert_eq!(
        values("K0001/1 5\nK0014/1 A\nK0001/2 0.1\nK0014/2 B\n"),
        [(Some("A".to_owned()), 1, Status::Done), (Some("B".to_owned()), 1, Status::Done)]
    );
    // Deleted values do not count.
    assert_eq!(values("K0001/1 9\nK0002/1 255\nK0001/2 0.1\n"), [(None, 2, Status::Passed)]);
}

#[test]
fn wrong_indexes_are_noted_and_not_guessed() {
    let twice = made(
        "K0100 2\nK1001/1 P\nK2002/1 a\nK2110/1 1\nK2111/1 2\nK2002/2 b\nK2110/1 3\nK2111/1 4\nK0001/1 1.5\nK0001/2 3.5\nK0001/3 7\n",
    );
    let notes = &twice.notes[0];
    assert!(notes.iter().any(|note| note.contains("K2110/1 stands twice, as \"1\" and as \"3\"")), "{notes:?}");
    assert!(notes.iter().any(|note| note.contains("characteristic 3 has a value and was never introduced")), "{notes:?}");
}

#[test]
fn wrong_indexes_lose_no_value() {
    let text = "K0100 2\nK1001/1 P\nK2002/1 a\nK2110/1 1\nK2111/1 2\nK2002/2 b\nK2110/1 3\nK2111/1 4\nK0001/1 1.5\nK0001/2 3.5\nK0001/3 7\n";
    let reports = made(text).all();
    let found: Vec<_> = reports.iter().flat_map(steps).map(shown).collect();
    assert_eq!(found, ["a 1.5 GELE 1 2 - Passed", "b 3.5 LOG - - - Done", "3 7 LOG - - - Done"]);
}

#[test]
fn a_comma_and_texts_are_what_they_are() {
    let text = "K1001/1 P\nK2002/1 a\nK2110/1 1,0\nK0001/1 1,50\nK0001/1 i.O.\n";
    let reports = made(text).all();
    assert_eq!(shown(&steps(&reports[0])[0]), "a 1.50 GE 1.0 - - Passed");
    let step = &steps(&reports[1])[0];
    assert_eq!((step.string_meas.as_ref().unwrap()[0].value.as_deref(), reports[1].result), (Some("i.O."), Some(Status::Done)));
}

#[test]
fn what_is_not_whole_is_told_and_halves_are_refused() {
    for (name, reason) in [("a.DFD", "one half"), ("a.dfx", "one half"), ("a.dfq", "no value")] {
        let end = convert(&Qdas, name, HEADER.as_bytes(), &json!({})).end;
        assert!(matches!(&end, Err(ConvertError::Malformed { reason: found, .. }) if found.contains(reason)), "{end:?}");
    }
    assert!(matches!(made("1.5\n").end, Err(ConvertError::Malformed { .. })));
    let cut = |text: &str| {
        let converted = made(&format!("{HEADER}{text}"));
        assert!(matches!(converted.end, Err(ConvertError::Incomplete { .. })), "{text:?}: {:?}", converted.end);
        converted.reports.len()
    };
    assert_eq!(cut("K0001/1 5\nK0001/2 0.1\nK0001/1 5\nK0001/2 0.1"), 1);
    assert_eq!(cut("K0001/1 5\nK0001/2 0.1\nK2110/2 0.0"), 0, "limits are missing");
    let fewer = made("K0100 2\nK1001/1 P\nK2002/1 a\nK0001/1 5\n");
    assert!(
        matches!(fewer.end, Err(ConvertError::Incomplete { ref reason, .. }) if reason.contains("K0100"))
            && fewer.reports.is_empty()
    );
    assert_eq!((Qdas.sniff(&crate::convert::Head::new(HEADER.as_bytes())), Qdas.sniff(&crate::convert::Head::new(b"Key;Value")), Qdas.sniff(&crate::convert::Head::new(b"K0001/1 5\n"))), (92, 0, 0));
}

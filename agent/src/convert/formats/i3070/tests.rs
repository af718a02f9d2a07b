use serde_json::json;
use waybill_shared::report::{NumericMeas, Report, Status, Step};

use super::*;
use crate::convert::testing::{Converted, convert, cut_anywhere, data, flip_anywhere, golden};

const SAMPLE: &str = "2-210805125029095MCALLEN241";

fn blocks(report: &Report) -> &[Step] {
    report.root.as_ref().unwrap().steps.as_deref().unwrap()
}

#[track_caller]
fn block<'a>(report: &'a Report, name: &str) -> &'a Step {
    blocks(report).iter().find(|step| step.name.as_deref() == Some(name)).unwrap()
}

/// Name, value, comparator, low, high, unit, status.
fn told(measurement: &NumericMeas) -> String {
    let number = |number: &Option<waybill_shared::report::Num>| number.as_ref().map_or("-".to_owned(), ToString::to_string);
    format!(
        "{} {} {} {} {} {} {}",
        measurement.name.as_deref().unwrap_or("-"),
        number(&measurement.value),
        measurement.comp_op.as_deref().unwrap(),
        number(&measurement.low_limit),
        number(&measurement.high_limit),
        measurement.unit.as_deref().unwrap_or("-"),
        measurement.status.unwrap().letter()
    )
}

fn numbers(step: &Step) -> Vec<String> {
    step.numeric_meas.iter().flatten().map(told).collect()
}

fn text(step: &Step) -> &str {
    step.report_text.as_deref().unwrap_or_default()
}

fn info<'a>(report: &'a Report, name: &str) -> Option<&'a str> {
    let found = report.misc_infos.iter().flatten().find(|info| info.description.as_deref() == Some(name));
    found.and_then(|info| info.text.as_deref())
}

fn read(log: &str) -> Converted {
    convert(&I3070, "x.log", log.as_bytes(), &json!({}))
}

/// One board with these records, and what comes of it.
#[track_caller]
fn board(records: &str) -> Report {
    read(&format!("{{@BATCH|T|A\n{{@BTEST|S1|00|210805125041|57\n{records}\n}}}}\n")).only()
}

#[test]
fn a_board_that_passed_with_a_failed_block_stays_passed() {
    let converted = golden(&I3070, &format!("i3070/{SAMPLE}"), &json!({}));
    let notes = converted.notes[0].join("\n");
    let report = converted.only();
    assert_eq!((report.sn.as_deref(), report.result), (Some("38258378-007-12151210"), Some(Status::Passed)));
    assert_eq!((report.pn.as_deref(), report.rev.as_deref()), (Some("22-N382"), Some("7")));
    assert_eq!(report.start.as_deref(), Some("2021-08-05T12:50:41+02:00"));
    assert_eq!(report.machine_name.as_deref(), Some("095MCALLEN24"));
    let uut = report.uut.as_ref().unwrap();
    assert_eq!((uut.exec_time.as_ref().unwrap().to_string().as_str(), uut.test_socket_index), ("57", Some(2)));
    assert_eq!((uut.fixture_id.as_deref(), uut.batch_sn.as_deref()), (Some("1237"), Some("210805124637")));
    assert_eq!((info(&report, "Panel id"), info(&report, "Process step")), (Some("Z6HO010ZF"), Some("btest")));
    let call = report.root.as_ref().unwrap().seq_call.as_ref().unwrap();
    assert_eq!((call.name.as_deref(), call.version.as_deref()), (Some("NEXTEER"), Some("RevA")));
    // The README's 27 blocks have 49 measurements; the test of the pins comes on top.
    assert_eq!((blocks(&report).len(), report.measurement_count()), (27 + 1, 49 + 1));
    let limited = report.steps().flat_map(|step| step.numeric_meas.iter().flatten()).filter(|one| one.low_limit.is_some());
    assert_eq!(limited.count(), 23);
    let failed: Vec<_> = blocks(&report).iter().filter(|step| step.status == Some(Status::Failed)).collect();
    assert_eq!(failed.len(), 1);
    assert_eq!(failed[0].name.as_deref(), Some("c1591"));
    assert_eq!(
        numbers(failed[0]),
        ["1 5.942115e-06 GELE 3.816400e-06 5.875000e-06 F F", "2 5.868444e-06 GELE 3.816400e-06 5.875000e-06 F P"]
    );
    assert_eq!(numbers(block(&report, "l260%jump5-6")).len(), 1);
    assert!(notes.contains("passed although 1 of its blocks") && notes.contains("l260%jump5-6: the file says Passed"), "{notes}");
}

#[test]
fn a_log_without_limits_arrives_whole() {
    let report = golden(&I3070, "i3070/sample_ict_log", &json!({})).only();
    assert_eq!((report.sn.as_deref(), report.pn.as_deref()), (Some("default_SN1"), Some("fancy_product")));
    assert_eq!((report.rev.as_deref(), report.start.as_deref()), (Some("02"), Some("2024-01-03T15:47:11+01:00")));
    let numeric: Vec<_> = report.steps().flat_map(|step| step.numeric_meas.iter().flatten()).collect();
    assert_eq!(numeric.len(), 257);
    assert!(
        numeric.iter().all(|one| one.comp_op.as_deref() == Some("LOG") && one.low_limit.is_none() && one.high_limit.is_none())
    );
    // 237 blocks and the test for shorts.
    assert_eq!(blocks(&report).len(), 238);
    assert!(text(block(&report, "shorts")).contains("shorts 000, opens 000, phantoms 000"));
    let by_unit = |unit: &str| numeric.iter().filter(|one| one.unit.as_deref() == Some(unit)).count();
    assert_eq!([by_unit("Ohm"), by_unit("F"), by_unit("V")], [78 + 71, 26, 36 + 25 + 21]);
}

#[test]
fn a_cut_or_spoilt_log_is_never_a_clean_report() {
    let long = data("i3070/sample_ict_log");
    // Its beginning is enough: all of it takes long to be read thousands of times.
    let end = long.windows(3).enumerate().filter(|(_, window)| window == b"\n}\n").nth(12).unwrap().0 + 3;
    for log in [data(&format!("i3070/{SAMPLE}")), [&long[..end], b"}}"].concat()] {
        assert_eq!(convert(&I3070, "x", &log, &json!({})).only().result, Some(Status::Passed));
        cut_anywhere(&I3070, "x", &log, &json!({}));
        flip_anywhere(&I3070, "x", &log, &json!({}));
    }
}

#[test]
fn wherever_the_log_of_one_board_is_cut_it_is_incomplete_and_says_no_number_that_it_has_not() {
    let bytes = data(&format!("i3070/{SAMPLE}"));
    let whole = convert(&I3070, "x", &bytes, &json!({})).only();
    let known: Vec<_> = whole.steps().flat_map(|step| step.numeric_meas.iter().flatten()).map(|one| one.value.clone()).collect();
    for cut in 1..bytes.len() {
        let part = convert(&I3070, "x", &bytes[..cut], &json!({}));
        assert!(matches!(part.end, Err(ConvertError::Incomplete { .. })), "{cut}: {:?}", part.end);
        for report in part.reports {
            assert_eq!(report.sn, whole.sn, "{cut}");
            for step in report.steps().skip(1) {
                assert!(whole.steps().any(|known| known.name == step.name), "{cut}: {step:?}");
                assert!(step.numeric_meas.iter().flatten().all(|one| known.contains(&one.value)), "{cut}: {step:?}");
            }
        }
    }
}

#[test]
fn each_status_of_a_board_is_what_the_table_says() {
    for (code, status, words) in [
        ("00", Status::Passed, None),
        ("0", Status::Passed, None),
        ("01", Status::Failed, Some("failed")),
        ("02", Status::Failed, Some("failed in the test of the pins")),
        ("06", Status::Failed, Some("failed in the analog test")),
        ("12", Status::Failed, Some("failed at its barcode")),
        ("33", Status::Failed, Some("failed")),
        ("80", Status::Error, Some("runtime error")),
        ("81", Status::Terminated, Some("aborted")),
        ("82", Status::Terminated, Some("aborted")),
        ("95", Status::Failed, Some("failed by a status of the user")),
        ("PASS", Status::Error, Some("the status of the board is not known")),
    ] {
        let report = read(&format!("{{@BATCH|T|A\n{{@BTEST|S1|{code}|210805125041|57\n{{@BLOCK|b|00}}}}}}")).only();
        let uut = report.uut.as_ref().unwrap();
        assert_eq!((report.result, uut.error_message.as_deref()), (Some(status), words), "{code}");
        assert_eq!(uut.error_code, code.parse().ok().filter(|code| *code != 0), "{code}");
    }
    let none = read("{@BATCH|T|A\n{@BTEST|S1||210805125041|57\n{@BLOCK|b|00}{@BLOCK|c|06}}}");
    assert!(none.notes[0].iter().any(|note| note.contains("no status of its own")));
    assert_eq!(none.only().result, Some(Status::Failed), "computed, as none is given");
}

#[test]
fn each_status_of_a_test_is_what_the_table_says() {
    for (code, status, words) in [
        ("0", Status::Passed, "passed"),
        ("1", Status::Failed, "failed"),
        ("2", Status::Failed, "compliance limit"),
        ("3", Status::Error, "detector timeout"),
        ("11", Status::Terminated, "aborted by the operator"),
        ("7", Status::Failed, "failed (status 7)"),
        ("x", Status::Error, "the status x is not known"),
    ] {
        let report = board(&format!("{{@BLOCK|r1|06\n{{@A-RES|{code}|+1.0E+01}}}}"));
        let step = block(&report, "r1");
        assert_eq!(step.numeric_meas.as_ref().unwrap()[0].status, Some(status), "{code}");
        assert!(text(step).contains(words), "{code}: {}", text(step));
        assert_eq!((step.status, step.error_code), (Some(Status::Failed), Some(6)));
    }
}

#[test]
fn limits_and_units_are_those_of_their_records() {
    let none = "+9.999999E+99";
    for (record, expected) in [
        ("{@A-RES|0|+1.5|x{@LIM2|+2.0|+1.0}}".to_owned(), "x 1.5 GELE 1.0 2.0 Ohm P"),
        ("{@A-CAP|0|+1.5{@LIM3|+1.4|+2.0|+1.0}}".to_owned(), "- 1.5 GELE 1.0 2.0 F P"),
        (format!("{{@A-JUM|0|+1.5{{@LIM2|{none}|+1.0}}}}"), "- 1.5 GE 1.0 - Ohm P"),
        ("{@A-FUS|0|+1.5{@LIM2|+2.0|-9.999999E+99}}".to_owned(), "- 1.5 LE 2.0 - Ohm P"),
        (format!("{{@A-POT|0|+1.5{{@LIM2|{none}|{none}}}}}"), "- 1.5 LOG - - Ohm P"),
        ("{@A-SWI|0|+1.5}".to_owned(), "- 1.5 LOG - - Ohm P"),
        ("{@A-IND|0|+1.5}".to_owned(), "- 1.5 LOG - - H P"),
        ("{@A-ZEN|0|+1.5}".to_owned(), "- 1.5 LOG - - V P"),
        ("{@A-NPN|0|+1.5}".to_owned(), "- 1.5 LOG - - V P"),
        ("{@A-NEW|0|+1.5}".to_owned(), "- 1.5 LOG - - - P"),
        ("{@a-dio|0|+1.5{@lim2|+2.0|+1.0}}".to_owned(), "- 1.5 GELE 1.0 2.0 V P"),
        ("{ @A-DIO|0|+1.5{ @LIM2|+2.0|+1.0}}".to_owned(), "- 1.5 GELE 1.0 2.0 V P"),
    ] {
        let report = board(&format!("{{@BLOCK|b|00\n{record}\n}}"));
        assert_eq!(numbers(block(&report, "b")), [expected], "{record}");
    }
    let nominal = board("{@BLOCK|b|00\n{@A-CAP|0|+1.5{@LIM3|+1.4|+2.0|+1.0}}}");
    assert!(text(block(&nominal, "b")).contains("nominal +1.4"));
    let odd = board("{@BLOCK|b|00\n{@A-CAP|0|+1.5{@LIM2|two|+1.0}}}");
    assert_eq!(numbers(block(&odd, "b")), ["- 1.5 LOG - - F P"]);
    assert!(text(block(&odd, "b")).contains("@LIM2|two|+1.0"));
}

#[test]
fn a_value_that_is_none_leaves_its_verdict_and_its_text() {
    let report =
        board("{@BLOCK|b|06\n{@A-RES|1|+9.999999E+99{@LIM2|+2.0|+1.0}}}{@BLOCK|c|00\n{@A-RES|0|open}}{@BLOCK|d|00\n{@A-RES|0|}}");
    let step = block(&report, "b");
    assert_eq!((step.step_type.as_deref(), step.status), (Some("ET_PFT"), Some(Status::Failed)));
    assert!(text(step).contains("value +9.999999E+99") && text(step).contains("@LIM2|+2.0|+1.0"), "{}", text(step));
    let word = block(&report, "c").string_meas.as_ref().unwrap();
    assert_eq!(word[0].value.as_deref(), Some("open"));
    assert_eq!(block(&report, "d").step_type.as_deref(), Some("ET_PFT"));
}

#[test]
fn records_that_give_a_verdict_alone_are_steps_of_pass_or_fail() {
    let report = board(concat!(
        "{@PF|1%pins|1|2\n{@PIN|\\2|A1|A2}\n}\n",
        "{@TS|1|001|000|002|1%shorts\n{@TS-S|1|0|12104\n{@TS-D|\\1|12105|3}}}\n",
        "{@BLOCK|1%u1|08\n{@D-T|1|4|123|1|1%u1\n{@DPIN|u1|\\1|7}}\n}\n",
        "{@TJET|0|16|1%u2}\n{@BS-CON|1%chain|0|0|1}\n{@BS-CON|1|chain2|0|1}\n",
        "{@BLOCK|m|00\n{@A-RES|0|+1.0}\n{@TJET|1|3|u3}}"
    ));
    let told: Vec<_> = blocks(&report)
        .iter()
        .map(|step| format!("{} {} {}", step.name.as_deref().unwrap(), step.step_type.as_deref().unwrap(), step.status.unwrap()))
        .collect();
    assert_eq!(
        told,
        [
            "pins ET_PFT Failed",
            "shorts ET_PFT Failed",
            "u1 ET_PFT Failed",
            "u2 ET_PFT Passed",
            "chain ET_PFT Passed",
            "chain2 ET_PFT Failed",
            "m SequenceCall Passed"
        ]
    );
    for (name, parts) in [
        ("pins", &["pins 2", "@PIN|A1, A2", "board number: 1"][..]),
        ("shorts", &["shorts 001, opens 000, phantoms 002", "@TS-S|1|0|12104{@TS-D|12105|3}"]),
        ("u1", &["substatus 4, failing vector 123, pins 1", "@DPIN|u1|7"]),
        ("u2", &["pins 16"]),
    ] {
        parts
            .iter()
            .for_each(|part| assert!(text(block(&report, name)).contains(part), "{part}: {}", text(block(&report, name))));
    }
    assert_eq!(block(&report, "u1").error_message.as_deref(), Some("failed in the digital or boundary-scan test"));
}

#[test]
fn texts_lists_and_literals_lose_nothing() {
    let report = board(concat!(
        "{@RPT|the fixture is dirty}\n{@BLOCK|b|00\n{@RPT|~14|a|b {c} d\r\ne f}\n{@A-RES|0|+1.0|~3|p|q}\nloose words\n}\n",
        "{@MySW_Version:Fail!||x|}\n{@RPT|cut here\u{4}}\nmore words\n{NoAt|1}"
    ));
    let step = block(&report, "b");
    assert!(text(step).contains("a|b {c} d\r\ne f") && text(step).contains("loose words"), "{}", text(step));
    assert_eq!(numbers(step), ["p|q 1.0 LOG - - Ohm P"]);
    let root = text(report.root.as_ref().unwrap());
    for part in ["the fixture is dirty", "@MySW_Version:Fail!||x|", "cut here [truncated by the tester]", "more words", "NoAt|1"]
    {
        assert!(root.contains(part), "{part}: {root}");
    }
}

#[test]
fn each_board_of_a_panel_is_a_unit_and_a_bad_one_does_not_lose_the_others() {
    let log = concat!(
        "{@BATCH|T|A|F1|1||30|B7|op|ST9|plan|r1|PAN|PR|v1\n{@BTEST|S1|00|210805125041|57|0|||||||1|P1\n{@BLOCK|1%r1|00\n{@A-RES|0|+1.0}}\n}\n",
        "{@BTEST||00|210805125041|57|0|||||||2|P1\n{@BLOCK|2%r1|00}\n}\n",
        "{@RPT|of the second}\n",
        "{@BTEST|S3|06|210805125041|57|0|||||||3|P1\n{@BLOCK|3%r1|06\n{@A-RES|1|+1.1}}}}{@BATCH|U||F2\n{@BTEST|S4|81|210805130000|1\n}}"
    );
    let converted = read(log);
    assert_eq!((converted.errors.len(), &converted.end), (1, &Ok(())));
    let told: Vec<_> = converted
        .reports
        .iter()
        .map(|report| {
            (report.sn.as_deref().unwrap(), report.pn.as_deref().unwrap(), report.rev.as_deref().unwrap(), report.result.unwrap())
        })
        .collect();
    assert_eq!(told, [("S1", "T", "A", Status::Passed), ("S3", "T", "A", Status::Failed), ("S4", "U", "1", Status::Terminated)]);
    let first = &converted.reports[0];
    let uut = first.uut.as_ref().unwrap();
    assert_eq!((uut.user.as_deref(), uut.test_socket_index, first.process_code), (Some("op"), Some(1), Some(30)));
    assert_eq!(
        (info(first, "Panel type"), info(first, "Version label"), info(first, "Panel id")),
        (Some("PAN"), Some("v1"), Some("P1"))
    );
    assert_eq!(blocks(first)[0].name.as_deref(), Some("r1"));
    assert!(!text(&blocks(first)[0]).contains("board number"), "it is the board's own");
    let ids: std::collections::HashSet<_> = converted.reports.iter().map(|report| report.id.clone()).collect();
    assert_eq!(ids.len(), 3);
}

#[test]
fn what_stands_beside_a_board_belongs_to_it() {
    let report =
        read("{@BATCH|T|A\n{@ALM|1|2}\n{@BTEST|S1|00|210805125041|57}\n{@BLOCK|r1|00\n{@A-RES|0|+1.0}}\n{@RPT|behind}}").only();
    assert_eq!(numbers(block(&report, "r1")).len(), 1, "in a log that closes each head on its line");
    assert!(text(report.root.as_ref().unwrap()).contains("@ALM|1|2"));
    assert!(text(report.root.as_ref().unwrap()).contains("behind"));
}

#[test]
fn a_board_that_the_machine_left_unfinished_is_handed_over_and_marked() {
    let log = "{@BATCH|T|A\n{@BTEST|S1|00|210805125041|57\n{@BLOCK|r1|00\n{@A-RES|0|+1.0}\n}\n{@BLOCK|r2|00\n{@A-RES|0|+2.";
    let converted = read(log);
    assert!(
        matches!(&converted.end, Err(ConvertError::Incomplete { reason, .. }) if reason.contains("@A-RES")),
        "{:?}",
        converted.end
    );
    let report = &converted.reports[0];
    assert_eq!((report.result, info(report, "Incomplete file").is_some()), (Some(Status::Terminated), true));
    assert_eq!(numbers(block(report, "r1")), ["- 1.0 LOG - - Ohm P"]);
    assert!(numbers(block(report, "r2")).is_empty() && text(block(report, "r2")).contains("@A-RES|0|+2."));
    let failed = read(&log.replace("|00|2108", "|06|2108"));
    assert_eq!(failed.reports[0].result, Some(Status::Failed));
    // The next board begins: the file goes on, and the one before is marked all the same.
    let next = read(&format!("{log}\n{{@BATCH|T|A\n{{@BTEST|S2|00|210805125042|57\n}}}}"));
    assert_eq!((next.reports.len(), &next.end), (2, &Ok(())));
    assert_eq!(
        next.reports.iter().map(|report| report.result.unwrap()).collect::<Vec<_>>(),
        [Status::Terminated, Status::Passed]
    );
}

#[test]
fn a_line_that_is_cut_within_a_board_costs_its_own_value_alone() {
    let converted = read(concat!(
        "{@BATCH|T|A\n{@BTEST|S1|00|210805125041|57\n{@BLOCK|r1|00\n{@A-RES|0|+1.0{@LIM2|+2.0|+1\n",
        "{@BLOCK|r2|00\n{@A-RES|0|+3.\n{@A-RES|0|+4.0}\n}\n}}"
    ));
    assert!(converted.notes[0].iter().any(|note| note.contains("is not closed")), "{:?}", converted.notes);
    let report = converted.only();
    assert_eq!((report.result, info(&report, "Incomplete file")), (Some(Status::Passed), None));
    assert!(numbers(block(&report, "r1")).is_empty());
    assert_eq!(numbers(block(&report, "r2")), ["- 4.0 LOG - - Ohm P"]);
}

#[test]
fn what_is_no_log_or_has_no_board_is_refused() {
    for log in ["{@BATCH|T|A\n}", "{}", "words", "}}}}", "{@X|~99999999|a}"] {
        assert!(read(log).end.is_err(), "{log}");
    }
    let deep = read(&format!("{{@BATCH|T|A\n{{@BTEST|S1|00|210805125041|57}}{}", "{@X".repeat(10_000)));
    assert!(matches!(deep.end, Err(ConvertError::Malformed { .. })), "{:?}", deep.end);
    assert_eq!(deep.reports.len(), 1, "the board before it is whole");
    assert_eq!(I3070.sniff(&crate::convert::Head::new(b"{ @batch|T|A\n")), 95);
    assert_eq!(I3070.sniff(&crate::convert::Head::new(b"{\"@BATCH\": 1}")), 0);
}

#[test]
fn odd_times_are_told_and_not_guessed() {
    let odd = read("{@BATCH|T|A\n{@BTEST|S1|00|yesterday|soon\n}}");
    assert_eq!(odd.notes[0].iter().filter(|note| note.contains("yesterday") || note.contains("soon")).count(), 2);
    let report = odd.only();
    assert_eq!((info(&report, "Start"), info(&report, "Duration")), (Some("yesterday"), Some("soon")));
    let none = read("{@BATCH|T|A\n{@BTEST|S1|00|210805125041||0|||||210805125138\n}}").only();
    assert_eq!(none.uut.unwrap().exec_time.unwrap().to_string(), "57.0");
}

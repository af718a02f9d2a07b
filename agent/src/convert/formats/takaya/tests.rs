use serde_json::json;
use waybill_shared::report::{Num, NumericMeas, Report, Status, Step};

use super::*;
use crate::convert::testing::{Converted, convert, cut_anywhere, data, flip_anywhere, golden};

const TWO_GROUPS: &str = "V682780_B_BOT-20230301082027.ATD";
const LONG: &str = "V682589_K_TOP-20230504130808.ATD";
const APT: &str = "11111-BV0001 (AT33).ATD";
const APT_LONG: &str = "12345 - SN0001 (FP1 - OP01).ATD";
const ATDX: &str = "DERIVED-first-attempt-WO250319-0162.atdx";

fn sample(name: &str) -> Vec<Report> {
    golden(&Takaya, &format!("takaya/{name}"), &json!({})).all()
}

fn rows(report: &Report) -> &[Step] {
    report.root.as_ref().unwrap().steps.as_deref().unwrap()
}

/// Rows that passed, failed, were left out, and any others.
fn counts(report: &Report) -> [usize; 4] {
    let of = |status| rows(report).iter().filter(|step| step.status == Some(status)).count();
    let [passed, failed, skipped] = [Status::Passed, Status::Failed, Status::Skipped].map(of);
    [passed, failed, skipped, rows(report).len() - passed - failed - skipped]
}

/// Name, value, comparator, low, high, unit, status.
fn told(measurement: &NumericMeas) -> String {
    let number = |number: &Option<Num>| number.as_ref().map_or("-".to_owned(), ToString::to_string);
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

fn read(text: &str) -> Converted {
    convert(&Takaya, "x.atd", text.as_bytes(), &json!({}))
}

#[test]
fn each_group_of_a_panel_is_a_unit() {
    let reports = sample(TWO_GROUPS);
    let told: Vec<_> = reports
        .iter()
        .map(|report| {
            (
                report.sn.as_deref().unwrap(),
                report.result.unwrap(),
                counts(report),
                report.uut.as_ref().unwrap().test_socket_index,
            )
        })
        .collect();
    assert_eq!(
        told,
        [("0601994566", Status::Passed, [52, 0, 3, 0], Some(1)), ("0601994567", Status::Passed, [52, 0, 3, 0], Some(2))]
    );
    let report = &reports[0];
    assert_eq!(report.start.as_deref(), Some("2023-03-01T08:20:27+01:00"), "day before month");
    assert_eq!(report.machine_name.as_deref(), Some("TAK4"));
    assert_eq!(report.uut.as_ref().unwrap().exec_time.as_ref().unwrap().to_string(), "14");
    let call = report.root.as_ref().unwrap().seq_call.as_ref().unwrap();
    assert_eq!(call.name.as_deref(), Some("V682780_B_BOT.SWX"));
    assert_eq!(call.path.as_deref(), Some(r"Y:\TAKAYA\CTBP\SWX VALOR\V682780_B_BOT.SWX"));
    assert_eq!(info(report, "Counters"), Some("D.T:24 D.P:24 D.F:0 G.T:414 G.P:414 G.F:0"));
    assert_eq!(info(report, "Counters of the panel"), Some("D.T:27 D.P:24 D.F:3 G.T:434 G.P:412 G.F:22"));
    let steps = rows(report);
    assert_eq!((steps[0].name.as_deref(), steps[0].status), (Some("After-correct."), Some(Status::Skipped)));
    assert_eq!(numbers(&steps[1]), ["- 409.5 GELE 200 600 Ohm P"]);
    assert!(text(&steps[1]).contains("over-range"));
    assert_eq!(numbers(&steps[2]), ["- 5.30 GELE 3.864 7.176 uH P"]);
    assert_eq!((steps[5].name.as_deref(), numbers(&steps[5])), (Some("R7"), vec!["- 9.97 GELE 9.9 10.1 kOhm P".to_owned()]));
    for cell in
        ["Ref._Value_(Char): 10.00", "Ref._Value_(Char) Unit: KO", "H-pin Net_name: GND", "Tolerance_(+)%: +1%", "Value: 10"]
    {
        assert!(text(&steps[5]).contains(cell), "{cell}: {}", text(&steps[5]));
    }
    assert!(!text(&steps[5]).contains("TAK4"), "what each row repeats is told once");
    // The second value replaces the first.
    let again = rows(&reports[1]).iter().find(|step| step.name.as_deref() == Some("C4")).unwrap();
    assert_eq!(numbers(again), ["- 17.46 GELE 17.0562 19.257 pF P"]);
    assert!(text(again).contains("Test_Value_1_(Char): 16.82"));
}

#[test]
fn a_long_group_has_all_of_its_rows() {
    let reports = sample(LONG);
    assert_eq!((reports.len(), reports[0].sn.as_deref(), counts(&reports[0])), (1, Some("0601996045"), [1009, 0, 85, 0]));
    let replaced: Vec<_> = rows(&reports[0])
        .iter()
        .flat_map(numbers)
        .filter(|told| told.starts_with("- 33.6 ") || told.starts_with("- 2941 "))
        .collect();
    assert_eq!(replaced, ["- 33.6 GELE 26.598 39.215 nF P", "- 2941 GELE 2630.7 3215.3 uF P"]);
}

#[test]
fn the_apt_94xx_has_quoted_cells_and_a_serial_line_of_parts() {
    let reports = sample(APT);
    assert_eq!((reports.len(), counts(&reports[0])), (1, [49, 0, 0, 0]));
    let report = &reports[0];
    assert_eq!((report.sn.as_deref(), report.machine_name.as_deref()), (Some("11111-BV0001 (AT33)"), Some("FP1")));
    assert_eq!(report.start.as_deref(), Some("2024-01-01T08:00:00+01:00"));
    assert_eq!(report.uut.as_ref().unwrap().test_socket_index, Some(20));
    let r1 = rows(report).iter().find(|step| step.name.as_deref() == Some("R1")).unwrap();
    assert_eq!(numbers(r1), ["- 4.30 GELE 3.9995 4.4205 kOhm P"]);
    for cell in ["Step_number: 000946", "Ref._Value: 4.21 KO", "H-pin: 338", "Access_probe: ( -, N, +, N)", "Function: **"] {
        assert!(text(r1).contains(cell), "{cell}: {}", text(r1));
    }
    let reports = sample(APT_LONG);
    let report = &reports[0];
    assert_eq!((reports.len(), counts(report), report.sn.as_deref()), (1, [865, 0, 10, 0], Some("SN0001")));
    let uut = report.uut.as_ref().unwrap();
    assert_eq!(
        (uut.batch_sn.as_deref(), uut.user.as_deref(), report.machine_name.as_deref()),
        (Some("12345"), Some("OP01"), Some("FP1"))
    );
    assert!(rows(report).iter().flat_map(numbers).any(|told| told.starts_with("- 7.91 ")), "the second value");
}

#[test]
fn the_atdx_is_read_with_its_judgements_and_its_thresholds() {
    let reports = sample(ATDX);
    let report = &reports[0];
    assert_eq!((reports.len(), report.result, rows(report).len()), (1, Some(Status::Failed), 1552));
    assert_eq!(counts(report), [1404, 8, 140, 0]);
    assert_eq!((report.sn.as_deref(), report.machine_name.as_deref()), (Some("WO250319-0162"), Some("APT-1400F FPT04")));
    assert_eq!(report.start.as_deref(), Some("2025-05-25T12:26:55+02:00"));
    assert_eq!((info(report, "Side"), info(report, "Attempt")), (Some("A"), Some("1")));
    let steps = rows(report);
    assert_eq!(
        (steps[0].name.as_deref(), numbers(&steps[0])),
        (Some("POWER_SHORTS"), vec!["- 55000.00 GE 100.00 - Ohm P".to_owned()])
    );
    for (order, expected) in [
        (487, vec!["- 0.003 GELE 8 12 nF F"]),
        (1160, vec!["- 550.00 GELE 0.001074 0.002506 mH F"]),
        (1253, vec!["- 550.00 GELE 0.09 0.11 kOhm F"]),
        (1271, vec!["- 55.026 LE 10.000 - Ohm F"]),
        (1515, vec![]),
    ] {
        let step = &steps[order - 1];
        assert!(text(step).starts_with(&format!("Order: {order}\n")), "{}", text(step));
        assert_eq!(
            (numbers(step), step.status),
            (expected.iter().map(|told| (*told).to_owned()).collect(), Some(Status::Failed))
        );
    }
    assert_eq!(steps[486].error_message.as_deref(), Some("LOWER"));
    let impedance = steps.iter().find(|step| text(step).contains("Reference: 18.280[KO]|-7.8")).unwrap();
    assert_eq!(numbers(impedance), ["Z 18.101 GELE 12.796 23.764 kOhm P", "phase -7.0 LOG - - - P"]);
}

#[test]
fn a_cut_or_spoilt_file_is_never_a_clean_report() {
    let short = |name: &str, keep: fn(&str) -> bool| {
        let bytes = data(&format!("takaya/{name}"));
        String::from_utf8(bytes).unwrap().split_inclusive('\n').filter(|line| keep(line)).collect::<String>().into_bytes()
    };
    let tabs = |line: &str| {
        !line.contains('\t') || line.starts_with("Group_No.") || line.split('\t').nth(1).is_some_and(|step| step.ends_with('5'))
    };
    let quotes = |line: &str| !line.contains('"') || line.starts_with("00094");
    let rows = |line: &str| !line.ends_with(";----;\n") || line.starts_with("48");
    for (name, bytes) in [(TWO_GROUPS, short(TWO_GROUPS, tabs)), (APT, short(APT, quotes)), (ATDX, short(ATDX, rows))] {
        let converted = convert(&Takaya, name, &bytes, &json!({}));
        assert!(!converted.all().is_empty(), "{name}: {}", bytes.len());
        let begin = bytes.len().saturating_sub(3000);
        cut_anywhere(&Takaya, name, &bytes, &json!({}));
        for cut in (1..bytes.len()).filter(|cut| cut % 7 == 0 || *cut > begin) {
            let part = convert(&Takaya, name, &bytes[..cut], &json!({}));
            assert!(name == ATDX || part.end.is_err() || bytes[cut..].trim_ascii().is_empty(), "{name}: cut at {cut}");
        }
        flip_anywhere(&Takaya, name, &bytes, &json!({}));
    }
}

/// A file of one group with these rows of the APT-94xx.
fn apt(serial: &str, verdict: &str, rows: &[&str]) -> String {
    let head = "@\n* FAIL *\nD.T:1\nModel:M1.SWX\nDATE 02/03/24 08:00:00\n\nTest ID :FP1\n@\n\n* GROUP No.2   *\n";
    format!("{head}{verdict}\nD.T:1\nSerial No.:{serial}\n\n{}\n@\n", rows.join("\n"))
}

fn row(reference: &str, first: &str, second: &str, tolerances: &str, judgement: &str) -> String {
    format!(
        r#"000932 "R1       " "P-Auto   " "N1-N2   " 326   330   "{reference}" "{first}" "{second}" {tolerances} "{judgement}   " "DC-CC" "Range 3" "15.0 ms" "( -, N, N, +) " 0     0     "OP""#
    )
}

#[test]
fn limits_are_exact_in_the_unit_of_the_value() {
    const NONE: &str = "........";
    for (reference, first, second, tolerances, expected) in [
        ("10.00 KO ", "9970 O ", NONE, "+1% -1%", "- 9970 GELE 9900 10100 Ohm P"),
        ("9970 O ", "9.97 KO ", NONE, "+1% -1%", "- 9.97 GELE 9.8703 10.0697 kOhm P"),
        ("1.0 MO ", "990 KO ", NONE, "+10% -10%", "- 990 GELE 900 1100 kOhm P"),
        ("1.0 mO ", "0.001 O ", NONE, "+10% -10%", "- 0.001 GELE 0.0009 0.0011 Ohm P"),
        ("100 NF ", "0.1 UF ", "101 nF", "+20% -20%", "- 101 GELE 80 120 nF P"),
        ("-5.0 V  ", "-5.1 V  ", NONE, "+10% -20%", "- -5.1 GELE -5.5 -4 V P"),
        ("0.3 V  ", "0.30 V  ", NONE, "+10% -10%", "- 0.30 GELE 0.27 0.33 V P"),
        ("5.0 V  ", "5.1 V  ", NONE, "+0% -0%", "- 5.1 GELE 5 5 V P"),
        (NONE, "5.1 V  ", NONE, "+10% -10%", "- 5.1 LOG - - V P"),
        ("5.0 V  ", "5.1 A  ", NONE, "+10% -10%", "- 5.1 LOG - - A P"),
        ("4.70KO", "4.71KO", NONE, "+10% -10%", "- 4.71 GELE 4.23 5.17 kOhm P"),
        ("5.0 XY ", "5.1 XY ", NONE, "+10% -10%", "- 5.1 GELE 4.5 5.5 XY P"),
    ] {
        let converted = read(&apt("S1", "* PASS *", &[&row(reference, first, second, tolerances, "PASS")]));
        assert_eq!(numbers(&rows(&converted.only())[0]), [expected], "{reference} {first}");
    }
    let other = read(&apt("S1", "* PASS *", &[&row("5.0 V", "5.1 A", NONE, "+1% -1%", "PASS")])).only();
    assert!(text(&rows(&other)[0]).contains("limits are not told"));
}

#[test]
fn each_judgement_is_what_it_says() {
    for (judgement, value, status, kind) in [
        ("PASS", "1.0 V", Status::Passed, "ET_NLT"),
        ("......", "........", Status::Skipped, "ET_A"),
        ("......", "1.0 V", Status::Done, "ET_NLT"),
        ("LOW-NG", "1.0 V", Status::Failed, "ET_NLT"),
        ("HIGH-NG", "1.0 V", Status::Failed, "ET_NLT"),
        ("OPEN-NG", "........", Status::Failed, "ET_PFT"),
        ("SHORT-NG", "1.0 V", Status::Failed, "ET_NLT"),
        ("SKIP", "........", Status::Skipped, "ET_A"),
        ("UnTested", "........", Status::Skipped, "ET_A"),
        ("UNMEASURED", "abc", Status::Failed, "ET_SVT"),
        ("WHAT", "1.0 V", Status::Error, "ET_NLT"),
    ] {
        let converted = read(&apt("S1", "* FAIL *", &[&row("1.0 V", value, "........", "+5% -5%", judgement)]));
        assert_eq!(converted.notes[0].iter().any(|note| note.contains("WHAT")), judgement == "WHAT");
        let report = converted.only();
        let step = &rows(&report)[0];
        assert_eq!(
            (step.status, step.step_type.as_deref(), report.result),
            (Some(status), Some(kind), Some(Status::Failed)),
            "{judgement}"
        );
        let failed = matches!(status, Status::Failed | Status::Error);
        assert_eq!(step.error_message.as_deref(), failed.then_some(judgement));
    }
}

#[test]
fn serial_lines_are_split_only_where_all_parts_are_there() {
    for (line, sn, batch, station, operator) in [
        ("12345 - SN0001 (FP1 - OP01)", "SN0001", Some("12345"), "FP1", Some("OP01")),
        ("11111-BV0001 (AT33)", "11111-BV0001 (AT33)", None, "FP1", None),
        ("A - B", "A - B", None, "FP1", None),
        ("A - B ( - OP)", "A - B ( - OP)", None, "FP1", None),
        ("plain", "plain", None, "FP1", None),
    ] {
        let report = read(&apt(line, "* PASS *", &[&row("1.0 V", "1.0 V", "........", "+5% -5%", "PASS")])).only();
        let uut = report.uut.as_ref().unwrap();
        assert_eq!(
            (report.sn.as_deref(), uut.batch_sn.as_deref(), report.machine_name.as_deref(), uut.user.as_deref()),
            (Some(sn), batch, Some(station), operator)
        );
    }
    let nothing = read(&apt("", "* PASS *", &[]));
    assert_eq!((nothing.reports.len(), nothing.errors.len()), (0, 1), "a unit without a serial number is refused by default");
}

#[test]
fn what_a_group_does_not_say_is_not_made_up() {
    let one = row("1.0 V", "1.0 V", "........", "+5% -5%", "LOW-NG");
    let none = read(&apt("S1", "", &[&one]));
    assert!(none.notes[0].iter().any(|note| note.contains("no verdict of its own")), "{:?}", none.notes);
    assert_eq!(none.only().result, Some(Status::Failed));
    assert_eq!(read(&apt("S1", "* STRANGE *", &[&one])).only().result, Some(Status::Error));
    // The model stands for the part number only where the source gives none.
    let file = apt("S1", "* PASS *", &[&one]);
    let input = |arguments: &serde_json::Value| {
        let given = arguments.as_object().unwrap().clone();
        let mut pns = Vec::new();
        let modified = jiff::Timestamp::UNIX_EPOCH;
        let content = crate::convert::Content::Bytes(file.as_bytes());
        let arguments = crate::convert::Arguments::new(&given);
        let input = Input { content, file_name: "x", modified, arguments };
        Takaya
            .convert(&input, &mut |unit| {
                pns.push(unit.unwrap().report.pn);
                std::ops::ControlFlow::Continue(())
            })
            .unwrap();
        pns.remove(0)
    };
    assert_eq!(input(&json!({})).as_deref(), Some("M1"));
    assert_eq!(input(&json!({"part_number": "P"})), None);
    assert_eq!(input(&json!({"file_name": "(?<pn>.+)"})), None);
    let date = read(&file.replace("02/03/24", "2024-03-02"));
    assert!(date.notes[0].iter().any(|note| note.contains("2024-03-02")));
    assert_eq!(info(&date.only(), "Date"), Some("2024-03-02 08:00:00"));
}

#[test]
fn a_row_that_cannot_be_read_is_an_error_of_its_own_and_loses_nothing() {
    let good = row("1.0 V", "1.0 V", "........", "+5% -5%", "PASS");
    let report = read(&apt("S1", "* PASS *", &[&good, "000933 \"R2", &good])).only();
    assert_eq!(counts(&report), [2, 0, 0, 1]);
    assert_eq!(text(&rows(&report)[1]), "000933 \"R2");
    let bytes = data(&format!("takaya/{TWO_GROUPS}"));
    let file = String::from_utf8(bytes).unwrap().replacen("\tOP\t---", "", 1);
    let reports = read(&file).all();
    assert_eq!((counts(&reports[0]), counts(&reports[1])), ([51, 0, 3, 1], [52, 0, 3, 0]));
}

#[test]
fn several_runs_in_one_file_keep_their_own_heads() {
    let one = apt("S1", "* PASS *", &[&row("1.0 V", "1.0 V", "........", "+5% -5%", "PASS")]);
    let two = one.replace("02/03/24", "05/03/24").replace("Test ID :FP1", "Test ID :FP2");
    let reports = read(&format!("{one}{two}{one}")).all();
    let told: Vec<_> =
        reports.iter().map(|report| (report.start.as_deref().unwrap(), report.machine_name.as_deref().unwrap())).collect();
    let first = ("2024-03-02T08:00:00+01:00", "FP1");
    assert_eq!(told, [first, ("2024-03-05T08:00:00+01:00", "FP2"), first]);
    let ids: std::collections::HashSet<_> = reports.iter().map(|report| report.id.clone()).collect();
    assert_eq!(ids.len(), 3, "equal runs are told apart");
    let unfinished = read(&format!("{one}@\n* PASS *\nModel:M\n"));
    assert_eq!((unfinished.reports.len(), unfinished.end.is_err()), (1, true));
}

#[test]
fn the_attempts_of_a_board_are_units_with_numbers() {
    let text = String::from_utf8(data(&format!("takaya/{ATDX}"))).unwrap();
    let rows_of = |text: &str, rows: usize| text.split_inclusive('\n').take(13 + rows).collect::<String>();
    let block = rows_of(&text, 3);
    let second = block.trim_start_matches('\u{feff}');
    let other = second.replace("Group No.: 1 Side: A FAIL", "Group No.: 2 Side: B PASS");
    let file = format!("{block}{other}{second}{other}");
    let reports = read(&file).all();
    let told: Vec<_> = reports
        .iter()
        .map(|report| {
            (
                report.uut.as_ref().unwrap().test_socket_index.unwrap(),
                info(report, "Side").unwrap(),
                info(report, "Attempt").unwrap(),
                report.result.unwrap(),
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            (1, "A", "1", Status::Failed),
            (2, "B", "1", Status::Passed),
            (1, "A", "2", Status::Failed),
            (2, "B", "2", Status::Passed)
        ]
    );
    assert!(reports.iter().all(|report| report.start == reports[0].start && report.sn == reports[0].sn));
    let ids: std::collections::HashSet<_> = reports.iter().map(|report| report.id.clone()).collect();
    assert_eq!(ids.len(), 4);
    // It grows: what was there keeps its ids.
    let before = read(&format!("{block}{other}{second}")).all();
    assert_eq!(before, reports[..3]);
    let cut = read(&file[..file.len() - 9]);
    assert_eq!((cut.reports.len(), cut.end.is_err()), (3, true), "a row without its end is not trusted");
    assert_eq!(read(file.trim_end()).all().len(), 4, "but one that has all of its cells is");
    // Two groups under one head.
    let at = second.find("#############\"Group").unwrap();
    let shared = read(&format!("{block}{}", &second[at..].replace("Group No.: 1", "Group No.: 2"))).all();
    assert_eq!((shared.len(), shared[1].sn.as_deref()), (2, Some("WO250319-0162")));
}

#[test]
fn what_is_no_such_file_is_refused() {
    for text in ["", "\n\n", "@\n", "@\n@\n@\n", "words\n", "##\"Main header\"##\n", "@\n* GROUP No.1 *\nSerial No.:1\n"] {
        let converted = read(text);
        assert!(converted.end.is_err() && converted.reports.is_empty(), "{text:?}");
    }
    assert_eq!(Takaya.sniff(&crate::convert::Head::new(b"@\n* PASS *\nfoo\n")), 0);
    assert_eq!(Takaya.sniff(&crate::convert::Head::new(b"@\r\n* PASS *\r\nD.T:27\r\nModel:x\r\n")), 80);
}

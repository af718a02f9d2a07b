use serde_json::json;
use waybill_shared::report::Num;

use super::*;
use crate::convert::testing::{Converted, convert, cut_anywhere, data, flip_anywhere, golden};

const SAMPLE: &str = "teradyne-spectrum/sample_ict_data.txt";

fn pages(report: &Report) -> Vec<&Step> {
    report
        .root
        .iter()
        .flat_map(|root| root.steps.iter().flatten())
        .flat_map(|section| section.steps.iter().flatten())
        .flat_map(|step| step.steps.iter().flatten())
        .collect()
}

fn board(steps: &str) -> String {
    format!(
        "(PROGRAM_NAME: \"PN-1 top\")(SECTION_NAME: \"S\")\n{steps}\n(USER: Serialnumber:S1)(USER: Date:02/09/2023 )(USER: StartTime:16:44:27:988 )\
         (USER: STATUS: BOARD PASSED)(USER: EndTime:16:44:38:124 )\n"
    )
}

fn step_of(page: &str) -> String {
    board(&format!(
        "(STEP:(TYPE: RAW)(TIME: 02/09/2023 16:44:27)(SNAME: \"R1\")(PAGE:(TYPE: RES)(PAGE_NAME: \"P\"){page})(STAT: PASS))"
    ))
}

fn read(text: &str) -> Converted {
    convert(&Spectrum, "x.txt", text.as_bytes(), &json!({}))
}

fn one(page: &str) -> Step {
    pages(&read(&step_of(page)).only())[0].clone()
}

/// Value, unit, comparator and limits of the measurements.
fn shown(step: &Step) -> Vec<String> {
    let text = |number: &Option<Num>| number.as_ref().map_or("-".to_owned(), Num::to_string);
    let all = step.numeric_meas.iter().flatten();
    all.map(|one| {
        let (unit, comparator) = (one.unit.as_deref().unwrap_or("-"), one.comp_op.as_deref().unwrap());
        format!("{} {unit} {comparator} {} {}", text(&one.value), text(&one.low_limit), text(&one.high_limit))
    })
    .collect()
}

#[test]
fn the_sample_arrives_as_it_is() {
    let report = golden(&Spectrum, SAMPLE, &json!({})).only();
    assert_eq!(
        (report.sn.as_deref(), report.pn.as_deref(), report.result),
        (Some("1111111111"), Some("PB3187900"), Some(Status::Passed))
    );
    assert_eq!(report.start.as_deref(), Some("2023-09-02T16:44:27.988+02:00"));
    let uut = report.uut.as_ref().unwrap();
    assert_eq!((uut.user.as_deref(), uut.exec_time.as_ref().unwrap().to_string().as_str()), (Some("1234567"), "10.136"));
    let infos: Vec<_> = report
        .misc_infos
        .iter()
        .flatten()
        .map(|info| format!("{}={}", info.description.as_deref().unwrap(), info.text.as_deref().unwrap()))
        .collect();
    assert_eq!(
        infos,
        ["SUBPROGRAM_NAME=SubProgram-1", "CustomerSerialnumber=AAAAAAAAAAA", "OrderNumber=222222222", "version=V2.0.0.0"]
    );
    let sections = report.root.as_ref().unwrap().steps.as_ref().unwrap();
    assert_eq!(sections.len(), 11);
    assert_eq!(sections.iter().map(|section| section.steps.as_ref().unwrap().len()).sum::<usize>(), 508);
    let pages = pages(&report);
    assert_eq!(pages.len(), 519);
    assert!(pages.iter().all(|page| page.status == Some(Status::Passed)));
    let numeric: Vec<_> = pages.iter().flat_map(|page| page.numeric_meas.iter().flatten()).collect();
    assert_eq!(numeric.len(), 457);
    let with = |comparator: &str| numeric.iter().filter(|one| one.comp_op.as_deref() == Some(comparator)).count();
    let told = |key: &str| {
        pages
            .iter()
            .flat_map(|page| page.report_text.as_deref().unwrap_or_default().lines())
            .filter(|line| line.starts_with(key))
            .count()
    };
    assert_eq!(with("GELE") + with("GE") + told("LOLIM: "), 277, "low limits");
    assert_eq!(with("GELE") + with("LE") + told("HILIM: "), 513, "high limits");
    let by_name = |name: &str| pages.iter().find(|page| page.name.as_deref() == Some(name)).copied().unwrap();
    assert_eq!(shown(by_name("C1")), ["4.6900024 nF GELE 3.64 5.76"]);
    assert_eq!(shown(by_name("L3")), ["1.4330307 Ohm LE 5 -"]);
    assert_eq!(shown(by_name("FU1_IN")), ["193.4001 mOhm GELE 0.00000224 250"]);
    assert_eq!(shown(by_name("SMBJ33A[V6]_REV_V_1")), ["38.324821 V GELE 36.7 40.6"]);
    let discharged = by_name("C118_DSG");
    assert_eq!(discharged.step_type.as_deref(), Some("ET_PFT"));
    assert_eq!(
        discharged.report_text.as_deref(),
        Some("TYPE: DISCHARGE\nMEAS: TPNUM 512, TPNAME CH_/INC15\nGUARD: TPNUM 110, TPNAME CH_24V_GND\nHILIM: 30 mV")
    );
    assert_eq!(by_name("SHORTS").boolean_meas.as_ref().unwrap().len(), 2);
}

#[test]
fn wherever_it_is_cut_or_spoilt_nothing_wrong_comes_of_it() {
    let bytes = data(SAMPLE);
    let lines: Vec<&[u8]> = bytes.split_inclusive(|&byte| byte == b'\n').collect();
    let short = [&lines[..56], &lines[435..466], &lines[3361..3393], &lines[7494..7503], &lines[7895..]].concat().concat();
    assert_eq!(convert(&Spectrum, "x.txt", &short, &json!({})).only().sn.as_deref(), Some("1111111111"));
    cut_anywhere(&Spectrum, "x.txt", &short, &json!({}));
    flip_anywhere(&Spectrum, "x.txt", &short, &json!({}));
}

#[test]
fn limits_come_with_the_prefix_of_the_value() {
    let quantity = |key: &str, value: &str, scale: &str, unit: &str| {
        let scale = if scale.is_empty() { String::new() } else { format!("(SCALE: {scale})") };
        format!("({key}: (VAL: {value}) {scale} (UNIT: {unit}) )")
    };
    for (low, value, high, expected) in [
        (Some(("6.5", "m", "V")), ("7.10", "m", "V"), Some(("8", "m", "V")), "7.10 mV GELE 6.5 8"),
        (Some(("950", "", "O")), ("1.00", "K", "O"), Some(("1.05", "K", "O")), "1.00 kOhm GELE 0.950 1.05"),
        (None, ("2", "M", "O"), Some(("3000", "K", "O")), "2 MOhm LE 3.000 -"),
        (Some(("1", "u", "F")), ("2200", "n", "F"), None, "2200 nF GE 1000 -"),
        (None, ("5", "", "DEG"), None, "5 DEG LOG - -"),
        (None, ("5", "m", "DEG"), Some(("1", "", "DEG")), "5 mDEG LE 1000 -"),
        (None, ("1.5e-3", "", "A"), Some(("2", "m", "A")), "1.5e-3 A LE 0.002 -"),
    ] {
        let mut block = "(ANA:(TYPE: RES)(STAT: PASS)".to_owned();
        block += &low.map_or(String::new(), |(text, scale, unit)| quantity("LOLIM", text, scale, unit));
        block += &quantity("MEASVAL", value.0, value.1, value.2);
        block += &high.map_or(String::new(), |(text, scale, unit)| quantity("HILIM", text, scale, unit));
        let step = one(&format!("(STAT: PASS){block})"));
        assert_eq!(shown(&step), [expected]);
    }
    let low_high = one("(STAT: PASS)(ANA:(STAT: PASS)(LOW:(VAL: 1))(MEASVAL:(VAL: 2))(HIGH:(VAL: 3)))");
    assert_eq!(shown(&low_high), ["2 - GELE 1 3"]);
}

#[test]
fn what_is_no_number_is_a_text_and_a_limit_of_another_unit_is_told() {
    let step =
        one("(STAT: FAIL)(FAIL_MSG: \"too (high)\")(ANA:(STAT: FAIL)(MEASVAL:(VAL: OVER)(UNIT: V))(HILIM:(VAL: 3)(UNIT: V)))");
    assert_eq!((step.status, step.error_message.as_deref()), (Some(Status::Failed), Some("too (high)")));
    assert_eq!(step.string_meas.unwrap()[0].value.as_deref(), Some("VAL OVER, UNIT V"));
    assert!(step.report_text.unwrap().contains("HILIM: 3 V"));
    let converted = read(&step_of("(STAT: PASS)(ANA:(STAT: PASS)(MEASVAL:(VAL: 2)(UNIT: V))(HILIM:(VAL: 3)(UNIT: A)))"));
    assert!(converted.notes[0].iter().any(|note| note.contains("HILIM")), "{:?}", converted.notes);
    let report = converted.only();
    assert_eq!(shown(pages(&report)[0]), ["2 V LOG - -"]);
    let odd = one("(STAT: PASS)(ANA:(STAT: PASS)(MEASVAL:(VAL: 2)(SCALE: x)(UNIT: V)))");
    assert_eq!(odd.string_meas.unwrap()[0].value.as_deref(), Some("VAL 2, SCALE x, UNIT V"));
}

#[test]
fn several_results_of_a_page_and_what_is_not_known_arrive() {
    let step = one("(STAT: FAIL)(COMMENT: \"a (b\")(INTC:(TYPE: LOWR)(STAT: FAIL)(HILIM:(VAL: 5)(UNIT: O))\
        (INTC_RESULT:(STAT: PASS)(MEASVAL:(VAL: 1)(UNIT: O)))(INTC_RESULT:(STAT: FAIL)(MEASVAL:(VAL: 9)(UNIT: O))(NEW:(X: 1)(Y: z))))");
    assert_eq!(shown(&step), ["1 Ohm LE 5 -", "9 Ohm LE 5 -"]);
    let states: Vec<_> = step.numeric_meas.iter().flatten().map(|one| one.status.unwrap()).collect();
    assert_eq!(states, [Status::Passed, Status::Failed]);
    let text = step.report_text.unwrap();
    assert!(text.contains("COMMENT: a (b") && text.contains("NEW: X 1, Y z"), "{text}");
    let frame =
        one("(STAT: PASS)(FSCAN:(GROUP_NAME: G)(FSCAN_PIN: U1.3)(MEAS_VAL: 120)(THRESH: 80)(CONNECTED_NODES:(TPNAME: N)))");
    assert_eq!(shown(&frame), ["120 - LOG - -"]);
    let text = frame.report_text.unwrap();
    assert!(text.contains("THRESH: 80") && text.contains("FSCAN_PIN: U1.3") && text.contains("GROUP_NAME: G"), "{text}");
    let none = one("");
    assert_eq!((none.step_type.as_deref(), none.status), (Some("ET_PFT"), Some(Status::Passed)), "of its step");
}

#[test]
fn what_its_program_says_of_a_board_arrives() {
    let text = board("(USER: Machine:ICT7)(USER: SequenceRev:4.2)(USER: free text (see: it))(NEWKEY: (A: b))stray\n");
    let report = read(&text).only();
    assert_eq!((report.pn.as_deref(), report.machine_name.as_deref()), (Some("PN"), Some("ICT7")));
    let root = report.root.unwrap();
    assert_eq!((root.seq_call.unwrap().version.as_deref(), root.report_text.as_deref()), (Some("4.2"), Some("stray")));
    let infos: Vec<_> =
        report.misc_infos.unwrap().into_iter().map(|info| (info.description.unwrap(), info.text.unwrap())).collect();
    assert_eq!(infos, [("NEWKEY", "A b"), ("free text (see", "it)")].map(|(key, text)| (key.to_owned(), text.to_owned())));
    let verdict = |status: &str| {
        let mut converted = read(&board("").replace("BOARD PASSED", status));
        if converted.reports.is_empty() { None } else { converted.reports.remove(0).result }
    };
    assert_eq!(verdict("BOARD FAILED"), Some(Status::Failed));
    assert_eq!(verdict("BOARD ABORTED"), Some(Status::Terminated));
    assert_eq!(verdict("BOARD MAYBE"), None);
}

#[test]
fn the_date_is_in_the_order_that_the_source_says() {
    let start = |text: &str, order: &str| {
        let mut converted = convert(&Spectrum, "x.txt", text.as_bytes(), &json!({"date_order": order}));
        if converted.reports.is_empty() { None } else { Some(converted.reports.remove(0).start.unwrap()) }
    };
    assert_eq!(start(&board(""), "day first").as_deref(), Some("2023-09-02T16:44:27.988+02:00"));
    assert_eq!(start(&board(""), "month first").as_deref(), Some("2023-02-09T16:44:27.988+01:00"));
    assert_eq!(start(&board("").replace("02/09", "02/19"), "day first"), None, "refused, and not guessed");
    let by_step = step_of("(STAT: PASS)")
        .replace("(USER: Date:02/09/2023 )(USER: StartTime:16:44:27:988 )", "")
        .replace("(USER: EndTime:16:44:38:124 )", "");
    assert_eq!(start(&by_step, "day first").as_deref(), Some("2023-09-02T16:44:27+02:00"));
    let night = board("").replace("16:44:38:124", "00:00:01:5");
    let report = read(&night).only();
    assert_eq!(report.uut.unwrap().exec_time.unwrap().to_string(), "26133.017", "the next day");
}

#[test]
fn each_board_of_a_file_is_a_unit_and_one_without_a_verdict_is_none() {
    let open = board("").replace("(USER: STATUS: BOARD PASSED)", "");
    let converted = read(&format!("{}{open}{}", board(""), board("").replace("S1", "S2")));
    let serials: Vec<_> = converted.reports.iter().map(|report| report.sn.as_deref().unwrap()).collect();
    assert_eq!((serials, converted.errors.len(), &converted.end), (vec!["S1", "S2"], 1, &Ok(())));
    let converted = read(&format!("{}{open}", board("")));
    assert!(converted.reports.len() == 1 && matches!(converted.end, Err(ConvertError::Incomplete { .. })), "{:?}", converted.end);
    assert!(matches!(read("(A: b)").end, Err(ConvertError::Malformed { .. })));
    let odd = read(&step_of("(STAT: WELL)"));
    assert!(matches!(odd.errors.as_slice(), [ConvertError::Faults(_)]), "{:?}", odd.errors);
}

#[test]
fn it_is_told_from_other_text() {
    assert_eq!(Spectrum.sniff(&crate::convert::Head::new(&data(SAMPLE)[..200])), 95);
    assert_eq!(Spectrum.sniff(&crate::convert::Head::new(b"{@BATCH|x}(STEP:")), 0);
}

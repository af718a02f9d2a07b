use serde_json::json;

use super::*;
use crate::convert::testing::{Converted, convert, cut_anywhere, data, flip_anywhere, golden};

const SAMPLE: &str = "seica/two-boards.xml";

fn read(text: &str) -> Converted {
    convert(&Seica, "x.xml", text.as_bytes(), &json!({}))
}

fn board(tests: &str) -> String {
    format!(
        "<R><ST NM='PN-1_B' OP='Ann' NMP='Top'/><BI BCP='S1' SD='03-02-2024 08:09:10'>{tests}<ET ED='03-02-2024 08:09:12' NF='0'/></BI></R>"
    )
}

fn one(attributes: &str) -> Step {
    let report = read(&board(&format!("<TEST NM='t' {attributes}/>"))).only();
    report.root.unwrap().steps.unwrap().remove(0)
}

fn shown(step: &Step) -> String {
    let one = &step.numeric_meas.as_ref().unwrap()[0];
    let text = |number: &Option<Num>| number.as_ref().map_or("-".to_owned(), Num::to_string);
    let (unit, comparator) = (one.unit.as_deref().unwrap_or("-"), one.comp_op.as_deref().unwrap());
    format!("{} {unit} {comparator} {} {}", text(&one.value), text(&one.low_limit), text(&one.high_limit))
}

#[test]
fn each_board_of_a_file_arrives_as_it_is() {
    let reports = golden(&Seica, SAMPLE, &json!({})).all();
    let header: Vec<_> = reports
        .iter()
        .map(|report| (report.sn.as_deref().unwrap(), report.result.unwrap(), report.start.as_deref().unwrap()))
        .collect();
    assert_eq!(
        header,
        [("SN001", Status::Failed, "2024-02-03T08:09:10+01:00"), ("SN002", Status::Passed, "2024-02-03T08:10:00+01:00")]
    );
    let report = &reports[0];
    assert_eq!((report.pn.as_deref(), report.rev.as_deref()), (Some("4711"), Some("C")));
    let uut = report.uut.as_ref().unwrap();
    assert_eq!((uut.user.as_deref(), uut.exec_time.as_ref().unwrap().to_string().as_str()), (Some("Ann"), "32.0"));
    let sequences = report.root.as_ref().unwrap().steps.as_ref().unwrap();
    let groups: Vec<_> = sequences
        .iter()
        .map(|group| (group.name.as_deref().unwrap(), group.status.unwrap(), group.steps.as_ref().unwrap().len()))
        .collect();
    assert_eq!(groups, [("RESISTORS", Status::Failed, 2), ("CAPACITORS", Status::Passed, 1), ("RESISTORS", Status::Passed, 1)]);
    let tests: Vec<_> = sequences.iter().flat_map(|group| group.steps.iter().flatten()).collect();
    assert_eq!((shown(tests[0]), tests[0].status), ("4.712 kOhm GELE 4.465 4.935".to_owned(), Some(Status::Passed)));
    assert_eq!((shown(tests[1]), tests[1].status), ("9.10 kOhm GELE 9.5 10.5".to_owned(), Some(Status::Failed)));
    assert_eq!(tests[0].tot_time.as_ref().unwrap().to_string(), "0.0125");
    assert_eq!(tests[0].report_text.as_deref(), Some("PIN: 12-13"));
    let infos: Vec<_> = report
        .misc_infos
        .iter()
        .flatten()
        .map(|info| (info.description.as_deref().unwrap(), info.text.as_deref().unwrap()))
        .collect();
    assert_eq!(infos, [("NMP", "Main board"), ("IDX", "1")]);
}

#[test]
fn wherever_it_is_cut_or_spoilt_nothing_wrong_comes_of_it() {
    let bytes = data(SAMPLE);
    cut_anywhere(&Seica, "x.xml", &bytes, &json!({}));
    flip_anywhere(&Seica, "x.xml", &bytes, &json!({}));
}

#[test]
fn limits_and_values_are_read_as_they_stand() {
    for (attributes, expected) in [
        ("MR='1.50' ML='1' MH='2' MU='V' TR='0'", "1.50 V GELE 1 2"),
        ("MR='1.5' MH='2' TR='0'", "1.5 - LE 2 -"),
        ("MR='1.5' ML='1' TR='0'", "1.5 - GE 1 -"),
        ("MR='1.5' TR='0'", "1.5 - LOG - -"),
        ("MR='1,5' ML='1,0' MH='2' TR='0'", "1.5 - GELE 1.0 2"),
        ("MR='NAN' ML='1' MH='2' TR='1'", "NaN - GELE 1 2"),
    ] {
        assert_eq!(shown(&one(attributes)), expected, "{attributes}");
    }
    let text = one("MR='open' ML='1' MH='x' MU='V' TR='1' TT='soon'");
    assert_eq!((text.step_type.as_deref(), text.status), (Some("ET_SVT"), Some(Status::Failed)));
    assert_eq!(text.report_text.as_deref(), Some("MH: x\nML: 1\nMU: V\nTT: soon"));
    assert_eq!(one("TR='1'").step_type.as_deref(), Some("ET_PFT"));
    assert_eq!(one("").step_type.as_deref(), Some("ET_A"));
    let odd = read(&board("<TEST NM='t' TR='7'/>"));
    assert!(
        matches!(odd.errors.as_slice(), [ConvertError::Faults(faults)] if faults[0].message.contains("TR is \"7\"")),
        "{:?}",
        odd.errors
    );
}

#[test]
fn boards_end_with_their_own_end_or_with_one_for_all() {
    let results = |text: &str| {
        let converted = read(text);
        assert_eq!((&converted.errors, &converted.end), (&Vec::new(), &Ok(())));
        converted.reports.iter().map(|report| (report.sn.clone().unwrap(), report.result.unwrap())).collect::<Vec<_>>()
    };
    let is = |found: Vec<(String, Status)>, expected: &[(&str, Status)]| {
        assert_eq!(found.iter().map(|(sn, status)| (sn.as_str(), *status)).collect::<Vec<_>>(), expected);
    };
    let bad = "<TEST NM='t' TR='1'/>";
    let good = "<TEST NM='t' TR='0'/>";
    let start = "SD='03-02-2024 08:09:10'";
    let within =
        format!("<R><ST NM='P_1'><BI BCP='A' {start}>{bad}<ET NF='1'/></BI><BI BCP='B' {start}>{good}<ET NF='0'/></BI></ST></R>");
    is(results(&within), &[("A", Status::Failed), ("B", Status::Passed)]);
    let after = format!("<R><ST NM='P_1'/><BI BCP='A' {start}/>{bad}<ET NF='3'/><BI BCP='B' {start}/>{good}<ET NF='0'/></R>");
    is(results(&after), &[("A", Status::Failed), ("B", Status::Passed)]);
    let shared = format!("<R><ST NM='P_1'/><BI BCP='A' {start}>{bad}</BI><BI BCP='B' {start}>{good}</BI><ET NF='1'/></R>");
    is(results(&shared), &[("A", Status::Failed), ("B", Status::Passed)]);
    let none = format!("<R><ST NM='P_1'/><BI BCP='A' {start}>{bad}</BI></R>");
    is(results(&none), &[("A", Status::Failed)]);
    let own = format!("<R><ST NM='P_1'/><BI BCP='A' {start}>{bad}<ET NF='0'/></BI></R>");
    is(results(&own), &[("A", Status::Passed)]);
    assert!(read(&own).notes[0].iter().any(|note| note.contains("although 1")));
    let wrapped = format!("<R><ST NM='P_1'/><X c='d'><BI BCP='A' {start}><L>{bad}</L><ET NF='1'/></BI></X></R>");
    is(results(&wrapped), &[("A", Status::Failed)]);
    assert_eq!(read(&wrapped).only().steps().count(), 2);
}

#[test]
fn elements_in_the_place_of_attributes_and_odd_headers() {
    let text = "<R><ST><NM>P 2 x</NM><OP>Ann</OP></ST><BI><BCP>S</BCP><SD>03-02-2024 08:09:10</SD><COLOUR>red</COLOUR>\
        <TEST><NM>t</NM><MR>1</MR><ML>0</ML><MH>2</MH><TR>0</TR></TEST><ET><ED>03-02-2024 08:09:12</ED><NF>0</NF></ET></BI></R>";
    let converted = read(text);
    assert!(converted.notes[0].iter().any(|note| note.contains("more parts")), "{:?}", converted.notes);
    let report = converted.only();
    assert_eq!((report.pn.as_deref(), report.rev.as_deref(), report.sn.as_deref()), (Some("P"), Some("2"), Some("S")));
    assert_eq!(report.uut.unwrap().exec_time.unwrap().to_string(), "2.0");
    assert_eq!(report.misc_infos.unwrap()[0].text.as_deref(), Some("red"));
    assert_eq!(shown(&report.root.unwrap().steps.unwrap()[0]), "1 - GELE 0 2");
    let odd = read(&board("").replace("03-02-2024 08:09:10", "2024"));
    assert!(matches!(odd.errors.as_slice(), [ConvertError::Faults(_)]), "{:?}", odd.errors);
    let odd = read(&board("").replace("NF='0'", "NF='good'"));
    assert!(matches!(odd.errors.as_slice(), [ConvertError::Faults(_)]), "{:?}", odd.errors);
    let good_beside_bad = board("").replace("</R>", "<BI BCP='S2'><ET NF='0'/></BI></R>").replace("BCP='S1'", "");
    let converted = read(&good_beside_bad);
    assert_eq!((converted.reports.len(), converted.errors.len()), (1, 1), "{converted:?}");
    assert!(matches!(read("<R/>").end, Err(ConvertError::Malformed { .. })));
}

#[test]
fn it_is_told_from_other_xml() {
    assert_eq!(Seica.sniff(&crate::convert::Head::new(&data(SAMPLE))), 90);
    assert_eq!(Seica.sniff(&crate::convert::Head::new(b"<Reports><Report SN='1'/></Reports>")), 0);
    assert_eq!(Seica.sniff(&crate::convert::Head::new(b"<R><BI/></R>")), 0);
}

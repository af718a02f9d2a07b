use serde_json::json;
use waybill_shared::report::{Num, Report};

use super::*;
use crate::convert::testing::{Converted, convert, cut_anywhere, data, flip_anywhere, golden};

const SAMPLE: &str = "stepwize/20250316_133653_CONFIG_AND_RESULTS.XSPC";

fn step<'a>(report: &'a Report, name: &str) -> &'a Step {
    report.steps().find(|step| step.name.as_deref() == Some(name)).unwrap()
}

fn text(number: &Option<Num>) -> String {
    number.as_ref().map_or_else(String::new, ToString::to_string)
}

#[test]
fn the_sample_arrives_as_it_is() {
    let converted = golden(&StepWize, SAMPLE, &json!({}));
    let report = converted.only();
    assert_eq!((report.sn.as_deref(), report.pn.as_deref(), report.rev.as_deref()), (Some("SN65632341"), Some("PN1"), Some("A")));
    assert_eq!((report.result, report.start.as_deref()), (Some(Status::Passed), Some("2025-03-16T13:36:53.277+01:00")));
    assert_eq!(report.uut.as_ref().unwrap().user.as_deref(), Some("e"));
    let root = report.root.as_ref().unwrap();
    assert_eq!((root.name.as_deref(), root.steps.as_ref().unwrap().len()), (Some("sequenceFileName.xml"), 52));
    let numeric: Vec<_> = report.steps().flat_map(|step| step.numeric_meas.iter().flatten()).collect();
    // 233 rows: 51 outcomes and 51 iterations say of their step what each row says.
    assert_eq!(numeric.len(), 131);
    let count = |comparator: &str| numeric.iter().filter(|one| one.comp_op.as_deref() == Some(comparator)).count();
    assert_eq!((count("GELE"), count("LE"), count("LOG")), (98, 33, 0));
    let supply = step(&report, "Verify 24 VDC PS Voltage");
    let one = &supply.numeric_meas.as_ref().unwrap()[0];
    let shown = [text(&one.value), text(&one.low_limit), text(&one.high_limit), text(&supply.tot_time)];
    assert_eq!(shown[0], "2.3953554153442379e+1");
    assert!(shown[1].starts_with("2.3") && shown[2].starts_with("2.4") && shown[3].starts_with("3.708"), "{shown:?}");
    let check = step(&report, "10mA_CH1_-10 to 10 Volts Linear Check");
    let names: Vec<_> =
        check.numeric_meas.iter().flatten().map(|one| (one.name.as_deref().unwrap(), one.unit.as_deref().unwrap())).collect();
    assert_eq!(names, [("Offfset Max", "V"), ("Gain Accuracy", "%"), ("FS Error %", "%"), ("Gain", "Gain")]);
    let said = check.report_text.as_deref().unwrap();
    for part in [
        "assetID: VSI_PCB-001",
        "FS Error %: lowerLimit: -5.0000000000000000E+0",
        "Offfset Max: genus: Offset",
        "Overall Outcome: measurementOutcome: Performed- Record Only",
        "iteration: stringValue: 0",
        "Gain: stringValue: 9.990736963831114E-4",
        "stepResultID: BC78953",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    let action = step(&report, "Unlatch All");
    assert_eq!((action.step_type.as_deref(), action.status), (Some("ET_PFT"), Some(Status::Passed)));
    let infos: Vec<_> = report
        .misc_infos
        .iter()
        .flatten()
        .map(|info| (info.description.as_deref().unwrap(), info.text.as_deref().unwrap()))
        .collect();
    for info in
        [("operation", "SW Debug"), ("build", "1.0.1"), ("version", "000"), ("XMLFileTypeGUID", "AB34523123KL123453453FG12")]
    {
        assert!(infos.contains(&info), "{info:?}: {infos:?}");
    }
}

/// No field of a row is lost: each text of the file stands somewhere in the report.
#[test]
fn every_field_of_every_row_is_in_the_report() {
    let bytes = data(SAMPLE);
    let report = convert(&StepWize, "x.XSPC", &bytes, &json!({})).only();
    let all = serde_json::to_string(&report).unwrap().to_lowercase();
    let source = String::from_utf8(bytes).unwrap();
    let (mut fields, mut begin) = (0, 0);
    while let Some(at) = source[begin..].find("</") {
        let before = &source[begin..begin + at];
        let value = before.rsplit('>').next().unwrap_or_default().trim();
        begin += at + 2;
        // Times are on a clock with its offset there, verdicts are letters.
        let is_time = value.contains('T') && value.starts_with("2025-");
        if value.is_empty() || is_time || value == "Pass" {
            continue;
        }
        fields += 1;
        let shown = value.replace("&gt;", ">").replace("&lt;", "<").replace('\\', "\\\\").replace('"', "\\\"");
        // A mode that was understood is its comparator.
        assert!(all.contains(&shown.to_lowercase()) || shown.contains("UL"), "{value}");
    }
    assert!(fields > 5000, "{fields}");
}

#[test]
fn a_cut_or_spoilt_sample_is_never_a_clean_report() {
    let bytes = data(SAMPLE);
    // Header and first rows, then the end: small enough to cut it anywhere.
    let at = bytes.windows(21).enumerate().filter(|(_, window)| window == b"Config_and_Data_Resul").nth(12).unwrap().0;
    let mut small = bytes[..at - 1].to_vec();
    small.extend_from_slice(b"</Config_and_Result_Data></ConfigandResultsData></ConfigAndResultsDataFile>");
    convert(&StepWize, "x.XSPC", &small, &json!({})).only();
    cut_anywhere(&StepWize, "x.XSPC", &small, &json!({}));
    flip_anywhere(&StepWize, "x.XSPC", &small, &json!({}));
}

fn row(fields: &str) -> String {
    let of = |pair: &str| {
        let (name, value) = pair.split_once('=').unwrap();
        format!("<{name}>{}</{name}>", value.replace('<', "&lt;").replace('>', "&gt;"))
    };
    format!("<Config_and_Data_Result>{}</Config_and_Data_Result>", fields.split(';').map(of).collect::<String>())
}

fn unit(rows: &str) -> Converted {
    let text = format!(
        "<ConfigAndResultsDataFile><ConfigandResultsData><partNumber>P</partNumber><partRev>B</partRev><revision>A</revision>\
         <serialNumber>S1</serialNumber><sequencePF>Pass</sequencePF><Config_and_Result_Data>{rows}</Config_and_Result_Data>\
         </ConfigandResultsData></ConfigAndResultsDataFile>"
    );
    convert(&StepWize, "x.XSPC", text.as_bytes(), &json!({}))
}

#[test]
fn the_mode_says_which_limits_count_and_the_others_stand_in_the_text() {
    for (mode, comparator, low, high, rest) in [
        ("LL <= Value <= UL", "GELE", "1.0", "5", ""),
        ("LL<Value<UL", "GTLT", "1.0", "5", ""),
        ("LL < Value <= UL", "GTLE", "1.0", "5", ""),
        ("Value > LL", "GT", "1.0", "", "upperLimit: 5"),
        ("Value >= LL", "GE", "1.0", "", "upperLimit: 5"),
        ("Value <= UL", "LE", "5", "", "lowerLimit: 1.0"),
        ("Value < UL", "LT", "5", "", "lowerLimit: 1.0"),
        ("LL < Value", "GT", "1.0", "", "upperLimit: 5"),
        ("Value = LL", "EQ", "1.0", "", "upperLimit: 5"),
        ("Value != UL", "NE", "5", "", "lowerLimit: 1.0"),
        ("Value < LL OR Value > UL", "LTGT", "1.0", "5", ""),
        ("whatever", "LOG", "", "", "lowerLimit: 1.0\nupperLimit: 5\nlimitMode: whatever"),
    ] {
        let rows = row(&format!(
            "stepName=s;subItemName=v;lowerLimit=1.0;upperLimit=5;limitMode={mode};stepValue=7;units=V;measurementOutcome=Fail;dataType=0"
        ));
        let report = unit(&rows).only();
        let found = step(&report, "s");
        let one = &found.numeric_meas.as_ref().unwrap()[0];
        let shown = (one.comp_op.as_deref().unwrap(), text(&one.low_limit), text(&one.high_limit), one.status);
        assert_eq!(shown, (comparator, low.to_owned(), high.to_owned(), Some(Status::Failed)), "{mode}");
        let said = found.report_text.as_deref().unwrap_or_default();
        assert!(said.contains(rest) && !said.contains("units"), "{mode}: {said}");
    }
}

#[test]
fn iterations_of_a_loop_are_steps_with_their_number() {
    let of = |iteration: &str, value: &str| {
        row(&format!(
            "stepName=s;stepIndex=1;stepID=a;iteration={iteration};subItemName=v;stepValue={value};dataType=0;stepOutcome=Pass"
        ))
    };
    let report = unit(
        &[of("0", "1"), of("0", "2"), of("1", "3"), of("2", "4"), row("stepName=t;stepIndex=2;iteration=0;stepOutcome=Fail")]
            .concat(),
    )
    .only();
    let steps = report.root.as_ref().unwrap().steps.as_ref().unwrap();
    let shown: Vec<_> = steps
        .iter()
        .map(|step| {
            (
                step.loop_info.as_ref().and_then(|info| info.idx),
                step.numeric_meas.as_ref().map_or(0, Vec::len),
                step.status.unwrap(),
            )
        })
        .collect();
    let passed = Status::Passed;
    assert_eq!(shown, [(Some(0), 2, passed), (Some(1), 1, passed), (Some(2), 1, passed), (None, 0, Status::Failed)]);
    assert!(steps[3].report_text.as_deref().unwrap().contains("iteration: 0"));
}

#[test]
fn what_is_no_number_is_a_text_and_an_outcome_that_is_not_known_is_told() {
    let rows = [
        row(
            "stepName=a;subItemName=fw;dataType=2;stringValue=1.2;Expected_String=1.2;Case_Sensitive=T;measurementOutcome=Pass;stepValue=0.0",
        ),
        row("stepName=b;subItemName=ok;dataType=1;boolValue=T;Expected_Boolean=T;measurementOutcome=Pass"),
        row(
            "stepName=c;subItemName=x;dataType=0;stepValue=3;limitMode=Value > LL;lowerLimit=1;measurementOutcome=Odd;SI_Prefix=kilo [k] 10^3",
        ),
        row("stepName=d;subItemName=Overall Outcome;dataType=2;stringValue=Fail;stepOutcome=Pass;operator=x"),
        row("stepName=e;subItemName=v;dataType=0;stepValue=3;measurementOutcome=Not Performed;operator=y"),
    ];
    let converted = unit(&rows.concat());
    let notes = converted.notes[0].join("\n");
    assert!(notes.contains("\"Odd\" is not known") && notes.contains("the prefix \"kilo [k] 10^3\""), "{notes}");
    let report = converted.only();
    let fw = &step(&report, "a").string_meas.as_ref().unwrap()[0];
    assert_eq!((fw.comp_op.as_deref(), fw.value.as_deref(), fw.limit.as_deref()), (Some("CASESENSIT"), Some("1.2"), Some("1.2")));
    assert!(step(&report, "a").report_text.as_deref().unwrap().contains("stepValue: 0.0"));
    assert_eq!(step(&report, "b").string_meas.as_ref().unwrap()[0].value.as_deref(), Some("T"));
    assert!(step(&report, "b").report_text.as_deref().unwrap().contains("Expected_Boolean: T"));
    let odd = step(&report, "c");
    assert_eq!(odd.numeric_meas.as_ref().unwrap()[0].status, Some(Status::Passed), "by its limits");
    assert!(odd.report_text.as_deref().unwrap().contains("measurementOutcome: Odd"));
    let differs = step(&report, "d");
    assert_eq!(differs.status, Some(Status::Passed));
    assert!(differs.string_meas.is_some() && differs.report_text.as_deref().unwrap().contains("operator: x"), "{differs:?}");
    assert_eq!(step(&report, "e").status, Some(Status::Skipped));
    assert_eq!((report.rev.as_deref(), report.uut.unwrap().user), (Some("B"), None));
}

#[test]
fn a_unit_without_a_known_verdict_is_refused_and_a_file_without_a_unit_is_malformed() {
    let text = "<ConfigAndResultsDataFile><ConfigandResultsData><serialNumber>1</serialNumber><sequencePF>Blue</sequencePF></ConfigandResultsData>\
                <ConfigandResultsData><serialNumber>2</serialNumber><sequencePF>Fail</sequencePF></ConfigandResultsData></ConfigAndResultsDataFile>";
    let found = convert(&StepWize, "x.XSPC", text.as_bytes(), &json!({}));
    assert_eq!((found.reports.len(), found.errors.len()), (1, 1));
    let none = convert(&StepWize, "x.XSPC", b"<ConfigAndResultsDataFile/>", &json!({}));
    assert!(matches!(none.end, Err(ConvertError::Malformed { .. })));
}

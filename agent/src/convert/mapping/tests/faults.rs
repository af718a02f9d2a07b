//! What is wrong with a mapping file, all at once and with its line.

use super::*;

fn faults(toml_text: &str) -> Vec<(String, String)> {
    let faults = Mapping::parse(toml_text).err().unwrap_or_default();
    faults.into_iter().map(|fault| (fault.path, fault.message)).collect()
}

fn paths(toml_text: &str) -> Vec<String> {
    faults(toml_text).into_iter().map(|(path, _)| path).collect()
}

#[test]
fn all_faults_are_told_at_once_with_path_and_line() {
    let toml = "name = 'My Files'\nformat = 'csv'\ncolour = 'red'\n\n[text]\ndelimiter = ',,'\nencoding = 'klingon'\n\n[unit]\nsn = { nmae = 'SN' }\n\n\
                [columns]\npattern = '(?<nam>x'\n\n[[measurement]]\nvalue = 'a'\nlow = 'soon'\n";
    let found = faults(toml);
    let shown: Vec<_> = found.iter().map(|(path, message)| (path.as_str(), message.split(':').next().unwrap())).collect();
    for expected in [
        ("format", "line 2"),
        ("colour", "line 3"),
        ("text.delimiter", "line 6"),
        ("text.encoding", "line 7"),
        ("unit.sn.nmae", "line 10"),
        ("columns.pattern", "line 13"),
        ("measurement[0].low", "line 17"),
    ] {
        assert!(shown.contains(&expected), "{expected:?} in {found:?}");
    }
    assert!(found.iter().any(|(path, message)| path == "unit.sn.nmae" && message.contains("did you mean `name`?")), "{found:?}");
    let syntax = faults("name = 'a'\n[text\n");
    assert!(syntax.len() == 1 && syntax[0].1.starts_with("line 2"), "{syntax:?}");
    assert!(faults("name = 'a'\nname = 'b'\n")[0].1.contains("line 2"));
}

#[test]
fn what_does_not_go_together_is_a_fault() {
    let base = "name='a'\n";
    for (toml, path) in [
        ("name='Auto B'\n[columns]\npattern='(?<name>x)'", "name"),
        ("name='auto'\n[columns]\npattern='(?<name>x)'", "name"),
        ("", "name"),
        (base, "step"),
        ("name='a'\n[step]\nname='n'", "table.unit"),
        ("name='a'\n[table]\nunit='key'\n[step]\nname='n'", "table.key"),
        ("name='a'\n[table]\nkey=['x']\n[columns]\npattern='(?<name>x)'", "table.key"),
        ("name='a'\n[table]\nunit='section'\n[columns]\npattern='(?<name>x)'", "table.unit"),
        ("name='a'\n[table]\nheader_rows=0\n[columns]\npattern='(?<name>x)'", "table.columns"),
        ("name='a'\n[columns]\npattern='(?<colour>x)'", "columns.pattern"),
        ("name='a'\n[columns]\npattern='x'", "columns.pattern"),
        ("name='a'\nformat='xml'", "element"),
        ("name='a'\nformat='xml'\n[step]\nname='n'\n[[element]]\nelement='x'", "step"),
        ("name='a'\nformat='json'\n[section]\nstart='x'\n[[element]]\nelement='x'", "section"),
        ("name='a'\n[[element]]\nelement='x'", "element"),
        ("name='a'\nformat='fixed'\n[[measurement]]\nvalue='x'", "text.fixed"),
        ("name='a'\nformat='fixed'\n[text]\nfixed=[{name='x',from=5,to=4}]\n[[measurement]]\nvalue='x'", "text.fixed"),
        ("name='a'\n[text]\nfixed=[{name='x',from=1}]\n[[measurement]]\nvalue='x'", "text.fixed"),
        ("name='a'\n[text]\ndecimal='comma'\nquote=''\n[[measurement]]\nvalue='x'", "text.decimal"),
        ("name='a'\n[comparators]\nabout='NEAR'\n[[measurement]]\nvalue='x'", "comparators.about"),
        ("name='a'\n[[measurement]]\nvalue='x'\ncomparator='NEAR'", "measurement"),
        ("name='a'\n[[measurement]]\nvalue={column=3}", "measurement"),
        ("name='a'\n[unit]\nsn={column=0}\n[[measurement]]\nvalue='x'", "unit.sn.column"),
        ("name='a'\n[unit]\nsn={optional=true}\n[[measurement]]\nvalue='x'", "unit.sn"),
        ("name='a'\n[unit]\nstart_time='x'\n[[measurement]]\nvalue='x'", "unit.start"),
        ("name='a'\n[time]\nzone='Mars'\n[[measurement]]\nvalue='x'", "time.zone"),
        ("name='a'\n[time]\nformats=['%!']\n[[measurement]]\nvalue='x'", "time.formats"),
        ("name='a'\n[recognise]\npattern='x'\nsure=20\n[[measurement]]\nvalue='x'", "recognise.sure"),
    ] {
        assert!(paths(toml).iter().any(|found| found == path), "{toml:?}: {path} in {:?}", faults(toml));
    }
}

#[test]
fn a_pattern_has_bounds() {
    let measured = "\n[[measurement]]\nvalue='x'";
    for pattern in ["((a{100}){100}){100}", &"a".repeat(3000), "(?=x)", "(a)\\\\1"] {
        let toml = format!("name='a'\n[section]\nstart=\"{pattern}\"{measured}");
        assert_eq!(paths(&toml), ["section.start"], "{pattern:.40}");
    }
    let slow = read(&format!("name='a'\n[section]\nstart='^(a+)+$'{measured}"), &format!("{}!\n", "a".repeat(20_000)));
    assert!(!slow.errors.is_empty() || slow.end.is_err());
}

#[test]
fn places_of_values_are_told_unit_by_unit() {
    let (units, end) = explain(&delivered("Test Data VDM.csv"), "Test Data VDM.csv", &data("mapping/Test Data VDM.csv"));
    assert_eq!((units.len(), end), (107, Ok(())));
    let tell =
        |field: &str, value: &str, place: &str| explain::Tell { field: field.into(), value: value.into(), place: place.into() };
    let second = &units[1].fields;
    assert!(second.contains(&tell("unit.sn", "0000019", "line 3, column 3 (Serial Number)")), "{second:?}");
    assert!(second.contains(&tell("unit.pn", "VDM", "name of the file")));
    assert!(second.contains(&tell("columns (Initial Power Check TP73)", "23.736", "line 3, column 7")));
    let (units, _) = explain(&delivered("header-and-table.csv"), "x", &data("mapping/header-and-table.csv"));
    assert!(units[0].fields.contains(&tell("unit.operator", "Jürgen", "line 4 (Operator)")), "{:?}", units[0].fields);
    assert!(units[0].fields.contains(&tell("step.high", "40", "line 11, column 4 (Max)")));
    let (units, _) = explain(&delivered("XMLReport.xml"), "x", &data("mapping/XMLReport.xml"));
    assert!(units[0].fields.contains(&tell("unit.sn", "12345", "line 4 (Header/SerialNumber)")), "{:?}", units[0].fields);
    assert!(units[0].fields.contains(&tell("element.low", "310", "line 18 (@LowLim)")), "{:?}", units[0].fields);
    let (units, _) = explain(&delivered("custom.json"), "x", &data("mapping/custom.json"));
    assert!(units[1].fields.contains(&tell("element.value", "4.40", "units[1].tests[0].value (value)")), "{:?}", units[1].fields);
    let text = explain::text(&units);
    assert!(text.contains("unit 2\n") && text.contains("  unit.sn = \"J2\"  ("), "{text}");
    let wrong = explain(&mapping("name='a'\n[unit]\nsn='NO'\n[columns]\npattern='(?<name>V)'"), "x", b"SN,V\n1,2\n").0;
    assert!(explain::text(&wrong).contains("error: unit.sn: missing"), "{}", explain::text(&wrong));
}

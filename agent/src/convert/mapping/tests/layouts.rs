//! Layouts B, C, D and E of FORMATS.md section 3, cells at fixed places, JSON.

use super::*;

#[test]
fn b_rows_with_the_same_key_are_one_unit() {
    let converted = sample("steps-per-row.csv", "steps-per-row.csv");
    let reports = &converted.reports;
    let units: Vec<_> = reports.iter().map(|report| (report.sn.clone().unwrap(), report.result.unwrap())).collect();
    assert_eq!(units, [("B1".to_owned(), Status::Passed), ("B2".to_owned(), Status::Failed)]);
    let (b1, b2) = (&reports[0], &reports[1]);
    assert_eq!((b1.start.as_deref(), b1.pn.as_deref()), (Some("2024-04-03T10:00:00+02:00"), Some("PCB-100")), "day first");
    assert_eq!(steps(b1).iter().map(|step| step.name.clone().unwrap()).collect::<Vec<_>>(), ["Power", "Data"]);
    assert_eq!(shown(step(b1, "5V")), "GELE 4.98 4.90 5.10 V Passed");
    assert_eq!(shown(step(b1, "3V3")), "GTLT 3.30 3.20 3.40 V Passed", "a word for a comparator");
    assert_eq!(step(b1, "3V3").report_text.as_deref(), Some("Comment: warm; 25 °C"), "a quoted delimiter");
    assert_eq!(shown(step(b2, "5V")), "GELE 5.20 4.90 5.10 V Failed");
    assert_eq!(shown(step(b2, "3V3")), "GE 3.31 3.20 - V Passed", "`-` is no limit");
    let version = step(b2, "Version");
    assert_eq!(version.string_meas.as_ref().unwrap()[0].value.as_deref(), Some("1.2.3"));
    assert_eq!((version.status, version.report_text.as_deref()), (Some(Status::Done), Some("Comment: said \"no\"")));
    assert!(converted.notes.iter().flatten().all(|note| !note.contains("first row")), "{:?}", converted.notes);
}

#[test]
fn b_what_the_last_unit_lacks_may_still_be_written() {
    let toml = "name='b'\n[table]\nunit='key'\nkey=['sn']\n[unit]\nsn='sn'\n[step]\nname='step'\nvalue='value'\nstatus='ok'";
    let rows = "sn,step,value,ok\nA,1,1,PASS\nA,2,1,PASS\nB,1,1,PASS\n";
    let begun = read(toml, rows);
    assert!(matches!(begun.end, Err(ConvertError::Incomplete { .. })), "{:?}", begun.end);
    assert_eq!(begun.reports.len(), 1);
    assert_eq!(read(toml, &format!("{rows}B,2,1,PASS\n")).all().len(), 2);
    assert_eq!(read(toml, &rows.replace("B,1,1,PASS", "B,1,1,FAIL")).all().len(), 2, "a test that failed may stop there");
    let other = read(
        "name='b'\n[table]\nunit='key'\nkey=['sn']\n[unit]\nsn='sn'\noperator='op'\n[step]\nname='step'\nvalue='value'",
        "sn,op,step,value\nA,x,1,1\nA,y,2,1\n",
    );
    assert!(other.notes[0].iter().any(|note| note.contains("\"op\" is \"y\" here")), "{:?}", other.notes);
    let wrong_key = read(&toml.replace("['sn']", "['serial']"), rows);
    assert!(wrong_key.end.unwrap_err().to_string().contains("no column \"serial\""));
}

#[test]
fn c_lines_of_name_and_value_then_a_table() {
    let report = sample("header-and-table.csv", "header-and-table.csv").only();
    assert_eq!((report.sn.as_deref(), report.pn.as_deref()), (Some("SN-100"), Some("PCB-7")));
    assert_eq!((report.start.as_deref(), report.result), (Some("2024-11-29T15:29:00+01:00"), Some(Status::Failed)));
    let uut = report.uut.as_ref().unwrap();
    assert_eq!((uut.user.as_deref(), uut.error_code), (Some("Jürgen"), Some(17)));
    assert_eq!(info(&report, "Firmware").as_deref(), Some("2.0;beta"), "what the mapping does not mention");
    assert_eq!(shown(step(&report, "Supply")), "GELE 5.01 4.75 5.25 V Passed");
    assert_eq!(shown(step(&report, "Temperature")), "GELE 45.50 10 40 °C Failed");
    let checksum = step(&report, "Checksum");
    assert_eq!((checksum.string_meas.as_ref().unwrap()[0].value.as_deref(), checksum.status), (Some("0x1F"), Some(Status::Done)));
}

#[test]
fn c_also_without_a_table() {
    let toml = "name='c'\n[header]\nseparator='='\n[table]\nunit='section'\n[unit]\nsn='SN'\nresult='RES'\n\
                [[measurement]]\nvalue='VOUT'\nunit='V'\nlow='4.90'\nhigh=5.1\n[[measurement]]\nvalue={name='IOUT', optional=true}\n";
    let report = read(toml, "SN=1\nRES=PASS\n\nVOUT=4.95\nTEMP=25\n").only();
    assert_eq!(shown(&steps(&report)[0]), "GELE 4.95 4.90 5.1 V Passed");
    assert_eq!((steps(&report).len(), info(&report, "TEMP").as_deref()), (1, Some("25")));
}

#[test]
fn d_rows_of_columns_that_the_mapping_describes() {
    let reports = sample("BOARD_run.dat", "BOARD_run.dat").all();
    let shown_all: Vec<Vec<_>> = reports.iter().map(|report| steps(report).iter().map(shown).collect()).collect();
    assert_eq!(shown_all[0], ["GELE 4.980 4.90 5.10 V Passed", "LT 0.31 0.50 - A Passed"]);
    assert_eq!(shown_all[1], ["GELE 5.20 4.90 5.10 V Failed"], "`*` is an empty cell");
    assert_eq!(shown_all[2][1], "LT 0.50 0.50 - A Failed");
    assert!(reports.iter().all(|report| report.pn.as_deref() == Some("BOARD")));
    let noted = sample("BOARD_run.dat", "BOARD_run.dat").notes;
    assert!(noted[2].iter().any(|note| note.contains("says that the unit has passed; 1 of its steps")), "{noted:?}");
}

#[test]
fn e_several_units_between_marks() {
    let reports = sample("sections.txt", "sections.txt").all();
    let units: Vec<_> =
        reports.iter().map(|report| (report.sn.clone().unwrap(), report.result.unwrap(), steps(report).len())).collect();
    assert_eq!(units, [("E1".to_owned(), Status::Passed, 2), ("E2".to_owned(), Status::Failed, 1)]);
    assert_eq!(reports[0].start.as_deref(), Some("2024-01-02T15:04:05+01:00"), "the source's zone wins over the mapping's");
    let (own, _) = explain(&delivered("sections.txt"), "x", &data("mapping/sections.txt"));
    let own = own[0].unit.as_ref().unwrap().report.start.clone();
    assert_eq!(own.as_deref(), Some("2024-01-02T15:04:05-05:00"), "the zone of the mapping");
    assert_eq!(reports[0].uut.as_ref().unwrap().exec_time.as_ref().unwrap().to_string(), "1.250");
    assert!(reports.iter().all(|report| info(report, "Machine").as_deref() == Some("M7")), "said of all of them");
    assert_eq!(shown(step(&reports[0], "V2")), "GELE 1.10 1.0 1.2 - Passed");
    let bytes = data("mapping/sections.txt");
    let mapping = delivered("sections.txt");
    let text = String::from_utf8(bytes).unwrap();
    let (first, _) = text.split_at(text.rfind("Verdict").unwrap());
    let cut = convert(&mapping, "x", first.as_bytes(), &json!({}));
    assert_eq!(cut.reports.len(), 1);
    assert!(matches!(cut.end, Err(ConvertError::Incomplete { .. })), "{:?}", cut.end);
    let lost = convert(&mapping, "x", text.replacen("END\nBEGIN", "BEGIN", 1).as_bytes(), &json!({}));
    assert_eq!((lost.reports.len(), lost.errors.len()), (1, 1), "a unit without its end does not lose the other");
}

#[test]
fn cells_at_fixed_places() {
    let reports = sample("fixed.prn", "fixed.prn").all();
    assert_eq!(reports[0].start.as_deref(), Some("2024-01-02T03:04:05+01:00"));
    let shown: Vec<_> = reports.iter().map(|report| shown(&steps(report)[0])).collect();
    assert_eq!(shown, ["GELE 4.98 4.9 5.1 V Passed", "GELE 5.20 4.9 5.1 V Failed"]);
    assert_eq!(reports[1].result, Some(Status::Failed));
}

#[test]
fn json_of_ones_own() {
    let reports = sample("custom.json", "custom.json").all();
    let first = &reports[0];
    assert_eq!((first.sn.as_deref(), first.machine_name.as_deref()), (Some("J1"), Some("ST9")));
    assert_eq!(first.uut.as_ref().unwrap().exec_time.as_ref().unwrap().to_string(), "2.5");
    assert_eq!(shown(step(first, "5V")), "GELE 4.70 4.50 5.00 V Passed", "digits stay");
    assert_eq!(step(first, "5V").report_text.as_deref(), Some("site: 2"));
    assert_eq!(shown(step(first, "3V3")), "GT 3.3 3.2 - V Passed");
    assert_eq!(steps(first).iter().map(|step| step.name.clone().unwrap()).collect::<Vec<_>>(), ["Power", "Version", "LED"]);
    assert_eq!(step(first, "Version").status, Some(Status::Passed));
    assert_eq!(step(first, "LED").boolean_meas.as_ref().unwrap()[0].status, Some(Status::Passed));
    assert_eq!((info(first, "line").as_deref(), info(&reports[1], "extra/a").as_deref()), (Some("3"), Some("b")));
    assert_eq!(shown(step(&reports[1], "5V")), "GELE 4.40 4.50 5.00 V Failed");
    let list =
        mapping("name='l'\nformat='json'\n[tree]\nunit='item'\n[unit]\nsn='sn'\n[[element]]\nelement='m'\nname='n'\nvalue='v'");
    let units = convert(&list, "x", br#"[{"sn":1,"m":{"n":"a","v":2}},{"sn":"2","m":[{"n":"a","v":"x"}]}]"#, &json!({})).all();
    assert_eq!(units.iter().map(|unit| unit.sn.clone().unwrap()).collect::<Vec<_>>(), ["1", "2"]);
}

#[test]
fn paths_choose_one_of_many_elements() {
    let toml = "name='x'\nformat='xml'\n[tree]\nunit='Panel/Board'\nignore=['Trash']\n[unit]\nsn=\"P[@n='SN/1']/@v\"\npn=\"P[Key='PN']/Value\"\nbatch='/Lot'\n\
                [[element]]\nelement='Results/T'\nname='@n'\nvalue='.'\nlow='L'\n";
    let xml = "<R><Lot>L7</Lot><Line>3</Line><Panel><Board><P n='x' v='no'/><P n='SN/1' v='S1'/><P><Key>PN</Key><Value>P1</Value></P>\
               <Trash>t</Trash><Results Who='me'><T n='a'>5<L>4</L><U>V</U></T></Results><T n='not'>1</T></Board></Panel></R>";
    let report = read(toml, xml).only();
    assert_eq!((report.sn.as_deref(), report.pn.as_deref()), (Some("S1"), Some("P1")));
    assert_eq!(report.uut.as_ref().unwrap().batch_sn.as_deref(), Some("L7"));
    assert_eq!(shown(step(&report, "a")), "GE 5 4 - - Passed");
    assert_eq!(step(&report, "a").report_text.as_deref(), Some("U: V"));
    assert_eq!(steps(&report).len(), 1);
    let infos: Vec<_> = report.misc_infos.iter().flatten().map(|info| info.description.clone().unwrap()).collect();
    assert_eq!(infos, ["P/n", "P/v", "P/n", "P/Key", "Results/Who", "T/n", "T", "Line"]);
    let none = read(&toml.replace("Panel/Board", "Panel/Bord"), xml);
    assert!(none.end.unwrap_err().to_string().contains("nothing stands at tree.unit"));
}

#[test]
fn what_the_mapping_names_must_be_there_and_an_unknown_word_refuses_the_unit_alone() {
    let toml = "name='a'\n[unit]\nsn='SN'\nresult='Res'\n[columns]\npattern='^(?<name>V.*)$'\n[status]\npassed=['jo']\n";
    let odd = read(toml, "SN,Res,V1\n1,jo,2\n2,hmm,2\n");
    assert_eq!((odd.reports.len(), odd.errors.len()), (1, 1));
    assert!(odd.errors[0].to_string().contains("\"hmm\" is not known"), "{:?}", odd.errors);
    let missing = read(toml, "SN,Result,V1\n1,jo,2\n");
    assert!(
        missing.errors[0].to_string().contains("unit.result: missing: there is no column and no line \"Res\""),
        "{:?}",
        missing.errors
    );
    let optional = toml.replace("result='Res'", "result={name='Res',optional=true}");
    assert_eq!(read(&optional, "SN,V1\n1,2\n").only().result, Some(Status::Done));
    let time = read(
        "name='a'\n[unit]\nsn='SN'\nstart='T'\n[time]\nformats=['%d.%m.%Y']\n[columns]\npattern='^(?<name>V.*)$'",
        "SN,T,V1\n1,2024-01-02,2\n2,02.01.2024,2\n",
    );
    assert_eq!((time.reports.len(), time.errors.len()), (1, 1), "{:?}", time.errors);
    let comparator =
        "name='a'\n[table]\nunit='section'\n[unit]\nsn={constant='1'}\n[step]\nname='n'\nvalue='v'\nlow='l'\ncomparator='c'";
    assert!(read(comparator, "n,v,l,c\na,1,0,about\n").errors[0].to_string().contains("comparator \"about\""));
}

#[test]
fn rows_of_other_lengths_quotes_and_line_ends_are_read_as_they_are() {
    let toml = "name='a'\n[unit]\nsn='SN'\n[columns]\npattern='^(?<name>V.*)$'\n";
    let odd = read(toml, "SN,V1,V2,Note\n1,2\n2,3,4,x,5,\n\n3,\"4\n\",,\"a \"\"b\"\"\"\n");
    assert_eq!(odd.reports.iter().map(|report| steps(report).len()).collect::<Vec<_>>(), [1, 2, 1], "{:?}", odd.errors);
    assert_eq!(odd.reports[1].root.as_ref().unwrap().report_text.as_deref(), Some("column 5: 5"));
    assert!(odd.notes[1].iter().any(|note| note.contains("6 cells and its header 4")), "{:?}", odd.notes);
    assert_eq!(info(&odd.reports[2], "Note").as_deref(), Some("a \"b\""));
    let open = read(toml, "SN,V1\n1,2\n2,\"3\n");
    assert!(matches!(open.end, Err(ConvertError::Incomplete { .. })), "{:?}", open.end);
    let last = read(toml, "SN,V1\n1,2\n2,3");
    assert_eq!((last.reports.len(), last.end.unwrap_err().to_string().contains("text.open_end")), (1, true));
    assert_eq!(read(&format!("{toml}[text]\nopen_end=true\n"), "SN,V1\n1,2\n2,3").all().len(), 2);
    let tabs = format!("{toml}[text]\ndelimiter='tab'\nquote=''\n");
    assert_eq!(
        read(&tabs, "SN\tV1\n1\t5\"\n").only().steps().nth(1).unwrap().string_meas.as_ref().unwrap()[0].value.as_deref(),
        Some("5\"")
    );
    let none = read(toml, "SN,V1\n");
    assert!(none.end.unwrap_err().to_string().contains("finds no unit"));
}

#[test]
fn the_decimal_sign_is_that_of_values_and_limits_whatever_else_has_a_point() {
    let toml = "name='d'\n[text]\ndelimiter=';'\n[header]\n[table]\nunit='section'\n[unit]\nsn='SN'\nrev='Rev'\n[step]\nname='n'\nvalue='v'\nlow='l'\n";
    let report = read(toml, "SN;1\nRev;1.0\n\nn;v;l;Version\na;4,75;4,5;2.1\n").only();
    assert_eq!((shown(&steps(&report)[0]).as_str(), report.rev.as_deref()), ("GE 4.75 4.5 - - Passed", Some("1.0")));
    let given = read(&toml.replace("[header]", "decimal='point'\n[header]"), "SN;1\nRev;1.0\n\nn;v;l\na;4,75;4,5\n").only();
    assert_eq!(steps(&given)[0].string_meas.as_ref().unwrap()[0].value.as_deref(), Some("4,75"), "what is no number is a text");
}

#[test]
fn a_file_of_many_units_takes_no_long_time() {
    let begun = std::time::Instant::now();
    let units: String = (0..1000).map(|number| format!("<u><sn>{number}</sn><m n='a'>1</m></u>")).collect();
    let toml = "name='x'\nformat='xml'\n[tree]\nunit='u'\n[unit]\nsn='sn'\n[[element]]\nelement='m'\nname='@n'\nvalue='.'\n";
    assert_eq!(read(toml, &format!("<r><line>7</line>{units}</r>")).all().len(), 1000);
    let rows: String = (0..6000).map(|number| format!("{},s{number},{number}\n", number / 2)).collect();
    let toml = "name='b'\n[table]\nunit='key'\nkey=['sn']\n[unit]\nsn='sn'\n[step]\nname='n'\nvalue='v'";
    assert_eq!(read(toml, &format!("sn,n,v\n{rows}")).all().len(), 3000);
    assert!(begun.elapsed() < std::time::Duration::from_secs(60), "{:?}", begun.elapsed());
}

#[test]
fn several_header_rows_are_one_name() {
    let toml = "name='h'\n[table]\nheader_rows=2\n[unit]\nsn='SN'\n[columns]\npattern='^(?<name>V\\d) (?<unit>\\S+)$'\n";
    let report = read(toml, "SN,V1,V2\n,mV,A\n1,2,3\n").only();
    assert_eq!(steps(&report).iter().map(shown).collect::<Vec<_>>(), ["LOG 2 - - mV Done", "LOG 3 - - A Done"]);
}

#[test]
fn the_source_wins_over_the_mapping_and_the_file_over_both() {
    let toml = "name='a'\n[text]\nencoding='shift_jis'\n[unit]\nsn='SN'\noperator='Op'\npn={name='PN', constant='C'}\n[columns]\npattern='^(?<name>V.*)$'\n";
    let bytes = b"SN,Op,PN,V1\n1,\x83e,F,2\n2,x,,2\n";
    let reports = convert(&mapping(toml), "x", bytes, &json!({})).all();
    let user = |report: &Report| report.uut.as_ref().unwrap().user.clone().unwrap();
    assert_eq!((user(&reports[0]).as_str(), reports[0].pn.as_deref(), reports[1].pn.as_deref()), ("テ", Some("F"), Some("C")));
    let latin = convert(&mapping(toml), "x", bytes, &json!({"encoding": "windows-1252"})).all();
    assert_eq!(user(&latin[0]), "ƒe");
}

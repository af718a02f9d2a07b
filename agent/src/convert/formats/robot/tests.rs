use serde_json::{Value, json};
use waybill_shared::report::{Report, Status, Step};

use super::*;
use crate::convert::testing::{Converted, convert, cut_anywhere, data, flip_anywhere, golden};

const SAMPLES: [&str; 3] = ["golden_suite-output.xml", "golden.xml", "robot4_skip.xml"];

fn sample(name: &str) -> Converted {
    golden(&Robot, &format!("robot/{name}"), &json!({"no_serial_number": "file name"}))
}

/// Tests by their verdict, as [passed, failed, skipped].
fn counts(report: &Report) -> [usize; 3] {
    let verdicts: Vec<_> = report.steps().filter(|step| step.boolean_meas.is_some()).collect();
    [Status::Passed, Status::Failed, Status::Skipped]
        .map(|status| verdicts.iter().filter(|step| step.status == Some(status)).count())
}

fn step<'a>(report: &'a Report, name: &str) -> &'a Step {
    report.steps().find(|step| step.name.as_deref() == Some(name)).unwrap()
}

fn text(step: &Step) -> &str {
    step.report_text.as_deref().unwrap_or_default()
}

#[test]
fn version_2_the_failing_teardown_of_the_root_fails_the_test_that_passed() {
    let converted = sample("golden_suite-output.xml");
    let notes = &converted.notes[0];
    let note = "the teardown of the suite \"Data\" failed, and with it 1 tests whose own status is another: My test";
    assert!(notes.iter().any(|found| found == note), "{notes:?}");
    assert!(!notes.iter().any(|note| note.contains("statistics")), "they count it so, too: {notes:?}");
    let report = converted.only();
    assert_eq!((counts(&report), report.result), ([0, 4, 0], Some(Status::Failed)));
    let own = report.steps().filter(|step| text(step).contains("own status: Passed")).count();
    assert_eq!(own, 2, "the test, and the suite that it is in");
    let test = step(&report, "My test");
    assert_eq!(test.error_message.as_deref(), Some("Parent suite teardown failed: AssertionError"));
    assert_eq!(report.start.as_deref(), Some("2011-05-31T12:48:09.026+02:00"));
    assert_eq!(report.uut.as_ref().unwrap().exec_time.as_ref().unwrap().to_string(), "0.062");
    let root = report.root.as_ref().unwrap();
    assert_eq!(
        (root.name.as_deref(), root.error_message.as_deref()),
        (Some("Data"), Some("Suite teardown failed:\nAssertionError"))
    );
    assert_eq!(root.seq_call.as_ref().unwrap().path.as_deref(), Some("/tmp/data"));
    let kinds: Vec<_> =
        root.steps.iter().flatten().map(|step| (step.name.as_deref().unwrap(), step.group.as_deref().unwrap())).collect();
    assert_eq!(kinds, [("BuiltIn.Log", "S"), ("All Settings", "M"), ("Failing Suite", "M"), ("BuiltIn.Fail", "C")]);
    let infos: Vec<_> = report.misc_infos.iter().flatten().map(|info| info.description.as_deref().unwrap()).collect();
    assert_eq!(infos, ["generated", "generator", "root", "meta", "version"]);
    for part in ["tag: someothertag", "tag: sometag", "timeout: 1 minute", "doc: Test docs"] {
        assert!(text(test).contains(part), "{part}: {}", text(test));
    }
    assert!(text(root).contains("error of the run: ERROR Error in file"), "{}", text(root));
    let fails = step(&report, "Lets fail at keyword");
    assert_eq!((fails.status, fails.tot_time.as_ref().unwrap().to_string()), (Some(Status::Failed), "0.002".to_owned()));
}

#[test]
fn version_4_has_skipped_tests() {
    let report = sample("robot4_skip.xml").only();
    assert_eq!((counts(&report), report.result), ([4, 2, 6], Some(Status::Failed)));
    let skipped = step(&report, "Test 10 Will Always Fail But Is Skipped On Failure");
    assert_eq!((skipped.status, skipped.error_message.as_deref()), (Some(Status::Skipped), None));
    assert!(text(skipped).contains("message: Test failed but its tags matched") && text(skipped).contains("tag: skipfail"));
    let failed = step(&report, "Test 8 Will Always Fail");
    assert_eq!(failed.error_message.as_deref(), Some("AssertionError"));
    let keyword = step(&report, "Fail");
    assert_eq!((keyword.step_type.as_deref(), keyword.status), (Some("ET_A"), Some(Status::Failed)));
    assert!(text(keyword).contains("library: BuiltIn") && text(keyword).contains("20210219 13:15:45.429 FAIL AssertionError"));
}

#[test]
fn version_7_has_start_and_elapsed_and_all_control_structures() {
    let report = sample("golden.xml").only();
    assert_eq!((counts(&report), report.result), ([1, 0, 0], Some(Status::Passed)));
    assert_eq!(report.start.as_deref(), Some("2011-10-24T13:41:20.873+02:00"));
    assert_eq!(report.uut.as_ref().unwrap().exec_time.as_ref().unwrap().to_string(), "0.079000");
    let root = report.root.as_ref().unwrap();
    assert_eq!(root.steps.as_ref().unwrap()[0].group.as_deref(), Some("S"));
    assert!(text(root).contains("Resource file 'nope' does not exist."));
    let info = report.misc_infos.as_ref().unwrap().iter().find(|info| info.description.as_deref() == Some("Nön-ÄSCÏÏ")).unwrap();
    assert_eq!(info.text.as_deref(), Some("🤖"));
    let test = step(&report, "First One");
    let of = |step: &Step| -> Vec<(String, Status)> {
        let named = |step: &Step| (step.name.clone().unwrap(), step.status.unwrap());
        step.steps.iter().flatten().map(named).collect()
    };
    use Status::{Passed, Skipped};
    let expected = [
        ("First One", Passed),
        ("Log", Passed),
        ("logs on trace", Passed),
        ("FOR", Passed),
        ("IF/ELSE", Passed),
        ("WHILE", Passed),
        ("TRY/EXCEPT", Passed),
    ];
    assert_eq!(of(test), expected.map(|(name, status)| (name.to_owned(), status)));
    assert_eq!(of(step(&report, "IF/ELSE")), [("IF".to_owned(), Skipped), ("ELSE".to_owned(), Passed)]);
    let branch = step(&report, "IF");
    assert!(text(branch).contains("condition: 'IF' == 'WRONG'") && text(branch).contains("status: NOT RUN"), "{}", text(branch));
    assert_eq!(of(step(&report, "TRY/EXCEPT")), [("TRY".to_owned(), Passed), ("EXCEPT".to_owned(), Skipped)]);
    let iteration = step(&report, "iteration");
    assert_eq!(iteration.loop_info.as_ref().unwrap().idx, Some(0));
    assert!(text(iteration).contains("var: ${x} = not in source"), "{}", text(iteration));
    let loops = step(&report, "FOR");
    for part in ["flavor: IN", "var: ${x}", "value: not in source"] {
        assert!(text(loops).contains(part), "{part}: {}", text(loops));
    }
    assert!(report.steps().any(|step| text(step).contains("2024-08-26T13:34:29.548424 INFO ${variable} = 2")));
}

#[test]
fn a_cut_or_spoilt_sample_is_never_a_clean_report() {
    for name in SAMPLES {
        let bytes = data(&format!("robot/{name}"));
        cut_anywhere(&Robot, name, &bytes, &json!({"no_serial_number": "generate"}));
        flip_anywhere(&Robot, name, &bytes, &json!({"no_serial_number": "generate"}));
    }
}

fn run(suite: &str, arguments: &Value) -> Converted {
    let text = format!(
        "<robot generator='Robot 7.1' generated='2024-01-01T00:00:00' schemaversion='5'><suite name='S'><meta name='Serial Number'>A1</meta>\
         <meta name='PN'>P2</meta>{suite}</suite></robot>"
    );
    convert(&Robot, "output.xml", text.as_bytes(), arguments)
}

const PASS: &str = "<status status='PASS' start='2024-01-03T12:40:13.5' elapsed='1.250'/>";

#[test]
fn metadata_name_the_unit_and_its_time_is_the_stations() {
    let report = run(&format!("<test name='t'>{PASS}</test>{PASS}"), &json!({})).only();
    assert_eq!((report.sn.as_deref(), report.pn.as_deref()), (Some("A1"), Some("P2")));
    assert_eq!(report.start_utc.as_deref(), Some("2024-01-03T11:40:13.5Z"));
    assert_eq!(step(&report, "t").start.as_deref(), Some("2024-01-03T12:40:13.5+01:00"));
}

#[test]
fn keywords_are_shown_to_the_depth_that_is_asked_for_and_what_went_wrong_below_is_told() {
    let inner = "<kw name='inner'><kw name='deep'><msg level='INFO'>quiet</msg><msg level='WARN'>loud</msg><msg level='FAIL'>bang</msg>\
                 <status status='FAIL' elapsed='0'/></kw><status status='FAIL' elapsed='0'/></kw>";
    let test = format!(
        "<test name='t'><kw name='outer' owner='L'>{inner}<arg>x</arg><status status='FAIL' elapsed='0'/></kw>\
         <status status='FAIL' elapsed='0'>bang</status></test>{PASS}"
    );
    let of = |depth: i64| {
        let report = run(&test, &json!({"keyword_depth": depth})).only();
        let names: Vec<_> = report.steps().map(|step| step.name.clone().unwrap()).collect();
        let texts: Vec<_> = report.steps().map(text).collect();
        (names.join(" "), texts.join("\n"))
    };
    let (names, texts) = of(1);
    assert_eq!(names, "S t t outer");
    for part in [
        "owner: L",
        "arg: x",
        "WARN inner > deep: loud",
        "FAIL inner > deep: bang",
        "not shown: 2 keywords further down, 1 messages",
    ] {
        assert!(texts.contains(part), "{part}: {texts}");
    }
    assert!(!texts.contains("quiet"));
    assert_eq!(of(0).0, "S t");
    let (names, texts) = of(3);
    assert_eq!(names, "S t t outer inner deep");
    assert!(texts.contains("INFO quiet") && !texts.contains("not shown"), "{texts}");
    let converted = run(&test, &json!({"keyword_depth": 1}));
    assert!(converted.notes[0].iter().any(|note| note.starts_with("1 messages are not shown")), "{:?}", converted.notes);
    assert!(converted.notes[0].iter().any(|note| note.contains("passed although tests in it failed")), "{:?}", converted.notes);
    assert_eq!(converted.only().result, Some(Status::Passed), "the root suite's own status counts");
}

#[test]
fn whatever_is_nested_the_report_is_not_deeper_than_readers_take() {
    let keywords = |deep: usize| {
        let nested = format!("{}{}", "<kw name='k'>".repeat(deep), format!("{PASS}</kw>").repeat(deep));
        run(&format!("<test name='t'>{nested}{PASS}</test>{PASS}"), &json!({"keyword_depth": 1000})).only()
    };
    assert_eq!(keywords(40).steps().count(), 43);
    let deep = keywords(200);
    assert_eq!(deep.steps().count(), 51);
    assert!(deep.steps().any(|step| text(step).contains("not shown: 152 keywords further down")));
    let suites = format!("{}<test name='t'>{PASS}</test>{}", "<suite name='s'>".repeat(60), format!("{PASS}</suite>").repeat(60));
    assert!(matches!(run(&suites, &json!({})).errors[..], [ConvertError::Faults(_)]));
}

#[test]
fn a_long_log_is_kept_up_to_its_bound() {
    let message = format!("<msg level='INFO'>{}</msg>", "x".repeat(1000));
    let test = format!("<test name='t'><kw name='k'>{}{PASS}</kw>{PASS}</test>{PASS}", message.repeat(100));
    let report = run(&test, &json!({})).only();
    let kept = text(step(&report, "k"));
    assert!(kept.contains("not shown: 0 keywords further down, 35 messages") && kept.len() < 70_000, "{}", kept.len());
}

#[test]
fn a_teardown_decides_as_robot_framework_does() {
    let suite = |status: &str, of_suite: &str| {
        let tests = format!(
            "<test name='p'>{PASS}</test><test name='f'><status status='FAIL' elapsed='0'>own</status></test>\
             <test name='s'><status status='SKIP' elapsed='0'/></test>"
        );
        let text = format!(
            "{tests}<kw name='down' type='TEARDOWN'><msg level='FAIL'>gone</msg><status status='{status}' elapsed='0'/></kw>\
             <status status='{of_suite}' elapsed='0'/>"
        );
        run(&text, &json!({}))
    };
    let failed = suite("FAIL", "FAIL");
    assert!(failed.notes[0].iter().any(|note| note.contains("with it 1 tests")), "{:?}", failed.notes);
    let failed = failed.only();
    assert_eq!(counts(&failed), [0, 2, 1]);
    assert_eq!(step(&failed, "p").error_message.as_deref(), Some("Parent suite teardown failed: gone"));
    assert!(text(step(&failed, "f")).contains("also the teardown of its suite failed: gone"));
    assert_eq!(step(&failed, "f").error_message.as_deref(), Some("own"));
    let skipped = suite("SKIP", "SKIP").only();
    assert_eq!((counts(&skipped), skipped.result), ([0, 0, 3], Some(Status::Done)));
    let not_run = suite("NOT RUN", "FAIL").only();
    assert_eq!(counts(&not_run), [1, 1, 1]);
    assert_eq!(counts(&suite("PASS", "FAIL").only()), [1, 1, 1]);
}

#[test]
fn statistics_are_checked_and_not_used() {
    let text = |all: &str| {
        format!(
            "<robot generator='x' generated='y'><suite name='S'><test name='t'>{PASS}</test>{PASS}</suite><statistics><total>\
             <stat pass='9' fail='9'>Critical Tests</stat>{all}</total></statistics></robot>"
        )
    };
    let notes = |all: &str| {
        let converted = convert(&Robot, "o.xml", text(all).as_bytes(), &json!({"no_serial_number": "generate"}));
        converted.notes[0].iter().filter(|note| note.contains("statistics")).count()
    };
    assert_eq!(notes("<stat pass='1' fail='0'>All Tests</stat>"), 0);
    assert_eq!(notes("<stat pass='1' fail='0' skip='2'>All Tests</stat>"), 1);
}

#[test]
fn combined_results_have_no_start_and_the_earliest_in_them_counts() {
    let inner = |time: &str| {
        format!(
            "<suite name='i{time}'><test name='t' ><status status='PASS' starttime='20240103 {time}' endtime='20240103 12:59:59.000'/></test>\
             <status status='PASS' starttime='20240103 {time}' endtime='N/A'/></suite>"
        )
    };
    let text = format!("{}{}<status status='PASS' starttime='N/A' endtime='N/A'/>", inner("12:40:13.100"), inner("12:30:00.000"));
    let converted = run(&text, &json!({}));
    assert!(converted.notes[0].iter().any(|note| note.contains("the earliest in it is taken")), "{:?}", converted.notes);
    let report = converted.only();
    assert_eq!(report.start.as_deref(), Some("2024-01-03T12:30:00+01:00"));
    assert_eq!(report.uut.as_ref().unwrap().exec_time, None);
    assert_eq!(step(&report, "t").tot_time.as_ref().unwrap().to_string(), "1185.9");
}

#[test]
fn what_tested_nothing_is_no_unit_and_what_has_no_verdict_is_refused() {
    for nothing in ["", "<status status='PASS'/>"] {
        assert!(matches!(run(nothing, &json!({})).errors[..], [ConvertError::Malformed { .. }]), "{nothing}");
    }
    for unknown in ["", "<status status='MAYBE'/>"] {
        let found = run(&format!("<test name='t'>{unknown}</test>{PASS}"), &json!({}));
        assert!(matches!(&found.errors[..], [ConvertError::Faults(faults)] if faults[0].message.contains("\"t\"")), "{unknown}");
    }
}

#[test]
fn groups_variables_and_returns_of_version_7_and_loops_of_version_3_are_steps() {
    let test = format!(
        "<test name='t' line='7'><group name='G'><variable name='${{x}}' scope='LOCAL'><var>1</var>{PASS}</variable>\
         <return><value>2</value>{PASS}</return>{PASS}</group>\
         <kw name='${{i}} IN [ 1 ]' type='for'><kw name='${{i}} = 1' type='foritem'>{PASS}</kw>{PASS}</kw>{PASS}</test>{PASS}"
    );
    let report = run(&test, &json!({})).only();
    let names: Vec<_> = report.steps().map(|step| step.name.as_deref().unwrap()).collect();
    assert_eq!(names, ["S", "t", "t", "G", "${x}", "RETURN", "${i} IN [ 1 ]", "${i} = 1"]);
    assert!(text(step(&report, "${x}")).contains("scope: LOCAL") && text(step(&report, "${x}")).contains("var: 1"));
    assert!(text(step(&report, "RETURN")).contains("value: 2"));
    assert!(text(step(&report, "${i} = 1")).contains("type: foritem"));
    assert!(text(step(&report, "t")).contains("line: 7"));
}

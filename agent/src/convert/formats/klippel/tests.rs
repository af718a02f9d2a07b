use serde_json::json;
use waybill_shared::schema::Map;

use super::*;
use crate::convert::testing::data;
use crate::convert::{Arguments, Content};

const NAME: &str = "DUT xyz116 2020-05-14 10-02-51-3 UTC+0200";
const FILES: [&str; 6] = [
    "Sound Pressure-values.txt",
    "Impedance-imp.txt",
    "Impedance-values.txt",
    "Sound Pressure-rbz.txt",
    "Sound Pressure-resp.txt",
    "Sound Pressure-thd.txt",
];

fn read(master: &[u8], folder: &[(String, Vec<u8>)]) -> Result<Unit, ConvertError> {
    let given: Map<_, _> = json!({"time_zone": "Asia/Tokyo"}).as_object().cloned().unwrap();
    let input = Input {
        content: Content::Bytes(master),
        file_name: "DUT.txt",
        modified: jiff::Timestamp::UNIX_EPOCH,
        arguments: Arguments::new(&given),
    };
    unit(&input, folder)
}

fn folder() -> Vec<(String, Vec<u8>)> {
    FILES.iter().map(|name| ((*name).to_owned(), data(&format!("klippel/{NAME}/{name}")))).collect()
}

fn master() -> Vec<u8> {
    data(&format!("klippel/{NAME}.txt"))
}

fn changed(from: &str, to: &str) -> Result<Unit, ConvertError> {
    let text = String::from_utf8(master()).unwrap();
    assert!(text.contains(from));
    read(text.replace(from, to).as_bytes(), &folder())
}

fn step<'a>(report: &'a Report, name: &str) -> &'a Step {
    report.steps().find(|step| step.name.as_deref() == Some(name)).unwrap()
}

#[test]
fn the_sample_arrives_as_it_is() {
    let Unit { report, notes, .. } = read(&master(), &folder()).unwrap();
    assert_eq!((report.sn.as_deref(), report.result, notes), (Some("xyz116"), Some(Status::Passed), Vec::<String>::new()));
    assert_eq!(report.start.as_deref(), Some("2020-05-14T10:02:51.303+02:00"), "the offset of the file");
    assert_eq!(report.start_utc.as_deref(), Some("2020-05-14T08:02:51.303Z"));
    assert_eq!(report.uut.as_ref().unwrap().user.as_deref(), Some("win:m.liebig"));
    let root = report.root.as_ref().unwrap().steps.as_ref().unwrap();
    assert_eq!(
        root.iter().map(|step| step.name.as_deref().unwrap()).collect::<Vec<_>>(),
        ["Impedance", "Sound Pressure", "fs", "pol"]
    );
    for (name, value, low, high, comparator) in [
        ("re", "3.2088", Some("2.8764"), Some("3.5156"), "GELE"),
        ("level", "94.372", Some("91.337"), Some("97.337"), "GELE"),
        ("qts", "1.1325", None, None, "LOG"),
    ] {
        let one = &step(&report, name).numeric_meas.as_ref().unwrap()[0];
        let num = |text: Option<&str>| text.and_then(Num::parse);
        assert_eq!((&one.value, &one.low_limit, &one.high_limit), (&num(Some(value)), &num(low), &num(high)), "{name}");
        assert_eq!(one.comp_op.as_deref(), Some(comparator), "{name}");
    }
    assert_eq!(step(&report, "qts").status, Some(Status::Done), "nobody judged it");
    for (name, curves, points) in [("imp", 3, 129), ("resp", 3, 161), ("rbz", 2, 0), ("thd", 2, 0)] {
        let series = step(&report, name).chart.as_ref().unwrap().series.as_ref().unwrap();
        assert_eq!((series.len(), step(&report, name).status), (curves, Some(Status::Passed)), "{name}");
        if points > 0 {
            assert!(series.iter().all(|one| one.xdata.as_ref().unwrap().split(';').count() == points), "{name}");
        }
    }
    let imp = step(&report, "imp").chart.as_ref().unwrap();
    let first = |index: usize| imp.series.as_ref().unwrap()[index].ydata.as_ref().unwrap().split(';').next().unwrap().to_owned();
    assert_eq!([first(0), first(1), first(2)], ["3.2410", "3.4030", "3.0445"]);
    let rbz = step(&report, "rbz").chart.as_ref().unwrap().series.as_ref().unwrap()[0].clone();
    assert!(rbz.xdata.unwrap().starts_with("206.00;") && rbz.ydata.unwrap().starts_with("59.824;"), "`-` is no point");
    let infos: Vec<_> = report.misc_infos.iter().flatten().filter_map(|info| info.description.clone()).collect();
    assert!(infos.contains(&"Cfg_Speaker".to_owned()) && !infos.iter().any(|name| name.starts_with("Results_")), "{infos:?}");
}

#[test]
fn the_order_of_the_files_changes_nothing_and_their_content_does() {
    let mut turned = folder();
    turned.reverse();
    let unit = read(&master(), &folder()).unwrap();
    assert_eq!(read(&master(), &turned).unwrap(), unit);
    turned[0].1.extend_from_slice(b"20500\t-\t-\n");
    assert_ne!(read(&master(), &turned).unwrap().own_hash, unit.own_hash);
}

#[test]
fn only_1_is_passed() {
    for (code, status) in
        [("0", Status::Failed), ("2", Status::Failed), ("-1", Status::Error), ("3", Status::Error), ("4", Status::Error)]
    {
        let unit = changed("Ctrl_OverallVerdict=1", &format!("Ctrl_OverallVerdict={code}")).unwrap();
        assert_eq!((unit.report.result, unit.notes.is_empty()), (Some(status), code == "0"), "{code}");
    }
    assert!(matches!(changed("Ctrl_OverallVerdict=1", "Ctrl_OverallVerdict=7"), Err(ConvertError::Malformed { .. })));
    let failed = changed("Results_Fail=\n", "Results_Fail=re\n").unwrap().report;
    assert_eq!(step(&failed, "re").status, Some(Status::Failed), "the later list counts");
    let warned = changed("Results_Warning=\n", "Results_Warning=qts\tf9\n").unwrap().report;
    assert_eq!(step(&warned, "qts").report_text.as_deref(), Some("Results: Warning"));
    assert_eq!(step(&warned, "f9").boolean_meas.as_ref().unwrap()[0].status, Some(Status::Failed));
}

#[test]
fn times_east_and_west_are_read_and_wrong_ones_refused() {
    let west = changed("-303-120-", "-303--300-").unwrap().report;
    assert_eq!(west.start.as_deref(), Some("2020-05-14T10:02:51.303-05:00"));
    assert!(matches!(changed("2020-5-20-135", "2020-13-20-135"), Err(ConvertError::Malformed { .. })));
    assert!(matches!(changed("-303-120-1.589E+09", ""), Err(ConvertError::Malformed { .. })));
}

#[test]
fn points_beyond_the_limits_of_a_curve_that_passed_are_noted() {
    let mut files = folder();
    files[1].1 = b"frq\timp\tmax\tmin\n100\t5\t4\t3\n200\t3,5\t4\t3\n".to_vec();
    let unit = read(&master(), &files).unwrap();
    assert!(unit.notes.iter().any(|note| note.contains("1 of its 2 points are beyond")), "{:?}", unit.notes);
    files[1].1 = b"frq\tother\tmax\n100\t5\t4\n".to_vec();
    assert_eq!(step(&read(&master(), &files).unwrap().report, "other").status, Some(Status::Failed), "where nobody judged it");
    files[1].1 = b"frq\timp\n100\thigh\n".to_vec();
    assert!(read(&master(), &files).unwrap_err().to_string().contains("Impedance-imp.txt, line 2"));
}

#[test]
fn what_is_not_there_yet_is_waited_for() {
    let is_incomplete = |found: Result<Unit, ConvertError>| matches!(found, Err(ConvertError::Incomplete { .. }));
    assert!(is_incomplete(read(&master(), &[])), "its folder");
    let (whole, files) = (master(), folder());
    let unit = read(&whole, &files).unwrap();
    for cut in 0..whole.len() {
        let found = read(&whole[..cut], &files);
        let ends_a_line = cut > 0 && whole[cut - 1] == b'\n';
        assert!(
            is_incomplete(found.clone()) || ends_a_line && found.as_ref().is_ok_and(|found| found.report.sn == unit.report.sn),
            "{cut}: {found:?}"
        );
    }
    for file in 0..files.len() {
        let mut cut = files.clone();
        cut[file].1.pop();
        assert!(is_incomplete(read(&whole, &cut)), "{}", files[file].0);
    }
    assert_eq!((sniff(&whole), sniff(b"Cfg_Something=1\n")), (95, 0));
}

use std::io::Write as _;

use serde_json::json;
use waybill_shared::report::{Num, NumericMeas, Report, Status, Step};

use super::*;
use crate::convert::testing::{Converted, convert, cut_anywhere, data, flip_anywhere, golden};

/// A file in the making.
#[derive(Clone)]
struct Made {
    big: bool,
    bytes: Vec<u8>,
}

/// The fields of a record in the making.
struct Data {
    big: bool,
    bytes: Vec<u8>,
}

impl Data {
    fn u1(mut self, value: u8) -> Self {
        self.bytes.push(value);
        self
    }
    fn u2(mut self, value: u16) -> Self {
        self.bytes.extend(if self.big { value.to_be_bytes() } else { value.to_le_bytes() });
        self
    }
    fn u4(mut self, value: u32) -> Self {
        self.bytes.extend(if self.big { value.to_be_bytes() } else { value.to_le_bytes() });
        self
    }
    fn r4(self, value: f32) -> Self {
        self.u4(value.to_bits())
    }
    fn cn(mut self, text: &str) -> Self {
        self.bytes.push(u8::try_from(text.len()).unwrap());
        self.bytes.extend(text.as_bytes());
        self
    }
}

impl Made {
    /// FAR alone.
    fn bare(big: bool) -> Self {
        Self { big, bytes: Vec::new() }.with(0, 10, |data| data.u1(if big { 1 } else { 2 }).u1(4))
    }

    /// With a MIR: lot L1, part type PT.
    fn new() -> Self {
        Self::of(false)
    }

    fn of(big: bool) -> Self {
        Self::bare(big).with(1, 10, |data| {
            let data = data.u4(1).u4(1_000_000_000).u1(3).u1(b'P').u1(b' ').u1(b' ').u2(65535).u1(b' ');
            ["L1", "PT", "NODE", "TT", "JOB", "7", "", "op"].into_iter().fold(data, Data::cn)
        })
    }

    fn with(mut self, kind: u8, sub: u8, fill: impl FnOnce(Data) -> Data) -> Self {
        let data = fill(Data { big: self.big, bytes: Vec::new() }).bytes;
        let length = u16::try_from(data.len()).unwrap();
        self.bytes.extend(if self.big { length.to_be_bytes() } else { length.to_le_bytes() });
        self.bytes.extend([kind, sub]);
        self.bytes.extend(data);
        self
    }

    fn pir(self, site: u8) -> Self {
        self.with(5, 10, |data| data.u1(1).u1(site))
    }

    fn prr(self, site: u8, part_flg: u8, id: &str) -> Self {
        self.prr_at(site, part_flg, id, (-32768, -32768))
    }

    fn prr_at(self, site: u8, part_flg: u8, id: &str, (x, y): (i16, i16)) -> Self {
        self.with(5, 20, |data| {
            let data = data.u1(1).u1(site).u1(part_flg).u2(0).u2(2).u2(65535);
            data.u2(x.cast_unsigned()).u2(y.cast_unsigned()).u4(1500).cn(id)
        })
    }

    /// A PTR that says all of its test.
    fn ptr(self, site: u8, number: u32, name: &str, result: f32, low: f32, high: f32) -> Self {
        self.flagged(site, number, name, result, [0, 0, 0], low, high)
    }

    /// With TEST_FLG, PARM_FLG and OPT_FLAG.
    #[allow(clippy::too_many_arguments, reason = "a record")]
    fn flagged(self, site: u8, number: u32, name: &str, result: f32, flags: [u8; 3], low: f32, high: f32) -> Self {
        self.with(15, 10, |data| {
            let data = data.u4(number).u1(1).u1(site).u1(flags[0]).u1(flags[1]).r4(result).cn(name).cn("");
            data.u1(flags[2]).u1(3).u1(3).u1(3).r4(low).r4(high).cn("V").cn("%5.2f").cn("").cn("")
        })
    }

    /// A PTR that ends after its name.
    fn short(self, site: u8, number: u32, name: &str, result: f32) -> Self {
        self.with(15, 10, |data| {
            let data = data.u4(number).u1(1).u1(site).u1(0).u1(0).r4(result);
            if name.is_empty() { data } else { data.cn(name) }
        })
    }

    fn mrr(self) -> Self {
        self.with(1, 20, |data| data.u4(5))
    }

    #[track_caller]
    fn convert(&self) -> Converted {
        convert(&Stdf, "x.stdf", &self.bytes, &json!({}))
    }

    #[track_caller]
    fn all(self) -> Vec<Report> {
        self.mrr().convert().all()
    }
}

fn leaves(report: &Report) -> Vec<&Step> {
    report.steps().filter(|step| !step.is_sequence_call()).collect()
}

fn numeric(step: &Step) -> &NumericMeas {
    &step.numeric_meas.as_ref().unwrap()[0]
}

fn shown(step: &Step) -> String {
    let NumericMeas { comp_op, value, low_limit, high_limit, unit, status, .. } = numeric(step);
    let text = |number: &Option<Num>| number.as_ref().map_or("-".to_owned(), ToString::to_string);
    let (comp_op, unit) = (comp_op.as_deref().unwrap(), unit.as_deref().unwrap_or("-"));
    format!("{} {comp_op} {} {} {unit} {}", text(value), text(low_limit), text(high_limit), status.unwrap())
}

fn info<'a>(report: &'a Report, name: &str) -> Option<&'a str> {
    report.misc_infos.iter().flatten().find(|info| info.description.as_deref() == Some(name))?.text.as_deref()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    packed.write_all(bytes).unwrap();
    packed.finish().unwrap()
}

fn bzip2(bytes: &[u8]) -> Vec<u8> {
    let mut packed = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
    packed.write_all(bytes).unwrap();
    packed.finish().unwrap()
}

#[test]
fn a_lot_of_1569_parts_arrives_as_it_is() {
    let converted = golden(&Stdf, "stdf/lot2.stdf.gz", &json!({"part_number": ""}));
    assert!(converted.notes.iter().flatten().all(|note| !note.contains("verdict")), "{:?}", converted.notes);
    let reports = converted.all();
    assert_eq!(reports.len(), 1569);
    assert_eq!(reports.iter().filter(|report| report.result == Some(Status::Failed)).count(), 180);
    assert_eq!(reports.iter().map(Report::measurement_count).sum::<usize>(), 52403);
    let report = &reports[1];
    assert_eq!((report.sn.as_deref(), report.pn.as_deref()), (Some("2"), Some("GOLD8BAR")));
    assert_eq!(report.machine_name.as_deref(), Some("galaxy-t"));
    assert_eq!(report.start_utc.as_deref(), Some("2001-06-05T20:50:22Z"));
    let uut = report.uut.as_ref().unwrap();
    assert_eq!((uut.batch_sn.as_deref(), uut.user.as_deref(), uut.test_socket_index), (Some("GAL-LOT"), Some("ews"), Some(0)));
    let call = report.root.as_ref().unwrap().seq_call.as_ref().unwrap();
    assert_eq!((call.name.as_deref(), call.version.as_deref()), (Some("mobile-05"), Some("16")));
    for (name, value) in [("Wafer", "GAL-LOT-02"), ("X", "20"), ("Y", "-3"), ("Hard bin", "1"), ("TEST_COD", "E38")] {
        assert_eq!(info(report, name), Some(value), "{name}");
    }
    assert_eq!(info(report, "HAND_TYP"), None);
    let section = &report.root.as_ref().unwrap().steps.as_ref().unwrap()[0];
    assert_eq!((section.name.as_deref(), section.steps.as_ref().map(Vec::len)), (Some("seqU738"), Some(74)));
    let failing: Vec<_> = reports.iter().flat_map(leaves).filter(|step| step.status == Some(Status::Failed)).collect();
    assert_eq!(failing.len(), 81);
    assert!(failing[..].iter().all(|step| step.report_text.as_deref().unwrap().starts_with("TEST_NUM: ")));
}

#[test]
fn sixty_whole_parts_come_of_a_file_without_an_end() {
    let converted = golden(&Stdf, "stdf/DERIVED-lot2-first60parts-no-summary.stdf", &json!({}));
    assert_eq!((converted.reports.len(), converted.errors.len()), (60, 0));
    assert!(
        matches!(&converted.end, Err(ConvertError::Incomplete { reason, .. }) if reason.contains("MRR")),
        "{:?}",
        converted.end
    );
    let first = leaves(&converted.reports[1])[0];
    assert_eq!(first.name.as_deref(), Some("glxy_SS_IH     <> glxy_pin2"));
    assert_eq!(shown(first), "-0.66164064 GTLT -0.9 -0.4 v Passed");
    assert_eq!(first.report_text.as_deref(), Some("TEST_NUM: 1000"));
    assert_eq!(leaves(&converted.reports[1]).len(), 74);
}

#[test]
fn a_file_without_parts_is_told_and_no_unit() {
    let converted = golden(&Stdf, "stdf/semi-ate-FAR-WIR-only.stdf", &json!({}));
    assert_eq!(converted.reports.len(), 0);
    assert!(matches!(&converted.end, Err(ConvertError::Incomplete { reason, .. }) if reason.contains("no part was tested")));
    let ended = Made::new().mrr().convert();
    assert!(matches!(&ended.end, Err(ConvertError::Malformed { reason, .. }) if reason.contains("no part was tested")));
}

/// Two sites, sections, texts, all kinds of records.
fn rich(big: bool) -> Made {
    let made = Made::of(big)
        .with(1, 60, |data| data.u2(1).u2(0).cn("ch1").cn("P1").cn("VDD").u1(1).u1(0))
        .with(1, 60, |data| data.u2(2).u2(0).cn("ch2").cn("P2").cn("").u1(1).u1(0))
        .with(1, 80, |data| data.u1(1).u1(1).u1(2).u1(0).u1(1).cn("H").cn("handler 3").cn("").cn("card 5"))
        .with(2, 10, |data| data.u1(1).u1(1).u4(9).cn("W01"))
        .with(1, 40, |data| data.u1(255).u1(0).u2(2).u4(1).u1(b'F').cn("leak"));
    let made = made.pir(0).pir(1).with(20, 10, |data| data.cn("DC")).ptr(0, 10, "Idd", 0.5, 0.1, 1.0).short(1, 10, "Idd", 0.7);
    let made = made.with(20, 20, |data| data).with(50, 30, |data| data.cn("hot"));
    let made = made.with(15, 15, |data| {
        let data = data.u4(20).u1(1).u1(0).u1(128).u1(0xC0).u2(2).u2(2).u1(0x21).r4(1.5).r4(9.5).cn("leak").cn("");
        let data = data.u1(0).u1(0).u1(0).u1(0).r4(1.0).r4(2.0).r4(0.0).r4(0.25).u2(1).u2(2);
        data.cn("uA").cn("V").cn("").cn("").cn("").r4(0.5).r4(3.0)
    });
    let made = made.with(15, 20, |data| {
        let data = data.u4(30).u1(1).u1(1).u1(128).u1(0b0011_0110).u4(77).u4(0).u4(0).u4(3).u4(0).u4(0).u2(0);
        let data = data.u2(1).u2(0).u2(2).u1(4).u2(3).u1(0b0000_0110);
        data.cn("vec7").cn("ts").cn("").cn("scan").cn("").cn("").cn("bad").u1(255)
    });
    made.with(50, 10, |data| data.u2(3).u1(10).cn("temp").u1(0).u1(7).r4(25.5))
        .prr_at(0, 0, "A1", (3, -4))
        .prr_at(1, 8, " B1 ", (5, 6))
        .mrr()
}

#[test]
fn both_byte_orders_and_packings_give_the_same() {
    let little = rich(false).convert().all();
    let own_hash = |report: Report| Report { id: None, ..report };
    let without_id = |reports: Vec<Report>| reports.into_iter().map(own_hash).collect::<Vec<_>>();
    assert_eq!(without_id(little.clone()), without_id(rich(true).convert().all()));
    for packed in [gzip(&rich(false).bytes), bzip2(&rich(false).bytes)] {
        assert_eq!(little, convert(&Stdf, "x.stdf", &packed, &json!({})).all());
        assert_eq!(Stdf.sniff(&crate::convert::Head::new(&packed)), 95);
        // As two packed parts, with padding behind them.
        let half = little.len();
        let bytes = rich(false).bytes;
        let pack: fn(&[u8]) -> Vec<u8> = if packed[0] == 0x1f { gzip } else { bzip2 };
        let joined = [pack(&bytes[..100]), pack(&bytes[100..]), vec![0; 512]].concat();
        assert_eq!(convert(&Stdf, "x.stdf", &joined, &json!({})).all().len(), half);
    }
    assert_eq!(Stdf.sniff(&crate::convert::Head::new(&gzip(b"serial;value"))), 0);
    assert_eq!((Stdf.sniff(&crate::convert::Head::new(b"\0\x02\0\x0a\x01\x04rest")), Stdf.sniff(&crate::convert::Head::new(b"\0\x02\0\x0a\x01\x03")), Stdf.sniff(&crate::convert::Head::new(b"{}"))), (95, 80, 0));
}

#[test]
fn interleaved_sites_are_two_parts_with_all_that_was_written() {
    let reports = rich(false).convert().all();
    let [first, second] = &reports[..] else { panic!("{}", reports.len()) };
    assert_eq!((first.sn.as_deref(), second.sn.as_deref()), (Some("A1"), Some("B1")));
    assert_eq!((first.result, second.result), (Some(Status::Passed), Some(Status::Failed)));
    let sections = |report: &Report| report.root.as_ref().unwrap().steps.as_ref().unwrap()[0].clone();
    assert_eq!((sections(first).name.as_deref(), sections(first).steps.unwrap().len()), (Some("DC"), 1));
    assert_eq!(shown(leaves(first)[0]), "0.5 GTLT 0.1 1.0 V Passed");
    assert_eq!(shown(leaves(second)[0]), "0.7 GTLT 0.1 1.0 V Passed", "limits and unit of the first record");
    let several = leaves(first)[1];
    assert_eq!((several.step_type.as_deref(), several.status), (Some("ET_MNLT"), Some(Status::Failed)));
    let values: Vec<_> =
        several.numeric_meas.iter().flatten().map(|one| (one.name.as_deref().unwrap(), one.status.unwrap())).collect();
    assert_eq!(values, [("VDD", Status::Passed), ("P2", Status::Failed)]);
    assert_eq!(shown(several), "1.5 GELE 1.0 2.0 uA Passed");
    let text = several.report_text.as_deref().unwrap();
    assert_eq!(text, "START_IN: 0.0 V\nINCR_IN: 0.25 V\nRTN_STAT: 1 2\nTEST_NUM: 20\nLO_SPEC: 0.5\nHI_SPEC: 3.0");
    let functional = leaves(second)[1];
    assert_eq!(
        (functional.name.as_deref(), functional.step_type.as_deref(), functional.status),
        (Some("scan"), Some("ET_PFT"), Some(Status::Failed))
    );
    let text = functional.report_text.as_deref().unwrap();
    for part in [
        "VECT_NAM: vec7",
        "TIME_SET: ts",
        "RSLT_TXT: bad",
        "CYCL_CNT: 77",
        "NUM_FAIL: 3",
        "RTN_STAT: P2=4",
        "FAIL_PIN: VDD P2",
        "TEST_NUM: 30",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
    assert!(!text.contains("REL_VADR") && !text.contains("XFAIL_AD"), "not valid by OPT_FLAG: {text}");
    for report in &reports {
        assert_eq!(report.root.as_ref().unwrap().report_text.as_deref(), Some("hot\ntemp; 25.5"));
        for (name, value) in
            [("Wafer", "W01"), ("HAND_ID", "handler 3"), ("STAT_NUM", "3"), ("MODE_COD", "P"), ("Hard bin name", "leak")]
        {
            assert_eq!(info(report, name), Some(value), "{name}");
        }
        assert_eq!(report.uut.as_ref().unwrap().fixture_id.as_deref(), Some("card 5"));
    }
    assert_eq!((info(first, "X"), info(first, "Y"), info(first, "Soft bin")), (Some("3"), Some("-4"), None));
    let notes = rich(false).convert().notes;
    assert!(notes[0].iter().any(|note| note.contains("passed although 1 of its tests failed")), "{notes:?}");
}

#[test]
fn defaults_are_of_the_number_and_the_text_and_flags_say_which_limits_count() {
    let made = Made::new().pir(0).ptr(0, 0, "a", 1.0, 0.0, 2.0).ptr(0, 0, "b", 1.0, -5.0, 5.0).ptr(0, 7, "c", 1.0, 0.0, 2.0);
    let made = made.short(0, 0, "b", 3.0).short(0, 0, "", 4.0).short(0, 7, "other", 1.0);
    // OPT_FLAG: default low; no high; both of its own; PARM_FLG: the limits themselves pass.
    let made = made.flagged(0, 7, "c", 1.0, [0, 0xC0, 1 << 4 | 1 << 7], 9.0, 9.0);
    let made = made.flagged(0, 7, "c", 1.0, [0, 0x40, 0], 0.5, 9.0).flagged(0, 7, "c", 1.0, [0, 0, 1 << 6], 9.0, 4.0);
    let made = made.flagged(0, 7, "c", 1.0, [0, 0, 1 << 6 | 1 << 7], 9.0, 4.0).short(0, 7, "c", 1.5).prr(0, 0, "1");
    let reports = made.all();
    let found: Vec<_> = leaves(&reports[0]).into_iter().map(shown).collect();
    let expected = [
        "1.0 GTLT 0.0 2.0 V Passed",
        "1.0 GTLT -5.0 5.0 V Passed",
        "1.0 GTLT 0.0 2.0 V Passed",
        "3.0 GTLT -5.0 5.0 V Passed",
        "4.0 GTLT 0.0 2.0 V Passed",
        "1.0 LOG - - - Passed",
        "1.0 GE 0.0 - V Passed",
        "1.0 GELT 0.5 9.0 V Passed",
        "1.0 LT 4.0 - V Passed",
        "1.0 LOG - - V Passed",
        "1.5 GTLT 0.0 2.0 V Passed",
    ];
    assert_eq!(found, expected);
}

#[test]
fn a_name_that_is_too_long_is_cut_and_kept() {
    let long = "x".repeat(150);
    let section = Made::new().pir(0).with(20, 10, |data| data.cn(&long)).ptr(0, 1, "t", 1.0, 0.0, 2.0).prr(0, 0, "1").all();
    let test = Made::new().pir(0).ptr(0, 1, &long, 1.0, 0.0, 2.0).prr(0, 0, "1").all();
    for report in [&section[0], &test[0]] {
        let step = report.steps().find(|step| step.name.as_ref().is_some_and(|name| name.len() == 100)).unwrap();
        assert!(step.report_text.as_ref().unwrap().contains(&long));
    }
}

#[test]
fn flags_of_a_test_are_its_status_and_nothing_of_them_is_lost() {
    for (flags, status, value, text) in [
        (0, "Passed", "1.5", ""),
        (1 << 7, "Failed", "1.5", ""),
        (1 << 6, "Done", "1.5", ""),
        (1 << 6 | 1 << 7, "Done", "1.5", ""),
        (1 << 4, "Skipped", "NaN", "not executed"),
        (1 << 5, "Terminated", "1.5", "aborted"),
        (1 << 3 | 1 << 6, "Error", "1.5", "timeout"),
        (1 << 3 | 1 << 7, "Failed", "1.5", "timeout"),
        (1 << 1 | 1 << 7, "Failed", "NaN", "RESULT (not valid): 1.5"),
        (1 << 7 | 1, "Failed", "1.5", "alarm"),
        (1 << 2, "Passed", "1.5", "unreliable"),
    ] {
        let made = Made::new().pir(0).flagged(0, 1, "t", 1.5, [flags, 0, 0], 0.0, 2.0).prr(0, 0, "1");
        let reports = made.all();
        let step = leaves(&reports[0])[0];
        assert_eq!(shown(step), format!("{value} GTLT 0.0 2.0 V {status}"), "{flags:b}");
        assert!(step.report_text.as_deref().unwrap().contains(text), "{flags:b}: {:?}", step.report_text);
    }
    let drift = Made::new().pir(0).flagged(0, 1, "t", 1.5, [0, 0b10_0010, 0], 0.0, 2.0).prr(0, 0, "1").all();
    assert!(leaves(&drift[0])[0].report_text.as_deref().unwrap().contains("PARM_FLG: drift error, passed by alternate limits"));
    let converted = Made::new().pir(0).ptr(0, 1, "t", 5.0, 0.0, 2.0).prr(0, 0, "1").mrr().convert();
    assert!(converted.notes[0].iter().any(|note| note.contains("by its limits")), "{:?}", converted.notes);
    for (part_flg, expected) in [
        (0, Status::Passed),
        (8, Status::Failed),
        (16, Status::Done),
        (24, Status::Done),
        (20, Status::Terminated),
        (4, Status::Terminated),
        (12, Status::Failed),
    ] {
        assert_eq!(Made::new().pir(0).prr(0, part_flg, "1").all()[0].result, Some(expected), "{part_flg:b}");
    }
}

#[test]
fn a_serial_number_is_what_the_source_asks_for() {
    let made = || {
        let made = Made::new().with(2, 10, |data| data.u1(1).u1(255).u4(9).cn("W2"));
        let made = made.pir(3).prr_at(3, 0, "  6 ", (-1, 2)).pir(3).prr_at(3, 0, "", (4, 5));
        made.with(2, 20, |data| data.u1(1).u1(255).u4(0)).pir(3).prr(3, 0, "").mrr()
    };
    for (argument, expected) in [
        ("part id", ["6", "L1-W2-4-5", "L1-3-3"]),
        ("lot-wafer-part id", ["L1-W2-6", "L1-W2-4-5", "L1-3-3"]),
        ("lot-wafer-x-y", ["L1-W2--1-2", "L1-W2-4-5", "L1-3-3"]),
        ("lot-site-n", ["L1-3-1", "L1-3-2", "L1-3-3"]),
    ] {
        let converted = convert(&Stdf, "x.stdf", &made().bytes, &json!({"serial_number": argument}));
        let found: Vec<_> = converted.all().into_iter().map(|report| report.sn.unwrap()).collect();
        assert_eq!(found, expected, "{argument}");
    }
    let nobody = Made::bare(true).pir(0).prr(0, 0, "").mrr().convert();
    assert!(matches!(&nobody.errors[..], [ConvertError::Faults(_)]), "a number is not made of nothing: {nobody:?}");
    assert_eq!(Made::bare(true).pir(0).prr(0, 0, "S1").all()[0].sn.as_deref(), Some("S1"));
}

#[test]
fn of_many_parts_those_are_reported_that_the_source_asks_for() {
    let mut made = Made::new();
    for part in 1..=7 {
        made = made.pir(0).prr(0, if part == 4 { 8 } else { 0 }, &part.to_string());
    }
    let made = made.mrr();
    let found = |arguments| {
        let all = convert(&Stdf, "x.stdf", &made.bytes, &arguments).all();
        all.into_iter().map(|report| report.sn.unwrap()).collect::<String>()
    };
    assert_eq!(found(json!({})), "1234567");
    assert_eq!(found(json!({"parts": "failed"})), "4");
    assert_eq!(found(json!({"parts": "failed and every nth", "nth": 3})), "346");
    assert_eq!(found(json!({"parts": "failed and every nth", "nth": 0})), "4");
}

#[test]
fn the_start_is_that_of_the_lot_and_what_its_site_tested_before() {
    let made = Made::new().pir(0).pir(1).prr(0, 0, "1").prr(1, 0, "2").pir(0).prr(0, 1, "1").mrr();
    let starts = |arguments| {
        let all = convert(&Stdf, "x.stdf", &made.bytes, &arguments).all();
        all.into_iter().map(|report| report.start_utc.unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(starts(json!({})), ["2001-09-09T01:46:40Z", "2001-09-09T01:46:40Z", "2001-09-09T01:46:41.5Z"]);
    assert_eq!(starts(json!({"clock": "local"}))[0], "2001-09-08T23:46:40Z");
    let retest = &made.convert().all()[2];
    assert_eq!(info(retest, "Supersedes"), Some("the earlier part of this PART_ID"));
    assert_eq!(retest.uut.as_ref().unwrap().exec_time.as_ref().unwrap().to_string(), "1.500");
}

#[test]
fn records_that_lack_their_partners_lose_no_part_beside_them() {
    let without_begin = Made::new().ptr(2, 1, "t", 1.0, 0.0, 2.0).prr(2, 0, "1").prr(0, 0, "2").mrr().convert();
    assert!(without_begin.notes.iter().all(|notes| notes.iter().any(|note| note.contains("no PIR"))));
    let reports = without_begin.all();
    assert_eq!((reports.len(), reports[0].measurement_count()), (2, 1));
    let without_end = Made::new().pir(0).ptr(0, 1, "t", 1.0, 0.0, 2.0).pir(0).prr(0, 0, "2").pir(1).mrr().convert();
    assert_eq!((without_end.reports.len(), without_end.errors.len(), &without_end.end), (1, 2, &Ok(())));
    assert!(without_end.errors.iter().all(|error| error.to_string().contains("no PRR")));
    assert_eq!(without_end.reports[0].measurement_count(), 0);
    // A section that a failed part did not end is not one of the next part.
    let section =
        Made::new().pir(0).with(20, 10, |data| data.cn("S")).prr(0, 8, "1").pir(0).ptr(0, 1, "t", 1.0, 0.0, 2.0).prr(0, 0, "2");
    let reports = section.all();
    assert_eq!(reports[1].steps().count(), 2);
    // One that was begun before the parts is of all.
    let outer = Made::new().with(20, 10, |data| data.cn("S")).pir(0).prr(0, 0, "1").pir(0).prr(0, 0, "2").all();
    assert!(outer.iter().all(|report| report.steps().any(|step| step.name.as_deref() == Some("S"))));
}

#[test]
fn what_is_not_of_this_version_is_noted_or_refused() {
    let noted = Made::new().with(180, 1, |data| data.u4(1)).pir(0).prr(0, 0, "1").mrr().convert();
    assert!(noted.notes[0].iter().any(|note| note.contains("type 180, subtype 1")), "{:?}", noted.notes);
    let cut =
        Made::new().pir(0).with(15, 10, |data| data.u4(1).u1(1).u1(0).u1(0).u1(0).r4(1.0).u1(20).u1(b'x')).prr(0, 0, "1").mrr();
    assert!(cut.convert().notes[0].iter().any(|note| note.contains("ends within a field")));
    for (bytes, reason) in [
        (&b"\0\x02\0\x0a\x01\x03"[..], "version 3"),
        (b"\x02\0\0\x0a\0\x04", "VAX"),
        (b"SN;VALUE", "FAR"),
        (b"\x1f\x8b\x08\0\0\0\0\0\0\x03\xff\xff\xff", "damaged"),
    ] {
        let end = convert(&Stdf, "x.stdf", bytes, &json!({})).end;
        assert!(matches!(&end, Err(ConvertError::Malformed { reason: found, .. }) if found.contains(reason)), "{end:?}");
    }
}

#[test]
fn a_lot_behind_another_has_its_own_header() {
    let mut first = Made::new().pir(0).prr(0, 0, "1").mrr();
    let second = Made::bare(false).pir(0).prr(0, 0, "2").mrr();
    first.bytes.extend(second.bytes);
    let reports = first.convert().all();
    let batch = |report: &Report| report.uut.as_ref().unwrap().batch_sn.clone();
    assert_eq!((batch(&reports[0]).as_deref(), batch(&reports[1])), (Some("L1"), None));
}

#[test]
fn a_part_with_more_results_than_a_report_takes_is_refused_alone() {
    let mut made = Made::new().pir(0);
    let one = Made { big: false, bytes: Vec::new() }.short(0, 1, "", 1.0).bytes;
    (0..=part::MOST).for_each(|_| made.bytes.extend(&one));
    let converted = made.prr(0, 0, "1").pir(0).prr(0, 0, "2").mrr().convert();
    assert_eq!((converted.reports.len(), converted.errors.len()), (1, 1));
    assert!(converted.errors[0].to_string().contains("more than 250000 results"), "{:?}", converted.errors);
}

#[test]
fn a_cut_or_spoilt_file_is_never_a_clean_report() {
    let plain = rich(true).bytes;
    for bytes in [&plain, &gzip(&plain), &bzip2(&plain)] {
        cut_anywhere(&Stdf, "x.stdf", bytes, &json!({}));
        flip_anywhere(&Stdf, "x.stdf", bytes, &json!({}));
    }
    let sample = data("stdf/DERIVED-lot2-first60parts-no-summary.stdf");
    cut_anywhere(&Stdf, "x.stdf", &sample[..20_000], &json!({}));
    flip_anywhere(&Stdf, "x.stdf", &sample[..20_000], &json!({}));
    let tiny = data("stdf/semi-ate-FAR-WIR-only.stdf");
    cut_anywhere(&Stdf, "x.stdf", &tiny, &json!({}));
    flip_anywhere(&Stdf, "x.stdf", &tiny, &json!({}));
}

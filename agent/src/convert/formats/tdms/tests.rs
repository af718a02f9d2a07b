use serde_json::json;

use super::*;
use crate::convert::testing::{Converted, convert, cut_anywhere, flip_anywhere};

const METADATA: u32 = 2;
const NEW_LIST: u32 = 4;
const RAW: u32 = 8;
const INTERLEAVED: u32 = 32;
const BIG: u32 = 64;
const DAQMX: u32 = 128;

/// Bytes in the order of a segment.
#[derive(Clone)]
struct Bytes(bool, Vec<u8>);

impl Bytes {
    fn u4(mut self, value: u32) -> Self {
        self.1.extend(if self.0 { value.to_be_bytes() } else { value.to_le_bytes() });
        self
    }
    fn u8(mut self, value: u64) -> Self {
        self.1.extend(if self.0 { value.to_be_bytes() } else { value.to_le_bytes() });
        self
    }
    fn f8(self, value: f64) -> Self {
        self.u8(value.to_bits())
    }
    fn u2(mut self, value: u16) -> Self {
        self.1.extend(if self.0 { value.to_be_bytes() } else { value.to_le_bytes() });
        self
    }
    fn text(mut self, text: &str) -> Self {
        self = self.u4(u32::try_from(text.len()).unwrap());
        self.1.extend(text.as_bytes());
        self
    }
    /// An object without values and with properties that are texts.
    fn object(self, path: &str, properties: &[(&str, &str)]) -> Self {
        let begun = self.text(path).u4(u32::MAX).u4(u32::try_from(properties.len()).unwrap());
        properties.iter().fold(begun, |bytes, (name, value)| bytes.text(name).u4(0x20).text(value))
    }
    /// A channel of so many values of a type, and how many properties follow.
    fn channel(self, path: &str, kind: u32, count: u64, properties: u32) -> Self {
        self.text(path).u4(20).u4(kind).u4(1).u8(count).u4(properties)
    }
}

/// A segment.
fn segment(contents: u32, metadata: impl FnOnce(Bytes) -> Bytes, raw: impl FnOnce(Bytes) -> Bytes) -> Vec<u8> {
    let is_big = contents & BIG != 0;
    let (metadata, raw) = (metadata(Bytes(is_big, Vec::new())).1, raw(Bytes(is_big, Vec::new())).1);
    let mut lead = Bytes(is_big, b"TDSm".to_vec());
    lead.1.extend(contents.to_le_bytes());
    let lead = lead.u4(4713).u8((metadata.len() + raw.len()) as u64).u8(metadata.len() as u64);
    [lead.1, metadata, raw].concat()
}

#[track_caller]
fn made(bytes: &[u8]) -> Converted {
    convert(&Tdms, "x.tdms", bytes, &json!({"values": "least, greatest and last", "no_serial_number": "generate"}))
}

fn curves(report: &Report) -> Vec<(String, String, String)> {
    let charts = report.steps().filter_map(|step| step.chart.as_ref());
    let of = |series: &waybill_shared::report::Series| {
        (series.name.clone().unwrap(), series.xdata.clone().unwrap(), series.ydata.clone().unwrap())
    };
    charts.flat_map(|chart| chart.series.iter().flatten().map(of).collect::<Vec<_>>()).collect()
}

fn curve(name: &str, x: &str, y: &str) -> (String, String, String) {
    (name.to_owned(), x.to_owned(), y.to_owned())
}

/// Two channels of two values each, of different types; a group and a file with properties.
fn two(order: u32) -> Vec<u8> {
    let head = |bytes: Bytes| {
        bytes
            .u4(4)
            .object("/", &[("name", "Lot test"), ("Serial_Number", "S1"), ("Line", "4")])
            .object("/'it''s'", &[("PartNo", "P1"), ("Comment", "c")])
            .channel("/'it''s'/'U'", 10, 2, 2)
            .text("wf_increment")
            .u4(10)
            .f8(0.001)
            .text("unit_string")
            .u4(0x20)
            .text("V")
            .channel("/'it''s'/'n'", 6, 2, 0)
    };
    segment(METADATA | NEW_LIST | RAW | order, head, |raw| raw.f8(1.5).f8(-2.25).u2(7).u2(65535))
}

#[test]
fn values_of_both_orders_lie_one_channel_after_the_other() {
    for order in [0, BIG] {
        let report = made(&two(order)).only();
        assert_eq!(curves(&report), [curve("U", "0;0.001", "1.5;-2.25"), curve("n", "0;1", "7;65535")]);
        assert_eq!((report.sn.as_deref(), report.pn.as_deref()), (Some("S1"), Some("P1")));
        let root = report.root.as_ref().unwrap();
        let group = &root.steps.as_ref().unwrap()[0];
        assert_eq!(
            (root.name.as_deref(), group.name.as_deref(), report.result),
            (Some("Lot test"), Some("it's"), Some(Status::Done))
        );
        assert!(group.report_text.as_deref().unwrap().contains("Comment: c"));
        let info = &report.misc_infos.as_ref().unwrap()[0];
        assert_eq!((info.description.as_deref(), info.text.as_deref()), (Some("Line"), Some("4")));
        let step = &group.steps.as_ref().unwrap()[0];
        let values: Vec<_> = step.numeric_meas.iter().flatten().map(|one| one.value.as_ref().unwrap().to_string()).collect();
        assert_eq!(values, ["-2.25", "1.5", "-2.25"]);
        let chart = step.chart.as_ref().unwrap();
        assert_eq!((chart.x_unit.as_deref(), chart.y_unit.as_deref()), (Some("s"), Some("V")));
    }
    assert_eq!((Tdms.sniff(&crate::convert::Head::new(&two(0))), Tdms.sniff(&crate::convert::Head::new(b"TDS"))), (95, 0));
}

#[test]
fn later_segments_say_only_what_is_new_and_hold_several_chunks() {
    let mut file = two(0);
    // The same channels: two chunks.
    file.extend(segment(RAW, |none| none, |raw| raw.f8(3.0).f8(4.0).u2(1).u2(2).f8(5.0).f8(6.0).u2(3).u2(4)));
    // One as before, the other with one value; then a new list, of one channel.
    let as_before = |bytes: Bytes| bytes.u4(1).channel("/'it''s'/'n'", 6, 1, 0);
    file.extend(segment(METADATA | RAW, as_before, |raw| raw.f8(7.0).f8(8.0).u2(5)));
    let again = |bytes: Bytes| bytes.u4(1).text("/'it''s'/'U'").u4(0).u4(0);
    file.extend(segment(METADATA | NEW_LIST | RAW | BIG, again, |raw| raw.f8(9.0).f8(10.0)));
    let found = curves(&made(&file).only());
    assert_eq!(found[0].2, "1.5;-2.25;3.0;4.0;5.0;6.0;7.0;8.0;9.0;10.0");
    assert_eq!(found[1].2, "7;65535;1;2;3;4;5");
}

#[test]
fn interleaved_values_texts_and_times_are_read() {
    let channels = |bytes: Bytes| bytes.u4(2).channel("/'g'/'a'", 9, 2, 0).channel("/'g'/'b'", 1, 2, 0);
    let file = segment(METADATA | NEW_LIST | RAW | INTERLEAVED, channels, |mut raw| {
        raw = raw.u4(0.1_f32.to_bits());
        raw.1.push(0xff);
        raw = raw.u4(0.2_f32.to_bits());
        raw.1.push(3);
        raw
    });
    assert_eq!(curves(&made(&file).only()), [curve("a", "0;1", "0.1;0.2"), curve("b", "0;1", "-1;3")]);
    let texts = |bytes: Bytes| {
        let bytes = bytes.u4(2).text("/'g'/'t'").u4(28).u4(0x20).u4(1).u8(2).u8(8 + 5).u4(0);
        bytes.channel("/'g'/'w'", 0x44, 1, 1).text("wf_start_time").u4(0x44).u8(1 << 63).u8(3_786_912_000)
    };
    let file = segment(METADATA | NEW_LIST | RAW, texts, |mut raw| {
        raw = raw.u4(2).u4(5);
        raw.1.extend(b"hithe");
        raw.u8(0).u8(2_082_844_800)
    });
    let report = made(&file).only();
    let steps: Vec<_> = report.steps().filter(|step| !step.is_sequence_call()).collect();
    assert_eq!(steps[0].report_text.as_deref(), Some("hi\nthe"));
    assert!(steps[1].report_text.as_deref().unwrap().ends_with("1970-01-01T00:00:00Z"), "{:?}", steps[1].report_text);
    assert_eq!(report.start_utc.as_deref(), Some("2024-01-01T00:00:00.5Z"));
}

#[test]
fn raw_values_are_scaled_or_left_out() {
    let scaled = |kind: &'static str| {
        segment(
            METADATA | NEW_LIST | RAW,
            move |bytes| {
                let bytes = bytes.u4(1).channel("/'g'/'a'", 2, 2, 4).text("NI_Number_Of_Scales").u4(7).u4(1);
                let bytes = bytes.text("NI_Scale[0]_Scale_Type").u4(0x20).text(kind);
                let bytes = bytes.text("NI_Scale[0]_Linear_Slope").u4(10).f8(0.5);
                bytes.text("NI_Scale[0]_Linear_Y_Intercept").u4(10).f8(10.0)
            },
            |raw| raw.u2(4).u2(0xffff),
        )
    };
    assert_eq!(curves(&made(&scaled("Linear")).only()), [curve("a", "0;1", "12.0;9.5")]);
    let unknown = made(&scaled("Thermistor"));
    assert!(
        unknown.notes[0].iter().any(|note| note.contains("Thermistor") && note.contains("2 values are left out")),
        "{:?}",
        unknown.notes
    );
    assert_eq!(curves(&unknown.only()), []);
}

#[test]
fn channels_of_daqmx_share_the_rows_of_a_buffer() {
    let channels = |bytes: Bytes| {
        let one = |bytes: Bytes, path: &str, kind: u32, offset: u32| {
            let bytes = bytes.text(path).u4(0x1269).u4(u32::MAX).u4(1).u8(2);
            bytes.u4(1).u4(kind).u4(0).u4(offset).u4(0).u4(0).u4(1).u4(6).u4(0)
        };
        one(one(bytes.u4(2), "/'g'/'a'", 3, 0), "/'g'/'b'", 5, 2)
    };
    let file = segment(METADATA | NEW_LIST | RAW | DAQMX, channels, |raw| raw.u2(0xfffe).u4(70_000).u2(5).u4(1));
    assert_eq!(curves(&made(&file).only()), [curve("a", "0;1", "-2;5"), curve("b", "0;1", "70000;1")]);
}

#[test]
fn a_file_that_was_not_finished_is_kept_only_if_the_source_asks_for_it() {
    let mut file = two(0);
    let mut open = segment(RAW, |none| none, |raw| raw.f8(3.0).f8(4.0).u2(1));
    open[12..20].copy_from_slice(&[0xff; 8]);
    file.extend(open);
    assert!(matches!(made(&file).end, Err(ConvertError::Incomplete { .. })));
    let kept = convert(&Tdms, "x.tdms", &file, &json!({"unfinished": "keep"})).only();
    assert_eq!((curves(&kept)[0].2.as_str(), curves(&kept)[1].2.as_str()), ("1.5;-2.25;3.0;4.0", "7;65535;1"));
    assert!(incomplete::is_marked(&kept) && kept.result == Some(Status::Terminated));
}

#[test]
fn what_is_damaged_or_empty_is_told() {
    for (bytes, reason) in [
        (segment(METADATA | NEW_LIST, |bytes| bytes.u4(1).object("/", &[]), |raw| raw), "no values"),
        (b"TDSh".iter().copied().chain([0; 24]).collect(), "index file"),
        (b"RIFF".iter().copied().chain([0; 24]).collect(), "no segment"),
        (segment(METADATA, |bytes| bytes.u4(1).text("/'g'/'a'").u4(0).u4(0), |raw| raw), "never described"),
        (segment(METADATA, |bytes| bytes.u4(1).channel("/'g'/'a'", 99, 1, 0), |raw| raw), "unknown type 99"),
        (segment(METADATA, |bytes| bytes.u4(u32::MAX), |raw| raw), "longer than the place"),
    ] {
        let end = made(&bytes).end;
        assert!(matches!(&end, Err(ConvertError::Malformed { reason: found, .. }) if found.contains(reason)), "{end:?}");
    }
    assert!(matches!(made(&two(0)[..100]).end, Err(ConvertError::Incomplete { .. })));
}

#[test]
fn a_cut_or_spoilt_file_is_never_a_clean_report() {
    let file = [two(0), two(BIG)].concat();
    cut_anywhere(&Tdms, "x.tdms", &file, &json!({}));
    flip_anywhere(&Tdms, "x.tdms", &file, &json!({}));
}

//! The records that tell of parts and their tests, field by field as the specification lists them.

use super::fields::Fields;

/// A flag of one byte.
pub(super) fn is_set(flags: u8, bit: u8) -> bool {
    flags >> bit & 1 == 1
}

/// What a record says of a limit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Stated {
    /// Nothing: that of the test's first record.
    Default,
    /// There is none.
    None,
    /// This one.
    Is(f32),
}

impl Stated {
    fn of(value: Option<f32>, default: bool, none: bool) -> Self {
        match value {
            _ if none => Self::None,
            Some(value) if !default => Self::Is(value),
            _ => Self::Default,
        }
    }
}

/// What a record says of its test, beside the results.
#[derive(Debug, Clone, Copy)]
pub(super) struct Said<'a> {
    pub(super) low: Stated,
    pub(super) high: Stated,
    pub(super) low_spec: Stated,
    pub(super) high_spec: Stated,
    /// UNITS; empty says nothing.
    pub(super) units: &'a [u8],
}

impl Said<'_> {
    /// FTR has none of these.
    pub(super) const NOTHING: Self =
        Self { low: Stated::Default, high: Stated::Default, low_spec: Stated::Default, high_spec: Stated::Default, units: b"" };
}

/// What all three records of results begin with.
#[derive(Debug, Clone, Copy)]
pub(super) struct Head {
    pub(super) number: u32,
    pub(super) part: (u8, u8),
    pub(super) test_flg: u8,
}

impl Head {
    /// What counts where a record ends before its flags: executed, no verdict.
    const NO_VERDICT: u8 = 1 << 6;

    fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let number = fields.u4()?;
        let part = (fields.u1()?, fields.u1()?);
        Some(Self { number, part, test_flg: fields.u1().unwrap_or(Self::NO_VERDICT) })
    }
}

/// One measurement.
#[derive(Debug)]
pub(super) struct Ptr<'a> {
    pub(super) head: Head,
    pub(super) parm_flg: u8,
    pub(super) result: Option<f32>,
    pub(super) text: &'a [u8],
    pub(super) alarm: &'a [u8],
    pub(super) said: Said<'a>,
}

impl<'a> Ptr<'a> {
    pub(super) fn read(fields: &mut Fields<'a>) -> Option<Self> {
        let head = Head::read(fields)?;
        let parm_flg = fields.u1().unwrap_or_default();
        let result = fields.r4();
        let text = fields.cn().unwrap_or_default();
        let alarm = fields.cn().unwrap_or_default();
        let said = match fields.u1() {
            None => Said::NOTHING,
            Some(opt_flag) => {
                fields.skip(3); // RES_SCAL, LLM_SCAL, HLM_SCAL: how it is displayed
                let (low, high) = (fields.r4(), fields.r4());
                let units = fields.cn().unwrap_or_default();
                formats(fields);
                said(opt_flag, low, high, units, fields)
            }
        };
        Some(Self { head, parm_flg, result, text, alarm, said })
    }
}

/// C_RESFMT, C_LLMFMT, C_HLMFMT: how it is displayed.
fn formats(fields: &mut Fields<'_>) {
    for _ in 0..3 {
        let _format = fields.cn();
    }
}

fn said<'a>(opt_flag: u8, low: Option<f32>, high: Option<f32>, units: &'a [u8], fields: &mut Fields<'a>) -> Said<'a> {
    let bit = |bit| is_set(opt_flag, bit);
    Said {
        low: Stated::of(low, bit(4), bit(6)),
        high: Stated::of(high, bit(5), bit(7)),
        low_spec: Stated::of(fields.r4(), false, bit(2)),
        high_spec: Stated::of(fields.r4(), false, bit(3)),
        units,
    }
}

/// Several measurements of one test, mostly one a pin.
#[derive(Debug)]
pub(super) struct Mpr<'a> {
    pub(super) head: Head,
    pub(super) parm_flg: u8,
    pub(super) states: Vec<u8>,
    pub(super) results: Vec<f32>,
    pub(super) text: &'a [u8],
    pub(super) alarm: &'a [u8],
    pub(super) said: Said<'a>,
    /// START_IN, INCR_IN and UNITS_IN: the condition that was varied.
    pub(super) input: Option<(f32, f32, &'a [u8])>,
    /// Indexes of the pins.
    pub(super) pins: Option<Vec<u16>>,
}

impl<'a> Mpr<'a> {
    pub(super) fn read(fields: &mut Fields<'a>) -> Option<Self> {
        let head = Head::read(fields)?;
        let parm_flg = fields.u1().unwrap_or_default();
        let pin_count = fields.u2().unwrap_or_default();
        let result_count = fields.u2().unwrap_or_default();
        let states = fields.nibbles(pin_count).unwrap_or_default();
        let results = fields.r4s(result_count).unwrap_or_default();
        let text = fields.cn().unwrap_or_default();
        let alarm = fields.cn().unwrap_or_default();
        let mut whole = Self { head, parm_flg, states, results, text, alarm, said: Said::NOTHING, input: None, pins: None };
        if let Some(opt_flag) = fields.u1() {
            fields.skip(3);
            let (low, high) = (fields.r4(), fields.r4());
            let (start, step) = (fields.r4(), fields.r4());
            whole.pins = fields.u2s(pin_count).filter(|pins| !pins.is_empty());
            let units = fields.cn().unwrap_or_default();
            let units_in = fields.cn().unwrap_or_default();
            formats(fields);
            whole.said = said(opt_flag, low, high, units, fields);
            // OPT_FLAG bit 1: START_IN and INCR_IN are not valid.
            whole.input = start.zip(step).filter(|_| !is_set(opt_flag, 1)).map(|(start, step)| (start, step, units_in));
        }
        Some(whole)
    }
}

/// A functional test: a verdict, and where the pattern stood.
#[derive(Debug)]
pub(super) struct Ftr<'a> {
    pub(super) head: Head,
    pub(super) text: &'a [u8],
    pub(super) alarm: &'a [u8],
    pub(super) vector: &'a [u8],
    /// What it says beside, by the names of the specification.
    pub(super) numbers: Vec<(&'static str, i64)>,
    pub(super) texts: [(&'static str, &'a [u8]); 4],
    /// Returned states of pins: RTN_INDX and RTN_STAT, PGM_INDX and PGM_STAT.
    pub(super) states: [(&'static str, Vec<(u16, u8)>); 2],
    /// FAIL_PIN: indexes of pins.
    pub(super) fail_pins: Vec<u16>,
}

impl<'a> Ftr<'a> {
    pub(super) fn read(fields: &mut Fields<'a>) -> Option<Self> {
        let head = Head::read(fields)?;
        // A bit of OPT_FLAG says that a field is not valid; without the flag there are no such fields.
        let opt_flag = fields.u1().unwrap_or(u8::MAX);
        let mut numbers = Vec::new();
        let mut number = |name, bit, value: Option<i64>| {
            numbers.extend(value.filter(|_| !is_set(opt_flag, bit)).map(|value| (name, value)));
        };
        number("CYCL_CNT", 0, fields.u4().map(i64::from));
        number("REL_VADR", 1, fields.u4().map(i64::from));
        number("REPT_CNT", 2, fields.u4().map(i64::from));
        number("NUM_FAIL", 3, fields.u4().map(i64::from));
        number("XFAIL_AD", 4, fields.i4().map(i64::from));
        number("YFAIL_AD", 4, fields.i4().map(i64::from));
        number("VECT_OFF", 5, fields.i2().map(i64::from));
        let returned = fields.u2().unwrap_or_default();
        let programmed = fields.u2().unwrap_or_default();
        let mut states = |name, count| {
            let pins = fields.u2s(count).unwrap_or_default();
            let states = fields.nibbles(count).unwrap_or_default();
            (name, pins.into_iter().zip(states).collect())
        };
        let states = [states("RTN_STAT", returned), states("PGM_STAT", programmed)];
        let fail_pins = fields.dn().unwrap_or_default();
        let mut text = || fields.cn().unwrap_or_default();
        let [vector, time_set, op_code, name, alarm, program, result] = std::array::from_fn(|_| text());
        let texts = [("TIME_SET", time_set), ("OP_CODE", op_code), ("PROG_TXT", program), ("RSLT_TXT", result)];
        if let Some(generator) = fields.u1().filter(|&number| number != u8::MAX) {
            numbers.push(("PATG_NUM", i64::from(generator)));
        }
        Some(Self { head, text: name, alarm, vector, numbers, texts, states, fail_pins })
    }
}

/// The end of a part.
#[derive(Debug)]
pub(super) struct Prr<'a> {
    pub(super) part: (u8, u8),
    pub(super) part_flg: u8,
    pub(super) tests: Option<u16>,
    pub(super) hard_bin: Option<u16>,
    pub(super) soft_bin: Option<u16>,
    pub(super) x: Option<i16>,
    pub(super) y: Option<i16>,
    /// Milliseconds; 0 is none.
    pub(super) time: u32,
    pub(super) id: &'a [u8],
    pub(super) text: &'a [u8],
    pub(super) fix: &'a [u8],
}

impl<'a> Prr<'a> {
    /// PART_FLG bit 4: what bit 3 says is not valid.
    const NO_VERDICT: u8 = 1 << 4;

    pub(super) fn read(fields: &mut Fields<'a>) -> Option<Self> {
        Some(Self {
            part: (fields.u1()?, fields.u1()?),
            part_flg: fields.u1().unwrap_or(Self::NO_VERDICT),
            tests: fields.u2(),
            hard_bin: fields.u2().filter(|&bin| bin != u16::MAX),
            soft_bin: fields.u2().filter(|&bin| bin != u16::MAX),
            x: fields.i2().filter(|&place| place != i16::MIN),
            y: fields.i2().filter(|&place| place != i16::MIN),
            time: fields.u4().unwrap_or_default(),
            id: fields.cn().unwrap_or_default(),
            text: fields.cn().unwrap_or_default(),
            fix: fields.bn().unwrap_or_default(),
        })
    }
}

/// Generic data, as texts.
pub(super) fn generic(fields: &mut Fields<'_>, text: impl Fn(&[u8]) -> String) -> Vec<String> {
    let count = fields.u2().unwrap_or_default();
    let mut values = Vec::new();
    for _ in 0..count {
        let Some(kind) = fields.u1() else { break };
        let value = match kind {
            // A byte that makes the next number begin at an even place.
            0 => continue,
            1 => fields.u1().map(|value| value.to_string()),
            2 => fields.u2().map(|value| value.to_string()),
            3 => fields.u4().map(|value| value.to_string()),
            4 => fields.i1().map(|value| value.to_string()),
            5 => fields.i2().map(|value| value.to_string()),
            6 => fields.i4().map(|value| value.to_string()),
            7 => fields.r4().map(|value| value.to_string()),
            8 => fields.r8().map(|value| value.to_string()),
            10 => fields.cn().map(&text),
            11 => fields.bn().map(hexadecimal),
            12 => fields.dn().map(|bits| format!("{bits:?}")),
            13 => fields.u1().map(|value| format!("{:X}", value & 15)),
            // What it is, and so its length, is not known.
            _ => None,
        };
        match value {
            Some(value) => values.push(value),
            None => break,
        }
    }
    values
}

/// Bytes as people read them.
pub(super) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02X}")).collect::<Vec<_>>().join(" ")
}

/// MIR in the order of its fields: those that are texts, with the names under which a report has them.
pub(super) const MIR_TEXTS: [&str; 30] = [
    "LOT_ID", "PART_TYP", "NODE_NAM", "TSTR_TYP", "JOB_NAM", "JOB_REV", "SBLOT_ID", "OPER_NAM", "EXEC_TYP", "EXEC_VER",
    "TEST_COD", "TST_TEMP", "USER_TXT", "AUX_FILE", "PKG_TYP", "FAMLY_ID", "DATE_COD", "FACIL_ID", "FLOOR_ID", "PROC_ID",
    "OPER_FRQ", "SPEC_NAM", "SPEC_VER", "FLOW_ID", "SETUP_ID", "DSGN_REV", "ENG_ID", "ROM_COD", "SERL_NUM", "SUPR_NAM",
];
/// The texts of SDR.
pub(super) const SDR_TEXTS: [&str; 16] = [
    "HAND_TYP", "HAND_ID", "CARD_TYP", "CARD_ID", "LOAD_TYP", "LOAD_ID", "DIB_TYP", "DIB_ID", "CABL_TYP", "CABL_ID", "CONT_TYP",
    "CONT_ID", "LASR_TYP", "LASR_ID", "EXTR_TYP", "EXTR_ID",
];

#[cfg(test)]
mod tests {
    use super::super::fields::Order;
    use super::*;

    #[test]
    fn a_limit_is_the_records_the_tests_or_none_as_its_flags_say() {
        for (flags, expected) in
            [(0, Stated::Is(1.0)), (1 << 4, Stated::Default), (1 << 6, Stated::None), (1 << 4 | 1 << 6, Stated::None)]
        {
            let mut record = vec![0, 0, 0, 7, 1, 0, 0, 0];
            record.extend(2.5_f32.to_be_bytes());
            record.extend([0, 0, flags, 0, 0, 0]);
            record.extend(1.0_f32.to_be_bytes());
            let ptr = Ptr::read(&mut Fields::new(&record, Order::Big)).unwrap();
            assert_eq!((ptr.result, ptr.said.low, ptr.said.high), (Some(2.5), expected, Stated::Default), "{flags:b}");
        }
    }
}

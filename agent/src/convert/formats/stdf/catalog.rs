//! The tests of a file. Limits, units and names are given by the first record of a test; later ones say only what differs.
//!
//! A test goes by its number and its text, since there are files in which every number is 0 (FORMATS.md section 8); a record without a text is
//! of the first test of its number.

use std::collections::HashMap;

use waybill_shared::report::Num;

use super::Words;
use super::records::{Said, Stated};
use crate::convert::ground::number;

/// Most tests of one file, and most bytes of their names: far beyond real ones, and what a hostile file can make of memory.
const MOST: usize = 500_000;
const MOST_BYTES: usize = 64 * 1024 * 1024;

/// Which record tests are of: each has its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    Ptr,
    Mpr,
    Ftr,
}

/// All tests that were seen so far.
#[derive(Debug, Default)]
pub(super) struct Catalog {
    tests: Vec<Test>,
    numbers: HashMap<(Kind, u32), Numbered>,
    bytes: usize,
}

/// Tests of one number.
#[derive(Debug)]
struct Numbered {
    first: usize,
    by_text: HashMap<Box<[u8]>, usize>,
}

/// One test.
#[derive(Debug)]
pub(super) struct Test {
    /// TEST_NUM.
    pub(super) number: u32,
    /// TEST_TXT, if there is one.
    pub(super) name: Option<String>,
    /// What its first record says.
    pub(super) known: Known,
}

/// Limits and units, and how a report has them.
#[derive(Debug)]
pub(super) struct Known {
    low: Option<f32>,
    high: Option<f32>,
    low_spec: Option<f32>,
    high_spec: Option<f32>,
    units: Box<[u8]>,
    /// The limits as numbers of a report.
    pub(super) limits: [Option<Num>; 2],
    /// The unit of measure.
    pub(super) unit: Option<String>,
    /// What no field of a step takes: the number of the test, limits of its specification.
    pub(super) text: String,
}

/// The file has more tests than can be kept.
#[derive(Debug)]
pub(super) struct TooMany;

impl Catalog {
    /// The test of a record, and what the record says of it otherwise than its first one.
    pub(super) fn of(
        &mut self,
        kind: Kind,
        number: u32,
        text: &[u8],
        said: &Said<'_>,
        words: Words,
    ) -> Result<(usize, Option<Box<Known>>), TooMany> {
        if let Some(numbered) = self.numbers.get(&(kind, number)) {
            let at = if text.is_empty() { Some(numbered.first) } else { numbered.by_text.get(text).copied() };
            if let Some((at, test)) = at.and_then(|at| Some((at, self.tests.get(at)?))) {
                let own = test.known.differs(said).then(|| Box::new(Known::new(number, Some(&test.known), said, words)));
                return Ok((at, own));
            }
        }
        let at = self.tests.len();
        self.bytes += text.len();
        if at >= MOST || self.bytes > MOST_BYTES {
            return Err(TooMany);
        }
        let name = Some(words.text(text)).filter(|name| !name.is_empty());
        self.tests.push(Test { number, name, known: Known::new(number, None, said, words) });
        let numbered = self.numbers.entry((kind, number)).or_insert_with(|| Numbered { first: at, by_text: HashMap::new() });
        numbered.by_text.insert(text.into(), at);
        Ok((at, None))
    }

    /// A test that was found before.
    pub(super) fn test(&self, at: usize) -> Option<&Test> {
        self.tests.get(at)
    }
}

impl Known {
    fn new(number: u32, default: Option<&Self>, said: &Said<'_>, words: Words) -> Self {
        let of = |stated, default: Option<Option<f32>>| effective(stated, default.flatten());
        let low = of(said.low, default.map(|known| known.low));
        let high = of(said.high, default.map(|known| known.high));
        let low_spec = of(said.low_spec, default.map(|known| known.low_spec));
        let high_spec = of(said.high_spec, default.map(|known| known.high_spec));
        let units = match default {
            Some(known) if said.units.is_empty() => known.units.clone(),
            _ => said.units.into(),
        };
        let mut text = format!("TEST_NUM: {number}");
        let mut line = |name: &str, value: Option<f32>| {
            if let Some(value) = value {
                text.push_str(&format!("\n{name}: {}", number::single(value)));
            }
        };
        line("LO_SPEC", low_spec);
        line("HI_SPEC", high_spec);
        // A limit that is no number can neither be kept nor broken.
        line("LO_LIMIT", low.filter(|limit| limit.is_nan()));
        line("HI_LIMIT", high.filter(|limit| limit.is_nan()));
        let limits = [low, high].map(|limit| limit.filter(|limit| !limit.is_nan()).map(number::single));
        let unit = Some(words.text(&units)).filter(|unit| !unit.is_empty());
        Self { low, high, low_spec, high_spec, units, limits, unit, text }
    }

    /// True if a record says something else of its test.
    fn differs(&self, said: &Said<'_>) -> bool {
        let differs = |stated, own: Option<f32>| match stated {
            Stated::Default => false,
            Stated::None => own.is_some(),
            Stated::Is(value) => own.map(f32::to_bits) != Some(value.to_bits()),
        };
        differs(said.low, self.low)
            || differs(said.high, self.high)
            || differs(said.low_spec, self.low_spec)
            || differs(said.high_spec, self.high_spec)
            || (!said.units.is_empty() && *said.units != *self.units)
    }

    /// Whether a value keeps the limits; none if there are none.
    pub(super) fn holds(&self, value: f32, low_inclusive: bool, high_inclusive: bool) -> Option<bool> {
        let number = |limit: Option<f32>| limit.filter(|limit| !limit.is_nan());
        let (low, high) = (number(self.low), number(self.high));
        if low.is_none() && high.is_none() {
            return None;
        }
        let above = low.is_none_or(|low| value > low || (low_inclusive && value == low));
        let below = high.is_none_or(|high| value < high || (high_inclusive && value == high));
        Some(above && below && !value.is_nan())
    }
}

fn effective(stated: Stated, default: Option<f32>) -> Option<f32> {
    match stated {
        Stated::Default => default,
        Stated::None => None,
        Stated::Is(value) => Some(value),
    }
}

//! A part while it is tested: what its records say, kept small until its end tells whether it is reported.

use std::collections::HashMap;
use std::rc::Rc;

use waybill_shared::report::{Num, Status, Step};

use super::Words;
use super::catalog::{Catalog, Known, Test};
use super::records::{Ftr, Head, Mpr, Ptr, is_set};
use crate::convert::ground::limits::{Bound, Limits};
use crate::convert::ground::steps::{self, Measured};
use crate::convert::ground::{number, walk::Lines};

/// Most results of one part. Real ones have some ten thousand; beyond, its report could not be sent anyway.
pub(super) const MOST: usize = 250_000;
/// How many bytes of text count as one result.
const BYTES_OF_RESULT: usize = 64;
/// Longest name that surely fits into a report, bytes.
const MOST_NAME: usize = 100;
/// How deep program sections hold one another in a report; deeper ones are flattened.
const DEEPEST: usize = 30;

/// A part that is not at its end.
pub(super) struct Part {
    /// Of all its records.
    pub(super) hash: blake3::Hasher,
    items: Vec<Item>,
    /// Texts of the tester on it (DTR, GDR).
    pub(super) lines: Vec<String>,
    /// What a person should know of how it was read.
    pub(super) notes: Vec<String>,
    /// WAFER_ID of the wafer that it is on.
    pub(super) wafer: Option<Rc<str>>,
    /// Results, or what weighs as much.
    pub(super) weight: usize,
    /// It has too many results to be kept.
    pub(super) is_refused: bool,
    /// Its first record was a PIR.
    pub(super) has_begin: bool,
}

enum Item {
    Ptr { test: usize, result: Option<f32>, test_flg: u8, parm_flg: u8, more: Option<Box<More>> },
    Mpr(Box<Several>),
    Ftr(Box<Functional>),
    Begin(Rc<str>),
    End,
}

/// What a measurement rarely has.
struct More {
    known: Option<Box<Known>>,
    alarm: String,
}

/// The results of an MPR.
struct Several {
    test: usize,
    test_flg: u8,
    parm_flg: u8,
    more: More,
    results: Vec<f32>,
    pins: Option<Vec<u16>>,
    lines: Lines,
}

/// A functional test.
struct Functional {
    test: usize,
    test_flg: u8,
    vector: String,
    lines: Lines,
}

/// Names that the file gives to what results go by.
pub(super) struct Names<'a> {
    pub(super) catalog: &'a Catalog,
    /// Of a pin by its index (PMR).
    pub(super) pins: &'a HashMap<u16, String>,
    /// Of a test by its number (TSR).
    pub(super) tests: &'a HashMap<u32, String>,
}

/// What a part did.
pub(super) struct Tested {
    pub(super) steps: Vec<Step>,
    /// Tests in all, and those that failed.
    pub(super) tests: usize,
    pub(super) failed: usize,
    /// True if a verdict is not what the limits say.
    pub(super) contradicts: bool,
    /// True if a name may be longer than a report takes.
    pub(super) is_long: bool,
}

impl Part {
    pub(super) fn new(wafer: Option<Rc<str>>) -> Self {
        Self {
            hash: blake3::Hasher::new(),
            items: Vec::new(),
            lines: Vec::new(),
            notes: Vec::new(),
            wafer,
            weight: 0,
            is_refused: false,
            has_begin: true,
        }
    }

    pub(super) fn ptr(&mut self, ptr: &Ptr<'_>, test: usize, known: Option<Box<Known>>, words: Words) {
        let alarm = if is_set(ptr.head.test_flg, 0) { words.text(ptr.alarm) } else { String::new() };
        let more = (known.is_some() || !alarm.is_empty()).then(|| Box::new(More { known, alarm }));
        let Ptr { result, head: Head { test_flg, .. }, parm_flg, .. } = *ptr;
        let weight = if more.is_some() { 4 } else { 1 };
        self.add(Item::Ptr { test, result, test_flg, parm_flg, more }, weight);
    }

    pub(super) fn mpr(&mut self, mpr: Mpr<'_>, test: usize, known: Option<Box<Known>>, words: Words) {
        let mut lines = Lines::default();
        if let Some((start, step, units)) = mpr.input {
            let units = words.text(units);
            lines.add("START_IN", format!("{} {units}", number::single(start)).trim_end());
            lines.add("INCR_IN", format!("{} {units}", number::single(step)).trim_end());
        }
        if mpr.states.iter().any(|&state| state != 0) {
            lines.add("RTN_STAT", &mpr.states.iter().map(|state| format!("{state:X}")).collect::<Vec<_>>().join(" "));
        }
        let weight = 4 + mpr.results.len() + mpr.states.len() / 8;
        let several = Several {
            test,
            test_flg: mpr.head.test_flg,
            parm_flg: mpr.parm_flg,
            more: More { known, alarm: words.text(mpr.alarm) },
            results: mpr.results,
            pins: mpr.pins,
            lines,
        };
        self.add(Item::Mpr(Box::new(several)), weight);
    }

    pub(super) fn ftr(&mut self, ftr: &Ftr<'_>, test: usize, pins: &HashMap<u16, String>, words: Words) {
        let mut lines = Lines::default();
        let vector = words.text(ftr.vector);
        let texts = [("VECT_NAM", ftr.vector)].into_iter().chain(ftr.texts).chain([("ALARM_ID", ftr.alarm)]);
        for (name, text) in texts {
            let text = words.text(text);
            if !text.is_empty() {
                lines.add(name, &text);
            }
        }
        ftr.numbers.iter().for_each(|(name, value)| lines.add(name, &value.to_string()));
        let named = |index: u16| pins.get(&index).cloned().unwrap_or_else(|| index.to_string());
        for (name, states) in &ftr.states {
            if !states.is_empty() {
                let shown: Vec<_> = states.iter().map(|&(index, state)| format!("{}={state:X}", named(index))).collect();
                lines.add(name, &shown.join(" "));
            }
        }
        if !ftr.fail_pins.is_empty() {
            lines.add("FAIL_PIN", &ftr.fail_pins.iter().map(|&index| named(index)).collect::<Vec<_>>().join(" "));
        }
        let weight = 4 + ftr.states.iter().map(|(_, states)| states.len()).sum::<usize>() + ftr.fail_pins.len();
        self.add(Item::Ftr(Box::new(Functional { test, test_flg: ftr.head.test_flg, vector, lines })), weight);
    }

    /// A program section begins.
    pub(super) fn begin(&mut self, name: Rc<str>) {
        self.add(Item::Begin(name), 1);
    }

    /// The innermost program section ends.
    pub(super) fn end(&mut self) {
        self.add(Item::End, 1);
    }

    /// A text of the tester.
    pub(super) fn line(&mut self, text: String) {
        if self.weigh(1 + text.len() / BYTES_OF_RESULT) {
            self.lines.push(text);
        }
    }

    fn add(&mut self, item: Item, weight: usize) {
        if self.weigh(weight) {
            self.items.push(item);
        }
    }

    fn weigh(&mut self, weight: usize) -> bool {
        if self.weight + weight > MOST {
            self.refuse();
        }
        if !self.is_refused {
            self.weight += weight;
        }
        !self.is_refused
    }

    /// Keeps no more of it.
    pub(super) fn refuse(&mut self) {
        self.is_refused = true;
        self.weight = 0;
        (self.items, self.lines) = (Vec::new(), Vec::new());
    }

    /// Its steps.
    pub(super) fn into_tested(self, names: &Names<'_>) -> Tested {
        let mut tested = Tested {
            steps: Vec::new(),
            tests: 0,
            failed: 0,
            contradicts: false,
            is_long: names.pins.values().any(|pin| pin.len() > MOST_NAME),
        };
        let mut outer: Vec<(Rc<str>, Vec<Step>)> = Vec::new();
        let mut flattened = 0_usize;
        let mut steps = Vec::with_capacity(self.items.len());
        let close = |(name, mut before): (Rc<str>, Vec<Step>), steps: Vec<Step>| {
            let section = steps::sequence(&name, worst(&steps), steps);
            let is_long = is_long(&section);
            before.push(section);
            (before, is_long)
        };
        for item in self.items {
            let step = match item {
                Item::Begin(name) if outer.len() < DEEPEST => {
                    outer.push((name, std::mem::take(&mut steps)));
                    continue;
                }
                Item::Begin(_) => {
                    flattened += 1;
                    continue;
                }
                Item::End if flattened > 0 => {
                    flattened -= 1;
                    continue;
                }
                Item::End => {
                    if let Some(before) = outer.pop() {
                        let (before, is_long) = close(before, steps);
                        steps = before;
                        tested.is_long |= is_long;
                    }
                    continue;
                }
                Item::Ptr { test, result, test_flg, parm_flg, more } => {
                    let Some(test) = names.catalog.test(test) else { continue };
                    single(test, result, test_flg, parm_flg, more.as_deref(), names, &mut tested.contradicts)
                }
                Item::Mpr(several) => {
                    let Some(test) = names.catalog.test(several.test) else { continue };
                    multiple(test, *several, names, &mut tested.contradicts)
                }
                Item::Ftr(functional) => {
                    let Some(test) = names.catalog.test(functional.test) else { continue };
                    verdict(test, *functional, names)
                }
            };
            tested.tests += 1;
            tested.is_long |= is_long(&step);
            tested.failed += usize::from(step.status == Some(Status::Failed));
            steps.push(step);
        }
        while let Some(before) = outer.pop() {
            let (before, is_long) = close(before, steps);
            steps = before;
            tested.is_long |= is_long;
        }
        tested.steps = steps;
        tested
    }
}

fn is_long(step: &Step) -> bool {
    step.name.as_ref().is_some_and(|name| name.len() > MOST_NAME)
}

/// What a section came to: it has no verdict of its own in the file.
pub(super) fn worst(steps: &[Step]) -> Status {
    let has = |status| steps.iter().any(|step| step.status == Some(status));
    let order = [Status::Error, Status::Failed, Status::Terminated, Status::Passed, Status::Done];
    order.into_iter().find(|&status| has(status)).unwrap_or(if steps.is_empty() { Status::Done } else { Status::Skipped })
}

/// TEST_FLG: what was not run or stopped has no verdict whatever bit 7 says, and bit 6 says that there is none.
fn status(test_flg: u8) -> Status {
    let bit = |bit| is_set(test_flg, bit);
    match () {
        () if bit(4) => Status::Skipped,
        () if bit(5) => Status::Terminated,
        () if bit(6) && bit(3) => Status::Error,
        () if bit(6) => Status::Done,
        () if bit(7) => Status::Failed,
        () => Status::Passed,
    }
}

/// Bits of TEST_FLG and PARM_FLG that no verdict tells.
const TEST_FLG: [&str; 6] = ["alarm", "result invalid", "result unreliable", "timeout", "not executed", "aborted"];
const PARM_FLG: [&str; 6] = [
    "scale error",
    "drift error",
    "oscillation",
    "result above the high limit",
    "result below the low limit",
    "passed by alternate limits",
];

fn flags(text: &mut String, name: &str, flags: u8, words: [&str; 6]) {
    let mut set = words.iter().enumerate().filter(|(bit, _)| flags >> bit & 1 == 1).map(|(_, word)| *word).peekable();
    if set.peek().is_some() {
        text.push_str(&format!("\n{name}: {}", set.collect::<Vec<_>>().join(", ")));
    }
}

fn report_text(known: &Known, test_flg: u8, parm_flg: u8, alarm: &str) -> String {
    let mut text = known.text.clone();
    flags(&mut text, "TEST_FLG", test_flg, TEST_FLG);
    flags(&mut text, "PARM_FLG", parm_flg, PARM_FLG);
    if !alarm.is_empty() {
        text.push_str(&format!("\nALARM_ID: {alarm}"));
    }
    text
}

/// The limits of a report: PARM_FLG says whether the limits themselves pass.
fn limits(known: &Known, parm_flg: u8) -> Option<Limits> {
    let bound =
        |limit: &Option<Num>, bit| limit.as_ref().map(|limit| Bound { limit: limit.clone(), inclusive: is_set(parm_flg, bit) });
    let [low, high] = &known.limits;
    let (low, high) = (bound(low, 6), bound(high, 7));
    (low.is_some() || high.is_some()).then_some(Limits::Range { low, high })
}

/// Whether a value keeps its limits.
fn holds(known: &Known, value: f32, parm_flg: u8) -> Option<bool> {
    known.holds(value, is_set(parm_flg, 6), is_set(parm_flg, 7))
}

fn single(
    test: &Test,
    result: Option<f32>,
    test_flg: u8,
    parm_flg: u8,
    more: Option<&More>,
    names: &Names<'_>,
    contradicts: &mut bool,
) -> Step {
    let known = more.and_then(|more| more.known.as_deref()).unwrap_or(&test.known);
    let status = status(test_flg);
    let mut text = report_text(known, test_flg, parm_flg, more.map_or("", |more| &more.alarm));
    // Bit 1: the value is not valid; bit 4: nothing was measured.
    let value = match result {
        Some(value) if test_flg & (1 << 1 | 1 << 4) == 0 => value,
        other => {
            if let Some(value) = other.filter(|&value| value != 0.0) {
                text.push_str(&format!("\nRESULT (not valid): {}", number::single(value)));
            }
            f32::NAN
        }
    };
    if let Some(holds) = holds(known, value, parm_flg) {
        *contradicts |= matches!((status, holds), (Status::Passed, false) | (Status::Failed, true));
    }
    let measured = steps::numeric(None, number::single(value), limits(known, parm_flg), known.unit.clone(), status);
    let name = name(test, "", names);
    Step { report_text: Some(text), ..steps::measuring(&name, status, vec![Measured::Numeric(measured)]) }
}

/// One verdict for several values. Each takes it as its own; of a test that failed, those that keep their limits passed, unless all do.
fn multiple(test: &Test, several: Several, names: &Names<'_>, contradicts: &mut bool) -> Step {
    let Several { test_flg, parm_flg, more, results, pins, mut lines, .. } = several;
    let known = more.known.as_deref().unwrap_or(&test.known);
    let status = status(test_flg);
    lines.add_text(report_text(known, test_flg, parm_flg, &more.alarm));
    let is_valid = test_flg & (1 << 1 | 1 << 4) == 0;
    if !is_valid && !results.is_empty() {
        let shown: Vec<_> = results.iter().map(|&value| number::single(value).to_string()).collect();
        lines.add("RTN_RSLT (not valid)", &shown.join(" "));
    }
    let holds = |value: f32| holds(known, value, parm_flg);
    let one_fails = results.iter().any(|&value| holds(value) == Some(false));
    let pins = pins.filter(|pins| pins.len() == results.len());
    let measured: Vec<_> = results
        .iter()
        .enumerate()
        .map(|(at, &value)| {
            let held = holds(value);
            let own = match held {
                Some(true) if status == Status::Failed && one_fails => Status::Passed,
                _ => status,
            };
            *contradicts |= matches!((own, held), (Status::Passed, Some(false)) | (Status::Failed, Some(true)));
            let pin = pins.as_ref().and_then(|pins| pins.get(at));
            let name = match pin {
                Some(&index) => names.pins.get(&index).cloned().unwrap_or_else(|| format!("pin {index}")),
                None => (at + 1).to_string(),
            };
            let value = if is_valid { value } else { f32::NAN };
            let limits = limits(known, parm_flg);
            Measured::Numeric(steps::numeric(Some(name), number::single(value), limits, known.unit.clone(), own))
        })
        .collect();
    // It may have states of pins alone.
    let measured = if measured.is_empty() { vec![Measured::Verdict(steps::verdict(None, status))] } else { measured };
    Step { report_text: lines.into_text(), ..steps::measuring(&name(test, "", names), status, measured) }
}

fn verdict(test: &Test, functional: Functional, names: &Names<'_>) -> Step {
    let Functional { test_flg, vector, mut lines, .. } = functional;
    let status = status(test_flg);
    lines.add_text(report_text(&test.known, test_flg, 0, ""));
    let measured = vec![Measured::Verdict(steps::verdict(None, status))];
    Step { report_text: lines.into_text(), ..steps::measuring(&name(test, &vector, names), status, measured) }
}

/// TEST_TXT; else what the test is known by.
fn name<'a>(test: &'a Test, vector: &'a str, names: &Names<'a>) -> std::borrow::Cow<'a, str> {
    let known = test
        .name
        .as_deref()
        .or(Some(vector).filter(|name| !name.is_empty()))
        .or_else(|| names.tests.get(&test.number).map(String::as_str));
    known.map_or_else(|| test.number.to_string().into(), Into::into)
}

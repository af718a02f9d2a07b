//! What a page measured.

use waybill_shared::report::{Num, Status, Step};
use waybill_shared::schema::FaultKind;
use waybill_shared::text::printable;

use super::nodes::Node;
use crate::convert::ground::limits::{Bound, Limits};
use crate::convert::ground::number;
use crate::convert::ground::si::{self, Dialect, Scaled};
use crate::convert::ground::steps::{self, Measured};
use crate::convert::ground::walk::{Lines, Walk};

const VALUES: &[&str] = &["MEASVAL", "MEAS_VAL"];
const LOW: &[&str] = &["LOLIM", "LOW"];
const HIGH: &[&str] = &["HILIM", "HIGH"];

/// A verdict; a fault if it is none that is known.
pub(super) fn status(text: &str, place: &str, walk: &mut Walk) -> Option<Status> {
    let found = Status::parse(text);
    if found.is_none() {
        let message = format!("{}: {:?} is no verdict as PASS", printable(place, 60), printable(text, 40));
        walk.in_key("STAT", |walk| walk.fault(FaultKind::OutOfRange, message));
    }
    found
}

/// The step of a page: its measured values, or its verdict.
pub(super) fn page(node: &Node<'_>, step: &str, of_step: Option<Status>, walk: &mut Walk) -> Step {
    let name = node.text_of("PAGE_NAME").unwrap_or(step);
    let own = node.text_of("STAT").and_then(|text| status(text, name, walk)).or(of_step).unwrap_or(Status::Done);
    let mut found = Found { name, kind: node.text_of("TYPE"), walk, lines: Lines::default(), measured: Vec::new() };
    let mut message = None;
    for inner in &node.nodes {
        match inner.key {
            "PAGE_NAME" | "STAT" => {}
            "FAIL_MSG" if own == Status::Failed => message = Some(inner.flat()),
            _ if is_block(inner) => found.block(inner, &Around { status: own, low: None, high: None }),
            key => found.lines.add(key, &inner.flat()),
        }
    }
    if !node.text.trim().is_empty() {
        found.lines.add_text(node.text.trim().to_owned());
    }
    let Found { lines, mut measured, .. } = found;
    if measured.is_empty() && own != Status::Done {
        measured.push(Measured::Verdict(steps::verdict(None, own)));
    }
    if let [Measured::Numeric(_) | Measured::Text(_) | Measured::Verdict(_)] = measured.as_slice() {
        measured.iter_mut().for_each(|one| *name_of(one) = None);
    }
    Step { error_message: message, report_text: lines.into_text(), ..steps::measuring(name, own, measured) }
}

fn name_of(measured: &mut Measured) -> &mut Option<String> {
    match measured {
        Measured::Numeric(one) => &mut one.name,
        Measured::Text(one) => &mut one.name,
        Measured::Verdict(one) => &mut one.name,
    }
}

/// True for what holds measurements or verdicts, or parts of them.
fn is_block(node: &Node<'_>) -> bool {
    !VALUES.contains(&node.key) && !LOW.contains(&node.key) && !HIGH.contains(&node.key) && is_judged(node)
}

fn is_judged(node: &Node<'_>) -> bool {
    node.nodes.iter().any(|inner| inner.key == "STAT" || VALUES.contains(&inner.key) || is_judged(inner))
}

/// What the nodes around a block say.
struct Around<'a> {
    status: Status,
    low: Option<&'a Node<'a>>,
    high: Option<&'a Node<'a>>,
}

/// What was found in a page so far.
struct Found<'w, 'n> {
    name: &'n str,
    /// Kind of the page.
    kind: Option<&'n str>,
    walk: &'w mut Walk,
    lines: Lines,
    measured: Vec<Measured>,
}

impl Found<'_, '_> {
    fn block<'a>(&mut self, node: &'a Node<'a>, around: &Around<'a>) {
        let own = node.text_of("STAT").and_then(|text| status(text, self.name, self.walk));
        let here = Around {
            status: own.unwrap_or(around.status),
            low: node.of(LOW).or(around.low),
            high: node.of(HIGH).or(around.high),
        };
        let before = self.measured.len();
        let kind = node.text_of("TYPE").or_else(|| node.text_of("FSCAN_PIN")).unwrap_or(node.key);
        for inner in &node.nodes {
            if VALUES.contains(&inner.key) {
                self.value(inner, kind, &here);
            } else if is_block(inner) {
                self.block(inner, &here);
            } else if !(LOW.contains(&inner.key) || HIGH.contains(&inner.key) || inner.key == "STAT" || self.is_kind(inner)) {
                self.tell(inner);
            }
        }
        if !node.text.split_whitespace().all(|part| part == ",") {
            self.lines.add(node.key, node.text.trim());
        }
        let own_limits = || [node.of(LOW), node.of(HIGH)].into_iter().flatten();
        if !self.measured[before..].iter().any(|one| matches!(one, Measured::Numeric(_))) {
            own_limits().for_each(|limit| self.tell(limit));
        }
        if self.measured.len() == before {
            self.measured.push(Measured::Verdict(steps::verdict(Some(kind.to_owned()), here.status)));
        }
    }

    /// True for a block of the kind of its page.
    fn is_kind(&self, node: &Node<'_>) -> bool {
        node.key == "TYPE" && self.kind == Some(node.text.trim())
    }

    fn tell(&mut self, node: &Node<'_>) {
        match Quantity::of(node) {
            Some(quantity) => self.lines.add(node.key, format!("{} {}", quantity.value, quantity.unit_text()).trim_end()),
            None => self.lines.add(node.key, &node.flat()),
        }
    }

    fn value(&mut self, node: &Node<'_>, kind: &str, here: &Around<'_>) {
        let name = Some(kind.to_owned());
        let Some(quantity) = Quantity::of(node) else {
            let text = steps::string(name, node.flat(), None, here.status);
            self.measured.push(Measured::Text(text));
            return;
        };
        let (low, high) = (self.limit(here.low, &quantity), self.limit(here.high, &quantity));
        let limits = (low.is_some() || high.is_some()).then_some(Limits::Range { low, high });
        let unit = Some(quantity.unit_text()).filter(|unit| !unit.is_empty());
        self.measured.push(Measured::Numeric(steps::numeric(name, quantity.value, limits, unit, here.status)));
    }

    /// A limit in the unit of the value, with its prefix.
    fn limit(&mut self, node: Option<&Node<'_>>, of: &Quantity) -> Option<Bound> {
        let node = node?;
        let same_unit = |limit: &Quantity| limit.unit == of.unit || limit.unit.is_empty() || of.unit.is_empty();
        let read = Quantity::of(node).filter(same_unit).and_then(|limit| si::shift(&limit.value, limit.exponent - of.exponent));
        if read.is_none() {
            let told = printable(&node.flat(), 60);
            self.walk.note(format!("{}: the limit {} {told:?} is none for its value", printable(self.name, 60), node.key));
            self.lines.add(node.key, &node.flat());
        }
        read.map(|limit| Bound { limit, inclusive: true })
    }
}

/// A number, the power of ten of its prefix, and its unit.
struct Quantity {
    value: Num,
    exponent: i32,
    unit: String,
}

impl Quantity {
    /// `(VAL: 4.7) (SCALE: n) (UNIT: F)`, or a number alone; none if it is not all understood.
    fn of(node: &Node<'_>) -> Option<Self> {
        if node.nodes.is_empty() {
            return Some(Self { value: number::plain(&node.text)?, exponent: 0, unit: String::new() });
        }
        if node.nodes.iter().any(|inner| !matches!(inner.key, "VAL" | "SCALE" | "UNIT") || !inner.nodes.is_empty()) {
            return None;
        }
        let exponent = Dialect::Si.exponent(node.text_of("SCALE").unwrap_or_default())?;
        let unit = node.text_of("UNIT").unwrap_or_default();
        let base = Dialect::Si.unit(unit).filter(|unit| unit.exponent == 0).map_or(unit, |unit| unit.base);
        Some(Self { value: number::plain(node.text_of("VAL")?)?, exponent, unit: base.to_owned() })
    }

    fn unit_text(&self) -> String {
        format!("{}{}", Scaled { exponent: self.exponent, base: "" }.text().trim_end(), self.unit)
    }
}

//! A measurement to a step.
//!
//! A number becomes a numeric limit step, a truth value a pass/fail step, a text, and any other JSON value as its text, a string step.
//! A measurement over one dimension becomes a chart; over several, or one that a chart cannot hold, a JSON attachment. One that was
//! never set is skipped, or failed where that is why its phase failed; what it would have been compared with still stands there.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use waybill_shared::report::{Attachment, BooleanMeas, Chart, Num, NumericMeas, Series, Status, Step, StringMeas};
use waybill_shared::schema::{FaultKind, Value};
use waybill_shared::text::printable;

use super::validator::{self, Parsed, TextLimit};
use crate::convert::ground::limits::Limits;
use crate::convert::ground::number;
use crate::convert::ground::object::{Object, drop_unset_flag, plain, says_nothing};
use crate::convert::ground::walk::{Lines, Walk};

/// Longest name of a step, and longest file name of an attachment (report model).
pub(super) const NAME_MAX: usize = 100;
const FILE_NAME_MAX: usize = 256;
/// Largest attachment, decoded. Clients of WATS refuse larger ones (WIRE.md section 1).
pub(super) const ATTACHMENT_MAX: usize = 10 * 1024 * 1024;
/// Most points of a curve that WATS draws (FORMATS.md section 2).
const POINTS_MAX: usize = 10_000;

/// Reads one measurement. `unset_fails`: its phase failed, and nothing but an unset measurement explains that.
pub(super) fn step(key: &str, value: Value, unset_fails: bool, walk: &mut Walk) -> Option<Step> {
    let mut object = walk.as_object(value)?;
    let mut lines = Lines::default();
    let name = walk.text(&mut object, "name").unwrap_or_else(|| key.to_owned());
    if name != key {
        lines.add("measurement", key);
    }
    if let Some(docstring) = walk.text(&mut object, "docstring") {
        lines.add_text(docstring);
    }
    let status = status(&mut object, unset_fails, &mut lines, walk)?;
    let unit = unit_of(&mut object, &mut lines, walk);
    let validators = walk.list(&mut object, "validators").unwrap_or_default().iter().map(plain).collect();
    let conditional = object.get("conditional_validators").is_some_and(|value| !says_nothing(value));
    let dimensions = walk.list(&mut object, "dimensions").unwrap_or_default();
    let value = object.shift_remove("measured_value");
    drop_unset_flag(&mut object, "marginal");
    let mut measured = Measured { name, status, unit, validators, conditional, lines };
    let kind = match value {
        Some(value @ Value::Array(_)) if !dimensions.is_empty() => measured.dimensioned(value, dimensions, walk),
        value => {
            measured.lines.add_value("dimensions", &Value::Array(dimensions));
            match value {
                None => measured.unset(walk),
                Some(Value::Null) if measured.status.unset => measured.unset(walk),
                Some(Value::Bool(value)) => measured.flag(value, walk),
                Some(value) => measured.single(&value, walk),
            }
        }
    };
    measured.lines.add_rest(&object);
    let Measured { name, status, mut lines, .. } = measured;
    let name = walk.cut("name", name, NAME_MAX, &mut lines);
    Some(Step {
        name: Some(name),
        group: Some("M".to_owned()),
        status: Some(status.status),
        report_text: lines.into_text(),
        ..kind
    })
}

/// Media type, size check and base64 of bytes; `None`, with a note, if they are too many.
pub(super) fn attach(name: &str, content_type: &str, bytes: &[u8], walk: &mut Walk) -> Option<Attachment> {
    if bytes.len() > ATTACHMENT_MAX {
        let (name, size) = (printable(name, 60), bytes.len());
        walk.note(format!("the attachment {name} has {size} bytes and was left out; at most {ATTACHMENT_MAX} are taken"));
        return None;
    }
    let mut file_name = name.to_owned();
    if let Some((cut, _)) = name.char_indices().nth(FILE_NAME_MAX) {
        walk.note(format!("the name of the attachment was cut to {FILE_NAME_MAX} characters: {}", printable(name, 1000)));
        file_name.truncate(cut);
    }
    Some(Attachment {
        name: Some(file_name),
        content_type: Some(content_type.to_owned()),
        data: Some(BASE64.encode(bytes)),
        ..Attachment::default()
    })
}

/// A verdict on a measurement, and whether it says that there is no value.
#[derive(Debug, Clone, Copy)]
struct Verdict {
    status: Status,
    unset: bool,
}

struct Measured {
    name: String,
    status: Verdict,
    unit: Option<String>,
    validators: Vec<String>,
    conditional: bool,
    lines: Lines,
}

impl Measured {
    /// A number, a text, or any other value as its JSON.
    fn single(&mut self, value: &Value, walk: &mut Walk) -> Step {
        match self.as_number(value) {
            Some(number) => self.numeric(number, walk),
            None => self.string(plain(value), walk),
        }
    }

    fn numeric(&mut self, value: Num, walk: &mut Walk) -> Step {
        let parsed: Vec<_> = self.validators.iter().map(|text| validator::numeric(text)).collect();
        self.add_validators(&parsed);
        self.check(parsed.iter().map(|p| p.as_ref().map(|p| p.limits.hold(value.as_f64()))), &value.to_string(), walk);
        let meas = self.numeric_meas(value, parsed, walk);
        Step { step_type: Some("ET_NLT".to_owned()), numeric_meas: Some(vec![meas]), ..Step::default() }
    }

    fn numeric_meas(&self, value: Num, parsed: Vec<Option<Parsed<Limits>>>, walk: &mut Walk) -> NumericMeas {
        let mut all = parsed.into_iter().flatten().map(|parsed| parsed.limits);
        let mut limits = all.next();
        for further in all {
            match limits.as_ref().and_then(|limits| limits.and(&further)) {
                Some(both) => limits = Some(both),
                None => walk.note("it has more limits than one comparator can say; the further ones are in the report text"),
            }
        }
        let comp_op = limits.as_ref().map_or("LOG", Limits::comp_op);
        let (low_limit, high_limit) = limits.map(Limits::low_and_high).unwrap_or_default();
        NumericMeas {
            comp_op: Some(comp_op.to_owned()),
            status: Some(self.status.status),
            unit: self.unit.clone(),
            value: Some(value),
            low_limit,
            high_limit,
            ..NumericMeas::default()
        }
    }

    /// The verdict is no value: a `False` that was expected passes. So the value stands in the report text.
    fn flag(&mut self, value: bool, walk: &mut Walk) -> Step {
        let value_text = if value { "True" } else { "False" };
        self.lines.add("measured_value", value_text);
        let parsed: Vec<_> = self.validators.iter().map(|text| validator::flag(text)).collect();
        self.add_validators::<bool>(&[]);
        self.check(parsed.iter().map(|expected| expected.map(|expected| expected == value)), value_text, walk);
        self.add_unit();
        self.boolean_step()
    }

    fn boolean_step(&self) -> Step {
        let meas = BooleanMeas { status: Some(self.status.status), ..BooleanMeas::default() };
        Step { step_type: Some("ET_PFT".to_owned()), boolean_meas: Some(vec![meas]), ..Step::default() }
    }

    fn string(&mut self, value: String, walk: &mut Walk) -> Step {
        let parsed: Vec<_> = self.validators.iter().map(|text| Some(validator::textual(text))).collect();
        self.add_validators(&parsed);
        let holds = |parsed: &Parsed<TextLimit>| match parsed.limits.comp_op {
            "CASESENSIT" => Some(value == parsed.limits.limit),
            "IGNORECASE" => Some(value.to_lowercase() == parsed.limits.limit.to_lowercase()),
            _ => None,
        };
        self.check(parsed.iter().map(|p| p.as_ref().and_then(holds)), &value, walk);
        self.add_unit();
        self.string_step(Some(value), parsed)
    }

    /// The limit is that of the first validator that is a comparison; one that only OpenHTF can judge stands for itself.
    fn string_step(&self, value: Option<String>, mut parsed: Vec<Option<Parsed<TextLimit>>>) -> Step {
        let compared = parsed.iter().position(|p| p.as_ref().is_some_and(|p| p.limits.comp_op != "LOG")).unwrap_or(0);
        let limit = parsed.get_mut(compared).and_then(Option::take);
        let (comp_op, limit) = limit.map_or(("LOG", None), |p| (p.limits.comp_op, Some(p.limits.limit)));
        let meas = StringMeas {
            comp_op: Some(comp_op.to_owned()),
            status: Some(self.status.status),
            value,
            limit,
            ..StringMeas::default()
        };
        Step { step_type: Some("ET_SVT".to_owned()), string_meas: Some(vec![meas]), ..Step::default() }
    }

    /// Nothing was measured. What would have been is told by the unit and the validators.
    fn unset(&mut self, walk: &mut Walk) -> Step {
        self.lines.add_text("no value was measured".to_owned());
        let parsed: Vec<_> = self.validators.iter().map(|text| validator::numeric(text)).collect();
        if self.unit.is_some() || parsed.iter().any(Option::is_some) {
            self.add_validators(&parsed);
            let meas = self.numeric_meas(Num::NaN, parsed, walk);
            return Step { step_type: Some("ET_NLT".to_owned()), numeric_meas: Some(vec![meas]), ..Step::default() };
        }
        if self.validators.iter().any(|text| validator::flag(text).is_some()) {
            self.add_validators::<bool>(&[]);
            return self.boolean_step();
        }
        let parsed: Vec<_> = self.validators.iter().map(|text| Some(validator::textual(text))).collect();
        self.add_validators(&parsed);
        self.string_step(None, parsed)
    }

    /// Rows of coordinates, each with its value at the end.
    fn dimensioned(&mut self, rows: Value, dimensions: Vec<Value>, walk: &mut Walk) -> Step {
        self.add_validators::<bool>(&[]);
        if let [dimension] = dimensions.as_slice()
            && let Some((xdata, ydata)) = curve(&rows)
        {
            let chart = self.chart(dimension.clone(), xdata, ydata, walk);
            return Step { step_type: Some("WATS_XYGMNLT".to_owned()), chart: Some(chart), ..Step::default() };
        }
        self.add_unit();
        let document = Value::Object(Object::from_iter([
            ("dimensions".to_owned(), Value::Array(dimensions)),
            ("measured_value".to_owned(), rows),
        ]));
        let attachment = attach(&format!("{}.json", self.name), "application/json", document.to_string().as_bytes(), walk);
        if attachment.is_none() {
            self.lines.add_text("the values were left out: they are too many for an attachment".to_owned());
        }
        Step { step_type: Some("ET_A".to_owned()), attachment, ..Step::default() }
    }

    fn chart(&mut self, dimension: Value, xdata: String, ydata: String, walk: &mut Walk) -> Chart {
        let (x_label, x_unit) = match dimension {
            Value::Object(mut dimension) => {
                let name = dimension.get("name").filter(|name| !says_nothing(name)).map(plain);
                let label = walk.text(&mut dimension, "description").or(name);
                (label, unit(dimension, "dimension", &mut self.lines, walk))
            }
            other => (Some(plain(&other)).filter(|_| !says_nothing(&other)), None),
        };
        Chart {
            chart_type: Some("Line".to_owned()),
            label: Some(self.name.clone()),
            x_label,
            x_unit,
            y_label: Some(self.name.clone()),
            y_unit: self.unit.clone(),
            series: Some(vec![Series {
                data_type: Some("XYG".to_owned()),
                name: Some(self.name.clone()),
                xdata: Some(xdata),
                ydata: Some(ydata),
                ..Series::default()
            }]),
            ..Chart::default()
        }
    }

    /// A number, or a text that stands for one where numbers are meant: Python has no other way to write NaN into strict JSON.
    fn as_number(&self, value: &Value) -> Option<Num> {
        match value {
            Value::Number(_) => plot_number(value),
            Value::String(text) => {
                let numeric = self.unit.is_some() || self.validators.iter().any(|text| validator::numeric(text).is_some());
                let bare_token = matches!(text.as_str(), "NaN" | "Infinity" | "-Infinity");
                let stands_for_one = numeric || (bare_token && self.validators.is_empty());
                plot_number(value).filter(|_| stands_for_one)
            }
            _ => None,
        }
    }

    /// The texts of the validators, unless the only one is said in full by comparator and limits.
    fn add_validators<T>(&mut self, parsed: &[Option<Parsed<T>>]) {
        if let [Some(Parsed { whole: true, .. })] = parsed {
            return;
        }
        for text in &self.validators {
            self.lines.add("validator", text);
        }
    }

    /// The unit of what has no field for one.
    fn add_unit(&mut self) {
        if let Some(unit) = &self.unit {
            self.lines.add("unit", unit);
        }
    }

    /// Notes a verdict that contradicts the validators: `holds` tells of each whether the value keeps it, as far as that is known.
    fn check(&self, holds: impl Iterator<Item = Option<bool>>, value: &str, walk: &mut Walk) {
        let holds: Vec<_> = holds.collect();
        let all_hold = !holds.is_empty() && !self.conditional && holds.iter().all(|holds| *holds == Some(true));
        let value = printable(value, 60);
        let against = self.validators.join("; ");
        match self.status.status {
            Status::Passed if holds.contains(&Some(false)) => {
                walk.note(format!("passed in the file, although {value} does not keep {against}"));
            }
            Status::Failed if all_hold => walk.note(format!("failed in the file, although {value} keeps {against}")),
            _ => {}
        }
    }
}

/// The verdict; `None`, with a fault, if the file says something that is none.
fn status(object: &mut Object, unset_fails: bool, lines: &mut Lines, walk: &mut Walk) -> Option<Verdict> {
    let Some(text) = walk.text(object, "outcome") else {
        walk.note("it has no outcome, and so no verdict");
        return Some(Verdict { status: Status::Done, unset: true });
    };
    let word = text.trim().to_ascii_uppercase();
    let (status, unset) = match word.as_str() {
        "PASS" => (Status::Passed, false),
        "FAIL" => (Status::Failed, false),
        "UNSET" | "PARTIALLY_SET" if unset_fails => (Status::Failed, true),
        "UNSET" | "SKIPPED" => (Status::Skipped, true),
        "PARTIALLY_SET" => (Status::Done, false),
        _ => {
            let text = printable(&text, 40);
            walk.in_key("outcome", |walk| {
                walk.fault(FaultKind::OutOfRange, format!("\"{text}\" is none of PASS, FAIL, UNSET, PARTIALLY_SET, SKIPPED"));
            });
            return None;
        }
    };
    if !matches!(word.as_str(), "PASS" | "FAIL") {
        lines.add("outcome", &word);
    }
    Some(Verdict { status, unset })
}

/// The unit of measure: `units`, an object or a text, or `uom_code`, which older files have.
fn unit_of(object: &mut Object, lines: &mut Lines, walk: &mut Walk) -> Option<String> {
    match object.get("units") {
        Some(Value::Object(_)) => {
            let units = walk.object(object, "units")?;
            unit(units, "unit", lines, walk)
        }
        Some(value) if !value.is_null() => walk.text(object, "units"),
        _ => walk.text(object, "uom_code"),
    }
}

/// What a person reads as the unit: its suffix (`V`), else its UNECE code; the rest of it goes to `lines`. NDL is *no dimension*.
fn unit(mut units: Object, what: &str, lines: &mut Lines, walk: &mut Walk) -> Option<String> {
    let suffix = walk.text(&mut units, "suffix");
    let code = walk.text(&mut units, "code").or_else(|| walk.text(&mut units, "uom_code")).filter(|code| code != "NDL");
    let name = walk.text(&mut units, "name").filter(|name| name != "No dimension");
    match (&name, code.as_ref().filter(|_| suffix.is_some())) {
        (Some(name), Some(code)) => lines.add(what, &format!("{name} ({code})")),
        (Some(only), None) | (None, Some(only)) => lines.add(what, only),
        (None, None) => {}
    }
    for (key, value) in &units {
        lines.add_value(&format!("{what}.{key}"), value);
    }
    suffix.or(code).or(name)
}

/// X and Y values of `[[x, y], …]`, joined as a chart wants them; `None` if it is anything else, or too long.
fn curve(rows: &Value) -> Option<(String, String)> {
    let rows = rows.as_array().filter(|rows| !rows.is_empty() && rows.len() <= POINTS_MAX)?;
    let (mut xs, mut ys) = (Vec::with_capacity(rows.len()), Vec::with_capacity(rows.len()));
    for row in rows {
        let [x, y] = row.as_array()?.as_slice() else { return None };
        xs.push(plot_number(x)?.to_string());
        ys.push(plot_number(y)?.to_string());
    }
    Some((xs.join(";"), ys.join(";")))
}

/// A JSON number with its digits, or one of the texts for what JSON has no number for.
fn plot_number(value: &Value) -> Option<Num> {
    match value {
        Value::Number(number) => Some(Num::Finite(number.clone())),
        Value::String(text) => number::plain(text).filter(|number| !matches!(number, Num::Finite(_))),
        _ => None,
    }
}

//! From the text of a mapping file to a mapping: all faults at once, each with its path and its line.

use toml_edit::{Document, Item};
use waybill_shared::config::ConfigError;
use waybill_shared::config::tree::{self, Place, Segment};
use waybill_shared::schema::{Fault, FaultKind, Field as _, Reader};

use super::Mapping;
use super::kinds::{Delimiter, Pattern, Pick};
use super::model::{ElementKind, Format, Model, Per, StepKind};
use super::values;

/// Largest mapping file.
const BYTES: usize = 1024 * 1024;
/// Groups of a pattern for names of columns.
const GROUPS: [&str; 10] = ["name", "unit", "low", "low_op", "high", "high_op", "equal", "limit", "op", "loop"];

/// Reads a mapping.
pub(super) fn parse(text: &str) -> Result<Mapping, Vec<Fault>> {
    let whole = |message: String| vec![Fault { path: ".".to_owned(), kind: FaultKind::OutOfRange, message }];
    if text.len() > BYTES {
        return Err(whole(format!("a mapping file has at most {BYTES} bytes")));
    }
    let value = tree::parse(text).map_err(|error| {
        whole(match error {
            ConfigError::Syntax { line, column, reason } => format!("line {line}, column {column}: {reason}"),
            other => other.to_string(),
        })
    })?;
    let mut reader = Reader::new();
    let model = Model::read(value, &mut reader);
    if let Some(model) = &model {
        check(model, &mut reader);
    }
    match (model, reader.is_clean()) {
        (Some(model), true) => Ok(Mapping { model }),
        _ => Err(with_lines(text, reader.into_faults())),
    }
}

/// What holds between keys.
fn check(model: &Model, reader: &mut Reader) {
    let is_tree = matches!(model.format, Format::Xml | Format::Json);
    let mut fault = |path: &[&str], kind, message: String| {
        in_path(reader, path, &mut |reader| reader.fault(kind, message.clone()));
    };
    let name = &model.name;
    let is_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_');
    if name.is_empty() || name.len() > 60 || !name.chars().all(is_name) || name == "auto" {
        let message = "a name is made of small letters, digits, - and _, at most 60, and is not `auto`".to_owned();
        fault(&["name"], FaultKind::OutOfRange, message);
    }
    if let Some(recognise) = &model.recognise
        && !(40..=100).contains(&recognise.sure)
    {
        fault(&["recognise", "sure"], FaultKind::OutOfRange, "40 to 100 is allowed".to_owned());
    }
    let conflict = |what: &str| format!("it has no meaning with format = {:?}{what}", model.format.as_str());
    if is_tree {
        for (given, path) in [
            (model.header.is_some(), "header"),
            (model.columns.is_some(), "columns"),
            (!model.measurement.is_empty(), "measurement"),
            (model.step.is_some(), "step"),
            (model.section.start.is_some() || model.section.end.is_some(), "section"),
        ] {
            if given {
                fault(&[path], FaultKind::Conflict, conflict("; steps are told by [[element]]"));
            }
        }
        if model.element.is_empty() {
            fault(&["element"], FaultKind::Missing, "[[element]] says which elements are steps".to_owned());
        }
    } else {
        if !model.element.is_empty() {
            fault(&["element"], FaultKind::Conflict, conflict("; steps are told by [step], [columns] and [[measurement]]"));
        }
        if model.step.is_none() && model.columns.is_none() && model.measurement.is_empty() {
            let message = "nothing says what is measured: [step] for rows, [columns] or [[measurement]] for columns".to_owned();
            fault(&["step"], FaultKind::Missing, message);
        }
        if model.step.is_some() && model.table.unit == Per::Row {
            let message = "with [step] each row is a step: say table.unit = \"key\" or \"section\"".to_owned();
            fault(&["table", "unit"], FaultKind::Conflict, message);
        }
        if model.columns.is_some() && model.table.unit != Per::Row {
            let message = "with [columns] each row is a unit: say table.unit = \"row\"".to_owned();
            fault(&["table", "unit"], FaultKind::Conflict, message);
        }
        match (model.table.unit, model.table.key.is_empty()) {
            (Per::Key, true) => {
                fault(&["table", "key"], FaultKind::Missing, "rows of one unit are known by these columns".to_owned())
            }
            (Per::Row | Per::Section, false) => {
                fault(&["table", "key"], FaultKind::Conflict, "it has a meaning only with table.unit = \"key\"".to_owned());
            }
            _ => {}
        }
    }
    let is_fixed = model.format == Format::Fixed;
    if is_fixed == model.text.fixed.is_empty() && !is_tree {
        let kind = if is_fixed { FaultKind::Missing } else { FaultKind::Conflict };
        fault(&["text", "fixed"], kind, "cells at fixed places belong to format = \"fixed\"".to_owned());
    }
    for cell in &model.text.fixed {
        if cell.from == 0 || cell.to.is_some_and(|to| to < cell.from) {
            let message = format!("{:?}: places are counted from 1, and the last is not before the first", cell.name);
            fault(&["text", "fixed"], FaultKind::OutOfRange, message);
        }
    }
    let has_names = model.table.header_rows > 0 || !model.table.columns.is_empty() || is_fixed;
    if !is_tree && !has_names {
        fault(&["table", "columns"], FaultKind::Missing, "with header_rows = 0 it names the columns".to_owned());
    }
    if model.table.header_rows > 10 {
        fault(&["table", "header_rows"], FaultKind::OutOfRange, "at most 10".to_owned());
    }
    let comma = matches!(model.text.decimal, super::model::DecimalSign::Comma);
    if comma && model.text.delimiter == Delimiter::Char(b',') && model.text.quote.0.is_none() && !is_tree && !is_fixed {
        fault(
            &["text", "decimal"],
            FaultKind::Conflict,
            "a comma cannot be between cells and in numbers without quotes".to_owned(),
        );
    }
    if let Some(columns) = &model.columns {
        check_groups(&columns.pattern, &mut |message| fault(&["columns", "pattern"], FaultKind::OutOfRange, message));
    }
    for (word, comparator) in &model.comparators {
        if !comparator.as_str().is_some_and(values::is_comparator) {
            let message = format!("it is a comparator as {}", values::COMPARATORS.join(", "));
            fault(&["comparators", word], FaultKind::OutOfRange, message);
        }
    }
    if !model.measurement.is_empty() && model.table.unit == Per::Key {
        let message = "with rows of one key each row is a step: [step] says it".to_owned();
        fault(&["measurement"], FaultKind::Conflict, message);
    }
    for measurement in &model.measurement {
        if let Some(comparator) = measurement.comparator.as_deref().filter(|text| !values::is_comparator(text)) {
            fault(&["measurement"], FaultKind::OutOfRange, format!("{comparator:?} is no comparator"));
        }
        if measurement.name.is_none() && measurement.value.names.is_empty() {
            fault(&["measurement"], FaultKind::Missing, "a measurement whose column has no name needs `name`".to_owned());
        }
    }
    for element in &model.element {
        if element.kind == ElementKind::Numeric && element.value.is_none() {
            fault(&["element"], FaultKind::Missing, format!("{:?} is numeric and has no `value`", element.element));
        }
    }
    if let Some(step) = &model.step
        && matches!(step.kind, StepKind::Numeric | StepKind::String)
        && step.value.is_none()
    {
        fault(&["step", "value"], FaultKind::Missing, format!("a step of kind {:?} has one", step.kind.as_str()));
    }
    if let (None, Some(_)) = (&model.unit.start, &model.unit.start_time) {
        fault(&["unit", "start"], FaultKind::Missing, "`start_time` needs a date".to_owned());
    }
    for format in &model.time.formats {
        // What jiff does not know shows when it is used to write.
        if jiff::fmt::strtime::format(format, &jiff::Timestamp::UNIX_EPOCH.to_zoned(jiff::tz::TimeZone::UTC)).is_err() {
            fault(
                &["time", "formats"],
                FaultKind::OutOfRange,
                format!("{format:?} is no pattern of a time as %d.%m.%Y %H:%M:%S"),
            );
        }
    }
}

fn check_groups(pattern: &Pattern, fault: &mut dyn FnMut(String)) {
    let named: Vec<_> = pattern.0.capture_names().flatten().collect();
    if let Some(unknown) = named.iter().find(|name| !GROUPS.contains(name)) {
        fault(format!("the group {unknown:?} is not known; there are {}", GROUPS.join(", ")));
    }
    if !named.contains(&"name") {
        fault("it has no group `name`".to_owned());
    }
}

fn in_path(reader: &mut Reader, path: &[&str], f: &mut dyn FnMut(&mut Reader)) {
    match path.split_first() {
        None => f(reader),
        Some((key, rest)) => reader.in_key(key, |reader| in_path(reader, rest, f)),
    }
}

/// Faults with the line of the nearest place that stands in the text.
fn with_lines(text: &str, faults: Vec<Fault>) -> Vec<Fault> {
    let Ok(document) = Document::parse(text) else { return faults };
    let line = |path: &str| {
        let place: Place = path.parse().ok()?;
        let mut item: &Item = document.as_item();
        let mut at = None;
        for segment in &place.0 {
            let inner = match segment {
                Segment::Key(key) => {
                    let key_span =
                        item.as_table_like().and_then(|table| table.get_key_value(key)).and_then(|(key, _)| key.span());
                    at = key_span.or(at);
                    item.get(key.as_str())
                }
                Segment::Index(index) => item.get(*index),
            };
            let Some(inner) = inner else { break };
            item = inner;
            at = at.or_else(|| item.span());
        }
        let at = at?.start.min(text.len());
        Some(1 + text.as_bytes()[..at].iter().filter(|&&byte| byte == b'\n').count())
    };
    let told = |mut fault: Fault| {
        if let Some(line) = line(&fault.path) {
            fault.message = format!("line {line}: {}", fault.message);
        }
        fault
    };
    faults.into_iter().map(told).collect()
}

/// Every place of a mapping where a value is picked, for those who need all of them.
pub(super) fn picks(model: &Model) -> Vec<&Pick> {
    let of_step = model.step.iter().flat_map(|step| {
        let own = [
            &step.value,
            &step.unit,
            &step.low,
            &step.high,
            &step.comparator,
            &step.expected,
            &step.status,
            &step.time,
            &step.error_code,
            &step.error_message,
            &step.sequence,
        ];
        own.into_iter().flatten().chain([&step.name])
    });
    let measured = model.measurement.iter().flat_map(|one| {
        [one.low_from.as_ref(), one.high_from.as_ref(), one.status.as_ref()].into_iter().flatten().chain([&one.value])
    });
    unit_picks(model).into_iter().chain(of_step).chain(measured).collect()
}

/// Those that say something of the unit as a whole.
pub(super) fn unit_picks(model: &Model) -> Vec<&Pick> {
    let unit = &model.unit;
    let of_unit = [
        &unit.sn,
        &unit.pn,
        &unit.rev,
        &unit.process_code,
        &unit.station,
        &unit.location,
        &unit.purpose,
        &unit.operator,
        &unit.batch,
        &unit.fixture,
        &unit.socket,
        &unit.start,
        &unit.start_time,
        &unit.end,
        &unit.end_time,
        &unit.exec_time,
        &unit.result,
        &unit.error_code,
        &unit.error_message,
        &unit.comment,
        &unit.sequence,
        &unit.sequence_path,
        &unit.sequence_version,
    ];
    of_unit.into_iter().flatten().collect()
}

/// Those of values and limits.
pub(super) fn measured_picks(model: &Model) -> Vec<&Pick> {
    let of_step = model.step.iter().flat_map(|step| [&step.value, &step.low, &step.high, &step.expected].into_iter().flatten());
    let measured = model.measurement.iter();
    let of_columns = measured.flat_map(|one| [Some(&one.value), one.low_from.as_ref(), one.high_from.as_ref()]).flatten();
    of_step.chain(of_columns).collect()
}

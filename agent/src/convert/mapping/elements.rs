//! The units of XML and JSON: elements of one path.

use std::collections::HashSet;
use std::ops::ControlFlow;

use waybill_shared::report::Step;

use super::kinds::Pick;
use super::model::{DecimalSign, ElementFields, ElementKind, Format, Model, StepKind};
use super::step::Parts;
use super::tree::{self, Node, Spot};
use super::unit::{Made, Making, Told, worst};
use super::values;
use super::view::View;
use crate::convert::ground::number::Decimal;
use crate::convert::ground::steps;
use crate::convert::ground::walk::Lines;
use crate::convert::{ConvertError, Input};

/// Reads all units of a tree.
pub(super) fn read(
    model: &Model,
    input: &Input<'_>,
    text: &str,
    told: Told,
    sink: &mut dyn FnMut(Made) -> ControlFlow<()>,
) -> Result<(), ConvertError> {
    let root = if model.format == Format::Xml { tree::xml(text)? } else { tree::json(text)? };
    let decimal = if model.text.decimal == DecimalSign::Comma { Decimal::Comma } else { Decimal::Point };
    let units = root.all(&model.tree.unit);
    if units.is_empty() {
        return Err(ConvertError::Malformed {
            place: root.place.clone(),
            reason: format!("nothing stands at tree.unit = {:?}; the root is <{}>", model.tree.unit, root.name),
        });
    }
    let ids: HashSet<usize> = units.iter().map(|unit| unit.id).collect();
    // What stands outside of all units is said of each of them.
    let mut outside = Vec::new();
    if !ids.contains(&root.id) {
        let ignored = ignored(model, &root);
        let mut told = |path: &str, value: &str, spot| outside.push((path.to_owned(), value.to_owned(), spot));
        root.values("", &mut told, &|child| !ids.contains(&child.id) && !ignored.contains(&child.id));
    }
    for node in &units {
        let mut making = Making::new(model, input, decimal, &told);
        let view = View::Node { root: &root, node };
        let (mut steps, mut stepped) = (Vec::new(), HashSet::new());
        walk(model, &root, node, &mut making, &mut steps, &mut stepped, &mut vec![node.name.as_str()]);
        // What is said of the unit is marked as used before the rest is looked at.
        mark(model, view, &mut making, input);
        let mut infos = Vec::new();
        let ignored = ignored(model, node);
        let mut told = |path: &str, value: &str, spot: Spot| {
            if !making.used.contains(&spot) {
                infos.push((path.to_owned(), value.to_owned()));
            }
        };
        node.values("", &mut told, &|child| !stepped.contains(&child.id) && !ignored.contains(&child.id));
        outside.iter().for_each(|(path, value, spot)| told(path, value, *spot));
        let mut hash = blake3::Hasher::new();
        hash_of(node, &mut hash);
        let made = making.unit(view, steps, infos, Lines::default(), *hash.finalize().as_bytes());
        if sink(made).is_break() {
            return Err(ConvertError::Stopped);
        }
    }
    Ok(())
}

/// Elements that are left out.
fn ignored(model: &Model, node: &Node) -> HashSet<usize> {
    model.tree.ignore.iter().flat_map(|path| node.all(path)).map(|node| node.id).collect()
}

/// Notes which values of a tree say something of the unit.
fn mark(model: &Model, view: View<'_>, making: &mut Making<'_>, input: &Input<'_>) {
    for pick in super::parse::unit_picks(model) {
        if let Ok(Some(found)) = view.find(pick, input.file_name, &model.text.empty) {
            making.used.extend(found.spot);
        }
    }
}

/// The steps among the children of an element, and in those that are none.
fn walk<'n>(
    model: &Model,
    root: &Node,
    node: &'n Node,
    making: &mut Making<'_>,
    steps: &mut Vec<Step>,
    stepped: &mut HashSet<usize>,
    path: &mut Vec<&'n str>,
) {
    for child in &node.children {
        path.push(&child.name);
        match model.element.iter().find(|fields| is_at(&fields.element, path)) {
            None => walk(model, root, child, making, steps, stepped, path),
            Some(fields) => {
                stepped.insert(child.id);
                steps.push(element(model, fields, root, child, making, stepped, path));
            }
        }
        path.pop();
    }
}

/// True if a path ends with these names.
fn is_at(element: &str, path: &[&str]) -> bool {
    let mut names = path.iter().rev();
    element.rsplit('/').all(|name| names.next() == Some(&name.trim()))
}

fn element<'n>(
    model: &Model,
    fields: &ElementFields,
    root: &Node,
    node: &'n Node,
    making: &mut Making<'_>,
    stepped: &mut HashSet<usize>,
    path: &mut Vec<&'n str>,
) -> Step {
    let view = View::Node { root, node };
    let mut text = |field: &str, pick: Option<&Pick>| making.pick(view, "element", field, pick).map(|found| found.text);
    let name = text("name", fields.name.as_ref()).unwrap_or_else(|| node.name.clone());
    let mut parts = Parts {
        value: text("value", fields.value.as_ref()),
        unit: text("unit", fields.unit.as_ref()),
        low: text("low", fields.low.as_ref()),
        high: text("high", fields.high.as_ref()),
        comparator: text("comparator", fields.comparator.as_ref()),
        expected: text("expected", fields.expected.as_ref()),
        status: text("status", fields.status.as_ref()),
        time: text("time", fields.time.as_ref()),
        error_code: text("error_code", fields.error_code.as_ref()),
        error_message: text("error_message", fields.error_message.as_ref()),
        time_unit: fields.time_unit,
        kind: match fields.kind {
            ElementKind::Auto => StepKind::Auto,
            ElementKind::Numeric => StepKind::Numeric,
            ElementKind::String => StepKind::String,
            ElementKind::Verdict => StepKind::Verdict,
            ElementKind::Action | ElementKind::Sequence => StepKind::Action,
        },
        ..Parts::new(name, node.place.clone())
    };
    let is_sequence = fields.kind == ElementKind::Sequence;
    let (mut inner, mut inside) = (Vec::new(), HashSet::new());
    if is_sequence {
        walk(model, root, node, making, &mut inner, &mut inside, path);
    }
    let mut told = |path: &str, value: &str, spot| {
        if !making.used.contains(&spot) {
            parts.lines.add(path, value);
        }
    };
    node.values("", &mut told, &|child| !inside.contains(&child.id));
    stepped.extend(inside);
    if !is_sequence {
        return parts.step(making);
    }
    let own = parts.status.as_deref().and_then(|text| values::status(&model.status, text));
    let made = worst(&inner);
    let step = parts.step(making);
    let status = own.unwrap_or(made);
    let sequence = steps::sequence(step.name.as_deref().unwrap_or_default(), status, inner);
    Step {
        tot_time: step.tot_time,
        error_code: step.error_code,
        error_message: step.error_message,
        report_text: step.report_text,
        ..sequence
    }
}

fn hash_of(node: &Node, hash: &mut blake3::Hasher) {
    let attributes = node.attributes.iter().flat_map(|(name, value)| [name, value]);
    for text in [&node.name, &node.text].into_iter().chain(attributes) {
        // With their lengths: nothing else reads the same.
        hash.update(&(text.len() as u64).to_le_bytes()).update(text.as_bytes());
    }
    hash.update(&(node.children.len() as u64).to_le_bytes());
    node.children.iter().for_each(|child| hash_of(child, hash));
}

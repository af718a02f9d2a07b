//! What a `TestResults` says of its unit, of who tested it and where.

use waybill_shared::report::{MiscInfo, Report, Uut};

use super::{child, result, said};
use crate::convert::ground::names;
use crate::convert::ground::steps;
use crate::convert::ground::teststand::mark_failure;
use crate::convert::ground::teststand::prop::{Prop, whole};
use crate::convert::ground::walk::Walk;
use crate::convert::ground::xml::Element;

/// Fills in what is around the tree of steps.
pub(super) fn read(results: Element<'_>, report: &mut Report, walk: &mut Walk) {
    let mut infos = Vec::new();
    let mut uut = report.uut.take().unwrap_or_default();
    for (name, value) in results.attributes().filter(|(name, _)| *name != "schemaLocation") {
        steps::misc(&mut infos, &format!("ATML {name}"), value);
    }
    for part in results.children() {
        match part.name() {
            "ResultSet" => {}
            "Personnel" => personnel(part, &mut uut, &mut infos),
            "TestStation" => {
                let mut numbers = part.children().filter(|child| child.name() == "SerialNumber").filter_map(said);
                report.machine_name = report.machine_name.take().or_else(|| numbers.next().map(str::to_owned));
                rest(part, "TestStation", &["SerialNumber"], &mut infos);
            }
            // TestStand writes the station here again.
            "TestProgram" => {
                let again = child(part, "SerialNumber").and_then(said).is_some_and(|text| is_station(results, text));
                let known: &[&str] = if again { &["SerialNumber", "Configuration"] } else { &["Configuration"] };
                rest(part, "TestProgram", known, &mut infos);
            }
            "UUT" => unit(part, report, &mut infos, walk),
            "Extension" => {
                for extension in part.children() {
                    match extension.name() {
                        "TSResultSetProperties" => properties(extension, &mut uut, &mut infos, walk),
                        // The options of the report.
                        "TS_Configuration" => {}
                        name => rest(extension, name, &[], &mut infos),
                    }
                }
            }
            name => rest(part, name, &[], &mut infos),
        }
    }
    report.uut = Some(uut);
    report.misc_infos = Some(infos).filter(|infos| !infos.is_empty());
}

fn is_station(results: Element<'_>, text: &str) -> bool {
    child(results, "TestStation").and_then(|station| child(station, "SerialNumber")).and_then(said) == Some(text)
}

fn personnel(part: Element<'_>, uut: &mut Uut, infos: &mut Vec<MiscInfo>) {
    for person in part.children() {
        let named = |attribute: &str| person.attribute(attribute).map(str::trim).filter(|text| !text.is_empty());
        let name = named("name").or_else(|| named("ID")).or_else(|| said(person));
        if person.name() == "SystemOperator" && uut.user.is_none() {
            uut.user = name.map(str::to_owned);
            if let Some(id) = named("ID").filter(|id| Some(*id) != name) {
                steps::misc(infos, "Operator ID", id);
            }
        } else if let Some(name) = name {
            steps::misc(infos, person.name(), name);
        }
    }
}

fn unit(part: Element<'_>, report: &mut Report, infos: &mut Vec<MiscInfo>, walk: &mut Walk) {
    if let Some(text) = child(part, "SerialNumber").and_then(said) {
        report.sn = names::serial_number(text, walk);
    }
    if let Some(definition) = child(part, "Definition") {
        let revision = definition.attribute("version").map(str::trim).filter(|text| !text.is_empty());
        report.rev = revision.map(str::to_owned);
        for inner in definition.children() {
            if inner.name() != "Identification" {
                rest(inner, inner.name(), &[], infos);
                continue;
            }
            for identity in inner.children() {
                match identity.name() {
                    "IdentificationNumbers" => numbers(identity, report, infos),
                    // TestStand's way to say that there is none.
                    "ModelName" if identity.text().trim() == "UNKNOWN" => {}
                    name => rest(identity, name, &[], infos),
                }
            }
        }
    }
    rest(part, "UUT", &["SerialNumber", "Definition"], infos);
}

fn numbers(identity: Element<'_>, report: &mut Report, infos: &mut Vec<MiscInfo>) {
    for number in identity.children() {
        let text = number.attribute("number").map(str::trim).or_else(|| said(number)).unwrap_or_default();
        if text.is_empty() {
            continue;
        }
        match number.attribute("type") {
            Some("Part") | None if report.pn.is_none() => report.pn = Some(text.to_owned()),
            kind => steps::misc(infos, kind.unwrap_or("IdentificationNumber"), text),
        }
    }
}

fn properties(extension: Element<'_>, uut: &mut Uut, infos: &mut Vec<MiscInfo>, walk: &mut Walk) {
    for property in extension.children() {
        let text = said(property);
        match (property.name(), text) {
            // What the tree has anyway, and what is read with the tree.
            ("NumOfResults" | "CriticalFailureStack", _) => {}
            ("TestSocketIndex", Some(text)) => match whole(text) {
                Some(-1) => {}
                Some(socket) => uut.test_socket_index = Some(socket),
                None => {
                    walk.note(format!("{}: it is no whole number", property.place()));
                    steps::misc(infos, "TestSocketIndex", text);
                }
            },
            ("BatchSerialNumber", Some(text)) => uut.batch_sn = Some(text.to_owned()),
            (name, _) => rest(property, name, &[], infos),
        }
    }
}

/// What has no place of its own, as information on the unit: each value under the names that lead to it.
fn rest(element: Element<'_>, name: &str, known: &[&str], infos: &mut Vec<MiscInfo>) {
    let mut prop = Prop { name: name.to_owned(), ..result::any(element) };
    prop.members.retain(|member| !known.contains(&member.name.as_str()) && !matches!(member.name.as_str(), "UutType"));
    prop.pairs().iter().for_each(|(name, text)| steps::misc(infos, name, text));
}

/// Names the step that made the unit fail: the deepest one of `CriticalFailureStack`, which has the numbers of the steps.
pub(super) fn failure(results: Element<'_>, report: &mut Report) {
    let extensions = results.children().filter(|part| part.name() == "Extension").flat_map(Element::children);
    let stacks = extensions.flat_map(Element::children).filter(|property| property.name() == "CriticalFailureStack");
    let mut numbers = Vec::new();
    for entry in stacks.flat_map(Element::children) {
        let infos = report.misc_infos.get_or_insert_default();
        let text = |attribute: &str| entry.attribute(attribute).unwrap_or_default();
        let words = format!("{} in {} ({})", text("stepName"), text("sequenceName"), text("sequenceFileName"));
        steps::misc(infos, "Critical failure", &words);
        numbers.extend(whole(text("resultID")));
    }
    let (Some(root), Some(uut)) = (&mut report.root, &mut report.uut) else { return };
    uut.step_id_caused_uut_failure = mark_failure(root, &numbers);
}

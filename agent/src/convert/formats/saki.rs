//! Saki AOI XML: the inspection of a panel, one unit for each of its images (boards).
//!
//! What the format fixes (FORMATS.md section 13, tests/data/saki):
//!
//! - A board has its own barcode only where it is not `N/A`; else its serial number is made of the barcode of its panel and its number, as the argument
//!   `serial_number` says.
//! - `Results` lists what the machine objected to: `Failed` are defects, `FalseCalls` are those that a person found to be none: a passed step that says so.
//!   A designator may stand there several times.
//! - The verdict is that of the image; that of the panel is information on the unit.
//! - Dates have the day first; the argument `date_order` says otherwise.
//!
//! Part number and revision are not in the file, unless a site keeps one in `side` or in the name of the program: the argument `part_number_in`.

use waybill_shared::report::{Report, SeqCall, Status, Step, Uut};
use waybill_shared::schema::FaultKind;
use waybill_shared::text::printable;

use crate::convert::ground::fit::fit;
use crate::convert::ground::names::serial_number;
use crate::convert::ground::own_hash;
use crate::convert::ground::steps::{self, Measured};
use crate::convert::ground::time::Moment;
use crate::convert::ground::walk::{Lines, Walk};
use crate::convert::ground::xml::{Element, Xml};
use crate::convert::{About, Argument, ConvertError, Converter, Head, Input, Kind, Sink, Unit};

const SERIAL_NUMBER: Argument = Argument {
    name: "serial_number",
    help: "serial number of a board without its own barcode, of {barcode} of the panel and {id} of the image; else {barcode}-{id}",
    kind: Kind::Text,
};
const DATE_ORDER: Argument =
    Argument { name: "date_order", help: "order of day and month in dates", kind: Kind::OneOf(&["d/M/y", "M/d/y"]) };
const PART_NUMBER_IN: Argument = Argument {
    name: "part_number_in",
    help: "what holds the part number, if anything does",
    kind: Kind::OneOf(&["nothing", "side", "program"]),
};

const ABOUT: About = About {
    name: "saki",
    version: 1,
    help: "Saki AOI XML: a panel, one unit a board",
    patterns: &["*.xml"],
    has_end_mark: true,
    arguments: &[SERIAL_NUMBER, DATE_ORDER, PART_NUMBER_IN],
};

/// The converter `saki`.
#[derive(Debug)]
pub struct Saki;

impl Converter for Saki {
    fn about(&self) -> &About {
        &ABOUT
    }
    fn sniff(&self, head: &Head) -> u8 {
        match (head.contains("<Panel"), head.count(&["<Image", "startDate=", "<FalseCalls", "<Reference", "<Program"])) {
            (true, 3..) => 95,
            (true, 2) => 60,
            _ => 0,
        }
    }
    fn convert(&self, input: &Input<'_>, sink: &mut Sink<'_>) -> Result<(), ConvertError> {
        let mut xml = Xml::new(input.open_text()?);
        let mut units = 0_u64;
        // A panel as a whole: what stands after its images is of them, too.
        while let Some(panel) = xml.next(|path| path.last().is_some_and(|name| name == "Panel"))? {
            for image in panel.children().filter(|child| child.name() == "Image") {
                units += 1;
                if sink(unit(panel, image, input)).is_break() {
                    return Err(ConvertError::Stopped);
                }
            }
        }
        if units == 0 {
            let place = "the file as a whole".to_owned();
            return Err(ConvertError::Malformed { place, reason: "it has no image of a panel: nothing was tested".to_owned() });
        }
        Ok(())
    }
}

fn unit(panel: Element<'_>, image: Element<'_>, input: &Input<'_>) -> Result<Unit, ConvertError> {
    let mut walk = Walk::default();
    let given = |element: Element<'_>, name: &str| {
        let text = element.attribute(name).map(str::trim).filter(|text| !text.is_empty());
        text.map(str::to_owned)
    };
    let result = verdict(image, &mut walk);
    let program = panel.children().find(|child| child.name() == "Program");
    let name = program.and_then(|program| given(program, "name")).unwrap_or_else(|| "Saki AOI".to_owned());
    let part_number = match input.arguments.text(&PART_NUMBER_IN) {
        Some("side") => given(panel, "side"),
        Some("program") => program.and_then(|program| given(program, "name")),
        _ => None,
    };
    let id = given(image, "id");
    let mut lines = Lines::default();
    let mut defects = Vec::new();
    for child in image.children() {
        match child.name() {
            "Results" => {
                child.attributes().for_each(|(key, value)| lines.add(&format!("Results {key}"), value));
                child.children().for_each(|kind| inspected(kind, &mut defects, &mut lines, &mut walk));
            }
            _ => child.say(&mut lines),
        }
    }
    let mut report = Report {
        kind: Some("T".to_owned()),
        sn: serial(panel, image, id.as_deref(), input, &mut walk),
        pn: part_number,
        result: Some(result),
        ..Report::default()
    };
    let call =
        SeqCall { name: Some(name.clone()), version: program.and_then(|program| given(program, "ver")), ..SeqCall::default() };
    report.uut = Some(Uut {
        user: given(panel, "operator"),
        test_socket_index: id.as_deref().and_then(|id| id.parse().ok()),
        ..Uut::default()
    });
    let mut misc = Vec::new();
    for (element, of) in [(panel, "Panel"), (image, "Image")] {
        for (key, value) in element.attributes().filter(|(key, _)| !matches!(*key, "startDate" | "startTime" | "operator")) {
            let is_said = (of == "Image" && key == "result") || (key == "barcode" && is_none(value));
            if !is_said {
                steps::misc(&mut misc, &format!("{of} {key}"), value);
            }
        }
    }
    for (key, value) in program.into_iter().flat_map(Element::attributes).filter(|(key, _)| !matches!(*key, "name" | "ver")) {
        steps::misc(&mut misc, &format!("Program {key}"), value);
    }
    panel.children().filter(|child| !matches!(child.name(), "Image" | "Program")).for_each(|child| child.say(&mut lines));
    report.misc_infos = Some(misc).filter(|misc| !misc.is_empty());
    let root = steps::sequence(&name, result, defects);
    report.root = Some(Step { seq_call: Some(call), report_text: lines.into_text(), ..root });
    start(panel, input, &mut report, &mut walk);
    let mut notes = walk.finish().map_err(ConvertError::Faults)?;
    let failed = |step: &Step| step.status == Some(Status::Failed);
    let has_failed = report.root.iter().flat_map(|root| root.steps.iter().flatten()).any(failed);
    if has_failed != (result == Status::Failed) && matches!(result, Status::Passed | Status::Failed) {
        let has = if has_failed { "defects" } else { "none" };
        notes.push(format!("the image is {result} and there are {has} in it: its own result counts"));
    }
    fit(&mut report, &mut notes);
    let mut hasher = blake3::Hasher::new();
    own_hash::attributes(&mut hasher, panel);
    image.hash(&mut hasher);
    Ok(Unit { report, own_hash: *hasher.finalize().as_bytes(), notes })
}

fn is_none(text: &str) -> bool {
    matches!(text.trim().to_ascii_uppercase().as_str(), "" | "N/A" | "NA" | "NONE")
}

/// The board's own barcode, else the panel's with the number of the board.
fn serial(panel: Element<'_>, image: Element<'_>, id: Option<&str>, input: &Input<'_>, walk: &mut Walk) -> Option<String> {
    let barcode =
        |element: Element<'_>| element.attribute("barcode").map(str::trim).filter(|text| !is_none(text)).map(str::to_owned);
    if let Some(own) = barcode(image) {
        return serial_number(&own, walk);
    }
    let of_panel = barcode(panel)?;
    let Some(id) = id else {
        walk.note("the image has no number: no serial number can be made of the panel's barcode");
        return None;
    };
    let form = input.arguments.text(&SERIAL_NUMBER).unwrap_or("{barcode}-{id}");
    // By its parts: what a barcode holds is not looked at again.
    let joined = form.split("{barcode}").map(|part| part.replace("{id}", id)).collect::<Vec<_>>().join(&of_panel);
    Some(joined)
}

/// The result of an image; a word that is not known is a fault.
fn verdict(image: Element<'_>, walk: &mut Walk) -> Status {
    let text = image.attribute("result").unwrap_or_default();
    match text.trim().to_ascii_lowercase().as_str() {
        "good" => Status::Passed,
        "bad" => Status::Failed,
        word => Status::parse(word).map_or_else(
            || {
                let text = printable(text, 40);
                walk.fault(FaultKind::OutOfRange, format!("{}: {text:?} is no result that is known", image.place()));
                Status::Error
            },
            |status| if status == Status::Skipped { Status::Done } else { status },
        ),
    }
}

fn start(panel: Element<'_>, input: &Input<'_>, report: &mut Report, walk: &mut Walk) {
    let text = |name: &str| panel.attribute(name).map(str::trim).unwrap_or_default();
    let joined = format!("{} {}", text("startDate"), text("startTime"));
    if joined.trim().is_empty() {
        return;
    }
    let patterns = match input.arguments.text(&DATE_ORDER) {
        Some("M/d/y") => ["%m/%d/%Y %H:%M:%S%.f", "%m/%d/%Y"],
        _ => ["%d/%m/%Y %H:%M:%S%.f", "%d/%m/%Y"],
    };
    match Moment::by(&joined, &patterns) {
        Some(moment) => moment.start(report, &input.zone(), walk),
        // Another time would stand in its place.
        None => {
            let order = input.arguments.text(&DATE_ORDER).unwrap_or_default();
            let joined = printable(&joined, 40);
            walk.fault(FaultKind::OutOfRange, format!("{}: {joined:?} is no time with a date as {order}", panel.place()));
        }
    }
}

/// What stands under one heading of the results.
fn inspected(kind: Element<'_>, steps: &mut Vec<Step>, lines: &mut Lines, walk: &mut Walk) {
    let heading = kind.name();
    let status = match heading {
        "Failed" => Status::Failed,
        "FalseCalls" => Status::Passed,
        other => Status::parse(other).unwrap_or_else(|| {
            walk.note(format!("{}: what it lists has no verdict that is known: done", kind.place()));
            Status::Done
        }),
    };
    for (key, value) in kind.attributes() {
        lines.add(&format!("{heading} {key}"), value);
    }
    for reference in kind.children() {
        if reference.name() != "Reference" {
            reference.say(lines);
            continue;
        }
        let mut said = Lines::default();
        match heading {
            "FalseCalls" => said.add_text("false call".to_owned()),
            "Failed" => {}
            other => said.add_text(other.to_owned()),
        }
        for (key, value) in reference.attributes().filter(|(key, value)| *key != "designator" && !value.trim().is_empty()) {
            said.add(key, value);
        }
        if !reference.text().trim().is_empty() {
            said.add_text(reference.text().trim().to_owned());
        }
        reference.children().for_each(|child| child.say(&mut said));
        let designator = reference.attribute("designator").map(str::trim).filter(|text| !text.is_empty()).unwrap_or("Reference");
        let step = steps::measuring(designator, status, vec![Measured::Verdict(steps::verdict(None, status))]);
        steps.push(Step { report_text: said.into_text(), ..step });
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::convert::testing::{Converted, convert, cut_anywhere, data, flip_anywhere, golden};

    const SAMPLE: &str = "saki/SAKI-testdata.xml";

    #[test]
    fn the_sample_arrives_as_it_is() {
        let reports = golden(&Saki, SAMPLE, &json!({})).all();
        let shown: Vec<_> = reports
            .iter()
            .map(|report| {
                let steps: Vec<_> = report.root.as_ref().unwrap().steps.iter().flatten().collect();
                let count = |status| steps.iter().filter(|step| step.status == Some(status)).count();
                (report.sn.as_deref().unwrap(), report.result.unwrap(), count(Status::Failed), count(Status::Passed))
            })
            .collect();
        let expected = [
            ("SN123456789-1", Status::Failed, 6, 23),
            ("SN123456789-2", Status::Passed, 0, 2),
            ("SN123456789-3", Status::Passed, 0, 3),
        ];
        assert_eq!(shown, expected);
        let first = &reports[0];
        assert_eq!(first.start.as_deref(), Some("2024-10-01T08:59:14+02:00"));
        let uut = first.uut.as_ref().unwrap();
        assert_eq!((uut.user.as_deref(), uut.test_socket_index), (Some("Operator"), Some(1)));
        let root = first.root.as_ref().unwrap();
        assert_eq!(root.name.as_deref(), Some("Test Sequence"));
        let steps = root.steps.as_ref().unwrap();
        assert_eq!((steps[0].name.as_deref(), steps[23].name.as_deref()), (Some("R1165"), Some("C1164")));
        let text = "false call\npartNumber: 4123456\npackage: 4123456_R0603\ndescription: Description text";
        assert_eq!(steps[0].report_text.as_deref(), Some(text));
    }

    #[test]
    fn a_cut_or_spoilt_sample_is_never_a_clean_report() {
        let bytes = data(SAMPLE);
        cut_anywhere(&Saki, "x.xml", &bytes, &json!({}));
        flip_anywhere(&Saki, "x.xml", &bytes, &json!({}));
    }

    fn panel(attributes: &str, inside: &str, arguments: &serde_json::Value) -> Converted {
        let text = format!(
            "<Panel startDate='02/03/2024' startTime='08:59:14' {attributes}><Program name='p' ver='1.2'/>{inside}</Panel>"
        );
        convert(&Saki, "x.xml", text.as_bytes(), arguments)
    }

    #[test]
    fn a_serial_number_is_the_boards_own_or_made_of_the_panels() {
        let image = |barcode: &str| format!("<Image barcode='{barcode}' id='7' result='passed'/>");
        let sn = |panel_barcode: &str, barcode: &str, form: &str| {
            let arguments = if form.is_empty() { json!({}) } else { json!({"serial_number": form}) };
            let found = panel(&format!("barcode='{panel_barcode}'"), &image(barcode), &arguments);
            found.reports.first().map(|report| report.sn.clone().unwrap())
        };
        assert_eq!(sn("A", "N/A", "").as_deref(), Some("A-7"));
        assert_eq!(sn("A", "", "{barcode}{id}").as_deref(), Some("A7"));
        assert_eq!(sn("{id}", "N/A", "{id}_{barcode}").as_deref(), Some("7_{id}"));
        assert_eq!(sn("A", "B9", "").as_deref(), Some("B9"));
        assert_eq!(sn("N/A", "N/A", ""), None, "refused");
    }

    #[test]
    fn the_order_of_a_date_is_the_formats_or_said() {
        let start = |arguments| panel("barcode='A'", "<Image id='1' result='passed'/>", &arguments).only().start.unwrap();
        assert_eq!(start(json!({})), "2024-03-02T08:59:14+01:00");
        assert_eq!(start(json!({"date_order": "M/d/y"})), "2024-02-03T08:59:14+01:00");
        let wrong = convert(
            &Saki,
            "x.xml",
            b"<Panel barcode='A' startDate='31/31/2024'><Image id='1' result='passed'/></Panel>",
            &json!({}),
        );
        assert!(matches!(wrong.errors[..], [ConvertError::Faults(_)]));
    }

    #[test]
    fn an_unknown_result_loses_no_other_board_and_nothing_that_is_said_is_lost() {
        let inside = "<Image id='1' result='maybe'/><Image id='2' result='passed' x='y'><Results note='n'><Failed><Reference designator='R1' \
                      defect='bridge'><Value>3</Value></Reference></Failed><Skipped><Reference designator='R2'/></Skipped><Odd><Reference/></Odd></Results></Image>";
        let found = panel("barcode='A' side='PN9' result='failed'", inside, &json!({"part_number_in": "side"}));
        assert_eq!((found.reports.len(), found.errors.len()), (1, 1));
        let notes = &found.notes[0];
        assert!(notes.iter().any(|note| note.contains("its own result counts")), "{notes:?}");
        assert!(notes.iter().any(|note| note.contains("<Odd>")), "{notes:?}");
        let report = &found.reports[0];
        assert_eq!((report.pn.as_deref(), report.result), (Some("PN9"), Some(Status::Passed)));
        let steps = report.root.as_ref().unwrap().steps.as_ref().unwrap();
        let statuses: Vec<_> = steps.iter().map(|step| step.status.unwrap()).collect();
        assert_eq!(statuses, [Status::Failed, Status::Skipped, Status::Done]);
        assert_eq!(steps[0].report_text.as_deref(), Some("defect: bridge\nValue: 3"));
        let infos: Vec<_> = report.misc_infos.iter().flatten().map(|info| info.description.as_deref().unwrap()).collect();
        assert_eq!(infos, ["Panel barcode", "Panel side", "Panel result", "Image id", "Image x"]);
        assert_eq!(report.root.as_ref().unwrap().report_text.as_deref(), Some("Results note: n"));
        let none = convert(&Saki, "x.xml", b"<Panel barcode='A'/>", &json!({}));
        assert!(matches!(none.end, Err(ConvertError::Malformed { .. })));
    }
}

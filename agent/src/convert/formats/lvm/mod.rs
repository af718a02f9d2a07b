//! LabVIEW measurement files (LVM): channels of sampled values, as charts (FORMATS.md section 12); one file, one unit.
//!
//! - [`rows`]: the text as a header and segments of rows; this module: a report of them
//!
//! Rules of this converter, beside those of the format:
//! - Each segment gives one chart for its channels of one unit, at most ten in one. A curve has at most ten thousand points: of more, the
//!   lowest and the highest of each stretch stay, with a note. The argument `values` adds the last, or the least and the greatest, of each
//!   channel as measurements.
//! - X is the X column of the channel or of all, else X0 and Delta_X. A cell that is empty is no point.
//! - Rows that go on after all announced samples are further segments under the same header (tests/data/lvm): their X begins anew.
//! - The decimal sign is the header's unless the cells show the other one and only that; without one in the header it is what the cells show.
//! - Nothing is judged: the result is Done. Serial number and the like come from fields of the header with such names, or from the source.
//!   Start is Date and Time of the header. All other fields are information on the unit, those of a segment and its comments are text of its
//!   steps.
//! - Where the writer stops does not show; a last line without line end is taken as cut. Fewer samples than announced are noted.

mod rows;
#[cfg(test)]
mod tests;

use waybill_shared::report::{Chart, Num, Report, Status, Step, Uut};
use waybill_shared::text::printable;

use self::rows::{Channel, Document, Segment, X};
use crate::convert::ground::chart::{Curve, MOST_CURVES, chart};
use crate::convert::ground::curve::Ramp;
use crate::convert::ground::fit::fit;
use crate::convert::ground::names::Pairs;
use crate::convert::ground::number::{self, Decimal};
use crate::convert::ground::steps;
use crate::convert::ground::time::Moment;
use crate::convert::ground::walk::{Lines, Walk};
use crate::convert::{About, Argument, ConvertError, Converter, Head, Input, Kind, Sink, Unit};

const VALUES: Argument = Argument {
    name: "values",
    help: "values of each channel that are measurements beside its chart",
    kind: Kind::OneOf(&["none", "last", "least and greatest", "least, greatest and last"]),
};

const ABOUT: About = About {
    name: "lvm",
    version: 1,
    help: "LabVIEW measurement files as text, one unit a file, its channels as charts",
    patterns: &["*.lvm"],
    has_end_mark: false,
    arguments: &[VALUES],
};

/// The converter `lvm`.
#[derive(Debug)]
pub struct Lvm;

impl Converter for Lvm {
    fn about(&self) -> &About {
        &ABOUT
    }
    fn sniff(&self, head: &Head) -> u8 {
        let text: Vec<u8> = head.raw().iter().filter(|&&byte| byte != 0).take(64).copied().collect();
        let text = text.strip_prefix(b"\xef\xbb\xbf").or(text.strip_prefix(b"\xff\xfe")).unwrap_or(&text);
        if text.starts_with(b"LabVIEW Measurement") { 95 } else { 0 }
    }
    fn convert(&self, input: &Input<'_>, sink: &mut Sink<'_>) -> Result<(), ConvertError> {
        let text = input.text()?;
        let mut walk = Walk::default();
        walk.notes(text.note.clone());
        let document = Document::read(&text.text, &mut walk)?;
        let own_hash = *blake3::hash(text.text.as_bytes()).as_bytes();
        let unit = report(document, input, walk).map(|(report, notes)| Unit { report, own_hash, notes });
        if sink(unit).is_break() { Err(ConvertError::Stopped) } else { Ok(()) }
    }
}

fn report(document: Document<'_>, input: &Input<'_>, mut walk: Walk) -> Result<(Report, Vec<String>), ConvertError> {
    let decimal = document.decimal;
    let (mut pairs, mut comment) = (Pairs::default(), Vec::new());
    let (mut date, mut time) = (None, None);
    for (key, value) in &document.header {
        match *key {
            "Date" => date = Some(*value),
            "Time" => time = Some(*value),
            "Description" | "Notes" => comment.push(*value),
            // What was needed to read it.
            "Reader_Version" | "Separator" | "Decimal_Separator" | "Multi_Headings" | "X_Columns" => {}
            _ => pairs.add(key, value),
        }
    }
    let many = document.segments.len() > 1;
    let mut all = Vec::new();
    for (at, segment) in document.segments.into_iter().enumerate() {
        let prefix = if many { format!("Segment {}: ", at + 1) } else { String::new() };
        all.extend(charts(segment, &prefix, decimal, input, &mut walk));
    }
    let mut report = Report {
        kind: Some("T".to_owned()),
        result: Some(Status::Done),
        uut: Some(Uut { comment: (!comment.is_empty()).then(|| comment.join("\n")), ..Uut::default() }),
        root: Some(steps::sequence("LabVIEW Measurement", Status::Done, all)),
        ..Report::default()
    };
    pairs.fill(&mut report, &mut walk);
    match date.map(|date| moment(date, time.unwrap_or("0:00:00"))) {
        Some(Some(start)) => start.start(&mut report, &input.zone(), &mut walk),
        Some(None) => {
            walk.note(format!("Date {:?} with Time {:?} is no time", date.unwrap_or_default(), time.unwrap_or_default()))
        }
        None => {}
    }
    let mut notes = walk.finish().map_err(ConvertError::Faults)?;
    fit(&mut report, &mut notes);
    Ok((report, notes))
}

/// `yyyy/MM/dd` and `HH:mm:ss`, with as many digits of a second as the writer likes, behind a point or a comma.
fn moment(date: &str, time: &str) -> Option<Moment> {
    let (whole, fraction) = time.split_once(['.', ',']).unwrap_or((time, ""));
    let fraction = fraction.get(..9).unwrap_or(fraction);
    let text = if fraction.is_empty() { format!("{date} {whole}") } else { format!("{date} {whole}.{fraction}") };
    Moment::by(&text, &["%Y/%m/%d %H:%M:%S%.f"])
}

/// The charts of a segment: channels of one unit that stand beside each other, ten at most.
fn charts(segment: Segment<'_>, prefix: &str, decimal: Decimal, input: &Input<'_>, walk: &mut Walk) -> Vec<Step> {
    let mut groups: Vec<Vec<Channel<'_>>> = Vec::new();
    for channel in segment.channels {
        match groups.last_mut() {
            Some(group) if group.len() < MOST_CURVES && group.first().is_some_and(|first| first.unit == channel.unit) => {
                group.push(channel)
            }
            _ => groups.push(vec![channel]),
        }
    }
    let mut lines = Lines::default();
    segment.header.iter().filter(|(_, text)| !text.is_empty()).for_each(|(key, text)| lines.add(key, text));
    segment.comments.iter().for_each(|comment| lines.add("Comment", comment));
    let text = lines.into_text();
    groups.into_iter().map(|group| step(group, prefix, text.clone(), decimal, input, walk)).collect()
}

fn step(
    channels: Vec<Channel<'_>>,
    prefix: &str,
    text: Option<String>,
    decimal: Decimal,
    input: &Input<'_>,
    walk: &mut Walk,
) -> Step {
    let names: Vec<_> = channels.iter().map(|channel| channel.name.clone()).collect();
    let joined = names.join(", ");
    let label = if joined.chars().count() <= 80 || names.len() == 1 {
        joined
    } else {
        format!("{} channels from {}", names.len(), names.first().map_or("", |name| name))
    };
    let name = format!("{prefix}{label}");
    let (unit, dimension) = channels.first().map(|first| (first.unit, first.dimension)).unwrap_or_default();
    let (mut curves, mut measured) = (Vec::new(), Vec::new());
    for channel in channels {
        measured.extend(values(&channel, decimal, input));
        curves.extend(curve(channel, decimal, walk));
    }
    let shown = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    let chart = chart(&label, curves, walk).map(|chart| Chart {
        x_label: shown(dimension),
        x_unit: (dimension == "Time").then(|| "s".to_owned()),
        y_label: (names.len() == 1).then(|| label.clone()),
        y_unit: shown(unit),
        ..chart
    });
    let mut step = steps::measuring(&name, Status::Done, measured);
    if step.numeric_meas.is_none() {
        step.step_type = Some(if chart.is_some() { "Chart" } else { "ET_A" }.to_owned());
    } else if chart.is_some() {
        step.step_type = Some("WATS_XYGMNLT".to_owned());
    }
    Step { chart, report_text: text, ..step }
}

fn values(channel: &Channel<'_>, decimal: Decimal, input: &Input<'_>) -> Vec<steps::Measured> {
    let Some([least, greatest, last]) = channel.points.extremes() else { return Vec::new() };
    let wanted = input.arguments.text(&VALUES).unwrap_or_default();
    [("least", least), ("greatest", greatest), ("last", last)]
        .into_iter()
        .filter(|(which, _)| wanted.contains(which))
        .filter_map(|(which, (_, text))| {
            let (name, unit) =
                (format!("{} {which}", channel.name), Some(channel.unit.to_owned()).filter(|unit| !unit.is_empty()));
            let value = number::read(text, decimal)?;
            Some(steps::Measured::Numeric(steps::numeric(Some(name), value, None, unit, Status::Done)))
        })
        .collect()
}

fn curve(channel: Channel<'_>, decimal: Decimal, walk: &mut Walk) -> Option<Curve> {
    let (name, count) = (channel.name.clone(), channel.points.count());
    let shown = printable(&name, 60);
    let row = RowX::of(&channel, decimal);
    let points = channel.points.into_points();
    if points.is_empty() {
        walk.note(format!("the channel {shown:?} has no value"));
        return None;
    }
    if points.len() < count {
        let left = points.len();
        walk.note(format!(
            "the channel {shown:?} has {count} points: {left} are shown, the lowest and the highest of each stretch"
        ));
    }
    let x = |x: &X<'_>| match x {
        X::Cell(text) => number::read(text, decimal),
        X::Row(at) => row.at(*at),
    };
    let points = points.iter().filter_map(|(at, y)| x(at).zip(number::read(y, decimal)));
    Some(Curve { name, points: points.collect() })
}

/// The X of points that have none of their own: by X0 and Delta_X, or the number of the row.
struct RowX {
    exact: Option<Ramp>,
    /// X0 and Delta_X, where their digits are too many to add them up.
    rounded: Option<(f64, f64)>,
}

impl RowX {
    fn of(channel: &Channel<'_>, decimal: Decimal) -> Self {
        let step = number::read(channel.delta, decimal).filter(|step| matches!(step, Num::Finite(_)));
        let start = number::read(channel.x0, decimal).filter(|start| matches!(start, Num::Finite(_)));
        let start = start.unwrap_or(Num::from(0_i64));
        let exact = step.as_ref().and_then(|step| Ramp::new(&start, step));
        Self { exact, rounded: step.map(|step| (start.as_f64(), step.as_f64())) }
    }

    fn at(&self, row: usize) -> Option<Num> {
        #[expect(clippy::cast_precision_loss, reason = "rows are fewer than that")]
        let number = row as f64;
        let exact = self.exact.and_then(|ramp| ramp.at(row));
        let rounded = || self.rounded.map(|(start, step)| Num::from(start + step * number));
        exact.or_else(rounded).or_else(|| i64::try_from(row).ok().map(Num::from))
    }
}

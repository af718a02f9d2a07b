//! LabVIEW TDMS: groups of channels with properties, as charts (FORMATS.md section 12); one file, one unit.
//!
//! - [`source`]: segments, what they say and their raw values; [`values`]: types and scales; this module: a report of them
//!
//! Rules of this converter, beside those of the format:
//! - A group is a sequence with its properties as text, channels of one unit that stand beside each other one chart of at most ten curves of at
//!   most ten thousand points: of more, the lowest and the highest of each stretch stay, with a note. The argument `values` adds the last, or
//!   the least and the greatest, of each channel as measurements. Channels of texts or times are text.
//! - X is wf_start_offset and wf_increment, else the number of the value. Raw values with linear and polynomial scales are scaled; those with
//!   any other are left out with a note, since what they mean is not known.
//! - Nothing is judged: the result is Done. Properties of the file, and of groups, with such names are its serial number and the like; all
//!   others of the file are information on the unit. Start is the property `DateTime`, else the earliest wf_start_time.
//! - A last segment that was not finished is a writer at work or one that was stopped: the file is not whole, unless the argument `unfinished`
//!   keeps such files, marked. A file that is cut between segments does not show it.

mod source;
#[cfg(test)]
mod tests;
mod values;

use std::collections::HashMap;

use jiff::Timestamp;
use waybill_shared::report::{Chart, Num, Report, Status, Step, Uut};
use waybill_shared::text::printable;

use self::source::{Content, Object};
use self::values::{Properties, Value};
use crate::convert::ground::chart::{Curve, MOST_CURVES, chart};
use crate::convert::ground::curve::Ramp;
use crate::convert::ground::fit::fit;
use crate::convert::ground::names::{self, Pairs};
use crate::convert::ground::time::Moment;
use crate::convert::ground::walk::{Lines, Walk};
use crate::convert::ground::{incomplete, steps};
use crate::convert::{About, Argument, ConvertError, Converter, Head, Input, Kind, Sink, Unit};

const VALUES: Argument = Argument {
    name: "values",
    help: "values of each channel that are measurements beside its chart",
    kind: Kind::OneOf(&["none", "last", "least and greatest", "least, greatest and last"]),
};
const UNFINISHED: Argument = Argument {
    name: "unfinished",
    help: "a file whose writer never finished it: it is refused, or kept and marked",
    kind: Kind::OneOf(&["refuse", "keep"]),
};

const ABOUT: About = About {
    name: "tdms",
    version: 1,
    help: "LabVIEW TDMS, one unit a file, its channels as charts",
    patterns: &["*.tdms"],
    has_end_mark: false,
    arguments: &[VALUES, UNFINISHED],
};

/// The converter `tdms`.
#[derive(Debug)]
pub struct Tdms;

impl Converter for Tdms {
    fn about(&self) -> &About {
        &ABOUT
    }
    fn sniff(&self, head: &Head) -> u8 {
        if head.raw().starts_with(b"TDSm") || head.raw().starts_with(b"TDSh") { 95 } else { 0 }
    }
    fn convert(&self, input: &Input<'_>, sink: &mut Sink<'_>) -> Result<(), ConvertError> {
        let mut hash = blake3::Hasher::new();
        hash.update_reader(input.open()?).map_err(crate::convert::input::unreadable)?;
        let content = Content::read(input.open()?)?;
        let keeps = input.arguments.text(&UNFINISHED) == Some("keep");
        if content.is_unfinished && !keeps {
            let reason = "its last segment was not finished".to_owned();
            return Err(ConvertError::Incomplete { place: "the end of the file".to_owned(), reason });
        }
        if content.objects.iter().all(|object| object.count == 0) {
            let place = "the file as a whole".to_owned();
            return Err(ConvertError::Malformed { place, reason: "it has no values: nothing was measured".to_owned() });
        }
        let own_hash = *hash.finalize().as_bytes();
        let unit = report(content, input).map(|(report, notes)| Unit { report, own_hash, notes });
        if sink(unit).is_break() { Err(ConvertError::Stopped) } else { Ok(()) }
    }
}

fn report(content: Content, input: &Input<'_>) -> Result<(Report, Vec<String>), ConvertError> {
    let mut walk = Walk::default();
    walk.notes(content.notes);
    let mut pairs = Pairs::default();
    let (mut start, mut name, mut earliest) = (None, None, None::<Timestamp>);
    let mut groups: Vec<(String, Properties, Vec<Object>)> = Vec::new();
    let mut group_at = HashMap::new();
    for object in content.objects {
        if let Some(Value::Time(time)) = object.properties.get("wf_start_time") {
            earliest = Some(earliest.map_or(*time, |before| before.min(*time)));
        }
        match object.path.as_slice() {
            [] => {
                for (key, value) in object.properties.iter() {
                    match (names::normalised(key).as_str(), value) {
                        ("datetime", Value::Time(time)) => start = Some(*time),
                        ("name", Value::Text(text)) => name = Some(text.clone()),
                        (_, value) => pairs.add(key, &value.text()),
                    }
                }
            }
            [group, ..] => {
                let at = *group_at.entry(group.clone()).or_insert(groups.len());
                if at == groups.len() {
                    groups.push((group.clone(), Properties::default(), Vec::new()));
                }
                let Some((_, properties, channels)) = groups.get_mut(at) else { continue };
                if object.path.len() == 1 { *properties = object.properties } else { channels.push(object) }
            }
        }
    }
    let known = [names::SERIAL_NUMBER, names::PART_NUMBER, names::REVISION, names::BATCH, names::OPERATOR, names::STATION];
    let mut all = Vec::new();
    for (group, properties, channels) in groups {
        let mut lines = Lines::default();
        for (key, value) in properties.iter() {
            let normalised = names::normalised(key);
            if known.iter().any(|names| names.contains(&normalised.as_str())) {
                pairs.add(key, &value.text());
            }
            lines.add(key, &value.text());
        }
        let inner = steps_of(channels, input, &mut walk);
        all.push(Step { report_text: lines.into_text(), ..steps::sequence(&group, Status::Done, inner) });
    }
    let name = name.filter(|name| !name.trim().is_empty()).unwrap_or_else(|| "TDMS".to_owned());
    let mut report = Report {
        kind: Some("T".to_owned()),
        result: Some(Status::Done),
        uut: Some(Uut::default()),
        root: Some(steps::sequence(&name, Status::Done, all)),
        ..Report::default()
    };
    pairs.fill(&mut report, &mut walk);
    if let Some(start) = start.or(earliest) {
        Moment::Instant(start).start(&mut report, &input.zone(), &mut walk);
    }
    if content.is_unfinished {
        incomplete::mark(&mut report, "the last segment was not finished");
    }
    let mut notes = walk.finish().map_err(ConvertError::Faults)?;
    fit(&mut report, &mut notes);
    Ok((report, notes))
}

/// The unit of measure of a channel.
fn unit(object: &Object) -> Option<String> {
    let names = ["unit_string", "NI_UnitDescription", "Unit"];
    let found = names.iter().find_map(|name| object.properties.get(name)).map(Value::text);
    found.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
}

fn steps_of(channels: Vec<Object>, input: &Input<'_>, walk: &mut Walk) -> Vec<Step> {
    let mut groups: Vec<(Option<String>, Vec<Object>)> = Vec::new();
    let mut all = Vec::new();
    for channel in channels {
        let name = channel.path.last().cloned().unwrap_or_default();
        let unit = unit(&channel);
        let is_curve = channel.points.count() > 0 && channel.unknown.is_none();
        if !is_curve {
            all.push(text_step(&name, &channel, walk));
            continue;
        }
        match groups.last_mut() {
            Some((of, group)) if *of == unit && group.len() < MOST_CURVES => group.push(channel),
            _ => groups.push((unit, vec![channel])),
        }
    }
    all.extend(groups.into_iter().map(|(unit, group)| chart_step(unit, group, input, walk)));
    all
}

/// A channel without numbers, or with numbers that are not known.
fn text_step(name: &str, channel: &Object, walk: &mut Walk) -> Step {
    let shown = printable(name, 60);
    let mut lines = Lines::default();
    channel.properties.iter().for_each(|(key, value)| lines.add(key, &value.text()));
    channel.texts.iter().for_each(|text| lines.add_text(text.clone()));
    match &channel.unknown {
        Some(why) => {
            walk.note(format!("the channel {shown:?} has {why}, which is not known: its {} values are left out", channel.count))
        }
        None if channel.texts.len() < channel.count => {
            walk.note(format!("the channel {shown:?} has {} texts: the first {} are kept", channel.count, channel.texts.len()));
        }
        None => {}
    }
    Step { report_text: lines.into_text(), ..steps::action(name, Status::Done) }
}

fn chart_step(unit: Option<String>, channels: Vec<Object>, input: &Input<'_>, walk: &mut Walk) -> Step {
    let names: Vec<_> = channels.iter().map(|channel| channel.path.last().cloned().unwrap_or_default()).collect();
    let joined = names.join(", ");
    let is_short = joined.chars().count() <= 80 || names.len() == 1;
    let label =
        if is_short { joined } else { format!("{} channels from {}", names.len(), names.first().map_or("", |name| name)) };
    let wanted = input.arguments.text(&VALUES).unwrap_or_default();
    let (mut curves, mut measured, mut lines) = (Vec::new(), Vec::new(), Lines::default());
    let mut x_unit = None;
    for (name, channel) in names.iter().zip(channels) {
        if names.len() > 1 && channel.properties.iter().next().is_some() {
            lines.add_text(format!("{name}:"));
        }
        channel.properties.iter().for_each(|(key, value)| lines.add(key, &value.text()));
        if let Some([least, greatest, last]) = channel.points.extremes() {
            for (which, (_, value)) in [("least", least), ("greatest", greatest), ("last", last)] {
                if let (true, Some(number)) = (wanted.contains(which), value.number()) {
                    let one = steps::numeric(Some(format!("{name} {which}")), number, None, unit.clone(), Status::Done);
                    measured.push(steps::Measured::Numeric(one));
                }
            }
        }
        let row = RowX::of(&channel.properties);
        x_unit =
            x_unit.or_else(|| row.is_time.then(|| channel.properties.get("wf_xunit_string").map_or("s".to_owned(), Value::text)));
        let count = channel.points.count();
        let points: Vec<_> =
            channel.points.into_points().iter().filter_map(|(at, value)| row.at(*at).zip(value.number())).collect();
        if points.len() < count {
            let (shown, left) = (printable(name, 60), points.len());
            walk.note(format!(
                "the channel {shown:?} has {count} points: {left} are shown, the lowest and the highest of each stretch"
            ));
        }
        curves.push(Curve { name: name.clone(), points });
    }
    let chart = chart(&label, curves, walk).map(|chart| Chart { x_unit, y_unit: unit, ..chart });
    let mut step = steps::measuring(&label, Status::Done, measured);
    step.step_type = Some(if step.numeric_meas.is_some() { "WATS_XYGMNLT" } else { "Chart" }.to_owned());
    Step { chart, report_text: lines.into_text(), ..step }
}

/// The X of a value: by wf_start_offset and wf_increment, or its number.
struct RowX {
    is_time: bool,
    exact: Option<Ramp>,
    rounded: (f64, f64),
}

impl RowX {
    fn of(properties: &Properties) -> Self {
        let finite = |name: &str| properties.get(name).and_then(Value::number).filter(|number| matches!(number, Num::Finite(_)));
        let step = finite("wf_increment").filter(|step| step.as_f64() != 0.0);
        let start = finite("wf_start_offset").unwrap_or(Num::from(0_i64));
        let one = Num::from(1_i64);
        let (start, step, is_time) = match &step {
            Some(step) => (start, step, true),
            None => (Num::from(0_i64), &one, false),
        };
        Self { is_time, exact: Ramp::new(&start, step), rounded: (start.as_f64(), step.as_f64()) }
    }

    fn at(&self, row: usize) -> Option<Num> {
        #[expect(clippy::cast_precision_loss, reason = "rows are fewer than that")]
        let number = row as f64;
        self.exact.and_then(|ramp| ramp.at(row)).or_else(|| Some(Num::from(self.rounded.0 + self.rounded.1 * number)))
    }
}

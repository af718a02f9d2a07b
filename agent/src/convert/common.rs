//! What every converter takes: the values that a source gives for what its files do not say.
//!
//! The file always wins; then its name, by [`FILE_NAME`]; then the argument; then the station. A value that nobody gave is noted where a customary one
//! stands for it, and a fault where none can: a serial number is never made up unless the source asks for it.

use std::fmt;

use encoding_rs::Encoding;
use jiff::tz::TimeZone;
use regex::Regex;
use waybill_shared::report::{Report, Uut};
use waybill_shared::schema::{Fault, FaultKind};
use waybill_shared::text::printable;

use super::Input;
use super::about::{Argument, Arguments, Kind};
use super::ground::time::local;

/// Part number of a unit whose file names none.
pub const PART_NUMBER: Argument =
    Argument { name: "part_number", help: "part number, where the file names none", kind: Kind::Text };
/// Revision of a unit whose file names none.
pub const REVISION: Argument =
    Argument { name: "revision", help: "revision of the part, where the file names none; else 1, with a note", kind: Kind::Text };
/// Operation of a unit whose file names none.
pub const PROCESS_CODE: Argument = Argument {
    name: "process_code",
    help: "number of the operation, where the file has none; else 10, with a note",
    kind: Kind::Whole(None),
};
/// Operator, where the file names none.
pub const OPERATOR: Argument = Argument { name: "operator", help: "operator, where the file names none", kind: Kind::Text };
/// Batch, where the file names none.
pub const BATCH: Argument = Argument { name: "batch", help: "batch number, where the file names none", kind: Kind::Text };
/// Values that stand in the name of the file.
pub const FILE_NAME: Argument = Argument {
    name: "file_name",
    help: "takes what the file does not say out of its name, as (?<sn>[^_]+)_(?<pn>.+)[.]csv",
    kind: Kind::FileName(&["sn", "pn", "rev", "process_code", "operator", "batch", "station"]),
};
/// What becomes of a unit without a serial number.
pub const NO_SERIAL_NUMBER: Argument = Argument {
    name: "no_serial_number",
    help: "a unit without a serial number: it is refused, or takes the name of its file, or a number made from its content",
    kind: Kind::OneOf(&["refuse", "file name", "generate"]),
};
/// Where the clock of the equipment stands.
pub const TIME_ZONE: Argument =
    Argument { name: "time_zone", help: "time zone of the times in the file that name none", kind: Kind::Zone };
/// The encoding of a text that does not show its own.
pub const ENCODING: Argument =
    Argument { name: "encoding", help: "encoding of a text that is no UTF-8 and does not name its own", kind: Kind::Encoding };
/// Name of the station.
pub const STATION_NAME: Argument =
    Argument { name: "station_name", help: "name of the station, where the file has none", kind: Kind::Text };
/// Where it stands.
pub const LOCATION: Argument =
    Argument { name: "location", help: "where the station stands, where the file does not say it", kind: Kind::Text };
/// What it is for.
pub const PURPOSE: Argument =
    Argument { name: "purpose", help: "what the station is for, where the file does not say it", kind: Kind::Text };

/// Where a value comes from that is not from the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// Its name.
    FileName,
    /// This argument of the source.
    Argument(&'static str),
    /// When it was last written.
    FileTime,
    /// What it holds, as a hash.
    Content,
    /// What stands for it where nobody says it.
    Customary,
    /// The station's configuration.
    Station,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FileName => f.write_str("the file's name"),
            Self::Argument(name) => write!(f, "the argument {name}"),
            Self::FileTime => f.write_str("the time of the file"),
            Self::Content => f.write_str("the file's content, by its hash"),
            Self::Customary => f.write_str("nobody: it is what is customary"),
            Self::Station => f.write_str("the station"),
        }
    }
}

/// All of them.
pub const COMMON: &[Argument] = &[
    PART_NUMBER,
    REVISION,
    PROCESS_CODE,
    OPERATOR,
    BATCH,
    FILE_NAME,
    NO_SERIAL_NUMBER,
    TIME_ZONE,
    ENCODING,
    STATION_NAME,
    LOCATION,
    PURPOSE,
];

/// The zone of times that name none.
#[must_use]
pub fn zone(arguments: Arguments<'_>) -> TimeZone {
    arguments.text(&TIME_ZONE).and_then(|name| TimeZone::get(name).ok()).unwrap_or_else(TimeZone::system)
}

/// The encoding of texts that show none.
#[must_use]
pub fn encoding(arguments: Arguments<'_>) -> &'static Encoding {
    let named = arguments.text(&ENCODING).and_then(|label| Encoding::for_label(label.as_bytes()));
    named.unwrap_or(encoding_rs::WINDOWS_1252)
}

/// A pattern for file names. Its time is linear in the name, whatever it is.
///
/// # Errors
/// Why it is none, for a person.
pub fn file_name_pattern(text: &str, groups: &[&str]) -> Result<Regex, String> {
    let pattern = regex::RegexBuilder::new(text).size_limit(1 << 20).build();
    let pattern = pattern.map_err(|error| format!("{text:?} is no pattern: {error}"))?;
    let named: Vec<_> = pattern.capture_names().flatten().collect();
    match named.iter().find(|name| !groups.contains(name)) {
        Some(unknown) => Err(format!("the group {unknown:?} is not known; there are {}", groups.join(", "))),
        None if named.is_empty() => Err(format!("it has none of the groups {}", groups.join(", "))),
        None => Ok(pattern),
    }
}

/// What was filled in of a report.
#[derive(Debug, Default)]
pub struct Filled {
    /// By its key, and from where.
    pub origins: Vec<(&'static str, Origin)>,
    /// What nobody said and nobody can guess.
    pub faults: Vec<Fault>,
}

/// Fills in what a test report lacks, with a note for each value that is only `customary`, if that is allowed; repairs are left as they are.
pub fn fill(report: &mut Report, notes: &mut Vec<String>, input: &Input<'_>, own_hash: &[u8; 32], customary: bool) -> Filled {
    let Filled { origins: mut filled, mut faults } = Filled::default();
    let Input { file_name, arguments, modified, .. } = *input;
    if report.kind.as_deref() == Some("R") {
        return Filled::default();
    }
    let pattern = arguments.text(&FILE_NAME).and_then(|text| {
        let Kind::FileName(groups) = FILE_NAME.kind else { return None };
        file_name_pattern(text, groups).ok()
    });
    let captures = pattern.as_ref().and_then(|pattern| pattern.captures(file_name));
    if pattern.is_some() && captures.is_none() {
        notes.push(format!(
            "the file's name {:?} is not of the form that the source's argument `file_name` gives",
            printable(file_name, 100)
        ));
    }
    let named = |group: &str| {
        let found = captures.as_ref()?.name(group)?.as_str().trim();
        (!found.is_empty()).then(|| found.to_owned())
    };
    let mut or = |field: &mut Option<String>, key: &'static str, group: &str, argument: Option<&Argument>| {
        if field.as_deref().is_some_and(|text| !text.trim().is_empty()) {
            return;
        }
        let by_name = named(group).map(|text| (text, Origin::FileName));
        let given = argument.and_then(|argument| Some((arguments.text(argument)?.to_owned(), Origin::Argument(argument.name))));
        let found = by_name.or(given);
        filled.extend(found.iter().map(|(_, origin)| (key, *origin)));
        *field = found.map(|(text, _)| text);
    };
    or(&mut report.machine_name, "machineName", "station", None);
    or(&mut report.pn, "pn", "pn", Some(&PART_NUMBER));
    or(&mut report.rev, "rev", "rev", Some(&REVISION));
    or(&mut report.sn, "sn", "sn", None);
    let uut = report.uut.get_or_insert_with(Uut::default);
    or(&mut uut.user, "uut.user", "operator", Some(&OPERATOR));
    or(&mut uut.batch_sn, "uut.batchSN", "batch", Some(&BATCH));
    if report.process_code.is_none() {
        let by_name = named("process_code").and_then(|text| text.parse().ok()).map(|code| (code, Origin::FileName));
        let given = || arguments.whole(&PROCESS_CODE).map(|code| (code, Origin::Argument(PROCESS_CODE.name)));
        let found = by_name.or_else(given).or(customary.then_some((10, Origin::Customary)));
        if let Some((_, Origin::Customary)) = found {
            notes.push(
                "it has no number of an operation: 10 is used; the source's argument `process_code` can supply another"
                    .to_owned(),
            );
        }
        report.process_code = found.map(|(code, _)| code);
        filled.extend(found.map(|(_, origin)| ("processCode", origin)));
    }
    if report.rev.is_none() && customary {
        notes.push("it names no revision: 1 is used; the source's argument `revision` can supply another".to_owned());
        report.rev = Some("1".to_owned());
        filled.push(("rev", Origin::Customary));
    }
    if report.start.is_none() && report.start_utc.is_none() && customary {
        notes.push("it does not say when the test began: the time of the file is taken".to_owned());
        report.start = Some(local(&modified.to_zoned(zone(arguments))));
        report.start_utc = Some(modified.to_string());
        filled.push(("start", Origin::FileTime));
    }
    let mut missing = |path: &str, message: &str| {
        faults.push(Fault { path: path.to_owned(), kind: FaultKind::Missing, message: message.to_owned() });
    };
    if report.pn.is_none() {
        missing("pn", "the unit has no part number; the source's arguments `part_number` and `file_name` can supply one");
    }
    if report.sn.is_none() {
        match arguments.text(&NO_SERIAL_NUMBER) {
            Some("file name") => {
                let stem = file_name.rsplit_once('.').map_or(file_name, |(stem, _)| stem);
                notes.push("the unit has no serial number: its file's name stands for it".to_owned());
                report.sn = Some(stem.to_owned());
                filled.push(("sn", Origin::FileName));
            }
            Some("generate") => {
                let short = own_hash[..6].iter().map(|byte| format!("{byte:02X}")).collect::<String>();
                notes.push("the unit has no serial number: one was made from its content".to_owned());
                report.sn = Some(format!("NOSN-{short}"));
                filled.push(("sn", Origin::Content));
            }
            _ => {
                let why = notes.iter().find(|note| note.contains("serial number"));
                let why = why.map_or_else(String::new, |note| format!(" ({note})"));
                let help = "the source's arguments `file_name` and `no_serial_number` can supply one";
                missing("sn", &format!("the unit has no serial number{why}; {help}"));
            }
        }
    }
    Filled { origins: filled, faults }
}

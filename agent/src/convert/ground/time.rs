//! Times as equipment writes them: mostly without a zone.
//!
//! A time without a zone is one of the station's clock; its zone is configured, else the machine's. An hour that a clock shows twice when summer time ends
//! is read as the earlier one, and one that it never shows as if the clock had not been moved: both with a note. The order of day and month is the
//! format's, never guessed from a date.

use jiff::civil::DateTime;
use jiff::fmt::strtime::BrokenDownTime;
use jiff::fmt::temporal::{Pieces, PiecesOffset};
use jiff::tz::{AmbiguousOffset, Offset, TimeZone};
use jiff::{Timestamp, Zoned};
use waybill_shared::report::{Num, Report};

use super::walk::Walk;

/// A time as a file says it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::convert) enum Moment {
    /// What a clock showed.
    Local(DateTime),
    /// With an offset from UTC.
    Offset(DateTime, Offset),
    /// A moment, whatever clocks showed.
    Instant(Timestamp),
}

impl Moment {
    /// ISO 8601, with an offset or none, a `T` or a blank between, or a date alone.
    pub(in crate::convert) fn iso(text: &str) -> Option<Self> {
        let text = text.trim().replace("T ", "T");
        let pieces = Pieces::parse(&text).ok()?;
        let civil = pieces.date().to_datetime(pieces.time().unwrap_or_default());
        Some(match pieces.offset() {
            None => Self::Local(civil),
            Some(PiecesOffset::Zulu) => Self::Offset(civil, Offset::UTC),
            Some(PiecesOffset::Numeric(offset)) => Self::Offset(civil, offset.offset()),
            Some(_) => return None,
        })
    }

    /// By the first of these patterns (strftime) that it is of.
    pub(in crate::convert) fn by(text: &str, patterns: &[&str]) -> Option<Self> {
        let text = text.trim();
        let parse = |pattern: &&str| BrokenDownTime::parse(pattern, text).ok();
        let broken = patterns.iter().find_map(parse)?;
        let civil =
            broken.to_datetime().or_else(|_| broken.to_date().map(|date| date.to_datetime(jiff::civil::Time::midnight())));
        Some(match (civil.ok()?, broken.offset()) {
            (civil, None) => Self::Local(civil),
            (civil, Some(offset)) => Self::Offset(civil, offset),
        })
    }

    /// On the clock of a zone, with a note where that clock is not clear.
    pub(in crate::convert) fn zoned(self, zone: &TimeZone, walk: &mut Walk) -> Option<Zoned> {
        match self {
            Self::Instant(instant) => Some(instant.to_zoned(zone.clone())),
            Self::Offset(civil, offset) => civil.to_zoned(TimeZone::fixed(offset)).ok(),
            Self::Local(civil) => {
                let ambiguous = zone.to_ambiguous_zoned(civil);
                match ambiguous.offset() {
                    AmbiguousOffset::Unambiguous { .. } => {}
                    AmbiguousOffset::Fold { .. } => {
                        walk.note(format!("the clock showed {civil} twice that day: the earlier one is taken"))
                    }
                    AmbiguousOffset::Gap { .. } => {
                        walk.note(format!("the clock never showed {civil}: it is taken as if it had not been moved"));
                    }
                }
                ambiguous.compatible().ok()
            }
        }
    }

    /// Makes it the start of a unit.
    pub(in crate::convert) fn start(self, report: &mut Report, zone: &TimeZone, walk: &mut Walk) {
        if let Some(zoned) = self.zoned(zone, walk) {
            report.start = Some(local(&zoned));
            report.start_utc = Some(zoned.timestamp().to_string());
        }
    }
}

/// A time with its offset, as a report carries it.
pub(in crate::convert) fn local(zoned: &Zoned) -> String {
    format!("{}{}", zoned.datetime(), zoned.strftime("%:z"))
}

/// Seconds from one moment to a later one, exact to the microsecond; none, with a note, if it is not later.
pub(in crate::convert) fn seconds(from: &Zoned, to: &Zoned, walk: &mut Walk) -> Option<Num> {
    let micros = to.timestamp().as_microsecond() - from.timestamp().as_microsecond();
    if micros < 0 {
        walk.note("it ends before it starts: the file's clock is wrong, and the time it took is left out");
        return None;
    }
    let text = format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000);
    let short = text.trim_end_matches('0');
    Num::parse(&if short.ends_with('.') { format!("{short}0") } else { short.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn berlin(moment: Moment) -> (String, String, usize) {
        let (mut report, mut walk) = (Report::default(), Walk::default());
        moment.start(&mut report, &TimeZone::get("Europe/Berlin").unwrap(), &mut walk);
        (report.start.unwrap(), report.start_utc.unwrap(), walk.finish().unwrap().len())
    }

    #[test]
    fn each_form_is_read_and_its_zone_is_the_stations_unless_it_has_one() {
        let shown = |text: &str, expected: &str, utc: &str| {
            assert_eq!(berlin(Moment::iso(text).unwrap()), (expected.to_owned(), utc.to_owned(), 0), "{text}");
        };
        shown("2024-01-03T12:40:13", "2024-01-03T12:40:13+01:00", "2024-01-03T11:40:13Z");
        shown("2024-07-03 12:40:13.5", "2024-07-03T12:40:13.5+02:00", "2024-07-03T10:40:13.5Z");
        shown("2024-01-03T 12:40:13", "2024-01-03T12:40:13+01:00", "2024-01-03T11:40:13Z");
        shown("2024-01-03", "2024-01-03T00:00:00+01:00", "2024-01-02T23:00:00Z");
        shown("2018-08-10T13:25:32.1234567Z", "2018-08-10T13:25:32.1234567+00:00", "2018-08-10T13:25:32.1234567Z");
        shown("2020-12-16T14:00:00-05:00", "2020-12-16T14:00:00-05:00", "2020-12-16T19:00:00Z");
        assert_eq!(Moment::iso("yesterday"), None);
        let patterns = ["%d.%m.%Y %H:%M:%S", "%m/%d/%Y %I:%M:%S %p", "%d-%b-%y  %H:%M:%S", "%d/%m/%y"];
        let shown = |text: &str, expected: &str| {
            assert_eq!(berlin(Moment::by(text, &patterns).unwrap()).0, expected, "{text}");
        };
        shown("29.11.2024 15:29:01", "2024-11-29T15:29:01+01:00");
        shown("7/22/2020 3:04:05 PM", "2020-07-22T15:04:05+02:00");
        shown("05-MAR-08  10:11:12", "2008-03-05T10:11:12+01:00");
        shown("01/02/03", "2003-02-01T00:00:00+01:00");
        assert_eq!(Moment::by("31.02.2024 00:00:00", &patterns), None);
    }

    #[test]
    fn a_clock_that_is_moved_is_read_as_before_and_noted() {
        let twice = berlin(Moment::iso("2024-10-27T02:30:00").unwrap());
        assert_eq!(twice, ("2024-10-27T02:30:00+02:00".to_owned(), "2024-10-27T00:30:00Z".to_owned(), 1));
        let never = berlin(Moment::iso("2024-03-31T02:30:00").unwrap());
        assert_eq!((never.1.as_str(), never.2), ("2024-03-31T01:30:00Z", 1));
    }
}

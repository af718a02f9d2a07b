//! Which archived files are wanted.

use std::path::Path;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use waybill_ipc::protocol::ArchiveFilter;
use waybill_shared::error::{Code, ErrorReport};

use crate::archive::file::Label;
use crate::intake::rescan::Patterns;

/// A filter, ready to be asked.
pub(super) struct Wanted {
    pub(super) source: Option<String>,
    /// Days before this one hold nothing that is wanted.
    pub(super) from_day: Option<Date>,
    /// Days after this one neither.
    pub(super) to_day: Option<Date>,
    since_ms: Option<i64>,
    until_ms: Option<i64>,
    converter: Option<String>,
    file: Option<Patterns>,
}

impl Wanted {
    /// # Errors
    /// The glob is none.
    pub(super) fn of(filter: &ArchiveFilter) -> Result<Self, ErrorReport> {
        let ArchiveFilter { source, since_ms, until_ms, converter, file } = filter.clone();
        let glob = |glob: String| {
            Patterns::new(&[glob]).map_err(|error| {
                ErrorReport::new(Code::RequestInvalid, format!("the pattern for file names: {error}"))
                    .with_fix("Write it as in `patterns` of a source: *.json, SN-42*")
            })
        };
        let day = |ms: i64| Timestamp::from_millisecond(ms).ok().map(|at| at.to_zoned(TimeZone::UTC).date());
        Ok(Self {
            source,
            from_day: since_ms.and_then(day),
            to_day: until_ms.and_then(day),
            since_ms,
            until_ms,
            converter,
            file: file.map(glob).transpose()?,
        })
    }

    pub(super) fn fits(&self, label: &Label) -> bool {
        let at = label.taken_at.as_millisecond();
        self.source.as_ref().is_none_or(|source| source.eq_ignore_ascii_case(&label.source))
            && self.since_ms.is_none_or(|since| at >= since)
            && self.until_ms.is_none_or(|until| at < until)
            && self.converter.as_ref().is_none_or(|converter| label.converter.as_ref() == Some(converter))
            && self.file.as_ref().is_none_or(|file| file.take(Path::new(&label.path)))
    }
}

#[cfg(test)]
mod tests {
    use waybill_shared::id::CorrelationId;

    use super::*;
    use crate::queue::Fingerprint;

    #[test]
    fn a_file_must_fit_every_part_of_a_filter() {
        let fingerprint = Fingerprint {
            source: "ict".into(),
            path: "/in/SN-1.json".into(),
            file_id: [0; 16],
            size: 1,
            modified_ns: 0,
            hash: [0; 32],
        };
        let taken: Timestamp = "2026-01-31T12:00:00Z".parse().unwrap();
        let label = Label::of(&fingerprint, Some("wsjf".into()), CorrelationId::from_bytes([1; 16]), taken);
        let at = taken.as_millisecond();
        let all = ArchiveFilter::default();
        let fits = |filter: ArchiveFilter| Wanted::of(&filter).unwrap().fits(&label);
        let text = |text: &str| Some(text.to_owned());
        for filter in [
            all.clone(),
            ArchiveFilter { source: text("ICT"), ..all.clone() },
            ArchiveFilter { since_ms: Some(at), until_ms: Some(at + 1), ..all.clone() },
            ArchiveFilter { converter: text("wsjf"), ..all.clone() },
            ArchiveFilter { file: text("sn-*.JSON"), ..all.clone() },
        ] {
            assert!(fits(filter.clone()), "{filter:?}");
        }
        for filter in [
            ArchiveFilter { source: text("aoi"), ..all.clone() },
            ArchiveFilter { since_ms: Some(at + 1), ..all.clone() },
            ArchiveFilter { until_ms: Some(at), ..all.clone() },
            ArchiveFilter { converter: text("openhtf"), ..all.clone() },
            ArchiveFilter { file: text("*.xml"), source: text("ict"), ..all.clone() },
        ] {
            assert!(!fits(filter.clone()), "{filter:?}");
        }
        let wrong = Wanted::of(&ArchiveFilter { file: text("[a"), ..all }).err().unwrap();
        assert_eq!(wrong.code, Code::RequestInvalid);
    }
}

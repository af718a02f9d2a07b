//! What would be sent of an archived file. Nothing is.

use std::ops::ControlFlow;
use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::time::{Duration, Instant};

use waybill_ipc::protocol::{ReconvertOutcome, ReconvertedReport};
use waybill_shared::error::{Code, ErrorReport};
use waybill_shared::text;

use super::books::Came;
use crate::convert::ConvertError;
use crate::convert::pool::{Conversion, SourceContext};
use crate::convert::read::{FileRead, each_unit, read_archived};
use crate::convert::unit::{Finished, Finisher};

/// Most reports of one file that are named; the others are counted.
const NAMED: usize = 1000;

/// Converts a copy as it would be converted, and names its reports.
pub(super) fn preview(copy: &Path, source: &SourceContext, longest: Duration) -> Came {
    match read_archived(copy, source) {
        Ok(read) => convert(&read, source, longest),
        Err(Conversion::Unreadable { error } | Conversion::Broken { error, .. }) => came(0, Vec::new(), Some(error)),
        Err(_) => {
            let message = format!("the copy {} was removed meanwhile", text::path(copy));
            came(0, Vec::new(), Some(ErrorReport::new(Code::NotFound, message)))
        }
    }
}

fn came(reports: u32, first: Vec<ReconvertedReport>, error: Option<ErrorReport>) -> Came {
    let outcome = if reports > 0 { ReconvertOutcome::WouldBeSent } else { ReconvertOutcome::NotSent };
    Came { outcome, reports, first, error }
}

fn convert(read: &FileRead, source: &SourceContext, longest: Duration) -> Came {
    let shown = text::path(&read.fingerprint.path);
    let until = Instant::now() + longest;
    let (mut reports, mut first, mut units, mut too_long) = (0_u32, Vec::new(), 0_u32, false);
    let mut broken: Vec<ConvertError> = Vec::new();
    let mut each = |unit: Result<_, ConvertError>, finisher: &mut Finisher<'_>| {
        units += 1;
        match unit.and_then(|unit| finisher.finish(unit)) {
            Ok(Finished { id, report, .. }) => {
                reports += 1;
                if first.len() < NAMED {
                    let serial = text::shortened(report.sn.as_deref().unwrap_or_default(), 200);
                    first.push(ReconvertedReport { id: id.to_string(), serial });
                }
            }
            Err(error) => broken.push(error),
        }
        too_long = Instant::now() >= until;
        if too_long { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let result = std::panic::catch_unwind(AssertUnwindSafe(|| each_unit(read, read.choose(source)?.as_ref(), source, &mut each)));
    let error = match result {
        Ok(Err(ConvertError::Stopped)) | Ok(Ok(())) if too_long => {
            let message =
                format!("{shown}: looking at it takes longer than {} s; {reports} reports were counted", longest.as_secs());
            Some(ErrorReport::new(Code::PeerTimeout, message).with_fix("Send it: that may take as long as it needs"))
        }
        Ok(Ok(())) if units == 0 => Some(ErrorReport::new(Code::FileMalformed, format!("{shown}: it holds no unit"))),
        Ok(Ok(())) => None,
        Ok(Err(error)) => Some(error.report(&shown)),
        Err(_) => Some(ErrorReport::new(Code::ConverterFailed, format!("{shown}: the converter failed (panic)"))),
    };
    let of_units = broken.first().map(|one| {
        let mut error = one.report(&shown);
        error.message.push_str(&format!(" ({} of {units} units are no valid reports)", broken.len()));
        error
    });
    came(reports, first, of_units.or(error))
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "the test's own files")]
mod tests {
    use waybill_shared::config;

    use super::*;
    use crate::agent::source_context;
    use crate::archive::tests::{committed, keep};
    use crate::convert::registry::Registry;

    const REPORT: &str = r#"{"type":"T","pn":"a","sn":"SERIAL","rev":"1","processCode":10,"result":"P","machineName":"OWN",
        "start":"2026-01-30T12:00:00Z","root":{"stepType":"SequenceCall","name":"r"}}"#;

    fn context(lines: &str) -> SourceContext {
        let config = config::parse(&format!("[[source]]\nname = \"other\"\nfolder = \"x\"\n{lines}")).unwrap();
        source_context(&Registry::built_in(), &config.source[0], &config.identity(&[]), 1000).unwrap()
    }

    #[test]
    fn ids_come_from_what_the_file_was_taken_with_whatever_reads_it_now() {
        let folder = tempfile::tempdir().unwrap();
        let (archive, fingerprint) = committed(folder.path(), "a.json", format!("[{REPORT},{REPORT}]").as_bytes());
        let copy = keep(&archive, &fingerprint, "2026-01-31T12:00:00Z").unwrap();
        let ids = |lines: &str| {
            let came = preview(&copy, &context(lines), Duration::from_secs(60));
            assert_eq!((came.outcome, came.reports, came.error), (ReconvertOutcome::WouldBeSent, 2, None));
            came.first.into_iter().map(|report| report.id).collect::<Vec<_>>()
        };
        let as_wsjf = ids("converter = \"wsjf\"");
        assert_ne!(as_wsjf[0], as_wsjf[1], "equal retests are two reports");
        assert_eq!(ids("converter = \"auto\"\npriority = 1\narguments = { location = \"L\" }"), as_wsjf);
    }

    #[test]
    fn what_cannot_be_sent_is_told_with_its_reason() {
        let folder = tempfile::tempdir().unwrap();
        let bad = REPORT.replace("\"SERIAL\"", "\"\"");
        let (archive, fingerprint) = committed(folder.path(), "a.json", format!("[{REPORT},{bad}]").as_bytes());
        let copy = keep(&archive, &fingerprint, "2026-01-31T12:00:00Z").unwrap();
        let partly = preview(&copy, &context("converter = \"wsjf\""), Duration::from_secs(60));
        assert_eq!((partly.outcome, partly.reports), (ReconvertOutcome::WouldBeSent, 1));
        let error = partly.error.unwrap();
        assert!(error.code == Code::ReportInvalid && error.message.contains("1 of 2 units"), "{error}");
        let other = preview(&copy, &context("converter = \"openhtf\""), Duration::from_secs(60));
        assert_eq!((other.outcome, other.reports, other.error.is_some()), (ReconvertOutcome::NotSent, 0, true));
        std::fs::write(&copy, b"nothing").unwrap();
        let damaged = preview(&copy, &context("converter = \"wsjf\""), Duration::from_secs(60));
        assert_eq!(damaged.error.unwrap().code, Code::FileUnreadable);
    }
}

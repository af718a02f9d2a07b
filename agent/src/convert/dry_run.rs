//! A file converted without consequences, for `convert`, `converters test` and the window's preview: it goes the way of every file, and nothing is queued.

use std::ops::ControlFlow;
use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::time::{Duration, Instant};

use waybill_shared::error::{Code, ErrorReport};
use waybill_shared::text;

use super::ConvertError;
use super::pool::{Conversion, SourceContext};
use super::read::{FileRead, each_unit, read_file};
use super::registry::Registry;
use super::unit::Finished;

/// What came of it.
#[derive(Debug)]
pub struct DryRun {
    /// The converter that was chosen; none if none was.
    pub converter: Option<String>,
    /// How sure each converter is of the file, the surest first; those that are not at all left out.
    pub judged: Vec<(String, u8)>,
    /// The first units.
    pub units: Vec<Result<Finished, ConvertError>>,
    /// Units after those.
    pub more: usize,
    /// What ended it before its end.
    pub error: Option<ErrorReport>,
    /// Bytes of the file.
    pub bytes: u64,
    /// How long it took.
    pub took: Duration,
}

/// Converts a file as this source would, and keeps so many units.
///
/// # Errors
/// It cannot be read.
pub fn file(path: &Path, source: &SourceContext, registry: &Registry, most: usize) -> Result<DryRun, ErrorReport> {
    let read = read_file(path, source, true).map_err(|conversion| not_read(path, conversion))?;
    Ok(run(&read, source, registry, most, None))
}

/// The same of bytes that somebody sent; it ends after `longest`.
#[must_use]
pub fn bytes(name: &str, bytes: Vec<u8>, source: &SourceContext, registry: &Registry, most: usize, longest: Duration) -> DryRun {
    run(&FileRead::of_bytes(name, bytes), source, registry, most, Some(longest))
}

fn run(read: &FileRead, source: &SourceContext, registry: &Registry, most: usize, longest: Option<Duration>) -> DryRun {
    let begun = Instant::now();
    let shown = text::path(&read.fingerprint.path);
    let judged = read.head().map_or_else(|_| Vec::new(), |head| registry.judge(&head));
    let mut done = DryRun {
        converter: None,
        judged,
        units: Vec::new(),
        more: 0,
        error: None,
        bytes: read.fingerprint.size,
        took: Duration::ZERO,
    };
    let result = read.choose(source).and_then(|converter| {
        done.converter = Some(converter.name().to_owned());
        let each = |unit: Result<_, ConvertError>, finisher: &mut super::unit::Finisher<'_>| {
            let finished = unit.and_then(|unit| finisher.finish(unit));
            if done.units.len() < most {
                done.units.push(finished)
            } else {
                done.more += 1
            }
            let too_long = longest.is_some_and(|longest| begun.elapsed() > longest);
            if too_long { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        std::panic::catch_unwind(AssertUnwindSafe(|| each_unit(read, converter.as_ref(), source, each))).unwrap_or_else(|_| {
            Err(ConvertError::Malformed { place: shown.clone(), reason: "the converter failed (panic)".to_owned() })
        })
    });
    done.error = match result {
        Ok(()) if done.units.is_empty() => Some(ErrorReport::new(Code::FileMalformed, format!("{shown}: it holds no unit"))),
        Ok(()) => None,
        Err(ConvertError::Stopped) => {
            let message = format!("{shown}: looking at it takes too long; {} units were seen", done.units.len() + done.more);
            Some(ErrorReport::new(Code::PeerTimeout, message))
        }
        Err(error) => Some(error.report(&shown)),
    };
    done.took = begun.elapsed();
    done
}

fn not_read(path: &Path, conversion: Conversion) -> ErrorReport {
    let shown = text::path(path);
    match conversion {
        Conversion::Broken { error, .. } | Conversion::Incomplete { error } | Conversion::Unreadable { error } => error,
        Conversion::Changed => ErrorReport::new(Code::FileUnreadable, format!("{shown}: {}", ConvertError::Changed)),
        _ => ErrorReport::new(Code::FileUnreadable, format!("{shown} cannot be read: it is not there"))
            .with_fix("Check that the file exists and that you may read it"),
    }
}

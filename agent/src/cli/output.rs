//! The only place of the agent that writes to the terminal.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "this is the command line's output")]

use std::io::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};

use waybill_shared::error::{ErrorReport, Exit};

/// Set once something could not be written.
static LOST: AtomicBool = AtomicBool::new(false);

/// True if output was lost (a full disk): the command has then not done what was asked.
pub(super) fn was_lost() -> bool {
    LOST.load(Ordering::Relaxed)
}

/// Text on standard output. What it quotes from files does not steer the terminal.
pub(super) fn line(text: &str) {
    let unsafe_char = |c: char| c.is_control() && c != '\n';
    if text.contains(unsafe_char) {
        let safe: String =
            text.chars().flat_map(|c| if unsafe_char(c) { c.escape_default().collect::<Vec<_>>() } else { vec![c] }).collect();
        write(&safe);
    } else {
        write(text);
    }
}

fn write(text: &str) {
    let mut out = std::io::stdout().lock();
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        Ok(()) => {}
        // A reader that has gone (`| head`) wants no more.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => {}
        Err(error) => {
            if !LOST.swap(true, Ordering::Relaxed) {
                eprintln!("waybill-agent: the output cannot be written: {error}");
            }
        }
    }
}

/// A warning on standard error: what was asked for is done, and may not be what is wanted.
pub(super) fn warn(text: &str) {
    eprintln!("waybill-agent: {text}");
}

/// A value as JSON on standard output.
pub(super) fn json(value: &impl serde::Serialize) {
    match serde_json::to_string_pretty(value) {
        Ok(text) => write(&text),
        Err(error) => {
            LOST.store(true, Ordering::Relaxed);
            eprintln!("waybill-agent: the answer cannot be shown as JSON: {error}");
        }
    }
}

/// Says on standard error what went wrong and what to do; how the process ends.
pub(super) fn fail(error: &ErrorReport) -> Exit {
    eprintln!("waybill-agent: {}", error.message);
    for fault in &error.details {
        eprintln!("  {fault}");
    }
    eprintln!("  What to do: {}. ({})", error.fix.trim_end_matches('.'), error.code);
    error.code.exit()
}

/// Columns of texts, aligned; the last one as long as it is.
pub(super) fn table(head: &[&str], rows: &[Vec<String>]) {
    let mut widths: Vec<usize> = head.iter().map(|cell| cell.chars().count()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let show = |cells: &mut dyn Iterator<Item = &str>| {
        let mut text = String::new();
        for (cell, width) in cells.zip(&widths) {
            text.push_str(cell);
            text.extend(std::iter::repeat_n(' ', width - cell.chars().count() + 2));
        }
        line(text.trim_end());
    };
    show(&mut head.iter().copied());
    for row in rows {
        show(&mut row.iter().map(String::as_str));
    }
}

/// A moment as people here read it.
pub(super) fn moment(ms: i64) -> String {
    jiff::Timestamp::from_millisecond(ms)
        .map_or_else(|_| ms.to_string(), |at| at.to_zoned(jiff::tz::TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S").to_string())
}

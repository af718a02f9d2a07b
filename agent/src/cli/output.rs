//! The only place of the agent that writes to the terminal.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "this is the command line's output")]

use std::borrow::Cow;
use std::io::{IsTerminal as _, Write as _};
use std::sync::atomic::{AtomicBool, Ordering};

use waybill_shared::error::{ErrorReport, Exit};

/// Set once something could not be written.
static LOST: AtomicBool = AtomicBool::new(false);

/// Set once the reader of standard output has gone.
static GONE: AtomicBool = AtomicBool::new(false);

/// True if nobody reads the output any more (`| head`).
pub(super) fn reader_is_gone() -> bool {
    GONE.load(Ordering::Relaxed)
}

/// True if output was lost (a full disk): the command has then not done what was asked.
pub(super) fn was_lost() -> bool {
    LOST.load(Ordering::Relaxed)
}

/// Text on standard output. What it quotes from files does not steer the terminal.
pub(super) fn line(text: &str) {
    write(&safe(text));
}

fn safe(text: &str) -> Cow<'_, str> {
    let unsafe_char = |c: char| c.is_control() && c != '\n';
    if !text.contains(unsafe_char) {
        return Cow::Borrowed(text);
    }
    text.chars().flat_map(|c| if unsafe_char(c) { c.escape_default().collect::<Vec<_>>() } else { vec![c] }).collect()
}

/// How a word stands out on a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Colour {
    Red,
    Yellow,
    Dim,
}

/// True if colours are wanted: on a terminal, unless `NO_COLOR` says otherwise.
pub(super) fn colours() -> bool {
    std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// A line as [`line`] writes it, with one part in colour.
pub(super) fn line_in_colour(before: &str, part: &str, colour: Colour, after: &str) {
    let code = match colour {
        Colour::Red => 31,
        Colour::Yellow => 33,
        Colour::Dim => 2,
    };
    write(&format!("{}\u{1b}[{code}m{}\u{1b}[0m{}", safe(before), safe(part), safe(after)));
}

fn write(text: &str) {
    bytes(format!("{text}\n").as_bytes());
}

/// Bytes on standard output as they are, for what is safe already (CSV).
pub(super) fn bytes(bytes: &[u8]) {
    let mut out = std::io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Ok(()) => {}
        // A reader that has gone (`| head`) wants no more.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => GONE.store(true, Ordering::Relaxed),
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

/// A question on standard error; the answer is typed behind it.
pub(super) fn question(text: &str) {
    eprint!("{} ", safe(text));
    // If it cannot be shown, nobody sits there to answer.
    let _not_shown = std::io::stderr().flush();
}

/// Says on standard error what went wrong, for somebody who can mend it at once.
pub(super) fn trouble(error: &ErrorReport) {
    eprintln!("waybill-agent: {}", error.message);
    for fault in &error.details {
        eprintln!("  {fault}");
    }
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
    trouble(error);
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

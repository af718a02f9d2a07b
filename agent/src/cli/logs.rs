//! `logs`: the lines of the agent's log. Reads the files and asks nobody, so it works when the agent does not.
//!
//! `--follow` looks again every 200 ms until it is interrupted (the OS ends it, even if the disk hangs) or nobody reads what it writes.

use std::time::Duration;

use clap::Args;
use serde_json::{Map, Value};
use waybill_ipc::protocol::{LogFilter, LogLevelName, LogLine};
use waybill_shared::error::{Code, ErrorReport, Exit};
use waybill_shared::paths::Instance;
use waybill_shared::text;

use super::output::{self, Colour};
use crate::log::follow::Follow;
use crate::log::read;

/// Between two looks for new lines.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Longest text of a line's part that is shown to people.
const SHOWN: usize = 4000;

#[derive(Debug, Args)]
pub(super) struct LogsArgs {
    /// Go on with new lines as they come, until interrupted
    #[arg(long, short)]
    follow: bool,
    /// Only of this file's life: the id in an error, a sidecar or the window
    #[arg(long, value_name = "ID")]
    correlation: Option<String>,
    /// Only as important as this, or more
    #[arg(long, value_enum)]
    level: Option<LevelArg>,
    /// Only lines with this text, in capitals or not
    #[arg(long, value_name = "TEXT")]
    text: Option<String>,
    /// The newest so many
    #[arg(long, default_value_t = 100, value_name = "N")]
    lines: usize,
    /// Each line as a JSON object, for scripts
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum LevelArg {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

pub(super) fn main(instance: &Instance, args: &LogsArgs) -> Result<Exit, ErrorReport> {
    let filter = LogFilter {
        correlation_id: args.correlation.as_ref().map(|id| id.trim().to_lowercase()),
        level: args.level.map(|level| match level {
            LevelArg::Error => LogLevelName::Error,
            LevelArg::Warn => LogLevelName::Warn,
            LevelArg::Info => LogLevelName::Info,
            LevelArg::Debug => LogLevelName::Debug,
            LevelArg::Trace => LogLevelName::Trace,
        }),
        text: args.text.clone(),
        since_ms: None,
    };
    let fail = |error: std::io::Error| unreadable(instance, &error);
    let show = Show { json: args.json, colours: output::colours() };
    if !args.follow {
        let lines = read::tail(&instance.logs(), &filter, args.lines).map_err(fail)?;
        show.all(&lines);
        if lines.is_empty() {
            output::warn("no line of the log is as asked for");
        }
        if lines.len() == args.lines && filter != LogFilter::default() {
            output::warn("there may be more lines: --lines");
        }
        return Ok(Exit::Ok);
    }
    let (lines, mut follow) = Follow::start(&instance.logs(), &filter, args.lines).map_err(fail)?;
    show.all(&lines);
    while !output::reader_is_gone() && !output::was_lost() {
        let news = follow.news().map_err(fail)?;
        if news.gap {
            output::warn("lines are missing here: log files were removed before they could be read");
        }
        show.all(&news.lines);
        if !news.more {
            std::thread::sleep(LOOK_EVERY);
        }
    }
    Ok(Exit::Ok)
}

fn unreadable(instance: &Instance, error: &std::io::Error) -> ErrorReport {
    let folder = text::path(&instance.logs());
    match error.kind() {
        std::io::ErrorKind::NotFound => {
            let message = format!("there is no log of instance {:?} in {folder}", instance.name);
            ErrorReport::new(Code::DataFolderUnavailable, message).with_fix(
                "No agent has run with this data folder yet: check --instance, --scope and --data-dir, or start one with `waybill-agent run`",
            )
        }
        std::io::ErrorKind::PermissionDenied => {
            let message = format!("the log of instance {:?} in {folder} may not be read: {error}", instance.name);
            ErrorReport::new(Code::DataFolderUnavailable, message).with_fix("Ask as the user that the agent runs as")
        }
        _ => ErrorReport::new(Code::DataFolderUnavailable, format!("the log in {folder} cannot be read: {error}")),
    }
}

/// How lines are shown.
struct Show {
    json: bool,
    colours: bool,
}

impl Show {
    fn all(&self, lines: &[LogLine]) {
        for line in lines.iter().take_while(|_| !output::reader_is_gone()) {
            self.one(line);
        }
    }

    fn one(&self, line: &LogLine) {
        if self.json {
            return output::line(&json(line));
        }
        let (time, level, rest) = parts(line);
        let colour = match line.level {
            Some(LogLevelName::Error) => Some(Colour::Red),
            Some(LogLevelName::Warn) => Some(Colour::Yellow),
            Some(LogLevelName::Debug | LogLevelName::Trace) => Some(Colour::Dim),
            Some(LogLevelName::Info) | None => None,
        };
        match colour.filter(|_| self.colours) {
            Some(colour) => output::line_in_colour(&format!("{time} "), level, colour, &rest),
            None => output::line(&format!("{time} {level}{rest}")),
        }
    }
}

/// Time and level, each of one width, and what follows them.
fn parts(line: &LogLine) -> (String, &'static str, String) {
    let time = line.at_ms.and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok()).map_or_else(
        || " ".repeat(23),
        |at| at.to_zoned(jiff::tz::TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S.%3f").to_string(),
    );
    let level = line.level.map_or("-----", LogLevelName::word);
    let safe = |text: &str| text::printable(text, SHOWN);
    let mut rest =
        format!("{} {:<20}", " ".repeat(5_usize.saturating_sub(level.len())), safe(line.event.as_deref().unwrap_or("-")));
    let named = [("source", &line.source), ("destination", &line.destination)];
    let named = named.into_iter().filter_map(|(name, value)| Some((name, value.as_ref()?)));
    for (name, value) in named.chain(line.fields.iter().map(|(name, value)| (name.as_str(), value))) {
        let value = safe(value);
        let quote = if value.is_empty() || value.contains([' ', '=']) { "\"" } else { "" };
        rest.push_str(&format!("  {}={quote}{value}{quote}", safe(name)));
    }
    if let Some(id) = &line.correlation_id {
        rest.push_str(&format!("  [{}]", safe(id)));
    }
    if !line.message.is_empty() {
        rest.push_str("  ");
        rest.push_str(&safe(&line.message));
    }
    (time, level, rest)
}

/// One object on one line. What is not known is not there.
fn json(line: &LogLine) -> String {
    let mut object = Map::new();
    let at = line.at_ms.and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok()).map(|at| format!("{at:.3}"));
    let named = [
        ("at", at.as_deref()),
        ("level", line.level.map(LogLevelName::word)),
        ("event", line.event.as_deref()),
        ("message", Some(line.message.as_str())),
        ("source", line.source.as_deref()),
        ("destination", line.destination.as_deref()),
        ("correlation_id", line.correlation_id.as_deref()),
    ];
    object.extend(named.into_iter().filter_map(|(name, value)| Some((name.to_owned(), Value::from(value?)))));
    if let Some(level) = object.get_mut("level") {
        *level = Value::from(level.as_str().unwrap_or_default().to_lowercase());
    }
    let fields = line.fields.iter().map(|(name, value)| (name.clone(), Value::from(value.as_str())));
    object.insert("fields".to_owned(), Value::Object(fields.collect()));
    let mut text = String::new();
    for c in Value::Object(object).to_string().chars() {
        // JSON allows these inside of texts, and a terminal may act on them.
        if c.is_control() { text.push_str(&format!("\\u{:04x}", u32::from(c))) } else { text.push(c) }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line() -> LogLine {
        LogLine {
            at_ms: Some(1_795_258_800_123),
            level: Some(LogLevelName::Warn),
            event: Some("report_retry".to_owned()),
            message: "tried\nagain \u{1b}[2J\u{9b}".to_owned(),
            source: None,
            destination: Some("main".to_owned()),
            correlation_id: Some("0199-ab".to_owned()),
            fields: vec![("reason".to_owned(), "not there".to_owned()), ("try".to_owned(), "3".to_owned())],
            key: 0,
        }
    }

    #[test]
    fn a_line_for_people_is_one_line_in_columns_and_steers_no_terminal() {
        let (time, level, rest) = parts(&line());
        assert_eq!((time.len(), level), (23, "WARN"));
        assert!(time.ends_with(":00.123"), "{time}");
        assert_eq!(
            rest,
            "  report_retry          destination=main  reason=\"not there\"  try=3  [0199-ab]  tried\\nagain \\u{1b}[2J\\u{9b}"
        );
        let bare = LogLine { at_ms: None, level: None, event: None, ..line() };
        let (time, level, rest) = parts(&bare);
        assert_eq!((time.len(), level.len(), rest.find("destination")), (23, 5, Some(23)));
    }

    #[test]
    fn a_line_for_scripts_is_json_and_steers_no_terminal() {
        let text = json(&line());
        assert!(!text.contains(char::is_control));
        let object: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(object["message"], line().message);
        assert_eq!((&object["level"], &object["fields"]["try"]), (&Value::from("warn"), &Value::from("3")));
        assert_eq!((&object["at"], object.get("source")), (&Value::from("2026-11-21T11:00:00.123Z"), None));
    }
}

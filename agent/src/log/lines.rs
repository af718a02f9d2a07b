//! One line of the log as a value, and whether it is wanted.

use jiff::Timestamp;
use serde_json::{Map, Value};
use waybill_ipc::protocol::{LogFilter, LogLevelName, LogLine};

/// Reads a line, without its end.
pub(super) fn parse(raw: &[u8], key: u64) -> LogLine {
    let mut line = LogLine {
        at_ms: None,
        level: None,
        event: None,
        message: String::new(),
        source: None,
        destination: None,
        correlation_id: None,
        fields: Vec::new(),
        key,
    };
    let Ok(object) = serde_json::from_slice::<Map<String, Value>>(raw) else {
        line.message = String::from_utf8_lossy(raw).into_owned();
        return line;
    };
    for (name, value) in object {
        let text = match value {
            Value::String(text) => text,
            other => other.to_string(),
        };
        match name.as_str() {
            "timestamp" => line.at_ms = text.parse::<Timestamp>().ok().map(Timestamp::as_millisecond),
            "level" => line.level = LogLevelName::of_word(&text),
            "event" => line.event = Some(text),
            "message" => line.message = text,
            "source" => line.source = Some(text),
            "destination" => line.destination = Some(text),
            "correlation_id" => line.correlation_id = Some(text),
            _ => line.fields.push((name, text)),
        }
    }
    line
}

/// What is wanted.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    filter: LogFilter,
    text: Option<String>,
}

impl Wanted {
    pub(super) fn new(filter: &LogFilter) -> Self {
        Self { filter: filter.clone(), text: filter.text.as_deref().map(str::to_lowercase) }
    }

    /// The line, if it is wanted. An empty line is not.
    pub(super) fn take(&self, raw: &[u8], key: u64) -> Option<LogLine> {
        let raw = raw.strip_suffix(b"\r").unwrap_or(raw);
        // Most lines of a long log belong to other files: they are not worth reading as JSON.
        let plain = |id: &&String| id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        if let Some(id) = self.filter.correlation_id.as_ref().filter(plain)
            && !String::from_utf8_lossy(raw).contains(id.as_str())
        {
            return None;
        }
        if raw.is_empty() {
            return None;
        }
        Some(parse(raw, key)).filter(|line| self.matches(line))
    }

    fn matches(&self, line: &LogLine) -> bool {
        let of_life = |id: &String| match &line.correlation_id {
            Some(own) => own == id,
            // Half a line, which may well be of this file.
            None => line.level.is_none() && line.message.contains(id.as_str()),
        };
        self.filter.correlation_id.as_ref().is_none_or(of_life)
            && self.filter.level.is_none_or(|least| line.level.is_some_and(|level| level >= least))
            && self.filter.since_ms.is_none_or(|since| line.at_ms.is_some_and(|at| at >= since))
            && self.text.as_ref().is_none_or(|text| texts(line).any(|own| own.to_lowercase().contains(text.as_str())))
    }
}

fn texts(line: &LogLine) -> impl Iterator<Item = &String> {
    let named = [&line.event, &line.source, &line.destination, &line.correlation_id].into_iter().flatten();
    named.chain([&line.message]).chain(line.fields.iter().flat_map(|(name, value)| [name, value]))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = r#"{"timestamp":"2026-11-21T11:00:00.123456Z","level":"WARN","message":"tried again","event":"report_retry","destination":"main","correlation_id":"0199-ab","attempt":3,"quick":true,"reason":"Connection REFUSED"}"#;

    fn takes(filter: LogFilter) -> bool {
        Wanted::new(&filter).take(LINE.as_bytes(), 0).is_some()
    }

    #[test]
    fn a_line_gives_all_that_is_in_it() {
        let line = parse(LINE.as_bytes(), 7);
        assert_eq!((line.at_ms, line.level), (Some(1_795_258_800_123), Some(LogLevelName::Warn)));
        assert_eq!((line.event.as_deref(), line.message.as_str()), (Some("report_retry"), "tried again"));
        assert_eq!((line.source, line.destination.as_deref()), (None, Some("main")));
        assert_eq!((line.correlation_id.as_deref(), line.key), (Some("0199-ab"), 7));
        let fields = [("attempt", "3"), ("quick", "true"), ("reason", "Connection REFUSED")];
        assert_eq!(line.fields, fields.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }

    #[test]
    fn what_is_no_json_is_shown_as_it_is() {
        let line = parse(b"{\"timestamp\":\"2026-11-\xff", 0);
        assert_eq!((line.at_ms, line.level, line.message.as_str()), (None, None, "{\"timestamp\":\"2026-11-\u{fffd}"));
    }

    #[test]
    fn a_filter_takes_what_fulfils_all_of_it() {
        assert!(takes(LogFilter::default()));
        let level = |level| LogFilter { level: Some(level), ..LogFilter::default() };
        assert!(takes(level(LogLevelName::Info)) && takes(level(LogLevelName::Warn)) && !takes(level(LogLevelName::Error)));
        let text = |text: &str| LogFilter { text: Some(text.to_owned()), ..LogFilter::default() };
        assert!(takes(text("connection refused")) && takes(text("RETRY")) && takes(text("attempt")) && !takes(text("zip")));
        let since = |ms| LogFilter { since_ms: Some(ms), ..LogFilter::default() };
        assert!(takes(since(1_795_258_800_123)) && !takes(since(1_795_258_800_124)));
        let id = |id: &str| LogFilter { correlation_id: Some(id.to_owned()), ..LogFilter::default() };
        assert!(takes(id("0199-ab")) && !takes(id("0199")) && !takes(id("0199-ac")));
        assert!(!takes(LogFilter { level: Some(LogLevelName::Error), ..id("0199-ab") }));
    }

    #[test]
    fn half_a_line_belongs_to_the_file_that_it_names() {
        let wanted = Wanted::new(&LogFilter { correlation_id: Some("0199-ab".to_owned()), ..LogFilter::default() });
        assert!(wanted.take(b"{\"correlation_id\":\"0199-ab\",\"rea", 0).is_some());
        assert!(wanted.take(b"{\"correlation_id\":\"0199-", 0).is_none());
    }
}

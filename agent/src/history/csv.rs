//! The history as CSV, for spreadsheets and auditors.
//!
//! RFC 4180: commas, CRLF, quotes where they are needed; UTF-8. A cell that a spreadsheet would take for a formula gets a leading
//! apostrophe, and control characters (but tab and line ends) are escaped: names of files and users come from outside.

use std::io::{self, Write};

use jiff::Timestamp;
use waybill_ipc::protocol::HistoryRow;

/// Writes the one header line.
///
/// # Errors
/// Those of `out`.
pub fn write_header(out: &mut impl Write) -> io::Result<()> {
    out.write_all(b"key,at,who,via,action,target,before,after,outcome,message,code,correlation_id\r\n")
}

/// Writes one line an entry; times are ISO 8601 in UTC.
///
/// # Errors
/// Those of `out`.
pub fn write_rows(out: &mut impl Write, rows: &[HistoryRow]) -> io::Result<()> {
    let optional = |text: &Option<String>| text.as_deref().map(cell).unwrap_or_default();
    for row in rows {
        let at = Timestamp::from_millisecond(row.at_ms).map_or_else(|_| row.at_ms.to_string(), |at| format!("{at:.3}"));
        let cells = [
            row.key.to_string(),
            at,
            cell(&row.who),
            row.via.as_str().to_owned(),
            cell(&row.action),
            cell(&row.target),
            optional(&row.before),
            optional(&row.after),
            row.outcome.as_str().to_owned(),
            optional(&row.message),
            row.code.map(|code| code.as_str().to_owned()).unwrap_or_default(),
            optional(&row.correlation_id),
        ];
        write!(out, "{}\r\n", cells.join(","))?;
    }
    Ok(())
}

/// A text as one cell.
fn cell(text: &str) -> String {
    let mut safe = String::with_capacity(text.len() + 2);
    if text.starts_with(['=', '+', '-', '@', '\t', '\r', '\n']) {
        safe.push('\'');
    }
    for c in text.chars() {
        if c.is_control() && !matches!(c, '\t' | '\r' | '\n') { safe.extend(c.escape_default()) } else { safe.push(c) }
    }
    if safe.contains(['"', ',', '\r', '\n']) { format!("\"{}\"", safe.replace('"', "\"\"")) } else { safe }
}

#[cfg(test)]
mod tests {
    use waybill_ipc::protocol::{HistoryOutcome, Via};
    use waybill_shared::error::Code;

    use super::*;

    #[test]
    fn a_cell_is_quoted_where_needed_and_is_never_a_formula() {
        let cases = [
            ("plain", "plain"),
            ("", ""),
            ("a,b", "\"a,b\""),
            ("say \"yes\"", "\"say \"\"yes\"\"\""),
            ("one\r\ntwo\nthree", "\"one\r\ntwo\nthree\""),
            ("=cmd|' /C calc'!A0", "'=cmd|' /C calc'!A0"),
            ("=HYPERLINK(\"x\",\"y\")", "\"'=HYPERLINK(\"\"x\"\",\"\"y\"\")\""),
            ("+1", "'+1"),
            ("-1", "'-1"),
            ("@SUM(A1)", "'@SUM(A1)"),
            ("\t=1", "'\t=1"),
            ("\r=1", "\"'\r=1\""),
            ("\n=1", "\"'\n=1\""),
            ("a=1", "a=1"),
            ("\u{0}=1\u{1b}[2J", "\\u{0}=1\\u{1b}[2J"),
            ("Prüfplatz é", "Prüfplatz é"),
        ];
        for (text, expected) in cases {
            assert_eq!(cell(text), expected, "{text:?}");
        }
    }

    #[test]
    fn a_row_is_one_record_under_its_header() {
        let row = HistoryRow {
            key: 7,
            at_ms: 1_700_000_000_120,
            who: "anna".into(),
            via: Via::Cli,
            action: "config.set".into(),
            target: "source.ict.folder".into(),
            before: None,
            after: Some("=a,b".into()),
            outcome: HistoryOutcome::Refused,
            message: Some("no\nreally".into()),
            code: Some(Code::ConfigInvalid),
            correlation_id: Some("c-1".into()),
        };
        let mut out = Vec::new();
        write_header(&mut out).unwrap();
        write_rows(&mut out, &[row]).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "key,at,who,via,action,target,before,after,outcome,message,code,correlation_id\r\n\
             7,2023-11-14T22:13:20.120Z,anna,cli,config.set,source.ict.folder,,\"'=a,b\",refused,\"no\nreally\",WB1001,c-1\r\n"
        );
    }
}

//! The texts of the registry's `Run` key, without the registry: command lines, and what the Task Manager notes of an entry.

/// A command as one line, so that Windows gives its program the same arguments back (`CommandLineToArgvW`).
pub(in crate::platform) fn line(command: &[String]) -> String {
    command.iter().map(|part| quoted(part)).collect::<Vec<_>>().join(" ")
}

fn quoted(part: &str) -> String {
    if !part.is_empty() && !part.contains([' ', '\t', '"']) {
        return part.to_owned();
    }
    let mut text = String::from("\"");
    let mut backslashes = 0;
    for c in part.chars() {
        if c == '\\' {
            backslashes += 1;
            continue;
        }
        // Backslashes count double before a quote, and as they are elsewhere.
        let times = if c == '"' { 2 * backslashes + 1 } else { backslashes };
        text.extend(std::iter::repeat_n('\\', times));
        backslashes = 0;
        text.push(c);
    }
    text.extend(std::iter::repeat_n('\\', 2 * backslashes));
    text.push('"');
    text
}

/// The parts of a line, as the program that it starts gets them.
pub(super) fn parts(line: &str) -> Vec<String> {
    let mut parts: Vec<String> = Vec::new();
    let mut part: Option<String> = None;
    let (mut quotes, mut backslashes) = (false, 0);
    for c in line.chars() {
        if c == '\\' {
            backslashes += 1;
            continue;
        }
        let written = if c == '"' { backslashes / 2 } else { backslashes };
        let escaped = backslashes % 2 == 1;
        if backslashes > 0 {
            part.get_or_insert_default().extend(std::iter::repeat_n('\\', written));
            backslashes = 0;
        }
        match c {
            '"' if !escaped => {
                quotes = !quotes;
                part.get_or_insert_default();
            }
            ' ' | '\t' if !quotes => parts.extend(part.take()),
            _ => part.get_or_insert_default().push(c),
        }
    }
    if backslashes > 0 {
        part.get_or_insert_default().extend(std::iter::repeat_n('\\', backslashes));
    }
    parts.extend(part);
    parts
}

/// What the value in `StartupApproved` says: an odd first byte is an entry that was switched off (seen in the registry of Windows 10 and 11;
/// nothing is documented).
pub(super) fn is_switched_off(approved: &[u8]) -> bool {
    approved.first().is_some_and(|first| first % 2 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_line_is_quoted_as_windows_reads_it() {
        let command =
            [r"C:\Program Files\Waybill\waybill.exe", "--data-dir", r"D:\a b\", r#"x"y"#, "", "--start-agent"].map(str::to_owned);
        let line = line(&command);
        assert_eq!(line, r#""C:\Program Files\Waybill\waybill.exe" --data-dir "D:\a b\\" "x\"y" "" --start-agent"#);
        assert_eq!(parts(&line), command);
    }

    #[test]
    fn the_task_managers_note_is_read() {
        for (approved, off) in [(&[2, 0, 0][..], false), (&[6, 0], false), (&[3, 0, 0], true), (&[7], true), (&[], false)] {
            assert_eq!(is_switched_off(approved), off, "{approved:?}");
        }
    }

    proptest! {
        #[test]
        fn every_command_is_read_back_as_it_was(command in proptest::collection::vec("[a\\\\\" \t%ä]{0,12}", 1..5)) {
            prop_assert_eq!(parts(&line(&command)), command);
        }
    }
}

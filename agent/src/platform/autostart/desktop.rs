//! The text of a desktop entry (Desktop Entry Specification 1.5, Desktop Application Autostart Specification 0.5).

use super::Entry;

/// The entry that starts a command at log-in.
///
/// # Errors
/// A sentence: a part of the command cannot stand in an entry.
pub(super) fn render(instance: &str, command: &[String]) -> Result<String, String> {
    if let Some(part) = command.iter().find(|part| part.contains(char::is_control)) {
        return Err(format!("{part:?} holds a control character, which no desktop entry can"));
    }
    let exec: Vec<String> = command.iter().map(|part| quoted(part)).collect();
    // What stands in the file is escaped once more, as every value of a desktop entry.
    let exec = exec.join(" ").replace('\\', "\\\\");
    Ok(format!(
        "[Desktop Entry]\nType=Application\nVersion=1.0\nName=Waybill agent ({instance})\nComment=Takes test results and delivers them; written by \
         `waybill-agent autostart enable`\nExec={exec}\nTerminal=false\nNoDisplay=true\nX-GNOME-Autostart-enabled=true\n"
    ))
}

/// An argument as it stands in `Exec`: in quotes unless it is harmless, `%` doubled.
fn quoted(part: &str) -> String {
    let harmless = |c: char| c.is_ascii_alphanumeric() || "/._-+:=@,".contains(c);
    if !part.is_empty() && part.chars().all(harmless) {
        return part.to_owned();
    }
    let mut text = String::from("\"");
    for c in part.chars() {
        match c {
            '"' | '`' | '$' | '\\' => text.extend(['\\', c]),
            '%' => text.push_str("%%"),
            _ => text.push(c),
        }
    }
    text.push('"');
    text
}

/// What an entry says. Only the group `Desktop Entry` counts, and of a key that stands twice the first.
pub(super) fn parse(text: &str) -> Entry {
    let mut ours = false;
    let (mut exec, mut hidden, mut gnome) = (None, None, None);
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if line.starts_with('[') {
            ours = line == "[Desktop Entry]";
            continue;
        }
        let Some((key, value)) = line.split_once('=').filter(|_| ours) else { continue };
        let slot = match key.trim_end() {
            "Exec" => &mut exec,
            "Hidden" => &mut hidden,
            "X-GNOME-Autostart-enabled" => &mut gnome,
            _ => continue,
        };
        slot.get_or_insert_with(|| value.trim_start().to_owned());
    }
    let switched_off = match (hidden.as_deref(), gnome.as_deref()) {
        (Some("true"), _) => Some("Somebody has switched the entry off (Hidden=true)".to_owned()),
        (_, Some("false")) => {
            Some("Somebody has switched the entry off in the desktop's settings (X-GNOME-Autostart-enabled=false)".to_owned())
        }
        _ => None,
    };
    let command = exec.map(|exec| arguments(&unescaped(&exec))).filter(|command| !command.is_empty());
    Entry { command, switched_off }
}

/// A value without the escapes that every value may have.
fn unescaped(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    let mut rest = value.chars();
    while let Some(c) = rest.next() {
        if c != '\\' {
            text.push(c);
            continue;
        }
        match rest.next() {
            Some('s') => text.push(' '),
            Some('n') => text.push('\n'),
            Some('t') => text.push('\t'),
            Some('r') => text.push('\r'),
            Some('\\') => text.push('\\'),
            Some(other) => text.extend(['\\', other]),
            None => text.push('\\'),
        }
    }
    text
}

/// The parts of a command line: quotes taken off, field codes (`%u` and the like) without what they would stand for.
fn arguments(exec: &str) -> Vec<String> {
    let mut parts: Vec<String> = Vec::new();
    let mut part: Option<String> = None;
    let mut quotes = false;
    let mut rest = exec.chars();
    while let Some(c) = rest.next() {
        match c {
            '"' => {
                quotes = !quotes;
                part.get_or_insert_default();
            }
            '\\' if quotes => part.get_or_insert_default().extend(rest.next()),
            ' ' | '\t' if !quotes => parts.extend(part.take()),
            '%' => match rest.next() {
                Some('%') => part.get_or_insert_default().push('%'),
                _ => continue,
            },
            _ => part.get_or_insert_default().push(c),
        }
    }
    parts.extend(part);
    parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(|&word| word.to_owned()).collect()
    }

    #[test]
    fn a_command_stands_in_the_entry_as_the_specification_wants_it() {
        let command = words(&["/opt/my tools/waybill", "--config", r#"/a"b$c`d\e%f"#, "--start-agent"]);
        let text = render("default", &command).unwrap();
        let exec = text.lines().find(|line| line.starts_with("Exec=")).unwrap();
        assert_eq!(exec, r#"Exec="/opt/my tools/waybill" --config "/a\\"b\\$c\\`d\\\\e%%f" --start-agent"#);
        assert!(text.starts_with("[Desktop Entry]\nType=Application\n"), "{text}");
        assert_eq!(parse(&text), Entry { command: Some(command), switched_off: None });
        assert!(render("default", &words(&["/a\nHidden=true"])).is_err(), "a line break would be a key of its own");
    }

    #[test]
    fn both_ways_of_switching_it_off_are_seen() {
        for line in ["Hidden=true", "X-GNOME-Autostart-enabled=false", "Hidden = true"] {
            let entry = parse(&format!("[Desktop Entry]\nExec=/opt/waybill --start-agent\n{line}\n"));
            assert!(entry.switched_off.is_some(), "{line}");
        }
        for line in ["Hidden=false", "X-GNOME-Autostart-enabled=true", "#Hidden=true", "[Other]\nHidden=true"] {
            let entry = parse(&format!("[Desktop Entry]\nExec=/opt/waybill --start-agent\n{line}\n"));
            assert_eq!(entry.switched_off, None, "{line}");
        }
    }

    #[test]
    fn what_other_programs_write_is_read() {
        let entry = parse("\u{feff}# a comment\n[Desktop Entry]\nName=x\nExec=/usr/bin/backup  --all %U \"a b\"\\sc\n");
        // The mark of some editors before the first line belongs to the comment.
        assert_eq!(entry.command, Some(words(&["/usr/bin/backup", "--all", "a b", "c"])));
        assert_eq!(parse("Exec=/x\n").command, None, "outside of the group");
        assert_eq!(parse("[Desktop Entry]\nExec=\n").command, None);
        assert_eq!(parse("").command, None);
    }

    proptest! {
        #[test]
        fn every_command_is_read_back_as_it_was(command in proptest::collection::vec("[^\\p{C}]{1,20}", 1..5)) {
            let text = render("x", &command).unwrap();
            prop_assert_eq!(parse(&text).command, Some(command));
        }

        #[test]
        fn no_text_is_too_strange(text in "\\PC{0,200}") {
            let _read = parse(&text);
            let _read = parse(&format!("[Desktop Entry]\nExec={text}"));
        }
    }
}

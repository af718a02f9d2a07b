//! Small pieces for texts that come from outside and are shown to people.

use crate::schema::{FaultKind, Reader};

/// `text` cut to at most `max` characters, with an ellipsis where something was cut.
#[must_use]
pub fn shortened(text: &str, max: usize) -> String {
    match text.char_indices().nth(max) {
        None => text.to_owned(),
        Some((cut, _)) => format!("{}…", &text[..cut]),
    }
}

/// A text from outside made safe for a log line or a terminal: control characters are escaped, and it is cut to `max` characters.
#[must_use]
pub fn printable(text: &str, max: usize) -> String {
    let mut safe = String::with_capacity(text.len().min(max));
    for c in text.chars().take(max) {
        if c.is_control() || is_direction_mark(c) { safe.extend(c.escape_default()) } else { safe.push(c) }
    }
    if text.chars().nth(max).is_some() {
        safe.push('…');
    }
    safe
}

/// Characters that nobody sees or that change the order of the text around them, and so can disguise a file name.
fn is_direction_mark(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

/// A path as people read it, made safe like [`printable`].
#[must_use]
pub fn path(path: &std::path::Path) -> String {
    printable(&path.to_string_lossy(), 4096)
}

/// A text from outside as one component of a file name that every OS takes: letters, digits, `-`, `_`, `.` stay, all else becomes
/// `_`; at most `max` characters; never empty, never a name that Windows reserves.
#[must_use]
pub fn file_name_component(text: &str, max: usize) -> String {
    let mut name: String =
        text.chars().take(max).map(|c| if c.is_alphanumeric() || matches!(c, '-' | '_' | '.') { c } else { '_' }).collect();
    while name.ends_with('.') {
        name.pop();
        name.push('_');
    }
    if name.starts_with('.') {
        name.replace_range(..1, "_");
    }
    let stem = name.split('.').next().unwrap_or_default().to_ascii_uppercase();
    let numbered = |prefix: &str| stem.strip_prefix(prefix).is_some_and(|n| n.len() == 1 && n.as_bytes()[0].is_ascii_digit());
    if name.is_empty() || matches!(stem.as_str(), "CON" | "PRN" | "AUX" | "NUL") || numbered("COM") || numbered("LPT") {
        name.insert(0, '_');
    }
    name
}

/// Notes a text that is longer than `max` characters.
pub(crate) fn check_length(text: &str, max: usize, reader: &mut Reader) {
    if text.len() > max {
        let length = text.chars().count();
        if length > max {
            reader.fault(FaultKind::OutOfRange, format!("{length} characters, at most {max} are allowed"));
        }
    }
}

/// What to say of an unknown key: the nearest known one if there is a near one, else all of them.
#[must_use]
pub fn unknown_key(key: &str, known: &[&str]) -> String {
    let nearest = known.iter().map(|k| (distance(key, k), k)).min();
    match nearest {
        Some((d, k)) if d <= 2.max(key.chars().count() / 3) => format!("did you mean `{k}`?"),
        _ => format!("known keys: {}", known.join(", ")),
    }
}

/// Edit distance (insertions, deletions, substitutions) between two short words.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().take(64).enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, cb) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(ca != *cb);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_names_from_outside_stay_in_their_folder() {
        assert_eq!(file_name_component("../../etc/passwd", 100), "_._.._etc_passwd");
        assert_eq!(file_name_component("..", 100), "_.".replace('.', "_"));
        assert_eq!(file_name_component("SN/1:2*", 100), "SN_1_2_");
        assert_eq!(file_name_component("", 100), "_");
        assert_eq!(file_name_component("nul.txt", 100), "_nul.txt");
        assert_eq!(file_name_component("COM1", 100), "_COM1");
        assert_eq!(file_name_component("äöü\u{202e}x", 100), "äöü_x");
        assert_eq!(file_name_component(&"x".repeat(300), 100).len(), 100);
    }

    #[test]
    fn texts_for_people_hold_no_control_characters() {
        assert_eq!(printable("a\u{1b}[31mb\n\u{202e}c", 100), "a\\u{1b}[31mb\\n\\u{202e}c");
        assert_eq!(printable("abcdef", 3), "abc…");
        assert_eq!(shortened("äöü", 2), "äö…");
    }

    #[test]
    fn the_nearest_key_is_offered() {
        assert_eq!(unknown_key("paterns", &["name", "patterns"]), "did you mean `patterns`?");
        assert_eq!(unknown_key("quux", &["name", "folder"]), "known keys: name, folder");
    }
}

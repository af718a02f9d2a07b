//! A mapping for a file that nobody has described yet: a beginning, with comments, that a person completes.
//!
//! - `words`: by what names programs call things; `table`, `tree`: a mapping for a text of cells, and for XML and JSON
//!
//! What is guessed is written down where a person can see and mend it; nothing is guessed when files are converted.

mod table;
mod tree;
mod words;

use encoding_rs::WINDOWS_1252;

use super::tree as nodes;
use crate::convert::ground::text;

/// Bytes of a file that are looked at, unless it is a tree, which is only one as a whole.
const BYTES: usize = 256 * 1024;

/// A mapping file for a file such as this one.
#[must_use]
pub fn guess(bytes: &[u8], file_name: &str) -> String {
    let whole = text::decode(bytes, WINDOWS_1252).text;
    let mut out = Out::default();
    out.head(file_name);
    match whole.trim_start().chars().next() {
        Some('<') => match nodes::xml(&whole) {
            Ok(root) => tree::guess(&root, "xml", &mut out),
            Err(error) => out.comment(&format!("The file cannot be read as XML: {error}")),
        },
        Some('{' | '[') if nodes::json(&whole).is_ok() => {
            if let Ok(root) = nodes::json(&whole) {
                tree::guess(&root, "json", &mut out);
            }
        }
        _ => {
            let end = whole.char_indices().map(|(at, _)| at).take_while(|&at| at <= BYTES).last().unwrap_or(0);
            let part = if whole.len() <= BYTES { &whole[..] } else { &whole[..end] };
            table::guess(part, file_name, &mut out);
        }
    }
    out.text
}

/// The mapping as it is written.
#[derive(Debug, Default)]
struct Out {
    text: String,
}

impl Out {
    fn head(&mut self, file_name: &str) {
        self.comment(&format!(
            "Made from {}: a guess. Check each line with `mapping check`.",
            waybill_shared::text::printable(file_name, 100)
        ));
        let stem = file_name.rsplit_once('.').map_or(file_name, |(stem, _)| stem);
        let name: String =
            stem.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' }).take(50).collect();
        let name = name.trim_matches('-');
        self.line(
            "name",
            if name.is_empty() { "my-files" } else { name },
            "part of every id: it never changes once files were sent",
        );
        self.line("help", "", "one line for people");
        let pattern = file_name.rsplit_once('.').map_or("*".to_owned(), |(_, end)| format!("*.{end}"));
        self.raw(&format!("patterns = [{}]", quoted(&pattern)));
    }

    fn comment(&mut self, text: &str) {
        self.raw(&format!("# {}", text.replace(['\n', '\r'], " ")));
    }

    fn table(&mut self, name: &str, why: &str) {
        self.raw("");
        if !why.is_empty() {
            self.comment(why);
        }
        self.raw(name);
    }

    fn line(&mut self, key: &str, value: &str, why: &str) {
        let why = if why.is_empty() { String::new() } else { format!("  # {why}") };
        self.raw(&format!("{key} = {}{why}", quoted(value)));
    }

    fn raw(&mut self, line: &str) {
        self.text.push_str(line);
        self.text.push('\n');
    }
}

/// A text as TOML has it.
fn quoted(text: &str) -> String {
    toml_edit::Value::from(text).to_string().trim().to_owned()
}

//! Takes secrets out of texts that leave the station, such as the diagnostics bundle. A safety net: nothing that is written down should
//! hold a secret in the first place.
//!
//! Known secrets are found whatever stands around them; unknown ones by their surroundings. In doubt a value goes, but a text about
//! tokens, a path and a measurement stay as they are.

use std::borrow::Cow;
use std::ops::Range;

use super::Secret;

/// What stands in the place of a secret.
const STARS: &str = "***";
/// A known secret that is shorter is found only by its surroundings: it would take words apart.
const SHORTEST: usize = 4;

/// `text` with `***` in the place of:
/// - the `known` secrets of at least 4 bytes, also in their JSON and their percent-encoded form;
/// - the values of keys that end in `password`, `token`, `secret`, `pin`, `api_key` and the like, whatever comes before (`proxy_password`,
///   `destination.main.token`), as in JSON, TOML, a query string, the environment or a header;
/// - what follows `Basic` or `Bearer`, if it looks like a token;
/// - the password of an address (`https://user:password@host`).
///
/// Doing it twice changes nothing more.
#[must_use]
pub fn redacted(text: &str, known: &[Secret]) -> String {
    let text = without(text, known);
    let text = replaced(&text, address_passwords(&text));
    let text = replaced(&text, schemes(&text));
    replaced(&text, values(&text))
}

/// `text` with `***` in the place of the `known` secrets only; for what another program answers, which may repeat what it was sent.
#[must_use]
pub fn without<'a>(text: &'a str, known: &[Secret]) -> Cow<'a, str> {
    let mut text = Cow::Borrowed(text);
    for form in forms(known) {
        if text.contains(&form) {
            text = Cow::Owned(text.replace(&form, STARS));
        }
    }
    text
}

/// The forms in which known secrets may stand in a text, the longest first: one may be part of another.
fn forms(known: &[Secret]) -> Vec<String> {
    let mut forms: Vec<String> = Vec::new();
    for secret in known.iter().map(Secret::expose).filter(|secret| secret.len() >= SHORTEST) {
        let json = serde_json::to_string(secret).unwrap_or_default();
        let percent = secret.bytes().map(|b| match b {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => char::from(b).to_string(),
            _ => format!("%{b:02X}"),
        });
        forms.extend([secret.to_owned(), json.trim_matches('"').to_owned(), percent.collect()]);
    }
    forms.retain(|form| form.len() >= SHORTEST);
    forms.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
    forms.dedup();
    forms
}

/// A place in a text where a secret is.
struct Found {
    range: Range<usize>,
    /// Put around the stars, where a bare JSON value would not be JSON any more.
    quote: &'static str,
}

impl From<Range<usize>> for Found {
    fn from(range: Range<usize>) -> Self {
        Self { range, quote: "" }
    }
}

/// `text` with stars in the places that were found, which are in order and do not overlap.
fn replaced(text: &str, found: Vec<Found>) -> String {
    let mut result = String::with_capacity(text.len());
    let mut done = 0;
    for Found { range, quote } in found {
        result.push_str(&text[done..range.start]);
        result.extend([quote, STARS, quote]);
        done = range.end;
    }
    result.push_str(&text[done..]);
    result
}

fn ends_address(c: char) -> bool {
    c.is_whitespace() || matches!(c, '"' | '\'' | '<' | '>' | '`' | '\\')
}

/// The passwords of addresses.
fn address_passwords(text: &str) -> Vec<Found> {
    let mut found: Vec<Found> = Vec::new();
    for (at, _) in text.match_indices("://") {
        let start = at + 3;
        let address = &text[start..start + text[start..].find(ends_address).unwrap_or(text.len() - start)];
        let authority = &address[..address.find(['/', '?', '#']).unwrap_or(address.len())];
        // A password with a bare `/` in it ends the authority too early; a port does not look like one.
        let at_sign = authority.rfind('@').or_else(|| {
            let (_, port) = authority.split_once(':')?;
            let no_port = !authority.starts_with('[') && !port.is_empty() && !port.bytes().all(|b| b.is_ascii_digit());
            no_port.then(|| address.rfind('@')).flatten()
        });
        let Some(at_sign) = at_sign else { continue };
        let Some(colon) = address[..at_sign].find(':') else { continue };
        let range = start + colon + 1..start + at_sign;
        if !range.is_empty() && found.last().is_none_or(|last| last.range.end <= range.start) {
            found.push(range.into());
        }
    }
    found
}

/// The tokens after `Basic` and `Bearer`.
fn schemes(text: &str) -> Vec<Found> {
    let mut found: Vec<Found> = Vec::new();
    for word in ["basic", "bearer"] {
        let mut from = 0;
        while let Some(at) = find_ignoring_case(text, from, word) {
            from = at + word.len();
            let inside_a_word = text[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_');
            let rest = &text[from..];
            let blanks = rest.len() - rest.trim_start_matches([' ', '\t']).len();
            let blanks = if rest.starts_with("%20") { 3 } else { blanks };
            let token = &rest[blanks..];
            let token = &token[..token.find(|c: char| !is_token(c)).unwrap_or(token.len())];
            if !inside_a_word && blanks > 0 && looks_secret(token) {
                found.push((from + blanks..from + blanks + token.len()).into());
            }
        }
    }
    found.sort_by_key(|found| found.range.start);
    found
}

fn is_token(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '=' | '.' | '_' | '~' | '-' | '%')
}

/// A word of a sentence is short and has neither digits nor capitals within.
fn looks_secret(token: &str) -> bool {
    let odd = token.bytes().skip(1).any(|b| b.is_ascii_digit() || b.is_ascii_uppercase() || b == b'=');
    token.len() >= 20 || (token.len() >= 6 && odd)
}

fn find_ignoring_case(text: &str, from: usize, word: &str) -> Option<usize> {
    let (text, word) = (text.as_bytes(), word.as_bytes());
    (from..=text.len().checked_sub(word.len())?).find(|at| text[*at..*at + word.len()].eq_ignore_ascii_case(word))
}

/// The values of keys that say that they are secret.
fn values(text: &str) -> Vec<Found> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(step) = text[at..].find(['=', ':']) {
        let separator = at + step;
        at = separator + 1;
        if let Some(value) = value_at(text, separator) {
            at = at.max(value.range.end);
            found.push(value);
        }
    }
    found
}

#[derive(PartialEq, Eq)]
enum Kind {
    /// A password, a token, ….
    Secret,
    /// A header of several words.
    Header,
}

/// The value that belongs to the `=` or `:` at `separator`, if it is a secret's.
fn value_at(text: &str, separator: usize) -> Option<Found> {
    let equals = text.as_bytes()[separator] == b'=';
    let before = text[..separator].trim_end_matches([' ', '\t']);
    let quoteless = before.trim_end_matches(['"', '\'']);
    let unquoted = quoteless.trim_end_matches('\\');
    let quoted = unquoted.len() < before.len();
    let json_key = quoted && quoteless.len() == unquoted.len();
    let run = &unquoted
        [unquoted.rfind(|c: char| !is_key(c)).map_or(0, |at| at + text[at..].chars().next().map_or(1, char::len_utf8))..];
    let kind = kind_of(run)?;
    let mut rest = &text[separator + 1..];
    if equals {
        // `==` compares, `=>` gives.
        rest = rest.strip_prefix('>').unwrap_or(rest);
        if rest.starts_with('=') || text[..separator].ends_with(['=', '!', '<', '>']) {
            return None;
        }
    } else if rest.starts_with(':')
        || rest.starts_with("//")
        || (!quoted && unquoted[..unquoted.len() - run.len()].ends_with(['/', '\\', ':']))
    {
        // `token::load`, `token://`, and a path that a message goes on after.
        return None;
    }
    let blank = [' ', '\t'];
    rest = rest.trim_start_matches(blank);
    rest = rest.strip_prefix("Some(").unwrap_or(rest);
    let start = text.len() - rest.len();
    let length = match opening_quote(rest) {
        Some(quote) => {
            return Some(Found { range: quoted_value(text, start, quote), quote: "" }).filter(|value| !value.range.is_empty());
        }
        None if kind == Kind::Header => rest.find(['\n', '\r', '"', '\'']).unwrap_or(rest.len()),
        None if rest.starts_with('[') => {
            rest.find([']', '\n']).map_or(rest.len(), |end| end + usize::from(rest[end..].starts_with(']')))
        }
        None => bare_length(rest),
    };
    let value = &rest[..length];
    let innocent =
        matches!(value, "" | "true" | "false" | "null" | "None") || value.starts_with('{') || value.starts_with("Secret(…");
    if innocent || (!equals && !quoted && kind == Kind::Secret && is_prose(value, &rest[length..])) {
        return None;
    }
    let quote = if json_key && !equals && !value.starts_with(STARS) { "\"" } else { "" };
    Some(Found { range: start..start + length, quote })
}

fn is_key(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.')
}

/// What a key's last words say: `destination.main.token`, `X-Api-Key`, `accessToken`.
fn kind_of(key: &str) -> Option<Kind> {
    let mut spaced = String::with_capacity(key.len() + 4);
    let mut lower = false;
    for c in key.chars() {
        if lower && c.is_ascii_uppercase() {
            spaced.push(' ');
        }
        lower = c.is_ascii_lowercase() || c.is_ascii_digit();
        spaced.push(if matches!(c, '_' | '-' | '.') { ' ' } else { c.to_ascii_lowercase() });
    }
    let mut words = spaced.split_ascii_whitespace().rev();
    match (words.next()?, words.next().unwrap_or_default()) {
        ("pin", "without") => None,
        ("authorization" | "cookie", _) => Some(Kind::Header),
        ("password" | "passwd" | "pwd" | "passphrase" | "token" | "secret" | "pin" | "apikey", _)
        | ("key", "api" | "access" | "private" | "secret") => Some(Kind::Secret),
        _ => None,
    }
}

/// A quote with the backslashes before it, as inside a text that is itself quoted.
fn opening_quote(text: &str) -> Option<&str> {
    let slashes = text.len() - text.trim_start_matches('\\').len();
    let quote = text[slashes..].chars().next().filter(|c| matches!(c, '"' | '\''))?;
    let triple = if quote == '"' { "\"\"\"" } else { "'''" };
    Some(if slashes == 0 && text.starts_with(triple) { &text[..3] } else { &text[..=slashes] })
}

/// What is between the quotes; to the end of the line if they are not closed.
fn quoted_value(text: &str, start: usize, quote: &str) -> Range<usize> {
    let inside = start + quote.len();
    let slashes = quote.len() - quote.trim_start_matches('\\').len();
    let escapes = quote.ends_with('"');
    let multiline = quote.len() == 3 && slashes == 0;
    let closed = text[inside..].match_indices(&quote[slashes..]).map(|(at, _)| inside + at).find(|at| {
        let before = text[inside..*at].len() - text[inside..*at].trim_end_matches('\\').len();
        // Unescaped: nothing before it but whole pairs; within a quoted text: exactly as escaped as the opening one.
        if slashes == 0 { !escapes || before.is_multiple_of(2) } else { before == slashes }
    });
    let end_of_line = inside + text[inside..].find(['\n', '\r']).unwrap_or(text.len() - inside);
    match closed {
        Some(end) if multiline || end <= end_of_line => inside..end - slashes,
        _ => inside..end_of_line,
    }
}

/// A value without quotes: up to a blank, a bracket or the next parameter.
fn bare_length(text: &str) -> usize {
    let mut chars = text.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        let next = chars.peek().map(|(_, next)| *next);
        let ends = match c {
            '&' | '"' | '\'' | '<' | '>' | ')' | ']' | '}' | '\\' => true,
            ',' | ';' => next.is_none_or(|next| next.is_whitespace() || matches!(next, '"' | '\'' | '}')),
            _ => c.is_whitespace(),
        };
        if ends {
            return at;
        }
    }
    text.len()
}

/// Whether a sentence goes on after a colon: `token: cannot be read`.
fn is_prose(value: &str, after: &str) -> bool {
    let word = value.trim_end_matches([',', ';', '.']);
    let goes_on = after.trim_start_matches([' ', '\t', ',', ';']).starts_with(char::is_alphanumeric);
    goes_on && !after.starts_with(['\n', '\r']) && word.chars().all(|c| c.is_alphabetic() && !c.is_ascii_uppercase())
}

#[cfg(test)]
mod tests;

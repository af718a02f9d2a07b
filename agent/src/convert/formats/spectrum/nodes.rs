//! Text of nested nodes in parentheses: `(KEY: text (KEY: "string (with parentheses)") …)`.
//!
//! A parenthesis opens a node only if a key and a colon follow; any other one belongs to the text around it, and so does the one that closes it. A string
//! ends with a quote before a closing parenthesis.

use crate::convert::ConvertError;

/// Deepest nesting; real files have six levels.
const DEEPEST: usize = 64;
/// Longest key.
const LONGEST_KEY: usize = 64;
/// Its text is free: it has no nodes.
const FREE_TEXT: &str = "USER";

/// A node.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Node<'a> {
    /// Its key.
    pub(super) key: &'a str,
    /// Its own text, without quotes.
    pub(super) text: String,
    /// Nodes in it.
    pub(super) nodes: Vec<Node<'a>>,
}

/// What comes next in a file.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Next<'a> {
    /// A node that is in no other.
    Node(Node<'a>),
    /// A line outside of all nodes.
    Text(&'a str),
}

/// Reads a text.
#[derive(Debug)]
pub(super) struct Nodes<'a> {
    text: &'a str,
    /// Where the reading stands.
    pub(super) at: usize,
}

impl<'a> Nodes<'a> {
    /// Reads a text from its beginning.
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    /// What comes next; none at the end.
    ///
    /// # Errors
    /// [`ConvertError::Incomplete`] if the text ends in a node, [`ConvertError::Malformed`] if it is nested too deep.
    pub(super) fn next(&mut self) -> Result<Option<Next<'a>>, ConvertError> {
        self.skip_blanks();
        if self.rest().is_empty() {
            return Ok(None);
        }
        if self.key().is_some() {
            return self.node(0).map(Next::Node).map(Some);
        }
        let rest = self.rest();
        // A node may stand behind it in the same line.
        let is_end = |(at, c): &(usize, char)| *c == '\n' || (*c == '(' && *at > 0 && key_of(&rest[*at..]).is_some());
        let length = rest.char_indices().find(is_end).map_or(rest.len(), |(at, _)| at);
        let text = &self.rest()[..length];
        self.at += length;
        Ok(Some(Next::Text(text.trim())))
    }

    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn skip_blanks(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start().len();
    }

    fn key(&self) -> Option<&'a str> {
        key_of(self.rest())
    }

    /// The node that begins here.
    fn node(&mut self, depth: usize) -> Result<Node<'a>, ConvertError> {
        let begin = self.at;
        let key = self.key().unwrap_or_default();
        if depth >= DEEPEST {
            return Err(ConvertError::Malformed {
                place: self.line(begin),
                reason: format!("nodes are nested deeper than {DEEPEST}"),
            });
        }
        self.at += self.rest().find(':').map_or(0, |colon| colon + 1);
        let mut node = Node { key: key.trim(), text: String::new(), nodes: Vec::new() };
        let is_free = node.key == FREE_TEXT;
        loop {
            self.skip_blanks();
            let rest = self.rest();
            let cut = || ConvertError::Incomplete { place: self.line(begin), reason: format!("({}: is not closed", node.key) };
            match rest.as_bytes().first() {
                None => return Err(cut()),
                Some(b')') => {
                    self.at += 1;
                    return Ok(node);
                }
                Some(b'"') if node.text.is_empty() && !is_free => {
                    let Some(length) = string_end(rest) else { return Err(cut()) };
                    node.text.push_str(&rest[1..length]);
                    self.at += length + 1;
                }
                Some(b'(') if !is_free && self.key().is_some() => {
                    let inner = self.node(depth + 1)?;
                    node.nodes.push(inner);
                }
                Some(_) => {
                    let Some(length) = text_end(rest, is_free) else { return Err(cut()) };
                    let text = rest[..length].trim();
                    if !node.text.is_empty() {
                        node.text.push(' ');
                    }
                    node.text.push_str(text);
                    self.at += length;
                }
            }
        }
    }

    /// The line of a place, for messages.
    fn line(&self, at: usize) -> String {
        let before = self.text.get(..at).unwrap_or_default();
        format!("line {}", before.bytes().filter(|&byte| byte == b'\n').count() + 1)
    }
}

/// The key of a node that begins here.
fn key_of(text: &str) -> Option<&str> {
    let text = text.strip_prefix('(')?;
    let (end, _) = text.char_indices().take(LONGEST_KEY).find(|(_, c)| !(c.is_ascii_alphanumeric() || *c == '_'))?;
    let (key, rest) = text.split_at(end);
    (!key.is_empty() && rest.trim_start_matches(' ').starts_with(':')).then_some(key)
}

/// Where a string that begins here ends: at a quote that a closing parenthesis follows.
fn string_end(text: &str) -> Option<usize> {
    let quotes = text.match_indices('"').map(|(at, _)| at).skip(1);
    let is_end = |at: &usize| text[at + 1..].trim_start().starts_with(')');
    quotes.into_iter().find(is_end)
}

/// Where a text that begins here ends: before its closing parenthesis, or before a node.
fn text_end(text: &str, is_free: bool) -> Option<usize> {
    let mut open = 0_usize;
    for (at, c) in text.char_indices() {
        match c {
            '(' if open == 0 && at > 0 && !is_free && key_of(&text[at..]).is_some() => return Some(at),
            '(' => open += 1,
            ')' if open == 0 => return Some(at),
            ')' => open -= 1,
            _ => {}
        }
    }
    None
}

impl Node<'_> {
    /// The text of the first node of one of these keys in it.
    pub(super) fn of(&self, keys: &[&str]) -> Option<&Self> {
        self.nodes.iter().find(|node| keys.contains(&node.key))
    }

    /// A text in it, unless it is blank.
    pub(super) fn text_of(&self, key: &str) -> Option<&str> {
        self.of(&[key]).map(|node| node.text.trim()).filter(|text| !text.is_empty())
    }

    /// All of it in one line.
    pub(super) fn flat(&self) -> String {
        let own = self.text.split_whitespace().filter(|part| *part != ",").collect::<Vec<_>>().join(" ");
        let inner = self.nodes.iter().map(|node| format!("{} {}", node.key, node.flat()).trim_end().to_owned());
        Some(own).filter(|own| !own.is_empty()).into_iter().chain(inner).collect::<Vec<_>>().join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<Next<'_>>, ConvertError> {
        let mut nodes = Nodes::new(text);
        std::iter::from_fn(|| nodes.next().transpose()).collect()
    }

    fn flat(text: &str) -> String {
        let all = read(text).unwrap();
        let one = |next: Next<'_>| match next {
            Next::Node(node) => format!("{}[{}]", node.key, node.flat()),
            Next::Text(text) => format!("<{text}>"),
        };
        all.into_iter().map(one).collect()
    }

    #[test]
    fn parentheses_in_texts_are_told_from_nodes() {
        for (text, expected) in [
            ("(A: x)", "A[x]"),
            ("( A: x)", "<( A: x)>"),
            ("(A: \"a (b) c)\" )(B:)", "A[a (b) c)]B[]"),
            ("(A: \"5\" drive\")", "A[5\" drive]"),
            ("(A: f(x) (B: y) g (z) )", "A[f(x) g (z), B y]"),
            ("(A:\n (B: 1) , \n (C: 2))", "A[B 1, C 2]"),
            ("(USER: Note:(see: that) \"q)", "USER[Note:(see: that) \"q]"),
            ("(P: C:\\Program Files (x86)\\a.exe)", "P[C:\\Program Files (x86)\\a.exe]"),
            ("stray (A: x) end\nnext", "<stray>A[x]<end><next>"),
            ("(A: \")\")", "A[)]"),
        ] {
            assert_eq!(flat(text), expected, "{text}");
        }
    }

    #[test]
    fn what_is_cut_is_incomplete_and_what_is_too_deep_is_refused() {
        for text in ["(A: x", "(A: (B: 1)", "(A: \"x)", "(A:", "(USER: (x)"] {
            assert!(matches!(read(text), Err(ConvertError::Incomplete { .. })), "{text}");
        }
        let deep = "(A:".repeat(10_000);
        assert!(matches!(read(&deep), Err(ConvertError::Malformed { .. })));
    }
}

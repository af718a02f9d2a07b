//! XML as equipment writes it: read as a stream, of which the wanted elements are shown one after the other as a tree, and those around them as
//! their start and their end.
//!
//! - Names are local: prefixes and namespaces differ from tool to tool and say nothing that the names do not.
//! - A file that ends before its root is closed is [`ConvertError::Incomplete`], wherever it was cut; tags that do not fit are
//!   [`ConvertError::Malformed`].
//! - Entities of one's own are not known, so none can be a bomb; nothing is nested deeper than [`DEEPEST`].
//! - Memory: one wanted element at a time, some forty bytes a node besides its names and texts.

use std::collections::HashMap;
use std::io::BufRead;
use std::ops::Range;

use quick_xml::Reader;
use quick_xml::errors::{Error, IllFormedError, SyntaxError};
use quick_xml::events::{BytesStart, Event};

use super::text::Decoded;
use super::walk::Lines;
use crate::convert::ConvertError;

/// Deepest nesting of elements. The deepest reports seen have some forty levels (TestStand's properties).
const DEEPEST: usize = 256;

/// A stream of XML.
pub(in crate::convert) struct Xml<R> {
    reader: Reader<R>,
    buffer: Vec<u8>,
    open: Path,
    /// For each open element, whether its end is told.
    entered: Vec<bool>,
    /// An empty element was entered: its end is told next.
    end_is_next: bool,
    tree: Tree,
    begun: bool,
    ended: bool,
}

/// What is wanted of an element.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::convert) enum Take {
    /// It is not shown; those in it are asked for.
    Pass,
    /// Its start, with its attributes, and its end; those in it are asked for.
    Enter,
    /// All of it, as a tree.
    Whole,
}

/// What comes next in a stream.
#[derive(Debug, Clone, Copy)]
pub(in crate::convert) enum Node<'a> {
    /// An element begins: its name and its attributes.
    Begin(Element<'a>),
    /// An element with all that is in it.
    Whole(Element<'a>),
    /// The element that was begun last and is open, ends.
    End,
}

/// Local names of the elements that are open, the root first.
#[derive(Debug, Default)]
struct Path {
    /// Those beyond `depth` are kept for their memory.
    names: Vec<String>,
    depth: usize,
}

impl Path {
    fn enter(&mut self, name: &str, place: u64) -> Result<(), ConvertError> {
        if self.depth >= DEEPEST {
            return Err(too_deep(place));
        }
        match self.names.get_mut(self.depth) {
            Some(kept) => {
                kept.clear();
                kept.push_str(name);
            }
            None => self.names.push(name.to_owned()),
        }
        self.depth += 1;
        Ok(())
    }

    fn leave(&mut self) {
        self.depth = self.depth.saturating_sub(1);
    }

    fn names(&self) -> &[String] {
        &self.names[..self.depth]
    }
}

/// One element with all that is in it.
#[derive(Debug, Default)]
pub(in crate::convert) struct Tree {
    nodes: Vec<Raw>,
    /// Names and values of attributes, each as a range of `texts`; an element's stand together.
    attributes: Vec<(u32, Range<usize>)>,
    texts: String,
    names: Names,
}

#[derive(Debug, Default)]
struct Names {
    known: Vec<String>,
    by_text: HashMap<String, u32>,
}

#[derive(Debug)]
struct Raw {
    name: u32,
    /// Its own text, put together in the order of the file.
    text: Range<usize>,
    attributes: Range<usize>,
    /// Where the element ends among the nodes: what stands between is in it.
    end: usize,
    /// Byte of the file where its start tag ends.
    place: u64,
}

/// An element of a tree.
#[derive(Debug, Clone, Copy)]
pub(in crate::convert) struct Element<'a> {
    tree: &'a Tree,
    at: usize,
}

impl<R: BufRead> Xml<R> {
    /// Begins to read; the bytes are UTF-8.
    pub(in crate::convert) fn new(bytes: R) -> Self {
        let mut reader = Reader::from_reader(bytes);
        let config = reader.config_mut();
        // As people and simple programs write it; it stays as it is.
        config.allow_dangling_amp = true;
        Self {
            reader,
            buffer: Vec::new(),
            open: Path::default(),
            entered: Vec::new(),
            end_is_next: false,
            tree: Tree::default(),
            begun: false,
            ended: false,
        }
    }

    /// True once an element was seen: without one, a file that ends is cut.
    pub(in crate::convert) fn has_begun(&self) -> bool {
        self.begun
    }

    /// The next element that is wanted by the names of those around it and its own, the root first; none at the end of the file. What is inside
    /// of one that is wanted is not asked for.
    ///
    /// # Errors
    /// [`ConvertError::Incomplete`], [`ConvertError::Malformed`] and [`ConvertError::Unreadable`], with the byte.
    pub(in crate::convert) fn next(&mut self, wanted: impl Fn(&[String]) -> bool) -> Result<Option<Element<'_>>, ConvertError> {
        let take = |path: &[String]| if wanted(path) { Take::Whole } else { Take::Pass };
        Ok(self.node(take)?.and_then(|node| if let Node::Whole(element) = node { Some(element) } else { None }))
    }

    /// The next node, as `take` wants each element by the names of those around it and its own, the root first; none at the end of the file.
    ///
    /// # Errors
    /// [`ConvertError::Incomplete`], [`ConvertError::Malformed`] and [`ConvertError::Unreadable`], with the byte.
    pub(in crate::convert) fn node(&mut self, take: impl Fn(&[String]) -> Take) -> Result<Option<Node<'_>>, ConvertError> {
        self.advance(|path, _| Some(take(path)))
    }

    /// The next node, as `take` wants each element by the names of those around it and its own, and by its attributes; none at the end of the
    /// file.
    ///
    /// # Errors
    /// [`ConvertError::Incomplete`], [`ConvertError::Malformed`] and [`ConvertError::Unreadable`], with the byte.
    pub(in crate::convert) fn node_by(
        &mut self,
        take: impl Fn(&[String], Element<'_>) -> Take,
    ) -> Result<Option<Node<'_>>, ConvertError> {
        self.advance(|path, start| start.map(|start| take(path, start)))
    }

    /// `take` is asked by the path alone, then, if it does not know, with the start of the element.
    fn advance(
        &mut self,
        take: impl Fn(&[String], Option<Element<'_>>) -> Option<Take>,
    ) -> Result<Option<Node<'_>>, ConvertError> {
        if std::mem::take(&mut self.end_is_next) {
            return Ok(Some(Node::End));
        }
        while !self.ended {
            self.buffer.clear();
            let event = self.reader.read_event_into(&mut self.buffer);
            let place = self.reader.buffer_position();
            let (start, is_empty) = match event.map_err(|error| at(place, &error))? {
                Event::Start(start) => (start, false),
                Event::Empty(start) => (start, true),
                Event::End(_) => {
                    self.open.leave();
                    if self.entered.pop() == Some(true) {
                        return Ok(Some(Node::End));
                    }
                    continue;
                }
                Event::Eof if self.open.depth > 0 => return Err(self.cut(place)),
                Event::Eof => {
                    self.ended = true;
                    continue;
                }
                _ => continue,
            };
            self.begun = true;
            self.open.enter(local(&start), place)?;
            let by_path = take(self.open.names(), None);
            if by_path != Some(Take::Pass) {
                self.tree.clear();
                self.tree.begin(&start, place)?;
            }
            let wanted = match by_path {
                Some(wanted) => wanted,
                None => take(self.open.names(), Some(Element { tree: &self.tree, at: 0 })).unwrap_or(Take::Pass),
            };
            if is_empty {
                self.open.leave();
                self.end_is_next = wanted == Take::Enter;
            } else if wanted == Take::Whole {
                self.rest_of_the_tree()?;
            } else {
                self.entered.push(wanted == Take::Enter);
            }
            match wanted {
                Take::Pass => {}
                Take::Enter => return Ok(Some(Node::Begin(Element { tree: &self.tree, at: 0 }))),
                Take::Whole => return Ok(Some(Node::Whole(Element { tree: &self.tree, at: 0 }))),
            }
        }
        Ok(None)
    }

    /// Reads what is in the element whose start tag was read last.
    fn rest_of_the_tree(&mut self) -> Result<(), ConvertError> {
        let mut inside = vec![0];
        // Texts of an element that has others in it come in parts.
        let mut parts: Vec<String> = vec![String::new()];
        while let Some(&node) = inside.last() {
            self.buffer.clear();
            let event = self.reader.read_event_into(&mut self.buffer);
            let place = self.reader.buffer_position();
            match event.map_err(|error| at(place, &error))? {
                Event::Start(start) => {
                    if inside.len() + self.open.depth > DEEPEST {
                        return Err(too_deep(place));
                    }
                    inside.push(self.tree.begin(&start, place)?);
                    parts.push(String::new());
                }
                Event::Empty(start) => {
                    let leaf = self.tree.begin(&start, place)?;
                    self.tree.nodes[leaf].end = leaf + 1;
                }
                Event::End(_) => {
                    let text = parts.pop().unwrap_or_default();
                    let begin = self.tree.texts.len();
                    self.tree.texts.push_str(&text);
                    self.tree.nodes[node].text = begin..self.tree.texts.len();
                    self.tree.nodes[node].end = self.tree.nodes.len();
                    inside.pop();
                }
                Event::Text(text) => push(&mut parts, &text.xml10_content()),
                Event::CData(text) => push(&mut parts, &text.xml10_content()),
                Event::GeneralRef(name) => {
                    let meant = match name.resolve_char_ref() {
                        Ok(Some(c)) => c.to_string(),
                        Ok(None) => predefined(&name).ok_or_else(|| unknown_entity(place, &name))?.to_owned(),
                        Err(error) => return Err(at(place, &error)),
                    };
                    push(&mut parts, &meant);
                }
                Event::Eof => return Err(self.cut(place)),
                _ => {}
            }
        }
        self.open.leave();
        Ok(())
    }

    fn cut(&self, place: u64) -> ConvertError {
        let name = self.open.names().last().map_or("", String::as_str);
        ConvertError::Incomplete { place: format!("byte {place}"), reason: format!("<{name}> is not closed") }
    }
}

impl<R: BufRead> Xml<Decoded<R>> {
    /// What a person should know of its encoding, as far as it was read.
    pub(in crate::convert) fn note(&self) -> Option<String> {
        self.reader.get_ref().note()
    }
}

fn push(parts: &mut [String], text: &str) {
    if let Some(part) = parts.last_mut() {
        part.push_str(text);
    }
}

fn local<'a>(start: &'a BytesStart<'_>) -> &'a str {
    let name = start.name().into_inner();
    name.rsplit_once(':').map_or(name, |(_, local)| local)
}

fn predefined(name: &str) -> Option<&'static str> {
    quick_xml::escape::resolve_predefined_entity(name)
}

fn too_deep(place: u64) -> ConvertError {
    ConvertError::Malformed { place: format!("byte {place}"), reason: format!("elements are nested deeper than {DEEPEST}") }
}

fn unknown_entity(place: u64, name: &str) -> ConvertError {
    let name = waybill_shared::text::printable(name, 40);
    ConvertError::Malformed { place: format!("byte {place}"), reason: format!("the entity &{name}; is not known") }
}

/// What the reader says, as what it means for a file that may still be written.
fn at(place: u64, error: &Error) -> ConvertError {
    if let Error::Io(error) = error {
        return ConvertError::Unreadable { reason: error.to_string() };
    }
    let (place, reason) = (format!("byte {place}"), format!("not valid XML: {error}"));
    if is_cut(error) { ConvertError::Incomplete { place, reason } } else { ConvertError::Malformed { place, reason } }
}

/// True if the input ended before what it began.
fn is_cut(error: &Error) -> bool {
    matches!(
        error,
        Error::Syntax(
            SyntaxError::InvalidBangMarkup
                | SyntaxError::UnclosedPI
                | SyntaxError::UnclosedXmlDecl
                | SyntaxError::UnclosedComment
                | SyntaxError::UnclosedDoctype
                | SyntaxError::UnclosedCData
                | SyntaxError::UnclosedTag
                | SyntaxError::UnclosedSingleQuotedAttributeValue
                | SyntaxError::UnclosedDoubleQuotedAttributeValue,
        ) | Error::IllFormed(IllFormedError::MissingEndTag(_) | IllFormedError::UnclosedReference)
    )
}

impl Tree {
    fn clear(&mut self) {
        self.nodes.clear();
        self.attributes.clear();
        self.texts.clear();
    }

    /// A new element; it ends where the caller says.
    fn begin(&mut self, start: &BytesStart<'_>, place: u64) -> Result<usize, ConvertError> {
        let first = self.attributes.len();
        for attribute in start.attributes() {
            let attribute = attribute.map_err(|error| at(place, &error.into()))?;
            let name = attribute.key.into_inner();
            if name == "xmlns" || name.starts_with("xmlns:") {
                continue;
            }
            let value = attribute.normalized_value(quick_xml::XmlVersion::Implicit1_0).map_err(|error| {
                let reason = format!("the attribute {} cannot be read: {error}", waybill_shared::text::printable(name, 40));
                ConvertError::Malformed { place: format!("byte {place}"), reason }
            })?;
            let begin = self.texts.len();
            self.texts.push_str(&value);
            let name = self.names.number(name.rsplit_once(':').map_or(name, |(_, local)| local));
            self.attributes.push((name, begin..self.texts.len()));
        }
        let name = self.names.number(local(start));
        self.nodes.push(Raw { name, text: 0..0, attributes: first..self.attributes.len(), end: self.nodes.len() + 1, place });
        Ok(self.nodes.len() - 1)
    }
}

impl Names {
    fn number(&mut self, name: &str) -> u32 {
        if let Some(&number) = self.by_text.get(name) {
            return number;
        }
        let number = u32::try_from(self.known.len()).unwrap_or(u32::MAX);
        self.known.push(name.to_owned());
        self.by_text.insert(name.to_owned(), number);
        number
    }
}

impl<'a> Element<'a> {
    fn raw(self) -> &'a Raw {
        &self.tree.nodes[self.at]
    }

    /// Its local name.
    pub(in crate::convert) fn name(self) -> &'a str {
        &self.tree.names.known[self.raw().name as usize]
    }

    /// Its own text, without what is in its children, as it stands there.
    pub(in crate::convert) fn text(self) -> &'a str {
        &self.tree.texts[self.raw().text.clone()]
    }

    /// An attribute by its local name.
    pub(in crate::convert) fn attribute(self, name: &str) -> Option<&'a str> {
        self.attributes().find(|(known, _)| *known == name).map(|(_, value)| value)
    }

    /// All attributes; declarations of namespaces are none.
    pub(in crate::convert) fn attributes(self) -> impl Iterator<Item = (&'a str, &'a str)> {
        let tree = self.tree;
        let of =
            move |(name, value): &'a (u32, Range<usize>)| (tree.names.known[*name as usize].as_str(), &tree.texts[value.clone()]);
        tree.attributes[self.raw().attributes.clone()].iter().map(of)
    }

    /// The elements in it, in their order.
    pub(in crate::convert) fn children(self) -> impl Iterator<Item = Element<'a>> {
        let (tree, end) = (self.tree, self.raw().end);
        let mut at = self.at + 1;
        std::iter::from_fn(move || {
            let child = (at < end).then_some(Element { tree, at })?;
            at = child.raw().end;
            Some(child)
        })
    }

    /// Adds the element with all that is in it to a hash: nothing else reads the same.
    pub(in crate::convert) fn hash(self, hasher: &mut blake3::Hasher) {
        let mut add = |text: &str| {
            hasher.update(&(text.len() as u64).to_le_bytes()).update(text.as_bytes());
        };
        for at in self.at..self.raw().end {
            let element = Element { tree: self.tree, at };
            add(element.name());
            for (name, value) in element.attributes() {
                add(name);
                add(value);
            }
            add(&format!("{} {}", element.raw().end - at, element.text()));
        }
    }

    /// The byte of the text at which its start tag ends.
    pub(in crate::convert) fn byte(self) -> u64 {
        self.raw().place
    }

    /// All that it says, as lines: for an element that nobody knows.
    pub(in crate::convert) fn say(self, lines: &mut Lines) {
        let name = self.name();
        for (key, value) in self.attributes().filter(|(_, value)| !value.trim().is_empty()) {
            lines.add(&format!("{name} {key}"), value);
        }
        if !self.text().trim().is_empty() {
            lines.add(name, self.text().trim());
        }
        self.children().for_each(|child| child.say(lines));
    }

    /// Where it stands, for messages.
    pub(in crate::convert) fn place(self) -> String {
        format!("<{}> at byte {}", self.name(), self.raw().place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPORTS: &str = r#"<?xml version="1.0"?><?xml:stylesheet href="x"?><!DOCTYPE r>
        <r:Reports xmlns:r="urn:x"><Other/><r:Report SN="a&amp;b" x:y='1'>t1<Step n="1"><V>4,7 &#937;</V><E/></Step><![CDATA[ <t2> ]]></r:Report>
        <Report/></r:Reports>"#;

    fn wanted(path: &[String]) -> bool {
        path == ["Reports", "Report"]
    }

    #[test]
    fn wanted_elements_come_one_after_the_other_as_trees() {
        let mut xml = Xml::new(REPORTS.as_bytes());
        let report = xml.next(wanted).unwrap().unwrap();
        assert_eq!((report.name(), report.attribute("SN"), report.attribute("y")), ("Report", Some("a&b"), Some("1")));
        assert_eq!(report.text(), "t1 <t2> ");
        let step = report.children().next().unwrap();
        assert_eq!((step.children().next().unwrap().text(), step.children().count()), ("4,7 Ω", 2));
        let empty = xml.next(wanted).unwrap().unwrap();
        assert_eq!((empty.name(), empty.children().count(), empty.attributes().count()), ("Report", 0, 0));
        let mut declaring = Xml::new("<a xmlns='u' xmlns:x='v' x:y='1'/>".as_bytes());
        let attributes: Vec<_> = declaring.next(|_| true).unwrap().unwrap().attributes().collect();
        assert_eq!(attributes, [("y", "1")]);
        assert!(xml.next(wanted).unwrap().is_none() && xml.next(wanted).unwrap().is_none());
    }

    #[test]
    fn those_around_are_told_by_their_start_and_their_end() {
        let text = "<suites><suite n='1'><case/><suite n='2'/></suite><other><case>x</case></other></suites>";
        let mut xml = Xml::new(text.as_bytes());
        let take = |path: &[String]| match path.last().map(String::as_str) {
            Some("suite") => Take::Enter,
            Some("case") => Take::Whole,
            _ => Take::Pass,
        };
        let mut told = Vec::new();
        while let Some(node) = xml.node(take).unwrap() {
            told.push(match node {
                Node::Begin(suite) => format!("begin {}", suite.attribute("n").unwrap()),
                Node::Whole(case) => format!("case {:?}", case.text()),
                Node::End => "end".to_owned(),
            });
        }
        assert_eq!(told, ["begin 1", "case \"\"", "begin 2", "end", "end", "case \"x\""]);
    }

    #[test]
    fn what_is_taken_may_depend_on_attributes_and_equal_hashes_are_equal_elements() {
        let text = "<r><p n='a'><p n='b'>x</p></p><p n='c'><p n='b'>x</p></p><p n='c'/><p n='c'><p n='b' m=''>x</p></p></r>";
        let mut xml = Xml::new(text.as_bytes());
        assert!(!xml.has_begun());
        let take = |path: &[String], start: Element<'_>| match (path.len(), start.attribute("n")) {
            (1, _) => Take::Pass,
            (_, Some("a")) => Take::Enter,
            _ => Take::Whole,
        };
        let mut told = Vec::new();
        while let Some(node) = xml.node_by(take).unwrap() {
            let mut hash = blake3::Hasher::new();
            told.push(match node {
                Node::Begin(p) => p.attribute("n").unwrap().to_owned(),
                Node::Whole(p) => {
                    p.children().next().unwrap_or(p).hash(&mut hash);
                    hash.finalize().to_hex().to_string()
                }
                Node::End => "end".to_owned(),
            });
        }
        assert!(xml.has_begun());
        let [a, _b, end, c, empty, other] = told.as_slice() else { panic!("{told:?}") };
        assert_eq!((a.as_str(), end.as_str()), ("a", "end"));
        assert!(c != empty && c != other && empty != other, "{told:?}");
    }

    fn read(text: &str) -> Result<usize, ConvertError> {
        let mut xml = Xml::new(text.as_bytes());
        let mut count = 0;
        while xml.next(|path| path.len() == 2)?.is_some() {
            count += 1;
        }
        Ok(count)
    }

    #[test]
    fn wherever_it_is_cut_it_is_incomplete() {
        let whole = REPORTS.trim_end();
        let root = whole.find("<r:Reports").unwrap() + 1;
        for cut in (root..whole.len()).filter(|cut| whole.is_char_boundary(*cut)) {
            assert!(matches!(read(&whole[..cut]), Err(ConvertError::Incomplete { .. })), "{cut}: {:?}", &whole[..cut]);
        }
        assert_eq!(read(whole).unwrap(), 3);
    }

    #[test]
    fn what_does_not_fit_is_malformed_and_a_bomb_is_none() {
        for text in [
            "<a><b></a></b>",
            "<a><b x=1/></a>",
            "<a><b>&lol9;</b></a>",
            "<!DOCTYPE a [<!ENTITY l \"lol\"><!ENTITY l2 \"&l;&l;\">]><a><b>&l2;</b></a>",
            "</a>",
        ] {
            assert!(matches!(read(text), Err(ConvertError::Malformed { .. })), "{text}: {:?}", read(text));
        }
        let deep = "<a>".repeat(10_000);
        assert!(matches!(read(&deep), Err(ConvertError::Malformed { .. })));
        assert_eq!(read("<a><b>AT&T</b></a>").unwrap(), 1, "as people write it");
    }
}

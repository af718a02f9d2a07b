//! Segments of a file: a lead-in, what is said of objects, and raw values. A segment says only what is new; the rest is as in the one before.
//!
//! Nothing is sized by a number that the file claims: metadata is read as far as it goes, values in blocks, and of a long channel only what a
//! chart takes is kept.

use std::collections::HashMap;
use std::io::{self, BufRead, Read as _};
use std::rc::Rc;

use super::values::{Properties, Scaling, Type, Value};
use crate::convert::ConvertError;
use crate::convert::ground::curve::Points;
use crate::convert::input::unreadable;

/// Most bytes of what one segment says, of the texts of a channel, and most texts, channels and bytes of a block of values.
const MOST_METADATA: u64 = 64 * 1024 * 1024;
const MOST_TEXT: u64 = 1024 * 1024;
const MOST_TEXTS: usize = 10_000;
const MOST_OBJECTS: usize = 20_000;
const MOST_BUFFERS: usize = 1000;
const BLOCK: usize = 64 * 1024;

/// Bits of the table of contents.
const METADATA: u32 = 1 << 1;
const NEW_LIST: u32 = 1 << 2;
const RAW: u32 = 1 << 3;
const INTERLEAVED: u32 = 1 << 5;
const BIG_ENDIAN: u32 = 1 << 6;

/// A file, as it is told by all segments.
#[derive(Default)]
pub(super) struct Content {
    pub(super) objects: Vec<Object>,
    by_path: HashMap<String, usize>,
    /// The objects that have raw values, in their order.
    list: Vec<usize>,
    /// How their values lie, until a segment says more.
    layouts: Option<Rc<[(usize, Layout)]>>,
    /// The last segment was not finished.
    pub(super) is_unfinished: bool,
    pub(super) notes: Vec<String>,
}

/// The file, a group or a channel.
pub(super) struct Object {
    /// Nothing, a group, or a group and a channel.
    pub(super) path: Vec<String>,
    pub(super) properties: Properties,
    layout: Option<Layout>,
    /// It is in the list of those that have values, and has some in this segment.
    is_listed: bool,
    has_values: bool,
    /// Numbers: the number of the row, and the value.
    pub(super) points: Points<(usize, Value)>,
    /// Texts and times.
    pub(super) texts: Vec<String>,
    pub(super) count: usize,
    scaling: Option<Scaling>,
    /// Why its values are not known.
    pub(super) unknown: Option<String>,
}

/// How raw values of a channel lie in a segment.
#[derive(Debug, Clone, PartialEq)]
struct Layout {
    kind: Type,
    count: u64,
    /// Texts: bytes in all.
    bytes: u64,
    daqmx: Option<Daqmx>,
}

/// Where a value stands in the rows of a buffer.
#[derive(Debug, Clone, PartialEq)]
struct Daqmx {
    buffer: usize,
    offset: usize,
    /// One bit of a byte.
    bit: Option<u32>,
    widths: Vec<u32>,
}

struct Stream<'a> {
    stream: Box<dyn BufRead + 'a>,
    at: u64,
}

impl Content {
    pub(super) fn read(stream: Box<dyn BufRead + '_>) -> Result<Self, ConvertError> {
        let mut stream = Stream { stream, at: 0 };
        let mut content = Self::default();
        while content.segment(&mut stream)? {}
        for object in &mut content.objects {
            object.count = object.count.max(object.points.count());
        }
        Ok(content)
    }

    /// Reads a segment; false at the end of the file.
    fn segment(&mut self, stream: &mut Stream<'_>) -> Result<bool, ConvertError> {
        let begin = stream.at;
        let mut lead = [0; 28];
        match stream.some(&mut lead)? {
            0 => return Ok(false),
            28 => {}
            _ => return Err(cut(begin)),
        }
        if !lead.starts_with(b"TDSm") {
            let what = if lead.starts_with(b"TDSh") {
                "it is an index file (.tdms_index), which has no values"
            } else {
                "no segment begins here"
            };
            return Err(malformed(begin, what));
        }
        let contents = u32::from_le_bytes([lead[4], lead[5], lead[6], lead[7]]);
        let is_big = contents & BIG_ENDIAN != 0;
        let mut rest = Metadata { rest: &lead[8..], is_big, at: begin };
        let (_version, next, raw) = (rest.u4()?, rest.u8()?, rest.u8()?);
        let is_open = next == u64::MAX;
        if is_open && raw > MOST_METADATA {
            // Not even what it says was finished.
            self.is_unfinished = true;
            return Ok(false);
        }
        if !is_open && (next < raw || next.checked_add(begin).is_none()) {
            return Err(malformed(begin, "the lengths of the segment contradict each other"));
        }
        if contents & METADATA != 0 {
            if raw > MOST_METADATA {
                return Err(malformed(begin, "what the segment says of its objects is too long"));
            }
            let mut bytes = Vec::new();
            stream.take(raw, &mut bytes)?;
            self.metadata(Metadata { rest: &bytes, is_big, at: begin }, contents & NEW_LIST != 0)?;
        } else {
            stream.skip(raw)?;
        }
        let length = if is_open { u64::MAX } else { next - raw };
        self.is_unfinished |= is_open;
        if contents & RAW != 0 {
            let left = self.values(stream, length, contents & INTERLEAVED != 0, is_big)?;
            if !is_open {
                stream.skip(left)?;
            }
        } else if !is_open {
            stream.skip(length)?;
        }
        Ok(!is_open)
    }

    fn metadata(&mut self, mut rest: Metadata<'_>, is_new_list: bool) -> Result<(), ConvertError> {
        if is_new_list {
            for at in self.list.drain(..) {
                if let Some(object) = self.objects.get_mut(at) {
                    (object.is_listed, object.has_values) = (false, false);
                }
            }
        }
        self.layouts = None;
        for _ in 0..rest.u4()? {
            let path = rest.text()?;
            let at = self.object(&path, rest.at)?;
            let before = self.objects.get(at).and_then(|object| object.layout.clone());
            let layout = match rest.u4()? {
                u32::MAX => None,
                0 => Some(before.ok_or_else(|| malformed(rest.at, "a channel refers to values that were never described"))?),
                kind @ (0x1269 | 0x126a) => Some(rest.daqmx(kind == 0x126a)?),
                _ => Some(rest.layout()?),
            };
            let Some(object) = self.objects.get_mut(at) else { continue };
            object.has_values = layout.is_some();
            if layout.is_some() && !object.is_listed {
                object.is_listed = true;
                self.list.push(at);
            }
            object.layout = layout.or(object.layout.take());
            let mut is_scaled = false;
            for _ in 0..rest.u4()? {
                let name = rest.text()?;
                let value = rest.value()?;
                is_scaled |= name.starts_with("NI_");
                object.properties.set(name, value);
            }
            if !is_scaled {
                continue;
            }
            match Scaling::of(&object.properties) {
                Ok(scaling) => object.scaling = scaling,
                Err(why) => object.unknown = Some(why),
            }
        }
        Ok(())
    }

    fn object(&mut self, path: &str, at: u64) -> Result<usize, ConvertError> {
        if let Some(&known) = self.by_path.get(path) {
            return Ok(known);
        }
        if self.objects.len() >= MOST_OBJECTS {
            return Err(malformed(at, "it has more channels than can be kept"));
        }
        self.by_path.insert(path.to_owned(), self.objects.len());
        self.objects.push(Object {
            path: components(path),
            properties: Properties::default(),
            layout: None,
            is_listed: false,
            has_values: false,
            points: Points::default(),
            texts: Vec::new(),
            count: 0,
            scaling: None,
            unknown: None,
        });
        Ok(self.objects.len() - 1)
    }

    /// Reads the raw values of a segment, chunk by chunk; answers how many bytes of it are left.
    fn values(&mut self, stream: &mut Stream<'_>, length: u64, is_interleaved: bool, is_big: bool) -> Result<u64, ConvertError> {
        if length == 0 {
            return Ok(0);
        }
        let layouts = match &self.layouts {
            Some(layouts) => Rc::clone(layouts),
            None => {
                let of = |at: &usize| {
                    let object = self.objects.get(*at).filter(|object| object.has_values)?;
                    Some((*at, object.layout.clone()?))
                };
                self.layouts.insert(self.list.iter().filter_map(of).collect()).clone()
            }
        };
        let is_daqmx = layouts.iter().any(|(_, layout)| layout.daqmx.is_some());
        let mut left = length;
        while left > 0 && !layouts.is_empty() {
            let before = left;
            let is_whole = if is_daqmx {
                self.buffers(stream, &layouts, &mut left, is_big)?
            } else if is_interleaved {
                self.rows(stream, &layouts, &mut left, is_big)?
            } else {
                self.channels(stream, &layouts, &mut left, is_big)?
            };
            if !is_whole || left == before {
                break;
            }
        }
        Ok(left)
    }

    /// A chunk: the values of each channel, one channel after the other. False if it ends before.
    fn channels(
        &mut self,
        stream: &mut Stream<'_>,
        layouts: &[(usize, Layout)],
        left: &mut u64,
        is_big: bool,
    ) -> Result<bool, ConvertError> {
        for (at, layout) in layouts {
            let Some(object) = self.objects.get_mut(*at) else { continue };
            if layout.kind == Type::Text {
                if layout.bytes > *left {
                    return Ok(false);
                }
                let kept = layout.bytes.min(MOST_TEXT);
                let mut bytes = Vec::new();
                if !stream.rows_of(1, kept, left, &mut |block| bytes.extend_from_slice(block))? {
                    return Ok(false);
                }
                stream.skip(layout.bytes - kept)?;
                *left -= layout.bytes - kept;
                object.take_texts(&bytes, layout.count, is_big);
                continue;
            }
            let size = layout.kind.size();
            let is_whole =
                stream.rows_of(size, layout.count, left, &mut |bytes| object.take(layout.kind.value(bytes, is_big)))?;
            if !is_whole {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// A chunk of rows with one value of each channel.
    fn rows(
        &mut self,
        stream: &mut Stream<'_>,
        layouts: &[(usize, Layout)],
        left: &mut u64,
        is_big: bool,
    ) -> Result<bool, ConvertError> {
        let size = layouts.iter().map(|(_, layout)| layout.kind.size()).sum();
        let count = layouts.iter().map(|(_, layout)| layout.count).max().unwrap_or(0);
        if layouts.iter().any(|(_, layout)| layout.kind == Type::Text) {
            return Err(malformed(stream.at, "texts cannot be interleaved"));
        }
        let objects = &mut self.objects;
        stream.rows_of(size, count, left, &mut |row| {
            let mut rest = row;
            for (at, layout) in layouts {
                let Some((bytes, behind)) = rest.split_at_checked(layout.kind.size()) else { return };
                rest = behind;
                if let Some(object) = objects.get_mut(*at) {
                    object.take(layout.kind.value(bytes, is_big));
                }
            }
        })
    }

    /// A chunk of DAQmx buffers: one after the other, each of rows with values of several channels.
    fn buffers(
        &mut self,
        stream: &mut Stream<'_>,
        layouts: &[(usize, Layout)],
        left: &mut u64,
        is_big: bool,
    ) -> Result<bool, ConvertError> {
        let Some(widths) = layouts.iter().find_map(|(_, layout)| layout.daqmx.as_ref()).map(|daqmx| daqmx.widths.clone()) else {
            return Ok(false);
        };
        let objects = &mut self.objects;
        for (buffer, width) in widths.into_iter().enumerate() {
            let of_buffer: Vec<_> = layouts
                .iter()
                .filter_map(|(at, layout)| Some((*at, layout, layout.daqmx.as_ref()?)))
                .filter(|(_, _, daqmx)| daqmx.buffer == buffer)
                .collect();
            let count = of_buffer.iter().map(|(_, layout, _)| layout.count).max().unwrap_or(0);
            let is_whole = stream.rows_of(width as usize, count, left, &mut |row| {
                for (at, layout, daqmx) in &of_buffer {
                    let bytes = row.get(daqmx.offset..).and_then(|rest| rest.get(..layout.kind.size()));
                    let value = bytes.and_then(|bytes| match daqmx.bit {
                        Some(bit) => Some(Value::Bool(bytes.first()? >> bit & 1 == 1)),
                        None => layout.kind.value(bytes, is_big),
                    });
                    if let Some(object) = objects.get_mut(*at) {
                        object.take(value);
                    }
                }
            })?;
            if !is_whole {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

impl Object {
    fn take(&mut self, value: Option<Value>) {
        self.count += 1;
        let Some(value) = value else { return };
        match value.as_f64() {
            Some(number) => {
                let (y, value) = match &self.scaling {
                    Some(scaling) => {
                        let scaled = scaling.apply(number);
                        (scaled, Value::Double(scaled))
                    }
                    None => (number, value),
                };
                self.points.push(y, (self.count - 1, value));
            }
            None if self.texts.len() < MOST_TEXTS => self.texts.push(value.text()),
            None => {}
        }
    }

    /// Texts: where each ends, then all of them.
    fn take_texts(&mut self, bytes: &[u8], count: u64, is_big: bool) {
        let count = usize::try_from(count).unwrap_or(usize::MAX).min(bytes.len() / 4);
        let (ends, texts) = bytes.split_at(count * 4);
        let mut from = 0;
        for end in ends.chunks_exact(4) {
            let end = Type::U32.value(end, is_big).and_then(|end| end.as_f64()).map_or(from, |end| end as usize);
            let text = texts.get(from..end).unwrap_or_default();
            from = end;
            self.take(Some(Value::Text(String::from_utf8_lossy(text).into_owned())));
        }
    }
}

/// `/'group'/'channel'`: a quote within is written twice.
fn components(path: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = path;
    while let Some((_, after)) = rest.split_once('\'') {
        let mut name = String::new();
        let mut chars = after.char_indices();
        let mut end = after.len();
        while let Some((at, c)) = chars.next() {
            if c == '\'' {
                if after.get(at + 1..).is_some_and(|next| next.starts_with('\'')) {
                    chars.next();
                } else {
                    end = at + 1;
                    break;
                }
            }
            name.push(c);
        }
        found.push(name);
        rest = after.get(end..).unwrap_or_default();
    }
    found
}

fn malformed(at: u64, reason: &str) -> ConvertError {
    ConvertError::Malformed { place: format!("the segment at byte {at}"), reason: reason.to_owned() }
}

fn cut(at: u64) -> ConvertError {
    ConvertError::Incomplete { place: format!("byte {at}"), reason: "the segment that begins there is cut".to_owned() }
}

impl Stream<'_> {
    /// Fills as much of a buffer as there is.
    fn some(&mut self, buffer: &mut [u8]) -> Result<usize, ConvertError> {
        let mut filled = 0;
        while let Some(free) = buffer.get_mut(filled..).filter(|free| !free.is_empty()) {
            match self.stream.read(free) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(unreadable(error)),
            }
        }
        self.at += filled as u64;
        Ok(filled)
    }

    fn take(&mut self, count: u64, into: &mut Vec<u8>) -> Result<(), ConvertError> {
        let read = (&mut self.stream).take(count).read_to_end(into).map_err(unreadable)? as u64;
        self.at += read;
        if read < count { Err(cut(self.at)) } else { Ok(()) }
    }

    fn skip(&mut self, count: u64) -> Result<(), ConvertError> {
        let skipped = io::copy(&mut (&mut self.stream).take(count), &mut io::sink()).map_err(unreadable)?;
        self.at += skipped;
        if skipped < count { Err(cut(self.at)) } else { Ok(()) }
    }

    /// Shows so many rows of a size, as far as there are `left` bytes; false if there are not. A file that ends before the bytes that its segment
    /// has is cut; one whose segment is not finished (all bytes are left) ends where it ends.
    fn rows_of(&mut self, size: usize, count: u64, left: &mut u64, each: &mut dyn FnMut(&[u8])) -> Result<bool, ConvertError> {
        if size == 0 || count == 0 {
            return Ok(true);
        }
        let wide = size as u64;
        let rows = count.min(*left / wide);
        let is_open = *left > u64::MAX / 2;
        let at_once = usize::try_from(rows).unwrap_or(usize::MAX).min((BLOCK / size).max(1));
        let mut block = vec![0; at_once * size];
        let mut remaining = rows;
        while remaining > 0 {
            let bytes = remaining.saturating_mul(wide).min(block.len() as u64) as usize;
            let found = self.some(block.get_mut(..bytes).unwrap_or_default())?;
            block.get(..found).unwrap_or_default().chunks_exact(size).for_each(&mut *each);
            *left -= found as u64;
            if found < bytes {
                return if is_open { Ok(false) } else { Err(cut(self.at)) };
            }
            remaining -= bytes as u64 / wide;
        }
        Ok(rows == count)
    }
}

/// What a segment says of its objects.
struct Metadata<'a> {
    rest: &'a [u8],
    is_big: bool,
    /// Where its segment begins.
    at: u64,
}

impl<'a> Metadata<'a> {
    fn bytes(&mut self, count: usize) -> Result<&'a [u8], ConvertError> {
        let Some((bytes, rest)) = self.rest.split_at_checked(count) else {
            return Err(malformed(self.at, "what it says of its objects is longer than the place for it"));
        };
        self.rest = rest;
        Ok(bytes)
    }

    fn u4(&mut self) -> Result<u32, ConvertError> {
        let bytes = self.bytes(4)?.try_into().unwrap_or_default();
        Ok(if self.is_big { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) })
    }

    fn u8(&mut self) -> Result<u64, ConvertError> {
        let bytes = self.bytes(8)?.try_into().unwrap_or_default();
        Ok(if self.is_big { u64::from_be_bytes(bytes) } else { u64::from_le_bytes(bytes) })
    }

    fn text(&mut self) -> Result<String, ConvertError> {
        let length = self.u4()? as usize;
        Ok(String::from_utf8_lossy(self.bytes(length)?).into_owned())
    }

    fn value(&mut self) -> Result<Value, ConvertError> {
        let code = self.u4()?;
        let kind = Type::of(code).ok_or_else(|| malformed(self.at, &format!("a property of the unknown type {code}")))?;
        let bytes = match kind {
            Type::Text => return self.text().map(Value::Text),
            other => self.bytes(other.size())?,
        };
        Ok(kind.value(bytes, self.is_big).unwrap_or_else(|| Value::Text("no time".to_owned())))
    }

    fn layout(&mut self) -> Result<Layout, ConvertError> {
        let (code, dimensions, count) = (self.u4()?, self.u4()?, self.u8()?);
        let kind = Type::of(code).filter(|_| dimensions == 1);
        let kind = kind.ok_or_else(|| malformed(self.at, &format!("a channel of the unknown type {code}")))?;
        let bytes = if kind == Type::Text { self.u8()? } else { 0 };
        Ok(Layout { kind, count, bytes, daqmx: None })
    }

    /// A channel of DAQmx: scalers, then the widths of the buffers. The first scaler is that of its values.
    fn daqmx(&mut self, is_line: bool) -> Result<Layout, ConvertError> {
        let (_type, _dimensions, count) = (self.u4()?, self.u4()?, self.u8()?);
        let mut first = None;
        for _ in 0..self.u4()? {
            let (code, buffer, offset) = (self.u4()?, self.u4()? as usize, self.u4()?);
            let _format = self.bytes(if is_line { 1 } else { 4 })?;
            let _scale = self.u4()?;
            let kind =
                Type::of_daqmx(code).ok_or_else(|| malformed(self.at, &format!("a DAQmx channel of the unknown type {code}")))?;
            // A line's offset counts bits.
            let (offset, bit) = if is_line { (offset / 8, Some(offset % 8)) } else { (offset, None) };
            let kind = if is_line { Type::U8 } else { kind };
            first = first.or(Some((kind, buffer, offset as usize, bit)));
        }
        let count_of_widths = self.u4()? as usize;
        if count_of_widths > MOST_BUFFERS {
            return Err(malformed(self.at, "it has more DAQmx buffers than can be kept"));
        }
        let widths = (0..count_of_widths).map(|_| self.u4()).collect::<Result<Vec<_>, _>>()?;
        if widths.iter().any(|&width| width as usize > BLOCK) {
            return Err(malformed(self.at, "a DAQmx buffer has rows that are too wide"));
        }
        let (kind, buffer, offset, bit) = first.ok_or_else(|| malformed(self.at, "a DAQmx channel without a scaler"))?;
        Ok(Layout { kind, count, bytes: 0, daqmx: Some(Daqmx { buffer, offset, bit, widths }) })
    }
}

//! A file as a stream of records, packed by gzip or bzip2 or not at all.
//!
//! A record is its length (two bytes, without these four), type and subtype, and so many bytes: at most 64 KiB and 4, which is all that is in memory,
//! however far the file unpacks. The first record, FAR, tells the byte order by its own length.

use std::io::{self, BufRead, Read};

use bzip2::bufread::BzDecoder;
use flate2::bufread::GzDecoder;

use super::fields::Order;
use crate::convert::ConvertError;
use crate::convert::input::unreadable;

/// Bytes that are unpacked at once: a few of the longest records.
const BLOCK: usize = 256 * 1024;
const HEADER: usize = 4;

/// One record.
#[derive(Debug, Clone, Copy)]
pub(super) struct Record<'a> {
    /// REC_TYP and REC_SUB.
    pub(super) kind: (u8, u8),
    /// What it holds.
    pub(super) data: &'a [u8],
    /// Byte of the unpacked file at which it begins.
    pub(super) at: u64,
}

/// The records of a file.
pub(super) struct Records<R> {
    stream: Unpacked<R>,
    buffer: Vec<u8>,
    /// What of the buffer is read and not yet taken.
    next: usize,
    end: usize,
    /// Byte of the unpacked file at which the buffer begins.
    base: u64,
    order: Order,
}

impl<R: BufRead> Records<R> {
    /// Opens a file.
    pub(super) fn new(mut stream: R) -> Result<Self, ConvertError> {
        let head = stream.fill_buf().map_err(unreadable)?;
        let stream = match Packing::of(head) {
            Packing::None => Unpacked::Plain(stream),
            Packing::Gzip => Unpacked::Gzip(Box::new(GzDecoder::new(stream))),
            Packing::Bzip2 => Unpacked::Bzip2(BzDecoder::new(stream)),
        };
        let mut records = Self { stream, buffer: vec![0; BLOCK], next: 0, end: 0, base: 0, order: Order::Little };
        records.order = records.byte_order()?;
        Ok(records)
    }

    /// The byte order of the file.
    pub(super) fn order(&self) -> Order {
        self.order
    }

    /// The next record; none at the end of the file.
    pub(super) fn next(&mut self) -> Result<Option<Record<'_>>, ConvertError> {
        let available = self.fill(HEADER)?;
        let at = self.base + self.next as u64;
        let header = self.buffer.get(self.next..self.next + HEADER.min(available)).unwrap_or_default();
        let &[a, b, kind, sub] = header else {
            return if available == 0 { Ok(None) } else { Err(ends_within(at)) };
        };
        let length = usize::from(match self.order {
            Order::Big => u16::from_be_bytes([a, b]),
            Order::Little => u16::from_le_bytes([a, b]),
        });
        if self.fill(HEADER + length)? < HEADER + length {
            return Err(ends_within(at));
        }
        let begin = self.next + HEADER;
        self.next = begin + length;
        let data = self.buffer.get(begin..begin + length).unwrap_or_default();
        Ok(Some(Record { kind: (kind, sub), data, at }))
    }

    /// The first record, FAR, holds two bytes: their number shows the order.
    fn byte_order(&mut self) -> Result<Order, ConvertError> {
        let malformed = |reason: String| ConvertError::Malformed { place: "byte 0".to_owned(), reason };
        let available = self.fill(6)?;
        let head = self.buffer.get(..available.min(6)).unwrap_or_default();
        let order = match head {
            [2, 0, 0, 10, ..] => Order::Little,
            [0, 2, 0, 10, ..] => Order::Big,
            head if head.len() < 6 => return Err(ends_within(0)),
            _ => return Err(malformed("it does not begin with a FAR record: it is no STDF file".to_owned())),
        };
        match (head.get(4), head.get(5)) {
            (None, _) | (_, None) => Err(ends_within(0)),
            (_, Some(version)) if *version != 4 => {
                Err(malformed(format!("it is STDF version {version}; only version 4 can be read")))
            }
            (Some(0), _) => {
                Err(malformed("it was written by a DEC VAX, whose numbers are of another form (CPU_TYPE 0)".to_owned()))
            }
            _ => Ok(order),
        }
    }

    /// Makes at least so many bytes available, unless the file ends before; answers how many there are.
    fn fill(&mut self, wanted: usize) -> Result<usize, ConvertError> {
        if self.end - self.next >= wanted {
            return Ok(self.end - self.next);
        }
        self.buffer.copy_within(self.next..self.end, 0);
        self.base += self.next as u64;
        self.end -= self.next;
        self.next = 0;
        while self.end < wanted {
            let free = self.buffer.get_mut(self.end..).unwrap_or_default();
            match self.stream.read(free) {
                Ok(0) => break,
                Ok(count) => self.end += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.stream.error(error, self.base + self.end as u64)),
            }
        }
        Ok(self.end)
    }
}

fn ends_within(at: u64) -> ConvertError {
    ConvertError::Incomplete { place: format!("byte {at}"), reason: "the record that begins there is cut".to_owned() }
}

/// How a file is packed, by its first bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Packing {
    None,
    Gzip,
    Bzip2,
}

impl Packing {
    pub(super) fn of(head: &[u8]) -> Self {
        match head {
            [0x1f, 0x8b, ..] => Self::Gzip,
            [b'B', b'Z', b'h', b'1'..=b'9', ..] => Self::Bzip2,
            _ => Self::None,
        }
    }
}

/// A file, unpacked as it is read. Both packings may follow one another in one file: what follows that is neither is padding.
enum Unpacked<R> {
    Plain(R),
    Gzip(Box<GzDecoder<R>>),
    Bzip2(BzDecoder<R>),
    End,
}

impl<R: BufRead> Unpacked<R> {
    fn error(&self, error: io::Error, at: u64) -> ConvertError {
        let place = format!("byte {at} of what is packed");
        match (self, error.kind()) {
            (Self::Plain(_), _) => unreadable(error),
            (_, io::ErrorKind::UnexpectedEof) => ConvertError::Incomplete { place, reason: "the packed file is cut".to_owned() },
            (_, io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData) => {
                ConvertError::Malformed { place, reason: format!("the packed file is damaged: {error}") }
            }
            _ => unreadable(error),
        }
    }
}

impl<R: BufRead> Read for Unpacked<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            let count = match self {
                Self::Plain(stream) => return stream.read(into),
                Self::Gzip(stream) => stream.read(into)?,
                Self::Bzip2(stream) => stream.read(into)?,
                Self::End => return Ok(0),
            };
            if count > 0 || into.is_empty() {
                return Ok(count);
            }
            let mut rest = match std::mem::replace(self, Self::End) {
                Self::Gzip(stream) => stream.into_inner(),
                Self::Bzip2(stream) => stream.into_inner(),
                Self::Plain(_) | Self::End => return Ok(0),
            };
            match Packing::of(rest.fill_buf()?) {
                Packing::Gzip => *self = Self::Gzip(Box::new(GzDecoder::new(rest))),
                Packing::Bzip2 => *self = Self::Bzip2(BzDecoder::new(rest)),
                Packing::None => {}
            }
        }
    }
}

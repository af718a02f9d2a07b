//! The fields of one record, in the byte order of the file. A record may end before any of them: what is not there is none (FORMATS.md section 8).

/// Order of the bytes of a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// CPU_TYPE 1.
    Big,
    /// CPU_TYPE 2.
    Little,
}

/// What is left of a record. Names as in the specification: U*1, I*2, R*4, C*n, B*n, D*n, N*1.
#[derive(Debug, Clone)]
pub(super) struct Fields<'a> {
    rest: &'a [u8],
    order: Order,
    cut: bool,
}

macro_rules! numbers {
    ($($name:ident: $type:ty),*) => { $(
        pub(super) fn $name(&mut self) -> Option<$type> {
            let bytes = self.array()?;
            Some(match self.order {
                Order::Big => <$type>::from_be_bytes(bytes),
                Order::Little => <$type>::from_le_bytes(bytes),
            })
        }
    )* };
}

impl<'a> Fields<'a> {
    pub(super) fn new(record: &'a [u8], order: Order) -> Self {
        Self { rest: record, order, cut: false }
    }

    numbers! { u1: u8, u2: u16, u4: u32, i1: i8, i2: i16, i4: i32, r4: f32, r8: f64 }

    /// A text: its length, then its bytes.
    pub(super) fn cn(&mut self) -> Option<&'a [u8]> {
        let length = self.u1()?;
        self.take(usize::from(length))
    }

    /// Bytes: their number, then they.
    pub(super) fn bn(&mut self) -> Option<&'a [u8]> {
        self.cn()
    }

    /// Bits: their number, then the bytes that hold them, the first bit the lowest.
    pub(super) fn dn(&mut self) -> Option<Vec<u16>> {
        let bits = self.u2()?;
        let bytes = self.take(usize::from(bits).div_ceil(8))?;
        let is_set = |bit: &u16| bytes.get(usize::from(*bit) / 8).is_some_and(|byte| byte >> (bit % 8) & 1 == 1);
        Some((0..bits).filter(is_set).collect())
    }

    /// So many numbers of two bytes.
    pub(super) fn u2s(&mut self, count: u16) -> Option<Vec<u16>> {
        let mut inner = Fields { rest: self.take(usize::from(count) * 2)?, ..*self };
        Some(std::iter::from_fn(|| inner.u2()).collect())
    }

    /// So many numbers of four bytes.
    pub(super) fn r4s(&mut self, count: u16) -> Option<Vec<f32>> {
        let mut inner = Fields { rest: self.take(usize::from(count) * 4)?, ..*self };
        Some(std::iter::from_fn(|| inner.r4()).collect())
    }

    /// So many half bytes, the low half of a byte first.
    pub(super) fn nibbles(&mut self, count: u16) -> Option<Vec<u8>> {
        let bytes = self.take(usize::from(count).div_ceil(2))?;
        Some(bytes.iter().flat_map(|byte| [byte & 15, byte >> 4]).take(usize::from(count)).collect())
    }

    /// The byte after a number of two bytes lies at an even place in generic data, which pads it.
    pub(super) fn skip(&mut self, count: usize) {
        let _padding = self.take(count);
    }

    /// True if it ended within a field, and not between two.
    pub(super) fn is_cut(&self) -> bool {
        self.cut
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        match self.rest.split_at_checked(count) {
            Some((taken, rest)) => {
                self.rest = rest;
                Some(taken)
            }
            None => {
                // Nothing behind it may be read in its place.
                self.cut |= !self.rest.is_empty();
                self.rest = &[];
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_read_in_the_order_of_the_file_and_end_where_the_record_ends() {
        let record = [1, 2, 3, 4, 5, 2, b'a', b'b', 9, 0, 0b0000_0101, 1, 0x21, 0x03];
        let mut little = Fields::new(&record, Order::Little);
        assert_eq!((little.u1(), little.u4(), little.cn()), (Some(1), Some(0x0504_0302), Some(&b"ab"[..])));
        assert_eq!(little.dn(), Some(vec![0, 2, 8]));
        assert_eq!(little.nibbles(3), Some(vec![1, 2, 3]));
        assert_eq!((little.u1(), little.cn(), little.is_cut()), (None, None, false));
        let mut big = Fields::new(&record[..8], Order::Big);
        assert_eq!((big.u2(), big.u2s(1)), (Some(0x0102), Some(vec![0x0304])));
        assert_eq!((big.r4(), big.u1(), big.is_cut()), (Some(f32::from_be_bytes([5, 2, b'a', b'b'])), None, false));
        let mut short = Fields::new(&[5, b'a'], Order::Big);
        assert_eq!((short.cn(), short.u1(), short.is_cut()), (None, None, true), "a text that the record does not hold");
    }
}

//! The beginning of a file, as far as it tells what the file is.

/// The first bytes of a file. UTF-16 reads like ASCII here: its zero bytes are left out.
pub(in crate::convert) struct Head(Vec<u8>);

impl Head {
    /// From the first bytes; they may end anywhere.
    pub(in crate::convert) fn new(bytes: &[u8]) -> Self {
        Self(bytes.iter().copied().filter(|&byte| byte != 0).collect())
    }

    /// True if this stands somewhere in it.
    pub(in crate::convert) fn contains(&self, text: &str) -> bool {
        self.0.windows(text.len().max(1)).any(|window| window == text.as_bytes())
    }

    /// How many of these stand in it.
    pub(in crate::convert) fn count(&self, texts: &[&str]) -> usize {
        texts.iter().filter(|text| self.contains(text)).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_found_in_any_encoding_of_ascii() {
        let wide: Vec<u8> = "<robot x".encode_utf16().flat_map(u16::to_le_bytes).collect();
        for bytes in [b"<robot x".as_slice(), &wide] {
            let head = Head::new(bytes);
            assert!(head.contains("<robot") && !head.contains("<Robot"));
            assert_eq!(head.count(&["robot", "x", "y"]), 2);
        }
        assert!(!Head::new(b"").contains("a"));
    }
}

//! What a unit's own hash is made of, where a file is read as a stream of elements.

use super::xml::Element;

/// Adds the name and the attributes of an element.
pub(in crate::convert) fn attributes(hasher: &mut blake3::Hasher, element: Element<'_>) {
    add(hasher, element.name());
    for (name, value) in element.attributes() {
        add(hasher, name);
        add(hasher, value);
    }
}

/// Adds a text with its length: nothing else reads the same.
pub(in crate::convert) fn add(hasher: &mut blake3::Hasher, text: &str) {
    hasher.update(&(text.len() as u64).to_le_bytes()).update(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::super::xml::Xml;

    #[test]
    fn another_text_attribute_or_name_is_another_hash() {
        let of = |text: &str| {
            let mut xml = Xml::new(text.as_bytes());
            let mut hasher = blake3::Hasher::new();
            xml.next(|_| true).unwrap().unwrap().hash(&mut hasher);
            hasher.finalize()
        };
        let all = [
            "<a b='1'>x</a>",
            "<a b='2'>x</a>",
            "<a b='1'>y</a>",
            "<c b='1'>x</c>",
            "<a b='1'><x/></a>",
            "<a b='' c='1'>x</a>",
            "<a><x/><y/></a>",
            "<a><x><y/></x></a>",
        ];
        for (at, one) in all.iter().enumerate() {
            assert_eq!(of(one), of(one));
            assert!(all[..at].iter().all(|other| of(other) != of(one)), "{one}");
        }
    }
}

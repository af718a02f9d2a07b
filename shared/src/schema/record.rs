//! `record!`: an object of the report model, declared as a table of its keys.

/// Declares a struct whose fields are all optional JSON keys, and everything that follows from that table:
///
/// - `serde::Deserialize`: the fast path, which stops at the first fault
/// - [`Field::read`](crate::schema::Field::read): the same answer, slower, with every fault and its path
/// - `serde::Serialize`: known keys in the order of the table, absent ones omitted, then the unknown keys verbatim
/// - `check_lengths` and `cut_lengths`: texts longer than the `max` beside them
///
/// `null` reads as absent, for unknown keys too (the wire omits nulls). Unknown keys are kept in `extra`, in the order of the file.
#[macro_export]
macro_rules! record {
    (
        $(#[$meta:meta])*
        pub struct $name:ident {
            $( $(#[$field_meta:meta])* $field:ident : $ty:ty = $key:literal $(, max $max:literal)? ; )*
        }
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Default, PartialEq)]
        pub struct $name {
            $( $(#[$field_meta])* pub $field: Option<$ty>, )*
            /// Keys this model does not know, carried through verbatim.
            pub extra: $crate::schema::Map<String, $crate::schema::Value>,
        }

        impl $crate::schema::Field for $name {
            fn type_name() -> String {
                "object".to_owned()
            }
            fn read(value: $crate::schema::Value, reader: &mut $crate::schema::Reader) -> Option<Self> {
                let $crate::schema::Value::Object(map) = value else {
                    reader.wrong_type("an object", &value);
                    return None;
                };
                let mut record = Self::default();
                let mut whole = true;
                for (key, value) in map {
                    match key.as_str() {
                        $( $key => match reader.in_key($key, |reader| <Option<$ty> as $crate::schema::Field>::read(value, reader)) {
                            Some(read) => record.$field = read,
                            None => whole = false,
                        }, )*
                        _ if value.is_null() => {}
                        _ => { record.extra.insert(key, value); }
                    }
                }
                whole.then_some(record)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Visitor;
                impl<'de> serde::de::Visitor<'de> for Visitor {
                    type Value = $name;
                    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        f.write_str("an object")
                    }
                    fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<$name, A::Error> {
                        let mut record = $name::default();
                        while let Some(key) = map.next_key::<std::borrow::Cow<'de, str>>()? {
                            match key.as_ref() {
                                $( $key => record.$field = map.next_value()?, )*
                                _ => {
                                    let value: $crate::schema::Value = map.next_value()?;
                                    if !value.is_null() {
                                        record.extra.insert(key.into_owned(), value);
                                    }
                                }
                            }
                        }
                        Ok(record)
                    }
                }
                deserializer.deserialize_map(Visitor)
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                use serde::ser::SerializeMap as _;
                let mut map = serializer.serialize_map(None)?;
                $( if let Some(value) = &self.$field { map.serialize_entry($key, value)?; } )*
                for (key, value) in &self.extra {
                    map.serialize_entry(key, value)?;
                }
                map.end()
            }
        }

        impl $name {
            /// Notes each text that is longer than the wire allows.
            #[allow(dead_code, unused_variables, reason = "records without a limited text have nothing to check")]
            pub(crate) fn check_lengths(&self, reader: &mut $crate::schema::Reader) {
                $( $( if let Some(text) = &self.$field {
                    reader.in_key($key, |reader| $crate::text::check_length(text, $max, reader));
                } )? )*
            }

            /// Cuts each text that is longer than the wire allows; `told` hears its key, the most it may have, and the whole of it.
            #[allow(dead_code, unused_variables, reason = "records without a limited text have nothing to cut")]
            pub fn cut_lengths(&mut self, told: &mut dyn FnMut(&'static str, usize, String)) {
                $( $( if let Some(text) = &mut self.$field
                    && let Some((cut, _)) = text.char_indices().nth($max)
                {
                    let cut = text[..cut].to_owned();
                    told($key, $max, std::mem::replace(text, cut));
                } )? )*
            }
        }
    };
}

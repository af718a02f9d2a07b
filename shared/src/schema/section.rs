//! `section!`: a table of the configuration, declared as the list of its fields.

/// One field of a configuration section, as documentation, the window and validation see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldInfo {
    /// Key in the file.
    pub key: &'static str,
    /// What it is for, one line.
    pub help: &'static str,
    /// Its type in words.
    pub type_name: String,
    /// The value without the key, as JSON; absent: the key is required.
    pub default: Option<String>,
    /// The allowed values in words, if the type alone does not say it.
    pub rule: Option<String>,
    /// The unit of the number, if it has one.
    pub unit: Option<&'static str>,
}

/// What a value must fulfil beyond its type.
pub struct Rule<T> {
    /// The rule in words: `1 to 100`.
    pub text: String,
    /// Whether a value fulfils it.
    pub holds: Box<dyn Fn(&T) -> bool>,
}

/// Declares a section: a struct, its `Default` (where all fields have one), its reader that refuses unknown keys, and the list of its fields.
///
/// A value that is faulty is told to the reader and then taken for its default, so that contradictions between the other fields can be told
/// as well: a section that was read counts only if the reader is clean.
///
/// `key: Type = default, rule Rule, unit "unit";` with rule and unit optional; `key: Type, required;` for a key without default.
#[macro_export]
macro_rules! section {
    (
        $(#[doc = $doc:literal])*
        pub struct $name:ident {
            $( #[doc = $help:literal] $field:ident : $ty:ty $(= $default:expr)? $(, rule $rule:expr)? $(, unit $unit:literal)? ; )*
        }
    ) => {
        $(#[doc = $doc])*
        #[derive(Debug, Clone, PartialEq, serde::Serialize)]
        pub struct $name {
            $( #[doc = $help] pub $field: $ty, )*
        }

        impl $crate::schema::Field for $name {
            fn type_name() -> String {
                "table".to_owned()
            }
            fn read(value: $crate::schema::Value, reader: &mut $crate::schema::Reader) -> Option<Self> {
                let $crate::schema::Value::Object(map) = value else {
                    reader.wrong_type("a table", &value);
                    return None;
                };
                $( let mut $field: Option<$ty> = None; )*
                for (key, value) in map {
                    reader.in_key(&key, |reader| match key.as_str() {
                        $( stringify!($field) => {
                            $field = <$ty as $crate::schema::Field>::read(value, reader);
                            $( if let Some(read) = &$field {
                                let rule: $crate::schema::Rule<$ty> = $rule;
                                if !(rule.holds)(read) {
                                    reader.fault($crate::schema::FaultKind::OutOfRange,
                                        format!("{} is not allowed: {}", serde_json::to_string(read).unwrap_or_default(), rule.text));
                                }
                            } )?
                        } )*
                        _ => {
                            let known = [$( stringify!($field) ),*];
                            reader.fault($crate::schema::FaultKind::UnknownKey, $crate::text::unknown_key(&key, &known));
                        }
                    });
                }
                $( let $field = $crate::section!(@value $field, reader, $ty $(, $default)?); )*
                Some(Self { $( $field: $field?, )* })
            }
        }

        impl $name {
            /// The fields of this section, in the order of the reference page.
            #[must_use]
            pub fn fields() -> Vec<$crate::schema::FieldInfo> {
                vec![ $( $crate::schema::FieldInfo {
                    key: stringify!($field),
                    help: $help.trim_ascii(),
                    type_name: <$ty as $crate::schema::Field>::type_name(),
                    default: $crate::section!(@default_text $ty $(, $default)?),
                    rule: $crate::section!(@rule_text $ty $(, $rule)?),
                    unit: $crate::section!(@unit $($unit)?),
                }, )* ]
            }
        }
    };
    (@require $field:ident, $reader:ident, $default:expr) => {};
    (@require $field:ident, $reader:ident) => {
        if $field.is_none() && !$reader.has_fault_in(stringify!($field)) {
            $reader.in_key(stringify!($field), |reader| reader.fault($crate::schema::FaultKind::Missing, "this key is required"));
        }
    };
    (@value $field:ident, $reader:ident, $ty:ty, $default:expr) => { Some($field.unwrap_or_else(|| -> $ty { $default })) };
    (@value $field:ident, $reader:ident, $ty:ty) => {{
        $crate::section!(@require $field, $reader);
        $field
    }};
    (@default_text $ty:ty, $default:expr) => { serde_json::to_string::<$ty>(&{ $default }).ok() };
    (@default_text $ty:ty) => { None };
    (@rule_text $ty:ty, $rule:expr) => {{ let rule: $crate::schema::Rule<$ty> = $rule; Some(rule.text) }};
    (@rule_text $ty:ty) => { None };
    (@unit $unit:literal) => { Some($unit) };
    (@unit) => { None };
}

/// Declares an enum whose values are words in the configuration.
#[macro_export]
macro_rules! choice {
    (
        $(#[$meta:meta])*
        pub enum $name:ident { $( $(#[$variant_meta:meta])* $variant:ident = $word:literal ),* $(,)? }
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name { $( $(#[$variant_meta])* $variant, )* }

        impl $name {
            /// The word in the configuration.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $( Self::$variant => $word, )* }
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl $crate::schema::Field for $name {
            fn type_name() -> String {
                [$( $word ),*].join(" | ")
            }
            fn read(value: $crate::schema::Value, reader: &mut $crate::schema::Reader) -> Option<Self> {
                let text = <String as $crate::schema::Field>::read(value, reader)?;
                match text.as_str() {
                    $( $word => Some(Self::$variant), )*
                    _ => {
                        reader.fault($crate::schema::FaultKind::OutOfRange,
                            format!("{text:?} is not one of: {}", [$( $word ),*].join(", ")));
                        None
                    }
                }
            }
        }
    };
}

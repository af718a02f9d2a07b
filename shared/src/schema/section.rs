//! `section!`: a table of the configuration, declared as the list of its fields.
//!
//! What is declared here is all there is to say of a field: the reader, the reference page, the JSON Schema, the sample file, the command
//! line and the window's pages are made from it.

use super::Field;

/// The page of the window on which a field is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Page {
    /// Who this station is.
    Station,
    /// Where files come from and how they are read.
    Converters,
    /// Where reports go.
    Destinations,
    /// Everything else.
    Settings,
}

impl Page {
    /// Its name in the window.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Station => "Station",
            Self::Converters => "Converters",
            Self::Destinations => "Destinations",
            Self::Settings => "Settings",
        }
    }
}

/// What a value looks like, for programs; the words for people are [`FieldInfo::type_name`] and [`FieldInfo::rule`].
#[derive(Debug, Clone)]
pub enum Shape {
    /// Text.
    Text,
    /// `true` or `false`.
    Flag,
    /// A whole number.
    Integer,
    /// A path of this machine.
    Path,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// Several of one kind.
    List(Box<Shape>),
    /// A table with these fields.
    Table(fn() -> Vec<FieldInfo>),
    /// A table whose keys somebody else knows (the converter).
    OpenTable,
    /// Anything.
    Any,
}

/// One field of a configuration section, as documentation, the window and validation see it.
#[derive(Debug, Clone)]
pub struct FieldInfo {
    /// Key in the file.
    pub key: &'static str,
    /// What it is for, one line.
    pub help: &'static str,
    /// What its value looks like.
    pub shape: Shape,
    /// Its type in words.
    pub type_name: String,
    /// The value without the key, as JSON; absent: the key is required.
    pub default: Option<String>,
    /// The allowed values in words, if the type alone does not say it.
    pub rule: Option<String>,
    /// Smallest and largest number that is allowed.
    pub bounds: Option<(u64, u64)>,
    /// The unit of the number, if it has one.
    pub unit: Option<&'static str>,
    /// Why a change waits for the next start of the agent; absent: it applies while the agent runs.
    pub restart: Option<&'static str>,
    /// Where it is set in the window.
    pub page: Page,
}

/// What a value must fulfil beyond its type.
pub struct Rule<T> {
    /// The rule in words: `1 to 100`.
    pub text: String,
    /// Smallest and largest number, where it is a range.
    pub bounds: Option<(u64, u64)>,
    /// Whether a value fulfils it.
    pub holds: Box<dyn Fn(&T) -> bool>,
}

/// The part of a field's description that follows from its type.
#[must_use]
pub fn described<T: Field>(key: &'static str, help: &'static str, page: Page) -> FieldInfo {
    FieldInfo {
        key,
        help: help.trim_ascii(),
        shape: T::shape(),
        type_name: T::type_name(),
        default: None,
        rule: None,
        bounds: None,
        unit: None,
        restart: None,
        page,
    }
}

/// Declares a section: a struct, its `Default` (where all fields have one), its reader that refuses unknown keys, and the list of its fields.
///
/// A value that is faulty is told to the reader and then taken for its default, so that contradictions between the other fields can be told
/// as well: a section that was read counts only if the reader is clean.
///
/// `key: Type = default, rule Rule, unit "unit", restart "why";` with all but the type optional; a key without default is required. The section
/// names the window's page: `pub struct Name on Page { … }`.
#[macro_export]
macro_rules! section {
    (
        $(#[doc = $doc:literal])*
        pub struct $name:ident on $page:ident {
            $( #[doc = $help:literal] $field:ident : $ty:ty $(= $default:expr)? $(, rule $rule:expr)? $(, unit $unit:literal)? $(, restart $restart:literal)? ; )*
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
            fn shape() -> $crate::schema::Shape {
                $crate::schema::Shape::Table(Self::fields)
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
                                        format!("{} is not allowed: {}", $crate::schema::shown(read), rule.text));
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
                vec![ $( {
                    #[allow(unused_mut, reason = "a field may have nothing but its type")]
                    let mut info = $crate::schema::described::<$ty>(stringify!($field), $help, $crate::schema::Page::$page);
                    $( info.default = serde_json::to_string::<$ty>(&{ $default }).ok(); )?
                    $( let rule: $crate::schema::Rule<$ty> = $rule; info.rule = Some(rule.text); info.bounds = rule.bounds; )?
                    $( info.unit = Some($unit); )?
                    $( info.restart = Some($restart); )?
                    info
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
            /// All words, in the order of the reference page.
            pub const WORDS: &'static [&'static str] = &[$( $word ),*];

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
                Self::WORDS.join(" | ")
            }
            fn shape() -> $crate::schema::Shape {
                $crate::schema::Shape::Choice(Self::WORDS)
            }
            fn read(value: $crate::schema::Value, reader: &mut $crate::schema::Reader) -> Option<Self> {
                let text = <String as $crate::schema::Field>::read(value, reader)?;
                match text.as_str() {
                    $( $word => Some(Self::$variant), )*
                    _ => {
                        reader.fault($crate::schema::FaultKind::OutOfRange,
                            format!("{text:?} is not one of: {}", Self::WORDS.join(", ")));
                        None
                    }
                }
            }
        }
    };
}

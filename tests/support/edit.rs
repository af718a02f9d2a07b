//! Changes of the configuration, as a test writes them.

use waybill_shared::config::Edit;

/// Gives a field a value, written as on the command line.
#[must_use]
pub fn set(place: &str, value: impl ToString) -> Edit {
    Edit::Set { place: place.to_owned(), value: value.to_string() }
}

/// Takes a field's value away, or an entry of a list.
#[must_use]
pub fn unset(place: &str) -> Edit {
    Edit::Unset { place: place.to_owned() }
}

/// Adds an entry to a list.
#[must_use]
pub fn add(list: &str, name: &str) -> Edit {
    Edit::Add { list: list.to_owned(), name: name.to_owned() }
}

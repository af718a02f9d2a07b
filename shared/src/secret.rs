//! Texts that must never be seen: tokens and passwords.

mod redact;

use std::fmt;

pub use redact::{redacted, without};

/// A secret. It shows itself neither in `Debug` nor in `Display`, and cannot be serialised.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a secret; surrounding white space (a file's last line end) is not part of it.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(text.trim().to_owned())
    }

    /// The secret itself, for the one place that sends it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// The environment variable that holds the secret of a destination's field: `WAYBILL_SECRET_DESTINATION_MAIN_TOKEN`.
#[must_use]
pub fn environment_variable(name: &str) -> String {
    let upper: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' }).collect();
    format!("WAYBILL_SECRET_{upper}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_does_not_show_itself() {
        assert_eq!(format!("{:?}", Secret::new("hunter2\n")), "Secret(…)");
        assert_eq!(Secret::new("hunter2\n").expose(), "hunter2");
    }

    #[test]
    fn the_variable_of_a_destination_token() {
        assert_eq!(environment_variable("destination.main.token"), "WAYBILL_SECRET_DESTINATION_MAIN_TOKEN");
        assert_eq!(environment_variable("destination.east-2.token"), "WAYBILL_SECRET_DESTINATION_EAST_2_TOKEN");
    }
}

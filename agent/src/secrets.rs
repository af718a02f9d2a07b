//! Where the agent finds a destination's token.
//!
//! In this order: the configured `token_file`; the environment variable; the agent's own secrets folder. Files must be private. The
//! token is read when it is needed and not kept, so that a new one works without a restart.

use std::path::{Path, PathBuf};

use waybill_shared::error::{Code, ErrorReport};
use waybill_shared::fs::private;
use waybill_shared::secret::{Secret, environment_variable};
use waybill_shared::text;

/// The places of one token.
#[derive(Debug, Clone)]
pub struct TokenSource {
    name: String,
    configured: Option<PathBuf>,
    variable: String,
    file: PathBuf,
}

impl TokenSource {
    /// The token of a destination.
    #[must_use]
    pub fn of(destination: &str, token_file: Option<PathBuf>, secrets: &Path) -> Self {
        let name = format!("destination.{destination}.token");
        Self { variable: environment_variable(&name), file: secrets.join(&name), configured: token_file, name }
    }

    /// Reads the token.
    ///
    /// # Errors
    /// Where it was looked for, and why it cannot be used.
    pub fn load(&self) -> Result<Secret, ErrorReport> {
        if let Some(file) = &self.configured {
            return self.read(file);
        }
        if let Ok(text) = std::env::var(&self.variable) {
            return self.checked(Secret::new(&text), &self.variable);
        }
        if self.file.exists() {
            return self.read(&self.file);
        }
        let message = format!("{} is not set: neither {} nor {} exists", self.name, self.variable, text::path(&self.file));
        Err(ErrorReport::new(Code::SecretMissing, message))
    }

    fn read(&self, file: &Path) -> Result<Secret, ErrorReport> {
        let place = text::path(file);
        let secret = private::read_secret(file).map_err(|error| {
            ErrorReport::new(Code::SecretMissing, format!("{} cannot be read from {place}: {error}", self.name))
        })?;
        self.checked(secret, &place)
    }

    fn checked(&self, secret: Secret, place: &str) -> Result<Secret, ErrorReport> {
        if secret.expose().is_empty() {
            return Err(ErrorReport::new(Code::SecretMissing, format!("{} is empty in {place}", self.name)));
        }
        Ok(secret)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_token_says_where_it_was_looked_for() {
        let folder = tempfile::tempdir().unwrap();
        let source = TokenSource::of("nowhere", None, folder.path());
        let message = source.load().unwrap_err().message;
        assert!(
            message.contains("WAYBILL_SECRET_DESTINATION_NOWHERE_TOKEN") && message.contains("destination.nowhere.token"),
            "{message}"
        );
    }

    #[test]
    fn a_private_file_is_read_and_its_line_end_is_not_part_of_it() {
        let folder = tempfile::tempdir().unwrap();
        waybill_shared::fs::atomic::create_private(&folder.path().join("destination.d.token"), b"c2VjcmV0\n").unwrap();
        assert_eq!(TokenSource::of("d", None, folder.path()).load().unwrap().expose(), "c2VjcmV0");
    }
}

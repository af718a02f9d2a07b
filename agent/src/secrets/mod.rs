//! Where the agent finds and keeps its secrets.
//!
//! A secret is looked for in this order: the configured `token_file`; the environment variable; the agent's own store. The first place
//! that has one counts, also if what it has is unusable. The store is a private file each in the secrets folder or, for a user's agent
//! in a desktop session, the desktop's [`keyring`]; the file is looked at first, because it answers at once.
//!
//! Only [`TokenSource::load`] and [`TokenSource::fetch`] give a value away; nothing else here does, errors and `Debug` included. A
//! keyring that does not answer is [`Code::SecretUnavailable`], never "there is no secret". After a crash while a secret is set, the old
//! one counts or the new one.

pub mod file;
pub mod keyring;

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use waybill_shared::error::{Code, ErrorReport};
use waybill_shared::fs::private;
use waybill_shared::paths::{Instance, Scope};
use waybill_shared::secret::{Secret, environment_variable};
use waybill_shared::text;

use self::keyring::{Answer, Client, Desktop, Work};

/// Bytes of the longest secret that is kept; below what every keyring takes.
const LONGEST: usize = 2048;

/// The name of a secret. It is a plain file name and never a path.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SecretName(String);

impl SecretName {
    /// `destination.<name>.token`
    ///
    /// # Errors
    /// The destination's name cannot be part of it.
    pub fn token(destination: &str) -> Result<Self, ErrorReport> {
        format!("destination.{destination}.token").parse()
    }

    /// `destination.<name>.proxy_password`
    ///
    /// # Errors
    /// The destination's name cannot be part of it.
    pub fn proxy_password(destination: &str) -> Result<Self, ErrorReport> {
        format!("destination.{destination}.proxy_password").parse()
    }

    /// `proxy.password`
    #[must_use]
    pub fn common_proxy_password() -> Self {
        Self("proxy.password".to_owned())
    }

    /// As people write it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The environment variable that may hold it.
    #[must_use]
    pub fn variable(&self) -> String {
        environment_variable(&self.0)
    }
}

impl FromStr for SecretName {
    type Err = ErrorReport;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let plain = |name: &str| {
            name.len() <= 64
                && name.starts_with(|c: char| c.is_ascii_alphanumeric())
                && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))
        };
        let known = match text.split('.').collect::<Vec<_>>()[..] {
            ["destination", name, "token" | "proxy_password"] => plain(name),
            ["proxy", "password"] => true,
            _ => false,
        };
        if known {
            return Ok(Self(text.to_owned()));
        }
        let message = format!("{:?} names no secret", text::shortened(text, 200));
        Err(ErrorReport::new(Code::RequestInvalid, message).with_fix(
            "Use destination.NAME.token, destination.NAME.proxy_password or proxy.password; NAME is 1 to 64 letters, digits, `-` or `_`",
        ))
    }
}

impl fmt::Display for SecretName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where the store keeps secrets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Private files.
    File,
    /// The keyring, and private files where it is not available.
    KeyringThenFile,
}

impl Place {
    /// The place for an instance in this process's surroundings. `headless`: no person is at this session.
    #[must_use]
    pub fn of(instance: &Instance, headless: bool) -> Self {
        let desktop =
            in_desktop(cfg!(any(windows, target_os = "macos")), |name| std::env::var_os(name).is_some_and(|v| !v.is_empty()));
        Self::decide(instance.scope, instance.explicit_data, headless, desktop)
    }

    /// The keyring belongs to a person: only a user's agent in a desktop session has one, and never one whose data lies where it was told to.
    #[must_use]
    pub fn decide(scope: Scope, explicit_data: bool, headless: bool, desktop: bool) -> Self {
        if scope == Scope::User && !explicit_data && !headless && desktop { Self::KeyringThenFile } else { Self::File }
    }
}

/// Whether this process runs in a desktop session. `always`: the OS has its keyring in every session of a user.
fn in_desktop(always: bool, set: impl Fn(&str) -> bool) -> bool {
    always || (set("DBUS_SESSION_BUS_ADDRESS") && (set("WAYLAND_DISPLAY") || set("DISPLAY")))
}

/// The agent's own store of secrets, with the ways around it.
#[derive(Clone)]
pub struct Store {
    folder: PathBuf,
    keyring: Option<Client>,
    environment: fn(&str) -> Option<OsString>,
    /// A secret that is only tried: it comes before everything else.
    tried: Option<(SecretName, Secret)>,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("folder", &self.folder).field("keyring", &self.keyring.is_some()).finish_non_exhaustive()
    }
}

/// What became of a secret that was set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Where it is now, in words: `keyring`, `file …`.
    pub place: String,
    /// Why it is not in the keyring, if it should be.
    pub instead_of_keyring: Option<String>,
}

/// Whether a secret is set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretStatus {
    /// Whether there is one.
    pub set: bool,
    /// Where it is, or would be kept, in words: `environment variable X`, `file …`, `keyring`.
    pub place: String,
    /// False if it comes from the environment or a configured file, which the agent does not write.
    pub changeable: bool,
}

impl Store {
    /// The store of an instance.
    ///
    /// # Errors
    /// The OS gives no thread for the keyring.
    pub fn open(instance: &Instance, place: Place) -> Result<Self, ErrorReport> {
        let mut store = Self::files(&instance.secrets());
        if place == Place::KeyringThenFile {
            let keyring = Client::start(Desktop::of_instance(&instance.name), keyring::DEADLINE)
                .map_err(|error| ErrorReport::new(Code::Internal, format!("no thread for the keyring: {error}")))?;
            store.keyring = Some(keyring);
        }
        Ok(store)
    }

    /// A store of private files only.
    #[must_use]
    pub fn files(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), keyring: None, environment: |name| std::env::var_os(name), tried: None }
    }

    /// This store, with one secret that is only tried.
    #[must_use]
    pub fn trying(&self, name: SecretName, secret: Secret) -> Self {
        Self { tried: Some((name, secret)), ..self.clone() }
    }

    /// The places of one secret; `configured` is a file that the configuration names.
    #[must_use]
    pub fn source(&self, name: SecretName, configured: Option<PathBuf>) -> TokenSource {
        TokenSource { variable: name.variable(), file: self.folder.join(name.as_str()), name, configured, store: self.clone() }
    }

    /// Keeps a secret in the place of an older one. Blocking, with the keyring for up to 5 s.
    ///
    /// # Errors
    /// The secret cannot be one, a place that comes first has one already, or it could not be written; the old one then still counts.
    pub fn set(&self, name: &SecretName, configured: Option<&Path>, secret: &Secret) -> Result<Stored, ErrorReport> {
        let source = self.source(name.clone(), configured.map(Path::to_owned));
        source.refuse_if_given()?;
        check(name, secret)?;
        let refused = match &self.keyring {
            None => None,
            Some(keyring) => match keyring.ask(name, Work::Set(secret.clone())) {
                Ok(_) => {
                    // An older file would be found first.
                    file::remove(&source.file).map_err(|error| source.not_written(&error))?;
                    return Ok(Stored { place: "keyring".to_owned(), instead_of_keyring: None });
                }
                Err(why) => Some(format!("the keyring cannot be used: {why}")),
            },
        };
        file::replace_private(&source.file, secret.expose()).map_err(|error| source.not_written(&error))?;
        Ok(Stored { place: source.file_place(), instead_of_keyring: refused })
    }

    /// Whether a secret could be kept, before something is done that cannot be done again for it.
    ///
    /// # Errors
    /// A place that comes first has one, which the agent does not write.
    pub fn may_set(&self, name: &SecretName, configured: Option<&Path>) -> Result<(), ErrorReport> {
        self.source(name.clone(), configured.map(Path::to_owned)).refuse_if_given()
    }

    /// Forgets a secret; false if there was none. Blocking, with the keyring for up to 5 s.
    ///
    /// # Errors
    /// A place that comes first has one, the file cannot be removed, or the keyring does not answer and may still have it.
    pub fn clear(&self, name: &SecretName, configured: Option<&Path>) -> Result<bool, ErrorReport> {
        let source = self.source(name.clone(), configured.map(Path::to_owned));
        source.refuse_if_given()?;
        let removed = file::remove(&source.file).map_err(|error| source.not_written(&error))?;
        let Some(keyring) = &self.keyring else { return Ok(removed) };
        let held = keyring.ask(name, Work::Get).map_err(|why| source.unavailable(&why))?.is_some();
        keyring.ask(name, Work::Clear).map_err(|why| source.unavailable(&why))?;
        Ok(removed || held)
    }

    /// Whether a secret is set, and where. Blocking, with the keyring for up to 5 s.
    ///
    /// # Errors
    /// There is one that cannot be used, or the keyring does not answer.
    pub fn status(&self, name: &SecretName, configured: Option<&Path>) -> Result<SecretStatus, ErrorReport> {
        let source = self.source(name.clone(), configured.map(Path::to_owned));
        let place = match source.given_by() {
            Some(place) => place,
            None if self.keyring.is_some() && !source.file_is_there()? => "keyring".to_owned(),
            None => source.file_place(),
        };
        let set = match source.load() {
            Ok(_) => true,
            Err(error) if error.code == Code::SecretMissing && !source.is_anywhere()? => false,
            Err(error) => return Err(error),
        };
        Ok(SecretStatus { set, place, changeable: source.given_by().is_none() })
    }
}

/// What can be sent as a token or a password.
fn check(name: &SecretName, secret: &Secret) -> Result<(), ErrorReport> {
    let fault = match secret.expose() {
        "" => "it is empty".to_owned(),
        text if text.len() > LONGEST => format!("it is longer than {LONGEST} bytes"),
        text if text.chars().any(char::is_control) => "it holds line ends or other control characters".to_owned(),
        _ => return Ok(()),
    };
    Err(ErrorReport::new(Code::RequestInvalid, format!("{name} cannot be set: {fault}"))
        .with_fix("Give the secret as one line of text"))
}

/// The places of one secret.
#[derive(Debug, Clone)]
pub struct TokenSource {
    name: SecretName,
    configured: Option<PathBuf>,
    variable: String,
    file: PathBuf,
    store: Store,
}

impl TokenSource {
    /// The token of a destination, from private files only.
    ///
    /// # Errors
    /// The destination's name cannot be part of a secret's.
    pub fn of(destination: &str, token_file: Option<PathBuf>, secrets: &Path) -> Result<Self, ErrorReport> {
        Ok(Store::files(secrets).source(SecretName::token(destination)?, token_file))
    }

    /// Reads the secret. Blocking: with a keyring that has not been asked of late for up to 5 s. A task uses [`fetch`](Self::fetch).
    ///
    /// # Errors
    /// Where it was looked for, and why it cannot be used.
    pub fn load(&self) -> Result<Secret, ErrorReport> {
        match (self.without_keyring()?, &self.store.keyring) {
            (Some(secret), _) => Ok(secret),
            (None, None) => Err(self.missing()),
            (None, Some(keyring)) => self.answered(keyring.ask(&self.name, Work::Get)),
        }
    }

    /// Reads the secret from a task. It is read when it is needed and not kept, so that a new one works without a restart; only the
    /// keyring's answer is kept for a minute.
    ///
    /// # Errors
    /// Where it was looked for, and why it cannot be used.
    pub async fn fetch(&self) -> Result<Secret, ErrorReport> {
        match (self.without_keyring()?, &self.store.keyring) {
            (Some(secret), _) => Ok(secret),
            (None, None) => Err(self.missing()),
            (None, Some(keyring)) => self.answered(keyring.ask_from_task(&self.name, Work::Get).await),
        }
    }

    fn without_keyring(&self) -> Result<Option<Secret>, ErrorReport> {
        if let Some((_, secret)) = self.store.tried.as_ref().filter(|(name, _)| *name == self.name) {
            return self.checked(secret.clone(), "what is only tried").map(Some);
        }
        if let Some(file) = &self.configured {
            return self.read(file).map(Some);
        }
        if let Some(value) = (self.store.environment)(&self.variable) {
            let text = value.into_string().map_err(|_| {
                ErrorReport::new(
                    Code::SecretMissing,
                    format!("{} holds characters in {} that no secret has", self.name, self.variable),
                )
            })?;
            return self.checked(Secret::new(&text), &self.variable).map(Some);
        }
        if self.file_is_there()? { self.read(&self.file).map(Some) } else { Ok(None) }
    }

    fn answered(&self, answer: Answer) -> Result<Secret, ErrorReport> {
        match answer {
            Ok(Some(secret)) => self.checked(secret, "the keyring"),
            Ok(None) => Err(self.missing()),
            Err(why) => Err(self.unavailable(&why)),
        }
    }

    fn read(&self, file: &Path) -> Result<Secret, ErrorReport> {
        let secret = private::read_secret(file).map_err(|error| self.unreadable(file, &error))?;
        self.checked(secret, &text::path(file))
    }

    fn checked(&self, secret: Secret, place: &str) -> Result<Secret, ErrorReport> {
        if secret.expose().is_empty() {
            return Err(ErrorReport::new(Code::SecretMissing, format!("{} is empty in {place}", self.name)));
        }
        Ok(secret)
    }

    /// The place that comes before the store, if there is one.
    fn given_by(&self) -> Option<String> {
        match &self.configured {
            Some(file) => Some(format!("file {}", text::path(file))),
            None => (self.store.environment)(&self.variable).map(|_| format!("environment variable {}", self.variable)),
        }
    }

    fn refuse_if_given(&self) -> Result<(), ErrorReport> {
        let Some(place) = self.given_by() else { return Ok(()) };
        Err(ErrorReport::new(
            Code::RequestInvalid,
            format!("{} comes from the {place}, which the agent does not write", self.name),
        )
        .with_fix("Change it there, or take it away there and try again"))
    }

    /// Whether a place has something, usable or not; the keyring is not asked.
    fn is_anywhere(&self) -> Result<bool, ErrorReport> {
        match &self.configured {
            Some(file) => file::is_there(file).map_err(|error| self.unreadable(file, &error)),
            None => Ok(self.given_by().is_some() || self.file_is_there()?),
        }
    }

    fn file_is_there(&self) -> Result<bool, ErrorReport> {
        file::is_there(&self.file).map_err(|error| self.unreadable(&self.file, &error))
    }

    fn file_place(&self) -> String {
        format!("file {}", text::path(&self.file))
    }

    fn missing(&self) -> ErrorReport {
        let keyring = if self.store.keyring.is_some() { ", and the keyring has none" } else { "" };
        let file = text::path(&self.file);
        ErrorReport::new(
            Code::SecretMissing,
            format!("{} is not set: neither {} nor {file} exists{keyring}", self.name, self.variable),
        )
    }

    fn unreadable(&self, file: &Path, error: &std::io::Error) -> ErrorReport {
        ErrorReport::new(Code::SecretMissing, format!("{} cannot be read from {}: {error}", self.name, text::path(file)))
    }

    fn unavailable(&self, why: &str) -> ErrorReport {
        ErrorReport::new(Code::SecretUnavailable, format!("{} may be in the keyring, which cannot be used: {why}", self.name))
    }

    fn not_written(&self, error: &std::io::Error) -> ErrorReport {
        ErrorReport::new(
            Code::DataFolderUnavailable,
            format!("{} cannot be changed in {}: {error}", self.name, text::path(&self.file)),
        )
    }
}

#[cfg(test)]
mod tests;

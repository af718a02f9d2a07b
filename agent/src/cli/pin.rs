//! How a command gives the PIN: a private file, the variable `WAYBILL_PIN`, or by hand at a terminal. Never on the command line, which
//! other users can read.

use std::cell::RefCell;
use std::io::IsTerminal as _;
use std::path::PathBuf;

use waybill_shared::error::{Code, ErrorReport};
use waybill_shared::fs::private;
use waybill_shared::secret::Secret;
use waybill_shared::text;

/// The environment variable that may hold it.
const VARIABLE: &str = "WAYBILL_PIN";

/// Where a command has its PIN from. It is read when it is needed, once.
#[derive(Debug, Default)]
pub(super) struct Pin {
    file: Option<PathBuf>,
    known: RefCell<Option<Secret>>,
}

impl Pin {
    /// That of `--pin-file`, or of the environment, or of whoever sits at the terminal.
    pub(super) fn new(file: Option<PathBuf>) -> Self {
        Self { file, known: RefCell::default() }
    }

    /// The PIN; none if none was given and nobody can be asked.
    ///
    /// # Errors
    /// The file cannot be read, or others may read it.
    pub(super) fn get(&self) -> Result<Option<Secret>, ErrorReport> {
        if let Some(known) = &*self.known.borrow() {
            return Ok(Some(known.clone()));
        }
        let found = match &self.file {
            Some(file) => Some(private::read_secret(file).map_err(|error| {
                ErrorReport::new(Code::FileUnreadable, format!("the PIN cannot be read from {}: {error}", text::path(file)))
                    .with_fix("Give --pin-file a file that only you may read, with the PIN on its one line")
            })?),
            None => match std::env::var(VARIABLE) {
                Ok(pin) if !pin.trim().is_empty() => Some(Secret::new(&pin)),
                _ => ask("PIN of the engineer role: ")?,
            },
        };
        self.known.borrow_mut().clone_from(&found);
        Ok(found)
    }
}

/// Asks for a secret without showing it; none if nobody sits there.
///
/// # Errors
/// The terminal cannot be used.
pub(super) fn ask(question: &str) -> Result<Option<Secret>, ErrorReport> {
    if !std::io::stdin().is_terminal() {
        return Ok(None);
    }
    rpassword::prompt_password(question).map(|text| Some(Secret::new(&text))).map_err(|error| {
        ErrorReport::new(Code::RequestInvalid, format!("nothing could be asked: {error}"))
            .with_fix("Use a terminal, or give it in a file")
    })
}

//! Questions to whoever sits at the terminal.

use std::io::{self, IsTerminal as _};

use waybill_shared::error::{Code, ErrorReport};

use super::output;

/// True if somebody can be asked.
pub(super) fn somebody() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// An answer in words; an empty one is the default.
///
/// # Errors
/// The terminal is gone.
pub(super) fn line(question: &str, default: &str) -> Result<String, ErrorReport> {
    let hint = if default.is_empty() { String::new() } else { format!(" [{default}]") };
    output::question(&format!("{question}{hint}:"));
    let mut answer = String::new();
    let nobody = |why: &str| {
        ErrorReport::new(Code::RequestInvalid, format!("there is no answer to {question:?}: {why}; nothing was changed"))
            .with_fix("Answer at a terminal, or give everything as options (--help)")
    };
    match io::stdin().read_line(&mut answer) {
        Ok(0) => Err(nobody("the input has ended")),
        Ok(_) if answer.trim().is_empty() => Ok(default.to_owned()),
        Ok(_) => Ok(answer.trim().to_owned()),
        Err(error) => Err(nobody(&error.to_string())),
    }
}

/// An answer that must not be empty.
///
/// # Errors
/// The terminal is gone.
pub(super) fn needed(question: &str) -> Result<String, ErrorReport> {
    loop {
        let answer = line(question, "")?;
        if !answer.is_empty() {
            return Ok(answer);
        }
    }
}

/// Yes or no.
///
/// # Errors
/// The terminal is gone.
pub(super) fn yes(question: &str, default: bool) -> Result<bool, ErrorReport> {
    let answer = line(question, if default { "yes" } else { "no" })?;
    Ok(matches!(answer.to_ascii_lowercase().as_str(), "y" | "yes"))
}

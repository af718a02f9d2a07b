//! How something ended that nobody had told to end.

use std::any::Any;

use super::panic;

/// Why something does not run any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// It said that it cannot go on.
    Error(String),
    /// A fault of the program.
    Panic(String),
    /// It was over, and should not be.
    Early,
    /// It had work to do and got no further; it was cancelled.
    Stalled(u64),
    /// It was dropped with what it ran on.
    Dropped,
}

impl Ended {
    /// In a word, for the log.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Error(_) => "error",
            Self::Panic(_) => "panic",
            Self::Early => "early return",
            Self::Stalled(_) => "stall",
            Self::Dropped => "dropped",
        }
    }

    pub(super) fn of(result: Result<Result<(), String>, Box<dyn Any + Send>>) -> Self {
        match result {
            Ok(Ok(())) => Self::Early,
            Ok(Err(error)) => Self::Error(error),
            Err(payload) => match payload.downcast::<Left>() {
                Ok(left) => Self::of(Ok(left.0)),
                Err(payload) => Self::Panic(panic::cause(payload.as_ref())),
            },
        }
    }
}

impl std::fmt::Display for Ended {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Error(error) => f.write_str(error),
            Self::Panic(cause) => write!(f, "a fault of the program: {cause}"),
            Self::Early => f.write_str("it ended, and nobody had told it to"),
            Self::Stalled(seconds) => write!(f, "it had work to do and got no further for {seconds} s"),
            Self::Dropped => f.write_str("what it ran on is gone"),
        }
    }
}

/// Carries the result of a thread that a test lets end in the middle of its work.
pub(super) struct Left(
    #[cfg_attr(not(test), allow(dead_code, reason = "only tests let threads leave so"))] pub(super) Result<(), String>,
);

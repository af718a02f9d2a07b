//! What a person can ask for. A page draws and returns these; the controller carries them out and reports the outcome.

/// One thing that was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Start the agent of this instance.
    StartAgent,
    /// Try to reach the agent now rather than when the pause is over.
    Reconnect,
    /// Take a notice off the screen.
    DismissNotice(u64),
    /// Let the agent start by itself at log-in from now on, or not.
    SetAutostart(bool),
    /// Ask the agent again how it is with autostart.
    LookAtAutostart,
}

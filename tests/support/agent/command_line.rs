//! The agent's command line, never without a deadline.

use std::fmt;
use std::io::{BufRead as _, Write as _};
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use serde_json::Value;

use super::binary;
use crate::process::{Drain, exit_within, kill};
use crate::station::Station;
use crate::wait::{USUAL, bound};

/// What a command said, and how it ended.
#[derive(Debug, Clone)]
pub struct CliOutput {
    /// How it ended.
    pub status: ExitStatus,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

impl CliOutput {
    /// True for exit code 0.
    #[must_use]
    pub fn success(&self) -> bool {
        self.status.success()
    }

    /// The exit code; `None` if a signal ended it.
    #[must_use]
    pub fn code(&self) -> Option<i32> {
        self.status.code()
    }

    /// Its standard output as JSON.
    #[must_use]
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("no JSON ({error}): {self}"))
    }
}

impl fmt::Display for CliOutput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n--- stdout\n{}\n--- stderr\n{}", self.status, self.stdout, self.stderr)
    }
}

/// Runs a command of the agent for this station; kills it and panics after 60 s.
#[track_caller]
pub fn cli(station: &Station, arguments: &[&str]) -> CliOutput {
    cli_with(station, arguments, None, USUAL)
}

/// Runs a command of the agent for this station with something on its standard input; kills it and panics after `limit`.
#[track_caller]
pub fn cli_with(station: &Station, arguments: &[&str], input: Option<&[u8]>, limit: Duration) -> CliOutput {
    let mut command = command(station);
    let stdin = if input.is_some() { Stdio::piped() } else { Stdio::null() };
    command.args(arguments).stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|error| panic!("{}: {error}", binary().display()));
    let stdout = Drain::spawn("cli-stdout", child.stdout.take().expect("a pipe"));
    let stderr = Drain::spawn("cli-stderr", child.stderr.take().expect("a pipe"));
    if let (Some(input), Some(mut pipe)) = (input, child.stdin.take()) {
        let input = input.to_owned();
        // A command that reads nothing must not block us: the thread ends with the pipe.
        let write = move || drop(pipe.write_all(&input));
        std::thread::Builder::new().name("cli-stdin".to_owned()).spawn(write).expect("a thread");
    }
    let Some(status) = exit_within(&mut child, limit) else {
        kill(&mut child);
        panic!(
            "`waybill-agent {}` did not end within {:?}\n--- stdout\n{}\n--- stderr\n{}",
            arguments.join(" "),
            bound(limit),
            stdout.text(),
            stderr.text()
        );
    };
    for pipe in [&stdout, &stderr] {
        pipe.wait_closed(Duration::from_secs(2));
    }
    CliOutput { status, stdout: stdout.text(), stderr: stderr.text() }
}

/// Runs a command whose reader goes away after the first line (`| head -1`).
#[track_caller]
pub fn cli_for_a_line(station: &Station, arguments: &[&str]) -> CliOutput {
    let mut command = command(station);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|error| panic!("{}: {error}", binary().display()));
    let stderr = Drain::spawn("cli-stderr", child.stderr.take().expect("a pipe"));
    let mut stdout = String::new();
    // It ends, or says something.
    std::io::BufReader::with_capacity(1, child.stdout.take().expect("a pipe")).read_line(&mut stdout).expect("text");
    let Some(status) = exit_within(&mut child, USUAL) else {
        kill(&mut child);
        panic!("`waybill-agent {}` did not end\n{}", arguments.join(" "), stderr.text());
    };
    stderr.wait_closed(Duration::from_secs(2));
    CliOutput { status, stdout, stderr: stderr.text() }
}

/// The agent's command with the options and the environment of a station, and nothing of `WAYBILL_…` that this process has.
#[must_use]
pub fn command(station: &Station) -> Command {
    let mut command = Command::new(binary());
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().to_ascii_uppercase().starts_with("WAYBILL_") {
            command.env_remove(name);
        }
    }
    command.arg("--data-dir").arg(station.data()).arg("--config").arg(station.config());
    command.envs(station.environment()).current_dir(station.folder());
    command
}

//! The agent as a real process: started, asked, stopped and killed.

mod binary;
mod command_line;

pub use binary::binary;
pub use command_line::{CliOutput, cli, cli_for_a_line, cli_with, command};

use std::fmt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use serde_json::Value;
use waybill_ipc::protocol::Snapshot;

use crate::conservation::{Counts, conservation};
use crate::process::{Drain, exit_within, kill};
use crate::station::Station;
use crate::wait::{USUAL, bound, holds_within};
use crate::{ipc, platform};

/// From the start of the process to its line `ready`.
const READY: Duration = Duration::from_secs(30);
/// The longest a stop may take by the design is 120 s.
const STOP: Duration = Duration::from_secs(130);

/// A running agent. Dropping it kills it; if a test fails meanwhile, its last words are printed.
pub struct Agent {
    station: Station,
    child: Child,
    stdout: Drain,
    stderr: Drain,
    ended: Option<ExitStatus>,
}

/// An agent that did not become ready.
#[derive(Debug)]
pub struct StartFailure {
    /// How it ended; `None` if it did not and was killed.
    pub status: Option<ExitStatus>,
    /// What it wrote.
    pub stdout: String,
    /// What it complained about.
    pub stderr: String,
    /// Last lines of its log.
    pub log: String,
}

impl StartFailure {
    /// The exit code, if it ended by itself.
    #[must_use]
    pub fn code(&self) -> Option<i32> {
        self.status.and_then(|status| status.code())
    }
}

impl fmt::Display for StartFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.status {
            Some(status) => writeln!(f, "it ended before it was ready: {status}")?,
            None => writeln!(f, "it was not ready within {:?} and was killed", bound(READY))?,
        }
        write!(f, "--- stdout\n{}--- stderr\n{}--- log\n{}", self.stdout, self.stderr, self.log)
    }
}

impl Agent {
    /// Starts the agent of a station and waits until it is ready. Panics with all it said if it is not.
    #[must_use]
    #[track_caller]
    pub fn start(station: &Station) -> Self {
        Self::try_start(station, |_| {}).unwrap_or_else(|failure| panic!("the agent does not start: {failure}"))
    }

    /// Starts the agent of a station; `prepare` may change the command (further arguments follow `run`).
    ///
    /// # Errors
    /// [`StartFailure`] if it does not become ready; nothing of it runs on.
    pub fn try_start(station: &Station, prepare: impl FnOnce(&mut Command)) -> Result<Self, StartFailure> {
        let mut command = command_line::command(station);
        command.arg("run").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        prepare(&mut command);
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{}: {error}", binary().display()));
        let stdout = Drain::spawn("agent-stdout", child.stdout.take().expect("a pipe"));
        let stderr = Drain::spawn("agent-stderr", child.stderr.take().expect("a pipe"));
        if stdout.wait_for_line("ready", READY) {
            return Ok(Self { station: station.clone(), child, stdout, stderr, ended: None });
        }
        let status = exit_within(&mut child, Duration::from_secs(1));
        if status.is_none() {
            kill(&mut child);
        }
        stderr.wait_closed(Duration::from_secs(2));
        Err(StartFailure { status, stdout: stdout.text(), stderr: stderr.text(), log: station.log_tail(40) })
    }

    /// Process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// False once it has ended, by whatever way.
    pub fn is_running(&mut self) -> bool {
        self.exit_within(Duration::ZERO).is_none()
    }

    /// Ends it at once, as a power cut does for the process (SIGKILL, `TerminateProcess`).
    pub fn kill(&mut self) {
        let status = kill(&mut self.child);
        self.ended.get_or_insert(status);
    }

    /// Stops it by the command line and gives how the process ended; panics if it does not within 130 s.
    #[track_caller]
    pub fn stop(&mut self) -> ExitStatus {
        let output = cli_with(&self.station, &["stop"], None, STOP);
        let status = self.exit_within(STOP);
        status.unwrap_or_else(|| panic!("the agent does not stop; `stop` said: {output}\n{}", self.last_words()))
    }

    /// Asks it to stop as a service manager does (SIGTERM), and returns at once.
    ///
    /// # Errors
    /// `Unsupported` on Windows.
    pub fn terminate(&self) -> std::io::Result<()> {
        platform::terminate(self.living())
    }

    /// Asks it to stop as a person at its terminal does (SIGINT), and returns at once.
    ///
    /// # Errors
    /// `Unsupported` on Windows.
    pub fn interrupt(&self) -> std::io::Result<()> {
        platform::interrupt(self.living())
    }

    /// Freezes it where it stands, as a hung process looks from outside.
    ///
    /// # Errors
    /// `Unsupported` on Windows.
    pub fn suspend(&self) -> std::io::Result<()> {
        platform::suspend(self.living())
    }

    /// Lets it go on after [`Agent::suspend`].
    ///
    /// # Errors
    /// `Unsupported` on Windows.
    pub fn resume(&self) -> std::io::Result<()> {
        platform::resume(self.living())
    }

    /// How it ended, if it does within `limit`.
    pub fn exit_within(&mut self, limit: Duration) -> Option<ExitStatus> {
        if self.ended.is_none() {
            self.ended = exit_within(&mut self.child, limit);
        }
        self.ended
    }

    /// How it ended; panics if it does not within `limit`.
    #[track_caller]
    pub fn wait_exit(&mut self, limit: Duration) -> ExitStatus {
        let status = self.exit_within(limit);
        status.unwrap_or_else(|| panic!("the agent runs on after {:?}\n{}", bound(limit), self.last_words()))
    }

    /// What `status --json` says.
    #[must_use]
    #[track_caller]
    pub fn status(&self) -> Value {
        let output = cli(&self.station, &["status", "--json"]);
        assert!(output.success(), "status --json: {output}\n{}", self.last_words());
        output.json()
    }

    /// The books as `status --json` shows them.
    #[must_use]
    #[track_caller]
    pub fn counts(&self) -> Counts {
        conservation(&self.status())
    }

    /// The status over IPC.
    #[must_use]
    #[track_caller]
    pub fn snapshot(&self) -> Snapshot {
        ipc::ipc_client(&self.station).status()
    }

    /// Waits until the status over IPC is as wanted, and gives it; panics after 60 s with the books.
    #[track_caller]
    pub fn wait_for(&self, what: &str, mut condition: impl FnMut(&Snapshot) -> bool) -> Snapshot {
        let client = ipc::ipc_client(&self.station);
        let mut snapshot = client.status();
        let holds = holds_within(USUAL, || {
            if condition(&snapshot) {
                return true;
            }
            snapshot = client.status();
            false
        });
        if !holds {
            let status = serde_json::to_value(&snapshot).expect("a snapshot is serialisable");
            panic!("waited {:?} in vain until {what}\n{}\n{}", bound(USUAL), conservation(&status), self.last_words());
        }
        snapshot
    }

    /// What it wrote to its standard output so far.
    #[must_use]
    pub fn stdout(&self) -> String {
        self.stdout.text()
    }

    /// What it wrote to its standard error so far.
    #[must_use]
    pub fn stderr(&self) -> String {
        self.stderr.text()
    }

    /// Memory in RAM now, in bytes. `None` where the OS does not tell.
    #[must_use]
    pub fn resident_bytes(&self) -> Option<u64> {
        platform::resident_bytes(self.living()).map(|(now, _)| now)
    }

    /// Most memory in RAM so far, in bytes. `None` where the OS does not tell.
    #[must_use]
    pub fn peak_resident_bytes(&self) -> Option<u64> {
        platform::resident_bytes(self.living()).map(|(_, peak)| peak)
    }

    /// Open descriptors. `None` where the OS does not tell.
    #[must_use]
    pub fn open_descriptors(&self) -> Option<usize> {
        platform::open_descriptors(self.living())
    }

    /// Processor time used so far. `None` where the OS does not tell.
    #[must_use]
    pub fn cpu_time(&self) -> Option<Duration> {
        platform::cpu_time(self.living())
    }

    /// The pid, which names this agent only as long as it was not reaped.
    #[track_caller]
    fn living(&self) -> u32 {
        assert!(self.ended.is_none(), "the agent has ended already");
        self.pid()
    }

    fn last_words(&self) -> String {
        format!("--- agent's stderr\n{}--- agent's log\n{}", self.stderr.text(), self.station.log_tail(40))
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.last_words());
        }
        if self.ended.is_none() {
            kill(&mut self.child);
        }
    }
}

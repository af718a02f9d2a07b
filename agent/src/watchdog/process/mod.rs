//! A process of this machine, known by its number and the moment of its start: a number alone may belong to somebody else by now.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "linux")]
use linux as os;
#[cfg(target_os = "macos")]
mod macos;
#[cfg(target_os = "macos")]
use macos as os;
#[cfg(windows)]
mod windows;
#[cfg(windows)]
use windows as os;

use std::io;
use std::process::Command;

use serde::{Deserialize, Serialize};

/// Which process it is, for as long as this machine is not started anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Its number.
    pub pid: u32,
    /// When it started, in the OS's own unit: ticks since the machine's start (Linux), microseconds since 1970 (macOS), 100 ns since 1601
    /// (Windows). Good for comparing only.
    pub started: u64,
}

/// What a process uses. What the OS does not tell is absent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Memory in RAM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resident_bytes: Option<u64>,
    /// Processor time so far, of all its threads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_ms: Option<u64>,
    /// Threads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threads: Option<u64>,
    /// Open descriptors, or handles.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub descriptors: Option<u64>,
}

/// A process that was alive when this was made. What is done to it is done to it and to no other, even if its number is used again.
#[derive(Debug)]
pub struct Process {
    identity: Identity,
    handle: os::Handle,
}

impl Process {
    /// The process that has this number now; none if there is none, or it has ended.
    ///
    /// # Errors
    /// The OS does not let us look at it.
    pub fn of(pid: u32) -> io::Result<Option<Self>> {
        let opened = os::open(pid)?;
        Ok(opened.map(|(handle, started)| Self { identity: Identity { pid, started }, handle }))
    }

    /// A process that was seen before; none if it has ended, also if its number belongs to another one by now.
    ///
    /// # Errors
    /// As for [`Process::of`].
    pub fn known(identity: Identity) -> io::Result<Option<Self>> {
        Ok(Self::of(identity.pid)?.filter(|process| process.identity == identity))
    }

    /// Which one it is.
    #[must_use]
    pub fn identity(&self) -> Identity {
        self.identity
    }

    /// True once it has ended, reaped or not.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        os::has_ended(&self.handle, self.identity)
    }

    /// How it ended, where the OS tells that to others than its parent.
    #[must_use]
    pub fn exit_code(&self) -> Option<i32> {
        os::exit_code(&self.handle)
    }

    /// Asks it to stop: SIGTERM, or the console's Ctrl-Break.
    ///
    /// # Errors
    /// It has ended, or the OS has no way to ask (a process without our console on Windows).
    pub fn ask_to_stop(&self) -> io::Result<()> {
        os::ask_to_stop(&self.handle, self.identity)
    }

    /// Ends it at once, and whatever it started and those started: nothing of it goes on with its files.
    ///
    /// # Errors
    /// The OS does not let us end the process itself.
    pub fn kill_tree(&self) -> io::Result<()> {
        // Looked up before: the children of a process that has ended are nobody's.
        let below = os::descendants(self.identity);
        let killed = os::kill(&self.handle, self.identity);
        for process in below {
            // Most of them have ended with it; one that may not be ended holds up nothing.
            let _ended_already = os::kill(&process.handle, process.identity);
        }
        killed
    }

    /// What it uses now. All of it is absent once it has ended.
    #[must_use]
    pub fn usage(&self) -> Usage {
        if self.has_ended() { Usage::default() } else { os::usage(&self.handle, self.identity) }
    }
}

/// Makes a process that is started by this command one that signals meant for us pass by: it is stopped in order, by us.
pub fn apart(command: &mut Command) {
    os::apart(command);
}

/// The processes below one, of all processes by number and parent.
fn below(root: u32, all: &[(u32, u32)]) -> Vec<u32> {
    let mut found = vec![root];
    let mut looked = 0;
    while looked < found.len() {
        let parent = found[looked];
        looked += 1;
        for &(pid, _) in all.iter().filter(|(_, above)| *above == parent) {
            if !found.contains(&pid) {
                found.push(pid);
            }
        }
    }
    found.split_off(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_known_by_number_and_start_and_uses_something() {
        let own = Process::of(std::process::id()).unwrap().unwrap();
        assert!(!own.has_ended());
        assert_eq!(Process::known(own.identity()).unwrap().unwrap().identity(), own.identity());
        let another = Identity { started: own.identity().started + 1, ..own.identity() };
        assert!(Process::known(another).unwrap().is_none(), "the same number, another process");
        let usage = own.usage();
        assert!(usage.resident_bytes.is_none_or(|bytes| bytes > 0) && usage.threads.is_none_or(|threads| threads > 0));
    }

    #[test]
    fn all_below_a_process_are_found_and_nobody_else() {
        let all = [(1, 0), (10, 1), (11, 10), (12, 10), (13, 12), (20, 1), (0, 0), (10, 10)];
        assert_eq!(below(10, &all), [11, 12, 13]);
        assert!(below(20, &all).is_empty());
    }
}

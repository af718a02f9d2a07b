//! Windows: no console, a process group of its own, and outside our job, which may end all of its processes with ours.

use std::io;
use std::os::windows::process::CommandExt as _;
use std::process::{Child, Command};

// Process creation flags as documented for `CreateProcess`.
const DETACHED_PROCESS: u32 = 0x0000_0008;
const CREATE_NEW_PROCESS_GROUP: u32 = 0x0000_0200;
const CREATE_BREAKAWAY_FROM_JOB: u32 = 0x0100_0000;
const CREATE_NO_WINDOW: u32 = 0x0800_0000;

const DETACHED: u32 = CREATE_NO_WINDOW | DETACHED_PROCESS | CREATE_NEW_PROCESS_GROUP;

pub(super) fn spawn_detached(command: &mut Command) -> io::Result<Child> {
    match command.creation_flags(DETACHED | CREATE_BREAKAWAY_FROM_JOB).spawn() {
        // The job does not let its processes go: within it is better than not at all.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => command.creation_flags(DETACHED).spawn(),
        outcome => outcome,
    }
}

//! Unix: a process group of its own, so that signals meant for the window or its terminal pass the agent by.

use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command};

pub(super) fn spawn_detached(command: &mut Command) -> io::Result<Child> {
    command.process_group(0).spawn()
}

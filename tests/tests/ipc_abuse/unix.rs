//! Limits of descriptors; the same signatures as in `windows.rs`.

#![allow(unsafe_code, reason = "limits have no safe binding in std")]

use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

/// Lets this process have so many descriptors; says why not if it may not.
pub fn allow_descriptors(wanted: u64) -> Result<(), String> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the pointer is to a live rlimit of ours, which the call fills.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) } != 0 {
        return Err(io::Error::last_os_error().to_string());
    }
    if limit.rlim_cur >= wanted {
        return Ok(());
    }
    if limit.rlim_max < wanted {
        return Err(format!("this process may have {} descriptors, {wanted} are needed", limit.rlim_max));
    }
    limit.rlim_cur = wanted;
    // SAFETY: the pointer is to a live rlimit of ours, which the call only reads.
    if unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) } == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error().to_string())
    }
}

/// Lets a process that is to be started have no more than so many descriptors. False where that cannot be.
pub fn limit_descriptors(command: &mut Command, most: u64) -> bool {
    let limit = libc::rlimit { rlim_cur: most, rlim_max: most };
    let set = move || {
        // SAFETY: the pointer is to a live rlimit of ours, which the call only reads.
        if unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) } == 0 {
            Ok(())
        } else {
            Err(io::Error::last_os_error())
        }
    };
    // SAFETY: between fork and exec it makes one system call, which is safe there, and touches nothing of this process.
    unsafe { command.pre_exec(set) };
    true
}

//! Windows sets no limit to a process's handles; the same signatures as in `unix.rs`.

use std::process::Command;

/// Lets this process have so many descriptors.
pub fn allow_descriptors(_wanted: u64) -> Result<(), String> {
    Ok(())
}

/// Lets a process that is to be started have no more than so many descriptors. False where that cannot be.
pub fn limit_descriptors(_command: &mut Command, _most: u64) -> bool {
    false
}

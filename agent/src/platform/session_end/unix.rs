//! Linux and macOS: the session manager sends SIGTERM, which is heard with the other signals, and waits for the process.

use std::io;

/// Calls `tell` when the session ends. Nothing has to be watched for that here.
///
/// # Errors
/// None here.
pub fn watch(tell: impl Fn() + Send + 'static) -> io::Result<()> {
    drop(tell);
    Ok(())
}

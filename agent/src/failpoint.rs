//! Places at which a test ends the process, as a power cut or a kill would: whatever is on disk at that moment is all there is.
//!
//! A test starts its own program again with `WAYBILL_FAILPOINT` set to the name of a place, and looks at what is left. The programs that are
//! shipped hold nothing of this.

/// Environment variable that names the place at which a test process ends.
#[cfg(test)]
pub const VARIABLE: &str = "WAYBILL_FAILPOINT";

/// How a test process ends there, so that it cannot be taken for one that failed otherwise.
#[cfg(test)]
pub const EXIT: i32 = 86;

/// Ends the process here, without any cleaning up, if a test asked for it.
#[cfg(test)]
pub fn hit(name: &str) {
    if std::env::var_os(VARIABLE).is_some_and(|wanted| wanted == name) {
        std::process::exit(EXIT);
    }
}

/// Nothing: only tests end a process here.
#[cfg(not(test))]
#[inline(always)]
pub fn hit(_name: &str) {}

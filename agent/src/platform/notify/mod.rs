//! What a service manager wants to be told, by systemd's protocol: datagrams of `NAME=value` lines to the socket that the environment names
//! (sd_notify(3)). Where there is no such manager, nothing is said and nothing fails.
//!
//! A datagram that cannot be sent is not worth stopping for: the manager then goes by its own deadlines. It is told once in the log.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "linux")]
use linux as os;
#[cfg(not(target_os = "linux"))]
mod other;
#[cfg(not(target_os = "linux"))]
use other as os;

use std::ffi::OsString;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Where the socket is.
const SOCKET: &str = "NOTIFY_SOCKET";
/// Within how many microseconds the manager wants a sign of life.
const WATCHDOG: &str = "WATCHDOG_USEC";
/// Whom it wants it from.
const WATCHDOG_PID: &str = "WATCHDOG_PID";

/// The variables by which a service manager speaks to the process that it started, and to no other below that.
pub const VARIABLES: [&str; 3] = [SOCKET, WATCHDOG, WATCHDOG_PID];

/// The way to the service manager. Clones are the same way.
#[derive(Clone, Default)]
pub struct Notify(Option<Arc<Way>>);

struct Way {
    socket: os::Socket,
    watchdog: Option<Duration>,
    stops: AtomicBool,
    told: AtomicBool,
}

impl Notify {
    /// The way that the environment names, if it does.
    ///
    /// # Errors
    /// A sentence, if it names one that cannot be gone: nobody is told anything then.
    pub fn from_environment() -> Result<Self, String> {
        Self::new(|name| std::env::var_os(name), std::process::id())
    }

    /// To a socket of a test, which wants two signs of life within that time.
    #[cfg(all(test, target_os = "linux"))]
    pub(crate) fn to(socket: &std::path::Path, within: Duration) -> Self {
        let micros = within.as_micros().to_string();
        let variable = |name: &str| match name {
            SOCKET => Some(socket.as_os_str().to_owned()),
            WATCHDOG => Some(micros.clone().into()),
            _ => None,
        };
        Self::new(variable, 1).unwrap_or_default()
    }

    fn new(variable: impl Fn(&str) -> Option<OsString>, own_pid: u32) -> Result<Self, String> {
        let Some(name) = variable(SOCKET).filter(|name| !name.is_empty()) else { return Ok(Self(None)) };
        let text = |name: &str| variable(name).and_then(|value| value.into_string().ok());
        let watchdog = watchdog(text(WATCHDOG).as_deref(), text(WATCHDOG_PID).as_deref(), own_pid);
        let socket =
            os::open(&name).map_err(|error| format!("the service manager is told nothing: {SOCKET} is {name:?}: {error}"))?;
        Ok(Self(Some(Arc::new(Way { socket, watchdog, stops: AtomicBool::new(false), told: AtomicBool::new(false) }))))
    }

    /// True if somebody wants to be told.
    #[must_use]
    pub fn is_wanted(&self) -> bool {
        self.0.is_some()
    }

    /// How often a sign of life is due: twice within the time that the manager waits for one. None if it wants none, or wants it from another process.
    #[must_use]
    pub fn sign_of_life_every(&self) -> Option<Duration> {
        self.0.as_ref()?.watchdog.map(|within| within / 2)
    }

    /// It serves.
    pub fn ready(&self) {
        self.send(&format!("READY=1\nMAINPID={}\nSTATUS=at work", std::process::id()));
    }

    /// What a person reads in the manager's list.
    pub fn status(&self, text: &str) {
        self.send(&format!("STATUS={}", text.replace('\n', " ")));
    }

    /// It makes progress.
    pub fn sign_of_life(&self) {
        self.send("WATCHDOG=1");
    }

    /// A stop has begun; said once.
    pub fn stopping(&self) {
        if self.0.as_ref().is_some_and(|way| !way.stops.swap(true, Ordering::AcqRel)) {
            self.send("STOPPING=1\nSTATUS=stopping");
        }
    }

    /// What it is at takes so much longer from now.
    pub fn extend(&self, by: Duration) {
        self.send(&format!("EXTEND_TIMEOUT_USEC={}", by.as_micros()));
    }

    fn send(&self, text: &str) {
        let Some(way) = &self.0 else { return };
        match os::send(&way.socket, text.as_bytes()) {
            Ok(()) => way.told.store(false, Ordering::Relaxed),
            Err(error) => {
                if !way.told.swap(true, Ordering::Relaxed) {
                    tracing::warn!(event = "service_manager_not_told", said = text, %error, "the service manager could not be told");
                }
            }
        }
    }
}

/// Within which time a sign of life is wanted from this process; sd_watchdog_enabled(3).
fn watchdog(within: Option<&str>, of: Option<&str>, own_pid: u32) -> Option<Duration> {
    if of.is_some_and(|pid| pid.parse() != Ok(own_pid)) {
        return None;
    }
    within?.parse().ok().filter(|micros| (1..u64::MAX).contains(micros)).map(Duration::from_micros)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sign_of_life_is_wanted_from_the_process_that_is_named_or_from_whoever_is_started() {
        let second = Some(Duration::from_secs(1));
        for (within, of, wanted) in [
            (Some("1000000"), None, second),
            (Some("1000000"), Some("42"), second),
            (Some("1000000"), Some("43"), None),
            (Some("1000000"), Some(""), None),
            (Some("0"), None, None),
            (Some("soon"), None, None),
            (Some("18446744073709551615"), None, None),
            (None, None, None),
        ] {
            assert_eq!(watchdog(within, of, 42), wanted, "{within:?} {of:?}");
        }
    }

    #[test]
    fn without_a_service_manager_nothing_is_said_and_nothing_fails() {
        let unheard = Notify::new(|_| None, 1).unwrap();
        assert!(!unheard.is_wanted() && unheard.sign_of_life_every().is_none());
        unheard.ready();
        unheard.stopping();
        assert!(!Notify::new(|name| (name == SOCKET).then(OsString::new), 1).unwrap().is_wanted());
        let strange = Notify::new(|name| (name == SOCKET).then(|| "vsock:2:1234".into()), 1).err().unwrap();
        assert!(strange.contains("vsock:2:1234"), "{strange}");
    }
}

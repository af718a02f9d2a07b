//! A process that is a service: what the service control manager is told, and what it tells.
//!
//! The manager allows one dispatcher a process, and calls functions without a context that could be ours: what they need lies in [`OURS`]. A
//! stop is told as pending with growing checkpoints until the agent has stopped, however long it takes within its own limits.

use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use waybill_shared::error::{Code, ErrorReport, Exit};
use windows_sys::Win32::Foundation::{ERROR_CALL_NOT_IMPLEMENTED, ERROR_SERVICE_SPECIFIC_ERROR, NO_ERROR};
use windows_sys::Win32::System::Services::{
    RegisterServiceCtrlHandlerExW, SERVICE_ACCEPT_PRESHUTDOWN, SERVICE_ACCEPT_SHUTDOWN, SERVICE_ACCEPT_STOP,
    SERVICE_CONTROL_INTERROGATE, SERVICE_CONTROL_PRESHUTDOWN, SERVICE_CONTROL_SHUTDOWN, SERVICE_CONTROL_STOP, SERVICE_RUNNING,
    SERVICE_START_PENDING, SERVICE_STATUS, SERVICE_STATUS_CURRENT_STATE, SERVICE_STATUS_HANDLE, SERVICE_STOP_PENDING,
    SERVICE_STOPPED, SERVICE_TABLE_ENTRYW, SERVICE_WIN32_OWN_PROCESS, SetServiceStatus, StartServiceCtrlDispatcherW,
};

use super::manager::wide;
use crate::platform::service::Session;
use crate::shutdown::{self, StopRequests};

/// How often the manager is told that a start or a stop goes on.
const CHECKPOINT: Duration = Duration::from_secs(2);
/// How long it may wait for the next time, in milliseconds.
const HINT: u32 = 20_000;

type Body = Box<dyn FnOnce(Session) -> Exit + Send>;

/// What the manager's calls need.
static OURS: OnceLock<Ours> = OnceLock::new();

struct Ours {
    name: Vec<u16>,
    body: Mutex<Option<Body>>,
    stop: StopRequests,
    asked: shutdown::StopAsked,
    told: Arc<Told>,
    exit: OnceLock<Exit>,
}

/// What the manager was told last. The lock keeps what it is told in order.
struct Told {
    now: Mutex<Now>,
    changed: Condvar,
}

struct Now {
    handle: usize,
    state: SERVICE_STATUS_CURRENT_STATE,
    checkpoint: u32,
}

pub(super) fn run(name: &str, body: Body) -> Result<Exit, ErrorReport> {
    let (stop, asked) = shutdown::channel();
    let now = Now { handle: 0, state: SERVICE_START_PENDING, checkpoint: 0 };
    let told = Arc::new(Told { now: Mutex::new(now), changed: Condvar::new() });
    let ours = Ours { name: wide(name), body: Mutex::new(Some(body)), stop, asked, told, exit: OnceLock::new() };
    if OURS.set(ours).is_err() {
        return Err(ErrorReport::new(Code::Internal, "this process is a service already"));
    }
    let mut name = wide(name);
    let table = [
        SERVICE_TABLE_ENTRYW { lpServiceName: name.as_mut_ptr(), lpServiceProc: Some(service_main) },
        SERVICE_TABLE_ENTRYW::default(),
    ];
    #[allow(unsafe_code, reason = "services have no binding in std")]
    // SAFETY: the table ends with an empty entry and lives over the call, which returns when the service has stopped.
    if unsafe { StartServiceCtrlDispatcherW(table.as_ptr()) } == 0 {
        let error = std::io::Error::last_os_error();
        let message = format!("no service manager has started this process: {error}");
        return Err(ErrorReport::new(Code::ServiceManagerMissing, message)
            .with_fix("Use `waybill-agent service start`, or `waybill-agent run` in a terminal"));
    }
    OURS.get()
        .and_then(|ours| ours.exit.get().copied())
        .ok_or_else(|| ErrorReport::new(Code::Internal, "the service has not run"))
}

/// Called by the manager on a thread of its own.
#[allow(unsafe_code, reason = "the manager calls it")]
unsafe extern "system" fn service_main(_count: u32, _arguments: *mut windows_sys::core::PWSTR) {
    let Some(ours) = OURS.get() else { return };
    // SAFETY: the name ends in NUL and lives as long as the process; the handler is a function of the right form.
    let handle = unsafe { RegisterServiceCtrlHandlerExW(ours.name.as_ptr(), Some(handler), std::ptr::null()) };
    if handle.is_null() {
        return;
    }
    ours.told.begin(handle);
    let telling = Arc::clone(&ours.told);
    // Ends when the service has stopped. Without it the manager would give up a start or a stop that takes long.
    let _told_once_at_least = crate::supervisor::spawn("service-status", move || telling.keep_telling());
    let body = ours.body.lock().unwrap_or_else(PoisonError::into_inner).take();
    let Some(body) = body else { return };
    let ready = Arc::clone(&ours.told);
    let session = Session {
        stop: ours.stop.clone(),
        asked: ours.asked.clone(),
        ready: Box::new(move || ready.change(SERVICE_RUNNING, None)),
    };
    // A fault may not leave the manager waiting for ever.
    let exit = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| body(session))).unwrap_or(Exit::Internal);
    // Read by whoever called `run`, which returns after the next line.
    let _first = ours.exit.set(exit);
    ours.told.change(SERVICE_STOPPED, Some(exit));
}

/// Called by the manager when it wants something. Must return at once.
#[allow(unsafe_code, reason = "the manager calls it")]
unsafe extern "system" fn handler(
    control: u32,
    _kind: u32,
    _data: *mut core::ffi::c_void,
    _context: *mut core::ffi::c_void,
) -> u32 {
    let Some(ours) = OURS.get() else { return NO_ERROR };
    let by = match control {
        SERVICE_CONTROL_STOP => "service stop",
        SERVICE_CONTROL_PRESHUTDOWN => "system preshutdown",
        SERVICE_CONTROL_SHUTDOWN => "system shutdown",
        SERVICE_CONTROL_INTERROGATE => return NO_ERROR,
        _ => return ERROR_CALL_NOT_IMPLEMENTED,
    };
    ours.told.change(SERVICE_STOP_PENDING, None);
    ours.stop.ask(by);
    NO_ERROR
}

impl Told {
    fn begin(&self, handle: SERVICE_STATUS_HANDLE) {
        let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        now.handle = handle as usize;
        now.tell(None);
    }

    /// Tells a new state. One that goes back (running after a stop has begun) is none.
    fn change(&self, state: SERVICE_STATUS_CURRENT_STATE, exit: Option<Exit>) {
        let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        if now.state == SERVICE_STOPPED || (state == SERVICE_RUNNING && now.state != SERVICE_START_PENDING) {
            return;
        }
        if now.state != state {
            (now.state, now.checkpoint) = (state, 0);
        }
        now.tell(exit);
        self.changed.notify_all();
    }

    /// While a start or a stop goes on, says so again and again.
    fn keep_telling(&self) {
        let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        while now.state != SERVICE_STOPPED {
            now = if now.state == SERVICE_RUNNING {
                // Nothing to tell; a change wakes us.
                self.changed.wait(now).unwrap_or_else(PoisonError::into_inner)
            } else {
                now.tell(None);
                self.changed.wait_timeout(now, CHECKPOINT).unwrap_or_else(PoisonError::into_inner).0
            };
        }
    }
}

impl Now {
    /// Tells the manager.
    fn tell(&mut self, exit: Option<Exit>) {
        if self.handle == 0 {
            return;
        }
        let status = self.next(exit);
        #[allow(unsafe_code, reason = "services have no binding in std")]
        // SAFETY: the handle came from the manager and stays valid as long as the process; the structure lives over the call.
        let _nothing_else_to_do = unsafe { SetServiceStatus(self.handle as SERVICE_STATUS_HANDLE, &raw const status) };
    }

    /// What to tell next: one checkpoint more while something goes on.
    fn next(&mut self, exit: Option<Exit>) -> SERVICE_STATUS {
        let goes_on = matches!(self.state, SERVICE_START_PENDING | SERVICE_STOP_PENDING);
        if goes_on {
            self.checkpoint += 1;
        }
        // What was cut off at a stop is no failure: nothing is lost, and it was asked to stop.
        let code = exit.filter(|exit| !matches!(exit, Exit::Ok | Exit::Forced)).map_or(0, |exit| exit as u32);
        let accepted = if matches!(self.state, SERVICE_RUNNING | SERVICE_STOP_PENDING) {
            SERVICE_ACCEPT_STOP | SERVICE_ACCEPT_PRESHUTDOWN | SERVICE_ACCEPT_SHUTDOWN
        } else {
            0
        };
        SERVICE_STATUS {
            dwServiceType: SERVICE_WIN32_OWN_PROCESS,
            dwCurrentState: self.state,
            dwControlsAccepted: accepted,
            dwWin32ExitCode: if code == 0 { NO_ERROR } else { ERROR_SERVICE_SPECIFIC_ERROR },
            dwServiceSpecificExitCode: code,
            dwCheckPoint: if goes_on { self.checkpoint } else { 0 },
            dwWaitHint: if goes_on { HINT } else { 0 },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now(state: SERVICE_STATUS_CURRENT_STATE) -> Now {
        Now { handle: 0, state, checkpoint: 0 }
    }

    #[test]
    fn a_service_that_stops_says_so_with_growing_checkpoints() {
        let mut stopping = now(SERVICE_STOP_PENDING);
        let told: Vec<u32> = (0..3).map(|_| stopping.next(None).dwCheckPoint).collect();
        assert_eq!(told, [1, 2, 3]);
        assert!(u128::from(stopping.next(None).dwWaitHint) > 2 * CHECKPOINT.as_millis());
        let running = now(SERVICE_RUNNING).next(None);
        assert_eq!((running.dwCheckPoint, running.dwWaitHint), (0, 0));
        assert_ne!(running.dwControlsAccepted & SERVICE_ACCEPT_PRESHUTDOWN, 0);
        assert_eq!(now(SERVICE_START_PENDING).next(None).dwControlsAccepted, 0, "a service that starts takes no orders");
    }

    #[test]
    fn only_an_end_that_nobody_asked_for_sets_the_recovery_of_a_service_going() {
        for (exit, code) in [(Exit::Ok, 0), (Exit::Forced, 0), (Exit::RestartWanted, 12), (Exit::Configuration, 5)] {
            let told = now(SERVICE_STOPPED).next(Some(exit));
            assert_eq!(told.dwServiceSpecificExitCode, code, "{exit:?}");
            assert_eq!(told.dwWin32ExitCode == NO_ERROR, code == 0, "{exit:?}");
        }
    }

    #[test]
    fn a_service_never_goes_back_from_stopping_to_running() {
        let told = Told { now: Mutex::new(now(SERVICE_START_PENDING)), changed: Condvar::new() };
        let state = || told.now.lock().unwrap().state;
        told.change(SERVICE_STOP_PENDING, None);
        told.change(SERVICE_RUNNING, None);
        assert_eq!(state(), SERVICE_STOP_PENDING);
        told.change(SERVICE_STOPPED, Some(Exit::Ok));
        told.change(SERVICE_STOP_PENDING, None);
        assert_eq!(state(), SERVICE_STOPPED);
    }
}

//! The service control manager, asked from outside.

use std::io;
use std::time::{Duration, Instant};

use waybill_shared::error::ErrorReport;
use windows_sys::Win32::Foundation::{
    ERROR_ACCESS_DENIED, ERROR_INVALID_LEVEL, ERROR_SERVICE_DOES_NOT_EXIST, ERROR_SERVICE_MARKED_FOR_DELETE,
    ERROR_SERVICE_SPECIFIC_ERROR,
};
use windows_sys::Win32::System::Services::{
    ChangeServiceConfig2W, ChangeServiceConfigW, CloseServiceHandle, ControlService, CreateServiceW, DeleteService,
    OpenSCManagerW, OpenServiceW, QUERY_SERVICE_CONFIGW, QueryServiceConfigW, QueryServiceStatusEx, SC_ACTION, SC_ACTION_RESTART,
    SC_HANDLE, SC_MANAGER_CONNECT, SC_MANAGER_CREATE_SERVICE, SC_STATUS_PROCESS_INFO, SERVICE_ALL_ACCESS, SERVICE_AUTO_START,
    SERVICE_CONFIG, SERVICE_CONFIG_DELAYED_AUTO_START_INFO, SERVICE_CONFIG_DESCRIPTION, SERVICE_CONFIG_FAILURE_ACTIONS,
    SERVICE_CONFIG_FAILURE_ACTIONS_FLAG, SERVICE_CONFIG_PRESHUTDOWN_INFO, SERVICE_CONTROL_STOP, SERVICE_DELAYED_AUTO_START_INFO,
    SERVICE_DESCRIPTIONW, SERVICE_ERROR_NORMAL, SERVICE_FAILURE_ACTIONS_FLAG, SERVICE_FAILURE_ACTIONSW, SERVICE_NO_CHANGE,
    SERVICE_PRESHUTDOWN_INFO, SERVICE_QUERY_CONFIG, SERVICE_QUERY_STATUS, SERVICE_RUNNING, SERVICE_START_PENDING, SERVICE_STATUS,
    SERVICE_STATUS_PROCESS, SERVICE_STOP_PENDING, SERVICE_STOPPED, SERVICE_WIN32_OWN_PROCESS, StartServiceW,
};

use crate::platform::service::{ServiceState, ServiceStatus, failed};

/// Longest time for a start; opening a large queue after a power cut takes its time.
const START: Duration = Duration::from_secs(300);
/// How often a start or a stop is looked at.
const LOOK: Duration = Duration::from_millis(100);

/// After how long a service that failed is started again, the first time, the second, and from then on.
const AGAIN: [Duration; 3] = [Duration::from_secs(5), Duration::from_secs(30), Duration::from_secs(60)];
/// After how long without a failure that counts from the beginning, in seconds.
const FORGET: u32 = 24 * 60 * 60;

/// What a service is to be.
pub(super) struct Wanted {
    /// Its command line.
    pub command: String,
    /// Its name for people.
    pub shown: String,
    /// What it does.
    pub description: String,
}

/// A handle that is closed when it is not needed any more.
struct Handle(SC_HANDLE);

impl Drop for Handle {
    fn drop(&mut self) {
        #[allow(unsafe_code, reason = "services have no binding in std")]
        // SAFETY: the handle is open and is used no more.
        unsafe {
            CloseServiceHandle(self.0);
        }
    }
}

/// An open conversation with the service control manager.
pub(super) struct Manager {
    handle: Handle,
    changes: bool,
}

/// A service that is known there.
pub(super) struct Service {
    handle: Handle,
    name: String,
}

/// How it is at a moment.
pub(super) struct Now(SERVICE_STATUS_PROCESS);

impl Now {
    pub(super) fn is_up(&self) -> bool {
        self.0.dwCurrentState != SERVICE_STOPPED
    }

    fn state(&self) -> ServiceState {
        match self.0.dwCurrentState {
            SERVICE_STOPPED if self.0.dwWin32ExitCode == 0 || self.0.dwWin32ExitCode == NEVER_STARTED => ServiceState::Stopped,
            SERVICE_STOPPED => ServiceState::Failed,
            SERVICE_START_PENDING => ServiceState::Starting,
            SERVICE_STOP_PENDING => ServiceState::Stopping,
            _ => ServiceState::Running,
        }
    }

    /// How it ended, in words.
    fn ended(&self) -> String {
        match self.0.dwWin32ExitCode {
            ERROR_SERVICE_SPECIFIC_ERROR => format!("It ended with exit code {}", self.0.dwServiceSpecificExitCode),
            code => format!("It ended: {}", io::Error::from_raw_os_error(code.cast_signed())),
        }
    }
}

/// The exit code of a service that has not run since the machine started (`ERROR_SERVICE_NEVER_STARTED`).
const NEVER_STARTED: u32 = 1077;

impl Manager {
    /// Opens it; `changes` needs an administrator.
    pub(super) fn open(changes: bool) -> Result<Self, ErrorReport> {
        let access = if changes { SC_MANAGER_CONNECT | SC_MANAGER_CREATE_SERVICE } else { SC_MANAGER_CONNECT };
        #[allow(unsafe_code, reason = "services have no binding in std")]
        // SAFETY: both names may be null: this machine, the active database.
        let handle = unsafe { OpenSCManagerW(std::ptr::null(), std::ptr::null(), access) };
        if handle.is_null() {
            return Err(last("the service control manager does not answer"));
        }
        Ok(Self { handle: Handle(handle), changes })
    }

    /// The service of a name; none if there is none.
    pub(super) fn service(&self, name: &str) -> Result<Option<Service>, ErrorReport> {
        let access = if self.changes { SERVICE_ALL_ACCESS } else { SERVICE_QUERY_CONFIG | SERVICE_QUERY_STATUS };
        #[allow(unsafe_code, reason = "services have no binding in std")]
        // SAFETY: the manager is open; the name ends in NUL and lives over the call.
        let handle = unsafe { OpenServiceW(self.handle.0, wide(name).as_ptr(), access) };
        if !handle.is_null() {
            return Ok(Some(Service { handle: Handle(handle), name: name.to_owned() }));
        }
        match io::Error::last_os_error().raw_os_error() {
            Some(code) if code.cast_unsigned() == ERROR_SERVICE_DOES_NOT_EXIST => Ok(None),
            _ => Err(last(&format!("the service {name} cannot be opened"))),
        }
    }

    /// Makes a service.
    pub(super) fn create(&self, name: &str, wanted: &Wanted) -> Result<Service, ErrorReport> {
        let (command, shown) = (wide(&wanted.command), wide(&wanted.shown));
        let none = std::ptr::null;
        #[allow(unsafe_code, reason = "services have no binding in std")]
        // SAFETY: the manager is open; the texts end in NUL and live over the call; the others may be null by the documentation.
        let handle = unsafe {
            CreateServiceW(
                self.handle.0,
                wide(name).as_ptr(),
                shown.as_ptr(),
                SERVICE_ALL_ACCESS,
                SERVICE_WIN32_OWN_PROCESS,
                SERVICE_AUTO_START,
                SERVICE_ERROR_NORMAL,
                command.as_ptr(),
                none(),
                std::ptr::null_mut(),
                none(),
                none(),
                none(),
            )
        };
        if handle.is_null() {
            return Err(last(&format!("the service {name} cannot be made")));
        }
        let service = Service { handle: Handle(handle), name: name.to_owned() };
        service.describe(&wanted.description)?;
        Ok(service)
    }
}

impl Service {
    /// Its command line.
    pub(super) fn command(&self) -> Result<String, ErrorReport> {
        self.configuration().map(|(command, _)| command)
    }

    /// Its command line, and whether it starts by itself.
    fn configuration(&self) -> Result<(String, bool), ErrorReport> {
        // In units that are aligned as the structure at the beginning wants it. 8 KiB is the most that the call ever needs.
        let mut buffer = vec![0_u64; 1024];
        let mut needed = 0;
        let (bytes, place) = (8 * 1024, buffer.as_mut_ptr().cast::<QUERY_SERVICE_CONFIGW>());
        #[allow(unsafe_code, reason = "services have no binding in std")]
        // SAFETY: the service is open; the buffer is as long as is said and aligned for the structure; after success the structure is whole
        // and its texts end in NUL and lie in the buffer, which lives until they are copied.
        unsafe {
            if QueryServiceConfigW(self.handle.0, place, bytes, &raw mut needed) == 0 {
                return Err(last(&format!("the service {} does not tell how it is set", self.name)));
            }
            let found = &*place;
            Ok((text(found.lpBinaryPathName), found.dwStartType == SERVICE_AUTO_START))
        }
    }

    /// Gives it another command line and name.
    pub(super) fn set_command(&self, wanted: &Wanted) -> Result<(), ErrorReport> {
        let (command, shown) = (wide(&wanted.command), wide(&wanted.shown));
        let none = std::ptr::null;
        #[allow(unsafe_code, reason = "services have no binding in std")]
        // SAFETY: the service is open; the texts end in NUL and live over the call; the others may be null: no change.
        let changed = unsafe {
            ChangeServiceConfigW(
                self.handle.0,
                SERVICE_NO_CHANGE,
                SERVICE_AUTO_START,
                SERVICE_NO_CHANGE,
                command.as_ptr(),
                none(),
                std::ptr::null_mut(),
                none(),
                none(),
                none(),
                shown.as_ptr(),
            )
        };
        if changed == 0 {
            Err(last(&format!("the service {} cannot be changed", self.name)))
        } else {
            self.describe(&wanted.description)
        }
    }

    fn describe(&self, description: &str) -> Result<(), ErrorReport> {
        let mut description = wide(description);
        let info = SERVICE_DESCRIPTIONW { lpDescription: description.as_mut_ptr() };
        self.change(SERVICE_CONFIG_DESCRIPTION, &info, "its description").map(|_| ())
    }

    /// When it starts, what happens when it fails, how long it may take to end when Windows shuts down. Gives what this Windows (or what stands in for it) does not
    /// know how to set.
    pub(super) fn configure(&self, longest_stop: Duration) -> Result<Vec<&'static str>, ErrorReport> {
        let delayed = SERVICE_DELAYED_AUTO_START_INFO { fDelayedAutostart: 1 };
        let millis = |after: Duration| u32::try_from(after.as_millis()).unwrap_or(u32::MAX);
        let mut actions = AGAIN.map(|after| SC_ACTION { Type: SC_ACTION_RESTART, Delay: millis(after) });
        let recovery = SERVICE_FAILURE_ACTIONSW {
            dwResetPeriod: FORGET,
            lpRebootMsg: std::ptr::null_mut(),
            lpCommand: std::ptr::null_mut(),
            cActions: u32::try_from(actions.len()).unwrap_or(0),
            lpsaActions: actions.as_mut_ptr(),
        };
        // Also if it ends by itself with an error, as with the wish to be started anew, and not only if it crashes.
        let all = SERVICE_FAILURE_ACTIONS_FLAG { fFailureActionsOnNonCrashFailures: 1 };
        let end = SERVICE_PRESHUTDOWN_INFO { dwPreshutdownTimeout: millis(longest_stop) };
        let set = [
            ("its delayed start", self.change(SERVICE_CONFIG_DELAYED_AUTO_START_INFO, &delayed, "its delayed start")?),
            ("its recovery", self.change(SERVICE_CONFIG_FAILURE_ACTIONS, &recovery, "its recovery")?),
            (
                "its recovery after an exit code",
                self.change(SERVICE_CONFIG_FAILURE_ACTIONS_FLAG, &all, "its recovery after an exit code")?,
            ),
            ("its time at shutdown", self.change(SERVICE_CONFIG_PRESHUTDOWN_INFO, &end, "its time at shutdown")?),
        ];
        Ok(set.into_iter().filter_map(|(what, known)| (!known).then_some(what)).collect())
    }

    /// Sets a part of its configuration; false if this part is not known here.
    fn change<T>(&self, what: SERVICE_CONFIG, info: &T, named: &str) -> Result<bool, ErrorReport> {
        #[allow(unsafe_code, reason = "services have no binding in std")]
        // SAFETY: the service is open; `info` is the structure that goes with `what`, and it and all it points to live over the call.
        let changed = unsafe { ChangeServiceConfig2W(self.handle.0, what, std::ptr::from_ref(info).cast()) };
        if changed != 0 {
            return Ok(true);
        }
        match io::Error::last_os_error().raw_os_error() {
            Some(code) if code.cast_unsigned() == ERROR_INVALID_LEVEL => Ok(false),
            _ => Err(last(&format!("the service {}: {named} cannot be set", self.name))),
        }
    }

    pub(super) fn status(&self) -> Result<Now, ErrorReport> {
        let mut found = SERVICE_STATUS_PROCESS::default();
        let bytes = u32::try_from(size_of_val(&found)).unwrap_or(0);
        let mut needed = 0;
        #[allow(unsafe_code, reason = "services have no binding in std")]
        // SAFETY: the service is open; the buffer is a structure of the kind that is asked for, with its size.
        let asked = unsafe {
            QueryServiceStatusEx(self.handle.0, SC_STATUS_PROCESS_INFO, (&raw mut found).cast(), bytes, &raw mut needed)
        };
        if asked == 0 { Err(last(&format!("the service {} does not tell how it is", self.name))) } else { Ok(Now(found)) }
    }

    /// All of it, for a person.
    pub(super) fn told(&self, name: String) -> Result<ServiceStatus, ErrorReport> {
        let now = self.status()?;
        let (command, by_itself) = self.configuration()?;
        let state = now.state();
        let notes = if state == ServiceState::Failed { vec![now.ended()] } else { Vec::new() };
        Ok(ServiceStatus {
            service: name,
            manager: MANAGER,
            state,
            since_ms: None,
            pid: Some(now.0.dwProcessId).filter(|pid| *pid != 0),
            starts_by_itself: Some(by_itself),
            place: Some(command),
            notes,
        })
    }

    /// Starts it and waits until it runs.
    pub(super) fn start(&self) -> Result<(), ErrorReport> {
        #[allow(unsafe_code, reason = "services have no binding in std")]
        // SAFETY: the service is open; no arguments are given.
        if unsafe { StartServiceW(self.handle.0, 0, std::ptr::null()) } == 0 {
            return Err(last(&format!("the service {} cannot be started", self.name)));
        }
        let end = Instant::now() + START;
        loop {
            let now = self.status()?;
            match now.0.dwCurrentState {
                SERVICE_RUNNING => return Ok(()),
                SERVICE_STOPPED => {
                    return Err(failed(format!("the service {} ended right after its start. {}", self.name, now.ended()))
                        .with_fix("Look at `waybill-agent logs`; `waybill-agent run` in a terminal says what was said before there was a log"));
                }
                _ if Instant::now() >= end => {
                    return Err(failed(format!(
                        "the service {} does not run after {} s; it is still at it",
                        self.name,
                        START.as_secs()
                    )));
                }
                _ => std::thread::sleep(LOOK),
            }
        }
    }

    /// Stops it and waits until it has, at most so long.
    pub(super) fn stop(&self, within: Duration) -> Result<(), ErrorReport> {
        let mut said = SERVICE_STATUS::default();
        #[allow(unsafe_code, reason = "services have no binding in std")]
        // SAFETY: the service is open; the structure lives over the call.
        let told = unsafe { ControlService(self.handle.0, SERVICE_CONTROL_STOP, &raw mut said) };
        let refusal = (told == 0).then(|| last(&format!("the service {} cannot be stopped", self.name)));
        let end = Instant::now() + within;
        loop {
            match (self.status()?.0.dwCurrentState, &refusal) {
                (SERVICE_STOPPED, _) => return Ok(()),
                // One that stops already takes no second order.
                (SERVICE_STOP_PENDING, _) | (_, None) if Instant::now() < end => std::thread::sleep(LOOK),
                (_, Some(refusal)) => return Err(refusal.clone()),
                _ => {
                    return Err(failed(format!(
                        "the service {} was told to stop and is still at it after {} s",
                        self.name,
                        within.as_secs()
                    )));
                }
            }
        }
    }

    pub(super) fn delete(&self) -> Result<(), ErrorReport> {
        #[allow(unsafe_code, reason = "services have no binding in std")]
        // SAFETY: the service is open.
        if unsafe { DeleteService(self.handle.0) } != 0 {
            return Ok(());
        }
        match io::Error::last_os_error().raw_os_error() {
            Some(code) if code.cast_unsigned() == ERROR_SERVICE_MARKED_FOR_DELETE => Ok(()),
            _ => Err(last(&format!("the service {} cannot be deleted", self.name))),
        }
    }
}

const MANAGER: &str = "Windows service control manager";

/// A service that the manager does not know.
pub(super) fn absent(service: String) -> ServiceStatus {
    ServiceStatus {
        service,
        manager: MANAGER,
        state: ServiceState::NotInstalled,
        since_ms: None,
        pid: None,
        starts_by_itself: None,
        place: None,
        notes: Vec::new(),
    }
}

/// What the last call failed with, as a person reads it.
fn last(what: &str) -> ErrorReport {
    let error = io::Error::last_os_error();
    let report = failed(format!("{what}: {error}"));
    match error.raw_os_error() {
        Some(code) if code.cast_unsigned() == ERROR_ACCESS_DENIED => {
            report.with_fix("Do the same in a terminal that was opened with \"Run as administrator\"")
        }
        _ => report,
    }
}

pub(super) fn wide(text: &str) -> Vec<u16> {
    text.encode_utf16().chain([0]).collect()
}

/// The text at a pointer.
///
/// # Safety
/// It is null, or points to UTF-16 that ends in NUL.
#[allow(unsafe_code, reason = "services have no binding in std")]
unsafe fn text(start: *const u16) -> String {
    if start.is_null() {
        return String::new();
    }
    let mut units = Vec::new();
    loop {
        // SAFETY: the caller says that NUL comes, and so far there was none.
        match unsafe { *start.add(units.len()) } {
            0 => return String::from_utf16_lossy(&units),
            unit => units.push(unit),
        }
    }
}

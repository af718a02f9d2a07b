//! Windows tells programs without a console by messages to their windows (`WM_QUERYENDSESSION`, `WM_ENDSESSION`) and ends them five seconds
//! after they have answered. The agent has a window for that which nobody sees, on a thread of its own. Source: "Shutting Down" and
//! "`WM_ENDSESSION` message" of the Windows API reference.
#![allow(unsafe_code, reason = "windows have no safe binding in std")]

use std::cell::RefCell;
use std::io;
use std::ptr::{null, null_mut};
use std::time::Duration;

use windows_sys::Win32::Foundation::{HWND, LPARAM, LRESULT, WPARAM};
use windows_sys::Win32::System::LibraryLoader::GetModuleHandleW;
use windows_sys::Win32::UI::WindowsAndMessaging::{
    CreateWindowExW, DefWindowProcW, DispatchMessageW, GetMessageW, MSG, RegisterClassW, WM_ENDSESSION, WM_QUERYENDSESSION,
    WNDCLASSW,
};

use crate::supervisor;

/// How long the answer to the last message is held back: the process is ended once it is given. The stop takes less.
const HOLD: Duration = Duration::from_millis(4500);

thread_local! {
    /// Who is told; the window's procedure has no other way to it.
    static TELL: RefCell<Option<Box<dyn Fn()>>> = const { RefCell::new(None) };
}

/// Calls `tell` when the session ends. The thread lives as long as the process.
///
/// # Errors
/// The OS gives no thread.
pub fn watch(tell: impl Fn() + Send + 'static) -> io::Result<()> {
    let run = move || {
        TELL.set(Some(Box::new(tell)));
        if let Err(error) = listen() {
            tracing::warn!(event = "session_end_unheard", %error, "the end of the session is noticed only as the end of the process; nothing is lost by that");
        }
    };
    supervisor::spawn("session-end", run).map(drop)
}

/// Makes the window and takes its messages, as long as the process lives.
fn listen() -> io::Result<()> {
    let class: Vec<u16> = "WaybillAgentSessionEnd\0".encode_utf16().collect();
    // SAFETY: without a name it is the handle of this program, which lives as long as the process.
    let module = unsafe { GetModuleHandleW(null()) };
    let description = WNDCLASSW {
        style: 0,
        lpfnWndProc: Some(procedure),
        cbClsExtra: 0,
        cbWndExtra: 0,
        hInstance: module,
        hIcon: null_mut(),
        hCursor: null_mut(),
        hbrBackground: null_mut(),
        lpszMenuName: null(),
        lpszClassName: class.as_ptr(),
    };
    // SAFETY: the description and the name of the class live over the call; the procedure is a function of this program.
    if unsafe { RegisterClassW(&raw const description) } == 0 {
        return Err(io::Error::last_os_error());
    }
    // A top-level window: windows for messages only are not told of the end of a session.
    // SAFETY: the class was registered above; no pointer is kept after the call.
    let window =
        unsafe { CreateWindowExW(0, class.as_ptr(), class.as_ptr(), 0, 0, 0, 0, 0, null_mut(), null_mut(), module, null()) };
    if window.is_null() {
        return Err(io::Error::last_os_error());
    }
    let mut message = MSG::default();
    // SAFETY: the message is written by the call and read after it.
    while unsafe { GetMessageW(&raw mut message, null_mut(), 0, 0) } > 0 {
        // SAFETY: the message was filled by the call above.
        unsafe { DispatchMessageW(&raw const message) };
    }
    Ok(())
}

unsafe extern "system" fn procedure(window: HWND, message: u32, wide: WPARAM, long: LPARAM) -> LRESULT {
    match message {
        // Nothing speaks against it: the queue is crash-safe.
        WM_QUERYENDSESSION => 1,
        WM_ENDSESSION if wide != 0 => {
            TELL.with_borrow(|tell| {
                if let Some(tell) = tell {
                    tell();
                }
            });
            std::thread::sleep(HOLD);
            0
        }
        // SAFETY: what the system gave is given on.
        _ => unsafe { DefWindowProcW(window, message, wide, long) },
    }
}

//! Named pipes, open to their owner and the system only, and not over the network.
//!
//! That is so in the machine's scope as well: an access list names a group by its SID, and that of a local group `waybill` differs from
//! machine to machine, so there is no text for it. On Windows the machine's agent is therefore reached by the account that it runs as
//! and by the system, and by nobody for being in a group.

#![allow(unsafe_code, reason = "a pipe is disconnected, and a mutex made, by the OS alone")]

use std::io;
use std::os::windows::io::{AsHandle as _, AsRawHandle as _, FromRawHandle as _, OwnedHandle};
use std::time::{Duration, Instant};

use interprocess::local_socket::tokio::{Listener, Stream, prelude::*};
use interprocess::local_socket::{GenericNamespaced, ListenerOptions, Name};
use interprocess::os::windows::local_socket::ListenerOptionsExt as _;
use interprocess::os::windows::security_descriptor::SecurityDescriptor;
use waybill_shared::paths::Scope;
use windows_sys::Win32::Foundation::ERROR_ALREADY_EXISTS;
use windows_sys::Win32::System::Pipes::DisconnectNamedPipe;
use windows_sys::Win32::System::Threading::CreateMutexW;

use crate::endpoint::Endpoint;
use crate::peer::Expected;

/// Between two tries to take a name.
const PAUSE: Duration = Duration::from_millis(10);

/// A pipe has one name.
pub(crate) fn places(scope: Scope, stem: &str) -> Vec<String> {
    if scope == Scope::Machine {
        return vec![format!("waybill.machine.{stem}")];
    }
    let user = std::env::var("USERNAME").unwrap_or_default();
    vec![format!("waybill.{}.{stem}", waybill_shared::text::file_name_component(&user, 64))]
}

pub(crate) fn first_usable(places: &[String]) -> &str {
    places.first().map_or("", String::as_str)
}

/// A listener with its name, which lives as long as it does.
pub(super) struct Bound {
    listener: Listener,
    name: String,
    _only: OwnedHandle,
}

impl Bound {
    pub(super) fn listener(&self) -> &Listener {
        &self.listener
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Nobody can take the name of a pipe away.
    pub(super) fn is_there(&self) -> bool {
        true
    }

    /// Whom the access list lets in.
    pub(super) fn clients(&self) -> Expected {
        Expected::Client { group: None }
    }
}

pub(super) async fn connect(endpoint: &Endpoint) -> io::Result<(Stream, Expected)> {
    Ok((Stream::connect(os_name(endpoint.name())?).await?, Expected::OwnAgent { place: endpoint.name().to_owned(), fault: None }))
}

/// Closes at once, whatever the other end has read. The library would wait in a thread of its own until a client has read everything, which one
/// that hangs never does, with all that close later behind it. What was written stays readable after the close: that is how a program gets
/// what was written to its standard input, which is such a pipe.
///
/// With `blocked` a write still waits for the client, and would hold the pipe open until the client goes: that is cut off.
pub(super) fn closes(stream: &Stream, blocked: bool) {
    let Stream::NamedPipe(pipe) = stream;
    pipe.inner().assume_flushed();
    if blocked {
        // SAFETY: the handle is open as long as the stream, which is borrowed. Of the client's end the OS only says that it is no server's.
        let _of_a_client = unsafe { DisconnectNamedPipe(pipe.as_handle().as_raw_handle()) };
    }
}

/// Of one name there is one listener. The pipe itself is made as the first of its name or not at all; the mutex says so in words that everybody
/// understands, before anything else. The OS frees both with their last handle: whoever is just ending is waited for.
pub(super) fn bind(endpoint: &Endpoint, patience: Duration) -> io::Result<Bound> {
    let end = Instant::now() + patience;
    let only = loop {
        match only_one(endpoint.name()) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && Instant::now() < end => std::thread::sleep(PAUSE),
            result => break result?,
        }
    };
    // Protected DACL: all access for the system and for the owner, who is whoever started the agent; none for the network.
    let descriptor = SecurityDescriptor::deserialize(widestring("D:P(D;;GA;;;NU)(A;;GA;;;SY)(A;;GA;;;OW)").as_ref())?;
    let name = endpoint.name();
    let listener = ListenerOptions::new().name(os_name(name)?).security_descriptor(descriptor).create_tokio()?;
    Ok(Bound { listener, name: name.to_owned(), _only: only })
}

/// A mutex of the machine that nobody waits for: that it is there is what it says.
fn only_one(name: &str) -> io::Result<OwnedHandle> {
    let in_use = || io::Error::new(io::ErrorKind::AddrInUse, format!("another process answers at {name}"));
    let mutex = widestring(&format!("Global\\{name}"));
    // SAFETY: the name is a text with its end that outlives the call; without attributes the OS takes those of this process.
    let handle = unsafe { CreateMutexW(std::ptr::null(), 0, mutex.as_ptr()) };
    let error = io::Error::last_os_error();
    if handle.is_null() {
        // Another user's.
        return Err(if error.kind() == io::ErrorKind::PermissionDenied { in_use() } else { error });
    }
    // SAFETY: the OS has just given it to us, and nobody else has it.
    let handle = unsafe { OwnedHandle::from_raw_handle(handle) };
    if error.raw_os_error() == i32::try_from(ERROR_ALREADY_EXISTS).ok() { Err(in_use()) } else { Ok(handle) }
}

fn os_name(name: &str) -> io::Result<Name<'_>> {
    name.to_ns_name::<GenericNamespaced>()
}

fn widestring(text: &str) -> widestring::U16CString {
    widestring::U16CString::from_str_truncate(text)
}

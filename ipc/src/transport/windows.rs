//! Named pipes, open to their owner and the system only, and not over the network.

use std::io;

use interprocess::local_socket::tokio::{Listener, Stream, prelude::*};
use interprocess::local_socket::{GenericNamespaced, ListenerOptions, Name};
use interprocess::os::windows::local_socket::ListenerOptionsExt as _;
use interprocess::os::windows::security_descriptor::SecurityDescriptor;

pub(crate) fn endpoint_name(machine: bool, stem: &str) -> String {
    if machine {
        return format!("waybill.machine.{stem}");
    }
    let user = std::env::var("USERNAME").unwrap_or_default();
    format!("waybill.{}.{stem}", waybill_shared::text::file_name_component(&user, 64))
}

pub(super) async fn connect(name: &str) -> io::Result<Stream> {
    Stream::connect(os_name(name)?).await
}

pub(super) fn bind(name: &str) -> io::Result<Listener> {
    // Protected DACL: all access for the system and for the owner, who is whoever started the agent; none for the network.
    let descriptor = SecurityDescriptor::deserialize(widestring("D:P(D;;GA;;;NU)(A;;GA;;;SY)(A;;GA;;;OW)").as_ref())?;
    ListenerOptions::new().name(os_name(name)?).security_descriptor(descriptor).create_tokio()
}

fn os_name(name: &str) -> io::Result<Name<'_>> {
    name.to_ns_name::<GenericNamespaced>()
}

fn widestring(text: &str) -> widestring::U16CString {
    widestring::U16CString::from_str_truncate(text)
}

//! Unix sockets: mode 0600 in a folder of mode 0700 that belongs to us.

use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use interprocess::ConnectWaitMode;
use interprocess::local_socket::tokio::{Listener, Stream};
use interprocess::local_socket::{ConnectOptions, GenericFilePath, ListenerOptions, Name, ToFsName as _};
use interprocess::os::unix::local_socket::ListenerOptionsExt as _;
use interprocess::os::unix::uds_local_socket::tokio::Stream as UnixStream;

use crate::peer::current_user;

/// How long a process that answers under our name may take to be gone: one that was killed lets go of its lock and of its
/// socket in any order.
const LEAVING: Duration = Duration::from_secs(1);
/// Pause between two tries, of a bind and of a connect.
const PAUSE: Duration = Duration::from_millis(20);

pub(crate) fn endpoint_name(machine: bool, stem: &str) -> String {
    let folder = if machine { PathBuf::from("/run/waybill") } else { user_folder() };
    folder.join(format!("{stem}.sock")).to_string_lossy().into_owned()
}

/// The user's runtime folder, else a folder of the user's own under the folder for temporary files.
fn user_folder() -> PathBuf {
    match std::env::var_os("XDG_RUNTIME_DIR") {
        Some(folder) if Path::new(&folder).is_absolute() && folder.len() < 60 && Path::new(&folder).is_dir() => {
            PathBuf::from(folder).join("waybill")
        }
        _ => PathBuf::from(format!("/tmp/waybill-{}", current_user())),
    }
}

/// A queue of connections that is full refuses with `WouldBlock`, and only a new try helps. (interprocess takes it for a
/// connection in progress and gives a stream that is connected to nobody.)
pub(super) async fn connect(name: &str) -> io::Result<Stream> {
    loop {
        match tokio::net::UnixStream::connect(name).await {
            Ok(stream) => return Ok(Stream::UdSocket(UnixStream::from(stream))),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => tokio::time::sleep(PAUSE).await,
            Err(error) => return Err(error),
        }
    }
}

pub(super) fn bind(name: &str) -> io::Result<Listener> {
    let path = Path::new(name);
    if let Some(folder) = path.parent() {
        prepare(folder)?;
    }
    let end = Instant::now() + LEAVING;
    while somebody_answers(name)? {
        if Instant::now() >= end {
            return Err(io::Error::new(io::ErrorKind::AddrInUse, format!("another process answers at {name}")));
        }
        std::thread::sleep(PAUSE);
    }
    // We hold the instance's lock, and nobody answers: a socket that is still there is a dead agent's.
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    ListenerOptions::new().name(os_name(name)?).mode(0o600).create_tokio()
}

/// True unless the socket is not there, or is a dead process's. Waits for nobody.
fn somebody_answers(name: &str) -> io::Result<bool> {
    let answer = ConnectOptions::new().name(os_name(name)?).wait_mode(ConnectWaitMode::Timeout(PAUSE)).connect_sync();
    Ok(match answer {
        Ok(_living) => true,
        Err(error) => !matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused),
    })
}

fn os_name(name: &str) -> io::Result<Name<'_>> {
    name.to_fs_name::<GenericFilePath>()
}

/// The folder exists, is ours, and nobody else can put a socket into it.
fn prepare(folder: &Path) -> io::Result<()> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let metadata = std::fs::symlink_metadata(folder)?;
    if !metadata.is_dir() || metadata.uid() != current_user() || metadata.mode() & 0o022 != 0 {
        return Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            format!("{} is not a folder that only this user can write to; remove it", folder.display()),
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    fn mode(path: &Path) -> u32 {
        std::fs::symlink_metadata(path).unwrap().mode() & 0o7777
    }

    #[tokio::test]
    async fn the_socket_is_ours_alone_in_a_folder_of_ours_alone() {
        let temp = tempfile::tempdir().unwrap();
        let folder = temp.path().join("run/waybill");
        let socket = folder.join("a.sock");
        let listener = bind(socket.to_str().unwrap()).unwrap();
        assert_eq!((mode(&socket), mode(&folder)), (0o600, 0o700));
        drop(listener);
        assert!(!socket.exists(), "the name is free again");
    }

    #[tokio::test]
    async fn a_folder_that_others_can_write_to_is_refused() {
        let temp = tempfile::tempdir().unwrap();
        for (number, bad) in [0o770, 0o722, 0o702, 0o1777].into_iter().enumerate() {
            let folder = temp.path().join(number.to_string());
            std::fs::create_dir(&folder).unwrap();
            std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(bad)).unwrap();
            let error = bind(folder.join("a.sock").to_str().unwrap()).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::PermissionDenied, "{bad:o}: {error}");
            assert!(error.to_string().contains(folder.to_str().unwrap()), "{error}");
            assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0, "{bad:o}: nothing was left there");
        }
    }

    #[tokio::test]
    async fn a_link_to_a_folder_is_refused() {
        let temp = tempfile::tempdir().unwrap();
        let (real, link) = (temp.path().join("real"), temp.path().join("link"));
        std::fs::DirBuilder::new().mode(0o700).create(&real).unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        let error = bind(link.join("a.sock").to_str().unwrap()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::PermissionDenied, "{error}");
    }

    #[tokio::test]
    async fn the_other_end_is_known_by_its_process() {
        let temp = tempfile::tempdir().unwrap();
        let folder = temp.path().join("run");
        let name = folder.join("a.sock").to_str().unwrap().to_owned();
        let listener = super::super::Listener(bind(&name).unwrap());
        let (client, server) = tokio::join!(connect(&name), listener.accept());
        for stream in [client.unwrap(), server.unwrap()] {
            assert_eq!(super::super::check_peer(&stream).unwrap().pid, Some(std::process::id()));
        }
    }
}

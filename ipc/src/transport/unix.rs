//! Unix sockets: mode 0600 in a folder of mode 0700 that belongs to us.

use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use interprocess::local_socket::{GenericFilePath, ListenerOptions, Name, ToFsName as _, tokio::Listener};
use interprocess::os::unix::local_socket::ListenerOptionsExt as _;

use crate::peer::current_user;

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

pub(super) fn os_name(name: &str) -> io::Result<Name<'_>> {
    name.to_fs_name::<GenericFilePath>()
}

pub(super) fn bind(name: &str) -> io::Result<Listener> {
    let path = Path::new(name);
    if let Some(folder) = path.parent() {
        prepare(folder)?;
    }
    // We hold the instance's lock: a socket that is still there is a dead agent's.
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    ListenerOptions::new().name(os_name(name)?).mode(0o600).create_tokio()
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

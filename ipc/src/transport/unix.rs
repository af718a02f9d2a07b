//! Unix sockets: mode 0600 in a folder of mode 0700 that belongs to us. The machine's agent shares its socket (0660, in a folder 0750)
//! with the group `waybill`, if there is one; else it is its own user's alone, which the log says once.
//!
//! A user's agent has up to three places: `$XDG_RUNTIME_DIR/waybill` if that folder is this user's, `/run/user/<uid>/waybill`, and
//! `/tmp/waybill-<uid>`. The first exists in a login session, the last also for cron and a bare `su`; a client that looks into all of
//! them finds the agent whichever session either was started in. (A runtime folder elsewhere than `/run/user` is found only by who has
//! the same `XDG_RUNTIME_DIR`.) The last place has no successor: a folder with a name that cannot be guessed could be found by no client.
//! If another user has made `/tmp/waybill-<uid>` beforehand, and there is no runtime folder, the agent does not start and says what to do.
//!
//! A client looks at what it connects to before it asks who answers: a folder that is a link, somebody else's or open to others, and a
//! socket that is a link, are not believed.

use std::io;
use std::os::unix::fs::{DirBuilderExt as _, FileTypeExt as _, MetadataExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use interprocess::ConnectWaitMode;
use interprocess::local_socket::tokio::{Listener, Stream};
use interprocess::local_socket::{ConnectOptions, GenericFilePath, ListenerOptions, Name, ToFsName as _};
use interprocess::os::unix::local_socket::ListenerOptionsExt as _;
use interprocess::os::unix::uds_local_socket::tokio::Stream as UnixStream;
use waybill_shared::paths::Scope;

use crate::endpoint::Endpoint;
use crate::peer::{Expected, GROUP, current_user, group_id, user_named};

/// Pause between two tries, of a bind and of a connect.
const PAUSE: Duration = Duration::from_millis(20);
/// Longest path of a runtime folder with which a socket's path fits into what the OS takes.
const RUNTIME: usize = 60;
/// Where the machine's agent is. Only the administrator makes folders there.
const MACHINE: &str = if cfg!(target_vendor = "apple") { "/var/run/waybill" } else { "/run/waybill" };

pub(crate) fn places(scope: Scope, stem: &str) -> Vec<String> {
    let folders = match scope {
        Scope::Machine => vec![PathBuf::from(MACHINE)],
        Scope::User => {
            let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
            user_folders(runtime.as_deref(), Path::new("/run/user"), Path::new("/tmp"), current_user())
        }
    };
    folders.iter().map(|folder| folder.join(format!("{stem}.sock")).to_string_lossy().into_owned()).collect()
}

/// The folders where a user's agent may be. `su` without `-` keeps the runtime folder of the user before: that one is passed over.
fn user_folders(runtime: Option<&Path>, runtimes: &Path, temporary: &Path, user: u32) -> Vec<PathBuf> {
    let is_ours = |folder: &&Path| {
        folder.is_absolute()
            && folder.as_os_str().len() < RUNTIME
            && std::fs::metadata(folder).is_ok_and(|found| found.is_dir() && found.uid() == user)
    };
    let mut folders: Vec<PathBuf> = runtime.filter(is_ours).map(|folder| folder.join("waybill")).into_iter().collect();
    let usual = runtimes.join(user.to_string()).join("waybill");
    if !folders.contains(&usual) {
        folders.push(usual);
    }
    folders.push(temporary.join(format!("waybill-{user}")));
    folders
}

/// The first place whose folder is usable or could be made; the last if there is none.
pub(crate) fn first_usable(places: &[String]) -> &str {
    let usable = |place: &&String| {
        let folder = folder_of(place);
        match vouch(folder, current_user()) {
            Ok(()) => true,
            Err(error) => error.kind() == io::ErrorKind::NotFound && folder.parent().is_some_and(Path::is_dir),
        }
    };
    places.iter().find(usable).or(places.last()).map_or("", String::as_str)
}

/// A listener with its socket, which it takes away when it is dropped, if it is still the same.
pub(super) struct Bound {
    listener: Listener,
    name: String,
    socket: (u64, u64),
    group: Option<u32>,
}

impl Bound {
    pub(super) fn listener(&self) -> &Listener {
        &self.listener
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// False if the socket was removed or another one is in its place. A look that fails for other reasons says nothing.
    pub(super) fn is_there(&self) -> bool {
        match identity(&self.name) {
            Ok(found) => found == self.socket,
            Err(error) => !matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory),
        }
    }

    /// Who may connect.
    pub(super) fn clients(&self) -> Expected {
        Expected::Client { group: self.group }
    }
}

impl Drop for Bound {
    fn drop(&mut self) {
        if identity(&self.name).is_ok_and(|found| found == self.socket) {
            // One that stays is taken away by the next agent.
            let _stays = std::fs::remove_file(&self.name);
        }
    }
}

/// What tells one socket file from another.
fn identity(name: &str) -> io::Result<(u64, u64)> {
    std::fs::symlink_metadata(name).map(|found| (found.dev(), found.ino()))
}

/// A socket closes at once, and what was written stays readable.
pub(super) fn closes(_stream: &Stream, _blocked: bool) {}

pub(super) async fn connect(endpoint: &Endpoint) -> io::Result<(Stream, Expected)> {
    let mut nobody = io::Error::from(io::ErrorKind::NotFound);
    for place in endpoint.places() {
        let expected = expectation(place, endpoint.scope());
        match connect_to(place).await {
            Ok(stream) => return Ok((stream, expected)),
            Err(error) if is_nobody(&error) => nobody = error,
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Err(kept_out(place, &expected)),
            Err(error) => return Err(error),
        }
    }
    Err(nobody)
}

/// Nobody listens there: the next place is looked at.
fn is_nobody(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused)
}

/// A queue of connections that is full refuses with `WouldBlock`, and only a new try helps. (interprocess takes it for a
/// connection in progress and gives a stream that is connected to nobody.)
async fn connect_to(name: &str) -> io::Result<Stream> {
    loop {
        match tokio::net::UnixStream::connect(name).await {
            Ok(stream) => return Ok(Stream::UdSocket(UnixStream::from(stream))),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => tokio::time::sleep(PAUSE).await,
            Err(error) => return Err(error),
        }
    }
}

/// Whom a client expects at a place, by what the place looks like.
fn expectation(place: &str, scope: Scope) -> Expected {
    let (folder, place) = (folder_of(place), place.to_owned());
    let link = match std::fs::symlink_metadata(&place) {
        Ok(found) if !found.file_type().is_socket() => {
            Some(format!("{place} is a link or no socket, which no agent makes; remove it"))
        }
        _ => None,
    };
    match scope {
        Scope::User => Expected::OwnAgent {
            place,
            fault: link.or_else(|| vouch(folder, current_user()).err().map(|error| error.to_string())),
        },
        Scope::Machine => {
            let owner = given_owner(folder).map_err(|error| error.to_string());
            Expected::MachineAgent { place, folder: link.map_or(owner, Err) }
        }
    }
}

/// Why the OS does not let us connect, as far as the place tells.
fn kept_out(place: &str, expected: &Expected) -> io::Error {
    let why = match expected {
        Expected::OwnAgent { fault: Some(fault), .. } | Expected::MachineAgent { folder: Err(fault), .. } => fault.clone(),
        Expected::MachineAgent { folder: Ok(owner), .. } => format!(
            "the machine's agent at {place} is open to {}, the administrator, and members of the group {GROUP:?}: have this user put \
             into the group, and log in again",
            user_named(*owner)
        ),
        _ => format!("the OS does not let {} connect at {place}", user_named(current_user())),
    };
    io::Error::new(io::ErrorKind::PermissionDenied, why)
}

pub(super) fn bind(endpoint: &Endpoint, patience: Duration) -> io::Result<Bound> {
    let (group, alone) = match endpoint.scope() {
        Scope::User => (None, None),
        Scope::Machine => match group_id(GROUP) {
            Ok(Some(group)) => (Some(group), None),
            Ok(None) => (None, Some(format!("there is no group {GROUP:?}"))),
            Err(error) => (None, Some(format!("the group {GROUP:?} cannot be looked up: {error}"))),
        },
    };
    let bound = bind_shared(endpoint.places(), group, patience)?;
    if let Some(reason) = alone {
        tracing::warn!(event = "endpoint_not_shared", reason, "only the agent's own user and the administrator can connect");
    }
    Ok(bound)
}

fn bind_shared(places: &[String], group: Option<u32>, patience: Duration) -> io::Result<Bound> {
    let mut unusable = Vec::new();
    let mut kind = io::ErrorKind::NotFound;
    for place in places {
        match prepare(folder_of(place)) {
            Ok(()) => return bind_in(place, places, group, patience),
            Err(error) => {
                kind = error.kind();
                unusable.push(error.to_string());
            }
        }
    }
    let advice = "have the administrator remove what is wrong, or give this user a runtime folder of its own in XDG_RUNTIME_DIR";
    Err(io::Error::new(kind, format!("no folder for the socket: {}; {advice}", unusable.join("; "))))
}

fn bind_in(place: &str, places: &[String], group: Option<u32>, patience: Duration) -> io::Result<Bound> {
    let end = Instant::now() + patience;
    while let Some(taken) = answering(places)? {
        if Instant::now() >= end {
            return Err(io::Error::new(io::ErrorKind::AddrInUse, format!("another process answers at {taken}")));
        }
        std::thread::sleep(PAUSE);
    }
    // We hold the instance's lock, and nobody answers: a socket that is still there is a dead agent's.
    match std::fs::remove_file(place) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(at(Path::new(place), &error)),
        _ => {}
    }
    let group = group.filter(|&group| match share(folder_of(place), group, 0o750) {
        Ok(()) => true,
        Err(error) => {
            tracing::warn!(
                event = "endpoint_not_shared",
                reason = %error,
                "the socket's folder cannot be given to the group {GROUP:?}: only the agent's own user and the administrator can connect"
            );
            false
        }
    });
    let listener = ListenerOptions::new().name(os_name(place)?).mode(0o600).reclaim_name(false).create_tokio()?;
    let bound = Bound { listener, name: place.to_owned(), socket: identity(place)?, group };
    if let Some(group) = group {
        share(Path::new(place), group, 0o660)?;
    }
    Ok(bound)
}

/// A place of ours where somebody answers. What strangers have put into folders of theirs is no concern of ours.
fn answering(places: &[String]) -> io::Result<Option<&str>> {
    for place in places {
        if vouch(folder_of(place), current_user()).is_ok() && somebody_answers(place)? {
            return Ok(Some(place));
        }
    }
    Ok(None)
}

/// True unless the socket is not there, or is a dead process's. Waits for nobody.
fn somebody_answers(name: &str) -> io::Result<bool> {
    let answer = ConnectOptions::new().name(os_name(name)?).wait_mode(ConnectWaitMode::Timeout(PAUSE)).connect_sync();
    Ok(match answer {
        Ok(_living) => true,
        Err(error) => !is_nobody(&error),
    })
}

fn os_name(name: &str) -> io::Result<Name<'_>> {
    name.to_fs_name::<GenericFilePath>()
}

/// The folder exists, is ours, and nobody else can put a socket into it. The folder above it is never made: it is the OS's.
fn prepare(folder: &Path) -> io::Result<()> {
    match std::fs::DirBuilder::new().mode(0o700).create(folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(at(folder, &error)),
        _ => {}
    }
    vouch(folder, current_user())?;
    // It may have been made with more; members of a group come in again by `share`.
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o700)).map_err(|error| at(folder, &error))
}

/// Gives a file or folder to a group.
fn share(path: &Path, group: u32, mode: u32) -> io::Result<()> {
    chown(path, None, Some(group)).map_err(|error| at(path, &error))?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).map_err(|error| at(path, &error))
}

/// A folder that belongs to this user and that nobody else can write to.
fn vouch(folder: &Path, user: u32) -> io::Result<()> {
    let owner = owner_alone(folder)?;
    if owner == user {
        return Ok(());
    }
    let (owner, user) = (user_named(owner), user_named(user));
    Err(denied(format!("{} belongs to {owner} and not to {user}: somebody else made it", folder.display())))
}

/// The owner of a folder that only the administrator can have put there.
fn given_owner(folder: &Path) -> io::Result<u32> {
    let owner = owner_alone(folder)?;
    let above = folder.parent().unwrap_or(folder);
    let found = std::fs::metadata(above).map_err(|error| at(above, &error))?;
    if found.mode() & 0o022 != 0 || ![0, current_user()].contains(&found.uid()) {
        return Err(denied(format!("others than the administrator could have made {}", folder.display())));
    }
    Ok(owner)
}

/// The owner of a real folder that nobody else can write to.
fn owner_alone(folder: &Path) -> io::Result<u32> {
    let found = std::fs::symlink_metadata(folder).map_err(|error| at(folder, &error))?;
    let shown = folder.display();
    if !found.is_dir() {
        return Err(denied(format!("{shown} is a link or no folder; remove it")));
    }
    if found.mode() & 0o022 != 0 {
        return Err(denied(format!("{shown} is not a folder that only its user can write to; remove it")));
    }
    Ok(found.uid())
}

fn folder_of(place: &str) -> &Path {
    Path::new(place).parent().unwrap_or(Path::new("/"))
}

fn denied(why: String) -> io::Error {
    io::Error::new(io::ErrorKind::PermissionDenied, why)
}

/// The same error, with where.
fn at(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests;

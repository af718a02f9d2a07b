//! Unix credentials of the socket, and what the OS knows of users and groups.
//!
//! Membership counts as the user database has it now: a process that joined the group before it was taken out of it stays outside. A
//! database that cannot be asked, or that names no such user, refuses.

#![allow(unsafe_code, reason = "users and groups have no safe binding in std")]

use std::ffi::{CStr, CString};
use std::io;
use std::mem::MaybeUninit;
use std::ptr;

use interprocess::local_socket::PeerCreds;

use super::{Expected, GROUP, Refused};

/// Bounds of the buffers for one entry of the user database, bytes; a group's entry names all its members.
const ENTRY: (usize, usize) = (4 * 1024, 16 * 1024 * 1024);
/// Most groups of one user; more than any kernel knows.
const GROUPS: usize = 1 << 17;

/// As `getgrouplist` wants it.
#[cfg(target_vendor = "apple")]
type GroupNumber = libc::c_int;
#[cfg(not(target_vendor = "apple"))]
type GroupNumber = libc::gid_t;

/// The effective user id of this process.
pub(crate) fn current_user() -> u32 {
    // SAFETY: geteuid takes nothing, always succeeds and touches no memory of ours.
    unsafe { libc::geteuid() }
}

/// What the OS says of a peer that may talk to us.
pub(super) struct Known {
    pub(super) pid: Option<u32>,
    pub(super) user: String,
    pub(super) is_owner: bool,
}

pub(super) fn check(credentials: &PeerCreds, expected: &Expected) -> Result<Known, Refused> {
    let pid = credentials.pid().and_then(|pid| u32::try_from(pid).ok());
    let found = credentials.euid().ok_or_else(|| Refused::Unknown(io::Error::other("it names no user")))?;
    let is_owner = judge(found, current_user(), expected)?;
    Ok(Known { pid, user: user_in_words(found), is_owner })
}

/// Whether the peer is the owner or a member of the group, if it is one of them.
fn judge(found: u32, own: u32, expected: &Expected) -> Result<bool, Refused> {
    let stranger = |expected: String| Refused::OtherUser { found: user_named(found), expected };
    let squatter = |place: &String, owner: u32| Refused::OtherAgent {
        place: place.clone(),
        found: user_named(found),
        expected: user_named(owner),
    };
    match expected {
        Expected::Client { .. } if found == own || found == 0 => Ok(true),
        Expected::Client { group: None } => Err(stranger(user_named(own))),
        Expected::Client { group: Some(group) } => match is_member(found, *group) {
            Ok(true) => Ok(false),
            Ok(false) => Err(stranger(format!("{} and members of the group {GROUP:?}", user_named(own)))),
            Err(error) => Err(Refused::Membership { found: user_named(found), error }),
        },
        Expected::OwnAgent { place, fault } => match fault {
            _ if found != own => Err(squatter(place, own)),
            Some(fault) => Err(Refused::Place(fault.clone())),
            None => Ok(true),
        },
        Expected::MachineAgent { place, folder } => match folder {
            Err(fault) => Err(Refused::Place(fault.clone())),
            Ok(owner) if found == own || found == 0 || found == *owner => Ok(true),
            Ok(owner) => Err(squatter(place, *owner)),
        },
    }
}

/// The user of this process, in words.
pub(super) fn this_user() -> String {
    user_in_words(current_user())
}

/// A user in a sentence: there are users with names like `nobody`.
pub(crate) fn user_named(user: u32) -> String {
    match account(user) {
        Ok(Some(_)) => format!("user {}", user_in_words(user)),
        _ => user_in_words(user),
    }
}

/// A user's name, else its number.
fn user_in_words(user: u32) -> String {
    match account(user) {
        Ok(Some(account)) => waybill_shared::text::printable(&account.name.to_string_lossy(), 64),
        _ => format!("user {user}"),
    }
}

/// The number of a group; `None` if there is no such group.
///
/// # Errors
/// The user database cannot be asked.
pub(crate) fn group_id(name: &str) -> io::Result<Option<u32>> {
    let name = CString::new(name)?;
    let mut entry = MaybeUninit::<libc::group>::uninit();
    look_up(|buffer| {
        let mut found = ptr::null_mut();
        // SAFETY: the name ends with a NUL, entry and buffer live longer than the call and the buffer's length is its own; `found`
        // is null or points to `entry`, which is initialised then.
        let code = unsafe {
            libc::getgrnam_r(name.as_ptr(), entry.as_mut_ptr(), buffer.as_mut_ptr().cast(), buffer.len(), &raw mut found)
        };
        // SAFETY: as above.
        (code, unsafe { found.as_ref() }.map(|group| group.gr_gid))
    })
}

/// A user as the database has it.
struct Account {
    name: CString,
    group: u32,
}

fn account(user: u32) -> io::Result<Option<Account>> {
    let mut entry = MaybeUninit::<libc::passwd>::uninit();
    look_up(|buffer| {
        let mut found = ptr::null_mut();
        // SAFETY: entry and buffer live longer than the call and the buffer's length is its own; `found` is null or points to
        // `entry`, which is initialised then.
        let code =
            unsafe { libc::getpwuid_r(user, entry.as_mut_ptr(), buffer.as_mut_ptr().cast(), buffer.len(), &raw mut found) };
        // SAFETY: as above.
        let account = unsafe { found.as_ref() }.map(|account| {
            // SAFETY: the name of an entry that was found is a text in the buffer that ends with a NUL.
            let name = unsafe { CStr::from_ptr(account.pw_name) };
            Account { name: name.to_owned(), group: account.pw_gid }
        });
        (code, account)
    })
}

/// Asks with a buffer that grows until the entry fits.
fn look_up<T>(mut ask: impl FnMut(&mut [u8]) -> (i32, Option<T>)) -> io::Result<Option<T>> {
    let mut buffer = vec![0; ENTRY.0];
    loop {
        match ask(&mut buffer) {
            (0, found) => return Ok(found),
            (libc::EINTR, _) => {}
            (libc::ERANGE, _) if buffer.len() < ENTRY.1 => buffer.resize(buffer.len() * 4, 0),
            // What systems say, besides 0, of somebody they do not know.
            (libc::ENOENT | libc::ESRCH, _) => return Ok(None),
            (code, _) => return Err(io::Error::from_raw_os_error(code)),
        }
    }
}

/// Whether the group is the user's primary one or one of its others.
fn is_member(user: u32, group: u32) -> io::Result<bool> {
    let Some(account) = account(user)? else {
        return Err(io::Error::new(io::ErrorKind::NotFound, "the user database does not know this user"));
    };
    if account.group == group {
        return Ok(true);
    }
    let mut room = 64;
    loop {
        let mut groups: Vec<GroupNumber> = vec![0; room];
        let mut count = libc::c_int::try_from(room).map_err(io::Error::other)?;
        #[allow(clippy::cast_possible_wrap, clippy::unnecessary_cast, reason = "Apple's systems have signed numbers of groups")]
        let primary = account.group as GroupNumber;
        // SAFETY: the name ends with a NUL, and `groups` has room for `count` numbers.
        let result = unsafe { libc::getgrouplist(account.name.as_ptr(), primary, groups.as_mut_ptr(), &raw mut count) };
        let count = usize::try_from(count).unwrap_or(0);
        if result >= 0 {
            #[allow(clippy::cast_sign_loss, clippy::unnecessary_cast, reason = "Apple's systems have signed numbers of groups")]
            return Ok(groups.iter().take(count).any(|&number| number as u32 == group));
        }
        if room >= GROUPS {
            return Err(io::Error::other("it is in too many groups"));
        }
        // Some systems say how many there are, others do not.
        room = count.max(room * 4).min(GROUPS);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Nobody has it: the highest number means "no user".
    const NOBODY_HAS: u32 = u32::MAX - 7;

    /// Users of this machine with their primary groups, as its own file names them; none where there is no such file.
    fn users() -> Vec<(String, u32, u32)> {
        let text = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
        let user = |line: &str| {
            let fields: Vec<&str> = line.split(':').collect();
            Some(((*fields.first()?).to_owned(), fields.get(2)?.parse().ok()?, fields.get(3)?.parse().ok()?))
        };
        text.lines().filter_map(user).collect()
    }

    #[test]
    fn users_and_groups_are_known_as_the_os_has_them() {
        for (name, number, group) in users() {
            // Two names may share a number; the first counts.
            let account = account(number).unwrap().unwrap();
            if account.name.to_str() == Ok(&name) {
                assert_eq!(account.group, group, "{name}");
                assert_eq!(user_in_words(number), name);
                assert!(is_member(number, group).unwrap(), "{name} in its primary group");
            }
            assert!(!is_member(number, NOBODY_HAS).unwrap(), "{name} in a group that is not there");
        }
        assert_eq!(user_in_words(NOBODY_HAS), format!("user {NOBODY_HAS}"));
        assert_eq!(group_id("no-such-group-of-waybill").unwrap(), None);
        assert!(group_id("a\0b").is_err());
    }

    #[test]
    fn a_member_by_the_groups_own_list_is_a_member() {
        let text = std::fs::read_to_string("/etc/group").unwrap_or_default();
        for line in text.lines() {
            let fields: Vec<&str> = line.split(':').collect();
            let [name, _, number, members] = fields[..] else { continue };
            let number: u32 = number.parse().unwrap();
            assert_eq!(group_id(name).unwrap(), Some(number), "{name}");
            for member in members.split(',').filter(|member| !member.is_empty()) {
                if let Some((_, user, _)) = users().iter().find(|(name, ..)| name == member) {
                    assert!(is_member(*user, number).unwrap(), "{member} in {name}");
                }
            }
        }
    }

    #[test]
    fn a_user_whom_nobody_knows_is_no_member_but_refused() {
        assert!(is_member(NOBODY_HAS, 0).is_err());
        let refused = judge(NOBODY_HAS, 1000, &Expected::Client { group: Some(0) }).unwrap_err();
        assert!(matches!(refused, Refused::Membership { .. }), "{refused}");
        assert!(refused.to_string().contains(&NOBODY_HAS.to_string()), "{refused}");
    }

    #[test]
    fn an_entry_that_is_too_large_for_any_buffer_is_an_error_and_a_large_one_is_read() {
        let mut asked = Vec::new();
        let large = look_up(|buffer| {
            asked.push(buffer.len());
            if buffer.len() < 1 << 20 { (libc::ERANGE, None) } else { (0, Some(7)) }
        });
        assert_eq!((large.unwrap(), asked.len()), (Some(7), 5));
        let endless = look_up::<()>(|buffer| {
            assert!(buffer.len() <= ENTRY.1);
            (libc::ERANGE, None)
        });
        assert_eq!(endless.unwrap_err().raw_os_error(), Some(libc::ERANGE));
        assert_eq!(look_up::<()>(|_| (libc::EIO, None)).unwrap_err().raw_os_error(), Some(libc::EIO));
    }

    #[test]
    fn who_may_come_in_and_whom_a_client_believes() {
        let (own, root, stranger) = (1000, 0, 65534);
        let client = |group| Expected::Client { group };
        let mine = |fault: Option<&str>| Expected::OwnAgent { place: "a.sock".to_owned(), fault: fault.map(str::to_owned) };
        let machine = |folder: Result<u32, &str>| Expected::MachineAgent {
            place: "a.sock".to_owned(),
            folder: folder.map_err(str::to_owned),
        };
        for (found, expected, owner) in [
            (own, client(None), Some(true)),
            (root, client(None), Some(true)),
            (stranger, client(None), None),
            (stranger, client(Some(NOBODY_HAS)), None),
            (own, client(Some(NOBODY_HAS)), Some(true)),
            (own, mine(None), Some(true)),
            (own, mine(Some("somebody else's folder")), None),
            (root, mine(None), None),
            (stranger, mine(None), None),
            (root, machine(Ok(root)), Some(true)),
            (stranger, machine(Ok(root)), None),
            (stranger, machine(Ok(stranger)), Some(true)),
            (root, machine(Err("a link")), None),
        ] {
            assert_eq!(judge(found, own, &expected).ok(), owner, "{found} {expected:?}");
        }
        // A member is let in, and is not the owner.
        if let Some((name, user, group)) = users().into_iter().find(|(_, user, _)| *user != 0 && *user != own) {
            assert!(matches!(judge(user, own, &client(Some(group))), Ok(false)), "{name}");
        }
        let refused = judge(stranger, own, &client(None)).unwrap_err().to_string();
        assert!(refused.contains("is at the other end, only user") && refused.contains(&user_named(stranger)), "{refused}");
        let squatted = judge(stranger, own, &mine(None)).unwrap_err().to_string();
        assert!(squatted.starts_with("user ") && squatted.contains("answers at a.sock, where only"), "{squatted}");
    }
}

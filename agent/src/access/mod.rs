//! The one gate: who may do what, for IPC, command line and whatever else asks.
//!
//! Without a PIN the agent's own user is engineer. A PIN guards that role against a passing hand: it lifts a session for some minutes
//! after the last request that needed it. It is no boundary against the account's owner, who may delete the PIN's file.
//!
//! Invariants:
//! - it fails closed: while the PIN's file is there and cannot be used, nobody is engineer, and the error says that the file is the
//!   trouble. It revokes nobody: once the file can be read again with the same content, all is as before;
//! - the file is looked at with each request that needs more than to see, so that a change by another process counts at once; whoever
//!   only wants to see never waits for it;
//! - a change of the PIN, whoever made it, ends every elevation except that of the session that set it;
//! - at most one PIN is checked at a time, and wrong ones are counted for all sessions together.
//!
//! A restart forgets elevations and waits; the PIN's file survives, the old one or the new one.

mod needs;
mod pin;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use crossbeam_channel::{Receiver, Sender, bounded};
use jiff::{Timestamp, Zoned};
use waybill_ipc::protocol::{AccessStatus, Role};
use waybill_shared::error::{Code, ErrorReport};
use waybill_shared::secret::Secret;

pub use self::needs::{STOP, came_to, described, errors, is_refusal, needed, which};
use self::pin::{Stamp, Tries};
use crate::secrets::file;

/// How long a PIN waits for others to be checked.
const TURN: Duration = Duration::from_secs(5);

/// What an administrator chooses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Role of the agent's own user while a PIN is set and not given.
    pub without_pin: Role,
    /// Minutes that a PIN lifts a session after its last request that needed it.
    pub pin_minutes: u64,
    /// Role of the members of the machine agent's group; with a PIN no more than `without_pin`.
    pub group: Role,
}

impl Default for Settings {
    fn default() -> Self {
        Self { without_pin: Role::Operator, pin_minutes: 15, group: Role::Operator }
    }
}

/// Who is at the other end, as the OS says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    /// The agent's own user, or the system's administrator, who could become that user.
    Owner,
    /// A member of the machine agent's group.
    Group,
}

/// One connection, or one command. It is engineer by the PIN only as long as the [`Gate`] agrees.
#[derive(Debug)]
pub struct Session {
    who: Who,
    // A lock because the requests of one connection run side by side; held for a few instructions.
    lifted: Mutex<Option<Lifted>>,
}

#[derive(Debug, Clone, Copy)]
struct Lifted {
    epoch: u64,
    last_used: Instant,
}

impl Session {
    /// A session that nobody has given a PIN to.
    #[must_use]
    pub fn begin(who: Who) -> Self {
        Self { who, lifted: Mutex::new(None) }
    }

    /// Gives the PIN's role back.
    pub fn drop_role(&self) {
        *held(&self.lifted) = None;
    }
}

/// The gate.
pub struct Gate {
    file: PathBuf,
    settings: ArcSwap<Settings>,
    // Held while the small file is looked at, so that a change of it is counted once.
    known: Mutex<Known>,
    tries: Mutex<Tries>,
    turn: (Sender<()>, Receiver<()>),
    cost: argon2::Params,
    clock: Box<dyn Fn() -> Instant + Send + Sync>,
}

/// What was last read of the file, and how often that changed.
#[derive(Default)]
struct Known {
    stamp: Option<Stamp>,
    hash: Option<Arc<str>>,
    epoch: u64,
}

/// What guards the engineer role.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Guard {
    Nothing,
    Pin,
    Broken,
}

/// The role of a session that no PIN lifts.
fn base_role(who: Who, guard: Guard, settings: &Settings) -> Role {
    let guarded = match who {
        Who::Owner => settings.without_pin,
        Who::Group => settings.group.min(settings.without_pin),
    };
    match (guard, who) {
        (Guard::Nothing, Who::Owner) => Role::Engineer,
        (Guard::Nothing, Who::Group) => settings.group,
        (Guard::Pin, _) => guarded,
        (Guard::Broken, _) => guarded.min(Role::Operator),
    }
}

impl Gate {
    /// The gate over the PIN in `pin_file`, which need not exist. The file is looked at when it is needed.
    #[must_use]
    pub fn open(pin_file: PathBuf, settings: Settings) -> Self {
        Self::with(pin_file, settings, argon2::Params::default(), Box::new(Instant::now))
    }

    fn with(file: PathBuf, settings: Settings, cost: argon2::Params, clock: Box<dyn Fn() -> Instant + Send + Sync>) -> Self {
        let turn = bounded(1);
        // The channel is empty and has room for the one token.
        let _has_room = turn.0.try_send(());
        Self {
            file,
            settings: ArcSwap::from_pointee(settings),
            known: Mutex::default(),
            tries: Mutex::default(),
            turn,
            cost,
            clock,
        }
    }

    /// Replaces the settings; they count from the next request on, for live sessions too.
    pub fn apply(&self, settings: Settings) {
        self.settings.store(Arc::new(settings));
    }

    /// Lets a request pass that needs a role. One that passes only by the PIN keeps the elevation alive.
    ///
    /// # Errors
    /// `RoleMissing`, or `AccessStoreFailed` if the PIN's file is what stands in the way.
    pub fn require(&self, session: &Session, needed: Role) -> Result<(), ErrorReport> {
        if needed == Role::Viewer {
            return Ok(());
        }
        let settings = self.settings.load();
        let (hash, epoch) = match self.look() {
            Ok(seen) => seen,
            Err(_) if base_role(session.who, Guard::Broken, &settings) >= needed => return Ok(()),
            Err(broken) => return Err(broken),
        };
        let guard = if hash.is_some() { Guard::Pin } else { Guard::Nothing };
        let base = base_role(session.who, guard, &settings);
        if base >= needed || self.lift(session, epoch, true).is_some() {
            return Ok(());
        }
        Err(role_missing(needed, base, guard))
    }

    /// How things stand for a session. It keeps no elevation alive.
    #[must_use]
    pub fn status(&self, session: &Session) -> AccessStatus {
        let settings = self.settings.load();
        let now = (self.clock)();
        let (guard, left) = match self.look() {
            Ok((None, _)) => (Guard::Nothing, None),
            Ok((Some(_), epoch)) => (Guard::Pin, self.lift(session, epoch, false)),
            Err(_) => (Guard::Broken, None),
        };
        let locked = held(&self.tries).locked(now).map(|until| until - now);
        AccessStatus {
            role: if left.is_some() { Role::Engineer } else { base_role(session.who, guard, &settings) },
            pin_set: guard != Guard::Nothing,
            elevated_until_ms: left.map(from_now_ms),
            without_pin: settings.without_pin,
            locked_until_ms: locked.map(from_now_ms),
        }
    }

    /// Lifts a session to engineer by the PIN. Without a PIN there is nothing to give, which is fine for who is engineer anyway.
    ///
    /// Blocking, for the time of a hash and for up to 5 s if others try PINs as well: call it on a thread of your own.
    ///
    /// # Errors
    /// `PinWrong`, `PinLocked`, `AccessStoreFailed`; `RoleMissing` if no PIN is set and the session is not engineer.
    pub fn elevate(&self, session: &Session, pin: &Secret) -> Result<AccessStatus, ErrorReport> {
        let _turn = self.take_turn()?;
        match self.look()? {
            (None, _) => self.require(session, Role::Engineer)?,
            (Some(hash), epoch) => {
                self.verify(&hash, pin)?;
                *held(&session.lifted) = Some(Lifted { epoch, last_used: (self.clock)() });
            }
        }
        Ok(self.status(session))
    }

    /// Sets or changes the PIN. `old` is the present one, if one is set. Every elevation ends but this session's, which is engineer by
    /// the new PIN. Blocking like [`elevate`](Self::elevate).
    ///
    /// # Errors
    /// `RoleMissing`, `PinInvalid`, `PinWrong`, `PinLocked`, `AccessStoreFailed`; the PIN is then as before.
    pub fn set_pin(&self, session: &Session, old: Option<&Secret>, new: &Secret) -> Result<AccessStatus, ErrorReport> {
        let _turn = self.take_turn()?;
        self.allow_change(session, old, Some(new))?;
        let hash = pin::hash(new, &self.cost)?;
        file::replace_private(&self.file, &hash).map_err(|error| pin::failed(&self.file, &error))?;
        let (_, epoch) = self.look_again()?;
        *held(&session.lifted) = Some(Lifted { epoch, last_used: (self.clock)() });
        tracing::info!(event = "pin_set", "the PIN of the engineer role was set; everybody else has to give it");
        Ok(self.status(session))
    }

    /// Takes the PIN away. `old` is the present one, if one is set. Blocking like [`elevate`](Self::elevate).
    ///
    /// # Errors
    /// `RoleMissing`, `PinWrong`, `PinLocked`, `AccessStoreFailed`; the PIN is then as before.
    pub fn clear_pin(&self, session: &Session, old: Option<&Secret>) -> Result<AccessStatus, ErrorReport> {
        let _turn = self.take_turn()?;
        self.allow_change(session, old, None)?;
        file::remove(&self.file).map_err(|error| pin::failed(&self.file, &error))?;
        self.look_again()?;
        session.drop_role();
        tracing::info!(event = "pin_cleared", "the PIN of the engineer role was taken away");
        Ok(self.status(session))
    }

    fn allow_change(&self, session: &Session, old: Option<&Secret>, new: Option<&Secret>) -> Result<(), ErrorReport> {
        self.require(session, Role::Engineer)?;
        new.map_or(Ok(()), pin::check)?;
        match (self.look()?.0, old) {
            (None, _) => Ok(()),
            (Some(hash), Some(old)) => self.verify(&hash, old),
            (Some(_), None) => {
                Err(ErrorReport::new(Code::PinWrong, "a PIN is set: to change it or take it away, give it as well")
                    .with_fix("Give the present PIN together with the change"))
            }
        }
    }

    /// The present hash and its epoch. Only a file that can be used changes them.
    fn look(&self) -> Result<(Option<Arc<str>>, u64), ErrorReport> {
        let mut known = held(&self.known);
        let result = known.refresh(&self.file);
        if result.is_err() {
            known.stamp = None;
        }
        result.map(|()| (known.hash.clone(), known.epoch))
    }

    fn look_again(&self) -> Result<(Option<Arc<str>>, u64), ErrorReport> {
        held(&self.known).stamp = None;
        held(&self.tries).forget();
        self.look()
    }

    /// How much longer the PIN lifts the session, if it does.
    fn lift(&self, session: &Session, epoch: u64, used: bool) -> Option<Duration> {
        let minutes = Duration::from_secs(self.settings.load().pin_minutes.saturating_mul(60));
        let now = (self.clock)();
        let mut lifted = held(&session.lifted);
        let left = (*lifted)
            .filter(|lifted| lifted.epoch == epoch)
            .and_then(|lifted| minutes.checked_sub(now.saturating_duration_since(lifted.last_used)))
            .filter(|left| !left.is_zero());
        *lifted = match (*lifted, left) {
            (Some(lifted), Some(_)) => Some(if used { Lifted { last_used: now, ..lifted } } else { lifted }),
            _ => None,
        };
        left
    }

    /// Only by whoever has the turn.
    fn verify(&self, hash: &str, pin: &Secret) -> Result<(), ErrorReport> {
        if let Some(until) = held(&self.tries).locked((self.clock)()) {
            let wait = until - (self.clock)();
            return Err(ErrorReport::new(Code::PinLocked, format!("too many wrong PINs: none is accepted until {}", at(wait))));
        }
        if pin::verify(&self.file, hash, pin)? {
            held(&self.tries).forget();
            return Ok(());
        }
        let now = (self.clock)();
        let mut tries = held(&self.tries);
        let message = match (tries.note_wrong(now), tries.locked(now)) {
            (left, None) => format!("the PIN is wrong; {left} more tries before there is a wait"),
            (_, Some(until)) => {
                tracing::warn!(event = "pin_locked", seconds = (until - now).as_secs(), "too many wrong PINs in a row");
                format!("the PIN is wrong; none is accepted until {}", at(until - now))
            }
        };
        Err(ErrorReport::new(Code::PinWrong, message))
    }

    fn take_turn(&self) -> Result<Turn<'_>, ErrorReport> {
        match self.turn.1.recv_timeout(TURN) {
            Ok(()) => Ok(Turn(&self.turn.0)),
            Err(_) => Err(ErrorReport::new(Code::PinLocked, "more PINs are being tried at this moment than can be checked")
                .with_fix("Try again in a moment")),
        }
    }
}

/// The right to check a PIN or to change it; given on when it is dropped.
struct Turn<'a>(&'a Sender<()>);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        // Its own place in the channel is free.
        let _has_room = self.0.try_send(());
    }
}

impl Known {
    fn refresh(&mut self, path: &std::path::Path) -> Result<(), ErrorReport> {
        let stamp = Stamp::of(path)?;
        if stamp.is_some() && !waybill_shared::fs::private::is_private(path).map_err(|error| pin::failed(path, &error))? {
            return Err(pin::failed(path, &"other users may read it"));
        }
        if stamp.is_some() && stamp == self.stamp {
            return Ok(());
        }
        let hash: Option<Arc<str>> = match &stamp {
            None => None,
            Some(_) => Some(pin::read(path)?.into()),
        };
        if hash != self.hash {
            self.hash = hash;
            self.epoch += 1;
        }
        self.stamp = stamp;
        Ok(())
    }
}

fn role_missing(needed: Role, there: Role, guard: Guard) -> ErrorReport {
    let error = ErrorReport::new(Code::RoleMissing, format!("this needs the role {needed}, and this session is {there}"));
    match guard {
        Guard::Nothing => error.with_fix("No PIN is set: ask the agent's own user, who is engineer"),
        Guard::Pin | Guard::Broken => error,
    }
}

fn from_now_ms(left: Duration) -> i64 {
    Timestamp::now().as_millisecond().saturating_add(i64::try_from(left.as_millis()).unwrap_or(i64::MAX))
}

/// A time of day from now on, as the clock on the wall shows it.
fn at(wait: Duration) -> String {
    // Rounded up, so that the time that is named is not too early.
    let seconds = wait.as_secs() + 1;
    match Zoned::now().checked_add(Duration::from_secs(seconds)) {
        Ok(time) => format!("{} (in {seconds} s)", time.strftime("%H:%M:%S")),
        Err(_) => format!("{seconds} s from now"),
    }
}

/// A poisoned lock's content is whole: nothing here panics between two writes.
fn held<T>(lock: &Mutex<T>) -> MutexGuard<'_, T> {
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;

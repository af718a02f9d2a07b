//! Who is in the house, and who has to make room for whom.
//!
//! Connections that have not greeted stand in the hall, as many as there are places; when it is full, the one that stands there
//! longest makes room. Whoever has greeted has a place until it leaves, and a newcomer finds the house full, except command lines
//! and the watchdog: they have a few places more, and when those are taken too, the command line or watchdog makes room that has
//! said nothing for the longest time and waits for no answer. So no crowd of hung clients keeps a `status` or a `stop` out,
//! and no crowd of command lines pushes a window out.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;

use crate::protocol::ClientKind;

/// Places beyond the configured ones for command lines and the watchdog.
const KEPT_PLACES: usize = 4;

/// The house. Its lock is held for a few instructions at a time, never over an await.
pub(super) struct Doors {
    places: AtomicUsize,
    inside: Mutex<Inside>,
    // Counts what was heard from anybody, as a clock that two connections never read alike.
    clock: AtomicU64,
}

#[derive(Default)]
struct Inside {
    next: u64,
    hall: VecDeque<(u64, CancellationToken)>,
    guests: HashMap<u64, Guest>,
}

/// A connection that has greeted.
struct Guest {
    short: bool,
    presence: Arc<Presence>,
    leave: CancellationToken,
}

/// What a connection is doing.
#[derive(Default)]
pub(super) struct Presence {
    heard: AtomicU64,
    working: AtomicUsize,
}

/// A connection's place; leaving gives it back.
pub(super) struct Place {
    doors: Arc<Doors>,
    id: u64,
    presence: Arc<Presence>,
    /// Cancelled when the connection has to leave.
    pub(super) leave: CancellationToken,
}

/// A request under way: whoever waits for an answer keeps its place.
pub(super) struct Working(Arc<Presence>);

impl Doors {
    pub(super) fn new(places: usize) -> Arc<Self> {
        Arc::new(Self { places: AtomicUsize::new(places), inside: Mutex::default(), clock: AtomicU64::new(1) })
    }

    /// So many places from now on; whoever is inside stays.
    pub(super) fn set_places(&self, places: usize) {
        self.places.store(places, Ordering::Relaxed);
    }

    /// Into the hall; always possible.
    pub(super) fn enter(self: &Arc<Self>, stop: &CancellationToken) -> Place {
        let leave = stop.child_token();
        let mut inside = self.lock();
        let id = inside.next;
        inside.next += 1;
        while inside.hall.len() >= self.places.load(Ordering::Relaxed) {
            if let Some((_, oldest)) = inside.hall.pop_front() {
                oldest.cancel();
            }
        }
        inside.hall.push_back((id, leave.clone()));
        Place { doors: Arc::clone(self), id, presence: Arc::default(), leave }
    }

    fn lock(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inside {
    /// Takes the place of the short visitor that has been silent longest, of those that wait for no answer. Watching the news
    /// protects nobody: the watcher that lives pings, and one that hangs would hold its place before all newcomers.
    fn make_room(&mut self) -> bool {
        let silent = self.guests.iter().filter(|(_, guest)| guest.short && guest.presence.working.load(Ordering::Relaxed) == 0);
        let longest = silent.min_by_key(|(_, guest)| guest.presence.heard.load(Ordering::Relaxed));
        let Some(id) = longest.map(|(&id, _)| id) else { return false };
        if let Some(guest) = self.guests.remove(&id) {
            guest.leave.cancel();
        }
        true
    }
}

impl Place {
    /// From the hall into the house, if there is a place for this kind of client.
    pub(super) fn greet(&self, kind: ClientKind) -> bool {
        self.heard();
        let short = matches!(kind, ClientKind::Cli | ClientKind::Watchdog);
        let mut inside = self.doors.lock();
        inside.hall.retain(|(id, _)| *id != self.id);
        // Made room for another in the hall already.
        if self.leave.is_cancelled() {
            return false;
        }
        let places = self.places() + if short { KEPT_PLACES } else { 0 };
        if inside.guests.len() >= places && !(short && inside.make_room()) {
            return false;
        }
        inside.guests.insert(self.id, Guest { short, presence: Arc::clone(&self.presence), leave: self.leave.clone() });
        true
    }

    /// Says that the client said something.
    pub(super) fn heard(&self) {
        self.presence.heard.store(self.doors.clock.fetch_add(1, Ordering::Relaxed), Ordering::Relaxed);
    }

    /// Says that a request is under way, until what this gives is dropped.
    pub(super) fn working(&self) -> Working {
        self.presence.working.fetch_add(1, Ordering::Relaxed);
        Working(Arc::clone(&self.presence))
    }

    /// How many places the house has.
    pub(super) fn places(&self) -> usize {
        self.doors.places.load(Ordering::Relaxed)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut inside = self.doors.lock();
        inside.hall.retain(|(id, _)| *id != self.id);
        inside.guests.remove(&self.id);
    }
}

impl Drop for Working {
    fn drop(&mut self) {
        self.0.working.fetch_sub(1, Ordering::Relaxed);
    }
}

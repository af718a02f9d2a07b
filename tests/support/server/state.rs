//! What the receiver has seen.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use base64::Engine as _;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::{Behaviour, Gzip};

/// One post of a report, accepted or not.
#[derive(Debug, Clone)]
pub struct Post {
    /// The report's id in lower case without braces; empty if the body names none.
    pub id: String,
    /// When its last byte had arrived.
    pub at: Instant,
    /// blake3 of the body, as hex; of a compressed one as it was before.
    pub hash: String,
    /// Length of the body as it was sent, perhaps compressed.
    pub bytes: usize,
    /// Headers by lower-case name; of several equal ones the last. Without `Authorization`.
    pub headers: BTreeMap<String, String>,
    /// The status that was answered; `None` while there is no answer, and for ever if the connection was dropped.
    pub answer: Option<u16>,
}

impl Post {
    /// True if it was compressed.
    #[must_use]
    pub fn is_compressed(&self) -> bool {
        self.headers.get("content-encoding").is_some_and(|coding| coding == "gzip")
    }

    /// The header `X-Correlation-Id`.
    #[must_use]
    pub fn correlation_id(&self) -> Option<&str> {
        self.headers.get("x-correlation-id").map(String::as_str)
    }
}

/// What is known of one report id.
#[derive(Debug, Clone, Default)]
pub struct IdRecord {
    /// How often it was posted.
    pub posts: usize,
    /// How often it was accepted.
    pub accepted: usize,
    /// blake3 of each different content that was posted, in the order of arrival.
    pub contents: Vec<String>,
    /// The content that was accepted last, if bodies are kept.
    pub body: Option<Vec<u8>>,
}

/// A station that made itself known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registration {
    /// What it sent, by parameter.
    pub parameters: BTreeMap<String, String>,
    /// The passcode that it was given.
    pub passcode: String,
}

impl Registration {
    /// The token that the station has from then on, as it stands after `Basic`.
    #[must_use]
    pub fn token(&self) -> String {
        let id = self.parameters.get("id").map_or("", String::as_str);
        base64::engine::general_purpose::STANDARD.encode(format!("{id}:{}", self.passcode))
    }
}

/// Everything that the receiver has seen.
#[derive(Debug, Default)]
pub struct State {
    /// Requests of any kind.
    pub requests: usize,
    /// Requests by method and path as they were written.
    pub paths: BTreeMap<String, usize>,
    /// Requests that did not carry the token.
    pub unauthorised: usize,
    /// Connections that were taken.
    pub connections: usize,
    /// Requests being handled at this moment.
    pub in_flight: usize,
    /// Most requests that were ever handled at the same time.
    pub max_in_flight: usize,
    /// Requests that hang at this moment.
    pub hanging: usize,
    /// Every post in the order of arrival.
    pub posts: Vec<Post>,
    /// Every id that was posted.
    pub ids: BTreeMap<String, IdRecord>,
    /// How many ids were accepted.
    pub accepted_ids: usize,
    /// How many posts were accepted.
    pub accepted_posts: usize,
    /// Every registration in the order of arrival; of a station's tokens the newest counts.
    pub registrations: Vec<Registration>,
    pub(super) keep_bodies: bool,
}

impl State {
    /// How often the id was posted.
    #[must_use]
    pub fn posts_of(&self, id: &str) -> usize {
        self.ids.get(id).map_or(0, |record| record.posts)
    }

    /// True if the id was accepted.
    #[must_use]
    pub fn has(&self, id: &str) -> bool {
        self.ids.get(id).is_some_and(|record| record.accepted > 0)
    }

    /// True if it is the newest token of a registered station.
    pub(super) fn is_registered(&self, token: &str) -> bool {
        let newest = |id: Option<&String>| self.registrations.iter().rfind(|known| known.parameters.get("id") == id);
        self.registrations.iter().any(|known| newest(known.parameters.get("id")).is_some_and(|newest| newest.token() == token))
    }

    /// Records a post and gives its number.
    pub(super) fn posted(&mut self, post: Post) -> usize {
        let record = self.ids.entry(post.id.clone()).or_default();
        record.posts += 1;
        if !record.contents.contains(&post.hash) {
            record.contents.push(post.hash.clone());
        }
        self.posts.push(post);
        self.posts.len() - 1
    }

    /// Stores a report.
    pub(super) fn accepted(&mut self, id: &str, body: &[u8]) {
        let keep = self.keep_bodies;
        let record = self.ids.entry(id.to_owned()).or_default();
        record.accepted += 1;
        record.body = keep.then(|| body.to_vec());
        self.accepted_ids += usize::from(record.accepted == 1);
        self.accepted_posts += 1;
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "receiver: {} reports accepted in {} posts; {} posts of {} ids, {} requests on {} connections, {} without the \
             token; {} in flight (at most {}), {} hanging",
            self.accepted_ids,
            self.accepted_posts,
            self.posts.len(),
            self.ids.len(),
            self.requests,
            self.connections,
            self.unauthorised,
            self.in_flight,
            self.max_in_flight,
            self.hanging
        )?;
        for (path, count) in self.paths.iter().take(10) {
            writeln!(f, "  {count} × {path}")?;
        }
        for (number, post) in self.posts.iter().enumerate().skip(self.posts.len().saturating_sub(10)) {
            let ago = post.at.elapsed().as_secs_f32();
            let answer = post.answer.map_or_else(|| "no answer".to_owned(), |code| code.to_string());
            writeln!(f, "  post {number}: {} {} bytes, {answer}, {ago:.1} s ago", post.id, post.bytes)?;
        }
        Ok(())
    }
}

/// What the receiver and its thread share.
pub(super) struct Shared {
    // Two threads, and a condition variable needs the lock of what it tells of.
    pub(super) state: Mutex<State>,
    pub(super) changed: Condvar,
    pub(super) behaviour: Mutex<Behaviour>,
    pub(super) token: Mutex<String>,
    pub(super) gzip: Mutex<Gzip>,
    /// The operations, as they are answered.
    pub(super) processes: Mutex<Value>,
    /// Counts releases; what hangs waits for the next one.
    pub(super) release: watch::Sender<u64>,
}

impl Shared {
    pub(super) fn new(token: String) -> Self {
        Self {
            state: Mutex::new(State { keep_bodies: true, ..State::default() }),
            changed: Condvar::new(),
            behaviour: Mutex::new(Behaviour::Accept),
            token: Mutex::new(token),
            gzip: Mutex::new(Gzip::Unknown),
            processes: Mutex::new(json!([
                { "code": 10, "name": "Functional test", "isTestOperation": true },
                { "code": 500, "name": "Repair", "isRepairOperation": true },
            ])),
            release: watch::Sender::new(0),
        }
    }

    /// Changes the state and wakes who waits for it.
    pub(super) fn change<R>(&self, change: impl FnOnce(&mut State) -> R) -> R {
        let result = change(&mut lock(&self.state));
        self.changed.notify_all();
        result
    }

    /// Counts a request until the guard is dropped, also if its connection is cut.
    pub(super) fn enter(self: &Arc<Self>, path: String) -> Counted {
        self.change(|state| {
            state.requests += 1;
            *state.paths.entry(path).or_default() += 1;
            state.in_flight += 1;
            state.max_in_flight = state.max_in_flight.max(state.in_flight);
        });
        Counted { shared: Arc::clone(self), leave: |state| state.in_flight -= 1 }
    }

    /// Counts a request as hanging until the guard is dropped.
    pub(super) fn hang(self: &Arc<Self>) -> Counted {
        self.change(|state| state.hanging += 1);
        Counted { shared: Arc::clone(self), leave: |state| state.hanging -= 1 }
    }
}

/// Something that is counted as long as it lives.
pub(super) struct Counted {
    shared: Arc<Shared>,
    leave: fn(&mut State),
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.shared.change(self.leave);
    }
}

/// A failed test poisons locks; the others and the report of the failure still need them.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

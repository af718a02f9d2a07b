//! A WATS-compatible receiver on loopback that records everything and answers as a test tells it to.
//!
//! It runs on its own thread with its own runtime, so that tests without a runtime use it. [`Receiver::stop_listening`]
//! refuses connections and cuts those that are open; the port stays reserved until [`Receiver::listen_again`], so that no
//! other program can take it in between.
//!
//! What it speaks: `POST /api/Report/WSJF` (path in any case) with `Authorization: Basic <token>`, the same id overwrites;
//! `GET /api/App/Version` and `GET /api/App/Processes`; `POST /api/Client/Register` with [`REGISTER_TOKEN`], which gives the
//! station a token of its own. Anything without a token is answered 401 whatever the behaviour.

mod behaviour;
mod serve;
mod state;
mod wire;

pub use behaviour::{Behaviour, Gzip};
pub use state::{IdRecord, Post, Registration, State};

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use base64::Engine as _;
use serde_json::Value;
use tokio::net::TcpSocket;
use tokio::sync::oneshot;

use crate::platform;
use crate::wait::{USUAL, bound, holds_within};
use state::{Shared, lock};

/// The token that is only good for registering, of every receiver.
pub const REGISTER_TOKEN: &str = "cmVnaXN0ZXI6b25seQ==";

/// A WATS-compatible server. Dropping it closes it.
pub struct Receiver {
    shared: Arc<Shared>,
    address: SocketAddr,
    listening: Mutex<Listening>,
}

enum Listening {
    Up {
        stop: oneshot::Sender<()>,
        thread: JoinHandle<()>,
    },
    /// The socket holds the port and does not listen: connections are refused.
    Down(TcpSocket),
    /// Only between the two.
    Changing,
}

impl Receiver {
    /// A server on a free port that accepts every report.
    #[must_use]
    pub fn start() -> Self {
        let socket = bind(SocketAddr::from(([127, 0, 0, 1], 0))).expect("a free port on loopback");
        let address = socket.local_addr().expect("the address of a bound socket");
        let token = base64::engine::general_purpose::STANDARD.encode(format!("waybill:{:016x}", fastrand::u64(..)));
        let shared = Arc::new(Shared::new(token));
        let listening = Mutex::new(listen(socket, &shared));
        Self { shared, address, listening }
    }

    /// Its address, as a configuration names it.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Its address and port.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The token that it asks for, as it stands after `Basic`.
    #[must_use]
    pub fn token(&self) -> String {
        lock(&self.shared.token).clone()
    }

    /// Asks for another token from now on.
    pub fn set_token(&self, token: &str) {
        token.clone_into(&mut lock(&self.shared.token));
    }

    /// Answers so from now on. Requests that hang already go on hanging until [`Receiver::release`].
    pub fn set(&self, behaviour: Behaviour) {
        *lock(&self.shared.behaviour) = behaviour;
    }

    /// Does so with compressed reports from now on.
    pub fn set_gzip(&self, gzip: Gzip) {
        *lock(&self.shared.gzip) = gzip;
    }

    /// Answers this when it is asked for its operations.
    pub fn set_processes(&self, processes: Value) {
        *lock(&self.shared.processes) = processes;
    }

    /// Every registration in the order of arrival.
    #[must_use]
    pub fn registrations(&self) -> Vec<Registration> {
        self.state().registrations.clone()
    }

    /// Accepts what hangs at this moment.
    pub fn release(&self) {
        self.shared.release.send_modify(|count| *count += 1);
    }

    /// Whether bodies of accepted reports are kept (they are, unless told). Without them [`Receiver::reports`] gives `null`s;
    /// counts and hashes are kept in any case.
    pub fn keep_bodies(&self, keep: bool) {
        lock(&self.shared.state).keep_bodies = keep;
    }

    /// Refuses connections from now on and cuts those that are open, as a server that was switched off.
    pub fn stop_listening(&self) {
        let mut listening = lock(&self.listening);
        let Listening::Up { stop, thread } = std::mem::replace(&mut *listening, Listening::Changing) else {
            panic!("the receiver does not listen");
        };
        // Fails only if the thread is gone, which the join tells.
        let _ended = stop.send(());
        thread.join().expect("the receiver's thread");
        let mut reserved = None;
        holds_within(Duration::from_secs(5), || {
            reserved = bind(self.address).ok();
            reserved.is_some()
        });
        *listening = Listening::Down(reserved.expect("the receiver's own port is free again"));
    }

    /// Listens again, on the same port.
    pub fn listen_again(&self) {
        let mut listening = lock(&self.listening);
        let Listening::Down(socket) = std::mem::replace(&mut *listening, Listening::Changing) else {
            panic!("the receiver listens already");
        };
        *listening = listen(socket, &self.shared);
    }

    /// The accepted reports by id, each as it was posted last.
    #[must_use]
    pub fn reports(&self) -> BTreeMap<String, Value> {
        let state = self.state();
        let kept = state.ids.iter().filter(|(_, record)| record.accepted > 0);
        kept.map(|(id, record)| (id.clone(), record.body.as_deref().map_or(Value::Null, parse))).collect()
    }

    /// The ids of the accepted reports.
    #[must_use]
    pub fn report_ids(&self) -> Vec<String> {
        self.state().ids.iter().filter(|(_, record)| record.accepted > 0).map(|(id, _)| id.clone()).collect()
    }

    /// Every post in the order of arrival, accepted or not.
    #[must_use]
    pub fn posts(&self) -> Vec<Post> {
        self.state().posts.clone()
    }

    /// Looks at everything that was recorded. The receiver stands still meanwhile: no other call of it in the closure.
    pub fn look<R>(&self, look: impl FnOnce(&State) -> R) -> R {
        look(&self.state())
    }

    /// Forgets what was recorded, reports included; requests in flight stay counted.
    pub fn forget(&self) {
        let mut state = self.state();
        let (in_flight, hanging, keep_bodies) = (state.in_flight, state.hanging, state.keep_bodies);
        *state = State { in_flight, max_in_flight: in_flight, hanging, keep_bodies, ..State::default() };
    }

    /// Waits until at least `count` reports were accepted; panics after 60 s.
    #[track_caller]
    pub fn wait_for_reports(&self, count: usize) {
        if !self.happens_within(USUAL, |state| state.accepted_ids >= count) {
            panic!("waited {:?} in vain for {count} reports\n{}", bound(USUAL), self.state());
        }
    }

    /// Waits until `condition` holds; panics after 60 s.
    #[track_caller]
    pub fn wait(&self, condition: impl FnMut(&State) -> bool) {
        self.wait_for(condition, USUAL);
    }

    /// Waits until `condition` holds, looking again at each event; panics after `limit`.
    #[track_caller]
    pub fn wait_for(&self, condition: impl FnMut(&State) -> bool, limit: Duration) {
        if !self.happens_within(limit, condition) {
            panic!("waited {:?} in vain for the receiver\n{}", bound(limit), self.state());
        }
    }

    /// True as soon as `condition` holds, false if it does not within `limit`.
    pub fn happens_within(&self, limit: Duration, mut condition: impl FnMut(&State) -> bool) -> bool {
        let end = Instant::now() + bound(limit);
        let mut state = self.state();
        loop {
            if condition(&state) {
                return true;
            }
            let Some(left) = end.checked_duration_since(Instant::now()) else { return false };
            state = self.shared.changed.wait_timeout(state, left).unwrap_or_else(std::sync::PoisonError::into_inner).0;
        }
    }

    /// Panics unless exactly these reports were accepted, each with one content however often it was sent.
    #[track_caller]
    pub fn assert_has_exactly<'a>(&self, ids: impl IntoIterator<Item = &'a String>) {
        let wanted: std::collections::BTreeSet<&str> = ids.into_iter().map(String::as_str).collect();
        let state = self.state();
        let there = |id: &str| state.ids.get(id).is_some_and(|record| record.accepted > 0);
        let missing: Vec<_> = wanted.iter().filter(|id| !there(id)).take(10).collect();
        let strange: Vec<_> = state.ids.keys().filter(|id| there(id) && !wanted.contains(id.as_str())).take(10).collect();
        let changed: Vec<_> =
            state.ids.iter().filter(|(_, record)| record.contents.len() > 1).map(|(id, _)| id).take(10).collect();
        assert!(
            missing.is_empty() && strange.is_empty() && changed.is_empty(),
            "not exactly the {} reports that were issued; the first of each:\nmissing {missing:?}\nnever issued {strange:?}\n\
             sent with different contents {changed:?}\n{state}",
            wanted.len()
        );
    }
}

impl Receiver {
    // Not public: two of these in one expression wait for each other for ever.
    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.shared.state)
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        let listening = std::mem::replace(&mut *lock(&self.listening), Listening::Changing);
        if let Listening::Up { stop, thread } = listening {
            let _ended = stop.send(());
            // A panic of the thread was printed already, and a second panic here would end the test run.
            let _panicked = thread.join();
        }
    }
}

fn parse(body: &[u8]) -> Value {
    serde_json::from_slice(body).expect("only JSON is accepted")
}

fn bind(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    platform::allow_rebind(&socket)?;
    socket.bind(address)?;
    Ok(socket)
}

/// Starts the thread that serves, and returns once connections are taken.
fn listen(socket: TcpSocket, shared: &Arc<Shared>) -> Listening {
    let (stop, stopped) = oneshot::channel();
    let (ready_in, ready) = std::sync::mpsc::sync_channel::<io::Result<()>>(1);
    let shared = Arc::clone(shared);
    let thread = std::thread::Builder::new()
        .name("wats-receiver".to_owned())
        .spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let listener = match socket.listen(1024) {
                    Ok(listener) => listener,
                    Err(error) => return ready_in.send(Err(error)).expect("somebody waits"),
                };
                ready_in.send(Ok(())).expect("somebody waits");
                tokio::select! {
                    () = serve::serve(listener, shared) => {}
                    _ = stopped => {}
                }
            });
            // The runtime ends here, and with it every connection.
        })
        .expect("a thread");
    ready.recv().expect("the receiver's thread").expect("the receiver listens");
    Listening::Up { stop, thread }
}

#[cfg(test)]
mod tests;

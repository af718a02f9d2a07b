//! Random lives of a queue against a model that is simple enough to be right: what is enqueued, taken, answered, taken up, given up, held;
//! crashes, restarts, jumps of the clock, other limits. At every step each destination has issued = pending + sent + failed + discarded +
//! evicted, each file is queued or where it was, and what may go next is exactly what the model says, in its order.
//!
//! `WAYBILL_LONG=1` runs more lives, and longer ones.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicI64, Ordering};

use proptest::prelude::*;
use waybill_ipc::protocol::Which;
use waybill_shared::config::WhenFull;

use super::super::{Now, rank};
use super::*;

const DESTINATIONS: [&str; 2] = ["main", "second"];
/// When the clock of the model begins.
const EPOCH_MS: i64 = 1_800_000_000_000;
/// Longest pause between two tries, as configured by default.
const LONGEST_MS: i64 = 3_600_000;

#[derive(Debug, Clone)]
enum Step {
    /// A file with reports of these ids; staged in two parts or whole.
    Add {
        ids: Vec<u8>,
        priority: u8,
        staged: bool,
    },
    /// A file that was taken before comes once more.
    AddAgain {
        which: usize,
    },
    /// Some of what may go is taken and answered.
    Answer {
        destination: usize,
        nth: usize,
        answer: Answer,
    },
    /// What is due by now goes.
    Promote {
        destination: usize,
    },
    Discard {
        destination: usize,
        failed: bool,
    },
    Retry {
        destination: usize,
        state: u8,
    },
    Hold {
        priority: u8,
        held: bool,
    },
    /// The clock goes on, or back.
    Clock {
        seconds: i64,
    },
    Limit {
        entries: u64,
        policy: u8,
    },
    Restart {
        crash: bool,
    },
}

#[derive(Debug, Clone)]
enum Answer {
    Sent,
    Failed,
    Later { seconds: i64 },
}

fn step() -> impl Strategy<Value = Step> {
    let destination = 0..DESTINATIONS.len();
    prop_oneof![
        8 => (prop::collection::vec(0_u8..12, 1..5), 1_u8..=10, any::<bool>())
            .prop_map(|(ids, priority, staged)| Step::Add { ids, priority, staged }),
        1 => any::<usize>().prop_map(|which| Step::AddAgain { which }),
        8 => (destination.clone(), 0_usize..4, prop_oneof![
                4 => Just(Answer::Sent),
                1 => Just(Answer::Failed),
                2 => (1_i64..20_000).prop_map(|seconds| Answer::Later { seconds }),
            ]).prop_map(|(destination, nth, answer)| Step::Answer { destination, nth, answer }),
        2 => destination.clone().prop_map(|destination| Step::Promote { destination }),
        1 => (destination.clone(), any::<bool>()).prop_map(|(destination, failed)| Step::Discard { destination, failed }),
        2 => (destination, 0_u8..4).prop_map(|(destination, state)| Step::Retry { destination, state }),
        2 => (1_u8..=10, any::<bool>()).prop_map(|(priority, held)| Step::Hold { priority, held }),
        2 => (-100_000_i64..100_000).prop_map(|seconds| Step::Clock { seconds }),
        1 => (3_u64..20, 0_u8..2).prop_map(|(entries, policy)| Step::Limit { entries, policy }),
        1 => any::<bool>().prop_map(|crash| Step::Restart { crash }),
    ]
}

#[derive(Debug, Clone)]
struct Delivery {
    state: DeliveryState,
    due: i64,
}

#[derive(Debug, Clone)]
struct Entry {
    /// Its identity; several entries may have the same.
    id: u8,
    priority: u8,
    queued_at: i64,
    older: Option<usize>,
    deliveries: Vec<Delivery>,
}

/// What the queue should be. Entries are known by their number in the order of their coming, which is their serial number.
#[derive(Debug, Clone)]
struct Model {
    entries: Vec<Entry>,
    issued: Vec<u64>,
    held: BTreeSet<u8>,
    limit: u64,
    policy: WhenFull,
    closed: bool,
    /// Files that are in the queue, and those that stayed where they were.
    taken: Vec<NewFileKey>,
    left: u64,
    seen: u64,
}

/// What is needed to make the very same file again.
type NewFileKey = (i64, Vec<u8>, u8);

impl Model {
    fn count(&self, destination: usize, state: DeliveryState) -> u64 {
        self.entries.iter().filter(|entry| entry.deliveries[destination].state == state).count() as u64
    }

    fn next_serial(&self) -> usize {
        self.entries.len()
    }

    /// Makes room as the limits say; false if the reports do not come in.
    fn room(&mut self, reports: u64, own: u64) -> bool {
        let before = self.clone();
        for destination in 0..DESTINATIONS.len() {
            loop {
                let waiting = self.count(destination, DeliveryState::Pending) + self.count(destination, DeliveryState::Staged);
                let (others, passed) = (waiting - own, waiting + reports > self.limit);
                let oldest_first = self.policy == WhenFull::OldestFirst;
                if others == 0 || (!passed && (oldest_first || !self.closed)) {
                    break;
                }
                let pending = |entry: &Entry| entry.deliveries[destination].state == DeliveryState::Pending;
                let oldest = self.entries.iter().position(pending);
                match oldest.filter(|_| oldest_first && passed) {
                    Some(oldest) => self.entries[oldest].deliveries[destination].state = DeliveryState::Evicted,
                    None => {
                        *self = before;
                        return false;
                    }
                }
            }
        }
        true
    }

    fn push(&mut self, ids: &[u8], priority: u8, now: i64, state: DeliveryState) {
        for &id in ids {
            let older = self.entries.iter().rposition(|entry| entry.id == id);
            let deliveries = vec![Delivery { state, due: 0 }; DESTINATIONS.len()];
            self.entries.push(Entry { id, priority, queued_at: now, older, deliveries });
        }
    }

    /// After each commit: full at the limit, until nine tenths are left; at once when something did not fit.
    fn gate(&mut self, refused: bool) {
        let most = (0..DESTINATIONS.len()).map(|d| self.count(d, DeliveryState::Pending)).max().unwrap();
        let threshold = if self.closed { self.limit - self.limit.div_ceil(10) + 1 } else { self.limit };
        self.closed = most >= threshold || refused;
    }

    /// What may go, in its order.
    fn ready(&self, destination: usize) -> Vec<usize> {
        let mut ready: Vec<usize> = (0..self.entries.len())
            .filter(|&serial| {
                let entry = &self.entries[serial];
                let delivery = &entry.deliveries[destination];
                let blocked =
                    entry.older.is_some_and(|older| self.entries[older].deliveries[destination].state == DeliveryState::Pending);
                delivery.state == DeliveryState::Pending && delivery.due == 0 && !self.held.contains(&entry.priority) && !blocked
            })
            .collect();
        ready.sort_by_key(|&serial| (rank::rank(self.entries[serial].queued_at, self.entries[serial].priority), serial));
        ready
    }

    fn is_superseded(&self, serial: usize, destination: usize) -> bool {
        let gone = |state| matches!(state, DeliveryState::Discarded | DeliveryState::Evicted);
        let newer = |entry: &Entry| entry.id == self.entries[serial].id && !gone(entry.deliveries[destination].state);
        self.entries[serial + 1..].iter().any(newer)
    }
}

struct Life {
    store: Store,
    model: Model,
    clock: Arc<AtomicI64>,
}

impl Life {
    fn new() -> Self {
        let model = Model {
            entries: Vec::new(),
            issued: vec![0; DESTINATIONS.len()],
            held: BTreeSet::new(),
            limit: 12,
            policy: WhenFull::Reject,
            closed: false,
            taken: Vec::new(),
            left: 0,
            seen: 0,
        };
        let mut life = Self { store: Store::empty(), model, clock: Arc::new(AtomicI64::new(EPOCH_MS)) };
        life.open();
        life
    }

    fn config(&self) -> Config {
        let policy = match self.model.policy {
            WhenFull::OldestFirst => "oldest_first",
            _ => "reject",
        };
        let limit = self.model.limit;
        config(&format!("{TWO}[queue]\nmax_entries={limit}\nwhen_full='{policy}'\nmin_free_bytes=0\nmin_free_percent=0\n"))
    }

    fn open(&mut self) {
        let clock = Arc::clone(&self.clock);
        let now: Now = Arc::new(move || Timestamp::from_millisecond(clock.load(Ordering::SeqCst)).unwrap());
        let events = Arc::clone(&self.store.events);
        let on_commit: OnCommit = Box::new(move |mut new| events.lock().unwrap().append(&mut new));
        self.store.queue = Some(open_by(&self.store.places(), &self.config(), on_commit, now).unwrap());
        self.model.closed = false;
        self.model.gate(false);
        let latest = self.now() + LONGEST_MS;
        let deliveries = self.model.entries.iter_mut().flat_map(|entry| &mut entry.deliveries);
        deliveries.filter(|d| d.state == DeliveryState::Pending && d.due > latest).for_each(|d| d.due = latest);
    }

    fn now(&self) -> i64 {
        self.clock.load(Ordering::SeqCst)
    }

    fn file(&mut self, key: &NewFileKey, first_serial: usize) -> NewFile {
        let (modified_ns, ids, priority) = key;
        let spool = self.store.places().spool;
        let entries =
            ids.iter().enumerate().map(|(at, &id)| NewEntry { serial: (first_serial + at).to_string(), ..entry(id, &spool) });
        let entries = entries.collect();
        let mut file = self.store.file("/in/f.json", &[]);
        (file.fingerprint.modified_ns, file.priority, file.entries) = (*modified_ns, *priority, entries);
        file
    }

    async fn run(&mut self, step: Step) {
        match step {
            Step::Add { ids, priority, staged } => self.add(ids, priority, staged).await,
            Step::AddAgain { which } => {
                let Some(key) = self.model.taken.get(which % self.model.taken.len().max(1)).cloned() else { return };
                self.model.seen += 1;
                let file = self.file(&key, 0);
                assert!(matches!(self.store.commit(file).await, Ok(Committed::AlreadyTaken { .. })));
                self.model.left += 1;
                self.model.gate(false);
            }
            Step::Answer { destination, nth, answer } => self.answer(destination, nth, answer).await,
            Step::Promote { destination } => {
                let (name, now) = (DESTINATIONS[destination].to_owned(), self.now());
                let by = Timestamp::from_millisecond(now).unwrap();
                self.store.queue().writer.ask(|ack| Command::Promote { destination: name, by, ack }).await.unwrap();
                let all = self.model.entries.iter_mut().map(|entry| &mut entry.deliveries[destination]);
                all.filter(|d| d.state == DeliveryState::Pending && d.due <= now).for_each(|d| d.due = 0);
                self.model.gate(false);
            }
            Step::Discard { destination, failed } => {
                let state = if failed { DeliveryState::Failed } else { DeliveryState::Pending };
                let which = self.which(destination, state);
                let ask = self.store.queue().writer.ask(|ack| Command::Discard { which, why: "model".into(), ack });
                let count = ask.await.unwrap().count;
                assert_eq!(count, self.model.count(destination, state));
                let all = self.model.entries.iter_mut().map(|entry| &mut entry.deliveries[destination]);
                all.filter(|d| d.state == state).for_each(|d| (d.state, d.due) = (DeliveryState::Discarded, 0));
                self.model.gate(false);
            }
            Step::Retry { destination, state } => self.retry(destination, state).await,
            Step::Hold { priority, held } => {
                self.store.queue().writer.ask(|ack| Command::HoldLane { priority, held, ack }).await.unwrap();
                if held {
                    self.model.held.insert(priority)
                } else {
                    self.model.held.remove(&priority)
                };
                self.model.gate(false);
            }
            Step::Clock { seconds } => {
                self.clock.fetch_add(seconds * 1000, Ordering::SeqCst);
            }
            Step::Limit { entries, policy } => {
                self.model.limit = entries;
                self.model.policy = if policy == 0 { WhenFull::Reject } else { WhenFull::OldestFirst };
                let routes = Routes::of(&self.config());
                let told = Box::new(waybill_ipc::protocol::Configured {
                    identity: waybill_ipc::protocol::Identity::default(),
                    max_entries: entries,
                    sources: Vec::new(),
                    destinations: Vec::new(),
                });
                let new = Box::new(NewRoutes { routes, letting_go: LettingGo::of_nothing(), told });
                self.store.queue().writer.ask(|ack| Command::Configure { new, ack }).await.unwrap();
                self.model.gate(false);
            }
            Step::Restart { crash } => {
                if crash {
                    self.crash().await;
                } else {
                    self.store.close().await;
                }
                self.open();
            }
        }
        self.check().await;
    }

    /// What is on the disk at this moment is all there is: it is copied while the queue is open, as a power cut would leave it.
    async fn crash(&mut self) {
        let mut after = Store::empty();
        after.events = Arc::clone(&self.store.events);
        copy_folder(self.store.folder.path(), after.folder.path());
        // Paths of what had to make room are those of the folder that is gone.
        std::mem::swap(&mut self.store.folder, &mut after.folder);
        std::mem::swap(&mut self.store.queue, &mut after.queue);
        after.close().await;
        let moved = after.folder.keep();
        let here = self.store.folder.path().to_owned();
        let database = rusqlite::Connection::open(here.join("queue.db")).unwrap();
        let (from, to) = (moved.to_string_lossy().into_owned(), here.to_string_lossy().into_owned());
        database.execute("UPDATE delivery SET note = replace(note, ?1, ?2)", [from, to]).unwrap();
        std::fs::remove_dir_all(moved).unwrap();
    }

    fn which(&self, destination: usize, state: DeliveryState) -> Which {
        let filter = DeliveryFilter {
            destination: Some(DESTINATIONS[destination].into()),
            state: Some(state),
            ..DeliveryFilter::default()
        };
        Which::All { filter, after: None }
    }

    async fn add(&mut self, ids: Vec<u8>, priority: u8, staged: bool) {
        self.model.seen += 1;
        let key = (i64::try_from(self.model.seen).unwrap(), ids.clone(), priority);
        let first = self.model.next_serial();
        let (now, total) = (self.now(), ids.len() as u64);
        let cut = if staged { ids.len() / 2 } else { 0 };
        let mut file = self.file(&key, first);
        if cut > 0 {
            let rest = file.entries.split_off(cut);
            let part = NewFile {
                entries: std::mem::replace(&mut file.entries, rest),
                fingerprint: file.fingerprint.clone(),
                ..file_like(&file)
            };
            let stage = self.store.queue().writer.ask(|ack| Command::Stage { key: 7, file: part, ack }).await;
            let fits = self.model.room(cut as u64, 0);
            assert_eq!(stage.is_ok(), fits, "{stage:?}");
            if !fits {
                self.model.gate(true);
                self.model.left += 1;
                return;
            }
            self.model.push(&ids[..cut], priority, now, DeliveryState::Staged);
            self.model.gate(false);
            file.staged = Some(7);
        }
        let committed = self.store.commit(file).await;
        let fits = self.model.room(total - cut as u64, cut as u64);
        assert_eq!(committed.is_ok(), fits, "{committed:?}");
        if !fits {
            // What was staged of it is forgotten; its numbers are not given to others.
            self.model.entries.truncate(first);
            self.model.gate(true);
            self.model.left += 1;
            return;
        }
        self.model.entries.truncate(first);
        self.model.push(&ids, priority, now, DeliveryState::Pending);
        self.model.issued.iter_mut().for_each(|issued| *issued += total);
        self.model.gate(false);
        self.model.taken.push(key);
    }

    async fn answer(&mut self, destination: usize, nth: usize, answer: Answer) {
        let ready = self.store.ready(DESTINATIONS[destination]).await;
        let Some(taken) = ready.get(nth % ready.len().max(1)) else { return };
        let serial: usize = taken.key.serial.parse().unwrap();
        let delivery = &mut self.model.entries[serial].deliveries[destination];
        let now = self.clock.load(Ordering::SeqCst);
        let outcome = match answer {
            Answer::Sent => {
                delivery.state = DeliveryState::Sent;
                Outcome::Sent { receipt: String::new(), address: String::new() }
            }
            Answer::Failed => {
                delivery.state = DeliveryState::Failed;
                Outcome::Failed { error: error() }
            }
            Answer::Later { seconds } => {
                delivery.due = now + seconds * 1000;
                let due = Timestamp::from_millisecond(delivery.due).unwrap();
                Outcome::Retry { due, charge: false, max_retries: 10, error: error() }
            }
        };
        self.store.outcome(&taken.key, outcome).await;
        self.model.gate(false);
    }

    async fn retry(&mut self, destination: usize, state: u8) {
        let state =
            [DeliveryState::Failed, DeliveryState::Discarded, DeliveryState::Evicted, DeliveryState::Pending][usize::from(state)];
        let which = self.which(destination, state);
        let changed = self.store.queue().writer.ask(|ack| Command::Retry { which, ack }).await.unwrap();
        let (mut count, mut skipped) = (0, 0);
        for serial in 0..self.model.entries.len() {
            let delivery = &self.model.entries[serial].deliveries[destination];
            if delivery.state != state {
                continue;
            }
            if state == DeliveryState::Pending {
                count += u64::from(delivery.due > 0);
            } else if self.model.is_superseded(serial, destination) {
                skipped += 1;
                continue;
            } else {
                count += 1;
            }
            self.model.entries[serial].deliveries[destination] = Delivery { state: DeliveryState::Pending, due: 0 };
        }
        assert_eq!((changed.count, changed.skipped), (count, skipped));
        self.model.gate(false);
    }

    async fn check(&mut self) {
        let model = &self.model;
        // Per file: seen = queued + left where it was.
        assert_eq!(model.seen, model.taken.len() as u64 + model.left);
        let rows =
            self.store.queue().reader.deliveries(DeliveryFilter::default(), Page { after: None, limit: 1000 }).await.unwrap();
        let mut there: BTreeMap<(usize, String), DeliveryState> = BTreeMap::new();
        for row in rows {
            there.insert((row.serial.parse().unwrap(), row.destination), row.state);
        }
        let mut wanted = BTreeMap::new();
        for (serial, entry) in model.entries.iter().enumerate() {
            for (destination, delivery) in entry.deliveries.iter().enumerate() {
                wanted.insert((serial, DESTINATIONS[destination].to_owned()), delivery.state);
            }
        }
        assert_eq!(there, wanted);
        assert_eq!(self.store.queue().gate.is_closed(), model.closed);
        for (destination, name) in DESTINATIONS.iter().enumerate() {
            // Per delivery: issued = pending + sent + failed + discarded + evicted, in the counters that are kept and in the rows.
            let states = [
                DeliveryState::Pending,
                DeliveryState::Sent,
                DeliveryState::Failed,
                DeliveryState::Discarded,
                DeliveryState::Evicted,
            ];
            let sum: u64 = states.iter().map(|&state| model.count(destination, state)).sum();
            assert_eq!(sum, model.issued[destination], "{name}");
            let lanes = self.store.queue().reader.lanes().await.unwrap();
            let of = |count: fn(&waybill_ipc::protocol::LaneRow) -> u64| {
                lanes.iter().filter(|lane| lane.destination == *name).map(count).sum::<u64>()
            };
            assert_eq!(of(|lane| lane.pending), model.count(destination, DeliveryState::Pending), "{name}");
            assert_eq!(of(|lane| lane.failed), model.count(destination, DeliveryState::Failed), "{name}");
            assert_eq!(of(|lane| lane.sent), model.count(destination, DeliveryState::Sent), "{name}");
            let ready: Vec<usize> = self.store.ready(name).await.iter().map(|r| r.key.serial.parse().unwrap()).collect();
            assert_eq!(ready, model.ready(destination), "{name}");
        }
    }

    async fn end(mut self) {
        let checked = check(&self.store.places(), std::time::Duration::from_secs(60)).unwrap();
        assert!(checked.faults.is_empty(), "{:?}", checked.faults);
        self.store.close().await;
    }
}

/// A file like another, without its reports.
fn file_like(file: &NewFile) -> NewFile {
    NewFile {
        fingerprint: file.fingerprint.clone(),
        correlation_id: file.correlation_id,
        priority: file.priority,
        entries: Vec::new(),
        staged: None,
        whole: file.whole,
        again: file.again,
    }
}

fn copy_folder(from: &Path, to: &Path) {
    for file in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(file.file_name());
        if file.file_type().unwrap().is_dir() {
            std::fs::create_dir_all(&target).unwrap();
            copy_folder(&file.path(), &target);
        } else {
            std::fs::copy(file.path(), target).unwrap();
        }
    }
}

fn lives() -> ProptestConfig {
    let long = std::env::var_os("WAYBILL_LONG").is_some_and(|value| value == "1");
    ProptestConfig {
        cases: if long { 2000 } else { 64 },
        max_shrink_iters: 2000,
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(lives())]

    #[test]
    fn whatever_happens_the_queue_is_what_the_model_says(steps in prop::collection::vec(step(), 1..60)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let mut life = Life::new();
            for step in steps {
                life.run(step).await;
            }
            life.end().await;
        });
    }
}

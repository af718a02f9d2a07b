//! The desktop's keyring, asked by a thread of its own.
//!
//! A keyring may wait for a person who unlocks it, or for ever. So one named thread owns it and takes one job at a time from a bounded
//! channel; whoever asks waits no longer than the deadline. A job whose asker has gone is not begun any more. The answer to a read is
//! kept for [`KEEP`], or until the secret is set or cleared. The thread ends with its last [`Client`], once its keyring lets it; the
//! end of the process does not wait for it.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use waybill_shared::secret::Secret;

use crate::supervisor;

use super::SecretName;

/// How long an asker waits.
pub const DEADLINE: Duration = Duration::from_secs(5);
/// How long an answer is kept.
const KEEP: Duration = Duration::from_secs(60);
/// Jobs that may wait.
const WAITING: usize = 32;

/// A keyring; tests have their own.
pub trait Keyring: Send + 'static {
    /// The secret, if there is one.
    ///
    /// # Errors
    /// Why it cannot be told.
    fn get(&self, name: &str) -> Result<Option<Secret>, String>;
    /// Keeps a secret in the place of an older one.
    ///
    /// # Errors
    /// Why it cannot be kept.
    fn set(&self, name: &str, secret: &Secret) -> Result<(), String>;
    /// Forgets a secret; no error if there is none.
    ///
    /// # Errors
    /// Why it cannot be forgotten.
    fn clear(&self, name: &str) -> Result<(), String>;
}

/// The keyring of the desktop session.
pub struct Desktop {
    service: String,
}

impl Desktop {
    /// The secrets of one instance of the agent.
    #[must_use]
    pub fn of_instance(instance: &str) -> Self {
        Self { service: format!("waybill.{instance}") }
    }

    fn entry(&self, name: &str) -> Result<keyring::Entry, String> {
        // That there is no store says nothing; why there is none does.
        if let Err(error) = keyring::Entry::store_status() {
            return Err(error.to_string());
        }
        keyring::Entry::new(&self.service, name).map_err(|error| error.to_string())
    }
}

impl Keyring for Desktop {
    fn get(&self, name: &str) -> Result<Option<Secret>, String> {
        match self.entry(name)?.get_password() {
            Ok(text) => Ok(Some(Secret::new(&text))),
            Err(keyring::Error::NoEntry) => Ok(None),
            Err(error) => Err(error.to_string()),
        }
    }

    fn set(&self, name: &str, secret: &Secret) -> Result<(), String> {
        self.entry(name)?.set_password(secret.expose()).map_err(|error| error.to_string())
    }

    fn clear(&self, name: &str) -> Result<(), String> {
        match self.entry(name)?.delete_credential() {
            Ok(()) | Err(keyring::Error::NoEntry) => Ok(()),
            Err(error) => Err(error.to_string()),
        }
    }
}

/// What the keyring has, or why it cannot be told.
pub type Answer = Result<Option<Secret>, String>;

/// What the keyring is asked to do.
#[derive(Clone)]
pub enum Work {
    /// Read.
    Get,
    /// Keep.
    Set(Secret),
    /// Forget.
    Clear,
}

struct Job {
    name: SecretName,
    work: Work,
    until: Instant,
    reply: Box<dyn FnOnce(Answer) + Send>,
}

/// A handle to the keyring's thread.
#[derive(Clone)]
pub struct Client {
    jobs: Sender<Job>,
    cache: Arc<Mutex<Cache>>,
    deadline: Duration,
}

impl Client {
    /// Starts the keyring's thread. `deadline` is how long an asker waits.
    ///
    /// # Errors
    /// The OS gives no thread.
    pub fn start(keyring: impl Keyring, deadline: Duration) -> std::io::Result<Self> {
        let (jobs, queue) = bounded(WAITING);
        let cache = Arc::<Mutex<Cache>>::default();
        let shared = Arc::clone(&cache);
        // Owned by its channel: it ends when the last client is dropped.
        supervisor::spawn("keyring", move || work(&keyring, &queue, &shared))?;
        Ok(Self { jobs, cache, deadline })
    }

    /// Asks and waits on this thread, at most for the deadline.
    ///
    /// # Errors
    /// Why there is no answer.
    pub fn ask(&self, name: &SecretName, work: Work) -> Answer {
        if let Some(kept) = self.kept(name, &work) {
            return Ok(kept);
        }
        let (answer, answered) = bounded(1);
        self.send(name, work, move |result| {
            // Nobody waits any more if this fails.
            let _gone = answer.try_send(result);
        })?;
        answered.recv_timeout(self.deadline).map_err(|_| self.silent())?
    }

    /// Asks from a task: like [`ask`](Self::ask), and no thread waits.
    ///
    /// # Errors
    /// Why there is no answer.
    pub async fn ask_from_task(&self, name: &SecretName, work: Work) -> Answer {
        if let Some(kept) = self.kept(name, &work) {
            return Ok(kept);
        }
        let (answer, answered) = tokio::sync::oneshot::channel();
        self.send(name, work, move |result| {
            // Nobody waits any more if this fails.
            let _gone = answer.send(result);
        })?;
        match tokio::time::timeout(self.deadline, answered).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) | Err(_) => Err(self.silent()),
        }
    }

    fn kept(&self, name: &SecretName, work: &Work) -> Option<Option<Secret>> {
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(work, Work::Get) {
            return cache.get(name, Instant::now());
        }
        cache.forget(name);
        None
    }

    fn send(&self, name: &SecretName, work: Work, reply: impl FnOnce(Answer) + Send + 'static) -> Result<(), String> {
        let job = Job { name: name.clone(), work, until: Instant::now() + self.deadline, reply: Box::new(reply) };
        self.jobs.try_send(job).map_err(|error| match error {
            TrySendError::Full(_) => "too much waits for it already".to_owned(),
            TrySendError::Disconnected(_) => "its thread has ended".to_owned(),
        })
    }

    fn silent(&self) -> String {
        format!("it did not answer within {} s", self.deadline.as_secs_f64())
    }
}

fn work(keyring: &impl Keyring, queue: &Receiver<Job>, cache: &Mutex<Cache>) {
    for Job { name, work, until, reply } in queue {
        if Instant::now() > until {
            // Whoever asked has been told that there is no answer, and may have acted on it.
            continue;
        }
        let known = || cache.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(work, Work::Get)
            && let Some(kept) = known().get(&name, Instant::now())
        {
            reply(Ok(kept));
            continue;
        }
        let answer = catch_unwind(AssertUnwindSafe(|| match &work {
            Work::Get => keyring.get(name.as_str()),
            Work::Set(secret) => keyring.set(name.as_str(), secret).map(|()| None),
            Work::Clear => keyring.clear(name.as_str()).map(|()| None),
        }))
        .unwrap_or_else(|_| Err("it failed within itself".to_owned()));
        match (&work, &answer) {
            (Work::Get, Ok(secret)) => known().put(&name, secret.clone(), Instant::now()),
            (Work::Get, Err(_)) => {}
            // Also if it failed: what the keyring holds now is not known.
            (Work::Set(_) | Work::Clear, _) => known().forget(&name),
        }
        reply(answer);
    }
}

/// Answers that are not older than [`KEEP`].
#[derive(Default)]
struct Cache(HashMap<SecretName, (Instant, Option<Secret>)>);

impl Cache {
    fn get(&mut self, name: &SecretName, now: Instant) -> Option<Option<Secret>> {
        if self.0.get(name).is_some_and(|(since, _)| now.saturating_duration_since(*since) >= KEEP) {
            self.forget(name);
        }
        self.0.get(name).map(|(_, secret)| secret.clone())
    }

    fn put(&mut self, name: &SecretName, secret: Option<Secret>, now: Instant) {
        self.0.insert(name.clone(), (now, secret));
    }

    fn forget(&mut self, name: &SecretName) {
        self.0.remove(name);
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// What a test's keyring does, and what it was asked.
    #[derive(Default)]
    pub struct Fake {
        pub held: Mutex<HashMap<String, String>>,
        pub reads: AtomicUsize,
        pub refuses: Mutex<Option<String>>,
        /// Held by a test to make the keyring hang.
        pub gate: Mutex<()>,
    }

    impl Fake {
        fn open(&self) -> Result<std::sync::MutexGuard<'_, HashMap<String, String>>, String> {
            let _hangs_here = self.gate.lock().unwrap_or_else(PoisonError::into_inner);
            let refuses = self.refuses.lock().unwrap().clone();
            match refuses {
                Some(why) if why == "panic" => panic!("the keyring's library panics"),
                Some(why) => Err(why),
                None => Ok(self.held.lock().unwrap()),
            }
        }
    }

    impl Keyring for Arc<Fake> {
        fn get(&self, name: &str) -> Result<Option<Secret>, String> {
            self.reads.fetch_add(1, Ordering::SeqCst);
            Ok(self.open()?.get(name).map(|text| Secret::new(text)))
        }
        fn set(&self, name: &str, secret: &Secret) -> Result<(), String> {
            self.open()?.insert(name.to_owned(), secret.expose().to_owned());
            Ok(())
        }
        fn clear(&self, name: &str) -> Result<(), String> {
            self.open()?.remove(name);
            Ok(())
        }
    }

    /// Long enough for a slow machine, for answers that do come.
    const LONG: Duration = Duration::from_secs(60);
    const SHORT: Duration = Duration::from_millis(50);

    fn name() -> SecretName {
        "destination.main.token".parse().unwrap()
    }

    #[test]
    fn an_answer_is_asked_for_once_until_the_secret_changes() {
        let fake = Arc::new(Fake::default());
        let client = Client::start(Arc::clone(&fake), LONG).unwrap();
        for _ in 0..3 {
            assert!(client.ask(&name(), Work::Get).unwrap().is_none());
        }
        assert_eq!(fake.reads.load(Ordering::SeqCst), 1, "that there is none is an answer too");
        client.ask(&name(), Work::Set(Secret::new("abc"))).unwrap();
        for _ in 0..3 {
            assert_eq!(client.ask(&name(), Work::Get).unwrap().unwrap().expose(), "abc");
        }
        assert_eq!(fake.reads.load(Ordering::SeqCst), 2);
        client.ask(&name(), Work::Clear).unwrap();
        assert!(client.ask(&name(), Work::Get).unwrap().is_none());
    }

    #[test]
    fn a_kept_answer_grows_old_after_a_minute() {
        let (mut cache, now) = (Cache::default(), Instant::now());
        cache.put(&name(), Some(Secret::new("abc")), now);
        assert!(cache.get(&name(), now + Duration::from_secs(59)).is_some());
        assert!(cache.get(&name(), now + Duration::from_secs(60)).is_none());
    }

    #[test]
    fn a_keyring_that_hangs_gives_an_error_and_what_was_given_up_is_not_done_later() {
        let fake = Arc::new(Fake::default());
        let client = Client::start(Arc::clone(&fake), SHORT).unwrap();
        let hangs = fake.gate.lock().unwrap();
        assert!(client.ask(&name(), Work::Get).unwrap_err().contains("did not answer"));
        assert!(client.ask(&name(), Work::Set(Secret::new("late"))).unwrap_err().contains("did not answer"));
        drop(hangs);
        let patient = Client { deadline: LONG, ..client };
        assert!(patient.ask(&name(), Work::Get).unwrap().is_none());
        assert!(fake.held.lock().unwrap().is_empty(), "the write that was given up was not begun");
    }

    #[test]
    fn so_much_may_wait_and_no_more() {
        let fake = Arc::new(Fake::default());
        let client = Client::start(Arc::clone(&fake), LONG).unwrap();
        let hangs = fake.gate.lock().unwrap();
        let mut refused = 0;
        for _ in 0..WAITING + 2 {
            refused += usize::from(client.send(&name(), Work::Clear, |_| {}).is_err());
        }
        assert!((1..=2).contains(&refused), "one is under way at most, {WAITING} wait: {refused}");
        drop(hangs);
    }

    #[test]
    fn a_keyring_that_panics_answers_with_an_error_and_is_asked_again() {
        let fake = Arc::new(Fake::default());
        let client = Client::start(Arc::clone(&fake), LONG).unwrap();
        *fake.refuses.lock().unwrap() = Some("panic".to_owned());
        assert!(client.ask(&name(), Work::Get).is_err());
        *fake.refuses.lock().unwrap() = None;
        assert!(client.ask(&name(), Work::Get).unwrap().is_none());
    }

    #[test]
    fn a_keyring_that_hangs_does_not_hold_up_the_tasks() {
        let fake = Arc::new(Fake::default());
        let client = Client::start(Arc::clone(&fake), LONG).unwrap();
        let hangs = fake.gate.lock().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        // One thread for both: if asking blocked it, the gate would never be opened.
        let (answer, ()) = runtime.block_on(async {
            let name = name();
            tokio::join!(client.ask_from_task(&name, Work::Get), async {
                tokio::task::yield_now().await;
                drop(hangs);
            })
        });
        assert!(answer.unwrap().is_none());
    }
}

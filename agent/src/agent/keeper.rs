//! The one task that owns the works and the configuration, and changes them.
//!
//! A change, whoever wants it, goes one way: it is validated with everything that lies over the file; it is put to work under deadlines; the
//! works are looked at; only then the file is written. If anything on this way goes wrong, the works go back to what they did and whoever
//! asked is told. A file that somebody edits while the agent runs goes the same way, but is left as it was written.
//!
//! Changes are made one after the other. Each is in the history with what it was before and after.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use waybill_ipc::protocol::{ConfigChange, ConfigChanged, Event, Unsent, Via};
use waybill_shared::config::compare::{Difference, differences};
use waybill_shared::config::{Config, ConfigError, Edit, Effective, Origin, tree};
use waybill_shared::error::{Code, ErrorReport};
use waybill_shared::id::CorrelationId;
use waybill_shared::paths::Instance;
use waybill_shared::schema::{Fault, FaultKind, Value};
use waybill_shared::secret::Secret;
use waybill_shared::text;

use super::works::Works;
use super::{Active, Live, snapshot};
use crate::config::{self, Document, Store};
use crate::convert::registry::Registry;
use crate::desk::Desk;
use crate::health::Heartbeat;
use crate::history::{History, NewEntry};
use crate::queue::Release;
use crate::serve::answers;
use crate::serve::hub::Hub;
use crate::upload::destination::Destination;

/// Changes that wait for their turn.
const WAITING: usize = 32;
/// How often the file is looked at. It is read once it has not changed between two looks: an editor may still be writing.
const LOOK: Duration = Duration::from_secs(1);

/// Who wants a change, and by which way it came.
#[derive(Debug, Clone)]
pub struct By {
    /// Who.
    pub who: String,
    /// Which way.
    pub via: Via,
}

/// An answer to whoever asked; that one may have left.
type Answer<T> = oneshot::Sender<Result<T, ErrorReport>>;

enum Ask {
    Change { change: ConfigChange, by: By, answer: Answer<ConfigChanged> },
    Restore { id: String, base: Option<String>, by: By, answer: Answer<ConfigChanged> },
    SecretsChanged { answer: Answer<()> },
    Built { name: String, edits: Vec<Edit>, token: Option<Secret>, answer: Answer<Arc<dyn Destination>> },
}

/// A handle for those who want changes.
#[derive(Clone)]
pub struct Changes {
    asks: mpsc::Sender<Ask>,
    /// The values that were set when the agent started: what cannot be changed while it runs is still as it was then.
    started_with: Arc<Value>,
}

impl Changes {
    /// Changes the configuration: all of it, or nothing.
    ///
    /// # Errors
    /// All faults; what is pinned; that the base is outdated; what could not be put to work.
    pub async fn change(&self, change: ConfigChange, by: By) -> Result<ConfigChanged, ErrorReport> {
        self.ask(|answer| Ask::Change { change, by, answer }).await
    }

    /// Makes a configuration of the past the present one.
    ///
    /// # Errors
    /// As for [`Changes::change`], and a backup that is not there or damaged.
    pub async fn restore(&self, id: String, base: Option<String>, by: By) -> Result<ConfigChanged, ErrorReport> {
        self.ask(|answer| Ask::Restore { id, base, by, answer }).await
    }

    /// Lets destinations begin anew with a secret that changed.
    ///
    /// # Errors
    /// What could not be put to work.
    pub async fn secrets_changed(&self) -> Result<(), ErrorReport> {
        self.ask(|answer| Ask::SecretsChanged { answer }).await
    }

    /// A destination as it is, or as it would be with changes and with another token, to be asked something.
    ///
    /// # Errors
    /// Faults of the changes; no such destination; what it lacks.
    pub async fn built(
        &self,
        name: String,
        edits: Vec<Edit>,
        token: Option<Secret>,
    ) -> Result<Arc<dyn Destination>, ErrorReport> {
        self.ask(|answer| Ask::Built { name, edits, token, answer }).await
    }

    /// Fields that are set otherwise than when the agent started and count only from its next start on, by place.
    #[must_use]
    pub fn waits_for_restart(&self, now: &Value) -> Vec<String> {
        waits_for_restart(&self.started_with, now)
    }

    async fn ask<T>(&self, ask: impl FnOnce(Answer<T>) -> Ask) -> Result<T, ErrorReport> {
        let (answer, answered) = oneshot::channel();
        let busy = || ErrorReport::new(Code::PeerTimeout, "too many changes of the configuration wait for their turn");
        self.asks.try_send(ask(answer)).map_err(|_| busy())?;
        answered.await.map_err(|_| ErrorReport::new(Code::AgentNotRunning, "the agent stops: nothing was changed"))?
    }
}

/// What follows a change besides the works: limits, levels, checks.
pub(super) type Follow = Box<dyn Fn(&Config) + Send + Sync>;

/// What the task works with.
pub(super) struct Tools {
    pub(super) instance: Instance,
    pub(super) live: Live,
    pub(super) hub: Hub,
    pub(super) history: History,
    pub(super) desk: Desk,
    pub(super) follow: Follow,
    pub(super) heartbeat: Heartbeat,
    /// What runs, for the health check of the tasks.
    pub(super) alive: Arc<ArcSwap<Vec<(String, bool)>>>,
}

/// The task.
pub(super) struct Keeper {
    end: CancellationToken,
    task: JoinSet<Works>,
}

impl Keeper {
    pub(super) fn start(works: Works, tools: Tools) -> (Self, Changes) {
        let (asks, asked) = mpsc::channel(WAITING);
        let end = CancellationToken::new();
        let started_with = Arc::new(tools.live.load().effective.tree.clone());
        let keeping = Keeping { started_with: Arc::clone(&started_with), looked: None, settled: None, secrets: 0, works, tools };
        let mut task = JoinSet::new();
        task.spawn(keeping.run(asked, end.clone()));
        (Self { end, task }, Changes { asks, started_with })
    }

    /// Ends the task, after the change that it is at; the works as it leaves them.
    /// None if the task failed.
    pub(super) async fn end(mut self) -> Option<Works> {
        self.end.cancel();
        match self.task.join_next().await? {
            Ok(works) => Some(works),
            Err(error) => {
                tracing::error!(event = "keeper_failed", error = %error, "the task that keeps the configuration failed");
                None
            }
        }
    }
}

/// What the file looks like from outside.
type Look = Vec<Option<(SystemTime, u64)>>;

struct Keeping {
    works: Works,
    tools: Tools,
    started_with: Arc<Value>,
    /// What was last seen of the files, and what was last read.
    looked: Option<Look>,
    settled: Option<Look>,
    /// Counts changes of secrets.
    secrets: u64,
}

impl Keeping {
    async fn run(mut self, mut asked: mpsc::Receiver<Ask>, end: CancellationToken) -> Works {
        let mut look = tokio::time::interval(LOOK);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            self.tools.heartbeat.beat();
            self.tools.alive.store(Arc::new(self.works.alive()));
            tokio::select! {
                biased;
                () = end.cancelled() => return self.works,
                Some(ask) = asked.recv() => self.serve(ask).await,
                _ = look.tick() => self.look_at_files().await,
            }
        }
    }

    async fn serve(&mut self, ask: Ask) {
        // Whoever asked may have left; what was done is done and in the history.
        match ask {
            Ask::Change { change, by, answer } => {
                let _left = answer.send(self.change(change, by).await);
            }
            Ask::Restore { id, base, by, answer } => {
                let _left = answer.send(self.restore(id, base, by).await);
            }
            Ask::SecretsChanged { answer } => {
                self.secrets += 1;
                let active = Active::clone(&self.tools.live.load());
                let _left = answer.send(self.put_to_work(&active, Release::Refuse).await);
            }
            Ask::Built { name, edits, token, answer } => {
                let _left = answer.send(self.built(&name, &edits, token).await);
            }
        }
    }

    async fn change(&mut self, change: ConfigChange, by: By) -> Result<ConfigChanged, ErrorReport> {
        let release = match &change.unsent {
            Unsent::Refuse => Release::Refuse,
            Unsent::Discard => Release::Discard,
            Unsent::MoveTo(to) => Release::MoveTo(to.clone()),
        };
        let (edits, dry_run) = (change.edits.clone(), change.dry_run);
        let active = self.tools.live.load_full();
        let pinned = pinned(&change.edits, &active.effective);
        let prepared = match pinned {
            Some(error) => Err(error),
            None => {
                let instance = self.tools.instance.clone();
                let text = move |before: &str| edited(&instance, before, &edits);
                self.prepare(change.base, text).await
            }
        };
        let result = match prepared {
            Ok(prepared) if dry_run => return Ok(self.changed(&prepared.active, prepared.differences)),
            Ok(prepared) => self.take(prepared, release, &by).await,
            Err(error) => Err(error),
        };
        if let Err(error) = &result
            && !dry_run
        {
            let places: Vec<&str> = change.edits.iter().map(Edit::place).collect();
            self.note(NewEntry::new(&by.who, by.via, "config.set", text::shortened(&places.join(", "), 500)).refused(error));
        }
        result
    }

    async fn restore(&mut self, id: String, base: Option<String>, by: By) -> Result<ConfigChanged, ErrorReport> {
        let store = Store::of(&self.tools.instance);
        let wanted = id.clone();
        let loaded = self.tools.desk.run(move || store.backups().load(&wanted)).await?;
        let prepared = match loaded {
            Ok(text) => self.prepare(base, move |_| Ok(text)).await,
            Err(error) => Err(error),
        };
        let result = match prepared {
            Ok(prepared) => self.take(prepared, Release::Refuse, &by).await,
            Err(error) => Err(error),
        };
        if let Err(error) = &result {
            self.note(NewEntry::new(&by.who, by.via, "config.restore", &id).refused(error));
        }
        result
    }

    /// Reads what is there, makes the new text of it, and checks that in every respect. Nothing is changed.
    async fn prepare(
        &self,
        base: Option<String>,
        new: impl FnOnce(&str) -> Result<String, ErrorReport> + Send + 'static,
    ) -> Result<Prepared, ErrorReport> {
        let (instance, active) = (self.tools.instance.clone(), self.tools.live.load_full());
        self.tools.desk.run(move || prepare(&instance, &active, base.as_deref(), new)).await?
    }

    /// Puts a configuration to work and writes it; or leaves everything as it was.
    async fn take(&mut self, prepared: Prepared, release: Release, by: &By) -> Result<ConfigChanged, ErrorReport> {
        let Prepared { active, base, differences } = prepared;
        let before = self.tools.live.load_full();
        if let Err(error) = self.put_to_work(&active, release).await {
            self.go_back(&before).await;
            return Err(error);
        }
        let (instance, text) = (self.tools.instance.clone(), active.text.clone());
        let saved = self.tools.desk.run(move || save(&instance, &base, &text)).await;
        if let Err(error) = saved.and_then(|saved| saved) {
            self.go_back(&before).await;
            return Err(error);
        }
        self.settled = None;
        self.use_from_now_on(active.clone());
        self.note_differences(&differences, by);
        Ok(self.changed(&active, differences))
    }

    async fn put_to_work(&mut self, active: &Active, release: Release) -> Result<(), ErrorReport> {
        let plan = active.plan(self.secrets);
        let told = snapshot::configured(active, &self.works.base);
        self.works.change(&plan, release, told).await?;
        let missing = self.works.missing(&plan);
        if missing.is_empty() {
            return Ok(());
        }
        let message = format!("the new configuration could not be put to work: {} did not start", missing.join(", "));
        Err(ErrorReport::new(Code::ConfigNotApplied, message))
    }

    /// Back to what was in use. This has worked before; if it does not now, that is the worst there is to tell.
    async fn go_back(&mut self, before: &Active) {
        if let Err(error) = self.put_to_work(before, Release::Refuse).await {
            tracing::error!(event = "config_rollback_failed", code = %error.code, reason = error.message, "parts of the agent do not run; restart it");
            self.note(NewEntry::new("agent", Via::Agent, "config.rollback", "config").failed(&error));
            self.tell_problem(Some(error));
        } else {
            tracing::warn!(
                event = "config_rolled_back",
                revision = before.revision,
                "a configuration could not be used; the one before is in use again"
            );
        }
    }

    fn use_from_now_on(&mut self, active: Active) {
        (self.tools.follow)(&active.effective.config);
        let had_problem = self.tools.live.load().problem.is_some();
        tracing::info!(event = "config_in_use", revision = active.revision, "another configuration is in use");
        self.tools.live.store(Arc::new(active));
        if had_problem {
            self.tools.hub.publish(Event::ConfigProblem { error: None });
        }
    }

    fn tell_problem(&mut self, error: Option<ErrorReport>) {
        let mut active = Active::clone(&self.tools.live.load());
        if active.problem == error {
            return;
        }
        active.problem.clone_from(&error);
        self.tools.live.store(Arc::new(active));
        self.tools.hub.publish(Event::ConfigProblem { error });
    }

    /// Reads the file again if it, or what is pinned, has changed and has stopped changing.
    async fn look_at_files(&mut self) {
        let instance = self.tools.instance.clone();
        let Ok(look) = self.tools.desk.run(move || look(&instance)).await else { return };
        let settled = self.looked.as_ref() == Some(&look);
        self.looked = Some(look.clone());
        if !settled || self.settled.as_ref() == Some(&look) {
            return;
        }
        let first = self.settled.is_none();
        self.settled = Some(look);
        self.read_again(first).await;
    }

    /// `quiet`: nobody has edited it, as far as is known; what is there is only compared.
    async fn read_again(&mut self, quiet: bool) {
        let instance = self.tools.instance.clone();
        let there = self.tools.desk.run(move || Store::of(&instance).read()).await.and_then(|read| read);
        let active = self.tools.live.load_full();
        let by = By { who: format!("whoever edited {}", text::path(&self.tools.instance.config)), via: Via::File };
        let prepared = match there {
            Ok(None) if !active.configured => return,
            Ok(None) => Err(gone(&self.tools.instance)),
            Ok(Some(document)) if document.text.trim().is_empty() && !active.text.trim().is_empty() => {
                Err(emptied(&self.tools.instance))
            }
            Ok(Some(document)) => {
                let text = document.text.clone();
                self.prepare(None, move |_| Ok(text)).await.map_err(|error| in_file(error, &self.tools.instance))
            }
            Err(error) => Err(error),
        };
        let result = match prepared {
            Ok(prepared) if prepared.differences.is_empty() && prepared.active.identity == active.identity => {
                // Other comments, or what was broken is as it was.
                if prepared.active.text != active.text || active.problem.is_some() {
                    self.use_from_now_on(prepared.active);
                }
                return;
            }
            Ok(prepared) => self.take_file(prepared, &by).await,
            Err(error) => Err(error),
        };
        if let Err(error) = result {
            if active.problem.as_ref() == Some(&error) || (quiet && active.problem.is_some()) {
                return;
            }
            tracing::error!(event = "config_not_used", code = %error.code, reason = error.message, faults = waybill_shared::schema::list(&error.details),
                "the configuration file that lies there is not used; the one before goes on");
            self.note(NewEntry::new(&by.who, by.via, "config.file", text::path(&self.tools.instance.config)).refused(&error));
            self.tell_problem(Some(error));
        }
    }

    /// A file that is there already: put to work, and left as it was written.
    async fn take_file(&mut self, prepared: Prepared, by: &By) -> Result<(), ErrorReport> {
        let before = self.tools.live.load_full();
        if let Err(error) = self.put_to_work(&prepared.active, Release::Refuse).await {
            self.go_back(&before).await;
            return Err(error);
        }
        let (instance, text) = (self.tools.instance.clone(), prepared.active.text.clone());
        let kept = self.tools.desk.run(move || Store::of(&instance).backups().accept(&text)).await.and_then(|kept| kept);
        if let Err(error) = kept {
            tracing::warn!(event = "config_not_backed_up", reason = error.message, "it is in use all the same");
        }
        self.use_from_now_on(prepared.active);
        self.note_differences(&prepared.differences, by);
        Ok(())
    }

    async fn built(&self, name: &str, edits: &[Edit], token: Option<Secret>) -> Result<Arc<dyn Destination>, ErrorReport> {
        let edits = edits.to_vec();
        let changed =
            move |before: &str| config::store::edited(before, &edits).map_err(|error| error.report("the new configuration"));
        let prepared = self.prepare(None, changed).await?;
        let config = prepared.active.effective.config;
        let destination = answers::destination(&config, name)?;
        self.works.build_one(destination, &config, token)
    }

    fn changed(&self, active: &Active, differences: Vec<Difference>) -> ConfigChanged {
        ConfigChanged {
            revision: active.revision.clone(),
            differences,
            waits_for_restart: waits_for_restart(&self.started_with, &active.effective.tree),
        }
    }

    fn note_differences(&self, differences: &[Difference], by: &By) {
        let id = CorrelationId::new().to_string();
        for difference in differences {
            tracing::info!(
                event = "config_changed",
                correlation_id = id,
                place = difference.place,
                before = difference.before,
                after = difference.after,
                who = by.who,
                "a value of the configuration changed"
            );
            self.note(entry(difference, by, &id));
        }
    }

    fn note(&self, entry: NewEntry) {
        self.tools.history.note(entry);
    }
}

/// A configuration that is valid and not in use yet.
pub(crate) struct Prepared {
    pub(crate) active: Active,
    /// The revision of the file that it replaces.
    pub(crate) base: String,
    /// What is different from the one in use.
    pub(crate) differences: Vec<Difference>,
}

/// Reads what is there, makes the new text of it, and checks that in every respect. Nothing is changed. Blocking, for the time of some files.
pub(crate) fn prepare(
    instance: &Instance,
    active: &Active,
    base: Option<&str>,
    new: impl FnOnce(&str) -> Result<String, ErrorReport>,
) -> Result<Prepared, ErrorReport> {
    let store = Store::of(instance);
    let there = store.read()?.unwrap_or_else(|| Document { text: String::new(), revision: config::store::revision(b"") });
    if base.is_some_and(|base| *base != there.revision) {
        // The store says it in the words it has for it, with the differences.
        store.lock()?.save(base, &there.text, &|_| Ok(()))?;
    }
    // While a backup stands in for a broken file, changes are made to what is in use.
    let before = if active.problem.is_some() { active.text.clone() } else { there.text.clone() };
    let text = new(&before)?;
    let layers = config::sources::layers(instance)?;
    let registry = Registry::built_in();
    let effective = config::candidate(&layers, &text, &|config| registry.faults(config))?;
    let differences = differences(&active.effective.tree, &effective.tree);
    let identity = effective.config.identity(&layers.environment);
    let revision = config::store::revision(text.as_bytes());
    let active = Active { effective, text, revision, identity, problem: None, configured: true };
    Ok(Prepared { active, base: there.revision, differences })
}

/// A text with changes made; if some cannot be made, also what is wrong with the others: whoever mends them wants the whole list.
pub(crate) fn edited(instance: &Instance, before: &str, edits: &[Edit]) -> Result<String, ErrorReport> {
    let mut faults = match config::store::edited(before, edits) {
        Ok(text) => return Ok(text),
        Err(ConfigError::Faults(faults)) => faults,
        Err(error) => return Err(error.report("the new configuration")),
    };
    let possible = edits
        .iter()
        .fold(before.to_owned(), |text, edit| config::store::edited(&text, std::slice::from_ref(edit)).unwrap_or(text));
    let registry = Registry::built_in();
    if let Err(others) = config::candidate(&config::sources::layers(instance)?, &possible, &|config| registry.faults(config)) {
        faults.extend(others.details);
    }
    Err(ConfigError::Faults(faults).report("the new configuration"))
}

/// Writes what was checked in full, if what is there is still what it is based on. Blocking.
pub(crate) fn save(instance: &Instance, base: &str, text: &str) -> Result<config::Saved, ErrorReport> {
    Store::of(instance).lock()?.save(Some(base), text, &|_| Ok(()))
}

/// A difference as it stands in the history.
pub(crate) fn entry(difference: &Difference, by: &By, correlation: &str) -> NewEntry {
    let action = if difference.after.is_some() { "config.set" } else { "config.unset" };
    let mut entry = NewEntry::new(&by.who, by.via, action, &difference.place).correlation(correlation);
    if let Some(before) = &difference.before {
        entry = entry.before(before);
    }
    if let Some(after) = &difference.after {
        entry = entry.after(after);
    }
    entry
}

/// Fields that are set otherwise than when the agent started and count only from its next start on.
fn waits_for_restart(started_with: &Value, now: &Value) -> Vec<String> {
    let needs_restart = |place: &str| {
        let found = place.parse().ok().and_then(|place| tree::locate(&place, now).ok());
        found.and_then(|found| found.field).is_some_and(|field| field.restart.is_some())
    };
    differences(started_with, now).into_iter().map(|difference| difference.place).filter(|place| needs_restart(place)).collect()
}

/// Changes of values that somebody else sets would have no effect.
pub fn pinned(edits: &[Edit], effective: &Effective) -> Option<ErrorReport> {
    let who_sets = |edit: &Edit| -> Option<(String, Origin)> {
        let (Edit::Set { place, .. } | Edit::Unset { place }) = edit else { return None };
        let found = tree::locate(&place.parse().ok()?, &effective.tree).ok()?;
        let below = format!("{}.", found.name);
        effective
            .origins
            .iter()
            .find(|(name, _)| **name == found.name || (found.is_element && name.starts_with(&below)))
            .map(|(name, origin)| (name.clone(), origin.clone()))
    };
    let all: Vec<(String, Origin)> = edits.iter().filter_map(who_sets).collect();
    let (first, origin) = all.first()?;
    let fault = |(place, origin): &(String, Origin)| Fault {
        path: place.clone(),
        kind: FaultKind::Conflict,
        message: format!("is set by {origin}"),
    };
    Some(
        ErrorReport::new(Code::ConfigPinned, format!("{first} is set by {origin} and cannot be changed here"))
            .with_details(all.iter().map(fault).collect()),
    )
}

fn in_file(mut error: ErrorReport, instance: &Instance) -> ErrorReport {
    error.message = error.message.replace("the new configuration", &text::path(&instance.config));
    error
}

fn gone(instance: &Instance) -> ErrorReport {
    let place = text::path(&instance.config);
    ErrorReport::new(Code::ConfigMissing, format!("{place} is gone; the configuration before is in use"))
        .with_fix(format!("Put {place} back, or restore a backup: `waybill-agent config history`"))
}

fn emptied(instance: &Instance) -> ErrorReport {
    let place = text::path(&instance.config);
    ErrorReport::new(Code::ConfigInvalid, format!("{place} is empty; the configuration before is in use"))
        .with_fix(format!("Write {place} again, or restore a backup: `waybill-agent config history`"))
}

/// What the files of an instance look like from outside.
fn look(instance: &Instance) -> Look {
    let machine = waybill_shared::paths::managed_file();
    [&instance.config, &instance.managed(), &machine]
        .into_iter()
        .map(|path| std::fs::metadata(path).ok().map(|found| (found.modified().unwrap_or(SystemTime::UNIX_EPOCH), found.len())))
        .collect()
}

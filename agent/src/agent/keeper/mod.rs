//! The one task that owns the works and the configuration, and changes them.
//!
//! A change, whoever wants it, goes one way: it is validated with everything that lies over the file; it is put to work under deadlines; the
//! works are looked at; only then the file is written (before that, if unsent reports are given up by it). If anything on this way goes wrong, the works go back to what they did and whoever
//! asked is told. A [`file`] that somebody edits while the agent runs goes the same way, but is left as it was written.
//!
//! Changes are made one after the other. Each is in the history with what it was before and after.

mod file;
mod prepare;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use waybill_ipc::protocol::{ConfigChange, ConfigChanged, Connection, Event, Unsent, Via};
use waybill_shared::config::compare::Difference;
use waybill_shared::config::{Config, Edit};
use waybill_shared::error::{Code, ErrorReport};
use waybill_shared::id::CorrelationId;
use waybill_shared::paths::Instance;
use waybill_shared::schema::Value;
use waybill_shared::secret::Secret;
use waybill_shared::text;

use self::file::Look;
pub use self::prepare::pinned;
use self::prepare::waits_for_restart;
pub(crate) use self::prepare::{Prepared, edited, entry, prepare, save};
use super::works::Works;
use super::{Active, Live, snapshot};
use crate::access;
use crate::config::{self, Store};
use crate::desk::Desk;
use crate::health::Heartbeat;
use crate::history::{History, NewEntry};
use crate::queue::{LettingGo, QueueError, Release};
use crate::serve::answers;
use crate::serve::hub::Hub;
use crate::supervisor::{Part, Progress, Spec, Starts, Supervisor};
use crate::upload::destination::Destination;

/// Changes that wait for their turn.
const WAITING: usize = 32;
/// A change takes this long at most: its parts are ended and started under deadlines of their own.
const LONGEST_CHANGE: Duration = Duration::from_secs(120);
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
    pub(super) supervisor: Supervisor,
}

/// The task.
pub(super) struct Keeper {
    end: CancellationToken,
    task: Part<Works>,
}

impl Keeper {
    pub(super) fn start(works: Works, tools: Tools) -> (Self, Changes) {
        let (asks, asked) = mpsc::channel(WAITING);
        let end = CancellationToken::new();
        let started_with = Arc::new(tools.live.load().effective.tree.clone());
        let keeping = Keeping { started_with: Arc::clone(&started_with), looked: None, settled: None, secrets: 0, works, tools };
        let supervisor = keeping.tools.supervisor.clone();
        let spec = Spec::new("configuration", Starts::Agent).critical().may_take(LONGEST_CHANGE);
        let running = end.clone();
        let task = supervisor.part(&spec, move |progress| async move { Ok(keeping.run(asked, running, &progress).await) });
        (Self { end, task }, Changes { asks, started_with })
    }

    /// Ends the task, after the change that it is at; the works as it leaves them. None if the task has failed, or does not end in time.
    pub(super) async fn end(mut self, limit: Duration) -> Option<Works> {
        self.task.may_end();
        self.end.cancel();
        tokio::time::timeout(limit, self.task.ended()).await.ok().flatten()
    }
}

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
    async fn run(mut self, mut asked: mpsc::Receiver<Ask>, end: CancellationToken, progress: &Progress) -> Works {
        let mut look = tokio::time::interval(LOOK);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            self.tools.heartbeat.beat();
            tokio::select! {
                biased;
                () = end.cancelled() => return self.works,
                Some(ask) = asked.recv() => {
                    let _working = progress.work();
                    self.serve(ask).await;
                }
                _ = look.tick() => {
                    let _working = progress.work();
                    let plan = self.tools.live.load().plan(self.secrets, &self.tools.instance);
                    self.works.heal(&plan);
                    self.look_at_files().await;
                }
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
                let _left = answer.send(self.put_to_work(&active, LettingGo::of_nothing()).await);
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
        let (earlier, edits) = self.removed_earlier(&change.edits);
        let letting_go = LettingGo { release, earlier };
        let dry_run = change.dry_run;
        let active = self.tools.live.load_full();
        let refused = pinned(&change.edits, &active.effective).or_else(|| self.still_waits(&letting_go));
        let prepared = match refused {
            Some(error) => Err(error),
            None => {
                let instance = self.tools.instance.clone();
                let text = move |before: &str| edited(&instance, before, &edits);
                self.prepare(change.base, text).await
            }
        };
        let result = match prepared {
            Ok(prepared) if dry_run => return Ok(self.changed(&prepared.active, prepared.differences)),
            Ok(prepared) => self.take(prepared, letting_go, &by).await,
            Err(error) => Err(error),
        };
        if let Err(error) = &result
            && !dry_run
        {
            let places: Vec<&str> = change.edits.iter().map(Edit::place).collect();
            self.note_error(&by, "config.set", &text::shortened(&places.join(", "), 500), error);
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
            Ok(prepared) => self.take(prepared, LettingGo::of_nothing(), &by).await,
            Err(error) => Err(error),
        };
        if let Err(error) = &result {
            self.note_error(&by, "config.restore", &id, error);
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
    async fn take(&mut self, prepared: Prepared, letting_go: LettingGo, by: &By) -> Result<ConfigChanged, ErrorReport> {
        let Prepared { active, base, differences } = prepared;
        let before = self.tools.live.load_full();
        // Reports that are given up do not come back: then the file is safe first, and what fails afterwards undoes it.
        let file_first = letting_go.release != Release::Refuse;
        let let_go = self.let_go(&before, &active, &letting_go, by);
        if file_first {
            self.write(&base, &active.text).await?;
        }
        let mut result = self.put_to_work(&active, letting_go).await;
        if result.is_ok() && !file_first {
            result = self.write(&base, &active.text).await;
        }
        if let Err(error) = result {
            self.go_back(&before).await;
            if file_first && let Err(error) = self.write(&active.revision, &before.text).await {
                self.tell_problem(Some(error));
            }
            return Err(error);
        }
        self.settled = None;
        self.use_from_now_on(active.clone());
        self.note_differences(&differences, by);
        let_go.into_iter().for_each(|entry| self.note(entry));
        Ok(self.changed(&active, differences))
    }

    /// Destinations that somebody wants removed and that were removed earlier, without asking for the reports that wait for them; and the
    /// other edits.
    fn removed_earlier(&self, edits: &[Edit]) -> (Vec<String>, Vec<Edit>) {
        let removed: Vec<String> = self.tools.hub.with_snapshot(|snapshot| {
            snapshot.destinations.iter().filter(|d| d.state == Connection::Removed).map(|d| d.name.clone()).collect()
        });
        let meant = |edit: &Edit| {
            let Edit::Unset { place } = edit else { return None };
            let name = place.strip_prefix("destination.")?;
            removed.iter().find(|removed| removed.eq_ignore_ascii_case(name)).cloned()
        };
        let others = edits.iter().filter(|edit| meant(edit).is_none()).cloned().collect();
        (edits.iter().filter_map(meant).collect(), others)
    }

    /// Whoever removes a destination once more must say what becomes of its reports.
    fn still_waits(&self, letting_go: &LettingGo) -> Option<ErrorReport> {
        let name = letting_go.earlier.first().filter(|_| letting_go.release == Release::Refuse)?;
        let waiting = self.waiting_for(name);
        Some(QueueError::Unsent { destination: name.clone(), waiting }.report())
    }

    /// Reports that wait for a destination, or were refused by it.
    fn waiting_for(&self, name: &str) -> u64 {
        self.tools.hub.with_snapshot(|snapshot| {
            let found = snapshot.destinations.iter().find(|d| d.name.eq_ignore_ascii_case(name));
            found.map_or(0, |d| d.pending + d.sending + d.failed)
        })
    }

    /// What the history says of reports that are let go of.
    fn let_go(&self, before: &Active, after: &Active, letting_go: &LettingGo, by: &By) -> Vec<NewEntry> {
        let becomes = match &letting_go.release {
            Release::Refuse => return Vec::new(),
            Release::Discard => "discarded".to_owned(),
            Release::MoveTo(to) => format!("moved to {to}"),
        };
        let stays = |name: &str| after.effective.config.destination.iter().any(|d| d.name.eq_ignore_ascii_case(name));
        let names = before.effective.config.destination.iter().map(|d| &d.name).filter(|name| !stays(name));
        names
            .chain(&letting_go.earlier)
            .map(|name| (name, self.waiting_for(name)))
            .filter(|(_, waiting)| *waiting > 0)
            .map(|(name, waiting)| {
                NewEntry::new(&by.who, by.via, "destination.release", format!("destination.{name}"))
                    .before(format!("{waiting} report(s) that were not sent"))
                    .after(&becomes)
            })
            .collect()
    }

    /// Writes the file, if it still is what the text is based on.
    async fn write(&self, base: &str, text: &str) -> Result<(), ErrorReport> {
        let (instance, base, text) = (self.tools.instance.clone(), base.to_owned(), text.to_owned());
        self.tools.desk.run(move || save(&instance, &base, &text)).await?.map(drop)
    }

    async fn put_to_work(&mut self, active: &Active, letting_go: LettingGo) -> Result<(), ErrorReport> {
        let plan = active.plan(self.secrets, &self.tools.instance);
        let told = snapshot::configured(active, &self.works.base);
        self.works.change(&plan, letting_go, told).await?;
        let missing = self.works.missing(&plan);
        if missing.is_empty() {
            return Ok(());
        }
        let message = format!("the new configuration could not be put to work: {} did not start", missing.join(", "));
        Err(ErrorReport::new(Code::ConfigNotApplied, message))
    }

    /// Back to what was in use. This has worked before; if it does not now, that is the worst there is to tell.
    async fn go_back(&mut self, before: &Active) {
        if let Err(error) = self.put_to_work(before, LettingGo::of_nothing()).await {
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

    /// What was wanted and did not come to be.
    fn note_error(&self, by: &By, action: &str, target: &str, error: &ErrorReport) {
        self.note(access::came_to(NewEntry::new(&by.who, by.via, action, target), Err(error)));
    }

    fn note(&self, entry: NewEntry) {
        self.tools.history.note(entry);
    }
}

//! What an agent would answer, while none runs: by the files, through the same gate, with the same checks, written into the same history.
//!
//! Nothing is held between two requests, and the configuration's own lock only while it is written: an agent that starts in between reads
//! the old file or the new one. What needs the queue to be changed (reports of a removed destination that were not sent) is refused.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use waybill_ipc::peer::this_user;
use waybill_ipc::protocol::{AccessStatus, ConfigChange, ConfigChanged, Reply, Request, SecretRow, SecretText, Unsent, Via};
use waybill_shared::config::{Config, Edit, Effective, tree};
use waybill_shared::error::{Code, ErrorReport};
use waybill_shared::fs::lock::{Lock, LockError};
use waybill_shared::fs::{atomic, private};
use waybill_shared::id::CorrelationId;
use waybill_shared::paths::Instance;
use waybill_shared::schema::{Map, Value};
use waybill_shared::secret::Secret;
use waybill_shared::text;

use crate::access::{self, Gate, Session, Who};
use crate::agent::keeper::{self, By, Prepared, pinned};
use crate::agent::{self, Active};
use crate::cli::output;
use crate::config::{self, Store};
use crate::diagnose;
use crate::history::{History, NewEntry};
use crate::platform::autostart;
use crate::queue::{self, QueueError};
use crate::secrets::{self, SecretName};
use crate::serve::answers::{self, Wanted, secret, secret_text};
use crate::upload::destination::registration::Registration;
use crate::upload::destination::{self, Common, Depth, Destination};
use crate::upload::trial;

/// Longest wait until what was done is in the history.
const HISTORY: Duration = Duration::from_secs(10);

/// Answers without an agent.
pub(super) struct Offline {
    instance: Instance,
    gate: Gate,
    session: Session,
    by: By,
}

impl Offline {
    /// Nothing is created by it.
    pub(super) fn open(instance: &Instance) -> Result<Self, ErrorReport> {
        // With a file that cannot be used nobody gets more than the defaults give.
        let config = agent::look_at_config(instance).map(|active| active.effective.config).unwrap_or_default();
        Ok(Self {
            instance: instance.clone(),
            gate: Gate::open(instance.pin(), agent::access(&config)),
            session: Session::begin(Who::Owner),
            by: By { who: this_command(), via: Via::Cli },
        })
    }

    pub(super) async fn request(&self, request: Request) -> Result<Reply, ErrorReport> {
        if let Err(error) = self.gate.require(&self.session, access::needed(&request)) {
            let (action, target) = access::described(&request);
            self.note_result(action, &target, Err(&error));
            return Err(error);
        }
        match request {
            Request::TestDestination { name, edits, token } => {
                let destination = self.built(&name, &edits, token.as_ref().map(secret))?;
                destination.test(Depth::Whole).await.map(Reply::DestinationTest)
            }
            Request::TestDestinations { names } => {
                let config = agent::look_at_config(&self.instance)?.effective.config;
                let names = trial::meant(&config, names)?;
                let find = |name: String| std::future::ready(self.built(&name, &[], None));
                Ok(Reply::DestinationTrials(trial::run(&config, names, find).await))
            }
            Request::RegisterDestination { name, token } => self.register(&name, &token).await,
            Request::Processes { destination } => self.built(&destination, &[], None)?.processes().await.map(Reply::Processes),
            request => self.answer(request),
        }
    }

    fn answer(&self, request: Request) -> Result<Reply, ErrorReport> {
        let (instance, used) = (&self.instance, || agent::look_at_config(&self.instance));
        match request {
            Request::Config => Ok(Reply::Config(Box::new(answers::state(instance, &used()?, Vec::new())))),
            Request::ConfigBackups => {
                // Also while the file cannot be used: they are what one looks for then.
                let current = used().map(|active| active.revision).unwrap_or_default();
                answers::backups(instance, &current).map(Reply::ConfigBackups)
            }
            Request::ConfigText { version } => answers::version(instance, &self.base()?.active, version).map(Reply::ConfigText),
            Request::ConfigDiff { from, to } => answers::diff(instance, &self.base()?.active, from, to).map(Reply::ConfigDiff),
            Request::ConfigChange(change) => self.change(&change).map(Reply::ConfigChanged),
            Request::ConfigRestore { id, base } => self.restore(&id, base.as_deref()).map(Reply::ConfigChanged),
            Request::Secrets => answers::secret_rows(&self.secrets()?, &self.wanted()?, None).map(Reply::Secrets),
            Request::SetSecret { name, value } => self.set_secret(&name, Some(&value)).map(Reply::Secrets),
            Request::ClearSecret { name } => self.set_secret(&name, None).map(Reply::Secrets),
            Request::Access => Ok(Reply::Access(self.gate.status(&self.session))),
            Request::Elevate { pin } => self.pin("access.elevate", |gate, own| gate.elevate(own, &secret(&pin))),
            Request::DropRole => {
                self.session.drop_role();
                Ok(Reply::Access(self.gate.status(&self.session)))
            }
            Request::SetPin { old, new } => {
                self.pin("access.set_pin", |gate, own| gate.set_pin(own, old.as_ref().map(secret).as_ref(), &secret(&new)))
            }
            Request::ClearPin { old } => self.pin("access.clear_pin", |gate, own| gate.clear_pin(own, Some(&secret(&old)))),
            Request::History { filter, page } => {
                let database = instance.history_database();
                if !database.exists() {
                    return Ok(Reply::History(Vec::new()));
                }
                History::open(&database)?.list_blocking(&filter, page).map(Reply::History)
            }
            Request::Logs { filter, limit } => answers::logs(&instance.logs(), &filter, limit).map(Reply::Logs),
            Request::Diagnose => {
                let written = diagnose::write_without_agent(instance, &self.none_runs(), None);
                self.note_result(
                    "diagnose",
                    written.as_ref().map_or("", |found| found.bundle.as_str()),
                    written.as_ref().map(|_| ()),
                );
                written.map(Reply::Diagnosis)
            }
            Request::Fsck => {
                let places = queue::Places::of(instance);
                if !places.database.exists() {
                    return Err(ErrorReport::new(
                        Code::NotFound,
                        "there is no queue yet: no agent of this instance has ever run",
                    ));
                }
                queue::check(&places, Duration::from_secs(3600)).map(Reply::Fsck).map_err(|error| error.report())
            }
            Request::Autostart { enable: None } => autostart::status(instance).map(Reply::Autostart),
            Request::Autostart { enable: Some(enable) } => {
                let (action, target) = access::described(&Request::Autostart { enable: Some(enable) });
                let set = autostart::set(instance, enable);
                self.note_result(action, &target, set.as_ref().map(|_| ()));
                set.map(Reply::Autostart)
            }
            Request::Status
            | Request::Deliveries { .. }
            | Request::Delivery { .. }
            | Request::ReportText { .. }
            | Request::Lanes
            | Request::Losses
            | Request::RetryDeliveries { .. }
            | Request::DiscardDeliveries { .. }
            | Request::HoldLane { .. }
            | Request::HoldDestination { .. }
            | Request::ResetBreaker { .. }
            | Request::LossesSeen
            | Request::BackupQueue
            | Request::ConversionErrors { .. }
            | Request::Health { .. }
            | Request::Tasks
            | Request::Subscribe
            | Request::Unsubscribe
            | Request::TestDestination { .. }
            | Request::TestDestinations { .. }
            | Request::RegisterDestination { .. }
            | Request::Processes { .. }
            | Request::Converters
            | Request::TryConversion { .. } => Err(self.none_runs()),
            Request::RetryConversions { .. } => Err(self.none_runs().with_fix(
                "Start the agent (`waybill-agent run`), then do the same again; or move the file from its error folder into its watch folder",
            )),
            Request::Reconvert { .. } => Err(self.none_runs().with_fix(
                "Start the agent (`waybill-agent run`), then do the same again: only a running one sends archived files",
            )),
        }
    }

    fn none_runs(&self) -> ErrorReport {
        ErrorReport::new(Code::AgentNotRunning, format!("no agent of instance {:?} is running", self.instance.name))
    }

    fn change(&self, change: &ConfigChange) -> Result<ConfigChanged, ErrorReport> {
        let edits = &change.edits;
        let result = self.base().and_then(|base| {
            let prepared = self.prepare(&base, change.base.as_deref(), edits)?;
            self.take(&base, prepared, &change.unsent, change.dry_run)
        });
        if let (Err(error), false) = (&result, change.dry_run) {
            let (action, target) = access::described(&Request::ConfigChange(change.clone()));
            self.note_result(action, &target, Err(error));
        }
        result
    }

    fn restore(&self, id: &str, revision: Option<&str>) -> Result<ConfigChanged, ErrorReport> {
        let restored = || {
            let text = Store::of(&self.instance).backups().load(id)?;
            let base = self.base()?;
            let prepared = keeper::prepare(&self.instance, &base.active, revision, |_| Ok(text))?;
            self.take(&base, prepared, &Unsent::Refuse, false)
        };
        restored().inspect_err(|error| self.note_result("config.restore", id, Err(error)))
    }

    fn prepare(&self, base: &Base, revision: Option<&str>, edits: &[Edit]) -> Result<Prepared, ErrorReport> {
        let refuse = |effective: &Effective| pinned(edits, effective).map_or(Ok(()), Err);
        refuse(&base.active.effective)?;
        let prepared =
            keeper::prepare(&self.instance, &base.active, revision, |before| keeper::edited(&self.instance, before, edits))?;
        // Who sets what is not known of a file with faults.
        refuse(&prepared.active.effective)?;
        Ok(prepared)
    }

    fn take(&self, base: &Base, prepared: Prepared, unsent: &Unsent, dry_run: bool) -> Result<ConfigChanged, ErrorReport> {
        let Prepared { active, base: revision, differences } = prepared;
        self.keeps_what_was_not_sent(base, &active.effective.config, unsent)?;
        if !dry_run {
            keeper::save(&self.instance, &revision, &active.text)?;
            let id = CorrelationId::new().to_string();
            self.note(differences.iter().map(|difference| keeper::entry(difference, &self.by, &id)).collect());
        }
        Ok(ConfigChanged { revision: active.revision, differences, waits_for_restart: Vec::new() })
    }

    /// Reports that wait for a destination are moved or given up by an agent that runs, and by nobody else.
    fn keeps_what_was_not_sent(&self, base: &Base, new: &Config, unsent: &Unsent) -> Result<(), ErrorReport> {
        let is_kept = |name: &str| new.destination.iter().any(|kept| kept.name.eq_ignore_ascii_case(name));
        let was_there =
            |name: &str| base.destinations.as_ref().is_none_or(|there| there.iter().any(|t| t.eq_ignore_ascii_case(name)));
        let database = self.instance.queue_database();
        let lost = base.destinations.as_ref().is_none_or(|there| there.iter().any(|name| !is_kept(name)));
        if !lost || !database.exists() {
            return Ok(());
        }
        let waiting = queue::unsent(&database).map_err(|error| error.report())?;
        let Some((destination, waiting)) = waiting.into_iter().find(|(name, _)| was_there(name) && !is_kept(name)) else {
            return Ok(());
        };
        let error = QueueError::Unsent { destination, waiting }.report();
        Err(match unsent {
            Unsent::Refuse => error.with_fix("Start the agent and let them be sent first, or say to the running agent what becomes of them: `--move-to DESTINATION` or `--discard`"),
            Unsent::Discard | Unsent::MoveTo(_) => {
                error.with_fix("No agent runs, and only a running one can move reports or give them up: start it, then do the same again")
            }
        })
    }

    /// What changes are made to. A file that cannot be used, with no backup in its place, can still be mended.
    fn base(&self) -> Result<Base, ErrorReport> {
        let error = match agent::look_at_config(&self.instance) {
            Ok(active) => {
                let destinations = Some(active.effective.config.destination.iter().map(|d| d.name.clone()).collect());
                return Ok(Base { active, destinations });
            }
            Err(error) if matches!(error.code, Code::ConfigInvalid | Code::ConfigMissing) => error,
            Err(error) => return Err(error),
        };
        // What lies over the file is not to be mended here.
        config::sources::layers(&self.instance)?;
        let text = match Store::of(&self.instance).read()? {
            Some(document) => document.text,
            None if error.code == Code::ConfigMissing => String::new(),
            None => return Err(error),
        };
        let parsed = tree::parse(&text).ok();
        let names = |tree: &Value| -> Vec<String> {
            let all = tree.get("destination").and_then(Value::as_array).into_iter().flatten();
            all.filter_map(tree::element_name).map(str::to_owned).collect()
        };
        let config = Config::default();
        let destinations = parsed.as_ref().map(names);
        let active = Active {
            identity: config.identity(&[]),
            effective: Effective {
                config,
                tree: parsed.unwrap_or_else(|| Value::Object(Map::new())),
                origins: Default::default(),
            },
            revision: config::store::revision(text.as_bytes()),
            text,
            problem: None,
            configured: true,
        };
        Ok(Base { active, destinations })
    }

    fn built(&self, name: &str, edits: &[Edit], token: Option<Secret>) -> Result<Arc<dyn Destination>, ErrorReport> {
        // Only fails if a provider is there already, which is as good.
        let _provided = rustls::crypto::ring::default_provider().install_default();
        let config = self.prepare(&self.base()?, None, edits)?.active.effective.config;
        let wanted = answers::destination(&config, name)?;
        let mut secrets = self.secrets()?;
        if let Some(token) = token {
            secrets = secrets.trying(SecretName::token(&wanted.name)?, token);
        }
        let base = atomic::folder_of(&self.instance.config);
        let common = Common { upload: &config.upload, proxy: &config.proxy, tls: &config.tls, base: &base, secrets: &secrets };
        destination::build(wanted, &common)
    }

    async fn register(&self, name: &str, token: &SecretText) -> Result<Reply, ErrorReport> {
        let result = self.registered(name, token).await;
        self.note_result("destination.register", name, result.as_ref().map(|_| ()));
        let (kept_as, own) = result?;
        self.set_secret(kept_as.as_str(), Some(&own)).map(Reply::Secrets).map_err(answers::not_kept)
    }

    /// The station's own token, and under which name it is to be kept.
    async fn registered(&self, name: &str, token: &SecretText) -> Result<(SecretName, SecretText), ErrorReport> {
        let active = agent::look_at_config(&self.instance)?;
        let base = atomic::folder_of(&self.instance.config);
        let kept_as = answers::token_to_keep(&active.effective.config, &base, &self.secrets()?, name)?;
        let station = Registration::of(&self.instance.name, &active.identity);
        let own = self.built(name, &[], None)?.register(secret(token), station).await?;
        Ok((kept_as, secret_text(&own)))
    }

    fn secrets(&self) -> Result<secrets::Store, ErrorReport> {
        secrets::Store::open(&self.instance, secrets::Place::of(&self.instance, false))
    }

    fn wanted(&self) -> Result<Vec<Wanted>, ErrorReport> {
        let config = agent::look_at_config(&self.instance)?.effective.config;
        Ok(answers::wanted(&config, &atomic::folder_of(&self.instance.config)))
    }

    fn set_secret(&self, name: &str, value: Option<&SecretText>) -> Result<Vec<SecretRow>, ErrorReport> {
        let action = if value.is_some() { "secret.set" } else { "secret.clear" };
        let result = self.change_secret(name, value.map(secret).as_ref());
        self.note_result(action, name, result.as_ref().map(|_| ()));
        result
    }

    fn change_secret(&self, name: &str, value: Option<&Secret>) -> Result<Vec<SecretRow>, ErrorReport> {
        let wanted = self.wanted()?;
        let known = answers::wanted_secret(&wanted, name)?;
        let store = self.secrets()?;
        let _no_agent_starts = self.stay_alone()?;
        answers::change_secret(&store, &known, value)?;
        answers::secret_rows(&store, &wanted, Some(&known.0))
    }

    /// Keeps an agent from starting while its secrets change: it would not hear of it.
    fn stay_alone(&self) -> Result<Lock, ErrorReport> {
        let data = &self.instance.data;
        private::create_folder(data)
            .map_err(|error| ErrorReport::new(Code::DataFolderUnavailable, format!("{}: {error}", text::path(data))))?;
        let owner = format!("process {} (a command, since {})", std::process::id(), Timestamp::now());
        Lock::acquire(&self.instance.lock(), &owner).map_err(|error| match error {
            LockError::Held { .. } => ErrorReport::new(Code::AlreadyRunning, format!("{error}"))
                .with_fix("An agent has just started: do the same again"),
            LockError::Io { .. } => ErrorReport::new(Code::DataFolderUnavailable, format!("{error}")),
        })
    }

    fn pin(
        &self,
        action: &str,
        work: impl FnOnce(&Gate, &Session) -> Result<AccessStatus, ErrorReport>,
    ) -> Result<Reply, ErrorReport> {
        let result = work(&self.gate, &self.session);
        self.note_result(action, "engineer", result.as_ref().map(|_| ()));
        result.map(Reply::Access)
    }

    fn note_result(&self, action: &str, target: &str, result: Result<(), &ErrorReport>) {
        let entry = NewEntry::new(&self.by.who, self.by.via, action, target);
        self.note(vec![access::came_to(entry, result)]);
    }

    /// What is done is done, and is told if it cannot be written down.
    fn note(&self, entries: Vec<NewEntry>) {
        let nothing_done = entries.iter().all(NewEntry::is_refused);
        if entries.is_empty() || (nothing_done && !self.instance.data.is_dir()) {
            // Where nothing is, a refused command makes nothing.
            return;
        }
        let written = History::open(&self.instance.history_database()).and_then(|history| {
            let appended = entries.into_iter().try_for_each(|entry| history.append_blocking(entry).map(|_| ()));
            appended.and(history.close_blocking(HISTORY))
        });
        if let Err(error) = written {
            output::warn(&format!("this is not in the history: {}", error.message));
        }
    }
}

/// What changes are made to.
struct Base {
    active: Active,
    /// Names of its destinations; none if that cannot be told.
    destinations: Option<Vec<String>>,
}

/// Who does it, for the history.
fn this_command() -> String {
    format!("{}, command line (process {})", this_user(), std::process::id())
}

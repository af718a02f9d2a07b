//! The composition root: opens everything in order, runs until it is asked to stop, closes everything in order.
//!
//! [`works`] is what runs and can be changed; [`keeper`] owns it while the agent runs, and is the only one that changes it; [`close`] ends it
//! in three phases. Everybody else reads the configuration from [`Live`]: old or new, never a mixture.

mod checks;
mod chores;
mod close;
mod connections;
pub mod keeper;
mod snapshot;
mod sources;
#[cfg(test)]
pub(crate) mod tests;
mod works;

pub(crate) use sources::context as source_context;

use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use arc_swap::{ArcSwap, ArcSwapOption};
use jiff::Timestamp;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use waybill_ipc::Endpoint;
use waybill_ipc::protocol::{AgentState, Connection, Event, Role};
use waybill_ipc::transport::Listener;
use waybill_shared::config::{Config, DefaultRole, Effective, Identity, Shutdown};
use waybill_shared::error::{Code, ErrorReport};
use waybill_shared::fs::lock::{Lock, LockError};
use waybill_shared::fs::{atomic, is_network_folder, private};
use waybill_shared::paths::Instance;
use waybill_shared::text;

use crate::access::{self, Gate};
use crate::archive::reconvert::{self, Reconvert};
use crate::archive::{self, Archive};
use crate::config::{self, Backups, Loaded};
use crate::convert::registry::Registry;
use crate::desk::Desk;
use crate::health;
use crate::health::{Heartbeat, STALL_LIMIT};
use crate::history::History;
use crate::log::LogGuard;
use crate::queue::{self, Damage, OnCommit, Opened, Places};
use crate::secrets;
use crate::serve;
use crate::serve::hub::Hub;
use crate::serve::ipc::Service;
use crate::service_manager::Progress;
use crate::shutdown::{self, StopAsked, StopRequests, Stopped};
use crate::supervisor::{Supervisor, Task};
use checks::{Checks, Looked};
use connections::Connections;
use keeper::{Follow, Keeper, Tools};
pub use works::Orders;
use works::{Plan, Works};

/// The configuration in use, for everybody to read.
pub type Live = Arc<ArcSwap<Active>>;

/// A configuration in use.
#[derive(Debug, Clone)]
pub struct Active {
    /// Its values, and who sets them.
    pub effective: Effective,
    /// What stands in the file.
    pub text: String,
    /// Which version of the file it is.
    pub revision: String,
    /// Who the station is by it.
    pub identity: Identity,
    /// What is wrong with the file that lies there, if another one is in use.
    pub problem: Option<ErrorReport>,
    /// False while nobody has set this agent up.
    pub configured: bool,
}

impl Active {
    fn plan(&self, secrets: u64, instance: &Instance) -> Plan {
        let config = self.effective.config.clone();
        let archive = || Archive::new(archive::folder(&config, instance, &atomic::folder_of(&instance.config)));
        let archive = config.archive.enabled.then(archive);
        Plan { identity: self.identity.clone(), secrets, archive, config }
    }
}

/// Reads and checks the configuration of an instance; nothing is written.
///
/// # Errors
/// The file cannot be read, or all of its faults.
pub fn look_at_config(instance: &Instance) -> Result<Active, ErrorReport> {
    let registry = Registry::of(instance);
    config::look(instance, &|config| registry.faults(config)).map(Active::from)
}

/// How long an agent of this instance takes to stop at most, by its configuration as it is now; as shipped, if that cannot be used. Reads
/// files.
#[must_use]
pub fn longest_stop(instance: &Instance) -> Duration {
    let active = look_at_config(instance);
    active.map_or_else(|_| shutdown::longest(&Shutdown::default()), |active| shutdown::longest(&active.effective.config.shutdown))
}

impl From<Loaded> for Active {
    fn from(loaded: Loaded) -> Self {
        let identity = loaded.effective.config.identity(&loaded.layers.environment);
        let Loaded { effective, text, revision, problem, configured, .. } = loaded;
        Self { effective, text, revision, identity, problem, configured }
    }
}

/// A running agent.
pub struct Agent {
    live: Live,
    hub: Hub,
    keeper: Keeper,
    history: History,
    health: Arc<health::Registry>,
    connections: Connections,
    sending: CancellationToken,
    supervisor: Supervisor,
    chores: Vec<Task>,
    damage: Arc<Damage>,
    log: Arc<LogGuard>,
    // Last: the next agent may come in only when everything else is closed.
    lock: Lock,
}

/// Runs an agent until it is asked to stop. `ready` is called once, when it serves, with what tells whether it makes progress.
///
/// # Errors
/// It could not start; nothing was taken.
pub async fn run(
    instance: Instance,
    stop: StopRequests,
    asked: StopAsked,
    ready: impl FnOnce(Progress),
) -> Result<Stopped, ErrorReport> {
    run_under(&Supervisor::new((&waybill_shared::config::Health::default()).into()), instance, stop, asked, ready).await
}

/// As [`run`], with a supervisor of one's own.
///
/// # Errors
/// As [`run`].
pub(crate) async fn run_under(
    supervisor: &Supervisor,
    instance: Instance,
    stop: StopRequests,
    asked: StopAsked,
    ready: impl FnOnce(Progress),
) -> Result<Stopped, ErrorReport> {
    let (mut kept, mut ready, mut renewed) = (None, Some(ready), 0);
    // Empty while it begins anew, which may take its time.
    let heart: Arc<ArcSwapOption<Heartbeat>> = Arc::default();
    loop {
        let agent = Agent::open(&instance, stop.clone(), kept.take(), supervisor)?;
        heart.store(Some(Arc::new(agent.health.heartbeat())));
        agent.hub.publish(Event::Agent { state: AgentState::Running });
        if let Some(ready) = ready.take() {
            let (heart, supervisor) = (Arc::clone(&heart), supervisor.clone());
            let beats = move || heart.load().as_ref().is_none_or(|heart| heart.silent_for() < STALL_LIMIT);
            ready(Arc::new(move || beats() && supervisor.gets_on()));
        }
        let mut waiting = asked.clone();
        let opened = Instant::now();
        tokio::select! {
            () = waiting.times(1) => return Ok(agent.close(asked).await),
            why = supervisor.give_up() => {
                tracing::error!(event = "agent_gives_up", why, "it ends so that it is started again");
                let stopped = agent.close_at_once(asked).await;
                return Ok(Stopped { gave_up: Some(why), ..stopped });
            }
            why = supervisor.begin_anew() => {
                tracing::error!(event = "agent_failed", why, "the agent begins anew");
                kept = Some(agent.renew(asked.clone()).await);
            }
            reason = agent.damage.noticed() => {
                // Opening it anew saves what can be read. What is damaged again at once is not helped by that.
                let again_in = RENEW_AFTER[renewed.min(RENEW_AFTER.len() - 1)].saturating_sub(opened.elapsed());
                renewed += 1;
                if !again_in.is_zero() {
                    let when = again_in.as_secs();
                    tracing::error!(event = "queue_damaged_again", reason, again_in_secs = when, "the agent goes on as it is for a while");
                }
                tokio::select! {
                    () = waiting.times(1) => return Ok(agent.close(asked).await),
                    () = tokio::time::sleep(again_in) => {
                        heart.store(None);
                        kept = Some(agent.renew(asked.clone()).await);
                    }
                }
            }
        }
        supervisor.forget_parts();
    }
}

/// What an agent that begins anew in its process takes over: nobody else comes in between.
struct Kept {
    log: Arc<LogGuard>,
    /// None if it keeps nobody away any more.
    lock: Option<Lock>,
    /// The configuration that was in use.
    active: Arc<Active>,
}

/// How long an agent must have run before damage of its queue makes it begin anew: at first, the second time, and ever after.
const RENEW_AFTER: [Duration; 3] = [Duration::ZERO, Duration::from_secs(60), Duration::from_secs(3600)];

impl Agent {
    fn open(instance: &Instance, stop: StopRequests, kept: Option<Kept>, supervisor: &Supervisor) -> Result<Self, ErrorReport> {
        // A configuration that cannot be used leaves everything as it was, but for a line in the log.
        look_at_config(instance)?;
        let (log, lock, before) = kept.map_or((None, None, None), |kept| (Some(kept.log), kept.lock, Some(kept.active)));
        let lock = match lock {
            Some(lock) => lock,
            None => take_instance(instance)?,
        };
        if let Some(before) = before {
            keep_backup(instance, &before);
        }
        let registry = Registry::of(instance);
        let active = Active::from(config::load(instance, &|config| registry.faults(config))?);
        let config = active.effective.config.clone();
        // One log for as long as the process runs.
        let log = match log {
            Some(log) => log,
            None => Arc::new(
                crate::log::start(&instance.logs(), &config.log).map_err(|error| folder_error(&instance.logs(), &error))?,
            ),
        };
        tracing::info!(event = "agent_starting", version = env!("CARGO_PKG_VERSION"), instance = instance.name, data = %instance.data.display(), config = %instance.config.display(), "starting");
        tell_of_config(&active);
        // Only fails if a provider is there already, which is as good.
        let _provided = rustls::crypto::ring::default_provider().install_default();
        let history = History::open(&instance.history_database())?;
        let secrets = secrets::Store::open(instance, secrets::Place::of(instance, false))?;

        let late_hub: Arc<OnceLock<Hub>> = Arc::default();
        supervisor.set_rules((&config.health).into());
        let queue = open_queue(instance, &config, on_commit(Arc::clone(&late_hub)), supervisor)?;
        let base = atomic::folder_of(&instance.config);
        let hub = late_hub.get_or_init(|| Hub::new(snapshot::initial(instance, &active, &base, &queue))).clone();
        let (reader, writer) = (queue.reader.clone(), queue.writer.clone());
        let (damage, clean) = (Arc::clone(&queue.damage), queue.found.clean);
        let mut works = Works::new(
            instance,
            base.clone(),
            secrets.clone(),
            queue,
            publisher(&hub),
            config.convert.worker_count(),
            supervisor,
        )?;
        works.start(&active.plan(0, instance))?;
        let (pool, queue_gate) = (Arc::clone(&works.pool_slot), Arc::clone(&works.queue.gate));
        hub.with_snapshot(|snapshot| {
            for gone in snapshot.destinations.iter().filter(|d| d.state == Connection::Removed) {
                tracing::warn!(
                    event = "reports_without_destination",
                    destination = gone.name,
                    pending = gone.pending,
                    failed = gone.failed,
                    "reports wait for a destination that is configured no more"
                );
            }
        });
        let live: Live = Arc::new(ArcSwap::from_pointee(active));

        let gate = Arc::new(Gate::open(instance.pin(), access(&config)));
        let (limits, limits_now) = watch::channel((&config.ipc).into());
        let stop_checks = CancellationToken::new();
        let health = Arc::new(health::Registry::new(Handle::current(), health::Clock::system(), stop_checks));
        let checks = Checks::new(
            Arc::clone(&health),
            Looked {
                base: &base,
                data: &instance.data,
                live: &live,
                hub: &hub,
                reader: reader.clone(),
                writer: writer.clone(),
                gate: Arc::clone(&queue_gate),
                tests: Arc::clone(&works.tests),
                orders: Arc::clone(&works.orders),
                supervisor: supervisor.clone(),
            },
        );
        checks.follow(&config)?;
        let follow: Follow = {
            let (gate, log, supervisor) = (Arc::clone(&gate), Arc::clone(&log), supervisor.clone());
            Box::new(move |config| {
                gate.apply(access(config));
                supervisor.set_rules((&config.health).into());
                log.set_level(config.log.level);
                // Nobody listens any more only while the agent stops.
                let _stopping = limits.send((&config.ipc).into());
                if let Err(error) = checks.follow(config) {
                    tracing::error!(
                        event = "checks_not_registered",
                        reason = error.message,
                        "the health checks are those of before"
                    );
                }
            })
        };
        let tools = Tools {
            instance: instance.clone(),
            live: Arc::clone(&live),
            hub: hub.clone(),
            history: history.clone(),
            desk: Desk::open("config")?,
            follow,
            heartbeat: health.heartbeat(),
            supervisor: supervisor.clone(),
        };
        let (orders, sending) = (Arc::clone(&works.orders), works.sending());
        let (keeper, changes) = Keeper::start(works, tools);

        let endpoint = Endpoint::of(instance);
        let listener = Listener::bind(&endpoint).map_err(|error| match error.kind() {
            std::io::ErrorKind::AddrInUse => ErrorReport::new(
                Code::AlreadyRunning,
                format!("another agent answers for this instance at {}, though nobody holds {}: its data folder was removed or moved while it ran", endpoint.name(), text::path(&instance.lock())),
            )
            .with_fix("Stop that agent (`waybill-agent stop`), then start this one"),
            _ => ErrorReport::new(Code::DataFolderUnavailable, format!("nobody can connect at {}: {error}", endpoint.name())),
        })?;
        let reconvert = Reconvert::new(reconvert::Parts {
            live: Arc::clone(&live),
            instance: instance.clone(),
            base: base.clone(),
            pool: Arc::clone(&pool),
            writer: writer.clone(),
            gate: queue_gate,
            publish: publisher(&hub),
        })?;
        let service = Arc::new(Service::new(serve::ipc::Parts {
            instance: instance.clone(),
            hub: hub.clone(),
            reader: reader.clone(),
            writer: writer.clone(),
            orders,
            live: Arc::clone(&live),
            changes,
            gate,
            secrets,
            history: history.clone(),
            supervisor: supervisor.clone(),
            health: Arc::clone(&health),
            reconvert,
            pool,
            stop,
        })?);
        let connections = Connections::open(supervisor, &endpoint, listener, service, limits_now);
        let chores = chores::start(
            supervisor,
            chores::Parts {
                instance: instance.clone(),
                live: Arc::clone(&live),
                hub: hub.clone(),
                base,
                reader,
                writer,
                damage: Arc::clone(&damage),
                clean,
            },
        )?;
        tracing::info!(
            event = "agent_ready",
            endpoint = endpoint.name(),
            sources = config.source.len(),
            destinations = config.destination.len(),
            "at work"
        );
        let supervisor = supervisor.clone();
        Ok(Self { live, hub, keeper, history, health, damage, connections, sending, supervisor, chores, log, lock })
    }
}

/// The configuration of a station whose data folder was taken away stays known, also if its file went with the folder.
fn keep_backup(instance: &Instance, before: &Active) {
    if !before.configured || instance.config.exists() {
        return;
    }
    if let Err(error) = Backups::of(instance).accept(&before.text) {
        tracing::error!(event = "backup_not_kept", reason = error.message, "the configuration that was in use");
    }
}

/// What a person should know of the configuration before anything else.
fn tell_of_config(active: &Active) {
    if let Some(problem) = &active.problem {
        tracing::error!(event = "config_not_used", code = %problem.code, reason = problem.message, "another configuration is in use");
    }
    if active.effective.config.destination.iter().all(|destination| !destination.enabled) {
        tracing::error!(event = "no_destination", "no destination is configured: reports are queued and wait until there is one");
    }
}

/// What the gate goes by.
pub fn access(config: &Config) -> access::Settings {
    let role = |role: DefaultRole| match role {
        DefaultRole::Viewer => Role::Viewer,
        DefaultRole::Operator => Role::Operator,
    };
    let access = &config.access;
    access::Settings { without_pin: role(access.without_pin), pin_minutes: access.pin_minutes, group: role(access.group) }
}

fn folder_error(folder: &Path, error: &dyn std::fmt::Display) -> ErrorReport {
    ErrorReport::new(Code::DataFolderUnavailable, format!("{}: {error}", text::path(folder)))
}

/// Whether an agent's lock says of its holder that it is an agent, and not a command that keeps agents away for a moment.
pub(crate) fn is_agent(holder: &str) -> bool {
    holder.starts_with("process ") && holder.contains(" (instance ")
}

/// The data folder, and the lock that keeps a second agent away from it.
fn take_instance(instance: &Instance) -> Result<Lock, ErrorReport> {
    let folder = &instance.data;
    private::create_folder(folder).map_err(|error| folder_error(folder, &error))?;
    if is_network_folder(folder).map_err(|error| folder_error(folder, &error))? {
        return Err(folder_error(
            folder,
            &"it is on a network share, where a queue cannot be kept safely; choose a local folder",
        ));
    }
    let owner = format!("process {} (instance {}, since {})", std::process::id(), instance.name, Timestamp::now());
    Lock::acquire(&instance.lock(), &owner).map_err(|error| match error {
        LockError::Held { holder, .. } => ErrorReport::new(
            Code::AlreadyRunning,
            format!("an agent with the data folder {} runs already: {holder}", text::path(folder)),
        ),
        LockError::Io { .. } => folder_error(folder, &error),
    })
}

fn open_queue(instance: &Instance, config: &Config, on_commit: OnCommit, supervisor: &Supervisor) -> Result<Opened, ErrorReport> {
    queue::open(&Places::of(instance), config, on_commit, supervisor).map_err(|error| error.report())
}

/// What became durable is published.
fn on_commit(hub: Arc<OnceLock<Hub>>) -> OnCommit {
    Box::new(move |events| {
        if let Some(hub) = hub.get() {
            hub.publish_all(events);
        }
    })
}

fn publisher(hub: &Hub) -> Arc<dyn Fn(Event) + Send + Sync> {
    let hub = hub.clone();
    Arc::new(move |event| hub.publish(event))
}

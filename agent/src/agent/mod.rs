//! The composition root: opens everything in order, runs until it is asked to stop, closes everything in order.

mod close;
mod snapshot;
mod sources;
#[cfg(test)]
pub(crate) mod tests;

use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use waybill_ipc::Endpoint;
use waybill_ipc::protocol::{AgentState, Event};
use waybill_ipc::transport::Listener;
use waybill_shared::config::{self, Config};
use waybill_shared::error::{Code, ErrorReport};
use waybill_shared::fs::lock::{Lock, LockError};
use waybill_shared::fs::{atomic, is_network_folder, private};
use waybill_shared::paths::Instance;
use waybill_shared::text;

use crate::convert::pool::Pool;
use crate::convert::registry::Registry;
use crate::intake::Source;
use crate::log::LogGuard;
use crate::queue::{self, Command, OnCommit, Opened, Places, Writer};
use crate::serve::hub::Hub;
use crate::serve::ipc::Service;
use crate::shutdown::{StopAsked, StopRequests, Stopped};
use crate::upload::{destination, dispatcher};

/// How often what was kept long enough is looked for.
const PURGE_EVERY: Duration = Duration::from_secs(10);

/// Reads and checks the configuration of an instance.
///
/// # Errors
/// The file cannot be read, or all of its faults.
pub fn load_config(instance: &Instance) -> Result<Config, ErrorReport> {
    let place = text::path(&instance.config);
    let content = std::fs::read_to_string(&instance.config).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => ErrorReport::new(Code::ConfigMissing, format!("there is no {place}"))
            .with_fix(format!("Write {place} (the README has one in ten lines), or try `waybill-agent demo`")),
        _ => ErrorReport::new(Code::ConfigUnreadable, format!("{place} cannot be read: {error}")),
    })?;
    let registry = Registry::built_in();
    config::parse_with(&content, |config| registry.faults(config)).map_err(|error| error.report(&place))
}

/// A running agent.
pub struct Agent {
    config: Config,
    hub: Hub,
    sources: Vec<Source>,
    pool: Option<Pool>,
    queue: Opened,
    dispatchers: JoinSet<()>,
    servers: JoinSet<()>,
    chores: JoinSet<()>,
    drain: CancellationToken,
    cancel: CancellationToken,
    close_ipc: CancellationToken,
    _log: LogGuard,
    // Last: the next agent may come in only when everything else is closed.
    _lock: Lock,
}

/// Runs an agent until it is asked to stop. `ready` is called once, when it serves.
///
/// # Errors
/// It could not start; nothing was taken.
pub async fn run(instance: Instance, stop: StopRequests, asked: StopAsked, ready: impl FnOnce()) -> Result<Stopped, ErrorReport> {
    let agent = Agent::open(&instance, stop)?;
    agent.hub.publish(Event::Agent { state: AgentState::Running });
    ready();
    let mut waiting = asked.clone();
    waiting.times(1).await;
    Ok(agent.close(asked).await)
}

impl Agent {
    fn open(instance: &Instance, stop: StopRequests) -> Result<Self, ErrorReport> {
        let config = load_config(instance)?;
        let lock = take_instance(instance)?;
        let log = crate::log::start(&instance.logs(), &config.log).map_err(|error| folder_error(&instance.logs(), &error))?;
        tracing::info!(event = "agent_starting", version = env!("CARGO_PKG_VERSION"), instance = instance.name, data = %instance.data.display(), config = %instance.config.display(), "starting");
        // Only fails if a provider is there already, which is as good.
        let _provided = rustls::crypto::ring::default_provider().install_default();

        let late_hub: Arc<OnceLock<Hub>> = Arc::default();
        let wakes: Vec<(String, Arc<Notify>)> = config.destination.iter().map(|d| (d.name.clone(), Arc::default())).collect();
        let queue = open_queue(instance, &config, on_commit(Arc::clone(&late_hub), &wakes))?;
        let hub = late_hub.get_or_init(|| Hub::new(snapshot::initial(instance, &config, &queue))).clone();
        let publish = publisher(&hub);

        let (drain, cancel, close_ipc) = (CancellationToken::new(), CancellationToken::new(), CancellationToken::new());
        let base = atomic::folder_of(&instance.config);
        let mut dispatchers = JoinSet::new();
        for (settings, (name, wake)) in config.destination.iter().zip(wakes) {
            dispatchers.spawn(dispatcher::run(dispatcher::Setup {
                destination: destination::build(settings, &config.upload, &base, &instance.secrets())?,
                name,
                reader: queue.reader.clone(),
                writer: queue.writer.clone(),
                upload: config.upload.clone(),
                wake,
                publish: Arc::clone(&publish),
                drain: drain.clone(),
                cancel: cancel.clone(),
            }));
        }
        if config.destination.is_empty() {
            tracing::error!(
                event = "no_destination",
                "no destination is configured: reports are queued and wait until there is one"
            );
        }

        let pool = Pool::start(config.convert.workers, queue.writer.clone(), Arc::clone(&queue.backlog), instance.spool())
            .map_err(|error| ErrorReport::new(Code::Internal, format!("no threads for the converters: {error}")))?;
        let sources =
            sources::Common { config: &config, base: &base, pool: &pool, queue: &queue, publish: &publish }.start_all()?;

        let endpoint = Endpoint::of(instance);
        let listener = Listener::bind(&endpoint).map_err(|error| {
            ErrorReport::new(Code::DataFolderUnavailable, format!("nobody can connect at {}: {error}", endpoint.name()))
        })?;
        let service = Arc::new(Service { hub: hub.clone(), reader: queue.reader.clone(), stop });
        let mut servers = JoinSet::new();
        servers.spawn(waybill_ipc::server::serve(listener, service, (&config.ipc).into(), close_ipc.clone()));

        let mut chores = JoinSet::new();
        chores.spawn(purge(queue.writer.clone(), config.queue.keep_sent_days));
        tracing::info!(
            event = "agent_ready",
            endpoint = endpoint.name(),
            sources = config.source.len(),
            destinations = config.destination.len(),
            "at work"
        );
        Ok(Self {
            config,
            hub,
            sources,
            pool: Some(pool),
            queue,
            dispatchers,
            servers,
            chores,
            drain,
            cancel,
            close_ipc,
            _log: log,
            _lock: lock,
        })
    }
}

fn folder_error(folder: &Path, error: &dyn std::fmt::Display) -> ErrorReport {
    ErrorReport::new(Code::DataFolderUnavailable, format!("{}: {error}", text::path(folder)))
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

fn open_queue(instance: &Instance, config: &Config, on_commit: OnCommit) -> Result<Opened, ErrorReport> {
    let places = Places { database: instance.queue_database(), spool: instance.spool(), evicted: instance.evicted() };
    queue::open(&places, config, on_commit).map_err(|error| error.report())
}

/// What became durable is published, and whoever has something to send is woken.
fn on_commit(hub: Arc<OnceLock<Hub>>, wakes: &[(String, Arc<Notify>)]) -> OnCommit {
    let wakes: Vec<Arc<Notify>> = wakes.iter().map(|(_, wake)| Arc::clone(wake)).collect();
    Box::new(move |events| {
        let queued = events.iter().any(|event| matches!(event, Event::FileQueued { .. }));
        if let Some(hub) = hub.get() {
            hub.publish_all(events);
        }
        if queued {
            wakes.iter().for_each(|wake| wake.notify_one());
        }
    })
}

fn publisher(hub: &Hub) -> Arc<dyn Fn(Event) + Send + Sync> {
    let hub = hub.clone();
    Arc::new(move |event| hub.publish(event))
}

async fn purge(writer: Writer, keep_days: u64) {
    let keep = SignedDuration::from_hours(i64::try_from(keep_days).unwrap_or(3650) * 24);
    loop {
        tokio::time::sleep(PURGE_EVERY).await;
        let Ok(before) = Timestamp::now().checked_sub(keep) else { continue };
        if writer.send(Command::Purge { before }).await.is_err() {
            return;
        }
    }
}

//! Which health checks there are, by the configuration in use.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use waybill_ipc::protocol::{Connection, DestinationTest};
use waybill_shared::config::{Config, Destination, DestinationKind, Health, Source};
use waybill_shared::error::{Code, ErrorReport};

use super::Live;
use super::works::{Orders, Tests};
use crate::health::checks::{blocking::Threads, destination, disk, setup, source, store, tasks};
use crate::health::{Check, Clock, Registry};
use crate::queue::{Command, Gate, Reader, Writer};
use crate::serve::hub::Hub;
use crate::supervisor::Supervisor;
use crate::upload::destination::Depth;
use crate::upload::dispatcher::Order;

/// So long may the oldest report wait before its destination is unhealthy.
const OLDEST_UNHEALTHY: Duration = Duration::from_secs(24 * 3600);

/// Keeps the registered checks in step with the configuration.
pub(super) struct Checks {
    registry: Arc<Registry>,
    base: PathBuf,
    data: PathBuf,
    live: Live,
    hub: Hub,
    reader: Reader,
    writer: Writer,
    gate: Arc<Gate>,
    tests: Tests,
    orders: Orders,
    supervisor: Supervisor,
    threads: Threads,
    clock: Clock,
    // Held while checks come and go.
    known: Mutex<Known>,
}

/// The checks that are registered, and what they were made from.
#[derive(Default)]
struct Known {
    names: BTreeSet<String>,
    made_from: Option<Parts>,
}

/// What decides which checks there are.
#[derive(PartialEq)]
struct Parts {
    sources: Vec<Source>,
    destinations: Vec<Destination>,
    health: Health,
    max_failed: u64,
    removed: Vec<String>,
}

/// What the checks look at.
pub(super) struct Looked<'a> {
    pub(super) base: &'a Path,
    pub(super) data: &'a Path,
    pub(super) live: &'a Live,
    pub(super) hub: &'a Hub,
    pub(super) reader: Reader,
    pub(super) writer: Writer,
    pub(super) gate: Arc<Gate>,
    pub(super) tests: Tests,
    pub(super) orders: Orders,
    pub(super) supervisor: Supervisor,
}

impl Checks {
    pub(super) fn new(registry: Arc<Registry>, looked: Looked<'_>) -> Self {
        let Looked { base, data, live, hub, reader, writer, gate, tests, orders, supervisor } = looked;
        Self {
            registry,
            base: base.to_owned(),
            data: data.to_owned(),
            live: Arc::clone(live),
            hub: hub.clone(),
            reader,
            writer,
            gate,
            tests,
            orders,
            supervisor,
            threads: Threads::default(),
            clock: Clock::system(),
            known: Mutex::default(),
        }
    }

    /// Registers what the configuration wants to be checked, and forgets the rest.
    ///
    /// # Errors
    /// The OS gives no thread for a check.
    pub(super) fn follow(&self, config: &Config) -> Result<(), ErrorReport> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let parts = Parts {
            sources: config.source.clone(),
            destinations: config.destination.clone(),
            health: config.health.clone(),
            max_failed: config.queue.max_failed,
            removed: self.removed(),
        };
        if known.made_from.as_ref() == Some(&parts) {
            // Registered anew, they would know nothing until they are asked again.
            return Ok(());
        }
        let wanted = self
            .all(config, &parts.removed)
            .map_err(|error| ErrorReport::new(Code::Internal, format!("no thread for a health check: {error}")))?;
        let names: BTreeSet<String> = wanted.iter().map(|check| check.name().to_owned()).collect();
        for gone in known.names.difference(&names) {
            self.registry.unregister(gone);
        }
        let (interval, timeout) =
            (Duration::from_secs(config.health.interval_secs), Duration::from_secs(config.health.timeout_secs));
        for check in wanted {
            self.registry.register(check.every(interval).within(timeout));
        }
        *known = Known { names, made_from: Some(parts) };
        Ok(())
    }

    /// Destinations that are configured no more and have reports.
    fn removed(&self) -> Vec<String> {
        self.hub.with_snapshot(|snapshot| {
            let removed = snapshot.destinations.iter().filter(|status| status.state == Connection::Removed);
            removed.map(|status| status.name.clone()).collect()
        })
    }

    fn all(&self, config: &Config, removed: &[String]) -> std::io::Result<Vec<Check>> {
        let mut all = vec![
            self.setup(),
            self.store(),
            self.disk(config)?,
            tasks::check({
                let supervisor = self.supervisor.clone();
                move || supervisor.list()
            }),
        ];
        for source in config.source.iter().filter(|source| source.enabled) {
            let hub = self.hub.clone();
            let folder = self.base.join(&source.folder);
            all.push(source::check(&source.name, folder, source.after, &self.threads, move || hub.snapshot())?);
        }
        for destination in config.destination.iter().filter(|destination| destination.enabled) {
            let code = match destination.kind {
                DestinationKind::Folder => Code::DestinationFolderFailed,
                DestinationKind::Wats => Code::DestinationUnreachable,
            };
            all.push(self.destination(&destination.name, code, config));
        }
        for name in removed {
            all.push(self.destination(name, Code::NotFound, config));
        }
        Ok(all)
    }

    fn setup(&self) -> Check {
        let (live, gate) = (Arc::clone(&self.live), Arc::clone(&self.gate));
        setup::check(move || {
            let active = live.load();
            let config = &active.effective.config;
            setup::SetupStatus {
                sources: config.source.iter().filter(|source| source.enabled).count(),
                destinations: config.destination.iter().filter(|destination| destination.enabled).count(),
                waiting: gate.nowhere(),
                rejected: active.problem.clone(),
            }
        })
    }

    fn store(&self) -> Check {
        let (writer, hub) = (self.writer.clone(), self.hub.clone());
        let probe = move || {
            let writer = writer.clone();
            async move { writer.ask(|ack| Command::Probe { ack }).await }
        };
        store::check(probe, move || hub.with_snapshot(|snapshot| snapshot.queue.losses))
    }

    fn disk(&self, config: &Config) -> std::io::Result<Check> {
        disk::check(self.data.clone(), disk::Limits::of(config), &self.threads)
    }

    fn destination(&self, name: &str, code: Code, config: &Config) -> Check {
        let limits = destination::Limits {
            degraded: Duration::from_secs(config.health.oldest_pending_minutes * 60),
            unhealthy: OLDEST_UNHEALTHY.max(Duration::from_secs(config.health.oldest_pending_minutes * 60)),
            failed: config.queue.max_failed,
        };
        let (hub, reader, tests) = (self.hub.clone(), self.reader.clone(), Arc::clone(&self.tests));
        let orders = Arc::clone(&self.orders);
        let oldest = move |name: &str| {
            let (reader, name) = (reader.clone(), name.to_owned());
            async move { reader.oldest_pending(&name).await }
        };
        let probe = move |name: &str| {
            let asked = tests.load().get(name).cloned();
            let orders = orders.load().get(&name.to_ascii_lowercase()).cloned();
            async move {
                let Some(destination) = asked else { return Err(ErrorReport::new(Code::NotFound, "it is not there any more")) };
                let heard = match destination.test(Depth::Brief).await? {
                    DestinationTest { ok: true, message, .. } => Ok(message),
                    DestinationTest { message, .. } => Err(ErrorReport::new(code, message)),
                };
                if let Some(orders) = orders {
                    // One that has too much to do hears of it at the next beat.
                    let _busy = orders.try_send(Order::Heard(heard.clone().map(drop)));
                }
                heard
            }
        };
        destination::check(name, limits, self.clock.clone(), move || hub.snapshot(), oldest, probe)
    }
}

//! What runs: sources, converters, destinations. It can be changed while it runs.
//!
//! A part that a new configuration does not concern goes on undisturbed. One that it does is drained, ended and started anew: a file that is
//! being converted at this moment is committed and recognised by its fingerprint, a report that is on its way is waited for, or given up and
//! sent again under the same id. Nothing is lost by a change, and nothing is there twice.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use waybill_ipc::protocol::{Configured, Event};
use waybill_shared::config::{self, Config, Identity, Proxy, Tls, Upload, WhenFull};
use waybill_shared::error::{Code, ErrorReport};
use waybill_shared::paths::Instance;
use waybill_shared::secret::Secret;

use super::sources;
use crate::archive::Archive;
use crate::archive::reconvert::PoolSlot;
use crate::convert::pool::Pool;
use crate::convert::registry::Registry;
use crate::intake::{self, Claims, Neighbour, Source, Told};
use crate::queue::{Command, Door, LettingGo, NewRoutes, Opened, Routes};
use crate::supervisor::{Part, Spec, Starts, Supervisor};
use crate::upload::{destination, dispatcher};
use crate::{secrets, shutdown};

/// Longest time for a part that is changed to end what it has begun; then it is cut off, which loses nothing.
const DRAIN: Duration = Duration::from_secs(5);
/// Longest time for a part that was cut off to let go.
const CANCEL: Duration = Duration::from_secs(5);
/// Longest time for the queue to take other routes.
const QUEUE: Duration = Duration::from_secs(10);

/// A configuration as the works need it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Plan {
    pub(super) config: Config,
    pub(super) identity: Identity,
    /// Changes whenever a secret does: a new token or password is a new destination.
    pub(super) secrets: u64,
    /// Where copies of taken files go, if they are wanted.
    pub(super) archive: Option<Archive>,
}

/// Everything a source is made of. Equal ones need no restart.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct SourcePlan {
    pub(super) source: config::Source,
    pub(super) identity: Identity,
    pub(super) max_file_bytes: u64,
    pub(super) when_full: WhenFull,
    pub(super) archive: Option<Archive>,
}

/// Everything a destination is made of.
#[derive(Debug, Clone, PartialEq)]
struct DestinationPlan {
    destination: config::Destination,
    upload: Upload,
    proxy: Proxy,
    tls: Tls,
    secrets: u64,
}

/// What a plan asks for; with the destination, if it is to be started.
type BuiltDestination = (DestinationPlan, Option<Arc<dyn destination::Destination>>);

struct Dispatcher {
    plan: DestinationPlan,
    destination: Arc<dyn destination::Destination>,
    task: Part,
    door: Arc<Door>,
    orders: mpsc::Sender<dispatcher::Order>,
    drain: CancellationToken,
    cancel: CancellationToken,
}

impl Dispatcher {
    /// The name under which it is supervised.
    fn supervised(&self) -> String {
        dispatcher::supervised(&self.plan.destination.name)
    }

    fn has_ended(&self) -> bool {
        self.task.has_ended()
    }

    fn drain(&self) {
        self.task.may_end();
        self.drain.cancel();
    }

    fn cancel(&self) {
        self.task.may_end();
        self.cancel.cancel();
    }
}

/// The destinations that run, for those who ask them whether they would take reports.
pub(super) type Tests = Arc<ArcSwap<HashMap<String, Arc<dyn destination::Destination>>>>;

/// Where the wishes of people for the destinations that run go, by their names in small letters.
pub type Orders = Arc<ArcSwap<HashMap<String, mpsc::Sender<dispatcher::Order>>>>;

/// What runs.
pub(super) struct Works {
    pub(super) base: PathBuf,
    secrets: secrets::Store,
    pub(super) queue: Opened,
    pub(super) publish: Arc<dyn Fn(Event) + Send + Sync>,
    pub(super) registry: Registry,
    pub(super) tests: Tests,
    pub(super) orders: Orders,
    claims: Arc<Claims>,
    neighbours: Arc<ArcSwap<Vec<Neighbour>>>,
    pool: Option<Pool>,
    /// For files that come from elsewhere than the sources.
    pub(super) pool_slot: PoolSlot,
    sources: Vec<(SourcePlan, Source)>,
    dispatchers: Vec<Dispatcher>,
    sending: CancellationToken,
    supervisor: Supervisor,
}

impl Works {
    /// Nothing runs yet but the pool's threads.
    pub(super) fn new(
        instance: &Instance,
        base: PathBuf,
        secrets: secrets::Store,
        queue: Opened,
        publish: Arc<dyn Fn(Event) + Send + Sync>,
        workers: u32,
        supervisor: &Supervisor,
    ) -> Result<Self, ErrorReport> {
        let pool = Pool::start(workers, queue.writer.clone(), Arc::clone(&queue.backlog), instance.spool(), supervisor)
            .map_err(|error| ErrorReport::new(Code::Internal, format!("no threads for the converters: {error}")))?;
        Ok(Self {
            base,
            secrets,
            queue,
            publish,
            registry: Registry::built_in(),
            tests: Tests::default(),
            orders: Orders::default(),
            claims: Arc::default(),
            neighbours: Arc::default(),
            pool_slot: Arc::new(ArcSwapOption::from_pointee(pool.handle())),
            pool: Some(pool),
            sources: Vec::new(),
            dispatchers: Vec::new(),
            sending: CancellationToken::new(),
            supervisor: supervisor.clone(),
        })
    }

    /// Starts everything of a plan; the queue was opened with its routes.
    pub(super) fn start(&mut self, plan: &Plan) -> Result<(), ErrorReport> {
        let built = self.build_destinations(plan)?;
        self.start_built(built, true);
        self.start_sources(plan)
    }

    /// Brings the works from what they do to another plan. On an error some parts may be ended: bring them to the plan before.
    ///
    /// # Errors
    /// What could not be put to work, or reports that would have nowhere to go.
    pub(super) async fn change(&mut self, plan: &Plan, letting_go: LettingGo, told: Configured) -> Result<(), ErrorReport> {
        // Whatever can be refused is refused before anything is touched.
        let built = self.build_destinations(plan)?;
        let wanted: Vec<SourcePlan> = source_plans(plan).collect();
        self.stop_sources(|running| !wanted.contains(running)).await;
        self.stop_dispatchers(|running| !built.iter().any(|(wanted, _)| wanted == running)).await;
        // In its turn among the commits: what ended above has written down what it knew.
        let routes = NewRoutes { routes: Routes::of(&plan.config), letting_go, told: Box::new(told) };
        let asked = self.queue.writer.ask(|ack| Command::Configure { new: Box::new(routes), ack });
        match tokio::time::timeout(QUEUE, asked).await {
            Ok(taken) => taken.map_err(|error| error.report())?,
            Err(_) => {
                let message = "the queue did not take the new destinations in time";
                return Err(ErrorReport::new(Code::QueueWriteFailed, message));
            }
        }
        self.start_built(built, false);
        self.start_sources(plan)
    }

    /// What a plan wants and does not run, or has ended: empty if all is well.
    pub(super) fn missing(&self, plan: &Plan) -> Vec<String> {
        let ended: Vec<bool> = self.dispatchers.iter().map(Dispatcher::has_ended).collect();
        let runs = |wanted: &DestinationPlan| {
            self.dispatchers.iter().zip(&ended).any(|(running, ended)| running.plan == *wanted && !ended)
        };
        let sources = source_plans(plan)
            .filter(|wanted| !self.sources.iter().any(|(running, source)| running == wanted && !source.is_finished()))
            .map(|missing| format!("source {}", missing.source.name));
        let destinations = destination_plans(plan)
            .filter(|wanted| !runs(wanted))
            .map(|missing| format!("destination {}", missing.destination.name));
        sources.chain(destinations).collect()
    }

    fn build_destinations(&self, plan: &Plan) -> Result<Vec<BuiltDestination>, ErrorReport> {
        destination_plans(plan)
            .map(|wanted| {
                let runs = self.dispatchers.iter().any(|running| running.plan == wanted);
                let built = if runs { None } else { Some(self.build(&wanted)?) };
                Ok((wanted, built))
            })
            .collect()
    }

    fn build(&self, plan: &DestinationPlan) -> Result<Arc<dyn destination::Destination>, ErrorReport> {
        destination::build(&plan.destination, &self.common(&self.secrets, &plan.upload, &plan.proxy, &plan.tls))
    }

    /// A destination as a configuration has it, that is only asked something; perhaps with a token that is only tried.
    pub(super) fn build_one(
        &self,
        destination: &config::Destination,
        config: &Config,
        token: Option<Secret>,
    ) -> Result<Arc<dyn destination::Destination>, ErrorReport> {
        let secrets = match token {
            Some(token) => self.secrets.trying(secrets::SecretName::token(&destination.name)?, token),
            None => self.secrets.clone(),
        };
        destination::build(destination, &self.common(&secrets, &config.upload, &config.proxy, &config.tls))
    }

    fn common<'a>(
        &'a self,
        secrets: &'a secrets::Store,
        upload: &'a Upload,
        proxy: &'a Proxy,
        tls: &'a Tls,
    ) -> destination::Common<'a> {
        destination::Common { upload, proxy, tls, base: &self.base, secrets }
    }

    fn start_built(&mut self, built: Vec<BuiltDestination>, goes_on: bool) {
        for (plan, destination) in built {
            let Some(destination) = destination else { continue };
            let (drain, cancel) = (self.sending.child_token(), CancellationToken::new());
            let name = plan.destination.name.clone();
            let door = self.queue.doors.hang(&name);
            let (orders, ordered) = mpsc::channel(dispatcher::ORDERS);
            let spec = Spec::new(dispatcher::supervised(&name), Starts::Owner);
            let setup = dispatcher::Setup {
                destination: Arc::clone(&destination),
                name,
                reader: self.queue.reader.clone(),
                writer: self.queue.writer.clone(),
                upload: plan.upload.clone(),
                door: Arc::clone(&door),
                goes_on,
                orders: ordered,
                publish: Arc::clone(&self.publish),
                drain: drain.clone(),
                cancel: cancel.clone(),
            };
            let task = self.supervisor.part(&spec, move |progress| async move {
                dispatcher::run(setup, progress).await;
                Ok(())
            });
            self.dispatchers.push(Dispatcher { plan, destination, task, door, orders, drain, cancel });
        }
        let orders = |running: &Dispatcher| (running.plan.destination.name.to_ascii_lowercase(), running.orders.clone());
        self.orders.store(Arc::new(self.dispatchers.iter().map(orders).collect()));
        let by_name = |running: &Dispatcher| (running.plan.destination.name.clone(), Arc::clone(&running.destination));
        self.tests.store(Arc::new(self.dispatchers.iter().map(by_name).collect()));
    }

    fn start_sources(&mut self, plan: &Plan) -> Result<(), ErrorReport> {
        let Some(pool) = &self.pool else { return Ok(()) };
        let enabled: Vec<&config::Source> = plan.config.source.iter().filter(|source| source.enabled).collect();
        self.neighbours.store(Arc::new(sources::neighbours(&enabled, &self.base)?));
        let common = sources::Common {
            base: &self.base,
            registry: &self.registry,
            claims: &self.claims,
            neighbours: &self.neighbours,
            pool,
            queue: &self.queue,
            publish: &self.publish,
            supervisor: &self.supervisor,
        };
        let missing: Vec<SourcePlan> =
            source_plans(plan).filter(|wanted| !self.sources.iter().any(|(running, _)| running == wanted)).collect();
        for wanted in missing {
            let source = common.start(&wanted)?;
            self.sources.push((wanted, source));
        }
        Ok(())
    }

    async fn stop_sources(&mut self, which: impl Fn(&SourcePlan) -> bool) {
        let (ending, staying) = std::mem::take(&mut self.sources).into_iter().partition(|(plan, _)| which(plan));
        self.sources = staying;
        let ending: Vec<(SourcePlan, Source)> = ending;
        for (limit, told) in [(DRAIN, Told::Drain), (CANCEL, Told::Cancel)] {
            ending.iter().for_each(|(_, source)| source.tell(told));
            if shutdown::until(limit, || ending.iter().all(|(_, source)| source.is_finished())).await {
                break;
            }
        }
        for (plan, source) in ending {
            if source.is_finished() {
                source.join();
                self.supervisor.forget(&intake::supervised(&plan.source.name));
            } else {
                tracing::error!(
                    event = "source_hangs",
                    source = plan.source.name,
                    "it was told to end and does not; its files wait for the next start"
                );
            }
        }
    }

    async fn stop_dispatchers(&mut self, which: impl Fn(&DestinationPlan) -> bool) {
        let (ending, staying) = std::mem::take(&mut self.dispatchers).into_iter().partition(|running| which(&running.plan));
        self.dispatchers = staying;
        let mut ending: Vec<Dispatcher> = ending;
        ending.iter().for_each(Dispatcher::drain);
        let ended = |ending: &[Dispatcher]| ending.iter().all(Dispatcher::has_ended);
        if !shutdown::until(DRAIN, || ended(&ending)).await {
            ending.iter().for_each(Dispatcher::cancel);
            if !shutdown::until(CANCEL, || ended(&ending)).await {
                ending.iter_mut().for_each(|running| running.task.cut_off());
            }
        }
        for running in &ending {
            // What it did wrong is of no interest any more: what comes under its name is another one.
            self.supervisor.forget(&running.supervised());
            self.queue.doors.remove(&running.plan.destination.name, &running.door);
        }
    }

    /// Starts again what has failed, as far as it may be.
    pub(super) fn heal(&mut self, plan: &Plan) {
        if let Some(pool) = &mut self.pool {
            pool.revive();
        }
        let supervisor = self.supervisor.clone();
        let mut failed = Vec::new();
        self.sources.retain(|(running, source)| {
            let stays = !source.is_finished() || !supervisor.may_start(&intake::supervised(&running.source.name));
            stays || {
                failed.push(running.source.name.clone());
                false
            }
        });
        if !failed.is_empty()
            && let Err(error) = self.start_sources(plan)
        {
            tracing::error!(
                event = "source_not_started",
                sources = failed.join(", "),
                reason = error.message,
                "tried again with the next change of the configuration"
            );
        }
        let mut again = Vec::new();
        for at in (0..self.dispatchers.len()).rev() {
            if self.dispatchers[at].has_ended() && supervisor.may_start(&self.dispatchers[at].supervised()) {
                again.push(self.dispatchers.remove(at));
            }
        }
        for ended in again {
            (self.publish)(Event::Sending { destination: ended.plan.destination.name.clone(), count: 0 });
            self.start_built(vec![(ended.plan, Some(ended.destination))], true);
        }
    }

    // Stopping the whole, phase by phase.

    /// Nothing new begins.
    pub(super) fn drain(&self) {
        self.dispatchers.iter().for_each(Dispatcher::drain);
        if let Some(pool) = &self.pool {
            pool.may_end();
            pool.stop_accepting();
        }
        self.pool_slot.store(None);
        self.sources.iter().for_each(|(_, source)| source.tell(Told::Drain));
    }

    /// What has begun is told to let go.
    pub(super) fn cancel(&self) {
        self.dispatchers.iter().for_each(Dispatcher::cancel);
        self.sources.iter().for_each(|(_, source)| source.tell(Told::Cancel));
    }

    /// True once everything has ended.
    pub(super) fn is_quiet(&self) -> bool {
        self.dispatchers.iter().all(Dispatcher::has_ended) && self.sources.iter().all(|(_, source)| source.is_finished())
    }

    /// What has begun and is not over, in words.
    pub(super) fn under_way(&self) -> Vec<String> {
        let dispatchers = self.dispatchers.iter().filter(|running| !running.has_ended()).map(Dispatcher::supervised);
        let sources = self.sources.iter().filter(|(_, source)| !source.is_finished());
        let sources = sources.map(|(plan, _)| intake::supervised(&plan.source.name));
        let conversions = self.pool.as_ref().map_or(0, Pool::active_count);
        let conversions = (conversions > 0).then(|| match conversions {
            1 => "1 conversion".to_owned(),
            many => format!("{many} conversions"),
        });
        dispatchers.chain(sources).chain(conversions).collect()
    }

    /// What every dispatcher stops at: no report is begun to be sent any more.
    pub(super) fn sending(&self) -> CancellationToken {
        self.sending.clone()
    }

    /// Gives up what did not end, by name, and lets go of everything.
    pub(super) fn give_up(&mut self) -> Vec<String> {
        let mut stragglers = Vec::new();
        for (plan, source) in self.sources.drain(..) {
            if source.is_finished() {
                source.join();
            } else {
                stragglers.push(format!("source {}", plan.source.name));
            }
        }
        for mut running in self.dispatchers.drain(..) {
            if !running.has_ended() {
                stragglers.push(format!("destination {}", running.plan.destination.name));
                running.task.cut_off();
            }
        }
        self.queue.writer_thread.may_end();
        self.queue.reader_threads.may_end();
        if let Some(pool) = self.pool.take() {
            if pool.active_count() == 0 && stragglers.is_empty() {
                pool.join();
            } else if pool.active_count() > 0 {
                stragglers.push(format!("conversions still running: {}", pool.active_count()));
            }
        }
        stragglers
    }
}

fn source_plans(plan: &Plan) -> impl Iterator<Item = SourcePlan> {
    plan.config.source.iter().filter(|source| source.enabled).map(|source| SourcePlan {
        source: source.clone(),
        identity: plan.identity.clone(),
        max_file_bytes: plan.config.convert.max_file_bytes,
        when_full: plan.config.queue.when_full,
        archive: plan.archive.clone(),
    })
}

fn destination_plans(plan: &Plan) -> impl Iterator<Item = DestinationPlan> {
    plan.config.destination.iter().filter(|destination| destination.enabled).map(|destination| DestinationPlan {
        destination: destination.clone(),
        upload: plan.config.upload.clone(),
        proxy: plan.config.proxy.clone(),
        tls: plan.config.tls.clone(),
        secrets: plan.secrets,
    })
}

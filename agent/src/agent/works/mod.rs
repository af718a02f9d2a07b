//! What runs: sources, converters, destinations. It can be changed while it runs.
//!
//! A part that a new configuration does not concern goes on undisturbed. One that it does is drained, ended and started anew: a file that is
//! being converted at this moment is committed and recognised by its fingerprint, a report that is on its way is waited for, or given up and
//! sent again under the same id. Nothing is lost by a change, and nothing is there twice.
//!
//! [`plan`] is what a configuration asks for, part by part; [`end`] ends parts, and the whole.

mod end;
mod plan;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use waybill_ipc::protocol::{Configured, Event};
use waybill_shared::config::{self, Config, Proxy, Tls, Upload};
use waybill_shared::error::{Code, ErrorReport};
use waybill_shared::paths::Instance;
use waybill_shared::secret::Secret;

use self::plan::{DestinationPlan, destination_plans, source_plans};
pub(super) use self::plan::{Plan, SourcePlan};
use super::sources;
use crate::archive::reconvert::PoolSlot;
use crate::convert::pool::Pool;
use crate::convert::registry::Registry;
use crate::intake::{self, Claims, Neighbour, Source};
use crate::queue::{Command, Door, LettingGo, NewRoutes, Opened, Routes};
use crate::secrets;
use crate::supervisor::{Part, Spec, Starts, Supervisor};
use crate::upload::{destination, dispatcher};

/// Longest time for the queue to take other routes.
const QUEUE: Duration = Duration::from_secs(10);

/// What a plan asks for; with the destination, if it is to be started.
type BuiltDestination = (DestinationPlan, Option<Arc<dyn destination::Destination>>);

/// The dispatcher of a destination, and what it is told by.
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
            registry: Registry::of(instance),
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
        let missing = self.missing_sources(plan);
        self.start_these(plan, missing)
    }

    fn missing_sources(&self, plan: &Plan) -> Vec<SourcePlan> {
        source_plans(plan).filter(|wanted| !self.sources.iter().any(|(running, _)| running == wanted)).collect()
    }

    fn start_these(&mut self, plan: &Plan, sources: Vec<SourcePlan>) -> Result<(), ErrorReport> {
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
        for wanted in sources {
            let source = common.start(&wanted)?;
            self.sources.push((wanted, source));
        }
        Ok(())
    }

    /// Starts again what has failed, as far as it may be.
    pub(super) fn heal(&mut self, plan: &Plan) {
        if let Some(pool) = &mut self.pool {
            pool.revive();
        }
        let supervisor = self.supervisor.clone();
        let may_start = |plan: &SourcePlan| supervisor.may_start(&intake::supervised(&plan.source.name));
        self.sources.retain(|(running, source)| !source.is_finished() || !may_start(running));
        let missing: Vec<SourcePlan> = self.missing_sources(plan).into_iter().filter(|missing| may_start(missing)).collect();
        if !missing.is_empty()
            && let Err(error) = self.start_these(plan, missing)
        {
            tracing::error!(event = "source_not_started", reason = error.message, "tried again");
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
}

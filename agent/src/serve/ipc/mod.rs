//! What the agent answers over IPC.
//!
//! Every request passes the one gate ([`crate::access`]) and then does what it says. What is refused, and what changes something, is in the
//! history. Nothing here blocks a task: files, hashes and the keyring have desks of their own.

mod autostart;
mod configuration;
mod conversion;
mod destinations;
mod queue;

use std::sync::Arc;
use std::time::Duration;

use waybill_ipc::peer::Peer;
use waybill_ipc::protocol::{
    AgentState, ArchiveFilter, ArchivePage, ClientKind, Diagnosis, Hello, LogFilter, LogLine, Reply, Request, Role, StatusBrief,
    Via,
};
use waybill_ipc::server;
use waybill_shared::error::{Code, ErrorReport};
use waybill_shared::paths::Instance;

use super::answers::{self, secret};
use super::hub::{Hub, Subscription};
use crate::access::{self, Gate, Who};
use crate::agent::Live;
use crate::agent::Orders;
use crate::agent::keeper::{By, Changes};
use crate::archive::reconvert::{PoolSlot, Reconvert};
use crate::desk::Desk;
use crate::health;
use crate::history::{History, NewEntry};
use crate::queue::{Reader, Writer};
use crate::secrets;
use crate::shutdown::StopRequests;
use crate::supervisor::Supervisor;

/// Longest time for the answers of the health checks.
const HEALTH: Duration = Duration::from_secs(5);

/// What the service is made of.
pub struct Parts {
    /// Whose agent it is.
    pub instance: Instance,
    /// State and events.
    pub hub: Hub,
    /// Lists.
    pub reader: Reader,
    /// What people do with what is in the queue.
    pub writer: Writer,
    /// What people want of destinations.
    pub orders: Orders,
    /// The configuration in use.
    pub live: Live,
    /// Where wishes to change it go.
    pub changes: Changes,
    /// Who may do what.
    pub gate: Arc<Gate>,
    /// Tokens and passwords.
    pub secrets: secrets::Store,
    /// Who did what.
    pub history: History,
    /// What runs.
    pub supervisor: Supervisor,
    /// How well everything is.
    pub health: Arc<health::Registry>,
    /// Sends archived files again.
    pub reconvert: Reconvert,
    /// Converts.
    pub pool: PoolSlot,
    /// Where a client's wish to stop goes.
    pub stop: StopRequests,
}

/// The agent as its clients see it.
pub struct Service {
    parts: Parts,
    /// For a look at the PIN's file.
    gate_desk: Desk,
    /// For hashing PINs.
    pin_desk: Desk,
    /// For the keyring and the files of secrets.
    secret_desk: Desk,
    /// For the configuration's file and its backups.
    config_desk: Desk,
    /// For reading the log, and for bundles.
    log_desk: Desk,
    /// For looking at the whole of the store, and for copies of it.
    store_desk: Desk,
    /// For what the OS keeps about autostart.
    autostart_desk: Desk,
    /// For files that could not be converted, which go back to their sources.
    error_desk: Desk,
    /// For files that clients want tried.
    trial_desk: Desk,
}

/// One connection.
pub struct Session {
    access: Arc<access::Session>,
    who: String,
}

impl Service {
    /// Opens its desks.
    ///
    /// # Errors
    /// The OS gives no thread.
    pub fn new(parts: Parts) -> Result<Self, ErrorReport> {
        Ok(Self {
            parts,
            gate_desk: Desk::open("gate")?,
            pin_desk: Desk::open("pins")?,
            secret_desk: Desk::open("secrets")?,
            config_desk: Desk::open("config-read")?,
            log_desk: Desk::open("log-read")?,
            store_desk: Desk::open("store")?,
            autostart_desk: Desk::open("autostart")?,
            error_desk: Desk::open("conversion-errors")?,
            trial_desk: Desk::open("conversion-trials")?,
        })
    }

    async fn allow(&self, session: &Session, needed: Role) -> Result<(), ErrorReport> {
        if needed == Role::Viewer {
            return Ok(());
        }
        let (gate, access) = (Arc::clone(&self.parts.gate), Arc::clone(&session.access));
        self.gate_desk.run(move || gate.require(&access, needed)).await?
    }

    fn note_refused(&self, session: &Session, request: &Request, error: &ErrorReport) {
        let (action, target) = access::described(request);
        tracing::warn!(event = "request_refused", action, target, who = session.who, code = %error.code, reason = error.message, "a request was refused");
        self.parts.history.note(NewEntry::new(&session.who, Via::Ipc, action, target).refused(error));
    }

    /// What a change came to, for the history.
    fn note(&self, session: &Session, action: &str, target: &str, result: Result<(), &ErrorReport>) {
        let entry = NewEntry::new(&session.who, Via::Ipc, action, target);
        self.parts.history.note(access::came_to(entry, result));
    }

    fn by(session: &Session) -> By {
        By { who: session.who.clone(), via: Via::Ipc }
    }

    async fn answer(&self, session: &Session, request: Request) -> Result<Reply, ErrorReport> {
        let parts = &self.parts;
        match request {
            Request::Status => Ok(Reply::Status(Box::new(parts.hub.snapshot()))),
            Request::Deliveries { filter, page } => {
                parts.reader.deliveries(filter, page).await.map(Reply::Deliveries).map_err(|error| error.report())
            }
            Request::Delivery { entry } => {
                let details = parts.reader.entry(entry).await;
                details.map(|details| Reply::Delivery(Box::new(details))).map_err(|error| error.report())
            }
            Request::ReportText { entry, offset } => {
                parts.reader.report(entry, offset).await.map(Reply::ReportText).map_err(|error| error.report())
            }
            Request::Lanes => parts.reader.lanes().await.map(Reply::Lanes).map_err(|error| error.report()),
            Request::Losses => parts.reader.losses().await.map(Reply::Losses).map_err(|error| error.report()),
            Request::RetryDeliveries { which } => self.retry(session, which).await,
            Request::DiscardDeliveries { which, why } => self.discard(session, which, &why).await,
            Request::HoldLane { priority, held } => self.hold_lane(session, priority, held).await,
            Request::HoldDestination { name, held } => self.hold_destination(session, &name, held).await,
            Request::ResetBreaker { name } => self.reset_breaker(session, &name).await,
            Request::LossesSeen => self.losses_seen(session).await,
            Request::Fsck => self.fsck(session).await.map(Reply::Fsck),
            Request::BackupQueue => self.backup_queue(session).await,
            Request::ConversionErrors { page } => {
                parts.reader.conversion_errors(page).await.map(Reply::ConversionErrors).map_err(|error| error.report())
            }
            Request::RetryConversions { filter, before } => self.retry_conversions(session, filter, before).await,
            Request::Converters => Ok(Reply::Converters(self.converters())),
            Request::TryConversion { converter, file_name, bytes, arguments } => {
                self.try_conversion(converter, file_name, bytes, arguments).await
            }
            Request::Tasks => Ok(Reply::Tasks(parts.supervisor.list().into_iter().map(Into::into).collect())),
            Request::Health { fresh } => Ok(Reply::Health(parts.health.report(fresh, HEALTH).await)),
            Request::History { filter, page } => parts.history.list(&filter, page).await.map(Reply::History),
            Request::Logs { filter, limit } => self.logs(filter, limit).await.map(Reply::Logs),
            Request::Config => self.config().await,
            Request::ConfigBackups => self.backups().await,
            Request::ConfigText { version } => self.text(version).await.map(Reply::ConfigText),
            Request::ConfigDiff { from, to } => self.diff(from, to).await,
            Request::ConfigChange(change) => parts.changes.change(change, Self::by(session)).await.map(Reply::ConfigChanged),
            Request::ConfigRestore { id, base } => {
                parts.changes.restore(id, base, Self::by(session)).await.map(Reply::ConfigChanged)
            }
            Request::Secrets => self.secret_rows(None).await.map(Reply::Secrets),
            Request::SetSecret { name, value } => self.set_secret(session, &name, Some(value)).await,
            Request::ClearSecret { name } => self.set_secret(session, &name, None).await,
            Request::TestDestination { name, edits, token } => self.test(session, name, edits, token).await,
            Request::TestDestinations { names } => self.test_all(session, names).await,
            Request::RegisterDestination { name, token } => self.register(session, name, token).await,
            Request::Processes { destination } => self.processes(session, destination).await,
            Request::Access => self.access(session).await,
            Request::Elevate { pin } => {
                self.pin(session, "access.elevate", move |gate, own| gate.elevate(own, &secret(&pin))).await
            }
            Request::DropRole => {
                session.access.drop_role();
                self.note(session, "access.drop_role", "engineer", Ok(()));
                self.access(session).await
            }
            Request::SetPin { old, new } => {
                let change =
                    move |gate: &Gate, own: &access::Session| gate.set_pin(own, old.as_ref().map(secret).as_ref(), &secret(&new));
                self.pin(session, "access.set_pin", change).await
            }
            Request::ClearPin { old } => {
                self.pin(session, "access.clear_pin", move |gate, own| gate.clear_pin(own, Some(&secret(&old)))).await
            }
            Request::Diagnose => self.diagnose(session).await.map(Reply::Diagnosis),
            Request::Autostart { enable } => self.autostart(session, enable).await.map(Reply::Autostart),
            Request::Reconvert { filter, dry_run, page } => self.reconvert(session, filter, dry_run, page).await,
            Request::Subscribe | Request::Unsubscribe => {
                Err(ErrorReport::new(Code::Internal, "subscriptions are answered by the server itself"))
            }
        }
    }

    async fn reconvert(
        &self,
        session: &Session,
        filter: ArchiveFilter,
        dry_run: bool,
        page: ArchivePage,
    ) -> Result<Reply, ErrorReport> {
        let (action, target) = access::described(&Request::Reconvert { filter: filter.clone(), dry_run, page: page.clone() });
        let result = self.parts.reconvert.run(filter, dry_run, page).await;
        if !dry_run {
            let mut entry = NewEntry::new(&session.who, Via::Ipc, action, target);
            if let Ok(done) = &result {
                let reports: u32 = done.files.iter().map(|file| file.reports).sum();
                entry = entry.message(format!("{} files, {reports} reports queued", done.files.len()));
            }
            self.parts.history.note(access::came_to(entry, result.as_ref().map(|_| ())));
        }
        result.map(Reply::Reconverted)
    }

    async fn logs(&self, filter: LogFilter, limit: u32) -> Result<Vec<LogLine>, ErrorReport> {
        let folder = self.parts.instance.logs();
        self.log_desk.run(move || answers::logs(&folder, &filter, limit)).await?
    }

    async fn access(&self, session: &Session) -> Result<Reply, ErrorReport> {
        let (gate, own) = (Arc::clone(&self.parts.gate), Arc::clone(&session.access));
        self.gate_desk.run(move || gate.status(&own)).await.map(Reply::Access)
    }

    async fn pin(
        &self,
        session: &Session,
        action: &str,
        work: impl FnOnce(&Gate, &access::Session) -> Result<waybill_ipc::protocol::AccessStatus, ErrorReport> + Send + 'static,
    ) -> Result<Reply, ErrorReport> {
        let (gate, own) = (Arc::clone(&self.parts.gate), Arc::clone(&session.access));
        let result = self.pin_desk.run(move || work(&gate, &own)).await.and_then(|done| done);
        self.note(session, action, "engineer", result.as_ref().map(|_| ()));
        result.map(Reply::Access)
    }

    async fn diagnose(&self, session: &Session) -> Result<Diagnosis, ErrorReport> {
        let health = self.parts.health.report(true, HEALTH).await;
        let (instance, snapshot) = (self.parts.instance.clone(), self.parts.hub.snapshot());
        let secrets = self.known_secrets().await;
        let result = self
            .log_desk
            .run(move || {
                crate::diagnose::write(
                    &instance,
                    &crate::diagnose::Known { snapshot: Some(snapshot), health: Some(health), secrets },
                )
            })
            .await
            .and_then(|written| written);
        let place = result.as_ref().map_or("", |diagnosis| diagnosis.bundle.as_str());
        self.note(session, "diagnose", place, result.as_ref().map(|_| ()));
        result
    }
}

impl server::Service for Service {
    type Updates = Subscription;
    type Session = Session;

    fn session(&self, peer: &Peer, hello: &Hello) -> Session {
        let kind = match hello.kind {
            ClientKind::Window => "window",
            ClientKind::Cli => "command line",
            ClientKind::Watchdog => "watchdog",
            ClientKind::Agent => "agent",
        };
        let process = peer.pid.map_or_else(String::new, |pid| format!(" (process {pid})"));
        let owner = if peer.is_owner { Who::Owner } else { Who::Group };
        Session { access: Arc::new(access::Session::begin(owner)), who: format!("{}, {kind}{process}", peer.user) }
    }

    fn brief(&self) -> StatusBrief {
        self.parts.hub.with_snapshot(|snapshot| StatusBrief {
            state: snapshot.agent.state,
            waiting: snapshot.queue.waiting,
            sent: snapshot.delivered(),
            failed: snapshot.destinations.iter().map(|d| d.failed).sum(),
        })
    }

    async fn request(&self, session: &Session, request: Request) -> Result<Reply, ErrorReport> {
        if let Err(error) = self.allow(session, access::needed(&request)).await {
            self.note_refused(session, &request, &error);
            return Err(error);
        }
        // Boxed: a request's future is held by every connection.
        Box::pin(self.answer(session, request)).await
    }

    fn refused(&self, session: &Session, request: &Request, error: &ErrorReport) {
        self.note_refused(session, request, error);
    }

    fn subscribe(&self) -> Result<Subscription, ErrorReport> {
        self.parts.hub.subscribe()
    }

    fn stop(&self, session: &Session) -> Result<(), ErrorReport> {
        let already = self.parts.hub.with_snapshot(|snapshot| snapshot.agent.state == AgentState::Stopping);
        let allowed = self.parts.gate.require(&session.access, access::STOP);
        self.note(session, "agent.stop", &self.parts.instance.name, allowed.as_ref().copied());
        allowed?;
        tracing::info!(event = "stop_asked", by = session.who, already, "asked to stop over IPC");
        self.parts.stop.ask(&session.who);
        Ok(())
    }
}

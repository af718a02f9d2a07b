//! The one way from a command to the agent's configuration, secrets and history, whether an agent runs or not.
//!
//! A command says what it wants as a [`Request`] and gets its [`Reply`]. While an agent of the instance runs, that agent answers, over
//! IPC; while none runs, [`Offline`] answers by the files, through the same gate and with the same checks. So every command is written once.
//!
//! Where it matters to the person, [`Door::is_running`] says which one answered. A request that needs a role above the session's is
//! preceded by the PIN, if there is one to give ([`Pin`]).

mod offline;

use waybill_ipc::client::Client;
use waybill_ipc::protocol::{Reply, Request, Role};
use waybill_shared::error::{Code, ErrorReport};
use waybill_shared::paths::Instance;

use super::pin::Pin;
use super::{connect, status::unexpected};
use crate::access;
use crate::serve::answers::secret_text;
use offline::Offline;

/// An open door.
pub(in crate::cli) struct Door<'a> {
    way: Way,
    pin: &'a Pin,
}

enum Way {
    /// An agent runs, and this is the conversation with it.
    Running(Box<Client>),
    /// None runs.
    Offline(Box<Offline>),
}

impl<'a> Door<'a> {
    /// Connects to the instance's agent, or finds that there is none.
    ///
    /// # Errors
    /// An agent is there and cannot be talked to; what is pinned cannot be read.
    pub(super) async fn open(instance: &Instance, pin: &'a Pin) -> Result<Self, ErrorReport> {
        let way = match connect(instance).await {
            Ok(client) => Way::Running(Box::new(client)),
            Err(error) if error.code == Code::AgentNotRunning => Way::Offline(Box::new(Offline::open(instance)?)),
            Err(error) => return Err(error),
        };
        Ok(Self { way, pin })
    }

    /// True if an agent answers.
    pub(super) fn is_running(&self) -> bool {
        matches!(self.way, Way::Running(_))
    }

    /// Asks, and gives the PIN first if that is needed and there is one.
    ///
    /// # Errors
    /// The agent's own; without an agent the same, and `AgentNotRunning` for what only a running one can do.
    pub(in crate::cli) async fn request(&self, request: Request) -> Result<Reply, ErrorReport> {
        let needed = access::needed(&request);
        if needed > Role::Viewer && !matches!(request, Request::Elevate { .. }) {
            self.elevate(needed).await?;
        }
        self.ask(request).await
    }

    async fn elevate(&self, needed: Role) -> Result<(), ErrorReport> {
        let status = match self.ask(Request::Access).await? {
            Reply::Access(status) => status,
            other => return Err(unexpected(&other)),
        };
        if status.role >= needed || !status.pin_set {
            return Ok(());
        }
        // Without one, the request itself says what is missing.
        if let Some(pin) = self.pin.get()? {
            self.ask(Request::Elevate { pin: secret_text(&pin) }).await?;
        }
        Ok(())
    }

    async fn ask(&self, request: Request) -> Result<Reply, ErrorReport> {
        match &self.way {
            Way::Running(client) => client.request(request).await.map_err(|error| error.report()),
            Way::Offline(offline) => offline.request(request).await,
        }
    }
}

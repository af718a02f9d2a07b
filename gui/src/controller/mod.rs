//! Between the window and the agent: a thread of its own that talks, so that no frame ever waits.
//!
//! It owns the [`Model`]. Whatever happens (a command, an update, an attempt that ended, a second that passed) is one event of
//! one loop, which changes the model and shows the window a finished copy. The window's end is the trait [`Screen`], so that
//! all of this is tested without a window.

use std::io;
use std::sync::Arc;
use std::sync::mpsc as blocking;
use std::time::Duration;

use tokio::sync::mpsc;
use waybill_shared::paths::Instance;

use crate::command::Command;
use crate::launch::Launcher;
use crate::model::Model;

mod backoff;
mod pace;
mod run;

/// Commands that wait; each is taken within a moment, so that a full queue means a fault.
const COMMANDS: usize = 32;

/// How long a window that closes waits for the conversation to end.
const FAREWELL: Duration = Duration::from_secs(2);

/// Where the controller shows what it knows.
pub trait Screen: Send + 'static {
    /// Shows this from now on. Called only when something changed, at most five times a second; must not wait.
    fn show(&mut self, model: Arc<Model>);
}

/// The window's end of the controller. Dropping it ends the conversation and the thread.
pub struct Controller {
    commands: Option<mpsc::Sender<Command>>,
    ended: blocking::Receiver<()>,
}

/// The controller does not take commands; its fault, not the person's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the window's connection has stopped working")]
pub struct Unavailable;

impl Controller {
    /// Starts to talk to the agent of an instance.
    ///
    /// # Errors
    /// The OS gives no thread.
    pub fn start(instance: Instance, launcher: impl Launcher, screen: impl Screen) -> io::Result<Self> {
        let (commands, taken) = mpsc::channel(COMMANDS);
        let (ended_in, ended) = blocking::sync_channel(1);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        std::thread::Builder::new().name("controller".to_owned()).spawn(move || {
            runtime.block_on(run::until_closed(instance, launcher, screen, taken));
            // A call into the OS that hangs may not keep the window from closing.
            runtime.shutdown_background();
            let _nobody_waits = ended_in.try_send(());
        })?;
        Ok(Self { commands: Some(commands), ended })
    }

    /// Asks for something; the outcome is shown in the model.
    ///
    /// # Errors
    /// [`Unavailable`] if the controller has ended or takes nothing any more.
    pub fn ask(&self, command: Command) -> Result<(), Unavailable> {
        self.commands.as_ref().ok_or(Unavailable)?.try_send(command).map_err(|_| Unavailable)
    }
}

impl Drop for Controller {
    fn drop(&mut self) {
        self.commands = None;
        if self.ended.recv_timeout(FAREWELL) == Err(blocking::RecvTimeoutError::Timeout) {
            tracing::warn!(event = "controller_slow", "the conversation did not end in time; it ends with the process");
        }
    }
}

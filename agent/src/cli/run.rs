//! `run`: the agent in the foreground.

use std::time::Duration;

use clap::Args;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use waybill_shared::config::Log;
use waybill_shared::error::{Code, ErrorReport, Exit};
use waybill_shared::fs::atomic;
use waybill_shared::fs::lock::Lock;
use waybill_shared::paths::Instance;
use waybill_shared::text;

use super::output;
use crate::agent;
use crate::platform::notify::Notify;
use crate::platform::{StopSignals, session_end};
use crate::service_manager;
use crate::shutdown::{self, Stopped};
use crate::supervisor;

/// Threads for tasks; blocking work has threads of its own.
const TASK_THREADS: usize = 2;

#[derive(Debug, Args)]
#[command(
    after_help = "Exit codes: 0 stopped, and everything ended by itself; 10 stopped, and something was cut off: it is done at the next start,
nothing is lost; 12 it wants to be started again. Not started: 2 command line, 4 an agent of this instance runs already,
5 configuration, 7 store or disk. Why stands in logs/agent.log of the data folder too."
)]
pub(super) struct RunArgs {
    /// Write the log to standard output as well, a JSON object a line: for containers and other supervisors. The line `ready` stays
    /// the one that is exactly that
    #[arg(long)]
    headless: bool,
}

pub(super) fn main(instance: Instance, args: &RunArgs) -> Exit {
    if args.headless {
        crate::log::also_to_stdout();
    }
    let (stop, asked) = shutdown::channel();
    serve(instance, stop, asked, true, || output::line("ready"))
}

/// An agent that does not even get as far as its log leaves there why: nobody may see what it says at a start by the session or the service
/// manager. Not beside another agent, whose log that is.
fn leave_a_trace(instance: &Instance, error: &ErrorReport) {
    if tracing::dispatcher::has_been_set() || !instance.data.is_dir() {
        return;
    }
    let Ok(_alone) = Lock::acquire(&instance.lock(), "waybill-agent, which could not start") else { return };
    if let Ok(_log) = crate::log::start(&instance.logs(), &Log::default()) {
        tracing::error!(event = crate::log::AGENT_NOT_STARTED, code = %error.code, reason = error.message, fix = error.fix, "it could not start");
    }
}

/// Runs an agent until it has stopped. `signals` tells whether those of a terminal and of the OS are heard: a service manager that calls has
/// its own way, and in a service of Windows they are about sessions of people.
pub(super) fn serve(
    instance: Instance,
    stop: shutdown::StopRequests,
    asked: shutdown::StopAsked,
    signals: bool,
    ready: impl FnOnce(),
) -> Exit {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(TASK_THREADS).thread_name("task").enable_all().build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return output::fail(&ErrorReport::new(Code::Internal, format!("no runtime: {error}"))),
    };
    supervisor::panic::install();
    warn_of_what_is_missing(&instance);
    let manager = Notify::from_environment().unwrap_or_else(|trouble| {
        output::warn(&trouble);
        Notify::default()
    });
    let traced = instance.clone();
    let result = runtime.block_on(async {
        // On a thread of the runtime: it goes on while the agent is opened here, and not while the agent's tasks hang.
        let (serves, is_ready) = oneshot::channel();
        let mut beside = JoinSet::new();
        let own = instance.clone();
        beside.spawn(service_manager::accompany(manager.clone(), is_ready, asked.clone(), move || agent::longest_stop(&own)));
        let heard = signals.then(StopSignals::listen).transpose();
        let mut heard = heard.map_err(|error| ErrorReport::new(Code::Internal, format!("signals cannot be heard: {error}")))?;
        let (on_signal, on_session_end) = (stop.clone(), stop.clone());
        // A service is told by its manager.
        if signals && let Err(error) = session_end::watch(move || on_session_end.session_ends("the session")) {
            output::warn(&format!("the end of the session will not be heard: {error}"));
        }
        let listening = async {
            let Some(signals) = &mut heard else { return std::future::pending().await };
            loop {
                let signal = signals.next().await;
                if signal.session_ends { on_signal.session_ends(signal.name) } else { on_signal.ask(signal.name) }
            }
        };
        tokio::select! {
            result = agent::run(instance, stop, asked, |progress| {
                ready();
                // Nobody waits for it only if nobody has to be told.
                let _unwanted = serves.send(progress);
            }) => result,
            () = listening => unreachable!("it listens for ever"),
        }
    });
    // A stop that was over before anybody could be told has been one all the same.
    manager.stopping();
    // What did not end in time does not hold up the exit: nothing of it is needed.
    runtime.shutdown_timeout(Duration::ZERO);
    match result {
        Ok(Stopped { gave_up: Some(why), .. }) => output::fail(&ErrorReport::new(Code::AgentHangs, why)),
        Ok(stopped) if stopped.is_clean() => Exit::Ok,
        Ok(Stopped { cut_off, stragglers, .. }) => {
            let part = |words: &str, names: Vec<String>| (!names.is_empty()).then(|| format!("{words}: {}", names.join(", ")));
            let parts = [part("cut off", cut_off), part("what did not even let go", stragglers)];
            let message = format!("stopped; {}", parts.into_iter().flatten().collect::<Vec<_>>().join("; "));
            output::fail(&ErrorReport::new(Code::StopForced, message))
        }
        Err(error) => {
            leave_a_trace(&traced, &error);
            output::fail(&error)
        }
    }
}

/// What is no fault and still hardly meant. A configuration with faults is told of by the start itself.
fn warn_of_what_is_missing(instance: &Instance) {
    let Ok(active) = agent::look_at_config(instance) else { return };
    let config = &active.effective.config;
    if !active.configured {
        output::warn("this station is not set up: `waybill-agent init` does it");
    } else if config.source.iter().all(|source| !source.enabled) {
        output::warn("no source is configured: no file is taken");
    }
    if config.destination.iter().all(|destination| !destination.enabled) {
        output::warn("no destination is configured: reports are stored and wait until there is one");
    }
    if let Some(problem) = &active.problem {
        output::warn(&format!("{} ({})", problem.message, problem.code));
    }
    let base = atomic::folder_of(&instance.config);
    for source in config.source.iter().filter(|source| source.enabled) {
        let folder = base.join(&source.folder);
        if !folder.is_dir() {
            output::warn(&format!(
                "the folder of source {:?} is not there: {}; waiting for it",
                source.name,
                text::path(&folder)
            ));
        }
    }
}

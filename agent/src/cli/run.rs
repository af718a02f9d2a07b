//! `run`: the agent in the foreground.

use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::JoinSet;
use waybill_shared::error::{Code, ErrorReport, Exit};
use waybill_shared::fs::atomic;
use waybill_shared::paths::Instance;
use waybill_shared::text;

use super::output;
use crate::agent;
use crate::platform::StopSignals;
use crate::platform::notify::Notify;
use crate::service_manager;
use crate::shutdown;

/// Threads for tasks; blocking work has threads of its own.
const TASK_THREADS: usize = 2;

pub(super) fn main(instance: Instance) -> Exit {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(TASK_THREADS).thread_name("task").enable_all().build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return output::fail(&ErrorReport::new(Code::Internal, format!("no runtime: {error}"))),
    };
    warn_of_what_is_missing(&instance);
    let (stop, asked) = shutdown::channel();
    let manager = Notify::from_environment().unwrap_or_else(|trouble| {
        output::warn(&trouble);
        Notify::default()
    });
    let result = runtime.block_on(async {
        // On a thread of the runtime: it goes on while the agent is opened here, and not while the agent's tasks hang.
        let (serves, ready) = oneshot::channel();
        let mut beside = JoinSet::new();
        beside.spawn(service_manager::accompany(manager.clone(), ready, asked.clone()));
        let mut signals = StopSignals::listen()
            .map_err(|error| ErrorReport::new(Code::Internal, format!("signals cannot be heard: {error}")))?;
        let on_signal = stop.clone();
        let listening = async {
            loop {
                let name = signals.next().await;
                on_signal.ask(name);
            }
        };
        tokio::select! {
            result = agent::run(instance, stop, asked, |progress| {
                output::line("ready");
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
        Ok(stopped) if stopped.stragglers.is_empty() => Exit::Ok,
        Ok(stopped) => {
            let named = stopped.stragglers.join(", ");
            output::fail(&ErrorReport::new(Code::StopForced, format!("stopped; what did not end in time: {named}")))
        }
        Err(error) => output::fail(&error),
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

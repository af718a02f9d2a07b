//! Which role each request needs, and what the history says of one.

use waybill_ipc::protocol::{ArchiveFilter, ErrorFilter, Request, Role, Which};
use waybill_shared::error::{Code, ErrorReport};
use waybill_shared::text::shortened;

use crate::history::NewEntry;

/// The role that a request needs. Every way into the agent asks here, and nowhere else.
#[must_use]
pub fn needed(request: &Request) -> Role {
    match request {
        Request::Status
        | Request::Deliveries { .. }
        | Request::Delivery { .. }
        | Request::ReportText { .. }
        | Request::Lanes
        | Request::Losses
        | Request::ConversionErrors { .. }
        | Request::Subscribe
        | Request::Unsubscribe
        | Request::Health { .. }
        | Request::Tasks
        | Request::History { .. }
        | Request::Logs { .. }
        | Request::Config
        | Request::ConfigBackups
        | Request::ConfigText { .. }
        | Request::ConfigDiff { .. }
        | Request::Secrets
        | Request::Access
        | Request::Converters
        // It is the client's own file, and nothing becomes of it.
        | Request::TryConversion { .. }
        // Whoever knows the PIN may give it, and everybody may give a role back.
        | Request::Elevate { .. }
        | Request::DropRole => Role::Viewer,
        Request::Diagnose
        | Request::Autostart { enable: None }
        | Request::RetryDeliveries { .. }
        | Request::DiscardDeliveries { .. }
        | Request::HoldLane { .. }
        | Request::HoldDestination { .. }
        | Request::ResetBreaker { .. }
        | Request::LossesSeen
        | Request::Fsck
        | Request::BackupQueue
        | Request::Reconvert { .. }
        | Request::RetryConversions { .. }
        // Calls to a server with the station's own token, which change nothing.
        | Request::TestDestinations { .. }
        | Request::Processes { .. } => Role::Operator,
        // Asking a destination as it is configured changes nothing; with other values it sends the token elsewhere.
        Request::TestDestination { edits, token, .. } => {
            if edits.is_empty() && token.is_none() { Role::Operator } else { Role::Engineer }
        }
        Request::ConfigChange(_)
        | Request::ConfigRestore { .. }
        | Request::SetSecret { .. }
        | Request::ClearSecret { .. }
        | Request::RegisterDestination { .. }
        | Request::Autostart { enable: Some(_) }
        | Request::SetPin { .. }
        | Request::ClearPin { .. } => Role::Engineer,
    }
}

/// The role that stopping the agent needs.
pub const STOP: Role = Role::Operator;

/// What a request is about, in the words of the history. The texts hold no secret.
#[must_use]
pub fn described(request: &Request) -> (&'static str, String) {
    match request {
        Request::Status => ("status", String::new()),
        Request::Deliveries { .. } => ("queue.list", String::new()),
        Request::Delivery { entry } | Request::ReportText { entry, .. } => ("queue.show", format!("report {entry}")),
        Request::Lanes => ("queue.lanes", String::new()),
        Request::Losses => ("queue.losses", String::new()),
        Request::RetryDeliveries { which: chosen } => ("queue.retry", which(chosen)),
        Request::DiscardDeliveries { which: chosen, .. } => ("queue.discard", which(chosen)),
        Request::HoldLane { priority, held } => (if *held { "lane.pause" } else { "lane.resume" }, format!("lane {priority}")),
        Request::HoldDestination { name, held } => (if *held { "destination.pause" } else { "destination.resume" }, name.clone()),
        Request::ResetBreaker { name } => ("destination.reset_breaker", name.clone()),
        Request::LossesSeen => ("queue.losses_seen", String::new()),
        Request::Fsck => ("fsck", String::new()),
        Request::BackupQueue => ("queue.backup", String::new()),
        Request::ConversionErrors { .. } => ("errors.list", String::new()),
        Request::Subscribe | Request::Unsubscribe => ("events", String::new()),
        Request::Health { .. } => ("health", String::new()),
        Request::Tasks => ("tasks", String::new()),
        Request::History { .. } => ("history.list", String::new()),
        Request::Logs { .. } => ("logs", String::new()),
        Request::Config | Request::ConfigBackups | Request::ConfigText { .. } | Request::ConfigDiff { .. } => {
            ("config.show", String::new())
        }
        Request::ConfigChange(change) => {
            let places: Vec<&str> = change.edits.iter().map(waybill_shared::config::Edit::place).collect();
            ("config.set", shortened(&places.join(", "), 500))
        }
        Request::ConfigRestore { id, .. } => ("config.restore", id.clone()),
        Request::Secrets => ("secret.status", String::new()),
        Request::SetSecret { name, .. } => ("secret.set", name.clone()),
        Request::ClearSecret { name } => ("secret.clear", name.clone()),
        Request::TestDestination { name, .. } => ("destination.test", name.clone()),
        Request::TestDestinations { names } => ("destination.test", waybill_shared::text::shortened(&names.join(", "), 500)),
        Request::RegisterDestination { name, .. } => ("destination.register", name.clone()),
        Request::Processes { destination } => ("destination.processes", destination.clone()),
        Request::Access => ("access.status", String::new()),
        Request::Elevate { .. } => ("access.elevate", String::new()),
        Request::DropRole => ("access.drop_role", String::new()),
        Request::SetPin { .. } => ("access.set_pin", String::new()),
        Request::ClearPin { .. } => ("access.clear_pin", String::new()),
        Request::Diagnose => ("diagnose", String::new()),
        Request::Reconvert { filter, .. } => ("archive.reconvert", wanted(filter)),
        Request::RetryConversions { filter, .. } => ("errors.retry", errors(filter)),
        Request::Converters => ("converters.list", String::new()),
        Request::TryConversion { file_name, .. } => ("converters.test", shortened(file_name, 200)),
        Request::Autostart { enable: None } => ("autostart.status", String::new()),
        Request::Autostart { enable: Some(true) } => ("autostart.enable", String::new()),
        Request::Autostart { enable: Some(false) } => ("autostart.disable", String::new()),
    }
}

/// Which files that could not be converted somebody wants, in the words of the history.
#[must_use]
pub fn errors(filter: &ErrorFilter) -> String {
    let of = filter.source.as_ref().map_or_else(String::new, |source| format!(" of {}", shortened(source, 100)));
    match filter.keys.as_slice() {
        [] => format!("all files{of}"),
        [one] => format!("file {one}{of}"),
        keys => format!("{} files{of}", keys.len()),
    }
}

/// On which reports somebody acts, in the words of the history.
#[must_use]
pub fn which(which: &Which) -> String {
    match which {
        Which::Report { entry, destination: None } => format!("report {entry}"),
        Which::Report { entry, destination: Some(destination) } => format!("report {entry} to {destination}"),
        Which::All { filter, .. } => {
            let state = filter.state.map_or_else(|| "failed".to_owned(), |state| format!("{state:?}").to_lowercase());
            let to = filter.destination.as_ref().map_or_else(String::new, |name| format!(" to {name}"));
            let lane = filter.priority.map_or_else(String::new, |lane| format!(" in lane {lane}"));
            let search = filter.search.as_ref().map_or_else(String::new, |search| {
                format!(" with {} {}…", format!("{:?}", search.by).to_lowercase(), shortened(&search.text, 100))
            });
            format!("all that are {state}{to}{lane}{search}")
        }
    }
}

/// Which archived files are meant, in the words of the command line.
fn wanted(filter: &ArchiveFilter) -> String {
    let moment = |ms: &i64| jiff::Timestamp::from_millisecond(*ms).map_or_else(|_| ms.to_string(), |at| at.to_string());
    let parts = [
        ("source", filter.source.clone()),
        ("from", filter.since_ms.as_ref().map(moment)),
        ("to", filter.until_ms.as_ref().map(moment)),
        ("converter", filter.converter.clone()),
        ("file", filter.file.clone()),
    ];
    let parts: Vec<String> = parts.into_iter().filter_map(|(name, value)| Some(format!("{name} {}", value?))).collect();
    let all = if parts.is_empty() { "everything".to_owned() } else { parts.join(", ") };
    shortened(&all, 500)
}

/// An entry of the history with what came of it: done, not allowed, or gone wrong.
#[must_use]
pub fn came_to(entry: NewEntry, result: Result<(), &ErrorReport>) -> NewEntry {
    match result {
        Ok(()) => entry,
        Err(error) if is_refusal(error.code) => entry.refused(error),
        Err(error) => entry.failed(error),
    }
}

/// True for errors by which something was not allowed, rather than went wrong.
#[must_use]
pub fn is_refusal(code: Code) -> bool {
    matches!(
        code,
        Code::RoleMissing
            | Code::PinWrong
            | Code::PinLocked
            | Code::PinInvalid
            | Code::ConfigInvalid
            | Code::ConfigStale
            | Code::ConfigPinned
            | Code::DestinationHasUnsent
            | Code::RequestInvalid
            | Code::NotFound
            | Code::TooManyRequests
    )
}

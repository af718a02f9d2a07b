//! Which role each request needs, and what the history says of one.

use waybill_ipc::protocol::{ArchiveFilter, Request, Role};
use waybill_shared::error::{Code, ErrorReport};

use crate::history::NewEntry;

/// The role that a request needs. Every way into the agent asks here, and nowhere else.
#[must_use]
pub fn needed(request: &Request) -> Role {
    match request {
        Request::Status
        | Request::Deliveries { .. }
        | Request::ConversionErrors { .. }
        | Request::Subscribe
        | Request::Unsubscribe
        | Request::Health { .. }
        | Request::History { .. }
        | Request::Logs { .. }
        | Request::Config
        | Request::ConfigBackups
        | Request::ConfigText { .. }
        | Request::ConfigDiff { .. }
        | Request::Secrets
        | Request::Access
        // Whoever knows the PIN may give it, and everybody may give a role back.
        | Request::Elevate { .. }
        | Request::DropRole => Role::Viewer,
        Request::Diagnose | Request::Reconvert { .. } => Role::Operator,
        // Asking a destination as it is configured changes nothing; with other values it sends the token elsewhere.
        Request::TestDestination { edits, token, .. } => {
            if edits.is_empty() && token.is_none() { Role::Operator } else { Role::Engineer }
        }
        Request::ConfigChange(_)
        | Request::ConfigRestore { .. }
        | Request::SetSecret { .. }
        | Request::ClearSecret { .. }
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
        Request::ConversionErrors { .. } => ("errors.list", String::new()),
        Request::Subscribe | Request::Unsubscribe => ("events", String::new()),
        Request::Health { .. } => ("health", String::new()),
        Request::History { .. } => ("history.list", String::new()),
        Request::Logs { .. } => ("logs", String::new()),
        Request::Config | Request::ConfigBackups | Request::ConfigText { .. } | Request::ConfigDiff { .. } => {
            ("config.show", String::new())
        }
        Request::ConfigChange(change) => {
            let places: Vec<&str> = change.edits.iter().map(waybill_shared::config::Edit::place).collect();
            ("config.set", waybill_shared::text::shortened(&places.join(", "), 500))
        }
        Request::ConfigRestore { id, .. } => ("config.restore", id.clone()),
        Request::Secrets => ("secret.status", String::new()),
        Request::SetSecret { name, .. } => ("secret.set", name.clone()),
        Request::ClearSecret { name } => ("secret.clear", name.clone()),
        Request::TestDestination { name, .. } => ("destination.test", name.clone()),
        Request::Access => ("access.status", String::new()),
        Request::Elevate { .. } => ("access.elevate", String::new()),
        Request::DropRole => ("access.drop_role", String::new()),
        Request::SetPin { .. } => ("access.set_pin", String::new()),
        Request::ClearPin { .. } => ("access.clear_pin", String::new()),
        Request::Diagnose => ("diagnose", String::new()),
        Request::Reconvert { filter, .. } => ("archive.reconvert", wanted(filter)),
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
    waybill_shared::text::shortened(&all, 500)
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

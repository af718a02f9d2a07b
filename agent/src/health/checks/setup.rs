//! Whether the station is set up, and whether it runs with the configuration that lies there.

use waybill_shared::error::{Code, ErrorReport};

use crate::health::{Check, Finding, Role};

/// What the agent runs with.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SetupStatus {
    /// Sources in use.
    pub sources: usize,
    /// Destinations in use.
    pub destinations: usize,
    /// Reports that wait for a destination, as long as there is none.
    pub waiting: u64,
    /// Why the configuration as it lies there is not in use; the last good one is.
    pub rejected: Option<ErrorReport>,
}

/// The check `setup`.
pub fn check(status: impl Fn() -> SetupStatus + Send + Sync + 'static) -> Check {
    Check::new("setup", move || std::future::ready(Ok(judge(&status())))).role(Role::Setup).code(Code::ConfigInvalid).cheap()
}

fn judge(status: &SetupStatus) -> Finding {
    let missing = |what: &str, fix: &str| ErrorReport::new(Code::ConfigInvalid, format!("not set up: {what}")).with_fix(fix);
    let mut finding = match (status.sources, status.destinations) {
        (0, 0) => Finding::unhealthy(missing("there is no source and no destination", "Add a [[source]] and a [[destination]]")),
        (_, 0) => {
            let waiting = match status.waiting {
                0 => "reports are queued and wait until there is one".to_owned(),
                1 => "1 report waits until there is one".to_owned(),
                many => format!("{many} reports wait until there is one"),
            };
            Finding::unhealthy(missing(&format!("there is no destination; {waiting}"), "Add a [[destination]]"))
        }
        (0, _) => {
            let error = missing("there is no source, so nothing is taken", "Add a [[source]] with the folder of the equipment");
            Finding { usable: false, ..Finding::degraded(error.message.clone()).because(error) }
        }
        _ => match &status.rejected {
            None => Finding::healthy("the station is set up"),
            Some(error) => {
                let message = format!("the last good configuration is in use, the one that lies there is not: {}", error.message);
                Finding::degraded(message).because(error.clone())
            }
        },
    };
    if let (Some(error), true) = (&status.rejected, status.sources == 0 || status.destinations == 0) {
        finding.message = format!("{}; the configuration that lies there is not in use: {}", finding.message, error.message);
    }
    finding.with("sources", status.sources).with("destinations", status.destinations)
}

#[cfg(test)]
mod tests {
    use waybill_ipc::protocol::HealthState::{Degraded, Healthy, Unhealthy};

    use super::*;

    #[test]
    fn what_is_missing_or_rejected_is_said_and_only_a_missing_part_is_not_ready() {
        let rejected = || Some(ErrorReport::new(Code::ConfigInvalid, "line 3: no such key"));
        let cases = [
            (0, 0, None, Unhealthy, false, "no source and no destination"),
            (1, 0, None, Unhealthy, false, "no destination"),
            (0, 1, None, Degraded, false, "no source"),
            (1, 1, None, Healthy, true, "is set up"),
            (1, 1, rejected(), Degraded, true, "line 3"),
            (0, 0, rejected(), Unhealthy, false, "line 3"),
        ];
        for (sources, destinations, rejected, state, usable, words) in cases {
            let finding = judge(&SetupStatus { sources, destinations, waiting: 0, rejected });
            assert_eq!((finding.state, finding.usable), (state, usable), "{}", finding.message);
            assert!(finding.message.contains(words), "{}", finding.message);
            assert_eq!(finding.error.is_some(), state != Healthy);
        }
    }
}

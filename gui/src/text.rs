//! Every sentence that the window says, so that a second language has one place to come to.
//!
//! Sentence case, no full stop after a single sentence, no colon after a label, `…` only where a dialog follows.

use std::fmt::Display;
use std::path::Path;
use std::time::Duration;

use jiff::tz::TimeZone;
use jiff::{Timestamp, Unit, Zoned};
use waybill_ipc::protocol::{ActivityKind, AgentState, AutostartState, Connection, SourceState};

// The window
pub const APP: &str = "Waybill";
pub const DASHBOARD: &str = "Overview";
pub const PAGES: &str = "Pages";
pub const DISMISS: &str = "Dismiss";
pub const COPY: &str = "Copy";
pub const COPY_HINT: &str = "Copy the error with its code and what to do";
pub const WINDOW_STUCK: &str = "The window's connection has stopped working";
pub const WINDOW_STUCK_FIX: &str = "Close the window and open it again. The agent is not affected";

// The connection
pub const START_AGENT: &str = "Start agent";
pub const STARTING_AGENT: &str = "Starting the agent";
pub const TRY_AGAIN: &str = "Try again";
pub const AGENT_CLOSED: &str = "the agent closed it";
pub const LINK_CONNECTING: &str = "Connecting";
pub const LINK_ABSENT: &str = "Agent not running";
pub const LINK_REFUSED: &str = "Connection refused";
pub const LINK_LOST: &str = "Connection lost";
pub const CONNECTING_TITLE: &str = "Looking for the agent";
pub const ABSENT_TITLE: &str = "The agent is not running";
pub const ABSENT_EXPLAINED: &str = "Result files stay where the equipment puts them until it runs again. Nothing is lost";
pub const REFUSED_TITLE: &str = "The agent cannot be used from this window";
pub const LOST_TITLE: &str = "The connection to the agent was lost";

/// Since when the connection is as it is.
#[must_use]
pub fn since(at_ms: i64) -> String {
    format!("since {}", when(at_ms))
}

/// What is on screen while the agent is away.
#[must_use]
pub fn stale(since_ms: i64) -> String {
    format!("What you see was last known at {}", when(since_ms))
}

/// Where the station stands and what it is for.
#[must_use]
pub fn station(location: &str, purpose: &str) -> String {
    let parts: Vec<&str> = [location, purpose].into_iter().filter(|part| !part.is_empty()).collect();
    parts.join(" · ")
}

/// How the agent is.
#[must_use]
pub fn agent_state(state: AgentState) -> &'static str {
    match state {
        AgentState::Starting => "Agent starting",
        AgentState::Running => "Connected",
        AgentState::Stopping => "Agent stopping",
    }
}

/// Versions and instance, for the foot of the window.
#[must_use]
pub fn agent_details(instance: &str, version: &str, pid: u32, started_ms: i64) -> String {
    format!("Instance {instance} · agent {version} · process {pid} · running {}", since(started_ms))
}

// Starting the agent
pub const REINSTALL: &str = "Install Waybill again, so that waybill and waybill-agent lie in one folder";
pub const START_REFUSED_FIX: &str = "Check that this user may execute the file and that no protection software blocks it";
pub const START_ENDED_CONFIGURATION: &str = "The agent ended at once, because its configuration is missing or has faults";
pub const START_ENDED_RUNNING: &str = "An agent of this instance runs already, but does not answer this window";
pub const START_ENDED_RUNNING_FIX: &str = "Wait a moment and try again; restart the station's agent if it stays like this";

/// This program cannot tell where it lies.
#[must_use]
pub fn start_no_own_path(error: &dyn Display) -> String {
    format!("The agent cannot be found, because the OS does not tell where this program is: {error}")
}

/// There is no agent beside the window.
#[must_use]
pub fn start_missing(program: &Path) -> String {
    format!("The agent cannot be started, because {} does not exist", waybill_shared::text::path(program))
}

/// The OS does not start the agent.
#[must_use]
pub fn start_refused(program: &Path, error: &dyn Display) -> String {
    format!("The OS did not start {}: {error}", waybill_shared::text::path(program))
}

/// The agent ended right after its start.
#[must_use]
pub fn start_ended(code: Option<i32>) -> String {
    match code {
        Some(code) => format!("The agent ended right after its start, with exit code {code}"),
        None => "The agent ended right after its start, by a signal".to_owned(),
    }
}

/// How to see what the agent finds wrong with its configuration.
#[must_use]
pub fn run_in_terminal(arguments: &[std::ffi::OsString]) -> String {
    let arguments: Vec<_> = arguments.iter().map(|argument| argument.to_string_lossy()).collect();
    format!("Run `waybill-agent {}` in a terminal; it names each fault and its place", arguments.join(" "))
}

/// The agent was started and does not answer.
#[must_use]
pub fn start_silent(waited: Duration) -> String {
    format!("The agent was started, but did not answer within {} s", waited.as_secs())
}

/// Where to look for the reason.
#[must_use]
pub fn look_at_log(logs: &Path) -> String {
    format!("Look at the newest file in {}", waybill_shared::text::path(logs))
}

// Drawing
pub const NO_WINDOW_TITLE: &str = "Waybill cannot open its window";

/// Nothing on this machine can draw the window.
#[must_use]
pub fn no_window(reason: &str) -> String {
    format!(
        "No way of drawing works on this machine. The agent is not affected and goes on delivering.\n\nUpdate the graphics \
         driver, or use `waybill-agent status` in a terminal.\n\n{reason}"
    )
}

// The station's configuration
pub const NOT_CONFIGURED: &str = "This station is not set up yet: run `waybill-agent init`";
pub const AGENT_ERROR: &str = "The agent is in error";
pub const AGENT_ERROR_EXPLAINED: &str =
    "A part that it cannot do without fails again and again. Nothing is lost; everything else goes on.";
pub const CONFIG_PROBLEM: &str = "Something is wrong with the configuration";

/// Which file is missing.
#[must_use]
pub fn no_config_file(path: &str) -> String {
    format!("There is no configuration file {path}")
}

/// Which file it is about.
#[must_use]
pub fn config_file(path: &str) -> String {
    format!("Configuration file {path}")
}

/// Faults that are not listed for want of room.
#[must_use]
pub fn more_faults(count: usize) -> String {
    format!("{count} more; a copy of the error has all of them")
}

/// A fault of many, with its place.
#[must_use]
pub fn fault(fault: &waybill_shared::schema::Fault) -> String {
    format!("{} {}", fault.path, fault.message)
}

// Autostart
pub const AUTOSTART: &str = "Autostart";
pub const AUTOSTART_SWITCH: &str = "Start the agent when I log in";
pub const AUTOSTART_RENEW: &str = "Put right";
pub const AUTOSTART_LOOK: &str = "Look again";
pub const AUTOSTART_NO_AGENT: &str = "The agent is not running, and only it can change its autostart";
pub const AUTOSTART_NO_AGENT_FIX: &str = "Start the agent, then do the same again";
pub const AUTOSTART_CUT_OFF: &str = "The connection to the agent was lost before it had answered; it may have been done";
pub const UNEXPECTED_ANSWER: &str = "The agent gave an answer to another question";

/// How it is with autostart.
#[must_use]
pub fn autostart(state: AutostartState) -> &'static str {
    match state {
        AutostartState::Enabled => "The agent starts when its user logs in",
        AutostartState::Moved => "An entry starts the agent from another place: the programs were moved",
        AutostartState::Other => "The entry of this name starts something else",
        AutostartState::SwitchedOff => "There is an entry, and it was switched off in the settings of the OS",
        AutostartState::Absent => "The agent does not start by itself",
        AutostartState::ByService => "The agent belongs to the machine: the service manager starts it",
    }
}

/// What an entry starts.
#[must_use]
pub fn autostart_starts(command: &str) -> String {
    format!("It starts {}", waybill_shared::text::printable(command, 1000))
}

// The overview
pub const DELIVERED: &str = "Delivered";
pub const WAITING: &str = "Waiting";
pub const SENDING: &str = "Sending";
pub const FAILED: &str = "Failed";
pub const NEXT_TRY: &str = "Next try";
pub const FOUND: &str = "Found";
pub const CONVERTING: &str = "Converting";
pub const QUEUED: &str = "Queued";
pub const REPORTS: &str = "Reports";
pub const ERRORS: &str = "Errors";
pub const FILE_ERRORS: &str = "File errors";
pub const QUEUE: &str = "Queue";
pub const QUEUE_FULL: &str = "The queue is full; new files stay in their folder until there is room";
pub const DESTINATIONS: &str = "Destinations";
pub const DESTINATION: &str = "Destination";
pub const NO_DESTINATIONS: &str = "No destinations";
pub const NO_DESTINATIONS_EXPLAINED: &str = "Reports wait in the queue until config.toml has a [[destination]]";
pub const SOURCES: &str = "Sources";
pub const SOURCE: &str = "Source";
pub const NO_SOURCES: &str = "No sources";
pub const NO_SOURCES_EXPLAINED: &str = "No folder is watched until config.toml has a [[source]]";
pub const THROUGHPUT: &str = "Deliveries per second";
pub const THROUGHPUT_SPAN: &str = "last 2 minutes";
pub const THROUGHPUT_EMPTY: &str = "No deliveries in the last 2 minutes";
pub const THROUGHPUT_ALL: &str = "All destinations";
pub const ACTIVITY: &str = "Activity";
pub const NO_ACTIVITY: &str = "Nothing has happened yet";
pub const NO_ACTIVITY_EXPLAINED: &str = "Files that are found and reports that arrive appear here";
/// In a table, where there is nothing to say.
pub const NOTHING: &str = "–";

/// What something is and where.
#[must_use]
pub fn place(kind: &str, address: &str) -> String {
    format!("{kind} · {address}")
}

/// Deliveries that will not be made; none if there are none.
#[must_use]
pub fn given_up(discarded: u64, evicted: u64) -> Option<String> {
    match (discarded, evicted) {
        (0, 0) => None,
        (discarded, 0) => Some(format!("{} discarded", count(discarded))),
        (0, evicted) => Some(format!("{} evicted", count(evicted))),
        (discarded, evicted) => Some(format!("{} discarded · {} evicted", count(discarded), count(evicted))),
    }
}

/// A happening for those who do not see the list.
#[must_use]
pub fn activity_name(activity: &waybill_ipc::protocol::Activity) -> String {
    format!("{} {} {}", self::activity(activity.kind), activity.place, activity.subject)
}

/// An error in one line.
#[must_use]
pub fn coded(error: &waybill_shared::error::ErrorReport) -> String {
    format!("{} {}", error.code, error.message)
}

/// How full the queue is.
#[must_use]
pub fn queue_fill(waiting: u64, max_entries: u64) -> String {
    format!("{} of {}", count(waiting), count(max_entries))
}

/// Name of a number for those who do not see the table.
#[must_use]
pub fn named_value(name: &str, value: &str) -> String {
    format!("{name} {value}")
}

/// A part of the plot's time axis: seconds before now.
#[must_use]
pub fn seconds_ago(seconds: f64) -> String {
    if seconds > -0.5 { "now".to_owned() } else { format!("{seconds:.0} s") }
}

/// A part of the plot's other axis.
#[must_use]
pub fn rate_mark(per_second: f64) -> String {
    format!("{per_second:.0}")
}

/// A rate, as the plot's label says it.
#[must_use]
pub fn rate(name: &str, per_second: f64) -> String {
    let digits = if per_second.fract() == 0.0 { 0 } else { 1 };
    format!("{name} {per_second:.digits$} per second")
}

/// The state of the way to a destination.
#[must_use]
pub fn connection(state: Connection) -> &'static str {
    match state {
        Connection::Idle => "Idle",
        Connection::Online => "Online",
        Connection::Degraded => "Degraded",
        Connection::BreakerOpen => "Unreachable",
        Connection::Paused => "Paused",
        Connection::Removed => "Removed",
        Connection::Disabled => "Off",
        Connection::Held => "Held",
    }
}

/// What that state means.
#[must_use]
pub fn connection_explained(state: Connection) -> &'static str {
    match state {
        Connection::Idle => "Nothing was sent yet",
        Connection::Online => "The last report arrived",
        Connection::Degraded => "The last try failed; it is tried again",
        Connection::BreakerOpen => "Failed several times in a row; left alone for a while, then tried again",
        Connection::Paused => "Refuses this station as a whole; reports wait",
        Connection::Removed => "Not in the configuration any more, but reports for it are left",
        Connection::Disabled => "Switched off in the configuration; reports wait",
        Connection::Held => "Held by a person; reports wait until it is resumed",
    }
}

/// The state of a source.
#[must_use]
pub fn source_state(state: SourceState) -> &'static str {
    match state {
        SourceState::Starting => "Starting",
        SourceState::Watching => "Watching",
        SourceState::Unavailable => "Unavailable",
        SourceState::Paused => "Paused",
        SourceState::Stopped => "Stopped",
        SourceState::Disabled => "Off",
    }
}

/// What that state means.
#[must_use]
pub fn source_state_explained(state: SourceState) -> &'static str {
    match state {
        SourceState::Starting => "Not looked at yet",
        SourceState::Watching => "New files are taken",
        SourceState::Unavailable => "The folder cannot be used; it is tried again",
        SourceState::Paused => "Not looked at while the queue is full",
        SourceState::Stopped => "Not looked at, because the agent stops",
        SourceState::Disabled => "Switched off in the configuration; files stay in their folder",
    }
}

/// A happening in one word.
#[must_use]
pub fn activity(kind: ActivityKind) -> &'static str {
    match kind {
        ActivityKind::Queued => "Queued",
        ActivityKind::Sent => "Delivered",
        ActivityKind::Retry => "Retry",
        ActivityKind::Failed => "Refused",
        ActivityKind::Evicted => "Evicted",
        ActivityKind::Broken => "File error",
        ActivityKind::Recovered => "Recovered",
        ActivityKind::Trouble => "Trouble",
    }
}

/// An error as it is copied: everything that a colleague needs.
#[must_use]
pub fn copied_error(error: &waybill_shared::error::ErrorReport) -> String {
    let mut text = format!("{} {}\n{}", error.code, error.message, error.fix);
    for fault in &error.details {
        text.push_str(&format!("\n- {}: {}", fault.path, fault.message));
    }
    if let Some(id) = error.correlation_id {
        text.push_str(&format!("\ncorrelation id {id}"));
    }
    text
}

/// A number with its thousands set apart.
#[must_use]
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push('\u{a0}');
        }
        text.push(digit);
    }
    text
}

/// A moment as the station's clock shows it; with its day if that is not today.
#[must_use]
pub fn when(at_ms: i64) -> String {
    moment(at_ms, &Zoned::now())
}

fn moment(at_ms: i64, now: &Zoned) -> String {
    let zone: TimeZone = now.time_zone().clone();
    let Ok(at) = Timestamp::from_millisecond(at_ms) else { return NOTHING.to_owned() };
    let at = at.to_zoned(zone);
    let at = at.round(Unit::Second).unwrap_or(at);
    let format = if at.date() == now.date() { "%H:%M:%S" } else { "%Y-%m-%d %H:%M" };
    at.strftime(format).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_set_apart() {
        let cases = [(0, "0"), (999, "999"), (1000, "1\u{a0}000"), (1_234_567, "1\u{a0}234\u{a0}567")];
        for (number, text) in cases {
            assert_eq!(count(number), text);
        }
    }

    #[test]
    fn a_moment_of_today_is_a_time_and_another_one_has_its_day() {
        let now: Zoned = "2026-03-04T15:00:00+00:00[UTC]".parse().unwrap();
        let at = |text: &str| text.parse::<Timestamp>().unwrap().as_millisecond();
        assert_eq!(moment(at("2026-03-04T08:05:09Z"), &now), "08:05:09");
        assert_eq!(moment(at("2026-03-03T08:05:09Z"), &now), "2026-03-03 08:05");
        assert_eq!(moment(i64::MAX, &now), NOTHING);
    }

    #[test]
    fn a_copied_error_has_code_message_and_fix() {
        use waybill_shared::error::{Code, ErrorReport};
        let text = copied_error(&ErrorReport::new(Code::QueueFull, "10 000 reports wait").with_fix("wait"));
        assert_eq!(text, "WB4002 10 000 reports wait\nwait");
    }
}

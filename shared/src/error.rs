//! The catalogue of errors: stable codes, and the report that a person reads.
//!
//! Inside, each module has its own `thiserror` enum. Where an error leaves for a person (a log line, a sidecar beside a
//! file, an event, an IPC answer, the CLI) it becomes an [`ErrorReport`]: what happened, where, why, what to do.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::id::CorrelationId;
use crate::schema::Fault;

/// What kind of thing went wrong; it decides who is asked to act.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Category {
    /// The configuration or the command line: an engineer mends it.
    Configuration,
    /// A file from the equipment: a test engineer looks at it.
    Input,
    /// This machine: disk, permissions, a missing folder.
    Station,
    /// The way to a destination, or the destination itself.
    Destination,
    /// The conversation between the programs.
    Communication,
    /// A fault of Waybill itself.
    Internal,
}

/// How a process ends; scripts and service managers rely on these numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Exit {
    /// Done.
    Ok = 0,
    /// A fault of Waybill itself.
    Internal = 1,
    /// The command line was wrong.
    Usage = 2,
    /// No agent answers.
    NotRunning = 3,
    /// An agent of this instance runs already.
    AlreadyRunning = 4,
    /// The configuration has faults.
    Configuration = 5,
    /// The input file has faults.
    Input = 6,
    /// The store or the disk failed.
    Store = 7,
    /// Something did not answer in time.
    Timeout = 8,
    /// Not allowed.
    Refused = 9,
    /// Stopped, but not everything ended by itself in time; nothing is lost.
    Forced = 10,
    /// Something looks wrong, or is not healthy: what was asked is answered, and the answer is bad.
    Unwell = 11,
    /// It ended so that whoever started it starts it anew: service managers are told to.
    RestartWanted = 12,
    /// The watchdog gave up: the agent ended or hung too often.
    GaveUp = 13,
}

macro_rules! catalogue {
    ($( $(#[doc = $doc:literal])* $name:ident = $code:literal, $category:ident, $exit:ident, $http:literal, $fix:literal; )*) => {
        /// A stable code. Codes are never renumbered and never used again for something else.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code { $( $(#[doc = $doc])* $name, )* }

        impl Code {
            /// All codes, in the order of the catalogue.
            pub const ALL: &[Self] = &[$( Self::$name ),*];

            /// The code as people quote it.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $( Self::$name => $code, )* }
            }
            /// What it means, in one sentence.
            #[must_use]
            pub fn meaning(self) -> &'static str {
                match self { $( Self::$name => concat!($( $doc ),*).trim_ascii(), )* }
            }
            /// What kind of thing went wrong.
            #[must_use]
            pub fn category(self) -> Category {
                match self { $( Self::$name => Category::$category, )* }
            }
            /// How a command that fails with it ends.
            #[must_use]
            pub fn exit(self) -> Exit {
                match self { $( Self::$name => Exit::$exit, )* }
            }
            /// The HTTP status where it is told over HTTP.
            #[must_use]
            pub fn http_status(self) -> u16 {
                match self { $( Self::$name => $http, )* }
            }
            /// What to do, in general; an [`ErrorReport`] may know better.
            #[must_use]
            pub fn fix(self) -> &'static str {
                match self { $( Self::$name => $fix, )* }
            }
        }
    };
}

catalogue! {
    /// The configuration has faults
    ConfigInvalid = "WB1001", Configuration, Configuration, 422, "Mend the named fields; nothing was changed";
    /// The configuration file cannot be read
    ConfigUnreadable = "WB1002", Configuration, Configuration, 500, "Check that the file exists and that the agent's user may read it";
    /// No configuration was found
    ConfigMissing = "WB1003", Configuration, Configuration, 404, "Write a config.toml, or try `waybill-agent demo` first";
    /// A destination has no usable secret
    SecretMissing = "WB1004", Configuration, Configuration, 500, "Set the environment variable or the private file that the message names";
    /// Two sources match the same file
    SourcesOverlap = "WB1005", Configuration, Configuration, 409, "Narrow the patterns, or give the sources different folders";
    /// The secret store does not answer
    SecretUnavailable = "WB1006", Station, Timeout, 503, "Unlock the desktop's keyring, or set the secret again: it is then kept in a private file. It is tried again by itself";
    /// A removed destination has reports that were not sent
    DestinationHasUnsent = "WB1011", Configuration, Refused, 409, "Let them be sent first, or say what becomes of them: `--move-to DESTINATION` or `--discard`";
    /// A value is set by the administrator or the environment
    ConfigPinned = "WB1009", Configuration, Refused, 403, "Change it where the message says it is set";
    /// A new configuration could not be applied
    ConfigNotApplied = "WB1010", Configuration, Configuration, 500, "The configuration before is in use again. Mend what the message names, then try again";
    /// The configuration was changed by somebody else in the meantime
    ConfigStale = "WB1007", Configuration, Configuration, 409, "Read the configuration again, look at what differs, and make the change again; nothing was changed";
    /// A configuration could not be saved
    ConfigNotSaved = "WB1008", Station, Store, 507, "Check that the agent's user may write the file and its folder, and that the disk has space; then save again";

    /// A watch folder cannot be used
    FolderUnavailable = "WB2001", Station, Store, 503, "Bring the folder or its share back; it is tried again by itself";
    /// A file cannot be read
    FileUnreadable = "WB2002", Station, Input, 500, "Check the file's permissions and the disk; it is tried again by itself";
    /// What matches is not a regular file
    NotAFile = "WB2003", Input, Input, 422, "Remove it from the watch folder, or narrow the patterns";
    /// A file vanished before it was read
    FileVanished = "WB2004", Input, Input, 404, "Let nothing but Waybill move files out of the watch folder";
    /// A source file could not be moved after its reports were queued
    PostActionFailed = "WB2005", Station, Store, 500, "The reports are safe in the queue. Check permissions and space of the done folder, or of the archive if the message names it; it is tried again by itself";
    /// Another agent watches the same folder
    FolderClaimed = "WB2006", Configuration, AlreadyRunning, 409, "Let one agent watch a folder: stop the other one, or give one of them another folder";

    /// A file holds nothing
    FileEmpty = "WB3001", Input, Input, 422, "Check the equipment that wrote it; then write the file again";
    /// A file is not complete
    FileIncomplete = "WB3002", Input, Input, 422, "Check whether the equipment was stopped while it wrote; then write the file again";
    /// A file is not in the expected format
    FileMalformed = "WB3003", Input, Input, 422, "Compare the named place with the format, or choose another converter for this source";
    /// A file is larger than allowed
    FileTooLarge = "WB3004", Input, Input, 413, "Split the file, or raise convert.max_file_bytes";
    /// A report breaks a rule of the report model
    ReportInvalid = "WB3005", Input, Input, 422, "Mend the named fields in the equipment's output, or in the converter's arguments";
    /// A converter failed
    ConverterFailed = "WB3006", Internal, Internal, 500, "Keep the file and report the failure with the correlation id";
    /// No converter of this name
    ConverterUnknown = "WB3007", Configuration, Usage, 404, "Use one of the names that `waybill-agent convert --help` lists";

    /// The queue cannot be opened
    QueueUnavailable = "WB4001", Station, Store, 503, "Check the data folder's disk and permissions";
    /// The queue is full
    QueueFull = "WB4002", Station, Store, 507, "Nothing is lost: files stay in their folder. Bring the destination back, or raise queue.max_entries";
    /// The queue was written by a newer version
    QueueTooNew = "WB4003", Station, Store, 500, "Install the version that wrote it, or a newer one";
    /// The queue could not store something
    QueueWriteFailed = "WB4004", Station, Store, 507, "Nothing is lost: files stay in their folder. Free space on the data folder's disk";

    /// The queue's file is damaged
    QueueDamaged = "WB4005", Station, Store, 500, "What could be read was saved. See `waybill-agent queue losses` for what is missing, have the disk looked at, and run `waybill-agent fsck`";

    /// A destination cannot be reached
    DestinationUnreachable = "WB5001", Destination, Timeout, 503, "Check network and server; reports wait and are sent by themselves";
    /// A destination refused the token
    DestinationUnauthorised = "WB5002", Destination, Refused, 502, "Set a valid token; everything waits until then";
    /// A destination refused a report
    ReportRefused = "WB5003", Destination, Input, 422, "Read the server's text, mend the cause, then copy the corrected file into the watch folder: the same report id replaces the report";
    /// An address is not that of the destination
    NotOurServer = "WB5004", Destination, Configuration, 502, "Check the address, a proxy, or a log-in page of the network; everything waits until then";
    /// A destination folder cannot be written
    DestinationFolderFailed = "WB5005", Destination, Store, 507, "Check the folder's disk and permissions; reports wait and are written by themselves";
    /// A stored report is damaged
    PayloadDamaged = "WB5006", Station, Store, 500, "The disk changed what was stored. Copy the source file from the done folder into the watch folder: it is taken as a new file";
    /// A secure connection cannot be made
    TlsFailed = "WB5007", Destination, Timeout, 503, "Check the server's certificate, tls.ca_file and this station's clock; reports wait and are sent by themselves";
    /// The proxy refuses to pass anything on
    ProxyRefused = "WB5008", Destination, Refused, 502, "Check proxy.url and proxy.user, and set the secret proxy.password; everything waits until then";
    /// A report does not fit into what a destination takes
    ReportDoesNotFit = "WB5009", Destination, Input, 422, "Shorten the number that the message names where the equipment gets it from, then copy the corrected file into the watch folder";

    /// No agent answers
    AgentNotRunning = "WB6001", Communication, NotRunning, 503, "Start it with `waybill-agent run`";
    /// The two programs speak different versions
    ProtocolMismatch = "WB6002", Communication, Refused, 426, "Update the older side";
    /// The other side may not connect
    PeerRefused = "WB6003", Communication, Refused, 403, "Connect as the user that the agent runs as";
    /// The other side did not answer in time
    PeerTimeout = "WB6004", Communication, Timeout, 504, "Try again; look at the agent's log if it stays like this";
    /// The conversation broke
    PeerBroken = "WB6005", Communication, Internal, 502, "Try again; look at the agent's log if it stays like this";
    /// Too many connections
    PeerCrowded = "WB6006", Communication, Refused, 429, "Close windows that are not needed";
    /// A request cannot be understood
    RequestInvalid = "WB6007", Communication, Usage, 400, "Update both programs to the same version";
    /// Too many changes in a short time
    TooManyRequests = "WB6008", Communication, Refused, 429, "Wait a moment and try again; the limits are ipc.changes_per_minute and ipc.changes_burst";
    /// What was asked for is not there
    NotFound = "WB6009", Communication, Usage, 404, "Use one of the names that the message lists";
    /// A request needs a role that this session does not have
    RoleMissing = "WB6010", Communication, Refused, 403, "Give the PIN: in the window with the padlock, on the command line with --pin-file or WAYBILL_PIN";
    /// The PIN is wrong
    PinWrong = "WB6011", Communication, Refused, 403, "Give the right PIN; after 5 wrong ones in a row there is a wait";
    /// No PIN is accepted for now
    PinLocked = "WB6012", Communication, Refused, 429, "Wait until the time that the message names, then give the right PIN";
    /// The file of the PIN cannot be used
    AccessStoreFailed = "WB6013", Station, Store, 500, "Mend the file that the message names, or delete it as the agent's user and set a new PIN";
    /// A new PIN breaks the rules
    PinInvalid = "WB6014", Communication, Usage, 400, "Choose a PIN of 4 to 64 characters";

    /// An agent of this instance runs already
    AlreadyRunning = "WB7001", Station, AlreadyRunning, 409, "Use the running one, stop it, or choose another --instance or --data-dir";
    /// A folder of the agent cannot be used
    DataFolderUnavailable = "WB7002", Station, Store, 500, "Check that the folder exists, is on a local disk and may be written";
    /// Not everything ended in time at a stop
    StopForced = "WB7003", Internal, Forced, 500, "Nothing is lost: what was not finished is done at the next start";
    /// A part of the agent fails again and again
    TaskFailed = "WB7004", Internal, Internal, 500, "Stop the agent and start it again; nothing is lost by that. Report it with the cause, which `waybill-agent tasks` and the log name";
    /// The agent ends because a part of it hangs
    AgentHangs = "WB7005", Internal, RestartWanted, 500, "Nothing is lost. A service manager or the watchdog starts it again; if there is none, start it. Look at the disk that the named part works with";
    /// The watchdog gave up
    WatchdogGaveUp = "WB7006", Internal, GaveUp, 503, "Nothing is lost. Look at the last lines of `waybill-agent logs` and of logs/watchdog.log, mend the cause, then start the watchdog again";
    /// A watchdog of this instance runs already
    WatchdogRunning = "WB7007", Station, AlreadyRunning, 409, "Let the one that runs do its work, or stop it";
    /// Autostart cannot be looked at or set
    AutostartFailed = "WB7011", Station, Store, 500, "Mend what the message names; `waybill-agent autostart status` says how things stand";
    /// The service manager did not do what was asked
    ServiceFailed = "WB7012", Station, Refused, 500, "Mend what the message names, then do the same again: what is done already is left as it is";
    /// There is no service manager
    ServiceManagerMissing = "WB7013", Station, Refused, 501, "Use `waybill-agent autostart enable` in a desktop session, or let another supervisor run `waybill-agent run --headless`";
    /// A fault of Waybill itself
    Internal = "WB9001", Internal, Internal, 500, "Report it with the log's last lines";
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::str::FromStr for Code {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .iter()
            .copied()
            .find(|code| code.as_str().eq_ignore_ascii_case(text))
            .ok_or_else(|| format!("{text:?} is no error code"))
    }
}

impl Serialize for Code {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Code {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // A code of a newer version reads as the general one rather than breaking the conversation.
        let text = String::deserialize(deserializer)?;
        Ok(text.parse().unwrap_or(Self::Internal))
    }
}

/// An error as a person reads it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorReport {
    /// Stable code.
    pub code: Code,
    /// Who is asked to act.
    pub category: Category,
    /// What happened, where and why, in one or two sentences.
    pub message: String,
    /// Each fault by itself, with its path; empty if the message says it all.
    pub details: Vec<Fault>,
    /// What to do.
    pub fix: String,
    /// The life of the file that this belongs to.
    pub correlation_id: Option<CorrelationId>,
}

impl ErrorReport {
    /// An error with the catalogue's fix. Control characters of the message are escaped: it may quote input.
    #[must_use]
    pub fn new(code: Code, message: impl AsRef<str>) -> Self {
        Self {
            code,
            category: code.category(),
            message: crate::text::printable(message.as_ref(), 4000),
            details: Vec::new(),
            fix: code.fix().to_owned(),
            correlation_id: None,
        }
    }

    /// With each fault by itself (at most 200 are kept, and the rest counted).
    #[must_use]
    pub fn with_details(mut self, mut faults: Vec<Fault>) -> Self {
        if let Some(more) = faults.len().checked_sub(200).filter(|more| *more > 0) {
            faults.truncate(200);
            self.message.push_str(&format!(" ({more} more faults are not listed)"));
        }
        self.details = faults;
        self
    }

    /// With a better fix than the catalogue's.
    #[must_use]
    pub fn with_fix(mut self, fix: impl Into<String>) -> Self {
        self.fix = fix.into();
        self
    }

    /// Belonging to the life of this file.
    #[must_use]
    pub fn with_correlation(mut self, id: CorrelationId) -> Self {
        self.correlation_id = Some(id);
        self
    }
}

impl fmt::Display for ErrorReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}

impl std::error::Error for ErrorReport {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_distinct_and_read_back() {
        let mut seen = std::collections::HashSet::new();
        for &code in Code::ALL {
            assert!(seen.insert(code.as_str()), "{code} is there twice");
            assert_eq!(code.as_str().parse::<Code>(), Ok(code));
            assert!(!code.meaning().is_empty() && !code.fix().is_empty(), "{code} says nothing");
            assert!((400..600).contains(&code.http_status()), "{code}");
        }
    }

    #[test]
    fn a_message_that_quotes_input_is_safe_to_print() {
        let report = ErrorReport::new(Code::FileMalformed, "bad \u{1b}[2J name");
        assert!(!report.message.contains('\u{1b}'));
    }

    #[test]
    fn long_lists_of_faults_are_counted_not_kept() {
        let fault = Fault { path: "a".into(), kind: crate::schema::FaultKind::Missing, message: "b".into() };
        let report = ErrorReport::new(Code::ReportInvalid, "x").with_details(vec![fault; 250]);
        assert_eq!(report.details.len(), 200);
        assert!(report.message.contains("50 more"));
    }
}

//! The help pages of the error codes: what happened, what to check, what happens by itself, whether anything is lost. And those of
//! topics that are more than one error.
//!
//! They lie in `assets/help/errors` and `assets/help` and are part of the programs, so that they are there where nothing else is. A code without a page does
//! not compile.

use crate::error::Code;

/// Topics with a page, and the pages, as Markdown of the same form.
pub const TOPICS: [(&str, &str); 5] = [
    ("archive", include_str!("../../assets/help/archive.md")),
    ("converters", include_str!("../../assets/help/converters.md")),
    ("mapping", include_str!("../../assets/help/mapping.md")),
    ("service", include_str!("../../assets/help/service.md")),
    ("watchdog", include_str!("../../assets/help/watchdog.md")),
];

/// The page of a topic.
#[must_use]
pub fn topic(name: &str) -> Option<&'static str> {
    TOPICS.iter().find(|(topic, _)| topic.eq_ignore_ascii_case(name)).map(|(_, page)| *page)
}

macro_rules! pages {
    ($($name:ident = $code:literal,)*) => {
        /// The page of a code, as Markdown: one title, headings, paragraphs and bullets.
        #[must_use]
        pub fn page(code: Code) -> &'static str {
            match code {
                $(Code::$name => include_str!(concat!("../../assets/help/errors/", $code, ".md")),)*
            }
        }
    };
}

pages! {
    ConfigInvalid = "WB1001",
    ConfigUnreadable = "WB1002",
    ConfigMissing = "WB1003",
    SecretMissing = "WB1004",
    SourcesOverlap = "WB1005",
    SecretUnavailable = "WB1006",
    DestinationHasUnsent = "WB1011",
    ConfigPinned = "WB1009",
    ConfigNotApplied = "WB1010",
    ConfigStale = "WB1007",
    ConfigNotSaved = "WB1008",
    FolderUnavailable = "WB2001",
    FileUnreadable = "WB2002",
    NotAFile = "WB2003",
    FileVanished = "WB2004",
    PostActionFailed = "WB2005",
    FolderClaimed = "WB2006",
    FileEmpty = "WB3001",
    FileIncomplete = "WB3002",
    FileMalformed = "WB3003",
    FileTooLarge = "WB3004",
    ReportInvalid = "WB3005",
    ConverterFailed = "WB3006",
    ConverterUnknown = "WB3007",
    QueueUnavailable = "WB4001",
    QueueFull = "WB4002",
    QueueTooNew = "WB4003",
    QueueDamaged = "WB4005",
    QueueWriteFailed = "WB4004",
    DestinationUnreachable = "WB5001",
    DestinationUnauthorised = "WB5002",
    ReportRefused = "WB5003",
    NotOurServer = "WB5004",
    DestinationFolderFailed = "WB5005",
    PayloadDamaged = "WB5006",
    TlsFailed = "WB5007",
    ProxyRefused = "WB5008",
    ReportDoesNotFit = "WB5009",
    AgentNotRunning = "WB6001",
    ProtocolMismatch = "WB6002",
    PeerRefused = "WB6003",
    PeerTimeout = "WB6004",
    PeerBroken = "WB6005",
    PeerCrowded = "WB6006",
    RequestInvalid = "WB6007",
    TooManyRequests = "WB6008",
    NotFound = "WB6009",
    RoleMissing = "WB6010",
    PinWrong = "WB6011",
    PinLocked = "WB6012",
    AccessStoreFailed = "WB6013",
    PinInvalid = "WB6014",
    AlreadyRunning = "WB7001",
    DataFolderUnavailable = "WB7002",
    StopForced = "WB7003",
    TaskFailed = "WB7004",
    AgentHangs = "WB7005",
    WatchdogGaveUp = "WB7006",
    WatchdogRunning = "WB7007",
    AutostartFailed = "WB7011",
    ServiceFailed = "WB7012",
    ServiceManagerMissing = "WB7013",
    Internal = "WB9001",
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_code_has_its_own_page() {
        for &code in Code::ALL {
            let title = format!("# {code}: {}", code.meaning());
            assert_eq!(page(code).lines().next(), Some(title.as_str()));
        }
    }
}

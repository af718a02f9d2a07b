//! What a server can do with a request.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

/// What the receiver does with a request that carries the token.
#[derive(Clone)]
pub enum Behaviour {
    /// Stores the report and answers `[{"ID":"<guid>"}]`.
    Accept,
    /// Stores the report and answers 200 with this text as JSON; `{id}` in it becomes the report's id.
    AcceptWith(String),
    /// Stores nothing and answers so.
    Status {
        /// Status code.
        code: u16,
        /// Body, as JSON if it begins so, else as text; `{token}` in it is the token that was sent.
        body: String,
        /// Further headers, for example `Retry-After`.
        headers: Vec<(String, String)>,
    },
    /// A page of something that is not the server (a captive portal, a proxy), with status 200.
    Html200,
    /// 302 to `/login`, which answers with a page; [`State::paths`](super::State::paths) tells whether it was followed.
    Redirect,
    /// Waits, then accepts.
    Delay(Duration),
    /// Takes the request and gives no answer until [`Receiver::release`](super::Receiver::release), which accepts it.
    Hang,
    /// Reads the request, stores nothing and closes the connection without an answer.
    DropConnection,
    /// Stores the report and closes the connection without an answer: the server has it, the client cannot know.
    StoreThenDrop,
    /// Stores the report and closes the connection after so many bytes of the answer.
    CutAnswer(usize),
    /// Stores the report and answers: the head at once, the body byte by byte with such a pause before each.
    Trickle(Duration),
    /// One each for the next posts, then [`Behaviour::Accept`]. Other requests are accepted and use nothing up.
    Script(Vec<Behaviour>),
    /// Decides by the report. Other requests are accepted. A `Script` from here means its first entry.
    PerReport(PerReport),
}

/// What the receiver does with compressed reports (`Content-Encoding: gzip`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gzip {
    /// It knows nothing of them, and finds no report in one: 400.
    Unknown,
    /// It takes them, and says so in every answer (`Accept-Encoding`).
    Offered,
    /// It takes them, and never says so.
    Taken,
    /// It says that it takes them, and answers each with 415.
    Refused,
}

/// Decides by the report what happens to its post.
pub type PerReport = Arc<dyn Fn(&Value) -> Behaviour + Send + Sync>;

impl Behaviour {
    /// A status with a short JSON message.
    #[must_use]
    pub fn status(code: u16) -> Self {
        Self::Status { code, body: format!(r#"{{"message":"told to answer {code}"}}"#), headers: Vec::new() }
    }

    /// A status with a header.
    #[must_use]
    pub fn status_with_header(code: u16, name: &str, value: &str) -> Self {
        Self::Status { code, body: String::new(), headers: vec![(name.to_owned(), value.to_owned())] }
    }

    /// Decides by the report.
    #[must_use]
    pub fn per_report(decide: impl Fn(&Value) -> Self + Send + Sync + 'static) -> Self {
        Self::PerReport(Arc::new(decide))
    }

    /// What happens to the next request, which holds `report` if it is a post; uses up a script.
    pub(super) fn next(&mut self, report: Option<&Value>) -> Next {
        match (self, report) {
            (Self::Script(_) | Self::PerReport(_), None) => Next::Do(Self::Accept),
            (Self::PerReport(decide), Some(_)) => Next::Ask(Arc::clone(decide)),
            (this @ Self::Script(_), Some(_)) => match this.first_of_script() {
                Self::PerReport(decide) => Next::Ask(decide),
                other => Next::Do(other),
            },
            (other, _) => Next::Do(other.clone()),
        }
    }

    /// Takes the first entry of a script; of an inner script likewise; an empty one accepts from now on.
    fn first_of_script(&mut self) -> Self {
        loop {
            let Self::Script(entries) = self else { return self.clone() };
            match entries.first_mut() {
                None => *self = Self::Accept,
                Some(Self::Script(inner)) if inner.is_empty() => {
                    entries.remove(0);
                }
                Some(inner @ Self::Script(_)) => return inner.first_of_script(),
                Some(_) => return entries.remove(0),
            }
        }
    }
}

/// What happens next: known, or decided by a closure, which runs without a lock.
pub(super) enum Next {
    Do(Behaviour),
    Ask(PerReport),
}

impl Next {
    pub(super) fn decide(self, report: Option<&Value>) -> Behaviour {
        match (self, report) {
            (Self::Do(behaviour), _) => behaviour,
            (Self::Ask(decide), Some(report)) => {
                let mut decided = decide(report);
                match decided.next(Some(report)) {
                    Next::Do(behaviour) => behaviour,
                    Next::Ask(_) => panic!("a PerReport that answers with a PerReport"),
                }
            }
            (Self::Ask(_), None) => Behaviour::Accept,
        }
    }
}

impl fmt::Debug for Behaviour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Accept => f.write_str("Accept"),
            Self::AcceptWith(body) => f.debug_tuple("AcceptWith").field(body).finish(),
            Self::Status { code, .. } => write!(f, "Status({code})"),
            Self::Html200 => f.write_str("Html200"),
            Self::Redirect => f.write_str("Redirect"),
            Self::Delay(time) => f.debug_tuple("Delay").field(time).finish(),
            Self::Hang => f.write_str("Hang"),
            Self::DropConnection => f.write_str("DropConnection"),
            Self::StoreThenDrop => f.write_str("StoreThenDrop"),
            Self::CutAnswer(bytes) => f.debug_tuple("CutAnswer").field(bytes).finish(),
            Self::Trickle(pause) => f.debug_tuple("Trickle").field(pause).finish(),
            Self::Script(entries) => f.debug_tuple("Script").field(entries).finish(),
            Self::PerReport(_) => f.write_str("PerReport(…)"),
        }
    }
}

//! What an answer of a server means for the report and for the destination.

use std::time::Duration;

use waybill_shared::error::{Code, ErrorReport};

/// An answer, or the lack of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The server answered.
    Status {
        /// HTTP status.
        status: u16,
        /// What the body is.
        body: Body,
        /// `Retry-After`, as a time from now.
        retry_after: Option<Duration>,
        /// What the server says, in words, for a person.
        text: String,
    },
    /// No connection: refused, no route, no name, no TLS.
    NoConnection(String),
    /// Connected, and then it broke or took too long: the report may have caused it.
    Broken(String),
}

/// What a success's body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Body {
    /// It carries the id of the report.
    OurId,
    /// Empty, or JSON without the id.
    EmptyOrJson,
    /// JSON that speaks of an error, or carries the id of another report.
    Denies,
    /// A page for people: a log-in page of a network, a proxy's error.
    Html,
    /// Anything else.
    Other,
}

/// What is known beside the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Context {
    /// This address has accepted a report before.
    pub accepted_before: bool,
    /// It has proved to be a server of this kind, by a call that only such a server answers.
    pub identified: bool,
}

/// What to do.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// The destination has it.
    Sent,
    /// The report is tried again later; the destination is fine, unless `down`.
    RetryReport {
        /// When the server wants it at the earliest.
        after: Option<Duration>,
        /// Whether it counts for the destination's breaker.
        down: bool,
        /// Whether the try may count against the report.
        charge: bool,
        /// What went wrong.
        error: ErrorReport,
    },
    /// The destination is down: the report waits for it, uncharged.
    DestinationDown {
        /// What went wrong.
        error: ErrorReport,
    },
    /// The report is refused for good.
    FailReport {
        /// What the server says.
        error: ErrorReport,
    },
    /// The destination refuses us as a whole; everything waits until a person has mended it.
    PauseDestination {
        /// Why.
        error: ErrorReport,
    },
}

/// Judges an answer. DESIGN: a report is charged only for what is its own fault.
#[must_use]
pub fn classify(answer: &Answer, context: Context) -> Verdict {
    let (status, body, retry_after, text) = match answer {
        Answer::NoConnection(reason) => {
            return Verdict::DestinationDown { error: ErrorReport::new(Code::DestinationUnreachable, reason) };
        }
        Answer::Broken(reason) => {
            let error = ErrorReport::new(Code::DestinationUnreachable, reason);
            return Verdict::RetryReport { after: None, down: true, charge: true, error };
        }
        Answer::Status { status, body, retry_after, text } => (*status, *body, *retry_after, text.as_str()),
    };
    let says =
        if text.is_empty() { format!("the server answered {status}") } else { format!("the server answered {status}: {text}") };
    let error = |code: Code| ErrorReport::new(code, &says);
    let retry = |down: bool, charge: bool| Verdict::RetryReport {
        after: retry_after,
        down,
        charge,
        error: error(Code::DestinationUnreachable),
    };
    match status {
        200..=299 => match body {
            Body::OurId => Verdict::Sent,
            Body::EmptyOrJson if context.identified || context.accepted_before => Verdict::Sent,
            _ => Verdict::PauseDestination { error: error(Code::NotOurServer) },
        },
        300..=399 => Verdict::PauseDestination { error: error(Code::NotOurServer) },
        401 | 403 | 407 => Verdict::PauseDestination { error: error(Code::DestinationUnauthorised) },
        404 | 405 if !context.accepted_before => Verdict::PauseDestination { error: error(Code::NotOurServer) },
        // A page for people in the place of the server's own words: a server in maintenance, or a web server that refuses this report before the
        // server sees it. What others do decides: a try counts only once another report was accepted.
        404 | 405 if body == Body::Html => retry(false, true),
        408 | 425 => retry(false, true),
        429 => retry(true, true),
        400..=499 => Verdict::FailReport { error: error(Code::ReportRefused) },
        // Uncharged, but later: if it is this report that a gateway gives up on, those after it must not wait behind it.
        502..=504 => retry(true, false),
        500..=599 => retry(false, true),
        _ => Verdict::PauseDestination { error: error(Code::NotOurServer) },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(status: u16, body: Body, context: Context) -> &'static str {
        let answer = Answer::Status { status, body, retry_after: None, text: String::new() };
        match classify(&answer, context) {
            Verdict::Sent => "sent",
            Verdict::RetryReport { down: false, charge: true, .. } => "retry",
            Verdict::RetryReport { down: true, charge: true, .. } => "retry, down",
            Verdict::RetryReport { charge: false, .. } => "later, uncharged",
            Verdict::DestinationDown { .. } => "down",
            Verdict::FailReport { .. } => "fail",
            Verdict::PauseDestination { .. } => "pause",
        }
    }

    const NEW: Context = Context { accepted_before: false, identified: false };
    const KNOWN: Context = Context { accepted_before: true, identified: true };

    #[test]
    fn each_status_ends_where_the_table_says() {
        for (statuses, before, after) in [
            (&[400, 402, 406, 409, 410, 411, 413, 414, 415, 418, 422, 431, 451][..], "fail", "fail"),
            (&[401, 403, 407], "pause", "pause"),
            (&[404, 405], "pause", "fail"),
            (&[408, 425], "retry", "retry"),
            (&[429], "retry, down", "retry, down"),
            (&[500, 501, 505, 507, 511, 599], "retry", "retry"),
            (&[502, 503, 504], "later, uncharged", "later, uncharged"),
            (&[300, 301, 302, 303, 304, 307, 308], "pause", "pause"),
            (&[100, 199, 600, 999], "pause", "pause"),
        ] {
            for &status in statuses {
                assert_eq!(name(status, Body::EmptyOrJson, NEW), before, "{status} before any success");
                assert_eq!(name(status, Body::EmptyOrJson, KNOWN), after, "{status} after a success");
            }
        }
    }

    #[test]
    fn a_page_that_says_not_found_is_not_the_servers_word() {
        for status in [404, 405] {
            assert_eq!(name(status, Body::Html, KNOWN), "retry", "an outage fails no report");
            for body in [Body::EmptyOrJson, Body::Denies, Body::OurId, Body::Other] {
                assert_eq!(name(status, body, KNOWN), "fail");
            }
            assert_eq!(name(status, Body::Html, NEW), "pause");
        }
    }

    #[test]
    fn a_success_is_one_only_from_our_server() {
        for status in [200, 201, 202, 204] {
            assert_eq!(name(status, Body::OurId, NEW), "sent");
            assert_eq!(name(status, Body::EmptyOrJson, NEW), "pause", "nothing proves that this is the server");
            assert_eq!(name(status, Body::EmptyOrJson, Context { identified: true, ..NEW }), "sent");
            assert_eq!(name(status, Body::EmptyOrJson, KNOWN), "sent");
            for context in [NEW, KNOWN] {
                assert_eq!(name(status, Body::Denies, context), "pause", "an error or another report's id confirms nothing");
                assert_eq!(name(status, Body::Html, context), "pause", "a log-in page is not the server");
                assert_eq!(name(status, Body::Other, context), "pause");
            }
        }
    }

    #[test]
    fn no_connection_is_the_destinations_fault_and_a_broken_one_may_be_the_reports() {
        assert!(matches!(classify(&Answer::NoConnection("refused".into()), NEW), Verdict::DestinationDown { .. }));
        assert!(matches!(classify(&Answer::Broken("time".into()), NEW), Verdict::RetryReport { down: true, .. }));
    }

    #[test]
    fn the_servers_words_reach_the_person() {
        let answer = Answer::Status { status: 400, body: Body::Other, retry_after: None, text: "unknown part number".into() };
        let Verdict::FailReport { error } = classify(&answer, KNOWN) else { panic!() };
        assert_eq!(error.message, "the server answered 400: unknown part number");
    }
}

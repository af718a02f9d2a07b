//! What destinations were asked, beside their reports, and what came of it. What was not measured is absent.

use serde::{Deserialize, Serialize};
use waybill_shared::error::ErrorReport;

/// What came of a real, authenticated call to a destination. It counts for nothing and delivers nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DestinationTest {
    /// Name of the destination.
    pub destination: String,
    /// Whether a report could be delivered now, as far as can be told without one.
    pub ok: bool,
    /// HTTP status of the answer, if there was one.
    pub status: Option<u16>,
    /// From the beginning of the call, connecting included, until it was known what came of it; milliseconds.
    pub latency_ms: u64,
    /// What the server says of itself, its version.
    pub server: Option<String>,
    /// What was found and, if it is not well, what to do, as sentences for a person.
    pub message: String,
    /// How far the server's clock is ahead of this station's; negative if it is behind. Seconds, to about one.
    pub clock_skew_secs: Option<i64>,
    /// The certificate that the server showed, accepted or not.
    pub certificate: Option<CertificateInfo>,
}

/// A server's certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateInfo {
    /// Who it is for, as `CN=…, O=…`; empty if the certificate says so only in its list of names.
    pub subject: String,
    /// Who vouches for it, written alike.
    pub issuer: String,
    /// When it expires, milliseconds since 1970 UTC.
    pub not_after_ms: i64,
}

/// One of several destinations that were tested at the same time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DestinationTrial {
    /// Its name, as it was given.
    pub destination: String,
    /// What was found; an error is what kept this station from asking, or from waiting any longer.
    pub result: Result<DestinationTest, ErrorReport>,
}

/// An operation that a server knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessRow {
    /// Its code, as reports name it.
    pub code: i64,
    /// Its name.
    pub name: String,
    /// What the server says of it: `test`, `repair`, `wip`, …
    pub kinds: Vec<String>,
}

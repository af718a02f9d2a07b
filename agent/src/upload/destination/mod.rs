//! What a destination is.

pub mod certificate;
pub mod folder;
pub mod http;
pub mod registration;
pub mod silence;
#[cfg(test)]
mod tests;
pub mod trouble;
pub mod wats;

use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use waybill_ipc::protocol::{DestinationTest, ProcessRow};
use waybill_shared::config::{self, DestinationKind, Proxy, Tls, Upload};
use waybill_shared::error::{Code, ErrorReport};
use waybill_shared::id::{CorrelationId, ReportId};
use waybill_shared::secret::Secret;

use self::registration::{Registering, Registration};
use super::verdict::Verdict;
use crate::secrets::{SecretName, Store};

/// A report to deliver.
#[derive(Debug, Clone)]
pub struct Parcel {
    /// Its identity.
    pub report_id: ReportId,
    /// Life of its file.
    pub correlation_id: CorrelationId,
    /// Its serial number.
    pub serial: String,
    /// When it was queued, milliseconds since 1970 UTC.
    pub queued_at_ms: i64,
    /// The WSJF.
    pub body: Bytes,
}

/// What came of a delivery: where it is now, or what to do instead.
pub type Delivered = Result<String, Verdict>;
/// A delivery that is under way; dropping it closes its connection.
pub type Delivery<'a> = Pin<Box<dyn Future<Output = Delivered> + Send + 'a>>;

/// A test that is under way; dropping it ends it.
pub type Testing<'a> = Pin<Box<dyn Future<Output = Result<DestinationTest, ErrorReport>> + Send + 'a>>;

/// A list that is under way; dropping it ends it.
pub type Listing<'a> = Pin<Box<dyn Future<Output = Result<Vec<ProcessRow>, ErrorReport>> + Send + 'a>>;

/// How far a test goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// For a person: on a connection of its own, with a look at the certificate and the clock.
    Whole,
    /// For a check that is made again and again: over the connections of the deliveries.
    Brief,
}

/// A place that reports are delivered to.
pub trait Destination: Send + Sync + 'static {
    /// Its address as people write it; a change of it makes it another place.
    fn address(&self) -> String;
    /// Tells it that its address accepted a report in an earlier run.
    fn accepted_before(&self);
    /// Delivers; confirmed only when the place has it for good.
    fn deliver(&self, parcel: Parcel) -> Delivery<'_>;
    /// Makes the real call that a delivery depends on, without a report, in at most [`Upload::call_timeout_secs`].
    /// What the place answers, or that it does not, is a result; an error is what kept this station from asking: a missing secret, a file
    /// that the configuration names. It counts for no breaker.
    fn test(&self, depth: Depth) -> Testing<'_>;
    /// Makes this station known to the place, with a token that is only good for that, and gives the token for everything from now on; in
    /// at most [`Upload::call_timeout_secs`]. The token is not in use yet: whoever asked keeps it.
    fn register(&self, token: Secret, station: Registration) -> Registering<'_> {
        let (_unused, place) = ((token, station), self.address());
        Box::pin(async move { Err(only_a_server(&place, "registers stations")) })
    }
    /// The operations that the place knows, in its order; in at most [`Upload::call_timeout_secs`].
    fn processes(&self) -> Listing<'_> {
        let place = self.address();
        Box::pin(async move { Err(only_a_server(&place, "knows operations")) })
    }
}

fn only_a_server(place: &str, does: &str) -> ErrorReport {
    ErrorReport::new(Code::RequestInvalid, format!("{place} is no server that {does}"))
        .with_fix("Name a destination of kind `wats`; `waybill-agent destinations list` shows the kinds")
}

/// What destinations have in common.
#[derive(Debug, Clone, Copy)]
pub struct Common<'a> {
    /// How reports are sent.
    pub upload: &'a Upload,
    /// The way to servers.
    pub proxy: &'a Proxy,
    /// How servers prove who they are.
    pub tls: &'a Tls,
    /// Folder that relative paths of the configuration start at.
    pub base: &'a Path,
    /// Where secrets are.
    pub secrets: &'a Store,
}

/// Makes a destination from its configuration. What it reads later (secrets, `ca_file`) need not be there yet.
///
/// # Errors
/// What is missing or cannot be used.
pub fn build(config: &config::Destination, common: &Common<'_>) -> Result<Arc<dyn Destination>, ErrorReport> {
    let incomplete = |what: &str| ErrorReport::new(Code::ConfigInvalid, format!("destination {:?} has no {what}", config.name));
    Ok(match config.kind {
        DestinationKind::Folder => {
            let folder = config.folder.as_ref().ok_or_else(|| incomplete("folder"))?;
            Arc::new(folder::Folder::start(&config.name, common.base.join(folder), common.upload)?)
        }
        DestinationKind::Wats => {
            let url = config.url.as_ref().ok_or_else(|| incomplete("url"))?;
            let token_file = config.token_file.as_deref().map(|file| common.base.join(file));
            let token = common.secrets.source(SecretName::token(&config.name)?, token_file);
            Arc::new(wats::Wats::new(&config.name, url, token, http::Http::new(common))?)
        }
    })
}

/// How long a call without a report may take.
#[must_use]
pub fn call_limit(upload: &Upload) -> Duration {
    Duration::from_secs(upload.call_timeout_secs)
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

//! What a destination is.

pub mod folder;
pub mod wats;

use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;

use waybill_shared::config::{self, DestinationKind, Upload};
use waybill_shared::error::{Code, ErrorReport};
use waybill_shared::id::{CorrelationId, ReportId};

use super::verdict::Verdict;

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
    pub body: Arc<[u8]>,
}

/// What came of a delivery: where it is now, or what to do instead.
pub type Delivered = Result<String, Verdict>;
/// A delivery that is under way; dropping it closes its connection.
pub type Delivery<'a> = Pin<Box<dyn Future<Output = Delivered> + Send + 'a>>;

/// A place that reports are delivered to.
pub trait Destination: Send + Sync + 'static {
    /// Its address as people write it; a change of it makes it another place.
    fn address(&self) -> String;
    /// Tells it that its address accepted a report in an earlier run.
    fn accepted_before(&self);
    /// Delivers; confirmed only when the place has it for good.
    fn deliver(&self, parcel: Parcel) -> Delivery<'_>;
}

/// Makes a destination from its configuration.
///
/// # Errors
/// What is missing or cannot be used.
pub fn build(
    config: &config::Destination,
    upload: &Upload,
    base: &Path,
    secrets: &Path,
) -> Result<Arc<dyn Destination>, ErrorReport> {
    let incomplete = |what: &str| ErrorReport::new(Code::ConfigInvalid, format!("destination {:?} has no {what}", config.name));
    Ok(match config.kind {
        DestinationKind::Folder => {
            let folder = config.folder.as_ref().ok_or_else(|| incomplete("folder"))?;
            Arc::new(folder::Folder::start(&config.name, base.join(folder), upload.concurrency)?)
        }
        DestinationKind::Wats => {
            let url = config.url.as_ref().ok_or_else(|| incomplete("url"))?;
            let token =
                crate::secrets::TokenSource::of(&config.name, config.token_file.as_deref().map(|file| base.join(file)), secrets);
            Arc::new(wats::Wats::new(url, token, upload)?)
        }
    })
}

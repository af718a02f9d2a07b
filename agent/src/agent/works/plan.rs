//! What a configuration asks of the works, part by part: parts of equal plans go on undisturbed.

use waybill_shared::config::{self, Config, Identity, Proxy, Tls, Upload, WhenFull};

use crate::archive::Archive;

/// A configuration as the works need it.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::agent) struct Plan {
    pub(in crate::agent) config: Config,
    pub(in crate::agent) identity: Identity,
    /// Changes whenever a secret does: a new token or password is a new destination.
    pub(in crate::agent) secrets: u64,
    /// Where copies of taken files go, if they are wanted.
    pub(in crate::agent) archive: Option<Archive>,
}

/// Everything a source is made of. Equal ones need no restart.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::agent) struct SourcePlan {
    pub(in crate::agent) source: config::Source,
    pub(in crate::agent) identity: Identity,
    pub(in crate::agent) max_file_bytes: u64,
    pub(in crate::agent) when_full: WhenFull,
    pub(in crate::agent) archive: Option<Archive>,
}

/// Everything a destination is made of.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct DestinationPlan {
    pub(super) destination: config::Destination,
    pub(super) upload: Upload,
    pub(super) proxy: Proxy,
    pub(super) tls: Tls,
    pub(super) secrets: u64,
}

/// The sources of a plan.
pub(super) fn source_plans(plan: &Plan) -> impl Iterator<Item = SourcePlan> {
    plan.config.source.iter().filter(|source| source.enabled).map(|source| SourcePlan {
        source: source.clone(),
        identity: plan.identity.clone(),
        max_file_bytes: plan.config.convert.max_file_bytes,
        when_full: plan.config.queue.when_full,
        archive: plan.archive.clone(),
    })
}

/// The destinations of a plan.
pub(super) fn destination_plans(plan: &Plan) -> impl Iterator<Item = DestinationPlan> {
    plan.config.destination.iter().filter(|destination| destination.enabled).map(|destination| DestinationPlan {
        destination: destination.clone(),
        upload: plan.config.upload.clone(),
        proxy: plan.config.proxy.clone(),
        tls: plan.config.tls.clone(),
        secrets: plan.secrets,
    })
}

//! Sources from their configuration.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use waybill_ipc::protocol::Event;
use waybill_shared::config::{self, Identity};
use waybill_shared::error::{Code, ErrorReport};
use waybill_shared::fs::is_network_folder;

use super::works::SourcePlan;
use crate::convert::pool::{Pool, SourceContext};
use crate::convert::registry::Registry;
use crate::intake::rescan::Patterns;
use crate::intake::settle::Rules;
use crate::intake::{Claims, Neighbour, Source, SourceSetup, WORKING};
use crate::queue::Opened;
use crate::supervisor::Supervisor;

/// How often a local folder is read as a whole.
const RESCAN_LOCAL: Duration = Duration::from_secs(60);
/// How often a folder on the network is, where change events do not arrive.
const RESCAN_NETWORK: Duration = Duration::from_secs(5);

/// What all sources of an agent share.
pub(super) struct Common<'a> {
    /// Where relative paths begin.
    pub(super) base: &'a Path,
    pub(super) registry: &'a Registry,
    pub(super) claims: &'a Arc<Claims>,
    pub(super) neighbours: &'a Arc<ArcSwap<Vec<Neighbour>>>,
    pub(super) pool: &'a Pool,
    pub(super) queue: &'a Opened,
    pub(super) supervisor: &'a Supervisor,
    pub(super) publish: &'a Arc<dyn Fn(Event) + Send + Sync>,
}

impl Common<'_> {
    /// Starts a source.
    ///
    /// # Errors
    /// What cannot be used.
    pub(super) fn start(&self, plan: &SourcePlan) -> Result<Source, ErrorReport> {
        let source = &plan.source;
        let context = context(self.registry, source, &plan.identity, plan.max_file_bytes)?;
        let folder = self.base.join(&source.folder);
        // A folder that is not there yet counts as local until it is; its next start knows better.
        let network = is_network_folder(&folder).unwrap_or(false);
        let inside = |configured: &Option<PathBuf>, name: &str| {
            configured.as_ref().map_or_else(|| folder.join(name), |configured| self.base.join(configured))
        };
        let setup = SourceSetup {
            rules: rules(source, network, context.converter.has_end_mark()),
            rules_with_end_mark: context.converter.is_by_content().then(|| rules(source, network, true)),
            context: Arc::new(context),
            done_folder: inside(&source.done_folder, "done"),
            error_folder: inside(&source.error_folder, "error"),
            archive: plan.archive.clone(),
            patterns: patterns(source)?,
            recursive: source.recursive,
            after: source.after,
            parallel: source.parallel.map_or(WORKING, |most| (most as usize).min(WORKING)),
            incomplete_timeout: Duration::from_secs(source.incomplete_timeout_secs),
            rescan: source.rescan_secs.map_or(if network { RESCAN_NETWORK } else { RESCAN_LOCAL }, Duration::from_secs),
            when_full: plan.when_full,
            claims: Arc::clone(self.claims),
            neighbours: Arc::clone(self.neighbours),
            pool: self.pool.handle(),
            writer: self.queue.writer.clone(),
            reader: self.queue.reader.clone(),
            gate: Arc::clone(&self.queue.gate),
            publish: Arc::clone(self.publish),
            folder,
        };
        Source::start(setup, self.supervisor)
            .map_err(|error| ErrorReport::new(Code::Internal, format!("no thread for source {:?}: {error}", source.name)))
    }
}

/// What the converters need to know of a source.
///
/// # Errors
/// There is no such converter.
pub(crate) fn context(
    registry: &Registry,
    source: &config::Source,
    station: &Identity,
    max_file_bytes: u64,
) -> Result<SourceContext, ErrorReport> {
    let converter = registry.choose(&source.converter).ok_or_else(|| registry.unknown(&source.converter))?;
    Ok(SourceContext {
        name: source.name.clone(),
        converter,
        arguments: source.arguments.clone(),
        priority: source.priority,
        station: station.clone(),
        max_file_bytes,
    })
}

fn rules(source: &config::Source, network: bool, has_end_mark: bool) -> Rules {
    Rules::new(source.settle_ms, network, has_end_mark)
}

/// What each source takes, for the others to know.
pub(super) fn neighbours(sources: &[&config::Source], base: &Path) -> Result<Vec<Neighbour>, ErrorReport> {
    let neighbour = |source: &&config::Source| {
        Ok(Neighbour {
            name: source.name.clone(),
            folder: base.join(&source.folder),
            recursive: source.recursive,
            patterns: patterns(source)?,
        })
    };
    sources.iter().map(neighbour).collect()
}

fn patterns(source: &config::Source) -> Result<Patterns, ErrorReport> {
    Patterns::new(&source.patterns)
        .map_err(|error| ErrorReport::new(Code::ConfigInvalid, format!("source {:?}: {error}", source.name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_long_a_file_must_be_quiet_is_what_is_configured() {
        let quiet = |lines: &str| {
            let text = format!("[[source]]\nname = \"ict\"\nfolder = \"x\"\n{lines}");
            let config = config::parse(&text).unwrap();
            rules(&config.source[0], true, false).quiet
        };
        assert_eq!(quiet(""), Duration::from_secs(5));
        assert_eq!(quiet("settle_ms = 250"), Duration::from_millis(250));
    }
}

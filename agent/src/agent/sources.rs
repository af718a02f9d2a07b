//! Sources from their configuration.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use waybill_ipc::protocol::Event;
use waybill_shared::config::{self, Config};
use waybill_shared::error::{Code, ErrorReport};
use waybill_shared::fs::is_network_folder;

use crate::convert::pool::{Pool, SourceContext};
use crate::convert::registry::Registry;
use crate::intake::rescan::Patterns;
use crate::intake::settle::Rules;
use crate::intake::{Claims, Neighbour, Source, SourceSetup};
use crate::queue::Opened;

/// How often a local folder is read as a whole.
const RESCAN_LOCAL: Duration = Duration::from_secs(60);
/// How often a folder on the network is, where change events do not arrive.
const RESCAN_NETWORK: Duration = Duration::from_secs(5);

/// What all sources of an agent share.
pub(super) struct Common<'a> {
    pub(super) config: &'a Config,
    /// Where relative paths begin.
    pub(super) base: &'a Path,
    pub(super) pool: &'a Pool,
    pub(super) queue: &'a Opened,
    pub(super) publish: &'a Arc<dyn Fn(Event) + Send + Sync>,
}

impl Common<'_> {
    /// Starts all sources of the configuration.
    ///
    /// # Errors
    /// What cannot be used.
    pub(super) fn start_all(&self) -> Result<Vec<Source>, ErrorReport> {
        let (registry, claims) = (Registry::built_in(), Arc::default());
        self.config.source.iter().map(|source| self.start(source, &registry, &claims)).collect()
    }

    fn start(&self, source: &config::Source, registry: &Registry, claims: &Arc<Claims>) -> Result<Source, ErrorReport> {
        let converter = registry
            .choose(&source.converter)
            .ok_or_else(|| ErrorReport::new(Code::ConverterUnknown, format!("there is no converter {:?}", source.converter)))?;
        let folder = self.base.join(&source.folder);
        // A folder that is not there yet counts as local until it is; its next start knows better.
        let network = is_network_folder(&folder).unwrap_or(false);
        let inside = |configured: &Option<PathBuf>, name: &str| {
            configured.as_ref().map_or_else(|| folder.join(name), |configured| self.base.join(configured))
        };
        let config = self.config;
        let setup = SourceSetup {
            rules: Rules::new(source.settle_ms, network, converter.has_end_mark()),
            context: Arc::new(SourceContext {
                name: source.name.clone(),
                converter,
                arguments: source.arguments.clone(),
                priority: source.priority,
                station: config.station.clone(),
                max_file_bytes: config.convert.max_file_bytes,
            }),
            done_folder: inside(&source.done_folder, "done"),
            error_folder: inside(&source.error_folder, "error"),
            patterns: patterns(source)?,
            recursive: source.recursive,
            after: source.after,
            incomplete_timeout: Duration::from_secs(source.incomplete_timeout_secs),
            rescan: source.rescan_secs.map_or(if network { RESCAN_NETWORK } else { RESCAN_LOCAL }, Duration::from_secs),
            when_full: config.queue.when_full,
            claims: Arc::clone(claims),
            others: self.neighbours(source)?,
            pool: self.pool.handle(),
            writer: self.queue.writer.clone(),
            reader: self.queue.reader.clone(),
            gate: Arc::clone(&self.queue.gate),
            publish: Arc::clone(self.publish),
            folder,
        };
        Source::start(setup)
            .map_err(|error| ErrorReport::new(Code::Internal, format!("no thread for source {:?}: {error}", source.name)))
    }

    fn neighbours(&self, of: &config::Source) -> Result<Vec<Neighbour>, ErrorReport> {
        let others = self.config.source.iter().filter(|other| other.name != of.name);
        others
            .map(|other| {
                Ok(Neighbour {
                    name: other.name.clone(),
                    folder: self.base.join(&other.folder),
                    recursive: other.recursive,
                    patterns: patterns(other)?,
                })
            })
            .collect()
    }
}

fn patterns(source: &config::Source) -> Result<Patterns, ErrorReport> {
    Patterns::new(&source.patterns)
        .map_err(|error| ErrorReport::new(Code::ConfigInvalid, format!("source {:?}: {error}", source.name)))
}

//! Sources from their configuration.

use std::path::Path;
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
use crate::intake::{Neighbour, Source, SourceSetup};
use crate::queue::Opened;

/// How often a local folder is read as a whole.
const RESCAN_LOCAL: Duration = Duration::from_secs(60);
/// How often a folder on the network is, where change events do not arrive.
const RESCAN_NETWORK: Duration = Duration::from_secs(5);

/// Starts all sources of a configuration.
///
/// # Errors
/// What cannot be used.
pub(super) fn start_all(
    config: &Config,
    base: &Path,
    pool: &Pool,
    queue: &Opened,
    publish: &Arc<dyn Fn(Event) + Send + Sync>,
) -> Result<Vec<Source>, ErrorReport> {
    let registry = Registry::built_in();
    config.source.iter().map(|source| start(source, config, base, &registry, pool, queue, publish)).collect()
}

fn start(
    source: &config::Source,
    config: &Config,
    base: &Path,
    registry: &Registry,
    pool: &Pool,
    queue: &Opened,
    publish: &Arc<dyn Fn(Event) + Send + Sync>,
) -> Result<Source, ErrorReport> {
    let converter = registry
        .choose(&source.converter)
        .ok_or_else(|| ErrorReport::new(Code::ConverterUnknown, format!("there is no converter {:?}", source.converter)))?;
    let folder = base.join(&source.folder);
    // A folder that is not there yet counts as local until it is; its next start knows better.
    let network = is_network_folder(&folder).unwrap_or(false);
    let rules = Rules::new(source.settle_ms, network, converter.has_end_mark());
    let others = config
        .source
        .iter()
        .filter(|other| other.name != source.name)
        .map(|other| {
            Ok(Neighbour {
                name: other.name.clone(),
                folder: base.join(&other.folder),
                recursive: other.recursive,
                patterns: patterns(other)?,
            })
        })
        .collect::<Result<_, ErrorReport>>()?;
    let inside = |configured: &Option<std::path::PathBuf>, name: &str| {
        configured.as_ref().map_or_else(|| folder.join(name), |configured| base.join(configured))
    };
    let setup = SourceSetup {
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
        rules,
        incomplete_timeout: Duration::from_secs(source.incomplete_timeout_secs),
        rescan: source.rescan_secs.map_or(if network { RESCAN_NETWORK } else { RESCAN_LOCAL }, Duration::from_secs),
        when_full: config.queue.when_full,
        others,
        pool: pool.handle(),
        writer: queue.writer.clone(),
        reader: queue.reader.clone(),
        gate: Arc::clone(&queue.gate),
        publish: Arc::clone(publish),
        folder,
    };
    Source::start(setup)
        .map_err(|error| ErrorReport::new(Code::Internal, format!("no thread for source {:?}: {error}", source.name)))
}

fn patterns(source: &config::Source) -> Result<Patterns, ErrorReport> {
    Patterns::new(&source.patterns)
        .map_err(|error| ErrorReport::new(Code::ConfigInvalid, format!("source {:?}: {error}", source.name)))
}

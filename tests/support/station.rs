//! A test station in a folder of its own: configuration, watch folders, and equipment that writes into them.
//!
//! ```text
//! <temp>/config.toml       the contract of DESIGN section 6
//!        data/             --data-dir of the agent
//!        watch/<source>/   watch folders, with done/ and error/ inside unless told otherwise
//!        staging/          where equipment writes before it renames, on the same file system
//!        out/<name>/       folder destinations
//! ```
//!
//! Everything is deleted with the last clone of the station (an [`Agent`](crate::Agent) holds one), unless
//! `WAYBILL_TEST_KEEP=1`, which prints the folder.

mod builder;
mod listing;
mod writers;

pub use builder::{SourceBuilder, StationBuilder};

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};

use tempfile::TempDir;
use waybill_ipc::Endpoint;
use waybill_shared::paths::{Instance, InstanceOptions};

/// A test station. Clones are the same station.
#[derive(Clone)]
pub struct Station(Arc<Inner>);

struct Inner {
    folder: TempDir,
    sources: BTreeMap<String, Folders>,
    outputs: BTreeMap<String, PathBuf>,
    // Tests change a token while other threads start command lines.
    environment: Mutex<BTreeMap<String, String>>,
    staged: AtomicU64,
}

/// The folders of one source.
#[derive(Debug, Clone)]
struct Folders {
    watch: PathBuf,
    done: PathBuf,
    error: PathBuf,
}

impl Station {
    /// Describes a station.
    #[must_use]
    pub fn builder() -> StationBuilder {
        StationBuilder::new()
    }

    /// A station with one WSJF source `ict` and one destination `main` that is this receiver, and with pauses of seconds
    /// where the defaults are minutes.
    #[must_use]
    pub fn simple(receiver: &crate::Receiver) -> Self {
        Self::builder().source("ict", |source| source.patterns(["*.json"]).converter("wsjf")).wats(receiver).quick().build()
    }

    /// The folder that holds everything.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.0.folder.path()
    }

    /// `--data-dir` of the agent.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.folder().join("data")
    }

    /// `--config` of the agent.
    #[must_use]
    pub fn config(&self) -> PathBuf {
        self.folder().join("config.toml")
    }

    /// What the configuration says now.
    #[must_use]
    pub fn config_text(&self) -> String {
        std::fs::read_to_string(self.config()).expect("config.toml")
    }

    /// Replaces the configuration, valid or not, as an editor does.
    pub fn write_config(&self, text: &str) {
        std::fs::write(self.config(), text).expect("config.toml");
    }

    /// The watch folder of a source.
    #[must_use]
    pub fn watch(&self, source: &str) -> PathBuf {
        self.folders(source).watch.clone()
    }

    /// The folder of a folder destination.
    #[must_use]
    pub fn output(&self, destination: &str) -> PathBuf {
        self.0.outputs.get(destination).unwrap_or_else(|| panic!("no folder destination {destination:?}")).clone()
    }

    /// The places of the agent, as the agent works them out.
    #[must_use]
    pub fn instance(&self) -> Instance {
        let options = InstanceOptions { data_dir: Some(self.data()), config: Some(self.config()), ..InstanceOptions::default() };
        Instance::locate(&options).expect("the places of an instance")
    }

    /// Where the agent answers.
    #[must_use]
    pub fn endpoint(&self) -> Endpoint {
        Endpoint::of(&self.instance())
    }

    /// The environment of processes that are started from now on, besides this process's own without `WAYBILL_…`.
    #[must_use]
    pub fn environment(&self) -> BTreeMap<String, String> {
        self.0.environment.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Sets a variable for processes that are started from now on.
    pub fn set_environment(&self, name: &str, value: &str) {
        self.0.environment.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), value.to_owned());
    }

    /// Takes a variable away from processes that are started from now on.
    pub fn unset_environment(&self, name: &str) {
        self.0.environment.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
    }

    /// Sets the token of a destination for processes that are started from now on.
    pub fn set_token(&self, destination: &str, token: &str) {
        self.set_environment(&token_variable(destination), token);
    }

    fn folders(&self, source: &str) -> &Folders {
        self.0.sources.get(source).unwrap_or_else(|| panic!("no source {source:?}"))
    }
}

/// The variable that holds the token of a destination.
#[must_use]
pub fn token_variable(destination: &str) -> String {
    waybill_shared::secret::environment_variable(&format!("destination.{destination}.token"))
}

#[cfg(test)]
mod tests;

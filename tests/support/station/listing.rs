//! What lies in the station's folders.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::Station;

const SIDECAR: &str = ".error.json";

impl Station {
    /// Files that were taken: `done/YYYY-MM-DD/<name>`.
    #[must_use]
    pub fn done_files(&self, source: &str) -> Vec<PathBuf> {
        files(&self.folders(source).done, &[])
    }

    /// Files that were set aside: `error/YYYY-MM-DD/<name>`, without their sidecars.
    #[must_use]
    pub fn error_files(&self, source: &str) -> Vec<PathBuf> {
        files(&self.folders(source).error, &[]).into_iter().filter(|path| !is_sidecar(path)).collect()
    }

    /// The sidecars beside files that were set aside: `<name>.error.json`.
    #[must_use]
    pub fn sidecars(&self, source: &str) -> Vec<PathBuf> {
        files(&self.folders(source).error, &[]).into_iter().filter(|path| is_sidecar(path)).collect()
    }

    /// What the sidecars say, by the name of the file that each belongs to.
    #[must_use]
    pub fn sidecar_values(&self, source: &str) -> BTreeMap<String, Value> {
        let read = |path: PathBuf| {
            let name = file_name(&path).strip_suffix(SIDECAR).expect("a sidecar's name").to_owned();
            let text = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            (name, serde_json::from_slice(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display())))
        };
        self.sidecars(source).into_iter().map(read).collect()
    }

    /// Files in the watch folder and the folders inside it, except for done and error folders.
    #[must_use]
    pub fn watched_files(&self, source: &str) -> Vec<PathBuf> {
        let folders = self.folders(source);
        files(&folders.watch, &[&folders.done, &folders.error])
    }

    /// The reports that a folder destination holds, by id.
    #[must_use]
    pub fn delivered(&self, destination: &str) -> BTreeMap<String, Value> {
        let read = |path: PathBuf| {
            let bytes = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            let report: Value =
                serde_json::from_slice(&bytes).unwrap_or_else(|error| panic!("{} is no JSON: {error}", path.display()));
            let id = report["id"].as_str().unwrap_or_else(|| panic!("{} has no id", path.display())).to_owned();
            (id, report)
        };
        let found = files(&self.output(destination), &[]);
        found.into_iter().filter(|path| path.extension().is_some_and(|end| end == "json")).map(read).collect()
    }

    /// The last `lines` lines of the agent's logs, for a message.
    #[must_use]
    pub fn log_tail(&self, lines: usize) -> String {
        let mut logs = files(&self.instance().logs(), &[]);
        logs.sort_by_key(|path| std::fs::metadata(path).and_then(|meta| meta.modified()).ok());
        let text: String =
            logs.iter().filter_map(|path| std::fs::read(path).ok()).map(|b| String::from_utf8_lossy(&b).into_owned()).collect();
        let all: Vec<_> = text.lines().collect();
        all[all.len().saturating_sub(lines)..].join("\n")
    }
}

/// The name of a file, without folders.
#[must_use]
pub fn file_name(path: &Path) -> &str {
    path.file_name().and_then(|name| name.to_str()).unwrap_or_default()
}

fn is_sidecar(path: &Path) -> bool {
    file_name(path).ends_with(SIDECAR)
}

/// All files under a folder, sorted, without those under `except`. The agent moves files meanwhile: what is gone is not there.
fn files(folder: &Path, except: &[&Path]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(folder) = open.pop() {
        let Ok(entries) = std::fs::read_dir(&folder) else { continue };
        for entry in entries.flatten() {
            let path = entry.path();
            match entry.file_type() {
                Ok(kind) if kind.is_dir() && !except.contains(&path.as_path()) => open.push(path),
                Ok(kind) if kind.is_file() => found.push(path),
                _ => {}
            }
        }
    }
    found.sort();
    found
}

//! Rules between fields: each value is fine by itself, together they contradict each other.

use std::collections::HashSet;
use std::path::{Component, Path, PathBuf};

use super::model::{Config, DestinationKind, NameFrom, ProxyMode, Source};
use crate::schema::{Fault, FaultKind};

/// All contradictions of a configuration whose fields are valid one by one.
#[must_use]
pub fn conflicts(config: &Config) -> Vec<Fault> {
    let mut faults = Vec::new();
    station(&mut faults, config);
    distinct(&mut faults, "source", config.source.iter().map(|s| s.name.as_str()));
    distinct(&mut faults, "destination", config.destination.iter().map(|d| d.name.as_str()));
    for (index, destination) in config.destination.iter().enumerate() {
        let mut missing = |key: &str, what: &str| {
            faults.push(Fault {
                path: format!("destination[{index}].{key}"),
                kind: FaultKind::Missing,
                message: format!("a destination of kind `{}` needs {what}", destination.kind.as_str()),
            });
        };
        match destination.kind {
            DestinationKind::Wats if destination.url.is_none() => missing("url", "the address of its server"),
            DestinationKind::Folder if destination.folder.is_none() => missing("folder", "the folder it writes to"),
            _ => {}
        }
        let foreign = match destination.kind {
            DestinationKind::Wats => [("folder", destination.folder.is_some()), ("", false)],
            DestinationKind::Folder => [("url", destination.url.is_some()), ("token_file", destination.token_file.is_some())],
        };
        for (key, _) in foreign.into_iter().filter(|(_, set)| *set) {
            faults.push(Fault {
                path: format!("destination[{index}].{key}"),
                kind: FaultKind::Conflict,
                message: format!("has no effect for kind `{}`", destination.kind.as_str()),
            });
        }
    }
    for (later, source) in config.source.iter().enumerate() {
        for (earlier, other) in config.source[..later].iter().enumerate() {
            if source.enabled && other.enabled && overlap(source, other) {
                faults.push(Fault {
                    path: format!("source[{later}].folder"),
                    kind: FaultKind::Conflict,
                    message: format!(
                        "takes the same files as source[{earlier}] ({:?}); narrow the patterns, or use another folder",
                        other.name
                    ),
                });
            }
        }
    }
    archive(&mut faults, config);
    if config.proxy.mode == ProxyMode::Manual && config.proxy.url.is_none() {
        faults.push(missing("proxy.url", "`mode = \"manual\"` needs the address of the proxy"));
    }
    if config.upload.backoff_max_secs < config.upload.backoff_initial_secs {
        faults.push(conflict("upload.backoff_max_secs", "is shorter than upload.backoff_initial_secs"));
    }
    if config.upload.breaker_max_cooldown_secs < config.upload.breaker_cooldown_secs {
        faults.push(conflict("upload.breaker_max_cooldown_secs", "is shorter than upload.breaker_cooldown_secs"));
    }
    faults
}

fn station(faults: &mut Vec<Fault>, config: &Config) {
    let station = &config.station;
    distinct(faults, "station.preset", station.preset.iter().map(|p| p.name.as_str()));
    if let Some(active) = &station.active
        && !station.preset.iter().any(|preset| preset.name.eq_ignore_ascii_case(active))
    {
        let names: Vec<&str> = station.preset.iter().map(|preset| preset.name.as_str()).collect();
        let known = if names.is_empty() { "there is none".to_owned() } else { format!("there are: {}", names.join(", ")) };
        faults.push(conflict("station.active", &format!("no preset has the name {active:?}; {known}")));
    }
    if station.name_from == NameFrom::Variable && station.name_variable.is_none() {
        faults.push(missing("station.name_variable", "`name_from = \"variable\"` needs the name of the variable"));
    }
}

/// What lies in the archive must not be found as something that equipment wrote.
fn archive(faults: &mut Vec<Fault>, config: &Config) {
    let Some(folder) = config.archive.folder.as_deref().map(plain).filter(|_| config.archive.enabled) else { return };
    for source in &config.source {
        let watched = plain(&source.folder);
        if folder == watched || (source.recursive && folder.starts_with(&watched)) {
            let message = format!("source {:?} would take files from there; use a folder that no source watches", source.name);
            faults.push(conflict("archive.folder", &message));
        }
    }
}

fn missing(path: &str, message: &str) -> Fault {
    Fault { path: path.to_owned(), kind: FaultKind::Missing, message: message.to_owned() }
}

fn conflict(path: &str, message: &str) -> Fault {
    Fault { path: path.to_owned(), kind: FaultKind::Conflict, message: message.to_owned() }
}

fn distinct<'a>(faults: &mut Vec<Fault>, list: &str, names: impl Iterator<Item = &'a str>) {
    let mut seen = HashSet::new();
    for (index, name) in names.enumerate() {
        // File names and environment variables are made of names: case does not make two of them.
        if !seen.insert(name.to_ascii_lowercase()) {
            faults.push(conflict(&format!("{list}[{index}].name"), &format!("{name:?} is used twice")));
        }
    }
}

/// True where two sources certainly take the same files: the same folder, or one inside a recursive one, with a pattern in
/// common or one that takes everything. Patterns that overlap in part are found when a file really matches both.
fn overlap(a: &Source, b: &Source) -> bool {
    let (folder_a, folder_b) = (plain(&a.folder), plain(&b.folder));
    let shared_folder = folder_a == folder_b
        || (a.recursive && folder_b.starts_with(&folder_a))
        || (b.recursive && folder_a.starts_with(&folder_b));
    let takes_all = |source: &Source| source.patterns.iter().any(|p| p == "*" || p == "*.*");
    let common = a.patterns.iter().any(|p| b.patterns.iter().any(|q| p.eq_ignore_ascii_case(q)));
    shared_folder && (common || takes_all(a) || takes_all(b))
}

/// A path without `.` components, as far as its text tells.
fn plain(path: &Path) -> PathBuf {
    path.components().filter(|c| !matches!(c, Component::CurDir)).collect()
}

#[cfg(test)]
mod tests {
    use super::super::{ConfigError, parse};

    fn paths(text: &str) -> Vec<String> {
        match parse(text) {
            Ok(_) => Vec::new(),
            Err(ConfigError::Faults(faults)) => faults.into_iter().map(|f| f.path).collect(),
            Err(other) => panic!("{other}"),
        }
    }

    #[test]
    fn contradictions_are_found() {
        let two = |a: &str, b: &str| format!("[[source]]\nname='a'\n{a}\n[[source]]\nname='b'\n{b}");
        assert_eq!(paths(&two("folder='/x'", "folder='/x/.'")), ["source[1].folder"]);
        assert_eq!(
            paths(&two("folder='/x'\nrecursive=true\npatterns=['*.json']", "folder='/x/y'\npatterns=['*.JSON']")),
            ["source[1].folder"]
        );
        assert!(paths(&two("folder='/x'\npatterns=['*.json']", "folder='/x'\npatterns=['*.xml']")).is_empty());
        assert!(paths(&two("folder='/x'", "folder='/y'")).is_empty());
        assert_eq!(paths("[[destination]]\nname='d'\nkind='wats'"), ["destination[0].url"]);
        assert_eq!(paths("[[destination]]\nname='d'\nkind='folder'\nfolder='/x'\nurl='http://x'"), ["destination[0].url"]);
        assert_eq!(
            paths("[[destination]]\nname='d'\nkind='folder'\nfolder='/x'\n[[destination]]\nname='D'\nkind='folder'\nfolder='/y'"),
            ["destination[1].name"]
        );
        let archive = "[archive]\nenabled=true\nfolder='/x/y'\n[[source]]\nname='s'\nrecursive=true\nfolder=";
        assert_eq!(paths(&format!("{archive}'/x'")), ["archive.folder"]);
        assert!(paths(&format!("{archive}'/x/y/z'")).is_empty());
        assert_eq!(paths("[upload]\nbackoff_initial_secs=60\nbackoff_max_secs=30"), ["upload.backoff_max_secs"]);
    }
}

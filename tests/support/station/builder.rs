//! How a test describes its station.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};

use serde_json::Value;

use super::{Folders, Inner, Station, token_variable};
use crate::Receiver;

/// A disk with less is nearly full, bytes.
const LITTLE_ROOM: u64 = 4 * 1024 * 1024 * 1024;
/// What an agent wants of the room on its disk.
const ROOM_SETTINGS: [(&str, &str); 4] =
    [("queue", "min_free_bytes"), ("queue", "min_free_percent"), ("health", "disk_warn_bytes"), ("health", "disk_warn_percent")];

/// A station in the making. Values are anything that becomes a JSON value: texts, numbers, booleans, lists of them.
pub struct StationBuilder {
    sources: Vec<SourceBuilder>,
    destinations: Vec<(String, Keys)>,
    sections: BTreeMap<String, Keys>,
    environment: BTreeMap<String, String>,
    raw: String,
}

type Keys = Vec<(String, Value)>;

/// A source in the making.
pub struct SourceBuilder {
    name: String,
    keys: Keys,
    arguments: Keys,
    create: bool,
}

impl StationBuilder {
    pub(super) fn new() -> Self {
        Self {
            sources: Vec::new(),
            destinations: Vec::new(),
            sections: BTreeMap::new(),
            environment: BTreeMap::new(),
            raw: String::new(),
        }
        .setting("station", "name", "ST-07")
        .setting("station", "location", "Line 1")
    }

    /// Adds a source; its folder is `watch/<name>` unless told.
    #[must_use]
    pub fn source(mut self, name: &str, describe: impl FnOnce(SourceBuilder) -> SourceBuilder) -> Self {
        let source = SourceBuilder { name: name.to_owned(), keys: Vec::new(), arguments: Vec::new(), create: true };
        self.sources.push(describe(source));
        self
    }

    /// Adds the destination `main`: this receiver, with its token in the environment.
    #[must_use]
    pub fn wats(self, receiver: &Receiver) -> Self {
        self.wats_named("main", receiver)
    }

    /// Adds a destination: this receiver, with its token in the environment.
    #[must_use]
    pub fn wats_named(self, name: &str, receiver: &Receiver) -> Self {
        self.wats_at(name, &receiver.url(), Some(&receiver.token()))
    }

    /// Adds a destination at any address; without a token in the environment there is none.
    #[must_use]
    pub fn wats_at(mut self, name: &str, url: &str, token: Option<&str>) -> Self {
        self.destinations.push((name.to_owned(), vec![("kind".into(), "wats".into()), ("url".into(), url.into())]));
        match token {
            Some(token) => self.env(&token_variable(name), token),
            None => self,
        }
    }

    /// Adds a folder destination: `out/<name>`.
    #[must_use]
    pub fn folder_destination(mut self, name: &str) -> Self {
        self.destinations.push((name.to_owned(), vec![("kind".into(), "folder".into())]));
        self
    }

    /// Sets a key of the destination that was added last.
    #[must_use]
    pub fn destination_setting(mut self, key: &str, value: impl Into<Value>) -> Self {
        let (_, keys) = self.destinations.last_mut().expect("a destination before its setting");
        set(keys, key, value.into());
        self
    }

    /// Sets a key of `[upload]`.
    #[must_use]
    pub fn upload(self, key: &str, value: impl Into<Value>) -> Self {
        self.setting("upload", key, value)
    }

    /// Sets a key of `[queue]`.
    #[must_use]
    pub fn queue(self, key: &str, value: impl Into<Value>) -> Self {
        self.setting("queue", key, value)
    }

    /// Sets a key of any other section: `station`, `convert`, `ipc`, `log`, `shutdown`.
    #[must_use]
    pub fn setting(mut self, section: &str, key: &str, value: impl Into<Value>) -> Self {
        set(self.sections.entry(section.to_owned()).or_default(), key, value.into());
        self
    }

    /// Pauses of one or two seconds where the defaults are half a minute to an hour.
    #[must_use]
    pub fn quick(self) -> Self {
        self.upload("backoff_initial_secs", 1)
            .upload("backoff_max_secs", 2)
            .upload("breaker_cooldown_secs", 1)
            .upload("breaker_max_cooldown_secs", 2)
            .upload("paused_probe_secs", 1)
    }

    /// Appends TOML after everything else; it may not open a section again that was set here.
    #[must_use]
    pub fn raw_config(mut self, text: &str) -> Self {
        self.raw.push_str(text);
        self.raw.push('\n');
        self
    }

    /// Sets a variable of the agent's environment.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Makes the folders and writes the configuration, which must be valid; for one that is not see
    /// [`Station::write_config`].
    #[must_use]
    pub fn build(self) -> Station {
        let mut folder = tempfile::Builder::new().prefix("waybill-").tempdir().expect("a temporary folder");
        if std::env::var_os("WAYBILL_TEST_KEEP").is_some() {
            folder.disable_cleanup(true);
            eprintln!("this station stays in {}", folder.path().display());
        }
        let root = folder.path().to_owned();
        for part in ["data", "watch", "staging", "out"] {
            std::fs::create_dir(root.join(part)).expect("a folder of the station");
        }
        let text = self.config_text(&root);
        waybill_shared::config::parse(&text).unwrap_or_else(|error| panic!("this test's configuration: {error}\n\n{text}"));

        let outputs: BTreeMap<_, _> = self
            .destinations
            .iter()
            .filter(|(_, keys)| get(keys, "kind") == Some(&"folder".into()))
            .map(|(name, keys)| (name.clone(), path_of(keys, "folder", root.join("out").join(name))))
            .collect();
        let mut sources = BTreeMap::new();
        for source in &self.sources {
            let watch = source.watch(&root);
            if source.create {
                std::fs::create_dir_all(&watch).expect("a watch folder");
            }
            let done = path_of(&source.keys, "done_folder", watch.join("done"));
            let error = path_of(&source.keys, "error_folder", watch.join("error"));
            sources.insert(source.name.clone(), Folders { watch, done, error });
        }
        let mut environment = self.environment;
        let room = waybill_shared::fs::free_space(&root);
        if room.is_ok_and(|(free, total)| free < LITTLE_ROOM.max(total / 20)) {
            // A test speaks of the program, not of the machine that it runs on: on a disk that is nearly full nothing would be taken.
            eprintln!("the disk of {} is nearly full: this station leaves that out of account", root.display());
            for (section, key) in ROOM_SETTINGS {
                if self.sections.get(section).is_none_or(|keys| get(keys, key).is_none()) {
                    let variable = format!("WAYBILL_CONFIG_{section}_{key}").to_uppercase();
                    environment.entry(variable).or_insert_with(|| "0".to_owned());
                }
            }
        }
        // What the desktop and the service manager of this user start is none of a test's business.
        environment.entry("XDG_CONFIG_HOME".to_owned()).or_insert_with(|| root.join("xdg").display().to_string());
        let environment = Mutex::new(environment);
        let station = Station(Arc::new(Inner { folder, sources, outputs, environment, staged: AtomicU64::new(0) }));
        station.write_config(&text);
        station
    }

    fn config_text(&self, root: &Path) -> String {
        let mut text = String::new();
        for (name, keys) in &self.sections {
            table(&mut text, &format!("[{name}]"), keys);
        }
        for source in &self.sources {
            let mut keys = vec![("name".into(), source.name.clone().into()), ("folder".into(), path(&source.watch(root)))];
            keys.extend(source.keys.iter().filter(|(key, _)| key != "folder").cloned());
            table(&mut text, "[[source]]", &keys);
            if !source.arguments.is_empty() {
                table(&mut text, "[source.arguments]", &source.arguments);
            }
        }
        for (name, keys) in &self.destinations {
            let mut all = vec![("name".into(), name.clone().into())];
            all.extend(keys.iter().cloned());
            if get(keys, "kind") == Some(&"folder".into()) && get(keys, "folder").is_none() {
                all.push(("folder".into(), path(&root.join("out").join(name))));
            }
            table(&mut text, "[[destination]]", &all);
        }
        text.push_str(&self.raw);
        text
    }
}

impl SourceBuilder {
    /// Which files.
    #[must_use]
    pub fn patterns<const N: usize>(self, patterns: [&str; N]) -> Self {
        self.set("patterns", Value::from(patterns.to_vec()))
    }

    /// Converter by name.
    #[must_use]
    pub fn converter(self, name: &str) -> Self {
        self.set("converter", name)
    }

    /// `move`, `delete`, `zip` or `keep`.
    #[must_use]
    pub fn after(self, after: &str) -> Self {
        self.set("after", after)
    }

    /// 1 goes first, 10 last.
    #[must_use]
    pub fn priority(self, priority: u8) -> Self {
        self.set("priority", priority)
    }

    /// Watches the folders inside as well.
    #[must_use]
    pub fn recursive(self) -> Self {
        self.set("recursive", true)
    }

    /// Watches this folder instead of `watch/<name>`.
    #[must_use]
    pub fn folder(self, folder: &Path) -> Self {
        let folder = path(folder);
        self.set("folder", folder)
    }

    /// Does not make the folder: the station starts with it missing.
    #[must_use]
    pub fn missing(mut self) -> Self {
        self.create = false;
        self
    }

    /// Sets a value of the converter's.
    #[must_use]
    pub fn argument(mut self, key: &str, value: impl Into<Value>) -> Self {
        set(&mut self.arguments, key, value.into());
        self
    }

    /// Sets any other key: `settle_ms`, `incomplete_timeout_secs`, `rescan_secs`, `done_folder`, `error_folder`.
    #[must_use]
    pub fn set(mut self, key: &str, value: impl Into<Value>) -> Self {
        set(&mut self.keys, key, value.into());
        self
    }

    fn watch(&self, root: &Path) -> PathBuf {
        path_of(&self.keys, "folder", root.join("watch").join(&self.name))
    }
}

fn set(keys: &mut Keys, key: &str, value: Value) {
    keys.retain(|(there, _)| there != key);
    keys.push((key.to_owned(), value));
}

fn get<'a>(keys: &'a Keys, key: &str) -> Option<&'a Value> {
    keys.iter().find(|(there, _)| there == key).map(|(_, value)| value)
}

fn path(path: &Path) -> Value {
    Value::from(path.to_str().expect("a path in UTF-8"))
}

fn path_of(keys: &Keys, key: &str, otherwise: PathBuf) -> PathBuf {
    get(keys, key).map_or(otherwise, |value| PathBuf::from(value.as_str().expect("a path is a text")))
}

/// Texts, numbers, booleans and lists of them are written alike in JSON and TOML.
fn table(text: &mut String, header: &str, keys: &Keys) {
    writeln!(text, "{header}").expect("a String takes everything");
    for (key, value) in keys {
        assert!(!value.is_object() && !value.is_null(), "{header} {key}: use raw_config for {value}");
        writeln!(text, "{key} = {value}").expect("a String takes everything");
    }
    text.push('\n');
}

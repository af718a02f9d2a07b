//! Where one instance of the agent keeps its things.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use crate::choice;
use crate::text::file_name_component;

/// Name of the files with pinned values.
const MANAGED: &str = "managed.toml";

/// Name of the instance that is meant if none is named.
pub const DEFAULT: &str = "default";

choice! {
    /// Whom an agent belongs to.
    pub enum Scope {
        /// The machine: one agent for all who use it.
        Machine = "machine",
        /// The user who runs it.
        User = "user",
    }
}

/// How a command line names an instance.
#[derive(Debug, Clone, Default)]
pub struct InstanceOptions {
    /// `--instance`
    pub instance: Option<String>,
    /// `--scope`
    pub scope: Option<Scope>,
    /// `--config`
    pub config: Option<PathBuf>,
    /// `--data-dir`
    pub data_dir: Option<PathBuf>,
}

/// The places of one instance. Nothing is created by naming them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instance {
    /// Name, `default` unless given.
    pub name: String,
    /// Whom it belongs to.
    pub scope: Scope,
    /// `config.toml`
    pub config: PathBuf,
    /// Folder of everything the agent owns.
    pub data: PathBuf,
    /// True if `--data-dir` was given: the endpoint is then named by this folder.
    pub explicit_data: bool,
    /// True if `--config` was given: the file is then expected to be there.
    pub explicit_config: bool,
}

impl Instance {
    /// Works out the places. Without a scope: the machine's if its data folder exists, else the user's.
    ///
    /// # Errors
    /// A sentence, if the OS names no home for the user, or a given path cannot be made absolute.
    pub fn locate(options: &InstanceOptions) -> Result<Self, String> {
        let name = options.instance.clone().unwrap_or_else(|| DEFAULT.to_owned());
        if name != file_name_component(&name, 64) {
            return Err(format!(
                "{name:?} is no instance name: 1 to 64 letters, digits, `-`, `_` and `.`, with no dot at its ends, and none that Windows reserves (CON, NUL, COM1 and the like)"
            ));
        }
        let absolute = |path: &Path| std::path::absolute(path).map_err(|error| format!("{}: {error}", path.display()));
        let machine = machine_folder().join(&name);
        let scope = options.scope.unwrap_or(match options.data_dir {
            None if machine.is_dir() => Scope::Machine,
            _ => Scope::User,
        });
        let data = match (&options.data_dir, scope) {
            (Some(data), _) => absolute(data)?,
            (None, Scope::Machine) => machine,
            (None, Scope::User) => project()?.data_local_dir().join(&name),
        };
        let config = match (&options.config, &options.data_dir, scope) {
            (Some(config), ..) => absolute(config)?,
            (None, Some(_), _) => data.join("config.toml"),
            (None, None, Scope::Machine) => machine_config_folder().join(&name).join("config.toml"),
            (None, None, Scope::User) => project()?.config_local_dir().join(&name).join("config.toml"),
        };
        let (explicit_data, explicit_config) = (options.data_dir.is_some(), options.config.is_some());
        Ok(Self { name, scope, config, data, explicit_data, explicit_config })
    }

    /// The options by which a program of Waybill finds this very instance, whoever starts it and wherever: all that is not left to chance is
    /// said, and paths are absolute. A folder that appears later makes no other instance of it.
    #[must_use]
    pub fn arguments(&self) -> Vec<OsString> {
        let mut arguments: Vec<OsString> = Vec::new();
        let mut add = |option: &str, value: &OsStr| arguments.extend([option.into(), value.to_owned()]);
        add("--scope", self.scope.as_str().as_ref());
        if self.name != DEFAULT {
            add("--instance", self.name.as_ref());
        }
        if self.explicit_config {
            add("--config", self.config.as_os_str());
        }
        if self.explicit_data {
            add("--data-dir", self.data.as_os_str());
        }
        arguments
    }

    /// [`Instance::arguments`] for what takes text only: entries of autostart and services.
    ///
    /// # Errors
    /// A sentence, if a path is no Unicode text.
    pub fn arguments_as_text(&self) -> Result<Vec<String>, String> {
        let text = |argument: OsString| {
            argument.into_string().map_err(|argument| format!("{} is not Unicode", crate::text::path(Path::new(&argument))))
        };
        self.arguments().into_iter().map(text).collect()
    }

    /// What the administrator has pinned for this instance, beside its configuration; need not exist.
    #[must_use]
    pub fn managed(&self) -> PathBuf {
        self.config.with_file_name(MANAGED)
    }
    /// Accepted configurations of the past.
    #[must_use]
    pub fn backups(&self) -> PathBuf {
        self.data.join("backups")
    }
    /// The queue's database.
    #[must_use]
    pub fn queue_database(&self) -> PathBuf {
        self.data.join("queue.db")
    }
    /// The file of the engineer role's PIN.
    #[must_use]
    pub fn pin(&self) -> PathBuf {
        self.secrets().join("access.pin")
    }
    /// Where bundles for fault finding go.
    #[must_use]
    pub fn diagnostics(&self) -> PathBuf {
        self.data.join("diagnostics")
    }
    /// The history's database.
    #[must_use]
    pub fn history_database(&self) -> PathBuf {
        self.data.join("history.db")
    }
    /// Large reports that wait.
    #[must_use]
    pub fn spool(&self) -> PathBuf {
        self.data.join("spool")
    }
    /// Reports that had to make room.
    #[must_use]
    pub fn evicted(&self) -> PathBuf {
        self.data.join("evicted")
    }
    /// Copies of taken files, unless the configuration names another folder.
    #[must_use]
    pub fn archive(&self) -> PathBuf {
        self.data.join("archive")
    }
    /// Log files.
    #[must_use]
    pub fn logs(&self) -> PathBuf {
        self.data.join("logs")
    }
    /// Private files with secrets.
    #[must_use]
    pub fn secrets(&self) -> PathBuf {
        self.data.join("secrets")
    }
    /// The lock that keeps a second agent away.
    #[must_use]
    pub fn lock(&self) -> PathBuf {
        self.data.join("agent.lock")
    }
    /// The lock that keeps a second watchdog away.
    #[must_use]
    pub fn watchdog_lock(&self) -> PathBuf {
        self.data.join("watchdog.lock")
    }
    /// What the watchdog knows and did.
    #[must_use]
    pub fn watchdog_record(&self) -> PathBuf {
        self.data.join("watchdog.json")
    }
}

/// What the administrator has pinned for every agent of the machine; need not exist.
#[must_use]
pub fn managed_file() -> PathBuf {
    machine_config_folder().join(MANAGED)
}

/// The folder of the locks by which agents of this machine, whoever runs them, claim their watch folders.
#[must_use]
pub fn claims_folder() -> PathBuf {
    if cfg!(windows) { machine_folder().join("claims") } else { PathBuf::from("/tmp/waybill-claims") }
}

/// The folder in which a user's programs keep their configuration, and where the desktop looks for what it starts: `XDG_CONFIG_HOME` or `~/.config`
/// on Linux.
///
/// # Errors
/// A sentence, if the OS names no home for the user.
pub fn user_config_folder() -> Result<PathBuf, String> {
    base().map(|base| base.config_dir().to_owned())
}

/// The home of the user who runs this.
///
/// # Errors
/// A sentence, if the OS names none.
pub fn home_folder() -> Result<PathBuf, String> {
    base().map(|base| base.home_dir().to_owned())
}

fn base() -> Result<directories::BaseDirs, String> {
    directories::BaseDirs::new().ok_or_else(|| "the OS names no home folder for this user".to_owned())
}

fn project() -> Result<directories::ProjectDirs, String> {
    directories::ProjectDirs::from("", "", "Waybill")
        .ok_or_else(|| "the OS names no home folder for this user; give --data-dir".to_owned())
}

#[cfg(windows)]
fn machine_folder() -> PathBuf {
    PathBuf::from(std::env::var_os("ProgramData").unwrap_or_else(|| r"C:\ProgramData".into())).join("Waybill")
}

#[cfg(target_os = "macos")]
fn machine_folder() -> PathBuf {
    PathBuf::from("/Library/Application Support/Waybill")
}

#[cfg(not(any(windows, target_os = "macos")))]
fn machine_folder() -> PathBuf {
    PathBuf::from("/var/lib/waybill")
}

#[cfg(any(windows, target_os = "macos"))]
fn machine_config_folder() -> PathBuf {
    machine_folder()
}

#[cfg(not(any(windows, target_os = "macos")))]
fn machine_config_folder() -> PathBuf {
    PathBuf::from("/etc/waybill")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_data_folder_holds_everything() {
        let folder = tempfile::tempdir().unwrap();
        let options = InstanceOptions { data_dir: Some(folder.path().to_owned()), ..InstanceOptions::default() };
        let instance = Instance::locate(&options).unwrap();
        assert_eq!(instance.config, folder.path().join("config.toml"));
        assert!(instance.queue_database().starts_with(folder.path()));
        assert_eq!(instance.scope, Scope::User);
        assert_eq!(instance.managed(), folder.path().join("managed.toml"));
        assert!(!instance.explicit_config);
    }

    #[test]
    fn a_given_configuration_is_known_as_given_and_what_is_pinned_lies_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let options = InstanceOptions { config: Some(folder.path().join("st.toml")), ..InstanceOptions::default() };
        let instance = Instance::locate(&options).unwrap();
        assert!(instance.explicit_config && !instance.explicit_data);
        assert_eq!(instance.managed(), folder.path().join("managed.toml"));
        assert_ne!(instance.managed(), managed_file());
    }

    #[test]
    fn the_arguments_of_an_instance_name_it_again() {
        let folder = tempfile::tempdir().unwrap();
        let data_dir = Some(folder.path().join("data"));
        let other = InstanceOptions { instance: Some("two".to_owned()), scope: Some(Scope::User), ..InstanceOptions::default() };
        let own = InstanceOptions { data_dir, config: Some(folder.path().join("c.toml")), ..InstanceOptions::default() };
        for options in [other, own] {
            let instance = Instance::locate(&options).unwrap();
            let mut again = InstanceOptions::default();
            for pair in instance.arguments_as_text().unwrap().chunks(2) {
                match pair[0].as_str() {
                    "--scope" => again.scope = [Scope::Machine, Scope::User].into_iter().find(|scope| scope.as_str() == pair[1]),
                    "--instance" => again.instance = Some(pair[1].clone()),
                    "--config" => again.config = Some(pair[1].clone().into()),
                    "--data-dir" => again.data_dir = Some(pair[1].clone().into()),
                    other => panic!("{other}"),
                }
            }
            assert_eq!(Instance::locate(&again).unwrap(), instance);
        }
    }

    #[test]
    fn an_instance_name_is_no_path() {
        for bad in ["../x", "a/b", "", "a\\b", ".."] {
            let options = InstanceOptions { instance: Some(bad.to_owned()), ..InstanceOptions::default() };
            assert!(Instance::locate(&options).is_err(), "{bad}");
        }
    }
}

//! Answers that need files and no running agent. The IPC service gives them at its desks, the command line directly while no agent runs.
//!
//! Everything here blocks for the time of some files; the secrets with a keyring for up to 5 s.

use std::path::{Path, PathBuf};

use waybill_ipc::protocol::{BackupRow, ConfigState, ConfigValue, ConfigVersion, LogFilter, LogLine, SecretRow, SecretText};
use waybill_shared::config::compare::{Difference, differences, flat};
use waybill_shared::config::{Config, Destination, DestinationKind, ProxyMode, tree};
use waybill_shared::error::{Code, ErrorReport};
use waybill_shared::paths::Instance;
use waybill_shared::schema::Value;
use waybill_shared::secret::Secret;
use waybill_shared::text;

use crate::agent::Active;
use crate::config::{Backup, Store};
use crate::secrets::{self, SecretName};

/// Most lines of the log in one answer, and most bytes of the log that are read for it.
const LOG_LINES: usize = 1000;
const LOG_BYTES: u64 = 64 * 1024 * 1024;

/// A secret that the configuration has use for, and the file that it names for it.
pub(crate) type Wanted = (SecretName, Option<PathBuf>);

/// The configuration as clients see it.
pub(crate) fn state(instance: &Instance, active: &Active, waits_for_restart: Vec<String>) -> ConfigState {
    let origins = &active.effective.origins;
    let values = flat(&active.effective.tree)
        .into_iter()
        .map(|(place, value)| ConfigValue { origin: origins.get(&place).cloned(), place, value })
        .collect();
    ConfigState {
        revision: active.revision.clone(),
        path: text::path(&instance.config),
        text: active.text.clone(),
        values,
        problem: active.problem.clone(),
        waits_for_restart,
        configured: active.configured,
    }
}

/// The backups, the newest first; `current` is the revision in use.
pub(crate) fn backups(instance: &Instance, current: &str) -> Result<Vec<BackupRow>, ErrorReport> {
    let row = |backup: Backup| BackupRow {
        current: backup.revision == current,
        id: backup.id,
        at_ms: backup.at_ms,
        revision: backup.revision,
        bytes: backup.bytes,
        intact: backup.intact,
    };
    Ok(Store::of(instance).backups().list()?.into_iter().map(row).collect())
}

/// The text of a version.
pub(crate) fn version(instance: &Instance, active: &Active, version: ConfigVersion) -> Result<String, ErrorReport> {
    match version {
        ConfigVersion::Current => Ok(active.text.clone()),
        ConfigVersion::Text(text) => Ok(text),
        ConfigVersion::Backup(id) => Store::of(instance).backups().load(&id),
    }
}

/// What differs between two versions.
pub(crate) fn diff(
    instance: &Instance,
    active: &Active,
    from: ConfigVersion,
    to: ConfigVersion,
) -> Result<Vec<Difference>, ErrorReport> {
    let read = |wanted: ConfigVersion| -> Result<Value, ErrorReport> {
        let place = match &wanted {
            ConfigVersion::Current => "the configuration in use".to_owned(),
            ConfigVersion::Text(_) => "the text".to_owned(),
            ConfigVersion::Backup(id) => format!("the backup {id}"),
        };
        tree::parse(&version(instance, active, wanted)?).map_err(|error| error.report(&place))
    };
    Ok(differences(&read(from)?, &read(to)?))
}

/// The secrets that a configuration has use for; `base` is the folder of its file.
pub(crate) fn wanted(config: &Config, base: &Path) -> Vec<Wanted> {
    let token = |destination: &Destination| -> Option<Wanted> {
        let name = SecretName::token(&destination.name).ok()?;
        Some((name, destination.token_file.as_ref().map(|file| base.join(file))))
    };
    let mut all: Vec<Wanted> = config.destination.iter().filter(|d| d.kind == DestinationKind::Wats).filter_map(token).collect();
    if config.proxy.mode == ProxyMode::Manual && config.proxy.user.is_some() {
        all.push((SecretName::common_proxy_password(), None));
    }
    all
}

/// How secrets stand: all that are wanted, or one of them.
pub(crate) fn secret_rows(
    store: &secrets::Store,
    wanted: &[Wanted],
    only: Option<&SecretName>,
) -> Result<Vec<SecretRow>, ErrorReport> {
    let row = |(name, configured): &Wanted| {
        let status = store.status(name, configured.as_deref())?;
        Ok(SecretRow { name: name.as_str().to_owned(), set: status.set, place: status.place, changeable: status.changeable })
    };
    wanted.iter().filter(|(name, _)| only.is_none_or(|only| only == name)).map(row).collect()
}

/// The values of all secrets that can be read, so that they can be looked for where they must not be.
pub(crate) fn known_secrets(store: &secrets::Store, wanted: Vec<Wanted>) -> Vec<Secret> {
    wanted.into_iter().filter_map(|(name, file)| store.source(name, file).load().ok()).collect()
}

/// The secret of a name, if the configuration has use for it.
pub(crate) fn wanted_secret(wanted: &[Wanted], name: &str) -> Result<Wanted, ErrorReport> {
    wanted.iter().find(|(known, _)| known.as_str() == name).cloned().ok_or_else(|| {
        let names: Vec<&str> = wanted.iter().map(|(known, _)| known.as_str()).collect();
        let known =
            if names.is_empty() { "the configuration needs none".to_owned() } else { format!("there are: {}", names.join(", ")) };
        ErrorReport::new(Code::NotFound, format!("the configuration has no secret {name:?}; {known}"))
    })
}

/// Sets a secret, or forgets it.
pub(crate) fn change_secret(
    store: &secrets::Store,
    (name, configured): &Wanted,
    value: Option<&Secret>,
) -> Result<(), ErrorReport> {
    match value {
        Some(value) => store.set(name, configured.as_deref(), value).map(|_| ()),
        None => store.clear(name, configured.as_deref()).map(|_| ()),
    }
}

/// The destination of a name.
pub(crate) fn destination<'a>(config: &'a Config, name: &str) -> Result<&'a Destination, ErrorReport> {
    config.destination.iter().find(|destination| destination.name.eq_ignore_ascii_case(name)).ok_or_else(|| {
        let names: Vec<&str> = config.destination.iter().map(|destination| destination.name.as_str()).collect();
        let known = if names.is_empty() { "there is none".to_owned() } else { format!("there are: {}", names.join(", ")) };
        ErrorReport::new(Code::NotFound, format!("there is no destination {name:?}; {known}"))
    })
}

/// The name of a destination's token, where a new one can be kept: looked at before the destination is asked for one.
pub(crate) fn token_to_keep(config: &Config, base: &Path, store: &secrets::Store, name: &str) -> Result<SecretName, ErrorReport> {
    let destination = destination(config, name)?;
    let token = SecretName::token(&destination.name)?;
    store.may_set(&token, destination.token_file.as_ref().map(|file| base.join(file)).as_deref())?;
    Ok(token)
}

/// What is told if a registration came to a token that could not be kept.
pub(crate) fn not_kept(error: ErrorReport) -> ErrorReport {
    let message = format!("the server registered this station, but its new token is not kept: {}", error.message);
    ErrorReport { message, ..error }.with_fix("Mend what the message names, then register again: the server gives another token")
}

/// The newest lines of the log.
pub(crate) fn logs(folder: &Path, filter: &LogFilter, limit: u32) -> Result<Vec<LogLine>, ErrorReport> {
    let read = crate::log::read::page(folder, filter, None, (limit as usize).min(LOG_LINES), LOG_BYTES);
    read.map(|found| found.lines)
        .map_err(|error| ErrorReport::new(Code::DataFolderUnavailable, format!("the agent's log cannot be read: {error}")))
}

/// A secret of a request.
pub(crate) fn secret(text: &SecretText) -> Secret {
    Secret::new(text.expose())
}

/// A secret on its way into a request.
pub(crate) fn secret_text(secret: &Secret) -> SecretText {
    SecretText::new(secret.expose())
}

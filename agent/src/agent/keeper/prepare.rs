//! What is checked before anything is changed, and what is told of it: the same for a running agent and for a command without one. Blocking,
//! for the time of some files.

use waybill_shared::config::compare::{Difference, differences};
use waybill_shared::config::{ConfigError, Edit, Effective, Origin, tree};
use waybill_shared::error::{Code, ErrorReport};
use waybill_shared::fs::atomic;
use waybill_shared::paths::Instance;
use waybill_shared::schema::{Fault, FaultKind, Value};
use waybill_shared::text;

use super::super::Active;
use super::By;
use crate::config::{self, Document, Store};
use crate::convert::registry::Registry;
use crate::history::NewEntry;
use crate::upload::destination::http::look_at_tls;

/// A configuration that is valid and not in use yet.
pub(crate) struct Prepared {
    pub(crate) active: Active,
    /// The revision of the file that it replaces.
    pub(crate) base: String,
    /// What is different from the one in use.
    pub(crate) differences: Vec<Difference>,
}

/// Reads what is there, makes the new text of it, and checks that in every respect. Nothing is changed. Blocking, for the time of some files.
pub(crate) fn prepare(
    instance: &Instance,
    active: &Active,
    base: Option<&str>,
    new: impl FnOnce(&str) -> Result<String, ErrorReport>,
) -> Result<Prepared, ErrorReport> {
    let store = Store::of(instance);
    let there = store.read()?.unwrap_or_else(|| Document { text: String::new(), revision: config::store::revision(b"") });
    if base.is_some_and(|base| *base != there.revision) {
        // The store says it in the words it has for it, with the differences.
        store.lock()?.save(base, &there.text, &|_| Ok(()))?;
    }
    // While a backup stands in for a broken file, changes are made to what is in use.
    let before = if active.problem.is_some() { active.text.clone() } else { there.text.clone() };
    let text = new(&before)?;
    let layers = config::sources::layers(instance)?;
    let registry = Registry::of(instance);
    let effective = config::candidate(&layers, &text, &|config| registry.faults(config))?;
    // A station that starts with a file that is missing waits for it; whoever names one now is told now.
    if effective.config.tls != active.effective.config.tls {
        look_at_tls(&effective.config.tls, &atomic::folder_of(&instance.config))?;
    }
    let differences = differences(&active.effective.tree, &effective.tree);
    let identity = effective.config.identity(&layers.environment);
    let revision = config::store::revision(text.as_bytes());
    let active = Active { effective, text, revision, identity, problem: None, configured: true };
    Ok(Prepared { active, base: there.revision, differences })
}

/// A text with changes made; if some cannot be made, also what is wrong with the others: whoever mends them wants the whole list.
pub(crate) fn edited(instance: &Instance, before: &str, edits: &[Edit]) -> Result<String, ErrorReport> {
    let mut faults = match config::store::edited(before, edits) {
        Ok(text) => return Ok(text),
        Err(ConfigError::Faults(faults)) => faults,
        Err(error) => return Err(error.report("the new configuration")),
    };
    let possible = edits
        .iter()
        .fold(before.to_owned(), |text, edit| config::store::edited(&text, std::slice::from_ref(edit)).unwrap_or(text));
    let registry = Registry::of(instance);
    if let Err(others) = config::candidate(&config::sources::layers(instance)?, &possible, &|config| registry.faults(config)) {
        faults.extend(others.details);
    }
    Err(ConfigError::Faults(faults).report("the new configuration"))
}

/// Writes what was checked in full, if what is there is still what it is based on, and keeps it as a backup. Blocking.
pub(crate) fn save(instance: &Instance, base: &str, text: &str) -> Result<config::Saved, ErrorReport> {
    let store = Store::of(instance);
    let saved = store.lock()?.save(Some(base), text, &|_| Ok(()))?;
    // What was accepted is what stands in for a file that breaks. The next start keeps it at the latest, and says if it cannot.
    if let Err(error) = store.backups().accept(text) {
        tracing::warn!(event = "config_not_backed_up", reason = error.message, "it is in use all the same");
    }
    Ok(saved)
}

/// A difference as it stands in the history.
pub(crate) fn entry(difference: &Difference, by: &By, correlation: &str) -> NewEntry {
    let action = if difference.after.is_some() { "config.set" } else { "config.unset" };
    let mut entry = NewEntry::new(&by.who, by.via, action, &difference.place).correlation(correlation);
    if let Some(before) = &difference.before {
        entry = entry.before(before);
    }
    if let Some(after) = &difference.after {
        entry = entry.after(after);
    }
    entry
}

/// Fields that are set otherwise than when the agent started and count only from its next start on.
pub(super) fn waits_for_restart(started_with: &Value, now: &Value) -> Vec<String> {
    let needs_restart = |place: &str| {
        let found = place.parse().ok().and_then(|place| tree::locate(&place, now).ok());
        found.and_then(|found| found.field).is_some_and(|field| field.restart.is_some())
    };
    differences(started_with, now).into_iter().map(|difference| difference.place).filter(|place| needs_restart(place)).collect()
}

/// Changes of values that somebody else sets would have no effect.
pub fn pinned(edits: &[Edit], effective: &Effective) -> Option<ErrorReport> {
    let who_sets = |edit: &Edit| -> Option<(String, Origin)> {
        let (Edit::Set { place, .. } | Edit::Unset { place }) = edit else { return None };
        let found = tree::locate(&place.parse().ok()?, &effective.tree).ok()?;
        let below = format!("{}.", found.name);
        effective
            .origins
            .iter()
            .find(|(name, _)| **name == found.name || (found.is_element && name.starts_with(&below)))
            .map(|(name, origin)| (name.clone(), origin.clone()))
    };
    let all: Vec<(String, Origin)> = edits.iter().filter_map(who_sets).collect();
    let (first, origin) = all.first()?;
    let fault = |(place, origin): &(String, Origin)| Fault {
        path: place.clone(),
        kind: FaultKind::Conflict,
        message: format!("is set by {origin}"),
    };
    Some(
        ErrorReport::new(Code::ConfigPinned, format!("{first} is set by {origin} and cannot be changed here"))
            .with_details(all.iter().map(fault).collect()),
    )
}

pub(super) fn in_file(mut error: ErrorReport, instance: &Instance) -> ErrorReport {
    error.message = error.message.replace("the new configuration", &text::path(&instance.config));
    if error.code == Code::ConfigInvalid {
        error.fix = "Mend the named fields in the file; until then the configuration before is in use".to_owned();
    }
    error
}

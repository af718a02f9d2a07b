//! The configuration of one agent: found, checked, written, kept.
//!
//! - [`store`]: the file and the one way to write it
//! - [`backups`]: accepted configurations of the past
//! - [`sources`]: what lies over the file: environment and pinned values
//!
//! Owned: the configuration file while the store's lock is held, and the folder of the backups. The model, the reader and the rules are
//! `waybill_shared::config`.
//!
//! Invariants of [`load`]:
//! - what it gives is valid in every respect, with everything that lies over the file;
//! - it never writes the configuration file: one with faults stays as it was written, for whoever mends it;
//! - a station with a broken or a vanished file goes on with the newest configuration that was accepted and still is valid, and is told.
//!   A file that was named on the command line and is not there is an error: nobody knows which one was meant;
//! - pinned values that cannot be read are an error.
//!
//! A crash leaves the file and the backups whole, see there.

pub mod backups;
pub mod sources;
pub mod store;

use waybill_shared::config::layers::VARIABLE_PREFIX;
use waybill_shared::config::{Config, ConfigError, Effective, Layers, layers};
use waybill_shared::error::{Code, ErrorReport};
use waybill_shared::paths::Instance;
use waybill_shared::schema::{Fault, FaultKind};
use waybill_shared::text;

pub use self::backups::{Backup, Backups};
pub use self::store::{Document, Locked, Saved, Store};

/// Rules that only the caller knows (which converters there are).
pub type More<'a> = &'a dyn Fn(&Config) -> Vec<Fault>;

/// A configuration to start with.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The configuration as it counts.
    pub effective: Effective,
    /// The text that it was made from: that of the file, or of the backup that stands in for it.
    pub text: String,
    /// The version of that text.
    pub revision: String,
    /// What lies over it.
    pub layers: Layers,
    /// What an operator has to be told: the file cannot be used and a backup stands in for it, or no backup could be kept.
    pub problem: Option<ErrorReport>,
    /// False while there is no file and never was one: everything has its default.
    pub configured: bool,
}

/// Finds the configuration of an instance, and records that of the file as accepted.
///
/// # Errors
/// The file's own, if nothing else can be used; what lies over it cannot be read.
pub fn load(instance: &Instance, more: More<'_>) -> Result<Loaded, ErrorReport> {
    look(instance, more).map(|loaded| accepted(instance, loaded))
}

/// The same for those who only want to know: nothing is recorded.
///
/// # Errors
/// Those of [`load`].
pub fn look(instance: &Instance, more: More<'_>) -> Result<Loaded, ErrorReport> {
    look_under(instance, sources::layers(instance)?, more)
}

fn accepted(instance: &Instance, mut loaded: Loaded) -> Loaded {
    if loaded.configured && loaded.problem.is_none() {
        // A station that cannot keep backups works on all the same.
        loaded.problem = Backups::of(instance).accept(&loaded.text).err();
    }
    loaded
}

/// Checks a text as the new configuration.
///
/// # Errors
/// All of its faults.
pub fn candidate(layers: &Layers, text: &str, more: More<'_>) -> Result<Effective, ErrorReport> {
    layers::resolve(text, layers, more).map_err(|error| match blamed(text, layers, more) {
        Some(others) => error.report(&others),
        None => error.report("the new configuration"),
    })
}

/// What lies over the file, in words, if the file alone has no fault.
fn blamed(text: &str, layers: &Layers, more: More<'_>) -> Option<String> {
    layers::resolve(text, &Layers::default(), more).ok()?;
    let mut places: Vec<&str> = layers.managed.iter().map(|managed| managed.place.as_str()).collect();
    if layers.environment.iter().any(|(name, _)| name.to_ascii_uppercase().starts_with(VARIABLE_PREFIX)) {
        places.push("the environment of the agent (WAYBILL_CONFIG_…)");
    }
    Some(places.join(" or "))
}

fn look_under(instance: &Instance, layers: Layers, more: More<'_>) -> Result<Loaded, ErrorReport> {
    let place = text::path(&instance.config);
    let store = Store::of(instance);
    let resolve = |text: &str| -> Result<Effective, ConfigError> { layers::resolve(text, &layers, more) };
    let loaded = |effective: Effective, text: String, problem: Option<ErrorReport>, configured: bool| Loaded {
        revision: store::revision(text.as_bytes()),
        layers: layers.clone(),
        effective,
        text,
        problem,
        configured,
    };
    let missing = || {
        ErrorReport::new(Code::ConfigMissing, format!("there is no {place}"))
            .with_fix(format!("Write {place} (the README has one in ten lines), or try `waybill-agent demo`"))
    };
    let (failed, is_missing) = match store.read() {
        // What a power cut leaves of a file that was written carelessly: as in a running agent, no change.
        Ok(Some(document)) if document.text.trim().is_empty() && store.backups().newest_says_something() => {
            let error = ErrorReport::new(Code::ConfigInvalid, format!("{place} is empty"));
            (error.with_fix(format!("Write {place} again, or restore a backup: `waybill-agent config history`")), false)
        }
        Ok(Some(document)) => match resolve(&document.text) {
            Ok(effective) => return Ok(loaded(effective, document.text, None, true)),
            Err(error) => match blamed(&document.text, &layers, more) {
                // No backup would help, and none is to blame.
                Some(others) => return Err(error.report(&others)),
                None => (error.report(&place), false),
            },
        },
        Ok(None) if instance.explicit_config => return Err(missing()),
        Ok(None) => (missing(), true),
        Err(error) => (error, false),
    };
    let found = match store.backups().last_good(|text| resolve(text).is_ok()) {
        Ok(found) => found,
        Err(backups) => return Err(with_words(failed, &backups.message)),
    };
    match found.good {
        Some((backup, text)) => {
            let effective = resolve(&text).map_err(|error| error.report(&format!("the backup {}", backup.id)))?;
            let problem = stands_in(failed, &place, &backup, found.skipped);
            Ok(loaded(effective, text, Some(problem), true))
        }
        None if is_missing && found.skipped.is_empty() => {
            let effective = resolve("").map_err(|error| error.report(&place))?;
            Ok(loaded(effective, String::new(), None, false))
        }
        None => Err(with_words(failed, &found.skipped.join("; "))),
    }
}

fn with_words(mut error: ErrorReport, more: &str) -> ErrorReport {
    if !more.is_empty() {
        error.message = text::printable(&format!("{}; {more}", error.message), 4000);
    }
    error
}

/// What is told when a backup is used in place of the file.
fn stands_in(failed: ErrorReport, place: &str, backup: &Backup, skipped: Vec<String>) -> ErrorReport {
    let used = format!("the configuration of {} is used in its place (backup {})", backup.at(), backup.id);
    let fix = match failed.code {
        Code::ConfigMissing => format!("Put {place} back, or restore the backup {}", backup.id),
        _ => format!("Mend {place}, which was not touched, or restore the backup {} over it", backup.id),
    };
    let passed_over = skipped.into_iter().map(|message| Fault { path: "backups".to_owned(), kind: FaultKind::Conflict, message });
    let details = failed.details.iter().cloned().chain(passed_over).collect();
    with_words(failed, &used).with_details(details).with_fix(fix)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use waybill_shared::config::{Managed, Origin};
    use waybill_shared::fs::atomic;
    use waybill_shared::paths::InstanceOptions;

    use super::*;

    const GOOD: &str = "[queue]\nmax_entries = 20\n";
    const BROKEN: &str = "[queue]\nmax_entries = 0\nmax_entires = 5\n";

    fn instance(folder: &Path) -> Instance {
        let options = InstanceOptions { data_dir: Some(folder.to_owned()), ..InstanceOptions::default() };
        Instance::locate(&options).unwrap()
    }

    fn no_more(_: &Config) -> Vec<Fault> {
        Vec::new()
    }

    /// As [`load`], untouched by the environment of the test and what is pinned on this machine.
    fn load_under(instance: &Instance, layers: Layers) -> Result<Loaded, ErrorReport> {
        look_under(instance, layers, &no_more).map(|loaded| accepted(instance, loaded))
    }

    fn load_alone(instance: &Instance) -> Result<Loaded, ErrorReport> {
        load_under(instance, Layers::default())
    }

    #[test]
    fn a_valid_file_is_used_and_recorded_as_accepted() {
        let folder = tempfile::tempdir().unwrap();
        let instance = instance(folder.path());
        atomic::replace(&instance.config, GOOD.as_bytes()).unwrap();
        assert!(look_under(&instance, Layers::default(), &no_more).unwrap().configured);
        assert!(Backups::of(&instance).list().unwrap().is_empty(), "who only looks records nothing");
        let loaded = load_alone(&instance).unwrap();
        assert_eq!((loaded.effective.config.queue.max_entries, loaded.text.as_str()), (20, GOOD));
        assert!(loaded.problem.is_none() && loaded.configured);
        let backups = Backups::of(&instance).list().unwrap();
        assert_eq!(backups.iter().map(|backup| &backup.revision).collect::<Vec<_>>(), [&loaded.revision]);
    }

    #[test]
    fn a_broken_file_at_start_is_told_and_left_alone_and_the_last_good_configuration_is_used() {
        let folder = tempfile::tempdir().unwrap();
        let instance = instance(folder.path());
        atomic::replace(&instance.config, GOOD.as_bytes()).unwrap();
        load_alone(&instance).unwrap();
        let kept = Backups::of(&instance).list().unwrap()[0].clone();
        let unreadable: &[u8] = &[b'a', 0xff];
        for (broken, code, faults) in [
            (BROKEN.as_bytes(), Code::ConfigInvalid, vec!["queue.max_entries", "queue.max_entires"]),
            (b"[queue\n".as_slice(), Code::ConfigInvalid, vec![]),
            (unreadable, Code::ConfigUnreadable, vec![]),
        ] {
            atomic::replace(&instance.config, broken).unwrap();
            let loaded = load_alone(&instance).unwrap();
            assert_eq!((loaded.effective.config.queue.max_entries, loaded.text.as_str()), (20, GOOD));
            assert_eq!(loaded.revision, kept.revision);
            let problem = loaded.problem.unwrap();
            assert_eq!(problem.code, code);
            assert!(problem.message.contains(&kept.id) && problem.message.contains(&kept.at()), "{problem}");
            assert!(problem.message.contains(&text::path(&instance.config)), "{problem}");
            assert_eq!(problem.details.iter().map(|fault| fault.path.as_str()).collect::<Vec<_>>(), faults);
            assert!(problem.fix.contains(&kept.id) && problem.fix.contains("config.toml"), "{}", problem.fix);
            assert_eq!(std::fs::read(&instance.config).unwrap(), broken, "the broken file is untouched");
            assert_eq!(Backups::of(&instance).list().unwrap().len(), 1);
        }
    }

    #[test]
    fn backups_that_are_not_valid_any_more_are_passed_over_and_named() {
        let folder = tempfile::tempdir().unwrap();
        let instance = instance(folder.path());
        atomic::replace(&instance.config, BROKEN.as_bytes()).unwrap();
        Backups::of(&instance).accept(GOOD).unwrap();
        let invalid = Backups::of(&instance).accept("[queue]\nmax_entries = 'x'").unwrap();
        let loaded = load_alone(&instance).unwrap();
        assert_eq!(loaded.text, GOOD);
        let problem = loaded.problem.unwrap();
        assert!(problem.details.iter().any(|fault| fault.message.contains(&invalid.id)), "{:?}", problem.details);
    }

    #[test]
    fn without_anything_usable_the_error_is_that_of_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let instance = instance(folder.path());
        atomic::replace(&instance.config, BROKEN.as_bytes()).unwrap();
        let error = load_alone(&instance).unwrap_err();
        assert_eq!((error.code, error.details.len()), (Code::ConfigInvalid, 2));
        let invalid = Backups::of(&instance).accept(BROKEN).unwrap();
        assert!(load_alone(&instance).unwrap_err().message.contains(&invalid.id));
        std::fs::remove_file(&instance.config).unwrap();
        let error = load_alone(&instance).unwrap_err();
        assert!(error.code == Code::ConfigMissing && error.message.contains(&invalid.id), "{error}");
    }

    #[test]
    fn a_file_that_never_was_means_defaults_one_that_vanished_means_the_last_good_one() {
        let folder = tempfile::tempdir().unwrap();
        let instance = instance(folder.path());
        let fresh = load_alone(&instance).unwrap();
        assert_eq!(fresh.effective.config, Config::default());
        assert!(!fresh.configured && fresh.problem.is_none());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "looking for it creates nothing");

        atomic::replace(&instance.config, GOOD.as_bytes()).unwrap();
        load_alone(&instance).unwrap();
        std::fs::remove_file(&instance.config).unwrap();
        let loaded = load_alone(&instance).unwrap();
        assert_eq!(loaded.text, GOOD);
        assert!(loaded.configured && loaded.problem.unwrap().code == Code::ConfigMissing);
        assert!(!instance.config.exists());
    }

    #[test]
    fn a_file_that_was_emptied_counts_as_broken_and_one_that_always_was_empty_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let instance = instance(folder.path());
        atomic::replace(&instance.config, b" \n").unwrap();
        let empty = load_alone(&instance).unwrap();
        assert!(empty.problem.is_none() && empty.effective.config == Config::default());
        atomic::replace(&instance.config, GOOD.as_bytes()).unwrap();
        load_alone(&instance).unwrap();
        atomic::replace(&instance.config, b"").unwrap();
        let loaded = load_alone(&instance).unwrap();
        assert_eq!(loaded.text, GOOD);
        assert!(loaded.problem.unwrap().message.contains("is empty"));
    }

    #[test]
    fn a_file_that_was_named_and_is_not_there_is_an_error_whatever_backups_there_are() {
        let folder = tempfile::tempdir().unwrap();
        let config = Some(folder.path().join("typo.toml"));
        let options = InstanceOptions { data_dir: Some(folder.path().to_owned()), config, ..InstanceOptions::default() };
        let instance = Instance::locate(&options).unwrap();
        Backups::of(&instance).accept(GOOD).unwrap();
        let error = load_alone(&instance).unwrap_err();
        assert!(error.code == Code::ConfigMissing && error.message.contains("typo.toml"), "{error}");
    }

    #[test]
    fn a_station_that_cannot_keep_backups_starts_and_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let instance = instance(folder.path());
        atomic::replace(&instance.config, GOOD.as_bytes()).unwrap();
        std::fs::create_dir(instance.backups()).unwrap();
        // The lock file cannot be opened: it is a folder.
        std::fs::create_dir(instance.backups().join(".lock")).unwrap();
        let loaded = load_alone(&instance).unwrap();
        assert_eq!(loaded.effective.config.queue.max_entries, 20);
        assert_eq!(loaded.problem.unwrap().code, Code::DataFolderUnavailable);
    }

    #[test]
    fn environment_and_pinned_values_lie_over_the_file_and_over_what_stands_in_for_it() {
        let folder = tempfile::tempdir().unwrap();
        let instance = instance(folder.path());
        atomic::replace(&instance.config, GOOD.as_bytes()).unwrap();
        let layers = Layers {
            environment: vec![
                ("WAYBILL_CONFIG_QUEUE_MAX_ENTRIES".into(), "30".into()),
                ("WAYBILL_CONFIG_UPLOAD_TIMEOUT_SECS".into(), "7".into()),
            ],
            managed: vec![Managed { place: "managed.toml".into(), text: "[queue]\nmax_entries = 40\n".into() }],
        };
        for broken in [false, true] {
            if broken {
                atomic::replace(&instance.config, b"[queue").unwrap();
            }
            let loaded = load_under(&instance, layers.clone()).unwrap();
            assert_eq!(loaded.problem.is_some(), broken);
            assert_eq!((loaded.effective.config.queue.max_entries, loaded.effective.config.upload.timeout_secs), (40, 7));
            assert_eq!(loaded.effective.origins["queue.max_entries"], Origin::Managed("managed.toml".into()));
            assert_eq!(loaded.text, GOOD, "what lies over the file does not get into it");
        }
        let error = candidate(&layers, "[upload]\ntimeout_secs = 5\nmax_retries = 200", &no_more).unwrap_err();
        assert_eq!(error.details.iter().map(|fault| fault.path.as_str()).collect::<Vec<_>>(), ["upload.max_retries"]);
        assert_eq!(candidate(&layers, GOOD, &no_more).unwrap().config.queue.max_entries, 40);
    }

    #[test]
    fn the_rules_of_the_caller_count() {
        let rule = |config: &Config| match config.queue.max_entries {
            20 => vec![Fault { path: "queue.max_entries".into(), kind: FaultKind::Conflict, message: "20 is unlucky".into() }],
            _ => Vec::new(),
        };
        assert!(candidate(&Layers::default(), GOOD, &rule).unwrap_err().details[0].message.contains("unlucky"));
        assert!(candidate(&Layers::default(), "", &rule).is_ok());
    }
}

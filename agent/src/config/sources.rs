//! What lies over the file: the environment of this process, and what the administrator has pinned.
//!
//! It fails closed: pinned values that are there and cannot be read stop whoever asks, because nobody knows what they would forbid. Secrets
//! of the environment are left out: nothing of the configuration may repeat them.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use waybill_shared::config::layers::VARIABLE_PREFIX;
use waybill_shared::config::{Layers, Managed};
use waybill_shared::error::{Code, ErrorReport};
use waybill_shared::paths::{self, Instance};
use waybill_shared::schema::{Fault, FaultKind};
use waybill_shared::text;

use super::store;

/// Variables that begin with this are secrets, and so is [`PIN`].
const SECRET_PREFIX: &str = "WAYBILL_SECRET_";
const PIN: &str = "WAYBILL_PIN";

/// The environment of this process and the pinned values: those beside the configuration, and over them those of the machine.
///
/// # Errors
/// A variable that sets a field is no Unicode text, or pinned values are there and cannot be read.
pub fn layers(instance: &Instance) -> Result<Layers, ErrorReport> {
    let mut managed = vec![instance.managed(), paths::managed_file()];
    managed.dedup();
    gather(std::env::vars_os(), &managed)
}

/// The same from anywhere; the strongest of the files is the last.
pub(super) fn gather(
    variables: impl IntoIterator<Item = (OsString, OsString)>,
    managed: &[PathBuf],
) -> Result<Layers, ErrorReport> {
    Ok(Layers {
        environment: environment(variables)?,
        managed: managed.iter().filter_map(|path| pinned(path).transpose()).collect::<Result<_, _>>()?,
    })
}

fn environment(variables: impl IntoIterator<Item = (OsString, OsString)>) -> Result<Vec<(String, String)>, ErrorReport> {
    let mut known = Vec::new();
    let mut faults = Vec::new();
    for (name, value) in variables {
        // A name that is no Unicode keeps its ASCII letters: enough to tell whether it is meant for us.
        let shown = name.to_string_lossy().into_owned();
        let upper = shown.to_ascii_uppercase();
        if upper.starts_with(SECRET_PREFIX) || upper == PIN {
            continue;
        }
        match (name.into_string(), value.into_string()) {
            (Ok(name), Ok(value)) => known.push((name, value)),
            _ if upper.starts_with(VARIABLE_PREFIX) => faults.push(Fault {
                path: text::printable(&shown, 200),
                kind: FaultKind::WrongType,
                message: "the name or the value of this environment variable is no Unicode text".to_owned(),
            }),
            _ => {}
        }
    }
    if faults.is_empty() {
        return Ok(known);
    }
    let message = format!("the environment has {} fault(s)", faults.len());
    Err(ErrorReport::new(Code::ConfigInvalid, message).with_details(faults))
}

fn pinned(path: &Path) -> Result<Option<Managed>, ErrorReport> {
    let place = text::path(path);
    match store::read_text(path) {
        Ok(content) => Ok(content.map(|text| Managed { place, text })),
        Err(why) => Err(ErrorReport::new(
            Code::ConfigUnreadable,
            format!("what the administrator has pinned cannot be read: {place}: {why}; without it nothing starts"),
        )
        .with_fix("Let the agent's user read the file, or let the administrator mend or remove it")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(name: &str, value: &str) -> (OsString, OsString) {
        (name.into(), value.into())
    }

    #[test]
    fn the_environment_comes_without_secrets() {
        let variables = [
            pair("WAYBILL_CONFIG_QUEUE_MAX_ENTRIES", "5"),
            pair("STATION", "ST-1"),
            pair("WAYBILL_SECRET_DESTINATION_MAIN_TOKEN", "hunter2"),
            pair("Waybill_Pin", "1234"),
        ];
        let layers = gather(variables, &[]).unwrap();
        let names: Vec<&str> = layers.environment.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["WAYBILL_CONFIG_QUEUE_MAX_ENTRIES", "STATION"]);
    }

    #[cfg(unix)]
    #[test]
    fn a_variable_that_is_no_text_is_a_fault_if_it_sets_a_field_and_ignored_if_not() {
        use std::os::unix::ffi::OsStringExt as _;
        let broken = || OsString::from_vec(vec![b'a', 0xff]);
        let error = gather([("WAYBILL_CONFIG_STATION_NAME".into(), broken()), ("OTHER".into(), broken())], &[]).unwrap_err();
        assert_eq!(error.code, Code::ConfigInvalid);
        let named: Vec<&str> = error.details.iter().map(|fault| fault.path.as_str()).collect();
        assert_eq!(named, ["WAYBILL_CONFIG_STATION_NAME"]);
        assert!(gather([("OTHER".into(), broken()), (broken(), "x".into())], &[]).unwrap().environment.is_empty());
    }

    #[test]
    fn pinned_files_come_in_their_order_and_a_missing_one_is_no_fault() {
        let folder = tempfile::tempdir().unwrap();
        let [weak, missing, strong] = ["weak", "missing", "strong"].map(|name| folder.path().join(name));
        waybill_shared::fs::atomic::replace(&weak, b"[log]\nlevel='debug'").unwrap();
        waybill_shared::fs::atomic::replace(&strong, b"[log]\nlevel='info'").unwrap();
        let layers = gather([], &[weak, missing, strong.clone()]).unwrap();
        assert_eq!(layers.managed.len(), 2);
        assert_eq!(layers.managed[1], Managed { place: text::path(&strong), text: "[log]\nlevel='info'".into() });
    }

    #[test]
    fn pinned_values_that_cannot_be_read_stop_everything() {
        let folder = tempfile::tempdir().unwrap();
        let no_text = folder.path().join("managed.toml");
        waybill_shared::fs::atomic::replace(&no_text, &[b'a', 0xff]).unwrap();
        for unreadable in [folder.path().to_owned(), no_text] {
            let error = gather([], std::slice::from_ref(&unreadable)).unwrap_err();
            assert_eq!(error.code, Code::ConfigUnreadable);
            assert!(error.message.contains(&text::path(&unreadable)), "{error}");
        }
    }
}

//! Whatever is wrong with a new configuration: it is refused with every fault named, and the stored file is the same byte for byte.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    dead_code,
    reason = "a fault of a test is told where it stands; other tests use more of the faults"
)]

#[path = "../../shared/tests/faults/mod.rs"]
mod faults;

use std::collections::BTreeMap;
use std::path::Path;

use faults::{Planted, all, text, valid};
use proptest::prelude::*;
use waybill_agent::config::{Store, candidate};
use waybill_shared::config::tree::value_to_text;
use waybill_shared::config::{Edit, Layers};
use waybill_shared::error::{Code, ErrorReport};
use waybill_shared::paths::{Instance, InstanceOptions};

fn instance(folder: &Path) -> Instance {
    Instance::locate(&InstanceOptions { data_dir: Some(folder.to_owned()), ..InstanceOptions::default() }).unwrap()
}

fn check(text: &str) -> Result<(), ErrorReport> {
    candidate(&Layers::default(), text, &|_| Vec::new()).map(drop)
}

/// Every file below a folder and its bytes. Locks say who holds them, and are nobody's configuration.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if !path.to_string_lossy().contains(".lock") {
            found.insert(path.display().to_string(), std::fs::read(&path).unwrap());
        }
    }
    found
}

fn names_all(error: &ErrorReport, planted: &[Planted]) -> Result<(), TestCaseError> {
    prop_assert_eq!(error.code, Code::ConfigInvalid);
    for fault in planted {
        let named = error.details.iter().any(|detail| detail.path == fault.path && detail.kind == fault.kind);
        prop_assert!(named, "{} {:?} is not named: {:?}", fault.path, fault.kind, error.details);
    }
    Ok(())
}

/// The change of one value that brings a fault into a file, if there is one: an element by its name, a value as a person types it.
fn edit(fault: &Planted) -> Option<Edit> {
    let is_unknown = fault.kind == waybill_shared::schema::FaultKind::UnknownKey;
    let place = fault.place[1..].replace('/', ".");
    let place = faults::ELEMENTS.iter().fold(place, |place, (list, names)| {
        names
            .iter()
            .enumerate()
            .fold(place, |place, (index, name)| place.replace(&format!("{list}.{index}."), &format!("{list}.{name}.")))
    });
    (!is_unknown && fault.variable.is_some()).then(|| Edit::Set { place, value: value_to_text(&fault.value) })
}

fn some_faults() -> impl Strategy<Value = Vec<Planted>> {
    proptest::collection::vec(proptest::sample::select(all()), 1..8).prop_map(|chosen| {
        let mut kept: Vec<Planted> = Vec::new();
        for fault in chosen {
            if !kept.iter().any(|other| other.collides(&fault)) {
                kept.push(fault);
            }
        }
        kept
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn an_invalid_document_or_change_names_every_fault_and_leaves_the_stored_file_as_it_was(
        planted in some_faults(),
        by_hand in "(# [a-z ]{0,20}\r?\n){0,3}",
    ) {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::of(&instance(folder.path()));
        let stored = format!("{by_hand}{}", text(&valid()));
        let first = store.lock().unwrap().save(None, &stored, &check).unwrap();
        let before = files(folder.path());
        prop_assert!(before.values().any(|bytes| bytes == stored.as_bytes()));

        // As a whole document, whatever it says it is based on.
        let mut tree = valid();
        planted.iter().for_each(|fault| fault.plant(&mut tree));
        for base in [None, Some(first.revision.as_str())] {
            let error = store.lock().unwrap().save(base, &text(&tree), &check).unwrap_err();
            names_all(&error, &planted)?;
            let replace = Edit::Replace { text: text(&tree) };
            names_all(&store.lock().unwrap().edit(base, &[replace], &check).unwrap_err(), &planted)?;
        }
        prop_assert_eq!(&files(folder.path()), &before);

        // Value by value, good changes among the bad ones.
        let bad: Vec<_> = planted.iter().filter(|fault| edit(fault).is_some()).cloned().collect();
        if !bad.is_empty() {
            let good = Edit::Set { place: "station.location".to_owned(), value: "Line 2".to_owned() };
            let good = Some(good).filter(|_| bad.iter().all(|fault| fault.path != "station.location"));
            let edits: Vec<_> = good.into_iter().chain(bad.iter().filter_map(edit)).collect();
            names_all(&store.lock().unwrap().edit(None, &edits, &check).unwrap_err(), &bad)?;
        }
        // Places that there are not.
        let nowhere = Edit::Set { place: "queue.max_entires".to_owned(), value: "5".to_owned() };
        prop_assert_eq!(store.lock().unwrap().edit(None, &[nowhere], &check).unwrap_err().code, Code::ConfigInvalid);
        prop_assert_eq!(&files(folder.path()), &before, "something was written");
        prop_assert_eq!(store.read().unwrap().unwrap().revision, first.revision);
    }
}

//! Any invalid document: every fault is named, with its path and its kind, in the file as well as in what lies over it.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a fault of a test is told where it stands")]

mod faults;

use std::collections::{BTreeSet, HashSet};

use faults::{Planted, all, names_only, text, valid};
use proptest::prelude::*;
use waybill_shared::config::layers::resolve;
use waybill_shared::config::{ConfigError, Layers, Managed, describe};
use waybill_shared::schema::{Fault, FaultKind};

const MANAGED: &str = "managed.toml";

fn found(file: &str, layers: &Layers) -> Vec<Fault> {
    match resolve(file, layers, |_| Vec::new()) {
        Ok(_) => Vec::new(),
        Err(ConfigError::Faults(faults)) => faults,
        Err(other) => panic!("{other}\n{file}"),
    }
}

/// Where the same faults can come from. Each leaves out what it cannot carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum From {
    File,
    Managed,
    Environment,
}

/// What is said of these faults in `from`, and which of them it can carry.
fn told(planted: &[Planted], from: From) -> (Vec<Fault>, Vec<Planted>) {
    let document = text(&valid());
    let mut layers = Layers::default();
    match from {
        From::File => {
            let mut tree = valid();
            planted.iter().for_each(|fault| fault.plant(&mut tree));
            (found(&text(&tree), &layers), planted.to_vec())
        }
        From::Managed => {
            // Elements are found by their names there, so these stay.
            let carried: Vec<_> = planted.iter().filter(|fault| !is_element(fault)).cloned().collect();
            let mut tree = names_only();
            carried.iter().for_each(|fault| fault.plant(&mut tree));
            layers.managed = vec![Managed { place: MANAGED.to_owned(), text: text(&tree) }];
            (found(&document, &layers), carried)
        }
        From::Environment => {
            let carried: Vec<_> = planted.iter().filter(|fault| fault.variable.is_some()).cloned().collect();
            layers.environment = carried.iter().filter_map(|fault| fault.variable.clone()).collect();
            (found(&document, &layers), carried)
        }
    }
}

/// The name of an element, an element, or a whole list of them.
fn is_element(fault: &Planted) -> bool {
    let lists = faults::ELEMENTS.map(|(list, _)| list);
    let place = fault.place[1..].replace('/', ".");
    let in_list = |list: &str| {
        place == list
            || place
                .strip_prefix(list)
                .and_then(|rest| rest.strip_prefix('.'))
                .is_some_and(|rest| rest.parse::<usize>().is_ok() || rest.split_once('.').is_some_and(|(_, key)| key == "name"))
    };
    lists.into_iter().any(in_list)
}

/// Exactly these faults, each once, and else only what follows from them: values that are missing or contradict others now.
fn check(planted: &[Planted], from: From) -> Result<usize, TestCaseError> {
    let (told, carried) = told(planted, from);
    let mut direct: Vec<(String, FaultKind)> = Vec::new();
    for fault in &told {
        prop_assert!(!fault.message.is_empty(), "{:?}", fault);
        match fault.kind {
            FaultKind::UnknownKey | FaultKind::WrongType | FaultKind::OutOfRange => direct.push((fault.path.clone(), fault.kind)),
            FaultKind::Missing | FaultKind::Conflict => {
                prop_assert!(!carried.is_empty(), "a valid document, and {}", fault);
                prop_assert!(carried.iter().all(|planted| planted.path != fault.path), "told twice: {}", fault);
            }
        }
    }
    let mut expected: Vec<_> = carried.iter().map(|fault| (fault.path.clone(), fault.kind)).collect();
    direct.sort_by(|a, b| a.0.cmp(&b.0));
    expected.sort_by(|a, b| a.0.cmp(&b.0));
    prop_assert_eq!(&direct, &expected, "{:?}: {:?}", from, carried);
    for planted in &carried {
        let fault = told.iter().find(|fault| fault.path == planted.path).unwrap();
        // Where a single value comes from is kept: not where an element of a list does, nor a key that no table has.
        let single = planted.kind != FaultKind::UnknownKey && !planted.value.is_array() && !planted.value.is_object();
        let origin = match (from, &planted.variable) {
            (From::Environment, Some((variable, _))) if single => variable.as_str(),
            (From::Managed, _) if single => MANAGED,
            _ => "",
        };
        prop_assert!(fault.message.contains(origin), "{:?}: {} does not say {}", from, fault, origin);
    }
    Ok(carried.len())
}

#[test]
fn the_document_that_faults_are_put_into_has_none() {
    assert_eq!(found(&text(&valid()), &Layers::default()), []);
}

#[test]
fn every_fault_that_a_field_can_have_is_named_with_its_path_and_kind_wherever_it_comes_from() {
    let all = all();
    for from in [From::File, From::Managed, From::Environment] {
        let carried: usize =
            all.iter().map(|fault| check(std::slice::from_ref(fault), from).unwrap_or_else(|e| panic!("{e}"))).sum();
        assert!(carried > 100, "{from:?} carries only {carried} of {}", all.len());
    }
    // No field is left out: each can have a wrong type, and each with a rule can be out of range.
    let places: HashSet<_> = all.iter().map(|fault| (generic(&fault.place), fault.kind)).collect();
    for field in describe::fields() {
        let place = format!("/{}", field.path.replace("[]", "/0").replace('.', "/"));
        assert!(places.contains(&(place.clone(), FaultKind::WrongType)), "{place}");
        assert!(field.info.rule.is_none() || places.contains(&(place.clone(), FaultKind::OutOfRange)), "{place}");
    }
}

/// A place with all elements taken for the first.
fn generic(place: &str) -> String {
    place.split('/').map(|part| if part.parse::<usize>().is_ok() { "0" } else { part }).collect::<Vec<_>>().join("/")
}

#[test]
fn an_unknown_variable_is_named_as_such_beside_all_other_faults() {
    let layers = Layers { environment: vec![("WAYBILL_CONFIG_QUEUE_MAX_ENTIRES".into(), "1".into())], ..Layers::default() };
    let mut tree = valid();
    let other = all().into_iter().find(|fault| fault.path == "queue.max_entries").unwrap();
    other.plant(&mut tree);
    let told: BTreeSet<_> = found(&text(&tree), &layers).into_iter().map(|fault| (fault.path, fault.kind.text())).collect();
    let expected = [("WAYBILL_CONFIG_QUEUE_MAX_ENTIRES", FaultKind::UnknownKey), ("queue.max_entries", other.kind)];
    assert_eq!(told, expected.map(|(path, kind)| (path.to_owned(), kind.text())).into());
}

fn some_faults() -> impl Strategy<Value = Vec<Planted>> {
    proptest::collection::vec(proptest::sample::select(all()), 1..12).prop_map(|chosen| {
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
    #![proptest_config(ProptestConfig { cases: 1000.max(ProptestConfig::default().cases), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_number_of_faults_at_any_places_are_all_named_and_nothing_else_is(planted in some_faults()) {
        check(&planted, From::File)?;
        check(&planted, From::Managed)?;
        check(&planted, From::Environment)?;
    }
}

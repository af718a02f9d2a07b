//! A configuration: the file, what lies over it, and changes to it.
//!
//! The input is up to four parts with a line `%%` between them: the file, pinned values, environment (`NAME=VALUE` a line), changes
//! (`set PLACE VALUE`, `unset PLACE`, `add LIST NAME` a line).

use waybill_agent::config::store::edited;
use waybill_shared::config::layers::{Effective, resolve};
use waybill_shared::config::tree::{Place, locate, value_to_text};
use waybill_shared::config::{ConfigError, Edit, Layers, Managed};
use waybill_shared::schema::Value;

/// Reads, lays over, changes, and checks: a fault says where it is, a text that is a configuration can be written from scratch as the
/// same one, and a change never makes something else than TOML of it.
pub fn config_reader(bytes: &[u8]) {
    let Ok(input) = std::str::from_utf8(bytes) else { return };
    let mut parts = input.split("\n%%\n");
    let mut part = || parts.next().unwrap_or_default();
    let (file, pinned, environment, changes) = (part(), part(), part(), part());

    let plain = read(file, &Layers::default());
    if let Ok(plain) = &plain {
        assert_eq!(edited(file, &[]).as_deref(), Ok(file), "no change, and another text");
        let again = rewritten(plain);
        let reread = read(&again, &Layers::default()).unwrap_or_else(|error| panic!("{error}\n{again}"));
        assert_eq!(reread.config, plain.config, "{again}");
    }

    let layers = Layers {
        environment: environment.lines().filter_map(|line| line.split_once('=')).map(|(k, v)| (k.into(), v.into())).collect(),
        managed: if pinned.is_empty() { Vec::new() } else { vec![Managed { place: "managed.toml".into(), text: pinned.into() }] },
    };
    if let Ok(effective) = read(file, &layers) {
        for place in effective.origins.keys() {
            assert!(!place.is_empty());
        }
    }

    let edits: Vec<Edit> = changes.lines().filter_map(edit).collect();
    match edited(file, &edits) {
        // Nothing is looked at where nothing is to be changed.
        Ok(_) if edits.is_empty() => {}
        Ok(changed) => {
            let read = read(&changed, &layers);
            assert!(!matches!(read, Err(ConfigError::Syntax { .. })), "a change made no TOML of it: {read:?}\n{changed}");
        }
        Err(error) => is_told(&error),
    }
}

fn read(text: &str, layers: &Layers) -> Result<Effective, ConfigError> {
    let read = resolve(text, layers, |_| Vec::new());
    if let Err(error) = &read {
        is_told(error);
    }
    read
}

fn is_told(error: &ConfigError) {
    match error {
        ConfigError::Syntax { line, column, reason } => assert!(*line > 0 && *column > 0 && !reason.is_empty(), "{error:?}"),
        ConfigError::Faults(faults) => {
            assert!(
                !faults.is_empty() && faults.iter().all(|fault| !fault.path.is_empty() && !fault.message.is_empty()),
                "{error:?}"
            );
        }
        ConfigError::In { place, error } => {
            assert!(!place.is_empty());
            is_told(error);
        }
    }
}

/// The same configuration, written value by value into an empty file.
fn rewritten(effective: &Effective) -> String {
    let mut edits = Vec::new();
    write(&effective.tree, "", &effective.tree, &mut edits);
    edited("", &edits).unwrap_or_else(|error| panic!("{error}\n{edits:?}"))
}

fn write(value: &Value, place: &str, tree: &Value, edits: &mut Vec<Edit>) {
    let table = |name: &str| matches!(name, "source" | "destination" | "station.preset");
    match value {
        Value::Array(elements) if table(place) => {
            for element in elements {
                let name = element["name"].as_str().expect("every element of a configuration has a name");
                edits.push(Edit::Add { list: place.to_owned(), name: name.to_owned() });
                write(element, &format!("{place}.{name}"), tree, edits);
            }
        }
        Value::Object(fields) if !place.ends_with(".arguments") => {
            for (key, value) in fields {
                let below = if place.is_empty() { key.clone() } else { format!("{place}.{key}") };
                write(value, &below, tree, edits);
            }
        }
        _ => {
            let known: Place = place.parse().unwrap_or_else(|fault| panic!("{fault}"));
            locate(&known, tree).unwrap_or_else(|fault| panic!("{fault}"));
            edits.push(Edit::Set { place: place.to_owned(), value: value_to_text(value) });
        }
    }
}

fn edit(line: &str) -> Option<Edit> {
    let mut words = line.splitn(3, ' ');
    // A change of no place is told as such: there is no place to name.
    let (what, place) = (words.next()?, words.next().filter(|place| !place.is_empty())?.to_owned());
    let value = words.next().unwrap_or_default().to_owned();
    Some(match what {
        "set" => Edit::Set { place, value },
        "unset" => Edit::Unset { place },
        "add" => Edit::Add { list: place, name: value },
        _ => return None,
    })
}

//! Who this station is, from whatever says it.

use super::{Config, NameFrom};
use crate::schema::{Fault, FaultKind};

/// What a station adds to reports whose file does not say it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Its name.
    pub name: String,
    /// Where it stands.
    pub location: String,
    /// What it is for.
    pub purpose: String,
    /// Where its name comes from, in words.
    pub name_source: String,
}

impl Config {
    /// Who this station is: the active preset, else what is set, else the host. `environment` is that of the agent.
    #[must_use]
    pub fn identity(&self, environment: &[(String, String)]) -> Identity {
        let station = &self.station;
        let preset =
            station.active.as_ref().and_then(|active| station.preset.iter().find(|p| p.name.eq_ignore_ascii_case(active)));
        let variable = station.name_variable.as_deref().unwrap_or_default();
        let (name, name_source) = match (preset.and_then(|preset| preset.station.clone()), station.name_from) {
            (Some(name), _) => (name, format!("the preset {}", station.active.as_deref().unwrap_or_default())),
            (None, NameFrom::Setting) if station.name.is_some() => {
                (station.name.clone().unwrap_or_default(), "station.name".to_owned())
            }
            (None, NameFrom::Setting | NameFrom::Host) => (host_name(), "the host's name".to_owned()),
            (None, NameFrom::Variable) => {
                (lookup(environment, variable).unwrap_or_default(), format!("the environment variable {variable}"))
            }
        };
        Identity {
            name,
            location: preset.and_then(|preset| preset.location.clone()).unwrap_or_else(|| station.location.clone()),
            purpose: preset.and_then(|preset| preset.purpose.clone()).unwrap_or_else(|| station.purpose.clone()),
            name_source,
        }
    }
}

/// What the environment lacks that the configuration wants of it.
pub(super) fn fault(config: &Config, environment: &[(String, String)]) -> Option<Fault> {
    let station = &config.station;
    let variable = station.name_variable.as_deref().filter(|_| station.name_from == NameFrom::Variable)?;
    let at = |kind, message| Some(Fault { path: "station.name_variable".to_owned(), kind, message });
    match lookup(environment, variable) {
        None => at(FaultKind::Missing, format!("the environment variable {variable} is not set for the agent")),
        Some(name) if name.trim().is_empty() || name.chars().count() > 100 || name.contains(char::is_control) => {
            at(FaultKind::OutOfRange, format!("what the environment variable {variable} holds is no name: 1 to 100 characters"))
        }
        Some(_) => None,
    }
}

fn lookup(environment: &[(String, String)], variable: &str) -> Option<String> {
    let same = |name: &str| if cfg!(windows) { name.eq_ignore_ascii_case(variable) } else { name == variable };
    environment.iter().find(|(name, _)| same(name)).map(|(_, value)| value.clone())
}

/// The host's name, at most 100 characters; never empty.
#[must_use]
pub fn host_name() -> String {
    let name = gethostname::gethostname().to_string_lossy().into_owned();
    if name.is_empty() { "station".to_owned() } else { crate::text::shortened(&name, 99) }
}

#[cfg(test)]
mod tests {
    use super::super::{ConfigError, layers::Layers, layers::resolve};

    fn identity(text: &str, environment: &[(&str, &str)]) -> Result<super::Identity, ConfigError> {
        let environment: Vec<_> = environment.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let layers = Layers { environment: environment.clone(), managed: Vec::new() };
        resolve(text, &layers, |_| Vec::new()).map(|effective| effective.config.identity(&environment))
    }

    #[test]
    fn the_name_comes_from_where_it_is_said_to_come_from() {
        let name = |text: &str| identity(text, &[("STATION", "ENV-1")]).unwrap().name;
        assert_eq!(name("[station]\nname='A'"), "A");
        assert_eq!(name("[station]\nname_from='host'"), super::host_name());
        assert_eq!(name(""), super::host_name());
        assert_eq!(name("[station]\nname_from='variable'\nname_variable='STATION'"), "ENV-1");
        assert!(identity("[station]\nname_from='variable'\nname_variable='NOT_THERE'", &[]).is_err());
    }

    #[test]
    fn the_active_preset_stands_in_for_what_it_names() {
        let text = "[station]\nname='A'\npurpose='Production'\nactive='audit'\n[[station.preset]]\nname='audit'\npurpose='Audit'\n[[station.preset]]\nname='b'\nstation='B'\n";
        let audit = identity(text, &[]).unwrap();
        assert_eq!((audit.name.as_str(), audit.purpose.as_str(), audit.location.as_str()), ("A", "Audit", "Unspecified"));
        let b = identity(&text.replace("active='audit'", "active='b'"), &[]).unwrap();
        assert_eq!((b.name.as_str(), b.purpose.as_str()), ("B", "Production"));
        assert_eq!(b.name_source, "the preset b");
    }
}

//! The name under which an instance of the agent is reached.
//!
//! On Unix a user's agent has more than one place where it may be, because a login session has a runtime folder and a job of cron or a
//! bare `su` has none. Both sides know the same places in the same order: an agent listens in the first that it can use, a client looks
//! into one after the other until somebody answers.

use std::path::Path;

use waybill_shared::paths::{Instance, Scope};

use crate::transport;

/// Names of local sockets (paths) or the name of a pipe, and whose agent it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    name: String,
    places: Vec<String>,
    scope: Scope,
}

impl Endpoint {
    /// The endpoint of an instance: from scope and name, or, where a data folder was given, from a hash of its path, which
    /// keeps Unix socket paths short and lets any number of agents run side by side. An agent with a data folder of its own is its
    /// user's alone, whatever the scope.
    #[must_use]
    pub fn of(instance: &Instance) -> Self {
        let stem = if instance.explicit_data { format!("d-{}", short_hash(&instance.data)) } else { instance.name.clone() };
        let scope = if instance.explicit_data { Scope::User } else { instance.scope };
        Self::at(transport::places(scope, &stem), scope)
    }

    pub(crate) fn at(places: Vec<String>, scope: Scope) -> Self {
        let name = transport::first_usable(&places).to_owned();
        Self { name, places, scope }
    }

    /// The path of the socket, or the name of the pipe: the first place that an agent could use when this was made.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// All places, in the order in which they are looked at; at least one.
    #[must_use]
    pub fn places(&self) -> &[String] {
        &self.places
    }

    /// Whose agent it is: the machine's is open to its group, a user's to nobody else.
    #[must_use]
    pub fn scope(&self) -> Scope {
        self.scope
    }
}

/// First 16 hex digits of the hash of a folder's real path, so that two spellings of one folder are one endpoint.
fn short_hash(folder: &Path) -> String {
    let real = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    let hash = blake3::hash(real.as_os_str().as_encoded_bytes());
    hash.to_hex()[..16].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use waybill_shared::paths::InstanceOptions;

    fn of(folder: &Path, scope: Option<Scope>) -> Endpoint {
        let options = InstanceOptions { data_dir: Some(folder.to_owned()), scope, ..InstanceOptions::default() };
        Endpoint::of(&Instance::locate(&options).unwrap())
    }

    #[test]
    fn endpoints_are_short_and_differ_by_folder() {
        let (a, b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        assert_ne!(of(a.path(), None), of(b.path(), None));
        assert_eq!(of(a.path(), None), of(&a.path().join("."), None));
        let long = of(&a.path().join("x".repeat(150)), None);
        assert!(long.places().iter().all(|place| place.len() < 100), "{long:?}");
        assert!(long.places().iter().any(|place| place == long.name()));
    }

    #[test]
    fn only_an_agent_of_the_machine_without_a_folder_of_its_own_is_the_machines() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(of(folder.path(), Some(Scope::Machine)).scope(), Scope::User);
        for scope in [Scope::Machine, Scope::User] {
            let Ok(instance) = Instance::locate(&InstanceOptions { scope: Some(scope), ..InstanceOptions::default() }) else {
                // A user without a home has no places of a user's agent.
                continue;
            };
            assert_eq!(Endpoint::of(&instance).scope(), scope);
        }
    }
}

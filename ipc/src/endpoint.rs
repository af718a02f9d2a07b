//! The name under which an instance of the agent is reached.

use std::path::Path;

use waybill_shared::paths::{Instance, Scope};

use crate::transport;

/// Name of a local socket (a path) or of a named pipe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    name: String,
}

impl Endpoint {
    /// The endpoint of an instance: from scope and name, or, where a data folder was given, from a hash of its path, which
    /// keeps Unix socket paths short and lets any number of agents run side by side.
    #[must_use]
    pub fn of(instance: &Instance) -> Self {
        let machine = instance.scope == Scope::Machine;
        let stem = if instance.explicit_data { format!("d-{}", short_hash(&instance.data)) } else { instance.name.clone() };
        Self { name: transport::endpoint_name(machine && !instance.explicit_data, &stem) }
    }

    /// The path of the socket, or the name of the pipe.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
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

    #[test]
    fn endpoints_are_short_and_differ_by_folder() {
        let of = |folder: &Path| {
            let options = InstanceOptions { data_dir: Some(folder.to_owned()), ..InstanceOptions::default() };
            Endpoint::of(&Instance::locate(&options).unwrap())
        };
        let (a, b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        assert_ne!(of(a.path()), of(b.path()));
        assert_eq!(of(a.path()), of(&a.path().join(".")));
        assert!(of(&a.path().join("x".repeat(150))).name().len() < 100);
    }
}

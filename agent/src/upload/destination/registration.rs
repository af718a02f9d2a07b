//! How a station makes itself known to a server.
//!
//! The server knows a station by its id. It is made of the host's name (in small letters) and the agent's instance, so that it stays the
//! same when the station is renamed, moved or used under another preset, and after the data folder was lost; another machine, or a second
//! agent beside the first one, has another. Whoever registers again gets a new token, and the server takes the old one back.

use std::future::Future;
use std::pin::Pin;

use uuid::Uuid;
use waybill_shared::config::{Identity, host_name};
use waybill_shared::error::ErrorReport;
use waybill_shared::secret::Secret;

/// A registration that is under way; dropping it ends it.
pub type Registering<'a> = Pin<Box<dyn Future<Output = Result<Secret, ErrorReport>> + Send + 'a>>;

/// Ids of stations are made below this one. It never changes: they would all be others.
const STATIONS: Uuid = Uuid::from_u128(0x6a0f_4d1e_92c3_5b7a_8e41_d07b_53f6_2c98);

/// Who a station says that it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registration {
    /// Its id, the same for ever.
    pub id: Uuid,
    /// Its name.
    pub name: String,
    /// Where it stands.
    pub location: String,
    /// What it is for.
    pub purpose: String,
}

impl Registration {
    /// This machine's agent of that instance.
    #[must_use]
    pub fn of(instance: &str, identity: &Identity) -> Self {
        Self {
            id: station_id(&host_name(), instance),
            name: identity.name.clone(),
            location: identity.location.clone(),
            purpose: identity.purpose.clone(),
        }
    }
}

fn station_id(host: &str, instance: &str) -> Uuid {
    Uuid::new_v5(&STATIONS, format!("{}\n{}", host.to_lowercase(), instance.to_lowercase()).as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_of_a_station_is_the_same_for_ever() {
        let known = "5469472b-9083-5858-a5df-73c103c2c833";
        assert_eq!(station_id("ST-07", "default").to_string(), known, "stations would have to be registered again");
        assert_eq!(station_id("st-07", "Default").to_string(), known);
        assert_ne!(station_id("ST-08", "default").to_string(), known);
        assert_ne!(station_id("ST-07", "second").to_string(), known);
    }

    #[test]
    fn a_station_that_is_renamed_keeps_its_id() {
        let identity = |name: &str| Identity {
            name: name.to_owned(),
            location: "Line 1".to_owned(),
            purpose: "Production".to_owned(),
            name_source: "station.name".to_owned(),
        };
        let (before, after) = (Registration::of("default", &identity("ST-07")), Registration::of("default", &identity("ST-08")));
        assert_eq!(before.id, after.id);
        assert_eq!((after.name.as_str(), after.location.as_str(), after.purpose.as_str()), ("ST-08", "Line 1", "Production"));
    }
}

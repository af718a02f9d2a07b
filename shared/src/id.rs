//! Identities that travel through the whole system.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

macro_rules! uuid_id {
    ($(#[$meta:meta])* $name:ident) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub struct $name(Uuid);

        impl $name {
            /// The sixteen bytes in network order, as they are stored.
            #[must_use]
            pub fn as_bytes(&self) -> &[u8; 16] {
                self.0.as_bytes()
            }
            /// From the sixteen bytes in network order.
            #[must_use]
            pub fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(Uuid::from_bytes(bytes))
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
        impl FromStr for $name {
            type Err = uuid::Error;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                text.parse().map(Self)
            }
        }
    };
}

uuid_id! {
    /// Identity of a report. The server keeps one report an id, so that sending twice is harmless.
    ReportId
}

uuid_id! {
    /// One life of a taken file: the same id in the log, the queue, the upload header, the events and the window.
    CorrelationId
}

impl CorrelationId {
    /// A new id. UUIDv7, so that ids sort by the time they were made.
    #[must_use]
    #[allow(clippy::new_without_default, reason = "a default identity would be a trap")]
    pub fn new() -> Self {
        Self(Uuid::now_v7())
    }
}

/// Namespace of derived report ids: UUIDv5 of the DNS namespace and `report.waybill`.
const REPORT_NAMESPACE: Uuid = Uuid::from_u128(0x8bf6_9f7f_42ce_5b71_bd71_2c46_e986_a3d2);

/// What the identity of a report is derived from when its file names none.
///
/// The same unit read again (after a crash, or because its log grew) gives the same id; two equal retests of one file differ
/// in their occurrence, and so are two reports.
#[derive(Debug, Clone, Copy)]
pub struct UnitIdentity<'a> {
    /// Converter name without its version: an improved converter finds the same reports.
    pub converter: &'a str,
    /// Name of the source.
    pub source: &'a str,
    /// Hash of this unit's own bytes, not of the whole file.
    pub unit_hash: &'a [u8; 32],
    /// Start time of the unit as the file writes it, or the file's modification time.
    pub start: &'a str,
    /// Number of equal units before this one in the same file.
    pub occurrence: u64,
}

impl ReportId {
    /// The id of a unit whose file names none.
    #[must_use]
    pub fn derive(unit: UnitIdentity<'_>) -> Self {
        let mut name = Vec::with_capacity(128);
        for part in [unit.converter.as_bytes(), unit.source.as_bytes(), unit.unit_hash, unit.start.as_bytes()] {
            name.extend_from_slice(&(part.len() as u64).to_le_bytes());
            name.extend_from_slice(part);
        }
        name.extend_from_slice(&unit.occurrence.to_le_bytes());
        Self(Uuid::new_v5(&REPORT_NAMESPACE, &name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNIT: UnitIdentity<'_> =
        UnitIdentity { converter: "openhtf", source: "fct", unit_hash: &[7; 32], start: "2026-01-30T12:00:00Z", occurrence: 0 };

    #[test]
    fn derived_ids_are_stable_for_ever() {
        // The queue and the server hold ids made by earlier versions: this value may never change.
        assert_eq!(ReportId::derive(UNIT).to_string(), "1bbbecba-6fb4-5bea-9a33-319e91688c8c");
    }

    #[test]
    fn every_part_of_the_identity_counts() {
        let variants = [
            UNIT,
            UnitIdentity { converter: "x", ..UNIT },
            UnitIdentity { source: "x", ..UNIT },
            UnitIdentity { unit_hash: &[8; 32], ..UNIT },
            UnitIdentity { start: "x", ..UNIT },
            UnitIdentity { occurrence: 1, ..UNIT },
        ];
        let ids: std::collections::HashSet<_> = variants.into_iter().map(ReportId::derive).collect();
        assert_eq!(ids.len(), variants.len());
    }

    #[test]
    fn correlation_ids_sort_by_time() {
        let ids: Vec<_> = (0..100).map(|_| CorrelationId::new()).collect();
        assert!(ids.is_sorted());
    }
}

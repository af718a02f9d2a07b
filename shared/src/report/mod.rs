//! The report model: one unit under test (UUT) or under repair (UUR), with everything that was measured on it.
//!
//! Keys, types and lengths are those of WSJF, the JSON form of a WATS report. Every key is optional in the model and `null`
//! reads as absent; what is required is [`validate`]'s business. **Steps in = steps out**: keys and step types that the model
//! does not know are carried through verbatim, numbers keep the digits of their file.

pub mod json;
mod num;
mod status;
mod step;
mod uur;
mod uut;
pub mod validate;
pub mod wsjf;

pub use num::Num;
pub use status::Status;
pub use step::{BooleanMeas, CallExe, Chart, LoopInfo, MessagePopup, NumericMeas, SeqCall, Series, Step, StringMeas};
pub use uur::{Failure, Uur};
pub use uut::Uut;

use crate::id::ReportId;
use crate::record;
use crate::schema::Value;

record! {
    /// A report as it travels: type "T" is a test of a unit, type "R" a repair.
    pub struct Report {
        /// "T" (UUT, a test) or "R" (UUR, a repair).
        kind: String = "type";
        /// GUID. The server keeps one report an id: the same id again overwrites it.
        id: String = "id";
        /// Part number.
        pn: String = "pn", max 100;
        /// Serial number.
        sn: String = "sn", max 100;
        /// Revision of the part.
        rev: String = "rev", max 100;
        /// Test operation (T) or repair operation (R).
        process_code: i64 = "processCode";
        /// Verdict on the unit.
        result: Status = "result";
        /// Name of the station.
        machine_name: String = "machineName", max 100;
        /// Where the station stands.
        location: String = "location", max 100;
        /// What the station is for.
        purpose: String = "purpose", max 100;
        /// Start with offset, ISO 8601, up to nine fractional digits (exports have seven).
        start: String = "start";
        /// Start in UTC; exports carry both.
        start_utc: String = "startUTC";
        /// What a test says of the whole unit.
        uut: Uut = "uut";
        /// What a repair says of the whole unit.
        uur: Uur = "uur";
        /// Free name and value pairs.
        misc_infos: Vec<MiscInfo> = "miscInfos";
        /// Parts that the unit is made of.
        sub_units: Vec<SubUnit> = "subUnits";
        /// Equipment that was used, by serial number.
        assets: Vec<Asset> = "assets";
        /// Export only: running counts and calibration of the equipment.
        asset_stats: Vec<Value> = "assetStats";
        /// Files that belong to the report.
        binary_data: Vec<Attachment> = "binaryData";
        /// Structured data of any shape.
        additional_data: Vec<Value> = "additionalData";
        /// The root sequence call of a test.
        root: Step = "root";
    }
}

record! {
    /// A free name and value.
    pub struct MiscInfo {
        /// The name.
        description: String = "description", max 100;
        /// The value.
        text: String = "text", max 100;
        /// Export only.
        id: Value = "id";
        /// The value as a number; deprecated on the wire, and found with `text` null.
        numeric: Num = "numeric";
    }
}

record! {
    /// A part that the unit holds. In a repair, index 0 is the unit itself and failures hang here.
    pub struct SubUnit {
        /// Part number.
        pn: String = "pn", max 100;
        /// Serial number.
        sn: String = "sn", max 100;
        /// Revision.
        rev: String = "rev", max 100;
        /// Kind of part.
        part_type: String = "partType", max 50;
        /// Repair: index; 0 is the main unit.
        idx: i64 = "idx";
        /// Repair: index of the part that holds this one.
        parent_idx: i64 = "parentIdx";
        /// Position in the parent.
        position: i64 = "position";
        /// Repair: index of the part that this one replaces.
        replaced_idx: i64 = "replacedIdx";
        /// Repair: what was found on this part.
        failures: Vec<Failure> = "failures";
    }
}

record! {
    /// Equipment that was used.
    pub struct Asset {
        /// Serial number of the equipment.
        sn: String = "sn", max 100;
        /// By how much its usage counter goes up.
        usage_count: i64 = "usageCount";
        /// Kind of equipment.
        asset_type: String = "assetType";
        /// Its part number.
        part_number: String = "partNumber";
        /// Last calibration.
        calibration_date: String = "calibrationDate";
        /// Next calibration.
        calibration_due: String = "calibrationDue";
    }
}

record! {
    /// A file that belongs to a report or to a step.
    pub struct Attachment {
        /// File name.
        name: String = "name", max 256;
        /// Media type.
        content_type: String = "contentType";
        /// Base64.
        data: String = "data";
        /// What it shows.
        description: String = "description", max 500;
        /// Repair: index of the failure that it belongs to.
        fail_idx: i64 = "failIdx";
    }
}

impl Report {
    /// The id, if the report has one that is a GUID.
    #[must_use]
    pub fn report_id(&self) -> Option<ReportId> {
        self.id.as_deref()?.trim_matches(['{', '}']).parse().ok()
    }

    /// Gives the report its station's name, location and purpose where its file names none: the file wins.
    pub fn fill_station(&mut self, name: &str, location: &str, purpose: &str) {
        for (field, value) in [(&mut self.machine_name, name), (&mut self.location, location), (&mut self.purpose, purpose)] {
            if field.as_deref().is_none_or(str::is_empty) {
                *field = Some(value.to_owned());
            }
        }
    }

    /// All steps, the root first, each before its children.
    pub fn steps(&self) -> impl Iterator<Item = &Step> {
        let mut open: Vec<&Step> = self.root.iter().collect();
        std::iter::from_fn(move || {
            let step = open.pop()?;
            open.extend(step.steps.iter().flatten().rev());
            Some(step)
        })
    }

    /// Number of single measurements: items of numeric, boolean and string measurements.
    #[must_use]
    pub fn measurement_count(&self) -> usize {
        self.steps().map(Step::measurement_count).sum()
    }
}

#[cfg(test)]
mod tests;

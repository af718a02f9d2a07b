//! What a repair says of the whole unit, and the failures it found.

use super::Num;
use crate::record;
use crate::schema::Value;

record! {
    /// Header of a repair (UUR).
    pub struct Uur {
        /// Who repaired.
        user: String = "user", max 100;
        /// Free text.
        comment: String = "comment", max 5000;
        /// Seconds the repair took.
        exec_time: Num = "execTime";
        /// Code of the *test* operation that failed.
        process_code: i64 = "processCode";
        /// Name of the test operation that failed.
        process_name: String = "processName";
        /// GUID of the failed test.
        ref_uut: String = "refUUT";
        /// When the repair was confirmed.
        confirm_date: String = "confirmDate";
        /// When the repair was finished.
        finalize_date: String = "finalizeDate";
        /// Whether the repair is open.
        active: bool = "active";
        /// Repair that this one belongs to.
        parent: Value = "parent";
        /// Repairs that belong to this one.
        children: Value = "children";
    }
}

record! {
    /// What was found on a part.
    pub struct Failure {
        /// Category of the failure.
        category: String = "category";
        /// Code of the failure.
        code: String = "code";
        /// Free text.
        comment: String = "comment";
        /// Component reference, as on the schematic: "C12".
        com_ref: String = "comRef";
        /// Function block.
        func_block: String = "funcBlock";
        /// Id of the test step that showed it.
        ref_step_id: i64 = "refStepId";
        /// Name of that step; read only.
        ref_step_name: String = "refStepName";
        /// Article number of the component.
        art_number: String = "artNumber";
        /// Its revision.
        art_rev: String = "artRev";
        /// Its vendor.
        art_vendor: String = "artVendor";
        /// Its description.
        art_description: String = "artDescription";
    }
}

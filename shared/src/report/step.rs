//! Steps and their measurements.

use super::{Attachment, Num, Status};
use crate::record;
use crate::schema::Value;

record! {
    /// One step of a test; a sequence call holds more of them. Any `stepType` is carried through.
    pub struct Step {
        /// Number of the step in its report.
        id: i64 = "id";
        /// Kind of step: SequenceCall, ET_NLT, ET_PFT, … (any other is kept as it is).
        step_type: String = "stepType";
        /// Name of the step.
        name: String = "name", max 100;
        /// S setup, M main, C cleanup.
        group: String = "group";
        /// Verdict on the step.
        status: Status = "status";
        /// When it began.
        start: String = "start";
        /// Seconds it took.
        tot_time: Num = "totTime";
        /// Error number.
        error_code: i64 = "errorCode";
        /// Error text.
        error_message: String = "errorMessage", max 200;
        /// Free text.
        report_text: String = "reportText";
        /// Identity of the step in the test program.
        ts_guid: String = "tsGuid";
        /// Export only: made its sequence fail.
        caused_seq_failure: bool = "causedSeqFailure";
        /// Export only: made the unit fail.
        caused_uut_failure: bool = "causedUUTFailure";
        /// Place in a loop, or the loop's totals.
        loop_info: LoopInfo = "loop";
        /// The sequence that a sequence call runs.
        seq_call: SeqCall = "seqCall";
        /// Numeric measurements with limits.
        numeric_meas: Vec<NumericMeas> = "numericMeas";
        /// Pass/fail measurements.
        boolean_meas: Vec<BooleanMeas> = "booleanMeas";
        /// Text measurements.
        string_meas: Vec<StringMeas> = "stringMeas";
        /// What an operator answered.
        message_popup: MessagePopup = "messagePopup";
        /// How a program ended.
        call_exe: CallExe = "callExe";
        /// A graph.
        chart: Chart = "chart";
        /// A file.
        attachment: Attachment = "attachment";
        /// Structured data of any shape.
        additional_results: Vec<Value> = "additionalResults";
        /// Steps of a sequence call, in order.
        steps: Vec<Step> = "steps";
    }
}

record! {
    /// The sequence that a sequence call runs.
    pub struct SeqCall {
        /// File of the sequence.
        path: String = "path", max 500;
        /// Name of the sequence.
        name: String = "name", max 200;
        /// Its version.
        version: String = "version", max 30;
    }
}

record! {
    /// One numeric measurement. A single limit stands in `low_limit`, whatever the comparator.
    pub struct NumericMeas {
        /// Name; required where a step has several.
        name: String = "name", max 100;
        /// Comparator: LOG has no limits; EQ NE LT LE GT GE one; GELE … two inside; LTGT … two outside.
        comp_op: String = "compOp";
        /// Verdict.
        status: Status = "status";
        /// Unit of measure, free text.
        unit: String = "unit";
        /// What was measured.
        value: Num = "value";
        /// Lower limit, or the only one.
        low_limit: Num = "lowLimit";
        /// Upper limit.
        high_limit: Num = "highLimit";
    }
}

record! {
    /// One pass/fail measurement.
    pub struct BooleanMeas {
        /// Name; required where a step has several.
        name: String = "name", max 100;
        /// Verdict, which is the value.
        status: Status = "status";
    }
}

record! {
    /// One text measurement.
    pub struct StringMeas {
        /// Name; required where a step has several.
        name: String = "name", max 100;
        /// Comparator: LOG, CASESENSIT, IGNORECASE, EQ, NE.
        comp_op: String = "compOp";
        /// Verdict.
        status: Status = "status";
        /// What was read.
        value: String = "value";
        /// What was expected.
        limit: String = "limit";
    }
}

record! {
    /// What an operator answered.
    pub struct MessagePopup {
        /// Typed text.
        response: String = "response";
        /// Number of the button.
        button: i64 = "button";
    }
}

record! {
    /// How a program ended.
    pub struct CallExe {
        /// Exit code.
        exit_code: Num = "exitCode";
    }
}

record! {
    /// Place of a step in a loop (`idx`), or, with `idx` absent, the loop's totals.
    pub struct LoopInfo {
        /// Number of the iteration.
        idx: i64 = "idx";
        /// Iterations asked for.
        num: i64 = "num";
        /// Last index.
        ending_index: i64 = "endingIndex";
        /// Iterations that passed.
        passed: i64 = "passed";
        /// Iterations that failed.
        failed: i64 = "failed";
    }
}

record! {
    /// A graph of one or more curves.
    pub struct Chart {
        /// Line, LineLogXY, LineLogX, LineLogY.
        chart_type: String = "chartType";
        /// Title.
        label: String = "label";
        /// Name of the X axis.
        x_label: String = "xLabel";
        /// Unit of the X axis.
        x_unit: String = "xUnit";
        /// Name of the Y axis.
        y_label: String = "yLabel";
        /// Unit of the Y axis.
        y_unit: String = "yUnit";
        /// The curves.
        series: Vec<Series> = "series";
    }
}

record! {
    /// One curve. Values are texts joined by semicolons, not arrays.
    pub struct Series {
        /// "XYG".
        data_type: String = "dataType";
        /// Name of the curve.
        name: String = "name";
        /// X values, joined by semicolons.
        xdata: String = "xdata";
        /// Y values, joined by semicolons.
        ydata: String = "ydata";
    }
}

impl Step {
    /// Number of single measurements of this step, without its children's.
    #[must_use]
    pub fn measurement_count(&self) -> usize {
        self.numeric_meas.as_ref().map_or(0, Vec::len)
            + self.boolean_meas.as_ref().map_or(0, Vec::len)
            + self.string_meas.as_ref().map_or(0, Vec::len)
    }

    /// True for the step types that hold other steps.
    #[must_use]
    pub fn is_sequence_call(&self) -> bool {
        matches!(self.step_type.as_deref(), Some("SequenceCall" | "WATS_SeqCall"))
    }
}

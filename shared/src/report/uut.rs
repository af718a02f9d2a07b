//! What a test says of the whole unit.

use super::Num;
use crate::record;
use crate::schema::Value;

record! {
    /// Header of a test (UUT).
    pub struct Uut {
        /// Operator.
        user: String = "user", max 100;
        /// Free text.
        comment: String = "comment", max 5000;
        /// Seconds the test took.
        exec_time: Num = "execTime";
        /// Fixture.
        fixture_id: String = "fixtureId", max 100;
        /// Socket on the fixture; -1 is none.
        test_socket_index: i64 = "testSocketIndex";
        /// Error number of the test.
        error_code: i64 = "errorCode";
        /// Error text of the test.
        error_message: String = "errorMessage";
        /// Batch serial number.
        batch_sn: String = "batchSN", max 100;
        /// Failures in the batch so far.
        batch_fail_count: i64 = "batchFailCount";
        /// Number of this unit in the batch.
        batch_loop_index: i64 = "batchLoopIndex";
        /// Id of the step that made the unit fail.
        step_id_caused_uut_failure: i64 = "stepIdCausedUUTFailure";
        /// Export only: repairs that name this test.
        referenced_by_uurs: Vec<Value> = "referencedByUURs";
    }
}

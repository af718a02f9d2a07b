//! Verdicts that contradict their limits. The file's own verdict always wins (FORMATS.md section 2); a person may want to know.

use waybill_shared::report::{Report, Status, Step};
use waybill_shared::text::printable;

use super::limits::Limits;

/// Most contradictions that are told one by one.
const TOLD: usize = 5;

/// Measurements whose verdict is not what their limits say, in words.
pub(in crate::convert) fn contradictions(report: &Report) -> Vec<String> {
    let mut told = Vec::new();
    let mut more = 0_usize;
    for step in report.steps() {
        for measurement in step.numeric_meas.iter().flatten() {
            let (Some(verdict), Some(value), Some(comparator)) = (measurement.status, &measurement.value, &measurement.comp_op)
            else {
                continue;
            };
            let limits = Limits::of(comparator, measurement.low_limit.clone(), measurement.high_limit.clone());
            let Some(holds) = limits.map(|limits| limits.hold(value.as_f64())) else { continue };
            let says = if holds { Status::Passed } else { Status::Failed };
            if !matches!(verdict, Status::Passed | Status::Failed) || verdict == says {
                continue;
            }
            if told.len() == TOLD {
                more += 1;
                continue;
            }
            let name = printable(measurement.name.as_deref().or(step.name.as_deref()).unwrap_or_default(), 60);
            told.push(format!("{name}: the file says {verdict}, and {value} by its limits ({comparator}) has {says}"));
        }
    }
    if more > 0 {
        told.push(format!("{more} more verdicts are not what their limits say"));
    }
    told
}

/// That a unit passed although tests of it failed, in words: equipment repeats tests, and the last try counts.
pub(in crate::convert) fn passed_with_failures(report: &Report) -> Option<String> {
    let is_failed_test = |step: &&Step| step.status == Some(Status::Failed) && !step.is_sequence_call();
    let failed = report.steps().filter(is_failed_test).count();
    (report.result == Some(Status::Passed) && failed > 0)
        .then(|| format!("the unit passed although {failed} of its tests failed"))
}

#[cfg(test)]
mod tests {
    use waybill_shared::report::wsjf;

    use super::*;

    #[test]
    fn a_verdict_that_its_limits_contradict_is_told_and_one_that_they_do_not_is_not() {
        let report = |measurements: &str| {
            let text = format!(r#"{{"type":"T","root":{{"stepType":"ET_MNLT","name":"step","numericMeas":[{measurements}]}}}}"#);
            contradictions(&wsjf::read_one(text.as_bytes()).unwrap())
        };
        let one = |comparator: &str, value: &str, status: &str| {
            format!(r#"{{"name":"U1","compOp":"{comparator}","value":{value},"lowLimit":1,"highLimit":2,"status":"{status}"}}"#)
        };
        for fine in
            [one("GELE", "1.5", "P"), one("GELE", "3", "F"), one("LOG", "3", "F"), one("GELE", "3", "D"), one("LTGT", "0", "P")]
        {
            assert_eq!(report(&fine), Vec::<String>::new(), "{fine}");
        }
        assert_eq!(report(&one("GELE", "3.50", "P")), ["U1: the file says Passed, and 3.50 by its limits (GELE) has Failed"]);
        assert_eq!(report(&one("LTGT", "1.5", "P")).len(), 1);
        let many = vec![one("GELE", "3", "P"); 8].join(",");
        let told = report(&many);
        assert_eq!((told.len(), told.last().unwrap().as_str()), (6, "3 more verdicts are not what their limits say"));
    }

    #[test]
    fn a_unit_that_passed_with_failed_tests_is_told() {
        let told = |result: &str, step: &str| {
            let root = format!(
                r#"{{"stepType":"SequenceCall","name":"r","status":"F","steps":[{{"stepType":"ET_A","name":"s","status":"{step}"}}]}}"#
            );
            let text = format!(r#"{{"type":"T","result":"{result}","root":{root}}}"#);
            passed_with_failures(&wsjf::read_one(text.as_bytes()).unwrap())
        };
        assert_eq!(told("P", "F").as_deref(), Some("the unit passed although 1 of its tests failed"));
        assert_eq!((told("F", "F"), told("P", "P")), (None, None));
    }
}

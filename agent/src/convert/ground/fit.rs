//! Texts that are longer than a report takes: cut, with a note, and the whole of each kept in a report text beside it.
//!
//! A serial number is never cut: one that is too long is refused, since half of it is another unit.

use waybill_shared::report::{Report, Step};
use waybill_shared::text::printable;

/// Makes a report's texts fit and says which did not.
pub(in crate::convert) fn fit(report: &mut Report, notes: &mut Vec<String>) {
    let mut whole: Vec<String> = Vec::new();
    {
        let mut told = |key: &'static str, max: usize, text: String| {
            notes.push(note("the unit", key, max, &text));
            whole.push(format!("{key}: {text}"));
        };
        let sn = report.sn.take();
        report.cut_lengths(&mut told);
        report.sn = sn;
        if let Some(uut) = &mut report.uut {
            uut.cut_lengths(&mut told);
        }
        for info in report.misc_infos.iter_mut().flatten() {
            // What it is of is told by its name.
            let name = info.description.clone().unwrap_or_default();
            info.cut_lengths(&mut |key, max, text| {
                let text = if key == "text" { format!("{name}: {text}") } else { text };
                told("miscInfos", max, text);
            });
        }
        for unit in report.sub_units.iter_mut().flatten() {
            unit.cut_lengths(&mut told);
        }
        for attachment in report.binary_data.iter_mut().flatten() {
            attachment.cut_lengths(&mut told);
        }
    }
    if let Some(root) = &mut report.root {
        add_text(root, whole);
        fit_step(root, notes);
    }
}

fn fit_step(step: &mut Step, notes: &mut Vec<String>) {
    let name = step.name.clone().unwrap_or_default();
    let mut whole = Vec::new();
    let mut told = |key: &'static str, max: usize, text: String| {
        notes.push(note(&format!("the step {:?}", printable(&name, 60)), key, max, &text));
        whole.push(format!("{key}: {text}"));
    };
    step.cut_lengths(&mut told);
    if let Some(call) = &mut step.seq_call {
        call.cut_lengths(&mut told);
    }
    if let Some(attachment) = &mut step.attachment {
        attachment.cut_lengths(&mut told);
    }
    step.numeric_meas.iter_mut().flatten().for_each(|one| one.cut_lengths(&mut told));
    step.string_meas.iter_mut().flatten().for_each(|one| one.cut_lengths(&mut told));
    step.boolean_meas.iter_mut().flatten().for_each(|one| one.cut_lengths(&mut told));
    // A sequence has the name of its step: once is enough.
    whole.dedup();
    add_text(step, whole);
    for child in step.steps.iter_mut().flatten() {
        fit_step(child, notes);
    }
}

fn note(of: &str, key: &str, max: usize, text: &str) -> String {
    let length = text.chars().count();
    format!("{key} of {of} has {length} characters and was cut to {max}; the whole of it is in the report text")
}

fn add_text(step: &mut Step, lines: Vec<String>) {
    if lines.is_empty() {
        return;
    }
    let before = step.report_text.take().filter(|text| !text.is_empty());
    step.report_text = Some(before.into_iter().chain(lines).collect::<Vec<_>>().join("\n"));
}

#[cfg(test)]
mod tests {
    use waybill_shared::report::{Status, Uut, validate};

    use super::super::steps;
    use super::*;

    #[test]
    fn nothing_of_a_text_that_does_not_fit_is_lost_and_a_serial_number_is_not_touched() {
        let long = "ä".repeat(400);
        let mut infos = Vec::new();
        steps::misc(&mut infos, "Firmware", &long);
        let mut child = steps::measuring(
            &long,
            Status::Passed,
            vec![steps::Measured::Verdict(steps::verdict(Some(long.clone()), Status::Passed))],
        );
        child.report_text = Some("before".to_owned());
        child.error_message = Some(long.clone());
        let mut report = Report {
            sn: Some(long.clone()),
            pn: Some(long.clone()),
            uut: Some(Uut { user: Some(long.clone()), ..Uut::default() }),
            misc_infos: Some(infos),
            root: Some(steps::sequence(&long, Status::Passed, vec![child])),
            ..Report::default()
        };
        let mut notes = Vec::new();
        fit(&mut report, &mut notes);
        assert_eq!((report.sn.as_deref(), report.pn.as_ref().unwrap().chars().count()), (Some(long.as_str()), 100));
        let too_long: Vec<_> =
            validate::validate(&report).into_iter().filter(|fault| fault.message.contains("characters, at most")).collect();
        assert_eq!(too_long.iter().map(|fault| fault.path.as_str()).collect::<Vec<_>>(), ["sn"]);
        let root = report.root.as_ref().unwrap();
        let text = root.report_text.as_deref().unwrap();
        for key in ["pn: ä", "user: ä", "miscInfos: Firmware: ä", "name: ä"] {
            assert!(text.contains(key), "{key}");
        }
        let child = root.steps.as_ref().unwrap()[0].report_text.as_deref().unwrap();
        assert!(child.starts_with("before\n") && child.matches(&long).count() >= 2, "{child}");
        assert!(notes.len() >= 6, "{notes:?}");
    }
}

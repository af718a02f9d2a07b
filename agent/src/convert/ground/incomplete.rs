//! A unit whose file ends before it does. Some machines stop writing for good: what there is, is worth having, and everybody sees that it is not all.

use waybill_shared::report::{MiscInfo, Report, Status};

/// What such a report says of itself.
const MARK: &str = "Incomplete file";

/// Marks a report; one that passed did so as far as is known, and is `Terminated`.
pub(in crate::convert) fn mark(report: &mut Report, why: &str) {
    if matches!(report.result, None | Some(Status::Passed | Status::Done)) {
        report.result = Some(Status::Terminated);
    }
    let text = waybill_shared::text::shortened(why, 99);
    let info = MiscInfo { description: Some(MARK.to_owned()), text: Some(text), ..MiscInfo::default() };
    report.misc_infos.get_or_insert_default().push(info);
}

/// True if the last unit of a file without an end mark seems to be still written: it has passed so far, and has only the first of the steps that the one
/// before it has.
pub(in crate::convert) fn is_begun(before: &[String], steps: &[String], status: Status) -> bool {
    matches!(status, Status::Passed | Status::Done) && steps.len() < before.len() && before.starts_with(steps)
}

/// True if it is marked.
#[cfg(test)]
pub(in crate::convert) fn is_marked(report: &Report) -> bool {
    report.misc_infos.iter().flatten().any(|info| info.description.as_deref() == Some(MARK))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_that_has_begun_as_the_one_before_it_is_not_whole() {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let before = names(&["a", "b", "c"]);
        for (steps, status, expected) in [
            (&["a", "b"][..], Status::Passed, true),
            (&["a", "b"][..], Status::Failed, false),
            (&["a", "c"][..], Status::Passed, false),
            (&["a", "b", "c"][..], Status::Passed, false),
        ] {
            assert_eq!(is_begun(&before, &names(steps), status), expected, "{steps:?} {status}");
        }
    }
}

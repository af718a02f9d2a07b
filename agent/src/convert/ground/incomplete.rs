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

/// True if it is marked.
#[cfg(test)]
pub(in crate::convert) fn is_marked(report: &Report) -> bool {
    report.misc_infos.iter().flatten().any(|info| info.description.as_deref() == Some(MARK))
}

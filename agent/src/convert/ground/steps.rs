//! Steps of a report in the making: each kind with the key that the report model asks for, and texts that fit.

use waybill_shared::report::{BooleanMeas, MiscInfo, Num, NumericMeas, SeqCall, Status, Step, StringMeas};

use super::limits::Limits;

/// What one step measured, in its order.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::convert) enum Measured {
    /// A number.
    Numeric(NumericMeas),
    /// A text.
    Text(StringMeas),
    /// A verdict alone.
    Verdict(BooleanMeas),
}

/// A number with its limits; without them its comparator is `LOG`.
pub(in crate::convert) fn numeric(
    name: Option<String>,
    value: Num,
    limits: Option<Limits>,
    unit: Option<String>,
    status: Status,
) -> NumericMeas {
    let comp_op = limits.as_ref().map_or("LOG", Limits::comp_op).to_owned();
    let (low_limit, high_limit) = limits.map_or((None, None), Limits::low_and_high);
    NumericMeas {
        name,
        comp_op: Some(comp_op),
        status: Some(status),
        unit,
        value: Some(value),
        low_limit,
        high_limit,
        ..NumericMeas::default()
    }
}

/// A text; without a limit its comparator is `LOG`, with one `comparator`.
pub(in crate::convert) fn string(
    name: Option<String>,
    value: String,
    limit: Option<(&str, String)>,
    status: Status,
) -> StringMeas {
    let (comp_op, limit) = limit.map_or(("LOG", None), |(comparator, limit)| (comparator, Some(limit)));
    StringMeas {
        name,
        comp_op: Some(comp_op.to_owned()),
        status: Some(status),
        value: Some(value),
        limit,
        ..StringMeas::default()
    }
}

/// A verdict.
pub(in crate::convert) fn verdict(name: Option<String>, status: Status) -> BooleanMeas {
    BooleanMeas { name, status: Some(status), ..BooleanMeas::default() }
}

/// A sequence of steps.
pub(in crate::convert) fn sequence(name: &str, status: Status, steps: Vec<Step>) -> Step {
    let call = SeqCall { name: Some(name.to_owned()), ..SeqCall::default() };
    Step { seq_call: Some(call), steps: Some(steps), ..step("SequenceCall", name, status) }
}

/// A step that does and measures nothing.
pub(in crate::convert) fn action(name: &str, status: Status) -> Step {
    step("ET_A", name, status)
}

/// A step with what it measured: several of one kind in one step, several kinds as a sequence of one step a measurement.
pub(in crate::convert) fn measuring(name: &str, status: Status, mut measured: Vec<Measured>) -> Step {
    let kind = |measured: &Measured| std::mem::discriminant(measured);
    if measured.windows(2).any(|pair| kind(&pair[0]) != kind(&pair[1])) {
        let one = |measured: Measured| {
            let (own, status_of_it) = match &measured {
                Measured::Numeric(NumericMeas { name, status, .. })
                | Measured::Text(StringMeas { name, status, .. })
                | Measured::Verdict(BooleanMeas { name, status, .. }) => (name.clone(), *status),
            };
            measuring(own.as_deref().unwrap_or(name), status_of_it.unwrap_or(status), vec![measured])
        };
        return sequence(name, status, measured.into_iter().map(one).collect());
    }
    let several = measured.len() > 1;
    if several {
        name_all(&mut measured);
    }
    let (mut numeric, mut text, mut verdicts) = (Vec::new(), Vec::new(), Vec::new());
    for measured in measured {
        match measured {
            Measured::Numeric(one) => numeric.push(one),
            Measured::Text(one) => text.push(one),
            Measured::Verdict(one) => verdicts.push(one),
        }
    }
    let of = |single: &str, multiple: &str| step(if several { multiple } else { single }, name, status);
    if !numeric.is_empty() {
        Step { numeric_meas: Some(numeric), ..of("ET_NLT", "ET_MNLT") }
    } else if !text.is_empty() {
        Step { string_meas: Some(text), ..of("ET_SVT", "ET_MSVT") }
    } else if !verdicts.is_empty() {
        Step { boolean_meas: Some(verdicts), ..of("ET_PFT", "ET_MPFT") }
    } else {
        action(name, status)
    }
}

/// The worst of what happened; none if there are no steps, or none has a status.
pub(in crate::convert) fn worst(steps: &[Step]) -> Option<Status> {
    let ranked = [Status::Error, Status::Terminated, Status::Failed, Status::Passed, Status::Done, Status::Skipped];
    ranked.into_iter().find(|&status| steps.iter().any(|step| step.status == Some(status)))
}

/// The model asks for a name of each of several.
fn name_all(measured: &mut [Measured]) {
    for (number, one) in measured.iter_mut().enumerate() {
        let (Measured::Numeric(NumericMeas { name, .. })
        | Measured::Text(StringMeas { name, .. })
        | Measured::Verdict(BooleanMeas { name, .. })) = one;
        if name.as_deref().is_none_or(|name| name.trim().is_empty()) {
            *name = Some(format!("{}", number + 1));
        }
    }
}

/// Information on the unit as a whole, unless it says nothing.
pub(in crate::convert) fn misc(infos: &mut Vec<MiscInfo>, description: &str, text: &str) {
    if !text.trim().is_empty() {
        let info =
            MiscInfo { description: Some(description.to_owned()), text: Some(text.trim().to_owned()), ..MiscInfo::default() };
        infos.push(info);
    }
}

fn step(step_type: &str, name: &str, status: Status) -> Step {
    Step {
        step_type: Some(step_type.to_owned()),
        name: Some(name.to_owned()),
        group: Some("M".to_owned()),
        status: Some(status),
        ..Step::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(name: Option<&str>) -> Measured {
        let limits = Limits::of("GELE", Some(Num::from(1_i64)), Some(Num::from(2_i64)));
        Measured::Numeric(numeric(name.map(str::to_owned), Num::from(3_i64), limits, None, Status::Failed))
    }

    #[test]
    fn each_kind_has_its_step_and_several_have_names() {
        let single = measuring("s", Status::Failed, vec![number(None)]);
        assert_eq!((single.step_type.as_deref(), single.numeric_meas.unwrap()[0].name.as_deref()), (Some("ET_NLT"), None));
        let several = measuring("s", Status::Failed, vec![number(None), number(Some("b"))]);
        assert_eq!(several.step_type.as_deref(), Some("ET_MNLT"));
        let names: Vec<_> = several.numeric_meas.unwrap().into_iter().map(|one| one.name.unwrap()).collect();
        assert_eq!(names, ["1", "b"]);
        let text = Measured::Text(string(Some("t".to_owned()), "x".to_owned(), None, Status::Passed));
        let mixed = measuring("s", Status::Failed, vec![number(None), text]);
        assert_eq!(mixed.step_type.as_deref(), Some("SequenceCall"));
        let kinds: Vec<_> = mixed.steps.unwrap().into_iter().map(|step| (step.step_type.unwrap(), step.name.unwrap())).collect();
        assert_eq!(kinds, [("ET_NLT".to_owned(), "s".to_owned()), ("ET_SVT".to_owned(), "t".to_owned())]);
        assert_eq!(measuring("s", Status::Done, Vec::new()).step_type.as_deref(), Some("ET_A"));
    }
}

//! One step from the texts that say it.

use waybill_shared::report::{LoopInfo, Num, Status, Step};
use waybill_shared::schema::FaultKind;
use waybill_shared::text::printable;

use super::model::{StepKind, TimeUnit};
use super::unit::Making;
use super::values;
use crate::convert::ground::number;
use crate::convert::ground::steps::{self, Measured};
use crate::convert::ground::walk::Lines;

/// What is said of a step.
#[derive(Debug)]
pub(super) struct Parts {
    pub(super) name: String,
    pub(super) value: Option<String>,
    pub(super) unit: Option<String>,
    pub(super) low: Option<String>,
    pub(super) high: Option<String>,
    pub(super) comparator: Option<String>,
    pub(super) expected: Option<String>,
    pub(super) status: Option<String>,
    pub(super) time: Option<String>,
    pub(super) time_unit: TimeUnit,
    pub(super) error_code: Option<String>,
    pub(super) error_message: Option<String>,
    pub(super) kind: StepKind,
    pub(super) loop_index: Option<i64>,
    pub(super) lines: Lines,
    /// Where it stands, for messages.
    pub(super) place: String,
}

impl Parts {
    /// A step of which only its name is known.
    pub(super) fn new(name: String, place: String) -> Self {
        Self {
            name,
            value: None,
            unit: None,
            low: None,
            high: None,
            comparator: None,
            expected: None,
            status: None,
            time: None,
            time_unit: TimeUnit::S,
            error_code: None,
            error_message: None,
            kind: StepKind::Auto,
            loop_index: None,
            lines: Lines::default(),
            place,
        }
    }

    /// The step. What cannot be read is a fault of the unit, or stands in the report text.
    pub(super) fn step(mut self, making: &mut Making<'_>) -> Step {
        let status = self.status.take().and_then(|text| self.verdict(&text, making));
        let comparator = self.comparator.take().and_then(|text| {
            let found = values::comparator(making.model, &text);
            if found.is_none() {
                let message =
                    format!("{}: the comparator {:?} is not known; [comparators] can say it", self.place, printable(&text, 40));
                making.fault("comparator", FaultKind::OutOfRange, message);
            }
            found
        });
        let code = self.error_code.take().and_then(|text| {
            let code = text.trim().parse::<i64>().ok();
            if code.is_none() {
                self.lines.add("error code", &text);
            }
            code
        });
        let time = self.time.take().and_then(|text| {
            let time = values::seconds(&text, self.time_unit, making.decimal);
            if time.is_none() {
                self.lines.add("time", &text);
            }
            time
        });
        let measured = self.measured(status, comparator, making);
        let status = match &measured {
            Some(Measured::Numeric(one)) => one.status,
            Some(Measured::Text(one)) => one.status,
            Some(Measured::Verdict(one)) => one.status,
            None => status,
        };
        let status = status.unwrap_or(Status::Done);
        let step = steps::measuring(&self.name, status, measured.into_iter().collect());
        Step {
            tot_time: time,
            error_code: code,
            error_message: self.error_message,
            loop_info: self.loop_index.map(|index| LoopInfo { idx: Some(index), ..LoopInfo::default() }),
            report_text: self.lines.into_text(),
            ..step
        }
    }

    fn verdict(&self, text: &str, making: &mut Making<'_>) -> Option<Status> {
        let found = values::status(&making.model.status, text);
        if found.is_none() {
            let message = format!("{}: the verdict {:?} is not known; [status] can say it", self.place, printable(text, 40));
            making.fault("status", FaultKind::OutOfRange, message);
        }
        found
    }

    fn measured(
        &mut self,
        status: Option<Status>,
        comparator: Option<&'static str>,
        making: &mut Making<'_>,
    ) -> Option<Measured> {
        let decimal = making.decimal;
        let number = |text: &str| number::read(text, decimal);
        let value = self.value.take();
        let kind = match (self.kind, &value) {
            (StepKind::Action, _) => StepKind::Action,
            (StepKind::Verdict, _) => StepKind::Verdict,
            (_, None) if status.is_some() => StepKind::Verdict,
            (_, None) => StepKind::Action,
            (StepKind::String, Some(_)) => StepKind::String,
            (_, Some(text)) if number(text).is_some() && !is_text_comparator(comparator) => StepKind::Numeric,
            (_, Some(_)) => StepKind::String,
        };
        match kind {
            StepKind::Action => {
                value.iter().for_each(|text| self.lines.add("value", text));
                self.leave(comparator);
                None
            }
            StepKind::Verdict => {
                let judged = match (status, &value) {
                    (None, Some(text)) => self.verdict(text, making),
                    (status, Some(text)) => {
                        self.lines.add("value", text);
                        status
                    }
                    (status, None) => status,
                };
                self.leave(comparator);
                Some(Measured::Verdict(steps::verdict(None, judged.unwrap_or(Status::Done))))
            }
            StepKind::Numeric => {
                let value = value.as_deref().and_then(number)?;
                Some(self.numeric(value, status, comparator, &number))
            }
            StepKind::Auto | StepKind::String => Some(self.string(value?, status, comparator)),
        }
    }

    fn numeric(
        &mut self,
        value: Num,
        status: Option<Status>,
        comparator: Option<&'static str>,
        number: &dyn Fn(&str) -> Option<Num>,
    ) -> Measured {
        let mut limit = |name: &str, text: Option<String>| {
            let text = text?;
            let found = number(&text).filter(|number| number.as_f64().is_finite());
            if found.is_none() {
                self.lines.add(name, &text);
            }
            found
        };
        let (mut low, high) = (limit("low limit", self.low.take()), limit("high limit", self.high.take()));
        let mut comparator = comparator;
        if let Some(text) = self.expected.take() {
            match number(&text) {
                Some(expected) if low.is_none() && high.is_none() => {
                    (low, comparator) = (Some(expected), comparator.or(Some("EQ")));
                }
                _ => self.lines.add("expected", &text),
            }
        }
        let (limits, unused) = values::limits(comparator, low, high);
        if let Some(unused) = unused {
            self.lines.add("limit that the comparator does not use", &unused.to_string());
        }
        let judged = status.unwrap_or_else(|| match &limits {
            Some(limits) if limits.hold(value.as_f64()) => Status::Passed,
            Some(_) => Status::Failed,
            None => Status::Done,
        });
        Measured::Numeric(steps::numeric(None, value, limits, self.unit.take(), judged))
    }

    fn string(&mut self, value: String, status: Option<Status>, comparator: Option<&'static str>) -> Measured {
        let expected = self.expected.take();
        let comparator = match comparator {
            Some(known @ ("CASESENSIT" | "IGNORECASE" | "NE" | "EQ")) => known,
            Some(other) if other != "LOG" => {
                self.lines.add("comparator", other);
                "CASESENSIT"
            }
            _ => "CASESENSIT",
        };
        for (name, text) in [("unit", self.unit.take()), ("low limit", self.low.take()), ("high limit", self.high.take())] {
            text.iter().for_each(|text| self.lines.add(name, text));
        }
        let judged = status.unwrap_or_else(|| match &expected {
            None => Status::Done,
            Some(expected) => {
                let equal = match comparator {
                    "IGNORECASE" => value.to_lowercase() == expected.to_lowercase(),
                    _ => value == *expected,
                };
                if equal == (comparator != "NE") { Status::Passed } else { Status::Failed }
            }
        });
        Measured::Text(steps::string(None, value, expected.map(|expected| (comparator, expected)), judged))
    }

    /// What a step that measures nothing has no place for.
    fn leave(&mut self, comparator: Option<&str>) {
        let left = [
            ("unit", self.unit.take()),
            ("low limit", self.low.take()),
            ("high limit", self.high.take()),
            ("expected", self.expected.take()),
            ("comparator", comparator.map(str::to_owned)),
        ];
        for (name, text) in left {
            text.iter().for_each(|text| self.lines.add(name, text));
        }
    }
}

fn is_text_comparator(comparator: Option<&str>) -> bool {
    matches!(comparator, Some("CASESENSIT" | "IGNORECASE"))
}

//! By what names programs call things, as they are without case and punctuation.

use crate::convert::ground::names::{self, Names, normalised};
use crate::convert::ground::time::Moment;

/// Keys of `[unit]`, each with its names.
pub(super) const UNIT: [(&str, Names); 12] = [
    ("sn", names::SERIAL_NUMBER),
    ("pn", names::PART_NUMBER),
    ("rev", names::REVISION),
    ("process_code", names::PROCESS_CODE),
    ("station", names::STATION),
    ("operator", names::OPERATOR),
    ("batch", names::BATCH),
    ("fixture", names::FIXTURE),
    ("socket", &["testsocket", "socket", "testsocketindex", "site", "nest", "slot"]),
    (
        "start",
        &[
            "teststart",
            "starttime",
            "startdatetime",
            "startdate",
            "start",
            "datetime",
            "timestamp",
            "teststarttime",
            "testdatetime",
            "testdate",
            "date",
        ],
    ),
    (
        "exec_time",
        &["testtimes", "testtime", "executiontime", "exectime", "duration", "elapsed", "elapsedtime", "cycletime", "tottime"],
    ),
    (
        "result",
        &[
            "teststatus",
            "testresult",
            "overallresult",
            "uutresult",
            "uutstatus",
            "finalresult",
            "result",
            "status",
            "verdict",
            "passfail",
            "outcome",
        ],
    ),
];

/// Keys of `[step]`, each with its names.
pub(super) const STEP: [(&str, Names); 9] = [
    (
        "name",
        &[
            "stepname",
            "testname",
            "step",
            "test",
            "name",
            "teststep",
            "testitem",
            "item",
            "parameter",
            "measurement",
            "description",
        ],
    ),
    ("value", &["value", "measuredvalue", "measured", "measure", "reading", "actual", "meas", "data"]),
    ("unit", &["unit", "units", "uom", "unitofmeasure"]),
    ("low", &["lowlimit", "lowerlimit", "lolimit", "lowlim", "limitlow", "min", "minimum", "low", "lo", "ll", "lsl"]),
    ("high", &["highlimit", "upperlimit", "hilimit", "highlim", "limithigh", "max", "maximum", "high", "hi", "ul", "usl"]),
    ("comparator", &["comparator", "compop", "comparison", "comp", "limittype", "op"]),
    ("expected", &["expected", "expectedvalue", "limit"]),
    ("status", &["status", "result", "passfail", "verdict", "outcome", "judgement", "judgment", "ok", "pass", "passed", "pf"]),
    ("time", &["duration", "steptime", "tottime", "elapsed"]),
];

/// The first of the names of a thing that is among others, by its place.
pub(super) fn place(known: Names, among: &[String]) -> Option<usize> {
    let among: Vec<_> = among.iter().map(|name| normalised(name)).collect();
    known.iter().find_map(|known| among.iter().position(|name| name == known))
}

/// A pattern that a time is of; without one it is ISO 8601, or not known.
pub(super) fn time_pattern(text: &str) -> Option<(&'static str, &'static str)> {
    const PATTERNS: [(&str, &str); 12] = [
        ("%d.%m.%Y %H:%M:%S", ""),
        ("%d.%m.%Y %H:%M", ""),
        ("%Y.%m.%d. %H:%M", ""),
        ("%Y.%m.%d %H:%M:%S", ""),
        ("%Y/%m/%d %H:%M:%S", ""),
        ("%m/%d/%Y %I:%M:%S %p", "month first; %d/%m/%Y if the day comes first"),
        ("%m/%d/%Y %H:%M:%S", "month first; %d/%m/%Y if the day comes first"),
        ("%d/%m/%Y %H:%M:%S", "day first"),
        ("%d-%m-%Y %H:%M:%S", "day first"),
        ("%d-%b-%Y %H:%M:%S", ""),
        ("%Y%m%d%H%M%S", ""),
        ("%d.%m.%Y", ""),
    ];
    if Moment::iso(text).is_some() {
        return None;
    }
    PATTERNS.into_iter().find(|(pattern, _)| Moment::by(text, &[pattern]).is_some())
}

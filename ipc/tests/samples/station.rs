//! Samples of what is about the station itself: configuration, secrets, access, health, history, log.

use waybill_ipc::protocol::{
    AccessStatus, ArchiveFilter, ArchivePage, ArgumentKind, ArgumentRow, AutostartState, AutostartStatus, BackupRow,
    CertificateInfo, CheckResult, ConfigChange, ConfigChanged, ConfigState, ConfigValue, ConfigVersion, ConversionTrial,
    ConversionsDone, ConverterRow, DestinationTest, DestinationTrial, Diagnosis, ErrorFilter, HealthReport, HealthState,
    HistoryFilter, HistoryOutcome, HistoryRow, LogFilter, LogLevelName, LogLine, Page, ProcessRow, ReconvertOutcome, Reconverted,
    ReconvertedFile, ReconvertedReport, Reply, Request, RetriedError, RetriedErrors, Role, SecretRow, SecretText, TaskRow,
    TaskState, TriedUnit, Unsent, Via,
};
use waybill_shared::config::compare::Difference;
use waybill_shared::config::{Edit, Origin};
use waybill_shared::error::{Code, ErrorReport};

use super::{CORRELATION, Family, ask, error, family, response};

/// Each enumeration that only these messages have, at every place where it stands.
pub(super) fn families() -> Vec<Family> {
    vec![
        family("request.config_change.edit", edits(), |edit| {
            ask(Request::ConfigChange(ConfigChange { edits: vec![edit], ..change() }))
        }),
        family("request.config_change.unsent", unsent(), |unsent| {
            ask(Request::ConfigChange(ConfigChange { unsent, ..change() }))
        }),
        family("request.test_destination.edit", edits(), |edit| {
            ask(Request::TestDestination { name: "main".into(), edits: vec![edit], token: None })
        }),
        family("request.config_text.version", versions(), |version| ask(Request::ConfigText { version })),
        family("request.config_diff.to", versions(), |to| ask(Request::ConfigDiff { from: ConfigVersion::Current, to })),
        family("request.history.outcome", HistoryOutcome::ALL, |outcome| {
            let filter = HistoryFilter { outcome: Some(outcome), ..HistoryFilter::default() };
            ask(Request::History { filter, page: Page { after: None, limit: 10 } })
        }),
        family("request.logs.level", LEVELS, |level| {
            ask(Request::Logs { filter: LogFilter { level: Some(level), ..LogFilter::default() }, limit: 10 })
        }),
        family("task.state", TASKS, |state| response(Ok(Reply::Tasks(vec![TaskRow { state, ..task() }])))),
        family("health.state", HEALTH, |state| response(Ok(Reply::Health(HealthReport { state, ..health() })))),
        family("health.check.state", HEALTH, |state| {
            response(Ok(Reply::Health(HealthReport { checks: vec![CheckResult { state, ..check() }], ..health() })))
        }),
        family("history.via", Via::ALL, |via| response(Ok(Reply::History(vec![HistoryRow { via, ..history() }])))),
        family("history.outcome", HistoryOutcome::ALL, |outcome| {
            response(Ok(Reply::History(vec![HistoryRow { outcome, ..history() }])))
        }),
        family("logs.level", LEVELS, |level| response(Ok(Reply::Logs(vec![LogLine { level: Some(level), ..line() }])))),
        family("config.origin", [Origin::Environment("WAYBILL_X".into()), Origin::Managed("/etc/m.toml".into())], |origin| {
            let values = vec![ConfigValue { origin: Some(origin), ..value() }];
            response(Ok(Reply::Config(Box::new(ConfigState { values, ..config() }))))
        }),
        family("reconverted.outcome", OUTCOMES, |outcome| {
            let files = vec![ReconvertedFile { outcome, ..archived() }];
            response(Ok(Reply::Reconverted(Reconverted { files, ..reconverted() })))
        }),
        family("autostart.state", AUTOSTART, |state| response(Ok(Reply::Autostart(AutostartStatus { state, ..autostart() })))),
        family("access.role", ROLES, |role| response(Ok(Reply::Access(AccessStatus { role, ..access() })))),
        family("access.without_pin", ROLES, |without_pin| response(Ok(Reply::Access(AccessStatus { without_pin, ..access() })))),
    ]
}

const HEALTH: [HealthState; 4] = [HealthState::Healthy, HealthState::Unknown, HealthState::Degraded, HealthState::Unhealthy];
const LEVELS: [LogLevelName; 5] =
    [LogLevelName::Trace, LogLevelName::Debug, LogLevelName::Info, LogLevelName::Warn, LogLevelName::Error];
const OUTCOMES: [ReconvertOutcome; 4] =
    [ReconvertOutcome::WouldBeSent, ReconvertOutcome::Queued, ReconvertOutcome::UnderWay, ReconvertOutcome::NotSent];
const TASKS: [TaskState; 4] = [TaskState::Running, TaskState::Stalled, TaskState::Restarting, TaskState::Failed];
const ROLES: [Role; 3] = [Role::Viewer, Role::Operator, Role::Engineer];
const AUTOSTART: [AutostartState; 6] = [
    AutostartState::Enabled,
    AutostartState::Moved,
    AutostartState::Other,
    AutostartState::SwitchedOff,
    AutostartState::Absent,
    AutostartState::ByService,
];
const AT: i64 = 1_700_000_000_000;

/// The requests after the first five.
pub(super) fn requests() -> Vec<Request> {
    vec![
        Request::Health { fresh: true },
        Request::Tasks,
        Request::History {
            filter: HistoryFilter {
                since_ms: Some(AT),
                until_ms: Some(-1),
                who: Some("anna".into()),
                action: Some("config.".into()),
                target: Some("source.ict".into()),
                outcome: Some(HistoryOutcome::Refused),
                correlation_id: Some(CORRELATION.into()),
            },
            page: Page { after: Some(7), limit: 1000 },
        },
        Request::Logs {
            filter: LogFilter {
                correlation_id: Some(CORRELATION.into()),
                level: Some(LogLevelName::Warn),
                text: Some("Prüfling".into()),
                since_ms: Some(AT),
            },
            limit: 1000,
        },
        Request::Config,
        Request::ConfigBackups,
        Request::ConfigText { version: ConfigVersion::Backup("b-1".into()) },
        Request::ConfigDiff { from: ConfigVersion::Current, to: ConfigVersion::Text("[queue]".into()) },
        Request::ConfigChange(change()),
        Request::ConfigRestore { id: "b-1".into(), base: Some("5f7d9606".into()) },
        Request::Secrets,
        Request::SetSecret { name: "destination.main.token".into(), value: SecretText::new("geheim") },
        Request::ClearSecret { name: "destination.main.token".into() },
        Request::TestDestination { name: "main".into(), edits: edits(), token: Some(SecretText::new("geheim")) },
        Request::TestDestinations { names: vec!["main".into(), "archive".into()] },
        Request::RegisterDestination { name: "main".into(), token: SecretText::new("geheim") },
        Request::Processes { destination: "main".into() },
        Request::Access,
        Request::Elevate { pin: SecretText::new("1234") },
        Request::DropRole,
        Request::SetPin { old: Some(SecretText::new("1234")), new: SecretText::new("5678") },
        Request::ClearPin { old: SecretText::new("1234") },
        Request::Diagnose,
        Request::Reconvert {
            filter: ArchiveFilter {
                source: Some("ict".into()),
                since_ms: Some(AT),
                until_ms: Some(-1),
                converter: Some("wsjf".into()),
                file: Some("SN-*.json".into()),
            },
            dry_run: true,
            page: ArchivePage { after: Some("2026-01-31/ict/a.zst".into()), limit: 100 },
        },
        Request::Autostart { enable: Some(true) },
        Request::RetryConversions { filter: ErrorFilter { keys: vec![7, 8], source: Some("ict".into()) }, before: Some(9) },
        Request::Converters,
        Request::TryConversion {
            converter: "auto".into(),
            file_name: "a.xml".into(),
            bytes: b"<a/>".to_vec(),
            arguments: vec![("part_number".into(), "\"P\"".into())],
        },
    ]
}

/// The replies after the first four.
pub(super) fn replies() -> Vec<Reply> {
    vec![
        Reply::Health(health()),
        Reply::Tasks(vec![task(), TaskRow { cause: None, thread: false, critical: false, ..task() }]),
        Reply::History(vec![history()]),
        Reply::Logs(vec![line(), LogLine { at_ms: None, level: None, ..line() }]),
        Reply::Config(Box::new(config())),
        Reply::ConfigBackups(vec![BackupRow {
            id: "b-1".into(),
            at_ms: AT,
            revision: "5f7d9606".into(),
            bytes: 70_000,
            intact: true,
            current: false,
        }]),
        Reply::ConfigText("[station]\nname = \"ST-07\" # ä\n".into()),
        Reply::ConfigDiff(vec![difference()]),
        Reply::ConfigChanged(ConfigChanged {
            revision: "5f7d9606".into(),
            differences: vec![difference()],
            waits_for_restart: vec!["log.format".into()],
        }),
        Reply::Secrets(vec![SecretRow {
            name: "destination.main.token".into(),
            set: true,
            place: "the keyring".into(),
            changeable: false,
        }]),
        Reply::DestinationTest(test()),
        Reply::DestinationTrials(vec![
            DestinationTrial { destination: "main".into(), result: Ok(test()) },
            DestinationTrial { destination: "archive".into(), result: Err(error()) },
        ]),
        Reply::Processes(vec![ProcessRow { code: 10, name: "Prüfung".into(), kinds: vec!["test".into(), "wip".into()] }]),
        Reply::Access(access()),
        Reply::Diagnosis(Diagnosis { bundle: "/data/diagnosis.zip".into(), findings: vec!["the disk is nearly full".into()] }),
        Reply::Reconverted(reconverted()),
        Reply::Autostart(autostart()),
        Reply::RetriedErrors(RetriedErrors {
            files: vec![retried(Ok("/in/a.json".into())), retried(Err(error()))],
            next: Some(6),
        }),
        Reply::Converters(vec![converter()]),
        Reply::ConversionTrial(Box::new(ConversionTrial {
            converter: Some("wsjf".into()),
            recognised_by: vec![("wsjf".into(), 95)],
            units: vec![Ok(tried()), Err(error())],
            more: 3,
            error: Some(error()),
        })),
    ]
}

fn autostart() -> AutostartStatus {
    AutostartStatus {
        state: AutostartState::Enabled,
        place: "/home/anna/.config/autostart/waybill.desktop".into(),
        starts: Some("/opt/waybill/waybill --start-agent".into()),
        notes: vec!["a note".into()],
    }
}

fn retried(came_to: Result<String, ErrorReport>) -> RetriedError {
    RetriedError { key: 7, source: "ict".into(), path: "/in/a.json".into(), came_to }
}

fn converter() -> ConverterRow {
    let kinds = [
        ArgumentKind::Text,
        ArgumentKind::Whole,
        ArgumentKind::Flag,
        ArgumentKind::OneOf(vec!["a".into(), "b".into()]),
        ArgumentKind::Zone,
        ArgumentKind::Encoding,
        ArgumentKind::FileName,
    ];
    let argument = |kind| ArgumentRow {
        name: "part_number".into(),
        help: "part number, where the file names none".into(),
        kind,
        takes: "a text".into(),
        default: Some("PN".into()),
        common: true,
    };
    ConverterRow {
        name: "wsjf".into(),
        version: 1,
        help: "WATS reports".into(),
        patterns: vec!["*.json".into()],
        has_end_mark: true,
        arguments: kinds.map(argument).into(),
        done: ConversionsDone {
            files: 5,
            bytes: 5000,
            reports: 6,
            broken_units: 1,
            broken_files: 2,
            took_us: 7000,
            slowest_us: 3000,
        },
    }
}

fn tried() -> TriedUnit {
    TriedUnit {
        report: Some("{}".into()),
        serial: "SN-1".into(),
        part: "PN".into(),
        result: "P".into(),
        steps: 3,
        measurements: 2,
        notes: vec!["a note".into()],
        not_from_the_file: vec![("rev".into(), "the argument revision".into())],
    }
}

fn reconverted() -> Reconverted {
    Reconverted { files: vec![archived()], next: Some("2026-01-31/ict/a.zst".into()), stopped: Some(error()) }
}

fn archived() -> ReconvertedFile {
    ReconvertedFile {
        place: "2026-01-31/ict/a.zst".into(),
        source: "ict".into(),
        path: "/in/a.json".into(),
        correlation_id: CORRELATION.into(),
        taken_at_ms: AT,
        outcome: ReconvertOutcome::WouldBeSent,
        reports: 300,
        first: vec![ReconvertedReport { id: CORRELATION.into(), serial: "SN-1".into() }],
        error: Some(error()),
    }
}

fn edits() -> Vec<Edit> {
    vec![
        Edit::Set { place: "source.ict.folder".into(), value: "/in".into() },
        Edit::Unset { place: "log.level".into() },
        Edit::Add { list: "source".into(), name: "aoi".into() },
        Edit::Replace { text: "[station]".into() },
    ]
}

fn unsent() -> Vec<Unsent> {
    vec![Unsent::Refuse, Unsent::Discard, Unsent::MoveTo("main".into())]
}

fn versions() -> Vec<ConfigVersion> {
    vec![ConfigVersion::Current, ConfigVersion::Backup("b-1".into()), ConfigVersion::Text("[queue]".into())]
}

fn change() -> ConfigChange {
    ConfigChange { base: Some("5f7d9606".into()), edits: edits(), unsent: Unsent::MoveTo("main".into()), dry_run: true }
}

fn difference() -> Difference {
    Difference { place: "source.ict.folder".into(), before: None, after: Some("\"/in\"".into()) }
}

fn value() -> ConfigValue {
    ConfigValue { place: "queue.max_entries".into(), value: "100000".into(), origin: None }
}

fn config() -> ConfigState {
    ConfigState {
        revision: "5f7d9606".into(),
        path: "/etc/waybill/config.toml".into(),
        text: "[queue]\nmax_entries = 100000\n".into(),
        values: vec![value()],
        problem: Some(error()),
        waits_for_restart: vec!["log.format".into()],
        configured: true,
    }
}

fn access() -> AccessStatus {
    AccessStatus {
        role: Role::Engineer,
        pin_set: true,
        elevated_until_ms: Some(AT),
        without_pin: Role::Operator,
        locked_until_ms: None,
    }
}

fn check() -> CheckResult {
    CheckResult {
        name: "destination main".into(),
        state: HealthState::Degraded,
        message: "the last try failed".into(),
        error: Some(error()),
        critical: true,
        checked_at_ms: Some(AT),
        took_ms: Some(300),
        since_ms: Some(-1),
        values: vec![("oldest_secs".into(), "70".into())],
    }
}

fn task() -> TaskRow {
    TaskRow {
        name: "queue writer".into(),
        thread: true,
        critical: true,
        state: TaskState::Restarting,
        since_ms: AT,
        restarts: 2,
        cause: Some("a fault of the program: no room".into()),
    }
}

fn health() -> HealthReport {
    HealthReport { state: HealthState::Degraded, live: true, ready: false, checks: vec![check()], at_ms: AT }
}

fn history() -> HistoryRow {
    HistoryRow {
        key: 70_000,
        at_ms: AT,
        who: "anna (uid 1000)".into(),
        via: Via::Ipc,
        action: "config.set".into(),
        target: "source.ict.folder".into(),
        before: None,
        after: Some("\"/in\"".into()),
        outcome: HistoryOutcome::Refused,
        message: Some("what, where, why".into()),
        code: Some(Code::ConfigStale),
        correlation_id: Some(CORRELATION.into()),
    }
}

fn line() -> LogLine {
    LogLine {
        at_ms: Some(AT),
        level: Some(LogLevelName::Info),
        event: Some("file_queued".into()),
        message: "a file is in the queue".into(),
        source: Some("ict".into()),
        destination: None,
        correlation_id: Some(CORRELATION.into()),
        fields: vec![("reports".into(), "300".into())],
        key: 1_u64 << 40,
    }
}

fn test() -> DestinationTest {
    DestinationTest {
        destination: "main".into(),
        ok: false,
        status: Some(401),
        latency_ms: 300,
        server: Some("2025.3".into()),
        message: "the server refused the token".into(),
        clock_skew_secs: Some(-70),
        certificate: Some(CertificateInfo { subject: "CN=server".into(), issuer: "CN=root".into(), not_after_ms: AT }),
    }
}

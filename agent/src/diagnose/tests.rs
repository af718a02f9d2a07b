use std::collections::BTreeMap;
use std::io::Read as _;

use waybill_ipc::protocol::{CheckResult, HealthState, HistoryOutcome, HistoryRow, Via};
use waybill_shared::paths::InstanceOptions;

use super::facts::{Folders, LogErrors, SecretFact, WatchdogFacts};
use super::queue::QueueFacts;
use super::*;

const NOW: i64 = 1_795_258_800_000;

fn instance(folder: &Path) -> Instance {
    let data_dir = Some(folder.join("data"));
    Instance::locate(&InstanceOptions { data_dir, ..InstanceOptions::default() }).unwrap()
}

/// A station at which everything is well and no agent is asked.
fn well(folder: &Path) -> Facts {
    let instance = instance(folder);
    private::create_folder(&instance.data).unwrap();
    let watch = serde_json::to_string(folder).unwrap();
    let text = format!(
        "[[source]]\nname = \"ict\"\nfolder = {watch}\nconverter = \"wsjf\"\n[[destination]]\nname = \"main\"\nkind = \"folder\"\nfolder = {watch}\n"
    );
    waybill_shared::fs::atomic::replace(&instance.config, text.as_bytes()).unwrap();
    let facts = Facts::gather(&instance, true, soon());
    assert!(facts.config.is_ok(), "{:?}", facts.config.err());
    facts
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(60)
}

fn nothing_known() -> Known {
    Known { snapshot: None, health: None, secrets: Vec::new() }
}

fn found(facts: &Facts, known: &Known, why: Option<&ErrorReport>) -> Vec<String> {
    findings::of(facts, known, why, NOW)
}

fn row(action: &str, outcome: HistoryOutcome) -> HistoryRow {
    HistoryRow {
        key: 1,
        at_ms: NOW - 60_000,
        who: "somebody".to_owned(),
        via: Via::Agent,
        action: action.to_owned(),
        target: "history".to_owned(),
        before: None,
        after: None,
        outcome,
        message: Some("3 entries before this one could not be recorded".to_owned()),
        code: None,
        correlation_id: None,
    }
}

fn health(check: CheckResult) -> Known {
    let report = HealthReport { state: check.state, live: true, ready: true, checks: vec![check], at_ms: NOW };
    Known { health: Some(report), ..nothing_known() }
}

fn check(state: HealthState, message: &str, error: Option<ErrorReport>) -> CheckResult {
    CheckResult {
        name: "destination main".to_owned(),
        state,
        message: message.to_owned(),
        error,
        critical: false,
        checked_at_ms: Some(NOW),
        took_ms: Some(1),
        since_ms: None,
        values: Vec::new(),
    }
}

#[test]
fn where_everything_is_well_nothing_looks_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let facts = well(folder.path());
    assert_eq!(found(&facts, &nothing_known(), None), Vec::<String>::new());
    let known = health(check(HealthState::Healthy, "the last report arrived; it answers: well", None));
    assert_eq!(found(&facts, &known, None), Vec::<String>::new());
}

/// Something that goes wrong, and a word of the one finding that tells of it.
type Case = (&'static str, fn(&mut Facts));

#[test]
fn each_thing_that_is_wrong_is_told_once_and_in_words() {
    let cases: &[Case] = &[
        ("the configuration cannot be used: folder is missing", |f| f.config = Err("folder is missing".to_owned())),
        ("this station is not set up", |f| f.config.as_mut().unwrap().configured = false),
        ("no source is configured", |f| f.config.as_mut().unwrap().effective.config.source.clear()),
        ("no destination is configured", |f| f.config.as_mut().unwrap().effective.config.destination.clear()),
        ("the last good one is in use", |f| {
            f.config.as_mut().unwrap().problem = Some(ErrorReport::new(Code::ConfigInvalid, "the last good one is in use"));
        }),
        ("the folder of source ict cannot be read: gone", |f| f.sources = vec![("ict".to_owned(), Err("gone".to_owned()))]),
        ("has 1 MiB left of 4096 MiB", |f| f.disk = Ok((1 << 20, 4 << 30))),
        ("2 reports are refused for good", |f| f.queue = Ok(Some(queue("main", "failed", 2, None)))),
        ("1 report is waiting, the oldest for 2 h", |f| {
            f.queue = Ok(Some(queue("main", "pending", 1, Some(NOW - 2 * 3_600_000))));
        }),
        ("the queue is full: 10000 reports are waiting", |f| f.queue = Ok(Some(queue("main", "pending", 10_000, Some(NOW))))),
        ("destination old, which is configured no more", |f| f.queue = Ok(Some(queue("old", "pending", 1, Some(NOW))))),
        ("the queue's database is damaged: page 7", |f| {
            f.queue = Ok(Some(QueueFacts { check: Some("page 7".to_owned()), ..QueueFacts::default() }));
        }),
        ("the queue could not be read: it hangs", |f| f.queue = Err("it hangs".to_owned())),
        ("the secret destination.main.token is not set", |f| f.secrets = Ok(vec![secret(false, None)])),
        ("cannot be used: others may read it", |f| f.secrets = Ok(vec![secret(false, Some("others may read it"))])),
        ("the error config_not_used 3 times, last 60 s ago: a fault", |f| {
            let (event, last_message) = ("config_not_used".to_owned(), "a fault".to_owned());
            f.log_errors = Ok(vec![LogErrors { event, count: 3, last_ms: NOW - 60_000, last_message }]);
        }),
        ("the history is not complete, 60 s ago: 3 entries", |f| {
            f.history = Ok(vec![row("history.gap", HistoryOutcome::Failed)])
        }),
        ("its watchdog gave up (today): the agent ended with exit code 1. Look at", |f| {
            let trouble = Some("its watchdog gave up (today): the agent ended with exit code 1".to_owned());
            f.watchdog = Ok(WatchdogFacts { trouble, ..WatchdogFacts::default() });
        }),
        ("what the watchdog wrote down could not be read: it hangs", |f| f.watchdog = Err("it hangs".to_owned())),
        ("other users of this machine may read the data folder /x", |f| {
            f.folders = Ok(Folders { listing: String::new(), open_to_others: vec!["/x".to_owned()] });
        }),
    ];
    let folder = tempfile::tempdir().unwrap();
    for (words, spoil) in cases {
        let mut facts = well(folder.path());
        spoil(&mut facts);
        let found = found(&facts, &nothing_known(), None);
        assert!(found.len() == 1 && found[0].contains(words), "wanted {words:?}, found {found:#?}");
    }
}

fn queue(destination: &str, state: &str, count: u64, oldest: Option<i64>) -> QueueFacts {
    QueueFacts {
        deliveries: BTreeMap::from([(destination.to_owned(), BTreeMap::from([(state.to_owned(), count)]))]),
        oldest_pending_ms: oldest.into_iter().map(|at| (destination.to_owned(), at)).collect(),
        ..QueueFacts::default()
    }
}

fn secret(set: bool, problem: Option<&str>) -> SecretFact {
    SecretFact {
        name: "destination.main.token".to_owned(),
        set,
        place: "file x".to_owned(),
        changeable: true,
        problem: problem.map(str::to_owned),
    }
}

#[test]
fn what_the_agent_found_of_itself_comes_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let facts = well(folder.path());
    let error = ErrorReport::new(Code::DestinationUnreachable, "nobody answers");
    let told = found(&facts, &health(check(HealthState::Unhealthy, "nobody answers", Some(error.clone()))), None);
    assert_eq!(told, [format!("destination main is unhealthy: nobody answers. {}. (WB5001)", error.fix)]);
    let clock =
        "the last report arrived; it answers: yes. The server's clock is 10 min ahead of this station's: one of them is wrong.";
    let told = found(&facts, &health(check(HealthState::Healthy, clock, None)), None);
    assert!(told.len() == 1 && told[0].contains("The server's clock is 10 min ahead"), "{told:?}");
    let told = found(&facts, &nothing_known(), Some(&ErrorReport::new(Code::PeerTimeout, "no answer within 5 s")));
    assert!(told.len() == 1 && told[0].starts_with("the agent cannot be asked: no answer within 5 s"), "{told:?}");
}

#[test]
fn an_agent_that_its_watchdog_has_given_up_is_started_by_the_watchdog_again() {
    let folder = tempfile::tempdir().unwrap();
    let mut facts = well(folder.path());
    let trouble = "its watchdog gave up (today): the agent ended with exit code 1".to_owned();
    facts.watchdog = Ok(WatchdogFacts { trouble: Some(trouble.clone()), ..WatchdogFacts::default() });
    let why = ErrorReport::new(Code::AgentNotRunning, "no agent of instance \"x\" is running");
    let told = found(&facts, &nothing_known(), Some(&why));
    assert_eq!(told.len(), 2, "{told:#?}");
    assert!(!told[0].contains("waybill-agent run") && told[1].contains("start the watchdog again"), "{told:#?}");
    // `why` may say it already.
    let why = ErrorReport::new(Code::PeerTimeout, format!("no answer; {trouble}"));
    assert_eq!(found(&facts, &nothing_known(), Some(&why)).len(), 1);
    // The agent answers: it is well, whatever the watchdog wrote.
    let known = health(check(HealthState::Healthy, "it answers: well", None));
    assert_eq!(found(&facts, &known, None), Vec::<String>::new());
}

fn unzipped(bundle: &str) -> BTreeMap<String, String> {
    let mut zip = zip::ZipArchive::new(std::fs::File::open(bundle).unwrap()).unwrap();
    (0..zip.len())
        .map(|index| {
            let mut file = zip.by_index(index).unwrap();
            let (name, mut text) = (file.name().unwrap().into_owned(), String::new());
            file.read_to_string(&mut text).unwrap();
            (name, text)
        })
        .collect()
}

#[test]
fn the_five_newest_bundles_stay_and_nothing_else_of_the_folder_goes() {
    let folder = tempfile::tempdir().unwrap();
    well(folder.path());
    let instance = instance(folder.path());
    private::create_folder(&instance.diagnostics()).unwrap();
    let beside = instance.diagnostics().join("waybill-other-20200101T000000000Z.zip");
    waybill_shared::fs::atomic::create_private(&beside, b"of another instance").unwrap();
    let why = ErrorReport::new(Code::AgentNotRunning, "none runs");
    let bundles: Vec<String> = (0..7).map(|_| write_without_agent(&instance, &why, None).unwrap().bundle).collect();
    let there: Vec<bool> = bundles.iter().map(|bundle| Path::new(bundle).exists()).collect();
    assert_eq!(there, [false, false, true, true, true, true, true]);
    assert_eq!(std::fs::read_dir(instance.diagnostics()).unwrap().count(), KEEP + 1, "no temporary file either");
    assert!(beside.exists() && private::is_private(Path::new(&bundles[6])).unwrap());
}

#[test]
fn what_is_too_long_is_cut_and_the_bundle_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let mut facts = well(folder.path());
    facts.log = Ok("0123456789abcde\n".repeat(500_000));
    facts.history = Err("its disk hangs".to_owned());
    let instance = instance(folder.path());
    let packed = bundle::pack(&instance, &facts, &nothing_known(), None, &[], &[], Timestamp::now()).unwrap();
    let path = folder.path().join("x.zip");
    save(&path, &packed, false).unwrap();
    let files = unzipped(path.to_str().unwrap());
    assert!(files["agent.log"].len() > 6_000_000 && files["agent.log"].len() <= 6 << 20, "{}", files["agent.log"].len());
    let readme = &files["README.txt"];
    assert!(
        readme.contains("NOTE: agent.log was cut") && readme.contains("NOTE: history.csv is not here: its disk hangs"),
        "{readme}"
    );
    assert!(files.contains_key("config.toml") && !files.contains_key("history.csv"));
}

#[test]
fn a_secret_that_stands_where_it_must_not_is_taken_out() {
    let folder = tempfile::tempdir().unwrap();
    let mut facts = well(folder.path());
    facts.log = Ok("{\"message\":\"got Xq7-hidden-1 back\"}\n".to_owned());
    facts.watchdog = Ok(WatchdogFacts {
        record: Some("{\"message\":\"Xq7-hidden-1\"}\n".to_owned()),
        log: Some("{\"how\":\"Xq7-hidden-1\"}\n".to_owned()),
        trouble: None,
    });
    facts.values = vec![Secret::new("Xq7-hidden-1")];
    let instance = instance(folder.path());
    let known = facts.known_secrets();
    let packed = bundle::pack(&instance, &facts, &nothing_known(), None, &[], &known, Timestamp::now()).unwrap();
    let path = folder.path().join("x.zip");
    save(&path, &packed, false).unwrap();
    let files = unzipped(path.to_str().unwrap());
    assert_eq!(files["agent.log"], "{\"message\":\"got *** back\"}\n");
    assert_eq!(
        (files["watchdog.json"].as_str(), files["watchdog.log"].as_str()),
        ("{\"message\":\"***\"}\n", "{\"how\":\"***\"}\n")
    );
}

#[test]
fn what_hangs_is_named_and_holds_nothing_up() {
    let (_open, hang) = std::sync::mpsc::sync_channel::<()>(0);
    let job = Job::start("hangs", move || hang.recv().map_err(|error| error.to_string()));
    assert!(job.by(Instant::now()).unwrap_err().contains("did not answer in time"));
    let job: Job<()> = Job::start("panics", || panic!("a fault, as asked"));
    assert!(job.by(soon()).unwrap_err().contains("a fault"));
}

#[test]
fn a_bundle_overwrites_nothing() {
    let folder = tempfile::tempdir().unwrap();
    well(folder.path());
    let target = folder.path().join("mine.zip");
    waybill_shared::fs::atomic::create_private(&target, b"mine").unwrap();
    let why = ErrorReport::new(Code::AgentNotRunning, "none runs");
    let error = write_without_agent(&instance(folder.path()), &why, Some(&target)).unwrap_err();
    assert_eq!(error.code, Code::DataFolderUnavailable);
    assert_eq!(std::fs::read(&target).unwrap(), b"mine");
}

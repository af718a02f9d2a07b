//! A whole agent in this process: each of its tasks and threads fails, by name and in each way. Every failure is in the log with its cause, what
//! failed runs again, and a file that comes afterwards arrives; at the fourth time it is left alone, and everybody sees it.
//!
//! One test: the log and the faults are the process's.

#![allow(clippy::disallowed_methods, reason = "files of the test's own")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio::task::JoinSet;
use waybill_ipc::Endpoint;
use waybill_ipc::client::{Client, Deadlines};
use waybill_ipc::protocol::{AgentInfo, ClientKind, Reply, Request, TaskRow, TaskState};
use waybill_shared::error::{Code, ErrorReport};
use waybill_shared::paths::Instance;

use crate::agent::run_under;
use crate::shutdown::{self, StopRequests, Stopped};
use crate::supervisor::fault::Fault;
use crate::supervisor::{Rules, State, Supervisor};

const RULES: Rules = Rules { check: Duration::from_millis(100), stall: Duration::from_millis(500) };
pub(super) const REPORT: &str = include_str!("../../../../assets/station/files/ict/PC4100-26W03-0001_ict.json");

struct Running {
    folder: TempDir,
    instance: Instance,
    supervisor: Supervisor,
    stop: StopRequests,
    task: JoinSet<Result<Stopped, ErrorReport>>,
    dropped: u32,
}

pub(super) async fn until(what: &str, mut done: impl AsyncFnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(60);
    while !done().await {
        assert!(Instant::now() < end, "waited in vain until {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

impl Running {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let instance = super::station(folder.path());
        let supervisor = Supervisor::with_pause(RULES, Duration::from_millis(20));
        let (stop, asked) = shutdown::channel();
        let (ready, is_ready) = tokio::sync::oneshot::channel();
        let mut task = JoinSet::new();
        task.spawn({
            let (supervisor, instance, stop) = (supervisor.clone(), instance.clone(), stop.clone());
            async move { run_under(&supervisor, instance, stop, asked, move |_| ready.send(()).expect("a test waits")).await }
        });
        is_ready.await.expect("it starts");
        supervisor.set_rules(RULES);
        Self { folder, instance, supervisor, stop, task, dropped: 0 }
    }

    async fn ask(&self, request: Request) -> Option<Reply> {
        let client = Client::connect(&Endpoint::of(&self.instance), ClientKind::Cli, Deadlines::default()).await.ok()?;
        client.request(request).await.ok()
    }

    async fn agent(&self) -> Option<AgentInfo> {
        match self.ask(Request::Status).await? {
            Reply::Status(snapshot) => Some(snapshot.agent),
            other => panic!("{other:?}"),
        }
    }

    async fn tasks(&self) -> Vec<TaskRow> {
        match self.ask(Request::Tasks).await {
            Some(Reply::Tasks(rows)) => rows,
            _ => Vec::new(),
        }
    }

    fn arrived(&self) -> usize {
        fn count(folder: &Path) -> usize {
            let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
            entries.map(|entry| if entry.path().is_dir() { count(&entry.path()) } else { 1 }).sum()
        }
        count(&self.folder.path().join("out"))
    }

    /// Drops a file: everything in the agent gets something to do.
    fn drop_file(&mut self) -> PathBuf {
        self.dropped += 1;
        let mut report: serde_json::Value = serde_json::from_str(REPORT).unwrap();
        report["sn"] = format!("SN{}", self.dropped).into();
        report.as_object_mut().unwrap().remove("id");
        let path = self.folder.path().join(format!("watch/{}.json", self.dropped));
        let written = path.with_extension("part");
        std::fs::write(&written, serde_json::to_vec(&report).unwrap()).unwrap();
        std::fs::rename(&written, &path).unwrap();
        path
    }

    async fn all_arrive(&mut self, after: &str) {
        self.drop_file();
        let dropped = self.dropped as usize;
        until(&format!("all {dropped} arrive after {after}"), async || self.arrived() == dropped).await;
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.instance.logs().join("agent.log")).unwrap()
    }

    async fn stop(mut self) -> Stopped {
        self.stop.ask("a test");
        self.task.join_next().await.unwrap().unwrap().unwrap()
    }
}

/// What runs, and how it is made to have something to do.
const NAMES: [&str; 12] = [
    "check of the queue",
    "configuration",
    "connections",
    "converter 1",
    "destination out",
    "queue reader 1",
    "queue writer",
    "retention of folders",
    "retention of the queue",
    "source ict",
    "state of the agent",
    "supervisor",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_fails_is_told_runs_again_and_is_left_alone_at_the_fourth_time() {
    let mut running = Running::start().await;
    // All there is has a name; nothing is tested that is not there.
    let there: BTreeSet<String> = running.tasks().await.into_iter().map(|row| row.name).collect();
    for name in NAMES {
        assert!(there.contains(name), "{name} in {there:?}");
    }
    assert_eq!(there.len(), NAMES.len() + 3, "one more reader, two more chores: {there:?}");
    running.all_arrive("the start").await;
    for name in NAMES {
        let is_thread = running.supervisor.list().iter().any(|row| row.name == name && row.thread);
        for fault in [Fault::Error, Fault::Panic, Fault::Return, Fault::Hang] {
            // A thread that hangs is never doubled: see the supervisor's own tests.
            if is_thread && fault == Fault::Hang {
                continue;
            }
            running.supervisor.pardon(name);
            // An agent that began anew has set its own.
            running.supervisor.set_rules(RULES);
            running.supervisor.inject(name, fault, 1);
            // Threads fail when they work.
            running.drop_file();
            until(&format!("{name} runs again after {fault:?}"), async || {
                let _readers_work = running.ask(Request::Lanes).await;
                let rows = running.supervisor.list();
                rows.iter().any(|row| row.name == name && row.restarts == 1 && row.state == State::Running)
            })
            .await;
            running.all_arrive(&format!("{fault:?} of {name}")).await;
        }
    }
    let log = running.log();
    let is_thread = |name: &str| running.supervisor.list().iter().any(|row| row.name == name && row.thread);
    for name in NAMES {
        for how in ["error", "panic", "early return", "stall"] {
            if how == "stall" && is_thread(name) {
                continue;
            }
            let told = |line: &&str| {
                line.contains("\"task_failed\"")
                    && line.contains(&format!("\"task\":\"{name}\""))
                    && line.contains(&format!("\"how\":\"{how}\""))
            };
            let line = log.lines().find(told).unwrap_or_else(|| panic!("{name}: {how} is in the log"));
            let cause = match how {
                "early return" => "nobody had told it to",
                "stall" => "got no further",
                _ => "as a test wants it",
            };
            assert!(line.contains(cause), "{line}");
        }
    }
    // The fourth time.
    for name in ["retention of folders", "queue writer"] {
        running.supervisor.pardon(name);
        running.supervisor.inject(name, Fault::Panic, 4);
        running.drop_file();
        until(&format!("{name} is left alone"), async || {
            let _writer_works = running.ask(Request::HoldLane { priority: 10, held: false }).await;
            running.tasks().await.iter().any(|row| row.name == name && row.state == TaskState::Failed)
        })
        .await;
        let error = running.agent().await.and_then(|agent| agent.error);
        if name == "queue writer" {
            until("the agent is in error", async || {
                let error = running.agent().await.and_then(|agent| agent.error);
                error.is_some_and(|error| error.code == Code::TaskFailed && error.message.contains(name))
            })
            .await;
        } else {
            assert_eq!(error, None, "the agent can do without {name}");
        }
    }
    assert!(running.log().contains("\"task_failed_too_often\""));
    running.stop().await;
}

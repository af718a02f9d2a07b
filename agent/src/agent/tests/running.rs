//! A whole agent in this process, to which tests can do what they want. The log is the process's: each such test has processes of its own
//! ([`lives`]).

#![allow(clippy::disallowed_methods, reason = "files of the test's own")]

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use waybill_ipc::Endpoint;
use waybill_ipc::client::{Client, Deadlines};
use waybill_ipc::protocol::{AgentInfo, ClientKind, Reply, Request, TaskRow};
use waybill_shared::error::ErrorReport;
use waybill_shared::paths::Instance;

use crate::agent::run_under;
use crate::shutdown::{self, StopRequests, Stopped};
use crate::supervisor::{Rules, Supervisor};

pub(super) const RULES: Rules = Rules { check: Duration::from_millis(100), stall: Duration::from_millis(500) };
pub(super) const REPORT: &str = include_str!("../../../../assets/station/files/ict/PC4100-26W03-0001_ict.json");

/// An agent that runs, on a station of its own.
pub(super) struct Running {
    pub(super) folder: PathBuf,
    pub(super) instance: Instance,
    pub(super) supervisor: Supervisor,
    pub(super) stop: StopRequests,
    task: JoinSet<Result<Stopped, ErrorReport>>,
    pub(super) dropped: u32,
}

pub(super) async fn until(what: &str, mut done: impl AsyncFnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(60);
    while !done().await {
        assert!(Instant::now() < end, "waited in vain until {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

impl Running {
    /// On a folder that may be a station already; `lines` are added to the configuration of one that is not.
    pub(super) async fn start(folder: &Path, lines: &str) -> Self {
        let instance = super::station(folder, lines);
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
        Self { folder: folder.to_owned(), instance, supervisor, stop, task, dropped: 0 }
    }

    pub(super) async fn ask(&self, request: Request) -> Option<Reply> {
        let client = Client::connect(&Endpoint::of(&self.instance), ClientKind::Cli, Deadlines::default()).await.ok()?;
        client.request(request).await.ok()
    }

    pub(super) async fn agent(&self) -> Option<AgentInfo> {
        match self.ask(Request::Status).await? {
            Reply::Status(snapshot) => Some(snapshot.agent),
            other => panic!("{other:?}"),
        }
    }

    pub(super) async fn tasks(&self) -> Vec<TaskRow> {
        match self.ask(Request::Tasks).await {
            Some(Reply::Tasks(rows)) => rows,
            _ => Vec::new(),
        }
    }

    pub(super) fn arrived(&self) -> usize {
        fn count(folder: &Path) -> usize {
            let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
            entries.map(|entry| if entry.path().is_dir() { count(&entry.path()) } else { 1 }).sum()
        }
        count(&self.folder.join("out"))
    }

    /// Drops a file: everything in the agent gets something to do.
    pub(super) fn drop_file(&mut self) -> PathBuf {
        self.dropped += 1;
        let mut report: serde_json::Value = serde_json::from_str(REPORT).unwrap();
        report["sn"] = format!("SN{}", self.dropped).into();
        report.as_object_mut().unwrap().remove("id");
        let path = self.folder.join(format!("watch/{}.json", self.dropped));
        let written = path.with_extension("part");
        std::fs::write(&written, serde_json::to_vec(&report).unwrap()).unwrap();
        std::fs::rename(&written, &path).unwrap();
        path
    }

    pub(super) async fn all_arrive(&mut self, after: &str) {
        self.drop_file();
        let dropped = self.dropped as usize;
        until(&format!("all {dropped} arrive after {after}"), async || self.arrived() == dropped).await;
    }

    pub(super) fn log(&self) -> String {
        std::fs::read_to_string(self.instance.logs().join("agent.log")).unwrap()
    }

    /// How it ended.
    pub(super) async fn stop(mut self) -> Stopped {
        self.stop.ask("a test");
        self.task.join_next().await.unwrap().unwrap().unwrap()
    }
}

/// Which life of a test this process is, and the folder that its lives share.
const LIFE: &str = "WAYBILL_TEST_LIFE";
const FOLDER: &str = "WAYBILL_TEST_FOLDER";

/// Starts the test program again for one test alone, once for each life; the lives share a folder, and each must end well.
pub(super) fn lives(module: &str, test: &str, times: u32, live: impl AsyncFnOnce(u32, &Path)) {
    if let (Ok(life), Some(folder)) = (std::env::var(LIFE), std::env::var_os(FOLDER)) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(live(life.parse().unwrap(), Path::new(&folder)));
        // What hangs ends with the process.
        return runtime.shutdown_timeout(Duration::ZERO);
    }
    let folder = tempfile::tempdir().unwrap();
    let (_, module) = module.split_once("::").expect("within a crate");
    for life in 0..times {
        let alone = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", &format!("{module}::{test}"), "--nocapture", "--test-threads=1"])
            .env(LIFE, life.to_string())
            .env(FOLDER, folder.path())
            .output()
            .unwrap();
        let (said, told) = (String::from_utf8_lossy(&alone.stdout), String::from_utf8_lossy(&alone.stderr));
        assert!(alone.status.success() && said.contains("1 passed"), "life {life}\n{said}\n{told}");
    }
}

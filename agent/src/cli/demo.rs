//! `demo`: the real agent on a sample station, with everything shown as it happens.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use clap::Args;
use tokio::sync::mpsc::Receiver;
use waybill_ipc::Endpoint;
use waybill_ipc::client::{Client, ClientError, Deadlines};
use waybill_ipc::protocol::{ClientKind, Event, Reply, Request, Snapshot, Update};
use waybill_shared::error::{Code, ErrorReport, Exit};
use waybill_shared::fs::atomic;
use waybill_shared::paths::{Instance, InstanceOptions};
use waybill_shared::text;

use super::output;
use super::status::unexpected;
use crate::platform;

/// Longest time for the agent to serve.
const START: Duration = Duration::from_secs(20);
/// Longest time for all files.
const WORK: Duration = Duration::from_secs(60);
/// Longest time for the agent to end.
const STOP: Duration = Duration::from_secs(20);

/// The sample station, as it lies in `assets/station`.
const CONFIG: &str = include_str!("../../../assets/station/config.toml");

macro_rules! sample_files {
    ($($source:literal / $name:literal),* $(,)?) => {
        &[$( ($source, $name, include_bytes!(concat!("../../../assets/station/files/", $source, "/", $name)).as_slice()) ),*]
    };
}

/// Source, name and content of each sample file, in the order in which the testers write them.
const FILES: &[(&str, &str, &[u8])] = sample_files![
    "ict" / "PC4100-26W03-0001_ict.json",
    "ict" / "PC4100-26W03-0002_ict.json",
    "ict" / "broken-no-serial-number.json",
    "ict" / "PC4100-26W03-0002_repair.json",
    "ict" / "PC4100-26W03-0003_eol.json",
    "fct" / "26W03-0004.functional_test.2026-01-14_09-02-11-318.json",
];

#[derive(Debug, Args)]
pub(super) struct DemoArgs {
    /// Folder to make the station in; without it a new one among the temporary files
    #[arg(long, value_name = "DIR")]
    folder: Option<PathBuf>,
}

pub(super) async fn main(args: DemoArgs) -> Result<Exit, ErrorReport> {
    let folder = make_station(args.folder)?;
    output::line(&format!("A sample station in {}", text::path(&folder)));
    let options =
        InstanceOptions { data_dir: Some(folder.join("data")), config: Some(folder.join("config.toml")), ..Default::default() };
    let instance = Instance::locate(&options).map_err(|reason| ErrorReport::new(Code::Internal, reason))?;
    let mut agent = start_agent(&instance)?;
    let result = show(&instance, &folder, &mut agent).await;
    let ended = end(&instance, &mut agent, result.is_err()).await;
    let exit = result?;
    ended.map(|()| exit)
}

fn failed(path: &Path, error: &std::io::Error) -> ErrorReport {
    ErrorReport::new(Code::DataFolderUnavailable, format!("{}: {error}", text::path(path)))
}

fn make_station(folder: Option<PathBuf>) -> Result<PathBuf, ErrorReport> {
    let folder = folder.unwrap_or_else(|| std::env::temp_dir().join(format!("waybill-demo-{:08x}", fastrand::u32(..))));
    let folder = std::path::absolute(&folder).map_err(|error| failed(&folder, &error))?;
    if folder.join("config.toml").exists() {
        let message = format!("there is a station in {} already", text::path(&folder));
        return Err(ErrorReport::new(Code::DataFolderUnavailable, message).with_fix("Choose another --folder"));
    }
    for part in ["watch/ict", "watch/fct", "testers", "delivered", "data"] {
        let part = folder.join(part);
        std::fs::create_dir_all(&part).map_err(|error| failed(&part, &error))?;
    }
    let config = folder.join("config.toml");
    atomic::replace(&config, CONFIG.as_bytes()).map_err(|error| failed(&config, &error))?;
    Ok(folder)
}

fn start_agent(instance: &Instance) -> Result<Child, ErrorReport> {
    let program =
        std::env::current_exe().map_err(|error| ErrorReport::new(Code::Internal, format!("the agent's own program: {error}")))?;
    Command::new(&program)
        .arg("--data-dir")
        .arg(&instance.data)
        .arg("--config")
        .arg(&instance.config)
        .arg("run")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .map_err(|error| failed(&program, &error))
}

async fn show(instance: &Instance, folder: &Path, agent: &mut Child) -> Result<Exit, ErrorReport> {
    let mut client = connect(instance, agent).await?;
    output::line(&format!("The agent runs as process {}; files are dropped as testers would.\n", agent.id()));
    let mut updates = client.subscribe().await.map_err(|error| error.report())?;
    for (source, name, bytes) in FILES {
        drop_file(&folder.join("testers"), &folder.join("watch").join(source), name, bytes)?;
    }
    let mut told = Told::default();
    let work = tokio::time::timeout(WORK, told.follow(&mut updates)).await;
    if work.is_err() {
        return Err(ErrorReport::new(
            Code::PeerTimeout,
            format!("not everything was done within {} s; see {}", WORK.as_secs(), text::path(&instance.logs())),
        ));
    }
    let snapshot = match client.request(Request::Status).await.map_err(|error| error.report())? {
        Reply::Status(snapshot) => snapshot,
        other => return Err(unexpected(&other)),
    };
    client.stop().await.map_err(|error| error.report())?;
    sum_up(&snapshot, folder, instance);
    Ok(Exit::Ok)
}

async fn connect(instance: &Instance, agent: &mut Child) -> Result<Client, ErrorReport> {
    let endpoint = Endpoint::of(instance);
    let begun = tokio::time::Instant::now();
    loop {
        match Client::connect(&endpoint, ClientKind::Cli, Deadlines::default()).await {
            Ok(client) => return Ok(client),
            Err(ClientError::NotRunning(_)) if begun.elapsed() < START => {}
            Err(error) => return Err(error.report()),
        }
        if let Ok(Some(status)) = agent.try_wait() {
            return Err(ErrorReport::new(Code::AgentNotRunning, format!("the agent ended at once: {status}")));
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// As a tester does that takes care: written elsewhere on the same disk, then moved in.
fn drop_file(testers: &Path, folder: &Path, name: &str, bytes: &[u8]) -> Result<(), ErrorReport> {
    let path = folder.join(name);
    let temporary = testers.join(name);
    atomic::replace(&temporary, bytes).and_then(|()| platform::move_new(&temporary, &path)).map_err(|error| failed(&path, &error))
}

/// What was told so far.
#[derive(Default)]
struct Told {
    broken: usize,
    queued: usize,
    reports: usize,
    delivered: usize,
}

impl Told {
    async fn follow(&mut self, updates: &mut Receiver<Update>) {
        while self.broken + self.queued < FILES.len() || self.delivered < self.reports {
            match updates.recv().await {
                Some(Update::Event { event, .. }) => self.tell(event),
                // The first update; six files are never too many for the buffer.
                Some(Update::Snapshot { .. }) => {}
                None => return,
            }
        }
    }

    fn tell(&mut self, event: Event) {
        match event {
            Event::FileSeen { source, file, .. } => output::line(&format!("  file       {source}/{file}")),
            Event::FileQueued { file, reports, serial, .. } => {
                self.queued += 1;
                self.reports += reports as usize;
                output::line(&format!(
                    "  durable    {file}: {reports} report, serial number {serial}, survives a power cut from here on"
                ));
            }
            Event::Sent { serial, receipt, .. } => {
                self.delivered += 1;
                output::line(&format!("  delivered  {serial} → {receipt}"));
            }
            Event::FileBroken { file, error, moved_to, .. } => {
                self.broken += 1;
                output::line(&format!("  BROKEN     {file}: {}", error.message));
                for fault in &error.details {
                    output::line(&format!("             {fault}"));
                }
                output::line(&format!("             {}", error.fix));
                if let Some(moved_to) = moved_to {
                    output::line(&format!("             it lies in {moved_to}, with a note beside it"));
                }
            }
            _ => {}
        }
    }
}

fn sum_up(snapshot: &Snapshot, folder: &Path, instance: &Instance) {
    let count = |count: fn(&waybill_ipc::protocol::SourceStatus) -> u64| snapshot.sources.iter().map(count).sum::<u64>();
    let sent: u64 = snapshot.destinations.iter().map(|d| d.sent).sum();
    output::line(&format!(
        "\n{} files came, {} were converted to {} reports, {} was broken; {sent} reports were delivered, {} wait.",
        count(|s| s.seen()),
        count(|s| s.queued),
        count(|s| s.reports),
        count(|s| s.errors),
        snapshot.queue.waiting
    ));
    let (config, data, folder) = (text::path(&instance.config), text::path(&instance.data), text::path(folder));
    output::line(&format!(
        "
How to go on
  What was delivered lies in {folder}/delivered, what was taken in watch/ict/done, what was broken in watch/ict/error.
  See it in the window   waybill-agent --data-dir {data} --config {config} run
                         cargo run --release -p waybill -- --data-dir {data} --config {config}
  A folder of your own   edit the sources in {config}
  Your server            add a destination of kind \"wats\" there; the README has it in ten lines"
    ));
}

/// Waits for the agent's end; tells it to stop if nobody has.
async fn end(instance: &Instance, agent: &mut Child, tell_it: bool) -> Result<(), ErrorReport> {
    if tell_it && let Ok(client) = Client::connect(&Endpoint::of(instance), ClientKind::Cli, Deadlines::default()).await {
        // If it cannot be told it is ended below.
        let _ended_below = client.stop().await;
    }
    let begun = tokio::time::Instant::now();
    while begun.elapsed() < STOP {
        if !matches!(agent.try_wait(), Ok(None)) {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    // Its queue is crash-safe.
    let _ended_anyhow = agent.kill().and_then(|()| agent.wait());
    Err(ErrorReport::new(Code::StopForced, format!("the agent did not end within {} s and was ended", STOP.as_secs())))
}

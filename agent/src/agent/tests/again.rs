//! An agent that is opened and closed again and again in one process leaves nothing behind: no thread, no descriptor, no memory.
//!
//! The process counts as a whole.
#![cfg(target_os = "linux")]
#![allow(clippy::disallowed_methods, reason = "files of the test's own")]

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use super::super::Agent;
use crate::shutdown;
use crate::supervisor::{Rules, Supervisor};

/// Names of the threads, and how many have each; open descriptors by what they are; resident bytes.
fn now() -> (BTreeMap<String, usize>, usize, u64) {
    let mut threads = BTreeMap::new();
    for task in std::fs::read_dir("/proc/self/task").unwrap().flatten() {
        let name = std::fs::read_to_string(task.path().join("comm")).unwrap_or_default();
        *threads.entry(name.trim().to_owned()).or_default() += 1;
    }
    let descriptors = std::fs::read_dir("/proc/self/fd").unwrap().count();
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    let resident: u64 = resident.trim().trim_end_matches("kB").trim().parse().unwrap();
    (threads, descriptors, resident * 1024)
}

/// Threads of an agent: all but those of the test's runtime and of the log, which is the process's.
fn ours(threads: &BTreeMap<String, usize>) -> usize {
    let others = ["agent::tests", "log", "tokio-rt", "waybill_agent"];
    threads.iter().filter(|(name, _)| !others.iter().any(|other| name.starts_with(other))).map(|(_, count)| count).sum()
}

async fn open_and_close(folder: &Path, times: usize) {
    let (instance, watch) = (super::station(folder, ""), folder.join("watch"));
    let supervisor = Supervisor::new(Rules { check: Duration::from_secs(30), stall: Duration::from_secs(120) });
    let (stop, asked) = shutdown::channel();
    let (mut kept, mut baseline) = (None, None);
    for life in 0..times {
        let agent = Agent::open(&instance, stop.clone(), kept.take(), &supervisor).unwrap();
        let report = super::running::REPORT.replace("PC4100-26W03-0001", &format!("SN{life}"));
        std::fs::write(watch.join(format!("{life}.json")), report).unwrap();
        super::running::until("it is put away", async || !watch.join(format!("{life}.json")).exists()).await;
        kept = Some(agent.renew(asked.clone()).await);
        supervisor.forget_parts();
        assert!(supervisor.list().is_empty());
        // The first lives make what every process makes once: the arenas of the allocator, the log's thread.
        let Some((_, descriptors, resident)) = baseline.clone() else {
            if life == 4 {
                super::running::until("the threads have ended", async || ours(&now().0) == 0).await;
                baseline = Some(now());
            }
            continue;
        };
        super::running::until(&format!("life {life} has left nothing: {:?} and {:?}", now(), baseline), async || {
            let now = now();
            ours(&now.0) == 0 && now.1 <= descriptors
        })
        .await;
        let grown = now().2.saturating_sub(resident);
        assert!(grown < 8 * 1024 * 1024, "life {life}: {grown} bytes more");
    }
}

#[test]
fn opened_and_closed_fifty_times_it_leaves_nothing_behind() {
    super::running::lives(module_path!(), "opened_and_closed_fifty_times_it_leaves_nothing_behind", 1, async |_, folder| {
        open_and_close(folder, 55).await;
    });
}

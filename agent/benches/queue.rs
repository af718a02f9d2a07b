//! Enqueueing, measured against the disk itself in the same run. Prints; asserts nothing.
//!
//! `cargo bench -p waybill-agent --bench queue`
#![allow(
    clippy::expect_used,
    clippy::print_stdout,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a benchmark: it prints, and ends at the first surprise"
)]

use std::fs::File;
use std::io::Write as _;
use std::time::{Duration, Instant};

use waybill_agent::queue::{self, Command, Committed, Fingerprint, NewEntry, NewFile, Payload, Places};
use waybill_shared::config;
use waybill_shared::id::{CorrelationId, ReportId};

const SINGLES: u32 = 1000;
const BURST: u32 = 20_000;
const BODY_BYTES: usize = 1800;

fn main() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    bare_disk(folder.path());
    let at = |name: &str| folder.path().join(name);
    let places = Places { database: at("queue.db"), spool: at("spool"), evicted: at("evicted") };
    let text = "[[destination]]\nname='main'\nkind='folder'\nfolder='x'\n[queue]\nmax_entries=1000000\n";
    let config = config::parse(text).expect("a configuration");
    let opened = queue::open(&places, &config, Box::new(|_| {})).expect("a queue");
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(async {
        let mut times = Vec::new();
        for n in 0..SINGLES {
            let file = file(n, &places);
            let begun = Instant::now();
            let _: Committed = opened.writer.ask(|ack| Command::Commit { file, ack }).await.expect("it is stored");
            times.push(begun.elapsed());
        }
        print("enqueue of one report, acknowledged after fsync", &mut times);

        let begun = Instant::now();
        let (told, mut acks) = tokio::sync::mpsc::channel(BURST as usize);
        for n in SINGLES..SINGLES + BURST {
            let (told, sent) = (told.clone(), Instant::now());
            let ack = Box::new(move |result: Result<Committed, _>| {
                result.expect("it is stored");
                told.try_send(sent.elapsed()).expect("there is room");
            });
            opened.writer.send(Command::Commit { file: file(n, &places), ack }).await.expect("the queue is open");
        }
        let mut times = Vec::new();
        while times.len() < BURST as usize {
            times.push(acks.recv().await.expect("every report is acknowledged"));
        }
        let elapsed = begun.elapsed();
        println!("burst: {:.0} reports/s group-committed", f64::from(BURST) / elapsed.as_secs_f64());
        print("enqueue in the burst", &mut times);
        opened.writer.ask(|ack| Command::Close { ack }).await.expect("it closes");
    });
}

fn file(n: u32, places: &Places) -> NewFile {
    let mut random = fastrand::Rng::with_seed(u64::from(n));
    let body: Vec<u8> =
        format!("{{\"sn\":\"{n}\",").into_bytes().into_iter().chain((0..BODY_BYTES).map(|_| random.digit(10) as u8)).collect();
    let mut id = [0; 16];
    random.fill(&mut id);
    NewFile {
        fingerprint: Fingerprint {
            source: "bench".into(),
            path: format!("/bench/{n}.json").into(),
            file_id: id,
            size: body.len() as u64,
            modified_ns: i64::from(n),
            hash: [0; 32],
        },
        correlation_id: CorrelationId::new(),
        priority: 5,
        entries: vec![NewEntry {
            report_id: ReportId::from_bytes(id),
            serial: n.to_string(),
            part: "PN".into(),
            result: "P".into(),
            payload: Payload::new(&body, &places.spool).expect("it compresses"),
        }],
        staged: None,
        whole: true,
        reconverted: false,
    }
}

/// What the disk itself needs for the smallest durable write.
fn bare_disk(folder: &std::path::Path) {
    let mut file = File::create_new(folder.join("bare")).expect("a file");
    let mut times = Vec::new();
    for _ in 0..SINGLES {
        let begun = Instant::now();
        file.write_all(&[7; 512]).and_then(|()| file.sync_data()).expect("it is written");
        times.push(begun.elapsed());
    }
    print("bare fdatasync of 512 bytes", &mut times);
}

fn print(what: &str, times: &mut [Duration]) {
    times.sort();
    let at = |part: f64| times[((times.len() - 1) as f64 * part) as usize].as_secs_f64() * 1e3;
    println!("{what}: p50 {:.2} ms, p95 {:.2} ms, p99 {:.2} ms", at(0.5), at(0.95), at(0.99));
}

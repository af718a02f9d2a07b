//! The queue, measured against the disk itself in the same run, empty and with a million reports waiting. Prints; asserts nothing.
//!
//! `cargo bench -p waybill-agent --bench queue`; `WAYBILL_WAITING=100000` makes the backlog another size.
#![allow(
    clippy::expect_used,
    clippy::print_stdout,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a benchmark: it prints, and ends at the first surprise"
)]

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;
use waybill_agent::queue::{self, Command, Committed, Fingerprint, NewEntry, NewFile, Opened, Payload, Places};
use waybill_ipc::protocol::{DeliveryFilter, DeliveryState, Page, Search, SearchBy};
use waybill_shared::config;
use waybill_shared::id::{CorrelationId, ReportId};

const SINGLES: u32 = 1000;
const BURST: u32 = 20_000;
/// Reports that are durable together where the same bytes are only appended to a file.
const TOGETHER: usize = 128;

fn main() {
    let waiting: u32 = std::env::var("WAYBILL_WAITING").ok().and_then(|text| text.parse().ok()).unwrap_or(1_000_000);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let places = places(folder.path());
    runtime.block_on(async {
        let opened = open(&places);
        enqueue_one_by_one("empty", &opened, &places, folder.path(), 0).await;
        burst_against_the_bare_disk(&opened, &places, folder.path()).await;
        close(opened).await;
    });
    let folder = tempfile::tempdir().expect("a temporary folder");
    let places = self::places(folder.path());
    backlog(&runtime, &places, folder.path(), waiting);
}

fn places(folder: &Path) -> Places {
    let at = |name: &str| folder.join(name);
    Places { database: at("queue.db"), spool: at("spool"), evicted: at("evicted") }
}

fn open(places: &Places) -> Opened {
    let text = "[[destination]]\nname='main'\nkind='folder'\nfolder='x'\n[queue]\nmax_entries=10000000\nmax_bytes=1000000000000\nmin_free_bytes=0\nmin_free_percent=0\n";
    let config = config::parse(text).expect("a configuration");
    queue::open_by(places, &config, Box::new(|_| {}), std::sync::Arc::new(jiff::Timestamp::now)).expect("a queue")
}

async fn close(opened: Opened) {
    opened.writer.ask(|ack| Command::Close { ack }).await.expect("it closes");
    drop((opened.writer, opened.reader));
    opened.reader_threads.join();
    opened.writer_thread.join();
}

/// One report after the other, each acknowledged after its fsync; then the smallest durable write that the disk can do.
async fn enqueue_one_by_one(what: &str, opened: &Opened, places: &Places, folder: &Path, from: u32) {
    let (mut times, mut bare) = (Vec::new(), Vec::new());
    let mut file = File::create_new(folder.join(format!("bare-{from}-{what}"))).expect("a file");
    for n in from..from + SINGLES {
        let new = small(n, places);
        let begun = Instant::now();
        let _: Committed = opened.writer.ask(|ack| Command::Commit { file: new, ack }).await.expect("it is stored");
        times.push(begun.elapsed());
        // In turn, so that both see the same disk.
        let begun = Instant::now();
        file.write_all(&[7; 512]).and_then(|()| file.sync_data()).expect("it is written");
        bare.push(begun.elapsed());
    }
    print(&format!("{what}: enqueue of one report, acknowledged after fsync"), &mut times);
    print(&format!("{what}: bare fdatasync of 512 bytes"), &mut bare);
    let (enqueue, bare) = (p99(&times), p99(&bare));
    let mark = (bare * 3).max(Duration::from_millis(10));
    println!("{what}: enqueue p99 {enqueue:?}, mark max(10 ms, 3 x bare p99) = {mark:?}: {}", verdict(enqueue < mark));
}

/// Many reports at once, against the same bytes appended to one file and made durable every 128.
async fn burst_against_the_bare_disk(opened: &Opened, places: &Places, folder: &Path) {
    let reports: Vec<Vec<u8>> = (0..BURST).map(report).collect();
    let bytes: usize = reports.iter().map(Vec::len).sum();
    for round in 1..=3 {
        let raw = {
            let mut file = File::create_new(folder.join(format!("raw-{round}"))).expect("a file");
            let begun = Instant::now();
            for chunk in reports.chunks(TOGETHER) {
                for report in chunk {
                    file.write_all(report).expect("it is written");
                }
                file.sync_data().expect("it is durable");
            }
            begun.elapsed()
        };
        let begun = Instant::now();
        let (told, mut acks) = tokio::sync::mpsc::channel(BURST as usize);
        // As the pool does it: two threads compress, and hand over without waiting for the commit.
        std::thread::scope(|threads| {
            for part in 0..2 {
                let (reports, writer, told) = (&reports, opened.writer.clone(), told.clone());
                threads.spawn(move || {
                    for n in (part..BURST as usize).step_by(2) {
                        let number = 10_000_000 * round + n as u32;
                        let file = file(number, reports[n].clone(), places);
                        let told = told.clone();
                        let ack = Box::new(move |result: Result<Committed, _>| {
                            result.expect("it is stored");
                            told.try_send(()).expect("there is room");
                        });
                        writer.send_blocking(Command::Commit { file, ack }).expect("the queue is open");
                    }
                });
            }
        });
        for _ in 0..BURST {
            acks.recv().await.expect("every report is acknowledged");
        }
        // What was put off is part of the price: the log is folded into the store.
        let fold = rusqlite_checkpoint(&places.database);
        let stored = begun.elapsed();
        let rate = |time: Duration| bytes as f64 / 1e6 / time.as_secs_f64();
        println!(
            "round {round}: {BURST} reports of {} bytes: {:.0} reports/s, {:.0} MB/s (of it folding the log {:.2} s); raw append {:.0} MB/s; ratio {:.0} % (mark 50 %)",
            bytes / BURST as usize,
            f64::from(BURST) / stored.as_secs_f64(),
            rate(stored),
            fold.as_secs_f64(),
            rate(raw),
            100.0 * rate(stored) / rate(raw)
        );
    }
}

fn rusqlite_checkpoint(database: &Path) -> Duration {
    let begun = Instant::now();
    let connection = rusqlite::Connection::open(database).expect("the store");
    connection.query_row("PRAGMA wal_checkpoint(RESTART)", [], |_| Ok(())).expect("it is folded");
    begun.elapsed()
}

fn backlog(runtime: &Runtime, places: &Places, folder: &Path, waiting: u32) {
    runtime.block_on(async {
        let opened = open(places);
        let begun = Instant::now();
        let (told, mut acks) = tokio::sync::mpsc::channel(1024);
        let mut outstanding = 0_u32;
        for n in 0..waiting {
            let told = told.clone();
            let ack = Box::new(move |result: Result<Committed, _>| {
                result.expect("it is stored");
                told.try_send(()).expect("there is room");
            });
            opened.writer.send(Command::Commit { file: small(n, places), ack }).await.expect("the queue is open");
            outstanding += 1;
            while outstanding >= 1000 {
                acks.recv().await.expect("it is acknowledged");
                outstanding -= 1;
            }
        }
        while outstanding > 0 {
            acks.recv().await.expect("it is acknowledged");
            outstanding -= 1;
        }
        let seconds = begun.elapsed().as_secs_f64();
        println!("{waiting} reports enqueued in {seconds:.0} s, {:.0} reports/s", f64::from(waiting) / seconds);
        close(opened).await;
    });
    let size = std::fs::metadata(&places.database).expect("the store").len();
    println!("the store has {:.0} MB, {:.0} bytes a report", size as f64 / 1e6, size as f64 / f64::from(waiting.max(1)));
    let mut times = Vec::new();
    for _ in 0..5 {
        let begun = Instant::now();
        let opened = open(places);
        times.push(begun.elapsed());
        runtime.block_on(close(opened));
    }
    print(&format!("{waiting} waiting: opening the queue"), &mut times);
    runtime.block_on(async {
        let opened = open(places);
        enqueue_one_by_one(&format!("{waiting} waiting"), &opened, places, folder, waiting).await;
        pages(&opened).await;
        close(opened).await;
    });
}

/// What a window asks for.
async fn pages(opened: &Opened) {
    let page = |after| Page { after, limit: 100 };
    let state = |state| DeliveryFilter { state: Some(state), ..DeliveryFilter::default() };
    let search = |by, text: &str| DeliveryFilter { search: Some(Search { by, text: text.into() }), ..DeliveryFilter::default() };
    let wanted = [
        ("first page", DeliveryFilter::default()),
        ("newest page", DeliveryFilter { newest_first: true, ..DeliveryFilter::default() }),
        ("page of what waits", state(DeliveryState::Pending)),
        ("page of what failed (none)", state(DeliveryState::Failed)),
        ("page of a lane (none in it)", DeliveryFilter { priority: Some(9), ..DeliveryFilter::default() }),
        ("search by serial number", search(SearchBy::Serial, "SN-0050")),
        ("search by part number (all have it)", search(SearchBy::Part, "PN")),
        ("search by file name", search(SearchBy::File, "0000500")),
    ];
    for (what, filter) in wanted {
        let mut times = Vec::new();
        let mut after = None;
        for _ in 0..50 {
            let begun = Instant::now();
            let rows = opened.reader.deliveries(filter.clone(), page(after)).await.expect("a page");
            times.push(begun.elapsed());
            after = rows.last().map(|row| row.key);
        }
        print(what, &mut times);
    }
    let mut times = Vec::new();
    for _ in 0..50 {
        let begun = Instant::now();
        opened.reader.lanes().await.expect("the lanes");
        times.push(begun.elapsed());
    }
    print("counts by lane", &mut times);
}

/// A report as test programs write it, about 10 KB of JSON: names that come again, values that do not.
fn report(n: u32) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(u64::from(n));
    let mut text = format!("{{\"type\":\"T\",\"sn\":\"SN-{n:08}\",\"pn\":\"PN-1\",\"rev\":\"A\",\"result\":\"P\",\"steps\":[");
    while text.len() < 10_000 {
        let step = text.len() / 180;
        let (value, low, high) = (random.f64() * 10.0, random.f64(), 5.0 + random.f64() * 5.0);
        text.push_str(&format!(
            "{{\"id\":{step},\"group\":\"M\",\"stepType\":\"NumericLimit\",\"name\":\"Voltage rail {step}\",\"status\":\"P\",\"totTime\":{:.4},\"numericMeas\":[{{\"compOp\":\"GELE\",\"unit\":\"V\",\"value\":{value:.6},\"lowLimit\":{low:.3},\"highLimit\":{high:.3}}}]}},",
            random.f64()
        ));
    }
    text.pop();
    text.push_str("]}");
    text.into_bytes()
}

fn small(n: u32, places: &Places) -> NewFile {
    let mut random = fastrand::Rng::with_seed(u64::from(n));
    let noise: String = (0..200).map(|_| random.alphanumeric()).collect();
    file(n, format!("{{\"sn\":\"SN-{n:08}\",\"noise\":\"{noise}\"}}").into_bytes(), places)
}

fn file(n: u32, body: Vec<u8>, places: &Places) -> NewFile {
    let mut random = fastrand::Rng::with_seed(u64::from(n));
    let (mut id, mut hash) = ([0; 16], [0; 32]);
    random.fill(&mut id);
    random.fill(&mut hash);
    NewFile {
        fingerprint: Fingerprint {
            source: "bench".into(),
            path: format!("/bench/{n:08}.json").into(),
            file_id: id,
            size: body.len() as u64,
            modified_ns: 1_800_000_000_000_000_000 + i64::from(n) * 1_000_000,
            hash,
        },
        correlation_id: CorrelationId::new(),
        priority: 5,
        entries: vec![NewEntry {
            report_id: ReportId::from_bytes(id),
            serial: format!("SN-{n:08}"),
            part: "PN-1".into(),
            result: "P".into(),
            payload: Payload::new(body, &places.spool).expect("it compresses"),
        }],
        staged: None,
        whole: true,
        again: false,
    }
}

fn p99(sorted: &[Duration]) -> Duration {
    sorted[((sorted.len() - 1) as f64 * 0.99) as usize]
}

fn verdict(met: bool) -> &'static str {
    if met { "met" } else { "NOT MET" }
}

fn print(what: &str, times: &mut [Duration]) {
    times.sort();
    let at = |part: f64| times[((times.len() - 1) as f64 * part) as usize].as_secs_f64() * 1e3;
    println!("{what}: p50 {:.2} ms, p95 {:.2} ms, p99 {:.2} ms", at(0.5), at(0.95), at(0.99));
}

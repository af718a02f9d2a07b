//! Everybody's turn comes, however much comes in meanwhile and whichever way it comes.

use std::sync::atomic::AtomicBool;

use super::*;

/// What may go before a delivery whose turn has come: what is at hand at that moment, and what one look behind the door brought to it.
const AT_HAND_AT_MOST: usize = 2 * AT_HAND;

/// A load that never ends: while one report is sent, others are committed. Ends when a report was sent that is waited for.
struct Load {
    feeder: Feeder,
    clock: Arc<AtomicI64>,
    /// Urgent reports that come while one is sent.
    for_each: usize,
    /// By how much the store's clock goes on with each report.
    step_ms: i64,
    /// Serial numbers in the order in which they were sent.
    sent: Mutex<Vec<String>>,
    done: CancellationToken,
}

impl Load {
    fn new(station: &Station, for_each: usize, step_ms: i64) -> Arc<Self> {
        let (feeder, clock) = (station.feeder(), Arc::clone(&station.clock));
        Arc::new(Self { feeder, clock, for_each, step_ms, sent: Mutex::default(), done: CancellationToken::new() })
    }

    fn count(&self) -> usize {
        self.sent.lock().unwrap().len()
    }

    /// Takes one report; more have come when it is answered.
    async fn take(&self, serial: String) {
        let number = {
            let mut sent = self.sent.lock().unwrap();
            sent.push(serial);
            sent.len()
        };
        self.clock.fetch_add(self.step_ms, Ordering::SeqCst);
        self.feeder.put(&format!("urgent-{number}"), 1, self.for_each).await;
    }

    /// Runs a dispatcher until it is done.
    async fn run(self: &Arc<Self>, station: &Station, upload: Upload, answer: impl Fn(Parcel) -> Answer + Send + Sync + 'static) {
        let (setup, _orders) = station.setup(upload, answer);
        let drained = setup.drain.clone();
        let mut running = JoinSet::new();
        running.spawn(run(setup, Progress::of_nobody()));
        tokio::time::timeout(PATIENCE, self.done.cancelled()).await.expect("it comes to an end");
        drain(drained, running).await;
    }
}

fn one_at_a_time() -> Upload {
    // A report that is to be tried again is due at once.
    Upload { concurrency: 1, backoff_initial_secs: 0, ..Upload::default() }
}

#[tokio::test]
async fn a_report_of_the_lowest_lane_goes_after_as_many_urgent_ones_as_the_ageing_says() {
    // Twice as much comes as goes; or as much, so that something is always at hand and the store is never asked.
    for for_each in [2, 1] {
        let station = Station::new();
        let load = Load::new(&station, for_each, 45_000);
        load.feeder.put("urgent", 1, 2).await;
        load.feeder.put("low", 10, 1).await;
        let low_rank_after_ms: i64 = 9 * 10 * 60 * 1000;
        // Those that are queued before the low one has aged as far as the newest urgent one go first.
        let sends_until_aged = usize::try_from(low_rank_after_ms / load.step_ms).unwrap();
        let before_it = 2 + for_each * (sends_until_aged + 1);
        let bound = before_it + AT_HAND_AT_MOST;
        let desk = Arc::clone(&load);
        load.run(&station, one_at_a_time(), move |parcel| {
            let desk = Arc::clone(&desk);
            Box::pin(async move {
                let is_low = parcel.serial.starts_with("low");
                desk.take(parcel.serial).await;
                if is_low || desk.count() > bound + 50 {
                    desk.done.cancel();
                }
                well()
            })
        })
        .await;
        let sent = load.sent.lock().unwrap().clone();
        let turn = sent.iter().position(|serial| serial.starts_with("low")).expect("it is not starved");
        assert!((sends_until_aged..=bound).contains(&turn), "{for_each}: {turn}, at most {bound}");
        let counts = station.end().await;
        assert_eq!(counts.sent as usize, sent.len());
    }
}

#[tokio::test]
async fn a_report_whose_time_to_be_tried_again_has_come_waits_for_no_more_than_what_is_at_hand() {
    for for_each in [1, 2] {
        let station = Station::new();
        let load = Load::new(&station, for_each, 1);
        load.feeder.put("again", 1, 2).await;
        // So that something is at hand all the time; with two for each, more than is read at once.
        load.feeder.put("urgent", 1, if for_each == 1 { 2 } else { 3 * FETCH }).await;
        let due: Arc<Mutex<HashMap<String, Instant>>> = Arc::default();
        let (again, late) = (Arc::new(AtomicU32::new(0)), Arc::new(Mutex::new(Vec::<usize>::new())));
        // How many others went since both were due.
        let since = Arc::new(AtomicU32::new(0));
        let gave_up = Arc::new(AtomicBool::new(false));
        let (desk, lates, stopped) = (Arc::clone(&load), Arc::clone(&late), Arc::clone(&gave_up));
        load.run(&station, one_at_a_time(), move |parcel| {
            let (desk, due, again) = (Arc::clone(&desk), Arc::clone(&due), Arc::clone(&again));
            let (since, late, gave_up) = (Arc::clone(&since), Arc::clone(&lates), Arc::clone(&stopped));
            Box::pin(async move {
                let is_again = parcel.serial.starts_with("again");
                if is_again && !due.lock().unwrap().contains_key(&parcel.serial) {
                    // The second one is due when the first has already been let go, after all that was read with it.
                    let after =
                        Duration::from_millis(if parcel.serial == "again-0" { 1 } else { 300 * (for_each as u64).pow(3) });
                    due.lock().unwrap().insert(parcel.serial, Instant::now() + after);
                    return later(Some(after));
                }
                if is_again {
                    late.lock().unwrap().push(since.load(Ordering::SeqCst) as usize);
                    if again.fetch_add(1, Ordering::SeqCst) == 1 {
                        desk.done.cancel();
                    }
                } else if due.lock().unwrap().values().all(|due| *due < Instant::now()) {
                    let others = since.fetch_add(1, Ordering::SeqCst) as usize;
                    if others > AT_HAND_AT_MOST + 100 {
                        gave_up.store(true, Ordering::SeqCst);
                        desk.done.cancel();
                    }
                }
                desk.take(parcel.serial).await;
                well()
            })
        })
        .await;
        let late = late.lock().unwrap().clone();
        assert!(!gave_up.load(Ordering::SeqCst), "{for_each} for each: it waits for ever; so far {late:?}");
        assert!(late.len() == 2 && late.iter().all(|others| *others <= AT_HAND_AT_MOST), "{late:?}");
        station.end().await;
    }
}

#[tokio::test]
async fn a_newer_revision_goes_once_the_older_one_is_there_however_much_comes_in() {
    let station = Station::new();
    let load = Load::new(&station, 1, 1);
    let mut older = load.feeder.file("older", 1, 1, 10);
    let mut newer = load.feeder.file("newer", 1, 1, 10);
    newer.entries[0].report_id = older.entries[0].report_id;
    older.priority = 1;
    load.feeder.commit(older).await;
    load.feeder.commit(newer).await;
    load.feeder.put("urgent", 1, 2).await;
    let desk = Arc::clone(&load);
    load.run(&station, one_at_a_time(), move |parcel| {
        let desk = Arc::clone(&desk);
        Box::pin(async move {
            let is_newer = parcel.serial.starts_with("newer");
            desk.take(parcel.serial).await;
            if is_newer || desk.count() > AT_HAND_AT_MOST + 100 {
                desk.done.cancel();
            }
            well()
        })
    })
    .await;
    let sent = load.sent.lock().unwrap().clone();
    let turn = |name: &str| sent.iter().position(|serial| serial.starts_with(name));
    assert!(turn("older") < turn("newer") && turn("newer").is_some_and(|turn| turn <= AT_HAND_AT_MOST), "{:?}", turn("newer"));
    station.end().await;
}

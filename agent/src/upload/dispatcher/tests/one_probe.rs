//! How many go at the same time, by what the destination answered: the one place where it is made sure that only one goes to see whether a
//! destination is back is [`Dispatcher::allowance`] beside [`Dispatcher::send_what_may_go`], and random answers are held against it.

use proptest::prelude::*;
use tokio::sync::oneshot;

use super::*;

const CONCURRENCY: u32 = 6;
const FAILURES: u32 = 3;

#[derive(Debug, Clone, Copy)]
enum Said {
    Well,
    Down,
    /// Refuses us as a whole.
    Pause,
    /// Something about this report only.
    Later,
}

#[derive(Debug, Clone)]
enum Step {
    Send,
    Answer {
        which: usize,
        said: Said,
    },
    /// Every pause and cooldown is over.
    TimePasses,
    /// A person wants it to be asked now.
    Reset,
}

fn step() -> impl Strategy<Value = Step> {
    let said = prop_oneof![3 => Just(Said::Well), 6 => Just(Said::Down), 1 => Just(Said::Pause), 1 => Just(Said::Later)];
    prop_oneof![
        8 => Just(Step::Send),
        10 => (any::<usize>(), said).prop_map(|(which, said)| Step::Answer { which, said }),
        3 => Just(Step::TimePasses),
        1 => Just(Step::Reset),
    ]
}

/// What is known of the destination by its answers alone.
#[derive(Debug, Default)]
struct Known {
    row: u32,
    /// It is left alone; false once the time for a probe has come.
    open: Option<bool>,
    /// It refused us; false once the time to ask again has come.
    paused: Option<bool>,
    ramp: Option<u32>,
}

impl Known {
    fn hears(&mut self, said: Said) {
        match said {
            Said::Well => {
                self.ramp = if self.open.take().is_some() { Some(1) } else { self.ramp.map(|ramp| ramp.saturating_mul(2)) };
                (self.row, self.paused) = (0, None);
            }
            Said::Down => {
                self.row += 1;
                if self.row >= FAILURES {
                    self.open = Some(true);
                }
            }
            Said::Pause => self.paused = Some(true),
            Said::Later => {}
        }
    }

    /// How many may be on their way.
    fn most(&self) -> usize {
        let (waits, one) = (Some(true), Some(false));
        if self.open == waits || self.paused == waits {
            0
        } else if self.open == one || self.paused == one {
            1
        } else {
            self.ramp.unwrap_or(u32::MAX).min(CONCURRENCY) as usize
        }
    }
}

/// Deliveries that were begun and not answered.
type Begun = Arc<Mutex<Vec<oneshot::Sender<Delivered>>>>;

async fn life(steps: Vec<Step>) -> Result<(), TestCaseError> {
    let station = Station::new();
    station.feeder().put("SN", 5, 300).await;
    let begun: Begun = Arc::default();
    let desk = Arc::clone(&begun);
    let upload = Upload {
        concurrency: CONCURRENCY,
        breaker_failures: FAILURES,
        // Long enough that only a step of the test lets it pass.
        breaker_cooldown_secs: 3000,
        breaker_max_cooldown_secs: 80_000,
        paused_probe_secs: 80_000,
        ..Upload::default()
    };
    let (setup, _orders) = station.setup(upload, move |_| {
        let (told, answer) = oneshot::channel();
        desk.lock().unwrap().push(told);
        Box::pin(async move { answer.await.unwrap() })
    });
    let mut dispatcher = begin(setup).await;
    let mut known = Known::default();
    for step in steps {
        match step {
            Step::Send => {
                // The pause between two reports is another rule.
                dispatcher.not_before = Instant::now();
                let before = dispatcher.sending.len();
                dispatcher.send_what_may_go().await;
                let expected = before.max(known.most());
                prop_assert_eq!(dispatcher.sending.len(), expected, "{:?}", known);
                while begun.lock().unwrap().len() < expected {
                    tokio::task::yield_now().await;
                }
            }
            Step::Answer { which, said } => {
                let told = {
                    let mut begun = begun.lock().unwrap();
                    if begun.is_empty() {
                        continue;
                    }
                    let which = which % begun.len();
                    begun.swap_remove(which)
                };
                let answer = match said {
                    Said::Well => well(),
                    Said::Down => Err(Verdict::DestinationDown { error: error() }),
                    Said::Pause => Err(Verdict::PauseDestination { error: error() }),
                    Said::Later => later(None),
                };
                told.send(answer).unwrap();
                known.hears(said);
                let ended = dispatcher.sending.join_next_with_id().await.unwrap();
                dispatcher.ended(ended).await;
                while !dispatcher.settling.is_empty() {
                    let settled = dispatcher.settled.recv().await.unwrap();
                    dispatcher.settled(settled);
                }
            }
            Step::TimePasses => {
                let now = Instant::now();
                if let Some(open) = dispatcher.breaker.remembered(now) {
                    let limits =
                        Limits { failures: FAILURES, cooldown: Duration::from_secs(3000), longest: Duration::from_secs(80_000) };
                    dispatcher.breaker = Breaker::reopened(limits, breaker::Remembered { left: Duration::ZERO, ..open }, now);
                }
                if let Some((_, until)) = &mut dispatcher.paused {
                    *until = now;
                }
                known.open = known.open.map(|_| false);
                known.paused = known.paused.map(|_| false);
            }
            Step::Reset => {
                dispatcher.obey(Order::Reset).await;
                known = Known::default();
            }
        }
    }
    begun.lock().unwrap().clear();
    dispatcher.sending.shutdown().await;
    drop(dispatcher);
    close(station.queue).await;
    Ok(())
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_it_answers_one_goes_while_it_is_asked_whether_it_is_back_and_none_while_it_is_left_alone(
        steps in prop::collection::vec(step(), 10..80),
    ) {
        runtime().block_on(life(steps))?;
    }
}

#[test]
fn one_that_refused_and_then_went_down_is_left_alone() {
    let mut steps = vec![Step::Send, Step::Answer { which: 0, said: Said::Pause }, Step::TimePasses];
    for _ in 0..CONCURRENCY + 2 {
        steps.extend([Step::Send, Step::Answer { which: 0, said: Said::Down }]);
    }
    steps.push(Step::Send);
    runtime().block_on(life(steps)).unwrap();
}

#[tokio::test]
async fn what_is_due_wakes_nobody_while_nothing_may_go() {
    let station = Station::new();
    let (setup, _orders) = station.setup(Upload::default(), |_| Box::pin(async { well() }));
    let mut dispatcher = begin(setup).await;
    let now = Instant::now();
    dispatcher.next_due = Some(now);
    assert!(dispatcher.appointment() < now + Duration::from_secs(1), "it may go: it goes at once");
    (0..3).for_each(|_| dispatcher.breaker.failed(now, 0.5));
    assert!(dispatcher.appointment() > now + Duration::from_secs(1), "it waits for the breaker");
    drop(dispatcher);
    close(station.queue).await;
}

//! The agent is killed at random moments, again and again: nothing is lost, nothing is there twice with different content, and
//! the books are right at every look.
//!
//! The moments come from a seed that is printed; `TEST_SEED=<n>` repeats it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "a fault of this test is told where it stands; stores are laid by hand"
)]

#[cfg(target_os = "linux")]
mod points;
mod trial;

use std::sync::Mutex;
use std::time::Duration;

use waybill_tests::sample::several_reports;
use waybill_tests::{Behaviour, Receiver};

use trial::{FILES_A_ROUND, Trial};

const ROUNDS: u64 = 25;

#[test]
fn killed_at_random_moments_it_loses_nothing() {
    let receiver = Receiver::start();
    let mut trial = Trial::new("small files", &receiver, 1);
    for round in 0..ROUNDS {
        trial.round(|trial| trial.drop_small_files(round), 60);
    }
    trial.end(ROUNDS * FILES_A_ROUND);
}

#[test]
fn killed_at_random_moments_it_loses_nothing_to_a_server_whose_answers_get_lost() {
    let receiver = Receiver::start();
    let mut trial = Trial::new("a bad server", &receiver, 1);
    let random = Mutex::new(trial.random.fork());
    receiver.set(Behaviour::per_report(move |_| {
        let mut random = random.lock().unwrap();
        match random.u32(..10) {
            0 => Behaviour::StoreThenDrop,
            1 => Behaviour::CutAnswer(random.usize(..150)),
            2 => Behaviour::DropConnection,
            3 => Behaviour::status(503),
            4 | 5 => Behaviour::Delay(Duration::from_millis(random.u64(..40))),
            _ => Behaviour::Accept,
        }
    }));
    for round in 0..ROUNDS {
        trial.round(|trial| trial.drop_small_files(round), 60);
    }
    receiver.set(Behaviour::Accept);
    trial.end(ROUNDS * FILES_A_ROUND);
}

/// 400 reports are staged in chunks before the file as a whole is committed.
#[test]
fn killed_in_the_middle_of_a_large_file_it_takes_the_file_as_a_whole() {
    const REPORTS: u64 = 400;
    const FILES: u64 = 6;
    let receiver = Receiver::start();
    let mut trial = Trial::new("large files", &receiver, REPORTS);
    for round in 0..FILES {
        trial.round(
            |trial| {
                let (_, bytes) = several_reports(round * REPORTS..(round + 1) * REPORTS);
                trial.drop_file(&format!("panel-{round}.json"), &bytes);
            },
            400,
        );
        // Again without a new file: the crash may hit what the restart repairs.
        trial.round(|_| {}, 400);
    }
    trial.end(FILES);
}

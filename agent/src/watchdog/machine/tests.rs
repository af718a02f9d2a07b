//! The machine with a clock that is told.

use super::*;

const LIMITS: Limits = Limits {
    interval: s(30),
    failures: 3,
    starting: s(600),
    stopping: s(130),
    restarts: 5,
    window: s(300),
    pause: s(1),
    longest_pause: s(60),
};

const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A machine whose agent has answered at the time 0.
fn running() -> Machine {
    let mut machine = Machine::new(LIMITS, s(0));
    assert_eq!((machine.step(s(0)), machine.step(s(0))), (Step::Start, Step::Probe));
    machine.probed(s(0), Probed::Answered(AgentState::Running));
    machine
}

/// Lets the time pass until the machine wants something, and gives that and when.
fn next(machine: &mut Machine, mut now: Duration) -> (Step, Duration) {
    loop {
        match machine.step(now) {
            Step::Wait(longer) => now += longer,
            step => return (step, now),
        }
    }
}

#[test]
fn it_asks_every_thirty_seconds_and_three_silences_in_a_row_are_a_hang() {
    let mut machine = running();
    for at in [30, 60, 90] {
        assert_eq!(next(&mut machine, s(at - 29)), (Step::Probe, s(at)));
        machine.probed(s(at + 5), Probed::Silent);
    }
    assert_eq!(machine.phase(), Phase::Ending);
    assert_eq!(machine.step(s(95)), Step::AskToStop);
    machine.asked(s(100));
    assert_eq!(next(&mut machine, s(100)), (Step::Kill, s(100 + 130)));
    machine.ended(s(231), Ended::Crashed);
    assert_eq!(next(&mut machine, s(231)), (Step::Start, s(232)));
}

#[test]
fn one_answer_makes_two_silences_good() {
    let mut machine = running();
    for probed in [Probed::Silent, Probed::Silent, Probed::Answered(AgentState::Running), Probed::Silent, Probed::Silent] {
        machine.probed(s(1), probed);
    }
    assert_eq!(machine.phase(), Phase::Silent(2));
}

#[test]
fn an_agent_may_take_long_to_open_its_door_but_not_for_ever() {
    let mut machine = Machine::new(LIMITS, s(0));
    machine.step(s(0));
    let mut now = s(0);
    while now < s(599) {
        let step = next(&mut machine, now);
        assert_eq!(step.0, Step::Probe);
        now = step.1;
        machine.probed(now, Probed::NoDoor);
    }
    assert_eq!(machine.phase(), Phase::Starting);
    machine.probed(s(600), Probed::NoDoor);
    assert_eq!(machine.step(s(600)), Step::AskToStop);
    // The same for one that opens its queue anew.
    let mut machine = running();
    machine.probed(s(599), Probed::NoDoor);
    assert_eq!(machine.phase(), Phase::Running);
    machine.probed(s(600), Probed::NoDoor);
    assert_eq!(machine.phase(), Phase::Ending);
}

#[test]
fn how_it_ended_decides_what_follows() {
    for (ended, wanted) in [
        (Ended::Code(0), Step::Done(Verdict::Stopped)),
        (Ended::InOrder, Step::Done(Verdict::Stopped)),
        (Ended::Code(10), Step::Done(Verdict::Forced)),
        (Ended::Code(5), Step::Done(Verdict::NotRestarted(5))),
        (Ended::Code(2), Step::Done(Verdict::NotRestarted(2))),
        (Ended::Code(1), Step::Start),
        (Ended::Code(4), Step::Start),
        (Ended::Code(7), Step::Start),
        (Ended::Code(12), Step::Start),
        (Ended::Code(101), Step::Start),
        (Ended::Crashed, Step::Start),
        (Ended::NotStarted, Step::Start),
    ] {
        let mut machine = running();
        machine.ended(s(1), ended);
        assert_eq!(next(&mut machine, s(1)).0, wanted, "{ended:?}");
    }
}

#[test]
fn one_that_hung_is_started_again_even_if_it_stopped_in_order() {
    let mut machine = running();
    (0..3).for_each(|_| machine.probed(s(1), Probed::Silent));
    machine.step(s(1));
    machine.ended(s(2), Ended::Code(0));
    assert_eq!(next(&mut machine, s(2)).0, Step::Start);
}

#[test]
fn one_that_hangs_while_it_stops_for_somebody_is_not_started_again() {
    let mut machine = running();
    machine.probed(s(30), Probed::Answered(AgentState::Stopping));
    (0..3).for_each(|_| machine.probed(s(60), Probed::Silent));
    assert_eq!(machine.step(s(60)), Step::AskToStop);
    assert_eq!(next(&mut machine, s(60)).0, Step::Kill);
    machine.ended(s(200), Ended::Crashed);
    assert_eq!(machine.step(s(200)), Step::Done(Verdict::Forced));
}

#[test]
fn a_crash_loop_waits_twice_as_long_each_time_and_ends_after_five_restarts() {
    let mut machine = running();
    let mut now = s(10);
    for pause in [1, 2, 4, 8, 16] {
        machine.ended(now, Ended::Code(1));
        assert_eq!(next(&mut machine, now), (Step::Start, now + s(pause)));
        now += s(pause);
    }
    machine.ended(now, Ended::Code(1));
    assert_eq!(machine.step(now), Step::Done(Verdict::TooOften));
    assert_eq!(machine.phase(), Phase::Done(Verdict::TooOften));
}

#[test]
fn restarts_are_forgotten_and_the_pause_is_bounded() {
    let mut machine = running();
    let mut now = s(0);
    for _ in 0..50 {
        machine.ended(now, Ended::Crashed);
        assert_eq!(next(&mut machine, now), (Step::Start, now + s(1)));
        now += s(301);
    }
    let mut machine = Machine::new(Limits { restarts: 1000, window: s(1_000_000), ..LIMITS }, s(0));
    let mut now = s(0);
    for _ in 0..100 {
        machine.step(now);
        machine.ended(now, Ended::Crashed);
        let started = next(&mut machine, now).1;
        assert!(started - now <= s(60));
        now = started;
        machine = Machine { state: State::Waiting { until: now, for_store: false }, ..machine };
    }
}

#[test]
fn a_disk_that_is_full_is_waited_for_for_ever_and_is_no_crash_loop() {
    let mut machine = Machine::new(LIMITS, s(0));
    machine.step(s(0));
    let mut now = s(0);
    for pause in [1, 2, 4, 8, 16, 32, 60, 60].into_iter().chain([60; 100]) {
        machine.ended(now, Ended::Code(7));
        assert_eq!(machine.phase(), Phase::WaitingForStore);
        assert_eq!(next(&mut machine, now), (Step::Start, now + s(pause)));
        now += s(pause);
    }
    // It comes up, serves for a while, and the disk is full once more: the first pause is short again.
    machine.probed(now, Probed::Answered(AgentState::Running));
    machine.ended(now + s(300), Ended::Code(7));
    assert_eq!(next(&mut machine, now + s(300)), (Step::Start, now + s(301)));
    // One that comes up only to end at once is not started every second.
    machine.probed(now + s(301), Probed::Answered(AgentState::Running));
    machine.ended(now + s(302), Ended::Code(7));
    assert_eq!(next(&mut machine, now + s(302)), (Step::Start, now + s(304)));
    // None of it counts as a restart: a crash has its five.
    let mut now = now + s(304);
    for pause in [1, 2, 4, 8, 16] {
        machine.ended(now, Ended::Crashed);
        assert_eq!((machine.phase(), next(&mut machine, now)), (Phase::Waiting, (Step::Start, now + s(pause))));
        now += s(pause);
    }
    machine.ended(now, Ended::Crashed);
    assert_eq!(machine.step(now), Step::Done(Verdict::TooOften));
    // Who waits for a disk can be told to stop.
    let mut machine = running();
    machine.ended(s(1), Ended::Code(7));
    machine.stop_asked(s(1));
    assert_eq!(machine.step(s(1)), Step::Done(Verdict::Stopped));
}

#[test]
fn the_time_for_a_stop_is_the_one_that_is_set_last() {
    let mut machine = running();
    machine.set_stopping(s(610));
    machine.stop_asked(s(1));
    assert_eq!(machine.step(s(1)), Step::AskToStop);
    machine.asked(s(1));
    assert_eq!(next(&mut machine, s(1)), (Step::Kill, s(611)));
}

#[test]
fn told_to_stop_it_stops_the_agent_and_ends() {
    let mut machine = running();
    machine.stop_asked(s(1));
    assert_eq!((machine.step(s(1)), machine.phase()), (Step::AskToStop, Phase::Stopping));
    assert!(matches!(machine.step(s(1)), Step::Wait(_)));
    // Somebody has no patience: the agent skips to its second phase.
    machine.stop_asked(s(2));
    assert_eq!(machine.step(s(2)), Step::Hurry);
    assert!(matches!(machine.step(s(2)), Step::Wait(_)), "told once");
    machine.ended(s(3), Ended::Code(0));
    assert_eq!(machine.step(s(3)), Step::Done(Verdict::Stopped));

    let mut machine = running();
    machine.stop_asked(s(1));
    machine.step(s(1));
    assert_eq!(next(&mut machine, s(1)), (Step::Kill, s(131)));
    machine.ended(s(132), Ended::Crashed);
    assert_eq!(machine.step(s(132)), Step::Done(Verdict::Forced));

    // While nothing runs there is nothing to stop.
    let mut machine = running();
    machine.ended(s(1), Ended::Crashed);
    machine.stop_asked(s(1));
    assert_eq!(machine.step(s(1)), Step::Done(Verdict::Stopped));
}

#[test]
fn what_cannot_be_killed_is_not_doubled() {
    let mut machine = running();
    (0..3).for_each(|_| machine.probed(s(1), Probed::Silent));
    machine.step(s(1));
    let (step, at) = next(&mut machine, s(1));
    assert_eq!(step, Step::Kill);
    assert_eq!(next(&mut machine, at), (Step::Done(Verdict::CannotEnd), at + KILLING));
}

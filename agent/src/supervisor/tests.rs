//! Each way of failing, in each kind of part: noticed, told with its cause, started again, and given up at the fourth time.

use std::sync::atomic::{AtomicU32, Ordering};

use super::fault::Fault;
use super::*;

const RULES: Rules = Rules { check: Duration::from_millis(50), stall: Duration::from_millis(300) };

fn supervisor() -> Supervisor {
    Supervisor::with_pause(RULES, Duration::from_millis(20))
}

/// Waits for something that other threads do.
async fn until(what: &str, mut done: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(30);
    while !done() {
        assert!(Instant::now() < end, "waited in vain until {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn of(supervisor: &Supervisor, name: &str) -> Status {
    supervisor.list().into_iter().find(|status| status.name == name).unwrap_or_else(|| panic!("{name} is in the list"))
}

fn watching(supervisor: &Supervisor) -> Task {
    let watched = supervisor.clone();
    supervisor.task(Spec::new("supervisor", Starts::Itself).critical(), move |progress| {
        let watched = watched.clone();
        async move {
            watched.watch(&progress).await;
            Ok(())
        }
    })
}

#[tokio::test]
async fn a_task_that_fails_is_told_with_its_cause_and_started_again() {
    for (fault, cause) in [
        (Fault::Error, "as a test wants it"),
        (Fault::Panic, "a fault of the program: as a test wants it"),
        (Fault::Return, "it ended, and nobody had told it to"),
        (Fault::Hang, "it had work to do and got no further"),
    ] {
        let supervisor = supervisor();
        let _watching = watching(&supervisor);
        let name = format!("a task with {fault:?}");
        let lives = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&lives);
        let _task = supervisor.task(Spec::new(&name, Starts::Itself), move |_| {
            counted.fetch_add(1, Ordering::AcqRel);
            std::future::pending()
        });
        until("it lives", || lives.load(Ordering::Acquire) == 1).await;
        supervisor.inject(&name, fault, 1);
        until("it is started again", || lives.load(Ordering::Acquire) == 2).await;
        let status = of(&supervisor, &name);
        assert_eq!((status.restarts, status.state), (1, State::Running));
        assert!(status.cause.as_deref().is_some_and(|told| told.starts_with(cause)), "{fault:?}: {:?}", status.cause);
        assert_eq!(*supervisor.error().borrow(), None);
    }
}

#[tokio::test]
async fn at_the_fourth_time_it_is_left_alone_and_the_agent_is_in_error_if_it_cannot_do_without() {
    for critical in [false, true] {
        let supervisor = supervisor();
        let lives = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&lives);
        let spec = Spec::new("fails at once", Starts::Itself);
        let spec = if critical { spec.critical() } else { spec };
        let _task = supervisor.task(spec, move |_| {
            counted.fetch_add(1, Ordering::AcqRel);
            std::future::ready(Err("no room".to_owned()))
        });
        until("it has failed for the fourth time", || of(&supervisor, "fails at once").state == State::Failed).await;
        assert_eq!(lives.load(Ordering::Acquire), 4, "it was started again three times");
        let error = supervisor.error().borrow().clone();
        assert_eq!(error.is_some(), critical);
        if let Some(error) = error {
            assert_eq!((error.code, error.message.as_str()), (Code::TaskFailed, "fails at once has failed too often (no room)"));
        }
    }
}

#[tokio::test]
async fn a_part_is_started_again_by_its_owner_and_its_end_is_no_failure_if_that_was_wanted() {
    let supervisor = supervisor();
    let spec = Spec::new("a part", Starts::Owner);
    let start = || supervisor.part(&spec, |_| std::future::pending::<Result<(), String>>());
    let part = start();
    supervisor.inject("a part", Fault::Panic, 1);
    until("it has ended", || part.has_ended()).await;
    assert_eq!(of(&supervisor, "a part").state, State::Restarting);
    assert!(!supervisor.may_start("a part"), "not before its pause is over");
    until("it may be started", || supervisor.may_start("a part")).await;
    let mut part = start();
    assert_eq!((of(&supervisor, "a part").state, of(&supervisor, "a part").restarts), (State::Running, 1));
    part.cut_off();
    until("it has ended", || part.has_ended()).await;
    until("nobody misses it", || supervisor.list().is_empty()).await;
    // What is known of its name goes with it.
    supervisor.forget("a part");
    let _part = start();
    assert_eq!(of(&supervisor, "a part").restarts, 0);
}

#[tokio::test]
async fn a_thread_that_hangs_is_named_and_never_doubled_and_a_critical_one_ends_the_agent_after_twice_the_time() {
    for critical in [false, true] {
        let supervisor = supervisor();
        let _watching = watching(&supervisor);
        let spec = Spec::new("a thread that hangs", Starts::Agent);
        let spec = if critical { spec.critical() } else { spec };
        let (work, waiting) = crossbeam_channel::bounded::<()>(1);
        let thread = supervisor
            .thread(&spec, "hangs", move |progress| {
                let _working = progress.work();
                let _let_go = waiting.recv();
            })
            .unwrap();
        assert!(supervisor.gets_on());
        until("it is named", || matches!(of(&supervisor, "a thread that hangs").state, State::Stalled(_))).await;
        assert_eq!(supervisor.gets_on(), !critical, "what a service manager is told");
        if critical {
            let why = tokio::time::timeout(Duration::from_secs(30), supervisor.give_up()).await.expect("it gives up");
            assert!(why.starts_with("a thread that hangs has got no further for"), "{why}");
        } else {
            assert!(tokio::time::timeout(RULES.stall * 4, supervisor.give_up()).await.is_err());
        }
        assert!(!thread.has_ended());
        thread.may_end();
        drop(work);
        thread.join();
        assert_eq!(supervisor.list().len(), 1, "only who watches is left");
    }
}

#[tokio::test]
async fn a_thread_on_which_too_much_hangs_lets_the_agent_begin_anew_and_its_failures_stay_known() {
    let supervisor = supervisor();
    let spec = Spec::new("the store of a test", Starts::Agent).critical();
    for fault in [Fault::Panic, Fault::Error, Fault::Return] {
        supervisor.inject("the store of a test", fault, 1);
        let thread = supervisor.thread(&spec, "store", |progress| drop(progress.work())).unwrap();
        let why = tokio::time::timeout(Duration::from_secs(30), supervisor.begin_anew()).await.expect("it begins anew");
        assert!(why.starts_with("the store of a test: "), "{why}");
        thread.join();
        supervisor.forget_parts();
        assert!(supervisor.list().is_empty());
    }
    supervisor.inject("the store of a test", Fault::Panic, 1);
    supervisor.thread(&spec, "store", |progress| drop(progress.work())).unwrap().join();
    let status = of(&supervisor, "the store of a test");
    assert_eq!((status.state, status.restarts), (State::Failed, 3));
    assert!(supervisor.error().borrow().is_some());
}

#[tokio::test]
async fn who_looks_for_stalls_is_looked_after_as_well() {
    let supervisor = supervisor();
    let watched = supervisor.clone();
    let _watching = supervisor.task(Spec::new("the watcher of a test", Starts::Itself).critical(), move |progress| {
        let watched = watched.clone();
        async move {
            watched.watch(&progress).await;
            Ok(())
        }
    });
    supervisor.inject("the watcher of a test", Fault::Panic, 1);
    until("it was started again", || of(&supervisor, "the watcher of a test").restarts == 1).await;
    let spec = Spec::new("hangs before its watcher", Starts::Owner);
    let part = supervisor.part(&spec, |progress| async move {
        let _working = progress.work();
        std::future::pending::<Result<(), String>>().await
    });
    until("the stalled one was cancelled", || part.has_ended()).await;
    assert!(of(&supervisor, "hangs before its watcher").cause.is_some_and(|cause| cause.contains("got no further")));
}

/// Everything that runs begins here.
#[test]
fn no_other_file_of_the_agent_starts_a_thread() {
    let mut open = vec![std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else if !path.ends_with("supervisor/part.rs")
                && !path.components().any(|part| part.as_os_str().to_string_lossy().starts_with("tests"))
            {
                let text = String::from_utf8_lossy(&std::fs::read(&path).unwrap()).into_owned();
                assert!(!text.contains("thread::Builder::new"), "{} starts a thread past the supervisor", path.display());
            }
        }
    }
}

#[tokio::test]
async fn what_panics_before_it_begins_is_as_one_that_panics_later() {
    let supervisor = supervisor();
    let lives = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&lives);
    let _task = supervisor.task(Spec::new("a task", Starts::Itself), move |_| {
        assert!(counted.fetch_add(1, Ordering::AcqRel) > 0, "the first one has no luck");
        std::future::pending()
    });
    until("it runs", || lives.load(Ordering::Acquire) == 2).await;
    assert_eq!((of(&supervisor, "a task").restarts, of(&supervisor, "a task").state), (1, State::Running));
    let part: Part = supervisor.part(&Spec::new("a part", Starts::Owner), |_| {
        assert!(std::thread::panicking(), "nor has this one");
        std::future::pending()
    });
    until("it has ended", || part.has_ended()).await;
    let cause = of(&supervisor, "a part").cause.unwrap();
    assert!(cause.contains("nor has this one"), "{cause}");
}

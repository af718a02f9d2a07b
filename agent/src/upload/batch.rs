//! Several operations at the same time, none of which holds up another.
//!
//! Each has a limit of its own inside the batch's deadline. There is one result for each, in their order, also if some took too long or
//! ended with a panic. The batch ends by its deadline and 100 ms at the latest, and leaves no task: what has not ended is dropped, which
//! closes its connections. Dropping the batch does the same.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::Instant;

/// Operations that run at the same time; more wait for their turn, inside of the same deadline.
const AT_ONCE: usize = 32;
/// How long what was cancelled is waited for.
const GRACE: Duration = Duration::from_millis(80);

/// Something to be done within a time.
pub struct Operation<T> {
    limit: Duration,
    work: Pin<Box<dyn Future<Output = T> + Send>>,
}

impl<T> Operation<T> {
    /// Work that may take so long, counted from when it begins.
    pub fn new(limit: Duration, work: impl Future<Output = T> + Send + 'static) -> Self {
        Self { limit, work: Box::pin(work) }
    }
}

/// What came of an operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended<T> {
    /// It ended by itself.
    Done(T),
    /// Its own time was over after so long, or the batch's was, perhaps before it began.
    TimedOut(Duration),
    /// It ended with a panic, and what that said.
    Panicked(String),
}

/// Runs all, and gives what came of each, in their order.
pub async fn run<T: Send + 'static>(operations: Vec<Operation<T>>, deadline: Duration) -> Vec<Ended<T>> {
    let (began, until) = (Instant::now(), Instant::now() + deadline);
    let mut results: Vec<Option<Ended<T>>> = operations.iter().map(|_| None).collect();
    let mut waiting = operations.into_iter().enumerate();
    let mut running = JoinSet::new();
    let mut numbers: Vec<(Id, usize)> = Vec::with_capacity(AT_ONCE);
    loop {
        while running.len() < AT_ONCE
            && let Some((number, Operation { limit, work })) = waiting.next()
        {
            let handle = running.spawn(async move {
                let done = tokio::time::timeout_at(until.min(Instant::now() + limit), work).await;
                done.map_or(Ended::TimedOut(limit), Ended::Done)
            });
            numbers.push((handle.id(), number));
        }
        match tokio::time::timeout_at(until, running.join_next_with_id()).await {
            Ok(Some(ended)) => settle(ended, &mut numbers, &mut results),
            Ok(None) => break,
            Err(_) => {
                running.abort_all();
                let ending = async {
                    while let Some(ended) = running.join_next_with_id().await {
                        settle(ended, &mut numbers, &mut results);
                    }
                };
                // What blocks its thread in spite of all is let go of with the set.
                let _stragglers = tokio::time::timeout(GRACE, ending).await;
                break;
            }
        }
    }
    let late = || Ended::TimedOut(began.elapsed());
    results.into_iter().map(|result| result.unwrap_or_else(late)).collect()
}

fn settle<T>(ended: Result<(Id, Ended<T>), JoinError>, numbers: &mut Vec<(Id, usize)>, results: &mut [Option<Ended<T>>]) {
    let (id, result) = match ended {
        Ok((id, result)) => (id, Some(result)),
        Err(error) => {
            let id = error.id();
            (id, error.try_into_panic().ok().map(|panic| Ended::Panicked(said(&*panic))))
        }
    };
    let Some(at) = numbers.iter().position(|(known, _)| *known == id) else { return };
    let (_, number) = numbers.swap_remove(at);
    // One that was cancelled has no result but that its time was over.
    if let Some(place) = results.get_mut(number) {
        *place = result;
    }
}

fn said(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("it said nothing").to_owned()
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::{TcpListener, TcpStream};
    use tokio::sync::oneshot;

    use super::*;

    const LONG: Duration = Duration::from_secs(60);
    /// What a busy machine may add to a time.
    const BUSY: Duration = Duration::from_secs(2);

    /// A server that takes one question, and answers it or never does.
    struct Server {
        address: SocketAddr,
        /// Told when the question is there.
        asked: Option<oneshot::Receiver<()>>,
        /// True once the client has closed its connection.
        closed: oneshot::Receiver<bool>,
        _task: JoinSet<()>,
    }

    impl Server {
        async fn start(answers: bool) -> Self {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            let ((tell_asked, asked), (tell_closed, closed)) = (oneshot::channel(), oneshot::channel());
            let mut task = JoinSet::new();
            task.spawn(async move {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut byte = [0];
                stream.read_exact(&mut byte).await.unwrap();
                let _not_waited_for = tell_asked.send(());
                if answers {
                    stream.write_all(&byte).await.unwrap();
                }
                let _not_waited_for = tell_closed.send(matches!(stream.read(&mut byte).await, Ok(0)));
            });
            Self { address, asked: Some(asked), closed, _task: task }
        }

        fn question(&self, number: u8) -> impl Future<Output = u8> + Send + use<> {
            let address = self.address;
            async move {
                let mut stream = TcpStream::connect(address).await.unwrap();
                stream.write_all(&[number]).await.unwrap();
                stream.read_u8().await.unwrap()
            }
        }

        async fn saw_it_closed(self) -> bool {
            tokio::time::timeout(LONG, self.closed).await.unwrap().unwrap()
        }
    }

    fn tasks() -> usize {
        tokio::runtime::Handle::current().metrics().num_alive_tasks()
    }

    #[tokio::test]
    async fn one_that_hangs_is_told_and_the_others_succeed_in_time() {
        let servers = [Server::start(true).await, Server::start(false).await, Server::start(true).await];
        let before = tasks();
        let (began, deadline) = (Instant::now(), Duration::from_millis(400));
        let operations = servers.iter().zip(1..).map(|(server, number)| Operation::new(LONG, server.question(number))).collect();
        let results = run(operations, deadline).await;
        let took = began.elapsed();
        assert!(matches!(results[..], [Ended::Done(1), Ended::TimedOut(_), Ended::Done(3)]), "{results:?}");
        assert!(took >= deadline && took < deadline + BUSY, "{took:?}");
        for server in servers {
            assert!(server.saw_it_closed().await);
        }
        // The servers' own tasks have ended by now as well.
        assert!(tasks() <= before - 3, "{} tasks live, {before} before", tasks());
    }

    #[tokio::test]
    async fn each_has_its_own_limit_and_a_panic_is_one_result_among_others() {
        let limit = Duration::from_millis(50);
        let operations = vec![
            Operation::new(limit, std::future::pending()),
            Operation::new(LONG, async { panic!("no {}", "luck") }),
            Operation::new(LONG, async { 7 }),
        ];
        let results = run(operations, LONG).await;
        assert_eq!(results, [Ended::TimedOut(limit), Ended::Panicked("no luck".to_owned()), Ended::Done(7)]);
        assert_eq!(run(Vec::<Operation<()>>::new(), LONG).await, []);
    }

    #[tokio::test]
    async fn cancelling_the_batch_closes_every_connection() {
        let mut servers = [Server::start(false).await, Server::start(false).await];
        let asked = servers.each_mut().map(|server| server.asked.take().unwrap());
        let operations = servers.iter().map(|server| Operation::new(LONG, server.question(1))).collect();
        let batch = run(operations, LONG);
        let all_asked = async {
            for asked in asked {
                asked.await.unwrap();
            }
        };
        tokio::select! {
            results = batch => panic!("{results:?}"),
            () = all_asked => {}
        }
        for server in servers {
            assert!(server.saw_it_closed().await);
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn one_that_blocks_its_thread_does_not_hold_up_the_batch() {
        let (release, released) = std::sync::mpsc::sync_channel::<()>(1);
        let deadline = Duration::from_millis(100);
        let blocks = async move {
            let _released = released.recv();
        };
        let results = run(vec![Operation::new(LONG, blocks), Operation::new(LONG, async {})], deadline).await;
        assert!(matches!(results[..], [Ended::TimedOut(_), Ended::Done(())]), "{results:?}");
        release.send(()).unwrap();
    }

    #[tokio::test]
    async fn many_take_turns_and_all_come_to_an_end() {
        let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let operation = |number: usize| {
            let (now, most) = (Arc::clone(&now), Arc::clone(&most));
            Operation::new(LONG, async move {
                most.fetch_max(now.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
                tokio::task::yield_now().await;
                now.fetch_sub(1, Ordering::Relaxed);
                number
            })
        };
        let results = run((0..200).map(operation).collect(), LONG).await;
        assert_eq!(results, (0..200).map(Ended::Done).collect::<Vec<_>>());
        assert_eq!(most.load(Ordering::Relaxed), AT_ONCE);
    }
}

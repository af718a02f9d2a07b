//! The controller's loop.

use std::future::pending;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval, sleep_until};
use waybill_ipc::client::Deadlines;
use waybill_ipc::protocol::{AutostartStatus, ClientKind, Reply, Request, Update};
use waybill_ipc::{Client, ClientError, Endpoint};
use waybill_shared::error::{Code, ErrorReport};
use waybill_shared::paths::Instance;

use super::pace::Pace;
use super::{Screen, backoff};
use crate::command::Command;
use crate::launch::{Exited, Launcher};
use crate::model::Model;

/// An agent on the same machine answers in milliseconds; one that takes this long hangs.
const DEADLINES: Deadlines = Deadlines {
    connect: Duration::from_secs(10),
    request: Duration::from_secs(65),
    write: Duration::from_secs(10),
    ping: Duration::from_secs(5),
};

/// How long a started agent may take to answer.
const START: Duration = Duration::from_secs(10);

/// Longest pause between two tries while an agent starts.
const START_PAUSE: Duration = Duration::from_millis(500);

/// Everything that can happen.
enum Happening {
    /// A person asked for something.
    Asked(Command),
    /// A try to connect ended.
    Tried(Result<Conversation, ClientError>),
    /// The agent answered a command about autostart.
    Autostart(Command, Result<AutostartStatus, ErrorReport>),
    /// The agent has news.
    News(Update),
    /// The agent says nothing more.
    Ended,
    /// It is time to try again.
    RetryDue,
    /// The agent that was started has ended, with this exit code.
    AgentExited(Option<i32>),
    /// The agent that was started has not answered in time.
    AgentOverdue,
    /// A second has passed.
    Second,
    /// It is time to show what changed.
    ShowDue,
    /// The window has closed.
    Closed,
}

/// A connection with its news.
struct Conversation {
    client: Arc<Client>,
    updates: mpsc::Receiver<Update>,
}

/// An agent that was started and has not answered yet.
struct Starting {
    exited: Option<Exited>,
    deadline: Instant,
}

/// Runs until the window drops its end of `commands`.
pub(super) async fn until_closed<L: Launcher, S: Screen>(
    instance: Instance,
    launcher: L,
    screen: S,
    commands: mpsc::Receiver<Command>,
) {
    let mut seconds = interval(Duration::from_secs(1));
    seconds.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let run = Run {
        instance,
        launcher,
        screen,
        commands,
        model: Model::new(now_ms()),
        pace: Pace::default(),
        opened: Instant::now(),
        seconds,
        tries: JoinSet::new(),
        questions: JoinSet::new(),
        failures: 0,
        retry_at: None,
        conversation: None,
        starting: None,
    };
    run.until_closed().await;
}

/// The loop's state.
struct Run<L, S> {
    instance: Instance,
    launcher: L,
    screen: S,
    commands: mpsc::Receiver<Command>,
    model: Model,
    pace: Pace,
    opened: Instant,
    seconds: Interval,
    // At most one try at a time; dropped with the loop.
    tries: JoinSet<Result<Conversation, ClientError>>,
    // Of this conversation; a few at a time, each with the deadline of a request. They end with it.
    questions: JoinSet<(Command, Result<AutostartStatus, ErrorReport>)>,
    failures: u32,
    retry_at: Option<Instant>,
    conversation: Option<Conversation>,
    starting: Option<Starting>,
}

impl<L: Launcher, S: Screen> Run<L, S> {
    async fn until_closed(mut self) {
        self.try_now();
        self.pace.changed(Instant::now());
        loop {
            let changed = match self.next().await {
                Happening::Asked(command) => self.asked(&command),
                Happening::Tried(Ok(conversation)) => self.connected(conversation),
                Happening::Tried(Err(error)) => self.disconnected(&error),
                Happening::Autostart(command, told) => self.autostart_told(&command, told),
                Happening::News(update) => self.news(update),
                Happening::Ended => self.disconnected(&ClientError::Broken(crate::text::AGENT_CLOSED.to_owned())),
                Happening::RetryDue => self.try_now(),
                Happening::AgentExited(code) => self.agent_exited(code),
                Happening::AgentOverdue => self.agent_overdue(),
                Happening::Second => self.second(),
                Happening::ShowDue => self.show(),
                Happening::Closed => return,
            };
            if changed {
                self.pace.changed(Instant::now());
            }
        }
    }

    /// Waits for the next thing that happens. Nothing is lost when one of the others was faster.
    async fn next(&mut self) -> Happening {
        let overdue = self.starting.as_ref().map(|starting| starting.deadline);
        tokio::select! {
            command = self.commands.recv() => command.map_or(Happening::Closed, Happening::Asked),
            Some(tried) = self.tries.join_next() => Happening::Tried(outcome(tried)),
            Some(told) = self.questions.join_next() => match told {
                Ok((command, told)) => Happening::Autostart(command, told),
                // Only a fault of ours ends one without an answer.
                Err(error) => Happening::Autostart(Command::LookAtAutostart, Err(ErrorReport::new(Code::Internal, error.to_string()))),
            },
            news = next_update(self.conversation.as_mut()) => news.map_or(Happening::Ended, Happening::News),
            () = at(self.retry_at) => Happening::RetryDue,
            code = exit(self.starting.as_mut()) => Happening::AgentExited(code),
            () = at(overdue) => Happening::AgentOverdue,
            _ = self.seconds.tick() => Happening::Second,
            () = at(self.pace.due()) => Happening::ShowDue,
        }
    }

    fn asked(&mut self, command: &Command) -> bool {
        match command {
            Command::StartAgent => self.start_agent(),
            Command::Reconnect => self.reconnect(),
            Command::DismissNotice(id) => self.model.dismissed(*id),
            Command::SetAutostart(enable) => self.ask_about_autostart(command, Some(*enable)),
            Command::LookAtAutostart => self.ask_about_autostart(command, None),
        }
    }

    /// Asks the agent, unless it is being asked the same.
    fn ask_about_autostart(&mut self, command: &Command, enable: Option<bool>) -> bool {
        if self.model.is_pending(command) {
            return false;
        }
        let Some(conversation) = &self.conversation else {
            let error = ErrorReport::new(Code::AgentNotRunning, crate::text::AUTOSTART_NO_AGENT)
                .with_fix(crate::text::AUTOSTART_NO_AGENT_FIX);
            return self.model.autostart_told(command, Err(error));
        };
        let (client, command) = (Arc::clone(&conversation.client), command.clone());
        self.model.begun(&command, now_ms());
        self.questions.spawn(async move {
            let told = match client.request(Request::Autostart { enable }).await {
                Ok(Reply::Autostart(status)) => Ok(status),
                Ok(_) => Err(ErrorReport::new(Code::PeerBroken, crate::text::UNEXPECTED_ANSWER)),
                Err(error) => Err(error.report()),
            };
            (command, told)
        });
        true
    }

    fn start_agent(&mut self) -> bool {
        if self.conversation.is_some() || self.starting.is_some() {
            return false;
        }
        self.model.begun(&Command::StartAgent, now_ms());
        match self.launcher.launch() {
            Ok(exited) => {
                self.starting = Some(Starting { exited: Some(exited), deadline: Instant::now() + START });
                self.failures = 0;
                self.try_now();
            }
            Err(error) => self.model.failed(&Command::StartAgent, error, now_ms()),
        }
        true
    }

    fn reconnect(&mut self) -> bool {
        if self.conversation.is_some() {
            return false;
        }
        self.failures = 0;
        self.try_now();
        self.model.connecting(now_ms())
    }

    fn connected(&mut self, conversation: Conversation) -> bool {
        let changed = self.model.connected(conversation.client.agent(), now_ms());
        self.conversation = Some(conversation);
        self.starting = None;
        let started = self.model.done(&Command::StartAgent);
        let asked = self.ask_about_autostart(&Command::LookAtAutostart, None);
        changed || started || asked
    }

    fn disconnected(&mut self, error: &ClientError) -> bool {
        self.conversation = None;
        self.forget_questions();
        self.failures = self.failures.saturating_add(1);
        let longest = if self.starting.is_some() { START_PAUSE } else { Duration::MAX };
        self.retry_at = Some(Instant::now() + backoff::pause(self.failures).min(longest));
        self.model.disconnected(error, now_ms())
    }

    fn autostart_told(&mut self, command: &Command, told: Result<AutostartStatus, ErrorReport>) -> bool {
        match (command, told) {
            // Asked on our own account: who may not see it is not told that there would be something.
            (Command::LookAtAutostart, Err(error)) if error.code == Code::RoleMissing => self.model.done(command),
            (command, told) => self.model.autostart_told(command, told),
        }
    }

    /// What was asked gets no answer any more: nothing stays pending, and a wish is told as failed.
    fn forget_questions(&mut self) {
        self.questions = JoinSet::new();
        let open = |command: &Command| matches!(command, Command::SetAutostart(_) | Command::LookAtAutostart);
        let open: Vec<Command> =
            self.model.pending.iter().map(|pending| pending.command.clone()).filter(|command| open(command)).collect();
        for command in open {
            let error = ErrorReport::new(Code::PeerBroken, crate::text::AUTOSTART_CUT_OFF);
            match command {
                Command::SetAutostart(_) => self.model.autostart_told(&command, Err(error)),
                _ => self.model.done(&command),
            };
        }
    }

    fn news(&mut self, update: Update) -> bool {
        // An agent that greets and has nothing to say is no reason to try faster.
        self.failures = 0;
        self.model.updated(update)
    }

    /// Starts a try, unless one is under way or not needed. Nothing that is shown changes by that.
    fn try_now(&mut self) -> bool {
        self.retry_at = None;
        if self.tries.is_empty() && self.conversation.is_none() {
            // Worked out anew each time: the name depends on the real path of a folder that the agent may just have made.
            self.tries.spawn(converse(Endpoint::of(&self.instance)));
        }
        false
    }

    fn agent_exited(&mut self, code: Option<i32>) -> bool {
        if self.starting.take().is_none() {
            return false;
        }
        let error = self.launcher.ended(code);
        self.model.failed(&Command::StartAgent, error, now_ms());
        true
    }

    fn agent_overdue(&mut self) -> bool {
        if self.starting.take().is_none() {
            return false;
        }
        let error = self.launcher.silent(START);
        self.model.failed(&Command::StartAgent, error, now_ms());
        true
    }

    fn second(&mut self) -> bool {
        self.model.second(self.opened.elapsed().as_secs())
    }

    fn show(&mut self) -> bool {
        self.pace.shown(Instant::now());
        self.screen.show(Arc::new(self.model.clone()));
        false
    }
}

async fn converse(endpoint: Endpoint) -> Result<Conversation, ClientError> {
    let mut client = Client::connect(&endpoint, ClientKind::Window, DEADLINES).await?;
    let updates = client.subscribe().await?;
    Ok(Conversation { client: Arc::new(client), updates })
}

fn outcome(tried: Result<Result<Conversation, ClientError>, JoinError>) -> Result<Conversation, ClientError> {
    tried.unwrap_or_else(|error| Err(ClientError::Broken(error.to_string())))
}

async fn next_update(conversation: Option<&mut Conversation>) -> Option<Update> {
    match conversation {
        Some(conversation) => conversation.updates.recv().await,
        None => pending().await,
    }
}

async fn exit(starting: Option<&mut Starting>) -> Option<i32> {
    let Some(starting) = starting else { return pending().await };
    let Some(exited) = &mut starting.exited else { return pending().await };
    match exited.await {
        Ok(code) => code,
        // Nobody watches the process: the deadline decides.
        Err(_) => {
            starting.exited = None;
            pending().await
        }
    }
}

async fn at(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => pending().await,
    }
}

/// Milliseconds since 1970 UTC, as the protocol counts.
fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;
    use waybill_shared::error::{Code, ErrorReport};
    use waybill_shared::paths::InstanceOptions;

    /// Starts something that runs and never answers.
    struct Silent(Option<tokio::sync::oneshot::Sender<Option<i32>>>);

    impl Launcher for Silent {
        fn launch(&mut self) -> Result<Exited, ErrorReport> {
            let (exit, exited) = tokio::sync::oneshot::channel();
            self.0 = Some(exit);
            Ok(exited)
        }
        fn ended(&self, code: Option<i32>) -> ErrorReport {
            panic!("it has not ended: {code:?}")
        }
        fn silent(&self, waited: Duration) -> ErrorReport {
            ErrorReport::new(Code::PeerTimeout, format!("{} s", waited.as_secs()))
        }
    }

    /// Hands on what is shown.
    struct Last(mpsc::Sender<Arc<Model>>, Arc<Mutex<u32>>);

    impl Screen for Last {
        fn show(&mut self, model: Arc<Model>) {
            *self.1.lock().unwrap() += 1;
            self.0.try_send(model).unwrap();
        }
    }

    // Time is the runtime's own and jumps whenever nothing else is to be done.
    #[tokio::test(start_paused = true)]
    async fn an_agent_that_never_answers_is_told_after_ten_seconds() {
        let folder = tempfile::tempdir().unwrap();
        let options = InstanceOptions { data_dir: Some(folder.path().to_owned()), ..InstanceOptions::default() };
        let instance = Instance::locate(&options).unwrap();
        let (commands, taken) = mpsc::channel(4);
        let (shown_in, mut shown) = mpsc::channel(64);
        let times = Arc::new(Mutex::new(0));
        let screen = Last(shown_in, Arc::clone(&times));
        let running = until_closed(instance, Silent(None), screen, taken);
        let started = Instant::now();
        let watching = async {
            commands.send(Command::StartAgent).await.unwrap();
            let mut pending = false;
            while let Some(model) = shown.recv().await {
                pending |= model.is_pending(&Command::StartAgent);
                if let Some(notice) = model.notices.front() {
                    assert!(pending, "a person saw that it was being started");
                    assert_eq!((notice.error.code, notice.error.message.as_str()), (Code::PeerTimeout, "10 s"));
                    assert!(!model.is_pending(&Command::StartAgent));
                    break;
                }
            }
            assert_eq!(started.elapsed().as_secs(), 10);
            // An hour in which nobody answers and nothing changes.
            let before = *times.lock().unwrap();
            tokio::time::sleep(Duration::from_secs(3600)).await;
            assert_eq!(*times.lock().unwrap(), before, "nothing is shown while nothing changes");
            drop(commands);
        };
        tokio::join!(running, watching);
    }
}

//! What the watchdog tells, and whom: the terminal, its log, `watchdog.json`, the service manager.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use waybill_shared::error::{Code, ErrorReport, Exit};
use waybill_shared::fs::free_space;
use waybill_shared::text;

use super::machine::{Limits, Phase, Verdict};
use super::record::{self, Record, Sample, State};
use super::{LOOK, MORE, READ, SAMPLES, WRITE, Watching};

impl Watching<'_> {
    /// Tells the terminal, but nothing twice in a row.
    pub(super) fn tell(&mut self, text: &str) {
        if self.told != text {
            (self.options.tell)(text);
            text.clone_into(&mut self.told);
        }
    }

    /// It cannot use its disk or its store. That is told, and waited for.
    pub(super) async fn has_no_store(&mut self, why: &str) {
        let (since, tries) = self.no_store.map_or((Timestamp::now(), 1), |(since, tries)| (since, tries.saturating_add(1)));
        self.no_store = Some((since, tries));
        let data = self.instance.data.clone();
        let room = match tokio::time::timeout(READ, self.desk.run(move || free_space(&data))).await {
            Ok(Ok(Ok((free, all)))) => format!("{} MiB of {} MiB are free there", free >> 20, all >> 20),
            Ok(Ok(Err(error))) => format!("how much room it has cannot be read: {error}"),
            Ok(Err(_)) | Err(_) => "it does not say how much room it has, so it may hang".to_owned(),
        };
        let reason = format!(
            "{why}: it cannot use its disk, or what it keeps in {}; {room}. It is tried again, at least every {} s, for as long as it takes",
            text::path(&self.instance.data),
            self.options.limits.longest_pause.as_secs()
        );
        tracing::error!(event = "agent_without_store", how = why, room, %since, tries, "it is tried again until its disk and its store can be used");
        self.tell(&reason);
        self.manager.status("waits for a disk and a store that the agent can use");
        self.story = format!("{reason} (since {since:.0}, {tries} {} in vain)", if tries == 1 { "start" } else { "starts" });
    }

    pub(super) fn done(&self, verdict: Verdict) -> Result<Exit, ErrorReport> {
        let story = &self.story;
        let outcome = match verdict {
            Verdict::Stopped => Ok(Exit::Ok),
            Verdict::Forced => Err(ErrorReport::new(
                Code::StopForced,
                format!("the agent was told to stop, and not all of it ended in time: {story}"),
            )),
            Verdict::NotRestarted(code) => {
                let told = if code == i32::from(Exit::Usage as u8) { Code::RequestInvalid } else { Code::ConfigInvalid };
                let message = format!("{story}: it would end so again, and is not started again");
                Err(ErrorReport::new(told, message).with_fix("Mend what the agent has said, then start the watchdog again"))
            }
            Verdict::TooOften => Err(ErrorReport::new(Code::WatchdogGaveUp, self.too_often())),
            Verdict::CannotEnd => Err(ErrorReport::new(
                Code::WatchdogGaveUp,
                format!("the agent hangs and cannot be ended, not even by force: {story}"),
            )
            .with_fix("Its disk or a driver hangs: have it looked at, and start this machine anew")),
        };
        match &outcome {
            Err(error) if error.code == Code::WatchdogGaveUp => {
                tracing::error!(event = "watchdog_gave_up", code = %error.code, reason = error.message, "nobody starts the agent any more");
            }
            Err(error) => {
                tracing::error!(event = "watchdog_ended", code = %error.code, reason = error.message, "the watchdog ends")
            }
            Ok(_) => tracing::info!(event = "watchdog_ended", reason = story, "the watchdog ends"),
        }
        outcome
    }

    /// Measures, writes down and tells what is due. Between two steps, so that it goes on whatever the agent does.
    pub(super) async fn look(&mut self) {
        if self.sampled.is_none_or(|at| at.elapsed() >= self.options.limits.interval)
            && let Some(usage) = self.agent.usage()
        {
            if self.samples.len() == SAMPLES {
                self.samples.pop_front();
            }
            self.samples.push_back(Sample { at_ms: Timestamp::now().as_millisecond(), usage });
            self.sampled = Some(Instant::now());
        }
        self.tell_the_manager();
        let phase = self.machine.phase();
        let (state, unanswered) = match phase {
            Phase::Waiting | Phase::WaitingForStore => (State::Waiting, 0),
            Phase::Starting => (State::Starting, 0),
            Phase::Running => (State::Running, 0),
            Phase::Silent(failures) => (State::Silent, failures),
            Phase::Ending => (State::Ending, self.options.limits.failures),
            Phase::Stopping => (State::Stopping, 0),
            Phase::Done(Verdict::Stopped | Verdict::Forced) => (State::Ended, 0),
            Phase::Done(_) => (State::GaveUp, 0),
        };
        let agent = self.agent.watched();
        let face = (state, unanswered, agent, self.restarts);
        let again = if self.unwritten { self.options.limits.interval } else { self.options.write_every };
        let due = self.written.is_none_or(|(at, said)| said != face || at.elapsed() >= again);
        if !due {
            return;
        }
        let now = Timestamp::now().as_millisecond();
        if self.record.state != state {
            self.record.since_ms = now;
        }
        let message = match phase {
            Phase::Done(Verdict::TooOften) => self.too_often(),
            Phase::Done(Verdict::NotRestarted(_)) => format!("{}: it would end so again", self.story),
            Phase::Done(Verdict::CannotEnd) => format!("the agent cannot be ended, not even by force: {}", self.story),
            _ => self.story.clone(),
        };
        let record = Record {
            state,
            message,
            written_at_ms: now,
            agent,
            unanswered,
            samples: self.samples.iter().copied().collect(),
            ..self.record.clone()
        };
        self.record = record.clone();
        self.written = Some((Instant::now(), face));
        let path = self.instance.watchdog_record();
        let written = tokio::time::timeout(WRITE, self.desk.run(move || record::write(&path, &record))).await;
        let trouble = match written {
            Ok(Ok(Ok(()))) => return self.unwritten = false,
            Ok(Ok(Err(error))) => error.to_string(),
            Ok(Err(error)) => error.message,
            Err(_) => format!("it takes longer than {} s", WRITE.as_secs()),
        };
        if std::mem::replace(&mut self.unwritten, true) {
            return;
        }
        tracing::warn!(event = "watchdog_record_not_written", reason = trouble, "what the watchdog knows is not in its file");
    }

    /// Under a service manager, the watchdog is the process that is looked after.
    fn tell_the_manager(&mut self) {
        let due = |last: Instant, every: Duration| last.elapsed() >= every.saturating_sub(LOOK);
        // A service whose disk is full has not started yet, and is not to be ended for that.
        let takes_long =
            matches!(self.machine.phase(), Phase::Starting | Phase::Waiting | Phase::WaitingForStore | Phase::Stopping);
        if !takes_long {
            self.manager_asked = Instant::now();
        } else if due(self.manager_asked, MORE.1) {
            self.manager_asked = Instant::now();
            self.manager.extend(MORE.0);
        }
        if self.manager.sign_of_life_every().is_some_and(|every| due(self.manager_told, every)) {
            self.manager_told = Instant::now();
            self.manager.sign_of_life();
        }
    }

    fn too_often(&self) -> String {
        let Limits { restarts, window, .. } = self.options.limits;
        let since = Timestamp::now().as_millisecond() - i64::try_from(window.as_millis()).unwrap_or(i64::MAX);
        let (story, secs) = (&self.story, window.as_secs());
        match self.record.restarts.iter().filter(|restart| restart.at_ms >= since).count() {
            real if real >= restarts => {
                format!("the agent was started again {restarts} times within {secs} s, and ended once more: {story}")
            }
            real => format!(
                "the agent ended, or could not be started, {} times within {secs} s; it was started again {real} times: {story}",
                restarts + 1
            ),
        }
    }
}

//! What everybody sees of a destination: how it is, and how many reports are on their way.

use std::time::Instant;

use waybill_ipc::protocol::{Connection, Event};
use waybill_shared::error::{Code, ErrorReport};

use super::{Dispatcher, TELL_EVERY, to_ms};
use crate::upload::breaker::Allowed;

impl Dispatcher {
    /// As long as no report goes there, the heartbeat says how it is.
    pub(super) fn heard(&mut self, answer: Result<(), ErrorReport>) {
        let quiet = self.sending.is_empty() && self.paused.is_none() && !self.breaker.is_open() && self.breaker.failures() == 0;
        match answer {
            _ if self.held || !quiet => {}
            Ok(()) => self.show(Connection::Online, None, None),
            Err(error) => self.show(Connection::Degraded, Some(&error), None),
        }
    }

    /// What is known from before this start.
    pub(super) fn show_how_it_begins(&mut self) {
        let now = Instant::now();
        if self.held {
            self.show(Connection::Held, None, None);
        } else if let Allowed::NothingUntil(until) = self.breaker.allowed(now) {
            let message = "it could not be reached before the agent was started anew";
            let error = ErrorReport::new(Code::DestinationUnreachable, message);
            self.show(Connection::BreakerOpen, Some(&error), Some(until));
        }
    }

    pub(super) fn tell_how_many(&mut self) {
        let count = u32::try_from(self.sending.len()).unwrap_or(u32::MAX);
        let now = Instant::now();
        let (told, at) = self.told;
        if count != told && (count == 0 || now.duration_since(at) >= TELL_EVERY) {
            self.told = (count, now);
            (self.setup.publish)(Event::Sending { destination: self.setup.name.clone(), count });
        }
    }

    pub(super) fn show(&mut self, state: Connection, error: Option<&ErrorReport>, next_try: Option<Instant>) {
        let message = error.map(|error| error.message.clone());
        // Answers to what was on its way when a person began to hold it.
        if self.held && state != Connection::Held || self.state == (state, message.clone()) && next_try.is_none() {
            return;
        }
        if self.state.0 != state {
            let (destination, reason, code) = (&self.setup.name, &message, error.map(|error| error.code.as_str()));
            if matches!(state, Connection::BreakerOpen | Connection::Paused) {
                tracing::warn!(
                    event = "destination_state",
                    destination,
                    ?state,
                    reason,
                    code,
                    "nothing gets there; everything waits"
                );
            } else {
                tracing::info!(event = "destination_state", destination, ?state, reason, code, "the way there changed");
            }
        }
        self.state = (state, message);
        (self.setup.publish)(Event::Destination {
            destination: self.setup.name.clone(),
            state,
            error: error.cloned(),
            next_try_ms: next_try.map(to_ms),
        });
    }
}

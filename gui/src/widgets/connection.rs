//! How the connection to the agent does, and what can be done about it.

use eframe::egui::{Align, Button, Label, Layout, Ui};
use waybill_ipc::protocol::AgentState;
use waybill_shared::error::ErrorReport;

use super::button::primary_button;
use super::card::{card, region};
use super::chip::chip;
use super::empty::empty_state;
use super::error_panel::error_panel;
use crate::command::Command;
use crate::model::{Link, Model};
use crate::text;
use crate::theme::{TextKind, Tone, size};

/// What is wrong with the connection, in words.
struct Trouble<'a> {
    title: &'static str,
    explanation: Option<&'static str>,
    error: Option<&'a ErrorReport>,
    tone: Tone,
    can_start: bool,
}

/// The state of the connection in one word.
pub fn connection_chip(ui: &mut Ui, model: &Model) {
    let (tone, word) = match &model.link {
        Link::Connecting => (Tone::Neutral, text::LINK_CONNECTING),
        Link::Connected { .. } => match model.snapshot().map(|snapshot| snapshot.agent.state) {
            Some(state @ AgentState::Running) => (Tone::Good, text::agent_state(state)),
            Some(state) => (Tone::Busy, text::agent_state(state)),
            None => (Tone::Busy, text::LINK_CONNECTING),
        },
        Link::Absent => (Tone::Warning, text::LINK_ABSENT),
        Link::Refused(_) => (Tone::Bad, text::LINK_REFUSED),
        Link::Lost(_) => (Tone::Warning, text::LINK_LOST),
    };
    chip(ui, tone, word).on_hover_text(text::since(model.link_since_ms));
}

/// Above last known values: what is wrong, since when they are stale, what can be done. Nothing while all is well.
pub fn connection_banner(ui: &mut Ui, model: &Model) -> Option<Command> {
    let trouble = trouble(model)?;
    region(ui, trouble.title, |ui| {
        card(ui, |ui| {
            let command = ui
                .horizontal(|ui| {
                    ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                        let command = actions(ui, model, &trouble);
                        ui.with_layout(Layout::top_down(Align::LEFT), |ui| {
                            ui.spacing_mut().item_spacing.y = size::GAP_HAIR;
                            explain(ui, model, &trouble);
                        });
                        command
                    })
                    .inner
                })
                .inner;
            if let Some(error) = trouble.error {
                ui.add_space(size::GAP_TINY);
                error_panel(ui, trouble.tone, error, |_| {});
            }
            command
        })
    })
}

/// In place of values, if there never were any.
pub fn connection_page(ui: &mut Ui, model: &Model) -> Option<Command> {
    let trouble = trouble(model)?;
    ui.add_space(size::PAGE_TOP);
    let command = region(ui, trouble.title, |ui| {
        empty_state(ui, trouble.title, trouble.explanation.unwrap_or_default(), |ui| {
            ui.add_space(size::GAP_SMALL);
            actions(ui, model, &trouble)
        })
    });
    if let Some(error) = trouble.error {
        ui.vertical_centered(|ui| {
            ui.set_max_width(ui.available_width().min(size::PANEL_MAX));
            error_panel(ui, trouble.tone, error, |_| {});
        });
    }
    command
}

fn trouble(model: &Model) -> Option<Trouble<'_>> {
    let trouble = match &model.link {
        Link::Connected { .. } if model.snapshot().is_some() => return None,
        Link::Connected { .. } | Link::Connecting => {
            Trouble { title: text::CONNECTING_TITLE, explanation: None, error: None, tone: Tone::Neutral, can_start: false }
        }
        Link::Absent => Trouble {
            title: text::ABSENT_TITLE,
            explanation: Some(text::ABSENT_EXPLAINED),
            error: None,
            tone: Tone::Warning,
            can_start: true,
        },
        Link::Refused(error) => {
            Trouble { title: text::REFUSED_TITLE, explanation: None, error: Some(error), tone: Tone::Bad, can_start: false }
        }
        Link::Lost(error) => {
            Trouble { title: text::LOST_TITLE, explanation: None, error: Some(error), tone: Tone::Warning, can_start: false }
        }
    };
    Some(trouble)
}

fn explain(ui: &mut Ui, model: &Model, trouble: &Trouble<'_>) {
    ui.add(Label::new(TextKind::Name.text(ui, trouble.title)).wrap());
    if let Some(since) = model.stale_since_ms() {
        ui.add(Label::new(TextKind::Body.text(ui, text::stale(since))).wrap());
    }
    if let Some(explanation) = trouble.explanation {
        ui.add(Label::new(TextKind::Caption.text(ui, explanation)).wrap());
    }
}

fn actions(ui: &mut Ui, model: &Model, trouble: &Trouble<'_>) -> Option<Command> {
    let starting = model.is_pending(&Command::StartAgent);
    if starting {
        primary_button(ui, text::STARTING_AGENT, false);
    } else if trouble.can_start && primary_button(ui, text::START_AGENT, true).clicked() {
        return Some(Command::StartAgent);
    }
    let can_retry = !starting && model.link != Link::Connecting;
    if can_retry && ui.add(Button::new(text::TRY_AGAIN)).clicked() {
        return Some(Command::Reconnect);
    }
    None
}

//! Whether the agent starts by itself: a switch, how it really is in words, and what went wrong with the last wish.

use eframe::egui::{Checkbox, Label, Ui};
use waybill_ipc::protocol::{AutostartState, AutostartStatus};

use crate::command::Command;
use crate::model::{Link, Model};
use crate::text;
use crate::theme::{TextKind, Tone, size};
use crate::widgets::{card, error_panel, quiet_button, region};

/// Nothing while nothing is known.
pub(super) fn show(ui: &mut Ui, model: &Model) -> Option<Command> {
    let known = &model.autostart;
    if known.status.is_none() && known.error.is_none() {
        return None;
    }
    let mut asked = None;
    region(ui, text::AUTOSTART, |ui| {
        card(ui, |ui| {
            ui.spacing_mut().item_spacing.y = size::GAP_TINY;
            if let Some(status) = &known.status {
                asked = switch(ui, model, status);
                words(ui, status);
            }
            if let Some(error) = &known.error {
                error_panel(ui, Tone::Bad, error, |ui| {
                    if quiet_button(ui, text::AUTOSTART_LOOK).clicked() {
                        asked = Some(Command::LookAtAutostart);
                    }
                });
            }
        });
    });
    asked
}

/// The switch, where there is one to set: what belongs to the machine is the administrator's.
fn switch(ui: &mut Ui, model: &Model, status: &AutostartStatus) -> Option<Command> {
    if status.state == AutostartState::ByService {
        ui.label(TextKind::Name.text(ui, text::AUTOSTART));
        return None;
    }
    let is_on = status.state == AutostartState::Enabled;
    let wished = [true, false].into_iter().find(|on| model.is_pending(&Command::SetAutostart(*on)));
    let free = wished.is_none() && matches!(model.link, Link::Connected { .. });
    // While a wish is under way, the switch shows the wish.
    let mut on = wished.unwrap_or(is_on);
    let mut asked = None;
    ui.horizontal(|ui| {
        let clicked = ui.add_enabled(free, Checkbox::new(&mut on, TextKind::Body.text(ui, text::AUTOSTART_SWITCH))).clicked();
        if clicked {
            asked = Some(Command::SetAutostart(on));
        }
        if status.state == AutostartState::Moved && free && quiet_button(ui, text::AUTOSTART_RENEW).clicked() {
            asked = Some(Command::SetAutostart(true));
        }
    });
    asked
}

fn words(ui: &mut Ui, status: &AutostartStatus) {
    let mut line = |text: &str| {
        ui.add(Label::new(TextKind::Caption.text(ui, text)).wrap());
    };
    line(text::autostart(status.state));
    if let Some(starts) =
        status.starts.as_deref().filter(|_| matches!(status.state, AutostartState::Moved | AutostartState::Other))
    {
        line(&text::autostart_starts(starts));
    }
    for note in &status.notes {
        line(&waybill_shared::text::printable(note, 1000));
    }
}

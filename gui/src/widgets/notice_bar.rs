//! What became of something that a person asked for, until that person has seen it.

use eframe::egui::Ui;

use super::button::quiet_button;
use super::card::region;
use super::error_panel::error_panel;
use crate::command::Command;
use crate::model::Notice;
use crate::text;
use crate::theme::Tone;

/// The notices, the newest first; gives back which one was dismissed.
pub fn notice_bar<'a>(ui: &mut Ui, notices: impl DoubleEndedIterator<Item = &'a Notice>) -> Option<Command> {
    let mut dismissed = None;
    for notice in notices.rev() {
        region(ui, notice.error.message.clone(), |ui| {
            error_panel(ui, Tone::Bad, &notice.error, |ui| {
                if quiet_button(ui, text::DISMISS).clicked() {
                    dismissed = Some(Command::DismissNotice(notice.id));
                }
            });
        });
    }
    dismissed
}

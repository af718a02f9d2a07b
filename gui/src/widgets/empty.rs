//! What is shown where there is nothing to show.

use eframe::egui::{Align, Label, Layout, Ui};

use crate::theme::{TextKind, size};

/// Says what is missing, why, and what can be done about it.
pub fn empty_state<R>(ui: &mut Ui, title: &str, explanation: &str, actions: impl FnOnce(&mut Ui) -> R) -> R {
    ui.with_layout(Layout::top_down(Align::Center), |ui| {
        ui.add_space(size::GAP);
        ui.label(TextKind::Name.text(ui, title));
        ui.set_max_width(ui.available_width().min(size::READING_WIDTH));
        ui.add(Label::new(TextKind::Caption.text(ui, explanation)).wrap());
        let result = actions(ui);
        ui.add_space(size::GAP);
        result
    })
    .inner
}

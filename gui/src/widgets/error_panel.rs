//! An error as a person reads it: what happened, its code, what to do.

use eframe::egui::{Align, Frame, Label, Layout, Margin, Response, Ui};
use waybill_shared::error::ErrorReport;

use super::button::quiet_button;
use crate::text;
use crate::theme::{self, Shade, TextKind, Tone, size};

/// Faults that are listed; the copied text has all of them.
const LISTED: usize = 5;

/// The error on the colour of `tone`, with a button that copies it, and whatever else can be done about it.
pub fn error_panel(ui: &mut Ui, tone: Tone, error: &ErrorReport, actions: impl FnOnce(&mut Ui)) {
    panel(ui, tone, error, LISTED, actions);
}

/// The same with every fault that the error has.
pub fn whole_error_panel(ui: &mut Ui, tone: Tone, error: &ErrorReport) {
    panel(ui, tone, error, usize::MAX, |_| {});
}

fn panel(ui: &mut Ui, tone: Tone, error: &ErrorReport, listed: usize, actions: impl FnOnce(&mut Ui)) {
    let shade = theme::palette(ui).tone(tone);
    Frame::new()
        .fill(shade.fill)
        .corner_radius(size::CONTROL_RADIUS)
        .inner_margin(Margin::symmetric(size::PANEL_MARGIN, size::PANEL_MARGIN_Y))
        .show(ui, |ui| {
            ui.horizontal_top(|ui| {
                // The buttons first, from the right: the text gets what they leave.
                ui.with_layout(Layout::right_to_left(Align::TOP), |ui| {
                    actions(ui);
                    copy_button(ui, error);
                    ui.with_layout(Layout::top_down(Align::LEFT), |ui| words(ui, shade, error, listed));
                });
            });
        });
}

fn words(ui: &mut Ui, shade: Shade, error: &ErrorReport, listed: usize) {
    ui.spacing_mut().item_spacing.y = size::GAP_HAIR;
    ui.add(Label::new(TextKind::Body.text(ui, &error.message).color(shade.text)).wrap());
    for fault in error.details.iter().take(listed) {
        ui.add(Label::new(TextKind::Caption.text(ui, text::fault(fault))).wrap());
    }
    if let Some(more) = error.details.len().checked_sub(listed).filter(|more| *more > 0) {
        ui.add(Label::new(TextKind::Caption.text(ui, text::more_faults(more))).wrap());
    }
    ui.add(Label::new(TextKind::Body.text(ui, &error.fix)).wrap());
    ui.label(TextKind::Caption.text(ui, error.code.as_str()));
}

/// Copies an error for a colleague.
pub fn copy_button(ui: &mut Ui, error: &ErrorReport) -> Response {
    let response = quiet_button(ui, text::COPY).on_hover_text(text::COPY_HINT);
    if response.clicked() {
        ui.ctx().copy_text(text::copied_error(error));
    }
    response
}

//! Buttons: one that a person most likely wants, and the others.

use eframe::egui::{Button, Color32, Response, RichText, Ui, Visuals};

use crate::theme;

/// The button that a person most likely wants.
pub fn primary_button(ui: &mut Ui, label: &str, enabled: bool) -> Response {
    let palette = theme::palette(ui);
    with_fills(ui, [palette.accent, palette.accent_hover, palette.accent_hover], |ui| {
        ui.add_enabled(enabled, Button::new(RichText::new(label).color(palette.on_accent)))
    })
}

/// A small button that stays in the background.
pub fn quiet_button(ui: &mut Ui, label: &str) -> Response {
    let palette = theme::palette(ui);
    with_fills(ui, [Color32::TRANSPARENT, palette.control_hover, palette.control_active], |ui| {
        ui.add(Button::new(theme::TextKind::Caption.text(ui, label)).small())
    })
}

/// Draws with other fills at rest, under the pointer and pressed, and without an outline.
fn with_fills(ui: &mut Ui, fills: [Color32; 3], draw: impl FnOnce(&mut Ui) -> Response) -> Response {
    ui.scope(|ui| {
        let Visuals { widgets, .. } = ui.visuals_mut();
        for (widget, fill) in [&mut widgets.inactive, &mut widgets.hovered, &mut widgets.active].into_iter().zip(fills) {
            widget.weak_bg_fill = fill;
        }
        widgets.inactive.bg_stroke.color = Color32::TRANSPARENT;
        widgets.hovered.bg_stroke.color = Color32::TRANSPARENT;
        draw(ui)
    })
    .inner
}

//! Parts of a page.

use eframe::egui::accesskit::Role;
use eframe::egui::{Align, Frame, Layout, Margin, Sense, Stroke, Ui, UiBuilder, vec2};

use crate::theme::{self, TextKind, size};

/// A surface that holds what belongs together, as wide as there is room.
pub fn card<R>(ui: &mut Ui, contents: impl FnOnce(&mut Ui) -> R) -> R {
    let palette = theme::palette(ui);
    Frame::new()
        .fill(palette.surface)
        .stroke(Stroke::new(size::LINE, palette.line))
        .corner_radius(size::CARD_RADIUS)
        .inner_margin(Margin::same(size::CARD_MARGIN))
        .show(ui, |ui| {
            ui.set_width(ui.available_width());
            ui.spacing_mut().item_spacing.y = size::GAP_SMALL;
            contents(ui)
        })
        .inner
}

/// A card with a heading, and something to its right.
pub fn section<R>(ui: &mut Ui, heading: &str, beside: impl FnOnce(&mut Ui), contents: impl FnOnce(&mut Ui) -> R) -> R {
    region(ui, heading, |ui| {
        card(ui, |ui| {
            let (rect, _) = ui.allocate_exact_size(vec2(ui.available_width(), size::ROW), Sense::hover());
            let mut line = ui.new_child(UiBuilder::new().max_rect(rect).layout(Layout::left_to_right(Align::Center)));
            line.label(TextKind::Heading.text(&line, heading));
            line.with_layout(Layout::right_to_left(Align::Center), beside);
            contents(ui)
        })
    })
}

/// A part that a screen reader finds by its name.
pub fn region<R>(ui: &mut Ui, name: impl Into<String>, contents: impl FnOnce(&mut Ui) -> R) -> R {
    let builder = UiBuilder::new().accessibility_role(Role::Group).accessibility_label(name);
    ui.scope_builder(builder, contents).inner
}

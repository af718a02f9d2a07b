//! What happened last.

use std::collections::VecDeque;

use eframe::egui::{Align, Label, Layout, Sense, Ui, UiBuilder, vec2};
use waybill_ipc::protocol::{Activity, ActivityKind};
use waybill_shared::error::ErrorReport;

use crate::text;
use crate::theme::{self, TextKind, Tone, size};
use crate::widgets::{copy_button, dot, empty_state, region, section};

pub(super) fn show(ui: &mut Ui, recent: &VecDeque<Activity>) {
    section(
        ui,
        text::ACTIVITY,
        |_| {},
        |ui| {
            if recent.is_empty() {
                return empty_state(ui, text::NO_ACTIVITY, text::NO_ACTIVITY_EXPLAINED, |_| {});
            }
            ui.spacing_mut().item_spacing.y = 0.0;
            for activity in recent.iter().rev() {
                region(ui, text::activity_name(activity), |ui| one(ui, activity));
            }
        },
    );
}

fn one(ui: &mut Ui, activity: &Activity) {
    let shade = theme::palette(ui).tone(tone(activity.kind));
    line(ui, |ui| {
        fixed(ui, size::COLUMN_TIME, |ui| {
            ui.label(TextKind::Caption.text(ui, text::when(activity.at_ms)));
        });
        fixed(ui, size::COLUMN_STATE, |ui| {
            dot(ui, shade.mark);
            ui.label(TextKind::Body.text(ui, text::activity(activity.kind)));
        });
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            ui.label(TextKind::Caption.text(ui, &activity.place));
            ui.with_layout(Layout::left_to_right(Align::Center), |ui| {
                ui.add(Label::new(TextKind::Name.text(ui, &activity.subject)).truncate());
            });
        });
    });
    if let Some(error) = &activity.error {
        explain(ui, error, shade.text);
    }
}

/// The error under the column of the subjects.
fn explain(ui: &mut Ui, error: &ErrorReport, colour: eframe::egui::Color32) {
    ui.horizontal_top(|ui| {
        ui.add_space(size::COLUMN_TIME);
        ui.with_layout(Layout::right_to_left(Align::TOP), |ui| {
            copy_button(ui, error);
            ui.with_layout(Layout::top_down(Align::LEFT), |ui| {
                ui.spacing_mut().item_spacing.y = size::GAP_HAIR;
                let message = text::coded(error);
                ui.add(Label::new(TextKind::Caption.text(ui, message).color(colour)).wrap());
                ui.add(Label::new(TextKind::Caption.text(ui, &error.fix)).wrap());
                ui.add_space(size::GAP_TINY);
            });
        });
    });
}

fn line(ui: &mut Ui, contents: impl FnOnce(&mut Ui)) {
    let (rect, _) = ui.allocate_exact_size(vec2(ui.available_width(), size::ROW), Sense::hover());
    let layout = Layout::left_to_right(Align::Center);
    let mut row = ui.new_child(UiBuilder::new().max_rect(rect).layout(layout));
    row.spacing_mut().item_spacing.x = size::GAP_SMALL;
    contents(&mut row);
}

fn fixed(ui: &mut Ui, width: f32, contents: impl FnOnce(&mut Ui)) {
    ui.allocate_ui_with_layout(vec2(width - size::GAP_SMALL, size::ROW), Layout::left_to_right(Align::Center), |ui| {
        ui.set_min_width(width - size::GAP_SMALL);
        contents(ui);
    });
}

fn tone(kind: ActivityKind) -> Tone {
    match kind {
        ActivityKind::Sent | ActivityKind::Recovered => Tone::Good,
        ActivityKind::Queued => Tone::Busy,
        ActivityKind::Retry | ActivityKind::Evicted => Tone::Warning,
        ActivityKind::Failed | ActivityKind::Broken | ActivityKind::Trouble => Tone::Bad,
    }
}

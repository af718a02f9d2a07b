//! The numbers that tell at a glance whether all is well.

use eframe::egui::{Align, Layout, Ui};
use waybill_ipc::protocol::{QueueStatus, Snapshot};

use crate::text;
use crate::theme::{TextKind, Tone, size};
use crate::widgets::{card, counter, meter};

/// From this share on the queue's fill is a warning; the agent takes files again below the same share.
const NEARLY_FULL: f32 = 0.9;

pub(super) fn show(ui: &mut Ui, snapshot: &Snapshot) {
    let delivered = snapshot.delivered();
    let failed = snapshot.destinations.iter().map(|d| d.failed).sum();
    let errors = snapshot.sources.iter().map(|s| s.errors).sum();
    let alarming = |number, tone| if number > 0 { tone } else { Tone::Neutral };
    card(ui, |ui| {
        ui.columns_const(|[first, second, third, fourth]| {
            counter(first, text::DELIVERED, delivered, Tone::Neutral);
            counter(second, text::WAITING, snapshot.queue.waiting, Tone::Neutral);
            counter(third, text::FAILED, failed, alarming(failed, Tone::Bad));
            counter(fourth, text::FILE_ERRORS, errors, alarming(errors, Tone::Warning));
        });
        queue(ui, &snapshot.queue);
    });
}

fn queue(ui: &mut Ui, queue: &QueueStatus) {
    let fill = text::queue_fill(queue.fullest, queue.max_entries);
    #[allow(clippy::cast_precision_loss, reason = "a share for a bar of some hundred points")]
    let share = if queue.max_entries == 0 { 0.0 } else { queue.fullest as f32 / queue.max_entries as f32 };
    let tone = match (queue.full, share >= NEARLY_FULL) {
        (true, _) => Tone::Bad,
        (false, true) => Tone::Warning,
        (false, false) => Tone::Busy,
    };
    ui.spacing_mut().item_spacing.y = size::GAP_TINY;
    ui.horizontal(|ui| {
        ui.label(TextKind::Caption.text(ui, text::QUEUE));
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| ui.label(TextKind::Caption.text(ui, fill.as_str())));
    });
    meter(ui, share, tone, &text::named_value(text::QUEUE, &fill));
    if queue.full {
        let colour = crate::theme::palette(ui).tone(Tone::Bad).text;
        ui.label(TextKind::Body.text(ui, text::QUEUE_FULL).color(colour));
    }
}

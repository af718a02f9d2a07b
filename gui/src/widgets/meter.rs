//! How full something is.

use eframe::egui::accesskit::Role;
use eframe::egui::{Rect, Sense, Ui, WidgetInfo, vec2};

use crate::theme::{self, Tone, size};

/// A bar that is filled by `share` (0 to 1); `name` says the same in words.
pub fn meter(ui: &mut Ui, share: f32, tone: Tone, name: &str) {
    let palette = theme::palette(ui);
    let (rect, response) = ui.allocate_exact_size(vec2(ui.available_width(), size::METER_HEIGHT), Sense::hover());
    let radius = size::METER_HEIGHT / 2.0;
    ui.painter().rect_filled(rect, radius, palette.control_hover);
    if share > 0.0 {
        // Never thinner than round: even one report that waits can be seen.
        let width = (rect.width() * share.min(1.0)).max(size::METER_HEIGHT);
        let filled = Rect::from_min_size(rect.min, vec2(width, rect.height()));
        ui.painter().rect_filled(filled, radius, palette.tone(tone).mark);
    }
    response.widget_info(|| WidgetInfo::labeled(Role::Meter, true, name));
}

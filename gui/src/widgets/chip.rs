//! The state of something in one word with its colour.

use eframe::egui::accesskit::Role;
use eframe::egui::{Response, Sense, Ui, WidgetInfo, vec2};

use crate::theme::{self, TextKind, Tone, size};

/// A word on the colour of its tone, with a mark for those who do not see colours well: the word says it all.
pub fn chip(ui: &mut Ui, tone: Tone, word: &str) -> Response {
    let shade = theme::palette(ui).tone(tone);
    let galley = ui.painter().layout_no_wrap(word.to_owned(), TextKind::Caption.font(), shade.text);
    let inner = size::DOT + size::GAP_TINY + galley.size().x;
    let (rect, response) = ui.allocate_exact_size(vec2(inner + 2.0 * size::CHIP_MARGIN, size::CHIP_HEIGHT), Sense::hover());
    if ui.is_rect_visible(rect) {
        let painter = ui.painter();
        painter.rect_filled(rect, size::CHIP_HEIGHT / 2.0, shade.fill);
        let mut at = rect.left_center() + vec2(size::CHIP_MARGIN + size::DOT / 2.0, 0.0);
        painter.circle_filled(at, size::DOT / 2.0, shade.mark);
        at += vec2(size::DOT / 2.0 + size::GAP_TINY, -galley.size().y / 2.0);
        painter.galley(at, galley, shade.text);
    }
    response.widget_info(|| WidgetInfo::labeled(Role::Label, true, word));
    response
}

/// The mark alone, before a word that is drawn otherwise.
pub fn dot(ui: &mut Ui, colour: eframe::egui::Color32) {
    let (rect, _) = ui.allocate_exact_size(vec2(size::DOT, size::DOT), Sense::hover());
    ui.painter().circle_filled(rect.center(), size::DOT / 2.0, colour);
}

//! A large number with its name.

use eframe::egui::accesskit::Role;
use eframe::egui::{Label, Ui, WidgetInfo};

use crate::text;
use crate::theme::{self, TextKind, Tone};

/// A number that matters, under its name; in the colour of `tone` unless that is neutral.
pub fn counter(ui: &mut Ui, name: &str, number: u64, tone: Tone) {
    let number = text::count(number);
    ui.vertical(|ui| {
        ui.spacing_mut().item_spacing.y = 0.0;
        ui.label(TextKind::Caption.text(ui, name));
        let mut figure = TextKind::Figure.text(ui, number.as_str());
        if tone != Tone::Neutral {
            figure = figure.color(theme::palette(ui).tone(tone).text);
        }
        let response = ui.add(Label::new(figure).truncate());
        response.widget_info(|| WidgetInfo::labeled(Role::Label, true, text::named_value(name, &number)));
    });
}

//! Rows with aligned columns: the first takes what is left, the others have fixed widths and are aligned to the right.

use eframe::egui::accesskit::Role;
use eframe::egui::{Align, Label, Layout, Rect, Sense, Ui, UiBuilder, WidgetInfo, pos2, vec2};

use crate::text;
use crate::theme::{self, TextKind, Tone, size};

/// A column.
#[derive(Debug, Clone, Copy)]
pub struct Column {
    /// Its title; the accessible name of each of its values begins with it.
    pub title: &'static str,
    /// Its width in points.
    pub width: f32,
}

/// The columns of a table, without the first.
#[derive(Debug, Clone, Copy)]
pub struct Table<'a> {
    /// From left to right.
    pub columns: &'a [Column],
}

impl Table<'_> {
    /// The titles, on the line of a heading.
    pub fn header(&self, ui: &mut Ui, heading: &str) {
        self.cells(
            ui,
            |ui| {
                ui.add(Label::new(TextKind::Heading.text(ui, heading)).truncate());
            },
            |i, ui| {
                ui.add(Label::new(TextKind::Caption.text(ui, self.columns[i].title)).truncate());
            },
        );
    }

    /// A row: the first cell, and the values of the others with their tones.
    pub fn row(&self, ui: &mut Ui, first: impl FnOnce(&mut Ui), values: &[(String, Tone)]) {
        self.cells(ui, first, |i, ui| {
            let Some((value, tone)) = values.get(i) else { return };
            let mut text = TextKind::Name.text(ui, value);
            text = match tone {
                // What is nothing steps back behind what is something.
                Tone::Neutral if matches!(value.as_str(), "0" | text::NOTHING) => text.color(theme::palette(ui).text_weak),
                Tone::Neutral => text,
                tone => text.color(theme::palette(ui).tone(*tone).text),
            };
            let response = ui.add(Label::new(text).truncate());
            response.widget_info(|| WidgetInfo::labeled(Role::Label, true, text::named_value(self.columns[i].title, value)));
        });
    }

    fn cells(&self, ui: &mut Ui, first: impl FnOnce(&mut Ui), mut cell: impl FnMut(usize, &mut Ui)) {
        let (row, _) = ui.allocate_exact_size(vec2(ui.available_width(), size::ROW), Sense::hover());
        let mut left = row.right() - self.columns.iter().map(|column| column.width).sum::<f32>();
        let first_rect = Rect::from_min_max(row.min, pos2(left.max(row.left()), row.bottom()));
        first(&mut child(ui, first_rect, Layout::left_to_right(Align::Center)));
        for (i, column) in self.columns.iter().enumerate() {
            let rect =
                Rect::from_min_size(pos2(left + size::GAP_SMALL, row.top()), vec2(column.width - size::GAP_SMALL, row.height()));
            cell(i, &mut child(ui, rect, Layout::right_to_left(Align::Center)));
            left += column.width;
        }
    }
}

fn child(ui: &mut Ui, rect: Rect, layout: Layout) -> Ui {
    ui.new_child(UiBuilder::new().max_rect(rect).layout(layout))
}

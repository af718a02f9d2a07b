//! Where the files come from.

use eframe::egui::{Label, Separator, Ui};
use waybill_ipc::protocol::{SourceState, SourceStatus};

use crate::text;
use crate::theme::{TextKind, Tone, size};
use crate::widgets::{Column, Table, card, chip, empty_state, error_panel, region};

const COLUMNS: &[Column] = &[
    Column { title: text::FOUND, width: size::COLUMN_NUMBER },
    Column { title: text::CONVERTING, width: size::COLUMN_NUMBER },
    Column { title: text::QUEUED, width: size::COLUMN_NUMBER },
    Column { title: text::REPORTS, width: size::COLUMN_NUMBER },
    Column { title: text::ERRORS, width: size::COLUMN_TIME },
];

pub(super) fn show(ui: &mut Ui, sources: &[SourceStatus]) {
    region(ui, text::SOURCES, |ui| {
        card(ui, |ui| {
            let table = Table { columns: COLUMNS };
            if sources.is_empty() {
                return empty_state(ui, text::NO_SOURCES, text::NO_SOURCES_EXPLAINED, |_| {});
            }
            table.header(ui, text::SOURCES);
            for source in sources {
                ui.add(Separator::default().spacing(size::LINE));
                region(ui, text::named_value(text::SOURCE, &source.name), |ui| one(ui, table, source));
            }
        });
    });
}

fn one(ui: &mut Ui, table: Table<'_>, source: &SourceStatus) {
    let tone = tone(source.state);
    let number = |number| (text::count(number), Tone::Neutral);
    let error_tone = if source.errors > 0 { Tone::Warning } else { Tone::Neutral };
    ui.spacing_mut().item_spacing.y = size::GAP_TINY;
    table.row(
        ui,
        |ui| {
            ui.add(Label::new(TextKind::Name.text(ui, &source.name)).truncate());
        },
        &[
            number(source.seen()),
            number(source.waiting),
            number(source.queued),
            number(source.reports),
            (text::count(source.errors), error_tone),
        ],
    );
    ui.horizontal(|ui| {
        chip(ui, tone, text::source_state(source.state)).on_hover_text(text::source_state_explained(source.state));
        let place = text::place(&source.converter, &source.folder);
        ui.add(Label::new(TextKind::Caption.text(ui, place)).truncate());
    });
    if let Some(error) = &source.error {
        error_panel(ui, tone, error, |_| {});
    }
}

fn tone(state: SourceState) -> Tone {
    match state {
        SourceState::Watching => Tone::Good,
        SourceState::Unavailable => Tone::Bad,
        SourceState::Paused => Tone::Warning,
        SourceState::Starting | SourceState::Stopped | SourceState::Disabled => Tone::Neutral,
    }
}

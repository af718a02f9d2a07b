//! Where the reports go.

use eframe::egui::{Label, Separator, Ui};
use waybill_ipc::protocol::{Connection, DestinationStatus};

use crate::text;
use crate::theme::{TextKind, Tone, size};
use crate::widgets::{Column, Table, card, chip, empty_state, error_panel, region};

const COLUMNS: &[Column] = &[
    Column { title: text::WAITING, width: size::COLUMN_NUMBER },
    Column { title: text::SENDING, width: size::COLUMN_NUMBER },
    Column { title: text::DELIVERED, width: size::COLUMN_NUMBER },
    Column { title: text::FAILED, width: size::COLUMN_NUMBER },
    Column { title: text::NEXT_TRY, width: size::COLUMN_TIME },
];

pub(super) fn show(ui: &mut Ui, destinations: &[DestinationStatus]) {
    region(ui, text::DESTINATIONS, |ui| {
        card(ui, |ui| {
            let table = Table { columns: COLUMNS };
            if destinations.is_empty() {
                return empty_state(ui, text::NO_DESTINATIONS, text::NO_DESTINATIONS_EXPLAINED, |_| {});
            }
            table.header(ui, text::DESTINATIONS);
            for destination in destinations {
                ui.add(Separator::default().spacing(size::LINE));
                let name = text::named_value(text::DESTINATION, &destination.name);
                region(ui, name, |ui| one(ui, table, destination));
            }
        });
    });
}

fn one(ui: &mut Ui, table: Table<'_>, destination: &DestinationStatus) {
    let tone = tone(destination.state);
    let number = |number| (text::count(number), Tone::Neutral);
    let failed_tone = if destination.failed > 0 { Tone::Bad } else { Tone::Neutral };
    let next_try = destination.next_try_ms.map_or_else(|| text::NOTHING.to_owned(), text::when);
    ui.spacing_mut().item_spacing.y = size::GAP_TINY;
    table.row(
        ui,
        |ui| {
            ui.add(Label::new(TextKind::Name.text(ui, &destination.name)).truncate());
        },
        &[
            number(destination.pending),
            number(destination.sending),
            number(destination.sent),
            (text::count(destination.failed), failed_tone),
            (next_try, Tone::Neutral),
        ],
    );
    ui.horizontal(|ui| {
        chip(ui, tone, text::connection(destination.state)).on_hover_text(text::connection_explained(destination.state));
        let place = text::place(&destination.kind, &destination.address);
        ui.add(Label::new(TextKind::Caption.text(ui, place)).truncate());
    });
    if let Some(given_up) = text::given_up(destination.discarded, destination.evicted) {
        ui.label(TextKind::Caption.text(ui, given_up));
    }
    if let Some(error) = &destination.error {
        error_panel(ui, tone, error, |_| {});
    }
}

fn tone(state: Connection) -> Tone {
    match state {
        Connection::Online => Tone::Good,
        Connection::Degraded | Connection::BreakerOpen | Connection::Held => Tone::Warning,
        Connection::Paused => Tone::Bad,
        Connection::Idle | Connection::Removed | Connection::Disabled => Tone::Neutral,
    }
}

//! The overview: how the agent, its sources and its destinations are, and what happened last.

use eframe::egui::{Align, Layout, ScrollArea, Ui, UiBuilder, vec2};
use waybill_ipc::protocol::Snapshot;

use super::Page;
use crate::command::Command;
use crate::model::Model;
use crate::text;
use crate::theme::{TextKind, size};
use crate::widgets::{connection_banner, connection_page};

mod activity;
mod autostart;
mod destinations;
mod plot;
mod sources;
mod summary;
#[cfg(test)]
mod tests;
mod trouble;

/// The overview. Keeps nothing: all it shows is in the model.
#[derive(Debug, Default)]
pub struct Dashboard {}

impl Page for Dashboard {
    fn title(&self) -> &'static str {
        text::DASHBOARD
    }

    fn ui(&mut self, ui: &mut Ui, model: &Model) -> Vec<Command> {
        ScrollArea::vertical().auto_shrink(false).show(ui, |ui| centred(ui, |ui| contents(ui, model))).inner.into_iter().collect()
    }
}

fn contents(ui: &mut Ui, model: &Model) -> Option<Command> {
    ui.spacing_mut().item_spacing.y = size::GAP;
    let Some(snapshot) = model.snapshot() else { return connection_page(ui, model) };
    let mut command = connection_banner(ui, model);
    if model.stale_since_ms().is_some() {
        ui.multiply_opacity(size::STALE_OPACITY);
    }
    trouble::show(ui, &snapshot.agent);
    summary::show(ui, snapshot);
    if ui.available_width() >= size::TWO_COLUMNS {
        two_columns(ui, |ui| places(ui, snapshot), |ui| events(ui, model, snapshot));
    } else {
        places(ui, snapshot);
        events(ui, model, snapshot);
    }
    command = command.or(autostart::show(ui, model));
    let agent = &snapshot.agent;
    let details = text::agent_details(&agent.instance, &agent.version, agent.pid, agent.started_at_ms);
    ui.label(TextKind::Caption.text(ui, details));
    command
}

fn places(ui: &mut Ui, snapshot: &Snapshot) {
    destinations::show(ui, &snapshot.destinations);
    sources::show(ui, &snapshot.sources);
}

fn events(ui: &mut Ui, model: &Model, snapshot: &Snapshot) {
    plot::show(ui, &model.throughput);
    activity::show(ui, &snapshot.recent);
}

/// The page in the middle of a very wide window, with its margins.
fn centred<R>(ui: &mut Ui, contents: impl FnOnce(&mut Ui) -> R) -> R {
    let margin = f32::from(size::PAGE_MARGIN);
    let mut rect = ui.available_rect_before_wrap();
    let width = (rect.width() - 2.0 * margin).clamp(0.0, size::PAGE_MAX);
    rect.min.x = rect.center().x - width / 2.0;
    rect.min.y += margin;
    rect.set_width(width);
    let result = ui.scope_builder(UiBuilder::new().max_rect(rect).layout(Layout::top_down(Align::LEFT)), contents).inner;
    ui.add_space(margin);
    result
}

fn two_columns(ui: &mut Ui, first: impl FnOnce(&mut Ui), second: impl FnOnce(&mut Ui)) {
    let width = ui.available_width() - size::GAP;
    let first_width = (width * size::FIRST_COLUMN).round();
    ui.horizontal_top(|ui| {
        ui.spacing_mut().item_spacing.x = size::GAP;
        for (width, contents) in
            [(first_width, Box::new(first) as Box<dyn FnOnce(&mut Ui) + '_>), (width - first_width, Box::new(second))]
        {
            ui.allocate_ui_with_layout(vec2(width, 0.0), Layout::top_down(Align::LEFT), |ui| {
                ui.spacing_mut().item_spacing = vec2(size::GAP_SMALL, size::GAP);
                contents(ui);
            });
        }
    });
}

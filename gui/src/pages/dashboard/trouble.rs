//! What is wrong with the agent as a whole, and with the station's configuration. Nothing while all is well.

use eframe::egui::{Label, Ui};
use waybill_ipc::protocol::AgentInfo;

use crate::text;
use crate::theme::{TextKind, Tone, size};
use crate::widgets::{card, region, whole_error_panel};

pub(super) fn show(ui: &mut Ui, agent: &AgentInfo) {
    if let Some(error) = &agent.error {
        banner(ui, text::AGENT_ERROR, text::AGENT_ERROR_EXPLAINED, |ui| {
            ui.add_space(size::GAP_TINY);
            whole_error_panel(ui, Tone::Bad, error);
        });
    }
    if let Some(problem) = &agent.config_problem {
        banner(ui, text::CONFIG_PROBLEM, &text::config_file(&agent.config), |ui| {
            ui.add_space(size::GAP_TINY);
            whole_error_panel(ui, Tone::Bad, problem);
        });
    }
    if !agent.identity.configured {
        banner(ui, text::NOT_CONFIGURED, &text::no_config_file(&agent.config), |_| {});
    }
}

fn banner(ui: &mut Ui, title: &str, explanation: &str, more: impl FnOnce(&mut Ui)) {
    region(ui, title, |ui| {
        card(ui, |ui| {
            ui.spacing_mut().item_spacing.y = size::GAP_HAIR;
            ui.add(Label::new(TextKind::Name.text(ui, title)).wrap());
            ui.add(Label::new(TextKind::Caption.text(ui, explanation)).wrap());
            more(ui);
        });
    });
}

//! What is around every page: the bar at the top, notices, the list of pages.

use eframe::egui::accesskit::Role;
use eframe::egui::{
    Align, CentralPanel, Frame, Label, Layout, Margin, Panel, ScrollArea, Sides, Stroke, Ui, UiBuilder, WidgetInfo,
};
use waybill_shared::error::{Code, ErrorReport};

use crate::command::Command;
use crate::model::Model;
use crate::pages::{Page, Pages};
use crate::text;
use crate::theme::{self, TextKind, Tone, size};
use crate::widgets::{connection_chip, error_panel, notice_bar};

/// The frame of the window.
pub struct Shell {
    pages: Pages,
    stuck: bool,
}

/// Title of the window: the station's name, so that windows of several stations are told apart.
#[must_use]
pub fn window_title(model: &Model) -> String {
    match model.snapshot() {
        Some(snapshot) => format!("{} – {}", snapshot.agent.identity.station, text::APP),
        None => text::APP.to_owned(),
    }
}

impl Shell {
    /// With these pages; the first is shown.
    #[must_use]
    pub fn new(pages: Vec<Box<dyn Page>>) -> Self {
        Self { pages: Pages::new(pages), stuck: false }
    }

    /// The controller takes no commands: a person who asked for something sees that.
    pub fn stuck(&mut self) {
        self.stuck = true;
    }

    /// The window closes.
    pub fn close(&mut self) -> Vec<Command> {
        self.pages.close()
    }

    /// Draws everything and gives back what a person asked for.
    pub fn ui(&mut self, ui: &mut Ui, model: &Model) -> Vec<Command> {
        let mut commands = Vec::new();
        if let Some(snapshot) = model.snapshot() {
            theme::follow(ui.ctx(), &snapshot.agent.identity);
        }
        bar(ui, model);
        if self.stuck || !model.notices.is_empty() {
            commands.extend(self.notices(ui, model));
        }
        if self.pages.is_choice() {
            commands.extend(self.list(ui));
        }
        let background = Frame::new().fill(theme::palette(ui).background);
        CentralPanel::no_frame().frame(background).show(ui, |ui| commands.extend(self.pages.ui(ui, model)));
        commands
    }

    fn notices(&self, ui: &mut Ui, model: &Model) -> Option<Command> {
        let frame = Frame::new().fill(theme::palette(ui).background).inner_margin(Margin {
            left: size::PAGE_MARGIN,
            right: size::PAGE_MARGIN,
            top: size::PANEL_MARGIN,
            bottom: 0,
        });
        Panel::top("notices")
            .frame(frame)
            .show_separator_line(false)
            .show(ui, |ui| {
                ScrollArea::vertical()
                    .max_height(size::NOTICES_MAX)
                    // The panel takes its height from this and not the other way round.
                    .min_scrolled_height(size::NOTICES_MAX)
                    .auto_shrink([false, true])
                    .show(ui, |ui| {
                        if self.stuck {
                            let error = ErrorReport::new(Code::Internal, text::WINDOW_STUCK).with_fix(text::WINDOW_STUCK_FIX);
                            error_panel(ui, Tone::Bad, &error, |_| {});
                        }
                        notice_bar(ui, model.notices.iter())
                    })
                    .inner
            })
            .inner
    }

    fn list(&mut self, ui: &mut Ui) -> Vec<Command> {
        let mut chosen = None;
        let frame = Frame::new().fill(theme::palette(ui).bar).inner_margin(Margin::same(size::PANEL_MARGIN));
        Panel::left("pages").frame(frame).exact_size(size::PAGES_WIDTH).show(ui, |ui| {
            let builder = UiBuilder::new()
                .layout(Layout::top_down_justified(Align::LEFT))
                .accessibility_role(Role::Navigation)
                .accessibility_label(text::PAGES);
            ui.scope_builder(builder, |ui| {
                for (i, (title, current)) in self.pages.titles().enumerate() {
                    if ui.selectable_label(current, title).clicked() {
                        chosen = Some(i);
                    }
                }
            });
        });
        chosen.map(|index| self.pages.select(index)).unwrap_or_default()
    }
}

fn bar(ui: &mut Ui, model: &Model) {
    let palette = theme::palette(ui);
    let frame = Frame::new()
        .fill(palette.bar)
        .stroke(Stroke::NONE)
        .inner_margin(Margin::symmetric(size::PAGE_MARGIN, size::PANEL_MARGIN_Y));
    Panel::top("bar").frame(frame).exact_size(size::BAR_HEIGHT).show(ui, |ui| {
        Sides::new().shrink_left().truncate().height(ui.available_height()).show(
            ui,
            |ui| station(ui, model),
            |ui| connection_chip(ui, model),
        );
    });
}

fn station(ui: &mut Ui, model: &Model) {
    let (title, caption) = match model.snapshot().map(|snapshot| &snapshot.agent.identity) {
        Some(identity) => (identity.station.as_str(), text::station(&identity.location, &identity.purpose)),
        None => (text::APP, String::new()),
    };
    // Both lines together in the middle of the bar, whether there is a second one or not.
    let caption_height = if caption.is_empty() { 0.0 } else { ui.fonts_mut(|f| f.row_height(&TextKind::Caption.font())) };
    let height = ui.fonts_mut(|f| f.row_height(&TextKind::Title.font())) + caption_height;
    let space = ((ui.available_height() - height) / 2.0).max(0.0);
    ui.with_layout(Layout::top_down(Align::LEFT), |ui| {
        ui.spacing_mut().item_spacing.y = 0.0;
        ui.add_space(space);
        let heading = ui.add(Label::new(TextKind::Title.text(ui, title)).truncate());
        heading.widget_info(|| WidgetInfo::labeled(Role::Heading, true, title));
        if !caption.is_empty() {
            ui.add(Label::new(TextKind::Caption.text(ui, caption)).truncate());
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::sample;
    use crate::pages;
    use eframe::egui::Vec2;
    use egui_kittest::Harness;
    use egui_kittest::kittest::Queryable as _;
    use waybill_ipc::protocol::Update;

    struct Seen {
        shell: Shell,
        model: Model,
        asked: Vec<Command>,
    }

    fn window(shell: Shell, model: Model) -> Harness<'static, Seen> {
        let mut harness = Harness::builder().with_size(Vec2::new(800.0, 600.0)).build_ui_state(
            |ui, seen: &mut Seen| {
                theme::apply(ui.ctx());
                let asked = seen.shell.ui(ui, &seen.model);
                seen.asked.extend(asked);
            },
            Seen { shell, model, asked: Vec::new() },
        );
        harness.run();
        harness
    }

    struct Blank(&'static str);

    impl Page for Blank {
        fn title(&self) -> &'static str {
            self.0
        }
        fn ui(&mut self, ui: &mut Ui, _: &Model) -> Vec<Command> {
            ui.label(format!("contents of {}", self.0));
            Vec::new()
        }
    }

    #[test]
    fn a_failed_command_is_seen_with_what_to_do_and_can_be_dismissed() {
        let mut model = Model::new(0);
        let error = ErrorReport::new(Code::AgentNotRunning, "it is not there").with_fix("install it");
        model.failed(&Command::StartAgent, error, 1);
        let id = model.notices[0].id;
        let mut window = window(Shell::new(pages::all()), model);
        window.get_by_label("install it");
        window.get_by_label("WB6001");
        window.get_by_label("Dismiss").click();
        window.run();
        assert_eq!(window.state().asked, [Command::DismissNotice(id)]);
    }

    #[test]
    fn a_controller_that_takes_no_commands_is_seen() {
        let mut shell = Shell::new(pages::all());
        shell.stuck();
        window(shell, Model::new(0)).get_by_label(text::WINDOW_STUCK);
    }

    #[test]
    fn one_page_needs_no_list_and_two_can_be_chosen_from() {
        let one = window(Shell::new(vec![Box::new(Blank("One"))]), Model::new(0));
        assert!(one.query_by_label("One").is_none());
        let mut two = window(Shell::new(vec![Box::new(Blank("One")), Box::new(Blank("Two"))]), Model::new(0));
        two.get_by_label("contents of One");
        two.get_by_label("Two").click();
        two.run();
        two.get_by_label("contents of Two");
    }

    #[test]
    fn the_bar_names_the_station_and_how_the_connection_is() {
        let mut model = Model::new(0);
        assert_eq!(window_title(&model), "Waybill");
        model.updated(Update::Snapshot { seq: 1, missed: 0, snapshot: Box::new(sample::snapshot()) });
        assert_eq!(window_title(&model), "ST-07 – Waybill");
        model.disconnected(&waybill_ipc::ClientError::NotRunning("x".to_owned()), 1);
        let window = window(Shell::new(pages::all()), model);
        window.get_by_label("ST-07");
        window.get_by_label("Line 1 · Production");
        window.get_by_label("Agent not running");
    }
}

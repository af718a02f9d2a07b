//! The window as eframe sees it: connects the controller with the shell.

use std::sync::Arc;

use eframe::egui::{Context, Ui, ViewportCommand, Visuals};
use eframe::{CreationContext, Frame, glow};
use tokio::sync::watch;
use waybill_shared::paths::Instance;

use crate::controller::{Controller, Screen};
use crate::launch::AgentProgram;
use crate::model::Model;
use crate::shell::Shell;
use crate::{pages, theme};

/// The window.
pub(crate) struct App {
    controller: Controller,
    // The newest model alone: what was not drawn in time is of no interest any more.
    models: watch::Receiver<Arc<Model>>,
    shell: Shell,
    title: Option<String>,
}

/// The controller's view of the window.
struct Painted {
    models: watch::Sender<Arc<Model>>,
    ctx: Context,
}

impl Screen for Painted {
    fn show(&mut self, model: Arc<Model>) {
        self.models.send_replace(model);
        self.ctx.request_repaint();
    }
}

impl Drop for Painted {
    fn drop(&mut self) {
        // The controller has ended: the window looks at once whether it should have.
        self.ctx.request_repaint();
    }
}

impl App {
    /// Starts the conversation with the agent of `instance`.
    ///
    /// # Errors
    /// The OS gives no thread.
    pub(crate) fn new(cc: &CreationContext<'_>, instance: Instance) -> std::io::Result<Self> {
        theme::apply(&cc.egui_ctx);
        let (models_in, models) = watch::channel(Arc::new(Model::new(0)));
        let screen = Painted { models: models_in, ctx: cc.egui_ctx.clone() };
        let launcher = AgentProgram::new(&instance);
        let controller = Controller::start(instance, launcher, screen)?;
        Ok(Self { controller, models, shell: Shell::new(pages::all()), title: None })
    }
}

impl eframe::App for App {
    fn logic(&mut self, ctx: &Context, _: &mut Frame) {
        let title = crate::shell::window_title(&self.models.borrow());
        if self.title.as_ref() != Some(&title) {
            ctx.send_viewport_cmd(ViewportCommand::Title(title.clone()));
            self.title = Some(title);
        }
    }

    fn ui(&mut self, ui: &mut Ui, _: &mut Frame) {
        let model = Arc::clone(&self.models.borrow_and_update());
        if self.models.has_changed().is_err() {
            // Nobody keeps the model up any more, and what is on screen may not look as if somebody did.
            self.shell.stuck();
        }
        for command in self.shell.ui(ui, &model) {
            if self.controller.ask(command).is_err() {
                self.shell.stuck();
            }
        }
    }

    fn on_exit(&mut self, _: Option<&glow::Context>) {
        for command in self.shell.close() {
            // The conversation ends with the window anyway.
            let _ending = self.controller.ask(command);
        }
    }

    fn clear_color(&self, visuals: &Visuals) -> [f32; 4] {
        theme::background(visuals.dark_mode).to_normalized_gamma_f32()
    }
}

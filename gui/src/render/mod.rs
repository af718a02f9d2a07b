//! The ways of drawing the window, tried one after the other.
//!
//! Stations are reached over remote desktop, and lack OpenGL, or Vulkan, or a driver that works. So: wgpu (it prefers a graphics
//! processor and takes a software adapter where there is none), then glow (OpenGL), then a message box of the OS and an exit
//! code. After a failure the next way runs in a fresh process: a driver that failed or panicked leaves nothing behind there, and
//! an event loop can be made only once a process.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use eframe::egui::ViewportBuilder;
use eframe::{NativeOptions, egui_wgpu, wgpu};
use waybill_shared::paths::{Instance, InstanceOptions, Scope};

use crate::app::App;
use crate::options::{Options, RendererOption};
use crate::text;
use crate::theme::{icon, size};

/// No way of drawing is left.
#[derive(Debug, thiserror::Error)]
pub enum Unable {
    /// There is no screen, or its system cannot be talked to: no way of drawing can mend that.
    #[error("there is no screen to open a window on: {0}")]
    NoScreen(String),
    /// This way of drawing failed.
    #[error("{way} failed: {reason}")]
    Failed {
        /// The way.
        way: &'static str,
        /// Why.
        reason: String,
    },
    /// The window broke down while it was drawn.
    #[error("{way} broke down; its last words are in the terminal or the log of the desktop")]
    BrokeDown {
        /// The way.
        way: &'static str,
    },
    /// The next way could not be tried.
    #[error("{first}; and the window could not be started anew: {error}")]
    NoSecondTry {
        /// What was wrong with the first.
        first: Box<Unable>,
        /// Why there is no second.
        error: std::io::Error,
    },
}

/// A way of drawing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Wgpu,
    Glow,
}

/// Shows the window until it is closed, by the first way that works; gives back how the program ends.
///
/// # Errors
/// [`Unable`] if none works.
pub fn show_window(options: &Options, instance: &Instance) -> Result<ExitCode, Unable> {
    let way = first(options.renderer);
    let Err(unable) = draw(way, instance) else { return Ok(ExitCode::SUCCESS) };
    match next(options.renderer, way, &unable) {
        Some(next) => {
            tracing::warn!(event = "renderer_failed", reason = %unable, next = next.name(), "another way of drawing is tried");
            draw_anew(next, instance).map_err(|error| Unable::NoSecondTry { first: Box::new(unable), error })
        }
        None => Err(unable),
    }
}

/// The last way to tell a person something: a message box of the OS. Returns when it is closed, at once if there is none.
pub fn message_box(title: &str, text: &str) {
    rfd::MessageDialog::new().set_level(rfd::MessageLevel::Error).set_title(title).set_description(text).show();
}

fn first(asked: RendererOption) -> Way {
    match asked {
        RendererOption::Auto | RendererOption::Wgpu => Way::Wgpu,
        RendererOption::Glow => Way::Glow,
    }
}

/// What to try after `failed`. A way that a person asked for by name is the only one.
fn next(asked: RendererOption, failed: Way, unable: &Unable) -> Option<Way> {
    match (asked, failed, unable) {
        (_, _, Unable::NoScreen(_)) => None,
        (RendererOption::Auto, Way::Wgpu, _) => Some(Way::Glow),
        (RendererOption::Auto, Way::Glow, _) | (RendererOption::Wgpu | RendererOption::Glow, ..) => None,
    }
}

fn draw(way: Way, instance: &Instance) -> Result<(), Unable> {
    let native = native_options(way, instance);
    let create = {
        let instance = instance.clone();
        move |cc: &eframe::CreationContext<'_>| -> Result<Box<dyn eframe::App>, _> { Ok(Box::new(App::new(cc, instance)?)) }
    };
    // Drivers panic as well as fail. Nothing of this attempt is used afterwards.
    match catch_unwind(AssertUnwindSafe(|| eframe::run_native(text::APP, native, Box::new(create)))) {
        Ok(Ok(())) => Ok(()),
        Ok(Err(eframe::Error::WinitEventLoop(error))) => Err(Unable::NoScreen(error.to_string())),
        Ok(Err(error)) => Err(Unable::Failed { way: way.name(), reason: error.to_string() }),
        Err(_panic) => Err(Unable::BrokeDown { way: way.name() }),
    }
}

/// The window in a process of its own, drawn by `way` alone; ends as that one ends.
fn draw_anew(way: Way, instance: &Instance) -> std::io::Result<ExitCode> {
    let status = Command::new(std::env::current_exe()?).args(instance.arguments()).args(["--renderer", way.name()]).status()?;
    let code = status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1);
    Ok(ExitCode::from(code))
}

fn native_options(way: Way, instance: &Instance) -> NativeOptions {
    let mut options = NativeOptions {
        viewport: ViewportBuilder::default()
            .with_title(text::APP)
            .with_app_id("waybill")
            .with_icon(icon())
            .with_inner_size(size::WINDOW)
            .with_min_inner_size(size::WINDOW_MIN),
        renderer: match way {
            Way::Wgpu => eframe::Renderer::Wgpu,
            Way::Glow => eframe::Renderer::Glow,
        },
        persistence_path: window_file(instance),
        // Flat colours have no bands to hide, and a station that draws without a graphics processor pays for every pixel.
        dithering: false,
        ..NativeOptions::default()
    };
    if let egui_wgpu::WgpuSetup::CreateNew(setup) = &mut options.wgpu_options.wgpu_setup {
        // A few rectangles and words a second: the second graphics processor of a laptop stays asleep.
        setup.power_preference = wgpu::PowerPreference::from_env().unwrap_or(wgpu::PowerPreference::LowPower);
    }
    options
}

/// Where size and appearance of the window are kept: with the data folder where one was given, else with the user's local
/// data, one file an instance; never in a roaming profile, and never among the machine's data, which a viewer cannot write.
fn window_file(instance: &Instance) -> Option<PathBuf> {
    if instance.explicit_data {
        return Some(instance.data.join("window.ron"));
    }
    let user = InstanceOptions { instance: Some(instance.name.clone()), scope: Some(Scope::User), ..InstanceOptions::default() };
    let data = Instance::locate(&user).ok()?.data;
    Some(data.with_file_name(format!("{}.window.ron", instance.name)))
}

impl Way {
    /// As the command line and messages name it.
    fn name(self) -> &'static str {
        match self {
            Self::Wgpu => "wgpu",
            Self::Glow => "glow",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed() -> Unable {
        Unable::Failed { way: "wgpu", reason: "no adapter".to_owned() }
    }

    #[test]
    fn the_ladder_goes_down_once_and_only_if_no_way_was_asked_for() {
        assert_eq!(first(RendererOption::Auto), Way::Wgpu);
        assert_eq!(first(RendererOption::Glow), Way::Glow);
        assert_eq!(next(RendererOption::Auto, Way::Wgpu, &failed()), Some(Way::Glow));
        assert_eq!(next(RendererOption::Auto, Way::Wgpu, &Unable::BrokeDown { way: "wgpu" }), Some(Way::Glow));
        assert_eq!(next(RendererOption::Wgpu, Way::Wgpu, &failed()), None);
        assert_eq!(next(RendererOption::Glow, Way::Glow, &failed()), None);
        assert_eq!(next(RendererOption::Auto, Way::Wgpu, &Unable::NoScreen("x".to_owned())), None);
    }

    #[test]
    fn every_way_is_an_option_of_the_command_line() {
        use clap::ValueEnum as _;
        for way in [Way::Wgpu, Way::Glow] {
            let option = RendererOption::from_str(way.name(), false).unwrap();
            assert_eq!(first(option), way);
        }
    }

    #[test]
    fn the_windows_own_file_is_kept_apart_by_instance() {
        let folder = tempfile::tempdir().unwrap();
        let given = InstanceOptions { data_dir: Some(folder.path().to_owned()), ..InstanceOptions::default() };
        let given = window_file(&Instance::locate(&given).unwrap()).unwrap();
        assert!(given.starts_with(folder.path()));
        let named = InstanceOptions { instance: Some("two".to_owned()), ..InstanceOptions::default() };
        if let Some(named) = window_file(&Instance::locate(&named).unwrap()) {
            assert!(named.ends_with("two.window.ron"));
        }
    }
}

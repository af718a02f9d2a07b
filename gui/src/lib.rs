//! The operator's window of Waybill.
//!
//! It owns nothing but what is on screen. One direction: the [`controller`] talks to the agent on a thread of its own and keeps
//! the [`model`]; the window draws finished copies of it by its [`pages`]; a page gives back [`command`]s; they go to the
//! controller, and their outcome comes back in the model. Nothing ever blocks a frame, and nothing is painted unless
//! something changed.
//!
//! - [`options`]: the command line; [`launch`]: starting the agent
//! - [`controller`], [`model`], [`command`]: what is known and what is asked for
//! - [`shell`], [`pages`], [`widgets`]: what is drawn; [`theme`] has all colours and sizes, `text` all sentences
//! - [`render`]: the ways of drawing, tried one after the other

use std::process::ExitCode;

use waybill_shared::error::Exit;
use waybill_shared::paths::Instance;

mod app;
pub mod command;
pub mod controller;
pub mod launch;
pub mod model;
pub mod options;
pub mod pages;
pub mod render;
pub mod shell;
pub(crate) mod text;
pub mod theme;
pub mod widgets;

pub use options::Options;

/// Opens the window and returns when it is closed; or only starts the agent, if the options say so.
#[must_use]
pub fn run(options: &Options) -> ExitCode {
    log_to_stderr();
    let instance = match Instance::locate(&options.instance_options()) {
        Ok(instance) => instance,
        Err(sentence) => return failed(&sentence, Exit::Usage),
    };
    if options.start_agent {
        return match launch::start_if_absent(&instance) {
            Ok(()) => ExitCode::SUCCESS,
            // Autostart: nobody looks at a screen, so that this is no message box.
            Err(error) => {
                say(&format!("{error}\n{}", error.fix));
                ExitCode::from(error.code.exit() as u8)
            }
        };
    }
    match render::show_window(options, &instance) {
        Ok(code) => code,
        Err(unable) => failed(&text::no_window(&unable.to_string()), Exit::Internal),
    }
}

/// Tells what is wrong with the command line, or the help that was asked for.
#[must_use]
pub fn usage(error: &clap::Error) -> ExitCode {
    if HAS_CONSOLE {
        // A closed terminal is no reason to fail differently.
        let _closed = error.print();
    } else {
        render::message_box(text::APP, &error.to_string());
    }
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(Exit::Usage as u8))
}

/// Release builds for Windows have none.
const HAS_CONSOLE: bool = cfg!(any(not(windows), debug_assertions));

fn failed(why: &str, exit: Exit) -> ExitCode {
    say(why);
    render::message_box(text::NO_WINDOW_TITLE, why);
    ExitCode::from(exit as u8)
}

#[allow(clippy::print_stderr, reason = "the program ends with it: there is no window to say it in")]
fn say(text: &str) {
    eprintln!("{text}");
}

fn log_to_stderr() {
    let subscriber =
        tracing_subscriber::fmt().with_writer(std::io::stderr).with_ansi(false).with_max_level(tracing::Level::WARN).finish();
    // A second window in one process (a test) keeps the first one's.
    let _already = tracing::subscriber::set_global_default(subscriber);
}

//! The command line of the window.

use std::path::PathBuf;

use clap::{Parser, ValueEnum};
use waybill_shared::paths::{InstanceOptions, Scope};

/// The operator's window of Waybill: shows what the agent of this station does.
#[derive(Debug, Clone, Default, Parser)]
#[command(name = "waybill", version)]
pub struct Options {
    /// Name of the agent's instance
    #[arg(long, value_name = "NAME")]
    pub instance: Option<String>,
    /// Whom the agent belongs to; the machine if it has one, else the user
    #[arg(long)]
    pub scope: Option<ScopeOption>,
    /// Configuration file of the agent, for starting it
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Folder of everything the agent owns; names the agent that is shown
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Open no window: start the agent if none answers, and end
    #[arg(long)]
    pub start_agent: bool,
    /// How to draw; `auto` tries one after the other
    #[arg(long, value_enum, default_value_t)]
    pub renderer: RendererOption,
}

/// `--scope`
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ScopeOption {
    /// One agent for all who use this machine
    Machine,
    /// The agent of this user
    User,
}

/// `--renderer`
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum RendererOption {
    /// wgpu, and glow if that fails
    #[default]
    Auto,
    /// Vulkan, Metal or Direct3D; on the graphics processor, else on the processor
    Wgpu,
    /// OpenGL
    Glow,
}

impl Options {
    /// The part that names the instance.
    #[must_use]
    pub fn instance_options(&self) -> InstanceOptions {
        InstanceOptions {
            instance: self.instance.clone(),
            scope: self.scope.map(|scope| match scope {
                ScopeOption::Machine => Scope::Machine,
                ScopeOption::User => Scope::User,
            }),
            config: self.config.clone(),
            data_dir: self.data_dir.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;
    use waybill_shared::paths::Instance;

    #[test]
    fn the_command_line_is_well_formed() {
        Options::command().debug_assert();
    }

    #[test]
    fn every_option_of_the_instance_is_handed_on() {
        let line = ["waybill", "--instance", "two", "--scope", "user", "--config", "/c.toml", "--data-dir", "/d"];
        let instance = Instance::locate(&Options::parse_from(line).instance_options()).unwrap();
        let again = Options::parse_from(std::iter::once("waybill".into()).chain(instance.arguments())).instance_options();
        assert_eq!(Instance::locate(&again).unwrap(), instance);
        assert_eq!(again.instance.as_deref(), Some("two"));
    }

    /// What the agent writes into an entry of autostart.
    #[test]
    fn the_arguments_of_autostart_are_understood() {
        let line = ["waybill", "--instance", "two", "--config", "/c.toml", "--data-dir", "/d"];
        let instance = Instance::locate(&Options::parse_from(line).instance_options()).unwrap();
        let arguments = std::iter::once("waybill".to_owned())
            .chain(instance.arguments_as_text().unwrap())
            .chain(["--start-agent".to_owned()]);
        let options = Options::parse_from(arguments);
        assert!(options.start_agent);
        assert_eq!(Instance::locate(&options.instance_options()).unwrap(), instance);
    }
}

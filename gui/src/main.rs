//! The operator's window of Waybill.

// A window needs no console; debug builds keep it for the log.
#![cfg_attr(all(windows, not(debug_assertions)), windows_subsystem = "windows")]

use std::process::ExitCode;

use clap::Parser as _;
use waybill::Options;

fn main() -> ExitCode {
    match Options::try_parse() {
        Ok(options) => waybill::run(&options),
        Err(error) => waybill::usage(&error),
    }
}

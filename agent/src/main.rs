//! `waybill-agent`: see [`waybill_agent`].

use std::process::ExitCode;

fn main() -> ExitCode {
    waybill_agent::cli::main()
}

//! The text of a unit of systemd, from its template (systemd.unit(5), systemd.service(5), systemd.exec(5)).

use std::time::Duration;

use waybill_shared::paths::{Instance, Scope};

use crate::platform::start;

const TEMPLATE: &str = include_str!("../../../../assets/service/waybill-agent.service");

/// Only for the machine's services: a user's service manager may not make what these need.
const HARDENING: &str = "\
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectControlGroups=yes
ProtectClock=yes
RestrictNamespaces=yes
";

/// The unit that runs `program` for an instance whose agent takes so long to stop at most.
///
/// # Errors
/// A sentence: a path cannot stand in a unit.
pub(super) fn render(program: &str, instance: &Instance, longest_stop: Duration) -> Result<String, String> {
    let mut command = vec![quoted(program, false)?];
    for argument in instance.arguments_as_text()?.iter().map(String::as_str).chain(["run"]) {
        command.push(quoted(argument, true)?);
    }
    let (hardening, target) = match instance.scope {
        Scope::Machine => (HARDENING, "multi-user.target"),
        Scope::User => ("", "default.target"),
    };
    Ok(TEMPLATE
        .replace("@INSTANCE@", &instance.name)
        .replace("@DATA@", &quoted(&start::unicode(&instance.data)?, false)?)
        .replace("@COMMAND@", &command.join(" "))
        .replace("@STOP@", &longest_stop.as_secs().to_string())
        .replace("@HARDENING@", hardening)
        .replace("@TARGET@", target))
}

/// The command of a unit that was written by [`render`], as its line says it.
pub(super) fn command(unit: &str) -> Option<&str> {
    unit.lines().find_map(|line| line.strip_prefix("ExecStart="))
}

/// A word in quotes if it needs them. What systemd would fill in is doubled: `%` everywhere, `$` in arguments.
fn quoted(word: &str, is_argument: bool) -> Result<String, String> {
    if word.contains(char::is_control) {
        return Err(format!("{word:?} holds a control character, which no unit can"));
    }
    let mut text = word.replace('%', "%%");
    if is_argument {
        text = text.replace('$', "$$");
    }
    let harmless = |c: char| c.is_alphanumeric() || "/._-+:=@,%$".contains(c);
    if !text.is_empty() && text.chars().all(harmless) {
        return Ok(text);
    }
    Ok(format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"")))
}

/// A name as systemd takes it: what is not ASCII is written as `systemd-escape` does.
pub(super) fn unit_name(name: &str) -> String {
    let mut text = String::new();
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte) {
            text.push(char::from(byte));
        } else {
            text.push_str(&format!("\\x{byte:02x}"));
        }
    }
    format!("{text}.service")
}

#[cfg(test)]
mod tests {
    use super::*;
    use waybill_shared::paths::InstanceOptions;

    const STOP: Duration = Duration::from_secs(610);

    fn instance(folder: &std::path::Path, scope: Scope) -> Instance {
        let options = InstanceOptions { data_dir: Some(folder.to_owned()), scope: Some(scope), ..InstanceOptions::default() };
        Instance::locate(&options).unwrap()
    }

    #[test]
    fn words_are_quoted_as_systemd_reads_them() {
        let folder = std::path::Path::new("/data/50% $of \"a\\b\"");
        let unit = render("/opt/my $tools/waybill-agent", &instance(folder, Scope::User), STOP).unwrap();
        assert_eq!(
            command(&unit),
            Some(r#""/opt/my $tools/waybill-agent" --scope user --data-dir "/data/50%% $$of \"a\\b\"" run"#)
        );
        assert!(unit.contains("\nRequiresMountsFor=\"/data/50%% $of \\\"a\\\\b\\\"\"\n"), "{unit}");
        assert!(render("/opt/a\nUser=root/waybill-agent", &instance(folder, Scope::User), STOP).is_err());
    }

    #[test]
    fn a_unit_has_no_place_left_open_and_says_what_the_design_asks_for() {
        let folder = tempfile::tempdir().unwrap();
        for scope in [Scope::User, Scope::Machine] {
            let unit = render("/opt/waybill/waybill-agent", &instance(folder.path(), scope), STOP).unwrap();
            assert!(!unit.contains('@'), "{unit}");
            let restart = format!("RestartForceExitStatus={}", waybill_shared::error::Exit::RestartWanted as u8);
            for line in
                ["Type=notify", "NotifyAccess=main", "TimeoutStopSec=610", "KillMode=mixed", "Restart=on-failure", &restart]
            {
                assert!(unit.lines().any(|there| there == line), "{line}\n{unit}");
            }
            assert!(unit.contains("WatchdogSec="), "{unit}");
            // A full disk has room again some time, and nobody is there to say so: it is never left alone for good.
            let restarts = ["StartLimitIntervalSec=0", "RestartSec=10", "RestartPreventExitStatus=2 4 5"];
            assert!(restarts.iter().all(|line| unit.lines().any(|there| there == *line)), "{unit}");
            assert!(!unit.contains("StartLimitBurst"), "{unit}");
            // What would hide or write-protect watch folders.
            for hindering in
                ["ProtectHome", "ProtectSystem", "PrivateTmp", "ReadOnlyPaths", "InaccessiblePaths", "PrivateDevices"]
            {
                assert!(!unit.contains(hindering), "{hindering}\n{unit}");
            }
        }
    }

    #[test]
    fn names_are_those_that_systemd_takes() {
        assert_eq!(unit_name("waybill-agent-ST_07.b"), "waybill-agent-ST_07.b.service");
        assert_eq!(unit_name("waybill-agent-ä"), "waybill-agent-\\xc3\\xa4.service");
    }

    /// Asks systemd itself, where it is installed. Only reads files.
    #[test]
    #[cfg(target_os = "linux")]
    fn systemd_finds_nothing_wrong_with_the_units() {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("waybill agent");
        waybill_shared::fs::atomic::replace(&program, b"#!/bin/sh\n").unwrap();
        std::fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        for (scope, option) in [(Scope::User, "--user"), (Scope::Machine, "--system")] {
            let unit = render(program.to_str().unwrap(), &instance(folder.path(), scope), STOP).unwrap();
            let file = folder.path().join(unit_name("waybill-agent-test"));
            waybill_shared::fs::atomic::replace(&file, unit.as_bytes()).unwrap();
            let mut verify = std::process::Command::new("systemd-analyze");
            verify.arg("verify").arg("--man=no").arg(option).arg(&file).env("XDG_RUNTIME_DIR", folder.path());
            match verify.output() {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                    println!("skipped: systemd-analyze is not installed");
                    return;
                }
                found => {
                    let found = found.unwrap();
                    let said = String::from_utf8_lossy(&found.stderr).into_owned();
                    // What it says of other units of this machine is none of ours.
                    let ours: Vec<&str> = said.lines().filter(|line| line.contains("waybill")).collect();
                    assert!(ours.is_empty(), "{scope:?}: {said}\n{unit}");
                    if !found.status.success() {
                        println!("systemd-analyze ended with {} and said nothing of this unit: {said}", found.status);
                    }
                }
            }
        }
    }
}

//! Where the agent's binary is, and that it is no older than its sources.
//!
//! `cargo test --workspace` builds it; `cargo test -p waybill-tests` builds only this crate, so what is missing or stale is
//! built here, once a process, with the profile and for the target of the running test. `WAYBILL_AGENT` names another one,
//! which is taken as it is (a release, an older version).

use std::env::consts::EXE_SUFFIX;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::SystemTime;

/// The agent's binary. Panics if there is none and none can be built.
#[must_use]
pub fn binary() -> &'static Path {
    static BINARY: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    match BINARY.get_or_init(find) {
        Ok(path) => path,
        Err(reason) => panic!("no waybill-agent to test: {reason}"),
    }
}

fn find() -> Result<PathBuf, String> {
    if let Some(path) = std::env::var_os("WAYBILL_AGENT") {
        let path = PathBuf::from(path);
        return if path.is_file() { Ok(path) } else { Err(format!("WAYBILL_AGENT names {}, which is no file", path.display())) };
    }
    let test = std::env::current_exe().map_err(|error| format!("the path of this test: {error}"))?;
    let profile = profile_folder(&test).ok_or_else(|| format!("{} lies in no target folder", test.display()))?;
    let binary = profile.join(format!("waybill-agent{EXE_SUFFIX}"));
    if !is_current(&binary) {
        build(profile)?;
    }
    if binary.is_file() { Ok(binary) } else { Err(format!("{} was built and is not there", binary.display())) }
}

/// `target/[<triple>/]<profile>` of `target/[<triple>/]<profile>/deps/<test>`.
fn profile_folder(test: &Path) -> Option<&Path> {
    test.parent()?.parent()
}

/// True if the binary is there and no source that it was made of is newer, as Cargo's dependency file beside it names them.
fn is_current(binary: &Path) -> bool {
    let modified = |path: &Path| std::fs::metadata(path).and_then(|meta| meta.modified()).ok();
    let Some(built) = modified(binary) else { return false };
    let Ok(rule) = std::fs::read_to_string(binary.with_extension("d")) else { return true };
    // A source that is not there cannot be judged from here (a binary for another machine).
    let newest = sources(&rule).iter().filter_map(|path| modified(path)).max();
    newest.unwrap_or(SystemTime::UNIX_EPOCH) <= built
}

/// The sources of a rule `binary: source source …`, with spaces escaped by `\`.
fn sources(rule: &str) -> Vec<PathBuf> {
    let Some((_, list)) = rule.lines().next().and_then(|line| line.split_once(": ")) else { return Vec::new() };
    let escaped = list.replace("\\ ", "\0");
    escaped.split_whitespace().map(|path| PathBuf::from(path.replace('\0', " "))).collect()
}

fn build(profile: &Path) -> Result<(), String> {
    let name = profile.file_name().and_then(|name| name.to_str()).unwrap_or("debug");
    let above = profile.parent().ok_or("a profile folder without a target folder")?;
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(env!("CARGO_MANIFEST_DIR")).args(["build", "-p", "waybill-agent", "--bin", "waybill-agent", "--profile"]);
    command.arg(if name == "debug" { "dev" } else { name });
    // Where this test lies is where the binary is looked for. The target folder itself is the one with Cargo's own file.
    let triple = above.file_name().filter(|_| !above.join(".rustc_info.json").exists());
    match (triple, above.parent()) {
        (Some(triple), Some(target)) => command.arg("--target").arg(triple).arg("--target-dir").arg(target),
        _ => command.arg("--target-dir").arg(above).env_remove("CARGO_BUILD_TARGET"),
    };
    eprintln!("building the agent for this test: {command:?}");
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{command:?}: {}\n{}", output.status, String::from_utf8_lossy(&output.stderr)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_of_a_dependency_file() {
        assert_eq!(sources("/t/a: /s/main.rs /s/a\\ b.rs\n"), [PathBuf::from("/s/main.rs"), PathBuf::from("/s/a b.rs")]);
        assert!(sources("").is_empty());
    }

    #[test]
    fn a_binary_is_stale_when_a_source_is_newer() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        assert!(!is_current(&at("agent")));
        std::fs::write(at("main.rs"), "").unwrap();
        std::fs::write(at("agent"), "").unwrap();
        assert!(is_current(&at("agent")));
        std::fs::write(at("agent.d"), format!("agent: {} /not/there.rs", at("main.rs").display())).unwrap();
        assert!(is_current(&at("agent")));
        let later = SystemTime::now() + std::time::Duration::from_secs(60);
        std::fs::File::options().write(true).open(at("main.rs")).unwrap().set_modified(later).unwrap();
        assert!(!is_current(&at("agent")));
    }

    #[test]
    fn this_test_lies_in_a_profile_folder() {
        let test = std::env::current_exe().unwrap();
        assert!(profile_folder(&test).unwrap().join("deps").is_dir());
    }
}

//! The house rules that a compiler does not check: who may depend on whom, where the serializer and `unsafe` may be named,
//! what lies at the top level, and that every dependency has its reason written down. The tree is the same everywhere: it is looked at where
//! `cargo` is a program of the system that runs the tests, which under Wine it is not.

#![cfg(not(windows))]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a fault of this test is told where it stands")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, PackageId};

const SHARED: &str = "waybill-shared";
const IPC: &str = "waybill-ipc";
const AGENT: &str = "waybill-agent";
const GUI: &str = "waybill";
const TESTS: &str = "waybill-tests";

#[test]
fn window_and_agent_never_depend_on_each_other() {
    refuse(GUI, &[AGENT, TESTS]);
    refuse(AGENT, &[GUI, TESTS]);
}

#[test]
fn the_vocabulary_knows_no_runtime_no_window_and_nobody_else() {
    refuse(SHARED, &[IPC, AGENT, GUI, TESTS, "tokio", "egui", "eframe"]);
}

#[test]
fn the_conversation_knows_only_the_vocabulary() {
    refuse(IPC, &[AGENT, GUI, TESTS, "egui", "eframe"]);
    assert!(direct(IPC).contains(SHARED));
}

#[test]
fn the_window_owns_no_queue_no_upload_and_no_watch() {
    refuse(GUI, &["rusqlite", "reqwest", "notify"]);
}

#[test]
fn the_agent_runs_without_a_window() {
    refuse(AGENT, &["egui", "eframe"]);
}

#[test]
fn black_box_tests_link_neither_program() {
    refuse(TESTS, &[AGENT, GUI]);
}

#[test]
#[should_panic(expected = "waybill may not depend on serde_json, and does: waybill → ")]
fn a_forbidden_dependency_is_found_however_deep() {
    refuse(GUI, &["serde_json"]);
}

#[test]
fn one_file_names_the_serializer() {
    // In two parts, or this file would be the second one.
    let name = concat!("bin", "code");
    let naming: Vec<_> = sources().into_iter().filter(|(_, text)| has_word(text, name)).map(|(path, _)| path).collect();
    assert_eq!(naming, [PathBuf::from("ipc/src/codec.rs")]);
}

#[test]
fn unsafe_code_lives_in_platform_files() {
    let allowed = |path: &Path| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        matches!(name, "unix.rs" | "windows.rs" | "linux.rs" | "macos.rs")
            || path.components().any(|part| part.as_os_str() == "platform")
    };
    let elsewhere: Vec<_> = sources()
        .into_iter()
        .filter(|(path, text)| !allowed(path) && has_word(&code_of(text), "unsafe"))
        .map(|(path, _)| path)
        .collect();
    assert!(elsewhere.is_empty(), "move it to a platform file with equal signatures a system: {elsewhere:?}");
}

#[test]
fn the_top_level_holds_what_the_design_names_and_nothing_else() {
    const NAMED: [&str; 16] = [
        "Cargo.toml",
        "Cargo.lock",
        "gui",
        "agent",
        "ipc",
        "shared",
        "assets",
        "tests",
        "README.md",
        "CHANGELOG.md",
        "CONTRIBUTING.md",
        "LICENSE-MIT",
        "LICENSE-APACHE",
        "rustfmt.toml",
        "clippy.toml",
        "deny.toml",
    ];
    let strange: Vec<_> =
        top_level().into_iter().filter(|name| !name.starts_with('.') && !NAMED.contains(&name.as_str())).collect();
    assert!(strange.is_empty(), "{strange:?}");
}

#[test]
fn every_dependency_has_its_reason_written_down() {
    let manifest: toml::Table = toml::from_str(&read("Cargo.toml")).unwrap();
    let dependencies = manifest["workspace"]["dependencies"].as_table().unwrap();
    let reasons = read("CONTRIBUTING.md");
    let unexplained: Vec<_> =
        dependencies.keys().filter(|name| !name.starts_with("waybill-") && !has_word(&reasons, name)).collect();
    assert!(unexplained.is_empty(), "not named in CONTRIBUTING.md: {unexplained:?}");
}

#[test]
fn words_and_code_are_told_apart() {
    assert!(has_word("a `tokio` b", "tokio") && has_word("tokio", "tokio") && has_word("tokio_util tokio", "tokio"));
    assert!(!has_word("tokio-util", "tokio") && !has_word("unsafe_code", "unsafe") && !has_word("mytokio", "tokio"));
    assert!(has_word(&code_of("fn a() { unsafe { b() } }"), "unsafe"));
    for text in [
        "// unsafe",
        "/* unsafe /* unsafe */ unsafe */",
        r#""unsafe""#,
        r#""\" unsafe""#,
        "r#\"unsafe \" unsafe\"#",
        "b\"unsafe\"",
        "#[allow(unsafe_code)]",
    ] {
        assert!(!has_word(&code_of(text), "unsafe"), "{text}");
    }
    for text in ["'\"' unsafe", "'\\'' unsafe", "&'a unsafe", "\"\\\\\" unsafe", "r\"\\\" unsafe", "for unsafe", "b'\"' unsafe"] {
        assert!(has_word(&code_of(text), "unsafe"), "{text}");
    }
}

/// Fails if `package`, shipped or built, depends on one of `refused`, by whatever way.
fn refuse(package: &str, refused: &[&str]) {
    let mut ways: BTreeMap<&PackageId, Vec<&str>> = BTreeMap::new();
    let start = metadata().workspace_packages().into_iter().find(|found| found.name == package);
    let mut open = vec![&start.unwrap_or_else(|| panic!("no package {package}")).id];
    ways.insert(open[0], vec![package]);
    while let Some(id) = open.pop() {
        let way = ways[id].clone();
        for next in dependencies(id) {
            if !ways.contains_key(next) {
                let name = metadata()[next].name.as_str();
                let way: Vec<_> = way.iter().copied().chain([name]).collect();
                assert!(!refused.contains(&name), "{package} may not depend on {name}, and does: {}", way.join(" → "));
                ways.insert(next, way);
                open.push(next);
            }
        }
    }
}

/// What a package depends on to be built and run; what its tests need is its own affair.
fn dependencies(id: &PackageId) -> impl Iterator<Item = &'static PackageId> {
    let graph = metadata().resolve.as_ref().expect("the resolved graph");
    let node = graph.nodes.iter().find(|node| node.id == *id).expect("a node of the graph");
    let shipped = |kind: &cargo_metadata::DepKindInfo| kind.kind != DependencyKind::Development;
    node.deps.iter().filter(move |dependency| dependency.dep_kinds.iter().any(shipped)).map(|dependency| &dependency.pkg)
}

fn direct(package: &str) -> BTreeSet<&'static str> {
    let found = metadata().workspace_packages().into_iter().find(|found| found.name == package);
    dependencies(&found.unwrap_or_else(|| panic!("no package {package}")).id).map(|id| metadata()[id].name.as_str()).collect()
}

fn metadata() -> &'static Metadata {
    static METADATA: OnceLock<Metadata> = OnceLock::new();
    METADATA.get_or_init(|| {
        let mut command = MetadataCommand::new();
        // The lock file says what is built: nothing is resolved anew.
        command.manifest_path(concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml")).other_options(vec!["--locked".to_owned()]);
        command.exec().unwrap_or_else(|error| panic!("cargo metadata: {error}"))
    })
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace above this crate")
}

fn read(name: &str) -> String {
    std::fs::read_to_string(root().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// First parts of the paths that are under version control; without it, what lies there.
fn top_level() -> BTreeSet<String> {
    let listed = Command::new("git").args(["ls-files", "-z"]).current_dir(root()).output();
    let files = listed.ok().filter(|output| output.status.success()).map(|output| output.stdout).unwrap_or_default();
    let files = String::from_utf8_lossy(&files);
    let first = |path: &str| path.split('/').next().filter(|part| !part.is_empty()).map(str::to_owned);
    let tracked: BTreeSet<_> = files.split('\0').filter_map(first).collect();
    if !tracked.is_empty() {
        return tracked;
    }
    let entries = std::fs::read_dir(root()).expect("the workspace").flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).filter(|name| name != "target").collect()
}

/// All Rust files of the workspace by their path in it, sorted.
fn sources() -> Vec<(PathBuf, String)> {
    let mut found = BTreeMap::new();
    let mut open: Vec<_> = ["gui", "agent", "ipc", "shared", "assets", "tests"].map(PathBuf::from).into();
    while let Some(folder) = open.pop() {
        let entries = std::fs::read_dir(root().join(&folder)).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        for entry in entries.flatten() {
            let path = folder.join(entry.file_name());
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                if entry.file_name() != "target" {
                    open.push(path);
                }
            } else if path.extension().is_some_and(|end| end == "rs") {
                let text = std::fs::read_to_string(entry.path()).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
                found.insert(path, text);
            }
        }
    }
    assert!(found.len() > 40, "only {} Rust files found: this test looks in the wrong place", found.len());
    found.into_iter().collect()
}

/// True if `word` stands in the text by itself, not as a part of a longer name.
fn has_word(text: &str, word: &str) -> bool {
    let part = |c: char| c.is_alphanumeric() || c == '_' || c == '-';
    text.match_indices(word).any(|(at, _)| {
        let (before, after) = (&text[..at], &text[at + word.len()..]);
        !before.ends_with(part) && !after.starts_with(part)
    })
}

/// A Rust text without its comments and without what its strings and characters hold.
fn code_of(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(next) = rest.chars().next() {
        let skipped = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            block_comment(rest)
        } else if next == '"' {
            quoted(rest, '"')
        } else if next == '\'' {
            character(rest)
        } else if !code.ends_with(|c: char| c.is_alphanumeric() || c == '_') {
            raw_string(rest)
        } else {
            0
        };
        if skipped == 0 {
            code.push(next);
            rest = &rest[next.len_utf8()..];
        } else {
            code.push(' ');
            rest = &rest[skipped..];
        }
    }
    code
}

/// Length of the comment that the text begins with; comments nest.
fn block_comment(text: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < text.len() {
        let rest = &text.as_bytes()[at..];
        match rest {
            [b'/', b'*', ..] => (depth, at) = (depth + 1, at + 2),
            [b'*', b'/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return at;
        }
    }
    text.len()
}

/// Length of the literal in `quote`s that the text begins with.
fn quoted(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => return at + c.len_utf8(),
            _ => {}
        }
    }
    text.len()
}

/// Length of the character that the text begins with; 0 for a lifetime.
fn character(text: &str) -> usize {
    let mut inner = text.chars().skip(1);
    match (inner.next(), inner.next()) {
        (Some('\\'), _) | (Some(_), Some('\'')) => quoted(text, '\''),
        _ => 0,
    }
}

/// Length of the raw string that the text begins with; 0 if it begins with none.
fn raw_string(text: &str) -> usize {
    let after_prefix = text.strip_prefix("br").or_else(|| text.strip_prefix("cr")).or_else(|| text.strip_prefix('r'));
    let Some(hashes_and_more) = after_prefix else { return 0 };
    let opened = hashes_and_more.trim_start_matches('#');
    let Some(content) = opened.strip_prefix('"') else { return 0 };
    let end = format!("\"{}", "#".repeat(hashes_and_more.len() - opened.len()));
    let start = text.len() - content.len();
    content.find(&end).map_or(text.len(), |at| start + at + end.len())
}

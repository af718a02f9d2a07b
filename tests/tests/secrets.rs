//! No secret gets anywhere but to its server: thirty-odd of them go through everything that could show one, and then every file, answer and
//! output is searched for each, as it is and as programs write it.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a fault of this test is told where it stands")]

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use waybill_ipc::protocol::{
    ConfigChange, ConfigVersion, DeliveryFilter, HistoryFilter, LogFilter, Page, Reply, Request, SecretRow, SecretText, Unsent,
};
use waybill_shared::config::Edit;
use waybill_tests::agent::CliOutput;
use waybill_tests::ipc::Ipc;
use waybill_tests::station::StationBuilder;
use waybill_tests::{Agent, Behaviour, ForwardProxy, Receiver, Station, cli, cli_with, ipc_client, wait_until};

const TOKEN: &str = "destination.main.token";

/// Secrets of every kind that people and servers make up, and that a program could write in another way than it read them. None is a word
/// that a log may hold for another reason.
fn corpus() -> Vec<String> {
    let long = "Zq9".repeat(600);
    let plain = [
        "d2F5YmlsbDpzM2NyM3QtMDAx",
        "d2F5YmlsbDpzM2NyM3QtMDA=",
        "d2F5YmlsbDpzM2NyMw==",
        "AbC+/dEf/GhI+jKl0=",
        "Xq7Zp4Lm",
        "k1LlM3-n0w",
        "hunter2-hunter2",
        "correct horse battery staple",
        "quote\"in\"the\"middle",
        "'single'quoted'",
        "back\\slash\\es",
        "ends-with-backslash\\",
        "{\"json\":\"inside\"}",
        "[1,2,\"drei\"]x",
        "a=b&c=d;e=f,g",
        "key=value-like-1",
        "token: nested-4711",
        "100%25-encoded%20twice",
        "percent%zz-broken",
        "https://user:pw@h0st/",
        "<xml attr='1'>&amp;",
        "${HOME}-$(id)-`id`",
        "%n%s%x-format-0",
        "{}{0}{:?}-braces",
        "Bearer-abc.def-ghi_jkl~1",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ3YiJ9.c2lnbmF0dXJl",
        "ghp_0123456789abcdefABCDEF",
        "ünïcödé-Schlüssel",
        "密码-令牌-七",
        "пароль-станции",
        "🔑🔑-emoji-🔒",
        "e\u{301}-combining-a\u{30a}",
        "\u{202e}right-to-left",
        "tab-less  two  spaces",
        "00000000-dead-beef-0000-000000000007",
        "-----BEGIN-ISH-KEY-----",
    ];
    plain.into_iter().map(str::to_owned).chain([long]).collect()
}

/// A secret as it is, and as it stands in JSON, in Rust's own words, in an address and behind a name in a header.
fn forms(secret: &str) -> Vec<String> {
    let json = serde_json::to_string(secret).unwrap();
    let debug = format!("{secret:?}");
    let percent: String = secret
        .bytes()
        .map(|b| match b {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => char::from(b).to_string(),
            _ => format!("%{b:02X}"),
        })
        .collect();
    let mut forms = vec![
        secret.to_owned(),
        json[1..json.len() - 1].to_owned(),
        debug[1..debug.len() - 1].to_owned(),
        percent,
        STANDARD.encode(secret),
        STANDARD.encode(format!("line1:{secret}")),
    ];
    forms.sort();
    forms.dedup();
    forms
}

/// Everything that was written or said, by where.
#[derive(Default)]
struct Seen(BTreeMap<String, Vec<u8>>);

impl Seen {
    fn add(&mut self, place: &str, bytes: impl AsRef<[u8]>) {
        self.0.entry(place.to_owned()).or_default().extend_from_slice(bytes.as_ref());
    }

    fn output(&mut self, arguments: &[&str], output: &CliOutput) {
        self.add(&format!("`{}`", arguments.join(" ")), output.to_string());
    }

    fn said(&mut self, place: &str, said: &impl std::fmt::Debug) {
        self.add(place, format!("{said:?}\n"));
    }

    /// All files of a folder, but for where secrets belong.
    fn files(&mut self, folder: &Path, secrets: &Path) {
        for entry in std::fs::read_dir(folder).unwrap().flatten() {
            let path = entry.path();
            if path == secrets {
                continue;
            }
            if path.is_dir() {
                self.files(&path, secrets);
            } else if path.extension().is_some_and(|extension| extension == "zip") {
                self.zip(&path);
            } else if let Ok(bytes) = std::fs::read(&path) {
                self.add(&path.display().to_string().replace('\\', "/"), bytes);
            }
        }
    }

    fn zip(&mut self, path: &Path) {
        let mut zip = zip::ZipArchive::new(std::fs::File::open(path).unwrap()).unwrap();
        for index in 0..zip.len() {
            let mut file = zip.by_index(index).unwrap();
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes).unwrap();
            let place = format!("{} in {}", file.name().unwrap(), path.display());
            self.add(&place, bytes);
        }
    }

    #[track_caller]
    fn holds_none_of(&self, secrets: &[String]) {
        let mut found = Vec::new();
        for secret in secrets {
            for form in forms(secret) {
                for (place, bytes) in &self.0 {
                    if let Some(at) = bytes.windows(form.len()).position(|window| window == form.as_bytes()) {
                        let around = &bytes[at.saturating_sub(150)..bytes.len().min(at + form.len() + 50)];
                        found.push(format!("{form:?} is in {place}: …{}…", String::from_utf8_lossy(around)));
                    }
                }
            }
        }
        assert!(found.is_empty(), "{} times:\n{}", found.len(), found[..found.len().min(10)].join("\n"));
    }

    #[track_caller]
    fn has(&self, place: &str, text: &str) {
        let found = self
            .0
            .iter()
            .any(|(known, bytes)| known.contains(place) && bytes.windows(text.len()).any(|window| window == text.as_bytes()));
        let known: Vec<_> = self.0.keys().filter(|known| known.contains(place)).collect();
        assert!(found, "{text:?} should be in {place:?}: {known:?}");
    }
}

fn builder() -> StationBuilder {
    Station::builder()
        .source("ict", |source| source.patterns(["*.json"]).converter("wsjf"))
        .quick()
        .setting("log", "level", "trace")
        .setting("ipc", "changes_per_minute", 10_000)
        .setting("ipc", "changes_burst", 10_000)
}

fn text(secret: &str) -> SecretText {
    SecretText::new(secret)
}

/// Asks for everything that is for everybody to see.
fn look_at_everything(ipc: &Ipc, seen: &mut Seen) {
    let page = Page { after: None, limit: 1000 };
    for request in [
        Request::Status,
        Request::Deliveries { filter: DeliveryFilter::default(), page },
        Request::ConversionErrors { page },
        Request::Health { fresh: true },
        Request::History { filter: HistoryFilter::default(), page },
        Request::Logs { filter: LogFilter::default(), limit: 1000 },
        Request::Config,
        Request::ConfigBackups,
        Request::ConfigText { version: ConfigVersion::Current },
        Request::Secrets,
        Request::Access,
        Request::Diagnose,
    ] {
        let place = format!("the answer to {request:?}");
        let answer = ipc.request(request);
        assert!(answer.is_ok(), "{place}: {answer:?}");
        seen.said(&place, &answer);
    }
}

fn commands(station: &Station, seen: &mut Seen) {
    for arguments in [
        &["status"][..],
        &["status", "--json"],
        &["queue", "list"],
        &["queue", "list", "--json"],
        &["logs", "--lines", "5000"],
        &["logs", "--lines", "5000", "--json"],
        &["health"],
        &["health", "--json"],
        &["history", "list"],
        &["history", "list", "--csv"],
        &["history", "list", "--json"],
        &["secret", "status"],
        &["secret", "status", "--json"],
        &["config", "show"],
        &["access", "status"],
        &["diagnose"],
        &["diagnose", "--json"],
    ] {
        seen.output(arguments, &cli(station, arguments));
    }
}

#[test]
fn thirty_odd_tokens_that_servers_echo_in_their_answers_are_nowhere_to_be_found() {
    let (receiver, secrets) = (Receiver::start(), corpus());
    let station = builder().wats_at("main", &receiver.url(), None).build();
    station.drop_reports("ict", 0..3);
    let mut agent = Agent::start(&station);
    let (mut ipc, mut seen) = (ipc_client(&station), Seen::default());
    ipc.subscribe().unwrap();
    for (number, secret) in secrets.iter().enumerate() {
        receiver.set_token(secret);
        let code = [401, 403, 500, 407, 404, 503, 302, 429][number % 8];
        receiver.set(Behaviour::Status { code, body: "the token {token} is not ours".to_owned(), headers: Vec::new() });
        // One is only tried, the other is set: both are sent, if a header can hold them.
        let tried =
            ipc.request(Request::TestDestination { name: "main".to_owned(), edits: Vec::new(), token: Some(text(secret)) });
        seen.said("the answer to a test", &tried);
        let before = receiver.posts().len();
        let answer = ipc.request(Request::SetSecret { name: TOKEN.to_owned(), value: text(secret) });
        assert!(matches!(&answer, Ok(Reply::Secrets(rows)) if rows[0].set), "{secret:?}: {answer:?}");
        seen.said("the answer to SetSecret", &answer);
        if secret.is_ascii() {
            receiver.wait(|state| state.posts.len() > before);
        }
    }
    assert!(receiver.posts().len() > 20, "they were really sent");
    // A report that is refused for good keeps the words of the server.
    let last = secrets.iter().find(|secret| secret.is_ascii()).unwrap();
    receiver.set_token(last);
    receiver.set_token(last);
    ipc.request(Request::SetSecret { name: TOKEN.to_owned(), value: text(last) }).unwrap();
    receiver.set(Behaviour::Status { code: 422, body: "no: {token}".to_owned(), headers: Vec::new() });
    agent.wait_for("all are refused", |s| s.destinations[0].failed == 3);
    seen.add("agent.log of now", station_log(&station));
    look_at_everything(&ipc, &mut seen);
    commands(&station, &mut seen);
    let updates: Vec<_> = std::iter::from_fn(|| ipc.next_update(Duration::from_millis(200))).collect();
    assert!(updates.len() > 20, "{} events", updates.len());
    seen.said("the events", &updates);
    assert!(agent.stop().success());
    commands(&station, &mut seen);
    seen.add("the agent's own output", format!("{}{}", agent.stdout(), agent.stderr()));
    seen.files(&station.data(), &station.instance().secrets());
    for (place, text) in [
        ("queue.db", "answered 422"),
        ("`queue list`", "answered 422"),
        ("history.db", "secret.set"),
        ("logs/agent.log", "answered 401"),
        ("secrets.json in", TOKEN),
        ("agent.log in", "answered 422"),
        ("the events", "Destination"),
        ("SetSecret", "Secrets"),
    ] {
        seen.has(place, text);
    }
    seen.holds_none_of(&secrets);
}

fn station_log(station: &Station) -> Vec<u8> {
    std::fs::read(station.instance().logs().join("agent.log")).unwrap()
}

#[test]
fn passwords_of_a_proxy_that_refuses_them_are_nowhere_to_be_found() {
    let (receiver, proxy) = (Receiver::start(), ForwardProxy::start(Some("line1:another")));
    let secrets: Vec<String> = corpus().into_iter().filter(|secret| secret.len() < 100).collect();
    let station = builder()
        .wats(&receiver)
        .setting("proxy", "mode", "manual")
        .setting("proxy", "url", proxy.url())
        .setting("proxy", "user", "line1")
        .build();
    station.drop_reports("ict", 0..2);
    let mut agent = Agent::start(&station);
    let (ipc, mut seen) = (ipc_client(&station), Seen::default());
    for secret in &secrets {
        let answer = ipc.request(Request::SetSecret { name: "proxy.password".to_owned(), value: text(secret) });
        assert!(answer.is_ok(), "{secret:?}: {answer:?}");
        let test = ipc.request(Request::TestDestination { name: "main".to_owned(), edits: Vec::new(), token: None });
        seen.said("the answers to SetSecret and a test", &(answer, test));
    }
    assert!(proxy.lines().len() >= secrets.len() / 2, "the proxy was really asked");
    look_at_everything(&ipc, &mut seen);
    commands(&station, &mut seen);
    assert!(agent.stop().success());
    seen.add("the agent's own output", format!("{}{}", agent.stdout(), agent.stderr()));
    seen.files(&station.data(), &station.instance().secrets());
    seen.holds_none_of(&secrets);
}

#[test]
fn a_token_that_somebody_writes_into_the_configuration_is_refused_without_being_repeated() {
    let receiver = Receiver::start();
    let station = builder().wats(&receiver).build();
    let mut agent = Agent::start(&station);
    let ipc = ipc_client(&station);
    // Without characters that need quotes on a command line or in TOML.
    let simple =
        |secret: &String| secret.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '+' | '/' | '='));
    let secrets: Vec<String> = corpus().into_iter().filter(simple).collect();
    let (mut seen, good) = (Seen::default(), station.config_text());
    for secret in &secrets {
        let edits = vec![Edit::Set { place: TOKEN.to_owned(), value: secret.clone() }];
        let change = ConfigChange { base: None, edits, unsent: Unsent::Refuse, dry_run: false };
        let refused = ipc.request(Request::ConfigChange(change));
        assert!(refused.is_err(), "{refused:?}");
        seen.said("the answer to ConfigChange", &refused);
    }
    let secret = &secrets[0];
    let argument = format!("destination.main.token={secret}");
    let output = cli(&station, &["config", "set", &argument]);
    assert!(!output.success(), "{output}");
    seen.add("`config set`", output.to_string());
    station.write_config(&format!("{good}\ntoken = \"{secret}\"\n"));
    agent.wait_for("the file is refused", |s| s.agent.config_problem.is_some());
    let arguments = ["config", "validate"];
    let output = cli(&station, &arguments);
    assert!(!output.success(), "{output}");
    seen.output(&arguments, &output);
    look_at_everything(&ipc, &mut seen);
    commands(&station, &mut seen);
    assert!(agent.stop().success());
    seen.files(&station.data(), &station.instance().secrets());
    seen.holds_none_of(&secrets);
}

#[test]
fn secrets_are_set_and_forgotten_without_an_agent_and_never_shown() {
    let receiver = Receiver::start();
    let station = builder().wats_at("main", &receiver.url(), None).build();
    let (secrets, mut seen) = (corpus(), Seen::default());
    let status = || -> Vec<SecretRow> {
        let output = cli(&station, &["secret", "status", "--json"]);
        assert!(output.success(), "{output}");
        serde_json::from_str(&output.stdout).unwrap()
    };
    assert_eq!(status().iter().map(|row| (row.name.as_str(), row.set)).collect::<Vec<_>>(), [(TOKEN, false)]);
    for secret in &secrets {
        let arguments = ["secret", "set", TOKEN, "--file", "-"];
        let output = cli_with(&station, &arguments, Some(format!("{secret}\n").as_bytes()), Duration::from_secs(60));
        assert!(output.success(), "{secret:?}: {output}");
        seen.output(&arguments, &output);
        assert!(status()[0].set);
    }
    let kept = std::fs::read_to_string(station.instance().secrets().join(TOKEN)).unwrap();
    assert_eq!(kept.trim(), secrets.last().unwrap(), "the last one counts");
    for bad in ["", "two\nlines", &"x".repeat(100_000)] {
        let output = cli_with(&station, &["secret", "set", TOKEN, "--file", "-"], Some(bad.as_bytes()), Duration::from_secs(60));
        assert!(!output.success() && output.stderr.contains(TOKEN), "{output}");
    }
    assert!(status()[0].set, "the old one still counts");
    let unknown =
        cli_with(&station, &["secret", "set", "destination.other.token", "--file", "-"], Some(b"x"), Duration::from_secs(60));
    assert!(unknown.stderr.contains(TOKEN) && unknown.code() == Some(2), "{unknown}");
    let nobody = cli(&station, &["secret", "set", TOKEN]);
    assert!(nobody.stderr.contains("--file") && !nobody.success(), "{nobody}");
    commands(&station, &mut seen);
    assert!(cli(&station, &["secret", "clear", TOKEN]).success());
    assert!(!status()[0].set && !station.instance().secrets().join(TOKEN).exists());
    seen.files(&station.data(), &PathBuf::new());
    seen.has("history.db", "secret.clear");
    seen.holds_none_of(&secrets);
}

#[test]
fn setting_the_secret_by_the_command_line_lets_what_waits_go_on() {
    let receiver = Receiver::start();
    let station = builder().wats_at("main", &receiver.url(), None).build();
    let ids = station.drop_reports("ict", 0..3);
    let agent = Agent::start(&station);
    agent.wait_for("they wait for a token", |s| s.destinations[0].pending == 3 && s.destinations[0].error.is_some());
    let token = receiver.token();
    let output = cli_with(&station, &["secret", "set", TOKEN, "--file", "-"], Some(token.as_bytes()), Duration::from_secs(60));
    assert!(output.success() && !output.to_string().contains(&token), "{output}");
    agent.wait_for("they are sent", |s| s.destinations[0].sent == 3);
    receiver.assert_has_exactly(&ids);
    wait_until("the history tells of it", || {
        cli(&station, &["history", "list", "--action", "secret.set"]).stdout.contains(TOKEN)
    });
}

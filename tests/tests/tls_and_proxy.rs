//! The way to a server, with the agent as a process: what its environment says of proxies, and whom it believes. What waits because the
//! way is barred is delivered once it is open.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::disallowed_methods,
    reason = "tests: told where they stand; files as people write them"
)]

use waybill_ipc::protocol::{Connection, DestinationStatus, Snapshot};
use waybill_shared::error::Code;
use waybill_tests::station::StationBuilder;
use waybill_tests::{Agent, Authority, ForwardProxy, Receiver, Station, TlsFront, wine_cannot_show};

/// A station whose environment names these proxies and hosts that need none, whatever that of the machine says.
fn station(http_proxy: &str, no_proxy: &str) -> StationBuilder {
    Station::builder()
        .source("ict", |source| source.patterns(["*.json"]).converter("wsjf"))
        .quick()
        .env("HTTP_PROXY", http_proxy)
        .env("HTTPS_PROXY", http_proxy)
        .env("ALL_PROXY", http_proxy)
        .env("NO_PROXY", no_proxy)
}

fn main(snapshot: &Snapshot) -> &DestinationStatus {
    snapshot.destinations.iter().find(|destination| destination.name == "main").expect("the destination")
}

fn troubled_by(snapshot: &Snapshot, code: Code) -> bool {
    main(snapshot).error.as_ref().is_some_and(|error| error.code == code)
}

#[test]
fn mode_system_takes_the_proxy_of_the_environment() {
    let (receiver, proxy) = (Receiver::start(), ForwardProxy::start(None));
    let station = station(&proxy.url(), "").wats(&receiver).build();
    let ids = station.drop_reports("ict", 0..3);
    Agent::start(&station).wait_for("three are sent", |s| main(s).sent == 3);
    receiver.assert_has_exactly(&ids);
    let post = format!("POST {}/api/Report/WSJF HTTP/1.1", receiver.url());
    assert_eq!(proxy.lines().iter().filter(|line| **line == post).count(), 3, "{:?}", proxy.lines());
}

#[test]
fn mode_system_leaves_out_the_hosts_that_the_environment_names() {
    let (receiver, proxy) = (Receiver::start(), ForwardProxy::start(None));
    let station = station(&proxy.url(), "127.0.0.0/8").wats(&receiver).build();
    let ids = station.drop_reports("ict", 0..3);
    Agent::start(&station).wait_for("three are sent", |s| main(s).sent == 3);
    receiver.assert_has_exactly(&ids);
    assert!(proxy.lines().is_empty());
}

#[test]
fn mode_none_takes_no_proxy_whatever_the_environment_says() {
    let (receiver, proxy) = (Receiver::start(), ForwardProxy::start(None));
    let station = station(&proxy.url(), "").wats(&receiver).setting("proxy", "mode", "none").build();
    let ids = station.drop_reports("ict", 0..3);
    Agent::start(&station).wait_for("three are sent", |s| main(s).sent == 3);
    receiver.assert_has_exactly(&ids);
    assert!(proxy.lines().is_empty());
}

#[test]
fn behind_a_proxy_with_a_login_reports_reach_a_server_of_the_companys_own_authority() {
    if wine_cannot_show("an authority of one's own beside those of the system") {
        return;
    }
    let (receiver, authority) = (Receiver::start(), Authority::new("Factory CA"));
    let (front, proxy) = (TlsFront::start(&authority, receiver.address()), ForwardProxy::start(Some("line1:50%25")));
    let station = station("http://127.0.0.1:9", "")
        .wats_at("main", &front.url(), Some(&receiver.token()))
        .setting("proxy", "mode", "manual")
        .setting("proxy", "url", proxy.url())
        .setting("proxy", "user", "line1")
        .setting("tls", "ca_file", "ca.pem")
        .env("WAYBILL_SECRET_PROXY_PASSWORD", "wrong")
        .build();
    std::fs::write(station.folder().join("ca.pem"), authority.pem()).unwrap();
    let ids = station.drop_reports("ict", 0..3);

    let mut agent = Agent::start(&station);
    let status = agent.wait_for("the proxy has refused", |s| troubled_by(s, Code::ProxyRefused) && main(s).pending == 3);
    assert_eq!((main(&status).state, main(&status).failed), (Connection::Paused, 0));
    assert!(agent.stop().success());
    assert_eq!(receiver.look(|state| state.connections), 0, "nothing got past the proxy");

    station.set_environment("WAYBILL_SECRET_PROXY_PASSWORD", "50%25");
    let agent = Agent::start(&station);
    agent.wait_for("three are sent", |s| main(s).sent == 3);
    receiver.assert_has_exactly(&ids);
    agent.counts().assert_issued(3);
    assert!(proxy.lines().iter().all(|line| line.starts_with("CONNECT ")), "{:?}", proxy.lines());
}

#[test]
fn a_server_of_an_unknown_authority_gets_nothing_until_its_authority_is_named() {
    if wine_cannot_show("an authority of one's own beside those of the system") {
        return;
    }
    let (receiver, authority) = (Receiver::start(), Authority::new("Factory CA"));
    let front = TlsFront::start(&authority, receiver.address());
    let station = station("", "")
        .wats_at("main", &front.url(), Some(&receiver.token()))
        .setting("proxy", "mode", "none")
        .setting("tls", "ca_file", "ca.pem")
        .build();
    let pem = station.folder().join("ca.pem");
    std::fs::write(&pem, Authority::new("Another CA").pem()).unwrap();
    let ids = station.drop_reports("ict", 0..3);
    let agent = Agent::start(&station);
    let status = agent.wait_for("it is not believed", |s| troubled_by(s, Code::TlsFailed));
    let error = main(&status).error.clone().unwrap();
    assert!(error.message.contains("unknown authority") && error.message.contains(&front.url()), "{error}");
    assert_eq!((main(&status).failed, receiver.look(|state| state.connections)), (0, 0));

    std::fs::write(&pem, authority.pem()).unwrap();
    agent.wait_for("three are sent, without a restart", |s| main(s).sent == 3);
    receiver.assert_has_exactly(&ids);
    agent.counts().assert_issued(3);
}

//! The way through a proxy. `system` and `none` read the environment and are tested with the agent as a process.

use crate::platform::wine_cannot_show;
use waybill_shared::config::{Proxy, ProxyMode, Tls, Upload};
use waybill_shared::error::Code;

use super::super::Depth;
use super::support::{Authority, ForwardProxy, Server, Station, parcel};
use crate::upload::destination::http;
use crate::upload::verdict::Verdict;

/// `line 1:50%25 ä` as Basic: a `%` and a letter beyond ASCII must arrive as they are.
const LOGIN: &str = "Basic bGluZSAxOjUwJTI1IMOk";
const PASSWORD: &str = "50%25 ä";

fn manual(proxy: &ForwardProxy, further: &str) -> String {
    format!("[proxy]\nmode = 'manual'\nurl = '{}'\n{further}\n", proxy.url())
}

fn paused(delivered: crate::upload::destination::Delivered) -> (Code, String) {
    match delivered {
        Err(Verdict::PauseDestination { error }) => (error.code, error.message),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_manual_proxy_carries_http_and_https_with_the_login() {
    if wine_cannot_show("an authority of one's own beside those of the system") {
        return;
    }
    let (station, authority, proxy) = (Station::new(), Authority::new("Factory CA"), ForwardProxy::start(Some(LOGIN)));
    station.set_proxy_password(PASSWORD);
    station.write("ca.pem", &authority.pem());
    let sections = format!("{}[tls]\nca_file = 'ca.pem'", manual(&proxy, "user = 'line 1'"));

    let plain = Server::wats(None);
    let at = format!("127.0.0.1:{}", plain.port());
    station.wats(&format!("http://{at}"), &sections).deliver(parcel()).await.unwrap();
    assert_eq!(proxy.lines(), [format!("POST http://{at}/api/Report/WSJF HTTP/1.1")]);
    assert!(!plain.heads()[0].to_ascii_lowercase().contains("proxy-"), "the login is the proxy's business");

    let secure = Server::wats(Some(authority.server("127.0.0.1", 2100, rustls::ALL_VERSIONS)));
    let at = format!("127.0.0.1:{}", secure.port());
    let destination = station.wats(&format!("https://{at}"), &sections);
    destination.deliver(parcel()).await.unwrap();
    assert_eq!(proxy.lines()[1..], [format!("CONNECT {at} HTTP/1.1")]);
    let test = destination.test(Depth::Whole).await.unwrap();
    assert!(test.ok && test.certificate.is_some(), "{}", test.message);
}

#[tokio::test]
async fn a_proxy_that_refuses_pauses_until_the_password_is_right() {
    if wine_cannot_show("an authority of one's own beside those of the system") {
        return;
    }
    let (station, authority, proxy) = (Station::new(), Authority::new("Factory CA"), ForwardProxy::start(Some(LOGIN)));
    station.write("ca.pem", &authority.pem());
    let servers =
        [("http", Server::wats(None)), ("https", Server::wats(Some(authority.server("127.0.0.1", 2100, rustls::ALL_VERSIONS))))];
    for (scheme, server) in &servers {
        let url = format!("{scheme}://127.0.0.1:{}", server.port());
        let tls = "[tls]\nca_file = 'ca.pem'";
        let nobody = station.wats(&url, &format!("{}{tls}", manual(&proxy, "")));
        let (code, message) = paused(nobody.deliver(parcel()).await);
        assert!(code == Code::ProxyRefused && message.contains("407"), "{scheme}: {message}");
        let test = nobody.test(Depth::Whole).await.unwrap();
        assert!(!test.ok && test.message.contains("proxy.password"), "{scheme}: {}", test.message);

        let user = station.wats(&url, &format!("{}{tls}", manual(&proxy, "user = 'line 1'")));
        let (code, message) = paused(user.deliver(parcel()).await);
        assert!(code == Code::SecretMissing && message.contains("proxy.password"), "{scheme}: {message}");
        station.set_proxy_password("wrong");
        assert_eq!(paused(user.deliver(parcel()).await).0, Code::ProxyRefused);
        assert!(server.heads().is_empty());
        station.set_proxy_password(PASSWORD);
        user.deliver(parcel()).await.unwrap();
        station.secrets.clear(&crate::secrets::SecretName::common_proxy_password(), None).unwrap();
    }
}

#[tokio::test]
async fn hosts_of_the_bypass_list_are_reached_without_the_proxy() {
    let (station, proxy, server) = (Station::new(), ForwardProxy::start(None), Server::wats(None));
    let through = async |host: &str, bypass: &str| {
        let before = proxy.lines().len();
        let sections = manual(&proxy, &format!("bypass = ['{bypass}']"));
        station.wats(&format!("http://{host}:{}", server.port()), &sections).deliver(parcel()).await.unwrap();
        proxy.lines().len() > before
    };
    for (host, bypass) in [
        ("localhost", "localhost"),
        ("localhost", "LOCALHOST"),
        ("localhost", ".localhost"),
        ("localhost", "*"),
        ("127.0.0.1", "127.0.0.1"),
        ("127.0.0.1", "127.0.0.0/8"),
    ] {
        assert!(!through(host, bypass).await, "{host} is in {bypass}");
    }
    for (host, bypass) in [
        ("localhost", "host"),
        ("localhost", "127.0.0.1"),
        ("127.0.0.1", "localhost"),
        ("127.0.0.1", "10.0.0.0/8"),
        ("127.0.0.1", "127.0.0.2"),
    ] {
        assert!(through(host, bypass).await, "{host} is not in {bypass}");
    }
}

#[tokio::test]
async fn a_proxy_that_is_not_there_is_named() {
    let (station, proxy) = (Station::new(), ForwardProxy::start(None));
    let (url, sections) = (proxy.url(), manual(&proxy, ""));
    drop(proxy);
    match station.wats("http://reports.example.com", &sections).deliver(parcel()).await {
        Err(Verdict::DestinationDown { error }) => {
            assert!(error.message.contains("reports.example.com") && error.message.contains(&url), "{error}");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_bypass_entry_that_means_nothing_is_refused_rather_than_ignored() {
    let client = |entry: &str| {
        let proxy = Proxy {
            mode: ProxyMode::Manual,
            url: Some("http://proxy.example.com:3128".to_owned()),
            user: None,
            bypass: vec![entry.to_owned()],
        };
        let _station = Station::new();
        http::client(&Upload::default(), &proxy, None, &Tls::default(), std::path::Path::new("."))
    };
    for entry in ["reports", ".example.com", "*.example.com", "*", "10.1.2.3", "10.0.0.0/8", "::1", "[::1]", "fd00::/8"] {
        assert!(client(entry).is_ok(), "{entry}");
    }
    for entry in ["10.*", "10.0.0.0/33", "10.0.0.0/", "example.com/8", "fd00::/129", "reports:8080", "http://x", ".", "a*b"] {
        let error = client(entry).unwrap_err();
        assert!(error.code == Code::ConfigInvalid && error.message.contains(entry), "{error}");
    }
}

//! Who is believed to be the server.

use crate::platform::wine_cannot_show;
use std::path::Path;

use waybill_shared::config::{Proxy, Tls, TlsVersion, Upload};
use waybill_shared::error::Code;

use super::super::Depth;
use super::support::{Authority, Server, Station, parcel};
use crate::upload::destination::http;
use crate::upload::verdict::Verdict;

const BOTH: &[&rustls::SupportedProtocolVersion] = &[&rustls::version::TLS12, &rustls::version::TLS13];
const DIRECT: &str = "[proxy]\nmode = 'none'\n";

fn trusting(file: &str) -> String {
    format!("{DIRECT}[tls]\nca_file = '{file}'\n")
}

/// What kept a delivery away from the server; panics unless it is the destination's trouble with TLS, uncharged to the report.
async fn refusal(station: &Station, url: &str, sections: &str) -> String {
    match station.wats(url, sections).deliver(parcel()).await {
        Err(Verdict::DestinationDown { error }) if error.code == Code::TlsFailed => error.message,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_server_of_the_companys_own_authority_is_believed_with_ca_file_and_only_then() {
    if wine_cannot_show("an authority of one's own beside those of the system") {
        return;
    }
    let (station, authority) = (Station::new(), Authority::new("Factory CA"));
    station.write("ca.pem", &authority.pem());
    let server = Server::wats(Some(authority.server("127.0.0.1", 2100, BOTH)));
    let url = format!("https://127.0.0.1:{}", server.port());

    let reason = refusal(&station, &url, DIRECT).await;
    assert!(reason.contains("unknown authority") && reason.starts_with(&url), "{reason}");
    assert!(server.heads().is_empty(), "nothing was said to a server that did not prove who it is");

    station.wats(&url, &trusting("ca.pem")).deliver(parcel()).await.unwrap();
    let test = station.wats(&url, &trusting("ca.pem")).test(Depth::Whole).await.unwrap();
    let certificate = test.certificate.unwrap();
    assert!(test.ok, "{}", test.message);
    assert_eq!((certificate.subject.as_str(), certificate.issuer.as_str()), ("CN=report server", "CN=Factory CA"));
    assert_eq!(certificate.not_after_ms, "2100-01-01T00:00:00Z".parse::<jiff::Timestamp>().unwrap().as_millisecond());
}

#[tokio::test]
async fn a_test_names_the_authority_that_is_not_trusted_and_gives_the_token_to_nobody() {
    if wine_cannot_show("an authority of one's own beside those of the system") {
        return;
    }
    let station = Station::new();
    let server = Server::wats(Some(Authority::new("Strange CA").server("127.0.0.1", 2100, BOTH)));
    let test = station.wats(&format!("https://127.0.0.1:{}", server.port()), DIRECT).test(Depth::Whole).await.unwrap();
    assert!(!test.ok && test.status.is_none());
    assert!(
        test.message.contains("unknown authority") && test.message.contains("was issued by CN=Strange CA"),
        "{}",
        test.message
    );
    assert_eq!(test.certificate.unwrap().issuer, "CN=Strange CA");
    assert!(server.heads().is_empty());
}

#[tokio::test]
async fn each_authority_of_a_file_with_many_counts() {
    if wine_cannot_show("an authority of one's own beside those of the system") {
        return;
    }
    let (station, first, second) = (Station::new(), Authority::new("First"), Authority::new("Second"));
    station.write("ca.pem", &format!("First:\n{}\nSecond:\n{}", first.pem(), second.pem()));
    for authority in [first, second] {
        let server = Server::wats(Some(authority.server("127.0.0.1", 2100, BOTH)));
        let url = format!("https://127.0.0.1:{}", server.port());
        station.wats(&url, &trusting("ca.pem")).deliver(parcel()).await.unwrap();
    }
}

#[tokio::test]
async fn a_certificate_that_expired_or_is_for_another_host_is_told_so() {
    if wine_cannot_show("an authority of one's own beside those of the system") {
        return;
    }
    let (station, authority) = (Station::new(), Authority::new("Factory CA"));
    station.write("ca.pem", &authority.pem());

    let server = Server::wats(Some(authority.server("127.0.0.1", 2020, BOTH)));
    let reason = refusal(&station, &format!("https://127.0.0.1:{}", server.port()), &trusting("ca.pem")).await;
    assert!(reason.contains("expired on 2020-01-01 00:00 UTC"), "{reason}");

    let server = Server::wats(Some(authority.server("reports.example.com", 2100, BOTH)));
    let reason = refusal(&station, &format!("https://localhost:{}", server.port()), &trusting("ca.pem")).await;
    assert!(reason.contains("another host name than localhost: it is for reports.example.com"), "{reason}");
}

#[tokio::test]
async fn a_server_that_speaks_only_tls_1_2_is_refused_where_1_3_is_asked_for() {
    if wine_cannot_show("an authority of one's own beside those of the system") {
        return;
    }
    let (station, authority) = (Station::new(), Authority::new("Factory CA"));
    station.write("ca.pem", &authority.pem());
    let server = Server::wats(Some(authority.server("127.0.0.1", 2100, &[&rustls::version::TLS12])));
    let url = format!("https://127.0.0.1:{}", server.port());
    station.wats(&url, &format!("{}min_version = '1.2'", trusting("ca.pem"))).deliver(parcel()).await.unwrap();
    let strict = format!("{}min_version = '1.3'", trusting("ca.pem"));
    let reason = refusal(&station, &url, &strict).await;
    assert!(reason.contains("no version of TLS") && reason.contains("tls.min_version"), "{reason}");
    let test = station.wats(&url, &strict).test(Depth::Whole).await.unwrap();
    assert!(!test.ok && test.certificate.is_none(), "it did not come to a certificate: {}", test.message);
}

#[tokio::test]
async fn a_server_without_tls_is_told_so() {
    let (station, server) = (Station::new(), Server::wats(None));
    let reason = refusal(&station, &format!("https://127.0.0.1:{}", server.port()), DIRECT).await;
    assert!(reason.contains("does not speak TLS"), "{reason}");
}

#[tokio::test]
async fn a_ca_file_that_is_mended_works_without_a_restart() {
    if wine_cannot_show("an authority of one's own beside those of the system") {
        return;
    }
    let (station, authority) = (Station::new(), Authority::new("Factory CA"));
    let server = Server::wats(Some(authority.server("127.0.0.1", 2100, BOTH)));
    let destination = station.wats(&format!("https://127.0.0.1:{}", server.port()), &trusting("ca.pem"));
    match destination.deliver(parcel()).await {
        Err(Verdict::PauseDestination { error }) => assert!(error.message.contains("ca.pem"), "{error}"),
        other => panic!("{other:?}"),
    }
    station.write("ca.pem", &Authority::new("The wrong one").pem());
    assert!(matches!(destination.deliver(parcel()).await, Err(Verdict::DestinationDown { .. })));
    station.write("ca.pem", &authority.pem());
    destination.deliver(parcel()).await.unwrap();
}

#[test]
fn a_ca_file_that_cannot_be_used_is_named_with_the_reason() {
    let station = Station::new();
    let good = Authority::new("Factory CA").pem();
    let cut = &good[..good.len() / 2];
    let key = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
    let nonsense = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let both = format!("{good}{nonsense}");
    for (content, why) in [
        (None, "cannot be read"),
        (Some(" \n"), "is empty"),
        (Some("hello"), "is no PEM file"),
        (Some(key), "holds no certificate"),
        (Some(cut), ""),
        (Some(both.as_str()), "number 2"),
    ] {
        let name = "authorities.pem";
        if let Some(content) = content {
            station.write(name, content);
        }
        let tls = Tls { ca_file: Some(Path::new(name).to_owned()), min_version: TlsVersion::Tls12 };
        let error = http::client(&Upload::default(), &Proxy::default(), None, &tls, &station.path()).unwrap_err();
        let path = station.path().join(name);
        assert_eq!(error.code, Code::ConfigInvalid);
        assert!(error.message.contains(&*path.to_string_lossy()) && error.message.contains(why), "{error}");
    }
}

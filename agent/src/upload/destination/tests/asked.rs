//! The connection test.

use std::time::{Duration, Instant};

use waybill_shared::error::Code;

use super::super::Depth;
use super::support::{Server, Station, TOKEN, answer, parcel, wats};

const DIRECT: &str = "[proxy]\nmode = 'none'\n";

#[tokio::test]
async fn a_server_that_takes_the_token_passes_with_what_was_measured() {
    let (station, held) = (Station::new(), Duration::from_millis(50));
    let server = Server::start(None, move |head| {
        std::thread::sleep(held);
        let date = jiff::Timestamp::now() + jiff::SignedDuration::from_mins(10);
        let date = date.strftime("%a, %d %b %Y %H:%M:%S GMT");
        wats(head).replacen("\r\n", &format!("\r\nDate: {date}\r\n"), 1)
    });
    let destination = station.wats(&format!("http://127.0.0.1:{}", server.port()), DIRECT);
    let started = Instant::now();
    let test = destination.test(Depth::Whole).await.unwrap();
    let took = started.elapsed();
    assert_eq!((test.destination.as_str(), test.ok, test.status), ("main", true, Some(200)));
    assert_eq!(test.server.as_deref(), Some("2026.1.0.0"));
    let latency = Duration::from_millis(test.latency_ms);
    assert!(latency >= held && latency <= took, "{latency:?} of {took:?}");
    assert!(test.clock_skew_secs.is_some_and(|skew| (597..=600).contains(&skew)), "{:?}", test.clock_skew_secs);
    assert!(test.message.contains("ahead of this station's"), "{}", test.message);
    assert_eq!(test.certificate, None, "there is none by http");
    let heads = server.heads();
    assert!(heads[0].starts_with("GET /api/App/Version ") && heads[0].contains(TOKEN), "the call that deliveries use");
    assert_eq!(heads.len(), 1);
}

#[tokio::test]
async fn what_answers_wrongly_is_told_apart() {
    let page = "<!doctype html><p>Please sign in";
    let redirect =
        "HTTP/1.1 302 .\r\nLocation: https://login.example.com/?secret=1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    for (answered, status, says) in [
        (
            answer(401, "application/json", r#"{"message":"expired on Monday"}"#),
            401,
            "refuses the token (401): expired on Monday",
        ),
        (answer(403, "text/plain", ""), 403, "refuses the token (403)"),
        (answer(404, "text/plain", ""), 404, "does not know the calls of a WATS server"),
        (answer(405, "text/plain", ""), 405, "does not know the calls of a WATS server"),
        (answer(407, "text/plain", ""), 407, "the proxy asks for a login"),
        (answer(200, "text/html", page), 200, "a web page answers, not a WATS server"),
        (answer(200, "application/json", page), 200, "a web page answers, not a WATS server"),
        (answer(204, "text/plain", ""), 204, "something else answers"),
        (redirect.to_owned(), 302, "elsewhere to https://login.example.com (302)"),
        (answer(503, "text/plain", "maintenance until 5"), 503, "answered 503: maintenance until 5"),
    ] {
        let (station, server) = (Station::new(), Server::start(None, move |_| answered.clone()));
        let test = station.wats(&format!("http://127.0.0.1:{}", server.port()), DIRECT).test(Depth::Whole).await.unwrap();
        assert_eq!((test.ok, test.status, test.server.as_deref()), (false, Some(status), None), "{}", test.message);
        assert!(test.message.contains(says) && !test.message.contains("secret=1"), "{}", test.message);
        assert_eq!(test.clock_skew_secs, None, "no date, no difference");
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_is_told_so() {
    let (station, server) = (Station::new(), Server::wats(None));
    let url = format!("http://127.0.0.1:{}", server.port());
    drop(server);
    let test = station.wats(&url, DIRECT).test(Depth::Whole).await.unwrap();
    assert_eq!((test.ok, test.status), (false, None));
    assert!(test.message.starts_with(&url) && test.message.to_lowercase().contains("refused"), "{}", test.message);
}

#[tokio::test]
async fn a_server_that_does_not_answer_ends_the_test_at_its_limit() {
    // The listener is never asked for its connections: they are made, and nothing comes.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    let test = Station::new().wats(&url, &format!("{DIRECT}[upload]\ncall_timeout_secs = 1")).test(Depth::Whole).await.unwrap();
    assert!(!test.ok && test.latency_ms >= 990 && test.message.contains("no complete answer"), "{test:?}");
}

#[tokio::test]
async fn what_keeps_this_station_from_asking_is_an_error() {
    let (station, server) = (Station::new(), Server::wats(None));
    station.secrets.clear(&crate::secrets::SecretName::token("main").unwrap(), None).unwrap();
    let error = station.wats(&format!("http://127.0.0.1:{}", server.port()), DIRECT).test(Depth::Whole).await.unwrap_err();
    assert_eq!(error.code, Code::SecretMissing);
    assert!(server.heads().is_empty());
}

#[tokio::test]
async fn a_server_that_a_test_identified_may_answer_without_our_id() {
    let without_id = |head: &str| if head.starts_with("POST") { answer(200, "application/json", "{}") } else { wats(head) };
    let (station, server) = (Station::new(), Server::start(None, without_id));
    let destination = station.wats(&format!("http://127.0.0.1:{}", server.port()), DIRECT);
    assert!(destination.test(Depth::Whole).await.unwrap().ok);
    destination.deliver(parcel()).await.unwrap();
    assert_eq!(server.heads().len(), 2, "it was not asked again who it is");
}

#[tokio::test]
async fn a_folder_is_made_and_written_and_nothing_of_the_test_stays() {
    let station = Station::new();
    let folder = station.path().join("not/yet/there");
    let test = station.folder(&folder).test(Depth::Whole).await.unwrap();
    assert!(test.ok && test.status.is_none() && test.server.is_none(), "{}", test.message);
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0);
}

#[tokio::test]
async fn a_folder_that_cannot_be_written_fails_the_test_and_can_be_tested_again() {
    let station = Station::new();
    station.write("file", "a file where a folder should be");
    let folder = station.path().join("file");
    let destination = station.folder(&folder);
    for _ in 0..2 {
        let test = destination.test(Depth::Whole).await.unwrap();
        assert!(!test.ok && test.message.contains(&*folder.to_string_lossy()), "{}", test.message);
        assert!(test.message.contains("cannot be written"), "{}", test.message);
    }
    assert_eq!(std::fs::read_to_string(&folder).unwrap(), "a file where a folder should be");
}

#[tokio::test]
async fn a_brief_test_finds_the_same_over_the_connections_of_deliveries() {
    let (station, server) = (Station::new(), Server::start(None, wats));
    let destination = station.wats(&format!("http://127.0.0.1:{}", server.port()), DIRECT);
    let whole = destination.test(Depth::Whole).await.unwrap();
    for _ in 0..3 {
        let brief = destination.test(Depth::Brief).await.unwrap();
        assert_eq!(
            (brief.ok, brief.status, brief.server, brief.message),
            (true, whole.status, whole.server.clone(), whole.message.clone())
        );
    }
    assert_eq!(server.heads().len(), 4, "each is a call of its own");
}

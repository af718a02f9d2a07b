//! Reports on their way: how long they may take, and in which form they go.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpSocket;
use waybill_shared::error::Code;

use super::support::{Server, Station, answer, parcel, wats};
use crate::upload::destination::{Delivered, Parcel};
use crate::upload::verdict::Verdict;

const DIRECT: &str = "[proxy]\nmode = 'none'\n";

/// A report of at least so many bytes.
fn large(bytes: usize) -> Parcel {
    Parcel { body: format!(r#"{{"id":"x","sn":"1","note":"{}"}}"#, "n".repeat(bytes)).into_bytes().into(), ..parcel() }
}

#[tokio::test]
async fn a_large_report_on_a_slow_line_is_not_cut_off_as_long_as_pieces_of_it_go() {
    const SLOW: usize = 8 << 20;
    let socket = TcpSocket::new_v4().unwrap();
    // What the system takes in advance would make the line look fast.
    socket.set_recv_buffer_size(256 * 1024).unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let mut report = large(2 * SLOW);
    let whole = report.body.len();
    report.serial = "large".to_owned();
    let server = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let (mut piece, mut taken) = (vec![0; 64 * 1024], 0);
        let mut head = Vec::new();
        while taken < whole {
            let read = stream.read(&mut piece).await.unwrap();
            assert!(read > 0, "it was cut off after {taken} of {whole} bytes");
            if let Some(end) = head.is_empty().then(|| piece.windows(4).position(|part| part == b"\r\n\r\n")).flatten() {
                head = piece[..end + 4].to_vec();
                taken += read - head.len();
            } else {
                taken += read;
            }
            if taken < SLOW {
                tokio::time::sleep(Duration::from_millis(15)).await;
            }
        }
        stream.write_all(wats(&String::from_utf8(head).unwrap()).as_bytes()).await.unwrap();
    };
    let station = Station::new();
    let limits = "read_timeout_secs = 1\ntimeout_secs = 50\ngzip = 'never'";
    let destination = station.wats(&url, &format!("{DIRECT}[upload]\n{limits}"));
    let started = std::time::Instant::now();
    let both = async { tokio::join!(destination.deliver(report), server) };
    let (delivered, ()) = tokio::time::timeout(Duration::from_secs(60), both).await.unwrap();
    delivered.unwrap();
    assert!(started.elapsed() > Duration::from_millis(1500), "the line was slow: {:?}", started.elapsed());
}

/// What came of a report that is sent compressed, to a server that answers so to the compressed and to the plain one.
async fn sent(upload: &str, compressed: impl Fn() -> String + Send + Sync + 'static) -> (Delivered, Vec<bool>) {
    let is_compressed = |head: &str| head.contains("content-encoding: gzip\r\n");
    let server = Server::start(None, move |head| if is_compressed(head) { compressed() } else { wats(head) });
    let station = Station::new();
    let destination =
        station.wats(&format!("http://127.0.0.1:{}", server.port()), &format!("{DIRECT}[upload]\ngzip = 'always'\n{upload}"));
    let delivered = destination.deliver(large(5000)).await;
    (delivered, server.heads().iter().map(|head| is_compressed(head)).collect())
}

#[tokio::test]
async fn a_compressed_report_that_is_refused_goes_plain_within_the_same_delivery() {
    for status in [415, 400] {
        let (delivered, ways) = sent("", move || answer(status, "text/plain", "what is this?")).await;
        assert!(delivered.is_ok() && ways == [true, false], "{status}: {delivered:?} {ways:?}");
    }
    // Anything else is an answer to the report.
    let (delivered, ways) = sent("", || answer(422, "text/plain", "no such part")).await;
    assert!(matches!(delivered, Err(Verdict::FailReport { .. })) && ways == [true], "{delivered:?} {ways:?}");
}

#[tokio::test]
async fn both_ways_of_a_report_share_one_limit() {
    let slowly = || {
        std::thread::sleep(Duration::from_millis(1200));
        answer(415, "text/plain", "")
    };
    let (delivered, ways) = sent("timeout_secs = 1", slowly).await;
    let Err(Verdict::RetryReport { error, .. }) = &delivered else { panic!("{delivered:?}") };
    assert!(error.code == Code::DestinationUnreachable && ways == [true], "{error} {ways:?}");
}

#[tokio::test]
async fn a_number_that_is_too_long_fails_the_report_before_anybody_is_asked() {
    let (station, server) = (Station::new(), Server::wats(None));
    // Not even the token is looked for.
    station.secrets.clear(&crate::secrets::SecretName::token("main").unwrap(), None).unwrap();
    let destination = station.wats(&format!("http://127.0.0.1:{}", server.port()), DIRECT);
    let body = format!(r#"{{"sn":"{}"}}"#, "S".repeat(51)).into_bytes().into();
    let delivered = destination.deliver(Parcel { body, ..parcel() }).await;
    assert!(matches!(&delivered, Err(Verdict::FailReport { error }) if error.code == Code::ReportDoesNotFit), "{delivered:?}");
    assert!(server.heads().is_empty());
}

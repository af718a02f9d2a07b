use super::*;
use crate::sample::{sample_id, sample_report};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;

/// Writes a request byte by byte as HTTP/1.1 wants it, so that no client library hides what the receiver does.
struct Wire(TcpStream);

impl Wire {
    fn open(receiver: &Receiver) -> Self {
        let stream = TcpStream::connect(receiver.address()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        Self(stream)
    }

    fn send(&mut self, method: &str, path: &str, token: &str, body: &[u8]) {
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Basic {token}\r\nX-Correlation-Id: c-1\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        self.0.write_all(head.as_bytes()).unwrap();
        self.0.write_all(body).unwrap();
    }

    /// Status line, headers and body; short if the connection ends early.
    fn read(&mut self) -> String {
        let mut text = Vec::new();
        let mut byte = [0];
        while !text.ends_with(b"\r\n\r\n") && self.0.read(&mut byte).unwrap_or(0) == 1 {
            text.push(byte[0]);
        }
        let head = String::from_utf8_lossy(&text).to_ascii_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok()).unwrap_or(0);
        let mut body = Vec::new();
        let _ = (&mut self.0).take(length).read_to_end(&mut body);
        text.extend(body);
        String::from_utf8(text).unwrap()
    }

    fn ask(&mut self, receiver: &Receiver, n: u64) -> String {
        self.send("POST", "/api/Report/WSJF", &receiver.token(), &sample_report(n).1);
        self.read()
    }
}

fn ask(receiver: &Receiver, n: u64) -> String {
    Wire::open(receiver).ask(receiver, n)
}

fn code(answer: &str) -> &str {
    answer.split(' ').nth(1).unwrap_or("none")
}

#[test]
fn a_report_is_stored_by_its_id_and_answered_with_it() {
    let receiver = Receiver::start();
    let mut wire = Wire::open(&receiver);
    for n in [3, 4, 3] {
        let answer = wire.ask(&receiver, n);
        assert_eq!(code(&answer), "200");
        assert!(answer.ends_with(&format!(r#"[{{"ID":"{}"}}]"#, sample_id(n))), "{answer}");
    }
    receiver.wait_for_reports(2);
    let reports = receiver.reports();
    assert_eq!(reports.len(), 2);
    assert_eq!(reports[&sample_id(3)], crate::sample::sample_value(3));
    let posts = receiver.posts();
    assert_eq!(posts.iter().map(|post| post.id.clone()).collect::<Vec<_>>(), [3, 4, 3].map(sample_id));
    assert_eq!(posts[0].correlation_id(), Some("c-1"));
    assert_eq!(posts[0].answer, Some(200));
    assert!(!posts[0].headers.contains_key("authorization"));
    receiver.look(|state| {
        assert_eq!((state.requests, state.connections, state.accepted_posts, state.max_in_flight), (3, 1, 3, 1));
        assert_eq!(state.posts_of(&sample_id(3)), 2);
        assert_eq!(state.ids[&sample_id(3)].contents.len(), 1);
    });
}

#[test]
fn another_content_under_a_known_id_overwrites_and_shows() {
    let receiver = Receiver::start();
    let mut changed = crate::sample::sample_value(1);
    changed["rev"] = "C".into();
    let mut wire = Wire::open(&receiver);
    wire.ask(&receiver, 1);
    wire.send("POST", "/API/REPORT/wsjf", &receiver.token(), changed.to_string().as_bytes());
    receiver.wait(|state| state.accepted_posts == 2);
    assert_eq!(receiver.reports()[&sample_id(1)]["rev"], "C");
    assert_eq!(receiver.look(|state| state.ids[&sample_id(1)].contents.len()), 2);
    let exact = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| receiver.assert_has_exactly(&[sample_id(1)])));
    assert!(exact.is_err());
}

#[test]
fn without_the_token_nothing_is_told_and_nothing_stored() {
    let receiver = Receiver::start();
    let mut wire = Wire::open(&receiver);
    wire.send("POST", "/api/Report/WSJF", "d3Jvbmc=", &sample_report(1).1);
    assert_eq!(code(&wire.read()), "401");
    receiver.set_token("d3Jvbmc=");
    assert_eq!(code(&wire.ask(&receiver, 1)), "200");
    assert_eq!(receiver.look(|state| (state.unauthorised, state.posts.len())), (1, 1));
}

#[test]
fn other_requests_are_answered_as_a_server_does() {
    let receiver = Receiver::start();
    let mut wire = Wire::open(&receiver);
    for (method, path, body, expected) in [
        ("GET", "/api/App/Version", "", "200"),
        ("GET", "/api/Report/WSJF", "", "405"),
        ("POST", "/elsewhere", "", "404"),
        ("POST", "/api/Report/WSJF", "no json", "400"),
        ("POST", "/api/Report/WSJF", "{}", "400"),
    ] {
        wire.send(method, path, &receiver.token(), body.as_bytes());
        assert_eq!(code(&wire.read()), expected, "{method} {path} {body}");
    }
    assert!(receiver.reports().is_empty());
}

#[test]
fn a_station_that_registers_is_known_by_its_newest_token() {
    let receiver = Receiver::start();
    let mut wire = Wire::open(&receiver);
    let mut register = |token: &str| {
        wire.send("POST", "/api/Client/Register?id=7&name=ST+07&purpose=A%26B", token, b"");
        wire.read()
    };
    assert_eq!(code(&register(&receiver.token())), "401");
    for _ in 0..2 {
        let answer = register(REGISTER_TOKEN);
        let passcode = receiver.registrations().last().unwrap().passcode.clone();
        assert!(code(&answer) == "200" && answer.ends_with(&format!(r#"{{"passcode":"{passcode}"}}"#)), "{answer}");
    }
    let [first, second] = &receiver.registrations()[..] else { panic!() };
    assert_eq!((second.parameters["name"].as_str(), second.parameters["purpose"].as_str()), ("ST 07", "A&B"));
    for (token, expected) in [(REGISTER_TOKEN, "401"), (&first.token(), "401"), (&second.token(), "200")] {
        wire.send("GET", "/api/App/Processes", token, b"");
        assert_eq!(code(&wire.read()), expected);
    }
}

#[test]
fn it_does_with_compressed_reports_as_told() {
    let receiver = Receiver::start();
    let (id, report) = sample_report(1);
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    packed.write_all(&report).unwrap();
    let packed = packed.finish().unwrap();
    for (gzip, expected, told) in
        [(Gzip::Unknown, "400", false), (Gzip::Refused, "415", true), (Gzip::Taken, "200", false), (Gzip::Offered, "200", true)]
    {
        receiver.set_gzip(gzip);
        let mut wire = Wire::open(&receiver);
        let token = format!("{}\r\nContent-Encoding: gzip", receiver.token());
        wire.send("POST", "/api/Report/WSJF", &token, &packed);
        let answer = wire.read();
        assert_eq!((code(&answer), answer.contains("accept-encoding: gzip")), (expected, told), "{gzip:?}: {answer}");
    }
    receiver.assert_has_exactly(&[id]);
    let last = receiver.posts().pop().unwrap();
    assert!(last.is_compressed() && last.bytes == packed.len());
    assert_eq!(last.hash, blake3::hash(&report).to_hex().to_string());
}

#[test]
fn an_answer_can_trickle() {
    let receiver = Receiver::start();
    receiver.set(Behaviour::Trickle(Duration::from_millis(2)));
    let begun = Instant::now();
    let answer = ask(&receiver, 1);
    assert!(code(&answer) == "200" && answer.ends_with("}]"), "{answer}");
    assert!(begun.elapsed() >= Duration::from_millis(2 * 46), "{:?}", begun.elapsed());
}

#[test]
fn it_behaves_as_told() {
    let receiver = Receiver::start();
    receiver.set(Behaviour::status_with_header(429, "Retry-After", "7"));
    let answer = ask(&receiver, 1);
    assert_eq!(code(&answer), "429");
    assert!(answer.contains("retry-after: 7"), "{answer}");
    receiver.set(Behaviour::Html200);
    let answer = ask(&receiver, 1);
    assert!(code(&answer) == "200" && answer.contains("text/html"), "{answer}");
    receiver.set(Behaviour::Redirect);
    let answer = ask(&receiver, 1);
    assert!(code(&answer) == "302" && answer.contains("location: /login"), "{answer}");
    receiver.set(Behaviour::AcceptWith(r#"{"uuid":"{id}"}"#.to_owned()));
    assert!(receiver.reports().is_empty());
    assert!(ask(&receiver, 1).ends_with(&format!(r#"{{"uuid":"{}"}}"#, sample_id(1))));
    receiver.set(Behaviour::Delay(Duration::from_millis(30)));
    let begun = Instant::now();
    assert_eq!(code(&ask(&receiver, 2)), "200");
    assert!(begun.elapsed() >= Duration::from_millis(30));
    receiver.assert_has_exactly(&[sample_id(1), sample_id(2)]);
}

#[test]
fn a_script_is_followed_post_by_post_and_then_everything_is_accepted() {
    let receiver = Receiver::start();
    receiver.set(Behaviour::Script(vec![
        Behaviour::status(503),
        Behaviour::Script(vec![Behaviour::status(500), Behaviour::status(501)]),
        Behaviour::per_report(|report| if report["sn"] == "SN-00000001" { Behaviour::status(409) } else { Behaviour::Accept }),
    ]));
    let mut wire = Wire::open(&receiver);
    wire.send("GET", "/api/App/Version", &receiver.token(), b"");
    assert_eq!(code(&wire.read()), "200");
    let codes: Vec<_> = (0..6).map(|_| code(&wire.ask(&receiver, 1)).to_owned()).collect();
    assert_eq!(codes, ["503", "500", "501", "409", "200", "200"]);
}

#[test]
fn reports_can_be_told_apart() {
    let receiver = Receiver::start();
    receiver.set(Behaviour::per_report(
        |report| {
            if report["result"] == "F" { Behaviour::status(422) } else { Behaviour::Accept }
        },
    ));
    let codes: Vec<_> = (8..11).map(|n| code(&ask(&receiver, n)).to_owned()).collect();
    assert_eq!(codes, ["200", "422", "200"]);
}

#[test]
fn what_hangs_hangs_until_it_is_released() {
    let receiver = Receiver::start();
    receiver.set(Behaviour::Hang);
    let mut wires: Vec<_> = (0..3).map(|_| Wire::open(&receiver)).collect();
    for (n, wire) in (0..).zip(&mut wires) {
        wire.send("POST", "/api/Report/WSJF", &receiver.token(), &sample_report(n).1);
    }
    receiver.wait(|state| state.hanging == 3);
    assert!(receiver.reports().is_empty());
    receiver.set(Behaviour::Accept);
    assert_eq!(code(&ask(&receiver, 9)), "200");
    // One client gives up: its report is not stored later.
    wires.pop();
    receiver.wait(|state| state.hanging == 2);
    receiver.release();
    for wire in &mut wires {
        assert_eq!(code(&wire.read()), "200");
    }
    receiver.assert_has_exactly(&[0, 1, 9].map(sample_id));
    receiver.wait(|state| state.in_flight == 0 && state.max_in_flight == 4);
}

#[test]
fn a_connection_can_be_cut_with_and_without_storing() {
    let receiver = Receiver::start();
    receiver.set(Behaviour::DropConnection);
    assert_eq!(ask(&receiver, 1), "");
    assert_eq!((receiver.posts().len(), receiver.reports().len()), (1, 0));
    receiver.set(Behaviour::StoreThenDrop);
    assert_eq!(ask(&receiver, 1), "");
    assert_eq!(receiver.reports().len(), 1);
    assert_eq!(receiver.posts()[1].answer, None);
    receiver.set(Behaviour::CutAnswer(12));
    assert_eq!(ask(&receiver, 2), "HTTP/1.1 200");
    assert_eq!(receiver.reports().len(), 2);
}

#[test]
fn switched_off_it_refuses_and_switched_on_it_is_the_same_server() {
    let receiver = Receiver::start();
    for round in 0..20 {
        let mut open = Wire::open(&receiver);
        open.ask(&receiver, round);
        receiver.stop_listening();
        assert_eq!(open.read(), "", "the connection is cut");
        let refused = TcpStream::connect(receiver.address()).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
        receiver.listen_again();
        assert_eq!(code(&ask(&receiver, 1000 + round)), "200");
    }
    assert_eq!(receiver.reports().len(), 40);
}

#[test]
fn a_wait_in_vain_says_what_was_there() {
    let receiver = Receiver::start();
    ask(&receiver, 5);
    let waited = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        receiver.wait_for(|state| state.accepted_ids == 2, Duration::from_millis(50));
    }));
    let text = *waited.unwrap_err().downcast::<String>().unwrap();
    assert!(text.contains("1 reports accepted") && text.contains(&sample_id(5)), "{text}");
    receiver.keep_bodies(false);
    receiver.forget();
    assert!(receiver.posts().is_empty());
    ask(&receiver, 6);
    assert_eq!(receiver.reports()[&sample_id(6)], Value::Null);
}

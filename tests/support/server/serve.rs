//! From a request to an answer.

use std::io::Read as _;
use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{ConnectInfo, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::state::{Post, Registration, Shared, lock};
use super::wire::{Scissors, Wires};
use super::{Behaviour, Gzip, REGISTER_TOKEN};

const PAGE: &str =
    "<!DOCTYPE html><html><head><title>Sign in</title></head><body>Please sign in to use this network.</body></html>";

/// Serves until it is dropped.
pub(super) async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    let for_requests = Arc::clone(&shared);
    let app = Router::new().fallback(move |ConnectInfo(scissors): ConnectInfo<Scissors>, request: Request| {
        let shared = Arc::clone(&for_requests);
        async move { answer(&shared, &scissors, request).await }
    });
    let service = app.into_make_service_with_connect_info::<Scissors>();
    // Errors of single connections are the clients' business; it ends only with its runtime.
    let _never = axum::serve(Wires { listener, shared }, service).await;
}

async fn answer(shared: &Arc<Shared>, scissors: &Scissors, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let path = parts.uri.path().to_owned();
    let _in_flight = shared.enter(format!("{} {path}", parts.method));
    if path == "/login" {
        return page();
    }
    // The body is read in any case, so that a refused request leaves the connection usable.
    let Ok(body) = axum::body::to_bytes(body, usize::MAX).await else { return StatusCode::BAD_REQUEST.into_response() };
    let mut answer = answer_to(shared, scissors, &parts, &path.to_ascii_lowercase(), &body).await;
    if matches!(*lock(&shared.gzip), Gzip::Offered | Gzip::Refused) {
        answer.headers_mut().insert(header::ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
    }
    answer
}

async fn answer_to(shared: &Arc<Shared>, scissors: &Scissors, parts: &Parts, path: &str, body: &Bytes) -> Response {
    let headers = &parts.headers;
    let registers = path == "/api/client/register";
    let known = if registers { token_of(headers) == REGISTER_TOKEN } else { authorised(shared, headers) };
    if !known {
        shared.change(|state| state.unauthorised += 1);
        let realm = [(header::WWW_AUTHENTICATE, "Basic realm=\"WATS\"")];
        return (StatusCode::UNAUTHORIZED, realm, message("the token is not valid")).into_response();
    }
    let asked = match (parts.method.as_str(), path) {
        ("POST", "/api/report/wsjf") => return post(shared, scissors, headers, body).await,
        ("GET", "/api/app/version") => Asked::Version,
        ("GET", "/api/app/processes") => Asked::Processes,
        ("POST", "/api/client/register") => Asked::Register(parts.uri.query().unwrap_or_default()),
        (_, "/api/report/wsjf" | "/api/app/version" | "/api/app/processes" | "/api/client/register") => {
            return StatusCode::METHOD_NOT_ALLOWED.into_response();
        }
        _ => return (StatusCode::NOT_FOUND, message("no such resource")).into_response(),
    };
    let behaviour = decide(shared, None);
    act(shared, scissors, &behaviour, headers, &asked).await
}

/// What a request wants that carries a token.
enum Asked<'a> {
    /// Its id and its body.
    Post(&'a str, &'a Bytes),
    Version,
    Processes,
    /// The parameters.
    Register(&'a str),
}

async fn post(shared: &Arc<Shared>, scissors: &Scissors, headers: &HeaderMap, body: &Bytes) -> Response {
    let compressed = headers.get(header::CONTENT_ENCODING).is_some_and(|coding| coding == "gzip");
    let gzip = *lock(&shared.gzip);
    let (sent, body) = (body.len(), if compressed && gzip != Gzip::Unknown { &unpacked(body) } else { body });
    let report: Value = serde_json::from_slice(body).unwrap_or_default();
    let id = report["id"].as_str().map(|id| id.trim_matches(['{', '}']).to_ascii_lowercase()).unwrap_or_default();
    let number = shared.change(|state| {
        state.posted(Post {
            id: id.clone(),
            at: Instant::now(),
            hash: blake3::hash(body).to_hex().to_string(),
            bytes: sent,
            headers: headers
                .iter()
                .filter(|(name, _)| *name != header::AUTHORIZATION)
                .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
                .collect(),
            answer: None,
        })
    });
    let behaviour = match (compressed, gzip) {
        (true, Gzip::Refused) => Behaviour::status(415),
        (true, Gzip::Unknown) => Behaviour::status(400),
        _ => decide(shared, Some(&report)),
    };
    let answer = act(shared, scissors, &behaviour, headers, &Asked::Post(&id, body)).await;
    if !matches!(behaviour, Behaviour::DropConnection | Behaviour::StoreThenDrop | Behaviour::CutAnswer(_)) {
        let code = answer.status().as_u16();
        // The record may have been forgotten in between.
        shared.change(|state| {
            if let Some(post) = state.posts.get_mut(number) {
                post.answer = Some(code);
            }
        });
    }
    answer
}

fn decide(shared: &Shared, report: Option<&Value>) -> Behaviour {
    let next = lock(&shared.behaviour).next(report);
    next.decide(report)
}

/// Does what the behaviour says.
async fn act(
    shared: &Arc<Shared>,
    scissors: &Scissors,
    behaviour: &Behaviour,
    headers: &HeaderMap,
    asked: &Asked<'_>,
) -> Response {
    match behaviour {
        Behaviour::Accept => accept(shared, asked, None),
        Behaviour::AcceptWith(text) => accept(shared, asked, Some(text)),
        Behaviour::Status { code, body, headers: more } => status(*code, &body.replace("{token}", token_of(headers)), more),
        Behaviour::Html200 => page(),
        Behaviour::Redirect => (StatusCode::FOUND, [(header::LOCATION, "/login")]).into_response(),
        Behaviour::Delay(time) => {
            tokio::time::sleep(*time).await;
            accept(shared, asked, None)
        }
        Behaviour::Hang => {
            let mut released = shared.release.subscribe();
            let hanging = shared.hang();
            // The sender lives in `shared`.
            let _released = released.changed().await;
            drop(hanging);
            accept(shared, asked, None)
        }
        Behaviour::DropConnection => {
            scissors.cut_after(0);
            StatusCode::OK.into_response()
        }
        Behaviour::StoreThenDrop => {
            scissors.cut_after(0);
            accept(shared, asked, None)
        }
        Behaviour::CutAnswer(bytes) => {
            scissors.cut_after(*bytes);
            accept(shared, asked, None)
        }
        Behaviour::Trickle(pause) => {
            scissors.trickle(*pause);
            accept(shared, asked, None)
        }
        Behaviour::Script(_) | Behaviour::PerReport(_) => unreachable!("decided before"),
    }
}

fn accept(shared: &Shared, asked: &Asked<'_>, text: Option<&String>) -> Response {
    let (id, body) = match asked {
        Asked::Post(id, body) => (*id, *body),
        Asked::Version => return json_answer(json!("2026.1.0.0").to_string()),
        Asked::Processes => return json_answer(lock(&shared.processes).to_string()),
        Asked::Register(query) => return register(shared, query),
    };
    if id.is_empty() {
        return (StatusCode::BAD_REQUEST, message("the body is no report with an id")).into_response();
    }
    shared.change(|state| state.accepted(id, body));
    json_answer(text.map_or_else(|| json!([{ "ID": id }]).to_string(), |text| text.replace("{id}", id)))
}

fn register(shared: &Shared, query: &str) -> Response {
    let parameters = url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    let passcode = format!("{:032x}", fastrand::u128(..));
    let answer = json_answer(json!({ "passcode": passcode }).to_string());
    shared.change(|state| state.registrations.push(Registration { parameters, passcode }));
    answer
}

/// What was compressed; nothing if it is damaged.
fn unpacked(body: &Bytes) -> Bytes {
    let mut unpacked = Vec::new();
    let whole = flate2::read::GzDecoder::new(&body[..]).read_to_end(&mut unpacked);
    if whole.is_ok() { unpacked.into() } else { Bytes::new() }
}

fn status(code: u16, body: &str, headers: &[(String, String)]) -> Response {
    let kind = if body.starts_with(['{', '[']) { "application/json" } else { "text/plain" };
    let mut answer = Response::builder().status(code);
    if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type")) && !body.is_empty() {
        answer = answer.header(header::CONTENT_TYPE, kind);
    }
    for (name, value) in headers {
        answer = answer.header(name, value);
    }
    answer.body(Body::from(body.to_owned())).expect("a status and headers that HTTP allows")
}

fn authorised(shared: &Shared, headers: &HeaderMap) -> bool {
    let token = token_of(headers);
    token == *lock(&shared.token) || lock(&shared.state).is_registered(token)
}

fn token_of(headers: &HeaderMap) -> &str {
    let sent = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    sent.and_then(|sent| sent.strip_prefix("Basic ")).unwrap_or_default()
}

fn json_answer(text: String) -> Response {
    ([(header::CONTENT_TYPE, "application/json; charset=utf-8")], text).into_response()
}

fn message(text: &str) -> String {
    json!({ "message": text }).to_string()
}

fn page() -> Response {
    ([(header::CONTENT_TYPE, "text/html; charset=utf-8")], PAGE).into_response()
}

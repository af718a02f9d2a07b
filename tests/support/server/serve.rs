//! From a request to an answer.

use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{ConnectInfo, Request};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::Behaviour;
use super::state::{Post, Shared, lock};
use super::wire::{Scissors, Wires};

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
    if !authorised(shared, &parts.headers) {
        shared.change(|state| state.unauthorised += 1);
        let realm = [(header::WWW_AUTHENTICATE, "Basic realm=\"WATS\"")];
        return (StatusCode::UNAUTHORIZED, realm, message("the token is not valid")).into_response();
    }
    match (parts.method.as_str(), path.to_ascii_lowercase().as_str()) {
        ("POST", "/api/report/wsjf") => post(shared, scissors, &parts.headers, &body).await,
        ("GET", "/api/app/version") => {
            let behaviour = decide(shared, None);
            act(shared, scissors, &behaviour, &parts.headers, None).await
        }
        (_, "/api/report/wsjf" | "/api/app/version") => StatusCode::METHOD_NOT_ALLOWED.into_response(),
        _ => (StatusCode::NOT_FOUND, message("no such resource")).into_response(),
    }
}

async fn post(shared: &Arc<Shared>, scissors: &Scissors, headers: &HeaderMap, body: &Bytes) -> Response {
    let report: Value = serde_json::from_slice(body).unwrap_or_default();
    let id = report["id"].as_str().map(|id| id.trim_matches(['{', '}']).to_ascii_lowercase()).unwrap_or_default();
    let number = shared.change(|state| {
        state.posted(Post {
            id: id.clone(),
            at: Instant::now(),
            hash: blake3::hash(body).to_hex().to_string(),
            bytes: body.len(),
            headers: headers
                .iter()
                .filter(|(name, _)| *name != header::AUTHORIZATION)
                .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
                .collect(),
            answer: None,
        })
    });
    let behaviour = decide(shared, Some(&report));
    let answer = act(shared, scissors, &behaviour, headers, Some((&id, body))).await;
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

/// Does what the behaviour says to a post (id and body) or to another request.
async fn act(
    shared: &Arc<Shared>,
    scissors: &Scissors,
    behaviour: &Behaviour,
    asked: &HeaderMap,
    post: Option<(&str, &Bytes)>,
) -> Response {
    match behaviour {
        Behaviour::Accept => accept(shared, post, None),
        Behaviour::AcceptWith(text) => accept(shared, post, Some(text)),
        Behaviour::Status { code, body, headers } => status(*code, &body.replace("{token}", token_of(asked)), headers),
        Behaviour::Html200 => page(),
        Behaviour::Redirect => (StatusCode::FOUND, [(header::LOCATION, "/login")]).into_response(),
        Behaviour::Delay(time) => {
            tokio::time::sleep(*time).await;
            accept(shared, post, None)
        }
        Behaviour::Hang => {
            let mut released = shared.release.subscribe();
            let hanging = shared.hang();
            // The sender lives in `shared`.
            let _released = released.changed().await;
            drop(hanging);
            accept(shared, post, None)
        }
        Behaviour::DropConnection => {
            scissors.cut_after(0);
            StatusCode::OK.into_response()
        }
        Behaviour::StoreThenDrop => {
            scissors.cut_after(0);
            accept(shared, post, None)
        }
        Behaviour::CutAnswer(bytes) => {
            scissors.cut_after(*bytes);
            accept(shared, post, None)
        }
        Behaviour::Script(_) | Behaviour::PerReport(_) => unreachable!("decided before"),
    }
}

fn accept(shared: &Shared, post: Option<(&str, &Bytes)>, text: Option<&String>) -> Response {
    let Some((id, body)) = post else { return json_answer(json!("2026.1.0.0").to_string()) };
    if id.is_empty() {
        return (StatusCode::BAD_REQUEST, message("the body is no report with an id")).into_response();
    }
    shared.change(|state| state.accepted(id, body));
    json_answer(text.map_or_else(|| json!([{ "ID": id }]).to_string(), |text| text.replace("{id}", id)))
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
    let wanted = format!("Basic {}", lock(&shared.token));
    headers.get(header::AUTHORIZATION).is_some_and(|value| value.as_bytes() == wanted.as_bytes())
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

//! A WATS-compatible server: `POST api/Report/WSJF` with a basic token.

mod test;

use std::borrow::Cow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::{Client, StatusCode, Url};
use serde_json::Value;
use waybill_shared::error::{Code, ErrorReport};
use waybill_shared::id::ReportId;
use waybill_shared::secret::{self, Secret};
use waybill_shared::text;

use super::http::Http;
use super::trouble::Trouble;
use super::{Delivered, Delivery, Depth, Destination, Parcel, Testing};
use crate::secrets::TokenSource;
use crate::upload::verdict::{Answer, Body, Context, Verdict, classify};

/// Bytes of an answer that are read.
const ANSWER_BYTES: usize = 64 * 1024;
/// Characters of a server's text that are kept.
const TEXT: usize = 1000;

/// A destination of kind `wats`.
pub struct Wats {
    name: String,
    http: Http,
    base: Url,
    token: TokenSource,
    accepted: AtomicBool,
    identified: AtomicBool,
}

impl Wats {
    /// Takes what it needs; nothing is read or sent yet.
    ///
    /// # Errors
    /// An address that cannot be used.
    pub fn new(name: &str, url: &str, token: TokenSource, http: Http) -> Result<Self, ErrorReport> {
        let mut base = Url::parse(url).map_err(|error| ErrorReport::new(Code::ConfigInvalid, format!("{url}: {error}")))?;
        if !base.path().ends_with('/') {
            base.set_path(&format!("{}/", base.path()));
        }
        let (accepted, identified) = (AtomicBool::new(false), AtomicBool::new(false));
        Ok(Self { name: name.to_owned(), http, base, token, accepted, identified })
    }

    fn endpoint(&self, path: &str) -> Result<Url, ErrorReport> {
        self.base.join(path).map_err(|error| ErrorReport::new(Code::ConfigInvalid, format!("{}: {error}", self.base)))
    }

    /// How to be known to the server; read each time, so that a new token works at once.
    async fn login(&self) -> Result<Login, ErrorReport> {
        let token = self.token.fetch().await?;
        let mut header = HeaderValue::from_str(&format!("Basic {}", token.expose()))
            .map_err(|_| ErrorReport::new(Code::SecretMissing, "the token holds characters that no token has"))?;
        header.set_sensitive(true);
        let client = self.http.client().await?;
        let mut secrets = self.http.proxy_secrets();
        secrets.push(token);
        Ok(Login { client, header, secrets })
    }

    async fn post(&self, parcel: &Parcel) -> Result<Answer, Verdict> {
        let pause = |error| Verdict::PauseDestination { error };
        let login = self.login().await.map_err(pause)?;
        let request = login
            .client
            .post(self.endpoint("api/Report/WSJF").map_err(pause)?)
            .header(AUTHORIZATION, login.header)
            .header(ACCEPT, "application/json")
            .header(CONTENT_TYPE, "application/json")
            .header("X-Correlation-Id", parcel.correlation_id.to_string())
            .body(parcel.body.clone());
        match request.send().await {
            Ok(response) if response.status() == StatusCode::PROXY_AUTHENTICATION_REQUIRED => Err(pause(proxy_refused())),
            Ok(response) => Ok(read_answer(response, parcel.report_id, &login.secrets).await),
            Err(error) => self.no_answer(&error),
        }
    }

    fn no_answer(&self, error: &reqwest::Error) -> Result<Answer, Verdict> {
        match Trouble::of(error, self.http.manual_proxy()) {
            Trouble::Tls { reason, .. } => {
                self.http.forget();
                Err(Verdict::DestinationDown { error: ErrorReport::new(Code::TlsFailed, reason) })
            }
            Trouble::ProxyLogin(reason) => Err(Verdict::PauseDestination { error: ErrorReport::new(Code::ProxyRefused, reason) }),
            Trouble::NoConnection(reason) => Ok(Answer::NoConnection(reason)),
            Trouble::Broken(reason) => Ok(Answer::Broken(reason)),
        }
    }

    /// Whether this is a server of this kind: it answers a call that only such a server knows, and not with a page for people.
    async fn identify(&self) -> bool {
        let Ok(login) = self.login().await else { return false };
        self.ask(login).await.is_ok_and(|version| version.is_ours())
    }

    /// The call that only such a server knows, with the token: `GET api/App/Version`.
    async fn ask(&self, login: Login) -> Result<Version, Trouble> {
        let trouble = |error: &reqwest::Error| Trouble::of(error, self.http.manual_proxy());
        let url = self.endpoint("api/App/Version").map_err(|error| Trouble::NoConnection(error.message))?;
        let request = login.client.get(url).header(AUTHORIZATION, login.header).header(ACCEPT, "application/json");
        let response = request.send().await.map_err(|error| trouble(&error))?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let tls = response.extensions().get::<reqwest::tls::TlsInfo>().cloned();
        let body = bounded_body(response).await.map_err(|error| trouble(&error))?;
        let body = without(body, &login.secrets);
        Ok(Version { status, headers, tls, body })
    }
}

/// By what the server and a proxy on the way know this station.
struct Login {
    client: Client,
    header: HeaderValue,
    /// What was sent and must be nowhere in what is kept of the answer.
    secrets: Vec<Secret>,
}

/// What came of the call that only such a server knows.
struct Version {
    status: u16,
    headers: HeaderMap,
    tls: Option<reqwest::tls::TlsInfo>,
    body: Vec<u8>,
}

impl Version {
    fn is_page(&self) -> bool {
        is_html(&self.headers) || looks_like_html(&self.body)
    }
    fn is_ours(&self) -> bool {
        self.status == StatusCode::OK && !self.is_page()
    }
}

/// A proxy's answer to a call by http; to one by https it is an error of the connection.
fn proxy_refused() -> ErrorReport {
    ErrorReport::new(Code::ProxyRefused, "the proxy asks for a login, or does not accept the one that it was given (407)")
}

impl Destination for Wats {
    fn address(&self) -> String {
        self.base.to_string()
    }

    fn accepted_before(&self) {
        self.accepted.store(true, Ordering::Relaxed);
    }

    fn deliver(&self, parcel: Parcel) -> Delivery<'_> {
        Box::pin(async move {
            let answer = self.post(&parcel).await?;
            if let Answer::Status { status: 200..=299, body: Body::EmptyOrJson, .. } = &answer
                && !self.identified.load(Ordering::Relaxed)
                && self.identify().await
            {
                self.identified.store(true, Ordering::Relaxed);
            }
            let context = Context {
                accepted_before: self.accepted.load(Ordering::Relaxed),
                identified: self.identified.load(Ordering::Relaxed),
            };
            let judged: Delivered = match classify(&answer, context) {
                Verdict::Sent => Ok(format!("{}api/Report/Wsjf/{}", self.base, parcel.report_id)),
                verdict => Err(verdict),
            };
            if judged.is_ok() {
                self.accepted.store(true, Ordering::Relaxed);
            }
            judged
        })
    }

    fn test(&self, depth: Depth) -> Testing<'_> {
        Box::pin(test::test(self, depth))
    }
}

async fn read_answer(response: reqwest::Response, report_id: ReportId, secrets: &[Secret]) -> Answer {
    let status = response.status().as_u16();
    let retry_after = response.headers().get(RETRY_AFTER).and_then(|value| wait_asked_for(value.to_str().ok()?));
    let html = is_html(response.headers());
    match bounded_body(response).await {
        Ok(body) => {
            let kind = body_kind(&body, html, report_id);
            // Nobody reads the words of a server that has taken a report, and there are many of them.
            let taken = kind == Body::OurId && (200..300).contains(&status);
            let text = if taken { String::new() } else { words(&without(body, secrets), html) };
            Answer::Status { status, body: kind, retry_after, text }
        }
        Err(error) => Answer::Broken(format!("the answer broke off: {}", Trouble::of(&error, None).reason())),
    }
}

/// `Retry-After`: seconds, or a date.
fn wait_asked_for(value: &str) -> Option<Duration> {
    if let Ok(seconds) = value.trim().parse() {
        return Some(Duration::from_secs(seconds));
    }
    let at = jiff::fmt::rfc2822::parse(value.trim()).ok()?;
    Duration::try_from(at.timestamp().duration_since(jiff::Timestamp::now())).ok()
}

fn is_html(headers: &HeaderMap) -> bool {
    headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| value.to_ascii_lowercase().contains("html"))
}

/// The beginning of what was answered.
async fn bounded_body(mut response: reqwest::Response) -> reqwest::Result<Vec<u8>> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        body.extend_from_slice(&chunk);
        if body.len() > ANSWER_BYTES {
            body.truncate(ANSWER_BYTES);
            break;
        }
    }
    Ok(body)
}

/// What was answered without the secrets that were sent: servers repeat them, in messages and in pages. Nothing else may be told to anybody.
fn without(body: Vec<u8>, secrets: &[Secret]) -> Vec<u8> {
    match secret::without(&String::from_utf8_lossy(&body), secrets) {
        Cow::Owned(without) => without.into_bytes(),
        Cow::Borrowed(_) => body,
    }
}

fn looks_like_html(body: &[u8]) -> bool {
    body.trim_ascii_start().starts_with(b"<")
}

fn body_kind(body: &[u8], html: bool, report_id: ReportId) -> Body {
    if html || looks_like_html(body) {
        return Body::Html;
    }
    if body.trim_ascii().is_empty() {
        return Body::EmptyOrJson;
    }
    match serde_json::from_slice::<Value>(body) {
        Ok(value) if carries_id(&value, report_id) => Body::OurId,
        Ok(_) => Body::EmptyOrJson,
        // A bare GUID without quotes.
        Err(_) if std::str::from_utf8(body).is_ok_and(|text| is_id(text, report_id)) => Body::OurId,
        Err(_) => Body::Other,
    }
}

/// The id in one of the shapes servers answer: a text, an object with `ID`, `id` or `uuid`, or a list of these.
fn carries_id(value: &Value, report_id: ReportId) -> bool {
    match value {
        Value::String(text) => is_id(text, report_id),
        Value::Array(items) => items.iter().any(|item| carries_id(item, report_id)),
        Value::Object(object) => {
            ["ID", "id", "Id", "uuid"].iter().filter_map(|key| object.get(*key)).any(|value| carries_id(value, report_id))
        }
        _ => false,
    }
}

fn is_id(text: &str, report_id: ReportId) -> bool {
    text.trim().trim_matches(['{', '}']).parse::<ReportId>() == Ok(report_id)
}

/// What the server says, for a person: its message if the body has one, else the body's beginning.
fn words(body: &[u8], html: bool) -> String {
    if html || looks_like_html(body) {
        return "a web page, not an answer of the server".to_owned();
    }
    let parsed = serde_json::from_slice::<Value>(body).ok();
    let message = parsed
        .as_ref()
        .and_then(|value| ["message", "Message", "error", "title", "detail"].iter().find_map(|key| value.get(key)?.as_str()));
    text::printable(message.unwrap_or(String::from_utf8_lossy(body).trim()), TEXT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_is_found_in_every_shape_servers_answer() {
        let id = ReportId::from_bytes([7; 16]);
        for body in [
            format!("[{{\"ID\":\"{id}\"}}]"),
            format!("{{\"id\":\"{id}\"}}"),
            format!("{{\"uuid\":\"{}\"}}", id.to_string().to_uppercase()),
            format!("\"{{{id}}}\""),
            format!("{id}\n"),
        ] {
            assert_eq!(body_kind(body.as_bytes(), false, id), Body::OurId, "{body}");
        }
        assert_eq!(body_kind(b"{\"ID\":\"00000000-0000-0000-0000-000000000000\"}", false, id), Body::EmptyOrJson);
        assert_eq!(body_kind(b"", false, id), Body::EmptyOrJson);
        assert_eq!(body_kind(b" <!doctype html><p>log in", false, id), Body::Html);
        assert_eq!(body_kind(format!("\"{id}\"").as_bytes(), true, id), Body::Html, "a page that echoes the request");
        assert_eq!(body_kind(b"OK", false, id), Body::Other);
    }

    #[test]
    fn the_servers_message_is_taken_from_where_servers_put_it() {
        assert_eq!(words(br#"{"Message":"bad pn"}"#, false), "bad pn");
        assert_eq!(words(br#"{"error":"bad"}"#, false), "bad");
        assert_eq!(words(b"plain \x1b[0m", false), "plain \\u{1b}[0m");
        assert_eq!(words(b"", false), "");
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        assert_eq!(wait_asked_for("120"), Some(Duration::from_secs(120)));
        assert!(wait_asked_for("Fri, 31 Dec 2100 23:59:59 GMT").is_some_and(|wait| wait.as_secs() > 1_000_000_000));
        assert_eq!(wait_asked_for("Fri, 31 Dec 1999 23:59:59 GMT"), None);
        assert_eq!(wait_asked_for("soon"), None);
    }
}

//! A WATS-compatible server: `POST api/Report/WSJF` with a basic token.

use std::error::Error as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::{Client, StatusCode, Url};
use serde_json::Value;
use waybill_shared::config::Upload;
use waybill_shared::error::{Code, ErrorReport};
use waybill_shared::id::ReportId;
use waybill_shared::text;

use super::{Delivered, Delivery, Destination, Parcel};
use crate::secrets::TokenSource;
use crate::upload::verdict::{Answer, Body, Context, Verdict, classify};

/// Bytes of an answer that are read.
const ANSWER_BYTES: usize = 64 * 1024;
/// Characters of a server's text that are kept.
const TEXT: usize = 1000;

/// A destination of kind `wats`.
pub struct Wats {
    client: Client,
    base: Url,
    token: TokenSource,
    accepted: AtomicBool,
    identified: AtomicBool,
}

impl Wats {
    /// Prepares the client; nothing is sent yet.
    ///
    /// # Errors
    /// An address that cannot be used.
    pub fn new(url: &str, token: TokenSource, upload: &Upload) -> Result<Self, ErrorReport> {
        let invalid = |why: &dyn std::fmt::Display| ErrorReport::new(Code::ConfigInvalid, format!("{url}: {why}"));
        let mut base = Url::parse(url).map_err(|error| invalid(&error))?;
        if !base.path().ends_with('/') {
            base.set_path(&format!("{}/", base.path()));
        }
        let client = Client::builder()
            .user_agent(concat!("waybill/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(Duration::from_secs(upload.connect_timeout_secs))
            .timeout(Duration::from_secs(upload.timeout_secs))
            .redirect(reqwest::redirect::Policy::none())
            .pool_max_idle_per_host(upload.concurrency as usize)
            .http1_only()
            .build()
            .map_err(|error| invalid(&error))?;
        Ok(Self { client, base, token, accepted: AtomicBool::new(false), identified: AtomicBool::new(false) })
    }

    fn endpoint(&self, path: &str) -> Result<Url, Verdict> {
        self.base.join(path).map_err(|error| Verdict::PauseDestination {
            error: ErrorReport::new(Code::ConfigInvalid, format!("{}: {error}", self.base)),
        })
    }

    /// The token as a header; read each time, so that a new one works at once.
    fn authorization(&self) -> Result<HeaderValue, Verdict> {
        let pause = |error| Verdict::PauseDestination { error };
        let token = self.token.load().map_err(pause)?;
        let mut value = HeaderValue::from_str(&format!("Basic {}", token.expose()))
            .map_err(|_| pause(ErrorReport::new(Code::SecretMissing, "the token holds characters that no token has")))?;
        value.set_sensitive(true);
        Ok(value)
    }

    async fn post(&self, parcel: &Parcel) -> Result<Answer, Verdict> {
        let request = self
            .client
            .post(self.endpoint("api/Report/WSJF")?)
            .header(AUTHORIZATION, self.authorization()?)
            .header(ACCEPT, "application/json")
            .header(CONTENT_TYPE, "application/json")
            .header("X-Correlation-Id", parcel.correlation_id.to_string())
            .body(parcel.body.to_vec());
        Ok(match request.send().await {
            Ok(response) => read_answer(response, parcel.report_id).await,
            Err(error) => no_answer(&error),
        })
    }

    /// Whether this is a server of this kind: it answers a call that only such a server knows, and not with a page for people.
    async fn identify(&self) -> bool {
        let (Ok(url), Ok(authorization)) = (self.endpoint("api/App/Version"), self.authorization()) else { return false };
        let Ok(response) =
            self.client.get(url).header(AUTHORIZATION, authorization).header(ACCEPT, "application/json").send().await
        else {
            return false;
        };
        if response.status() != StatusCode::OK {
            return false;
        }
        let html = is_html(response.headers());
        !html && bounded_body(response).await.is_ok_and(|body| !looks_like_html(&body))
    }
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
}

async fn read_answer(response: reqwest::Response, report_id: ReportId) -> Answer {
    let status = response.status().as_u16();
    let retry_after = response.headers().get(RETRY_AFTER).and_then(|value| wait_asked_for(value.to_str().ok()?));
    let html = is_html(response.headers());
    match bounded_body(response).await {
        Ok(body) => Answer::Status { status, body: body_kind(&body, html, report_id), retry_after, text: words(&body, html) },
        Err(error) => Answer::Broken(format!("the answer broke off: {error}")),
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

/// Why there is no answer: no connection at all, or one that broke with the report on its way.
fn no_answer(error: &reqwest::Error) -> Answer {
    let mut reason = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let inner_text = inner.to_string();
        if !reason.contains(&inner_text) {
            reason = format!("{reason}: {inner_text}");
        }
        cause = inner.source();
    }
    let reason = text::printable(&reason, TEXT);
    if error.is_connect() { Answer::NoConnection(reason) } else { Answer::Broken(reason) }
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

//! A WATS-compatible server: `POST api/Report/WSJF` with a basic token.
//!
//! A report has one limit in all, whatever it needs: the second, plain way after a compressed one that was refused, and the question who
//! the server is. Calls without a report have a limit of their own.

mod gzip;
mod limits;
mod processes;
mod register;
mod send;
mod test;

use std::borrow::Cow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Client, RequestBuilder, StatusCode, Url};
use serde_json::Value;
use waybill_shared::error::{Code, ErrorReport};
use waybill_shared::secret::{self, Secret};
use waybill_shared::text;

use self::gzip::Gzip;
use super::http::Http;
use super::registration::{Registering, Registration};
use super::trouble::Trouble;
use super::{Delivery, Depth, Destination, Listing, Parcel, Testing};
use crate::secrets::TokenSource;
use crate::upload::verdict::{Answer, Verdict};

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
    gzip: Gzip,
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
        let gzip = Gzip::new(http.upload().gzip);
        Ok(Self { name: name.to_owned(), http, base, token, accepted, identified, gzip })
    }

    fn endpoint(&self, path: &str) -> Result<Url, ErrorReport> {
        self.base.join(path).map_err(|error| ErrorReport::new(Code::ConfigInvalid, format!("{}: {error}", self.base)))
    }

    /// How to be known to the server; read each time, so that a new token works at once.
    async fn login(&self) -> Result<Login, ErrorReport> {
        self.login_with(self.token.fetch().await?).await
    }

    async fn login_with(&self, token: Secret) -> Result<Login, ErrorReport> {
        let mut header = HeaderValue::from_str(&format!("Basic {}", token.expose()))
            .map_err(|_| ErrorReport::new(Code::SecretMissing, "the token holds characters that no token has"))?;
        header.set_sensitive(true);
        let client = self.http.client().await?;
        let mut secrets = self.http.proxy_secrets();
        secrets.push(token);
        Ok(Login { client, header, secrets })
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

    /// Nothing moves any more.
    fn silent(&self, limit: Duration) -> Answer {
        let place = self.base.origin().ascii_serialization();
        Answer::Broken(format!("{place}: nothing came back for {} s (upload.read_timeout_secs)", limit.as_secs()))
    }

    /// Whether this is a server of this kind: it answers a call that only such a server knows, and not with a page for people.
    async fn identify(&self, until: Instant) -> bool {
        let Ok(login) = self.login().await else { return false };
        let limit = self.http.call_limit().min(until.saturating_duration_since(Instant::now()));
        self.ask(login, limit).await.is_ok_and(|version| version.is_ours())
    }

    /// The call that only such a server knows, with the token: `GET api/App/Version`.
    async fn ask(&self, login: Login, limit: Duration) -> Result<Said, Trouble> {
        let url = self.endpoint("api/App/Version").map_err(|error| Trouble::NoConnection(error.message))?;
        let request = login.client.get(url);
        self.call(login, request, limit, ANSWER_BYTES).await
    }

    /// A call without a report, in at most `limit`; of the answer no more than so many bytes are read.
    async fn call(&self, login: Login, request: RequestBuilder, limit: Duration, bytes: usize) -> Result<Said, Trouble> {
        let request = request.header(AUTHORIZATION, login.header).header(ACCEPT, "application/json");
        // The client's own limit is that of a report.
        let request = request.timeout(limit * 2);
        let exchange = async {
            let response = request.send().await?;
            self.gzip.heard(response.headers());
            let (status, headers) = (response.status().as_u16(), response.headers().clone());
            let tls = response.extensions().get::<reqwest::tls::TlsInfo>().cloned();
            Ok((status, headers, tls, bounded_body(response, bytes).await?))
        };
        let (status, headers, tls, body) = match tokio::time::timeout(limit, exchange).await {
            Ok(Ok(said)) => said,
            Ok(Err(error)) => return Err(Trouble::of(&error, self.http.manual_proxy())),
            Err(_) => {
                let place = self.base.origin().ascii_serialization();
                let seconds = limit.as_secs();
                return Err(Trouble::Broken(format!(
                    "{place}: no complete answer within {seconds} s (upload.call_timeout_secs)"
                )));
            }
        };
        let body = without(body, &login.secrets);
        Ok(Said { status, headers, tls, body })
    }
}

/// By what the server and a proxy on the way know this station.
struct Login {
    client: Client,
    header: HeaderValue,
    /// What was sent and must be nowhere in what is kept of the answer.
    secrets: Vec<Secret>,
}

/// What a server said to a call without a report. Nothing in it repeats a secret that was sent.
struct Said {
    status: u16,
    headers: HeaderMap,
    tls: Option<reqwest::tls::TlsInfo>,
    body: Vec<u8>,
}

impl Said {
    fn is_page(&self) -> bool {
        is_html(&self.headers) || looks_like_html(&self.body)
    }
    fn is_ours(&self) -> bool {
        self.status == StatusCode::OK && !self.is_page() && tells_a_version(&self.body)
    }
}

/// Whether this is an answer to the question for the version: a number with dots as a text, or something under a name that says so.
fn tells_a_version(body: &[u8]) -> bool {
    let is_version = |text: &str| {
        let text = text.trim().trim_matches('"');
        let number: Vec<&str> = text.split(|c: char| !c.is_ascii_digit()).take_while(|part| !part.is_empty()).collect();
        text.len() <= 100 && number.len() >= 2
    };
    match serde_json::from_slice::<serde_json::Value>(body) {
        Ok(serde_json::Value::Object(object)) => object.iter().any(|(key, value)| {
            ["version", "major"].iter().any(|name| key.to_ascii_lowercase().contains(name)) && !value.is_null()
        }),
        Ok(serde_json::Value::String(text)) => is_version(&text),
        Ok(serde_json::Value::Number(number)) => number.is_f64(),
        Ok(_) => false,
        Err(_) => std::str::from_utf8(body).is_ok_and(is_version),
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
        Box::pin(send::deliver(self, parcel))
    }

    fn test(&self, depth: Depth) -> Testing<'_> {
        Box::pin(test::test(self, depth))
    }

    fn register(&self, token: Secret, station: Registration) -> Registering<'_> {
        Box::pin(register::register(self, token, station))
    }

    fn processes(&self) -> Listing<'_> {
        Box::pin(processes::processes(self))
    }
}

fn is_html(headers: &HeaderMap) -> bool {
    headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| value.to_ascii_lowercase().contains("html"))
}

/// The beginning of what was answered.
async fn bounded_body(mut response: reqwest::Response, bytes: usize) -> reqwest::Result<Vec<u8>> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        body.extend_from_slice(&chunk);
        if body.len() > bytes {
            body.truncate(bytes);
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
    fn the_servers_message_is_taken_from_where_servers_put_it() {
        assert_eq!(words(br#"{"Message":"bad pn"}"#, false), "bad pn");
        assert_eq!(words(br#"{"error":"bad"}"#, false), "bad");
        assert_eq!(words(b"plain \x1b[0m", false), "plain \\u{1b}[0m");
        assert_eq!(words(b"", false), "");
    }
}

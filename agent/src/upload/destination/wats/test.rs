//! The connection test: the authenticated call by which a delivery knows its server, on a connection of its own.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use reqwest::header::{DATE, LOCATION};
use waybill_ipc::protocol::{CertificateInfo, DestinationTest};
use waybill_shared::error::{Code, ErrorReport};
use waybill_shared::text;

use super::{Said, TEXT, Trouble, Wats, words};
use crate::upload::destination::Depth;
use crate::upload::destination::certificate::{self, Witness};
use crate::upload::destination::millis;

/// A difference between the clocks that a person is told of.
const CLOCK_WARNING_SECS: u64 = 300;

/// Asks the server.
pub(super) async fn test(wats: &Wats, depth: Depth) -> Result<DestinationTest, ErrorReport> {
    let limit = wats.http.call_limit();
    let mut login = wats.login().await?;
    if depth == Depth::Whole {
        login.client = wats.http.fresh().await?;
    }
    let (began, started) = (Timestamp::now(), Instant::now());
    let asked = wats.ask(login, limit).await;
    let took = started.elapsed();
    let mut result = DestinationTest {
        destination: wats.name.clone(),
        ok: false,
        status: None,
        latency_ms: millis(took),
        server: None,
        message: String::new(),
        clock_skew_secs: None,
        certificate: None,
    };
    match asked {
        Err(trouble) => {
            if depth == Depth::Whole && matches!(trouble, Trouble::Tls { certificate: true, .. }) {
                result.certificate = look_at_certificate(wats, limit.saturating_sub(took)).await;
            }
            result.message = of_trouble(&trouble, result.certificate.as_ref());
        }
        Ok(version) => {
            if version.is_ours() {
                wats.identified.store(true, Ordering::Relaxed);
            }
            result.ok = version.is_ours();
            result.status = Some(version.status);
            result.server = own_words(&version);
            result.clock_skew_secs = clock_skew(&version, began, took);
            result.certificate = match version.tls.as_ref().and_then(|tls| tls.peer_certificate()) {
                Some(der) => certificate::read(der),
                // Through a proxy the HTTP library does not tell it.
                None if depth == Depth::Whole && wats.base.scheme() == "https" => {
                    look_at_certificate(wats, limit.saturating_sub(took)).await
                }
                None => None,
            };
            result.message = of_answer(&version, wats);
            if let Some(warning) = result.clock_skew_secs.and_then(clock_warning) {
                result.message = format!("{} {warning}", result.message);
            }
        }
    }
    Ok(result)
}

/// What was found, and what to do about it.
fn sentence(found: &str, code: Code) -> String {
    format!("{}. {}.", found.trim_end_matches('.'), code.fix())
}

fn of_trouble(trouble: &Trouble, certificate: Option<&CertificateInfo>) -> String {
    match trouble {
        Trouble::Tls { reason, .. } => {
            let shown = certificate.map_or_else(String::new, |shown| {
                let of = if shown.subject.is_empty() { String::new() } else { format!(" of {}", shown.subject) };
                format!(" (the certificate{of} was issued by {})", shown.issuer)
            });
            sentence(&format!("{reason}{shown}"), Code::TlsFailed)
        }
        Trouble::ProxyLogin(reason) => sentence(reason, Code::ProxyRefused),
        Trouble::NoConnection(reason) | Trouble::Broken(reason) => sentence(reason, Code::DestinationUnreachable),
    }
}

fn of_answer(version: &Said, wats: &Wats) -> String {
    let Said { status, body, .. } = version;
    let place = &wats.base;
    let says = match words(body, version.is_page()) {
        said if said.is_empty() => String::new(),
        said => format!(": {}", text::shortened(&said, TEXT)),
    };
    match status {
        _ if version.is_ours() => format!("{place} answers and accepts the token."),
        401 | 403 => sentence(&format!("{place} refuses the token ({status}){says}"), Code::DestinationUnauthorised),
        407 => sentence(&super::proxy_refused().message, Code::ProxyRefused),
        300..=399 => {
            let to = version.headers.get(LOCATION).and_then(|to| wats.base.join(to.to_str().ok()?).ok());
            let to = to.map_or_else(String::new, |to| format!(" to {}", to.origin().ascii_serialization()));
            sentence(&format!("{place} sends callers elsewhere{to} ({status}), which is not followed"), Code::NotOurServer)
        }
        404 | 405 => {
            sentence(&format!("what answers at {place} does not know the calls of a WATS server ({status})"), Code::NotOurServer)
        }
        200..=299 => {
            let what = if version.is_page() { "a web page answers" } else { "something else answers" };
            sentence(&format!("at {place} {what}, not a WATS server ({status})"), Code::NotOurServer)
        }
        _ => sentence(&format!("{place} answered {status}{says}"), Code::DestinationUnreachable),
    }
}

/// The version, as the server writes it: a text, or an object that has one.
fn own_words(version: &Said) -> Option<String> {
    if !version.is_ours() {
        return None;
    }
    let said = match serde_json::from_slice::<serde_json::Value>(&version.body) {
        Ok(serde_json::Value::String(said)) => said,
        Ok(serde_json::Value::Object(fields)) => {
            ["version", "Version"].iter().find_map(|key| fields.get(*key)?.as_str()).map(str::to_owned)?
        }
        Ok(serde_json::Value::Number(said)) => said.to_string(),
        Ok(_) => return None,
        Err(_) => String::from_utf8_lossy(&version.body).trim().to_owned(),
    };
    let said = text::printable(said.trim(), 200);
    (!said.is_empty()).then_some(said)
}

/// The server's clock against the middle of the call.
fn clock_skew(version: &Said, began: Timestamp, took: Duration) -> Option<i64> {
    let date = version.headers.get(DATE)?.to_str().ok()?;
    let theirs = jiff::fmt::rfc2822::parse(date.trim()).ok()?.timestamp();
    let ours = began.checked_add(SignedDuration::try_from(took / 2).ok()?).ok()?;
    Some(theirs.duration_since(ours).as_secs())
}

fn clock_warning(skew: i64) -> Option<String> {
    let minutes = skew.unsigned_abs() / 60;
    let way = if skew > 0 { "ahead of" } else { "behind" };
    (skew.unsigned_abs() > CLOCK_WARNING_SECS)
        .then(|| format!("The server's clock is {minutes} min {way} this station's: one of them is wrong."))
}

/// Calls once more, on a connection that ends as soon as the server has shown its certificate.
async fn look_at_certificate(wats: &Wats, limit: Duration) -> Option<CertificateInfo> {
    let witness = Arc::new(Witness::default());
    let client = wats.http.refusing(&witness).await.ok()?;
    // It always fails; what it saw is what counts.
    let _refused = tokio::time::timeout(limit, client.get(wats.base.clone()).send()).await;
    witness.seen()
}

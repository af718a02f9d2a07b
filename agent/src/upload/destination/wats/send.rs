//! A report on its way: as short as the server takes it, compressed if it takes that, and never longer than it may last.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::Bytes;
use reqwest::StatusCode;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER};
use serde_json::Value;
use waybill_shared::id::ReportId;
use waybill_shared::secret::Secret;

use super::{ANSWER_BYTES, Login, Wats, gzip, is_html, limits, looks_like_html, proxy_refused, without, words};
use crate::upload::destination::silence::{Moved, Watched};
use crate::upload::destination::trouble::Trouble;
use crate::upload::destination::{Delivered, Parcel};
use crate::upload::verdict::{Answer, Body, Context, Verdict, classify};

/// Delivers a report.
pub(super) async fn deliver(wats: &Wats, parcel: Parcel) -> Delivered {
    let fitted = limits::fitted(&parcel.body).map_err(|error| Verdict::FailReport { error })?;
    let (body, cut) = match fitted {
        None => (parcel.body.clone(), Vec::new()),
        Some(shortened) => (shortened.body.into(), shortened.fields),
    };
    let login = wats.login().await.map_err(|error| Verdict::PauseDestination { error })?;
    let until = Instant::now() + wats.http.report_limit();
    let answer = post(wats, &login, &parcel, body, until).await?;
    if let Answer::Status { status: 200..=299, body: Body::EmptyOrJson, .. } = &answer
        && !wats.identified.load(Ordering::Relaxed)
        && wats.identify(until).await
    {
        wats.identified.store(true, Ordering::Relaxed);
    }
    let context =
        Context { accepted_before: wats.accepted.load(Ordering::Relaxed), identified: wats.identified.load(Ordering::Relaxed) };
    let verdict = classify(&answer, context);
    if !cut.is_empty() && matches!(verdict, Verdict::Sent | Verdict::FailReport { .. }) {
        tracing::warn!(event = "report_shortened", correlation_id = %parcel.correlation_id, report_id = %parcel.report_id,
            destination = wats.name, fields = limits::list(&cut), "the server takes shorter texts only: these were cut in what was sent");
    }
    if verdict != Verdict::Sent {
        return Err(verdict);
    }
    wats.accepted.store(true, Ordering::Relaxed);
    Ok(format!("{}api/Report/Wsjf/{}", wats.base, parcel.report_id))
}

async fn post(wats: &Wats, login: &Login, parcel: &Parcel, body: Bytes, until: Instant) -> Result<Answer, Verdict> {
    if wats.gzip.is_for(body.len())
        && let Some(packed) = gzip::packed(&body).await
    {
        let answer = post_once(wats, login, parcel, packed.into(), true, until).await?;
        if !wats.gzip.is_refused_by(&answer) {
            return Ok(answer);
        }
        tracing::info!(
            event = "gzip_refused",
            correlation_id = %parcel.correlation_id,
            destination = wats.name,
            "the server does not take compressed reports: this one and all further ones go as they are"
        );
    }
    post_once(wats, login, parcel, body, false, until).await
}

async fn post_once(
    wats: &Wats,
    login: &Login,
    parcel: &Parcel,
    body: Bytes,
    packed: bool,
    until: Instant,
) -> Result<Answer, Verdict> {
    let pause = |error| Verdict::PauseDestination { error };
    let moved = Moved::default();
    let mut request = login
        .client
        .post(wats.endpoint("api/Report/WSJF").map_err(pause)?)
        .header(AUTHORIZATION, login.header.clone())
        .header(ACCEPT, "application/json")
        .header(CONTENT_TYPE, "application/json")
        .header("X-Correlation-Id", parcel.correlation_id.to_string())
        .timeout(until.saturating_duration_since(Instant::now()))
        .body(reqwest::Body::wrap(Watched::new(body, moved.clone())));
    if packed {
        request = request.header(CONTENT_ENCODING, "gzip");
    }
    let silence = wats.http.silence_limit();
    let exchange = async {
        let response = request.send().await?;
        wats.gzip.heard(response.headers());
        Ok(response)
    };
    match moved.unless_silent(silence, exchange).await {
        None => Ok(wats.silent(silence)),
        Some(Ok(response)) if response.status() == StatusCode::PROXY_AUTHENTICATION_REQUIRED => Err(pause(proxy_refused())),
        Some(Ok(response)) => Ok(read_answer(wats, response, parcel.report_id, &login.secrets).await),
        Some(Err(error)) => wats.no_answer(&error),
    }
}

async fn read_answer(wats: &Wats, mut response: reqwest::Response, report_id: ReportId, secrets: &[Secret]) -> Answer {
    let status = response.status().as_u16();
    let retry_after = response.headers().get(RETRY_AFTER).and_then(|value| wait_asked_for(value.to_str().ok()?));
    let html = is_html(response.headers());
    let silence = wats.http.silence_limit();
    let mut body = Vec::new();
    loop {
        match tokio::time::timeout(silence, response.chunk()).await {
            Err(_) => return wats.silent(silence),
            Ok(Err(error)) => return Answer::Broken(format!("the answer broke off: {}", Trouble::of(&error, None).reason())),
            Ok(Ok(None)) => break,
            Ok(Ok(Some(chunk))) => body.extend_from_slice(&chunk),
        }
        if body.len() > ANSWER_BYTES {
            body.truncate(ANSWER_BYTES);
            break;
        }
    }
    let kind = body_kind(&body, html, report_id);
    // Nobody reads the words of a server that has taken a report, and there are many of them.
    let taken = kind == Body::OurId && (200..300).contains(&status);
    let text = if taken { String::new() } else { words(&without(body, secrets), html) };
    Answer::Status { status, body: kind, retry_after, text }
}

/// `Retry-After`: seconds, or a date.
fn wait_asked_for(value: &str) -> Option<Duration> {
    if let Ok(seconds) = value.trim().parse() {
        return Some(Duration::from_secs(seconds));
    }
    let at = jiff::fmt::rfc2822::parse(value.trim()).ok()?;
    Duration::try_from(at.timestamp().duration_since(jiff::Timestamp::now())).ok()
}

fn body_kind(body: &[u8], html: bool, report_id: ReportId) -> Body {
    if html || looks_like_html(body) {
        return Body::Html;
    }
    if body.trim_ascii().is_empty() {
        return Body::EmptyOrJson;
    }
    match serde_json::from_slice::<Value>(body) {
        Ok(value) if tells_an_error(&value) => Body::Denies,
        Ok(value) if carries_id(&value, |text| is_id(text, report_id)) => Body::OurId,
        Ok(value) if carries_id(&value, |text| id(text).is_some()) => Body::Denies,
        Ok(_) => Body::EmptyOrJson,
        // A bare GUID without quotes.
        Err(_) if std::str::from_utf8(body).is_ok_and(|text| is_id(text, report_id)) => Body::OurId,
        Err(_) => Body::Other,
    }
}

/// The id in one of the shapes servers answer: a text, an object with `ID`, `id` or `uuid`, or a list of these.
fn carries_id(value: &Value, is_wanted: impl Fn(&str) -> bool + Copy) -> bool {
    match value {
        Value::String(text) => is_wanted(text),
        Value::Array(items) => items.iter().any(|item| carries_id(item, is_wanted)),
        Value::Object(object) => {
            ["ID", "id", "Id", "uuid"].iter().filter_map(|key| object.get(*key)).any(|value| carries_id(value, is_wanted))
        }
        _ => false,
    }
}

/// Whether it speaks of an error, whatever else it carries.
fn tells_an_error(value: &Value) -> bool {
    match value {
        Value::Array(items) => items.iter().any(tells_an_error),
        Value::Object(object) => object.iter().any(|(key, value)| match key.to_ascii_lowercase().as_str() {
            "error" | "errors" | "exception" | "exceptionmessage" | "fault" => says_something(value),
            "success" | "ok" => value == &Value::Bool(false),
            "code" | "status" | "statuscode" => value.as_i64().is_some_and(|code| (400..=599).contains(&code)),
            _ => false,
        }),
        _ => false,
    }
}

/// Whether there is anything in it: servers answer `"error": null`, `""`, `[]` and `0` for none.
fn says_something(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(is) => *is,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.trim().is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(object) => !object.is_empty(),
    }
}

fn is_id(text: &str, report_id: ReportId) -> bool {
    id(text) == Some(report_id)
}

fn id(text: &str) -> Option<ReportId> {
    text.trim().trim_matches(['{', '}']).parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_is_found_in_every_shape_servers_answer() {
        let id = ReportId::from_bytes([7; 16]);
        for body in [
            format!("[{{\"ID\":\"{id}\"}}]"),
            format!("{{\"id\":\"{id}\",\"error\":\"\"}}"),
            format!("{{\"uuid\":\"{}\"}}", id.to_string().to_uppercase()),
            format!("\"{{{id}}}\""),
            format!("{id}\n"),
        ] {
            assert_eq!(body_kind(body.as_bytes(), false, id), Body::OurId, "{body}");
        }
        for denied in [
            r#"{"ID":"00000000-0000-0000-0000-000000000000"}"#,
            r#"[{"ID":"01010101-0101-0101-0101-010101010101"}]"#,
            r#""01010101-0101-0101-0101-010101010101""#,
            r#"{"error":"service unavailable","code":503}"#,
            r#"{"Errors":["no room"]}"#,
            r#"{"success":false}"#,
            r#"{"status":500}"#,
        ] {
            assert_eq!(body_kind(denied.as_bytes(), false, id), Body::Denies, "{denied}");
        }
        let echoed = format!("[{{\"ID\":\"{id}\",\"error\":\"no room\"}}]");
        assert_eq!(body_kind(echoed.as_bytes(), false, id), Body::Denies, "an error that names the report");
        for silent in ["[]", "null", "{}", r#"{"status":"ok","error":null,"errors":[]}"#, "7", r#"{"id":17}"#] {
            assert_eq!(body_kind(silent.as_bytes(), false, id), Body::EmptyOrJson, "{silent}");
        }
        assert_eq!(body_kind(b"", false, id), Body::EmptyOrJson);
        assert_eq!(body_kind(b" <!doctype html><p>log in", false, id), Body::Html);
        assert_eq!(body_kind(format!("\"{id}\"").as_bytes(), true, id), Body::Html, "a page that echoes the request");
        assert_eq!(body_kind(b"OK", false, id), Body::Other);
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        assert_eq!(wait_asked_for("120"), Some(Duration::from_secs(120)));
        assert!(wait_asked_for("Fri, 31 Dec 2100 23:59:59 GMT").is_some_and(|wait| wait.as_secs() > 1_000_000_000));
        assert_eq!(wait_asked_for("Fri, 31 Dec 1999 23:59:59 GMT"), None);
        assert_eq!(wait_asked_for("soon"), None);
    }
}

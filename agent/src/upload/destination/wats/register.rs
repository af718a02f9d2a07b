//! Registration: a token that is only good for that becomes one of this station.
//!
//! `POST api/Client/Register` answers a passcode; from then on the station is known by its id and the passcode. Nothing of such an answer is
//! ever quoted: it may be the passcode in a form that is not known here.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use waybill_shared::error::{Code, ErrorReport};
use waybill_shared::secret::Secret;

use super::{ANSWER_BYTES, Said, Wats, proxy_refused, words};
use crate::upload::destination::registration::Registration;

/// What kind of client this is.
const TYPE: &str = "Client";
/// Characters of the longest passcode that is taken.
const LONGEST: usize = 512;

/// Registers, and gives the station's own token.
pub(super) async fn register(wats: &Wats, token: Secret, station: Registration) -> Result<Secret, ErrorReport> {
    let mut url = wats.endpoint("api/Client/Register")?;
    let id = station.id.to_string();
    url.query_pairs_mut()
        .append_pair("id", &id)
        .append_pair("type", TYPE)
        .append_pair("name", &station.name)
        .append_pair("location", &station.location)
        .append_pair("purpose", &station.purpose);
    let login = wats.login_with(token).await?;
    let request = login.client.post(url);
    let asked = wats.call(login, request, wats.http.call_limit(), ANSWER_BYTES).await;
    let said = asked.map_err(|trouble| trouble.report())?;
    if !(200..300).contains(&said.status) || said.is_page() {
        return Err(refusal(wats, &said));
    }
    let passcode = passcode(&said.body).ok_or_else(|| {
        let message = format!("{} took the registration ({}), but its answer holds no passcode", wats.base, said.status);
        ErrorReport::new(Code::NotOurServer, message)
            .with_fix("Ask the server's administrator for a token of this station, and set it")
    })?;
    Ok(Secret::new(&STANDARD.encode(format!("{id}:{passcode}"))))
}

fn refusal(wats: &Wats, said: &Said) -> ErrorReport {
    let (place, status) = (&wats.base, said.status);
    let says = match words(&said.body, said.is_page()) {
        empty if empty.is_empty() => String::new(),
        said => format!(": {said}"),
    };
    match status {
        401 | 403 => {
            ErrorReport::new(Code::DestinationUnauthorised, format!("{place} refuses the register token ({status}){says}"))
                .with_fix("Ask the server's administrator for a register token that is valid; nothing was changed")
        }
        407 => proxy_refused(),
        404 | 405 => {
            let message = format!("what answers at {place} does not register stations ({status})");
            ErrorReport::new(Code::NotOurServer, message)
                .with_fix("Check the address, or ask the server's administrator for a token of this station, and set it")
        }
        400..=499 => ErrorReport::new(Code::RequestInvalid, format!("{place} refuses to register this station ({status}){says}"))
            .with_fix("Mend what the server names: name, location and purpose are those of [station]; nothing was changed"),
        200..=399 => {
            ErrorReport::new(Code::NotOurServer, format!("at {place} something else answers, not a WATS server ({status})"))
        }
        _ => ErrorReport::new(Code::DestinationUnreachable, format!("{place} answered {status}{says}"))
            .with_fix("Register again when the server is well; nothing was changed"),
    }
}

/// The passcode: the answer itself as JSON or plain text, or a field of it.
fn passcode(body: &[u8]) -> Option<String> {
    let found = match serde_json::from_slice::<Value>(body) {
        Ok(Value::Object(fields)) => {
            fields.into_iter().find(|(key, _)| key.eq_ignore_ascii_case("passcode")).and_then(|(_, value)| plain(value))?
        }
        Ok(value) => plain(value)?,
        Err(_) => String::from_utf8(body.to_vec()).ok()?,
    };
    let found = found.trim();
    let usable =
        !found.is_empty() && found.chars().count() <= LONGEST && !found.chars().any(|c| c.is_control() || c.is_whitespace());
    usable.then(|| found.to_owned())
}

fn plain(value: Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_passcode_is_found_where_servers_put_it() {
        for body in [r#""pass-1""#, r#"{"passcode":"pass-1"}"#, r#"{"id":1,"PassCode":" pass-1 "}"#, "pass-1\r\n"] {
            assert_eq!(passcode(body.as_bytes()).as_deref(), Some("pass-1"), "{body}");
        }
        assert_eq!(passcode(b"0815").as_deref(), Some("0815"), "digits stay as they are written");
        assert_eq!(passcode(b"{\"passcode\":815}").as_deref(), Some("815"));
        for body in ["", "\"\"", "{}", "[]", "null", "true", "registered, thank you", "a\u{0}b", r#"{"passcode":{"x":"y"}}"#] {
            assert_eq!(passcode(body.as_bytes()), None, "{body}");
        }
        assert_eq!(passcode("x".repeat(513).as_bytes()), None);
    }
}

//! The corpus: what goes and what stays.

use proptest::prelude::*;

use super::*;

/// Text, and what is left of it.
const GOES: &[(&str, &str)] = &[
    // Headers
    ("Authorization: Basic dXNlcjpwYXNz", "Authorization: ***"),
    ("authorization: bearer abc.def\r\nAccept: */*", "authorization: ***\r\nAccept: */*"),
    ("Proxy-Authorization: Basic eDp5\nHost: x", "Proxy-Authorization: ***\nHost: x"),
    ("curl -H \"Authorization: Bearer a1b2c3\" https://x", "curl -H \"Authorization: ***\" https://x"),
    ("Set-Cookie: sid=1; Path=/", "Set-Cookie: ***"),
    ("X-Api-Key: 77aa", "X-Api-Key: ***"),
    ("sent Basic c2VjcmV0 to it", "sent Basic *** to it"),
    ("BEARER eyJhbGciOi.eyJzdWIi.sig, then", "BEARER ***, then"),
    ("header=Basic%20c2VjcmV0", "header=Basic%20***"),
    // Addresses
    ("https://anna:hunter2@example.com/x", "https://anna:***@example.com/x"),
    ("proxy http://u:p@ss@10.0.0.1:8080 used", "proxy http://u:***@10.0.0.1:8080 used"),
    ("\"url\": \"https://u:a/b@host/x\"", "\"url\": \"https://u:***@host/x\""),
    ("socks5://:pw@host", "socks5://:***@host"),
    ("http://a:b@c http://d:e@f", "http://a:***@c http://d:***@f"),
    // JSON
    (r#"{"token":"abc","n":1}"#, r#"{"token":"***","n":1}"#),
    (r#"{"Password" : "a\"b", "x": "y"}"#, r#"{"Password" : "***", "x": "y"}"#),
    (r#"{"pin": 2580, "ok": true}"#, r#"{"pin": "***", "ok": true}"#),
    (r#"{"accessToken":"abc"}"#, r#"{"accessToken":"***"}"#),
    (r#"{"line":"{\"token\":\"abc\",\"n\":1}"}"#, r#"{"line":"{\"token\":\"***\",\"n\":1}"}"#),
    (r#"{"Authorization":"Basic abc=="}"#, r#"{"Authorization":"***"}"#),
    (r#"{"secret":["a b","c"],"n":1}"#, r#"{"secret":"***","n":1}"#),
    (r#"{"private_key":"-----BEGIN"}"#, r#"{"private_key":"***"}"#),
    (r#"{"token":"never closed"#, r#"{"token":"***"#),
    // TOML and the like
    ("password = \"hunter2\" # old", "password = \"***\" # old"),
    ("proxy_password='a b'\nx = 1", "proxy_password='***'\nx = 1"),
    ("destination.main.token = \"abc\"", "destination.main.token = \"***\""),
    ("token = '''a\nb'''\nx = 1", "token = '''***'''\nx = 1"),
    ("pin=2580", "pin=***"),
    ("api_key : abc123", "api_key : ***"),
    ("PASSWORD: hunter", "PASSWORD: ***"),
    ("password: hunter2 for anna", "password: *** for anna"),
    ("client_secret => \"abc\"", "client_secret => \"***\""),
    // Query strings, environment, debug output
    ("GET /x?token=abc&sn=42 HTTP/1.1", "GET /x?token=***&sn=42 HTTP/1.1"),
    ("https://h/x?a=1&api-key=a%20b#top", "https://h/x?a=1&api-key=***"),
    ("WAYBILL_SECRET_DESTINATION_MAIN_TOKEN=abc", "WAYBILL_SECRET_DESTINATION_MAIN_TOKEN=***"),
    ("env WAYBILL_PIN=2580 waybill-agent", "env WAYBILL_PIN=*** waybill-agent"),
    ("Login { user: \"anna\", password: \"x y\" }", "Login { user: \"anna\", password: \"***\" }"),
    ("Login { token: Some(\"abc\"), pin: Some(1234) }", "Login { token: Some(\"***\"), pin: Some(***) }"),
    ("passwd=a,b;c, next", "passwd=***, next"),
    ("pässword token=ä€x end", "pässword token=*** end"),
];

const STAYS: &[&str] = &[
    "",
    "SN 4711-0815, PN TOKEN-77, rev B",
    "{\"sn\":\"PIN0042\",\"pn\":\"SECRET-1\"}",
    "/data/secrets/destination.main.token",
    "C:\\ProgramData\\Waybill\\secrets\\destination.main.token: access denied",
    "/data/secrets/destination.main.token: 13 permission denied",
    "token_file = \"/etc/waybill/token\"",
    "pin_minutes = 15",
    "{\"pin_set\":true,\"without_pin\":\"operator\"}",
    "destination.main.token: cannot be read from /data/x",
    "the token is missing; set the password first",
    "keyring::token::load failed",
    "{\"token\":null,\"password\":\"\",\"pin\":false}",
    "password = \nnext = 1",
    "Basic functional test of board 3",
    "Basic measurement",
    "the bearer of this card",
    "Vpin = 4.98 V, spin = 3, PIN_3 = 1.2",
    "tokens = 12",
    "if token == other",
    "http://example.com:8080/api/Report/WSJF?x=1",
    "http://[::1]:8080/a@b",
    "ssh://git@host/repo",
    "mail anna@example.com: done",
    "12:34:56 main: 5 sent, 0 failed",
    "Secret(…) and token: Secret(…)",
    "monkey = 4, keypad: ok",
    "Basic",
    "Authorization",
    "://",
];

#[test]
fn secrets_go_and_what_is_around_them_stays() {
    for (text, left) in GOES {
        assert_eq!(redacted(text, &[]), *left, "of {text:?}");
    }
}

#[test]
fn what_is_no_secret_stays() {
    for text in STAYS {
        assert_eq!(redacted(text, &[]), *text);
    }
}

#[test]
fn doing_it_twice_changes_nothing_more() {
    for text in GOES.iter().map(|(text, _)| text).chain(STAYS) {
        let once = redacted(text, &[]);
        assert_eq!(redacted(&once, &[]), once, "of {text:?}");
    }
}

#[test]
fn redacted_json_is_still_json() {
    for (text, _) in GOES.iter().filter(|(text, _)| text.starts_with('{') && text.ends_with('}')) {
        let left = redacted(text, &[]);
        assert!(serde_json::from_str::<serde_json::Value>(&left).is_ok(), "{left}");
    }
}

#[test]
fn known_secrets_go_wherever_they_stand_in_whatever_form() {
    let known = [Secret::new("hunter2"), Secret::new("hunter2-long"), Secret::new("p\"w/ä"), Secret::new("ab")];
    for (text, left) in [
        ("refused: hunter2!", "refused: ***!"),
        ("xhunter2-longx", "x***x"),
        ("said p\"w/ä", "said ***"),
        (r#"{"text":"p\"w/ä"}"#, r#"{"text":"***"}"#),
        ("path/p%22w%2F%C3%A4/x", "path/***/x"),
        ("about", "about"),
    ] {
        assert_eq!(redacted(text, &known), left, "of {text:?}");
    }
}

proptest! {
    #[test]
    fn no_text_breaks_it_and_no_known_secret_survives(
        pieces in prop::collection::vec(prop_oneof![
            ".{0,6}", "(token|pin|Basic|://|Authorization)", "[\"'\\\\:=@/\\[{\\]} &\n]{1,4}", Just("s3cr3tXYZ".to_owned()),
        ], 0..12)
    ) {
        let text = pieces.concat();
        let left = redacted(&text, &[Secret::new("s3cr3tXYZ")]);
        prop_assert!(!left.contains("s3cr3tXYZ"), "{left:?}");
    }

    #[test]
    fn a_value_of_a_secret_key_never_survives(
        key in "(|proxy_|destination\\.main\\.|X-)(token|password|PIN|Api-Key|secret)", value in "[A-Za-z0-9]{6,20}7",
        form in 0..5usize
    ) {
        let text = match form {
            0 => format!("{{\"{key}\":\"{value}\"}}"),
            1 => format!("{key} = \"{value}\""),
            2 => format!("/x?a=1&{key}={value}&b=2"),
            3 => format!("{key}: {value}\nnext"),
            _ => format!("{{\\\"{key}\\\": \\\"{value}\\\"}}"),
        };
        let left = redacted(&text, &[]);
        prop_assert!(!left.contains(&value) && left.contains("***"), "{left:?}");
    }
}

//! The operations that a server knows: `GET api/App/Processes`.

use serde_json::{Map, Value};
use waybill_ipc::protocol::ProcessRow;
use waybill_shared::error::{Code, ErrorReport};
use waybill_shared::text;

use super::{Said, Wats, proxy_refused, words};

/// Bytes of the longest list that is read.
const BYTES: usize = 4 * 1024 * 1024;
/// Operations that are taken, and characters of each text of one.
const MOST: usize = 10_000;
const TEXT: usize = 200;
/// Kinds of one operation.
const KINDS: usize = 8;

/// Asks the server.
pub(super) async fn processes(wats: &Wats) -> Result<Vec<ProcessRow>, ErrorReport> {
    let login = wats.login().await?;
    let request = login.client.get(wats.endpoint("api/App/Processes")?);
    let said = wats.call(login, request, wats.http.call_limit(), BYTES).await.map_err(|trouble| trouble.report())?;
    if said.status != 200 || said.is_page() {
        return Err(refusal(wats, &said));
    }
    let listed = serde_json::from_slice::<Value>(&said.body).ok().and_then(rows);
    listed.ok_or_else(|| {
        let longer = if said.body.len() >= BYTES { ", or one longer than 4 MiB" } else { "" };
        ErrorReport::new(Code::NotOurServer, format!("{} answered what is no list of operations{longer}", wats.base))
    })
}

fn refusal(wats: &Wats, said: &Said) -> ErrorReport {
    let (place, status) = (&wats.base, said.status);
    let says = match words(&said.body, said.is_page()) {
        empty if empty.is_empty() => String::new(),
        said => format!(": {said}"),
    };
    match status {
        401 | 403 => ErrorReport::new(Code::DestinationUnauthorised, format!("{place} refuses the token ({status}){says}")),
        407 => proxy_refused(),
        500..=599 | 408 | 425 | 429 => ErrorReport::new(Code::DestinationUnreachable, format!("{place} answered {status}{says}"))
            .with_fix("Ask again when the server is well"),
        _ => ErrorReport::new(Code::NotOurServer, format!("what answers at {place} lists no operations ({status}){says}")),
    }
}

/// The list itself, or the first one in an object around it. What has no code is passed over: nothing could be done with it.
fn rows(value: Value) -> Option<Vec<ProcessRow>> {
    let list = match value {
        Value::Array(list) => list,
        Value::Object(fields) => fields.into_iter().find_map(|(_, value)| match value {
            Value::Array(list) => Some(list),
            _ => None,
        })?,
        _ => return None,
    };
    Some(list.iter().filter_map(|entry| row(entry.as_object()?)).take(MOST).collect())
}

fn row(fields: &Map<String, Value>) -> Option<ProcessRow> {
    let field = |wanted: &[&str]| {
        let known = |key: &str| wanted.iter().any(|wanted| wanted.eq_ignore_ascii_case(key));
        fields.iter().find(|(key, value)| known(key) && !value.is_null()).map(|(_, value)| value)
    };
    let code = match field(&["code", "processCode"])? {
        Value::Number(number) => number.as_i64()?,
        Value::String(text) => text.trim().parse().ok()?,
        _ => return None,
    };
    let name = field(&["name", "processName"]).and_then(Value::as_str).unwrap_or_default();
    Some(ProcessRow { code, name: text::printable(name.trim(), TEXT), kinds: kinds(fields) })
}

/// `isTestOperation: true` is the kind `test`; a text under `type` or `kind` is one as it is written.
fn kinds(fields: &Map<String, Value>) -> Vec<String> {
    let kind = |(key, value): (&String, &Value)| match value {
        Value::Bool(true) => {
            let key = key.to_ascii_lowercase();
            Some(key.strip_prefix("is")?.strip_suffix("operation")?.to_owned())
        }
        Value::String(text) if ["type", "kind"].iter().any(|known| known.eq_ignore_ascii_case(key)) => {
            Some(text.trim().to_owned())
        }
        _ => None,
    };
    let all = fields.iter().filter_map(kind).filter(|kind| !kind.is_empty());
    all.map(|kind| text::printable(&kind, TEXT)).take(KINDS).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn process(code: i64, name: &str, kinds: &[&str]) -> ProcessRow {
        ProcessRow { code, name: name.to_owned(), kinds: kinds.iter().map(|kind| (*kind).to_owned()).collect() }
    }

    #[test]
    fn operations_are_read_however_the_server_writes_them() {
        let list = json!([
            { "code": 10, "name": "Functional test", "isTestOperation": true, "isRepairOperation": false, "isWipOperation": null },
            { "Code": "500", "Name": " Repair ", "IsRepairOperation": true },
            { "ProcessCode": 20, "ProcessName": "ICT", "isTestOperation": true, "isWipOperation": true, "Type": "Electrical", "isDefault": true },
            { "code": 30 },
            { "name": "without a code" },
            { "code": "none", "name": "x" },
            { "code": 1.5 },
            "no object",
            { "code": 40, "name": "\u{1b}[2J" },
        ]);
        let wanted = vec![
            process(10, "Functional test", &["test"]),
            process(500, "Repair", &["repair"]),
            process(20, "ICT", &["test", "wip", "Electrical"]),
            process(30, "", &[]),
            process(40, "\\u{1b}[2J", &[]),
        ];
        assert_eq!(rows(list.clone()), Some(wanted.clone()));
        assert_eq!(rows(json!({ "count": 9, "value": list })), Some(wanted));
        assert_eq!(rows(json!([])), Some(Vec::new()));
        for no_list in [json!({}), json!("x"), json!(null)] {
            assert_eq!(rows(no_list), None);
        }
    }

    #[test]
    fn no_server_fills_the_memory() {
        let many: Vec<Value> =
            (0..MOST + 5).map(|code| json!({ "code": code, "name": "n".repeat(1000), "type": "t".repeat(1000) })).collect();
        let rows = rows(Value::Array(many)).unwrap();
        assert_eq!(rows.len(), MOST);
        assert!(rows.iter().all(|row| row.name.chars().count() <= TEXT + 1 && row.kinds[0].chars().count() <= TEXT + 1));
    }
}

//! The text of a job of launchd, from its template (launchd.plist(5)).
#![cfg_attr(not(target_os = "macos"), allow(dead_code, reason = "only its tests run elsewhere"))]

use std::time::Duration;

const TEMPLATE: &str = include_str!("../../../../../assets/service/waybill-agent.plist");

/// Started again when it ends with an error; not more often than every ten seconds.
const ALIVE: &str = "    <key>KeepAlive</key>
    <dict>
        <key>SuccessfulExit</key>
        <false/>
    </dict>
    <key>ThrottleInterval</key>
    <integer>10</integer>";

/// A job.
#[derive(Debug)]
pub(in crate::platform) struct Job<'a> {
    /// Its name.
    pub label: &'a str,
    /// What it runs.
    pub command: &'a [String],
    /// Whether it is started again when it fails.
    pub kept_alive: bool,
    /// How long it may take to stop.
    pub longest_stop: Duration,
}

/// The property list of a job.
pub(in crate::platform) fn render(job: &Job<'_>) -> String {
    let arguments: Vec<String> = job.command.iter().map(|part| format!("        <string>{}</string>", escaped(part))).collect();
    TEMPLATE
        .replace("@LABEL@", &escaped(job.label))
        .replace("@ALIVE@\n", &if job.kept_alive { format!("{ALIVE}\n") } else { String::new() })
        .replace("@STOP@", &job.longest_stop.as_secs().to_string())
        .replace("@ARGUMENTS@", &arguments.join("\n"))
}

/// What a job of a list as [`render`] writes it runs; nothing if the list has another form.
pub(in crate::platform) fn arguments(list: &str) -> Vec<String> {
    let strings = || {
        let array = list.split_once("<key>ProgramArguments</key>")?.1.split_once("<array>")?.1.split_once("</array>")?.0;
        let string = |piece: &str| piece.split_once("</string>").map(|(text, _)| unescaped(text));
        Some(array.split("<string>").skip(1).filter_map(string).collect())
    };
    strings().unwrap_or_default()
}

/// True if the list itself says that the job is not to be started.
pub(in crate::platform) fn is_disabled(list: &str) -> bool {
    list.split_once("<key>Disabled</key>").is_some_and(|(_, rest)| rest.trim_start().starts_with("<true"))
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn unescaped(text: &str) -> String {
    text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&apos;", "'").replace("&amp;", "&")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_is_read_back_as_it_was_written() {
        let command = ["/Applications/Way & Bill.app/waybill-agent", "--data-dir", "/a <b>", "run"].map(str::to_owned);
        for kept_alive in [false, true] {
            let list =
                render(&Job { label: "waybill-agent", command: &command, kept_alive, longest_stop: Duration::from_secs(610) });
            assert!(list.contains("<key>ExitTimeOut</key>\n    <integer>610</integer>"), "{list}");
            assert_eq!(arguments(&list), command);
            assert!(!list.contains('@') && !is_disabled(&list), "{list}");
            assert_eq!(list.contains("<key>KeepAlive</key>"), kept_alive, "{list}");
            assert_eq!(list.matches("<dict>").count(), list.matches("</dict>").count());
        }
    }

    #[test]
    fn a_job_that_is_switched_off_and_a_strange_list_are_told() {
        assert!(is_disabled("<dict><key>Disabled</key>\n  <true/></dict>"));
        assert!(!is_disabled("<dict><key>Disabled</key><false/></dict>"));
        assert!(arguments("bplist00\u{1}").is_empty());
        assert!(arguments("<key>ProgramArguments</key><array><string>/x").is_empty());
    }
}

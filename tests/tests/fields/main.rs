//! Every field of the configuration has an effect, and here is which test shows it.
//!
//! The list is compared with the fields that there are: one that is added is missing here until a test shows what it does.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::disallowed_methods,
    reason = "a fault of a test is told where it stands"
)]

mod agent;
mod queue;
mod sending;
mod sources;
mod station;

use std::collections::BTreeSet;
use std::path::Path;

use waybill_shared::config::describe;

/// A file of tests, a test in it, and the fields whose effect it shows. Below `tests/tests`, but where a folder is named.
const SHOWN: &[(&str, &str, &[&str])] = &[
    (
        "fields/station.rs",
        "a_report_says_which_station_it_comes_from_where_its_file_does_not",
        &["station.name", "station.location", "station.purpose"],
    ),
    ("fields/station.rs", "the_name_comes_from_where_the_configuration_says", &["station.name_from", "station.name_variable"]),
    (
        "fields/station.rs",
        "the_active_preset_stands_in_for_the_stations_own_values",
        &[
            "station.active",
            "station.preset[].name",
            "station.preset[].station",
            "station.preset[].location",
            "station.preset[].purpose",
        ],
    ),
    (
        "reload.rs",
        "a_source_is_added_changed_and_removed_while_files_come",
        &["source[].name", "source[].folder", "source[].patterns", "source[].converter", "source[].after"],
    ),
    ("reload.rs", "a_source_can_be_switched_off_and_on", &["source[].enabled"]),
    ("fields/sources.rs", "arguments_say_what_the_files_do_not", &["source[].arguments"]),
    (
        "fields/sources.rs",
        "taken_and_broken_files_go_to_the_folders_that_are_named",
        &["source[].done_folder", "source[].error_folder"],
    ),
    ("agent/src/agent/sources.rs", "how_long_a_file_must_be_quiet_is_what_is_configured", &["source[].settle_ms"]),
    (
        "intake.rs",
        "a_recursive_source_takes_files_from_folders_inside_and_never_from_its_own_done_and_error_folders",
        &["source[].recursive"],
    ),
    ("delivery.rs", "what_is_urgent_goes_before_what_waited_longer", &["source[].priority", "upload.concurrency"]),
    (
        "bad_input.rs",
        "a_crash_before_a_partly_broken_file_is_set_aside_tells_of_it_later_and_the_books_hold",
        &["source[].incomplete_timeout_secs"],
    ),
    ("fields/sources.rs", "files_are_taken_one_after_the_other_where_only_one_may_be_under_way", &["source[].parallel"]),
    ("intake.rs", "what_no_event_told_of_is_found_by_reading_the_folder", &["source[].rescan_secs"]),
    (
        "reload.rs",
        "a_destination_is_added_and_gets_what_comes_from_then_on",
        &["destination[].name", "destination[].kind", "destination[].folder"],
    ),
    ("fields/sending.rs", "a_destination_that_is_switched_off_gets_nothing_and_keeps_what_waits", &["destination[].enabled"]),
    ("reload.rs", "a_new_token_and_a_new_address_count_at_once", &["destination[].url"]),
    ("fields/sending.rs", "a_token_is_read_from_the_file_that_is_named", &["destination[].token_file"]),
    ("intake.rs", "files_that_are_there_before_the_start_are_taken_oldest_first", &["convert.workers"]),
    ("bad_input.rs", "a_file_of_200_mb_is_told_with_its_size_and_the_limit_and_never_read", &["convert.max_file_bytes"]),
    ("delivery.rs", "a_full_queue_that_evicts_keeps_what_had_to_make_room_in_files", &["queue.max_entries", "queue.when_full"]),
    ("delivery.rs", "a_report_that_hangs_does_not_hold_up_those_beside_it", &["upload.timeout_secs"]),
    ("destinations.rs", "a_server_that_falls_silent_is_given_up_and_one_that_trickles_is_not", &["upload.read_timeout_secs"]),
    ("destinations.rs", "a_test_is_given_up_when_the_time_of_a_call_is_over", &["upload.call_timeout_secs"]),
    ("destinations.rs", "whether_reports_go_compressed_is_what_is_said", &["upload.gzip"]),
    ("delivery.rs", "a_report_that_the_server_trips_over_ends_in_failed_and_no_other_does", &["upload.max_retries"]),
    ("fields/sending.rs", "a_server_that_does_not_greet_is_given_up_in_time", &["upload.connect_timeout_secs"]),
    (
        "fields/sending.rs",
        "a_report_waits_as_long_as_is_said_before_it_is_tried_again",
        &["upload.backoff_initial_secs", "upload.backoff_max_secs"],
    ),
    (
        "fields/sending.rs",
        "a_destination_that_is_down_is_left_alone_as_long_as_is_said",
        &["upload.breaker_failures", "upload.breaker_cooldown_secs", "upload.breaker_max_cooldown_secs"],
    ),
    ("fields/sending.rs", "a_paused_destination_is_asked_again_as_often_as_is_said", &["upload.paused_probe_secs"]),
    ("tls_and_proxy.rs", "mode_none_takes_no_proxy_whatever_the_environment_says", &["proxy.mode"]),
    (
        "tls_and_proxy.rs",
        "behind_a_proxy_with_a_login_reports_reach_a_server_of_the_companys_own_authority",
        &["proxy.url", "proxy.user"],
    ),
    ("agent/src/upload/destination/tests/proxy.rs", "hosts_of_the_bypass_list_are_reached_without_the_proxy", &["proxy.bypass"]),
    ("tls_and_proxy.rs", "a_server_of_an_unknown_authority_gets_nothing_until_its_authority_is_named", &["tls.ca_file"]),
    (
        "agent/src/upload/destination/tests/tls.rs",
        "a_server_that_speaks_only_tls_1_2_is_refused_where_1_3_is_asked_for",
        &["tls.min_version"],
    ),
    ("fields/sending.rs", "sent_reports_are_kept_as_long_as_is_said", &["retention.sent_days"]),
    ("fields/queue.rs", "reports_may_take_so_many_bytes_and_no_more", &["queue.max_bytes"]),
    ("fields/queue.rs", "so_much_of_the_disk_stays_free_as_is_said", &["queue.min_free_bytes", "queue.min_free_percent"]),
    ("fields/queue.rs", "many_failed_reports_make_a_destination_unhealthy", &["queue.max_failed"]),
    ("fields/queue.rs", "what_was_given_up_is_kept_as_long_as_is_said", &["retention.discarded_days"]),
    ("fields/queue.rs", "so_many_reports_a_second_are_sent_as_is_said", &["upload.max_per_second"]),
    ("fields/queue.rs", "reports_that_need_not_arrive_make_room_before_the_queue_is_full", &["destination[].required"]),
    ("fields/sources.rs", "taken_and_broken_files_are_kept_as_long_as_is_said", &["retention.done_days", "retention.error_days"]),
    ("archive.rs", "copies_are_made_while_that_is_wanted_without_a_restart", &["archive.enabled"]),
    ("archive.rs", "while_no_copy_can_be_made_a_file_is_delivered_and_stays", &["archive.folder"]),
    ("archive.rs", "copies_are_kept_as_long_and_as_many_as_is_said", &["archive.keep_days", "archive.max_bytes"]),
    (
        "ipc_abuse.rs",
        "half_a_frame_and_then_silence_ends_that_connection_and_no_other",
        &["ipc.hello_timeout_secs", "ipc.frame_timeout_secs"],
    ),
    ("ipc_abuse.rs", "subscribers_that_take_nothing_cost_the_others_nothing", &["ipc.write_timeout_secs"]),
    ("fields/agent.rs", "a_request_is_given_up_when_its_time_is_over", &["ipc.request_timeout_secs"]),
    ("fields/agent.rs", "a_connection_that_is_silent_is_closed_when_its_time_is_over", &["ipc.idle_timeout_secs"]),
    ("fields/agent.rs", "no_more_than_so_many_connections_are_held", &["ipc.max_connections"]),
    (
        "fields/agent.rs",
        "so_many_changes_may_come_at_once_and_so_many_in_a_minute",
        &["ipc.changes_per_minute", "ipc.changes_burst"],
    ),
    ("fields/agent.rs", "without_the_pin_so_much_may_be_done_as_is_said", &["access.without_pin"]),
    ("agent/src/access/tests.rs", "who_is_what_without_a_given_pin", &["access.group"]),
    (
        "agent/src/access/tests.rs",
        "an_elevation_ends_some_minutes_after_the_last_request_that_needed_it",
        &["access.pin_minutes"],
    ),
    ("fields/agent.rs", "health_is_looked_at_as_often_and_as_long_as_is_said", &["health.interval_secs", "health.timeout_secs"]),
    (
        "supervised.rs",
        "a_thread_that_hangs_is_named_and_ends_the_agent_so_that_it_is_started_again",
        &["health.task_check_secs", "health.task_stall_secs"],
    ),
    ("health.rs", "little_room_on_the_disk_is_told_before_it_is_none", &["health.disk_warn_bytes", "health.disk_warn_percent"]),
    ("fields/agent.rs", "a_report_that_waits_longer_than_is_said_is_told", &["health.oldest_pending_minutes"]),
    ("fields/agent.rs", "lines_are_written_from_the_level_on_that_is_said", &["log.level"]),
    ("fields/agent.rs", "log_files_are_as_large_and_as_many_as_is_said", &["log.max_bytes", "log.max_files"]),
    (
        "lifecycle.rs",
        "a_stop_while_the_server_hangs_is_bounded_and_loses_nothing",
        &["shutdown.drain_secs", "shutdown.cancel_secs"],
    ),
    ("stopping.rs", "all_phases_together_take_no_longer_than_is_said", &["shutdown.total_secs"]),
    ("fields/agent.rs", "windows_are_told_how_to_look", &["window.theme", "window.zoom_percent"]),
];

#[test]
fn every_field_has_a_test_that_shows_its_effect() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut shown = BTreeSet::new();
    for (file, test, fields) in SHOWN {
        let path = if file.starts_with("agent/") { root.join(file) } else { root.join("tests/tests").join(file) };
        let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let body = body_of(&text, test).unwrap_or_else(|| panic!("{file} has no test {test}"));
        for field in *fields {
            let key = field.rsplit('.').next().unwrap().trim_end_matches("[]");
            assert!(body.contains(key), "{test} in {file} says nothing of {field}");
            assert!(shown.insert((*field).to_owned()), "{field} is there twice");
        }
    }
    let there: BTreeSet<String> = describe::fields().into_iter().map(|field| field.path).collect();
    assert_eq!(there.difference(&shown).collect::<Vec<_>>(), Vec::<&String>::new(), "no test shows what these do");
    assert_eq!(shown.difference(&there).collect::<Vec<_>>(), Vec::<&String>::new(), "these are no fields");
}

/// The text of a test: from its name to the end of its block. Nothing, if there is none that is run as a test.
fn body_of<'a>(text: &'a str, test: &str) -> Option<&'a str> {
    let at = text.find(&format!("fn {test}("))?;
    let line = text[..at].rfind('\n')? + 1;
    let is_test =
        text[..line].lines().rev().take_while(|line| line.trim_start().starts_with('#')).any(|line| line.contains("test]"));
    let indent: String = text[line..].chars().take_while(|c| *c == ' ').collect();
    let end = text[at..].find(&format!("\n{indent}}}\n"))?;
    is_test.then(|| &text[at..at + end])
}

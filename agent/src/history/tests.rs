//! The history against its contract: the real store in a temporary folder.

use jiff::Timestamp;
use rusqlite::Connection;
use waybill_ipc::protocol::{HistoryOutcome, Via};
use waybill_shared::id::CorrelationId;
use waybill_shared::schema::{Fault, FaultKind};

use super::entry::limited;
use super::*;

struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("history.db")
    }

    fn open(&self) -> History {
        History::open(&self.path()).unwrap()
    }

    /// The folder, and the history in it.
    fn open_kept(self) -> (Self, History) {
        let history = self.open();
        (self, history)
    }

    fn sql(&self) -> Connection {
        Connection::open(self.path()).unwrap()
    }

    /// A closed history of as many entries.
    fn with_entries(count: usize) -> Self {
        let place = Self::new();
        let mut store = Store::open(&place.path()).unwrap();
        let entries: Vec<NewEntry> = (0..count).map(|number| entry(&number.to_string()).before("x".repeat(5000))).collect();
        store.append(&entries.iter().collect::<Vec<_>>()).unwrap();
        place
    }

    fn set_aside(&self) -> Vec<PathBuf> {
        let files = std::fs::read_dir(self.folder.path()).unwrap().map(|file| file.unwrap().path());
        let mut aside: Vec<_> = files.filter(|path| path.to_string_lossy().contains("history.corrupt-")).collect();
        aside.sort();
        aside
    }
}

fn entry(target: &str) -> NewEntry {
    NewEntry::new("anna", Via::Ipc, "config.set", target)
}

fn page(after: Option<i64>, limit: u32) -> Page {
    Page { after, limit }
}

fn all(history: &History) -> Vec<HistoryRow> {
    let mut rows: Vec<HistoryRow> = Vec::new();
    loop {
        let more = history.list_blocking(&HistoryFilter::default(), page(rows.last().map(|row| row.key), 1000)).unwrap();
        if more.is_empty() {
            return rows;
        }
        rows.extend(more);
    }
}

fn targets(rows: &[HistoryRow]) -> Vec<&str> {
    rows.iter().map(|row| row.target.as_str()).collect()
}

#[test]
fn every_field_of_an_entry_comes_back_as_it_was_written() {
    let (_place, history) = Place::new().open_kept();
    let id = CorrelationId::new();
    let fault = Fault { path: "source.ict.folder".into(), kind: FaultKind::Missing, message: "is not there".into() };
    let error = ErrorReport::new(Code::ConfigInvalid, "one fault").with_details(vec![fault]).with_correlation(id);
    let wanted = entry("source\u{1b}[2J\n").before("old\u{0}").after("new").refused(&error);
    let at_ms = wanted.at.as_millisecond();
    let key = history.append_blocking(wanted).unwrap();
    assert_eq!(
        all(&history),
        [HistoryRow {
            key,
            at_ms,
            who: "anna".into(),
            via: Via::Ipc,
            action: "config.set".into(),
            target: "source\u{1b}[2J\n".into(),
            before: Some("old\u{0}".into()),
            after: Some("new".into()),
            outcome: HistoryOutcome::Refused,
            message: Some("one fault; source.ict.folder: is not there".into()),
            code: Some(Code::ConfigInvalid),
            correlation_id: Some(id.to_string()),
        }]
    );
}

#[test]
fn the_words_of_the_store_are_those_of_json() {
    for via in Via::ALL {
        assert_eq!(serde_json::to_value(via).unwrap(), via.as_str());
    }
    for outcome in HistoryOutcome::ALL {
        assert_eq!(serde_json::to_value(outcome).unwrap(), outcome.as_str());
    }
}

#[test]
fn the_schema_is_frozen() {
    // Histories of this schema exist on stations: a change is a new version with a migration.
    assert_eq!(
        blake3::hash(store::SCHEMA_1.as_bytes()).to_hex().as_str(),
        "f04584c67deae8ec85bbc56cb2f779ffb0fe82c1a340ef4e6344d0d08a19922c"
    );
}

#[tokio::test]
async fn pages_neither_skip_nor_repeat_while_entries_are_appended() {
    let (_place, history) = Place::new().open_kept();
    for number in 0..25 {
        history.append(entry(&number.to_string())).await.unwrap();
    }
    let mut seen: Vec<HistoryRow> = Vec::new();
    loop {
        let rows = history.list(&HistoryFilter::default(), page(seen.last().map(|row| row.key), 7)).await.unwrap();
        if rows.is_empty() {
            break;
        }
        assert!(rows.len() <= 7);
        seen.extend(rows);
        history.append(entry("later")).await.unwrap();
    }
    let expected: Vec<String> = (0..25).rev().map(|number| number.to_string()).collect();
    assert_eq!(targets(&seen), expected);
}

#[test]
fn a_page_of_long_texts_ends_before_it_is_too_long_for_a_message() {
    let (_place, history) = Place::new().open_kept();
    let long = "x".repeat(VALUE_BYTES);
    for number in 0..80 {
        history.append_blocking(entry(&number.to_string()).before(&long).after(&long)).unwrap();
    }
    let first = history.list_blocking(&HistoryFilter::default(), page(None, 1000)).unwrap();
    assert!((2..80).contains(&first.len()), "{}", first.len());
    assert_eq!(all(&history).len(), 80);
}

#[test]
fn each_field_of_the_filter_chooses() {
    let (_place, history) = Place::new().open_kept();
    let error = ErrorReport::new(Code::RequestInvalid, "no");
    let mut first = NewEntry::new("ANNA@st-07", Via::Cli, "config.set", "source.ict");
    let mut second = NewEntry::new("bob", Via::Ipc, "config%", "source.fct").refused(&error).correlation("c-2");
    let mut third = NewEntry::new("waybill-agent", Via::Agent, "queue.discard", "100%").failed(&error);
    for (number, entry) in [&mut first, &mut second, &mut third].into_iter().enumerate() {
        entry.at = Timestamp::from_millisecond(1000 * (1 + number as i64)).unwrap();
        history.append_blocking(entry.clone()).unwrap();
    }
    let text = |text: &str| Some(text.to_owned());
    let none = HistoryFilter::default;
    let cases: Vec<(HistoryFilter, &[&str])> = vec![
        (none(), &["100%", "source.fct", "source.ict"]),
        (HistoryFilter { since_ms: Some(2000), ..none() }, &["100%", "source.fct"]),
        (HistoryFilter { until_ms: Some(2000), ..none() }, &["source.ict"]),
        (HistoryFilter { who: text("anna"), ..none() }, &["source.ict"]),
        (HistoryFilter { who: text("%"), ..none() }, &[]),
        (HistoryFilter { action: text("config."), ..none() }, &["source.ict"]),
        (HistoryFilter { action: text("config%"), ..none() }, &["source.fct"]),
        (HistoryFilter { action: text("set"), ..none() }, &[]),
        (HistoryFilter { target: text("source."), ..none() }, &["source.fct", "source.ict"]),
        (HistoryFilter { target: text("100%"), ..none() }, &["100%"]),
        (HistoryFilter { outcome: Some(HistoryOutcome::Done), ..none() }, &["source.ict"]),
        (HistoryFilter { outcome: Some(HistoryOutcome::Refused), ..none() }, &["source.fct"]),
        (HistoryFilter { outcome: Some(HistoryOutcome::Failed), ..none() }, &["100%"]),
        (HistoryFilter { correlation_id: text("c-2"), ..none() }, &["source.fct"]),
        (HistoryFilter { correlation_id: text("c-"), ..none() }, &[]),
        (HistoryFilter { since_ms: Some(1000), until_ms: Some(3000), who: text("O"), ..none() }, &["source.fct"]),
        (HistoryFilter { who: text("' OR 1=1 --"), ..none() }, &[]),
    ];
    for (filter, expected) in cases {
        assert_eq!(targets(&history.list_blocking(&filter, page(None, 10)).unwrap()), expected, "{filter:?}");
    }
}

#[test]
fn long_texts_are_cut_with_a_mark_and_within_a_character_never() {
    assert_eq!(limited("äö", 4), "äö");
    let long = "ä".repeat(VALUE_BYTES);
    let cut = limited(&long, VALUE_BYTES);
    assert!(cut.len() <= VALUE_BYTES, "{}", cut.len());
    let kept = cut.chars().filter(|c| *c == 'ä').count();
    assert!(cut.ends_with(&format!("… [{} bytes cut]", long.len() - 2 * kept)), "{}", &cut[cut.len() - 40..]);
}

#[test]
fn what_was_acknowledged_is_there_after_an_end_without_a_close() {
    let place = Place::new();
    let mut store = Store::open(&place.path()).unwrap();
    for number in 0..10 {
        store.append(&[&entry(&number.to_string())]).unwrap();
    }
    // As a killed process leaves it: nothing folded into the database, the log beside it.
    std::mem::forget(store);
    assert!(place.folder.path().join("history.db-wal").metadata().unwrap().len() > 0);
    assert_eq!(all(&place.open()).len(), 10);
    assert!(place.set_aside().is_empty());
}

#[test]
fn two_that_append_at_once_lose_nothing() {
    let place = Place::new();
    let append = |who: &str| {
        let history = place.open();
        (0..200)
            .map(|number| history.append_blocking(NewEntry::new(who, Via::Cli, "x", number.to_string())).unwrap())
            .collect::<Vec<i64>>()
    };
    let keys = std::thread::scope(|scope| {
        let threads = [scope.spawn(|| append("first")), scope.spawn(|| append("second"))];
        threads.map(|thread| thread.join().unwrap())
    });
    for own in &keys {
        assert!(own.is_sorted(), "keys of one process rise");
    }
    let mut expected = keys.concat();
    expected.sort_unstable();
    expected.dedup();
    assert_eq!(expected.len(), 400);
    let mut stored: Vec<i64> = all(&place.open()).iter().map(|row| row.key).collect();
    stored.reverse();
    assert_eq!(stored, expected);
}

#[test]
fn what_is_stored_cannot_be_changed_or_removed() {
    let place = Place::with_entries(3);
    let sql = place.sql();
    for statement in [
        "UPDATE entry SET who = 'nobody'",
        "DELETE FROM entry",
        "DELETE FROM entry WHERE key = 1",
        "INSERT OR REPLACE INTO entry (key, at, who, via, action, target, outcome) VALUES (1, 0, 'x', 'cli', 'x', 'x', 'done')",
    ] {
        let error = sql.execute_batch(statement).unwrap_err().to_string();
        assert!(error.contains("append-only"), "{statement}: {error}");
    }
    assert_eq!(targets(&all(&place.open())), ["2", "1", "0"]);
}

#[test]
fn the_newest_hundred_thousand_are_kept_and_older_ones_go() {
    let place = Place::with_entries(1);
    place
        .sql()
        .execute_batch(
            "WITH RECURSIVE n (n) AS (SELECT 2 UNION ALL SELECT n + 1 FROM n WHERE n < 100100)
             INSERT INTO entry (at, who, via, action, target, outcome) SELECT 0, 'x', 'cli', 'x', n, 'done' FROM n",
        )
        .unwrap();
    let mut store = Store::open(&place.path()).unwrap();
    let key = (0..).map(|_| store.append(&[&entry("new")]).unwrap()).find(|key| key % 64 == 0).unwrap();
    let (count, oldest): (i64, i64) =
        place.sql().query_row("SELECT count(*), min(key) FROM entry", [], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    assert_eq!((count, oldest), (KEEP, key - KEEP + 1));
}

#[test]
fn a_damaged_file_is_set_aside_whole_and_the_new_one_says_so() {
    let good = std::fs::read(Place::with_entries(50).path()).unwrap();
    let mut scratched = good.clone();
    scratched[8192..12000].fill(0xA5);
    let foreign = {
        let place = Place::new();
        place.sql().execute_batch("CREATE TABLE entry (key INTEGER)").unwrap();
        std::fs::read(place.path()).unwrap()
    };
    let cases: [(&str, &[u8]); 6] = [
        ("garbage", &[0xA5; 9000]),
        ("a few bytes", b"garbage"),
        ("cut", &good[..good.len() / 2]),
        ("cut within the header", &good[..50]),
        ("scratched", &scratched),
        ("another program's", &foreign),
    ];
    for (name, bytes) in cases {
        let place = Place::new();
        waybill_shared::fs::atomic::replace(&place.path(), bytes).unwrap();
        let history = place.open();
        let aside = place.set_aside();
        assert_eq!(std::fs::read(&aside[0]).unwrap(), bytes, "{name}");
        history.append_blocking(entry("next")).unwrap();
        let rows = all(&history);
        assert_eq!((rows.len(), rows[0].target.as_str(), rows[1].action.as_str()), (2, "next", "history.begin"), "{name}");
        assert_eq!(rows[1].outcome, HistoryOutcome::Failed);
        let message = rows[1].message.as_deref().unwrap();
        assert!(message.contains(aside[0].file_name().unwrap().to_str().unwrap()), "{name}: {message}");
        drop(history);
        assert_eq!(all(&place.open()).len(), 2, "{name}: the new one is sound");
        assert_eq!(place.set_aside().len(), aside.len(), "{name}");
    }
}

#[test]
fn the_journal_of_a_damaged_file_is_set_aside_with_it() {
    let place = Place::new();
    waybill_shared::fs::atomic::replace(&place.path(), &[0xA5; 9000]).unwrap();
    waybill_shared::fs::atomic::replace(&place.folder.path().join("history.db-wal"), b"journal").unwrap();
    assert_eq!(all(&place.open()).len(), 1);
    let names: Vec<_> = place.set_aside().iter().map(|path| path.to_string_lossy().into_owned()).collect();
    assert!(names.iter().any(|name| *name == format!("{}-wal", names[0])), "{names:?}");
}

#[test]
fn a_crash_between_setting_aside_and_beginning_anew_is_told_too() {
    let place = Place::with_entries(1);
    let aside = place.folder.path().join("history.corrupt-20260102T030405.678Z");
    crate::platform::move_new(&place.path(), &aside).unwrap();
    let rows = all(&place.open());
    assert_eq!(rows.len(), 1);
    assert!(rows[0].message.as_deref().unwrap().contains("20260102T030405.678Z"), "{rows:?}");
}

#[test]
fn damage_that_is_met_while_it_is_open_costs_no_new_entry() {
    let place = Place::with_entries(800);
    let history = place.open();
    {
        use std::io::{Seek as _, SeekFrom, Write as _};
        let length = place.path().metadata().unwrap().len();
        let mut file = std::fs::File::options().write(true).open(place.path()).unwrap();
        file.seek(SeekFrom::Start(8192)).unwrap();
        file.write_all(&vec![0xA5; usize::try_from(length - 8192).unwrap()]).unwrap();
    }
    let rows = all(&history);
    assert_eq!((rows.len(), rows[0].action.as_str()), (1, "history.begin"));
    let databases = place.set_aside().iter().filter(|path| path.to_string_lossy().ends_with('Z')).count();
    assert_eq!(databases, 1);
    history.append_blocking(entry("next")).unwrap();
    assert_eq!(targets(&all(&history))[0], "next");
}

#[test]
fn a_damaged_file_that_another_program_has_open_stays_where_it_is() {
    let place = Place::new();
    waybill_shared::fs::atomic::replace(&place.path(), &[0xA5; 9000]).unwrap();
    let other = std::fs::File::create_new(place.folder.path().join("history.db.lock")).unwrap();
    other.lock_shared().unwrap();
    let error = Store::open_or_renew(&place.path(), None, Instant::now()).err().unwrap();
    assert!(matches!(error, StoreError::Held(_)), "{error}");
    assert!(place.set_aside().is_empty());
    drop(other);
    assert_eq!(all(&place.open()).len(), 1);
}

#[test]
fn of_many_that_open_a_damaged_or_missing_file_at_once_one_makes_the_new_one() {
    for (bytes, first) in [(Some([0xA5; 9000]), 1), (None, 0)] {
        let place = Place::new();
        if let Some(bytes) = bytes {
            waybill_shared::fs::atomic::replace(&place.path(), &bytes).unwrap();
        }
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| place.open().append_blocking(entry("x")).unwrap());
            }
        });
        assert_eq!(place.set_aside().len(), first);
        assert_eq!(all(&place.open()).len(), 8 + first);
    }
}

#[test]
fn a_file_of_a_newer_version_is_refused_in_words_and_left_alone() {
    let place = Place::with_entries(1);
    place.sql().pragma_update(None, "user_version", 2).unwrap();
    let before = std::fs::read(place.path()).unwrap();
    let error = History::open(&place.path()).unwrap_err();
    assert!(error.message.contains("schema 2") && error.fix.contains("newer"), "{error:?}");
    assert_eq!(std::fs::read(place.path()).unwrap(), before);
    assert!(place.set_aside().is_empty());
}

#[test]
fn a_folder_in_its_place_is_told_and_not_moved() {
    let place = Place::new();
    std::fs::create_dir(place.path()).unwrap();
    let error = History::open(&place.path()).unwrap_err();
    assert_eq!(error.code, Code::DataFolderUnavailable);
    assert!(place.path().is_dir());
}

#[test]
fn nobody_else_can_read_it() {
    let place = Place::with_entries(1);
    assert!(waybill_shared::fs::private::is_private(&place.path()).unwrap());
}

#[test]
fn notes_that_found_no_room_are_counted_and_told() {
    const MORE: usize = 10;
    let (place, history) = Place::new().open_kept();
    let blocker = place.sql();
    blocker.execute_batch("BEGIN IMMEDIATE").unwrap();
    for number in 0..WAITING + MORE {
        history.note(entry(&number.to_string()));
    }
    // One more than there is room for if the thread had taken one already.
    let missed = history.missed.load(Ordering::Relaxed);
    assert!((MORE as u64 - 1..=MORE as u64).contains(&missed), "{missed}");
    blocker.execute_batch("COMMIT").unwrap();
    history.append_blocking(entry("last")).unwrap();
    let rows = all(&history);
    // One as a rule; more if the thread came to the first note only when others had been turned away.
    let gaps: Vec<&str> =
        rows.iter().filter(|row| row.action == "history.gap").map(|row| row.message.as_deref().unwrap()).collect();
    let told: u64 = gaps
        .iter()
        .map(|words| words.strip_suffix(" entries before this one could not be recorded").unwrap().parse::<u64>().unwrap())
        .sum();
    assert_eq!(told, missed, "{gaps:?}");
    assert_eq!(rows.len() - 1 - gaps.len() + usize::try_from(missed).unwrap(), WAITING + MORE, "every note is there or counted");
}

#[test]
fn an_entry_whose_asker_gave_up_is_not_written_later_but_counted() {
    let (_place, history) = Place::new().open_kept();
    let (told, answer) = std::sync::mpsc::sync_channel(1);
    let ack: Ack<i64> = Box::new(move |result| told.send(result).unwrap());
    let late = Command::Append { entry: Box::new(entry("late")), until: Instant::now(), ack };
    history.commands.try_send(late).unwrap();
    assert!(answer.recv().unwrap().is_err());
    history.append_blocking(entry("next")).unwrap();
    let rows = all(&history);
    assert_eq!(targets(&rows), ["next", "history"]);
    assert!(rows[1].message.as_deref().unwrap().starts_with("1 entries"), "{rows:?}");
}

#[tokio::test]
async fn a_close_writes_what_waits_and_is_final_for_all_handles() {
    let (place, history) = Place::new().open_kept();
    let other = history.clone();
    for number in 0..50 {
        history.note(entry(&number.to_string()));
    }
    history.close(Duration::from_secs(30)).await.unwrap();
    assert!(!place.folder.path().join("history.db-wal").exists(), "folded into one file");
    let error = other.append(entry("late")).await.unwrap_err();
    assert!(error.message.contains("closed"), "{error}");
    other.close_blocking(Duration::from_secs(30)).unwrap();
    assert_eq!(all(&place.open()).len(), 50);
}

#[test]
fn the_thread_ends_after_the_last_handle_when_what_waits_is_written() {
    let (place, history) = Place::new().open_kept();
    let other = history.clone();
    drop(history);
    for number in 0..50 {
        other.note(entry(&number.to_string()));
    }
    drop(other);
    // The lock can be had alone once the thread has let it go.
    let lock = std::fs::File::options().write(true).open(place.folder.path().join("history.db.lock")).unwrap();
    lock.lock().unwrap();
    drop(lock);
    assert_eq!(all(&place.open()).len(), 50);
}

//! Kills, races and refusals. Processes that are to die, or to race, are this test program again with one of its inner tests.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::process::Command;

use waybill_shared::config::{self, Config};
use waybill_shared::fs::atomic;
use waybill_shared::paths::InstanceOptions;

use super::super::backups::KEEP;
use super::*;

/// Where an inner test works; without it, it does nothing.
const FOLDER: &str = "WAYBILL_TEST_CONFIG_FOLDER";
/// Which field an inner test counts in.
const PLACE: &str = "WAYBILL_TEST_CONFIG_PLACE";

const OLD: &str = "# by hand\n[queue]\nmax_entries = 10 # few\n";
const NEW: &str = "# by hand\n[queue]\nmax_entries = 20 # few\n";

fn instance(folder: &Path) -> Instance {
    let options = InstanceOptions { data_dir: Some(folder.to_owned()), ..InstanceOptions::default() };
    Instance::locate(&options).unwrap()
}

/// A station whose file holds this.
fn station(content: &[u8]) -> (tempfile::TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::of(&instance(folder.path()));
    atomic::replace(&store.config, content).unwrap();
    (folder, store)
}

fn valid(text: &str) -> Result<(), ErrorReport> {
    config::parse(text).map(drop).map_err(|error| error.report("it"))
}

fn content(store: &Store) -> String {
    std::fs::read_to_string(&store.config).unwrap()
}

fn parsed(store: &Store) -> Config {
    config::parse(&content(store)).unwrap()
}

fn names(folder: &Path) -> BTreeSet<String> {
    std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

fn set(place: &str, value: &str) -> Edit {
    Edit::Set { place: place.into(), value: value.into() }
}

/// This program with one of its inner tests.
fn inner(test: &str, folder: &Path) -> Command {
    let module = module_path!().split_once("::").unwrap().1;
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", &format!("{module}::{test}"), "--nocapture"]).env(FOLDER, folder).env_remove(failpoint::VARIABLE);
    command
}

/// Every place of a save at which a process can end, in the order in which they are passed.
const POINTS: [&str; 18] = [
    "save.checked",
    "backup.locked",
    "backup.created",
    "backup.written",
    "backup.synced",
    "backup.renamed",
    "backup.folder-synced",
    "backup.removed",
    "backup.pruned",
    "save.backed-up",
    "save.created",
    "save.written",
    "save.permitted",
    "save.rechecked",
    "save.synced",
    "save.renamed",
    "save.folder-synced",
    "save.verified",
];

#[test]
fn the_list_of_places_to_be_killed_at_is_complete() {
    let sources = [include_str!("store.rs"), include_str!("backups.rs")].concat();
    let hits = |text: &str| -> Vec<String> {
        text.split("failpoint::hit(\"").skip(1).map(|rest| rest.split('"').next().unwrap().to_owned()).collect()
    };
    let mut written = hits(&sources);
    let mut listed = POINTS.map(str::to_owned).to_vec();
    written.sort();
    listed.sort();
    assert_eq!(written, listed);
}

#[test]
fn inner_save() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    Store::of(&instance(Path::new(&folder))).lock().unwrap().save(None, NEW, &valid).unwrap();
}

#[test]
fn a_kill_at_any_step_of_a_save_leaves_the_old_file_or_the_new_one_and_nothing_piles_up() {
    let renamed = POINTS.iter().position(|point| *point == "save.renamed").unwrap();
    for (number, point) in POINTS.into_iter().enumerate() {
        let (folder, store) = station(OLD.as_bytes());
        for number in 1..=KEEP + 1 {
            store.backups.accept(&format!("[queue]\nmax_entries = {number}00\n")).unwrap();
        }
        let ended = inner("inner_save", folder.path()).env(failpoint::VARIABLE, point).output().unwrap();
        assert_eq!(ended.status.code(), Some(failpoint::EXIT), "{point}: {}", String::from_utf8_lossy(&ended.stderr));

        let left = if number < renamed { OLD } else { NEW };
        assert_eq!(content(&store), left, "{point}");
        assert_eq!(store.read().unwrap().unwrap().revision, revision(left.as_bytes()), "{point}");
        assert!(store.backups.list().unwrap().iter().all(|backup| backup.intact), "{point}");

        // The next ones go on as if nothing had been: two, because one whose backup is there already has nothing to make room for.
        for number in [30, 40] {
            let base = store.read().unwrap().unwrap().revision;
            let edit = set("queue.max_entries", &number.to_string());
            store.lock().unwrap().edit(Some(&base), &[edit], &valid).unwrap();
            assert_eq!(parsed(&store).queue.max_entries, number, "{point}");
        }
        let backups = store.backups.list().unwrap();
        assert_eq!(backups.len(), KEEP + 1, "{point}");
        assert!(backups.iter().all(|backup| backup.intact), "{point}");
        assert_eq!(store.backups.load(&backups[1].id).unwrap(), left, "{point}");
        store.lock().unwrap().restore(None, &backups[1].id, &valid).unwrap();
        assert_eq!(content(&store), left, "{point}");

        let expected = ["config.toml", ".config.toml.lock", ".config.toml.lock.next", "backups"].map(str::to_owned);
        assert_eq!(names(folder.path()), BTreeSet::from(expected), "{point}");
        let others: Vec<_> = names(&folder.path().join("backups")).into_iter().filter(|n| !n.starts_with("config-")).collect();
        assert_eq!(others, [".lock", ".lock.next"], "{point}");
    }
}

/// Changes that each of two processes makes.
const CHANGES: u64 = 200;

#[test]
fn inner_count() {
    let (Some(folder), Ok(place)) = (std::env::var_os(FOLDER), std::env::var(PLACE)) else { return };
    let store = Store::of(&instance(Path::new(&folder)));
    let one_more = |text: &str| {
        let tree = tree::parse(text).unwrap();
        let now = tree::get(&tree, &place.parse().unwrap()).unwrap().as_u64().unwrap();
        set(&place, &(now + 1).to_string())
    };
    let mut refused = 0;
    for _ in 0..CHANGES {
        // As a window does it: read, think, and ask for the change.
        let read = store.read().unwrap().unwrap();
        let asked = store.lock().unwrap().edit(Some(&read.revision), &[one_more(&read.text)], &valid);
        match asked {
            Ok(_) => {}
            Err(error) if error.code == Code::ConfigStale => {
                refused += 1;
                let locked = store.lock().unwrap();
                let read = locked.read().unwrap().unwrap();
                locked.edit(Some(&read.revision), &[one_more(&read.text)], &valid).unwrap();
            }
            Err(other) => panic!("{other}"),
        }
    }
    println!("{place}: {refused} of {CHANGES} refused at first");
}

#[test]
fn of_two_processes_that_change_it_two_hundred_times_each_none_loses_a_change() {
    let (folder, store) = station(b"# counted\n[queue]\nmax_entries = 1 # one\n\n[retention]\nsent_days = 0 # two\n");
    let counting = ["queue.max_entries", "retention.sent_days"].map(|place| {
        let log = std::fs::File::create_new(folder.path().join(format!("{place}.log"))).unwrap();
        let process =
            inner("inner_count", folder.path()).env(PLACE, place).stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
        (place, process)
    });
    for (place, mut process) in counting {
        let ended = process.wait().unwrap();
        assert!(ended.success(), "{}", std::fs::read_to_string(folder.path().join(format!("{place}.log"))).unwrap());
    }
    let expected =
        format!("# counted\n[queue]\nmax_entries = {} # one\n\n[retention]\nsent_days = {CHANGES} # two\n", CHANGES + 1);
    assert_eq!(content(&store), expected);
    let backups = store.backups.list().unwrap();
    assert!(backups.len() == KEEP + 1 && backups.iter().all(|backup| backup.intact));
    assert_eq!(backups[0].id.rsplit('-').next().unwrap().parse::<u64>().unwrap(), 2 * CHANGES, "one backup for each change");
}

#[test]
fn a_change_based_on_an_old_version_is_refused_with_what_differs() {
    let (_folder, store) = station(OLD.as_bytes());
    let base = store.read().unwrap().unwrap().revision;
    let locked = store.lock().unwrap();
    let edits = [set("queue.max_entries", "11"), set("station.name", "ST-1")];
    let saved = locked.edit(Some(&base), &edits, &valid).unwrap();
    assert_eq!((saved.before.as_str(), saved.revision), (base.as_str(), store.read().unwrap().unwrap().revision));
    let before = content(&store);
    for refused in [
        locked.save(Some(&base), NEW, &|_| panic!("what is stale is not looked at")),
        locked.edit(Some(&base), &[set("queue.max_entries", "12")], &valid),
    ] {
        let error = refused.unwrap_err();
        assert_eq!(error.code, Code::ConfigStale);
        assert!(error.message.contains(&base) && error.message.contains("2 value(s)"), "{error}");
        let told: Vec<String> = error.details.iter().map(|fault| format!("{}: {}", fault.path, fault.message)).collect();
        assert_eq!(told, ["queue.max_entries: it was 10 and is 11 now", "station.name: it was (not set) and is \"ST-1\" now"]);
    }
    let unknown = locked.save(Some("0123456789abcdef"), NEW, &valid).unwrap_err();
    assert!(unknown.code == Code::ConfigStale && unknown.message.contains("not among the backups"), "{unknown}");
    assert_eq!(content(&store), before);
}

#[test]
fn what_is_not_valid_changes_nothing() {
    let (folder, store) = station(OLD.as_bytes());
    let locked = store.lock().unwrap();
    assert_eq!(locked.save(None, "[queue]\nmax_entries = 0", &valid).unwrap_err().code, Code::ConfigInvalid);
    assert_eq!(locked.edit(None, &[set("queue.max_entires", "5")], &valid).unwrap_err().code, Code::ConfigInvalid);
    let large = format!("# {}", "x".repeat(usize::try_from(MOST_BYTES).unwrap()));
    assert_eq!(locked.save(None, &large, &valid).unwrap_err().code, Code::ConfigNotSaved);
    // Valid as it was given and not as the disk gives it back.
    let asked = Cell::new(0);
    let once = |_: &str| {
        asked.set(asked.get() + 1);
        if asked.get() == 1 { Ok(()) } else { Err(ErrorReport::new(Code::ConfigInvalid, "no more")) }
    };
    assert_eq!(locked.save(None, NEW, &once).unwrap_err().message, "no more");
    assert_eq!((content(&store).as_str(), asked.get()), (OLD, 2));
    assert!(!names(folder.path()).contains(".config.toml.new"));
}

#[test]
fn what_is_there_already_is_not_written_again() {
    let (_folder, store) = station(OLD.as_bytes());
    let saved = store.lock().unwrap().save(None, OLD, &valid).unwrap();
    assert_eq!(saved.before, saved.revision);
    assert!(store.backups.list().unwrap().is_empty());
}

#[test]
fn a_write_that_does_not_hold_is_undone_and_told() {
    let lie: fn(&Path) -> io::Result<Option<Vec<u8>>> = |_| Ok(Some(b"something else".to_vec()));
    let (folder, mut store) = station(OLD.as_bytes());
    store.read_back = lie;
    let error = store.lock().unwrap().save(None, NEW, &valid).unwrap_err();
    assert!(error.code == Code::ConfigNotSaved && error.message.contains("the old content was put back"), "{error}");
    assert_eq!(content(&store), OLD);
    let expected = ["config.toml", ".config.toml.lock", ".config.toml.lock.next", "backups"].map(str::to_owned);
    assert_eq!(names(folder.path()), BTreeSet::from(expected));

    std::fs::remove_file(&store.config).unwrap();
    store.read_back = |_| Err(io::Error::other("bad sector"));
    let error = store.lock().unwrap().save(None, NEW, &valid).unwrap_err();
    assert!(error.message.contains("bad sector"), "{error}");
    assert!(!store.config.exists(), "there was none before");
}

#[test]
fn a_broken_file_is_kept_before_it_is_replaced_and_one_that_cannot_be_kept_is_not_replaced() {
    let (_folder, store) = station(&[b'#', 0xff]);
    store.lock().unwrap().save(None, NEW, &valid).unwrap();
    assert_eq!(content(&store), NEW);
    let kept = &store.backups.list().unwrap()[0];
    assert!(kept.intact && kept.revision == revision(&[b'#', 0xff]));

    let large = vec![b'#'; usize::try_from(MOST_BYTES).unwrap() + 1];
    atomic::replace(&store.config, &large).unwrap();
    assert_eq!(store.read().unwrap_err().code, Code::ConfigUnreadable);
    let error = store.lock().unwrap().save(None, NEW, &valid).unwrap_err();
    assert_eq!(error.code, Code::ConfigNotSaved);
    assert_eq!(std::fs::read(&store.config).unwrap(), large);
}

#[test]
fn the_first_save_makes_the_file_and_its_folder() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::of(&instance(&folder.path().join("deep").join("station")));
    assert_eq!(store.read().unwrap(), None);
    let nothing = revision(b"");
    let saved = store.lock().unwrap().edit(Some(&nothing), &[set("station.name", "ST-1")], &valid).unwrap();
    assert_eq!((saved.before, parsed(&store).station.name.as_deref()), (nothing, Some("ST-1")));
    assert!(store.backups.list().unwrap().is_empty());
}

#[test]
fn a_hand_edited_file_keeps_its_line_ends_and_its_byte_order_mark() {
    let dos = format!("{BOM}{}", OLD.replace('\n', "\r\n"));
    for (before, after) in [(OLD.to_owned(), NEW.to_owned()), (dos.clone(), dos.replace("10", "20"))] {
        let (_folder, store) = station(before.as_bytes());
        store.lock().unwrap().edit(None, &[set("queue.max_entries", "20")], &valid).unwrap();
        assert_eq!(content(&store), after);
        let id = store.backups.list().unwrap()[0].id.clone();
        store.lock().unwrap().restore(None, &id, &valid).unwrap();
        assert_eq!(content(&store), before);
        store.lock().unwrap().edit(None, &[Edit::Replace { text: NEW.into() }], &valid).unwrap();
        assert_eq!(content(&store), NEW, "a whole document is taken as it is given");
    }
}

#[test]
fn the_second_writer_is_told_who_holds_the_file() {
    let (folder, mut store) = station(OLD.as_bytes());
    let first = store.clone();
    let _held = first.lock().unwrap();
    store.patience = Duration::from_millis(20);
    let error = store.lock().unwrap_err();
    assert!(error.code == Code::ConfigNotSaved && error.message.contains(&this_process()), "{error}");
    // Another instance with the same file is no way around it.
    let data_dir = Some(folder.path().join("other"));
    let options = InstanceOptions { data_dir, config: Some(store.config.clone()), ..InstanceOptions::default() };
    let mut other = Store::of(&Instance::locate(&options).unwrap());
    other.patience = Duration::from_millis(20);
    assert!(other.lock().is_err());
}

#[test]
fn a_write_protected_file_stays_as_it_is() {
    let (_folder, store) = station(OLD.as_bytes());
    let mut permissions = std::fs::metadata(&store.config).unwrap().permissions();
    permissions.set_readonly(true);
    std::fs::set_permissions(&store.config, permissions).unwrap();
    let error = store.lock().unwrap().save(None, NEW, &valid).unwrap_err();
    assert!(error.code == Code::ConfigNotSaved && error.message.contains("write-protected"), "{error}");
    assert_eq!(content(&store), OLD);
    assert!(store.backups.list().unwrap().is_empty());
}

#[cfg(unix)]
mod unix {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

    use super::*;

    fn protect(path: &Path, mode: u32) {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn permissions_stay_and_a_link_stays_a_link() {
        let (folder, mut store) = station(OLD.as_bytes());
        let (real, link) = (store.config.clone(), folder.path().join("link.toml"));
        protect(&real, 0o640);
        std::os::unix::fs::symlink("config.toml", &link).unwrap();
        let through_the_file = store.clone();
        store.config = link.clone();
        let _held = store.lock().unwrap().save(None, NEW, &valid).unwrap();
        assert!(std::fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(
            (std::fs::read_to_string(&real).unwrap().as_str(), std::fs::metadata(&real).unwrap().mode() & 0o777),
            (NEW, 0o640)
        );
        // Both names mean one lock.
        let _held = store.lock().unwrap();
        let other = Store { patience: Duration::from_millis(20), ..through_the_file };
        assert!(other.lock().is_err());
    }

    #[test]
    fn a_write_protected_folder_is_named_with_who_may_write_it() {
        let (folder, store) = station(OLD.as_bytes());
        protect(folder.path(), 0o555);
        // Nothing is write-protected for the administrator: what the error would say is looked at then.
        let error = match store.lock() {
            Ok(_) => store.refused("its folder", folder.path(), &io::Error::from(io::ErrorKind::PermissionDenied)),
            Err(error) => error,
        };
        protect(folder.path(), 0o755);
        let owner = std::fs::metadata(folder.path()).unwrap().uid();
        assert_eq!(error.code, Code::ConfigNotSaved);
        assert!(error.message.contains("nobody may write it (mode 0555)"), "{error} ({owner})");
        assert_eq!(content(&store), OLD);
    }
}

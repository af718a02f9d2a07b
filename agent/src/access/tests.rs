//! The gate as its users see it. Hashes are cheap here; `pin` tests the real cost.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use super::*;

struct Station {
    folder: tempfile::TempDir,
    gate: Gate,
    seconds: Arc<AtomicU64>,
}

impl Station {
    fn new() -> Self {
        Self::with(Settings::default())
    }

    fn with(settings: Settings) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let seconds = Arc::<AtomicU64>::default();
        let gate = gate(folder.path(), settings, &seconds);
        Self { folder, gate, seconds }
    }

    fn with_pin(text: &str) -> (Self, Session) {
        let station = Self::new();
        let engineer = Session::begin(Who::Owner);
        station.gate.set_pin(&engineer, None, &Secret::new(text)).unwrap();
        (station, engineer)
    }

    fn pass(&self, seconds: u64) {
        self.seconds.fetch_add(seconds, Ordering::SeqCst);
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("secrets").join("access.pin")
    }

    fn role(&self, session: &Session) -> Role {
        self.gate.status(session).role
    }

    fn code(&self, session: &Session, needed: Role) -> Option<Code> {
        self.gate.require(session, needed).err().map(|error| error.code)
    }
}

/// A gate as another process would open it, with a clock that the test moves.
fn gate(folder: &Path, settings: Settings, seconds: &Arc<AtomicU64>) -> Gate {
    let (start, seconds) = (Instant::now(), Arc::clone(seconds));
    let clock = move || start + Duration::from_secs(seconds.load(Ordering::SeqCst));
    let cheap = argon2::Params::new(8, 1, 1, None).unwrap();
    Gate::with(folder.join("secrets").join("access.pin"), settings, cheap, Box::new(clock))
}

fn owner() -> Session {
    Session::begin(Who::Owner)
}

fn pin(text: &str) -> Secret {
    Secret::new(text)
}

const MINUTES: u64 = 60;

#[test]
fn who_is_what_without_a_given_pin() {
    use Role::{Engineer, Operator, Viewer};
    let settings = |without_pin, group| Settings { without_pin, group, ..Settings::default() };
    for (who, guard, without_pin, group, role) in [
        (Who::Owner, Guard::Nothing, Operator, Operator, Engineer),
        (Who::Owner, Guard::Nothing, Viewer, Viewer, Engineer),
        (Who::Owner, Guard::Pin, Operator, Operator, Operator),
        (Who::Owner, Guard::Pin, Viewer, Operator, Viewer),
        (Who::Owner, Guard::Pin, Engineer, Operator, Engineer),
        (Who::Owner, Guard::Broken, Engineer, Operator, Operator),
        (Who::Owner, Guard::Broken, Viewer, Operator, Viewer),
        (Who::Group, Guard::Nothing, Operator, Viewer, Viewer),
        (Who::Group, Guard::Nothing, Operator, Engineer, Engineer),
        (Who::Group, Guard::Pin, Operator, Engineer, Operator),
        (Who::Group, Guard::Pin, Viewer, Operator, Viewer),
        (Who::Group, Guard::Pin, Operator, Viewer, Viewer),
        (Who::Group, Guard::Broken, Engineer, Engineer, Operator),
    ] {
        assert_eq!(base_role(who, guard, &settings(without_pin, group)), role, "{who:?} {guard:?} {without_pin} {group}");
    }
}

#[test]
fn without_a_pin_the_agents_own_user_is_engineer_and_the_group_is_not() {
    let station = Station::new();
    let (owner, group) = (owner(), Session::begin(Who::Group));
    assert_eq!(station.code(&owner, Role::Engineer), None);
    assert_eq!(station.code(&group, Role::Operator), None);
    let error = station.gate.require(&group, Role::Engineer).unwrap_err();
    assert_eq!((error.code, error.fix.contains("No PIN is set")), (Code::RoleMissing, true), "{error:?}");
    assert_eq!(station.gate.elevate(&group, &pin("1234")).unwrap_err().code, Code::RoleMissing);
    assert_eq!(station.gate.elevate(&owner, &pin("1234")).unwrap().role, Role::Engineer);
    let status = station.gate.status(&owner);
    assert_eq!((status.pin_set, status.elevated_until_ms, status.locked_until_ms), (false, None, None));
}

#[test]
fn a_pin_that_is_set_reaches_sessions_that_were_open_before() {
    let station = Station::new();
    let (setter, other, group) = (owner(), owner(), Session::begin(Who::Group));
    assert_eq!(station.code(&other, Role::Engineer), None);
    let status = station.gate.set_pin(&setter, None, &pin("2580")).unwrap();
    assert_eq!((status.role, status.pin_set), (Role::Engineer, true), "who set it stays engineer");
    assert!(status.elevated_until_ms.is_some());
    assert_eq!(station.code(&other, Role::Engineer), Some(Code::RoleMissing));
    assert_eq!(station.role(&other), Role::Operator);
    for session in [&other, &group] {
        assert_eq!(station.gate.elevate(session, &pin(" 2580\n")).unwrap().role, Role::Engineer);
        assert_eq!(station.code(session, Role::Engineer), None);
    }
    other.drop_role();
    assert_eq!(station.code(&other, Role::Engineer), Some(Code::RoleMissing));
    assert_eq!(station.code(&group, Role::Engineer), None, "one session's role is not another's");
}

#[test]
fn an_elevation_ends_some_minutes_after_the_last_request_that_needed_it() {
    let (station, engineer) = Station::with_pin("2580");
    for _ in 0..3 {
        station.pass(14 * MINUTES);
        assert_eq!(station.code(&engineer, Role::Engineer), None);
    }
    station.pass(14 * MINUTES);
    assert_eq!(station.code(&engineer, Role::Operator), None, "needs no PIN, so keeps nothing alive");
    assert_eq!(station.role(&engineer), Role::Engineer);
    station.pass(MINUTES);
    assert_eq!(station.role(&engineer), Role::Operator);
    assert_eq!(station.code(&engineer, Role::Engineer), Some(Code::RoleMissing));
    station.gate.elevate(&engineer, &pin("2580")).unwrap();
    station.gate.apply(Settings { pin_minutes: 1, without_pin: Role::Viewer, ..Settings::default() });
    station.pass(30);
    assert_eq!(station.code(&engineer, Role::Operator), None, "the PIN was needed for it");
    station.pass(59);
    assert_eq!(station.role(&engineer), Role::Engineer);
    station.pass(1);
    assert_eq!((station.role(&engineer), station.code(&engineer, Role::Operator)), (Role::Viewer, Some(Code::RoleMissing)));
}

#[test]
fn changing_and_clearing_the_pin_ends_every_elevation_at_once() {
    let (station, first) = Station::with_pin("2580");
    let second = owner();
    station.gate.elevate(&second, &pin("2580")).unwrap();
    station.gate.set_pin(&second, Some(&pin("2580")), &pin("0852")).unwrap();
    assert_eq!(station.code(&second, Role::Engineer), None, "who changed it stays engineer");
    assert_eq!(station.code(&first, Role::Engineer), Some(Code::RoleMissing));
    assert_eq!(station.gate.elevate(&first, &pin("2580")).unwrap_err().code, Code::PinWrong);
    station.gate.elevate(&first, &pin("0852")).unwrap();
    let group = Session::begin(Who::Group);
    station.gate.elevate(&group, &pin("0852")).unwrap();
    let status = station.gate.clear_pin(&second, Some(&pin("0852"))).unwrap();
    assert_eq!((status.role, status.pin_set, status.elevated_until_ms), (Role::Engineer, false, None));
    assert_eq!(station.code(&group, Role::Engineer), Some(Code::RoleMissing), "its role came from the PIN");
    assert!(!station.file().exists());
}

#[test]
fn a_change_by_another_process_counts_at_once() {
    let (station, engineer) = Station::with_pin("2580");
    let elsewhere = gate(station.folder.path(), Settings::default(), &station.seconds);
    let command = owner();
    elsewhere.elevate(&command, &pin("2580")).unwrap();
    elsewhere.set_pin(&command, Some(&pin("2580")), &pin("0852")).unwrap();
    assert_eq!(station.code(&engineer, Role::Engineer), Some(Code::RoleMissing));
    station.gate.elevate(&engineer, &pin("0852")).unwrap();
    elsewhere.clear_pin(&command, Some(&pin("0852"))).unwrap();
    assert_eq!(station.code(&owner(), Role::Engineer), None);
    assert_eq!(station.gate.status(&engineer).elevated_until_ms, None);
}

#[test]
fn a_file_that_cannot_be_used_makes_nobody_engineer_and_is_no_wrong_pin() {
    for content in ["", "1234", "$argon2id$v=19$m=8,t=1,p=1"] {
        let (station, engineer) = Station::with_pin("2580");
        file::replace_private(&station.file(), content).unwrap();
        assert_broken(&station, &engineer);
    }
    let (station, engineer) = Station::with_pin("2580");
    std::fs::remove_file(station.file()).unwrap();
    std::fs::create_dir(station.file()).unwrap();
    assert_broken(&station, &engineer);
}

#[cfg(unix)]
#[test]
fn a_file_that_others_may_read_or_that_leads_nowhere_cannot_be_used() {
    use std::os::unix::fs::PermissionsExt as _;
    let (station, engineer) = Station::with_pin("2580");
    std::fs::set_permissions(station.file(), std::fs::Permissions::from_mode(0o644)).unwrap();
    assert_broken(&station, &engineer);
    std::fs::remove_file(station.file()).unwrap();
    std::os::unix::fs::symlink("nowhere", station.file()).unwrap();
    assert_broken(&station, &engineer);
}

fn assert_broken(station: &Station, engineer: &Session) {
    let failed = Some(Code::AccessStoreFailed);
    for session in [engineer, &owner(), &Session::begin(Who::Group)] {
        assert_eq!(station.code(session, Role::Engineer), failed);
        assert_eq!(station.code(session, Role::Operator), None, "work goes on");
        assert_eq!(station.code(session, Role::Viewer), None);
        let status = station.gate.status(session);
        assert_eq!((status.role, status.pin_set), (Role::Operator, true));
    }
    assert_eq!(station.gate.elevate(&owner(), &pin("2580")).unwrap_err().code, Code::AccessStoreFailed);
    assert_eq!(station.gate.set_pin(engineer, None, &pin("0000")).unwrap_err().code, Code::AccessStoreFailed);
    assert_eq!(station.gate.clear_pin(engineer, None).unwrap_err().code, Code::AccessStoreFailed);
    assert!(station.gate.require(engineer, Role::Engineer).unwrap_err().message.contains("access.pin"));
}

#[test]
fn a_file_that_comes_back_as_it_was_has_revoked_nobody() {
    let (station, engineer) = Station::with_pin("2580");
    let content = std::fs::read_to_string(station.file()).unwrap();
    file::replace_private(&station.file(), "scrambled").unwrap();
    assert_eq!(station.code(&engineer, Role::Engineer), Some(Code::AccessStoreFailed));
    file::replace_private(&station.file(), &content).unwrap();
    assert_eq!(station.code(&engineer, Role::Engineer), None);
}

#[test]
fn a_refused_role_is_told_alike_to_everybody() {
    let (station, _) = Station::with_pin("2580");
    station.gate.apply(Settings { without_pin: Role::Viewer, ..Settings::default() });
    for who in [Who::Owner, Who::Group] {
        for needed in [Role::Operator, Role::Engineer] {
            let error = station.gate.require(&Session::begin(who), needed).unwrap_err();
            assert_eq!(error.message, format!("this needs the role {needed}, and this session is viewer"));
            assert_eq!((error.code, error.fix.as_str()), (Code::RoleMissing, Code::RoleMissing.fix()));
        }
    }
}

#[test]
fn five_wrong_pins_of_whatever_session_lock_the_right_one_out_too() {
    let (station, engineer) = Station::with_pin("2580");
    for left in ["4 more", "3 more", "2 more", "1 more", "none is accepted until"] {
        let error = station.gate.elevate(&owner(), &pin("1111")).unwrap_err();
        assert_eq!(error.code, Code::PinWrong);
        assert!(error.message.contains(left) && !error.message.contains("1111"), "{error}");
    }
    let error = station.gate.elevate(&owner(), &pin("2580")).unwrap_err();
    assert_eq!((error.code, error.message.contains("until")), (Code::PinLocked, true), "{error}");
    assert!(station.gate.status(&owner()).locked_until_ms.is_some());
    assert_eq!(station.code(&engineer, Role::Engineer), None, "who is engineer stays so");
    station.pass(29);
    assert_eq!(station.gate.elevate(&owner(), &pin("2580")).unwrap_err().code, Code::PinLocked);
    station.pass(1);
    assert_eq!(station.gate.elevate(&owner(), &pin("1111")).unwrap_err().code, Code::PinWrong);
    station.pass(59);
    assert_eq!(station.gate.elevate(&owner(), &pin("2580")).unwrap_err().code, Code::PinLocked, "twice as long");
    station.pass(1);
    assert_eq!(station.gate.elevate(&owner(), &pin("2580")).unwrap().locked_until_ms, None);
    assert!(station.gate.elevate(&owner(), &pin("1111")).unwrap_err().message.contains("4 more"), "counted anew");
}

#[test]
fn a_flood_of_pins_is_checked_one_at_a_time_and_five_times() {
    let (station, _) = Station::with_pin("2580");
    let codes: Vec<Code> = std::thread::scope(|scope| {
        let tries: Vec<_> =
            (0..40).map(|_| scope.spawn(|| station.gate.elevate(&owner(), &pin("1111")).unwrap_err().code)).collect();
        tries.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(codes.iter().filter(|code| **code == Code::PinWrong).count(), 5);
    assert_eq!(codes.iter().filter(|code| **code == Code::PinLocked).count(), 35);
}

#[test]
fn a_pin_is_changed_only_by_an_engineer_who_knows_it() {
    let (station, engineer) = Station::with_pin("2580");
    let before = std::fs::read_to_string(station.file()).unwrap();
    let operator = owner();
    assert_eq!(station.gate.set_pin(&operator, Some(&pin("2580")), &pin("1234")).unwrap_err().code, Code::RoleMissing);
    assert_eq!(station.gate.clear_pin(&operator, Some(&pin("2580"))).unwrap_err().code, Code::RoleMissing);
    assert_eq!(station.gate.set_pin(&engineer, None, &pin("1234")).unwrap_err().code, Code::PinWrong);
    assert_eq!(station.gate.clear_pin(&engineer, None).unwrap_err().code, Code::PinWrong);
    assert_eq!(station.gate.clear_pin(&engineer, Some(&pin("1111"))).unwrap_err().code, Code::PinWrong);
    assert_eq!(station.gate.set_pin(&engineer, Some(&pin("2580")), &pin("123")).unwrap_err().code, Code::PinInvalid);
    assert_eq!(std::fs::read_to_string(station.file()).unwrap(), before);
    assert_eq!(station.code(&engineer, Role::Engineer), None);
}

#[test]
fn two_who_set_the_first_pin_at_once_do_not_overwrite_each_other() {
    let station = Station::new();
    let results: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = ["1111", "2222"]
            .map(|text| scope.spawn(|| station.gate.set_pin(&owner(), None, &pin(text)).map_err(|error| error.code)))
            .into();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1);
    assert!(results.contains(&Err(Code::RoleMissing)), "{results:?}");
}

#[test]
fn the_pin_is_in_its_file_only_as_a_hash() {
    let (station, _) = Station::with_pin("hunter2580");
    assert!(waybill_shared::fs::private::is_private(&station.file()).unwrap());
    let content = std::fs::read_to_string(station.file()).unwrap();
    assert!(content.starts_with("$argon2id$v=19$") && !content.contains("hunter"), "{content}");
    assert_eq!(std::fs::read_dir(station.folder.path().join("secrets")).unwrap().count(), 1);
}

#[test]
fn a_restart_keeps_the_pin_and_forgets_who_gave_it() {
    let (station, engineer) = Station::with_pin("2580");
    let again = gate(station.folder.path(), Settings::default(), &station.seconds);
    assert_eq!(again.require(&owner(), Role::Engineer).unwrap_err().code, Code::RoleMissing);
    assert_eq!(again.elevate(&owner(), &pin("2580")).unwrap().role, Role::Engineer);
    assert_eq!(station.code(&engineer, Role::Engineer), None);
}

#[test]
fn nothing_but_the_gate_decides_about_roles_and_pins() {
    fn look(folder: &Path, found: &mut Vec<String>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                look(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                let own = ["Code::RoleMissing", "argon2::"];
                if own.iter().any(|word| text.contains(word)) {
                    found.push(path.strip_prefix(env!("CARGO_MANIFEST_DIR")).unwrap().to_string_lossy().replace('\\', "/"));
                }
            }
        }
    }
    let mut found = Vec::new();
    look(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut found);
    assert!(!found.is_empty());
    assert!(found.iter().all(|path| path.starts_with("src/access/")), "{found:?}");
}

//! Tests of the store. The keyring is a fake.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::keyring::tests::Fake;
use super::*;

fn name() -> SecretName {
    "destination.d.token".parse().unwrap()
}

/// A store without an environment, and its keyring.
fn store(folder: &Path, deadline: Duration) -> (Store, Arc<Fake>) {
    let fake = Arc::new(Fake::default());
    let keyring = Client::start(Arc::clone(&fake), deadline).unwrap();
    (Store { folder: folder.to_owned(), keyring: Some(keyring), environment: |_| None, tried: None }, fake)
}

const LONG: Duration = Duration::from_secs(60);

#[test]
fn a_missing_token_says_where_it_was_looked_for() {
    let folder = tempfile::tempdir().unwrap();
    let source = TokenSource::of("nowhere", None, folder.path()).unwrap();
    let error = source.load().unwrap_err();
    assert_eq!(error.code, Code::SecretMissing);
    assert!(
        error.message.contains("WAYBILL_SECRET_DESTINATION_NOWHERE_TOKEN") && error.message.contains("destination.nowhere.token"),
        "{error}"
    );
}

#[test]
fn a_private_file_is_read_and_its_line_end_is_not_part_of_it() {
    let folder = tempfile::tempdir().unwrap();
    waybill_shared::fs::atomic::create_private(&folder.path().join("destination.d.token"), b"c2VjcmV0\n").unwrap();
    assert_eq!(TokenSource::of("d", None, folder.path()).unwrap().load().unwrap().expose(), "c2VjcmV0");
}

#[test]
fn no_name_of_a_secret_is_a_path() {
    for good in ["destination.main.token", "destination.East-2_b.proxy_password", "proxy.password"] {
        assert_eq!(good.parse::<SecretName>().unwrap().to_string(), good);
    }
    let long = format!("destination.{}.token", "x".repeat(65));
    for bad in [
        "",
        ".",
        "..",
        "access.pin",
        "destination.token",
        "destination..token",
        "destination.../x.token",
        "destination.a/b.token",
        "destination.a\\b.token",
        "destination.a.b.token",
        "destination.a.tokens",
        "destination.-a.token",
        "destination.ä.token",
        "Destination.a.token",
        "proxy.password\0",
        "/etc/passwd",
        long.as_str(),
    ] {
        assert_eq!(bad.parse::<SecretName>().unwrap_err().code, Code::RequestInvalid, "{bad:?}");
    }
}

#[test]
fn only_a_users_agent_in_a_desktop_session_uses_the_keyring() {
    for (scope, explicit, headless, desktop, place) in [
        (Scope::User, false, false, true, Place::KeyringThenFile),
        (Scope::User, false, false, false, Place::File),
        (Scope::User, false, true, true, Place::File),
        (Scope::User, true, false, true, Place::File),
        (Scope::Machine, false, false, true, Place::File),
        (Scope::Machine, true, true, false, Place::File),
    ] {
        assert_eq!(Place::decide(scope, explicit, headless, desktop), place, "{scope:?} {explicit} {headless} {desktop}");
    }
    for (always, variables, desktop) in [
        (true, &[][..], true),
        (false, &["DBUS_SESSION_BUS_ADDRESS", "DISPLAY"], true),
        (false, &["DBUS_SESSION_BUS_ADDRESS", "WAYLAND_DISPLAY"], true),
        (false, &["DBUS_SESSION_BUS_ADDRESS"], false),
        (false, &["DISPLAY", "WAYLAND_DISPLAY"], false),
        (false, &[], false),
    ] {
        assert_eq!(in_desktop(always, |name| variables.contains(&name)), desktop, "{variables:?}");
    }
}

#[test]
fn configured_file_then_environment_then_file_then_keyring() {
    let folder = tempfile::tempdir().unwrap();
    let (mut store, fake) = store(folder.path(), LONG);
    let configured = folder.path().join("given");
    file::replace_private(&configured, "from the configured file").unwrap();
    fake.held.lock().unwrap().insert(name().to_string(), "from the keyring".to_owned());
    let load = |store: &Store, configured| store.source(name(), configured).load().unwrap().expose().to_owned();

    assert_eq!(load(&store, None), "from the keyring");
    file::replace_private(&folder.path().join("destination.d.token"), "from the file").unwrap();
    assert_eq!(load(&store, None), "from the file");
    store.environment = |name| (name == "WAYBILL_SECRET_DESTINATION_D_TOKEN").then(|| "from the environment".into());
    assert_eq!(load(&store, None), "from the environment");
    assert_eq!(load(&store, Some(configured.clone())), "from the configured file");

    let status = store.status(&name(), None).unwrap();
    assert_eq!((status.set, status.changeable), (true, false));
    assert_eq!(status.place, "environment variable WAYBILL_SECRET_DESTINATION_D_TOKEN");
    let status = store.status(&name(), Some(&configured)).unwrap();
    assert_eq!((status.set, status.changeable, status.place), (true, false, format!("file {}", text::path(&configured))));
    for refused in
        [store.set(&name(), None, &Secret::new("x")).unwrap_err(), store.clear(&name(), Some(&configured)).unwrap_err()]
    {
        assert_eq!(refused.code, Code::RequestInvalid);
        assert!(refused.message.contains("does not write"), "{refused}");
    }
}

#[test]
fn a_place_that_comes_first_counts_also_if_it_is_unusable() {
    let folder = tempfile::tempdir().unwrap();
    let (mut store, fake) = store(folder.path(), LONG);
    fake.held.lock().unwrap().insert(name().to_string(), "from the keyring".to_owned());
    let gone = folder.path().join("gone");
    assert!(store.source(name(), Some(gone.clone())).load().unwrap_err().message.contains("gone"));
    assert!(!store.status(&name(), Some(&gone)).unwrap().set);
    store.environment = |_| Some(" ".into());
    assert!(store.source(name(), None).load().unwrap_err().message.contains("is empty in WAYBILL_SECRET"));
    assert_eq!(store.status(&name(), None).unwrap_err().code, Code::SecretMissing, "there is one, and it cannot be used");
    assert_eq!(fake.reads.load(Ordering::SeqCst), 0, "nobody is asked to unlock a keyring for nothing");
}

#[test]
fn a_secret_goes_to_the_keyring_and_an_older_file_no_longer_hides_it() {
    let folder = tempfile::tempdir().unwrap();
    let (store, fake) = store(folder.path(), LONG);
    file::replace_private(&folder.path().join("destination.d.token"), "old").unwrap();
    let stored = store.set(&name(), None, &Secret::new("new")).unwrap();
    assert_eq!(stored, Stored { place: "keyring".to_owned(), instead_of_keyring: None });
    assert_eq!(store.source(name(), None).load().unwrap().expose(), "new");
    assert_eq!(store.status(&name(), None).unwrap(), SecretStatus { set: true, place: "keyring".to_owned(), changeable: true });
    assert!(store.clear(&name(), None).unwrap());
    assert!(fake.held.lock().unwrap().is_empty() && !store.status(&name(), None).unwrap().set);
    assert!(!store.clear(&name(), None).unwrap());
}

#[test]
fn without_its_keyring_a_secret_goes_to_a_private_file_and_that_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let (store, fake) = store(folder.path(), LONG);
    *fake.refuses.lock().unwrap() = Some("no session bus".to_owned());
    let stored = store.set(&name(), None, &Secret::new("hunter2")).unwrap();
    let file = folder.path().join("destination.d.token");
    assert_eq!(stored.place, format!("file {}", text::path(&file)));
    assert!(stored.instead_of_keyring.unwrap().contains("no session bus"));
    assert!(private::is_private(&file).unwrap());
    assert_eq!(store.source(name(), None).load().unwrap().expose(), "hunter2");
    assert_eq!(store.clear(&name(), None).unwrap_err().code, Code::SecretUnavailable, "the keyring may have an older one");
}

#[test]
fn a_store_of_files_says_where_a_secret_is_and_forgets_it() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store { environment: |_| None, ..Store::files(&folder.path().join("secrets")) };
    let place = format!("file {}", text::path(&folder.path().join("secrets").join("destination.d.token")));
    assert_eq!(store.status(&name(), None).unwrap(), SecretStatus { set: false, place: place.clone(), changeable: true });
    assert_eq!(store.set(&name(), None, &Secret::new("hunter2")).unwrap().place, place);
    assert_eq!(store.status(&name(), None).unwrap(), SecretStatus { set: true, place, changeable: true });
    assert!(store.clear(&name(), None).unwrap());
    assert_eq!(store.source(name(), None).load().unwrap_err().code, Code::SecretMissing);
}

#[test]
fn a_keyring_that_hangs_is_no_missing_secret_and_the_next_answer_counts() {
    let folder = tempfile::tempdir().unwrap();
    let (hung, fake) = store(folder.path(), Duration::from_millis(50));
    fake.held.lock().unwrap().insert(name().to_string(), "hunter2".to_owned());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let hangs = fake.gate.lock().unwrap();
    for error in [
        runtime.block_on(hung.source(name(), None).fetch()).unwrap_err(),
        hung.source(name(), None).load().unwrap_err(),
        hung.status(&name(), None).unwrap_err(),
    ] {
        assert_eq!((error.code, error.code.as_str()), (Code::SecretUnavailable, "WB1006"), "{error}");
    }
    drop(hangs);
    let again = Store { keyring: Some(Client::start(Arc::clone(&fake), LONG).unwrap()), ..hung };
    assert_eq!(runtime.block_on(again.source(name(), None).fetch()).unwrap().expose(), "hunter2");
}

#[test]
fn what_no_header_can_carry_is_not_kept() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store { environment: |_| None, ..Store::files(folder.path()) };
    for bad in ["", "  \n", "a\nb", "a\0b", "x".repeat(LONGEST + 1).as_str()] {
        assert_eq!(store.set(&name(), None, &Secret::new(bad)).unwrap_err().code, Code::RequestInvalid);
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn a_secret_is_in_no_debug_output_and_no_error() {
    let folder = tempfile::tempdir().unwrap();
    let (store, fake) = store(folder.path(), LONG);
    let stored = store.set(&name(), None, &Secret::new("hunter2")).unwrap();
    let source = store.source(name(), None);
    source.load().unwrap();
    *fake.refuses.lock().unwrap() = Some("locked".to_owned());
    let fallback = store.set(&name(), None, &Secret::new("hunter2")).unwrap();
    let error = store.clear(&name(), None).unwrap_err();
    let seen = format!("{store:?} {source:?} {stored:?} {fallback:?} {error:?}");
    assert!(seen.contains("destination.d.token") && !seen.contains("hunter2"), "{seen}");
}

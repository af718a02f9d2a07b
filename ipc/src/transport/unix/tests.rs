use super::*;
use crate::peer::Refused;
use crate::transport::{self, Listener as Door, check_peer};

fn mode(path: &Path) -> u32 {
    std::fs::symlink_metadata(path).unwrap().mode() & 0o7777
}

fn folder(path: &Path, mode: u32) {
    std::fs::create_dir(path).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

fn text(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}

fn endpoint(places: &[PathBuf], scope: Scope) -> Endpoint {
    Endpoint::at(places.iter().map(|place| text(place)).collect(), scope)
}

fn own_group() -> u32 {
    let temp = tempfile::tempdir().unwrap();
    std::fs::metadata(temp.path()).unwrap().gid()
}

async fn met(endpoint: &Endpoint, door: &Door) -> (Result<crate::peer::Peer, Refused>, Result<crate::peer::Peer, Refused>) {
    let (client, server) = tokio::join!(transport::connect(endpoint), door.accept());
    (check_peer(&client.unwrap()), check_peer(&server.unwrap()))
}

#[tokio::test]
async fn the_socket_is_ours_alone_in_a_folder_of_ours_alone() {
    let temp = tempfile::tempdir().unwrap();
    let folder = temp.path().join("waybill");
    let socket = folder.join("a.sock");
    let door = Door::bind(&endpoint(std::slice::from_ref(&socket), Scope::User)).unwrap();
    assert_eq!((mode(&socket), mode(&folder)), (0o600, 0o700));
    assert_eq!(door.name(), text(&socket));
    drop(door);
    assert!(!socket.exists(), "the name is free again");
}

#[tokio::test]
async fn what_is_shared_with_a_group_is_open_to_it_and_to_nobody_else() {
    let temp = tempfile::tempdir().unwrap();
    let (folder, socket) = (temp.path().join("waybill"), temp.path().join("waybill/a.sock"));
    let bound = bind_shared(&[text(&socket)], Some(own_group()), Duration::ZERO).unwrap();
    assert_eq!((mode(&socket), mode(&folder)), (0o660, 0o750));
    for path in [&socket, &folder] {
        assert_eq!(std::fs::symlink_metadata(path).unwrap().gid(), own_group());
    }
    assert_eq!(bound.clients(), Expected::Client { group: Some(own_group()) });
    drop(bound);
    // Without the group the folder is closed again.
    let bound = bind_shared(&[text(&socket)], None, Duration::ZERO).unwrap();
    assert_eq!((mode(&socket), mode(&folder)), (0o600, 0o700));
    assert_eq!(bound.clients(), Expected::Client { group: None });
}

#[tokio::test]
async fn a_folder_that_others_can_write_to_is_refused() {
    let temp = tempfile::tempdir().unwrap();
    for (number, bad) in [0o770, 0o722, 0o702, 0o1777].into_iter().enumerate() {
        let path = temp.path().join(number.to_string());
        folder(&path, bad);
        let error = bind_shared(&[text(&path.join("a.sock"))], None, Duration::ZERO).err().unwrap();
        assert_eq!(error.kind(), io::ErrorKind::PermissionDenied, "{bad:o}: {error}");
        assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
        assert_eq!(std::fs::read_dir(&path).unwrap().count(), 0, "{bad:o}: nothing was left there");
    }
}

#[tokio::test]
async fn a_link_to_a_folder_is_refused() {
    let temp = tempfile::tempdir().unwrap();
    let (real, link) = (temp.path().join("real"), temp.path().join("link"));
    folder(&real, 0o700);
    std::os::unix::fs::symlink(&real, &link).unwrap();
    let error = bind_shared(&[text(&link.join("a.sock"))], None, Duration::ZERO).err().unwrap();
    assert_eq!(error.kind(), io::ErrorKind::PermissionDenied, "{error}");
    assert!(error.to_string().contains("is a link"), "{error}");
}

#[test]
fn another_users_folder_is_refused_by_name_and_with_what_to_do() {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("waybill");
    folder(&path, 0o700);
    let error = vouch(&path, current_user() + 1).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
    assert!(error.to_string().contains(&user_named(current_user())) && error.to_string().contains("somebody else"), "{error}");
    // Given away for real, where this process may do that.
    if chown(&path, Some(65_534), None).is_ok() {
        let error = bind_shared(&[text(&path.join("a.sock"))], None, Duration::ZERO).err().unwrap();
        assert!(error.to_string().contains("have the administrator remove"), "{error}");
        assert_eq!(std::fs::read_dir(&path).unwrap().count(), 0, "nothing was left there");
    }
}

#[tokio::test]
async fn an_agent_listens_in_the_first_place_that_it_can_use() {
    let temp = tempfile::tempdir().unwrap();
    let place = |folder: &str| temp.path().join(folder).join("a.sock");
    folder(&temp.path().join("open"), 0o777);
    let all = endpoint(&[place("missing/waybill"), place("open"), place("good"), place("spare")], Scope::User);
    assert_eq!(all.name(), text(&place("good")));
    let door = Door::bind(&all).unwrap();
    assert_eq!(door.name(), all.name());
    assert!(!temp.path().join("missing").exists() && !place("spare").exists());
    let (client, server) = met(&all, &door).await;
    assert_eq!([client.unwrap().pid, server.unwrap().pid], [Some(std::process::id()); 2]);
    // A second one finds it wherever it would listen itself.
    let other = endpoint(&[place("spare"), place("good")], Scope::User);
    let error = bind_shared(other.places(), None, Duration::ZERO).err().unwrap();
    assert_eq!(error.kind(), io::ErrorKind::AddrInUse, "{error}");
    assert!(error.to_string().contains(all.name()), "{error}");
}

#[tokio::test]
async fn a_client_passes_over_a_place_where_nobody_is_or_a_dead_agent_was() {
    let temp = tempfile::tempdir().unwrap();
    let place = |folder: &str| temp.path().join(folder).join("a.sock");
    folder(&temp.path().join("dead"), 0o700);
    drop(std::os::unix::net::UnixListener::bind(place("dead")).unwrap());
    let door = Door::bind(&endpoint(&[place("living")], Scope::User)).unwrap();
    let all = endpoint(&[place("nobody"), place("dead"), place("living")], Scope::User);
    let (client, server) = met(&all, &door).await;
    assert!(client.is_ok() && server.is_ok());
    let nobody = endpoint(&[place("nobody"), place("dead")], Scope::User);
    assert_eq!(transport::connect(&nobody).await.unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
}

#[test]
fn a_login_session_and_a_bare_one_look_into_the_same_places() {
    let temp = tempfile::tempdir().unwrap();
    let (runtimes, temporary, own) = (temp.path().join("run"), temp.path().join("tmp"), current_user());
    let session = runtimes.join(own.to_string());
    for path in [&runtimes, &temporary, &session] {
        folder(path, 0o700);
    }
    let places = |runtime: Option<&Path>| user_folders(runtime, &runtimes, &temporary, own);
    let usual = vec![session.join("waybill"), temporary.join(format!("waybill-{own}"))];
    assert_eq!(places(None), usual);
    assert_eq!(places(Some(&session)), usual);
    // A runtime folder elsewhere comes first; what is no folder of ours is none.
    let elsewhere = temp.path().join("elsewhere");
    assert_eq!(places(Some(&elsewhere)), usual);
    folder(&elsewhere, 0o700);
    assert_eq!(places(Some(&elsewhere)), [vec![elsewhere.join("waybill")], usual.clone()].concat());
    assert_eq!(places(Some(Path::new("relative"))), usual);
    assert_eq!(user_folders(Some(&session), &runtimes, &temporary, own + 1).len(), 2, "the runtime folder of the user before");
}

#[tokio::test]
async fn a_session_that_began_or_ended_meanwhile_hides_no_agent() {
    let temp = tempfile::tempdir().unwrap();
    let (runtimes, temporary, own) = (temp.path().join("run"), temp.path().join("tmp"), current_user());
    let session = runtimes.join(own.to_string());
    for path in [&runtimes, &temporary] {
        folder(path, 0o700);
    }
    let seen = |runtime: Option<&Path>| {
        let folders = user_folders(runtime, &runtimes, &temporary, own);
        endpoint(&folders.iter().map(|folder| folder.join("a.sock")).collect::<Vec<_>>(), Scope::User)
    };
    // Started by cron, asked from a login session that began later.
    let door = Door::bind(&seen(None)).unwrap();
    assert!(door.name().starts_with(temporary.to_str().unwrap()), "{}", door.name());
    folder(&session, 0o700);
    assert!(met(&seen(Some(&session)), &door).await.0.is_ok());
    drop(door);
    // Started in the login session, asked by cron.
    let door = Door::bind(&seen(Some(&session))).unwrap();
    assert!(door.name().starts_with(session.to_str().unwrap()), "{}", door.name());
    assert!(met(&seen(None), &door).await.0.is_ok());
    // The session ends and takes its folder along: the agent is found in the other place.
    std::fs::remove_dir_all(&session).unwrap();
    assert!(comes_back(&seen(None), &door).await);
    assert!(door.name().starts_with(temporary.to_str().unwrap()), "{}", door.name());
}

/// True if a client gets in within some seconds, from the moment on that the socket was taken away.
async fn comes_back(endpoint: &Endpoint, door: &Door) -> bool {
    let knock = async {
        while transport::connect(endpoint).await.is_err() {
            tokio::time::sleep(PAUSE).await;
        }
    };
    // As the server does: again and again, dropped whenever something else happens.
    let serve = async {
        loop {
            let _dropped = tokio::time::timeout(PAUSE, door.accept()).await;
        }
    };
    let both = async {
        tokio::select! {
            () = knock => true,
            () = serve => false,
        }
    };
    tokio::time::timeout(Duration::from_secs(20), both).await.unwrap_or(false)
}

#[tokio::test]
async fn a_socket_that_was_removed_is_made_again() {
    let temp = tempfile::tempdir().unwrap();
    let socket = temp.path().join("waybill/a.sock");
    let all = endpoint(std::slice::from_ref(&socket), Scope::User);
    let door = Door::bind(&all).unwrap();
    std::fs::remove_file(&socket).unwrap();
    assert!(comes_back(&all, &door).await, "after the socket was removed");
    std::fs::remove_dir_all(temp.path().join("waybill")).unwrap();
    assert!(comes_back(&all, &door).await, "after its folder was removed");
    assert_eq!((mode(&socket), mode(socket.parent().unwrap())), (0o600, 0o700));
}

#[tokio::test]
async fn a_name_that_another_one_has_taken_is_left_to_it() {
    let temp = tempfile::tempdir().unwrap();
    let socket = temp.path().join("waybill/a.sock");
    let all = endpoint(std::slice::from_ref(&socket), Scope::User);
    let door = Door::bind(&all).unwrap();
    std::fs::remove_file(&socket).unwrap();
    let other = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let theirs = identity(&text(&socket)).unwrap();
    let told = async {
        while door.lock().told.is_none() {
            let _dropped = tokio::time::timeout(PAUSE, door.accept()).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), told).await.expect("it notices");
    assert!(door.lock().told.as_ref().unwrap().contains("another process answers"));
    drop(door);
    assert_eq!(identity(&text(&socket)).unwrap(), theirs, "it is not ours to remove");
    drop(other);
}

#[tokio::test]
async fn a_client_believes_no_link_and_no_folder_that_others_can_write_to() {
    let temp = tempfile::tempdir().unwrap();
    let real = temp.path().join("real/a.sock");
    let door = Door::bind(&endpoint(std::slice::from_ref(&real), Scope::User)).unwrap();
    let (way, link) = (temp.path().join("way"), temp.path().join("linked"));
    std::os::unix::fs::symlink(temp.path().join("real"), &way).unwrap();
    folder(&link, 0o700);
    std::os::unix::fs::symlink(&real, link.join("a.sock")).unwrap();
    for scope in [Scope::User, Scope::Machine] {
        for place in [way.join("a.sock"), link.join("a.sock")] {
            let (client, _) = met(&endpoint(std::slice::from_ref(&place), scope), &door).await;
            let refused = client.unwrap_err();
            assert!(matches!(refused, Refused::Place(_)) && refused.to_string().contains("is a link"), "{refused}");
        }
    }
    std::fs::set_permissions(temp.path().join("real"), std::fs::Permissions::from_mode(0o777)).unwrap();
    let (client, _) = met(&endpoint(std::slice::from_ref(&real), Scope::User), &door).await;
    let refused = client.unwrap_err();
    assert!(refused.to_string().contains("only its user can write to"), "{refused}");
}

#[tokio::test]
async fn at_the_machines_endpoint_a_client_believes_whom_the_administrator_put_there() {
    let temp = tempfile::tempdir().unwrap();
    let run = temp.path().join("run");
    folder(&run, 0o755);
    let socket = run.join("waybill/a.sock");
    let all = endpoint(std::slice::from_ref(&socket), Scope::Machine);
    let door = Door::bind(&all).unwrap();
    assert!(met(&all, &door).await.0.is_ok());
    // Where everybody can make folders, a folder proves nothing.
    std::fs::set_permissions(&run, std::fs::Permissions::from_mode(0o1777)).unwrap();
    let refused = met(&all, &door).await.0.unwrap_err();
    assert!(refused.to_string().contains("others than the administrator"), "{refused}");
}

#[test]
fn who_is_kept_out_is_told_why() {
    let place = "/run/waybill/default.sock";
    let here = || place.to_owned();
    let member = kept_out(place, &Expected::MachineAgent { place: here(), folder: Ok(0) });
    assert!(member.to_string().contains("members of the group \"waybill\""), "{member}");
    let squatted = kept_out(place, &Expected::OwnAgent { place: here(), fault: Some("somebody else made it".to_owned()) });
    assert_eq!(squatted.to_string(), "somebody else made it");
    let neither = kept_out(place, &Expected::OwnAgent { place: here(), fault: None });
    assert!(neither.to_string().contains(place), "{neither}");
}

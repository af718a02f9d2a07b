//! What the tests of other modules share.

mod again;
mod hanging;
mod moved;
mod running;
mod supervised;

use std::path::Path;

use waybill_ipc::protocol::{DestinationHead, DestinationStatus, Snapshot};
use waybill_shared::paths::{Instance, InstanceOptions};

/// A snapshot with one destination `d`.
pub(crate) fn empty_snapshot() -> Snapshot {
    let head = DestinationHead { name: "d".to_owned(), kind: "folder".to_owned(), address: String::new(), enabled: true };
    Snapshot { destinations: vec![DestinationStatus::of(&head, None)], ..Snapshot::default() }
}

/// A station in a folder, with a source `ict` (`watch/`) and a destination `out` (`out/`), and `lines` at the end of its configuration; as it
/// is, if there is one.
#[allow(clippy::disallowed_methods, reason = "files of the tests' own")]
fn station(folder: &Path, lines: &str) -> Instance {
    let (watch, out) = (folder.join("watch"), folder.join("out"));
    let options = InstanceOptions { data_dir: Some(folder.join("data")), ..InstanceOptions::default() };
    let instance = Instance::locate(&options).unwrap();
    if instance.config.exists() {
        return instance;
    }
    std::fs::create_dir(&watch).unwrap();
    let config = format!(
        "[[source]]\nname = \"ict\"\nfolder = {watch:?}\npatterns = [\"*.json\"]\nconverter = \"wsjf\"\nsettle_ms = 50\n\
         [[destination]]\nname = \"out\"\nkind = \"folder\"\nfolder = {out:?}\n\
         [queue]\nmin_free_bytes = 0\nmin_free_percent = 0\n[convert]\nworkers = 1\n{lines}"
    );
    std::fs::create_dir(&instance.data).unwrap();
    std::fs::write(&instance.config, config).unwrap();
    instance
}

#[test]
fn a_stop_is_waited_for_as_long_as_the_configuration_lets_it_take() {
    let folder = tempfile::tempdir().unwrap();
    let data_dir = Some(folder.path().to_owned());
    let instance = Instance::locate(&InstanceOptions { data_dir, ..InstanceOptions::default() }).unwrap();
    let secs = || super::longest_stop(&instance).as_secs();
    assert_eq!(secs(), 130, "there is none yet");
    waybill_shared::fs::atomic::replace(&instance.config, b"[shutdown]\ntotal_secs = 600\n").unwrap();
    assert_eq!(secs(), 610);
    waybill_shared::fs::atomic::replace(&instance.config, b"[shutdown]\ntotal_secs = \"long\"\n").unwrap();
    assert_eq!(secs(), 130, "it cannot be used");
}

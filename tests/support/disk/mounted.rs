use std::path::PathBuf;
use std::process::Command;

/// A file system of 6 MiB in memory in the place of a folder; unmounted with the value.
pub struct Mounted(PathBuf);

impl Mounted {
    /// Mounts it; none if this user may not.
    #[must_use]
    pub fn small(folder: PathBuf) -> Option<Self> {
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=6m", "waybill-test"]).arg(&folder).output();
        mounted.is_ok_and(|output| output.status.success()).then_some(Self(folder))
    }

    /// Makes it 64 MiB large.
    #[track_caller]
    pub fn make_larger(&self) {
        assert!(Command::new("mount").args(["-o", "remount,size=64m"]).arg(&self.0).status().unwrap().success());
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // Lazily: the agent of a test that failed may still be in it.
        let _gone = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

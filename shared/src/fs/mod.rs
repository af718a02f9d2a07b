//! The one way to replace a file, to hold a lock, to keep something private.

pub mod atomic;
pub mod folder;
pub mod lock;
pub mod private;

#[cfg(unix)]
mod unix;
#[cfg(unix)]
use unix as platform;
#[cfg(windows)]
mod windows;
#[cfg(windows)]
use windows as platform;

use platform::is_file_at;

pub use platform::{
    create_new_private, create_shared_folder, free_space, is_network_folder, may_add_files, retry_sharing, sync_folder, writers,
};

#[cfg(test)]
mod tests {
    #[test]
    fn the_space_of_a_disk_is_told_and_that_of_nothing_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let (free, total) = super::free_space(folder.path()).unwrap();
        assert!(free <= total && total > 0, "{free} of {total}");
        assert!(super::free_space(&folder.path().join("nothing")).is_err());
    }

    #[test]
    fn asking_whether_files_may_be_added_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        super::may_add_files(folder.path()).unwrap();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        assert!(super::may_add_files(&folder.path().join("nothing")).is_err());
    }
}

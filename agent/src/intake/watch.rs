//! Change events of a folder: for speed only. What they miss, the next reading of the folder finds.

use std::path::{Path, PathBuf};

use notify::event::{ModifyKind, RenameMode};
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};

/// What an event says of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// It is there, or changed.
    Touched(PathBuf),
    /// It was deleted.
    Deleted(PathBuf),
    /// It has another name now.
    RenamedAway(PathBuf),
    /// Events were lost: read the folder.
    Overflow,
}

/// Watches until it is dropped.
pub struct Watch {
    _watcher: RecommendedWatcher,
}

impl Watch {
    /// Watches a folder. `tell` is called on the watcher's thread and must not block.
    ///
    /// # Errors
    /// The folder cannot be watched.
    pub fn new(folder: &Path, recursive: bool, tell: impl Fn(Change) + Send + 'static) -> notify::Result<Self> {
        let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| match event {
            Ok(event) => changes(event, &tell),
            Err(_) => tell(Change::Overflow),
        })?;
        let mode = if recursive { RecursiveMode::Recursive } else { RecursiveMode::NonRecursive };
        watcher.watch(folder, mode)?;
        Ok(Self { _watcher: watcher })
    }
}

fn changes(event: notify::Event, tell: &impl Fn(Change)) {
    if event.need_rescan() {
        return tell(Change::Overflow);
    }
    match event.kind {
        EventKind::Remove(_) => event.paths.into_iter().for_each(|path| tell(Change::Deleted(path))),
        EventKind::Modify(ModifyKind::Name(RenameMode::From)) => {
            event.paths.into_iter().for_each(|path| tell(Change::RenamedAway(path)));
        }
        // Old and new name together: the parts come as events of their own as well.
        EventKind::Modify(ModifyKind::Name(RenameMode::Both)) => {
            event.paths.into_iter().skip(1).for_each(|path| tell(Change::Touched(path)));
        }
        EventKind::Access(notify::event::AccessKind::Close(notify::event::AccessMode::Write)) => {
            event.paths.into_iter().for_each(|path| tell(Change::Touched(path)));
        }
        EventKind::Access(_) => {}
        _ => event.paths.into_iter().for_each(|path| tell(Change::Touched(path))),
    }
}

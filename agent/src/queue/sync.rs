//! What a door locks and wakes with; its test under shuttle has a `sync` of its own with the same names.

pub(super) use std::sync::{Mutex, MutexGuard};

pub(super) use tokio::sync::Notify;

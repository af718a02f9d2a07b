//! The files of the configuration, which somebody edits while the agent runs: they are looked at, and go the way of every change, but stay
//! as they were written. What cannot be used is told, and the configuration before goes on.

use std::time::SystemTime;

use waybill_ipc::protocol::Via;
use waybill_shared::error::{Code, ErrorReport};
use waybill_shared::paths::Instance;
use waybill_shared::text;

use super::prepare::{Prepared, in_file};
use super::{By, Keeping};
use crate::config::Store;
use crate::queue::LettingGo;

/// What the files look like from outside.
pub(super) type Look = Vec<Option<(SystemTime, u64)>>;

impl Keeping {
    /// Reads the file again if it, or what is pinned, has changed and has stopped changing.
    pub(super) async fn look_at_files(&mut self) {
        let instance = self.tools.instance.clone();
        let Ok(look) = self.tools.desk.run(move || look(&instance)).await else { return };
        let settled = self.looked.as_ref() == Some(&look);
        self.looked = Some(look.clone());
        if !settled || self.settled.as_ref() == Some(&look) {
            return;
        }
        let first = self.settled.is_none();
        self.settled = Some(look);
        self.read_again(first).await;
    }

    /// `quiet`: nobody has edited it, as far as is known; what is there is only compared.
    async fn read_again(&mut self, quiet: bool) {
        let instance = self.tools.instance.clone();
        let there = self.tools.desk.run(move || Store::of(&instance).read()).await.and_then(|read| read);
        let active = self.tools.live.load_full();
        let by = By { who: format!("whoever edited {}", text::path(&self.tools.instance.config)), via: Via::File };
        let prepared = match there {
            Ok(None) if !active.configured => return,
            Ok(None) => Err(gone(&self.tools.instance)),
            Ok(Some(document)) if document.text.trim().is_empty() && !active.text.trim().is_empty() => {
                Err(emptied(&self.tools.instance))
            }
            Ok(Some(document)) => {
                let text = document.text.clone();
                self.prepare(None, move |_| Ok(text)).await.map_err(|error| in_file(error, &self.tools.instance))
            }
            Err(error) => Err(error),
        };
        let result = match prepared {
            Ok(prepared) if prepared.differences.is_empty() && prepared.active.identity == active.identity => {
                // Other comments, or what was broken is as it was.
                if prepared.active.text != active.text || active.problem.is_some() {
                    self.use_from_now_on(prepared.active);
                }
                return;
            }
            Ok(prepared) => self.take_file(prepared, &by).await,
            Err(error) => Err(error),
        };
        if let Err(error) = result {
            if active.problem.as_ref() == Some(&error) || (quiet && active.problem.is_some()) {
                return;
            }
            tracing::error!(event = "config_not_used", code = %error.code, reason = error.message, faults = waybill_shared::schema::list(&error.details),
                "the configuration file that lies there is not used; the one before goes on");
            self.note_error(&by, "config.file", &text::path(&self.tools.instance.config), &error);
            self.tell_problem(Some(error));
        }
    }

    /// A file that is there already: put to work, and left as it was written.
    async fn take_file(&mut self, prepared: Prepared, by: &By) -> Result<(), ErrorReport> {
        let before = self.tools.live.load_full();
        if let Err(error) = self.put_to_work(&prepared.active, LettingGo::of_nothing()).await {
            self.go_back(&before).await;
            return Err(error);
        }
        let (instance, text) = (self.tools.instance.clone(), prepared.active.text.clone());
        let kept = self.tools.desk.run(move || Store::of(&instance).backups().accept(&text)).await.and_then(|kept| kept);
        if let Err(error) = kept {
            tracing::warn!(event = "config_not_backed_up", reason = error.message, "it is in use all the same");
        }
        self.use_from_now_on(prepared.active);
        self.note_differences(&prepared.differences, by);
        Ok(())
    }
}

fn gone(instance: &Instance) -> ErrorReport {
    let place = text::path(&instance.config);
    ErrorReport::new(Code::ConfigMissing, format!("{place} is gone; the configuration before is in use"))
        .with_fix(format!("Put {place} back, or restore a backup: `waybill-agent config history`"))
}

fn emptied(instance: &Instance) -> ErrorReport {
    let place = text::path(&instance.config);
    ErrorReport::new(Code::ConfigInvalid, format!("{place} is empty; the configuration before is in use"))
        .with_fix(format!("Write {place} again, or restore a backup: `waybill-agent config history`"))
}

/// What the files of an instance look like from outside.
fn look(instance: &Instance) -> Look {
    let machine = waybill_shared::paths::managed_file();
    [&instance.config, &instance.managed(), &machine]
        .into_iter()
        .map(|path| std::fs::metadata(path).ok().map(|found| (found.modified().unwrap_or(SystemTime::UNIX_EPOCH), found.len())))
        .collect()
}

//! Windows: a value of the user's `Run` key, and the Task Manager's note about it in `StartupApproved`.

use waybill_shared::text;

use super::{Entry, run_key};
use registry::Key;

mod registry;

/// The agent is a console program: Windows would open a window for it.
pub(super) const STARTS_AGENT_ITSELF: bool = false;

const RUN: &str = r"Software\Microsoft\Windows\CurrentVersion\Run";
const APPROVED: &str = r"Software\Microsoft\Windows\CurrentVersion\Explorer\StartupApproved\Run";

/// Longest command line that Windows starts from there, in UTF-16 units (documentation of the Run keys).
const LONGEST: usize = 260;

pub(super) fn nothing_to_start() -> String {
    "waybill.exe, which starts the agent at log-in, does not lie beside waybill-agent.exe. Install Waybill again, or use `waybill-agent service \
     install` for the machine"
        .to_owned()
}

#[allow(clippy::unnecessary_wraps, reason = "the same signature as on the other systems")]
pub(super) fn place(name: &str) -> Result<String, String> {
    Ok(format!(r"HKEY_CURRENT_USER\{RUN}, value {name}"))
}

pub(super) fn read(name: &str) -> Result<Option<Entry>, String> {
    Keys::usual().read(name)
}

pub(super) fn write(name: &str, _instance: &str, command: &[String]) -> Result<Vec<String>, String> {
    Keys::usual().write(name, command).map(|()| Vec::new())
}

pub(super) fn remove(name: &str) -> Result<(), String> {
    Keys::usual().remove(name)
}

/// The two keys; tests have others.
struct Keys {
    run: String,
    approved: String,
}

impl Keys {
    fn usual() -> Self {
        Self { run: RUN.to_owned(), approved: APPROVED.to_owned() }
    }

    fn read(&self, name: &str) -> Result<Option<Entry>, String> {
        let Some(line) = Key::open(&self.run)?.map(|key| key.text(name)).transpose()?.flatten() else { return Ok(None) };
        let approved = Key::open(&self.approved)?.map(|key| key.bytes(name)).transpose()?.flatten();
        let off = approved.is_some_and(|approved| run_key::is_switched_off(&approved));
        let command = Some(run_key::parts(&line)).filter(|command| !command.is_empty());
        let sentence = || "Somebody has switched the entry off (Task Manager or Settings, Startup apps)".to_owned();
        Ok(Some(Entry { command, switched_off: off.then(sentence) }))
    }

    fn write(&self, name: &str, command: &[String]) -> Result<(), String> {
        let line = run_key::line(command);
        let length = line.encode_utf16().count();
        if length > LONGEST {
            return Err(format!(
                "the command line {} has {length} characters, and Windows starts none with more than {}: use shorter paths, or `waybill-agent \
                 service install`",
                text::printable(&line, 400),
                LONGEST
            ));
        }
        Key::create(&self.run)?.set_text(name, &line)?;
        // A note from before would keep it from being started.
        Key::open_to_change(&self.approved)?.map_or(Ok(()), |key| key.remove(name))
    }

    fn remove(&self, name: &str) -> Result<(), String> {
        for key in [&self.run, &self.approved] {
            Key::open_to_change(key)?.map_or(Ok(()), |key| key.remove(name))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Keys of this test's own, which are gone after it.
    struct Own(Keys, String);

    impl Own {
        fn new() -> Self {
            let base = format!(r"Software\WaybillTest-{}", uuid::Uuid::new_v4().simple());
            Self(Keys { run: format!(r"{base}\Run"), approved: format!(r"{base}\Approved") }, base)
        }
    }

    impl Drop for Own {
        fn drop(&mut self) {
            registry::remove_tree(&self.1);
        }
    }

    #[test]
    fn an_autostart_entry_of_the_registry_is_written_read_switched_off_and_taken_away() {
        let own = Own::new();
        let keys = &own.0;
        assert_eq!(keys.read("waybill").unwrap(), None);
        keys.remove("waybill").unwrap();
        let command = [r"C:\Program Files\Waybill\waybill.exe", "--scope", "user", "--start-agent"].map(str::to_owned);
        keys.write("waybill", &command).unwrap();
        keys.write("waybill-two", &command[..1]).unwrap();
        assert_eq!(keys.read("waybill").unwrap(), Some(Entry { command: Some(command.to_vec()), switched_off: None }));
        // As the Task Manager does it.
        Key::create(&keys.approved).unwrap().set_bytes("waybill", &[3, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8]).unwrap();
        assert!(keys.read("waybill").unwrap().unwrap().switched_off.is_some());
        keys.write("waybill", &command).unwrap();
        assert_eq!(keys.read("waybill").unwrap().unwrap().switched_off, None, "whoever enables it means it");
        keys.remove("waybill").unwrap();
        assert_eq!(keys.read("waybill").unwrap(), None);
        assert!(keys.read("waybill-two").unwrap().is_some(), "the other instance keeps its own");
    }

    #[test]
    fn a_line_that_windows_would_not_start_is_no_autostart() {
        let own = Own::new();
        let error = own.0.write("waybill", &["x".repeat(261)]).unwrap_err();
        assert!(error.contains("261 characters"), "{error}");
        assert_eq!(own.0.read("waybill").unwrap(), None);
    }
}

//! How somebody else starts this very agent: the desktop, or a service manager.

use std::path::{Path, PathBuf};

use waybill_shared::paths::{DEFAULT, Instance};
use waybill_shared::text;

/// The name under which the OS knows an instance: no two agents that can run side by side have the same.
pub(super) fn name_of(base: &str, instance: &Instance) -> String {
    let mut name = base.to_owned();
    if instance.name != DEFAULT {
        name.push_str(&format!("-{}", instance.name));
    }
    if instance.explicit_data {
        let real = real(&instance.data);
        let hash = blake3::hash(real.as_os_str().as_encoded_bytes());
        name.push_str(&format!("-{}", &hash.to_hex()[..8]));
    }
    name
}

/// The real path of a folder, of which the last parts need not be there yet: it is the same before and after somebody has made them.
fn real(folder: &Path) -> PathBuf {
    for there in folder.ancestors() {
        if let (Ok(real), Ok(rest)) = (there.canonicalize(), folder.strip_prefix(there)) {
            return real.components().chain(rest.components()).collect();
        }
    }
    folder.to_owned()
}

/// Where this program lies.
///
/// # Errors
/// A sentence: the OS does not tell, or the path is no Unicode text.
pub(super) fn this_program() -> Result<String, String> {
    let path = std::env::current_exe().map_err(|error| format!("the OS does not tell where this program is: {error}"))?;
    unicode(&replaced(path))
}

/// The window's program, if it lies beside this one: it starts the agent without a terminal.
pub(super) fn window_beside(agent: &str) -> Option<String> {
    let window = Path::new(agent).with_file_name(format!("waybill{}", std::env::consts::EXE_SUFFIX));
    window.is_file().then(|| unicode(&window).ok()).flatten()
}

/// A path as text.
///
/// # Errors
/// A sentence, if it is none.
pub(super) fn unicode(path: &Path) -> Result<String, String> {
    path.to_str().map(str::to_owned).ok_or_else(|| format!("the path {} is not Unicode", text::path(path)))
}

/// Linux marks the path of a program whose file was replaced while it runs, as an update does; the new file is what is to be started.
fn replaced(path: PathBuf) -> PathBuf {
    let marked = path.to_str().and_then(|text| text.strip_suffix(" (deleted)")).map(PathBuf::from);
    match marked {
        Some(plain) if !path.exists() => plain,
        _ => path,
    }
}

/// A command line for people, with quotes where a part has spaces.
pub(super) fn shown(command: &[String]) -> String {
    let part =
        |part: &String| if part.is_empty() || part.contains(char::is_whitespace) { format!("{part:?}") } else { part.clone() };
    command.iter().map(part).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use waybill_shared::paths::InstanceOptions;

    #[test]
    fn agents_that_run_side_by_side_have_names_of_their_own() {
        let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let locate = |name: Option<&str>, folder: Option<&Path>| {
            let data_dir = folder.map(Path::to_owned);
            // Without a home there are no places of a user's agent; a folder stands in.
            let options = InstanceOptions { instance: name.map(str::to_owned), data_dir, ..InstanceOptions::default() };
            name_of("waybill", &Instance::locate(&options).unwrap())
        };
        let names = [
            locate(None, Some(folders[0].path())),
            locate(None, Some(folders[1].path())),
            locate(Some("two"), Some(folders[0].path())),
        ];
        let distinct: std::collections::BTreeSet<_> = names.iter().collect();
        assert_eq!(distinct.len(), names.len(), "{names:?}");
        assert!(names[2].starts_with("waybill-two-"), "{names:?}");
        assert_eq!(locate(None, Some(&folders[0].path().join("."))), names[0], "two spellings of one folder");
    }

    #[test]
    fn the_name_stays_when_the_data_folder_is_made() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("a/Data of an agent");
        let name = || {
            let options = InstanceOptions { data_dir: Some(data.clone()), ..InstanceOptions::default() };
            name_of("waybill", &Instance::locate(&options).unwrap())
        };
        let before = name();
        std::fs::create_dir_all(&data).unwrap();
        assert_eq!(name(), before);
    }

    #[test]
    #[cfg(unix)]
    fn a_folder_behind_a_link_has_one_name() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("real")).unwrap();
        std::os::unix::fs::symlink(folder.path().join("real"), folder.path().join("link")).unwrap();
        let of = |part: &str| real(&folder.path().join(part).join("data"));
        assert_eq!(of("link"), of("real"));
        std::fs::create_dir(folder.path().join("real/data")).unwrap();
        assert_eq!(of("link"), of("real"));
    }

    #[test]
    fn a_program_that_was_replaced_while_it_runs_is_known_by_its_place() {
        assert_eq!(replaced(PathBuf::from("/nowhere/waybill-agent (deleted)")), PathBuf::from("/nowhere/waybill-agent"));
        assert_eq!(replaced(PathBuf::from("/nowhere/waybill-agent")), PathBuf::from("/nowhere/waybill-agent"));
    }
}

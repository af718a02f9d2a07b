//! What happens to a source file after its reports are durable, or after it could not be converted.
//!
//! The file first gets a claim name in its own folder, so that a writer who replaces it at this moment makes a new file and not a
//! lost one; then it is compared with what was committed; then it goes where it belongs. A crash anywhere leaves the file
//! under its own name or under a claim name, and both are recognised at the next start by the fingerprint.
//!
//! If there is an archive, its copy is made from the claimed file once that is known to be what was committed, and before anything else
//! happens to it: without the copy the file gets its name back and stays.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use waybill_shared::config::After;
use waybill_shared::fs::atomic;

use crate::archive::ArchiveError;
use crate::platform;
use crate::queue::Fingerprint;

/// Prefix of claim names.
const CLAIM: &str = ".waybill-claim-";
/// Longest file name that every file system takes, in bytes.
const LONGEST_NAME: usize = 255;

/// Why a post-action was not done.
#[derive(Debug, thiserror::Error)]
pub enum PostActionError {
    /// The file is another one than was committed: it is taken as a new file.
    #[error("the file changed after it was read")]
    Changed,
    /// The file is gone; somebody else took it away.
    #[error("the file is gone")]
    Gone,
    /// The OS did not let us.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: String,
        /// Why not.
        source: io::Error,
    },
}

/// Keeps a copy of the file that lies there, before it goes.
pub type Copy<'a> = &'a dyn Fn(&Path) -> Result<(), ArchiveError>;

fn copied(copy: Option<Copy<'_>>, from: &Path) -> Result<(), PostActionError> {
    match copy.map_or(Ok(()), |copy| copy(from)) {
        Ok(()) => Ok(()),
        Err(ArchiveError::Changed) => Err(PostActionError::Changed),
        Err(ArchiveError::Io(source)) => Err(failed("its copy for the archive cannot be made")(source)),
    }
}

fn failed(what: impl Into<String>) -> impl FnOnce(io::Error) -> PostActionError {
    let what = what.into();
    move |source| PostActionError::Io { what, source }
}

/// True for names that this module or the atomic writer gives.
#[must_use]
pub fn is_ours(path: &Path) -> bool {
    path.file_name().is_some_and(|name| {
        let name = name.as_encoded_bytes();
        name.starts_with(CLAIM.as_bytes()) || name.starts_with(atomic::TEMPORARY_PREFIX.as_bytes())
    })
}

/// True for a claim name.
#[must_use]
pub fn is_claim(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(CLAIM.as_bytes()))
}

/// The name that a file under a claim name had, as far as its claim name holds it.
#[must_use]
pub fn name_of_claim(claim: &Path) -> Option<String> {
    let name = claim.file_name()?.to_string_lossy().into_owned();
    let (_, original) = name.strip_prefix(CLAIM)?.split_once('~')?;
    (!original.is_empty()).then(|| original.to_owned())
}

/// Does the post-action to the file that was committed, after its `copy` was made; where it is now, if it still is.
///
/// # Errors
/// [`PostActionError`]; the file is then under its own name, as far as the OS lets us.
pub fn run(
    after: After,
    fingerprint: &Fingerprint,
    done_folder: &Path,
    copy: Option<Copy<'_>>,
) -> Result<Option<PathBuf>, PostActionError> {
    if after == After::Keep {
        if copy.is_some() {
            match is_the_same(&fingerprint.path, fingerprint) {
                Ok(true) => copied(copy, &fingerprint.path)?,
                Ok(false) => return Err(PostActionError::Changed),
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(PostActionError::Gone),
                Err(error) => return Err(failed("reading it again")(error)),
            }
        }
        return Ok(Some(fingerprint.path.clone()));
    }
    let claim = claim(&fingerprint.path)?;
    finish(after, &claim, fingerprint, done_folder, copy)
}

/// The same for a file that already is under a claim name.
///
/// # Errors
/// As [`run`].
pub fn finish(
    after: After,
    claim: &Path,
    fingerprint: &Fingerprint,
    done_folder: &Path,
    copy: Option<Copy<'_>>,
) -> Result<Option<PathBuf>, PostActionError> {
    let result = is_the_same(claim, fingerprint).map_err(failed("reading it again")).and_then(|same| {
        if !same {
            return Err(PostActionError::Changed);
        }
        copied(copy, claim)?;
        match after {
            After::Keep => Ok(None),
            After::Delete => std::fs::remove_file(claim).map(|()| None).map_err(failed("deleting it")),
            After::Move => move_into(claim, done_folder, &fingerprint.path).map(Some),
            After::Zip => zip_into(claim, done_folder, &fingerprint.path).map(Some),
        }
    });
    if result.is_err() && claim.exists() {
        put_back(claim, &fingerprint.path)?;
    }
    result
}

/// Gives a file a claim name in its own folder.
fn claim(path: &Path) -> Result<PathBuf, PostActionError> {
    let mut name = std::ffi::OsString::from(format!("{CLAIM}{:016x}~", fastrand::u64(..)));
    let original = path.file_name().unwrap_or_default();
    if name.len() + original.len() <= LONGEST_NAME {
        name.push(original);
    } else {
        // The end of a name says what it is; a pattern still takes the file if a crash leaves it under this name.
        let text = original.to_string_lossy();
        let mut cut = text.len().saturating_sub(LONGEST_NAME - name.len());
        while !text.is_char_boundary(cut) {
            cut += 1;
        }
        name.push(&text[cut..]);
    }
    let claim = path.with_file_name(name);
    match platform::move_new(path, &claim) {
        Ok(()) => Ok(claim),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(PostActionError::Gone),
        Err(error) => Err(failed(format!("renaming it in {}", atomic::folder_of(path).display()))(error)),
    }
}

/// Gives a file its own name back, or one beside it if that is taken meanwhile.
///
/// # Errors
/// The OS does not let us; the file stays under its claim name and is found at the next start.
pub fn put_back(claim: &Path, path: &Path) -> Result<PathBuf, PostActionError> {
    place(path, |candidate| platform::move_new(claim, candidate)).map_err(failed("giving it its name back"))
}

fn is_the_same(path: &Path, fingerprint: &Fingerprint) -> io::Result<bool> {
    let mut file = File::open(path)?;
    let stat = platform::stat(&file)?;
    if stat.file_id != fingerprint.file_id || stat.size != fingerprint.size {
        return Ok(false);
    }
    Ok(hash(&mut file)? == fingerprint.hash)
}

fn hash(file: &mut File) -> io::Result<[u8; 32]> {
    let mut hasher = blake3::Hasher::new();
    // Most files are small, and a large buffer is cleared as a whole for each.
    let mut buffer = [0; 16 * 1024];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(*hasher.finalize().as_bytes()),
            n => hasher.update(&buffer[..n]),
        };
    }
}

/// Moves a file into the dated folder, under a name that nothing has.
///
/// # Errors
/// The OS does not let us.
pub fn move_into(from: &Path, folder: &Path, original: &Path) -> Result<PathBuf, PostActionError> {
    let folder = dated(folder)?;
    let target = folder.join(original.file_name().unwrap_or_default());
    move_to(from, &target).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound if !from.exists() => PostActionError::Gone,
        _ => failed(format!("moving it into {}", folder.display()))(error),
    })
}

/// Moves a file, under a name that nothing has; where it is now.
///
/// # Errors
/// The OS does not let us; it is where it was.
pub fn move_to(from: &Path, target: &Path) -> io::Result<PathBuf> {
    place(target, |candidate| match platform::move_new(from, candidate) {
        Err(error) if error.kind() == io::ErrorKind::CrossesDevices => copy_verified(from, candidate),
        result => result,
    })
}

/// To another volume: a copy that is durable and proved equal, and only then the original goes.
fn copy_verified(from: &Path, to: &Path) -> io::Result<()> {
    let mut target = File::create_new(to)?;
    let copied = (|| {
        let mut source = File::open(from)?;
        let expected = hash(&mut source)?;
        let mut source = File::open(from)?;
        io::copy(&mut source, &mut target)?;
        // A unit whose file names no time has that of the file, and its identity with it.
        target.set_modified(source.metadata()?.modified()?)?;
        target.sync_all()?;
        if hash(&mut File::open(to)?)? != expected {
            return Err(io::Error::other("the copy differs from the original"));
        }
        waybill_shared::fs::sync_folder(&atomic::folder_of(to))?;
        std::fs::remove_file(from)
    })();
    if copied.is_err() {
        // The original is still there; a copy that is not proved must not be.
        let _already_failed = std::fs::remove_file(to);
    }
    copied
}

/// Packs a file into a zip of its own in the dated folder; the original goes once the zip is durable.
fn zip_into(from: &Path, folder: &Path, original: &Path) -> Result<PathBuf, PostActionError> {
    let folder = dated(folder)?;
    let name = original.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let packed = pack(from, &name).map_err(failed("packing it"))?;
    let target = folder.join(format!("{}.zip", shortened_name(&name, ".zip")));
    let written = place(&target, |candidate| {
        let mut file = File::create_new(candidate)?;
        file.write_all(&packed)?;
        file.sync_all()
    });
    let target = written.map_err(failed(format!("writing the zip into {}", folder.display())))?;
    std::fs::remove_file(from).map_err(failed("deleting what is packed"))?;
    Ok(target)
}

fn pack(from: &Path, name: &str) -> io::Result<Vec<u8>> {
    let mut writer = zip::ZipWriter::new(io::Cursor::new(Vec::new()));
    let options = zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Deflated);
    writer.start_file(name, options).map_err(io::Error::other)?;
    io::copy(&mut File::open(from)?, &mut writer)?;
    Ok(writer.finish().map_err(io::Error::other)?.into_inner())
}

/// A name cut so that it and its suffix fit into a file name.
#[must_use]
pub fn shortened_name(name: &str, suffix: &str) -> String {
    let room = LONGEST_NAME - suffix.len() - 12; // for a number that makes it unique
    let mut cut = name.len().min(room);
    while !name.is_char_boundary(cut) {
        cut -= 1;
    }
    name[..cut].to_owned()
}

/// Today's folder inside a done or error folder.
///
/// # Errors
/// It cannot be made.
pub fn dated(folder: &Path) -> Result<PathBuf, PostActionError> {
    let today = folder.join(jiff::Zoned::now().date().to_string());
    std::fs::create_dir_all(&today).map_err(failed(format!("making the folder {}", today.display())))?;
    Ok(today)
}

/// Tries a name, then the same with ` (2)`, ` (3)`, … until one is free.
fn place(target: &Path, attempt: impl Fn(&Path) -> io::Result<()>) -> io::Result<PathBuf> {
    const MOST: u32 = 100_000;
    let (stem, extension) = (target.file_stem().unwrap_or_default(), target.extension());
    let mut number = 1;
    let mut candidate = target.to_owned();
    loop {
        match attempt(&candidate) {
            Ok(()) => return Ok(candidate),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && number < MOST => {
                // Doubling first: the thousandth file of one name does not try a thousand names.
                number = if number < 8 { number + 1 } else { number + 1 + fastrand::u32(0..number) };
                candidate = target.with_file_name(numbered(stem, extension, number));
            }
            Err(error) => return Err(error),
        }
    }
}

fn numbered(stem: &std::ffi::OsStr, extension: Option<&std::ffi::OsStr>, number: u32) -> std::ffi::OsString {
    let suffix = format!(" ({number})");
    let dotted = extension.map_or(0, |extension| extension.len() + 1);
    let mut name = if stem.len() + suffix.len() + dotted > LONGEST_NAME {
        shortened_name(&stem.to_string_lossy(), &" ".repeat(dotted)).into()
    } else {
        stem.to_owned()
    };
    name.push(suffix);
    if let Some(extension) = extension {
        name.push(".");
        name.push(extension);
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(folder: &Path, name: &str, content: &[u8]) -> Fingerprint {
        let path = folder.join(name);
        atomic::replace(&path, content).unwrap();
        let stat = platform::stat(&File::open(&path).unwrap()).unwrap();
        Fingerprint {
            source: "s".into(),
            path,
            file_id: stat.file_id,
            size: stat.size,
            modified_ns: stat.modified_ns,
            hash: *blake3::hash(content).as_bytes(),
        }
    }

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<_> =
            std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    #[test]
    fn the_same_name_three_times_is_kept_three_times() {
        let folder = tempfile::tempdir().unwrap();
        let done = folder.path().join("done");
        let places: Vec<_> = (0..3)
            .map(|n| run(After::Move, &file(folder.path(), "a.json", format!("{n}").as_bytes()), &done, None).unwrap().unwrap())
            .collect();
        let day = places[0].parent().unwrap();
        assert_eq!(names(day), ["a (2).json", "a (3).json", "a.json"]);
        assert_eq!(std::fs::read(&places[2]).unwrap(), b"2");
        assert_eq!(names(folder.path()), ["done"], "no claim stays");
    }

    #[test]
    fn a_file_that_was_replaced_after_the_commit_stays() {
        let folder = tempfile::tempdir().unwrap();
        let fingerprint = file(folder.path(), "a.json", b"old");
        atomic::replace(&fingerprint.path, b"new").unwrap();
        for after in [After::Move, After::Delete, After::Zip] {
            let result = run(after, &fingerprint, &folder.path().join("done"), None);
            assert!(matches!(result, Err(PostActionError::Changed)), "{result:?}");
            assert_eq!(std::fs::read(&fingerprint.path).unwrap(), b"new");
        }
    }

    #[test]
    fn a_zip_holds_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let fingerprint = file(folder.path(), "a.json", b"content");
        let place = run(After::Zip, &fingerprint, &folder.path().join("done"), None).unwrap().unwrap();
        let mut zip = zip::ZipArchive::new(File::open(place).unwrap()).unwrap();
        let mut text = String::new();
        zip.by_name("a.json").unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "content");
        assert!(!fingerprint.path.exists());
    }

    #[test]
    fn a_name_of_255_bytes_is_moved_and_kept_beside_its_equal() {
        let folder = tempfile::tempdir().unwrap();
        let done = folder.path().join("done");
        let name = format!("{}.json", "x".repeat(250));
        for n in 0..2 {
            run(After::Move, &file(folder.path(), &name, format!("{n}").as_bytes()), &done, None).unwrap().unwrap();
        }
        assert_eq!(names(&dated(&done).unwrap()).len(), 2);
    }

    #[test]
    fn without_its_copy_a_file_stays_under_its_own_name() {
        let folder = tempfile::tempdir().unwrap();
        let fingerprint = file(folder.path(), "a.json", b"content");
        let done = folder.path().join("done");
        for after in [After::Move, After::Delete, After::Zip, After::Keep] {
            let seen = std::cell::RefCell::new(Vec::new());
            let refuse = |from: &Path| {
                seen.borrow_mut().push(std::fs::read(from).unwrap());
                Err(ArchiveError::Io(io::Error::other("the disk is full")))
            };
            let error = run(after, &fingerprint, &done, Some(&refuse)).unwrap_err();
            assert_eq!(error.to_string(), "its copy for the archive cannot be made: the disk is full");
            assert_eq!(*seen.borrow(), [b"content"]);
            assert_eq!(names(folder.path()), ["a.json"], "{after:?}");
        }
        atomic::replace(&fingerprint.path, b"another").unwrap();
        let never = |_: &Path| -> Result<(), ArchiveError> { panic!("what was not committed is not copied") };
        assert!(matches!(run(After::Keep, &fingerprint, &done, Some(&never)), Err(PostActionError::Changed)));
    }

    #[test]
    fn claim_names_are_told_from_all_others() {
        let claim = Path::new("/x/.waybill-claim-00000000000000aa~a~b.json");
        assert!(is_ours(claim) && is_claim(claim));
        assert_eq!(name_of_claim(claim).as_deref(), Some("a~b.json"));
        assert!(!is_ours(Path::new("/x/a.json")));
    }
}

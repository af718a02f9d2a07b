//! Programs of the OS that are asked something, with a deadline: `systemctl`, `launchctl`.
#![cfg_attr(windows, allow(dead_code, reason = "Windows is asked by calls"))]

use std::ffi::OsStr;
use std::io::{self, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Most bytes of what a program says that are kept.
const KEPT: u64 = 64 * 1024;

/// What a program said, and how it ended.
#[derive(Debug)]
pub(super) struct Said {
    pub status: ExitStatus,
    pub stdout: String,
    pub stderr: String,
}

impl Said {
    /// Its complaint in one line, or how it ended if it said nothing.
    pub(super) fn why(&self) -> String {
        let said = if self.stderr.trim().is_empty() { &self.stdout } else { &self.stderr };
        let line = said.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("; ");
        if line.is_empty() { self.status.to_string() } else { line }
    }
}

/// Runs a program and waits for its end; one that takes longer than `limit` is ended.
///
/// # Errors
/// It cannot be started; `TimedOut`.
pub(super) fn run(program: &OsStr, arguments: &[&str], limit: Duration) -> io::Result<Said> {
    let mut command = Command::new(program);
    // Times and words as they can be read by a program, whatever the language and place of this one.
    command.args(arguments).env("LC_ALL", "C").env("TZ", "UTC").env("SYSTEMD_PAGER", "").env("SYSTEMD_COLORS", "0");
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let (stdout, stderr) = (drain(child.stdout.take())?, drain(child.stderr.take())?);
    let status = end_of(&mut child, limit)?;
    Ok(Said { status, stdout: text(stdout), stderr: text(stderr) })
}

fn end_of(child: &mut Child, limit: Duration) -> io::Result<ExitStatus> {
    let end = Instant::now() + limit;
    let mut pause = Duration::from_millis(1);
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        if Instant::now() >= end {
            // Fails only if it has ended meanwhile.
            let _ended = child.kill();
            child.wait()?;
            return Err(io::Error::new(io::ErrorKind::TimedOut, format!("no answer within {} s", limit.as_secs())));
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(50));
    }
}

/// Reads one of its outputs on a thread, so that neither fills up. The thread ends with the pipe.
fn drain(pipe: Option<impl Read + Send + 'static>) -> io::Result<JoinHandle<String>> {
    let Some(pipe) = pipe else { return Err(io::Error::other("no pipe")) };
    crate::supervisor::spawn("said", move || {
        let mut kept = Vec::new();
        let mut pipe = pipe;
        // What was read until it broke is what there is.
        let _as_far_as_it_went = (&mut pipe).take(KEPT).read_to_end(&mut kept);
        let _rest = io::copy(&mut pipe, &mut io::sink());
        String::from_utf8_lossy(&kept).into_owned()
    })
}

/// What a thread has read. A grandchild that keeps the pipe open is not waited for.
fn text(reader: JoinHandle<String>) -> String {
    let end = Instant::now() + Duration::from_secs(2);
    while !reader.is_finished() && Instant::now() < end {
        std::thread::sleep(Duration::from_millis(1));
    }
    if reader.is_finished() { reader.join().unwrap_or_default() } else { String::new() }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    fn sh(script: &str, limit: Duration) -> io::Result<Said> {
        run(OsStr::new("sh"), &["-c", script], limit)
    }

    #[test]
    fn what_a_program_says_and_how_it_ends_is_told() {
        let said = sh("echo out; echo one >&2; echo two >&2; exit 3", Duration::from_secs(20)).unwrap();
        assert_eq!((said.status.code(), said.stdout.as_str(), said.why().as_str()), (Some(3), "out\n", "one; two"));
        assert_eq!(sh("yes | head -c 1000000", Duration::from_secs(20)).unwrap().stdout.len() as u64, KEPT);
        let missing = run(OsStr::new("/nowhere/program"), &[], Duration::from_secs(1)).unwrap_err();
        assert_eq!(missing.kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn a_program_that_hangs_is_ended() {
        let error = sh("exec sleep 600", Duration::from_millis(50)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }
}

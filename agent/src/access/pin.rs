//! The PIN on disk: its rules, its hash, and how many wrong ones are allowed.
//!
//! The file holds one argon2id hash in the PHC form. It is written whole or not at all. A file that is there and cannot be used is never
//! taken for "no PIN".

use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{Error as HashError, PasswordHasher as _, PasswordVerifier as _};
use argon2::{Algorithm, Argon2, Params};
use waybill_shared::error::{Code, ErrorReport};
use waybill_shared::fs::private;
use waybill_shared::secret::Secret;
use waybill_shared::text;

use crate::secrets::file;

/// Characters of a PIN.
const LENGTH: std::ops::RangeInclusive<usize> = 4..=64;
/// What a hash in the file may ask for: more would be a file that somebody wrote to stop the agent.
const MEMORY_KIB: u32 = 256 * 1024;
const ROUNDS: u32 = 16;
const LANES: u32 = 16;

/// Wrong PINs in a row that cost nothing but the try.
pub(super) const FREE_TRIES: u32 = 5;
const FIRST_WAIT: Duration = Duration::from_secs(30);
const LONGEST_WAIT: Duration = Duration::from_secs(15 * 60);

/// A file that cannot be used.
pub(super) fn failed(path: &Path, why: &dyn std::fmt::Display) -> ErrorReport {
    ErrorReport::new(Code::AccessStoreFailed, format!("the PIN's file {} cannot be used: {why}", text::path(path)))
}

/// By what a change of the file is seen. Two different PINs cannot share one: between two writes lies a hash, which takes longer than any
/// file system's clock ticks, and a file that is replaced is born anew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stamp {
    length: u64,
    modified: Option<SystemTime>,
    created: Option<SystemTime>,
}

impl Stamp {
    /// The file's stamp; `None` if there is no file.
    pub(super) fn of(path: &Path) -> Result<Option<Self>, ErrorReport> {
        if !file::is_there(path).map_err(|error| failed(path, &error))? {
            return Ok(None);
        }
        let metadata = std::fs::metadata(path).map_err(|error| failed(path, &error))?;
        Ok(Some(Self { length: metadata.len(), modified: metadata.modified().ok(), created: metadata.created().ok() }))
    }
}

/// Reads the hash.
pub(super) fn read(path: &Path) -> Result<String, ErrorReport> {
    let text = private::read_secret(path).map_err(|error| failed(path, &error))?;
    match parse(text.expose()) {
        Some(_) => Ok(text.expose().to_owned()),
        None => Err(failed(path, &"it holds no hash of a PIN")),
    }
}

fn parse(text: &str) -> Option<PasswordHash> {
    let hash = PasswordHash::new(text).ok()?;
    let params = Params::try_from(&hash).ok()?;
    let bounded = params.m_cost() <= MEMORY_KIB && params.t_cost() <= ROUNDS && params.p_cost() <= LANES;
    let whole = hash.algorithm == Algorithm::Argon2id.ident() && hash.salt.is_some() && hash.hash.is_some();
    (bounded && whole).then_some(hash)
}

/// Whether `pin` may be a PIN.
pub(super) fn check(pin: &Secret) -> Result<(), ErrorReport> {
    let text = pin.expose();
    let fault = if !LENGTH.contains(&text.chars().count()) {
        format!("it must have {} to {} characters", LENGTH.start(), LENGTH.end())
    } else if text.chars().any(char::is_control) {
        "it holds line ends or other control characters".to_owned()
    } else {
        return Ok(());
    };
    Err(ErrorReport::new(Code::PinInvalid, format!("the new PIN is not taken: {fault}")))
}

/// The hash of a PIN, with a salt of its own.
pub(super) fn hash(pin: &Secret, cost: &Params) -> Result<String, ErrorReport> {
    Argon2::from(cost)
        .hash_password(pin.expose().as_bytes())
        .map(|hash| hash.to_string())
        .map_err(|error| ErrorReport::new(Code::Internal, format!("the PIN cannot be hashed: {error}")))
}

/// Whether `pin` is the one that was hashed. Takes some 20 ms of a processor.
pub(super) fn verify(path: &Path, hash: &str, pin: &Secret) -> Result<bool, ErrorReport> {
    if !LENGTH.contains(&pin.expose().chars().count()) {
        return Ok(false);
    }
    let hash = parse(hash).ok_or_else(|| failed(path, &"it holds no hash of a PIN"))?;
    match Argon2::default().verify_password(pin.expose().as_bytes(), &hash) {
        Ok(()) => Ok(true),
        Err(HashError::PasswordInvalid) => Ok(false),
        Err(error) => Err(failed(path, &error)),
    }
}

/// Wrong PINs in a row, of all sessions together. Only in memory.
#[derive(Debug, Default)]
pub(super) struct Tries {
    wrong: u32,
    locked_until: Option<Instant>,
}

impl Tries {
    /// Until when none is accepted.
    pub(super) fn locked(&self, now: Instant) -> Option<Instant> {
        self.locked_until.filter(|until| now < *until)
    }

    /// Notes a wrong one. Tries that are left before a wait; 0 if there is one now.
    pub(super) fn note_wrong(&mut self, now: Instant) -> u32 {
        self.wrong = self.wrong.saturating_add(1);
        if let Some(doublings) = self.wrong.checked_sub(FREE_TRIES) {
            self.locked_until = Some(now + FIRST_WAIT.saturating_mul(1 << doublings.min(10)).min(LONGEST_WAIT));
        }
        FREE_TRIES.saturating_sub(self.wrong)
    }

    /// Begins anew: the right one was given.
    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_from_half_a_minute_to_a_quarter_of_an_hour() {
        let (mut tries, now) = (Tries::default(), Instant::now());
        assert_eq!([(); 4].map(|()| tries.note_wrong(now)), [4, 3, 2, 1]);
        assert_eq!(tries.locked(now), None);
        for seconds in [30, 60, 120, 240, 480, 900, 900, 900] {
            assert_eq!(tries.note_wrong(now), 0);
            assert_eq!(tries.locked(now), Some(now + Duration::from_secs(seconds)));
            assert_eq!(tries.locked(now + Duration::from_secs(seconds)), None);
        }
        tries.forget();
        assert_eq!((tries.locked(now), tries.note_wrong(now)), (None, 4));
    }

    #[test]
    fn a_pin_has_4_to_64_characters_that_can_be_typed() {
        for good in ["1234", "ö§ä!", " 1234 ", "two words", "x".repeat(64).as_str()] {
            assert!(check(&Secret::new(good)).is_ok(), "{good:?}");
        }
        for bad in ["", "123", "   1   ", "12\n34", "1234\u{7}5", "x".repeat(65).as_str()] {
            assert_eq!(check(&Secret::new(bad)).unwrap_err().code, Code::PinInvalid, "{bad:?}");
        }
    }

    #[test]
    fn a_pin_is_kept_as_a_salted_argon2id_hash_of_full_cost() {
        let (path, pin) = (Path::new("x"), Secret::new("2580"));
        let first = hash(&pin, &Params::default()).unwrap();
        assert!(first.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{first}");
        assert!(verify(path, &first, &pin).unwrap());
        assert!(!verify(path, &first, &Secret::new("2581")).unwrap());
        let cheap = Params::new(8, 1, 1, None).unwrap();
        assert_ne!(hash(&pin, &cheap).unwrap(), hash(&pin, &cheap).unwrap(), "each has its salt");
    }

    #[test]
    fn what_is_no_hash_of_ours_is_not_taken_for_one() {
        let salt_and_hash = "c2FsdHNhbHRzYWx0$aGFzaGhhc2hoYXNoaGFzaGhhc2hoYXNoaGFzaGhhc2g";
        assert!(parse(&format!("$argon2id$v=19$m=8,t=1,p=1${salt_and_hash}")).is_some());
        for bad in [
            String::new(),
            "1234".to_owned(),
            "$argon2id$v=19$m=8,t=1,p=1".to_owned(),
            "$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHRzYWx0".to_owned(),
            format!("$argon2i$v=19$m=8,t=1,p=1${salt_and_hash}"),
            format!("$scrypt$v=19$m=8,t=1,p=1${salt_and_hash}"),
            format!("$argon2id$v=19$m=4294967295,t=1,p=1${salt_and_hash}"),
            format!("$argon2id$v=19$m=8,t=1000000,p=1${salt_and_hash}"),
        ] {
            assert!(parse(&bad).is_none(), "{bad}");
        }
    }
}

//! What a server's certificate says: read from its bytes, never from what somebody says of it.
//!
//! Only as much of DER is read as names and dates need, with every length checked; a certificate that is written otherwise gives nothing.

use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;
use jiff::civil::DateTime;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, SignatureScheme};
use waybill_ipc::protocol::CertificateInfo;
use waybill_shared::text;

const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const OBJECT_ID: u8 = 0x06;
const UTC_TIME: u8 = 0x17;
const GENERAL_TIME: u8 = 0x18;
const VERSION: u8 = 0xa0;
/// Parts of a name that are shown, by the last byte of their id `2.5.4.x`.
const PARTS: [(u8, &str); 6] = [(3, "CN"), (11, "OU"), (10, "O"), (7, "L"), (8, "ST"), (6, "C")];

/// The certificates of a PEM file, as they stand.
pub(super) fn of_pem(bytes: &[u8]) -> Vec<CertificateDer<'static>> {
    CertificateDer::pem_slice_iter(bytes).filter_map(Result::ok).collect()
}

/// What a certificate says of itself; nothing if it cannot be read.
#[must_use]
pub fn read(der: &[u8]) -> Option<CertificateInfo> {
    let mut certificate = Der(Der(der).take(SEQUENCE)?);
    let mut body = Der(certificate.take(SEQUENCE)?);
    if body.0.first() == Some(&VERSION) {
        body.take(VERSION)?;
    }
    let _serial_number = body.next()?;
    let _signature_algorithm = body.take(SEQUENCE)?;
    let issuer = name(body.take(SEQUENCE)?)?;
    let mut validity = Der(body.take(SEQUENCE)?);
    let _not_before = validity.next()?;
    let not_after_ms = time(validity.next()?)?.as_millisecond();
    let subject = name(body.take(SEQUENCE)?)?;
    Some(CertificateInfo { subject, issuer, not_after_ms })
}

/// Bytes still to read.
struct Der<'a>(&'a [u8]);

impl<'a> Der<'a> {
    /// The next value with its tag.
    fn next(&mut self) -> Option<(u8, &'a [u8])> {
        let (&tag, rest) = self.0.split_first()?;
        let (&first, rest) = rest.split_first()?;
        let (length, rest) = match first {
            0..=0x7f => (usize::from(first), rest),
            0x81..=0x83 => {
                let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
                (bytes.iter().fold(0, |length, byte| (length << 8) | usize::from(*byte)), rest)
            }
            _ => return None,
        };
        let (value, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some((tag, value))
    }

    /// The next value, which must have this tag.
    fn take(&mut self, tag: u8) -> Option<&'a [u8]> {
        self.next().filter(|(there, _)| *there == tag).map(|(_, value)| value)
    }
}

fn name(bytes: &[u8]) -> Option<String> {
    let mut found = Vec::new();
    let mut sets = Der(bytes);
    while !sets.0.is_empty() {
        let mut set = Der(sets.take(SET)?);
        while !set.0.is_empty() {
            let mut part = Der(set.take(SEQUENCE)?);
            let id = part.take(OBJECT_ID)?;
            let (kind, value) = part.next()?;
            if let [0x55, 4, last] = id
                && let Some(rank) = PARTS.iter().position(|(known, _)| known == last)
            {
                found.push((rank, string(kind, value)));
            }
        }
    }
    found.sort_by_key(|(rank, _)| *rank);
    let parts: Vec<String> = found.into_iter().map(|(rank, value)| format!("{}={value}", PARTS[rank].1)).collect();
    Some(text::printable(&parts.join(", "), 500))
}

fn string(kind: u8, value: &[u8]) -> String {
    const BMP: u8 = 0x1e;
    const T61: u8 = 0x14;
    match kind {
        BMP => {
            let units: Vec<u16> = value.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]])).collect();
            String::from_utf16_lossy(&units)
        }
        T61 => value.iter().map(|byte| char::from(*byte)).collect(),
        _ => String::from_utf8_lossy(value).into_owned(),
    }
}

fn time((kind, value): (u8, &[u8])) -> Option<Timestamp> {
    let digits = std::str::from_utf8(value).ok()?.strip_suffix('Z')?;
    let (year, rest) = match kind {
        UTC_TIME => {
            let year: i16 = digits.get(..2)?.parse().ok()?;
            (if year < 50 { 2000 + year } else { 1900 + year }, digits.get(2..)?)
        }
        GENERAL_TIME => (digits.get(..4)?.parse().ok()?, digits.get(4..)?),
        _ => return None,
    };
    let two = |at: usize| rest.get(at..at + 2)?.parse::<i8>().ok();
    let at = DateTime::new(year, two(0)?, two(2)?, two(4)?, two(6)?, two(8)?, 0).ok()?;
    at.to_zoned(jiff::tz::TimeZone::UTC).ok().map(|at| at.timestamp())
}

/// Looks at the certificate of a server and accepts none.
#[derive(Debug, Default)]
pub struct Witness(Mutex<Option<CertificateInfo>>);

impl Witness {
    /// What it saw.
    #[must_use]
    pub fn seen(&self) -> Option<CertificateInfo> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl ServerCertVerifier for Witness {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = read(end_entity);
        Err(refused())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(refused())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(refused())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        rustls::crypto::ring::default_provider().signature_verification_algorithms.supported_schemes()
    }
}

fn refused() -> rustls::Error {
    rustls::Error::General("only looked at".to_owned())
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, DnValue, KeyPair};

    use super::*;

    fn certificate(describe: impl FnOnce(&mut CertificateParams)) -> Vec<u8> {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        describe(&mut params);
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
    }

    #[test]
    fn names_are_read_in_every_alphabet_and_years_before_and_after_2050() {
        for (year, kind) in [(2049, "UTC"), (2050, "general")] {
            let der = certificate(|params| {
                params.not_after = rcgen::date_time_ymd(year, 12, 31);
                params.distinguished_name = rcgen::DistinguishedName::new();
                params.distinguished_name.push(DnType::CountryName, DnValue::PrintableString("NO".try_into().unwrap()));
                params.distinguished_name.push(DnType::OrganizationName, DnValue::BmpString("Prüf".try_into().unwrap()));
                params.distinguished_name.push(DnType::CommonName, "linje\n1");
            });
            let read = read(&der).unwrap();
            assert_eq!(read.subject, "CN=linje\\n1, O=Prüf, C=NO", "in one order, and no line can be broken");
            assert_eq!(read.issuer, read.subject);
            let at = Timestamp::from_millisecond(read.not_after_ms).unwrap();
            assert_eq!(at.strftime("%Y-%m-%d").to_string(), format!("{year}-12-31"), "{kind}");
        }
    }

    #[test]
    fn a_certificate_that_is_cut_or_damaged_anywhere_gives_nothing_or_itself_and_never_a_panic() {
        let der = certificate(|params| params.distinguished_name.push(DnType::CommonName, "server"));
        for length in 0..der.len() {
            assert_eq!(read(&der[..length]), None, "cut after {length}");
        }
        for at in 0..der.len() {
            for value in [0, 0x7f, 0x80, 0x84, 0xff] {
                let mut damaged = der.clone();
                damaged[at] = value;
                let _whatever = read(&damaged);
            }
        }
    }
}

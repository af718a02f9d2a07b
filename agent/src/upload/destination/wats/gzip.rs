//! Reports go compressed where the server takes that (RFC 7694): it says so in an answer, or the configuration knows.
//!
//! What is known of the server lasts as long as the destination: it begins anew with the agent, and with each change of its settings.

use std::io::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};

use flate2::Compression;
use flate2::write::GzEncoder;
use reqwest::header::{ACCEPT_ENCODING, HeaderMap};
use waybill_shared::config;

use crate::upload::verdict::Answer;

/// Bytes of the shortest report that is worth it.
const SHORTEST: usize = 1024;
/// Bytes that are compressed before others get their turn.
const PIECE: usize = 128 * 1024;

/// Whether the server takes compressed reports, as far as it is known.
pub(super) struct Gzip {
    mode: config::Gzip,
    offered: AtomicBool,
    /// It has taken one.
    proved: AtomicBool,
    refused: AtomicBool,
}

impl Gzip {
    pub(super) fn new(mode: config::Gzip) -> Self {
        Self { mode, offered: AtomicBool::new(false), proved: AtomicBool::new(false), refused: AtomicBool::new(false) }
    }

    /// Takes what an answer says of it.
    pub(super) fn heard(&self, headers: &HeaderMap) {
        let mut said = headers.get_all(ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
        if said.any(offers) {
            self.offered.store(true, Ordering::Relaxed);
        }
    }

    /// Whether a report of so many bytes goes compressed.
    pub(super) fn is_for(&self, bytes: usize) -> bool {
        let wanted = match self.mode {
            config::Gzip::Never => false,
            config::Gzip::Always => true,
            config::Gzip::Auto => self.offered.load(Ordering::Relaxed),
        };
        wanted && bytes >= SHORTEST && !self.refused.load(Ordering::Relaxed)
    }

    /// Takes the answer to a compressed report; true if the report is to be sent again as it is.
    pub(super) fn is_refused_by(&self, answer: &Answer) -> bool {
        let Answer::Status { status, .. } = answer else { return false };
        let refused = match status {
            415 => true,
            // A server that does not look at the encoding finds no report in it.
            400 => !self.proved.load(Ordering::Relaxed),
            _ => false,
        };
        if refused {
            self.refused.store(true, Ordering::Relaxed);
        } else if (200..300).contains(status) {
            self.proved.store(true, Ordering::Relaxed);
        }
        refused
    }
}

/// Whether a value of `Accept-Encoding` names gzip, and not only to refuse it.
fn offers(value: &str) -> bool {
    value.split(',').any(|coding| {
        let mut parts = coding.split(';').map(str::trim);
        let named = parts.next().is_some_and(|name| name.eq_ignore_ascii_case("gzip"));
        let weight = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
        named && weight.is_none_or(|weight| weight.trim().parse::<f32>().is_ok_and(|weight| weight > 0.0))
    })
}

/// The report compressed; nothing, if that is not shorter. Between two pieces the task lets others have their turn.
pub(super) async fn packed(body: &[u8]) -> Option<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 4), Compression::fast());
    for piece in body.chunks(PIECE) {
        encoder.write_all(piece).ok()?;
        tokio::task::yield_now().await;
    }
    encoder.finish().ok().filter(|packed| packed.len() < body.len())
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use reqwest::header::HeaderValue;

    use super::*;
    use crate::upload::verdict::Body;

    fn answer(status: u16) -> Answer {
        Answer::Status { status, body: Body::Other, retry_after: None, text: String::new() }
    }

    #[test]
    fn what_a_server_says_of_gzip_is_read_as_the_standard_has_it() {
        for (value, wanted) in [
            ("gzip", true),
            ("br, GZIP;q=0.5", true),
            ("deflate , gzip ; q=1", true),
            ("identity", false),
            ("gzip;q=0", false),
            ("gzip; q=0.000, br", false),
            ("x-gzipped", false),
            ("", false),
        ] {
            assert_eq!(offers(value), wanted, "{value}");
        }
    }

    #[test]
    fn nothing_goes_compressed_before_the_server_offers_it_nor_what_is_short() {
        let gzip = Gzip::new(config::Gzip::Auto);
        assert!(!gzip.is_for(5000));
        gzip.heard(&HeaderMap::from_iter([(ACCEPT_ENCODING, HeaderValue::from_static("gzip"))]));
        assert!(gzip.is_for(1024) && !gzip.is_for(1023));
        // An answer that says nothing takes nothing back.
        gzip.heard(&HeaderMap::new());
        assert!(gzip.is_for(1024));
        assert!(Gzip::new(config::Gzip::Always).is_for(1024) && !Gzip::new(config::Gzip::Never).is_for(1 << 20));
    }

    #[test]
    fn a_415_ends_it_and_a_400_only_if_none_was_ever_taken() {
        for (before, status, refused) in [
            (None, 415, true),
            (None, 400, true),
            (Some(200), 400, false),
            (Some(200), 415, true),
            (None, 500, false),
            (None, 422, false),
        ] {
            let gzip = Gzip::new(config::Gzip::Always);
            if let Some(before) = before {
                assert!(!gzip.is_refused_by(&answer(before)));
            }
            assert_eq!(gzip.is_refused_by(&answer(status)), refused, "{before:?} then {status}");
            assert_eq!(gzip.is_for(5000), !refused);
        }
    }

    #[tokio::test]
    async fn what_is_compressed_comes_out_as_it_was_and_what_gains_nothing_is_left() {
        let body: Vec<u8> = (0..300_000_u32).flat_map(|n| (n % 1000).to_string().into_bytes()).collect();
        let packed = packed(&body).await.unwrap();
        let mut back = Vec::new();
        flate2::read::GzDecoder::new(&packed[..]).read_to_end(&mut back).unwrap();
        assert!(back == body && packed.len() < body.len() / 2);
        let noise: Vec<u8> = std::iter::repeat_with(|| fastrand::u8(..)).take(4096).collect();
        assert_eq!(super::packed(&noise).await, None);
    }
}

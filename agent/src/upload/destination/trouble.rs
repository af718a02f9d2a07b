//! Why a call got no answer, in words that a person can act on.

use std::error::Error;

use rustls::{AlertDescription, CertificateError};
use waybill_shared::error::{Code, ErrorReport};
use waybill_shared::text;

/// Characters of a reason that are kept.
const REASON: usize = 1000;
/// Causes of causes that are looked at.
const DEPTH: usize = 16;

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trouble {
    /// The server did not prove who it is, or no encryption was agreed on; nothing was sent.
    Tls {
        /// In words.
        reason: String,
        /// Whether it is the certificate that was not accepted.
        certificate: bool,
    },
    /// The proxy wants another login; nothing was sent to the server.
    ProxyLogin(String),
    /// No connection: refused, no route, no name.
    NoConnection(String),
    /// Connected, and then it broke or took too long.
    Broken(String),
}

impl Trouble {
    /// What an error means. `proxy`: the one that the configuration names.
    #[must_use]
    pub fn of(error: &reqwest::Error, proxy: Option<&str>) -> Self {
        let place = error.url().map_or_else(String::new, |url| format!("{}: ", url.origin().ascii_serialization()));
        let way = proxy.map_or_else(String::new, |proxy| format!("; proxy.mode is manual, the proxy is {proxy}"));
        let told = |words: &str| text::printable(&format!("{place}{words}{way}"), REASON);
        let chain = chain(error);
        if let Some(tls) = chain.iter().find_map(|cause| as_tls(*cause)) {
            let reason = told(&tls_words(tls));
            if error.is_connect() {
                return Self::Tls { reason, certificate: matches!(tls, rustls::Error::InvalidCertificate(_)) };
            }
            return Self::Broken(reason);
        }
        let causes = causes(error);
        // What the HTTP library says of a 407 to `CONNECT`; its type is not public. A test holds it.
        if causes.contains("proxy authorization required") {
            return Self::ProxyLogin(told("the proxy asks for a login, or does not accept the one that it was given (407)"));
        }
        if causes.contains("tunnel error: unsuccessful") {
            return Self::NoConnection(told("the proxy does not connect to this address"));
        }
        match (error.is_connect(), error.is_timeout()) {
            (true, true) => Self::NoConnection(told("no connection in the time of upload.connect_timeout_secs")),
            (false, true) => Self::Broken(told("no complete answer in time")),
            (true, false) => Self::NoConnection(told(&causes)),
            (false, false) => Self::Broken(told(&causes)),
        }
    }

    /// As an error of a call that somebody asked for.
    #[must_use]
    pub fn report(&self) -> ErrorReport {
        let code = match self {
            Self::Tls { .. } => Code::TlsFailed,
            Self::ProxyLogin(_) => Code::ProxyRefused,
            Self::NoConnection(_) | Self::Broken(_) => Code::DestinationUnreachable,
        };
        ErrorReport::new(code, self.reason())
    }

    /// In words.
    #[must_use]
    pub fn reason(&self) -> &str {
        match self {
            Self::Tls { reason, .. } | Self::ProxyLogin(reason) | Self::NoConnection(reason) | Self::Broken(reason) => reason,
        }
    }
}

/// The causes of an error of the HTTP library, without what each of its errors begins with.
#[must_use]
pub fn causes(error: &reqwest::Error) -> String {
    let mut said: Vec<String> = Vec::new();
    for cause in &chain(error)[1..] {
        let words = cause.to_string();
        if !words.starts_with("client error (") && !said.iter().any(|before| before.contains(&words)) {
            said.push(words);
        }
    }
    if said.is_empty() { error.to_string() } else { text::printable(&said.join(": "), REASON) }
}

/// An error and its causes; never empty.
fn chain(error: &reqwest::Error) -> Vec<&(dyn Error + 'static)> {
    let mut chain: Vec<&(dyn Error + 'static)> = vec![error];
    let mut cause = error.source();
    while let Some(inner) = cause.filter(|_| chain.len() < DEPTH) {
        chain.push(inner);
        cause = inner.source();
    }
    chain
}

/// TLS hides its errors inside those of input and output, which do not name what they hold as their cause.
fn as_tls<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a rustls::Error> {
    if let Some(tls) = error.downcast_ref() {
        return Some(tls);
    }
    let mut inner = error.downcast_ref::<std::io::Error>()?.get_ref()?;
    for _ in 0..DEPTH {
        if let Some(tls) = inner.downcast_ref() {
            return Some(tls);
        }
        inner = inner.downcast_ref::<std::io::Error>()?.get_ref()?;
    }
    None
}

fn tls_words(error: &rustls::Error) -> String {
    match error {
        rustls::Error::InvalidCertificate(why) => certificate_words(why),
        rustls::Error::AlertReceived(AlertDescription::ProtocolVersion) | rustls::Error::PeerIncompatible(_) => {
            "the server offers no version of TLS and encryption that this station accepts; tls.min_version is the oldest version"
                .to_owned()
        }
        rustls::Error::AlertReceived(AlertDescription::HandshakeFailure | AlertDescription::InsufficientSecurity) => {
            "the server and this station have no encryption in common".to_owned()
        }
        rustls::Error::AlertReceived(AlertDescription::CertificateRequired) => {
            "the server asks for a certificate of this station, which it has not".to_owned()
        }
        rustls::Error::AlertReceived(AlertDescription::UnrecognisedName) => {
            "the server does not know itself by the name in the address".to_owned()
        }
        rustls::Error::InvalidMessage(_) => {
            "what answers there does not speak TLS; is the address one of http, or the port another one?".to_owned()
        }
        other => format!("no secure connection: {other}"),
    }
}

fn certificate_words(error: &CertificateError) -> String {
    let day = |time: &rustls::pki_types::UnixTime| {
        let at = i64::try_from(time.as_secs()).ok().and_then(|seconds| jiff::Timestamp::from_second(seconds).ok());
        at.map_or_else(|| "an unknown time".to_owned(), |at| at.strftime("%Y-%m-%d %H:%M UTC").to_string())
    };
    match error {
        CertificateError::Expired => "the server's certificate has expired".to_owned(),
        CertificateError::ExpiredContext { time, not_after } => {
            format!("the server's certificate expired on {}; this station's clock says {}", day(not_after), day(time))
        }
        CertificateError::NotValidYet => "the server's certificate is not valid yet; is this station's clock right?".to_owned(),
        CertificateError::NotValidYetContext { time, not_before } => format!(
            "the server's certificate is valid only from {}; this station's clock says {}, is it right?",
            day(not_before),
            day(time)
        ),
        CertificateError::UnknownIssuer => {
            "the server's certificate was issued by an unknown authority, one that this station does not trust; tls.ca_file names those \
             that it trusts besides the system's"
                .to_owned()
        }
        CertificateError::NotValidForName => "the server's certificate is for another host name".to_owned(),
        CertificateError::NotValidForNameContext { expected, presented } => {
            let names: Vec<&str> = presented.iter().map(|name| plain_name(name)).collect();
            let expected = expected.to_str();
            match names[..] {
                [] => format!("the server's certificate is for another host name than {expected}; it names none"),
                _ => format!("the server's certificate is for another host name than {expected}: it is for {}", names.join(", ")),
            }
        }
        CertificateError::Revoked => "the server's certificate was revoked by its authority".to_owned(),
        CertificateError::BadSignature | CertificateError::BadEncoding => {
            "the server's certificate is damaged or forged".to_owned()
        }
        other => format!("the server's certificate is not accepted: {other}"),
    }
}

/// `DnsName("x")` and `IpAddress(1.2.3.4)` as people write them.
fn plain_name(name: &str) -> &str {
    let inner = name.split_once('(').map_or(name, |(_, inner)| inner.trim_end_matches(')'));
    inner.trim_matches('"')
}

//! The one place that makes HTTP clients: time limits, the way through a proxy, and whose word counts for a server.
//!
//! - No redirect is followed: the token must not go to another host. HTTP/1 only.
//! - *Proxy* `none` asks nobody. `system` is `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY` of the agent's environment, in capitals
//!   first, then in small letters, with user and password in the address; on Windows and macOS what is not set there comes from the
//!   system's settings if the HTTP library was built to read them. `manual` is one proxy for http (absolute addresses) and https
//!   (`CONNECT`), with Basic authentication if there is a user.
//! - *Bypass*: a name stands for itself and all names below it, with or without a dot before it; addresses and networks are compared with
//!   addresses as they are written in a destination's address, names are not resolved for it; `*` is everything.
//! - *TLS*: the system's authorities always count, those of `ca_file` as well.
//!
//! A client is made when it is first needed and again when the proxy's password has changed or TLS has failed, so that what a person
//! mends works without a restart, and a file that is missing pauses a destination and never stops the agent.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::HeaderValue;
use reqwest::{Certificate, Client, ClientBuilder, NoProxy};
use rustls::crypto::CryptoProvider;
use waybill_shared::config::{Proxy, ProxyMode, Tls, TlsVersion, Upload};
use waybill_shared::error::{Code, ErrorReport};
use waybill_shared::secret::Secret;
use waybill_shared::text;

use super::certificate::Witness;
use super::{Common, call_limit};
use crate::secrets::{SecretName, TokenSource};

/// Bytes of the largest `ca_file` that is read.
const CA_FILE_BYTES: u64 = 4 * 1024 * 1024;

/// Makes clients as the configuration says, and keeps the last one.
pub struct Http {
    upload: Upload,
    proxy: Proxy,
    tls: Tls,
    base: PathBuf,
    password: Option<TokenSource>,
    // Held while a client is made, so that deliveries at the same time share one and its connections; never while anything is awaited.
    made: Mutex<Option<(Option<Secret>, Client)>>,
}

impl Http {
    /// Takes the settings; nothing is read yet.
    #[must_use]
    pub fn new(common: &Common<'_>) -> Self {
        let logs_in = common.proxy.mode == ProxyMode::Manual && common.proxy.user.is_some();
        Self {
            upload: common.upload.clone(),
            proxy: common.proxy.clone(),
            tls: common.tls.clone(),
            base: common.base.to_owned(),
            password: logs_in.then(|| common.secrets.source(SecretName::common_proxy_password(), None)),
            made: Mutex::new(None),
        }
    }

    /// The client for deliveries.
    ///
    /// # Errors
    /// What it needs cannot be used: the proxy's password, `ca_file`, an entry of `bypass`.
    pub async fn client(&self) -> Result<Client, ErrorReport> {
        let password = self.password().await?;
        let mut made = self.made();
        if let Some((of, client)) = &*made
            && *of == password
        {
            return Ok(client.clone());
        }
        let client = client(&self.upload, &self.proxy, password.clone(), &self.tls, &self.base)?;
        *made = Some((password, client.clone()));
        Ok(client)
    }

    /// Forgets the client: the next one reads `ca_file` and the system's authorities anew.
    pub fn forget(&self) {
        *self.made() = None;
    }

    /// A client of its own, whose first call makes a new connection and whose answers tell the server's certificate.
    ///
    /// # Errors
    /// As [`client`](Self::client).
    pub async fn fresh(&self) -> Result<Client, ErrorReport> {
        let password = self.password().await?;
        let builder = builder(&self.upload, &self.proxy, password)?;
        finish(trusting(builder, &self.tls, &self.base)?.tls_info(true))
    }

    /// A client that accepts no server at all: a call with it ends before anything but the greeting was said, and the witness has seen
    /// the certificate.
    ///
    /// # Errors
    /// As [`client`](Self::client).
    pub async fn refusing(&self, witness: &Arc<Witness>) -> Result<Client, ErrorReport> {
        let password = self.password().await?;
        let provider =
            CryptoProvider::get_default().cloned().unwrap_or_else(|| Arc::new(rustls::crypto::ring::default_provider()));
        let versions: &[_] = match self.tls.min_version {
            TlsVersion::Tls12 => rustls::ALL_VERSIONS,
            TlsVersion::Tls13 => &[&rustls::version::TLS13],
        };
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .map_err(|error| ErrorReport::new(Code::Internal, format!("no client that looks at certificates: {error}")))?
            // It accepts less than the usual one: nothing.
            .dangerous()
            .with_custom_certificate_verifier(Arc::clone(witness) as Arc<_>)
            .with_no_client_auth();
        finish(builder(&self.upload, &self.proxy, password)?.tls_backend_preconfigured(config))
    }

    /// The proxy that the configuration names, for messages.
    #[must_use]
    pub fn manual_proxy(&self) -> Option<&str> {
        self.proxy.url.as_deref().filter(|_| self.proxy.mode == ProxyMode::Manual)
    }

    /// What the client of now is known by at the proxy, in the forms in which it is sent.
    #[must_use]
    pub fn proxy_secrets(&self) -> Vec<Secret> {
        match (&*self.made(), &self.proxy.user) {
            (Some((Some(password), _)), Some(user)) => vec![password.clone(), Secret::new(&login(user, password))],
            _ => Vec::new(),
        }
    }

    /// How reports are sent.
    #[must_use]
    pub fn upload(&self) -> &Upload {
        &self.upload
    }

    /// Longest time for a call without a report.
    #[must_use]
    pub fn call_limit(&self) -> Duration {
        call_limit(&self.upload)
    }

    /// Longest time for a report in all.
    #[must_use]
    pub fn report_limit(&self) -> Duration {
        Duration::from_secs(self.upload.timeout_secs)
    }

    /// Longest time in which nothing moves while a report is sent.
    #[must_use]
    pub fn silence_limit(&self) -> Duration {
        Duration::from_secs(self.upload.read_timeout_secs).min(self.report_limit())
    }

    async fn password(&self) -> Result<Option<Secret>, ErrorReport> {
        match &self.password {
            Some(source) => source.fetch().await.map(Some),
            None => Ok(None),
        }
    }

    fn made(&self) -> MutexGuard<'_, Option<(Option<Secret>, Client)>> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Makes a client. Relative paths start at `base`; without a password nobody logs in at the proxy.
///
/// # Errors
/// `ca_file` cannot be read or holds no certificate, or an entry of `bypass` means nothing.
pub fn client(
    upload: &Upload,
    proxy: &Proxy,
    proxy_password: Option<Secret>,
    tls: &Tls,
    base: &Path,
) -> Result<Client, ErrorReport> {
    finish(trusting(builder(upload, proxy, proxy_password)?, tls, base)?)
}

fn builder(upload: &Upload, proxy: &Proxy, password: Option<Secret>) -> Result<ClientBuilder, ErrorReport> {
    let builder = Client::builder()
        .user_agent(concat!("waybill/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(Duration::from_secs(upload.connect_timeout_secs))
        .timeout(Duration::from_secs(upload.timeout_secs))
        .redirect(reqwest::redirect::Policy::none())
        .pool_max_idle_per_host(upload.concurrency as usize)
        .http1_only();
    Ok(match proxy.mode {
        ProxyMode::None => builder.no_proxy(),
        ProxyMode::System => builder,
        ProxyMode::Manual => builder.proxy(manual(proxy, password)?),
    })
}

fn manual(proxy: &Proxy, password: Option<Secret>) -> Result<reqwest::Proxy, ErrorReport> {
    let invalid = |why: &dyn std::fmt::Display| ErrorReport::new(Code::ConfigInvalid, format!("proxy.url: {why}"));
    let url = proxy.url.as_deref().ok_or_else(|| invalid(&"`mode = \"manual\"` needs the address of the proxy"))?;
    let mut bypass = Vec::with_capacity(proxy.bypass.len());
    for entry in &proxy.bypass {
        bypass.push(bypass_entry(entry)?);
    }
    let mut made = reqwest::Proxy::all(url).map_err(|error| invalid(&error))?.no_proxy(NoProxy::from_string(&bypass.join(",")));
    if let (Some(user), Some(password)) = (&proxy.user, password) {
        // Not by way of the address: a `%` in a password would be read as the beginning of an escape.
        let mut header = HeaderValue::from_str(&format!("Basic {}", login(user, &password))).map_err(|error| invalid(&error))?;
        header.set_sensitive(true);
        made = made.custom_http_auth(header);
    }
    Ok(made)
}

fn login(user: &str, password: &Secret) -> String {
    STANDARD.encode(format!("{user}:{}", password.expose()))
}

/// An entry as the HTTP library compares it; it would take one that it does not understand for a name that no server has.
fn bypass_entry(entry: &str) -> Result<String, ErrorReport> {
    let plain = entry.trim().trim_start_matches('[').replace(']', "");
    let plain = plain.strip_prefix('*').filter(|rest| rest.starts_with('.')).unwrap_or(&plain);
    let fault = |why: &str| ErrorReport::new(Code::ConfigInvalid, format!("proxy.bypass: {entry:?} {why}"));
    if plain == "*" || plain.parse::<IpAddr>().is_ok() {
        return Ok(plain.to_owned());
    }
    if let Some((address, length)) = plain.split_once('/') {
        let longest = address.parse::<IpAddr>().map(|address| if address.is_ipv4() { 32 } else { 128 });
        let valid = longest.is_ok_and(|longest| length.parse::<u8>().is_ok_and(|length| length <= longest));
        return if valid { Ok(plain.to_owned()) } else { Err(fault("is no network; write it like `10.0.0.0/8`")) };
    }
    if plain.contains(['*', ':']) || plain.trim_matches('.').is_empty() {
        return Err(fault("is neither a name, `.domain`, an address nor a network; a port does not belong to it"));
    }
    Ok(plain.to_owned())
}

fn trusting(builder: ClientBuilder, tls: &Tls, base: &Path) -> Result<ClientBuilder, ErrorReport> {
    let builder = builder.tls_version_min(match tls.min_version {
        TlsVersion::Tls12 => reqwest::tls::Version::TLS_1_2,
        TlsVersion::Tls13 => reqwest::tls::Version::TLS_1_3,
    });
    Ok(match &tls.ca_file {
        None => builder,
        Some(file) => builder.tls_certs_merge(authorities(&base.join(file))?),
    })
}

/// Looks whether what the TLS settings name can be used, before they are taken. Reads a file.
///
/// # Errors
/// `ca_file` cannot be read or holds no certificate.
pub fn look_at_tls(tls: &Tls, base: &Path) -> Result<(), ErrorReport> {
    tls.ca_file.as_ref().map_or(Ok(()), |file| authorities(&base.join(file)).map(drop))
}

/// The authorities in a PEM file: one or many, with any text between them.
fn authorities(file: &Path) -> Result<Vec<Certificate>, ErrorReport> {
    let fault = |why: &str| {
        ErrorReport::new(Code::ConfigInvalid, format!("tls.ca_file {} {why}", text::path(file)))
            .with_fix("Name a PEM file with the certificates of the authorities in tls.ca_file; everything waits until then")
    };
    let unreadable = |error: std::io::Error| fault(&format!("cannot be read: {error}"));
    if std::fs::metadata(file).map_err(unreadable)?.len() > CA_FILE_BYTES {
        return Err(fault("is larger than 4 MiB and cannot be a list of authorities"));
    }
    let bytes = std::fs::read(file).map_err(unreadable)?;
    if bytes.trim_ascii().is_empty() {
        return Err(fault("is empty"));
    }
    let certificates = Certificate::from_pem_bundle(&bytes).map_err(|_| fault("is damaged: what stands in it is not PEM"))?;
    if certificates.is_empty() {
        let pem = bytes.windows(10).any(|part| part == b"-----BEGIN");
        return Err(fault(if pem { "holds no certificate, but something else" } else { "is no PEM file" }));
    }
    // Each by itself: an authority that cannot be used must not be passed over.
    let mut store = rustls::RootCertStore::empty();
    for (number, der) in super::certificate::of_pem(&bytes).into_iter().enumerate() {
        store
            .add(der)
            .map_err(|error| fault(&format!("holds as number {} what is no usable certificate: {error}", number + 1)))?;
    }
    Ok(certificates)
}

fn finish(builder: ClientBuilder) -> Result<Client, ErrorReport> {
    builder.build().map_err(|error| {
        ErrorReport::new(Code::TlsFailed, format!("no secure connection can be made: {}", super::trouble::causes(&error)))
    })
}

//! Counterparts on loopback: a server with or without TLS, a forward proxy, an authority with certificates.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tempfile::TempDir;
use waybill_shared::config;
use waybill_shared::fs::atomic;
use waybill_shared::id::{CorrelationId, ReportId};
use waybill_shared::secret::Secret;

use crate::secrets::{SecretName, Store};
use crate::upload::destination::{self, Common, Destination, Parcel};

/// Nothing on loopback takes as long.
const PATIENCE: Duration = Duration::from_secs(30);
pub(super) const TOKEN: &str = "c3RhdGlvbjp0b2tlbg==";

/// A listener whose connections are handled one thread each until it is dropped.
struct Listening {
    address: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Listening {
    fn start(handle: impl Fn(TcpStream) -> io::Result<()> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, handle) = (Arc::clone(&stop), Arc::new(handle));
        let accept = move || {
            let mut threads = Vec::new();
            for stream in listener.incoming() {
                if stopped.load(Ordering::Acquire) {
                    break;
                }
                let (stream, handle) = (stream.unwrap(), Arc::clone(&handle));
                stream.set_read_timeout(Some(PATIENCE)).unwrap();
                let serve = move || {
                    // A client that turns away is what many tests are about.
                    let _gone = handle(stream);
                };
                threads.push(std::thread::Builder::new().spawn(serve).unwrap());
            }
            for thread in threads {
                thread.join().unwrap();
            }
        };
        let thread = std::thread::Builder::new().spawn(accept).unwrap();
        Self { address, stop, thread: Some(thread) }
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        // Wakes the listener.
        let _woken = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let _panicked = thread.join();
        }
    }
}

type Seen = Arc<Mutex<Vec<String>>>;

fn heads(seen: &Seen) -> Vec<String> {
    seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

/// A server that answers by a function of the request's head.
pub(super) struct Server {
    listening: Listening,
    seen: Seen,
}

impl Server {
    pub(super) fn start(tls: Option<Arc<rustls::ServerConfig>>, answer: impl Fn(&str) -> String + Send + Sync + 'static) -> Self {
        let seen = Seen::default();
        let log = Arc::clone(&seen);
        let listening = Listening::start(move |mut stream| match &tls {
            None => serve(&mut stream, &log, &answer),
            Some(config) => {
                let connection = rustls::ServerConnection::new(Arc::clone(config)).map_err(io::Error::other)?;
                let mut secure = rustls::StreamOwned::new(connection, stream);
                serve(&mut secure, &log, &answer)?;
                secure.conn.send_close_notify();
                secure.flush()
            }
        });
        Self { listening, seen }
    }

    /// A WATS-compatible one, as far as it goes.
    pub(super) fn wats(tls: Option<Arc<rustls::ServerConfig>>) -> Self {
        Self::start(tls, wats)
    }

    pub(super) fn port(&self) -> u16 {
        self.listening.address.port()
    }

    /// Heads of the requests that it got.
    pub(super) fn heads(&self) -> Vec<String> {
        heads(&self.seen)
    }
}

/// What a WATS-compatible server answers.
pub(super) fn wats(head: &str) -> String {
    if !head.contains(&format!("Basic {TOKEN}\r\n")) {
        return answer(401, "application/json", r#"{"message":"the token is not valid"}"#);
    }
    match head.split(' ').take(2).collect::<Vec<_>>()[..] {
        ["GET", "/api/App/Version"] => answer(200, "application/json", r#""2026.1.0.0""#),
        ["POST", "/api/Report/WSJF"] => answer(200, "application/json", &format!(r#"[{{"ID":"{}"}}]"#, report_id())),
        _ => answer(404, "application/json", "{}"),
    }
}

pub(super) fn answer(status: u16, kind: &str, body: &str) -> String {
    format!("HTTP/1.1 {status} .\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len())
}

fn serve(stream: &mut (impl Read + Write), seen: &Seen, answer: &impl Fn(&str) -> String) -> io::Result<()> {
    let (head, _body) = read_request(stream)?;
    seen.lock().unwrap_or_else(PoisonError::into_inner).push(head.clone());
    stream.write_all(answer(&head).as_bytes())?;
    stream.flush()
}

/// Head and body of a request; header names in small letters, as the client writes them.
fn read_request(stream: &mut impl Read) -> io::Result<(String, Vec<u8>)> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|part| part == b"\r\n\r\n") {
            break end + 4;
        }
        read_more(stream, &mut bytes)?;
        if !bytes[0].is_ascii_uppercase() {
            // No HTTP: answered at once, as servers do.
            break bytes.len();
        }
    };
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let length = header(&head, "content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    while bytes.len() < end + length {
        read_more(stream, &mut bytes)?;
    }
    Ok((head, bytes.split_off(end)))
}

fn read_more(stream: &mut impl Read, bytes: &mut Vec<u8>) -> io::Result<()> {
    let mut buffer = [0; 4096];
    match stream.read(&mut buffer)? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        read => {
            bytes.extend_from_slice(&buffer[..read]);
            Ok(())
        }
    }
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().filter_map(|line| line.split_once(": ")).find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

/// A forward proxy that asks for this login, if any: `CONNECT` and absolute addresses.
pub(super) struct ForwardProxy {
    listening: Listening,
    seen: Seen,
}

impl ForwardProxy {
    pub(super) fn start(login: Option<&'static str>) -> Self {
        let seen = Seen::default();
        let log = Arc::clone(&seen);
        let listening = Listening::start(move |mut client| {
            let (head, body) = read_request(&mut client)?;
            let first = head.lines().next().unwrap_or_default().to_owned();
            log.lock().unwrap_or_else(PoisonError::into_inner).push(first.clone());
            if header(&head, "proxy-authorization") != login {
                let refusal = "HTTP/1.1 407 .\r\nProxy-Authenticate: Basic\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
                return client.write_all(refusal.as_bytes());
            }
            let target = first.split(' ').nth(1).unwrap_or_default();
            if first.starts_with("CONNECT ") {
                let server = TcpStream::connect(target)?;
                client.write_all(b"HTTP/1.1 200 .\r\n\r\n")?;
                return pump(client, server);
            }
            let (authority, path) = target.strip_prefix("http://").and_then(|rest| rest.split_once('/')).unwrap_or_default();
            let mut server = TcpStream::connect(authority)?;
            let rest: String =
                head.split_inclusive("\r\n").skip(1).filter(|line| !line.to_ascii_lowercase().starts_with("proxy-")).collect();
            let method = first.split(' ').next().unwrap_or_default();
            server.write_all(format!("{method} /{path} HTTP/1.1\r\n{rest}").as_bytes())?;
            server.write_all(&body)?;
            io::copy(&mut server, &mut client).map(|_| ())
        });
        Self { listening, seen }
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.listening.address)
    }

    /// First lines of the requests that it got.
    pub(super) fn lines(&self) -> Vec<String> {
        heads(&self.seen)
    }
}

/// Carries bytes both ways until both sides have ended.
fn pump(client: TcpStream, server: TcpStream) -> io::Result<()> {
    let (mut from_client, mut to_server) = (client.try_clone()?, server.try_clone()?);
    let up = std::thread::Builder::new().spawn(move || {
        let _ended = io::copy(&mut from_client, &mut to_server);
        let _closed = to_server.shutdown(Shutdown::Write);
    })?;
    let (mut from_server, mut to_client) = (server, client);
    let _ended = io::copy(&mut from_server, &mut to_client);
    let _closed = to_client.shutdown(Shutdown::Both);
    up.join().map_err(|_| io::Error::other("the pump"))
}

/// An authority of its own.
pub(super) struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub(super) fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    pub(super) fn pem(&self) -> String {
        self.0.pem()
    }

    /// A server with a certificate for `name` that is valid up to this year.
    pub(super) fn server(
        &self,
        name: &str,
        until: i32,
        versions: &[&'static rustls::SupportedProtocolVersion],
    ) -> Arc<rustls::ServerConfig> {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.not_before = date_time_ymd(2019, 1, 1);
        params.not_after = date_time_ymd(until, 1, 1);
        params.distinguished_name.push(DnType::CommonName, "report server");
        let certificate = CertificateDer::from(params.signed_by(&key, &self.0).unwrap());
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let config = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_protocol_versions(versions)
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .unwrap();
        Arc::new(config)
    }
}

/// A station's folder with a token.
pub(super) struct Station {
    folder: TempDir,
    pub(super) secrets: Store,
}

impl Station {
    pub(super) fn new() -> Self {
        // Fails only if a test before was here.
        let _there = rustls::crypto::ring::default_provider().install_default();
        let folder = tempfile::tempdir().unwrap();
        let secrets = Store::files(&folder.path().join("secrets"));
        secrets.set(&SecretName::token("main").unwrap(), None, &Secret::new(TOKEN)).unwrap();
        Self { folder, secrets }
    }

    pub(super) fn path(&self) -> PathBuf {
        self.folder.path().to_owned()
    }

    pub(super) fn write(&self, name: &str, content: &str) {
        atomic::replace(&self.folder.path().join(name), content.as_bytes()).unwrap();
    }

    pub(super) fn set_proxy_password(&self, password: &str) {
        self.secrets.set(&SecretName::common_proxy_password(), None, &Secret::new(password)).unwrap();
    }

    /// The destination `main` at this address, with these further lines of the configuration.
    pub(super) fn wats(&self, url: &str, sections: &str) -> Arc<dyn Destination> {
        self.build(&format!("kind = 'wats'\nurl = '{url}'"), sections)
    }

    pub(super) fn folder(&self, folder: &Path) -> Arc<dyn Destination> {
        self.build(&format!("kind = 'folder'\nfolder = '{}'", folder.display()), "")
    }

    fn build(&self, destination: &str, sections: &str) -> Arc<dyn Destination> {
        let config = config::parse(&format!("[[destination]]\nname = 'main'\n{destination}\n{sections}")).unwrap();
        let common = Common {
            upload: &config.upload,
            proxy: &config.proxy,
            tls: &config.tls,
            base: self.folder.path(),
            secrets: &self.secrets,
        };
        destination::build(&config.destination[0], &common).unwrap()
    }
}

fn report_id() -> ReportId {
    ReportId::from_bytes([9; 16])
}

pub(super) fn parcel() -> Parcel {
    Parcel {
        report_id: report_id(),
        correlation_id: CorrelationId::new(),
        serial: "SN-1".to_owned(),
        queued_at_ms: 0,
        body: br#"{"id":"x"}"#.as_slice().into(),
    }
}

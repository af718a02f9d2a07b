//! What stands between a station and its server: a forward proxy, and TLS with a certificate of an authority made for the test.
//!
//! Each runs on a thread with a runtime of its own and ends when it is dropped, with every connection.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use base64::Engine as _;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::rustls::{ServerConfig, crypto};

/// Bytes of the longest head of a request.
const HEAD: usize = 64 * 1024;

/// A listener on loopback.
struct Between {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Between {
    fn start<H, F>(name: &str, handle: H) -> Self
    where
        H: Fn(TcpStream) -> F + Send + 'static,
        F: Future<Output = io::Result<()>> + Send + 'static,
    {
        let (stop, stopped) = oneshot::channel();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port on loopback");
        listener.set_nonblocking(true).expect("a listener that does not block");
        let address = listener.local_addr().expect("the address of a bound socket");
        let serve = async move {
            let listener = TcpListener::from_std(listener).expect("a listener");
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.expect("a connection");
                connections.spawn(handle(stream));
                while connections.try_join_next().is_some() {}
            }
        };
        let run = move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                tokio::select! {
                    () = serve => {}
                    _ = stopped => {}
                }
            });
        };
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(run).expect("a thread");
        Self { address, stop: Some(stop), thread: Some(thread) }
    }
}

impl Drop for Between {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ended = stop.send(());
        }
        if let Some(thread) = self.thread.take() {
            // A panic of the thread was printed already, and a second panic here would end the test run.
            let _panicked = thread.join();
        }
    }
}

/// A forward proxy: `CONNECT`, and requests with absolute addresses.
pub struct ForwardProxy {
    between: Between,
    lines: Arc<Mutex<Vec<String>>>,
}

impl ForwardProxy {
    /// A proxy that asks for this login, `user:password`, if any.
    #[must_use]
    pub fn start(login: Option<&str>) -> Self {
        let login = login.map(|login| format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(login)));
        let lines = Arc::<Mutex<Vec<String>>>::default();
        let seen = Arc::clone(&lines);
        let between = Between::start("forward-proxy", move |stream| pass_on(stream, login.clone(), Arc::clone(&seen)));
        Self { between, lines }
    }

    /// Its address, as a configuration names it.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.between.address)
    }

    /// First lines of all requests, passed on or not.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

async fn pass_on(mut client: TcpStream, login: Option<String>, seen: Arc<Mutex<Vec<String>>>) -> io::Result<()> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|part| part == b"\r\n\r\n") {
            break end + 4;
        }
        if bytes.len() > HEAD || client.read_buf(&mut bytes).await? == 0 {
            return Ok(());
        }
    };
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let (first, headers) = head.split_once("\r\n").unwrap_or_default();
    seen.lock().unwrap_or_else(PoisonError::into_inner).push(first.to_owned());
    let of_proxy = |line: &str| line.to_ascii_lowercase().starts_with("proxy-");
    let given = headers.lines().find(|line| line.to_ascii_lowercase().starts_with("proxy-authorization:"));
    if given.and_then(|line| line.split_once(": ")).map(|(_, value)| value) != login.as_deref() {
        let refusal = b"HTTP/1.1 407 Login\r\nProxy-Authenticate: Basic\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
        return client.write_all(refusal).await;
    }
    let (method, target) = first.split_once(' ').unwrap_or_default();
    let target = target.split(' ').next().unwrap_or_default();
    let mut server = if method == "CONNECT" {
        let server = TcpStream::connect(target).await?;
        client.write_all(b"HTTP/1.1 200 Connected\r\n\r\n").await?;
        server
    } else {
        let (authority, path) = target.strip_prefix("http://").and_then(|rest| rest.split_once('/')).unwrap_or_default();
        let mut server = TcpStream::connect(authority).await?;
        let kept: String = headers.split_inclusive("\r\n").filter(|line| !of_proxy(line)).collect();
        // One request a connection: the next one may be for another server.
        server.write_all(format!("{method} /{path} HTTP/1.1\r\nConnection: close\r\n{kept}").as_bytes()).await?;
        server
    };
    server.write_all(&bytes[end..]).await?;
    copy_bidirectional(&mut client, &mut server).await.map(|_| ())
}

/// An authority that no system knows.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    /// Makes one.
    #[must_use]
    pub fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("a certificate");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("an authority"))
    }

    /// Its certificate, as a `ca_file` holds it.
    #[must_use]
    pub fn pem(&self) -> String {
        self.0.pem()
    }
}

/// TLS in front of a server that has none.
pub struct TlsFront(Between);

impl TlsFront {
    /// Stands before `server` with a certificate of `authority` for `127.0.0.1`.
    #[must_use]
    pub fn start(authority: &Authority, server: SocketAddr) -> Self {
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).expect("a certificate");
        let certificate = params.signed_by(&key, &authority.0).expect("a certificate");
        let key = PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
        let config = ServerConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .expect("a server's configuration");
        let acceptor = TlsAcceptor::from(Arc::new(config));
        Self(Between::start("tls-front", move |stream| {
            let acceptor = acceptor.clone();
            async move {
                let mut client = acceptor.accept(stream).await?;
                let mut server = TcpStream::connect(server).await?;
                copy_bidirectional(&mut client, &mut server).await.map(|_| ())
            }
        }))
    }

    /// Its address, as a configuration names it.
    #[must_use]
    pub fn url(&self) -> String {
        format!("https://{}", self.0.address)
    }
}

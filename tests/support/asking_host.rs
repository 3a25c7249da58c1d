//! An SSH login host in this process that asks for a code after the key, whose connections can be cut, and whose home is
//! this machine.

use std::borrow::Cow;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use llm_proxy::demo::{Surroundings, run_command};
use russh::keys::ssh_key::LineEnding;
use russh::keys::ssh_key::private::Ed25519Keypair;
use russh::keys::{PrivateKey, PublicKeyBase64};
use russh::server::{
    Auth, ChannelOpenHandle, Config, Handler, Msg, PublicKeyOffer, Response, Session, VerifiedPublicKey, run_stream,
};
use russh::{Channel, ChannelId, MethodKind, MethodSet};
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

/// What the host asks, as it would stand on a site's login host.
pub(crate) const PROMPT: &str = "Verification code: ";

/// What opens it.
pub(crate) const CODE: &str = "271828";

/// A host that listens. Its connections end when it is dropped.
pub(crate) struct AskingHost {
    /// Where its client's files are.
    pub(crate) folder: TempDir,
    address: SocketAddr,
    host_key: PrivateKey,
    shared: Arc<Shared>,
}

struct Shared {
    user_key: PrivateKey,
    /// Whether a code is asked for after the key.
    asks: bool,
    /// What commands find around them.
    surroundings: Surroundings,
    /// How often a code was shown.
    tries: AtomicUsize,
    /// Ends the connections that stand.
    cut: Mutex<CancellationToken>,
}

impl AskingHost {
    /// Starts it. Its client knows its key and has one of its own.
    pub(crate) async fn start(asks: bool) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let key = |seed| PrivateKey::from(Ed25519Keypair::from_seed(&[seed; 32]));
        let (host_key, user_key) = (key(1), key(2));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port of loopback");
        let address = listener.local_addr().expect("an address");
        let home = folder.path().to_owned();
        let environment = vec![
            ("PATH".into(), std::env::var_os("PATH").unwrap_or_default()),
            ("HOME".into(), home.clone().into_os_string()),
        ];
        let shared = Arc::new(Shared {
            user_key,
            asks,
            surroundings: Surroundings { home, environment },
            tries: AtomicUsize::new(0),
            cut: Mutex::default(),
        });
        let config = Arc::new(Config {
            keys: vec![host_key.clone()],
            methods: MethodSet::from(&[MethodKind::PublicKey, MethodKind::KeyboardInteractive][..]),
            auth_rejection_time: Duration::ZERO,
            auth_rejection_time_initial: Some(Duration::ZERO),
            inactivity_timeout: None,
            ..Config::default()
        });
        tokio::spawn(accept(listener, config, Arc::clone(&shared)));
        let host = Self { folder, address, host_key, shared };
        host.write("known_hosts", &host.known_hosts_line());
        host.write("id", &host.shared.user_key.to_openssh(LineEnding::LF).expect("a key in text"));
        let config = format!(
            "Host asking\n  HostName 127.0.0.1\n  Port {}\n  User somebody\n  IdentityFile {}\n  IdentitiesOnly yes\n  \
             IdentityAgent none\n  UserKnownHostsFile {}\n  GlobalKnownHostsFile none\n  StrictHostKeyChecking ask\n",
            address.port(),
            host.path("id").display(),
            host.path("known_hosts").display()
        );
        host.write("config", &config);
        host
    }

    /// Options of `serve` that lead here.
    pub(crate) fn options(&self) -> [String; 4] {
        let config = self.path("config").display().to_string();
        ["--login".to_owned(), "asking".to_owned(), "--ssh-config".to_owned(), config]
    }

    /// What its client knows of hosts.
    pub(crate) fn write_known_hosts(&self, text: &str) {
        self.write("known_hosts", text);
    }

    /// The line by which its client knows it.
    pub(crate) fn known_hosts_line(&self) -> String {
        format!("[127.0.0.1]:{} ssh-ed25519 {}\n", self.address.port(), self.host_key.public_key_base64())
    }

    /// Where files of its client are.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// How often a code was shown to it.
    pub(crate) fn tries(&self) -> usize {
        self.shared.tries.load(Ordering::SeqCst)
    }

    /// Cuts every connection that stands; further ones are taken.
    pub(crate) fn cut(&self) {
        std::mem::take(&mut *self.shared.cut.lock().expect("nobody panicked")).cancel();
    }

    fn write(&self, name: &str, text: &str) {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::write(self.path(name), text).expect("a file in a temporary folder");
        let mode = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(self.path(name), mode).expect("a file in a temporary folder");
    }
}

impl Drop for AskingHost {
    fn drop(&mut self) {
        self.cut();
    }
}

async fn accept(listener: TcpListener, config: Arc<Config>, shared: Arc<Shared>) {
    loop {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        let cut = shared.cut.lock().expect("nobody panicked").clone();
        let visitor = Visitor { shared: Arc::clone(&shared), cut: cut.clone(), channels: HashMap::new(), keyed: false };
        let config = Arc::clone(&config);
        // The server's own task outlives what starts it; without its wire it ends.
        let (mut wire, end) = tokio::io::duplex(64 * 1024);
        tokio::spawn(async move {
            cut.run_until_cancelled(tokio::io::copy_bidirectional(&mut stream, &mut wire)).await;
        });
        tokio::spawn(async move {
            if let Ok(running) = run_stream(config, end, visitor).await {
                let _ = running.await;
            }
        });
    }
}

/// One client.
struct Visitor {
    shared: Arc<Shared>,
    cut: CancellationToken,
    channels: HashMap<ChannelId, Channel<Msg>>,
    /// Whether the key was right.
    keyed: bool,
}

impl Visitor {
    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let cut = self.cut.clone();
        tokio::spawn(async move { cut.run_until_cancelled(task).await });
    }
}

impl Handler for Visitor {
    type Error = russh::Error;

    async fn auth_publickey_offered(&mut self, _user: &str, offer: PublicKeyOffer<'_>) -> Result<Auth, Self::Error> {
        let known = offer.public_key.key_data() == self.shared.user_key.public_key().key_data();
        Ok(if known { Auth::Accept } else { Auth::reject() })
    }

    async fn auth_publickey(&mut self, _user: &str, key: VerifiedPublicKey<'_>) -> Result<Auth, Self::Error> {
        self.keyed = key.public_key.key_data() == self.shared.user_key.public_key().key_data();
        Ok(match (self.keyed, self.shared.asks) {
            (true, false) => Auth::Accept,
            (true, true) => Auth::Reject {
                proceed_with_methods: Some(MethodSet::from(&[MethodKind::KeyboardInteractive][..])),
                partial_success: true,
            },
            (false, _) => Auth::reject(),
        })
    }

    async fn auth_keyboard_interactive<'a>(
        &'a mut self,
        _user: &str,
        _submethods: &str,
        response: Option<Response<'a>>,
    ) -> Result<Auth, Self::Error> {
        let Some(mut response) = response.filter(|_| self.keyed) else {
            let prompts = if self.keyed { vec![(Cow::Borrowed(PROMPT), false)] } else { return Ok(Auth::reject()) };
            let instructions = "Open your authenticator.".into();
            return Ok(Auth::Partial { name: "".into(), instructions, prompts: prompts.into() });
        };
        self.shared.tries.fetch_add(1, Ordering::SeqCst);
        let right = response.next().is_some_and(|answer| answer == CODE.as_bytes());
        Ok(if right { Auth::Accept } else { Auth::reject() })
    }

    async fn channel_open_session(
        &mut self,
        channel: Channel<Msg>,
        reply: ChannelOpenHandle,
        _session: &mut Session,
    ) -> Result<(), Self::Error> {
        self.channels.insert(channel.id(), channel);
        reply.accept().await;
        Ok(())
    }

    async fn channel_open_direct_tcpip(
        &mut self,
        channel: Channel<Msg>,
        host: &str,
        port: u32,
        _from: &str,
        _from_port: u32,
        reply: ChannelOpenHandle,
        _session: &mut Session,
    ) -> Result<(), Self::Error> {
        let address = format!("{host}:{port}");
        self.spawn(async move {
            let Ok(mut far) = TcpStream::connect(address).await else {
                return reply.reject(russh::ChannelOpenFailure::ConnectFailed).await;
            };
            reply.accept().await;
            let _ = tokio::io::copy_bidirectional(&mut channel.into_stream(), &mut far).await;
        });
        Ok(())
    }

    async fn exec_request(&mut self, id: ChannelId, command: &[u8], session: &mut Session) -> Result<(), Self::Error> {
        let Some(channel) = self.channels.remove(&id) else { return session.channel_failure(id) };
        session.channel_success(id)?;
        let (shared, command) = (Arc::clone(&self.shared), command.to_owned());
        self.spawn(async move { run_command(channel, command, &shared.surroundings).await });
        Ok(())
    }
}

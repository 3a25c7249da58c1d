//! The system's keyring, with a real one: Debian's gnome-keyring on a D-Bus of the test's own. Each step of a test is a
//! process of its own, which is this file's one ignored test: so is proved what outlives a process.
#![cfg(not(target_os = "macos"))]
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
#![expect(clippy::print_stdout, reason = "how a step's process answers")]

use std::collections::HashMap;
use std::env;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use llm_proxy::vault::{Item, Vault};
use secrecy::ExposeSecret;
use secret_service::{EncryptionType, SecretService};
use tempfile::TempDir;

/// What tells the ignored test what to do.
const STEP: &str = "LLM_PROXY_TEST_VAULT_STEP";
/// What the ignored test says begins with it.
const MARK: &str = "vault says: ";
/// How long anything may take before a test gives up: more than the vault itself takes in the worst case.
const DEADLINE: Duration = Duration::from_mins(1);
/// What the vault promises for a keyring that does not answer, and as much again for a busy machine.
const GIVEN_UP: Duration = Duration::from_secs(10);
/// Less than the vault's own limit: nothing was waited for.
const AT_ONCE: Duration = Duration::from_secs(4);

fn passphrase() -> Item {
    Item::Passphrase { file: PathBuf::from("/home/x y/.ssh/id_ed25519") }
}

fn password() -> Item {
    Item::Password { user: "me".to_owned(), host: "cluster".to_owned(), port: 22, through: None }
}

/// Not a test by itself: a process of its own for the others.
#[tokio::test]
#[ignore = "is run by the others, as a process of its own"]
async fn one_step() {
    let step = env::var(STEP).unwrap_or_else(|_| panic!("{STEP} is not set: this is run by the other tests"));
    let vault = Vault::system();
    let said = match step.as_str() {
        "remember both" => {
            let both = (
                vault.remember(&passphrase(), &"öffne\n dich".into()).await,
                vault.remember(&password(), &"first".into()).await,
            );
            format!("{both:?}")
        }
        "remember another" => said(vault.remember(&password(), &"second".into()).await),
        "recall both" => {
            let shown = |secret: Option<secrecy::SecretString>| secret.map(|secret| secret.expose_secret().to_owned());
            format!("{:?} {:?}", shown(vault.recall(&passphrase()).await), shown(vault.recall(&password()).await))
        }
        "forget the password" => said(vault.forget(&password()).await),
        "forget all" => {
            said(vault.forget_all().await.map(|items| items.iter().map(Item::to_string).collect::<Vec<_>>()))
        }
        "another program keeps" => said(foreign(Some("theirs")).await),
        "another program recalls" => said(foreign(None).await),
        other => panic!("no step is called {other}"),
    };
    println!("\n{MARK}{said}");
}

fn said<T: std::fmt::Debug, E: std::fmt::Display>(result: Result<T, E>) -> String {
    match result {
        Ok(value) => format!("{value:?}"),
        Err(error) => format!("error: {error}"),
    }
}

/// What another program does with a secret of its own, whose attributes look like ours.
async fn foreign(keep: Option<&str>) -> Result<String, secret_service::Error> {
    let service = SecretService::connect(EncryptionType::Plain).await?;
    let attributes = HashMap::from([("application", "another"), ("item", "password me@cluster:22")]);
    if let Some(secret) = keep {
        let collection = service.get_default_collection().await?;
        collection.create_item("theirs", attributes.clone(), secret.as_bytes(), true, "text/plain").await?;
    }
    let found = service.search_items(attributes).await?;
    let entry = found.unlocked.first().ok_or(secret_service::Error::NoResult)?;
    Ok(String::from_utf8_lossy(&entry.get_secret().await?).into_owned())
}

/// Ended by its pid when dropped.
struct Owned(Child);

impl Owned {
    fn start(command: &mut Command, package: &str) -> Self {
        let started = command.spawn();
        Self(started.unwrap_or_else(|error| panic!("{command:?}: {error}; install Debian's {package}")))
    }

    fn signal(&self, signal: &str) {
        let sent = Command::new("kill").args(["-s", signal, &self.0.id().to_string()]).status().unwrap();
        assert!(sent.success(), "no SIG{signal} for process {}", self.0.id());
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// A user's session: a home, and a bus where one is started. Things end in this order.
struct Session {
    keyring: Option<Owned>,
    bus: Option<Owned>,
    home: TempDir,
}

/// Everybody may do everything; who is started for being called is added to it.
const BUS: &str = "<busconfig><type>session</type><listen>unix:path=BUS</listen><auth>EXTERNAL</auth>SERVICES
    <policy context='default'><allow send_destination='*' eavesdrop='true'/><allow eavesdrop='true'/><allow own='*'/>
    </policy></busconfig>";

impl Session {
    fn without_bus() -> Self {
        Self { keyring: None, bus: None, home: tempfile::tempdir().unwrap() }
    }

    fn with_bus() -> Self {
        Self::with_bus_and("")
    }

    /// As on a host with a keyring's package and without a desktop: it is started when it is called, and was never opened.
    fn with_keyring_on_call() -> Self {
        let services = Path::new("/usr/share/dbus-1/services");
        let file = services.join("org.freedesktop.secrets.service");
        assert!(file.exists(), "{} is missing: install Debian's gnome-keyring", file.display());
        Self::with_bus_and(&format!("<servicedir>{}</servicedir>", services.display()))
    }

    fn with_bus_and(services: &str) -> Self {
        let mut session = Self::without_bus();
        let config = session.home.path().join("bus.conf");
        let text = BUS.replace("BUS", session.bus_path().to_str().unwrap()).replace("SERVICES", services);
        fs::write(&config, text).unwrap();
        let mut command = session.command("dbus-daemon");
        command.arg("--config-file").arg(&config).args(["--nofork", "--nopidfile", "--print-address"]);
        let mut bus = Owned::start(command.stdout(Stdio::piped()), "dbus");
        let mut address = String::new();
        BufReader::new(bus.0.stdout.take().unwrap()).read_line(&mut address).unwrap();
        assert!(address.starts_with("unix:path="), "the bus said {address:?}");
        session.bus = Some(bus);
        session
    }

    /// With a keyring that is open, as after a login on a desktop.
    fn with_keyring() -> Self {
        let mut session = Self::with_bus();
        let control = session.home.path().join("control");
        let mut command = session.command("gnome-keyring-daemon");
        command.args(["--foreground", "--unlock", "--components=secrets", "--control-directory"]).arg(control);
        let mut keyring = Owned::start(command.stdin(Stdio::piped()), "gnome-keyring");
        // Written whole and closed, as a login does with what was typed.
        keyring.0.stdin.take().unwrap().write_all(b"the login's password").unwrap();
        session.keyring = Some(keyring);
        let began = Instant::now();
        while !session.default_collection().contains("/org/freedesktop/secrets/collection/") {
            assert!(began.elapsed() < DEADLINE, "the keyring did not come up");
            std::thread::yield_now();
        }
        session
    }

    fn bus_path(&self) -> PathBuf {
        self.home.path().join("bus")
    }

    /// A program of this session, and of nothing else that the tests' own user may have.
    fn command(&self, program: impl AsRef<Path>) -> Command {
        let mut command = Command::new(program.as_ref());
        command
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin")
            .env("HOME", self.home.path())
            .env("XDG_RUNTIME_DIR", self.home.path().join("no-runtime-folder"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        if self.bus_path().exists() || self.bus.is_some() {
            command.env("DBUS_SESSION_BUS_ADDRESS", format!("unix:path={}", self.bus_path().display()));
        }
        command
    }

    fn call(&self, method: &str, arguments: &[&str]) -> String {
        let mut command = self.command("dbus-send");
        command.args(["--session", "--print-reply", "--dest=org.freedesktop.secrets", "/org/freedesktop/secrets"]);
        let output = command.arg(method).args(arguments).stdout(Stdio::piped()).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn default_collection(&self) -> String {
        self.call("org.freedesktop.Secret.Service.ReadAlias", &["string:default"])
    }

    /// Runs one step as a process of its own; what the vault said, and how long that process took.
    fn step(&self, step: &str) -> (String, Duration) {
        let began = Instant::now();
        let mut command = self.command(env::current_exe().unwrap());
        command.args(["--ignored", "--exact", "one_step", "--nocapture"]).env(STEP, step);
        let mut process = Owned::start(command.stdout(Stdio::piped()).stderr(Stdio::piped()), "nothing");
        while process.0.try_wait().unwrap().is_none() {
            assert!(began.elapsed() < DEADLINE, "{step:?} did not end");
            std::thread::sleep(Duration::from_millis(10));
        }
        let took = began.elapsed();
        let output = std::io::read_to_string(process.0.stdout.take().unwrap()).unwrap();
        let said = output.lines().find_map(|line| line.strip_prefix(MARK));
        let said = said.unwrap_or_else(|| {
            panic!("{step:?}: {output}{}", std::io::read_to_string(process.0.stderr.take().unwrap()).unwrap())
        });
        (said.to_owned(), took)
    }
}

const NO_KEYRING: &str = "no keyring answers here: an SSH agent (`ssh-add`) holds passphrases as well";

/// Without a keyring: nothing is recalled, and who asked for keeping is told.
fn assert_no_keyring(session: &Session) {
    for (step, expected) in [
        ("recall both", "None None".to_owned()),
        ("remember another", format!("error: {NO_KEYRING}")),
        ("forget all", format!("error: {NO_KEYRING}")),
    ] {
        let (said, took) = session.step(step);
        assert_eq!(said, expected, "{step}");
        assert!(took < AT_ONCE, "{step} took {took:?}");
    }
}

#[test]
fn what_one_process_keeps_another_recalls_and_forgets() {
    let session = Session::with_keyring();
    let step = |step: &str| session.step(step).0;
    assert_eq!(step("recall both"), "None None");
    assert_eq!(step("remember both"), "(Ok(()), Ok(()))");
    assert_eq!(step("recall both"), r#"Some("öffne\n dich") Some("first")"#);
    assert_eq!(step("remember another"), "()");
    assert_eq!(step("recall both"), r#"Some("öffne\n dich") Some("second")"#);
    assert_eq!(step("forget the password"), "true");
    assert_eq!(step("forget the password"), "false");
    assert_eq!(step("recall both"), r#"Some("öffne\n dich") None"#);
    assert_eq!(step("remember another"), "()");
    let all = r#"["the passphrase of /home/x y/.ssh/id_ed25519", "the password of me@cluster"]"#;
    assert_eq!(step("forget all"), all);
    assert_eq!(step("recall both"), "None None");
    assert_eq!(step("forget all"), "[]");
}

#[test]
fn what_other_programs_keep_is_left_alone() {
    let session = Session::with_keyring();
    assert_eq!(session.step("another program keeps").0, r#""theirs""#);
    assert_eq!(session.step("recall both").0, "None None");
    assert_eq!(session.step("forget the password").0, "false");
    assert_eq!(session.step("remember another").0, "()");
    assert_eq!(session.step("forget all").0, r#"["the password of me@cluster"]"#);
    assert_eq!(session.step("another program recalls").0, r#""theirs""#);
}

#[test]
fn a_session_without_a_bus_answers_at_once() {
    assert_no_keyring(&Session::without_bus());
}

#[test]
fn a_bus_without_a_keyring_answers_at_once() {
    assert_no_keyring(&Session::with_bus());
}

#[test]
fn a_bus_that_nobody_listens_to_answers_at_once() {
    let session = Session::without_bus();
    drop(UnixListener::bind(session.bus_path()).unwrap());
    assert_no_keyring(&session);
}

#[test]
fn a_bus_that_never_answers_is_given_up() {
    let session = Session::without_bus();
    let _silent = UnixListener::bind(session.bus_path()).unwrap();
    assert_given_up(&session);
}

#[test]
fn a_keyring_that_never_answers_is_given_up() {
    let session = Session::with_keyring();
    assert_eq!(session.step("remember both").0, "(Ok(()), Ok(()))");
    let keyring = session.keyring.as_ref().unwrap();
    keyring.signal("STOP");
    assert_given_up(&session);
    keyring.signal("CONT");
    assert_eq!(session.step("recall both").0, r#"Some("öffne\n dich") Some("first")"#);
}

#[test]
fn a_keyring_that_was_never_set_up_says_so() {
    let session = Session::with_keyring_on_call();
    assert_eq!(session.step("recall both").0, "None None");
    let (said, took) = session.step("remember another");
    assert!(said.starts_with("error: the keyring here was never set up"), "{said}");
    assert!(took < AT_ONCE, "it took {took:?}");
    assert_eq!(session.step("forget all").0, "[]");
}

fn assert_given_up(session: &Session) {
    let (said, took) = session.step("remember another");
    assert!(said.starts_with("error: the keyring did not answer within 5 s"), "{said}");
    assert!(took < GIVEN_UP, "it took {took:?}");
    let (said, took) = session.step("recall both");
    assert_eq!(said, "None None");
    assert!(took < 2 * GIVEN_UP, "it took {took:?}");
}

#[test]
fn a_locked_keyring_that_nobody_can_unlock_says_so() {
    let session = Session::with_keyring();
    assert_eq!(session.step("remember both").0, "(Ok(()), Ok(()))");
    let locking = ["array:objpath:/org/freedesktop/secrets/collection/login"];
    let locked = session.call("org.freedesktop.Secret.Service.Lock", &locking);
    assert!(locked.contains("collection/login"), "{locked}");
    let (said, took) = session.step("remember another");
    assert!(said.starts_with("error: the keyring is locked"), "{said}");
    assert!(took < AT_ONCE, "it took {took:?}");
    assert_eq!(session.step("recall both").0, "None None");
    assert!(session.step("forget all").0.starts_with("error: the keyring is locked"));
}

//! An SSH server in this process that asks for whatever a test wants, and notes what it was given; and a person who answers.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may stop where it finds a fault")]

use std::borrow::Cow;
use std::collections::VecDeque;
use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use llm_proxy::ssh::{Form, Person, Question, SshClient, SshError, SshHome, SshOptions};
use russh::keys::ssh_key::LineEnding;
use russh::keys::ssh_key::private::Ed25519Keypair;
use russh::keys::{PrivateKey, PublicKeyBase64};
use russh::server::{Auth, Config, Handler, PublicKeyOffer, Response, VerifiedPublicKey, run_stream};
use russh::{MethodKind, MethodSet};
use secrecy::{ExposeSecret, SecretString};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// What must be right before the next one is asked for; after the last one the user is let in.
#[derive(Clone, Debug)]
pub(crate) enum Stage {
    /// The user's key.
    Key,
    /// A password.
    Password(&'static str),
    /// Rounds of questions.
    Questions(Vec<Round>),
    /// A password that is never judged.
    Silence,
    /// What our client does not have.
    Kerberos,
}

/// One round of questions.
#[derive(Clone, Debug, Default)]
pub(crate) struct Round {
    pub(crate) name: &'static str,
    pub(crate) instructions: &'static str,
    /// Each with whether the answer may be seen, and the right answer.
    pub(crate) prompts: Vec<(&'static str, bool, &'static str)>,
    /// How long the server thinks about the answers.
    pub(crate) wait: Duration,
}

/// What a server asks for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Script {
    pub(crate) stages: Vec<Stage>,
    /// What it offers besides the stage's own method.
    pub(crate) also: Vec<MethodKind>,
    /// What it offers after something was wrong, if that is something else.
    pub(crate) after_failure: Option<Vec<MethodKind>>,
    pub(crate) banner: Option<&'static str>,
    /// Whether it lets in who only asks.
    pub(crate) open: bool,
    /// What it does as soon as it is shown anything, in place of judging it.
    pub(crate) manner: Option<Manner>,
    /// How much it refuses before that.
    pub(crate) refuses_first: usize,
}

/// How a server may treat whoever it has had enough of, without a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    HangsUp,
    Resets,
    FallsSilent,
}

/// A running server, and a home whose user it knows.
pub(crate) struct AskingServer {
    folder: TempDir,
    port: u16,
    seen: Arc<Mutex<Vec<String>>>,
    /// Cancelled when every connection that stands is to be cut.
    cut: Arc<Mutex<CancellationToken>>,
    /// How visitors are treated.
    manner: Arc<Mutex<Option<Manner>>>,
}

impl AskingServer {
    pub(crate) async fn start(script: Script) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let key = |seed| PrivateKey::from(Ed25519Keypair::from_seed(&[seed; 32]));
        let (host_key, user_key) = (key(1), key(2));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let seen = Arc::new(Mutex::new(Vec::new()));
        fs::create_dir(folder.path().join(".ssh")).unwrap();
        let known = format!("[127.0.0.1]:{port} ssh-ed25519 {}\n", host_key.public_key_base64());
        fs::write(folder.path().join(".ssh/known_hosts"), known).unwrap();
        fs::write(folder.path().join("key"), user_key.to_openssh(LineEnding::LF).unwrap()).unwrap();
        fs::write(folder.path().join("key.pub"), user_key.public_key().to_openssh().unwrap()).unwrap();
        let config = Arc::new(Config {
            keys: vec![host_key],
            auth_rejection_time: Duration::ZERO,
            auth_rejection_time_initial: Some(Duration::ZERO),
            methods: MethodSet::from(&offers(&script, 0)[..]),
            max_auth_attempts: 20,
            inactivity_timeout: None,
            ..Config::default()
        });
        let noting = Arc::clone(&seen);
        let cut = Arc::new(Mutex::new(CancellationToken::new()));
        let cutting = Arc::clone(&cut);
        let manner = Arc::new(Mutex::new(script.manner));
        let manners = Arc::clone(&manner);
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                // The server's own task outlives what starts it; without its wire it ends.
                let (mut wire, end) = tokio::io::duplex(64 * 1024);
                let cut = cutting.lock().unwrap().child_token();
                let (gone, manner) = (cut.clone(), Arc::clone(&manners));
                let at_the_end = Arc::clone(&manners);
                tokio::spawn(async move {
                    cut.run_until_cancelled(tokio::io::copy_bidirectional(&mut stream, &mut wire)).await;
                    if *at_the_end.lock().unwrap() == Some(Manner::Resets) {
                        stream.set_zero_linger().unwrap();
                    }
                });
                let user_key = user_key.public_key().clone();
                let script = script.clone();
                let visitor = Visitor {
                    script,
                    user_key,
                    stage: 0,
                    rounds: VecDeque::new(),
                    failed: false,
                    seen: noting.clone(),
                    manner,
                    refused: 0,
                    gone,
                };
                let config = Arc::clone(&config);
                tokio::spawn(async move {
                    if let Ok(running) = run_stream(config, end, visitor).await {
                        let _ = running.await;
                    }
                });
            }
        });
        Self { folder, port, seen, cut, manner }
    }

    /// What was shown to it, in order.
    pub(crate) fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }

    /// Cuts every connection that stands.
    pub(crate) fn cut(&self) {
        std::mem::take(&mut *self.cut.lock().unwrap()).cancel();
    }

    /// Treats the next visitors so, or judges what they show.
    pub(crate) fn treat_visitors(&self, manner: Option<Manner>) {
        *self.manner.lock().unwrap() = manner;
    }

    /// A file in the user's home.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The options of a user who names the right key.
    pub(crate) fn options(&self) -> SshOptions {
        SshOptions {
            identities: vec![self.path("key")],
            home: SshHome::below(self.folder.path(), "me"),
            ..SshOptions::new(format!("me@127.0.0.1:{}", self.port))
        }
    }

    /// What comes of an attempt with nobody there.
    pub(crate) async fn connect_alone(&self) -> Result<(), SshError> {
        let client = SshClient::new(&self.options(), TaskTracker::new()).unwrap();
        let result = client.connect().await;
        client.close().await;
        result
    }

    /// What comes of an attempt with a person who gives these answers, and what the person was shown.
    pub(crate) async fn connect_with(&self, answers: &[&[&'static str]]) -> (Result<(), SshError>, Vec<Form>) {
        connect_with(&self.options(), false, answers).await
    }
}

/// What comes of an attempt with a person who gives these answers, and what the person was shown.
pub(crate) async fn connect_with(
    options: &SshOptions,
    remember: bool,
    answers: &[&[&'static str]],
) -> (Result<(), SshError>, Vec<Form>) {
    let client = SshClient::new(options, TaskTracker::new()).unwrap();
    let (person, asked) = Person::somebody(remember);
    let answering = answering(asked, answers);
    let result = client.connect_with(&person).await;
    client.close().await;
    // The pool's own copy goes with its client.
    drop((client, person));
    (result, answering.await.unwrap())
}

/// Answers each form that has prompts, and leaves when there are no more answers; all forms that were shown.
fn answering(mut asked: mpsc::Receiver<Question>, answers: &[&[&'static str]]) -> JoinHandle<Vec<Form>> {
    let mut answers: VecDeque<Vec<&'static str>> = answers.iter().map(|answers| answers.to_vec()).collect();
    tokio::spawn(async move {
        let mut shown = Vec::new();
        while let Some(Question { form, answer }) = asked.recv().await {
            shown.push(form.clone());
            if form.prompts.is_empty() {
                let _ = answer.send(Vec::new());
            } else if let Some(given) = answers.pop_front() {
                let _ = answer.send(given.into_iter().map(SecretString::from).collect());
            }
        }
        shown
    })
}

/// What a person was shown, in short: the words, and each prompt with a mark where the answer is hidden.
pub(crate) fn told(forms: &[Form]) -> Vec<String> {
    let prompt = |prompt: &llm_proxy::ssh::Prompt| format!("{}{}", prompt.text, if prompt.echo { "" } else { "***" });
    let one = |form: &Form| {
        let words = Some(form.words.clone()).filter(|words| !words.is_empty());
        words.into_iter().chain(form.prompts.iter().map(prompt)).collect::<Vec<_>>().join("\n")
    };
    forms.iter().map(one).collect()
}

/// What is kept, in plain text.
pub(crate) fn plain(secret: Option<SecretString>) -> Option<String> {
    secret.map(|secret| secret.expose_secret().to_owned())
}

struct Visitor {
    script: Script,
    user_key: russh::keys::PublicKey,
    stage: usize,
    /// The rounds of this stage that are still to come.
    rounds: VecDeque<Round>,
    failed: bool,
    seen: Arc<Mutex<Vec<String>>>,
    manner: Arc<Mutex<Option<Manner>>>,
    /// How much was refused.
    refused: usize,
    /// Cancelled to hang up on this visitor.
    gone: CancellationToken,
}

fn offers(script: &Script, stage: usize) -> Vec<MethodKind> {
    let own = script.stages.get(stage).map(|stage| match stage {
        Stage::Key => MethodKind::PublicKey,
        Stage::Password(_) | Stage::Silence => MethodKind::Password,
        Stage::Questions(_) => MethodKind::KeyboardInteractive,
        Stage::Kerberos => MethodKind::GssapiWithMic,
    });
    own.into_iter().chain(script.also.iter().copied()).collect()
}

impl Visitor {
    fn note(&self, what: impl Into<String>) {
        self.seen.lock().unwrap().push(what.into());
    }

    /// What it does before it judges anything.
    async fn be_rude(&self) {
        let manner = *self.manner.lock().unwrap();
        match manner {
            Some(Manner::HangsUp | Manner::Resets) => self.gone.cancel(),
            Some(Manner::FallsSilent) => {}
            None => return,
        }
        std::future::pending::<()>().await;
    }

    fn now(&self) -> Option<Stage> {
        self.script.stages.get(self.stage).cloned()
    }

    fn right(&mut self) -> Auth {
        self.stage += 1;
        if self.stage == self.script.stages.len() {
            return Auth::Accept;
        }
        self.rejected(true)
    }

    fn wrong(&mut self) -> Auth {
        self.failed = true;
        self.refused += 1;
        self.rejected(false)
    }

    fn rejected(&self, partial_success: bool) -> Auth {
        let methods = match &self.script.after_failure {
            Some(methods) if self.failed => methods.clone(),
            Some(_) | None => offers(&self.script, self.stage),
        };
        Auth::Reject { proceed_with_methods: Some(MethodSet::from(&methods[..])), partial_success }
    }

    fn next_round(&mut self) -> Auth {
        match self.rounds.front() {
            None => self.right(),
            Some(round) => Auth::Partial {
                name: round.name.into(),
                instructions: round.instructions.into(),
                prompts: round.prompts.iter().map(|(text, echo, _)| (Cow::Borrowed(*text), *echo)).collect(),
            },
        }
    }
}

impl Handler for Visitor {
    type Error = russh::Error;

    async fn authentication_banner(&mut self) -> Result<Option<String>, Self::Error> {
        Ok(self.script.banner.map(str::to_owned))
    }

    async fn auth_none(&mut self, _user: &str) -> Result<Auth, Self::Error> {
        self.note("nothing");
        if self.script.open { Ok(Auth::Accept) } else { Ok(self.rejected(false)) }
    }

    async fn auth_password(&mut self, _user: &str, password: &str) -> Result<Auth, Self::Error> {
        self.note(format!("password {password}"));
        self.be_rude().await;
        match self.now() {
            Some(Stage::Password(right)) if right == password => Ok(self.right()),
            Some(Stage::Silence) => std::future::pending().await,
            _ => Ok(self.wrong()),
        }
    }

    async fn auth_publickey_offered(&mut self, _user: &str, offer: PublicKeyOffer<'_>) -> Result<Auth, Self::Error> {
        if self.refused >= self.script.refuses_first && self.manner.lock().unwrap().is_some() {
            self.note("a key");
            self.be_rude().await;
        }
        let known = offer.public_key.key_data() == self.user_key.key_data();
        if known && matches!(self.now(), Some(Stage::Key)) {
            return Ok(Auth::Accept);
        }
        self.note(if known { "the key, in vain" } else { "another key" });
        Ok(self.wrong())
    }

    async fn auth_publickey(&mut self, _user: &str, _key: VerifiedPublicKey<'_>) -> Result<Auth, Self::Error> {
        self.note("the key");
        Ok(self.right())
    }

    async fn auth_keyboard_interactive<'a>(
        &'a mut self,
        _user: &str,
        _submethods: &str,
        response: Option<Response<'a>>,
    ) -> Result<Auth, Self::Error> {
        let Some(Stage::Questions(rounds)) = self.now() else {
            self.note("questions, in vain");
            return Ok(self.wrong());
        };
        let Some(response) = response else {
            self.note("questions");
            self.rounds = rounds.into();
            return Ok(self.next_round());
        };
        let answers: Vec<String> = response.map(|answer| String::from_utf8(answer.to_vec()).unwrap()).collect();
        self.note(format!("answers {answers:?}"));
        self.be_rude().await;
        let Some(round) = self.rounds.pop_front() else { panic!("an answer without a question") };
        tokio::time::sleep(round.wait).await;
        let right: Vec<&str> = round.prompts.iter().map(|(.., right)| *right).collect();
        Ok(if right == answers { self.next_round() } else { self.wrong() })
    }
}

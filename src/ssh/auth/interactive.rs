//! Keyboard-interactive: the server's own questions, however many and in however many rounds (RFC 4256).

use russh::client::{AuthResult, KeyboardInteractiveAuthResponse as Reply};
use secrecy::{ExposeSecret, SecretString};
use tokio::time::timeout;

use super::authentication::{Login, VERDICT_TIMEOUT};
use crate::ssh::words::{paragraph, readable};
use crate::ssh::{Form, Prompt, SshError};

/// What is asked for, for whoever is told that nobody answered.
const WHAT: &str = "an answer to its questions (such as a one-time code)";

/// How many rounds a server may ask in one try. Some ask again and again without a prompt while they wait for a telephone.
const MOST_ROUNDS: usize = 200;

/// How many prompts a server may show at once, and how much text in all, in bytes. A person sees a screen.
const MOST_PROMPTS: usize = 64;
const MOST_TEXT: usize = 32 << 10;

/// How often the questions were begun.
#[derive(Debug, Default)]
pub(super) struct Rounds {
    begun: usize,
    /// Whether the person answered anything the last time: a try that asked for nothing would only fail again.
    answered: bool,
}

impl Login<'_> {
    /// Lets the person answer what the server asks.
    ///
    /// # Errors
    /// The server does not answer, or ends the connection; or the person does not answer.
    pub(super) async fn answer_questions(&mut self) -> Result<Option<AuthResult>, SshError> {
        if !self.may_ask() {
            self.asking.want(WHAT);
            return Ok(None);
        }
        let again = self.rounds.begun > 0;
        if again && (!self.rounds.answered || self.rounds.begun >= self.target.password_prompts) {
            return Ok(None);
        }
        self.rounds = Rounds { begun: self.rounds.begun + 1, answered: false };
        self.showing = Some("answers to its questions".to_owned());
        let mut before = if again { "Permission denied, please try again." } else { "" };
        let user = self.target.user.clone();
        let started = timeout(VERDICT_TIMEOUT, self.handle.authenticate_keyboard_interactive_start(user, None)).await;
        let mut reply = self.reply(started).await?;
        for _ in 0..MOST_ROUNDS {
            let answers = match reply {
                Reply::Success => {
                    // Even where nothing was asked: a telephone may have been.
                    self.asking.by_person = true;
                    return Ok(Some(AuthResult::Success));
                }
                Reply::Failure { remaining_methods, partial_success } => {
                    self.asking.by_person |= partial_success;
                    let failure = AuthResult::Failure { remaining_methods, partial_success };
                    return self.heard(Ok(failure)).await.map(Some);
                }
                Reply::InfoRequest { name, instructions, prompts } => {
                    let text = prompts.iter().map(|prompt| prompt.prompt.len()).sum::<usize>();
                    if prompts.len() > MOST_PROMPTS || text + name.len() + instructions.len() > MOST_TEXT {
                        return Err(self.asks_too_much(&format!("too much at once ({} prompts)", prompts.len())));
                    }
                    let words = [before.to_owned(), paragraph(&name), paragraph(&instructions)];
                    before = "";
                    self.answers(words, &prompts).await?
                }
            };
            let answers = answers.iter().map(|answer| answer.expose_secret().to_owned()).collect();
            let responding = self.handle.authenticate_keyboard_interactive_respond(answers);
            let heard = timeout(VERDICT_TIMEOUT, responding).await;
            reply = self.reply(heard).await?;
        }
        Err(self.asks_too_much(&format!("without an end ({MOST_ROUNDS} rounds)")))
    }

    fn asks_too_much(&self, how: &str) -> SshError {
        SshError::Protocol { host: self.target.called(), problem: format!("it asks {how}") }
    }

    /// What the person answers; nothing, at once, where nothing is asked. No answer is ever made up.
    async fn answers(
        &mut self,
        words: [String; 3],
        prompts: &[russh::client::Prompt],
    ) -> Result<Vec<SecretString>, SshError> {
        let words = words.iter().filter(|words| !words.is_empty()).cloned().collect::<Vec<_>>().join("\n");
        if prompts.is_empty() {
            self.asking.tell(words).await;
            return Ok(Vec::new());
        }
        let account = self.asking.account();
        let prompt = |prompt: &russh::client::Prompt| Prompt {
            text: format!("({account}) {}", readable(&prompt.prompt)),
            echo: prompt.echo,
        };
        let answers = self.asking.ask(Form { words, prompts: prompts.iter().map(prompt).collect() }, WHAT).await?;
        self.rounds.answered = true;
        self.secret_given = true;
        Ok(answers)
    }

    async fn reply(
        &mut self,
        heard: Result<Result<Reply, russh::Error>, tokio::time::error::Elapsed>,
    ) -> Result<Reply, SshError> {
        match heard {
            Ok(Ok(reply)) => Ok(reply),
            Ok(Err(_)) => Err(self.ended().await),
            Err(_) => Err(self.no_verdict(VERDICT_TIMEOUT)),
        }
    }
}

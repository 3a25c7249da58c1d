//! The conversation in which a person at another terminal brings the link to the host back.

use secrecy::SecretString;
use tokio::sync::{MutexGuard, oneshot};

use super::desk::Desk;
use super::question::question;
use super::talk::{Talk, TalkError};
use crate::api::{Answer, Answers, Done, Failure, FailureKind, Reply};
use crate::ssh::{Form, Person, SshError};

/// What a second terminal is told.
const ANOTHER_IS_ASKED: &str = "another terminal is being asked: answer there, or end it with Ctrl-C";

/// The question that a client is asked. Its number keeps an answer that comes late from being taken for the next one's.
#[derive(Default)]
struct Open {
    number: u64,
    answer: Option<oneshot::Sender<Vec<SecretString>>>,
}

/// Connects, and hands on questions and answers. Nothing where the client left.
pub(super) async fn login(talk: &mut Talk, desk: &Desk, remember: bool) -> Result<Option<Reply>, TalkError> {
    let name = desk.handle.name();
    let Some(client) = desk.reach.borrow().client.clone() else {
        let what = format!("{name} runs on this machine: there is no host to log in to");
        return Ok(Some(Reply::Failed(Failure { kind: FailureKind::Usage, what, hint: None })));
    };
    let mut open = Open::default();
    let Some(_turn) = turn(talk, desk, &mut open).await? else { return Ok(None) };
    let (person, mut asked) = Person::somebody(remember);
    let connecting = client.connect_with(&person);
    tokio::pin!(connecting);
    let outcome = loop {
        tokio::select! {
            biased;
            outcome = &mut connecting => break outcome,
            Some(asked) = asked.recv() => open.ask(talk, asked.form, Some(asked.answer)).await?,
            // Also where nothing is asked: so we see the client leave, and with it the one who would answer.
            answers = talk.hear::<Answers>() => {
                let Some(answers) = answers? else { return Ok(None) };
                open.answered(answers);
            }
        }
    };
    Ok(Some(match outcome {
        Ok(()) => {
            desk.handle.reset();
            Reply::Done(Done { words: format!("connected to {}", client.name()) })
        }
        Err(error) => Reply::Failed(failure(&error)),
    }))
}

/// Waits until no other terminal is asked, and says so. Nothing where the client left.
async fn turn<'a>(talk: &mut Talk, desk: &'a Desk, open: &mut Open) -> Result<Option<MutexGuard<'a, ()>>, TalkError> {
    if let Ok(turn) = desk.asked.try_lock() {
        return Ok(Some(turn));
    }
    let form = Form { words: ANOTHER_IS_ASKED.to_owned(), prompts: Vec::new() };
    open.ask(talk, form, None).await?;
    let turn = desk.asked.lock();
    tokio::pin!(turn);
    loop {
        tokio::select! {
            turn = &mut turn => return Ok(Some(turn)),
            answers = talk.hear::<Answers>() => if answers?.is_none() { return Ok(None) },
        }
    }
}

impl Open {
    /// Asks; whatever was asked before is closed.
    async fn ask(
        &mut self,
        talk: &mut Talk,
        form: Form,
        answer: Option<oneshot::Sender<Vec<SecretString>>>,
    ) -> Result<(), TalkError> {
        *self = Self { number: self.number + 1, answer };
        Ok(talk.say(&Reply::Question(question(self.number, form))).await?)
    }

    /// What is answered to another question is passed over. No answer at all drops the place for it, which tells the one who
    /// asked.
    fn answered(&mut self, answers: Answers) {
        let open = if answers.number == self.number { self.answer.take() } else { None };
        if let (Some(open), Some(answers)) = (open, answers.answers) {
            drop(open.send(answers.into_iter().map(Answer::into_secret).collect()));
        }
    }
}

/// What a person is told of a connection that cannot be made.
#[must_use]
pub fn failure(error: &SshError) -> Failure {
    let kind = if error.is_authentication() {
        FailureKind::Authentication
    } else if error.is_host_key() {
        FailureKind::HostKey
    } else {
        FailureKind::Failure
    };
    Failure { kind, what: error.to_string(), hint: error.remedy() }
}

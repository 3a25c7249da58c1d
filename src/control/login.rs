//! The conversation in which a person at another terminal brings the link to the host back.

use secrecy::SecretString;
use tokio::sync::oneshot;

use super::desk::Desk;
use super::talk::{Talk, TalkError};
use crate::api::{self, Answer, Answers, Done, Failure, FailureKind, Question, Reply};
use crate::ssh::{Form, Person, SshError};

/// Connects, and hands on questions and answers. Nothing where the client left.
pub(super) async fn login(talk: &mut Talk, desk: &Desk, remember: bool) -> Result<Option<Reply>, TalkError> {
    let name = desk.handle.name();
    let Some(client) = &desk.client else {
        let what = format!("{name} runs on this machine: there is no host to log in to");
        return Ok(Some(Reply::Failed(Failure { kind: FailureKind::Usage, what, hint: None })));
    };
    let (person, mut asked) = Person::somebody(remember);
    let connecting = client.connect_with(&person);
    tokio::pin!(connecting);
    let mut open: Option<oneshot::Sender<Vec<SecretString>>> = None;
    let outcome = loop {
        tokio::select! {
            biased;
            outcome = &mut connecting => break outcome,
            Some(question) = asked.recv() => {
                talk.say(&Reply::Question(on_the_wire(question.form))).await?;
                open = Some(question.answer);
            }
            // Also where nothing is asked: so we see the client leave, and with it the one who would answer.
            answers = talk.hear::<Answers>() => {
                let Some(answers) = answers? else { return Ok(None) };
                // No answer at all drops the place for it, which tells the one who asked.
                if let (Some(open), Some(answers)) = (open.take(), answers.answers) {
                    drop(open.send(answers.into_iter().map(Answer::into_secret).collect()));
                }
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

fn on_the_wire(form: Form) -> Question {
    let prompts = form.prompts.into_iter().map(|prompt| api::Prompt { text: prompt.text, echo: prompt.echo }).collect();
    Question { words: form.words, prompts }
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

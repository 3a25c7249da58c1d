//! The one who can answer what only a person knows, if anybody is there.
//!
//! Every question has the one shape that the server's own have (keyboard-interactive, RFC 4256): some words, and prompts of
//! which each is answered by a line. So whoever asks the person, a terminal or another program over a socket, need not know
//! what is asked about.

use secrecy::SecretString;
use tokio::sync::{mpsc, oneshot};

/// A person who may be asked, or nobody.
#[derive(Clone, Debug, Default)]
pub struct Person {
    questions: Option<mpsc::Sender<Question>>,
    /// Whether what the person tells us is to be kept in the system's keyring; one-time codes never are.
    remember: bool,
}

/// Some words for a person, and what is to be answered.
#[derive(Debug)]
pub struct Question {
    /// What to show, and what to ask.
    pub form: Form,
    /// Where the answers go, one for each prompt. Dropping it means that the person will not answer.
    pub answer: oneshot::Sender<Vec<SecretString>>,
}

/// What to show, and what to ask. All of it is made safe for a terminal, but may be several lines.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Form {
    /// Words above the prompts; empty where there is nothing to say.
    pub words: String,
    /// What is asked; none where the words are only to be read.
    pub prompts: Vec<Prompt>,
}

/// One line that is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prompt {
    /// What stands before the place of the answer.
    pub text: String,
    /// Whether the answer may be seen while it is typed.
    pub echo: bool,
}

impl Person {
    /// Nobody: every question stays without an answer.
    #[must_use]
    pub fn nobody() -> Self {
        Self::default()
    }

    /// Somebody, whose questions come out of the receiver, one after the other. With `remember`, passphrases and passwords
    /// that turn out to be right are kept in the system's keyring.
    #[must_use]
    pub fn somebody(remember: bool) -> (Self, mpsc::Receiver<Question>) {
        let (questions, asked) = mpsc::channel(1);
        (Self { questions: Some(questions), remember }, asked)
    }

    /// Whether there is somebody to ask.
    #[must_use]
    pub fn is_there(&self) -> bool {
        self.questions.as_ref().is_some_and(|questions| !questions.is_closed())
    }

    /// Whether right passphrases and passwords are to be kept in the system's keyring.
    #[must_use]
    pub fn wants_it_remembered(&self) -> bool {
        self.remember
    }

    /// Asks, and waits for as long as it takes; `None` where nobody answers. The caller bounds the time.
    pub async fn ask(&self, form: Form) -> Option<Vec<SecretString>> {
        let prompts = form.prompts.len();
        let (answer, answered) = oneshot::channel();
        self.questions.as_ref()?.send(Question { form, answer }).await.ok()?;
        answered.await.ok().filter(|answers| answers.len() == prompts)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may stop where it finds a fault")]

    use secrecy::ExposeSecret;

    use super::*;

    fn form() -> Form {
        Form { words: "w".to_owned(), prompts: vec![Prompt { text: "p: ".to_owned(), echo: false }] }
    }

    #[tokio::test]
    async fn nobody_answers_nothing() {
        assert!(!Person::nobody().is_there());
        assert!(Person::nobody().ask(form()).await.is_none());
        let (person, asked) = Person::somebody(false);
        assert!(person.is_there());
        drop(asked);
        assert!(!person.is_there());
        assert!(person.ask(form()).await.is_none());
    }

    #[tokio::test]
    async fn somebody_is_asked_and_answers_every_prompt_or_none() {
        for (given, taken) in [(vec!["a"], true), (Vec::new(), false), (vec!["a", "b"], false)] {
            let (person, mut asked) = Person::somebody(false);
            let answering = async {
                let Question { form: seen, answer } = asked.recv().await.unwrap();
                assert_eq!(seen, form());
                answer.send(given.iter().copied().map(SecretString::from).collect()).unwrap();
            };
            let (answers, ()) = tokio::join!(person.ask(form()), answering);
            let answers =
                answers.map(|answers| answers.iter().map(|a| a.expose_secret().to_owned()).collect::<Vec<_>>());
            assert_eq!(answers, taken.then(|| vec!["a".to_owned()]));
        }
    }
}

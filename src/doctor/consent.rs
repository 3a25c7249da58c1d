//! What is shown and asked before anything is changed.

use secrecy::ExposeSecret as _;

use super::mend::Compared;
use super::{Mend, own_file};
use crate::ssh::{Form, Person, Prompt};

/// What the doctor asks, unless there is something to compare.
const QUESTION: &str = "Do it now? (yes/no) ";

/// What a person sees, and says yes to or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Consent {
    words: String,
    question: String,
    /// What has to be compared: typed in, it is a yes, too, and nothing shorter than `yes` is.
    fingerprint: Option<String>,
}

impl Consent {
    /// What is asked before this is done.
    pub(super) fn to(mend: &Mend) -> Self {
        let plain = |words: String| Self { words, question: QUESTION.to_owned(), fingerprint: None };
        match mend {
            Mend::Append { file, text } => plain(format!("The doctor can add to {}:\n{text}", file.display())),
            Mend::NewFile { file, text } => {
                plain(format!("The doctor can write {}, which only you can read:\n{text}", file.display()))
            }
            Mend::Trust { file, line, compared } => {
                Self::to_trust(format!("The doctor can add to {}:\n{line}", file.display()), compared)
            }
            Mend::Mode { path, mode } => plain(format!("The doctor can run: chmod {mode:o} {}", path.display())),
            Mend::NewKey { file } => plain(format!(
                "The doctor can make a key without a passphrase: ssh-keygen -t ed25519 -N '' -f {}\n\
                 (for one with a passphrase say no, make it by hand, and keep it in an agent)",
                file.display()
            )),
            Mend::Install { public } => {
                let text = own_file::text(public).unwrap_or_default();
                plain(format!("The doctor can add to ~/.ssh/authorized_keys on the host:\n{}", text.trim()))
            }
            Mend::OnHost { shown, script: _, trust: None } => {
                plain(format!("The doctor can run on the host:\n{shown}"))
            }
            Mend::OnHost { shown, script: _, trust: Some(compared) } => {
                Self::to_trust(format!("The doctor can run on the host:\n{shown}"), compared)
            }
        }
    }

    /// The fingerprint stands in the question itself: that is what is answered.
    fn to_trust(words: String, compared: &Compared) -> Self {
        let Compared { host, fingerprint, with } = compared;
        let question = format!("Is {fingerprint} {with} {host}? If so, add it? (yes/no) ");
        Self { words, question, fingerprint: Some(fingerprint.clone()) }
    }

    /// Shows it, and asks. Nothing but a clear yes is one.
    pub(super) async fn ask(self, person: &Person) -> bool {
        let prompts = vec![Prompt { text: self.question, echo: true }];
        let answers = person.ask(Form { words: self.words, prompts }).await;
        let Some(answer) = answers.as_ref().and_then(|answers| answers.first()) else { return false };
        let answer = answer.expose_secret().trim();
        match &self.fingerprint {
            Some(fingerprint) => answer.eq_ignore_ascii_case("yes") || answer == fingerprint,
            None => ["y", "yes"].iter().any(|yes| answer.eq_ignore_ascii_case(yes)),
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may stop where it finds a fault")]

    use test_case::test_case;

    use super::*;

    fn trust() -> Mend {
        let compared =
            Compared { host: "h".to_owned(), fingerprint: "SHA256:x".to_owned(), with: "what is published for" };
        Mend::Trust { file: "/k".into(), line: "h ssh-ed25519 AAAA".to_owned(), compared }
    }

    #[test_case(trust(), "yes", true)]
    #[test_case(trust(), " YES ", true)]
    #[test_case(trust(), "SHA256:x", true; "the fingerprint")]
    #[test_case(trust(), "SHA256:X", false; "another fingerprint")]
    #[test_case(trust(), "y", false; "too short for trust")]
    #[test_case(trust(), "", false; "nothing for trust")]
    #[test_case(Mend::Mode { path: "/k".into(), mode: 0o600 }, "y", true)]
    #[test_case(Mend::Mode { path: "/k".into(), mode: 0o600 }, "yep", false)]
    #[tokio::test]
    async fn only_a_clear_yes_is_one(mend: Mend, answer: &str, expected: bool) {
        let (person, mut asked) = Person::somebody(false);
        let answering = async {
            let question = asked.recv().await.unwrap();
            let prompt = question.form.prompts.first().unwrap().text.clone();
            question.answer.send(vec![answer.to_owned().into()]).unwrap();
            prompt
        };
        let (given, prompt) = tokio::join!(Consent::to(&mend).ask(&person), answering);
        assert_eq!(given, expected);
        assert!(prompt.ends_with("? (yes/no) "), "{prompt}");
        assert_eq!(prompt.contains("SHA256:x"), matches!(mend, Mend::Trust { .. }), "{prompt}");
    }
}

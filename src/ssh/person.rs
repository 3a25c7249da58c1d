//! The one who can answer what only a person knows, if anybody is there.
//!
//! Every question has the one shape that the server's own have (keyboard-interactive, RFC 4256): some words, and prompts of
//! which each is answered by a line. So whoever asks the person, a terminal or another program over a socket, need not know
//! what is asked about.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use secrecy::SecretString;
use tokio::sync::{mpsc, oneshot};

/// The most prompts that are asked at once: each wants a line of its own.
const MOST_PROMPTS: usize = 64;

/// What a line break counts for beside letters, which count their bytes: a screen is filled by short lines as well.
const LINE: usize = 80;

/// How much is shown above prompts, how much of one prompt, and how much of all prompts together. A question on its way over
/// the control socket takes twice as many bytes at most, and so fits into a line of that.
const MOST_WORDS: usize = 16 * 1024;
const LONGEST_PROMPT: usize = 4 * 1024;
const MOST_OF_PROMPTS: usize = 12 * 1024;

/// How much is shown in all that nobody has to answer: some servers speak on for as long as they are listened to.
const MOST_TOLD: usize = 64 * 1024;

/// Stands where something was cut off.
const CUT: &str = " [...] ";

/// A person who may be asked, or nobody.
#[derive(Clone, Debug, Default)]
pub struct Person {
    questions: Option<mpsc::Sender<Question>>,
    /// Whether what the person tells us is to be kept in the system's keyring; one-time codes never are.
    remember: bool,
    /// How much was shown that nobody had to answer.
    told: Arc<AtomicUsize>,
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
        (Self { questions: Some(questions), remember, told: Arc::default() }, asked)
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

    /// Asks, and waits for as long as it takes; `None` where nobody answers. The caller bounds the time; how much is shown is
    /// bounded here, for much of it is a server's. Words that want no answer are passed over once there were too many.
    pub async fn ask(&self, form: Form) -> Option<Vec<SecretString>> {
        let prompts = form.prompts.len();
        if prompts > MOST_PROMPTS {
            let words = format!("{prompts} answers are asked for at once, more than {MOST_PROMPTS}: none is given");
            self.put(Form { words, prompts: Vec::new() }).await;
            return None;
        }
        let form = form.bounded();
        if prompts == 0 {
            let told = self.told.fetch_add(area(&form.words), Ordering::Relaxed);
            if told > MOST_TOLD {
                return Some(Vec::new());
            }
        }
        self.put(form).await
    }

    async fn put(&self, form: Form) -> Option<Vec<SecretString>> {
        let prompts = form.prompts.len();
        let (answer, answered) = oneshot::channel();
        self.questions.as_ref()?.send(Question { form, answer }).await.ok()?;
        answered.await.ok().filter(|answers| answers.len() == prompts)
    }
}

impl Form {
    /// As much of it as is shown.
    fn bounded(self) -> Self {
        let mut left = MOST_OF_PROMPTS;
        let prompts = self.prompts.into_iter().map(|prompt| {
            let text = beginning(prompt.text, left.min(LONGEST_PROMPT));
            left = left.saturating_sub(area(&text));
            Prompt { text, echo: prompt.echo }
        });
        Self { prompts: prompts.collect(), words: beginning(self.words, MOST_WORDS) }
    }
}

/// How much of a screen a text takes.
fn area(text: &str) -> usize {
    text.chars().map(weight).sum()
}

fn weight(character: char) -> usize {
    if character == '\n' { LINE } else { character.len_utf8() }
}

/// A text as far as it fits.
fn beginning(mut text: String, most: usize) -> String {
    let mut left = most;
    let mut fits = |(_, character): &(usize, char)| {
        let rest = left.checked_sub(weight(*character));
        left = rest.unwrap_or(0);
        rest.is_some()
    };
    let cut = text.char_indices().find(|place| !fits(place)).map(|(place, _)| place);
    if let Some(cut) = cut {
        text.truncate(cut);
        text.push_str(CUT);
    }
    text
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

    /// What is shown of these forms, one after the other; whoever is asked answers `a` to everything.
    async fn shown(forms: Vec<Form>) -> Vec<(Form, bool)> {
        let (person, mut asked) = Person::somebody(false);
        let asking = async {
            let mut answered = Vec::new();
            for form in forms {
                answered.push(person.ask(form).await.is_some());
            }
            drop(person);
            answered
        };
        let answering = async {
            let mut shown = Vec::new();
            while let Some(Question { form, answer }) = asked.recv().await {
                answer.send(form.prompts.iter().map(|_| "a".into()).collect()).unwrap();
                shown.push(form);
            }
            shown
        };
        let (answered, shown) = tokio::join!(asking, answering);
        shown.into_iter().zip(answered).collect()
    }

    #[tokio::test]
    async fn no_question_is_too_much_for_a_screen_or_a_line_of_the_control_socket() {
        let prompt = |text: &str| Prompt { text: text.to_owned(), echo: false };
        for piece in ["\"", "\u{1f980}", "\n", "\\", "a line\n"] {
            let text = piece.repeat(100_000);
            let form = Form { words: text.clone(), prompts: vec![prompt(&text); MOST_PROMPTS] };
            let shown = shown(vec![form]).await;
            let [(form, true)] = shown.as_slice() else { unreachable!("one is shown") };
            let lines = form.prompts.iter().map(|prompt| &prompt.text).chain([&form.words]);
            assert!(lines.map(|text| text.lines().count()).sum::<usize>() < 500, "{piece:?}");
            assert!(form.words.ends_with(CUT) && form.prompts.iter().all(|prompt| prompt.text.ends_with(CUT)));
            let wire = crate::api::Question {
                number: u64::MAX,
                words: form.words.clone(),
                prompts: form
                    .prompts
                    .iter()
                    .map(|prompt| crate::api::Prompt { text: prompt.text.clone(), echo: prompt.echo })
                    .collect(),
            };
            let line = serde_json::to_string(&crate::api::Reply::Question(wire)).unwrap();
            assert!(line.len() < 64 * 1024, "{piece:?}: {}", line.len());
        }
    }

    #[tokio::test]
    async fn too_many_prompts_are_not_asked_and_it_is_said() {
        let many = Form { prompts: vec![form().prompts.remove(0); MOST_PROMPTS + 1], ..form() };
        let shown = shown(vec![many, form()]).await;
        let [(told, false), (after, true)] = shown.as_slice() else { unreachable!("two are shown") };
        assert_eq!(told.words, "65 answers are asked for at once, more than 64: none is given");
        assert!(told.prompts.is_empty());
        assert_eq!(after, &form());
    }

    #[tokio::test]
    async fn a_server_that_speaks_without_an_end_is_not_shown_without_an_end() {
        let told = Form { words: "please wait\n".repeat(10), prompts: Vec::new() };
        let shown = shown(vec![told.clone(); 1000].into_iter().chain([form()]).collect()).await;
        let lines: usize = shown.iter().map(|(form, _)| form.words.lines().count()).sum();
        assert!((500..1500).contains(&lines), "{lines}");
        assert_eq!(shown.last().unwrap().0, form(), "what is asked is still shown");
        assert!(shown.iter().all(|(_, answered)| *answered));
    }
}

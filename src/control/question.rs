//! What a person is asked, on its way over the socket.

use crate::api;
use crate::ssh::{Form, Prompt};

/// For the wire.
pub(super) fn question(number: u64, form: Form) -> api::Question {
    let prompts = form.prompts.into_iter().map(|prompt| api::Prompt { text: prompt.text, echo: prompt.echo }).collect();
    api::Question { number, words: form.words, prompts }
}

/// From the wire: what its answers are to name, and what is to be shown.
#[must_use]
pub fn form(question: api::Question) -> (u64, Form) {
    let prompts = question.prompts.into_iter().map(|prompt| Prompt { text: prompt.text, echo: prompt.echo }).collect();
    (question.number, Form { words: question.words, prompts })
}

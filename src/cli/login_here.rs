//! Before the first request: whoever started `serve` on a terminal answers there what the host asks.

use super::Report;
use super::announce::say;
use super::prompter::Prompter;
use crate::app::Opened;
use crate::control;
use crate::ssh::{Person, Question, SshError};

/// Connects to the login host, and lets this terminal answer what it asks.
///
/// # Errors
/// Only a person can mend it. What may pass by itself is told, and tried again at the first request.
pub(super) async fn log_in(instance: &Opened) -> Result<(), Report> {
    match answering(async |person| instance.log_in(&person).await).await {
        Ok(()) => Ok(()),
        Err(error) if error.needs_person() => Err(control::failure(&error).into()),
        Err(error) => {
            say(&format!("warning: {error}; the first request tries again"));
            if let Some(remedy) = error.remedy() {
                say(&format!("hint: {remedy}"));
            }
            Ok(())
        }
    }
}

/// Lets this terminal answer what is asked while something connects.
pub(super) async fn answering(connect: impl AsyncFnOnce(Person) -> Result<(), SshError>) -> Result<(), SshError> {
    let (person, mut asked) = Person::somebody(false);
    let connecting = connect(person);
    tokio::pin!(connecting);
    let mut prompter = None;
    loop {
        let Question { form, mut answer } = tokio::select! {
            biased;
            connected = &mut connecting => return connected,
            Some(question) = asked.recv() => question,
        };
        if prompter.is_none() {
            prompter = Prompter::new().ok();
        }
        let Some(prompter) = &mut prompter else { continue };
        tokio::select! {
            biased;
            connected = &mut connecting => return connected,
            // The host gave up on it.
            () = answer.closed() => {}
            answers = prompter.ask(&form) => {
                if let Some(answers) = answers {
                    drop(answer.send(answers));
                }
            }
        }
    }
}

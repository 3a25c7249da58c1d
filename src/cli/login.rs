//! `login`: a person answers here what the host of a running proxy asks.

use std::process::ExitCode;

use clap::Args;
use secrecy::SecretString;

use super::announce::say;
use super::prompter::Prompter;
use super::signals::Signals;
use super::{Exit, Report, instances, terminal};
use crate::api::{Answer, Answers, Ask, Reply};
use crate::control::{self, Client};
use crate::ssh::Form;
use crate::vault::Vault;

/// The arguments of `login`.
#[derive(Args)]
pub struct LoginArgs {
    /// The instance [default: the only one that runs]
    pub name: Option<String>,

    /// Keep passphrases and passwords that turn out to be right in the system's keyring; one-time codes never
    #[arg(long)]
    pub remember: bool,

    /// Take all that was ever kept out of the system's keyring, and stop
    #[arg(long, conflicts_with_all = ["name", "remember"])]
    pub forget: bool,
}

/// Runs `login`.
pub(super) fn run(args: &LoginArgs) -> Result<ExitCode, Report> {
    if args.forget {
        return instances::run(forget());
    }
    instances::run(async {
        let mut signals = Signals::listen().map_err(Report::failure)?;
        let instance = instances::choose(args.name.as_deref(), "login").await?;
        let mut client = instances::ask(&instance, Ask::Login { remember: args.remember }).await?;
        tokio::select! {
            words = converse(&mut client) => say(&format!("{}: {}", instance.name, words?)),
            () = signals.next() => return Err(left()),
        }
        Ok(ExitCode::SUCCESS)
    })
}

/// Works whether a proxy runs or not.
async fn forget() -> Result<ExitCode, Report> {
    let forgotten = Vault::system().forget_all().await.map_err(Report::failure)?;
    if forgotten.is_empty() {
        say("nothing was kept");
    }
    for item in forgotten {
        say(&format!("forgotten: {item}"));
    }
    Ok(ExitCode::SUCCESS)
}

/// The person left in the middle of a line.
pub(super) fn left() -> Report {
    Report { what: "left before the host let us in".to_owned(), hint: None, exit: Exit::Interrupted }
}

/// Answers at this terminal until the proxy is connected; what is so then, in words. Where nobody sits at a terminal, every
/// question stays without an answer.
pub(super) async fn converse(client: &mut Client) -> Result<String, Report> {
    let prompter = terminal::is_attended().then(Prompter::new);
    let mut prompter = prompter.transpose().map_err(Report::failure)?;
    let mut open = None;
    loop {
        let reply = match open.take() {
            None => client.next().await,
            Some((number, form)) => {
                let asking = answers(prompter.as_mut(), &form);
                tokio::pin!(asking);
                tokio::select! {
                    // Whatever the proxy says closes the question.
                    reply = client.next() => reply,
                    answers = &mut asking => {
                        let answers = answers.map(|answers| answers.into_iter().map(Answer::new).collect());
                        client.answer(&Answers { number, answers }).await.map_err(Report::failure)?;
                        continue;
                    }
                }
            }
        };
        match reply.map_err(Report::failure)? {
            Reply::Question(question) => open = Some(control::form(question)),
            Reply::Done(done) => return Ok(done.words),
            Reply::Failed(failure) => return Err(failure.into()),
            Reply::Status(_) | Reply::Log(_) | Reply::Progress(_) => {}
        }
    }
}

/// What the person here answers; words are shown also where nobody can answer.
async fn answers(prompter: Option<&mut Prompter>, form: &Form) -> Option<Vec<SecretString>> {
    match prompter {
        Some(prompter) => prompter.ask(form).await,
        None if form.prompts.is_empty() => {
            terminal::print(&form.words);
            Some(Vec::new())
        }
        None => None,
    }
}

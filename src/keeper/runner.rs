//! The scripts that run on the host itself: starting a life, finding it again, forgetting it, sweeping, asking.

use super::script::{MEMBERS, check_marker};
use super::text::{Assignments, Nonce, Script, ScriptError};
use crate::host::quote::quote;
use crate::id::{InstanceName, LifeId};

const PIPE: &str = include_str!("pipe.sh");
const LIFE: &str = include_str!("life.sh");
const RUNNER: &str = include_str!("runner.sh");
const SUBMIT: &str = include_str!("submit.sh");
const JOB: &str = include_str!("job.sh");
const FRESH: &str = include_str!("fresh.sh");
const SWEEP: &str = include_str!("sweep.sh");
const COMMAND: &str = include_str!("command.sh");
const FORGET_SLURM: &str = include_str!("forget_slurm.sh");
const RELAY: &str = include_str!("relay.sh");

/// Becomes the keeper, whose script comes on standard input.
const KEEPER_SHELL: [&str; 2] = ["/bin/sh", "-s"];

/// The name of a life's folder on its host, under `$XDG_STATE_HOME/llm-proxy/lives` (`~/.local/state/…`).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Folder(String);

/// The runner of one life: frames and folder.
#[derive(Clone, Debug)]
pub struct Runner {
    /// Frames the reports: the runner's, and the keeper's of the same life.
    pub nonce: Nonce,
    /// Where the life's files are.
    pub folder: Folder,
    /// Whether the life runs on another machine, which has these files by a file system that both share.
    pub far: bool,
}

/// What a sweep does to what it finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sweep {
    /// Counts it.
    Count,
    /// Kills it, and counts what is left.
    Kill,
}

impl Folder {
    /// The folder of one life of an instance.
    ///
    /// # Errors
    /// A name that was read from somewhere could lead out of the folder of all lives.
    pub fn new(instance: &InstanceName, life: &LifeId) -> Result<Self, ScriptError> {
        let name = format!("{instance}-{life}");
        let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
        if name.starts_with('.') || name.starts_with('-') || !name.bytes().all(fits) {
            return Err(ScriptError::Folder(name));
        }
        Ok(Self(name))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Runner {
    /// Makes the folder, starts `launcher` (`srun` and its arguments; empty for a plain process) with the keeper on its
    /// standard input, detached, and follows. Says `at`, waits for [`go`](super::ControlWord::Go), and says `launched`, or
    /// an error.
    ///
    /// # Errors
    /// A word cannot be written.
    pub fn launch<S: AsRef<str>>(
        &self,
        launcher: &[S],
        marker: &LifeId,
        keeper: &Script,
    ) -> Result<Script, ScriptError> {
        let mut words: Vec<&str> = launcher.iter().map(AsRef::as_ref).collect();
        words.extend(KEEPER_SHELL);
        let life = self.life(marker, keeper)?.function("launcher", &format!("forget_slurm\n{}", quote(&words)?));
        self.launching(&life.then(&[PIPE, FRESH, FORGET_SLURM, LIFE]))
    }

    /// The same with a job that is the life itself: `submitter` (`sbatch` and its arguments) is given a script without secrets,
    /// which finds the life's own in its folder. Nothing of it stays on the host. Says `submitted` once Slurm has taken it.
    ///
    /// # Errors
    /// A word cannot be written.
    pub fn submit<S: AsRef<str>>(
        &self,
        submitter: &[S],
        marker: &LifeId,
        keeper: &Script,
    ) -> Result<Script, ScriptError> {
        let words: Vec<&str> = submitter.iter().map(AsRef::as_ref).collect();
        let life = self.life(marker, keeper)?.function("launcher", &quote(&KEEPER_SHELL)?);
        let submission = Assignments::default()
            .set("NONCE", self.nonce.as_str())?
            .set("JOB", JOB)?
            .set("LIFE", life.then(&[PIPE, FRESH, LIFE]).expose())?
            .function("ask_slurm", &format!("{} \"$@\"", quote(&words)?));
        self.launching(&submission.then(&[FORGET_SLURM, SUBMIT]))
    }

    fn life(&self, marker: &LifeId, keeper: &Script) -> Result<Assignments, ScriptError> {
        check_marker(marker)?;
        Ok(Assignments::default()
            .set("NONCE", self.nonce.as_str())?
            .set("MARKER", marker.as_str())?
            .set("FAR", self.far())?
            .set("KEEPER", keeper.expose())?)
    }

    fn launching(&self, life: &Script) -> Result<Script, ScriptError> {
        Ok(self.assignments("launch", 0)?.set("LIFE", life.expose())?.then(&[FRESH, RUNNER]))
    }

    /// Finds the life again: all its reports from the first on, and its log from `log_offset` bytes on. Says `attached` and `at`,
    /// or `at` and an error.
    ///
    /// # Errors
    /// A word cannot be written.
    pub fn attach(&self, log_offset: u64) -> Result<Script, ScriptError> {
        Ok(self.assignments("attach", log_offset)?.then(&[FRESH, RUNNER]))
    }

    /// The same for a life that was seen to be over, from outside: `ended` is said for it, unless it did so itself.
    ///
    /// # Errors
    /// A word cannot be written.
    pub fn attach_to_ended(&self, log_offset: u64) -> Result<Script, ScriptError> {
        Ok(self.assignments("attach", log_offset)?.set("OVER", "1")?.then(&[FRESH, RUNNER]))
    }

    /// Ends the launcher, such as an `srun` whose job waits. The life then says `ended`. Says `stopping`.
    ///
    /// # Errors
    /// A word cannot be written.
    pub fn end_launcher(&self) -> Result<Script, ScriptError> {
        Ok(self.assignments("end", 0)?.then(&[FRESH, RUNNER]))
    }

    /// Removes the life's folder. Says `forgotten`, also where there was none.
    ///
    /// # Errors
    /// A word cannot be written.
    pub fn forget(&self) -> Result<Script, ScriptError> {
        Ok(self.assignments("forget", 0)?.then(&[FRESH, RUNNER]))
    }

    fn assignments(&self, mode: &str, log_offset: u64) -> Result<Assignments, ScriptError> {
        Ok(Assignments::default()
            .set("NONCE", self.nonce.as_str())?
            .set("NAME", self.folder.as_str())?
            .set("MODE", mode)?
            .set("LOG_OFFSET", &log_offset.to_string())?
            .set("FAR", self.far())?
            .set("OVER", "")?)
    }

    fn far(&self) -> &'static str {
        if self.far { "1" } else { "" }
    }
}

/// Looks for what still carries a life's marker on a host. Says `left`.
///
/// # Errors
/// The marker could be part of another life's.
pub fn sweep(nonce: &Nonce, marker: &LifeId, what: Sweep) -> Result<Script, ScriptError> {
    check_marker(marker)?;
    let only_count = match what {
        Sweep::Count => "1",
        Sweep::Kill => "",
    };
    Ok(Assignments::default()
        .set("NONCE", nonce.as_str())?
        .set("MARKER", marker.as_str())?
        .set("ONLY_COUNT", only_count)?
        .then(&[MEMBERS, SWEEP]))
}

/// Runs one command whose standard output [`framed`](super::framed) finds again. Its environment is left as it is.
///
/// # Errors
/// There is no word, or one cannot be written.
pub fn command<S: AsRef<str>>(nonce: &Nonce, words: &[S]) -> Result<Script, ScriptError> {
    if words.is_empty() {
        return Err(ScriptError::NoCommand);
    }
    Ok(Assignments::default().set("NONCE", nonce.as_str())?.function("command_words", &quote(words)?).then(&[COMMAND]))
}

/// Becomes `words`, with the connection's standard streams: the far end of a relay, or what starts it.
///
/// # Errors
/// A word cannot be written.
pub fn relay<S: AsRef<str>>(words: &[S]) -> Result<Script, ScriptError> {
    let line = format!("exec {}", quote(words)?);
    Ok(Assignments::default().function("become_relay", &line).then(&[FORGET_SLURM, RELAY]))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]
    use super::*;

    #[test]
    fn a_kept_name_cannot_lead_elsewhere() {
        let life: LifeId = serde_json::from_str("\"../../..\"").unwrap();
        let name = InstanceName::from_text("qwen").unwrap();
        assert_eq!(Folder::new(&name, &life), Err(ScriptError::Folder("qwen-../../..".to_owned())));
        let life = LifeId::random().unwrap();
        assert_eq!(Folder::new(&name, &life).unwrap().as_str(), format!("qwen-{life}"));
    }

    #[test]
    fn an_empty_marker_sweeps_nothing() {
        let nonce = Nonce::random().unwrap();
        let marker: LifeId = serde_json::from_str("\"\"").unwrap();
        assert_eq!(sweep(&nonce, &marker, Sweep::Kill).unwrap_err(), ScriptError::Marker(String::new()));
    }

    #[test]
    fn an_empty_command_is_refused() {
        let nonce = Nonce::random().unwrap();
        assert_eq!(command::<&str>(&nonce, &[]).unwrap_err(), ScriptError::NoCommand);
    }
}

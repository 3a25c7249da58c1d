//! The keeper's script: what is to run, written out for `/bin/sh -s`.

use std::fmt;
use std::fmt::Write as _;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};

use super::profiled::Profiled;
use super::text::{Assignments, Nonce, Script, ScriptError};
use crate::host::Bind;
use crate::host::quote::{QuoteError, Word, quote_word};
use crate::id::LifeId;

/// What is known of a model's files, by shell functions: they want `MODEL`, its name at the hub.
pub const MODEL: &str = include_str!("model.sh");
const PIPE: &str = include_str!("pipe.sh");
pub(super) const MEMBERS: &str = include_str!("members.sh");
const PORT: &str = include_str!("port.sh");
const SOCKET: &str = include_str!("socket.sh");
const TRACKED: &str = include_str!("tracked.sh");
const ACCOUNT: &str = include_str!("account.sh");
const DOWNLOAD: &str = include_str!("download.sh");
const KEEPER: &str = include_str!("keeper.sh");

/// Which of the engine's variables say where models and programs are, and the way out: names, of which a star may stand for a
/// beginning or an end. `download.sh` has the same.
const PLACES: [&str; 7] = ["PATH", "HOME", "XDG_CACHE_HOME", "HF_*", "*_PROXY", "*_proxy", "SSL_CERT_*"];

/// Whether a variable of this name says where models and programs are, or the way out.
#[must_use]
pub fn says_places(name: &str) -> bool {
    PLACES.iter().any(|place| match (place.strip_suffix('*'), place.strip_prefix('*')) {
        (Some(begins), _) => name.starts_with(begins),
        (None, Some(ends)) => name.ends_with(ends),
        (None, None) => name == *place,
    })
}

/// What a keeper runs, and how.
#[derive(Clone)]
pub struct KeeperPlan {
    /// Frames the reports.
    pub nonce: Nonce,
    /// Marks every process of this life (`LLM_PROXY_LIFE`).
    pub marker: LifeId,
    /// What the engine listens on: `$HOST` and `$PORT`, or `$SOCKET`.
    pub bind: Bind,
    /// How long the engine goes on without hearing from the proxy. Whole seconds, at least one.
    pub lease: Duration,
    /// From asked to stop to killed. Whole seconds.
    pub stop_timeout: Duration,
    /// Where the engine runs.
    pub chdir: Chdir,
    /// Shell lines that run before the engine, in its shell, such as `module load cuda`.
    pub prelude: Option<String>,
    /// Whether the engine's surroundings are made by `bash -l`, so that a prelude finds the `module` of a site's profile.
    pub login_shell: bool,
    /// The engine's environment, beside what is there already. Set after the login shell's profile and before the prelude.
    pub env: Vec<(String, SecretString)>,
    /// The engine's command.
    pub argv: Vec<Word>,
    /// How it is profiled, if it is.
    pub profiled: Option<Profiled>,
    /// The model's name at the hub, where its download is to be watched.
    pub model: Option<String>,
    /// Whether the hub is asked how large the model is, where it is downloaded.
    pub asks_hub: bool,
}

/// The folder that an engine runs in.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum Chdir {
    /// The user's home, or `/` where there is none.
    #[default]
    Home,
    /// This folder, which must exist; a relative one, or one that starts with `~/`, is under the user's home.
    Folder(String),
}

impl KeeperPlan {
    /// The script.
    ///
    /// # Errors
    /// A word, a name or the marker cannot be written.
    pub fn script(&self) -> Result<Script, ScriptError> {
        check_marker(&self.marker)?;
        let (host, port, socket) = match &self.bind {
            Bind::Port { host, port } => (host.as_str(), port.map(|port| port.to_string()).unwrap_or_default(), ""),
            Bind::Socket => ("", String::new(), "1"),
        };
        let assignments = Assignments::default()
            .set("NONCE", self.nonce.as_str())?
            .set("MARKER", self.marker.as_str())?
            .set("HOST_BIND", host)?
            .set("PORT_WANTED", &port)?
            .set("SOCKET_WANTED", socket)?
            .set("LEASE_S", &whole_seconds(self.lease).max(1).to_string())?
            .set("STOP_S", &whole_seconds(self.stop_timeout).to_string())?
            .set("LOGIN_SHELL", if self.login_shell { "1" } else { "" })?
            .set("WRAPPED", if self.profiled.as_ref().is_some_and(Profiled::is_around) { "1" } else { "" })?
            .set("MODEL", self.model.as_deref().unwrap_or_default())?
            .set("ASK_HUB", if self.asks_hub { "1" } else { "" })?
            .set("ENGINE", self.engine_text()?.expose_secret())?;
        Ok(assignments.then(&[PIPE, MEMBERS, PORT, SOCKET, TRACKED, ACCOUNT, MODEL, DOWNLOAD, KEEPER]))
    }

    /// What the engine's own shell evaluates, to show it.
    ///
    /// # Errors
    /// A word or a name cannot be written.
    pub fn engine_script(&self) -> Result<Script, ScriptError> {
        Ok(Script::new(self.engine_text()?.expose_secret().to_owned()))
    }

    /// What the engine's own shell evaluates; it ends with becoming the engine.
    fn engine_text(&self) -> Result<SecretString, ScriptError> {
        if self.argv.is_empty() {
            return Err(ScriptError::NoCommand);
        }
        let mut text = self.chdir.line()?;
        if let Some(profiled) = &self.profiled {
            text.push_str(&profiled.folder_lines()?);
        }
        for (name, value) in &self.env {
            check_variable(name)?;
            // Writing to a string cannot fail.
            let _ = writeln!(text, "export {name}={}", quote_word(value.expose_secret())?);
        }
        if let Some(prelude) = &self.prelude {
            quote_word(prelude)?;
            let _ = writeln!(text, "{prelude}");
        }
        // A profile or a prelude may have had other ideas of what these names mean.
        let _ = match &self.bind {
            Bind::Port { host, .. } => writeln!(text, "export HOST={} PORT=\"$LLM_PROXY_PORT\"", quote_word(host)?),
            Bind::Socket => writeln!(text, "export SOCKET=\"$LLM_PROXY_PORT\"\nunset HOST PORT"),
        };
        let _ = writeln!(text, "export LLM_PROXY_LIFE={}", self.marker);
        let _ = writeln!(text, "unset LLM_PROXY_PORT");
        let words = self.argv.iter().map(Word::to_shell).collect::<Result<Vec<_>, _>>()?;
        match &self.profiled {
            Some(profiled) => text.push_str(&profiled.engine_lines(&words.join(" "))?),
            None => drop(writeln!(text, "exec {}", words.join(" "))),
        }
        Ok(SecretString::from(text))
    }
}

impl fmt::Debug for KeeperPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // `SecretString` hides the values; the prelude and the command are the user's own and may name secrets too.
        f.debug_struct("KeeperPlan")
            .field("marker", &self.marker)
            .field("bind", &self.bind)
            .field("lease", &self.lease)
            .field("stop_timeout", &self.stop_timeout)
            .field("chdir", &self.chdir)
            .field("login_shell", &self.login_shell)
            .field("env", &self.env)
            .finish_non_exhaustive()
    }
}

impl Chdir {
    /// The line of a script that goes there.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn line(&self) -> Result<String, QuoteError> {
        let Self::Folder(folder) = self else {
            return Ok("cd || cd /\n".to_owned());
        };
        let under_home = folder.strip_prefix("~/").unwrap_or(folder);
        let path = match under_home {
            "~" => "\"$HOME\"".to_owned(),
            absolute if absolute.starts_with('/') => quote_word(absolute)?,
            relative => format!("\"$HOME\"/{}", quote_word(relative)?),
        };
        Ok(format!("CDPATH='' cd -- {path} || exit\n"))
    }
}

/// A short or odd marker could be part of another life's, whose engine would then be ended with ours.
pub(super) fn check_marker(marker: &LifeId) -> Result<(), ScriptError> {
    let text = marker.as_str();
    let fits = text.len() >= 16 && text.bytes().all(|b| b.is_ascii_alphanumeric());
    if fits { Ok(()) } else { Err(ScriptError::Marker(text.to_owned())) }
}

fn check_variable(name: &str) -> Result<(), ScriptError> {
    let fits = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        && name.bytes().next().is_some_and(|first| !first.is_ascii_digit());
    if fits { Ok(()) } else { Err(ScriptError::VariableName(name.to_owned())) }
}

fn whole_seconds(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_nanos() > 0)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]
    use test_case::test_case;

    use super::*;

    fn plan() -> KeeperPlan {
        KeeperPlan {
            nonce: Nonce::random().unwrap(),
            marker: LifeId::random().unwrap(),
            bind: Bind::Port { host: "127.0.0.1".to_owned(), port: None },
            lease: Duration::from_millis(1500),
            stop_timeout: Duration::from_mins(1),
            chdir: Chdir::Home,
            prelude: None,
            login_shell: false,
            env: vec![("HF_TOKEN".to_owned(), SecretString::from("hf_secret".to_owned()))],
            argv: vec![Word::literal("true")],
            profiled: None,
            model: None,
            asks_hub: false,
        }
    }

    #[test]
    fn both_know_the_same_places() {
        assert!(DOWNLOAD.contains(&format!("      {}) export", PLACES.join(" | "))));
        let said = |name: &&str| says_places(name);
        let names = ["PATH", "HF_TOKEN", "all_proxy", "SSL_CERT_DIR", "PATH_", "AHF_", "PROXY", "LD_PRELOAD"];
        assert_eq!(names.iter().copied().filter(said).count(), 4);
    }

    #[test]
    fn debug_shows_no_secret() {
        let mut plan = plan();
        plan.prelude = Some("export OTHER=hf_secret".to_owned());
        plan.argv.push(Word::literal("--api-key=hf_secret"));
        let shown = format!("{plan:?} {:?}", plan.script().unwrap());
        assert!(shown.contains("HF_TOKEN"), "{shown}");
        assert!(!shown.contains("hf_secret"), "{shown}");
    }

    #[test]
    fn a_lease_is_never_shorter_than_asked() {
        let script = plan().script().unwrap();
        assert!(script.expose().contains("\nLEASE_S=2\n"));
    }

    #[test_case(&Chdir::Home, "cd || cd /\n")]
    #[test_case(&Chdir::Folder("/data/a b".into()), "CDPATH='' cd -- '/data/a b' || exit\n")]
    #[test_case(&Chdir::Folder("~".into()), "CDPATH='' cd -- \"$HOME\" || exit\n")]
    #[test_case(&Chdir::Folder("~/work".into()), "CDPATH='' cd -- \"$HOME\"/work || exit\n")]
    #[test_case(&Chdir::Folder("work".into()), "CDPATH='' cd -- \"$HOME\"/work || exit\n")]
    fn folders(chdir: &Chdir, line: &str) {
        assert_eq!(chdir.line().unwrap(), line);
    }

    #[test_case("" ; "empty")]
    #[test_case("1A" ; "digit first")]
    #[test_case("A B" ; "space")]
    #[test_case("A;reboot" ; "command")]
    fn a_name_that_is_no_variable_is_refused(name: &str) {
        let mut plan = plan();
        plan.env = vec![(name.to_owned(), SecretString::from(String::new()))];
        assert_eq!(plan.script().unwrap_err(), ScriptError::VariableName(name.to_owned()));
    }

    #[test]
    fn a_nul_is_refused_wherever_it_stands() {
        let nul = || "a\0b".to_owned();
        let spoilt: [fn(&mut KeeperPlan, String); 5] = [
            |plan, nul| plan.bind = Bind::Port { host: nul, port: None },
            |plan, nul| plan.chdir = Chdir::Folder(nul),
            |plan, nul| plan.prelude = Some(nul),
            |plan, nul| plan.env = vec![("A".to_owned(), SecretString::from(nul))],
            |plan, nul| plan.argv = vec![Word::literal(nul)],
        ];
        for spoil in spoilt {
            let mut plan = plan();
            spoil(&mut plan, nul());
            assert!(matches!(plan.script().unwrap_err(), ScriptError::Quote(_)));
        }
    }

    #[test]
    fn no_command_is_refused() {
        let mut plan = plan();
        plan.argv.clear();
        assert_eq!(plan.script().unwrap_err(), ScriptError::NoCommand);
    }
}

//! Lines to paste.

use std::path::Path;

use crate::backend;
use crate::host;
use crate::host::quote::quote;
use crate::ssh::SshOptions;

/// The program's arguments as they were typed, so that a line with a better one can be given.
#[derive(Clone, Debug, Default)]
pub struct Typed {
    /// The verb and the options.
    options: Vec<String>,
    /// The engine's command.
    command: Vec<String>,
}

impl Typed {
    /// Takes what follows the program's name; the last `command` words of it are the engine's command.
    #[must_use]
    pub fn new(words: &[String], command: usize) -> Self {
        let (options, command) = words.split_at(words.len().saturating_sub(command));
        let options = options.strip_suffix(&["--".to_owned()]).unwrap_or(options);
        Self { options: options.to_vec(), command: command.to_vec() }
    }

    /// The same with another value of an option that takes one, whether it was given or not.
    #[must_use]
    pub fn with(&self, option: &str, value: &str) -> Self {
        let mut this = self.without(option);
        this.options.extend([option.to_owned(), value.to_owned()]);
        this
    }

    /// The same without an option that takes a value.
    #[must_use]
    pub fn without(&self, option: &str) -> Self {
        let mut options = Vec::new();
        let mut words = self.options.iter();
        while let Some(word) = words.next() {
            if word == option {
                words.next();
            } else if !word.strip_prefix(option).is_some_and(|rest| rest.starts_with('=')) {
                options.push(word.clone());
            }
        }
        Self { options, command: self.command.clone() }
    }

    /// What starts the program that was looked at: the same options, without those of the doctor alone.
    pub(super) fn serve(&self) -> Self {
        let mut this = self.without("--hub");
        this.options.retain(|word| !["--deep", "--json", "--no-input"].contains(&word.as_str()));
        if let Some(verb) = this.options.first_mut() {
            "serve".clone_into(verb);
        }
        this
    }

    /// Whether it has in it what others must not read.
    #[must_use]
    pub fn has_secret(&self) -> bool {
        self.line().is_none()
    }

    /// The same with a command.
    pub(super) fn with_command(&self, command: &[&str]) -> Self {
        Self { options: self.options.clone(), command: command.iter().map(|word| (*word).to_owned()).collect() }
    }

    /// The same with a switch.
    #[must_use]
    pub fn with_switch(&self, option: &str) -> Self {
        let mut this = self.clone();
        if !this.options.iter().any(|word| word == option) {
            this.options.push(option.to_owned());
        }
        this
    }

    /// The same with another first word of the command.
    #[must_use]
    pub fn with_program(&self, program: &[&str]) -> Self {
        let rest = self.command.iter().skip(1).cloned();
        let command = program.iter().map(|word| (*word).to_owned()).chain(rest).collect();
        Self { options: self.options.clone(), command }
    }

    /// The line; nothing where it has in it what others must not read: what is printed is shown to others who help.
    #[must_use]
    pub fn line(&self) -> Option<String> {
        let mut words = vec!["llm-proxy".to_owned()];
        words.extend(self.options.iter().cloned());
        if !self.command.is_empty() {
            words.push("--".to_owned());
            words.extend(self.command.iter().cloned());
        }
        let names_a_value = |pair: &[String]| matches!(pair, [name, value] if name == "--env" && value.contains('='));
        // Only the place of that key is ever on a line.
        let others = self.without("--access-key").options;
        let rest = shell_line(&[others, self.command.clone()].concat());
        let secret = self.options.windows(2).any(names_a_value)
            || self.options.iter().any(|word| word.strip_prefix("--env=").is_some_and(|rest| rest.contains('=')))
            || backend::redact(&rest) != rest;
        let line = shell_line(&words);
        (!secret).then_some(line)
    }
}

/// Words as a line for a shell.
pub(super) fn shell_line<S: AsRef<str>>(words: &[S]) -> String {
    // A NUL came in no argument of ours.
    quote(words).unwrap_or_default()
}

/// A file as a word for a shell.
pub(super) fn file_word(file: &Path) -> String {
    shell_line(&[file.to_string_lossy()])
}

/// A line that adds another to a file of this machine, in a folder that is made if there is none.
pub(super) fn append(file: &Path, text: &str) -> String {
    let folder = file.parent().map_or_else(|| ".".to_owned(), |folder| folder.to_string_lossy().into_owned());
    format!(
        "{} && {}",
        shell_line(&["mkdir", "-p", "-m", "700", &folder]),
        host::append(&shell_line(&["printf", "%s\\n", text]), &file_word(file))
    )
}

/// `program` (ssh or one that takes its options) with all that leads to the host, and further words; `first` go before.
pub(super) fn towards(program: &str, first: &[&str], options: &SshOptions, more: &[&str]) -> String {
    let mut words: Vec<String> = vec![program.to_owned()];
    words.extend(first.iter().map(|word| (*word).to_owned()));
    let setting = |name: &str, value: &str| ["-o".to_owned(), format!("{name}={value}")];
    if let Some(file) = &options.config_file {
        words.extend(["-F".to_owned(), file.to_string_lossy().into_owned()]);
    }
    let (destination, port) = parted(&options.destination);
    if let Some(port) = port.or_else(|| options.port.map(|port| port.to_string())) {
        words.extend(["-p".to_owned(), port]);
    }
    words.extend(options.user.iter().flat_map(|user| setting("User", user)));
    words.extend(options.jump.iter().flat_map(|jump| setting("ProxyJump", jump)));
    // What a key is to be installed with is said by `first`.
    for identity in options.identities.iter().filter(|_| first.is_empty()) {
        words.extend(["-i".to_owned(), identity.to_string_lossy().into_owned()]);
    }
    words.extend(options.settings.iter().flat_map(|setting| ["-o".to_owned(), setting.clone()]));
    words.push(destination);
    words.extend(more.iter().map(|word| (*word).to_owned()));
    shell_line(&words)
}

/// A destination without its port, as `ssh` takes it, and the port.
pub(super) fn parted(destination: &str) -> (String, Option<String>) {
    let plain = destination.strip_prefix("ssh://").unwrap_or(destination).trim_end_matches('/');
    let (user, host) = plain.rsplit_once('@').map_or((None, plain), |(user, host)| (Some(user), host));
    let (host, port) = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, rest)) => (host, rest.strip_prefix(':')),
        None if host.matches(':').count() == 1 => host.split_once(':').map_or((host, None), |(h, p)| (h, Some(p))),
        None => (host, None),
    };
    let name = user.map_or_else(|| host.to_owned(), |user| format!("{user}@{host}"));
    (name, port.map(str::to_owned))
}

#[cfg(test)]
mod tests {
    use test_case::test_case;

    use super::*;

    fn typed() -> Typed {
        let words = ["doctor", "--login", "h", "--use-slurm", "--srun-args=-p a", "--", "vllm", "serve", "a b"];
        Typed::new(&words.map(str::to_owned), 3)
    }

    #[test]
    fn a_better_line_is_the_same_but_for_one_thing() {
        let line = typed().with("--srun-args", "-p b").line();
        assert_eq!(
            line.as_deref(),
            Some("llm-proxy doctor --login h --use-slurm --srun-args '-p b' -- vllm serve 'a b'")
        );
        let line = typed().with("--login", "i").with_switch("--login-shell").line();
        assert_eq!(
            line.as_deref(),
            Some("llm-proxy doctor --use-slurm '--srun-args=-p a' --login i --login-shell -- vllm serve 'a b'")
        );
        let line = typed().without("--login").with_program(&["/x/vllm"]).line();
        assert_eq!(line.as_deref(), Some("llm-proxy doctor --use-slurm '--srun-args=-p a' -- /x/vllm serve 'a b'"));
    }

    #[test]
    fn what_was_looked_at_is_served() {
        let words = ["doctor", "--json", "--login", "h", "--hub=a:1", "--deep", "--hub", "b:2", "--no-input"];
        let typed = Typed::new(&words.map(str::to_owned), 0);
        assert_eq!(
            typed.serve().with_command(&["x", "--json"]).line().as_deref(),
            Some("llm-proxy serve --login h -- x --json")
        );
    }

    #[test_case(&["doctor", "--env", "HF_TOKEN=x"], 0; "a variable")]
    #[test_case(&["doctor", "--env=A=x"], 0; "a variable in one word")]
    #[test_case(&["doctor", "--", "vllm", "--api-key", "sk-abc"], 3; "a key")]
    fn a_line_with_a_secret_is_not_printed(words: &[&str], command: usize) {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        assert_eq!(Typed::new(&words, command).line(), None);
    }

    #[test_case("h", "h", None)]
    #[test_case("u@h:22", "u@h", Some("22"))]
    #[test_case("ssh://u@h:22/", "u@h", Some("22"))]
    #[test_case("[::1]:22", "::1", Some("22"))]
    #[test_case("fe80::1", "fe80::1", None)]
    fn a_destination_is_written_as_ssh_takes_it(whole: &str, name: &str, port: Option<&str>) {
        assert_eq!(parted(whole), (name.to_owned(), port.map(str::to_owned)));
    }
}

//! A configuration as the text of a file, which reads back as the same.

use std::fmt::{Display, Write as _};
use std::path::Path;

use super::written::{Fleet, HostBlock, Listen, ProfileBlock, ServerBlock, SlurmBlock};
use super::yaml::{Value, plain};
use super::{File, Sourced, format_duration, parse_file};

impl Fleet {
    /// The text of a file that says this; nothing where that cannot be written, such as a word that is empty. What comes from
    /// files alone (a kind of engine, its arguments) is not written.
    #[must_use]
    pub fn to_yaml(&self) -> Option<String> {
        let mut yaml = Yaml::default();
        yaml.fleet(self);
        let read = parse_file(Path::new("written"), &yaml.text).ok()?;
        (read == File::Fleet(Box::new(self.clone()))).then_some(yaml.text)
    }
}

#[derive(Default)]
struct Yaml {
    text: String,
    depth: usize,
}

impl Yaml {
    fn line(&mut self, key: &str, value: &str) {
        let line = format!("{:1$}{key}: {value}", "", 2 * self.depth);
        // Writing to a string cannot fail.
        let _ = writeln!(self.text, "{}", line.trim_end());
    }

    fn plain<T: Display>(&mut self, key: &str, found: Option<&Sourced<T>>) {
        if let Some(found) = found {
            self.line(key, &scalar(&found.value.to_string()));
        }
    }

    /// A number, or true or false.
    fn bare<T: Display>(&mut self, key: &str, found: Option<&Sourced<T>>) {
        if let Some(found) = found {
            self.line(key, &found.value.to_string());
        }
    }

    fn list(&mut self, key: &str, found: Option<&Sourced<Vec<String>>>) {
        if let Some(found) = found {
            let words: Vec<String> = found.value.iter().map(|word| scalar(word)).collect();
            self.line(key, &format!("[{}]", words.join(", ")));
        }
    }

    fn within(&mut self, key: &str, write: impl FnOnce(&mut Self)) {
        self.line(key, "");
        self.depth += 1;
        write(self);
        self.depth -= 1;
    }

    fn fleet(&mut self, fleet: &Fleet) {
        if let Some(Listen { host, port }) = &fleet.listen {
            self.within("listen", |yaml| {
                yaml.plain("host", host.as_ref());
                yaml.bare("port", port.as_ref());
            });
        }
        self.plain("access_key", fleet.access_key.as_ref());
        if !fleet.hosts.is_empty() {
            self.within("hosts", |yaml| {
                for (name, host) in &fleet.hosts {
                    yaml.within(&scalar(name), |yaml| yaml.host(&host.value));
                }
            });
        }
        self.within("models", |yaml| {
            for (name, model) in &fleet.models {
                yaml.within(&scalar(name), |yaml| yaml.server(&model.value));
            }
        });
    }

    fn host(&mut self, host: &HostBlock) {
        self.plain("login", host.login.as_ref());
        self.plain("jump", host.jump.as_ref());
        self.list("identity", host.identity.as_ref());
        self.plain("ssh_config", host.ssh_config.as_ref().map(shown).as_ref());
        self.plain("login_name", host.login_name.as_ref());
        self.bare("login_port", host.login_port.as_ref());
        self.list("ssh_option", host.ssh_option.as_ref());
        self.bare("accept_new_host_key", host.accept_new_host_key.as_ref());
    }

    fn server(&mut self, server: &ServerBlock) {
        self.list("command", server.command.as_ref());
        self.bare("port", server.port.as_ref());
        if !server.env_vars.is_empty() {
            self.within("env_vars", |yaml| {
                for variable in &server.env_vars {
                    yaml.line(variable.value.name(), &scalar(variable.value.value()));
                }
            });
        }
        for (key, length) in [
            ("startup_timeout", &server.startup_timeout),
            ("queue_timeout", &server.queue_timeout),
            ("stop_timeout", &server.stop_timeout),
            ("idle_timeout", &server.idle_timeout),
            ("heartbeat_timeout", &server.heartbeat_timeout),
        ] {
            let length = length.as_ref().map(|found| format_duration(found.value).to_string());
            self.plain(key, length.map(|text| Sourced::new(text, super::Source::Default)).as_ref());
        }
        self.plain("ready_path", server.ready_path.as_ref());
        if let Some(found) = &server.profile {
            let ProfileBlock { enabled, tool, output_dir, args } = &found.value;
            self.within("profile", |yaml| {
                yaml.bare("enabled", enabled.as_ref());
                yaml.plain("tool", tool.as_ref());
                yaml.plain("output_dir", output_dir.as_ref().map(shown).as_ref());
                yaml.list("args", args.as_ref());
            });
        }
        self.bare("debug_mode", server.debug_mode.as_ref());
        self.plain("host", server.host.as_ref());
        self.plain("launcher", server.launcher.as_ref());
        if let Some(SlurmBlock { args, batch, loopback_user, loopback_host }) = &server.slurm {
            self.within("slurm", |yaml| {
                yaml.list("args", args.as_ref());
                yaml.bare("batch", batch.as_ref());
                yaml.plain("loopback_user", loopback_user.as_ref());
                yaml.plain("loopback_host", loopback_host.as_ref());
            });
        }
        self.plain("route", server.route.as_ref());
        self.bare(
            "gpus",
            server.gpus.as_ref().map(|found| Sourced::new(format!("{:?}", found.value), found.source.clone())).as_ref(),
        );
        self.plain("chdir", server.chdir.as_ref());
        self.plain("prelude", server.prelude.as_ref());
        self.bare("login_shell", server.login_shell.as_ref());
    }
}

fn shown(found: &Sourced<std::path::PathBuf>) -> Sourced<String> {
    Sourced::new(found.value.display().to_string(), found.source.clone())
}

/// A text, in quotes unless it means itself without them.
fn scalar(text: &str) -> String {
    let begins_well = text.trim_start_matches('-').starts_with(|c: char| c.is_ascii_alphanumeric() || c == '/');
    let means_itself = text.chars().all(|c| c.is_ascii_alphanumeric() || "_./@+-".contains(c));
    if begins_well && means_itself && plain(text) == Value::Text(text.to_owned()) {
        return text.to_owned();
    }
    quoted(text)
}

/// A text in quotes. No character of it can end its line, or look like another.
fn quoted(text: &str) -> String {
    let mut quoted = String::from('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            c if c == ' ' || c.is_ascii_graphic() || c.is_alphanumeric() => quoted.push(c),
            // Writing to a string cannot fail.
            c => drop(write!(quoted, "\\U{:08x}", u32::from(c))),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use proptest::prelude::*;
    use test_case::test_case;

    use super::super::{Source, Variable};
    use super::*;

    fn said<T>(value: T) -> Sourced<T> {
        Sourced::new(value, Source::Default)
    }

    fn fleet(text: &str, words: Vec<String>) -> Fleet {
        let host = HostBlock { login: Some(said(text.to_owned())), login_port: Some(said(22)), ..HostBlock::default() };
        let server = ServerBlock {
            command: Some(said(words.clone())),
            env_vars: vec![said(Variable::new("A", text).unwrap())],
            host: Some(said("login".to_owned())),
            prelude: Some(said(text.to_owned())),
            slurm: Some(SlurmBlock { args: Some(said(words)), ..SlurmBlock::default() }),
            ..ServerBlock::default()
        };
        let (hosts, models) = (vec![("login".to_owned(), said(host))], vec![(text.to_owned(), said(server))]);
        Fleet { hosts, models, ..Fleet::default() }
    }

    #[test_case("yes", "yes"; "a text")]
    #[test_case("true", "\"true\""; "no boolean")]
    #[test_case("0700", "\"0700\""; "no number")]
    #[test_case("me@host:22", "\"me@host:22\""; "a colon")]
    #[test_case("/a/b-c.d", "/a/b-c.d"; "a path")]
    #[test_case("--x", "--x"; "a flag")]
    #[test_case("-5", "\"-5\""; "a negative number")]
    fn quotes_what_would_be_something_else(text: &str, expected: &str) {
        assert_eq!(scalar(text), expected);
    }

    #[test]
    fn a_blank_word_is_not_written_as_another() {
        assert_eq!(fleet(" ", vec!["a".to_owned()]).to_yaml(), None);
    }

    proptest! {
        #[test]
        fn any_text_reads_back(text in "\\PC{0,8}[^\0\r]{0,6}x", words in prop::collection::vec("[^\0]{0,6}x", 1..4)) {
            // What it says is compared as it is made.
            prop_assert!(fleet(&text, words).to_yaml().is_some(), "{text:?}");
        }
    }
}

//! The only place where words become a line for a shell.

use std::borrow::Cow;

/// The text in a command line that stands for the engine's port.
pub const PORT_PLACEHOLDER: &str = "{port}";

/// The text in a command line that stands for the path of the engine's Unix socket.
pub const SOCKET_PLACEHOLDER: &str = "{socket}";

/// A word that no shell can be given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QuoteError {
    /// Neither an argument nor a variable can hold a NUL.
    #[error("a word of a command holds a NUL character")]
    Nul,
}

/// One word of an engine's command, in which the port or the socket may be left open: they are chosen where it runs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Word(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Part {
    Literal(String),
    Port,
    Socket,
    Variable(&'static str),
}

/// A line that any POSIX shell takes apart into exactly these words.
///
/// # Errors
/// A word holds a NUL.
pub fn quote<S: AsRef<str>>(words: &[S]) -> Result<String, QuoteError> {
    Ok(words.iter().map(|word| quote_word(word.as_ref())).collect::<Result<Vec<_>, _>>()?.join(" "))
}

/// One word, as a shell must be given it.
///
/// # Errors
/// The word holds a NUL.
pub fn quote_word(word: &str) -> Result<String, QuoteError> {
    shlex::try_quote(word).map(Cow::into_owned).map_err(|_| QuoteError::Nul)
}

impl Word {
    /// A word that means itself.
    #[must_use]
    pub fn literal(text: impl Into<String>) -> Self {
        Self(vec![Part::Literal(text.into())])
    }

    /// A word in which each `{port}` stands for the engine's port.
    #[must_use]
    pub fn with_port(text: &str) -> Self {
        let mut parts = Vec::new();
        for literal in text.split(PORT_PLACEHOLDER) {
            if !parts.is_empty() {
                parts.push(Part::Port);
            }
            parts.push(Part::Literal(literal.to_owned()));
        }
        Self(parts)
    }

    /// Adds text.
    pub fn push_text(&mut self, text: &str) {
        match self.0.last_mut() {
            Some(Part::Literal(last)) => last.push_str(text),
            Some(Part::Port | Part::Socket | Part::Variable(_)) if text.is_empty() => {}
            Some(Part::Port | Part::Socket | Part::Variable(_)) | None => self.0.push(Part::Literal(text.to_owned())),
        }
    }

    /// Adds the port: the number where it is given, else the place where it goes.
    pub fn push_port(&mut self, port: Option<u16>) {
        match port {
            Some(port) => self.push_text(&port.to_string()),
            None => self.push_open(Part::Port),
        }
    }

    /// Adds the place where the path of the engine's socket goes.
    pub fn push_socket(&mut self) {
        self.push_open(Part::Socket);
    }

    /// Adds what a variable of the shell's holds, which is set where the word is run. The name is a plain one.
    pub fn push_variable(&mut self, name: &'static str) {
        self.push_open(Part::Variable(name));
    }

    fn push_open(&mut self, part: Part) {
        if self.0 == [Part::Literal(String::new())] {
            self.0.clear();
        }
        self.0.push(part);
    }

    /// Adds another word to the end of this one.
    pub fn push(&mut self, other: &Self) {
        for part in &other.0 {
            match part {
                Part::Literal(text) => self.push_text(text),
                Part::Port => self.push_port(None),
                Part::Socket => self.push_socket(),
                Part::Variable(name) => self.push_variable(name),
            }
        }
    }

    /// The word as it was written, with `{port}` and `{socket}` for what is left open: to look for flags in it, and to show.
    #[must_use]
    pub fn as_written(&self) -> String {
        self.0.iter().map(|part| part.text(PORT_PLACEHOLDER)).collect()
    }

    /// The word as a shell must be given it, in whose `$PORT` the port is, or in whose `$SOCKET` the path.
    ///
    /// # Errors
    /// The word holds a NUL.
    pub fn to_shell(&self) -> Result<String, QuoteError> {
        let [Part::Literal(whole)] = self.0.as_slice() else {
            return self.0.iter().map(Part::to_shell).collect();
        };
        quote_word(whole)
    }

    /// The word once the port is known.
    #[must_use]
    pub fn fill(&self, port: u16) -> String {
        let port = port.to_string();
        let parts = self.0.iter().map(|part| match part {
            Part::Literal(literal) => literal.as_str(),
            Part::Port => port.as_str(),
            Part::Socket => SOCKET_PLACEHOLDER,
            Part::Variable(name) => name,
        });
        parts.collect()
    }
}

impl Part {
    fn text<'a>(&'a self, port: &'a str) -> &'a str {
        match self {
            Self::Literal(literal) => literal,
            Self::Port => port,
            Self::Socket => SOCKET_PLACEHOLDER,
            Self::Variable(name) => name,
        }
    }

    fn to_shell(&self) -> Result<String, QuoteError> {
        match self {
            // Nothing needs no quotes beside something.
            Self::Literal(literal) if literal.is_empty() => Ok(String::new()),
            Self::Literal(literal) => quote_word(literal),
            Self::Port => Ok("\"$PORT\"".to_owned()),
            Self::Socket => Ok("\"$SOCKET\"".to_owned()),
            Self::Variable(name) => Ok(format!("\"${name}\"")),
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]
    use std::process::Command;

    use proptest::prelude::*;
    use test_case::test_case;

    use super::*;

    const SHELLS: [&[&str]; 5] = [&["/bin/sh"], &["dash"], &["bash"], &["bash", "--posix"], &["busybox", "sh"]];

    /// What each shell makes of a line: every word ended by a NUL, as no word can hold one.
    fn words_of(line: &str, shell: &[&str]) -> Vec<String> {
        let (program, args) = shell.split_first().unwrap();
        let script = format!("PORT=20001\nprintf '%s\\0' {line}\n");
        // A file of its own is not needed: the script is one argument.
        let output = Command::new(program).args(args).arg("-c").arg(script).output().unwrap();
        assert!(output.status.success(), "{shell:?}: {output:?}");
        let text = String::from_utf8(output.stdout).unwrap();
        text.strip_suffix('\0').unwrap().split('\0').map(str::to_owned).collect()
    }

    fn any_word() -> impl Strategy<Value = String> {
        prop_oneof![
            // Anything at all but NUL.
            proptest::collection::vec(any::<char>().prop_filter("NUL", |c| *c != '\0'), 0..12)
                .prop_map(|chars| chars.into_iter().collect()),
            // What shells care for.
            proptest::collection::vec(
                proptest::sample::select(vec![
                    "'", "\"", "\\", "$", "`", "!", "^", "\n", "\r", "\t", " ", "*", "?", "[a]", "~", "#", "-", "=",
                    ";", "&", "|", "<", ">", "(", ")", "{a,b}", "{port}", "$PORT", "é", "\u{401}", "\u{7f}", "\u{1}",
                    "\u{81}", "\u{88}", "a", "%s",
                ]),
                0..8
            )
            .prop_map(|parts| parts.concat()),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn any_words_come_back_from_real_shells(words in proptest::collection::vec(any_word(), 1..6)) {
            let line = quote(&words).unwrap();
            for shell in SHELLS {
                prop_assert_eq!(&words_of(&line, shell), &words, "{:?} of {}", shell, line);
            }
        }

        #[test]
        fn a_port_is_put_where_it_was_left_open(words in proptest::collection::vec(any_word(), 1..4)) {
            let words: Vec<Word> = words.iter().map(|text| Word::with_port(text)).collect();
            let line = words.iter().map(|word| word.to_shell().unwrap()).collect::<Vec<_>>().join(" ");
            let filled: Vec<String> = words.iter().map(|word| word.fill(20001)).collect();
            for shell in SHELLS {
                prop_assert_eq!(&words_of(&line, shell), &filled, "{:?} of {}", shell, line);
            }
        }
    }

    #[test_case("{port}", "\"$PORT\"", "8000")]
    #[test_case("--port={port}", "'--port='\"$PORT\"", "--port=8000")]
    #[test_case("{port}{port}", "\"$PORT\"\"$PORT\"", "80008000")]
    #[test_case("http://h:{port}/v1", "http://h:\"$PORT\"/v1", "http://h:8000/v1")]
    #[test_case("{\"port\": 1}", "'{\"port\": 1}'", "{\"port\": 1}")]
    #[test_case("", "''", "")]
    fn words_with_a_port(text: &str, shell: &str, filled: &str) {
        let word = Word::with_port(text);
        assert_eq!(word.to_shell().unwrap(), shell);
        assert_eq!(word.fill(8000), filled);
    }

    #[test]
    fn a_literal_is_never_a_placeholder() {
        assert_eq!(Word::literal("{port}").fill(8000), "{port}");
        assert_eq!(words_of(&Word::literal("{port}").to_shell().unwrap(), &["/bin/sh"]), ["{port}"]);
    }

    #[test]
    fn a_nul_is_refused() {
        assert_eq!(quote(&["a", "b\0c"]), Err(QuoteError::Nul));
        assert_eq!(Word::with_port("\0{port}").to_shell(), Err(QuoteError::Nul));
        assert_eq!(QuoteError::Nul.to_string(), "a word of a command holds a NUL character");
    }
}

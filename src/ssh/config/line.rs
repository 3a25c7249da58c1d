//! One line of an `ssh_config` file, taken apart as OpenSSH does it.

/// A line that says something: its keyword in small letters, and its values without their quotes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::ssh) struct ConfigLine {
    /// The keyword, in small letters.
    pub(in crate::ssh) keyword: String,
    /// The values.
    pub(in crate::ssh) values: Vec<String>,
    /// Everything after the keyword, as it stands: commands are taken whole.
    pub(in crate::ssh) rest: String,
}

impl ConfigLine {
    /// Reads a line; `None` for an empty one and for a comment.
    ///
    /// # Errors
    /// A quote that is not closed, or a keyword without a value.
    pub(in crate::ssh) fn read(line: &str) -> Result<Option<Self>, &'static str> {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            return Ok(None);
        }
        let end = line.find(|c: char| c.is_whitespace() || c == '=').unwrap_or(line.len());
        let (keyword, rest) = line.split_at(end);
        let rest = rest.trim_start();
        let rest = rest.strip_prefix('=').unwrap_or(rest).trim();
        let values = words(rest)?;
        if values.is_empty() {
            return Err("the keyword has no value");
        }
        Ok(Some(Self { keyword: keyword.to_ascii_lowercase(), values, rest: rest.to_owned() }))
    }
}

/// Words between white space; double and single quotes hold them together; a word that begins with `#` begins a comment.
fn words(text: &str) -> Result<Vec<String>, &'static str> {
    let mut words = Vec::new();
    let mut characters = text.chars().peekable();
    loop {
        while characters.next_if(|c| c.is_whitespace()).is_some() {}
        match characters.peek() {
            None | Some('#') => return Ok(words),
            Some(_) => {}
        }
        let mut word = String::new();
        let mut quote: Option<char> = None;
        while let Some(character) = characters.next_if(|c| quote.is_some() || !c.is_whitespace()) {
            match quote {
                Some(open) if character == open => quote = None,
                None if matches!(character, '"' | '\'') => quote = Some(character),
                // As in OpenSSH, a backslash only hides a quote or another backslash.
                Some(_) | None => {
                    match characters.next_if(|next| character == '\\' && matches!(next, '"' | '\'' | '\\')) {
                        Some(hidden) => word.push(hidden),
                        None => word.push(character),
                    }
                }
            }
        }
        if quote.is_some() {
            return Err("a quote is not closed");
        }
        words.push(word);
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may stop where it finds a fault")]

    use proptest::prelude::*;
    use test_case::test_case;

    use super::*;

    #[test_case("Host a b", "host", &["a", "b"])]
    #[test_case("  HostName = login.example.org  ", "hostname", &["login.example.org"])]
    #[test_case("Port=2222", "port", &["2222"])]
    #[test_case("User\tme", "user", &["me"]; "a tab")]
    #[test_case("IdentityFile \"~/my keys/id\"", "identityfile", &["~/my keys/id"])]
    #[test_case("IdentityFile=\"~/my keys/id\"", "identityfile", &["~/my keys/id"]; "equals and quotes")]
    #[test_case("IdentityFile '~/my keys/id' # the old one", "identityfile", &["~/my keys/id"]; "a comment after")]
    #[test_case(r#"User "a\"b\\c""#, "user", &[r#"a"b\c"#]; "hidden quotes")]
    #[test_case("UserKnownHostsFile a \"b c\"\r", "userknownhostsfile", &["a", "b c"]; "several and a carriage return")]
    #[test_case("ProxyCommand none", "proxycommand", &["none"])]
    #[test_case("User a#b", "user", &["a#b"]; "a hash inside a word")]
    fn good(line: &str, keyword: &str, values: &[&str]) {
        let read = ConfigLine::read(line).unwrap().unwrap();
        assert_eq!((read.keyword.as_str(), read.values), (keyword, values.iter().map(ToString::to_string).collect()));
    }

    #[test_case("Host", "the keyword has no value")]
    #[test_case("Host # nothing", "the keyword has no value"; "only a comment")]
    #[test_case("User \"me", "a quote is not closed")]
    fn bad(line: &str, expected: &str) {
        assert_eq!(ConfigLine::read(line), Err(expected));
    }

    #[test_case(""; "empty")]
    #[test_case("   "; "blank")]
    #[test_case(" # Host a"; "comment")]
    fn says_nothing(line: &str) {
        assert_eq!(ConfigLine::read(line), Ok(None));
    }

    proptest! {
        #[test]
        fn quoting_keeps_a_value_whole(value in "[a-zA-Z0-9 ~/#%='._-]{1,20}") {
            let read = ConfigLine::read(&format!("User \"{value}\"")).unwrap().unwrap();
            prop_assert_eq!(read.values, vec![value]);
        }

        #[test]
        fn never_panics(line in "\\PC{0,40}") {
            let _ = ConfigLine::read(&line);
        }
    }
}

//! Host patterns, as `ssh_config` and `known_hosts` both use them: `*`, `?`, and `!` for "but not".

/// Whether `text` matches `pattern`, in which `*` stands for any number of characters and `?` for one.
pub(in crate::ssh) fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut at_pattern, mut at_text) = (0, 0);
    // Where the last star stood, and where in the text it stopped eating: only that one is ever tried again, which keeps
    // a hostile pattern from taking exponential time.
    let mut star: Option<(usize, usize)> = None;
    while let Some(character) = text.get(at_text) {
        match pattern.get(at_pattern) {
            Some(b'*') => {
                star = Some((at_pattern, at_text));
                at_pattern += 1;
            }
            Some(wanted) if wanted == character || *wanted == b'?' => {
                at_pattern += 1;
                at_text += 1;
            }
            Some(_) | None => match star {
                Some((star_at, eaten)) => {
                    star = Some((star_at, eaten + 1));
                    at_pattern = star_at + 1;
                    at_text = eaten + 1;
                }
                None => return false,
            },
        }
    }
    pattern.iter().skip(at_pattern).all(|rest| *rest == b'*')
}

/// Whether `text` matches one of `patterns` and none of the negated ones, in whatever order they stand.
pub(in crate::ssh) fn list_matches<'a>(patterns: impl IntoIterator<Item = &'a str>, text: &str) -> bool {
    let mut found = false;
    for pattern in patterns {
        match pattern.strip_prefix('!') {
            Some(negated) if matches(negated, text) => return false,
            Some(_) => {}
            None => found |= matches(pattern, text),
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use test_case::test_case;

    use super::*;

    #[test_case("login", "login", true)]
    #[test_case("login", "login1", false)]
    #[test_case("login?", "login1", true)]
    #[test_case("login?", "login", false)]
    #[test_case("*", "", true)]
    #[test_case("", "", true; "nothing matches nothing")]
    #[test_case("", "a", false; "nothing does not match something")]
    #[test_case("*.example.org", "a.b.example.org", true)]
    #[test_case("*.example.org", "example.org", false)]
    #[test_case("a*b*c", "aXbYbZc", true)]
    #[test_case("a*b*c", "aXbYbZ", false)]
    #[test_case("[*.org]:22?", "[x.org]:222", true; "brackets mean themselves")]
    fn pattern_table(pattern: &str, text: &str, expected: bool) {
        assert_eq!(matches(pattern, text), expected);
    }

    #[test_case(&["*.org", "!bad.org"], "bad.org", false)]
    #[test_case(&["!bad.org", "*.org"], "bad.org", false; "a negation counts wherever it stands")]
    #[test_case(&["!bad.org", "*.org"], "good.org", true)]
    #[test_case(&["!bad.org"], "good.org", false; "a negation alone matches nothing")]
    #[test_case(&[], "good.org", false; "an empty list")]
    fn list_table(patterns: &[&str], text: &str, expected: bool) {
        assert_eq!(list_matches(patterns.iter().copied(), text), expected);
    }

    /// The same question, answered slowly and plainly.
    fn plainly(pattern: &[u8], text: &[u8]) -> bool {
        match (pattern.split_first(), text.split_first()) {
            (None, None) => true,
            (Some((b'*', rest)), None) => plainly(rest, text),
            (Some((b'*', rest)), Some((_, shorter))) => plainly(rest, text) || plainly(pattern, shorter),
            (None, Some(_)) | (Some(_), None) => false,
            (Some((wanted, rest)), Some((character, shorter))) => {
                (wanted == character || *wanted == b'?') && plainly(rest, shorter)
            }
        }
    }

    proptest! {
        #[test]
        fn agrees_with_the_plain_matcher(pattern in "[ab*?]{0,8}", text in "[ab]{0,10}") {
            prop_assert_eq!(matches(&pattern, &text), plainly(pattern.as_bytes(), text.as_bytes()));
        }
    }
}

//! `Match`: whether what stands below it counts.

use super::pattern;

/// What the criteria are held against: what is known of the host by then.
#[derive(Clone, Copy, Debug)]
pub(in crate::ssh) struct Subject<'a> {
    /// The host as it was named.
    pub(in crate::ssh) original: &'a str,
    /// The host's name, as far as it has been configured.
    pub(in crate::ssh) host: &'a str,
    /// The user there, as far as configured.
    pub(in crate::ssh) user: &'a str,
    /// The user here.
    pub(in crate::ssh) local_user: &'a str,
}

/// What comes of the criteria.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::ssh) enum Verdict {
    Applies,
    Never,
    /// All that we understand holds, and this criterion is another.
    Unjudged(String),
}

/// Judges the words after `Match`: all criteria must hold.
///
/// # Errors
/// The line means nothing.
pub(in crate::ssh) fn judge(words: &[String], subject: &Subject<'_>) -> Result<Verdict, &'static str> {
    let mut verdict = Verdict::Applies;
    let mut words = words.iter().peekable();
    let mut criteria = 0;
    while let Some(word) = words.next() {
        criteria += 1;
        let (attribute, mut list) = match word.split_once('=') {
            Some((attribute, list)) => (attribute, Some(list)),
            None => (word.as_str(), None),
        };
        let (negated, attribute) = attribute.strip_prefix('!').map_or((false, attribute), |rest| (true, rest));
        let attribute = attribute.to_ascii_lowercase();
        if attribute == "all" {
            return match (criteria, words.next(), negated) {
                (1, None, negated) => Ok(if negated { Verdict::Never } else { Verdict::Applies }),
                // After `canonical` or `final`, which are the only ones that it may follow.
                (2, None, false) if matches!(verdict, Verdict::Unjudged(_)) => Ok(verdict),
                _ => Err("`all` cannot stand with other criteria"),
            };
        }
        if matches!(attribute.as_str(), "canonical" | "final") {
            unjudged(&mut verdict, attribute);
            continue;
        }
        if list.is_none() {
            list = words.next().map(String::as_str);
        }
        let list = list.filter(|list| !list.is_empty()).ok_or("a criterion has no value")?;
        let holds = match attribute.as_str() {
            "host" => names_match(list, subject.host),
            "originalhost" => names_match(list, subject.original),
            "user" => pattern::list_matches(list.split(','), subject.user),
            "localuser" => pattern::list_matches(list.split(','), subject.local_user),
            _ => {
                unjudged(&mut verdict, attribute);
                continue;
            }
        };
        if holds == negated {
            verdict = Verdict::Never;
        }
    }
    if criteria == 0 { Err("a Match needs a criterion") } else { Ok(verdict) }
}

fn unjudged(verdict: &mut Verdict, attribute: String) {
    if *verdict == Verdict::Applies {
        *verdict = Verdict::Unjudged(attribute);
    }
}

/// Names of hosts are compared in small letters, unlike those behind `Host`.
fn names_match(list: &str, name: &str) -> bool {
    let (list, name) = (list.to_ascii_lowercase(), name.to_ascii_lowercase());
    pattern::list_matches(list.split(','), &name)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use test_case::test_case;

    use super::*;

    const SUBJECT: Subject<'static> =
        Subject { original: "Login", host: "login.example.org", user: "you", local_user: "me" };

    fn verdict(line: &str) -> Result<Verdict, &'static str> {
        judge(&line.split_whitespace().map(str::to_owned).collect::<Vec<_>>(), &SUBJECT)
    }

    #[test_case("all", Verdict::Applies)]
    #[test_case("ALL", Verdict::Applies; "capital letters")]
    #[test_case("!all", Verdict::Never)]
    #[test_case("host *.EXAMPLE.org", Verdict::Applies)]
    #[test_case("host login", Verdict::Never)]
    #[test_case("host=login*", Verdict::Applies)]
    #[test_case("originalhost login,x", Verdict::Applies)]
    #[test_case("user you", Verdict::Applies)]
    #[test_case("user You", Verdict::Never; "users are compared as they stand")]
    #[test_case("user *,!you", Verdict::Never; "a negation in the list")]
    #[test_case("!user me", Verdict::Applies)]
    #[test_case("localuser me user you originalhost login", Verdict::Applies)]
    #[test_case("localuser me user me originalhost login", Verdict::Never)]
    #[test_case("exec true", Verdict::Unjudged("exec".to_owned()))]
    #[test_case("exec true user me", Verdict::Never; "the other criterion decides")]
    #[test_case("user me exec true", Verdict::Never; "before it too")]
    #[test_case("final all", Verdict::Unjudged("final".to_owned()))]
    #[test_case("canonical user you", Verdict::Unjudged("canonical".to_owned()))]
    #[test_case("!final user you", Verdict::Unjudged("final".to_owned()); "negated")]
    #[test_case("tagged x", Verdict::Unjudged("tagged".to_owned()))]
    fn judged(line: &str, expected: Verdict) {
        assert_eq!(verdict(line), Ok(expected));
    }

    #[test_case("", "a Match needs a criterion")]
    #[test_case("host", "a criterion has no value")]
    #[test_case("host=", "a criterion has no value"; "after an equals sign")]
    #[test_case("all user me", "`all` cannot stand with other criteria")]
    #[test_case("user me all", "`all` cannot stand with other criteria"; "at the end")]
    fn means_nothing(line: &str, expected: &'static str) {
        assert_eq!(verdict(line), Err(expected));
    }

    proptest! {
        /// A negation says the opposite, and a criterion that fails is never made up for by another.
        #[test]
        fn all_must_hold(list in "[a-z*,!]{1,6}", more in "(user|host|exec|final) ?[a-z*]{0,3}") {
            let (plain, negated) = (verdict(&format!("user {list}")), verdict(&format!("!user {list}")));
            prop_assert_ne!(&plain, &negated);
            if plain == Ok(Verdict::Never) && let Ok(both) = verdict(&format!("user {list} {more}")) {
                prop_assert_eq!(both, Verdict::Never);
            }
        }

        #[test]
        fn never_panics(line in "\\PC{0,40}") {
            let _ = verdict(&line);
        }
    }
}

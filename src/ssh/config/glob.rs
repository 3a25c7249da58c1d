//! Files named by a pattern, as `Include` has them: `*`, `?` and `[a-z]`, in every part of a path.

use std::path::{Component, Path, PathBuf};

/// The files that `path` names, in order, and not many more than `most`; a path without a pattern names itself.
pub(in crate::ssh) fn expand(path: &Path, most: usize) -> Vec<PathBuf> {
    let mut found = vec![PathBuf::new()];
    for component in path.components() {
        let Component::Normal(name) = component else {
            push(&mut found, component);
            continue;
        };
        let name = name.to_string_lossy();
        if name.contains(['*', '?', '[']) {
            found = found.iter().flat_map(|folder| inside(folder, &name, most)).take(most).collect();
        } else {
            push(&mut found, component);
        }
    }
    found
}

fn push(paths: &mut [PathBuf], component: Component<'_>) {
    for path in paths {
        path.push(component);
    }
}

fn inside(folder: &Path, pattern: &str, most: usize) -> Vec<PathBuf> {
    let pattern: Vec<char> = pattern.chars().collect();
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| !name.starts_with('.') || pattern.first() == Some(&'.'))
        .filter(|name| matches(&pattern, &name.chars().collect::<Vec<_>>()))
        .take(most)
        .collect();
    names.sort();
    names.into_iter().map(|name| folder.join(name)).collect()
}

/// Whether `name` matches.
fn matches(mut pattern: &[char], mut name: &[char]) -> bool {
    // What follows the last star, and what it has not eaten yet: only that one is ever tried again, and nothing calls
    // itself, so that no pattern takes exponential time or all of the stack.
    let mut star: Option<(&[char], &[char])> = None;
    loop {
        if let Some(('*', rest)) = pattern.split_first() {
            star = Some((rest, name));
            pattern = rest;
        } else if let Some((rest, shorter)) = one(pattern, name) {
            (pattern, name) = (rest, shorter);
        } else if pattern.is_empty() && name.is_empty() {
            return true;
        } else if let Some((rest, [_, shorter @ ..])) = star {
            star = Some((rest, shorter));
            (pattern, name) = (rest, shorter);
        } else {
            return false;
        }
    }
}

/// What is left of both where the first character matches.
fn one<'p, 'n>(pattern: &'p [char], name: &'n [char]) -> Option<(&'p [char], &'n [char])> {
    let ((first, rest), (character, shorter)) = (pattern.split_first()?, name.split_first()?);
    match (first, class(rest)) {
        ('[', Some((members, negated, rest))) => (holds(members, *character) != negated).then_some((rest, shorter)),
        (wanted, _) => (*wanted == '?' || wanted == character).then_some((rest, shorter)),
    }
}

/// What stands between brackets, whether it is negated, and what follows; `None` where the bracket means itself.
fn class(rest: &[char]) -> Option<(&[char], bool, &[char])> {
    let negated = matches!(rest.first(), Some('!' | '^'));
    let members = rest.get(usize::from(negated)..)?;
    // A closing bracket that comes first is a member.
    let end = members.iter().skip(1).position(|c| *c == ']')? + 1;
    Some((members.get(..end)?, negated, members.get(end + 1..)?))
}

fn holds(mut members: &[char], character: char) -> bool {
    loop {
        let (held, rest) = match members {
            [from, '-', to, rest @ ..] => ((*from..=*to).contains(&character), rest),
            [member, rest @ ..] => (*member == character, rest),
            [] => return false,
        };
        if held {
            return true;
        }
        members = rest;
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may stop where it finds a fault")]

    use proptest::prelude::*;
    use test_case::test_case;

    use super::*;

    #[test_case("*.conf", "a.conf", true)]
    #[test_case("[0-9][0-9]-*", "10-a", true)]
    #[test_case("[0-9][0-9]-*", "1a-a", false)]
    #[test_case("[!a]x", "bx", true; "negated")]
    #[test_case("[^a]x", "ax", false; "negated by a caret")]
    #[test_case("[]x]", "]", true; "a closing bracket comes first")]
    #[test_case("[a", "[a", true; "a bracket that is not closed")]
    #[test_case("a?c", "abc", true)]
    #[test_case("[a-c]*[x-]", "b--", true; "a dash comes last")]
    #[test_case("*[ab]*[ab]", "xaxb", true; "brackets after stars")]
    #[test_case("*[ab]*[ab]", "xaxx", false; "brackets after stars that do not match")]
    fn names(pattern: &str, name: &str, expected: bool) {
        let characters = |text: &str| text.chars().collect::<Vec<_>>();
        assert_eq!(matches(&characters(pattern), &characters(name)), expected);
    }

    #[test]
    fn every_part_of_a_path_may_be_a_pattern() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["b/1.conf", "a/2.conf", "a/1.conf", "a/1.txt", "a/.3.conf", "c/x/1.conf"] {
            let file = dir.path().join(name);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, "").unwrap();
        }
        let found = expand(&dir.path().join("?/*.conf"), 10);
        let expected = ["a/1.conf", "a/2.conf", "b/1.conf"].map(|name| dir.path().join(name));
        assert_eq!(found, expected);
        assert_eq!(expand(Path::new("/no/such"), 10), [PathBuf::from("/no/such")]);
    }

    proptest! {
        #[test]
        fn agrees_with_host_patterns_but_for_brackets(pattern in "[ab*?]{0,8}", name in "[ab]{0,10}") {
            let characters = |text: &str| text.chars().collect::<Vec<_>>();
            prop_assert_eq!(
                matches(&characters(&pattern), &characters(&name)),
                super::super::pattern::matches(&pattern, &name)
            );
        }

        #[test]
        fn never_panics(pattern in "\\PC{0,12}", name in "\\PC{0,12}") {
            let characters = |text: &str| text.chars().collect::<Vec<_>>();
            let _ = matches(&characters(&pattern), &characters(&name));
        }
    }
}

//! What somebody probably meant.

/// The one of `known` that is nearest to `word`, if one is near enough to have been meant.
#[must_use]
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let most = word.chars().count().div_ceil(3);
    known
        .into_iter()
        .map(|name| (distance(word, name), name))
        .filter(|(steps, _)| (1..=most).contains(steps))
        .min_by_key(|(steps, _)| *steps)
        .map(|(_, name)| name)
}

/// How many letters are to be changed, added or taken away to come from one to the other.
fn distance(one: &str, other: &str) -> usize {
    let mut row: Vec<usize> = (0..=other.chars().count()).collect();
    for (above, letter) in one.chars().enumerate() {
        let mut next = vec![above + 1];
        for (pair, with) in row.windows(2).zip(other.chars()) {
            let [diagonal, up] = pair else { continue };
            let left = next.last().copied().unwrap_or_default();
            next.push((diagonal + usize::from(letter != with)).min(up + 1).min(left + 1));
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use test_case::test_case;

    use super::*;

    #[test_case("logn", Some("login"))]
    #[test_case("lgoin", Some("login"))]
    #[test_case("longin", Some("login"))]
    #[test_case("login", None; "the same")]
    #[test_case("hpc", None; "far away")]
    fn a_near_name_is_found(word: &str, expected: Option<&str>) {
        assert_eq!(nearest(word, ["login", "login-node", "gate"]), expected);
    }
}

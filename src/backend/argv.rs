//! Reads, sets and removes one long flag in an engine's words.
//!
//! `--port 1` and `--port=1` are the same, and so are `--api-key` and `--api_key`: vLLM and `SGLang` take both. A word
//! that starts with a dash is no value, except a lone dash and a number, as in Python's argparse. Of a flag that is
//! given twice the last counts. Abbreviations (`--por 1`) are not seen; a flag that is added behind them wins.

/// One place where a flag is given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Occurrence {
    /// The first word's index.
    at: usize,
    /// The flag as spelled, without `=` and value.
    spelled: String,
    /// Whether the value stands in the same word, after `=`.
    attached: bool,
    /// How many words it takes: 2 with a value of its own, else 1.
    words: usize,
}

impl Occurrence {
    fn covers(&self, index: usize) -> bool {
        (self.at..self.at + self.words).contains(&index)
    }

    /// The flag as spelled.
    pub(super) fn spelled(&self) -> &str {
        &self.spelled
    }

    /// Whether the value stands in the same word, after `=`.
    pub(super) fn attached(&self) -> bool {
        self.attached
    }
}

/// All places in `words`, from `from` on, where `flag` (such as `--api-key`) is given.
pub(super) fn occurrences(words: &[String], from: usize, flag: &str) -> Vec<Occurrence> {
    let mut found = Vec::new();
    for (at, word) in words.iter().enumerate().skip(from) {
        let (spelled, attached) = match word.split_once('=') {
            Some((spelled, _)) => (spelled, true),
            None => (word.as_str(), false),
        };
        if same_flag(spelled, flag) {
            let own_value = !attached && words.get(at + 1).is_some_and(|next| is_value(next));
            found.push(Occurrence { at, spelled: spelled.to_owned(), attached, words: 1 + usize::from(own_value) });
        }
    }
    found
}

/// `words` with the first of `found` replaced by `new`, and the others left out.
pub(super) fn replace<W>(words: Vec<W>, found: &[Occurrence], new: impl Fn(&Occurrence) -> Vec<W>) -> Vec<W> {
    let mut replaced = Vec::with_capacity(words.len());
    for (index, word) in words.into_iter().enumerate() {
        match found.iter().position(|occurrence| occurrence.covers(index)) {
            None => replaced.push(word),
            Some(0) if found.first().is_some_and(|first| first.at == index) => {
                replaced.extend(found.iter().take(1).flat_map(&new));
            }
            Some(_) => {}
        }
    }
    replaced
}

/// The flag's value: the last one that is given.
#[must_use]
pub fn get<'a>(words: &'a [String], flag: &str) -> Option<&'a str> {
    let last = occurrences(words, 0, flag).pop()?;
    if last.attached {
        words.get(last.at).and_then(|word| word.split_once('=')).map(|(_, value)| value)
    } else {
        words.get(last.at + 1).map(String::as_str).filter(|value| is_value(value))
    }
}

/// The values of a flag that takes several, as in `--served-model-name a b`: those of the last place where it is given.
#[must_use]
pub fn list<'a>(words: &'a [String], flag: &str) -> Vec<&'a str> {
    let Some(last) = occurrences(words, 0, flag).pop() else { return Vec::new() };
    if last.attached {
        return get(words, flag).into_iter().collect();
    }
    words.iter().skip(last.at + 1).map(String::as_str).take_while(|word| is_value(word)).collect()
}

/// Gives the flag this value, in the place and form where it is first given, else at the end; others are removed.
pub fn set(words: &mut Vec<String>, flag: &str, value: &str) {
    let found = occurrences(words, 0, flag);
    let written = |spelled: &str, attached: bool| {
        if attached || !is_value(value) {
            vec![format!("{spelled}={value}")]
        } else {
            vec![spelled.to_owned(), value.to_owned()]
        }
    };
    if found.is_empty() {
        words.extend(written(flag, false));
    } else {
        *words = replace(std::mem::take(words), &found, |place| written(place.spelled(), place.attached()));
    }
}

/// Takes the flag away, with its value, wherever it is given.
pub fn remove(words: &mut Vec<String>, flag: &str) {
    let found = occurrences(words, 0, flag);
    *words = replace(std::mem::take(words), &found, |_| Vec::new());
}

fn same_flag(spelled: &str, flag: &str) -> bool {
    spelled.starts_with("--") && spelled.len() == flag.len() && spelled.replace('_', "-") == flag
}

fn is_value(word: &str) -> bool {
    !word.starts_with('-') || word == "-" || word.parse::<f64>().is_ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use test_case::test_case;

    use super::*;

    fn words(line: &str) -> Vec<String> {
        line.split_whitespace().map(str::to_owned).collect()
    }

    #[test_case("m --port 1", Some("1"))]
    #[test_case("m --port=1", Some("1"); "attached")]
    #[test_case("m --port 1 --port=2", Some("2"); "the last of two")]
    #[test_case("m --port", None; "nothing after it")]
    #[test_case("m --port --x", None; "a flag after it")]
    #[test_case("m --port -1", Some("-1"); "a negative number")]
    #[test_case("m --port=", Some(""); "empty")]
    #[test_case("m --ports 1 -port 1 port", None; "other words")]
    fn gets(line: &str, value: Option<&str>) {
        assert_eq!(get(&words(line), "--port"), value);
    }

    #[test_case("m --api_key k", &["k"]; "underscore")]
    #[test_case("m --api-key a b --x c", &["a", "b"]; "several")]
    #[test_case("m --api-key a --api-key b c", &["b", "c"]; "the last place")]
    #[test_case("m --api-key=a b", &["a"]; "attached takes one")]
    #[test_case("m", &[]; "absent")]
    fn lists(line: &str, values: &[&str]) {
        assert_eq!(list(&words(line), "--api-key"), values);
    }

    #[test_case("m --port 1 --x", "m --port 9 --x"; "in place")]
    #[test_case("m --port=1 --x", "m --port=9 --x"; "in its own form")]
    #[test_case("m --port 1 --x --port=2 --port", "m --port 9 --x"; "once")]
    #[test_case("m --x", "m --x --port 9"; "at the end")]
    #[test_case("m --port --x", "m --port 9 --x"; "where a value was missing")]
    fn sets(line: &str, result: &str) {
        let mut argv = words(line);
        set(&mut argv, "--port", "9");
        assert_eq!(argv, words(result));
    }

    fn any_words() -> impl Strategy<Value = Vec<String>> {
        let word = prop_oneof!["--port", "--port=[0-9]?", "--po_rt", "-{0,3}[a-z0-9=]{0,3}", "--api[-_]key(=x)?"];
        proptest::collection::vec(word, 0..12)
    }

    proptest! {
        #[test]
        fn what_is_set_is_got(mut argv in any_words(), value in "-{0,2}[a-z0-9=]{0,4}") {
            set(&mut argv, "--port", &value);
            prop_assert_eq!(get(&argv, "--port"), Some(value.as_str()));
            prop_assert_eq!(occurrences(&argv, 0, "--port").len(), 1);
        }

        #[test]
        fn setting_twice_is_setting_once(mut argv in any_words(), value in "[a-z0-9]{1,4}") {
            set(&mut argv, "--port", &value);
            let once = argv.clone();
            set(&mut argv, "--port", &value);
            prop_assert_eq!(argv, once);
        }

        #[test]
        fn what_is_removed_is_gone_and_the_rest_stays(argv in any_words(), value in "[a-z0-9]{1,4}") {
            let (mut without, mut set_first) = (argv.clone(), argv.clone());
            remove(&mut without, "--port");
            prop_assert!(occurrences(&without, 0, "--port").is_empty());
            prop_assert!(without.iter().all(|word| argv.contains(word)));
            set(&mut set_first, "--port", &value);
            remove(&mut set_first, "--port");
            prop_assert_eq!(set_first, without);
        }
    }
}

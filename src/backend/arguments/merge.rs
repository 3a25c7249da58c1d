//! Several sources' arguments become one list of words: a later source's flag takes the place of an earlier one's.

use super::leave::CallerLeave;
use super::problem::{ArgumentError, ArgumentWarning};
use super::written::{Given, read};
use crate::backend::{Backend, Flags};
use crate::config::WrittenArg;

/// Who wrote arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArgumentSource {
    /// The operator, in a file or an environment.
    Operator,
    /// A caller of the API, who may set only what the operator lets him.
    Caller,
}

/// One source's arguments. Without a `Debug`: a value may be a key.
#[derive(Clone, Copy)]
pub struct ArgumentLayer<'a> {
    /// Who wrote them.
    pub source: ArgumentSource,
    /// What was written.
    pub arguments: &'a [WrittenArg],
}

/// What came of it. Without a `Debug`: a word may be a key.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct MergedArguments {
    /// The words for the engine's command; only to be used if there are no errors.
    pub words: Vec<String>,
    /// What the operator should know.
    pub warnings: Vec<ArgumentWarning>,
    /// What is wrong, all of it.
    pub errors: Vec<ArgumentError>,
}

/// Makes the words for an engine of this kind of its arguments, those that count least first: defaults, the shared base, the
/// model's own, the request's.
///
/// In a mapping `true` gives the flag alone, `null` and `false` leave it out (an earlier source's, too), a nested mapping
/// becomes JSON, a list becomes several values where the flag takes them, and else the flag once for each. A list of words
/// stays as it is.
#[must_use]
pub fn merge_arguments(backend: Backend, layers: &[ArgumentLayer<'_>], leave: &CallerLeave) -> MergedArguments {
    let flags = &backend.profile().flags;
    let mut merged = MergedArguments::default();
    let mut all: Vec<Given> = Vec::new();
    for layer in layers {
        let given = read(layer.arguments, flags, &mut merged.errors);
        let given = once_each(given, flags, &mut merged);
        let held = |given: &Given| match layer.source {
            ArgumentSource::Operator => None,
            ArgumentSource::Caller => leave.held_back(given, flags).filter(|_| !is_so_already(&all, given)),
        };
        let held = given.iter().filter_map(|given| Some(ArgumentError::Held { flag: shown(given), why: held(given)? }));
        let held: Vec<ArgumentError> = held.collect();
        merged.errors.extend(held);
        all = over(all, given);
    }
    merged.words = all.into_iter().flat_map(|given| given.words).collect();
    merged
}

/// One source's arguments without those that say the same again.
fn once_each(given: Vec<Given>, flags: &Flags, merged: &mut MergedArguments) -> Vec<Given> {
    let mut kept: Vec<Given> = Vec::new();
    for next in given {
        let before = kept.iter().find(|before| before.key == next.key && !next.key.is_empty());
        match before {
            Some(before) if before.listed && next.listed && flags.may_repeat(&next.key) => kept.push(next),
            Some(before) if before.says_the_same(&next) => {
                let (flag, first, second) = (next.spelled, before.line, next.line);
                merged.warnings.push(ArgumentWarning::Twice { flag, first, second });
            }
            Some(before) => {
                let (flag, first, second) = (next.spelled, before.line, next.line);
                merged.errors.push(ArgumentError::Differs { flag, first, second });
            }
            None => kept.push(next),
        }
    }
    kept
}

/// `earlier` with what `later` says: in the place of what it replaces, else at the end.
fn over(mut earlier: Vec<Given>, later: Vec<Given>) -> Vec<Given> {
    let mut replaced: Vec<Given> = Vec::with_capacity(earlier.len() + later.len());
    let (replacing, new): (Vec<Given>, Vec<Given>) =
        later.into_iter().partition(|next| earlier.iter().any(|before| before.key == next.key));
    let mut done: Vec<String> = Vec::new();
    for before in earlier.drain(..) {
        if !replacing.iter().any(|next| next.key == before.key) {
            replaced.push(before);
        } else if !done.contains(&before.key) {
            replaced.extend(replacing.iter().filter(|next| next.key == before.key).cloned());
            done.push(before.key);
        }
    }
    replaced.extend(new);
    // Words that belong to no flag come first: behind one they would be its values.
    replaced.sort_by_key(|given| !given.key.is_empty());
    replaced
}

/// Whether a caller asks for what the operator has said already, or to leave out what is not there.
fn is_so_already(operators: &[Given], given: &Given) -> bool {
    let before = operators.iter().find(|before| before.key == given.key);
    !given.key.is_empty() && before.map_or(given.words.is_empty(), |before| before.says_the_same(given))
}

/// What an error calls it. A bare word may be the value of something, and is not shown.
fn shown(given: &Given) -> String {
    if given.key.is_empty() { "a word without a flag".to_owned() } else { given.spelled.clone() }
}

//! What the verbs say that talk to a running proxy.

use std::process::Output;

use super::{Home, Proxy};

/// A verb with its words, for the proxies of this home, run to its end.
pub(crate) fn verb(home: &Home, words: &[&str]) -> Output {
    Proxy::builder().home(home).run(words.iter().copied())
}

/// What a verb printed that must have worked.
pub(crate) fn said(home: &Home, words: &[&str]) -> String {
    let output = verb(home, words);
    assert!(output.status.success(), "{words:?}: {output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// What a verb said that must have failed with this code.
pub(crate) fn refused(home: &Home, words: &[&str], code: i32) -> String {
    let output = verb(home, words);
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{words:?}: {text}");
    text
}

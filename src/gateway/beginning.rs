//! How a prompt begins: by this, requests find the replica whose prefix cache knows them.

use std::borrow::Cow;

use serde::Deserialize;

use crate::id::fnv1a;

/// What counts of a prompt, in bytes as written: more than most system prompts have, so that what comes behind them counts, too.
const LIMIT: usize = 4096;

/// The first bytes of `messages`, `prompt` or `input`, without white space between values.
#[derive(Debug, Default)]
pub(super) struct Beginning {
    bytes: Vec<u8>,
    is_on: bool,
}

/// A message, as far as it says whose it is.
#[derive(Deserialize)]
struct Said<'a> {
    #[serde(borrow)]
    role: Cow<'a, str>,
}

impl Beginning {
    pub(super) fn start(&mut self) {
        self.bytes.clear();
        self.is_on = true;
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        if self.is_on {
            let room = LIMIT.saturating_sub(self.bytes.len());
            self.bytes.extend(bytes.iter().take(room));
        }
    }

    /// A hash of what came since the start.
    pub(super) fn finish(&mut self) -> u64 {
        self.is_on = false;
        fnv1a(first_turn(&self.bytes))
    }
}

/// Of messages, those up to the first that is the user's: what a conversation begins with stays the same as it grows. Of all
/// else, everything.
fn first_turn(bytes: &[u8]) -> &[u8] {
    let (mut depth, mut begin, mut in_text, mut escaped) = (0_usize, 0, false, false);
    for (at, byte) in bytes.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_text => escaped = true,
            b'"' => in_text = !in_text,
            _ if in_text => {}
            b'{' | b'[' => {
                depth += 1;
                if depth == 2 {
                    begin = at;
                }
            }
            b'}' | b']' => {
                depth = depth.saturating_sub(1);
                let message = bytes.get(begin..=at).unwrap_or_default();
                if depth == 1 && serde_json::from_slice(message).is_ok_and(|said: Said<'_>| said.role == "user") {
                    return bytes.get(..=at).unwrap_or(bytes);
                }
            }
            _ => {}
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use test_case::test_case;

    use super::super::scan::Scanner;
    use super::*;

    #[test_case(r#"[{"role":"user","content":"a }"},{"role":"assistant","content":"b"}]"# => r#"[{"role":"user","content":"a }"}"#; "the first is the users")]
    #[test_case(r#"[{"role":"system","content":[{"text":"\"]"}]},{"role":"user","content":"b"},{"x":1}]"# => r#"[{"role":"system","content":[{"text":"\"]"}]},{"role":"user","content":"b"}"#; "behind what the system says")]
    #[test_case(r#"["one","two"]"# => r#"["one","two"]"#; "a list of texts")]
    #[test_case(r#""once upon a time"# => r#""once upon a time"#; "a text that was cut")]
    #[test_case("]]}}[[" => "]]}}[["; "no JSON")]
    #[test_case("" => ""; "nothing")]
    fn a_conversation_begins_with_its_first_turn(bytes: &str) -> &str {
        std::str::from_utf8(first_turn(bytes.as_bytes())).unwrap_or("-")
    }

    fn of(body: &str, piece: usize) -> Option<u64> {
        let mut scanner = Scanner::default();
        body.as_bytes().chunks(piece).for_each(|piece| scanner.feed(piece));
        scanner.finish().and_then(|found| found.beginning)
    }

    proptest! {
        #[test]
        fn it_is_the_same_however_a_body_is_cut_and_as_its_conversation_grows(
            first in "[ -~]{0,40}", answer in "[ -~]{0,40}", more in "[ -~]{0,40}", piece in 1..50_usize,
        ) {
            let turn = |role: &str, text: &str| serde_json::json!({ "role": role, "content": text });
            let (system, user) = (turn("system", "be kind"), turn("user", &first));
            let short = serde_json::json!({ "model": "m", "messages": [system, user] }).to_string();
            let grown = [system, user, turn("assistant", &answer), turn("user", &more)];
            let grown = serde_json::json!({ "stream": true, "messages": grown, "model": "m" });
            prop_assert!(of(&short, 1000).is_some());
            prop_assert_eq!(of(&short, 1000), of(&serde_json::to_string_pretty(&grown).unwrap_or_default(), piece));
            let other = short.replace("be kind", "be terse");
            prop_assert_ne!(of(&short, 1000), of(&other, piece));
        }
    }

    #[test]
    fn what_is_far_behind_does_not_count_and_what_has_no_prompt_has_none() {
        let long = "x".repeat(LIMIT);
        assert_eq!(of(&format!(r#"{{"prompt":"{long}a"}}"#), 99), of(&format!(r#"{{"prompt":"{long}b"}}"#), 7));
        assert_ne!(of(r#"{"prompt":"a"}"#, 9), of(r#"{"prompt":"b"}"#, 9));
        assert_eq!(of(r#"{"input":"a"}"#, 9), of(r#"{ "input" : "a" , "model":"m"}"#, 2));
        assert_eq!(of(r#"{"model":"m","metadata":{"prompt":"a"}}"#, 9), None);
    }
}

//! Takes from a log line what is not its message: colours, progress that was written over, the engine's own prefixes.

/// The message of a line.
pub(super) fn message(line: &str) -> String {
    let visible = without_escapes(line);
    // A progress bar writes over itself: what counts is what was there last.
    let last = visible.rsplit('\r').find(|part| !part.trim().is_empty()).unwrap_or_default();
    let text: String = last.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    without_prefixes(text.trim()).to_owned()
}

/// Whether the engine itself says that a line is no error, such as `WARNING 11-21 02:08:36 [core.py:123] …`, or
/// uvicorn's `INFO:     127.0.0.1:9 - "GET /health HTTP/1.1" 200 OK`.
pub(super) fn is_remark(line: &str) -> bool {
    let visible = without_escapes(line);
    let mut text = visible.trim();
    while let Some(rest) = without_process(text) {
        text = rest.trim_start();
    }
    let remarks = ["DEBUG ", "INFO ", "WARNING "];
    text.starts_with("INFO:  ")
        || remarks.iter().any(|level| text.starts_with(level)) && without_log_header(text).is_some()
}

/// The line without escapes and control characters: foreign text must not move the cursor of whoever reads it.
#[must_use]
pub fn visible(line: &str) -> String {
    without_escapes(line).replace(char::is_control, " ")
}

fn without_escapes(line: &str) -> String {
    let mut text = String::with_capacity(line.len());
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        if c != '\u{1b}' {
            text.push(c);
            continue;
        }
        match chars.next() {
            // Control sequences end with a character from `@` to `~`, operating system commands with BEL or ESC \.
            Some('[') => while chars.next().is_some_and(|c| !('@'..='~').contains(&c)) {},
            Some(']') => {
                while let Some(c) = chars.next() {
                    if c == '\u{7}' || (c == '\u{1b}' && chars.next_if_eq(&'\\').is_some()) {
                        break;
                    }
                }
            }
            Some(_) | None => {}
        }
    }
    text
}

/// Cuts vLLM's `(EngineCore pid=12) ` and `ERROR 11-21 02:08:36 [core.py:123] `, as often as they come.
fn without_prefixes(mut text: &str) -> &str {
    while let Some(rest) = without_process(text).or_else(|| without_log_header(text)) {
        text = rest.trim_start();
    }
    text
}

fn without_process(text: &str) -> Option<&str> {
    let (inside, rest) = text.strip_prefix('(')?.split_once(')')?;
    let (name, pid) = inside.rsplit_once(" pid=")?;
    let is_process = !name.is_empty() && !pid.is_empty() && pid.bytes().all(|byte| byte.is_ascii_digit());
    is_process.then_some(rest)
}

fn without_log_header(text: &str) -> Option<&str> {
    const LEVELS: [&str; 5] = ["DEBUG ", "INFO ", "WARNING ", "ERROR ", "CRITICAL "];
    let rest = LEVELS.iter().find_map(|level| text.strip_prefix(level))?;
    let (stamp, rest) = rest.split_once(" [")?;
    let is_stamp = stamp.bytes().all(|byte| byte.is_ascii_digit() || b"-:. ,".contains(&byte));
    let (_, rest) = rest.split_once(']')?;
    is_stamp.then_some(rest)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use test_case::test_case;

    use super::message;

    #[test_case("plain", "plain")]
    #[test_case("\u{1b}[1;31mred\u{1b}[0m text", "red text"; "colours")]
    #[test_case("\u{1b}]0;title\u{7}text", "text"; "a title")]
    #[test_case("(EngineCore pid=12) RuntimeError: x", "RuntimeError: x"; "process")]
    #[test_case("\u{1b}[0;36m(Worker_TP0 pid=9)\u{1b}[0;0m ERROR 11-21 02:08:36 [a/core.py:12] ValueError: y", "ValueError: y"; "coloured process and header")]
    #[test_case("(see pid=x) z", "(see pid=x) z"; "other brackets")]
    #[test_case("Loading: 10%\rLoading: 90%\r", "Loading: 90%"; "progress")]
    #[test_case("ERROR in [x] y", "ERROR in [x] y"; "no header")]
    #[test_case("a\tb\u{0}", "a b"; "control characters")]
    #[test_case("", ""; "nothing")]
    fn keeps_the_message(line: &str, expected: &str) {
        assert_eq!(message(line), expected);
    }

    proptest! {
        #[test]
        fn no_line_panics_and_none_keeps_a_control(line in "([\u{1b}\r\u{7}\\[\\]();m0-9 a-z=]|\\PC)*") {
            prop_assert!(!message(&line).chars().any(char::is_control));
        }
    }
}

//! Takes secrets out of a line before anybody is shown it.
//!
//! By name: what follows `--api-key`, `api_key=`, `'token':`, `HF_TOKEN=`, `Authorization:`, `Bearer`. By look: `hf_…`,
//! `sk-…`, 64 hexadecimal digits (a key of ours), a password in an address. It would rather take too much.

const HIDDEN: &str = "[redacted]";

/// A name with one of these endings names a secret. Dashes, underscores and capitals do not matter.
const ENDINGS: [&str; 9] =
    ["apikey", "apikeys", "token", "password", "passwd", "secret", "accesskey", "secretkey", "enginekey"];

/// Tokens start like this.
const STARTS: [&str; 8] = ["hf_", "sk-", "ghp_", "gho_", "github_pat_", "glpat-", "nvapi-", "xox"];

/// The shortest end of a token behind its start, in characters: `sk-learn` is a word.
const SHORTEST_TOKEN: usize = 8;

/// A key of ours, in characters.
const OWN_KEY: usize = 64;

/// The line without secrets.
#[must_use]
pub fn redact(line: &str) -> String {
    let mut kept = String::with_capacity(line.len());
    let mut rest = line;
    while !rest.is_empty() {
        let (other, after) = split(rest, is_name_char);
        kept.push_str(other);
        let (name, after) = split(after, |c| !is_name_char(c));
        rest = push_name(&mut kept, name, after);
    }
    without_passwords(&kept)
}

/// Writes a name, or nothing of it, and of what follows what is no secret; returns what is still to be read.
fn push_name<'a>(kept: &mut String, name: &str, after: &'a str) -> &'a str {
    if looks_secret(name) {
        kept.push_str(HIDDEN);
        return after;
    }
    kept.push_str(name);
    let plain: String = name.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect();
    if plain == "authorization" && after.trim_start_matches(['"', '\'', ' ']).starts_with([':', '=']) {
        kept.push_str(": ");
        kept.push_str(HIDDEN);
        return "";
    }
    if plain == "bearer" && after.starts_with(' ') {
        kept.push(' ');
        kept.push_str(HIDDEN);
        return value(after.trim_start(), false).1;
    }
    if !ENDINGS.iter().any(|ending| plain.ends_with(ending)) {
        return after;
    }
    let is_flag = name.starts_with("--");
    let (between, values) = split(after, |c| !" \t=:'\",[(".contains(c));
    if between.is_empty() || !(is_flag || between.contains(['=', ':'])) {
        return after;
    }
    kept.push_str(between);
    if values.is_empty() {
        return "";
    }
    if let Some(bracket) = between.find(['[', '(']).filter(|_| !is_flag || between.contains(['=', ':'])) {
        let closing = if between.get(bracket..).is_some_and(|open| open.starts_with('[')) { ']' } else { ')' };
        kept.push_str(HIDDEN);
        return split(values, |c| c == closing).1;
    }
    hide_values(kept, between, values, is_flag)
}

fn hide_values<'a>(kept: &mut String, between: &str, values: &'a str, is_flag: bool) -> &'a str {
    if is_flag && values.starts_with('-') {
        return values; // The next flag: this one had no value.
    }
    let quote = between.chars().last().filter(|last| matches!(last, '\'' | '"'));
    kept.push_str(HIDDEN);
    let mut rest = match quote {
        Some(quote) => split(values, |c| c == quote).1,
        None => value(values, true).1,
    };
    // vLLM's flag takes several, and a list of arguments may be printed as Python does.
    while is_flag && !between.starts_with('=') {
        let (between, next) = split(rest, |c| !" \t'\",".contains(c));
        if between.is_empty() || next.is_empty() || next.starts_with('-') {
            break;
        }
        rest = value(next, true).1;
    }
    rest
}

fn value(text: &str, ends_at_brackets: bool) -> (&str, &str) {
    split(text, |c| c.is_whitespace() || "'\",;".contains(c) || (ends_at_brackets && ")]}".contains(c)))
}

fn split(text: &str, ends: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(ends).unwrap_or(text.len()))
}

fn is_name_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == '-'
}

fn looks_secret(name: &str) -> bool {
    let start = name.trim_start_matches('-');
    let token = STARTS.iter().filter_map(|prefix| start.strip_prefix(prefix)).any(|end| end.len() >= SHORTEST_TOKEN);
    token || (name.len() == OWN_KEY && name.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// `scheme://user:password@host` without the password.
fn without_passwords(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("://") {
        kept.push_str(before);
        kept.push_str("://");
        let (authority, _) = split(after, |c| c.is_whitespace() || "/'\"?#".contains(c));
        rest = after;
        if let Some((user, _)) = authority.rsplit_once('@').and_then(|(login, _)| login.split_once(':')) {
            kept.push_str(user);
            kept.push(':');
            kept.push_str(HIDDEN);
            rest = after.get(authority.rfind('@').unwrap_or(0)..).unwrap_or_default();
        }
    }
    kept.push_str(rest);
    kept
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use test_case::test_case;

    use super::redact;

    #[test_case("vllm serve m --api-key hunter2 --port 1", "vllm serve m --api-key [redacted] --port 1")]
    #[test_case("--api_key=hunter2 x", "--api_key=[redacted] x"; "attached")]
    #[test_case("--api-key hunter2 hunter3 --x y", "--api-key [redacted] --x y"; "several")]
    #[test_case("unrecognized arguments: --api-keys hunter2", "unrecognized arguments: --api-keys [redacted]"; "misspelled flag")]
    #[test_case("['--api-key', 'hunter2', '--port', '1']", "['--api-key', '[redacted]', '--port', '1']"; "a list as Python prints it")]
    #[test_case("non-default args: {'model': 'm', 'api_key': ['hunter2', 'hunter3'], 'port': 1}", "non-default args: {'model': 'm', 'api_key': ['[redacted]], 'port': 1}"; "a mapping as Python prints it")]
    #[test_case("Namespace(api_key='hunter2', port=1)", "Namespace(api_key='[redacted]', port=1)"; "a namespace")]
    #[test_case("{\"hf_token\": \"hunter 2\"}", "{\"hf_token\": \"[redacted]\"}"; "json")]
    #[test_case("HF_TOKEN=hunter2 VLLM_API_KEY=hunter3 vllm", "HF_TOKEN=[redacted] VLLM_API_KEY=[redacted] vllm"; "variables")]
    #[test_case("Authorization: Bearer hunter2 hunter3", "Authorization: [redacted]"; "a header")]
    #[test_case("sent Bearer hunter2, got 401", "sent Bearer [redacted], got 401"; "bearer alone")]
    #[test_case("401 for hf_abcdefghijkl.", "401 for [redacted]."; "a token of the hub")]
    #[test_case("key sk-proj-abcdefghijkl", "key [redacted]"; "an OpenAI key")]
    #[test_case("http://ada:hunter2@proxy:3128/x", "http://ada:[redacted]@proxy:3128/x"; "an address")]
    #[test_case("k=0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef", "k=[redacted]"; "a key of ours")]
    #[test_case("--api-key --port 1", "--api-key --port 1"; "no value")]
    #[test_case("num_tokens: 5, token ids, the token was bad", "num_tokens: 5, token ids, the token was bad"; "other tokens")]
    #[test_case("installed sk-learn from http://host:80/a@b", "installed sk-learn from http://host:80/a@b"; "harmless")]
    fn hides_secrets_and_little_else(line: &str, expected: &str) {
        assert_eq!(redact(line), expected);
    }

    proptest! {
        #[test]
        fn no_line_panics(line in "(api_key|--token|Bearer|://|[=:'\"\\[\\]() ,@-]|\\PC)*") {
            let _ = redact(&line);
        }

        #[test]
        fn a_named_secret_is_never_shown(
            before in "[a-z '\"=:,-]{0,12}",
            name in proptest::sample::select(vec![
                "--api-key ", "--api-key=", "--api_key '", "--api-key\", \"", "api_key='", "api_key=['", "'api_key': ['",
                "VLLM_API_KEY=", "HF_TOKEN=", "\"password\": \"", "Authorization: Bearer ", "--hf-token ", "https://u:",
            ]),
            after in "@h|[ '\"\\],)}].{0,20}",
        ) {
            prop_assume!(!name.starts_with("http") || after == "@h");
            let line = format!("{before} {name}Zq9Zq9Zq9{after}");
            prop_assert!(!redact(&line).contains("Zq9Zq9Zq9"), "{}", redact(&line));
        }
    }
}

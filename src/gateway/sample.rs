//! A line of Prometheus' text format that has a value.

/// `name{labels} value time`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sample<'a> {
    /// What it is called.
    pub(super) name: &'a str,
    /// Its labels, their values with the escapes that they were written with.
    pub(super) labels: Vec<(&'a str, &'a str)>,
    /// Its value, which is a number.
    pub(super) value: &'a str,
    /// Its time in milliseconds, if it was told.
    pub(super) time: Option<i64>,
}

impl<'a> Sample<'a> {
    /// Nothing where the line is none. An exemplar behind it, which only `OpenMetrics` knows, is passed over, and so is that
    /// format's time in seconds.
    pub(super) fn read(line: &'a str) -> Option<Self> {
        let (name, rest) = line.split_at(line.find(['{', ' ', '\t'])?);
        if !is_name(name) {
            return None;
        }
        let (labels, rest) = match rest.strip_prefix('{') {
            Some(rest) => read_labels(rest)?,
            None => (Vec::new(), rest),
        };
        let rest = rest.split_once('#').map_or(rest, |(rest, _exemplar)| rest);
        let mut words = rest.split_ascii_whitespace();
        let value = words.next().filter(|value| value.parse::<f64>().is_ok())?;
        let time = words.next();
        let is_time = time.is_none_or(|time| time.parse::<f64>().is_ok());
        let time = time.and_then(|time| time.parse().ok());
        (is_time && words.next().is_none()).then_some(Self { name, labels, value, time })
    }
}

/// The labels up to the closing brace, and what stands behind it.
fn read_labels(mut rest: &str) -> Option<(Vec<(&str, &str)>, &str)> {
    let mut labels: Vec<(&str, &str)> = Vec::new();
    loop {
        rest = rest.trim_start();
        if let Some(rest) = rest.strip_prefix('}') {
            return Some((labels, rest));
        }
        let (name, after) = rest.split_once('=')?;
        let (name, after) = (name.trim_end(), after.trim_start().strip_prefix('"')?);
        if !is_name(name) || name.contains(':') || labels.iter().any(|(other, _)| *other == name) {
            return None;
        }
        let (value, behind) = after.split_at(value_ends(after)?);
        labels.push((name, value));
        rest = behind.strip_prefix('"')?.trim_start();
        match rest.strip_prefix(',') {
            Some(next) => rest = next,
            None if rest.starts_with('}') => {}
            None => return None,
        }
    }
}

/// Where the closing quote of a label's value is. Its escapes are `\\`, `\"` and `\n`.
fn value_ends(text: &str) -> Option<usize> {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'\\' | b'"' | b'n' if escaped => escaped = false,
            _ if escaped => return None,
            b'\\' => escaped = true,
            b'"' => return Some(at),
            _ => {}
        }
    }
    None
}

/// What a metric may be called.
pub(super) fn is_name(text: &str) -> bool {
    let is_first = |byte: u8| byte.is_ascii_alphabetic() || matches!(byte, b'_' | b':');
    text.bytes().next().is_some_and(is_first) && text.bytes().all(|byte| is_first(byte) || byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use test_case::test_case;

    use super::*;

    fn shown(line: &str) -> Option<String> {
        let Sample { name, labels, value, time } = Sample::read(line)?;
        let labels: Vec<String> = labels.into_iter().map(|(name, value)| format!("{name}={value}")).collect();
        let time = time.map(|time| format!(" {time}")).unwrap_or_default();
        Some(format!("{name}[{}] {value}{time}", labels.join("|")))
    }

    #[test_case("up 1" => Some("up[] 1".to_owned()))]
    #[test_case("up\t1 1795226400000" => Some("up[] 1 1795226400000".to_owned()); "with a time")]
    #[test_case("up{} +Inf" => Some("up[] +Inf".to_owned()); "no labels in braces")]
    #[test_case("a:b{ x = \"1\" , } NaN" => Some("a:b[x=1] NaN".to_owned()); "spaces and a last comma")]
    #[test_case(r##"up{a="}\"\\",b="# x"} 1e-3"## => Some(r#"up[a=}\"\\|b=# x] 1e-3"#.to_owned()); "braces, quotes and hashes")]
    #[test_case(r#"f_bucket{le="1"} 2 # {trace="a b"} 0.5 1.2"# => Some("f_bucket[le=1] 2".to_owned()); "an exemplar")]
    #[test_case("up 1 1795226400.5" => Some("up[] 1".to_owned()); "a time of OpenMetrics")]
    #[test_case("up" => None; "no value")]
    #[test_case("up one" => None; "no number")]
    #[test_case("up 1 2 3" => None; "too much")]
    #[test_case("up{a=\"1\"" => None; "broken off")]
    #[test_case("up{a=\"1\" b=\"2\"} 1" => None; "no comma")]
    #[test_case("up{a=\"1\",a=\"2\"} 1" => None; "a label twice")]
    #[test_case(r#"up{a="\t"} 1"# => None; "no such escape")]
    #[test_case(r#"{"a.b",x="1"} 1"# => None; "a quoted name")]
    #[test_case("0up 1" => None; "no name")]
    #[test_case("<html>not found</html>" => None; "something else")]
    fn lines(line: &str) -> Option<String> {
        shown(line)
    }
}

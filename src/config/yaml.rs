//! A YAML document as a tree in which each value knows its line, and each number its letters.

use std::borrow::Cow;
use std::collections::HashMap;

use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Tag};

use super::Problem;

/// The most values that a file may have, those that an alias repeats counted again: aliases of aliases grow beyond all bounds.
const MOST_NODES: usize = 100_000;

/// How deep values may lie in each other. Readers go down by calling themselves.
const DEEPEST: usize = 64;

/// One value, and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Node {
    /// From 1.
    pub(super) line: usize,
    pub(super) value: Value,
}

/// What stands there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    Null,
    Bool(bool),
    /// As it was written: `0.90` stays that.
    Number(String),
    Text(String),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// One key of a mapping, with its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) line: usize,
    pub(super) value: Node,
}

impl Node {
    /// What it is, as a sentence names it.
    pub(super) fn kind(&self) -> &'static str {
        match self.value {
            Value::Null => "nothing",
            Value::Bool(_) => "true or false",
            Value::Number(_) => "a number",
            Value::Text(_) => "a text",
            Value::List(_) => "a list",
            Value::Map(_) => "a mapping",
        }
    }

    fn count(&self) -> usize {
        1 + match &self.value {
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Text(_) => 0,
            Value::List(nodes) => nodes.iter().map(Self::count).sum::<usize>(),
            Value::Map(entries) => entries.iter().map(|entry| entry.value.count()).sum::<usize>(),
        }
    }

    fn depth(&self) -> usize {
        1 + match &self.value {
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Text(_) => 0,
            Value::List(nodes) => nodes.iter().map(Self::depth).max().unwrap_or_default(),
            Value::Map(entries) => entries.iter().map(|entry| entry.value.depth()).max().unwrap_or_default(),
        }
    }
}

/// Reads the one document of a text. An empty text is [`Value::Null`].
pub(super) fn parse(text: &str) -> Result<Node, Problem> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut tree = Tree::default();
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| scan_problem(&error))?;
        tree.take(event, span.start.line())?;
    }
    Ok(tree.root.unwrap_or(Node { line: 1, value: Value::Null }))
}

/// The parser's own words never hold a line of the file, which may be a secret.
fn scan_problem(error: &ScanError) -> Problem {
    Problem::new(error.marker().line(), format!("this is not YAML: {}", error.info()))
}

/// A list or a mapping that is not closed yet.
struct Open {
    line: usize,
    anchor: usize,
    what: OpenKind,
}

enum OpenKind {
    List(Vec<Node>),
    /// With the key whose value comes next.
    Map(Vec<Entry>, Option<(String, usize)>),
}

#[derive(Default)]
struct Tree {
    root: Option<Node>,
    open: Vec<Open>,
    anchors: HashMap<usize, Node>,
    count: usize,
}

impl Tree {
    fn take(&mut self, event: Event<'_>, line: usize) -> Result<(), Problem> {
        match event {
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => Ok(()),
            Event::DocumentStart(_) => match self.root {
                Some(_) => Err(Problem::new(line, "a second document begins here; a file has one")),
                None => Ok(()),
            },
            Event::Alias(anchor) => {
                let node = self.anchors.get(&anchor).cloned();
                let node = node.ok_or_else(|| Problem::new(line, "this alias lies inside of what it repeats"))?;
                self.count = self.count.saturating_add(node.count());
                self.add(Node { line, ..node }, 0)
            }
            Event::Scalar(text, style, anchor, tag) => {
                let value = scalar(&text, style, tag.as_ref()).map_err(|what| Problem::new(line, what))?;
                self.add(Node { line, value }, anchor)
            }
            Event::SequenceStart(anchor, _) => self.open(line, anchor, OpenKind::List(Vec::new())),
            Event::MappingStart(anchor, _) => self.open(line, anchor, OpenKind::Map(Vec::new(), None)),
            Event::SequenceEnd | Event::MappingEnd => {
                let Some(open) = self.open.pop() else { return Ok(()) };
                let value = match open.what {
                    OpenKind::List(nodes) => Value::List(nodes),
                    OpenKind::Map(entries, _) => Value::Map(entries),
                };
                self.add(Node { line: open.line, value }, open.anchor)
            }
        }
    }

    fn open(&mut self, line: usize, anchor: usize, what: OpenKind) -> Result<(), Problem> {
        if self.open.len() >= DEEPEST {
            return Err(Problem::new(line, format!("this lies more than {DEEPEST} levels deep")));
        }
        self.open.push(Open { line, anchor, what });
        Ok(())
    }

    fn add(&mut self, node: Node, anchor: usize) -> Result<(), Problem> {
        let line = node.line;
        self.count = self.count.saturating_add(1);
        if self.count > MOST_NODES || self.open.len() + node.depth() > DEEPEST + 1 {
            return Err(Problem::new(line, "with its aliases this file is too large"));
        }
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
        match self.open.last_mut().map(|open| &mut open.what) {
            None => self.root = Some(node),
            Some(OpenKind::List(nodes)) => nodes.push(node),
            Some(OpenKind::Map(_, key @ None)) => *key = Some((key_text(node)?, line)),
            Some(OpenKind::Map(entries, key)) => {
                let Some((key, line)) = key.take() else { return Ok(()) };
                entries.push(Entry { key, line, value: node });
            }
        }
        Ok(())
    }
}

/// A key is a word; that `8000:` or `true:` would be something else does not matter for a name.
fn key_text(node: Node) -> Result<String, Problem> {
    match node.value {
        Value::Text(text) | Value::Number(text) => Ok(text),
        Value::Bool(known) => Ok(known.to_string()),
        Value::Null => Ok("null".to_owned()),
        Value::List(_) | Value::Map(_) => Err(Problem::new(node.line, "a key must be a word")),
    }
}

/// What a scalar is by YAML 1.2: `yes` and `0o17` without a tag are, like all else, texts or numbers of its core schema.
fn scalar(text: &str, style: ScalarStyle, tag: Option<&Cow<'_, Tag>>) -> Result<Value, String> {
    let tagged = tag.map(|tag| (tag.is_yaml_core_schema(), tag.suffix.as_str()));
    match tagged {
        None if style == ScalarStyle::Plain => Ok(plain(text)),
        None | Some((true, "str")) => Ok(Value::Text(text.to_owned())),
        Some((true, "null" | "bool" | "int" | "float")) => Ok(plain(text)),
        Some((_, name)) => Err(format!("the tag '{name}' is not known; leave it out")),
    }
}

/// What a word without quotes is.
pub(super) fn plain(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "true" | "True" | "TRUE" => Value::Bool(true),
        "false" | "False" | "FALSE" => Value::Bool(false),
        text if is_number(text) => Value::Number(text.to_owned()),
        text => Value::Text(text.to_owned()),
    }
}

/// Whole numbers, fractions and exponents in tens: what JSON has, and `+`, `.5` and `5.` besides.
fn is_number(text: &str) -> bool {
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    let text = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.strip_prefix(['-', '+']).unwrap_or(exponent)),
        None => (text, "0"),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    digits(whole) && digits(fraction) && digits(exponent) && !exponent.is_empty() && whole.len() + fraction.len() > 0
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

    use proptest::prelude::*;
    use test_case::test_case;

    use super::*;

    #[test_case("1", &Value::Number("1".into()))]
    #[test_case("0.90", &Value::Number("0.90".into()); "as written")]
    #[test_case("-1e-3", &Value::Number("-1e-3".into()); "exponent")]
    #[test_case("'1'", &Value::Text("1".into()); "quoted")]
    #[test_case("1.2.3", &Value::Text("1.2.3".into()); "version")]
    #[test_case("e5", &Value::Text("e5".into()); "a word")]
    #[test_case(".", &Value::Text(".".into()); "a dot")]
    #[test_case("yes", &Value::Text("yes".into()))]
    #[test_case("True", &Value::Bool(true))]
    #[test_case("~", &Value::Null; "tilde")]
    #[test_case("!!str 1", &Value::Text("1".into()); "tagged")]
    #[test_case("", &Value::Null; "empty")]
    fn scalars(text: &str, expected: &Value) {
        assert_eq!(parse(text).unwrap().value, *expected);
    }

    #[test]
    fn keys_and_values_know_their_lines_and_aliases_repeat() {
        let node = parse("a: &x\n  - 1\n  - b: 2\nc: *x\n").unwrap();
        let Value::Map(entries) = node.value else { panic!("no mapping") };
        let lines: Vec<_> = entries.iter().map(|entry| (entry.key.as_str(), entry.line)).collect();
        assert_eq!(lines, [("a", 1), ("c", 4)]);
        let [a, c] = entries.as_slice() else { panic!("two") };
        assert_eq!(a.value.value, c.value.value);
    }

    #[test_case("a: [1, 2\nb: 3\n", 2; "open bracket")]
    #[test_case("a: 1\n---\nb: 2\n", 2; "two documents")]
    #[test_case("a: *nothing\n", 1; "no such anchor")]
    #[test_case("? [1]\n: 2\n", 1; "a list as a key")]
    #[test_case("a: 1\nb: !secret x\n", 2; "tag")]
    fn faults_have_a_line(text: &str, line: usize) {
        let problem = parse(text).unwrap_err();
        assert_eq!(problem.line, Some(line), "{problem}");
    }

    #[test]
    fn aliases_do_not_grow_beyond_all_bounds() {
        let mut text = String::from("a0: &a0 [1,1,1,1,1,1,1,1,1,1]\n");
        for level in 1..12 {
            let before = format!("*a{},", level - 1).repeat(10);
            text.push_str(&[&format!("a{level}: &a{level} ["), before.trim_end_matches(','), "]\n"].concat());
        }
        assert!(parse(&text).unwrap_err().to_string().contains("too large"));
        assert!(parse(&"[".repeat(10_000)).is_err());
        assert!(parse(&"- ".repeat(10_000)).is_err());
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[\\[\\]{}:,&*!|>'\"#%@`a-c0-2\n \t?-]{0,60}|\\PC*") {
            drop(parse(&text));
        }
    }
}

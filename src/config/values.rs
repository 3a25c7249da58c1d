//! Reads single values. What is answered for a bad one goes on after the key's name.

use std::path::PathBuf;
use std::time::Duration;

use http::uri::PathAndQuery;

use super::size::parse_size;
use super::yaml::{Node, Value};
use super::{nearest, parse_duration};

/// No machine has as many.
const MOST_GPUS: u32 = 1023;

/// A word. A number is one, too: `model: 7` needs no quotes.
pub(super) fn text(node: &Node) -> Result<String, String> {
    match &node.value {
        Value::Text(text) | Value::Number(text) if text.trim().is_empty() => Err("is empty".to_owned()),
        Value::Text(text) | Value::Number(text) => Ok(text.clone()),
        Value::Null | Value::Bool(_) | Value::List(_) | Value::Map(_) => {
            Err(format!("must be a text, and is {}", node.kind()))
        }
    }
}

pub(super) fn path(node: &Node) -> Result<PathBuf, String> {
    text(node).map(PathBuf::from)
}

pub(super) fn url_path(node: &Node) -> Result<String, String> {
    parse_url_path(&text(node)?)
}

/// Reads the path of a URL, such as `/health`, which may have a query.
///
/// # Errors
/// It is none; the words go on after what it was written for.
pub fn parse_url_path(text: &str) -> Result<String, String> {
    let fits = text.starts_with('/') && !text.contains('#') && text.parse::<PathAndQuery>().is_ok();
    if fits { Ok(text.to_owned()) } else { Err(format!("must be a path such as /health, and is '{text}'")) }
}

/// One word, or a list of words.
pub(super) fn texts(node: &Node) -> Result<Vec<String>, String> {
    match &node.value {
        Value::List(nodes) => {
            nodes.iter().map(text).collect::<Result<_, _>>().map_err(|what| format!("has an entry that {what}"))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Text(_) | Value::Map(_) => text(node)
            .map(|one| vec![one])
            .map_err(|_| format!("must be a text or a list of them, and is {}", node.kind())),
    }
}

/// A command: a list of words, or one line that is split as a shell would.
pub(super) fn command(node: &Node) -> Result<Vec<String>, String> {
    let words = match &node.value {
        Value::Text(line) => shlex::split(line).ok_or("has a quote that is not closed")?,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::List(_) | Value::Map(_) => texts(node)?,
    };
    if words.is_empty() { Err("is empty".to_owned()) } else { Ok(words) }
}

pub(super) fn boolean(node: &Node) -> Result<bool, String> {
    match &node.value {
        Value::Bool(known) => Ok(*known),
        Value::Text(text) if ["yes", "no", "on", "off"].contains(&text.to_ascii_lowercase().as_str()) => {
            Err(format!("must be true or false; '{text}' is a text in YAML 1.2"))
        }
        Value::Null | Value::Number(_) | Value::Text(_) | Value::List(_) | Value::Map(_) => {
            Err(format!("must be true or false, and is {}", node.kind()))
        }
    }
}

/// A whole number in these bounds; one in quotes is one, too.
pub(super) fn whole(node: &Node, least: u32, most: u32) -> Result<u32, String> {
    let wrong = |is: String| format!("must be a whole number from {least} to {most}, and is {is}");
    match &node.value {
        Value::Number(text) | Value::Text(text) => text
            .trim()
            .parse::<u32>()
            .ok()
            .filter(|number| (least..=most).contains(number))
            .ok_or_else(|| wrong(format!("'{text}'"))),
        Value::Null | Value::Bool(_) | Value::List(_) | Value::Map(_) => Err(wrong(node.kind().to_owned())),
    }
}

/// The numbers of GPUs: a list, which may be empty; what is there twice counts once.
pub(super) fn gpus(node: &Node) -> Result<Vec<u32>, String> {
    let Value::List(nodes) = &node.value else {
        return Err(format!("must be a list of numbers such as [0, 1], and is {}", node.kind()));
    };
    let mut gpus: Vec<u32> = nodes
        .iter()
        .map(|node| whole(node, 0, MOST_GPUS))
        .collect::<Result<_, _>>()
        .map_err(|what| format!("has an entry that {what}"))?;
    gpus.sort_unstable();
    gpus.dedup();
    Ok(gpus)
}

pub(super) fn port(node: &Node) -> Result<u16, String> {
    whole(node, 1, u16::MAX.into()).and_then(|port| u16::try_from(port).map_err(|error| error.to_string()))
}

pub(super) fn duration(node: &Node) -> Result<Duration, String> {
    match &node.value {
        Value::Number(text) | Value::Text(text) => {
            parse_duration(text).map_err(|error| format!("is no duration: {error}"))
        }
        Value::Null | Value::Bool(_) | Value::List(_) | Value::Map(_) => {
            Err(format!("must be a duration such as 90s or 30m, or a number of seconds, and is {}", node.kind()))
        }
    }
}

/// Like [`duration`], where none at all makes no sense.
pub(super) fn some_duration(node: &Node) -> Result<Duration, String> {
    duration(node)
        .and_then(|duration| if duration.is_zero() { Err("must be more than 0".to_owned()) } else { Ok(duration) })
}

pub(super) fn size(node: &Node) -> Result<u64, String> {
    let wrong = |is: String| format!("must be a size such as 140GB or 130GiB, and is {is}");
    match &node.value {
        Value::Number(text) | Value::Text(text) => parse_size(text).ok_or_else(|| wrong(format!("'{text}'"))),
        Value::Null | Value::Bool(_) | Value::List(_) | Value::Map(_) => Err(wrong(node.kind().to_owned())),
    }
}

/// One of a few words.
pub(super) fn choice<T: Copy>(node: &Node, known: &[(&'static str, T)]) -> Result<T, String> {
    let names: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
    let word = text(node).map_err(|_| format!("must be one of {}, and is {}", names.join(", "), node.kind()))?;
    known.iter().find(|(name, _)| *name == word).map(|(_, value)| *value).ok_or_else(|| {
        let meant = nearest(&word, names.iter().copied()).map(|meant| format!("; did you mean '{meant}'?"));
        format!("must be one of {}, and is '{word}'{}", names.join(", "), meant.unwrap_or_default())
    })
}

//! Reads a mapping key by key. What is wrong is collected, so that all of it is told at once: a derived `Deserialize`
//! would end at the first fault.

use std::path::PathBuf;
use std::sync::Arc;

use super::yaml::{Entry, Node, Value};
use super::{Problem, Source, Sourced, nearest};

/// A mapping that is being read, and what was found wrong up to now.
pub(super) struct Block<'n, 'p> {
    file: &'p Arc<PathBuf>,
    /// Of its keys, with a dot behind; empty at the top.
    path: String,
    entries: Vec<&'n Entry>,
    known: Vec<&'static str>,
    problems: &'p mut Vec<Problem>,
}

impl<'n, 'p> Block<'n, 'p> {
    /// Of this value; an empty one where it is no mapping.
    pub(super) fn of(file: &'p Arc<PathBuf>, path: &str, node: &'n Node, problems: &'p mut Vec<Problem>) -> Self {
        let mut entries: Vec<&Entry> = Vec::new();
        match &node.value {
            Value::Null => {}
            Value::Map(all) => {
                for entry in all {
                    if let Some(earlier) = entries.iter().find(|earlier| earlier.key == entry.key) {
                        let what = format!("'{path}{}' is written twice, here and in line {}", entry.key, earlier.line);
                        problems.push(Problem::new(entry.line, format!("{what}; leave one of them out")));
                    } else {
                        entries.push(entry);
                    }
                }
            }
            Value::Bool(_) | Value::Number(_) | Value::Text(_) | Value::List(_) => {
                let name = path.trim_end_matches('.');
                let name = if name.is_empty() { "the file".to_owned() } else { format!("'{name}'") };
                problems.push(Problem::new(node.line, format!("{name} must be a mapping, and is {}", node.kind())));
            }
        }
        Self { file, path: path.to_owned(), entries, known: Vec::new(), problems }
    }

    /// Whether this key is there.
    pub(super) fn has(&self, key: &str) -> bool {
        self.entries.iter().any(|entry| entry.key == key)
    }

    /// Whether there is a mapping under this key.
    pub(super) fn is_mapping(&self, key: &str) -> bool {
        self.entries.iter().any(|entry| entry.key == key && matches!(entry.value.value, Value::Map(_)))
    }

    /// Whether a fault of this key was told already: what could not be read is not missing.
    pub(super) fn is_told(&self, key: &str) -> bool {
        let name = format!("'{key}' ");
        self.problems.iter().any(|problem| problem.what.starts_with(&name))
    }

    /// Adds a fault of this line.
    pub(super) fn problem(&mut self, line: usize, what: impl Into<String>) {
        self.problems.push(Problem::new(line, what));
    }

    /// Where a line of this file is.
    pub(super) fn source(&self, line: usize) -> Source {
        Source::File { path: Arc::clone(self.file), line }
    }

    fn entry(&mut self, key: &'static str) -> Option<&'n Entry> {
        self.known.push(key);
        let at = self.entries.iter().position(|entry| entry.key == key)?;
        Some(self.entries.remove(at)).filter(|entry| entry.value.value != Value::Null)
    }

    /// The value of a key, where it is written and can be read. What `read` answers goes on after the key's name.
    pub(super) fn take<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&Node) -> Result<T, String>,
    ) -> Option<Sourced<T>> {
        let entry = self.entry(key)?;
        match read(&entry.value) {
            Ok(value) => Some(Sourced::new(value, self.source(entry.line))),
            Err(what) => {
                let what = format!("'{}{key}' {what}", self.path);
                self.problems.push(Problem::new(entry.line, what));
                None
            }
        }
    }

    /// The mapping under a key.
    pub(super) fn within<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&mut Block<'n, '_>) -> T,
    ) -> Option<Sourced<T>> {
        let entry = self.entry(key)?;
        let path = format!("{}{key}.", self.path);
        let value = self.sub(&path, &entry.value, read);
        Some(Sourced::new(value, self.source(entry.line)))
    }

    /// The mapping under a key whose own keys are names that the user chooses.
    pub(super) fn named<T>(
        &mut self,
        key: &'static str,
        mut read: impl FnMut(&str, &mut Block<'n, '_>) -> T,
    ) -> Vec<(String, Sourced<T>)> {
        let Some(entry) = self.entry(key) else { return Vec::new() };
        let path = format!("{}{key}.", self.path);
        // Finds what is written twice, or is no mapping.
        let entries = Block::of(self.file, &path, &entry.value, self.problems).entries;
        let one = |inner: &'n Entry| {
            let path = format!("{path}{}.", inner.key);
            let value = self.sub(&path, &inner.value, |block| read(&inner.key, block));
            (inner.key.clone(), Sourced::new(value, self.source(inner.line)))
        };
        entries.into_iter().map(one).collect()
    }

    /// The pairs under a key: names that the user chooses, each with one value.
    pub(super) fn pairs<T>(
        &mut self,
        key: &'static str,
        read: impl Fn(&str, &Node) -> Result<Option<T>, String>,
    ) -> Vec<Sourced<T>> {
        let Some(entry) = self.entry(key) else { return Vec::new() };
        let path = format!("{}{key}.", self.path);
        let entries = Block::of(self.file, &path, &entry.value, self.problems).entries;
        let mut found = Vec::new();
        for inner in entries {
            match read(&inner.key, &inner.value) {
                Ok(Some(value)) => found.push(Sourced::new(value, self.source(inner.line))),
                Ok(None) => {}
                Err(what) => self.problems.push(Problem::new(inner.line, format!("'{path}{}' {what}", inner.key))),
            }
        }
        found
    }

    /// The keys that were asked for up to now.
    pub(super) fn known(self) -> Vec<&'static str> {
        self.known
    }

    fn sub<T>(&mut self, path: &str, node: &'n Node, read: impl FnOnce(&mut Block<'n, '_>) -> T) -> T {
        let mut block = Block::of(self.file, path, node, self.problems);
        let value = read(&mut block);
        block.finish();
        value
    }

    /// What nobody asked for is unknown.
    pub(super) fn finish(self) {
        for entry in &self.entries {
            let what = match nearest(&entry.key, self.known.iter().copied()) {
                _ if entry.key == "<<" => {
                    "'<<' is not taken; write what several models share under 'defaults'".to_owned()
                }
                Some(meant) => {
                    format!("'{}{}' is not known; did you mean '{}{meant}'?", self.path, entry.key, self.path)
                }
                None => format!("'{}{}' is not known; known here: {}", self.path, entry.key, self.known.join(", ")),
            };
            self.problems.push(Problem::new(entry.line, what));
        }
    }

    /// Takes out the keys that `other` knows, with their lines.
    pub(super) fn misplaced(&mut self, other: &[&str]) -> Vec<(String, usize)> {
        let (elsewhere, rest) = self.entries.iter().partition(|entry| other.contains(&entry.key.as_str()));
        self.entries = rest;
        let elsewhere: Vec<&Entry> = elsewhere;
        elsewhere.into_iter().map(|entry| (entry.key.clone(), entry.line)).collect()
    }
}

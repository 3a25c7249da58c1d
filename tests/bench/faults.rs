//! What went wrong, and how often.

use std::collections::BTreeMap;

use serde_json::{Value, json};

/// Outcomes of many tasks.
#[derive(Debug, Default)]
pub(crate) struct Outcomes {
    finished: u64,
    faults: BTreeMap<String, u64>,
}

impl Outcomes {
    pub(crate) fn count<T>(&mut self, outcome: Result<T, String>) -> Option<T> {
        match outcome {
            Ok(kept) => {
                self.finished += 1;
                Some(kept)
            }
            Err(fault) => {
                *self.faults.entry(fault).or_default() += 1;
                None
            }
        }
    }

    pub(crate) fn finished(&self) -> u64 {
        self.finished
    }

    pub(crate) fn broken(&self) -> u64 {
        self.faults.values().sum()
    }

    pub(crate) fn faults(&self) -> Value {
        json!(self.faults)
    }
}

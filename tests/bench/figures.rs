//! What many numbers come to.

use serde_json::{Map, Value, json};

/// Sorted numbers.
#[derive(Debug)]
pub(crate) struct Figures(Vec<i64>);

impl Figures {
    pub(crate) fn of(numbers: impl IntoIterator<Item = i64>) -> Self {
        let mut numbers: Vec<i64> = numbers.into_iter().collect();
        numbers.sort_unstable();
        Self(numbers)
    }

    /// The number that `percent` of all do not exceed; none of none.
    pub(crate) fn at(&self, percent: usize) -> Option<i64> {
        self.0.get((self.0.len().saturating_sub(1)) * percent / 100).copied()
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// `{"p50":…}` for each of these; 100 is called `max`.
    pub(crate) fn object(&self, percents: &[usize]) -> Value {
        let name = |percent: usize| if percent == 100 { "max".to_owned() } else { format!("p{percent}") };
        Value::Object(percents.iter().map(|&percent| (name(percent), json!(self.at(percent)))).collect::<Map<_, _>>())
    }
}

/// A time as a number to reckon with.
pub(crate) fn signed(ns: u64) -> i64 {
    i64::try_from(ns).unwrap_or(i64::MAX)
}

/// Nanoseconds as seconds.
#[expect(clippy::cast_precision_loss, reason = "a time is not known to so many digits")]
pub(crate) fn seconds(ns: u64) -> f64 {
    ns as f64 / 1e9
}

/// So many in so many nanoseconds, a second.
#[expect(clippy::cast_precision_loss, reason = "a rate is not known to so many digits")]
pub(crate) fn rate(count: u64, ns: u64) -> f64 {
    count as f64 / seconds(ns.max(1))
}

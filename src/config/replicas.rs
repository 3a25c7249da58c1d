//! One model on several engines: how many, where each runs, and how requests are shared among them.

use std::time::Duration;

use schemars::JsonSchema;

use super::block::Block;
use super::schema::Length;
use super::values::{choice, some_duration, texts, whole};
use super::written::ReplicasBy;
use super::{Instance, Sourced};

/// The most replicas of one model.
const MOST: u32 = 1_000;

/// How many engines there are of one model, and how requests are shared among them. A bare number is both `min` and `max`.
#[derive(Clone, Debug, Default, PartialEq, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct ReplicasBlock {
    /// How many are started by the first request, and kept as long as any of them is used [default: 1]
    #[schemars(with = "Option<std::num::NonZeroU16>")]
    pub min: Option<Sourced<u16>>,
    /// How many there may be [default: one for each of 'hosts', or 'min']
    #[schemars(with = "Option<std::num::NonZeroU16>")]
    pub max: Option<Sourced<u16>>,
    /// Which of them a request goes to [default: the one with the least to do]
    pub by: Option<Sourced<ReplicasBy>>,
    /// How many requests in flight make a replica busy [default: 16]
    #[schemars(with = "Option<std::num::NonZeroU16>")]
    pub busy_at: Option<Sourced<u32>>,
    /// How long all that run must be busy until one more is started [default: 10s]
    #[schemars(with = "Option<Length>")]
    pub scale_after: Option<Sourced<Duration>>,
    /// The hosts that they run on, in turn, in the place of 'host'
    #[schemars(with = "Option<super::schema::OneOrMore>")]
    pub hosts: Option<Sourced<Vec<String>>>,
}

/// What a file may write.
#[derive(JsonSchema)]
#[schemars(untagged)]
#[expect(dead_code, clippy::large_enum_variant, reason = "read by the macro alone")]
pub(super) enum ReplicasForm {
    /// So many, all of them started by the first request
    Number(std::num::NonZeroU16),
    /// At least and at most so many
    Block(ReplicasBlock),
}

/// Which of the replicas of a model an instance is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replica {
    /// The model's name in the file, which is the name of the first.
    pub of: String,
    /// From 1.
    pub number: u16,
}

/// A key, its value, and who said it.
type Said<'a> = (&'static str, String, &'a super::Source);

impl ReplicasBlock {
    /// How many are kept while any is used; never 0.
    #[must_use]
    pub fn least(&self) -> u16 {
        self.min.as_ref().map_or(1, |min| min.value)
    }

    /// How many there may be; never less than [`Self::least`].
    #[must_use]
    pub fn most(&self) -> u16 {
        let hosts = self.hosts.as_ref().map_or(1, |hosts| u16::try_from(hosts.value.len()).unwrap_or(u16::MAX));
        self.max.as_ref().map_or(hosts, |max| max.value).max(self.least())
    }

    /// Each value, with what it is called.
    pub(super) fn said(&self) -> Vec<Said<'_>> {
        fn one<'a, T>(
            key: &'static str,
            found: Option<&'a Sourced<T>>,
            words: impl Fn(&T) -> String,
        ) -> Option<Said<'a>> {
            found.map(|found| (key, words(&found.value), &found.source))
        }
        let length = |length: &Duration| super::format_duration(*length).to_string();
        [
            one("replicas.min", self.min.as_ref(), ToString::to_string),
            one("replicas.max", self.max.as_ref(), ToString::to_string),
            one("replicas.by", self.by.as_ref(), ToString::to_string),
            one("replicas.busy_at", self.busy_at.as_ref(), ToString::to_string),
            one("replicas.scale_after", self.scale_after.as_ref(), length),
            one("replicas.hosts", self.hosts.as_ref(), |hosts| hosts.join(", ")),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

/// Reads `replicas`: a number, or a mapping.
pub(super) fn replicas(block: &mut Block<'_, '_>) -> Option<Sourced<ReplicasBlock>> {
    let count = |node: &_| whole(node, 1, MOST).map(|count| u16::try_from(count).unwrap_or(1));
    if !block.is_mapping("replicas") {
        let count = block.take("replicas", count)?;
        let source = count.source.clone();
        let found = ReplicasBlock { min: Some(count.clone()), max: Some(count), ..ReplicasBlock::default() };
        return Some(Sourced::new(found, source));
    }
    block.within("replicas", |block| {
        let found = ReplicasBlock {
            min: block.take("min", count),
            max: block.take("max", count),
            by: block.take("by", |node| choice(node, ReplicasBy::WORDS)),
            busy_at: block.take("busy_at", |node| whole(node, 1, 100_000)),
            scale_after: block.take("scale_after", some_duration),
            hosts: block.take("hosts", texts),
        };
        if let (Some(max), Some(line)) = (&found.max, found.max.as_ref().and_then(|max| max.source.line()))
            && max.value < found.least()
        {
            block.problem(line, format!("'replicas.max' is {}, and 'replicas.min' is {}", max.value, found.least()));
        }
        found
    })
}

/// Each replica of this instance; the instance itself, where it has none besides. `on` says what one has that runs on that host.
pub(super) fn each(instance: Instance, on: impl Fn(&mut Instance, Sourced<String>)) -> Vec<Instance> {
    let Some(Sourced { value: block, source }) = instance.server.replicas.clone() else { return vec![instance] };
    let Some(of) = instance.name.clone() else { return vec![instance] };
    let hosts = block.hosts.as_ref().map(|hosts| hosts.value.clone()).unwrap_or_default();
    let one = |number: u16| {
        let mut one = instance.clone();
        if let Some(host) = hosts.iter().cycle().nth(usize::from(number) - 1) {
            on(&mut one, Sourced::new(host.clone(), source.clone()));
        }
        if number > 1 {
            one.name = Some(format!("{of}-{number}"));
            // On one host no two can have one port.
            one.server.port.iter_mut().for_each(|port| port.value = port.value.saturating_add(number - 1));
        }
        one.replica = Some(Replica { of: of.clone(), number });
        one
    };
    match block.most() {
        1 if hosts.is_empty() => vec![instance],
        1 => vec![Instance { replica: None, ..one(1) }],
        most => (1..=most).map(one).collect(),
    }
}

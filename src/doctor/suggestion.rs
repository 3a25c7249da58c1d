//! From what Slurm refuses and what it has, to what it would take.

use crate::config::nearest;

/// One kind of node in one partition, as `sinfo` tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Offer {
    partition: String,
    /// Whether a job that names no partition goes there.
    usual: bool,
    up: bool,
    /// The longest that a job may run, as Slurm writes it.
    longest: String,
    memory_mib: u64,
    /// What stands before the number, such as `gpu` or `gpu:a100`; and how many a node has.
    gres: Vec<(String, u64)>,
}

impl Offer {
    /// Reads `PARTITION|up|LIMIT|MEMORY|GRES`.
    pub(super) fn parse(line: &str) -> Option<Self> {
        let mut fields = line.trim().split('|');
        let name = fields.next()?;
        let (up, longest, memory, gres) = (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
        Some(Self {
            partition: name.trim_end_matches('*').to_owned(),
            usual: name.ends_with('*'),
            up: up == "up",
            longest: longest.to_owned(),
            memory_mib: memory.trim_end_matches('+').parse().unwrap_or_default(),
            gres: gres.split(',').filter_map(Self::parse_gres).collect(),
        })
    }

    /// `gpu:a100:4(S:0-1)`; nothing for `(null)`.
    fn parse_gres(text: &str) -> Option<(String, u64)> {
        let plain = text.split('(').next()?;
        let (name, count) = plain.rsplit_once(':')?;
        Some((name.to_owned(), count.parse().ok()?))
    }

    /// What a person is told.
    pub(super) fn words(&self) -> String {
        let gres: Vec<String> = self.gres.iter().map(|(name, count)| format!("{name}:{count}")).collect();
        let gres = if gres.is_empty() { "no gres".to_owned() } else { gres.join(",") };
        format!("{} ({}, {} MiB, {gres}, up to {})", self.partition, self.state(), self.memory_mib, self.longest)
    }

    fn state(&self) -> &'static str {
        if self.up { "up" } else { "down" }
    }
}

/// The arguments with what Slurm would take in the place of what it refused; nothing where we do not know better.
pub(super) fn better(words: &[String], problem: &str, offers: &[Offer]) -> Option<Vec<String>> {
    let mut better = words.to_vec();
    let problem = problem.to_ascii_lowercase();
    let up = || offers.iter().filter(|offer| offer.up);
    if problem.contains("partition")
        && let Some(given) = Given::find(&better, &["--partition", "-p"])
        && !offers.iter().any(|offer| offer.partition == given.value)
    {
        let usual = || up().find(|offer| offer.usual).or_else(|| up().next()).map(|offer| offer.partition.as_str());
        let name = nearest(&given.value, up().map(|offer| offer.partition.as_str())).or_else(usual)?;
        given.set(&mut better, name);
        return Some(better);
    }
    let partition = Given::find(&better, &["--partition", "-p"]).map(|given| given.value);
    let there: Vec<&Offer> =
        up().filter(|offer| partition.as_ref().map_or(offer.usual, |name| *name == offer.partition)).collect();
    if problem.contains("time limit") {
        let given = Given::find(&better, &["--time", "-t"])?;
        let longest = there.iter().map(|offer| offer.longest.as_str()).find(|longest| *longest != "infinite")?;
        given.set(&mut better, longest);
        return (better != words).then_some(better);
    }
    if problem.contains("configuration") || problem.contains("gres") || problem.contains("generic resource") {
        fit_gres(&mut better, &there);
        fit_memory(&mut better, &there);
    }
    (better != words).then_some(better)
}

/// As many of that kind as a node has, or of another kind of the same name.
fn fit_gres(words: &mut Vec<String>, there: &[&Offer]) {
    let Some(given) = Given::find(words, &["--gres"]) else { return };
    let (kind, count) = match given.value.rsplit_once(':').map(|(kind, count)| (kind, count.parse::<u64>())) {
        Some((kind, Ok(count))) => (kind, count),
        Some(_) | None => (given.value.as_str(), 1),
    };
    let has = || there.iter().flat_map(|offer| &offer.gres);
    // `gpu:2` is met by any kind of gpu.
    let meets = |name: &str| name == kind || name.strip_prefix(kind).is_some_and(|rest| rest.starts_with(':'));
    let most = has().filter(|(name, _)| meets(name)).map(|(_, count)| *count).max();
    match most {
        Some(most) if most >= count => {}
        Some(most) => given.set(words, &format!("{kind}:{most}")),
        None => {
            let stem = kind.split(':').next().unwrap_or(kind);
            let same = has().filter(|(name, _)| name.split(':').next() == Some(stem));
            match same.max_by_key(|(_, count)| *count).or_else(|| has().max_by_key(|(_, count)| *count)) {
                Some((name, most)) => given.set(words, &format!("{name}:{}", count.min(*most))),
                None if there.is_empty() => {}
                None => given.remove(words),
            }
        }
    }
}

fn fit_memory(words: &mut [String], there: &[&Offer]) {
    let Some(given) = Given::find(words, &["--mem"]) else { return };
    let most = there.iter().map(|offer| offer.memory_mib).max().filter(|most| *most > 0);
    if let (Some(asked), Some(most)) = (mebibytes(&given.value), most)
        && asked > most
    {
        given.set(words, &format!("{most}M"));
    }
}

/// `30G` in MiB, as Slurm reads it.
fn mebibytes(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let number: u64 = digits.parse().ok()?;
    match text.get(digits.len()..)?.to_ascii_uppercase().trim_end_matches('B') {
        "K" => Some(number / 1024),
        "" | "M" => Some(number),
        "G" => number.checked_mul(1024),
        "T" => number.checked_mul(1024 * 1024),
        _ => None,
    }
}

/// Where an option stands that has a value.
pub(super) struct Given {
    at: usize,
    /// What it is.
    pub(super) value: String,
    /// What stands before the value in the same word; nothing where it is the next word.
    before: Option<String>,
}

impl Given {
    /// The last one counts, as for `srun`.
    pub(super) fn find(words: &[String], names: &[&str]) -> Option<Self> {
        words.iter().enumerate().rev().find_map(|(at, word)| {
            names.iter().find_map(|name| {
                let rest = word.strip_prefix(name)?;
                if rest.is_empty() {
                    let value = words.get(at + 1)?.clone();
                    return Some(Self { at, value, before: None });
                }
                let long = name.starts_with("--");
                let value = if long { rest.strip_prefix('=')? } else { rest };
                let before = word.get(..word.len() - value.len())?.to_owned();
                Some(Self { at, value: value.to_owned(), before: Some(before) })
            })
        })
    }

    /// Puts another value in its place.
    pub(super) fn set(&self, words: &mut [String], value: &str) {
        let at = self.at + usize::from(self.before.is_none());
        if let Some(word) = words.get_mut(at) {
            *word = format!("{}{value}", self.before.as_deref().unwrap_or_default());
        }
    }

    fn remove(&self, words: &mut Vec<String>) {
        words.drain(self.at..=(self.at + usize::from(self.before.is_none())).min(words.len().saturating_sub(1)));
    }
}

#[cfg(test)]
mod tests {
    use test_case::test_case;

    use super::*;

    const OFFERS: [&str; 3] = [
        "main*|up|infinite|200000|gpu:1",
        "large|up|1-00:00:00|500000+|gpu:a100:4(S:0-1)",
        "closed|down|infinite|1|(null)",
    ];

    #[test_case("-p man", "Invalid partition name specified", Some("-p main"); "a near name")]
    #[test_case("--partition=gpu", "Invalid partition name specified", Some("--partition=main"); "the usual one")]
    #[test_case("--gres=gpu:9", "Requested node configuration is not available", Some("--gres=gpu:1"); "too many")]
    #[test_case("-p large --gres gpu:h100:2", "Invalid generic resource (gres) specification", Some("-p large --gres gpu:a100:2"); "another kind")]
    #[test_case("-plarge --gres=gpu:2", "Requested node configuration is not available", None; "nothing of ours")]
    #[test_case("--mem=300G", "Requested node configuration is not available", Some("--mem=200000M"); "memory")]
    #[test_case("-p large -t 9-0", "Requested time limit is invalid", Some("-p large -t 1-00:00:00"); "time")]
    #[test_case("-p closed", "Partition is down", None; "known and down")]
    fn what_slurm_would_take(words: &str, problem: &str, expected: Option<&str>) {
        let words: Vec<String> = words.split(' ').map(str::to_owned).collect();
        let offers: Vec<Offer> = OFFERS.into_iter().filter_map(Offer::parse).collect();
        assert_eq!(offers.len(), 3);
        assert_eq!(better(&words, problem, &offers).map(|words| words.join(" ")).as_deref(), expected);
    }
}

//! Joins texts in Prometheus' format to one: each family once, its lines together, each line with who told it.

use std::collections::HashMap;
use std::fmt::Write as _;

use super::sample::{Sample, is_name};

/// The label that says who told a line. One that an engine uses itself is renamed, as Prometheus does it.
const INSTANCE: &str = "instance";
const RENAMED: &str = "exported_instance";

/// Families of metrics, in the order in which they came.
#[derive(Debug, Default)]
pub(super) struct Exposition {
    families: Vec<Family>,
    /// Whose each name of a sample is.
    taken: HashMap<String, usize>,
}

#[derive(Debug)]
struct Family {
    name: String,
    help: Option<String>,
    kind: Kind,
    /// Ours: no engine adds to it.
    own: bool,
    lines: String,
}

/// The types that the format knows (version 0.0.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Counter,
    Gauge,
    Histogram,
    Summary,
    Untyped,
}

/// What one engine tells of a family.
#[derive(Debug)]
struct Told<'a> {
    name: &'a str,
    help: Option<&'a str>,
    kind: Kind,
    samples: Vec<Sample<'a>>,
}

impl Kind {
    /// `OpenMetrics` has more types, whose samples have names of their own: those are told without one.
    fn of(word: &str) -> Self {
        match word {
            "counter" => Self::Counter,
            "gauge" => Self::Gauge,
            "histogram" => Self::Histogram,
            "summary" => Self::Summary,
            _ => Self::Untyped,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
            Self::Summary => "summary",
            Self::Untyped => "untyped",
        }
    }

    /// What stands after the family's name in those of its samples.
    fn endings(self) -> &'static [&'static str] {
        match self {
            Self::Histogram => &["_bucket", "_sum", "_count"],
            Self::Summary => &["", "_sum", "_count"],
            Self::Counter | Self::Gauge | Self::Untyped => &[""],
        }
    }

    /// The names that nobody else may use: its own, and those of its samples.
    fn names(self, own: &str) -> impl Iterator<Item = String> {
        let bare = (!self.endings().contains(&"")).then_some("");
        self.endings().iter().copied().chain(bare).map(move |ending| [own, ending].concat())
    }
}

impl Exposition {
    /// A gauge of ours. What no name is given of is of the one instance that there is.
    pub(super) fn gauge<'a>(&mut self, name: &str, help: &str, values: impl Iterator<Item = (Option<&'a str>, u64)>) {
        let mut lines = String::new();
        for (instance, value) in values {
            let label = instance.map(|name| format!("{{{INSTANCE}=\"{name}\"}}")).unwrap_or_default();
            lines.extend([format!("{name}{label} {value}\n")]);
        }
        let (name, help) = (name.to_owned(), Some(help.to_owned()));
        self.put(Family { name, help, kind: Kind::Gauge, own: true, lines });
    }

    /// Takes in what an engine tells, with the name of its instance on each line, if it has to have one. Says how many lines are
    /// left out: those that are none of this format, and those of families of which another has said something else.
    pub(super) fn add(&mut self, text: &str, instance: Option<&str>) -> u64 {
        let (all, mut left_out) = read(text);
        for told in all {
            let added = told.samples.len() as u64;
            if added > 0 && !self.add_family(&told, instance) {
                left_out += added;
            }
        }
        left_out
    }

    fn add_family(&mut self, told: &Told<'_>, instance: Option<&str>) -> bool {
        let claimed: Vec<_> = told.kind.names(told.name).filter_map(|name| self.taken.get(&name)).collect();
        let at = match claimed.as_slice() {
            [] => self.put(Family {
                name: told.name.to_owned(),
                help: told.help.map(str::to_owned),
                kind: told.kind,
                own: false,
                lines: String::new(),
            }),
            &[&at, ..] => at,
        };
        let Some(family) = self.families.get_mut(at) else { return false };
        if family.own || family.name != told.name || family.kind != told.kind {
            return false;
        }
        for sample in &told.samples {
            family.write(sample, instance);
        }
        true
    }

    fn put(&mut self, family: Family) -> usize {
        let at = self.families.len();
        self.taken.extend(family.kind.names(&family.name).map(|name| (name, at)));
        self.families.push(family);
        at
    }

    /// All of it.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        for Family { name, help, kind, lines, .. } in &self.families {
            if let Some(help) = help {
                text.extend(["# HELP ", name, " ", help, "\n"]);
            }
            text.extend(["# TYPE ", name, " ", kind.word(), "\n", lines]);
        }
        text
    }
}

impl Family {
    fn write(&mut self, sample: &Sample<'_>, instance: Option<&str>) {
        let renamed = |name| if instance.is_some() && name == INSTANCE { RENAMED } else { name };
        let labels = sample.labels.iter().map(|&(name, value)| (renamed(name), value));
        let labels: Vec<_> = instance.map(|name| (INSTANCE, name)).into_iter().chain(labels).collect();
        self.lines.push_str(sample.name);
        for (at, (name, value)) in labels.iter().enumerate() {
            // Writing to a text does not fail.
            let _ = write!(self.lines, "{}{name}=\"{value}\"", if at == 0 { '{' } else { ',' });
        }
        let end = if labels.is_empty() { " " } else { "} " };
        let time = sample.time.map(|time| format!(" {time}")).unwrap_or_default();
        self.lines.extend([end, sample.value, &time, "\n"]);
    }
}

/// What a text tells of each family, and how many of its lines are none of this format.
fn read(text: &str) -> (Vec<Told<'_>>, u64) {
    let (mut reading, mut left_out) = (Reading::default(), 0);
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        if let Some(comment) = line.strip_prefix('#') {
            reading.comment(comment);
        } else if !Sample::read(line).is_some_and(|sample| reading.sample(sample)) {
            left_out += 1;
        }
    }
    (reading.all, left_out)
}

#[derive(Debug, Default)]
struct Reading<'a> {
    all: Vec<Told<'a>>,
    by_name: HashMap<&'a str, usize>,
}

impl<'a> Reading<'a> {
    /// A unit is in its family's name, and an end is where the text ends: of those, as of any other comment, nothing is kept.
    fn comment(&mut self, comment: &'a str) {
        let mut words = comment.trim_start().splitn(3, [' ', '\t']);
        let (Some(word), Some(name)) = (words.next(), words.next().filter(|name| is_name(name))) else { return };
        let said = words.next().unwrap_or_default().trim();
        match (word, self.family(name)) {
            ("HELP", Some(family)) => family.help = Some(said),
            ("TYPE", Some(family)) if family.samples.is_empty() => family.kind = Kind::of(said),
            _ => {}
        }
    }

    /// Whether it is of a family that has such samples.
    fn sample(&mut self, sample: Sample<'a>) -> bool {
        let base = ["_bucket", "_sum", "_count"].into_iter().find_map(|ending| {
            let base = sample.name.strip_suffix(ending)?;
            let family = self.all.get(*self.by_name.get(base)?)?;
            family.kind.endings().contains(&ending).then_some(base)
        });
        let Some(family) = self.family(base.unwrap_or(sample.name)) else { return false };
        let fits = base.is_some() || family.kind.endings().contains(&"");
        if fits {
            family.samples.push(sample);
        }
        fits
    }

    fn family(&mut self, name: &'a str) -> Option<&mut Told<'a>> {
        let all = &mut self.all;
        let at = *self.by_name.entry(name).or_insert_with(|| {
            all.push(Told { name, help: None, kind: Kind::Untyped, samples: Vec::new() });
            all.len() - 1
        });
        all.get_mut(at)
    }
}

#[cfg(test)]
#[path = "exposition_test.rs"]
mod tests;

//! What the job told of its node.

use super::programs::usual;
use super::{Finding, Subject};

const GPU: &str = "gpu";
const HUB: &str = "node's network";
const COMMAND: &str = "command on the node";
const PROGRAMS: &str = "programs on the node";

/// The names of what it tells once.
const ONCE: [&str; 5] = ["home", "no-gpu-program", "command", "nothing-to-listen-with", "done"];

/// The names of what it may tell several times.
const SEVERAL: [&str; 3] = ["gpu", "hub", "program"];

/// How many of each of those are heard.
const MOST: usize = 32;

/// The longest value, in characters.
const LONGEST: usize = 300;

/// What the job told. What is more than may be, or was told before, is not heard.
#[derive(Default)]
pub(super) struct Facts(Vec<(String, String)>);

impl Facts {
    /// Hears one.
    pub(super) fn take(&mut self, name: &str, value: &str) {
        let known = self.all(name).count();
        if (ONCE.contains(&name) && known == 0) || (SEVERAL.contains(&name) && known < MOST) {
            self.0.push((name.to_owned(), value.chars().take(LONGEST).collect()));
        }
    }

    /// Whether it said that this was all.
    pub(super) fn are_all(&self) -> bool {
        self.first("done").is_some()
    }

    /// Whether there is something on the node that its server can be made of.
    pub(super) fn can_listen(&self) -> bool {
        self.first("nothing-to-listen-with").is_none()
    }

    /// The first of this name.
    pub(super) fn first(&self, name: &str) -> Option<&str> {
        self.all(name).next()
    }

    fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.0.iter().filter(move |(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// What is found by them.
    pub(super) fn findings(&self, subject: &Subject) -> Vec<Finding> {
        let wants_gpu = subject.plan.starter.argv().iter().any(|word| word.contains("gpu"));
        let command = self.first("command").filter(|_| subject.has_command).map(command);
        [self.gpu(wants_gpu), self.hub(), self.programs(subject.has_command), command].into_iter().flatten().collect()
    }

    /// By the PATH that the engine would have on the node, which its prelude and the node itself make.
    fn programs(&self, has_command: bool) -> Option<Finding> {
        let parted = |line| str::split_once(line, ' ').filter(|(_, path)| !path.is_empty());
        let found: Vec<(&str, &str)> = self.all("program").filter_map(parted).collect();
        let path = |name: &str| found.iter().find(|(known, _)| *known == name).map(|(_, path)| *path);
        self.first("program").map(|_| usual(PROGRAMS, has_command, path))
    }

    fn gpu(&self, wanted: bool) -> Option<Finding> {
        if self.first("no-gpu-program").is_some() {
            return Some(if wanted {
                Finding::warn(GPU, "there is no nvidia-smi on the node, so its GPU was not seen")
            } else {
                Finding::ok(GPU, "none was asked for")
            });
        }
        let lines: Vec<&str> = self.all("gpu").collect();
        let first = lines.first()?;
        Some(if lines.iter().any(|line| line.starts_with("GPU ")) {
            Finding::ok(GPU, lines.join("; "))
        } else if !wanted {
            Finding::ok(GPU, format!("none was asked for (nvidia-smi says: {first})"))
        } else {
            Finding::warn(GPU, format!("nvidia-smi says: {first}")).advice("ask for a GPU: --srun-args '--gres=gpu:1'")
        })
    }

    fn hub(&self) -> Option<Finding> {
        let parted = |line: &str| {
            let mut fields = line.splitn(3, ' ').map(str::to_owned);
            Some((format!("{}:{}", fields.next()?, fields.next()?), fields.next().unwrap_or_default()))
        };
        let (reached, missed): (Vec<_>, Vec<_>) =
            self.all("hub").filter_map(parted).partition(|(_, words)| words == "yes");
        if missed.is_empty() {
            let names: Vec<String> = reached.into_iter().map(|(name, _)| name).collect();
            return (!names.is_empty()).then(|| Finding::ok(HUB, format!("the node reaches {}", names.join(", "))));
        }
        let words: Vec<String> = missed.iter().map(|(name, words)| format!("{name} ({words})")).collect();
        Some(Finding::warn(HUB, format!("the node does not reach {}", words.join(", "))).advice(
            "fetch models and packages beforehand, on the login host: `uvx hf download MODEL` (or `huggingface-cli \
                 download MODEL`), and start the engine with --env HF_HUB_OFFLINE=1",
        ))
    }
}

fn command(path: &str) -> Finding {
    if path.is_empty() {
        Finding::fail(COMMAND, "its first word is not found there")
            .advice("let --prelude make it known, or give a path that the node has")
    } else {
        Finding::ok(COMMAND, format!("its first word is {path}"))
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use test_case::test_case;

    use super::*;
    use crate::doctor::Level;

    fn heard(lines: &[(&str, &str)]) -> Facts {
        let mut facts = Facts::default();
        for (name, value) in lines {
            facts.take(name, value);
        }
        facts
    }

    #[test]
    fn a_name_is_heard_once_and_no_more_than_may_be() {
        let facts = heard(&[("home", "/a"), ("home", "/b"), ("else", "x"), ("done", "yes")]);
        assert_eq!((facts.first("home"), facts.first("else"), facts.are_all()), (Some("/a"), None, true));
        assert_eq!(heard(&[("gpu", "GPU 0"); MOST + 8]).all("gpu").count(), MOST);
        assert_eq!(heard(&[("home", &"é".repeat(100_000))]).first("home").unwrap().chars().count(), LONGEST);
    }

    #[test_case(&[("no-gpu-program", "yes")], false, Level::Ok)]
    #[test_case(&[("no-gpu-program", "yes")], true, Level::Warn)]
    #[test_case(&[("gpu", "GPU 0: A100 (UUID: x)")], true, Level::Ok)]
    #[test_case(&[("gpu", "No devices were found")], true, Level::Warn)]
    #[test_case(&[("gpu", "No devices were found")], false, Level::Ok)]
    fn a_gpu_is_seen_or_not(lines: &[(&str, &str)], wanted: bool, level: Level) {
        assert_eq!(heard(lines).gpu(wanted).unwrap().level, level);
    }

    #[test_case(&[("program", "uv /a b/uv"), ("program", "vllm ")], false, Level::Ok, "uv /a b/uv, no vllm, no python3")]
    #[test_case(&[("program", "uv "), ("program", "python3 /p")], false, Level::Warn, "no uv, no vllm, python3 /p")]
    #[test_case(&[("program", "uv ")], true, Level::Ok, "no uv, no vllm, no python3")]
    fn what_engines_are_run_by_is_looked_for_on_the_node(
        lines: &[(&str, &str)],
        has_command: bool,
        level: Level,
        seen: &str,
    ) {
        let found = heard(lines).programs(has_command).unwrap();
        assert!(found.level == level && found.seen.starts_with(seen), "{found:?}");
        assert_eq!(heard(&[]).programs(has_command), None);
    }

    #[test]
    fn the_job_looks_for_what_the_visit_looks_for() {
        let names = crate::doctor::programs::USUAL.join(" ");
        assert!(include_str!("deep_job.sh").contains(&format!("for name in {names};")));
    }

    #[test]
    fn who_is_not_reached_is_named() {
        assert_eq!(heard(&[("hub", "a 1 yes"), ("hub", "b 2 yes")]).hub().unwrap().seen, "the node reaches a:1, b:2");
        let found = heard(&[("hub", "a 1 yes"), ("hub", "b 2 timed out")]).hub().unwrap();
        assert_eq!((found.level, found.seen.as_str()), (Level::Warn, "the node does not reach b:2 (timed out)"));
        assert!(heard(&[]).hub().is_none());
    }
}

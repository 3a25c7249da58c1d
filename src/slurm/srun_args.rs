//! The arguments that a user gives to srun: taken apart, checked, and passed on as they are.

use serde::{Deserialize, Serialize};

use super::options::{self, Given};
use super::refused::{is_not_of_sbatch, may_be_refused, refusal};

/// What is asked for where the user says nothing.
pub const DEFAULT_SRUN_ARGS: &str = "--mem=30G --gres=gpu:1";

/// Arguments that srun may be given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SrunArgs {
    words: Vec<String>,
    cluster: Option<String>,
}

/// An argument that srun may not be given.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SrunArgError {
    /// The string is no list of words.
    #[error("--srun-args has a quote that is not closed, or ends in a backslash")]
    Quotes,
    /// An option that would break what this program does.
    #[error("srun cannot be given {written} (--{name}): {instead}")]
    Refused {
        /// The word as written.
        written: String,
        /// The option's whole name.
        name: String,
        /// Why, and what to do.
        instead: &'static str,
    },
    /// An option that only srun has.
    #[error(
        "sbatch, by which --batch asks for the job, cannot be given {written} (--{name}): leave it out, or --batch"
    )]
    NotOfSbatch {
        /// The word as written.
        written: String,
        /// The option's whole name.
        name: String,
    },
    /// An abbreviation that may mean an option that is refused.
    #[error("srun's {written} is ambiguous; write it out: {could_be}")]
    Ambiguous {
        /// The word as written.
        written: String,
        /// What it may mean.
        could_be: String,
    },
    /// A value is missing.
    #[error("srun's {written} needs a value")]
    Unfinished {
        /// The word as written.
        written: String,
    },
    /// A word that is no option.
    #[error("srun would take '{word}' for the command to run; --srun-args holds only options, and their values")]
    NotAnOption {
        /// The word.
        word: String,
    },
}

impl SrunArgs {
    /// Takes `--srun-args`, or [`DEFAULT_SRUN_ARGS`] without it, and then each `--srun-arg`.
    ///
    /// # Errors
    /// All that may not be given, at once.
    pub fn new(line: Option<&str>, more: &[String]) -> Result<Self, Vec<SrunArgError>> {
        let line = line.unwrap_or(DEFAULT_SRUN_ARGS);
        let mut words = shlex::split(line).ok_or_else(|| vec![SrunArgError::Quotes])?;
        words.extend_from_slice(more);
        let given = options::read(&words);
        let errors: Vec<_> = given.iter().filter_map(problem).collect();
        if !errors.is_empty() {
            return Err(errors);
        }
        let cluster = given.into_iter().rev().find_map(|given| match given {
            Given::Option { name, value, .. } if matches!(name.as_str(), "clusters" | "cluster") => value,
            Given::Option { .. } | Given::Ambiguous { .. } | Given::Unfinished { .. } | Given::Word(_) => None,
        });
        Ok(Self { words, cluster })
    }

    /// The same with words of ours, which count more than the user's.
    #[must_use]
    pub fn with(&self, more: &[&str]) -> Self {
        let more = more.iter().map(|word| (*word).to_owned());
        Self { words: self.words.iter().cloned().chain(more).collect(), cluster: self.cluster.clone() }
    }

    /// The same arguments for sbatch, which has fewer options.
    ///
    /// # Errors
    /// All that it may not be given, at once.
    pub fn for_sbatch(self) -> Result<Self, Vec<SrunArgError>> {
        let foreign = |given| match given {
            Given::Option { name, written, .. } => {
                is_not_of_sbatch(&name).then_some(SrunArgError::NotOfSbatch { written, name })
            }
            Given::Ambiguous { .. } | Given::Unfinished { .. } | Given::Word(_) => None,
        };
        let errors: Vec<_> = options::read(&self.words).into_iter().filter_map(foreign).collect();
        if errors.is_empty() { Ok(self) } else { Err(errors) }
    }

    /// The words, in the user's order and spelling.
    #[must_use]
    pub fn words(&self) -> &[String] {
        &self.words
    }

    /// The cluster that `--clusters` names, where `squeue` and `scancel` must then look as well.
    #[must_use]
    pub fn cluster(&self) -> Option<&str> {
        self.cluster.as_deref()
    }
}

fn problem(given: &Given) -> Option<SrunArgError> {
    match given {
        Given::Option { name, value, written } => refusal(name, value.as_deref())
            .map(|instead| SrunArgError::Refused { written: written.clone(), name: name.clone(), instead }),
        // srun itself refuses what is ambiguous to it, but another version may have fewer options than our tables.
        Given::Ambiguous { written, could_be } => could_be.iter().any(|name| may_be_refused(name)).then(|| {
            SrunArgError::Ambiguous { written: written.clone(), could_be: format!("--{}", could_be.join(", --")) }
        }),
        Given::Unfinished { written } => Some(SrunArgError::Unfinished { written: written.clone() }),
        Given::Word(word) => Some(SrunArgError::NotAnOption { word: word.clone() }),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use proptest::prelude::*;
    use test_case::test_case;

    use super::*;

    fn check(line: &str) -> Result<SrunArgs, Vec<SrunArgError>> {
        SrunArgs::new(Some(line), &[])
    }

    fn refused_names(line: &str) -> Vec<String> {
        let name = |error| match error {
            SrunArgError::Refused { name, .. } => name,
            other => other.to_string(),
        };
        check(line).unwrap_err().into_iter().map(name).collect()
    }

    #[test]
    fn the_default_is_the_documented_one() {
        assert_eq!(SrunArgs::new(None, &[]).unwrap().words(), ["--mem=30G", "--gres=gpu:1"]);
        let more = SrunArgs::new(None, &["--comment=two words".to_owned()]).unwrap();
        assert_eq!(more.words(), ["--mem=30G", "--gres=gpu:1", "--comment=two words"]);
    }

    #[test_case("", &[]; "nothing at all")]
    #[test_case("-p gpu -A acc -t 1-0 -C 'a100|h100' -w n1", &["-p", "gpu", "-A", "acc", "-t", "1-0", "-C", "a100|h100", "-w", "n1"])]
    #[test_case("--comment -n4", &["--comment", "-n4"]; "a value that looks like an option")]
    #[test_case("--comment --pty", &["--comment", "--pty"]; "a value that looks like a refused one")]
    #[test_case("-n 1 --nodes=1 -N1-1 --ntasks-per-node=1", &["-n", "1", "--nodes=1", "-N1-1", "--ntasks-per-node=1"]; "one of each")]
    #[test_case("-I60 -K0 -vvv -Q", &["-I60", "-K0", "-vvv", "-Q"]; "letters")]
    #[test_case("--part gpu --exclu", &["--part", "gpu", "--exclu"]; "harmless abbreviations are srun's to judge")]
    #[test_case("--novel 3 --newer=4 --newest -x n1", &["--novel", "3", "--newer=4", "--newest", "-x", "n1"]; "of later versions")]
    #[test_case("--ntasks-per-core=2 --export=NONE", &["--ntasks-per-core=2", "--export=NONE"]; "a bound, and the user's own environment")]
    fn passes_on_what_is_harmless(line: &str, words: &[&str]) {
        assert_eq!(check(line).unwrap().words(), words);
    }

    #[test_case("--pty", &["pty"])]
    #[test_case("--pt", &["pty"]; "abbreviated pty")]
    #[test_case("--jobid=5", &["jobid"])]
    #[test_case("--jobi 5", &["jobid"]; "abbreviated jobid")]
    #[test_case("-n4", &["ntasks"]; "letter with its value")]
    #[test_case("-n 4", &["ntasks"]; "letter and value")]
    #[test_case("--ntasks 4", &["ntasks"]; "long and value")]
    #[test_case("--ntasks=4", &["ntasks"]; "long with its value")]
    #[test_case("-Qn4", &["ntasks"]; "behind another letter")]
    #[test_case("-vvQlJx", &["label", "job-name"]; "a heap of letters")]
    #[test_case("-N2", &["nodes"])]
    #[test_case("-N1-2", &["nodes"]; "a range of nodes")]
    #[test_case("--nodes", &["srun's --nodes needs a value"]; "no value")]
    #[test_case("-J x -d after:1 -D /x", &["job-name", "dependency", "chdir"])]
    #[test_case("-i a -o b -e c", &["input", "output", "error"])]
    #[test_case("--inp=x --out=x --err=x", &["input", "output", "error"]; "abbreviated streams")]
    #[test_case("--multi-prog --test-only --version -V --usage -h --overlap", &["multi-prog", "test-only", "version", "version", "usage", "help", "overlap"])]
    #[test_case("--array=1-4 -a 3", &["array", "array"])]
    #[test_case("-Z --uid=0 --het-group=1 --ntasks-per-gpu=4", &["no-allocate", "uid", "het-group", "ntasks-per-gpu"])]
    #[test_case("-M a,b", &["clusters"]; "two clusters")]
    fn refuses_by_name_in_every_spelling(line: &str, names: &[&str]) {
        assert_eq!(refused_names(line), names);
    }

    #[test_case("-p 'gpu", "--srun-args has a quote that is not closed, or ends in a backslash")]
    #[test_case(
        "-n4",
        "srun cannot be given -n4 (--ntasks): one engine runs on one node, as one task; for more GPUs ask for them with --gres, and tell the engine by its own flags, such as --tensor-parallel-size"
    )]
    #[test_case(
        "--ntask=4",
        "srun's --ntask=4 is ambiguous; write it out: --ntasks, --ntasks-per-core, --ntasks-per-gpu, --ntasks-per-node, --ntasks-per-socket, --ntasks-per-tres"
    )]
    #[test_case(
        "-p gpu vllm serve",
        "srun would take 'vllm' for the command to run; --srun-args holds only options, and their values"
    )]
    #[test_case(
        "-p gpu -- -n4",
        "srun would take '--' for the command to run; --srun-args holds only options, and their values"
    )]
    #[test_case(
        "-p gpu : -p cpu",
        "srun would take ':' for the command to run; --srun-args holds only options, and their values"
    )]
    #[test_case("--gres", "srun's --gres needs a value")]
    fn says_what_is_wrong(line: &str, message: &str) {
        let messages: Vec<_> = check(line).unwrap_err().iter().map(ToString::to_string).collect();
        assert_eq!(messages, [message]);
    }

    #[test_case("-p gpu -t 1-0 --export=NONE --oversubscribe --comment --exact", &[]; "both have it")]
    #[test_case("--unbuffered -K0 --cpu-bind=none", &["unbuffered", "kill-on-bad-exit", "cpu-bind"])]
    #[test_case("-QuW 5 -I60", &["unbuffered", "wait", "immediate"]; "letters")]
    #[test_case("--exac --task-pro=x", &["exact", "task-prolog"]; "abbreviations")]
    fn what_sbatch_does_not_know_is_refused_by_name(line: &str, names: &[&str]) {
        let refused = check(line).unwrap().for_sbatch().err().unwrap_or_default();
        let found: Vec<_> = refused
            .into_iter()
            .map(|error| match error {
                SrunArgError::NotOfSbatch { name, .. } => name,
                other => other.to_string(),
            })
            .collect();
        assert_eq!(found, names);
    }

    #[test]
    fn what_sbatch_does_not_know_is_told_with_what_to_do() {
        let errors = check("-u").unwrap().for_sbatch().unwrap_err();
        let said =
            "sbatch, by which --batch asks for the job, cannot be given -u (--unbuffered): leave it out, or --batch";
        assert_eq!(errors.iter().map(ToString::to_string).collect::<Vec<_>>(), [said]);
    }

    #[test]
    fn one_cluster_is_remembered() {
        assert_eq!(check("-M hpc2").unwrap().cluster(), Some("hpc2"));
        assert_eq!(check("--clusters=a --cluster b").unwrap().cluster(), Some("b"));
        assert_eq!(check("-p gpu").unwrap().cluster(), None);
    }

    proptest! {
        #[test]
        fn no_words_panic(line in "[-=a-zA-Z0-9 :'\"\\\\]*", more in proptest::collection::vec("\\PC*", 0..4)) {
            drop(SrunArgs::new(Some(&line), &more));
        }

        #[test]
        fn a_second_task_never_slips_through(
            before in proptest::sample::select(vec!["", "-Q ", "-p gpu ", "--exclusive ", "--comment x ", "-I "]),
            option in proptest::sample::select(vec!["-n4", "-n 4", "--ntasks=4", "--ntasks 4", "-vn4", "-N2", "--nodes 2"]),
        ) {
            let checked = check(&format!("{before}{option}"));
            prop_assert!(checked.is_err());
        }
    }
}

//! srun's options and how its `getopt_long` reads them, so that a value is never taken for an option, nor an
//! abbreviation overlooked.
//!
//! The tables are those that srun 22.05 gives `getopt_long`, and what later versions added. An option that is in none
//! of them is passed on: Slurm knows best.

/// Options without a value.
const BARE: &str = "\
    contiguous debugger-test disable-status exact help hold interactive label multi-prog no-allocate \
    overcommit oversubscribe preserve-env pty quiet quit-on-interrupt reboot spread-job test-only \
    unbuffered usage use-min-nodes verbose version whole stepmgr external wait-for-children \
    consolidate-segments spread-segments";

/// Options whose value follows, as a word of its own or after `=`. `array` and `wrap` are sbatch's.
const WITH_VALUE: &str = "\
    accel-bind account acctg-freq bb bbf bcast-exclude begin chdir cluster cluster-constraint clusters \
    comment constraint container context core-spec cores-per-socket cpu-bind cpu-freq cpu_bind \
    cpus-per-gpu cpus-per-task deadline delay-boot dependency distribution epilog error exclude export \
    extra-node-info gid gpu-bind gpu-freq gpus gpus-per-node gpus-per-socket gpus-per-task gres \
    gres-flags het-group hint input job-name jobid licenses mail-type mail-user mcs-label mem mem-bind \
    mem-per-cpu mem-per-gpu mincpus mpi msg-timeout network nodefile nodelist nodes ntasks \
    ntasks-per-core ntasks-per-gpu ntasks-per-node ntasks-per-socket ntasks-per-tres open-mode output \
    pack-group partition power prefer priority profile prolog qos relative reservation signal \
    slurmd-debug sockets-per-node switches task-epilog task-prolog tasks-per-node thread-spec threads \
    threads-per-core time time-min tmp uid wait wckey container-id tres-bind tres-per-task treewidth \
    segment array wrap";

/// Options whose value, if any, follows after `=`, or at once after the letter.
const MAYBE_VALUE: &str = "\
    bcast compress exclusive immediate kill-on-bad-exit nice no-kill overlap propagate resv-ports \
    send-libs x11 oom-kill-step";

/// The letters. `a` is sbatch's.
const LETTERS: &str = "\
    a:array A:account B:extra-node-info b:begin C:constraint c:cpus-per-task D:chdir d:dependency \
    E:preserve-env e:error F:nodefile G:gpus H:hold h:help I:immediate i:input J:job-name \
    K:kill-on-bad-exit k:no-kill L:licenses l:label M:clusters m:distribution N:nodes n:ntasks \
    O:overcommit o:output p:partition Q:quiet q:qos r:relative S:core-spec s:oversubscribe T:threads \
    t:time u:unbuffered V:version v:verbose W:wait w:nodelist X:disable-status x:exclude Z:no-allocate";

/// How a value is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Takes {
    Nothing,
    Value,
    MaybeValue,
}

/// One thing on srun's command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Given {
    /// An option.
    Option {
        /// Its whole long name.
        name: String,
        /// Its value.
        value: Option<String>,
        /// The word as written.
        written: String,
    },
    /// An abbreviation of several options.
    Ambiguous {
        /// The word as written.
        written: String,
        /// What it could mean.
        could_be: Vec<&'static str>,
    },
    /// An option that needs a value and has none.
    Unfinished {
        /// The word as written.
        written: String,
    },
    /// A word that is no option: srun would run it as the command, and read no further.
    Word(String),
}

/// Reads words as srun would.
pub(super) fn read(words: &[String]) -> Vec<Given> {
    let mut given = Vec::new();
    let mut words = words.iter().peekable();
    while let Some(word) = words.next() {
        if let Some(long) = word.strip_prefix("--").filter(|long| !long.is_empty()) {
            given.push(read_long(word, long, &mut words));
        } else if let Some(letters) = word.strip_prefix('-').filter(|letters| !letters.is_empty() && *letters != "-") {
            read_letters(word, letters, &mut words, &mut given);
        } else {
            given.push(Given::Word(word.clone()));
            break;
        }
    }
    given
}

type Words<'a> = std::iter::Peekable<std::slice::Iter<'a, String>>;

fn read_long(written: &str, long: &str, words: &mut Words<'_>) -> Given {
    let (typed, attached) = match long.split_once('=') {
        Some((typed, value)) => (typed, Some(value.to_owned())),
        None => (long, None),
    };
    let written = written.to_owned();
    let (name, takes) = match find(typed).as_slice() {
        [] => {
            // Unknown: what follows is taken for its value unless it looks like an option.
            let value = attached.or_else(|| words.next_if(|next| !next.starts_with('-')).cloned());
            return Given::Option { name: typed.to_owned(), value, written };
        }
        [(name, takes)] => ((*name).to_owned(), *takes),
        several => {
            return Given::Ambiguous { written, could_be: several.iter().map(|(name, _)| *name).collect() };
        }
    };
    match (takes, attached) {
        (Takes::Value, None) => match words.next() {
            Some(value) => Given::Option { name, value: Some(value.clone()), written },
            None => Given::Unfinished { written },
        },
        (_, value) => Given::Option { name, value, written },
    }
}

fn read_letters(written: &str, letters: &str, words: &mut Words<'_>, given: &mut Vec<Given>) {
    let mut rest = letters.chars();
    while let Some(letter) = rest.next() {
        let written = written.to_owned();
        let Some(name) = LETTERS.split(' ').find_map(|known| known.strip_prefix(letter)?.strip_prefix(':')) else {
            given.push(Given::Option { name: letter.to_string(), value: None, written });
            return;
        };
        let name = (*name).to_owned();
        let attached = Some(rest.as_str().to_owned()).filter(|rest| !rest.is_empty());
        match takes(&name) {
            Takes::Nothing => given.push(Given::Option { name, value: None, written }),
            Takes::MaybeValue => {
                given.push(Given::Option { name, value: attached, written });
                return;
            }
            Takes::Value => {
                given.push(match attached.or_else(|| words.next().cloned()) {
                    Some(value) => Given::Option { name, value: Some(value), written },
                    None => Given::Unfinished { written },
                });
                return;
            }
        }
    }
}

fn takes(name: &str) -> Takes {
    if WITH_VALUE.split(' ').any(|with_value| with_value == name) {
        Takes::Value
    } else if MAYBE_VALUE.split(' ').any(|maybe| maybe == name) {
        Takes::MaybeValue
    } else {
        Takes::Nothing
    }
}

/// The options that a long name or its beginning may mean; the whole name means only itself.
fn find(typed: &str) -> Vec<(&'static str, Takes)> {
    let all = [BARE, WITH_VALUE, MAYBE_VALUE].into_iter().flat_map(|names| names.split(' '));
    let whole = all.clone().find(|name| *name == typed);
    let meant: Vec<&'static str> = match whole {
        Some(name) => vec![name],
        None => all.filter(|name| name.starts_with(typed)).collect(),
    };
    meant.into_iter().map(|name| (name, takes(name))).collect()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::collections::HashSet;

    use super::*;

    #[test]
    fn the_tables_agree_with_each_other() {
        let all: Vec<_> = [BARE, WITH_VALUE, MAYBE_VALUE].into_iter().flat_map(|names| names.split(' ')).collect();
        assert_eq!(all.iter().collect::<HashSet<_>>().len(), all.len());
        for letter in LETTERS.split(' ') {
            let (letter, name) = letter.split_once(':').unwrap();
            assert!(letter.len() == 1 && all.contains(&name), "{letter} {name}");
        }
    }

    /// The words of `srun --help` of 22.05, which must all be known, and with or without a value as it says.
    #[test]
    fn the_tables_agree_with_the_help_of_srun() {
        let help = include_str!("../../tests/fixtures/slurm/srun-help-22.05.txt");
        let mut seen = 0;
        // The options stand in the first columns; what follows explains them.
        for line in help.lines().filter(|line| line.find("--").is_some_and(|at| at <= 6)) {
            let option = line.split_once("--").unwrap().1.split(' ').next().unwrap();
            let name = option.split(['=', '[']).next().unwrap();
            let expected = match option.strip_prefix(name).unwrap().chars().next() {
                None => Takes::Nothing,
                Some('=') => Takes::Value,
                Some(_) => Takes::MaybeValue,
            };
            let known = find(name);
            // The help leaves out some values and shows that of --bcast as a must; the tables are those of the program.
            let optional = expected == Takes::Nothing && takes(name) == Takes::MaybeValue;
            let understated = optional || matches!(name, "container" | "bcast");
            assert!(known == [(name, expected)] || understated, "{option} {known:?}");
            seen += 1;
        }
        assert!(seen > 90, "{seen}");
    }
}

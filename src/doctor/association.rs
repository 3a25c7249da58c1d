//! The accounts and qualities of service that Slurm's database lets this user have, and which of them to ask for.

use super::suggestion::Given;
use crate::config::nearest;

/// Asks for what is read here.
pub(super) const ASK: &str = "sacctmgr --noheader --parsable2 show associations user=\"$(id -un)\" format=account,partition,qos | sed 's/^/may=/'";

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Association {
    account: String,
    /// Only in this partition; empty: in each.
    partition: String,
    qos: Vec<String>,
}

impl Association {
    /// Reads `ACCOUNT|PARTITION|QOS,QOS`.
    pub(super) fn parse(line: &str) -> Option<Self> {
        let mut fields = line.trim().split('|');
        let (account, partition, qos) = (fields.next()?, fields.next()?, fields.next()?);
        let qos = qos.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect();
        (!account.is_empty()).then(|| Self { account: account.to_owned(), partition: partition.to_owned(), qos })
    }
}

/// The arguments with what the user may have in the place of what was refused; nothing where we do not know better.
pub(super) fn better(words: &[String], problem: &str, may: &[Association]) -> Option<Vec<String>> {
    let mut better = words.to_vec();
    let problem = problem.to_ascii_lowercase();
    let partition = Given::find(words, &["--partition", "-p"]).map(|given| given.value);
    let fits =
        |one: &&Association| one.partition.is_empty() || partition.as_ref().is_none_or(|name| *name == one.partition);
    let account = Given::find(words, &["--account", "-A"]);
    if problem.contains("account") {
        put(&mut better, account, "--account", may.iter().filter(fits).map(|one| one.account.as_str()));
    } else if problem.contains("qos") {
        let of_account = |one: &&Association| account.as_ref().is_none_or(|given| given.value == one.account);
        let names = may.iter().filter(fits).filter(of_account).flat_map(|one| one.qos.iter().map(String::as_str));
        put(&mut better, Given::find(words, &["--qos", "-q"]), "--qos", names);
    }
    (better != words).then_some(better)
}

/// The name that was probably meant, else the first.
fn put<'n>(
    words: &mut Vec<String>,
    given: Option<Given>,
    option: &str,
    mut names: impl Iterator<Item = &'n str> + Clone,
) {
    let meant = given.as_ref().and_then(|given| nearest(&given.value, names.clone()));
    match (given, meant.or_else(|| names.next())) {
        (Some(given), Some(name)) => given.set(words, name),
        (None, Some(name)) => words.push(format!("{option}={name}")),
        (_, None) => {}
    }
}

#[cfg(test)]
mod tests {
    use test_case::test_case;

    use super::*;

    const MAY: [&str; 3] = ["physics||normal,long", "chem|gpu|high", "|gpu|"];

    #[test_case("-A phsyics", "Invalid account or account/partition combination specified", Some("-A physics"); "a near name")]
    #[test_case("--mem=1G", "Invalid account or account/partition combination specified", Some("--mem=1G --account=physics"); "none was given")]
    #[test_case("--account=chem -p main", "Invalid account or account/partition combination specified", Some("--account=physics -p main"); "another partition")]
    #[test_case("--qos lng", "Invalid qos specification", Some("--qos long"); "a near quality")]
    #[test_case("-A chem -p gpu --qos=long", "Invalid qos specification", Some("-A chem -p gpu --qos=high"); "another account's")]
    #[test_case("--mem=1G", "Requested node configuration is not available", None; "something else")]
    #[test_case("-A physics", "Invalid account or account/partition combination specified", None; "nothing better")]
    fn what_the_user_may_have(words: &str, problem: &str, expected: Option<&str>) {
        let words: Vec<String> = words.split(' ').map(str::to_owned).collect();
        let may: Vec<Association> = MAY.into_iter().filter_map(Association::parse).collect();
        assert_eq!(may.len(), 2);
        assert_eq!(better(&words, problem, &may).map(|words| words.join(" ")).as_deref(), expected);
    }
}

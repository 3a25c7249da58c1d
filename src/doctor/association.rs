//! The accounts and qualities of service that Slurm's database lets this user have, and which of them to ask for.

use super::suggestion::Given;
use crate::config::nearest;

/// Asks for what is read here.
pub(super) const ASK: &str = "sacctmgr --noheader --parsable2 show associations user=\"$(id -un)\" format=account,partition,qos,cluster | sed 's/^/may=/'
echo \"cluster=$(scontrol show config 2>/dev/null | sed -n 's/^ClusterName *= *//p')\"";

/// What Slurm's database refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// The account, perhaps in this partition only.
    Account,
    /// The quality of service.
    Qos,
}

impl Refused {
    /// By Slurm's words. A limit that is reached ("Job violates accounting/QOS policy") is none of them.
    pub(super) fn by(problem: &str) -> Option<Self> {
        let problem = problem.to_ascii_lowercase();
        if problem.contains("invalid account") {
            return Some(Self::Account);
        }
        problem.contains("invalid qos").then_some(Self::Qos)
    }
}

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Association {
    account: String,
    /// Only in this partition; empty: in each.
    partition: String,
    qos: Vec<String>,
    /// A database may serve several.
    cluster: String,
}

impl Association {
    /// Reads `ACCOUNT|PARTITION|QOS,QOS|CLUSTER`.
    pub(super) fn parse(line: &str) -> Option<Self> {
        let mut fields = line.trim().split('|');
        let (account, partition, qos) = (fields.next()?, fields.next()?, fields.next()?);
        let qos = qos.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect();
        let cluster = fields.next().unwrap_or_default().to_owned();
        (!account.is_empty()).then(|| Self {
            account: account.to_owned(),
            partition: partition.to_owned(),
            qos,
            cluster,
        })
    }

    /// Those of this cluster; where its name is not known, all of the only one that there is.
    pub(super) fn of_cluster(all: Vec<Self>, cluster: Option<&str>) -> Vec<Self> {
        let only = all.first().map(|one| one.cluster.clone());
        let only = only.filter(|only| all.iter().all(|one| one.cluster == *only));
        let Some(name) = cluster.map(str::to_owned).or(only) else { return Vec::new() };
        all.into_iter().filter(|one| one.cluster.eq_ignore_ascii_case(&name)).collect()
    }
}

/// The arguments with what the user may have in the place of what was refused; nothing where we do not know better.
pub(super) fn better(words: &[String], refused: Refused, may: &[Association]) -> Option<Vec<String>> {
    let mut better = words.to_vec();
    let partition = Given::find(words, &["--partition", "-p"]).map(|given| given.value);
    let fits =
        |one: &&Association| one.partition.is_empty() || partition.as_ref().is_none_or(|name| *name == one.partition);
    let account = Given::find(words, &["--account", "-A"]);
    match refused {
        Refused::Account => {
            put(&mut better, account, "--account", may.iter().filter(fits).map(|one| one.account.as_str()));
        }
        Refused::Qos => {
            let of_account = |one: &&Association| account.as_ref().is_none_or(|given| given.value == one.account);
            let names = may.iter().filter(fits).filter(of_account).flat_map(|one| one.qos.iter().map(String::as_str));
            put(&mut better, Given::find(words, &["--qos", "-q"]), "--qos", names);
        }
    }
    (better != words).then_some(better)
}

/// The name that was probably meant, else the first; none where the one that is given may be had.
fn put<'n>(
    words: &mut Vec<String>,
    given: Option<Given>,
    option: &str,
    mut names: impl Iterator<Item = &'n str> + Clone,
) {
    if given.as_ref().is_some_and(|given| names.clone().any(|name| name == given.value)) {
        return;
    }
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

    const MAY: [&str; 3] = ["physics||normal,long|here", "chem|gpu|high|here", "|gpu||here"];

    #[test_case("-A phsyics", "Invalid account or account/partition combination specified", Some("-A physics"); "a near name")]
    #[test_case("--mem=1G", "Invalid account or account/partition combination specified", Some("--mem=1G --account=physics"); "none was given")]
    #[test_case("--account=chem -p main", "Invalid account or account/partition combination specified", Some("--account=physics -p main"); "another partition")]
    #[test_case("--qos lng", "Invalid qos specification", Some("--qos long"); "a near quality")]
    #[test_case("-A chem -p gpu --qos=long", "Invalid qos specification", Some("-A chem -p gpu --qos=high"); "another account's")]
    #[test_case("--mem=1G", "Requested node configuration is not available", None; "something else")]
    #[test_case("-A physics", "Invalid account or account/partition combination specified", None; "nothing better")]
    #[test_case("-A phsyics --qos lng", "Job violates accounting/QOS policy (job submit limit, user's size and/or time limits)", None; "a limit")]
    fn what_the_user_may_have(words: &str, problem: &str, expected: Option<&str>) {
        let words: Vec<String> = words.split(' ').map(str::to_owned).collect();
        let may: Vec<Association> = MAY.into_iter().filter_map(Association::parse).collect();
        assert_eq!(may.len(), 2);
        assert_eq!(
            Refused::by(problem)
                .and_then(|refused| better(&words, refused, &may))
                .map(|words| words.join(" "))
                .as_deref(),
            expected
        );
    }

    #[test]
    fn another_cluster_s_are_not_taken() {
        let may = |lines: &[&str], cluster| {
            let all = lines.iter().copied().filter_map(Association::parse).collect();
            let of = Association::of_cluster(all, cluster);
            of.into_iter().map(|one| one.account).collect::<Vec<_>>().join(" ")
        };
        let two = ["a||q|one", "b||q|two"];
        assert_eq!(may(&two, Some("Two")), "b");
        assert_eq!(may(&two, Some("three")), "");
        assert_eq!(may(&two, None), "", "it is not known which of them is meant");
        assert_eq!(may(&["a||q|one", "b||q|one"], None), "a b");
        assert_eq!(may(&[], None), "");
    }
}

//! The reasons for which a job waits and will not start by itself.

/// How a reason is recognised.
enum Is {
    Word(&'static str),
    StartsWith(&'static str),
}

const HELD: [(Is, &str); 24] = [
    (
        Is::Word("JobHeldUser"),
        "the job is held; release it with `scontrol release`, or leave --hold out of --srun-args",
    ),
    (Is::Word("JobHeldAdmin"), "an operator holds the job; ask the cluster's operators"),
    (Is::Word("BadConstraints"), "no node has what --srun-args asks for; ask for less, or for another --constraint"),
    (Is::StartsWith("PartitionTimeLimit"), "--time is longer than the partition allows; ask for less time"),
    (
        Is::StartsWith("PartitionNodeLimit"),
        "the partition does not give nodes to jobs of this size; name another partition",
    ),
    (Is::StartsWith("PartitionConfig"), "the partition cannot run this job; name another partition with --partition"),
    (Is::Word("PartitionDown"), "the partition is closed; name another with --partition, or wait until it opens"),
    (Is::Word("PartitionInactive"), "the partition takes no jobs; name another with --partition"),
    (
        Is::StartsWith("ReqNodeNotAvail"),
        "a node that the job asks for is down, drained or reserved; ask for others, or wait",
    ),
    (Is::Word("NodeDown"), "a node that the job asks for is down; ask for others, or wait"),
    (Is::Word("DependencyNeverSatisfied"), "an earlier job that this one waits for will never be done; cancel it"),
    (
        Is::Word("InvalidAccount"),
        "the account is not valid here; name another with --account (`sacctmgr show associations`)",
    ),
    (Is::StartsWith("Account"), "the partition does not take this account; name another --account or --partition"),
    (Is::Word("InvalidQOS"), "the quality of service is not valid here; name another with --qos"),
    (
        Is::Word("QOSNotAllowed"),
        "the partition does not take this quality of service; name another --qos or --partition",
    ),
    (
        Is::StartsWith("QOSMax"),
        "the job asks for more than its quality of service allows; ask for less, or end other jobs",
    ),
    (Is::StartsWith("QOSMin"), "the job asks for less than its quality of service demands; ask for more"),
    (Is::StartsWith("QOSGrp"), "the group's share of this quality of service is used up; wait, or name another --qos"),
    (Is::StartsWith("AssocMax"), "the job asks for more than your account allows; ask for less, or end other jobs"),
    (Is::StartsWith("AssocGrp"), "your account's share is used up; wait, or name another with --account"),
    (Is::StartsWith("Association"), "your account's limit is reached; end other jobs, or name another with --account"),
    (Is::StartsWith("MaxMemPerLimit"), "--mem is more than the partition allows; ask for less memory"),
    (Is::StartsWith("Reservation"), "the reservation is over or was deleted; leave --reservation out"),
    (
        Is::StartsWith("launch failed requeued held"),
        "the node could not start the job and Slurm holds it; ask the operators",
    ),
];

/// What to do about a job that waits for this reason; nothing where waiting is enough (`Priority`, `Resources`).
#[must_use]
pub fn held_because(reason: &str) -> Option<&'static str> {
    let matching = HELD.iter().find(|(is, _)| match is {
        Is::Word(word) => reason == *word,
        Is::StartsWith(start) => reason.starts_with(start),
    });
    matching.map(|(_, advice)| *advice)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use test_case::test_case;

    use super::*;

    #[test_case("PartitionTimeLimit", "longer than the partition allows")]
    #[test_case("ReqNodeNotAvail, UnavailableNodes:node1", "down, drained or reserved")]
    #[test_case("QOSMaxGRESPerUser", "more than its quality of service allows")]
    #[test_case("AssocGrpCPUMinutesLimit", "share is used up")]
    #[test_case("JobHeldUser", "scontrol release")]
    fn a_person_is_told_what_to_do(reason: &str, advice: &str) {
        assert!(held_because(reason).unwrap().contains(advice));
    }

    #[test_case("Priority")]
    #[test_case("Resources")]
    #[test_case("Dependency")]
    #[test_case("BeginTime")]
    #[test_case("")]
    fn waiting_is_enough(reason: &str) {
        assert_eq!(held_because(reason), None);
    }
}

//! Asks Slurm to end jobs, or to signal one.

use super::JobName;
use crate::id::JobId;

/// Ends all our jobs of this name: for when a number was never heard. Slurm says nothing where there is none.
#[must_use]
pub fn scancel_argv(name: &JobName, cluster: Option<&str>) -> Vec<String> {
    argv(cluster, ["--me".to_owned(), format!("--name={name}")])
}

/// Ends one job. TERM, the cluster's `KillWait`, KILL; exit code 0 where it is gone already.
#[must_use]
pub fn scancel_job_argv(job: JobId, cluster: Option<&str>) -> Vec<String> {
    argv(cluster, [job.to_string()])
}

fn argv<const N: usize>(cluster: Option<&str>, words: [String; N]) -> Vec<String> {
    let cluster = cluster.map(|cluster| format!("--clusters={cluster}"));
    std::iter::once("scancel".to_owned()).chain(cluster).chain(words).collect()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;
    use crate::id::InstanceName;

    #[test]
    fn says_which_jobs() {
        let name = JobName::new("ada", "laptop", &InstanceName::from_text("m").unwrap());
        assert_eq!(scancel_argv(&name, None).join(" "), "scancel --me --name=llm-proxy-ada-laptop-m");
        assert_eq!(scancel_job_argv(JobId(7), Some("hpc2")).join(" "), "scancel --clusters=hpc2 7");
    }
}

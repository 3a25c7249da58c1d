//! Asks Slurm to end jobs.

use super::JobName;

/// Ends all our jobs of this name, also one whose number was never heard. TERM, the cluster's `KillWait`, KILL. Slurm says
/// nothing where there is none.
#[must_use]
pub fn scancel_argv(name: &JobName, cluster: Option<&str>) -> Vec<String> {
    let cluster = cluster.map(|cluster| format!("--clusters={cluster}"));
    let words = ["--me".to_owned(), format!("--name={name}")];
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
        assert_eq!(
            scancel_argv(&name, Some("hpc2")).get(..2),
            Some(&["scancel".to_owned(), "--clusters=hpc2".to_owned()][..])
        );
    }
}

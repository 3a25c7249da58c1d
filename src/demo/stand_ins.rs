//! Stand-ins for Slurm's commands, for where there is no Slurm, and for what a login host knows of its node.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// The node that their jobs say they run on.
pub(super) const NODE: &str = "demo-node1";

const PROGRAMS: [(&str, &str); 4] = [
    ("srun", include_str!("srun.sh")),
    ("squeue", include_str!("squeue.sh")),
    ("scancel", include_str!("scancel.sh")),
    ("getent", include_str!("getent.sh")),
];

/// Writes them into `bin`, and makes the folder of their jobs beside it.
pub(super) fn write(bin: &Path, jobs: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(bin)?;
    std::fs::create_dir_all(jobs)?;
    for (name, text) in PROGRAMS {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o700).open(bin.join(name))?;
        file.write_all(text.as_bytes())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_node_is_the_one_that_srun_names() {
        let srun = PROGRAMS.map(|(_, text)| text).join("\n");
        assert!(srun.contains(&format!("\nNODE={NODE}\n")));
    }
}

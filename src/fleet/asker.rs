//! Who asks Slurm for jobs: it becomes part of their names, so that nobody takes another's for his own.

use std::io;
use std::path::Path;

use crate::id::InstanceName;
use crate::slurm::JobName;

/// The name of all jobs of this instance, of this user, of the program on this machine that keeps its state in `root`.
///
/// # Errors
/// No random bytes can be had, or `root` cannot be written to.
pub fn job_name(root: &Path, instance: &InstanceName) -> io::Result<JobName> {
    let here = format!("{}-{}", host_name(), installation(root)?);
    Ok(JobName::new(&user(), &here, instance))
}

/// Who runs this program.
fn user() -> String {
    nix::unistd::User::from_uid(nix::unistd::Uid::current())
        .ok()
        .flatten()
        .map_or_else(|| "user".to_owned(), |user| user.name)
}

/// A random word of this installation, kept in its state folder: two machines of one name must not meet in one queue.
fn installation(root: &Path) -> io::Result<String> {
    let file = root.join("installation");
    if let Ok(word) = std::fs::read_to_string(&file) {
        let word = word.trim();
        if word.len() == 8 && word.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Ok(word.to_owned());
        }
    }
    let word = getrandom::u32().map(|number| format!("{number:08x}")).map_err(io::Error::other)?;
    let written = std::fs::create_dir_all(root).and_then(|()| std::fs::write(&file, format!("{word}\n")));
    written.map_err(|error| io::Error::new(error.kind(), format!("{} cannot be written: {error}", file.display())))?;
    Ok(word)
}

/// The machine that this program runs on, without its domain.
fn host_name() -> String {
    let name = nix::unistd::gethostname().unwrap_or_default();
    name.to_string_lossy().split('.').next().unwrap_or_default().to_owned()
}

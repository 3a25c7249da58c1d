//! A configuration file that says what was looked at: the next line is then a short one.

use std::io::{self, ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use super::{Finding, Mend, Subject, Typed, own_file};

const CHECK: &str = "configuration file";

/// Where to go on from it.
const HEAD: &str = "# Written by `llm-proxy doctor`. What else may stand here: `llm-proxy config schema`.\n";

/// A file that can be written.
#[derive(Clone, Debug)]
pub struct NewFile {
    /// Where.
    pub path: PathBuf,
    /// What it says. No secret is in it.
    pub text: String,
    /// What serves it: the same as the options that were typed.
    pub serve: Typed,
}

/// Whether it is there; what is not can be written. `route` is what was found of the route.
pub(super) fn check(subject: &Subject, route: Option<&str>) -> Option<Finding> {
    let file = match subject.file.as_ref()? {
        Ok(file) => file,
        Err(reason) => return Some(Finding::ok(CHECK, format!("none is offered: {reason}"))),
    };
    let path = file.path.display();
    let noted = route.map(|route| format!("# As the doctor found, {route}.\n")).unwrap_or_default();
    let text = format!("{HEAD}{noted}{}", file.text);
    Some(match own_file::text(&file.path) {
        Ok(old) if is_same(&old, &text) => Finding::ok(CHECK, format!("{path} says all of this")).again(&file.serve),
        Ok(_) => Finding::ok(CHECK, format!("{path} is there already, and says something else: it stays as it is"))
            .advice("to have one with these options, move it away and look once more"),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            Finding::ok(CHECK, "all of this can stand in one, and the line to start it is then short")
                .mend(Mend::NewFile { file: file.path.clone(), text })
        }
        Err(error) => Finding::ok(CHECK, format!("{path} cannot be read, and stays as it is: {error}")),
    })
}

/// What the comments say may have changed: another route was found, or the user wrote some of their own.
fn is_same(one: &str, other: &str) -> bool {
    let lines = |text: &str| text.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect::<Vec<_>>();
    lines(one) == lines(other)
}

/// Whole or not at all, for the user alone, and never over another.
pub(super) fn write(path: &Path, text: &str) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // A temporary file is made with mode 0600, and keeps it when it takes its place.
    let mut file = NamedTempFile::new_in(folder)?;
    file.write_all(text.as_bytes())?;
    file.as_file().sync_data()?;
    file.persist_noclobber(path)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may stop where it finds a fault")]

    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn another_comment_makes_no_other_file() {
        let text = format!("{HEAD}# As the doctor found, direct.\nmodels:\n  m: {{}}\n");
        assert!(is_same(&text, &format!("{HEAD}models:\n  m: {{}}\n")));
        assert!(!is_same(&text, &format!("{HEAD}models:\n  n: {{}}\n")));
        assert!(!is_same("a: 1\n# b\n", "a: 1\nb: 1\n"));
    }

    #[test]
    fn it_is_for_the_user_alone_and_never_written_over() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("llm-proxy.yaml");
        write(&path, "a: 1\n").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(write(&path, "a: 2\n").unwrap_err().kind(), ErrorKind::AlreadyExists);
        assert_eq!(fs::read_to_string(&path).unwrap(), "a: 1\n");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing else is left");
    }
}

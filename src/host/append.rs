//! Lines for a shell that add a line to a file.

/// What adds the line that `words` print to `file`, both as a shell is given them: on a line of its own, also where the last one
/// of the file was left without an end.
#[must_use]
pub fn append(words: &str, file: &str) -> String {
    format!("{{ [ -z \"$(tail -c 1 {file} 2>/dev/null)\" ] || echo >> {file}; }} && {words} >> {file}")
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may stop where it finds a fault")]

    use std::fs;
    use std::process::Command;

    use test_case::test_case;

    use super::*;

    #[test_case(None, "new\n"; "no file")]
    #[test_case(Some(""), "new\n"; "an empty one")]
    #[test_case(Some("old\n"), "old\nnew\n"; "a whole line")]
    #[test_case(Some("old"), "old\nnew\n"; "a line without an end")]
    fn a_line_is_added_as_one_of_its_own(before: Option<&str>, after: &str) {
        for shell in ["dash", "bash"] {
            let folder = tempfile::tempdir().unwrap();
            let file = folder.path().join("a file");
            if let Some(before) = before {
                fs::write(&file, before).unwrap();
            }
            let line = append("printf '%s\\n' new", &format!("'{}'", file.display()));
            let output = Command::new(shell).args(["-e", "-c", &line]).output().unwrap();
            assert!(output.status.success() && output.stderr.is_empty(), "{shell}: {output:?}");
            assert_eq!(fs::read_to_string(&file).unwrap(), after, "{shell}");
        }
    }
}

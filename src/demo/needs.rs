//! What the far end needs of the machine that it plays a cluster on.

use std::path::Path;

/// What the scripts on the far end run.
const PROGRAMS: [&str; 12] =
    ["cat", "env", "find", "grep", "mkdir", "od", "rm", "sed", "setsid", "sleep", "sort", "tail"];

/// What Linux shows of its processes and sockets, and the far end looks at.
const FILES: [&str; 3] = ["/proc/self/stat", "/proc/self/environ", "/proc/net/tcp"];

/// What is missing, in words for a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing(pub String);

/// What this machine lacks to play the far end; nothing where it has all.
#[must_use]
pub fn missing() -> Option<Missing> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let in_path = |name: &str| std::env::split_paths(&path).any(|folder| folder.join(name).is_file());
    judge(|file| Path::new(file).exists(), |name| path.is_empty() || in_path(name))
}

fn judge(has_file: impl Fn(&str) -> bool, has_program: impl Fn(&str) -> bool) -> Option<Missing> {
    let files = FILES.into_iter().filter(|file| !has_file(file)).map(str::to_owned);
    let programs = PROGRAMS.into_iter().filter(|name| !has_program(name)).map(|name| format!("`{name}`"));
    let missing: Vec<String> = files.chain(programs).collect();
    (!missing.is_empty()).then(|| Missing(missing.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_is_missing_is_named_at_once() {
        assert_eq!(judge(|_| true, |_| true), None);
        let like_macos = judge(|file| !file.starts_with("/proc"), |name| name != "setsid");
        let named = "/proc/self/stat, /proc/self/environ, /proc/net/tcp, `setsid`".to_owned();
        assert_eq!(like_macos, Some(Missing(named)));
    }
}

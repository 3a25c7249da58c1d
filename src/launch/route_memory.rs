//! Which route led to an engine the last time, per host: it is tried first the next time. Nothing else is made of it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tracing::debug;

use super::write_whole;
use crate::route::Route;

/// The form of the file that this version writes.
const VERSION: u32 = 1;

/// How long it counts: a route that was a way round one day's fault is not taken for ever.
const COUNTS_FOR: Duration = Duration::from_hours(7 * 24);

/// How many hosts are remembered; beyond, the oldest is forgotten.
const MOST_HOSTS: usize = 200;

/// The file, in the folder of all instances: they go to the same hosts.
#[derive(Clone, Debug)]
pub struct RouteMemory {
    path: PathBuf,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    version: u32,
    hosts: BTreeMap<String, Remembered>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Remembered {
    route: String,
    /// When it was taken, in seconds since 1970.
    at_s: i64,
}

impl RouteMemory {
    /// The memory of all instances under `root`.
    #[must_use]
    pub fn new(root: &Path) -> Self {
        Self { path: root.join("routes.json") }
    }

    /// The route that led to an engine on this host. A file that cannot be read remembers nothing.
    #[must_use]
    pub fn of(&self, host: &str) -> Option<Route> {
        let remembered = self.read().hosts.remove(host)?;
        let age = now_s().saturating_sub(remembered.at_s);
        let known = Route::ALL.into_iter().find(|route| route.to_string() == remembered.route);
        known.filter(|_| u64::try_from(age).is_ok_and(|age| age < COUNTS_FOR.as_secs()))
    }

    /// Remembers it, if that can be written. What is remembered is as old as the day on which it was found: or it would be
    /// tried first, and so found again, for ever.
    pub fn remember(&self, host: &str, route: Route) {
        if self.of(host) == Some(route) {
            return;
        }
        let mut written = self.read();
        written.hosts.insert(host.to_owned(), Remembered { route: route.to_string(), at_s: now_s() });
        while written.hosts.len() > MOST_HOSTS {
            let oldest = written.hosts.iter().min_by_key(|(_, remembered)| remembered.at_s);
            let Some(oldest) = oldest.map(|(host, _)| host.clone()) else { break };
            written.hosts.remove(&oldest);
        }
        if let Err(error) = self.write(&written) {
            debug!(%error, path = %self.path.display(), "the route is not remembered");
        }
    }

    fn read(&self) -> Written {
        let read = std::fs::read(&self.path).ok().and_then(|bytes| serde_json::from_slice::<Written>(&bytes).ok());
        let known = read.filter(|written| written.version == VERSION);
        known.unwrap_or_else(|| Written { version: VERSION, hosts: BTreeMap::new() })
    }

    /// Whole or not at all. Of two that write at once one is forgotten, and found again by trying.
    fn write(&self, written: &Written) -> std::io::Result<()> {
        write_whole(&self.path, written)
    }
}

fn now_s() -> i64 {
    Timestamp::now().as_second()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test")]

    use std::os::unix::fs::PermissionsExt;

    use test_case::test_case;

    use super::*;

    #[test]
    fn what_worked_is_remembered_per_host_for_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let memory = RouteMemory::new(folder.path());
        assert_eq!(memory.of("login"), None);
        memory.remember("login", Route::Relay);
        memory.remember("me@other:2222", Route::Nested);
        memory.remember("login", Route::Direct);
        assert_eq!((memory.of("login"), memory.of("me@other:2222")), (Some(Route::Direct), Some(Route::Nested)));
        let mode = std::fs::metadata(folder.path().join("routes.json")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test_case(1, "relay", 0, Some(Route::Relay); "as it is written")]
    #[test_case(2, "relay", 0, None; "of another version")]
    #[test_case(1, "pigeon", 0, None; "of a route that there is not")]
    #[test_case(1, "relay", 8, None; "old")]
    #[test_case(1, "relay", -1, None; "of a time to come")]
    fn only_what_can_be_used_counts(version: u32, route: &str, days: i64, counts: Option<Route>) {
        let folder = tempfile::tempdir().unwrap();
        let at_s = now_s() - days * 24 * 3600;
        let text = serde_json::json!({"version": version, "hosts": {"login": {"route": route, "at_s": at_s}}});
        std::fs::write(folder.path().join("routes.json"), text.to_string()).unwrap();
        assert_eq!(RouteMemory::new(folder.path()).of("login"), counts);
    }

    #[test]
    fn what_is_found_again_grows_no_younger() {
        let folder = tempfile::tempdir().unwrap();
        let (memory, file) = (RouteMemory::new(folder.path()), folder.path().join("routes.json"));
        let at_days = |days: i64| {
            let at_s = now_s() - days * 24 * 3600;
            serde_json::json!({"version": 1, "hosts": {"login": {"route": "relay", "at_s": at_s}}}).to_string()
        };
        let old = at_days(6);
        std::fs::write(&file, &old).unwrap();
        memory.remember("login", Route::Relay);
        assert_eq!(std::fs::read_to_string(&file).unwrap(), old);
        memory.remember("login", Route::Nested);
        assert_eq!(memory.of("login"), Some(Route::Nested));
        // One that counts no more is found anew.
        std::fs::write(&file, at_days(8)).unwrap();
        memory.remember("login", Route::Relay);
        assert_eq!(memory.of("login"), Some(Route::Relay));
    }

    #[test_case(""; "empty")]
    #[test_case("{\"version\":1,\"hosts\":{\"login\":{\"route\":\"relay\""; "torn")]
    #[test_case("[1]"; "of another kind")]
    fn what_cannot_be_read_is_ignored_and_written_anew(text: &str) {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("routes.json"), text).unwrap();
        let memory = RouteMemory::new(folder.path());
        assert_eq!(memory.of("login"), None);
        memory.remember("login", Route::Nested);
        assert_eq!(memory.of("login"), Some(Route::Nested));
    }

    #[test]
    fn the_file_does_not_grow_for_ever() {
        let folder = tempfile::tempdir().unwrap();
        let memory = RouteMemory::new(folder.path());
        for number in 0..=MOST_HOSTS {
            memory.remember(&format!("host{number}"), Route::Direct);
        }
        assert_eq!((memory.of("host0"), memory.of("host1")), (None, Some(Route::Direct)));
    }
}

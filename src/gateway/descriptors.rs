//! File descriptors: as many as the system lets us have, and no more connections than they suffice for.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// What everything but clients may need: pipes to processes, files of held bodies, our own listeners.
const OTHERS: u64 = 128;
/// The bounds of how many connections are served at a time.
const CONNECTIONS: (usize, usize) = (16, 4096);

/// Raises the soft limit to the hard one, which common systems set far higher, and says how many connections may be
/// served at a time.
pub(super) fn connections() -> usize {
    connections_within(raise().unwrap_or_else(|error| {
        tracing::debug!(error = &error as &dyn std::error::Error, "the limit of descriptors cannot be raised");
        getrlimit(Resource::RLIMIT_NOFILE).map_or(0, |(soft, _)| soft)
    }))
}

fn raise() -> nix::Result<u64> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    if soft < hard {
        setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
    }
    Ok(hard)
}

/// Each has a descriptor here and one to the engine.
fn connections_within(limit: u64) -> usize {
    let (least, most) = CONNECTIONS;
    usize::try_from(limit.saturating_sub(OTHERS) / 2).unwrap_or(most).clamp(least, most)
}

#[cfg(test)]
mod tests {
    use test_case::test_case;

    use super::*;

    #[test_case(0 => 16)]
    #[test_case(256 => 64)]
    #[test_case(1024 => 448)]
    #[test_case(524_288 => 4096)]
    #[test_case(u64::MAX => 4096; "no limit")]
    fn each_connection_may_need_two(limit: u64) -> usize {
        connections_within(limit)
    }
}

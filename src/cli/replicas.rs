//! Which of several an instance is, as the fleet is told it.

use std::sync::Arc;
use std::time::Duration;

use super::ServeArgs;
use crate::config::ReplicasBy;
use crate::fleet::{Bounds, By, Group, Replica};
use crate::id::InstanceName;

/// Requests in flight that make a replica busy, where nobody says: what an engine of one GPU still answers briskly.
const BUSY_AT: usize = 16;

/// How long all must be busy until one more is started, where nobody says.
const SCALE_AFTER: Duration = Duration::from_secs(10);

/// Which of several it is.
pub(super) fn replica(args: &ServeArgs) -> Option<Replica> {
    let (replica, block) = args.found.replica.as_ref()?;
    let by = match block.by.as_ref().map(|by| by.value) {
        None | Some(ReplicasBy::LeastOutstanding) => By::LeastOutstanding,
        Some(ReplicasBy::Prefix) => By::Prefix,
    };
    let bounds = Bounds {
        min: block.least().into(),
        busy_at: block.busy_at.as_ref().map_or(BUSY_AT, |at| usize::try_from(at.value).unwrap_or(usize::MAX)),
        scale_after: block.scale_after.as_ref().map_or(SCALE_AFTER, |after| after.value),
    };
    let group = Arc::new(Group::new(InstanceName::from_text(&replica.of)?, by, bounds));
    Some(Replica { group, number: replica.number })
}

/// The name as it is, or the numbered one of a replica: however long the name is, its number stays.
pub(super) fn numbered(name: InstanceName, args: &ServeArgs) -> InstanceName {
    let of =
        args.found.replica.as_ref().and_then(|(one, _)| Some(InstanceName::from_text(&one.of)?.replica(one.number)));
    of.unwrap_or(name)
}

//! Coming to a server whose key may not be known yet.

use super::connection::{Connection, Plan};
use super::{SshError, trust};

/// Connects. A server whose key is not known ends the connection; where somebody trusts the key, there is another one, at the
/// same address, so that another machine behind the name does not take its place, and through the same server before it,
/// where there is one. The servers on the way come to here by themselves, each for its own key.
///
/// # Errors
/// There is no connection, or nobody trusts the key.
pub(super) async fn arrive(plan: Plan<'_>) -> Result<Connection, SshError> {
    let mut bridge = None;
    let error = match Connection::connect(plan, &mut bridge).await {
        Ok(connection) => return Ok(connection),
        Err(error) => error,
    };
    let SshError::HostKeyUnknown { besides, .. } = &error else { return Err(error) };
    let address = besides.address;
    trust::decide(plan.target, error, plan.person, plan.tasks, plan.learned).await?;
    let known_address = address.or(plan.known_address);
    // Once is enough: from now on its key is known, and another one is a changed one.
    Connection::connect(Plan { known_address, ..plan }, &mut bridge).await
}

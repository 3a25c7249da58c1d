//! Another host, reached inside a connection that stands: by a stream, or, where those are forbidden, by a command.

use std::time::Duration;

use tokio::time::timeout;

use super::config::Target;
use super::transport::Carrier;
use super::{SshClient, SshError};

/// Opens what carries a connection to the target's port.
///
/// # Errors
/// The target cannot be reached from there.
pub(super) async fn reach(client: &SshClient, target: &Target, limit: Duration) -> Result<Carrier, SshError> {
    let Target { host, port, .. } = target;
    let opened = async {
        match client.dial(host, *port).await {
            Ok(stream) => Ok(Carrier::Stream(stream)),
            Err(refused @ SshError::Prohibited { .. }) => {
                let Some(command) = bridge(host, *port) else { return Err(refused) };
                Ok(Carrier::Exec(client.exec(&command).await?))
            }
            Err(error) => Err(error),
        }
    };
    match timeout(limit, opened).await {
        Ok(opened) => opened,
        Err(_) => Err(SshError::ConnectionTimedOut { host: host.clone(), port: *port, after: limit }),
    }
}

/// A command that joins its standard streams with a port, in words that every login shell reads alike: whichever of the
/// programs that can do it is there.
fn bridge(host: &str, port: u16) -> Option<String> {
    // A name that is more than a name would be read by the shell.
    let plain = host.chars().all(|c| c.is_ascii_alphanumeric() || "._-:".contains(c)) && !host.starts_with('-');
    let ip_in_brackets = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    plain.then(|| {
        format!(
            "/bin/sh -c 'if command -v nc >/dev/null; then exec nc {host} {port}; fi; \
             if command -v socat >/dev/null; then exec socat - TCP:{ip_in_brackets}:{port}; fi; \
             exec /bin/bash -c \"exec 3<>/dev/tcp/{host}/{port}; (cat <&3; kill 0) & cat >&3; kill 0\"'"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_plain_name_becomes_a_part_of_a_command() {
        assert!(bridge("node1.cluster", 22).is_some_and(|command| command.contains("nc node1.cluster 22;")));
        for odd in ["node1; reboot", "$(reboot)", "-e", "a b", "a'b", "a\nb", "`a`"] {
            assert_eq!(bridge(odd, 22), None, "{odd}");
        }
    }
}

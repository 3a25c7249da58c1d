//! How our connections are set up, and why so.

use std::borrow::Cow;
use std::time::Duration;

use russh::keys::Algorithm;
use russh::{Limits, Preferred, cipher, client, kex};

/// How many bytes of one stream may be under way to us. A stream gets about this much in two round trips: 10 MiB/s at
/// 50 ms, far more than any engine writes. Twice as much halved the throughput of hundreds of streams together.
const WINDOW: u32 = 1 << 20;

/// OpenSSH sends no larger packets whatever is offered.
const PACKET: u32 = 32 * 1024;

/// How many messages of one stream russh holds before it stops reading for all of them. The stream's task always takes
/// them, so this only covers the time until it is scheduled, or has written to disk; an empty place costs nothing, and all
/// of them full are 32 MiB.
const MESSAGES: usize = 1024;

/// How long the server may be silent before it is asked whether it lives.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// How many such questions may go unanswered.
const KEEP_ALIVE_QUESTIONS: usize = 3;

/// No question can be asked while a write is stuck; this then ends the connection. It must be longer than all questions
/// together, or it would end idle ones.
const INACTIVITY: Duration = Duration::from_secs(75);

/// The settings for a connection whose host keys are asked for in this order.
pub(super) fn client_config(host_key_algorithms: Cow<'static, [Algorithm]>) -> client::Config {
    client::Config {
        window_size: WINDOW,
        maximum_packet_size: PACKET,
        channel_buffer_size: MESSAGES,
        keepalive_interval: Some(KEEP_ALIVE),
        keepalive_max: KEEP_ALIVE_QUESTIONS,
        inactivity_timeout: Some(INACTIVITY),
        // A new key exchange that we begin under load ends the connection (russh counts what was under way against the
        // window of one stream), so we leave it to the server, which begins one after 1 GiB or 64 GiB by itself.
        limits: Limits {
            rekey_read_limit: usize::MAX / 2,
            rekey_write_limit: usize::MAX / 2,
            rekey_time_limit: Duration::from_hours(30 * 24),
        },
        preferred: Preferred {
            kex: key_exchanges(),
            key: host_key_algorithms,
            // AES-GCM costs half of what ChaCha does where the processor helps, and both ends nearly always have that.
            cipher: Cow::Borrowed(&[
                cipher::AES_128_GCM,
                cipher::AES_256_GCM,
                cipher::CHACHA20_POLY1305,
                cipher::AES_256_CTR,
                cipher::AES_192_CTR,
                cipher::AES_128_CTR,
            ]),
            ..Preferred::DEFAULT
        },
        nodelay: true,
        ..client::Config::default()
    }
}

/// russh's own list, and then the NIST curves: login nodes in FIPS mode would otherwise fall to a slow 8192-bit group.
fn key_exchanges() -> Cow<'static, [kex::Name]> {
    let mut names = Preferred::DEFAULT.kex.into_owned();
    names.extend([kex::ECDH_SHA2_NISTP256, kex::ECDH_SHA2_NISTP384, kex::ECDH_SHA2_NISTP521]);
    Cow::Owned(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idle_connection_is_asked_before_it_is_given_up() {
        let questions = u32::try_from(KEEP_ALIVE_QUESTIONS).unwrap_or(u32::MAX);
        assert!(INACTIVITY > KEEP_ALIVE * (questions + 1));
    }

    #[test]
    fn strict_key_exchange_stays_on() {
        assert!(key_exchanges().contains(&kex::EXTENSION_OPENSSH_STRICT_KEX_AS_CLIENT));
    }
}

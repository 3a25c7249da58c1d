//! A line to paste into another terminal, which shows at once whether all works.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use serde_json::json;

/// A streamed chat with the model, if its name is known, as a `curl` line for a POSIX shell.
pub(super) fn curl(address: SocketAddr, model: Option<&str>, keyed: bool) -> String {
    // An engine that serves one model does not ask for its name.
    let model = model.map(|model| format!("\"model\":{},", json!(model))).unwrap_or_default();
    let body = format!(r#"{{{model}"stream":true,"messages":[{{"role":"user","content":"Hello"}}]}}"#);
    let key = if keyed { " -H 'Authorization: Bearer YOUR_KEY'" } else { "" };
    let body = body.replace('\'', r"'\''");
    format!(
        "curl -N http://{}/v1/chat/completions{key} -H 'Content-Type: application/json' -d '{body}'",
        reachable(address)
    )
}

/// An address that can be dialled on this machine.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use test_case::test_case;

    use super::*;

    #[test_case("127.0.0.1:8000", Some("m/Tiny"), false, r#"curl -N http://127.0.0.1:8000/v1/chat/completions -H 'Content-Type: application/json' -d '{"model":"m/Tiny","stream":true,"messages":[{"role":"user","content":"Hello"}]}'"#; "a model")]
    #[test_case("0.0.0.0:1", None, true, r#"curl -N http://127.0.0.1:1/v1/chat/completions -H 'Authorization: Bearer YOUR_KEY' -H 'Content-Type: application/json' -d '{"stream":true,"messages":[{"role":"user","content":"Hello"}]}'"#; "a key and no model")]
    fn is_a_line(address: &str, model: Option<&str>, keyed: bool, expected: &str) {
        assert_eq!(curl(address.parse().unwrap(), model, keyed), expected);
    }

    #[test]
    fn a_shell_and_json_read_any_name() {
        let name = "a'b\"c \\$x";
        let line = curl("[::]:80".parse().unwrap(), Some(name), false);
        let words = shlex::split(&line).unwrap();
        assert_eq!(words.get(2).unwrap(), "http://[::1]:80/v1/chat/completions");
        let body: serde_json::Value = serde_json::from_str(words.last().unwrap()).unwrap();
        assert_eq!(body.get("model").unwrap(), name);
    }
}

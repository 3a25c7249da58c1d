//! What of a head is passed on, and what we add to it.

use std::net::IpAddr;

use http::header::{
    CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, COOKIE, EXPECT, HOST, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE,
    TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderMap, HeaderName, HeaderValue};

/// Names a request in logs and answers, ours and the engine's.
pub(super) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Names the instance that served.
pub(super) const X_INSTANCE: HeaderName = HeaderName::from_static("x-llm-proxy-instance");
/// Asks for signs of life of another form: `delta` for real events of the API that say nothing.
pub(super) const X_PROGRESS: HeaderName = HeaderName::from_static("x-llm-proxy-progress");
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
const HTTP2_SETTINGS: HeaderName = HeaderName::from_static("http2-settings");

/// What concerns only the connection it came on (RFC 9110, section 7.6.1). `Trailer` does not: it speaks of the message.
const HOP_BY_HOP: [HeaderName; 9] = [
    CONNECTION,
    KEEP_ALIVE,
    PROXY_CONNECTION,
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    TE,
    TRANSFER_ENCODING,
    UPGRADE,
    HTTP2_SETTINGS,
];

/// Takes off what concerns only the connection it came on; not `TE: trailers`, which the engine must see to send any.
pub(super) fn drop_hop_by_hop(headers: &mut HeaderMap) {
    // Mostly there is none. To look through the names costs less than to look each of these up.
    let found: Vec<HeaderName> = headers.keys().filter(|name| HOP_BY_HOP.contains(name)).cloned().collect();
    if found.is_empty() {
        return;
    }
    let trailers = tokens(headers, &TE).any(|token| token.eq_ignore_ascii_case("trailers"));
    let named: Vec<HeaderName> =
        tokens(headers, &CONNECTION).filter_map(|name| HeaderName::from_bytes(name.as_bytes()).ok()).collect();
    for name in named.iter().chain(&found) {
        headers.remove(name);
    }
    // With both, the length is not the body's: to pass it on would let two readers disagree about its end.
    if found.contains(&TRANSFER_ENCODING) {
        headers.remove(CONTENT_LENGTH);
    }
    if trailers {
        headers.insert(TE, HeaderValue::from_static("trailers"));
        headers.insert(CONNECTION, HeaderValue::from_static("te"));
    }
}

/// The kind of a body, such as `text/event-stream`, without parameters; empty where it is not told.
pub(super) fn media_type(headers: &HeaderMap) -> &[u8] {
    let kind = headers.get(CONTENT_TYPE).map_or(b"".as_slice(), HeaderValue::as_bytes);
    kind.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii()
}

/// How a body was transferred, if in any other way than the one that is undone here: passed on without its coding, it
/// would be nonsense to the engine (RFC 9112, section 6.1).
pub(super) fn unknown_coding(headers: &HeaderMap) -> Option<String> {
    let codings: Vec<&[u8]> = headers.get_all(TRANSFER_ENCODING).iter().map(HeaderValue::as_bytes).collect();
    let known = match codings.as_slice() {
        [] => true,
        [one] => one.trim_ascii().eq_ignore_ascii_case(b"chunked"),
        _ => false,
    };
    (!known).then(|| String::from_utf8_lossy(&codings.join(&b", "[..])).into_owned())
}

/// The protocol that a client wants to change to, if it may be passed on. `h2c` may not: it is spoken with us.
pub(super) fn upgrade_wanted(headers: &HeaderMap) -> Option<HeaderValue> {
    let asked = tokens(headers, &CONNECTION).any(|token| token.eq_ignore_ascii_case("upgrade"));
    let to = headers.get(UPGRADE).filter(|_| asked)?;
    (!to.as_bytes().eq_ignore_ascii_case(b"h2c")).then(|| to.clone())
}

/// Whether a client wants a WebSocket.
pub(super) fn websocket_wanted(headers: &HeaderMap) -> bool {
    upgrade_wanted(headers).is_some_and(|to| to.as_bytes().eq_ignore_ascii_case(b"websocket"))
}

/// Writes both headers of an upgrade, of a request or of its answer.
pub(super) fn put_upgrade(headers: &mut HeaderMap, to: HeaderValue) {
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, to);
}

/// How a client's address is told to the engine. Once for a connection: to write it costs more than to pass it on.
pub(super) fn forwarded_for(client: IpAddr) -> HeaderValue {
    let unknown = HeaderValue::from_static("unknown");
    HeaderValue::try_from(client.to_canonical().to_string()).unwrap_or(unknown)
}

/// Makes a client's headers the engine's: `client` is from [`forwarded_for`], and `host` what the client called us.
pub(super) fn prepare_request(headers: &mut HeaderMap, client: &HeaderValue, host: Option<HeaderValue>) {
    drop_hop_by_hop(headers);
    // We answered it ourselves, by reading the body.
    headers.remove(EXPECT);
    headers.remove(HOST);
    headers.remove(X_PROGRESS);
    join_cookies(headers);
    put_forwarded_for(headers, client);
    headers.entry(X_FORWARDED_PROTO).or_insert(HeaderValue::from_static("http"));
    if let Some(host) = host {
        headers.entry(X_FORWARDED_HOST).or_insert(host);
    }
}

fn put_forwarded_for(headers: &mut HeaderMap, client: &HeaderValue) {
    if !headers.contains_key(X_FORWARDED_FOR) {
        headers.insert(X_FORWARDED_FOR, client.clone());
        return;
    }
    let before = headers.get_all(X_FORWARDED_FOR).iter().map(HeaderValue::as_bytes);
    let line = before.chain([client.as_bytes()]).collect::<Vec<_>>().join(&b", "[..]);
    if let Ok(line) = HeaderValue::try_from(line) {
        headers.insert(X_FORWARDED_FOR, line);
    }
}

/// HTTP/2 clients may send cookies apart; HTTP/1.1 knows one line (RFC 9113, section 8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    if headers.get_all(COOKIE).iter().nth(1).is_none() {
        return;
    }
    let line = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect::<Vec<_>>().join(&b"; "[..]);
    if let Ok(line) = HeaderValue::from_bytes(&line) {
        headers.insert(COOKIE, line);
    }
}

fn tokens<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .filter(|token| !token.is_empty())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

    use std::net::Ipv4Addr;

    use super::*;

    fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        lines.iter().map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value))).collect()
    }

    fn shown(headers: &HeaderMap) -> Vec<String> {
        let mut lines: Vec<String> =
            headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
        lines.sort();
        lines
    }

    #[test]
    fn drops_what_is_for_this_hop_and_keeps_the_rest() {
        let mut map = headers(&[
            ("connection", "close, X-Private"),
            ("connection", "keep-alive"),
            ("x-private", "1"),
            ("keep-alive", "timeout=5"),
            ("proxy-authorization", "Basic eDp5"),
            ("proxy-connection", "close"),
            ("transfer-encoding", "chunked"),
            ("content-length", "5"),
            ("te", "gzip, trailers"),
            ("trailer", "x-sum"),
            ("upgrade", "h2c"),
            ("http2-settings", "AA"),
            ("expect", "100-continue"),
            ("host", "proxy"),
            ("accept", "*/*"),
        ]);
        prepare_request(
            &mut map,
            &forwarded_for(Ipv4Addr::LOCALHOST.into()),
            Some(HeaderValue::from_static("proxy:1")),
        );
        assert_eq!(
            shown(&map),
            [
                "accept: */*",
                "connection: te",
                "te: trailers",
                "trailer: x-sum",
                "x-forwarded-for: 127.0.0.1",
                "x-forwarded-host: proxy:1",
                "x-forwarded-proto: http",
            ]
        );
    }

    #[test]
    fn forwarded_headers_are_appended_to_or_kept() {
        let mut map = headers(&[
            ("x-forwarded-for", "10.0.0.1"),
            ("x-forwarded-for", "10.0.0.2"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", "example.org"),
            ("cookie", "a=1"),
            ("cookie", "b=2"),
        ]);
        let mapped = "::ffff:192.0.2.1".parse().unwrap();
        prepare_request(&mut map, &forwarded_for(mapped), Some(HeaderValue::from_static("proxy:1")));
        assert_eq!(
            shown(&map),
            [
                "cookie: a=1; b=2",
                "x-forwarded-for: 10.0.0.1, 10.0.0.2, 192.0.2.1",
                "x-forwarded-host: example.org",
                "x-forwarded-proto: https",
            ]
        );
    }

    #[test]
    fn an_upgrade_is_wanted_only_where_the_connection_says_so() {
        assert!(websocket_wanted(&headers(&[("connection", "keep-alive, Upgrade"), ("upgrade", "WebSocket")])));
        assert!(!websocket_wanted(&headers(&[("upgrade", "websocket")])));
        assert_eq!(upgrade_wanted(&headers(&[("connection", "upgrade, http2-settings"), ("upgrade", "h2c")])), None);
        assert!(upgrade_wanted(&headers(&[("connection", "upgrade"), ("upgrade", "spdy")])).is_some());
    }
}

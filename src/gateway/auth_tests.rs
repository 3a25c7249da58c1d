#![expect(clippy::expect_used, clippy::indexing_slicing, reason = "a test may fail loudly")]

use http::Request;
use proptest::prelude::*;
use test_case::test_case;

use super::*;

fn head(lines: &[(&str, &str)]) -> Parts {
    let mut request = Request::builder().uri("/v1/models");
    for (name, value) in lines {
        request = request.header(*name, *value);
    }
    request.body(()).expect("a request").into_parts().0
}

fn keyed() -> Door {
    Door::new(Some(&Key::new("s3cret")), Vec::new(), "0.0.0.0")
}

// `x:s3cret`, `:s3cret`, `a:s3cre`, `a:b:s3cret`
#[test_case("authorization", "Bearer s3cret" => true; "bearer")]
#[test_case("authorization", "bearer  s3cret" => true; "scheme in small letters")]
#[test_case("authorization", "Basic eDpzM2NyZXQ=" => true; "basic")]
#[test_case("authorization", "Basic eDpzM2NyZXQ" => true; "basic without padding")]
#[test_case("authorization", "Basic OnMzY3JldA==" => true; "basic without user")]
#[test_case("authorization", "Basic YTpzM2NyZQ==" => false; "basic with a part")]
#[test_case("authorization", "Basic YTpiOnMzY3JldA==" => false; "a colon belongs to the password")]
#[test_case("authorization", "Basic !!!" => false; "not base64")]
#[test_case("authorization", "Bearer s3cre" => false; "a part")]
#[test_case("authorization", "Bearer s3crets" => false; "more")]
#[test_case("authorization", "Bearer" => false; "nothing after the scheme")]
#[test_case("authorization", "s3cret" => false; "no scheme")]
#[test_case("x-api-key", "s3cret" => true; "anthropic")]
#[test_case("x-api-key", "" => false; "empty")]
#[test_case("cookie", "s3cret" => false; "elsewhere")]
fn keys(name: &str, value: &str) -> bool {
    let mut head = head(&[("host", "anything.example"), (name, value)]);
    let admitted = keyed().admit(&mut head).is_ok();
    assert_eq!(head.headers.contains_key(name), !admitted, "the key is taken off, and nothing else");
    admitted
}

#[test]
fn only_our_key_is_taken_off() {
    let mut head = head(&[("authorization", "Bearer engine"), ("x-api-key", "s3cret")]);
    keyed().admit(&mut head).expect("the key is there");
    assert_eq!(head.headers.get("authorization").map(HeaderValue::as_bytes), Some(b"Bearer engine".as_slice()));
    assert!(!head.headers.contains_key("x-api-key"));
}

#[test]
fn a_browsers_password_is_not_another_sites() {
    let ask = |origin: &str, how: (&str, &str)| {
        keyed().admit(&mut head(&[("host", "box:8085"), ("origin", origin), how])).is_ok()
    };
    let basic = ("authorization", "Basic eDpzM2NyZXQ=");
    assert!(ask("http://box:8085", basic));
    assert!(!ask("http://evil.example", basic));
    assert!(!ask("null", basic));
    assert!(ask("http://chat.example", ("authorization", "Bearer s3cret")), "a program had to know the key");
}

#[test_case("localhost:8085", None => true; "localhost")]
#[test_case("LOCALHOST", None => true; "without a port")]
#[test_case("127.0.0.1:8085", None => true; "loopback")]
#[test_case("127.9.9.9", None => true; "any of loopback")]
#[test_case("[::1]:8085", None => true; "loopback of version 6")]
#[test_case("box:1", None => true; "what we listen on")]
#[test_case("evil.example:8085", None => false; "rebound")]
#[test_case("localhost.evil.example", None => false; "begins like ours")]
#[test_case("127.0.0.1.evil.example", None => false; "begins like an address")]
#[test_case("10.0.0.1", None => false; "another address")]
#[test_case("", None => false; "empty")]
#[test_case("user@localhost", None => true; "userinfo is no host")]
#[test_case("localhost", Some("http://localhost:3000") => true; "a page of this machine")]
#[test_case("localhost", Some("https://127.0.0.1") => true; "a page of this machine over tls")]
#[test_case("localhost", Some("http://evil.example") => false; "a page of another site")]
#[test_case("localhost", Some("null") => false; "a sandboxed page")]
#[test_case("localhost", Some("file://") => false; "a file")]
fn names(host: &str, origin: Option<&str>) -> bool {
    let mut lines = vec![("host", host)];
    lines.extend(origin.map(|origin| ("origin", origin)));
    Door::new(None, Vec::new(), "Box").admit(&mut head(&lines)).is_ok()
}

#[test]
fn one_good_name_does_not_excuse_a_bad_one() {
    let mut twice = head(&[("host", "localhost"), ("host", "evil.example")]);
    assert!(Door::new(None, Vec::new(), "127.0.0.1").admit(&mut twice).is_err());
    let mut in_uri = head(&[("host", "localhost")]);
    in_uri.uri = http::Uri::from_static("http://evil.example/v1/models");
    assert!(Door::new(None, Vec::new(), "127.0.0.1").admit(&mut in_uri).is_err());
}

#[test]
fn without_a_key_credentials_are_left_for_the_engine() {
    let mut head = head(&[("host", "localhost"), ("authorization", "Bearer engine")]);
    Door::new(None, Vec::new(), "127.0.0.1").admit(&mut head).expect("a name of ours");
    assert!(head.headers.contains_key("authorization"));
}

fn encode(bytes: &[u8]) -> String {
    const SYMBOLS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let bits = group.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - group.len()));
        for at in 0..4 {
            let symbol = SYMBOLS[(bits >> (18 - 6 * at)) as usize & 63];
            text.push(if at <= group.len() { char::from(symbol) } else { '=' });
        }
    }
    text
}

proptest! {
    #[test]
    fn base64_reads_what_was_written(bytes: Vec<u8>) {
        prop_assert_eq!(decode_base64(encode(&bytes).as_bytes()), Some(bytes));
    }

    #[test]
    fn no_bytes_are_fatal(bytes: Vec<u8>) {
        decode_base64(&bytes);
    }

    /// Whatever stands in the headers: nobody comes in without the key, and what is no key of ours is left as it was.
    #[test]
    fn no_header_is_fatal(
        scheme in prop::sample::select(vec!["", "Bearer ", "Basic ", "basic", "Bearer  ", "Digest "]),
        bytes: Vec<u8>,
        twice: bool,
        name in prop::sample::select(vec![AUTHORIZATION, X_API_KEY]),
    ) {
        let text = [scheme.as_bytes(), &bytes].concat();
        let Ok(value) = HeaderValue::from_bytes(&text) else { return Ok(()) };
        let mut head = head(&[("host", "anything.example")]);
        for _ in 0..=usize::from(twice) {
            head.headers.append(&name, value.clone());
        }
        let before = head.headers.clone();
        prop_assume!(!bytes.windows(6).any(|window| window == b"s3cret"));
        prop_assert!(matches!(keyed().admit(&mut head), Err(Fault::Unauthorized)));
        prop_assert_eq!(head.headers, before);
    }
}

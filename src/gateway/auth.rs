//! Who may use the proxy.

use std::borrow::Cow;
use std::sync::Arc;

use base64ct::{Base64Unpadded, Encoding as _};
use http::header::{AUTHORIZATION, HOST, ORIGIN};
use http::request::Parts;
use http::uri::Authority;
use http::{HeaderMap, HeaderName, HeaderValue};
use tokio::sync::watch;

use super::error::Fault;
use super::keys::{AccessKey, Entry, KeyRing};
use crate::secret::Key;

const X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// The door: a key, or, without one, only those who call us by a name of this machine.
///
/// Without a key a web page could otherwise reach us: by a name of its own that it points at 127.0.0.1 (DNS rebinding,
/// shown by a foreign `Host`), or by a plain request across sites (shown by a foreign `Origin`, or, where a browser sends
/// none, as for an image or a link, by `Sec-Fetch-Site`).
#[derive(Clone, Debug)]
pub(super) struct Door {
    // Held locked only while it is looked at whose ring it is.
    ring: watch::Sender<Arc<KeyRing>>,
    listen_host: String,
}

impl Door {
    /// `listen_host` is what the proxy listens on, without brackets.
    pub(super) fn new(key: Option<&Key>, named: Vec<AccessKey>, listen_host: &str) -> Self {
        let ring = watch::Sender::new(Arc::new(KeyRing::new(key, named, None)));
        Self { ring, listen_host: listen_host.to_ascii_lowercase() }
    }

    /// Whether everybody is asked for a key.
    pub(super) fn is_keyed(&self) -> bool {
        !self.ring.borrow().is_empty()
    }

    /// Takes other keys from now on. Who was let in goes on.
    pub(super) fn set_keys(&self, key: Option<&Key>, named: Vec<AccessKey>) {
        self.ring.send_modify(|ring| *ring = Arc::new(KeyRing::new(key, named, Some(ring))));
    }

    /// Lets a request in, and takes the access key off it: the engine must never see it. Says whose key it was, where one is
    /// asked for.
    pub(super) fn admit(&self, head: &mut Parts) -> Result<Option<Arc<Entry>>, Fault> {
        let ring = Arc::clone(&self.ring.borrow());
        if ring.is_empty() {
            return self.check_names(head).map(|()| None);
        }
        let (entry, shown) = take_key(&mut head.headers, &ring).ok_or(Fault::Unauthorized)?;
        // A browser sends a Basic password by itself, whichever site asks it to.
        match shown {
            Shown::ByBrowser => check_same_site(head)?,
            Shown::ByProgram => {}
        }
        Ok(Some(entry))
    }

    fn check_names(&self, head: &Parts) -> Result<(), Fault> {
        for name in called(head) {
            let ours = Authority::try_from(name).is_ok_and(|name| self.is_ours(name.host()));
            if !ours {
                return Err(Fault::ForeignHost(String::from_utf8_lossy(name).into_owned()));
            }
        }
        for origin in head.headers.get_all(ORIGIN) {
            if !origin_host(origin).is_some_and(|origin| self.is_ours(origin.host())) {
                return Err(Fault::ForeignOrigin(text(origin)));
            }
        }
        check_fetch_site(&head.headers)
    }

    fn is_ours(&self, host: &str) -> bool {
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let loopback = host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
        loopback || host.eq_ignore_ascii_case("localhost") || host.eq_ignore_ascii_case(&self.listen_host)
    }
}

/// Who showed the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shown {
    ByProgram,
    ByBrowser,
}

/// Removes each header that holds a key of ours, and says whose it was, if there was one.
fn take_key(headers: &mut HeaderMap, ring: &KeyRing) -> Option<(Arc<Entry>, Shown)> {
    let mut shown = None;
    for name in [AUTHORIZATION, X_API_KEY] {
        let values: Vec<HeaderValue> = headers.get_all(&name).iter().cloned().collect();
        let mut others = Vec::new();
        for value in values {
            match key_in(&name, &value).and_then(|(key, by)| Some((Arc::clone(ring.find(&key)?), by))) {
                Some(found) => shown = Some(found),
                None => others.push(value),
            }
        }
        headers.remove(&name);
        for value in others {
            headers.append(&name, value);
        }
    }
    shown
}

/// What a header shows as a key.
fn key_in<'a>(name: &HeaderName, value: &'a HeaderValue) -> Option<(Cow<'a, [u8]>, Shown)> {
    let value = value.as_bytes();
    if *name == X_API_KEY {
        return Some((Cow::Borrowed(value.trim_ascii()), Shown::ByProgram));
    }
    let at = value.iter().position(|byte| *byte == b' ')?;
    let (scheme, rest) = value.split_at_checked(at)?;
    let rest = rest.trim_ascii();
    if scheme.eq_ignore_ascii_case(b"bearer") {
        return Some((Cow::Borrowed(rest), Shown::ByProgram));
    }
    if scheme.eq_ignore_ascii_case(b"basic") {
        let mut pair = decode_base64(rest)?;
        let colon = pair.iter().position(|byte| *byte == b':')?;
        return Some((Cow::Owned(pair.split_off(colon + 1)), Shown::ByBrowser));
    }
    None
}

/// The padding may be left out.
fn decode_base64(text: &[u8]) -> Option<Vec<u8>> {
    let text = text.strip_suffix(b"==").or_else(|| text.strip_suffix(b"=")).unwrap_or(text);
    Base64Unpadded::decode_vec(str::from_utf8(text).ok()?).ok()
}

fn check_same_site(head: &Parts) -> Result<(), Fault> {
    let names: Vec<&[u8]> = called(head).collect();
    for origin in head.headers.get_all(ORIGIN) {
        let same = origin_host(origin)
            .is_some_and(|origin| names.iter().any(|name| name.eq_ignore_ascii_case(origin.as_str().as_bytes())));
        if !same {
            return Err(Fault::ForeignOrigin(text(origin)));
        }
    }
    check_fetch_site(&head.headers)
}

/// A browser that does not say which page asks says at least whether it is another site's.
fn check_fetch_site(headers: &HeaderMap) -> Result<(), Fault> {
    if headers.contains_key(ORIGIN) {
        return Ok(()); // Looked at already, and it says more.
    }
    let foreign = |value: &HeaderValue| matches!(value.as_bytes().trim_ascii(), b"cross-site" | b"same-site");
    if headers.get_all(SEC_FETCH_SITE).iter().any(foreign) { Err(Fault::CrossSite) } else { Ok(()) }
}

/// What the client calls us: HTTP/2 says it in the URI, HTTP/1.1 in a header, and some clients in both. A client of
/// HTTP/1.0 may not say it, and is no browser.
fn called(head: &Parts) -> impl Iterator<Item = &[u8]> {
    let in_uri = head.uri.authority().map(|name| name.as_str().as_bytes());
    in_uri.into_iter().chain(head.headers.get_all(HOST).iter().map(HeaderValue::as_bytes))
}

/// The authority of a web page's origin; nothing for `null` and for what is no web page.
fn origin_host(origin: &HeaderValue) -> Option<Authority> {
    let origin = origin.to_str().ok()?;
    origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"))?.parse().ok()
}

fn text(value: &HeaderValue) -> String {
    String::from_utf8_lossy(value.as_bytes()).into_owned()
}

#[cfg(test)]
#[path = "auth_tests.rs"]
mod tests;

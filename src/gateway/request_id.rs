//! Names for requests.

use std::sync::atomic::{AtomicU64, Ordering};

use http::{HeaderMap, HeaderValue};

use super::headers::X_REQUEST_ID;

/// Makes names that differ: a random part for each run of the proxy, and a number.
#[derive(Debug)]
pub(super) struct RequestIds {
    run: u32,
    next: AtomicU64,
}

impl RequestIds {
    pub(super) fn new() -> Self {
        // Without randomness the names of two runs may be alike, which a log's times tell apart.
        Self { run: getrandom::u32().unwrap_or_else(|_none| std::process::id()), next: AtomicU64::new(0) }
    }

    /// The name that a request has, or a new one that it has from now on.
    pub(super) fn name(&self, headers: &mut HeaderMap) -> HeaderValue {
        if let Some(name) = headers.get(X_REQUEST_ID).filter(|name| !name.is_empty()) {
            return name.clone();
        }
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let name = HeaderValue::try_from(format!("{:08x}-{number:x}", self.run));
        let name = name.unwrap_or_else(|_invalid| HeaderValue::from(number));
        headers.insert(X_REQUEST_ID, name.clone());
        name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_kept_or_made() {
        let ids = RequestIds::new();
        let (mut named, mut first, mut second) = (HeaderMap::new(), HeaderMap::new(), HeaderMap::new());
        named.insert(X_REQUEST_ID, HeaderValue::from_static("mine"));
        assert_eq!(ids.name(&mut named), "mine");
        let made = ids.name(&mut first);
        assert_eq!(first.get(X_REQUEST_ID), Some(&made));
        assert_ne!(ids.name(&mut second), made);
    }
}

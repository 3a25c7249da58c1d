//! The query string of a request.

/// The value of `name` in `query`, undecoded.
pub(crate) fn value<'a>(query: Option<&'a str>, name: &str) -> Option<&'a str> {
    query?.split('&').find_map(|pair| pair.split_once('=').filter(|(key, _)| *key == name).map(|(_, value)| value))
}

/// The number that `name` has in `query`.
pub(crate) fn number(query: Option<&str>, name: &str) -> Option<u64> {
    value(query, name)?.parse().ok()
}

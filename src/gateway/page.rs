//! A page for people: one text, which may load nothing from anywhere, and may run no script but its own.

use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use http::{HeaderValue, Response};

use super::body::{ResponseBody, full};

/// A page for people.
pub(super) struct Page<'a> {
    pub(super) title: &'static str,
    /// HTML.
    pub(super) body: &'a str,
    pub(super) style: &'static str,
    pub(super) script: &'static str,
}

const STYLE: &str = ":root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif } \
    body { margin: 1.5rem auto; max-width: 72rem; padding: 0 1rem } code { font-size: .95em }";

impl Page<'_> {
    /// The page, and what a browser may do with it.
    pub(super) fn answer(&self) -> Response<ResponseBody> {
        let Self { title, body, style, script } = self;
        // Nobody can guess it, so no other script runs. Without randomness none does.
        let nonce = getrandom::u64().map(|number| format!("{number:016x}")).ok();
        let of_nonce = nonce.as_ref().map_or_else(|| "'none'".to_owned(), |nonce| format!("'nonce-{nonce}'"));
        let nonce = nonce.unwrap_or_default();
        let text = format!(
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{title}</title>\n\
             <style nonce=\"{nonce}\">{STYLE} {style}</style>\n</head>\n<body>\n{body}\
             <script nonce=\"{nonce}\">\n{script}</script>\n</body>\n</html>\n"
        );
        let policy = format!(
            "default-src 'none'; connect-src 'self'; style-src {of_nonce}; script-src {of_nonce}; base-uri 'none'; \
             form-action 'none'; frame-ancestors 'none'"
        );
        let mut response = Response::new(full(text));
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        headers.insert(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
        headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
        if let Ok(policy) = HeaderValue::from_str(&policy) {
            headers.insert(CONTENT_SECURITY_POLICY, policy);
        }
        response
    }
}

/// A text as HTML shows it.
pub(super) fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            c => safe.push(c),
        }
    }
    safe
}

//! `GET /dashboard`: where all instances stand, on one page.

use http::Response;

use super::body::ResponseBody;
use super::page::Page;

/// The page.
pub(super) fn answer() -> Response<ResponseBody> {
    let (body, script) = (include_str!("dashboard.html"), include_str!("dashboard.js"));
    Page { title: "llm-proxy", body, style: STYLE, script }.answer()
}

const STYLE: &str = "table { border-collapse: collapse; width: 100% } th, td { text-align: left; padding: .4rem .6rem; \
    border-bottom: 1px solid #8886; vertical-align: top } .number { text-align: right } .ready { color: #080 } \
    .failed { color: #c00 } .bootstrapping, .stopping { color: #a60 } \
    @media (prefers-color-scheme: dark) { .ready { color: #6d6 } .failed { color: #f88 } .bootstrapping, .stopping { color: #fb5 } } \
    button { font: inherit } :focus-visible { outline: 3px solid #48f }";

//! Our own metrics, in Prometheus' words.

use http::header::CONTENT_TYPE;
use http::{HeaderValue, Response};

use super::body::{ResponseBody, full};

/// Each metric, and what it tells.
const GAUGES: [(&str, &str); 3] = [
    ("llm_proxy_engine_ready", "Whether the engine answers."),
    ("llm_proxy_requests_in_flight", "Requests that hold the engine."),
    ("llm_proxy_requests_waiting", "Requests that wait for the engine."),
];

/// The metrics of some instances: each with its labels, and with a value for each gauge.
pub(super) fn exposition(rows: &[(String, [usize; GAUGES.len()])]) -> Response<ResponseBody> {
    let mut text = String::new();
    for (at, (name, help)) in GAUGES.into_iter().enumerate() {
        text.extend([format!("# HELP {name} {help}\n# TYPE {name} gauge\n")]);
        let values = rows.iter().filter_map(|(labels, values)| Some((labels, values.get(at)?)));
        text.extend(values.map(|(labels, value)| format!("{name}{labels} {value}\n")));
    }
    let mut response = Response::new(full(text));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; version=0.0.4"));
    response
}

//! The description of the API as a page, without a script and without anything from elsewhere.

use std::fmt::Write as _;

use http::Response;
use serde_json::Value;

use super::body::ResponseBody;
use super::description::description;
use super::page::{Page, escaped};

const STYLE: &str = "h3 { margin: 1.5em 0 0 } p, ul { margin: .3em 0 }";

/// The page.
pub(super) fn answer() -> Response<ResponseBody> {
    let whole = description();
    let mut body = format!("<h1>llm-proxy {}</h1>\n", text(whole, "/info/version"));
    // Writing to a text does not fail, here and below.
    let _ = writeln!(body, "<p>{}</p>\n<h2>Routes</h2>", text(whole, "/info/description"));
    for (path, methods) in entries(whole, "/paths") {
        for (method, operation) in entries(methods, "") {
            let (method, path) = (escaped(&method.to_ascii_uppercase()), escaped(path));
            let _ = writeln!(body, "<h3><code>{method} {path}</code></h3>\n<p>{}</p>", text(operation, "/summary"));
            put_operation(&mut body, operation);
        }
    }
    body.push_str("<h2>What is sent</h2>\n");
    for (name, schema) in entries(whole, "/components/schemas") {
        let name = escaped(name);
        let about = text(schema, "/description");
        let _ = writeln!(body, "<h3 id=\"{name}\"><code>{name}</code></h3>\n<p>{about}</p>\n<ul>");
        for (field, of) in entries(schema, "/properties") {
            let _ = writeln!(body, "<li><code>{}</code>: {}</li>", escaped(field), text(of, "/description"));
        }
        body.push_str("</ul>\n");
    }
    Page { title: "llm-proxy: the API", body: &body, style: STYLE, script: "" }.answer()
}

fn put_operation(body: &mut String, operation: &Value) {
    body.push_str("<ul>\n");
    for parameter in operation.pointer("/parameters").and_then(Value::as_array).into_iter().flatten() {
        let (name, place, about) = (text(parameter, "/name"), text(parameter, "/in"), text(parameter, "/description"));
        let _ = writeln!(body, "<li><code>{name}</code> ({place}): {about}</li>");
    }
    if let Some(taken) = operation.pointer("/requestBody") {
        let _ = writeln!(body, "<li>takes {}</li>", contents(taken));
    }
    for (status, answer) in entries(operation, "/responses") {
        let about = text(answer, "/description");
        let _ = writeln!(body, "<li>{} {about} {}</li>", escaped(status), contents(answer));
    }
    body.push_str("</ul>\n");
}

/// What a body may be, with a way to its fields.
fn contents(of: &Value) -> String {
    let all = entries(of, "/content").map(|(kind, content)| {
        let name = text(content, "/schema/$ref");
        let link =
            name.rsplit_once('/').map(|(_, name)| format!(" <a href=\"#{name}\">{name}</a>")).unwrap_or_default();
        format!("<code>{}</code>{link}", escaped(kind))
    });
    all.collect::<Vec<_>>().join(", ")
}

fn text(value: &Value, at: &str) -> String {
    escaped(value.pointer(at).and_then(Value::as_str).unwrap_or_default())
}

fn entries<'a>(value: &'a Value, at: &str) -> impl Iterator<Item = (&'a String, &'a Value)> {
    value.pointer(at).and_then(Value::as_object).into_iter().flatten()
}

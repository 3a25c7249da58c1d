//! The description of our API (`OpenAPI` 3.1), made of the table of our routes and of the types that pass over them.

use std::sync::OnceLock;

use http::StatusCode;
use schemars::generate::{SchemaGenerator, SchemaSettings};
use schemars::{JsonSchema, Schema};
use serde_json::{Map, Value, json};

use super::own_routes::{OwnRoute, ROUTES, Says};
use crate::api::{
    AllNow, ErrorAnswer, EventGap, Health, Instance, InstanceGone, InstanceList, InstanceState, LogPage, Wanted,
};

const ABOUT: &str = "Every path that is not here goes to an engine, with any method, body, header, stream or WebSocket: \
    in a fleet to the one that serves the request's `model`, with one command to its own. Those are described by the engines \
    themselves: `/proxy/{id}/openapi.json` where an engine has it. With one command, `/docs` and `/openapi.json` are its \
    engine's too, and this is at `/dashboard/docs` and `/dashboard/openapi.json`; of the other paths, those of another \
    instance's name are its engine's.";
const PROXY: &str = "Any request to one instance's engine, which answers it: 409 unless it is ready, or with `?wake=true` once \
    it is. Nothing of the request is looked at";
const MODELS_ROUTE: &str = "An engine's route, such as `chat/completions`: wakes the engine, waits for it, and streams its answer. The \
    body, a form's field or the query says the `model`, and so the instance";
const EVENTS: &str = "Server-sent events, each with an `id`. First `now` (AllNow); then `state` (InstanceState) and `gone` \
    (InstanceGone). After `Last-Event-ID` what came since; where that is not kept any more, first `gap` (EventGap)";

/// The description, made once.
pub(super) fn description() -> &'static Value {
    static MADE: OnceLock<Value> = OnceLock::new();
    MADE.get_or_init(make)
}

fn make() -> Value {
    let mut schemas = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    });
    schemas.inline_subschemas = false;
    let mut given = schemas.clone().for_serialize().into_generator();
    let mut taken = schemas.for_deserialize().into_generator();
    let mut paths = Map::new();
    for route in ROUTES {
        let operation = operation(route, &mut given, &mut taken);
        let path = paths.entry(route.path).or_insert_with(|| json!({}));
        if let Value::Object(path) = path {
            path.insert(route.method.as_str().to_ascii_lowercase(), operation);
        }
    }
    paths.extend(passed_on());
    // What events carry.
    for add in [of::<AllNow>, of::<EventGap>, of::<InstanceState>, of::<InstanceGone>] {
        add(&mut given);
    }
    let mut all = given.take_definitions(true);
    all.extend(taken.take_definitions(true));
    json!({
        "openapi": "3.1.0",
        "info": { "title": "llm-proxy", "version": env!("CARGO_PKG_VERSION"), "description": ABOUT },
        "paths": paths,
        "components": { "schemas": all, "securitySchemes": {
            "bearer": { "type": "http", "scheme": "bearer" },
            "basic": { "type": "http", "scheme": "basic", "description": "The access key as the password, with any user" },
            "x-api-key": { "type": "apiKey", "in": "header", "name": "x-api-key" },
        } },
        // Where the proxy has no access key, none is asked for.
        "security": [{}, { "bearer": [] }, { "basic": [] }, { "x-api-key": [] }],
    })
}

fn of<T: JsonSchema>(schemas: &mut SchemaGenerator) -> Schema {
    schemas.subschema_for::<T>()
}

fn operation(route: &OwnRoute, given: &mut SchemaGenerator, taken: &mut SchemaGenerator) -> Value {
    let mut responses = Map::new();
    for (status, says) in route.answers {
        responses.insert(status.to_string(), answer(*status, *says, given));
    }
    // Whoever is not let in hears of it, wherever he knocks; `/health` alone asks for no key.
    let at_the_door: &[u16] = if route.path == "/health" { &[] } else { &[401, 403, 429] };
    for status in at_the_door.iter().chain(route.faults) {
        let content = json!({ "application/json": { "schema": of::<ErrorAnswer>(given) } });
        responses.insert(status.to_string(), json!({ "description": words(*status), "content": content }));
    }
    let mut operation = json!({
        "operationId": id(route),
        "tags": ["proxy"],
        "summary": route.summary,
        "parameters": parameters(route),
        "responses": responses,
    });
    if let Value::Object(operation) = &mut operation
        && route.takes_wanted()
    {
        let content = json!({ "application/json": { "schema": of::<Wanted>(taken) } });
        operation.insert("requestBody".to_owned(), json!({ "required": true, "content": content }));
    }
    operation
}

/// Such as `get-logs-id`.
fn id(route: &OwnRoute) -> String {
    let words = route.path.split(['/', '.']).map(|word| word.trim_matches(['{', '}'])).filter(|word| !word.is_empty());
    let method = route.method.as_str().to_ascii_lowercase();
    [method.as_str()].into_iter().chain(words).collect::<Vec<_>>().join("-")
}

fn answer(status: u16, says: Says, given: &mut SchemaGenerator) -> Value {
    let text = || json!({ "type": "string" }).try_into().unwrap_or_default();
    let (content, schema): (_, Schema) = match says {
        Says::Instances => ("application/json", of::<InstanceList>(given)),
        Says::Instance => ("application/json", of::<Instance>(given)),
        Says::LogPage => ("application/json", of::<LogPage>(given)),
        Says::Health => ("application/json", of::<Health>(given)),
        Says::Models | Says::Description => {
            ("application/json", json!({ "type": "object" }).try_into().unwrap_or_default())
        }
        Says::Log | Says::Metrics => ("text/plain", text()),
        Says::Events => ("text/event-stream", text()),
        Says::Page => ("text/html", text()),
    };
    let mut content = json!({ content: { "schema": schema } });
    // The other form of a log, with `follow=true`.
    if let (Says::LogPage, Value::Object(content)) = (says, &mut content) {
        content.insert("text/plain".to_owned(), json!({ "schema": text() }));
    }
    let description = if says == Says::Events { EVENTS.to_owned() } else { words(status) };
    json!({ "description": description, "content": content })
}

fn parameters(route: &OwnRoute) -> Vec<Value> {
    let mut all = Vec::new();
    if route.is_of_one() {
        all.push(named("An instance's name"));
    }
    if route.path == "/logs/{id}" {
        let number = json!({ "type": "integer", "format": "int64", "minimum": 0 });
        all.push(json!({ "name": "offset", "in": "query", "schema": number, "description": "The byte to begin at" }));
        let flag = json!({ "type": "boolean" });
        all.push(json!({ "name": "follow", "in": "query", "schema": flag, "description": "As text, for as long as it grows" }));
        let range = json!({ "type": "string", "pattern": "^bytes=[0-9]+-$" });
        all.push(json!({ "name": "Range", "in": "header", "schema": range, "description": "bytes=N-, as text" }));
    }
    if route.path == "/events" {
        let id = json!({ "type": "string" });
        all.push(json!({ "name": "Last-Event-ID", "in": "header", "schema": id, "description": "What was seen last" }));
    }
    all
}

fn named(what: &str) -> Value {
    json!({ "name": "id", "in": "path", "required": true, "schema": { "type": "string", "minLength": 1 }, "description": what })
}

/// What is passed on to engines: they answer it.
fn passed_on() -> Map<String, Value> {
    let answer =
        json!({ "default": { "description": "The engine's own answer, or an error of ours in its API's form" } });
    let path = json!({ "name": "path", "in": "path", "required": true, "schema": { "type": "string" }, "description": "May have slashes" });
    let of_engine = |id: &str, summary: &str, parameters: Vec<Value>| json!({ "operationId": id, "tags": ["engine"], "summary": summary, "parameters": parameters, "responses": answer });
    let wake = json!({ "name": "wake", "in": "query", "schema": { "type": "boolean" }, "description": "Start the engine if need be" });
    let mut to_one = Map::new();
    for method in ["get", "post", "put", "patch", "delete"] {
        let parameters = vec![named("An instance's name"), path.clone(), wake.clone()];
        to_one.insert(method.to_owned(), of_engine(&format!("{method}-proxy"), PROXY, parameters));
    }
    let by_model = json!({ "post": of_engine("post-engine", MODELS_ROUTE, vec![path]) });
    Map::from_iter([("/proxy/{id}/{path}".to_owned(), Value::Object(to_one)), ("/v1/{path}".to_owned(), by_model)])
}

fn words(status: u16) -> String {
    let status = StatusCode::from_u16(status).ok();
    status.and_then(|status| status.canonical_reason()).unwrap_or("An answer").to_owned()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test")]

    use std::collections::BTreeSet;

    use super::*;

    /// Each `$ref` in it.
    fn references(value: &Value, all: &mut BTreeSet<String>) {
        match value {
            Value::Object(object) => {
                all.extend(object.get("$ref").and_then(Value::as_str).map(str::to_owned));
                object.values().for_each(|value| references(value, all));
            }
            Value::Array(array) => array.iter().for_each(|value| references(value, all)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    #[test]
    fn all_that_it_refers_to_is_in_it_and_each_operation_has_a_name_of_its_own() {
        let whole = description();
        let mut all = BTreeSet::new();
        references(whole, &mut all);
        assert!(all.contains("#/components/schemas/Instance"), "{all:?}");
        for reference in &all {
            let at = reference.strip_prefix('#').unwrap();
            assert!(whole.pointer(at).is_some(), "{reference}");
        }
        let operations =
            whole["paths"].as_object().unwrap().values().flat_map(|path| path.as_object().unwrap().values());
        let ids: Vec<_> = operations.map(|operation| operation["operationId"].as_str().unwrap()).collect();
        assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len(), "{ids:?}");
    }
}

#![expect(clippy::expect_used, clippy::indexing_slicing, reason = "a test may fail loudly")]

use http_body_util::BodyExt;
use serde_json::{Value, json};

use super::*;
use crate::backend::Diagnosis;
use crate::route::HungUp;

async fn told(fault: Fault, dialect: Dialect) -> (http::response::Parts, Value) {
    let (head, body) = fault.into_response(dialect).into_parts();
    let body = body.collect().await.expect("a whole body").to_bytes();
    (head, serde_json::from_slice(&body).expect("json"))
}

fn failed(retry_after: Duration) -> Fault {
    let diagnosis = Diagnosis {
        code: "invalid_account",
        summary: "Invalid account or account/partition combination".into(),
        remedy: "name yours with --srun-args '--account=NAME'".into(),
    };
    Fault::Refused(Refusal::Failed { diagnosis, retry_after })
}

#[tokio::test]
async fn a_failed_start_names_cause_and_remedy_and_a_time_that_sdks_accept() {
    for (given, expected) in [(0, "1"), (45_100, "46"), (3_600_000, "120")] {
        let (head, body) = told(failed(Duration::from_millis(given)), Dialect::OpenAi).await;
        assert_eq!(head.status, 503);
        assert_eq!(head.headers["retry-after"], expected);
        assert_eq!(head.headers["x-should-retry"], "false", "the account will not become valid by itself");
        assert_eq!(head.headers["content-type"], "application/json");
        assert_eq!(
            body,
            json!({ "error": {
                "message": "Invalid account or account/partition combination; name yours with --srun-args '--account=NAME'",
                "type": "server_error", "param": null, "code": "invalid_account",
            } })
        );
    }
}

#[tokio::test]
async fn where_a_person_is_needed_the_command_is_named_and_no_retry_is_asked_for() {
    let name = crate::id::InstanceName::from_text("m").expect("a name");
    let diagnosis = crate::launch::login_required(&name, &"login.example asks for a code", None);
    let fault = Fault::Refused(Refusal::Failed { diagnosis, retry_after: Duration::from_secs(30) });
    let (head, body) = told(fault, Dialect::OpenAi).await;
    assert_eq!(head.status, 503);
    assert_eq!(head.headers["x-should-retry"], "false");
    assert!(head.headers.get("retry-after").is_none());
    assert_eq!(
        body,
        json!({ "error": {
            "message": "login.example asks for a code; run `llm-proxy login m` at a terminal, and answer there",
            "type": "server_error", "param": null, "code": "login_required",
        } })
    );
}

#[tokio::test]
async fn anthropics_clients_get_anthropics_shape() {
    let (head, body) = told(Fault::Refused(Refusal::TooManyWaiting { limit: 7 }), Dialect::Anthropic).await;
    assert_eq!(head.status, 429);
    assert_eq!(head.headers["retry-after"], "5");
    let message = "7 requests wait for the engine already, as many as may; try again soon";
    assert_eq!(body, json!({ "type": "error", "error": { "type": "rate_limit_error", "message": message } }));
}

#[tokio::test]
async fn every_fault_has_its_status() {
    let io = |kind| Box::new(std::io::Error::from(kind)) as Box<dyn std::error::Error + Send + Sync>;
    let address = crate::host::Address { host: "node1".into(), port: 8000 };
    let dial = |kind| Fault::Engine(SendError::Dial { endpoint: address.clone().into(), source: io(kind) });
    let table = [
        (Fault::Unauthorized, 401, "invalid_api_key"),
        (Fault::ForeignHost("evil".into()), 403, "foreign_host"),
        (Fault::Refused(Refusal::ShuttingDown), 503, "shutting_down"),
        (Fault::Refused(Refusal::Stopped), 503, "engine_stopped"),
        (Fault::HungUp(HungUp::Ended), 503, "engine_stopped"),
        (Fault::HungUp(HungUp::Hangs), 503, "engine_hung"),
        (Fault::Asleep { phase: "stopped", remedy: "r", conflict: true }, 409, "engine_asleep"),
        (Fault::Asleep { phase: "stopped", remedy: "r", conflict: false }, 503, "engine_asleep"),
        (Fault::BodyTooLong { limit: 1 }, 413, "request_too_large"),
        (Fault::NoRoom { limit: 1 }, 429, "too_much_held"),
        (Fault::UploadStalled { limit: RETRY_SOON }, 408, "body_stalled"),
        (dial(std::io::ErrorKind::ConnectionRefused), 502, "engine_unreachable"),
        (dial(std::io::ErrorKind::TimedOut), 504, "engine_timeout"),
        (
            Fault::Engine(SendError::Broke { reused: true, source: io(std::io::ErrorKind::BrokenPipe) }),
            502,
            "engine_broke_off",
        ),
        (Fault::NoAnswer { limit: RETRY_SOON }, 504, "engine_timeout"),
    ];
    for (fault, status, code) in table {
        let shown = format!("{fault:?}");
        let (head, body) = told(fault, Dialect::OpenAi).await;
        assert_eq!(head.status, status, "{shown}");
        assert_eq!(body.pointer("/error/code").and_then(Value::as_str), Some(code), "{shown}");
        assert_eq!(body["error"].as_object().map(serde_json::Map::len), Some(4), "{shown}");
    }
}

#[tokio::test]
async fn a_link_that_is_down_is_told_with_since_when() {
    let since =
        tokio::time::Instant::now().checked_sub(Duration::from_secs(130)).expect("the machine is up for longer");
    let away = LinkDown::Away { since, cause: "login port 22 refused the connection".into() };
    let (head, body) = told(Fault::Engine(SendError::Link(away)), Dialect::OpenAi).await;
    assert_eq!((head.status.as_u16(), &body["error"]["code"]), (503, &json!("link_down")));
    assert_eq!(head.headers["retry-after"], "15");
    let message = body["error"]["message"].as_str().unwrap_or_default();
    assert!(message.contains("lost 130 s ago") && message.contains("refused the connection"), "{message}");
    let person =
        LinkDown::NeedsLogin { what: "alice@login asks for a password, and nobody is there".into(), remedy: None };
    let (head, body) = told(Fault::Engine(SendError::Link(person)), Dialect::OpenAi).await;
    assert_eq!((head.status.as_u16(), &body["error"]["code"]), (503, &json!(LOGIN_REQUIRED)));
    assert_eq!(head.headers["x-should-retry"], "false", "until a person comes");
}

#[tokio::test]
async fn an_unauthorized_client_is_challenged() {
    let (head, _) = told(Fault::Unauthorized, Dialect::OpenAi).await;
    let challenges: Vec<_> = head.headers.get_all("www-authenticate").iter().collect();
    assert_eq!(challenges, ["Basic realm=\"llm-proxy\", charset=\"UTF-8\"", "Bearer realm=\"llm-proxy\""]);
}

//! What the keeper tells of a model that its engine downloads.

use llm_proxy::keeper::Report;
use secrecy::SecretString;

use super::hub::{Hub, TOKEN};
use super::support::{Running, each_shell, plan, shell_command};

/// Writes 4 MB as an engine's library does, once it is let.
const DOWNLOADS: &str = "blobs=$HF_HOME/hub/models--org--M/blobs; mkdir -p \"$blobs\"
until [ -e \"$HF_HOME/go\" ]; do sleep 0.1; done
head -c 4000000 /dev/zero >\"$blobs/abc.incomplete\"; exec sleep 600";

fn arrived(report: &Report) -> Option<u64> {
    if let Report::Arrived { bytes, .. } = report { Some(*bytes) } else { None }
}

#[test]
fn what_arrives_is_told_and_the_hub_is_asked_once_as_the_engine_would() {
    each_shell(|shell| {
        let (hub, home) = (Hub::start(9_000_000), tempfile::tempdir().unwrap());
        let mut plan = plan(&["/bin/sh", "-c", DOWNLOADS]);
        (plan.model, plan.asks_hub) = (Some("org/M".to_owned()), true);
        plan.env.push(("HF_TOKEN".to_owned(), SecretString::from(TOKEN.to_owned())));
        // What a prelude sets counts as well.
        let home_is = home.path().display();
        plan.prelude = Some(format!("export HF_HOME='{home_is}' HF_ENDPOINT={}/", hub.endpoint()));
        let text = plan.script().unwrap().expose().to_owned();
        assert!(text.contains("LOOK_EVERY=50"));
        let keeper = Running::text(&mut shell_command(shell), &plan, &text.replace("LOOK_EVERY=50", "LOOK_EVERY=10"));
        let first = keeper.until(|report| arrived(report).is_some());
        assert!(first.last().and_then(arrived).unwrap() < 100_000, "{first:?}");
        assert_eq!(hub.asked(), Vec::<String>::new(), "nothing is downloaded yet");
        std::fs::write(home.path().join("go"), "").unwrap();
        let told = keeper.until(|report| arrived(report).is_some_and(|bytes| bytes >= 4_000_000));
        let index = told.iter().find_map(|report| if let Report::Files(index) = report { Some(index) } else { None });
        let size = llm_proxy::backend::ModelSize::from_hub_index(index.unwrap()).unwrap();
        assert_eq!(size.bytes(), 9_000_000);
        assert_eq!(hub.asked(), ["GET /api/models/org/M?blobs=true HTTP/1.1 "], "once, and with no token in an argv");
        assert!(matches!(told.last(), Some(Report::Arrived { free: Some(1..), .. })), "{told:?}");
    });
}

//! What the keeper tells of a model that its engine downloads.

use llm_proxy::keeper::{Chdir, ControlWord, KeeperPlan, Report};
use secrecy::SecretString;

use super::hub::{Hub, TOKEN};
use super::support::{Running, Shell, each_shell, eventually, plan, shell_command};

/// Writes 4 MB as an engine's library does, once it is let: of what no file system makes less.
const DOWNLOADS: &str = "blobs=$HF_HOME/hub/models--org--M/blobs
until [ -e \"$HF_HOME/go\" ]; do sleep 0.1; done
head -c 4000000 /dev/urandom >\"$blobs/abc.incomplete\"; exec sleep 600";

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
        plan.env.push(("ODD".to_owned(), SecretString::from("a\nHF_HOME=/nowhere\nHF_ENDPOINT x_PROXY=no".to_owned())));
        // A folder alone has a size in some file systems, and none in others.
        let blobs = home.path().join("hub/models--org--M/blobs");
        std::fs::create_dir_all(&blobs).unwrap();
        std::fs::write(blobs.join("config"), "{}").unwrap();
        // What a prelude sets counts as well, and neither what only looks like a variable nor what none can be.
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
        let more = keeper.until(|report| matches!(report, Report::Files(_)));
        let index = more.iter().find_map(|report| if let Report::Files(index) = report { Some(index) } else { None });
        let size = llm_proxy::backend::ModelSize::from_hub_index(index.unwrap()).unwrap();
        assert_eq!(size.bytes(), 9_000_000);
        assert_eq!(hub.asked(), ["GET /api/models/org/M?blobs=true HTTP/1.1 "], "once, and with no token in an argv");
        assert!(matches!(told.last(), Some(Report::Arrived { free: Some(1..), .. })), "{told:?}");
    });
}

fn looks_often(shell: Shell, plan: &KeeperPlan) -> Running {
    let text = plan.script().unwrap().expose().replace("LOOK_EVERY=50", "LOOK_EVERY=5");
    Running::text(&mut shell_command(shell), plan, &text)
}

/// What no file system makes less of.
fn noise() -> Vec<u8> {
    let mut bytes = vec![0; 100_000];
    getrandom::fill(&mut bytes).unwrap();
    bytes
}

/// A hub that takes a connection and says nothing.
fn silent_hub() -> (std::net::TcpListener, String) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    (listener, endpoint)
}

#[test]
fn a_hub_that_does_not_tell_is_asked_twice_and_what_arrives_is_told_all_the_same() {
    each_shell(|shell| {
        let (hub, home) = (Hub::start(9_000_000), tempfile::tempdir().unwrap());
        let mut plan = plan(&["/bin/sh", "-c", "exec sleep 600"]);
        (plan.model, plan.asks_hub) = (Some("org/M".to_owned()), true);
        let home_is = home.path().display();
        plan.prelude = Some(format!("export HF_HOME='{home_is}' HF_ENDPOINT={}/", hub.endpoint()));
        let keeper = looks_often(shell, &plan);
        keeper.until(|report| arrived(report) == Some(0));
        eventually("the hub is asked again", || hub.asked().len() == 2);
        // It goes on looking, and each of these would be a reason to ask.
        let blobs = home.path().join("hub/models--org--M/blobs");
        std::fs::create_dir_all(&blobs).unwrap();
        for count in 1_u8..=4 {
            std::fs::write(blobs.join(count.to_string()), noise()).unwrap();
            while arrived(&keeper.next()).is_none_or(|bytes| bytes < u64::from(count) * 100_000) {}
        }
        assert_eq!(hub.asked().len(), 2);
    });
}

#[test]
fn a_folder_of_that_name_is_no_download() {
    each_shell(|shell| {
        let (hub, home) = (Hub::start(9_000_000), tempfile::tempdir().unwrap());
        std::fs::create_dir_all(home.path().join("org/M")).unwrap();
        let said = "sleep 3; rmdir org/M; exec sleep 600";
        let mut plan = plan(&["/bin/sh", "-c", said]);
        plan.chdir = Chdir::Folder(home.path().display().to_string());
        (plan.model, plan.asks_hub) = (Some("org/M".to_owned()), true);
        let home_is = home.path().display();
        plan.prelude = Some(format!("export HF_HOME='{home_is}' HF_ENDPOINT={}/", hub.endpoint()));
        let keeper = looks_often(shell, &plan);
        // It is looked for all the time, and told once the folder is gone.
        keeper.until(|report| arrived(report).is_some());
        assert!(!home.path().join("org/M").exists());
    });
}

#[test]
fn whoever_asks_a_silent_hub_goes_with_the_keeper() {
    each_shell(|shell| {
        let ((listener, endpoint), home) = (silent_hub(), tempfile::tempdir().unwrap());
        let mut plan = plan(&["/bin/sh", "-c", "exec sleep 600"]);
        (plan.model, plan.asks_hub) = (Some("org/M".to_owned()), true);
        plan.prelude = Some(format!("export HF_HOME='{}' HF_ENDPOINT={endpoint}/", home.path().display()));
        let mut keeper = looks_often(shell, &plan);
        let (mut asks, _) = listener.accept().unwrap();
        keeper.say(ControlWord::Stop);
        keeper.until_gone();
        // Its end closes the connection, long before it would have given up.
        let begun = std::time::Instant::now();
        asks.set_read_timeout(Some(std::time::Duration::from_secs(15))).unwrap();
        std::io::Read::read_to_end(&mut asks, &mut Vec::new()).unwrap();
        assert!(begun.elapsed() < std::time::Duration::from_secs(5), "{:?}", begun.elapsed());
    });
}

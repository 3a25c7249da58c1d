//! A far end that hangs, and one that has nothing to say.

use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use llm_proxy::host::Relay;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::{Instant, timeout};

use super::{LONG, echo, open, plan, server, start};

/// One that notes its number, and is then the far end.
fn noted(file: &Path, port: u16) -> Arc<Relay> {
    let note = format!("echo $$ >'{}'; exec \"$@\"", file.display());
    start(plan(&["/bin/sh", "-c", &note, "noted"], port))
}

fn signal(file: &Path, name: &str) {
    let pid = std::fs::read_to_string(file).unwrap();
    let done = std::process::Command::new("/bin/kill").args([name, pid.trim()]).status().unwrap();
    assert!(done.success(), "kill {name} {pid}");
}

/// It hangs, as a node does that is out of memory: streams break off within a minute, and the next dial starts another.
#[tokio::test]
async fn one_that_says_nothing_any_more_is_given_up_for_another() {
    let port = server(echo).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pid");
    let relay = noted(&file, port);
    let mut stream = open(&relay).await;
    stream.write_all(b"well").await.unwrap();
    let mut heard = [0; 4];
    stream.read_exact(&mut heard).await.unwrap();
    signal(&file, "-STOP");
    let first = std::fs::read_to_string(&file).unwrap();
    assert!(timeout(Duration::from_secs(5), relay.ping()).await.is_err(), "it says nothing");

    stream.write_all(b"hung").await.unwrap();
    let error = timeout(LONG, stream.read_exact(&mut heard)).await.expect("it is given up").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    signal(&file, "-KILL");
    let mut stream = open(&relay).await;
    stream.write_all(b"well").await.unwrap();
    timeout(LONG, stream.read_exact(&mut heard)).await.expect("an answer").unwrap();
    assert_ne!(std::fs::read_to_string(&file).unwrap(), first);
}

/// An engine that thinks for long says nothing either, and neither does one that nobody asks.
#[tokio::test]
async fn one_that_has_nothing_to_say_is_kept() {
    let port = server(echo).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pid");
    let relay = noted(&file, port);
    let mut stream = open(&relay).await;
    let first = std::fs::read_to_string(&file).unwrap();
    // Longer than one that hangs is borne with. It is asked for a sign of life all the time.
    let until = Instant::now() + Duration::from_secs(45);
    while Instant::now() < until {
        assert!(timeout(Duration::from_secs(15), relay.ping()).await.expect("a sign of life"));
    }
    stream.write_all(b"well").await.unwrap();
    let mut heard = [0; 4];
    timeout(LONG, stream.read_exact(&mut heard)).await.expect("an answer").unwrap();
    drop(open(&relay).await);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), first, "the same far end");
}

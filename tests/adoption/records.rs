//! The record of a life is the only trace of a job, so nobody writes over one that he cannot read.

use std::path::PathBuf;

use crate::support::Proxy;
use crate::support::scene::soon;

fn record(home: &crate::support::Home) -> PathBuf {
    let folder = home.path().join("state/llm-proxy/m");
    std::fs::create_dir_all(&folder).expect("a folder");
    folder.join("life.json")
}

async fn refused(text: &str, why: &[&str]) {
    let home = Proxy::builder().its_home();
    let record = record(&home);
    std::fs::write(&record, text).expect("a file");
    let mut refused = Proxy::builder().home(&home).options(["--name", "m"]).command(["sleep", "9"]).spawn();
    for word in why {
        refused.stderr().wait_for(word, soon()).await;
    }
    assert_eq!(refused.wait(soon()).await.code(), Some(1));
    assert_eq!(std::fs::read_to_string(&record).expect("still there"), text);
}

#[tokio::test]
async fn one_of_a_newer_version_is_left_as_it_is() {
    refused(r#"{"version": 99, "lives": []}"#, &["another version of llm-proxy (form 99", "squeue --me"]).await;
}

#[tokio::test]
async fn one_that_is_broken_is_left_as_it_is() {
    refused("{ half a rec", &["is no record of a life", "squeue --me"]).await;
}

//! What worked on a host is tried first there the next time.

use std::os::unix::fs::PermissionsExt as _;

use crate::scene::{Route, first_answer, proxy};
use crate::support::scene::ends_well;
use crate::support::{Cluster, Home};

async fn taken(cluster: &Cluster, home: Option<&Home>, route: &str) -> (Route, Home) {
    let proxy = match home {
        Some(home) => proxy(cluster, route).home(home),
        None => proxy(cluster, route),
    };
    let proxy = proxy.start().await;
    let (route, home) = (first_answer(&proxy).await, proxy.home());
    ends_well(proxy).await;
    (route, home)
}

#[tokio::test]
async fn what_worked_is_tried_first() {
    let cluster = Cluster::builder().sshd_option("AllowTcpForwarding no").up();
    let (first, home) = taken(&cluster, None, "auto").await;
    assert_eq!((first.taken.as_str(), first.passed_over.len()), ("nested", 1), "{first:?}");
    let file = home.path().join("state/llm-proxy/routes.json");
    assert_eq!(std::fs::metadata(&file).expect("a file").permissions().mode() & 0o777, 0o600);

    let (again, _) = taken(&cluster, Some(&home), "auto").await;
    assert_eq!((again.taken.as_str(), again.passed_over.len()), ("nested", 0), "{again:?}");
    // One that was asked for by name says nothing of what the others would have done.
    let (asked_for, _) = taken(&cluster, Some(&home), "relay").await;
    assert_eq!(asked_for.taken, "relay");
    let (after, _) = taken(&cluster, Some(&home), "auto").await;
    assert_eq!((after.taken.as_str(), after.passed_over.len()), ("nested", 0), "{after:?}");

    std::fs::write(&file, "{ torn").expect("our file");
    let (anew, _) = taken(&cluster, Some(&home), "auto").await;
    assert_eq!((anew.taken.as_str(), anew.passed_over.len()), ("nested", 1), "{anew:?}");
}

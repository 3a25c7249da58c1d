//! A proxy on the laptop, and the route that it says it took.

use std::os::unix::fs::symlink;

use serde_json::Value;
use tokio::time::timeout;

use crate::support::scene::{chat, slurm_proxy};
use crate::support::{Cluster, Home, HostName, Proxy, ProxyBuilder};

/// How long a first request may take where routes are tried in vain before it: a relay alone may take seconds.
const FIRST: std::time::Duration = std::time::Duration::from_mins(1);

/// A proxy that tries these routes, and an engine that takes 100 ms for each token.
pub(crate) fn proxy<'a>(cluster: &'a Cluster, route: &str) -> ProxyBuilder<'a> {
    slurm_proxy(cluster, &["--srun-arg", "--nodelist=node1", "--route", route], &["--token-delay", "100"])
}

/// What `status` says of the way to the engine.
#[derive(Debug)]
pub(crate) struct Route {
    pub(crate) taken: String,
    /// What was tried before it, and what was seen.
    pub(crate) passed_over: Vec<String>,
}

/// Asks for an engine, and returns the way to it.
pub(crate) async fn first_answer(proxy: &Proxy) -> Route {
    let body = chat(false);
    let asked = proxy.client().post("/v1/chat/completions", &body);
    let answer = timeout(FIRST, asked).await.expect("an answer within a minute");
    assert!(answer.status == 200, "{}\n{}", answer.text(), proxy.lines().so_far().join("\n"));
    route(&proxy.home())
}

pub(crate) fn route(home: &Home) -> Route {
    let said = Proxy::builder().home(home).run(["status", "--json"]);
    let said: Value = serde_json::from_slice(&said.stdout).expect("JSON");
    let route = said.pointer("/instances/0/route").unwrap_or_else(|| panic!("{said}"));
    let (taken, passed_over) = (route.get("taken").and_then(Value::as_str), route.get("passed_over"));
    let text = |one: &Value| one.as_str().map(str::to_owned);
    Route {
        taken: taken.expect("a word").to_owned(),
        passed_over: passed_over.and_then(Value::as_array).into_iter().flatten().filter_map(text).collect(),
    }
}

/// Whatever the user runs from now on finds no program of these names, nor does a job of theirs.
pub(crate) fn hide_programs(cluster: &Cluster, names: &[&str]) {
    let folder = cluster.share().join("bin");
    std::fs::create_dir(&folder).expect("a new folder");
    for there in ["/usr/bin", "/bin"] {
        for entry in std::fs::read_dir(there).expect("a folder").flatten() {
            let name = entry.file_name();
            let hidden = name.to_str().is_none_or(|name| {
                names.iter().any(|hidden| {
                    name.strip_prefix(hidden).is_some_and(|rest| !rest.starts_with(|c: char| c.is_ascii_lowercase()))
                })
            });
            if !hidden {
                // The one folder may be the other.
                let _ = symlink(entry.path(), folder.join(name));
            }
        }
    }
    // A shell that sshd starts reads it first.
    let line = format!("export PATH={}\n", folder.display());
    std::fs::write(cluster.home().join(".bashrc"), line).expect("a file in the user's home");
    let found =
        |name: &&str| cluster.on_as_user(HostName::Login, &["ssh", "login", "command", "-v", name]).status.success();
    assert!(names.iter().all(|name| !found(name)) && found(&"srun"), "{names:?} are still found");
}

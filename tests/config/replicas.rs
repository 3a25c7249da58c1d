//! One model on several engines, as a file says it.

use llm_proxy::config::{Config, Instance, Layers, ReplicasBy, Source, Sourced};

use super::file::read;
use super::support::Proxy;

fn resolve(text: &str) -> Config {
    Layers { file: Some(read(text).expect("good")), ..Layers::default() }.resolve()
}

fn names(config: &Config) -> Vec<&str> {
    config.instances.iter().filter_map(|instance| instance.name.as_deref()).collect()
}

#[test]
fn each_is_an_instance_of_its_own_name_port_and_host() {
    let config = resolve(
        "hosts:\n  a: {login: a.example.org}\n  b: {login: b.example.org}\nmodels:\n  \
         m: {model: x/m, port: 8000, replicas: {min: 2, max: 3, hosts: [a, b]}}\n  other: {model: x/o}\n",
    );
    assert_eq!(names(&config), ["m", "m-2", "m-3", "other"]);
    let port = |one: &Instance| one.server.port.as_ref().map(|port| port.value);
    assert_eq!(config.instances.iter().map(port).collect::<Vec<_>>(), [Some(8000), Some(8001), Some(8002), None]);
    let login = |one: &Instance| one.host.login.as_ref().map(|login| login.value.clone());
    let logins: Vec<_> = config.instances.iter().filter_map(login).collect();
    assert_eq!(logins, ["a.example.org", "b.example.org", "a.example.org"]);
    let number = |one: &Instance| one.replica.as_ref().map(|replica| (replica.of.clone(), replica.number));
    let numbers: Vec<_> = config.instances.iter().map(number).collect();
    let of = |number| Some(("m".to_owned(), number));
    assert_eq!(numbers, [of(1), of(2), of(3), None]);
}

#[test]
fn a_number_is_both_bounds_and_what_is_not_said_follows() {
    let cases = [
        ("3", (3, 3)),
        ("{max: 4}", (1, 4)),
        ("{min: 2}", (2, 2)),
        ("{hosts: [a, b, c]}", (1, 3)),
        ("{min: 2, max: 8, hosts: [a, b]}", (2, 8)),
    ];
    for (replicas, bounds) in cases {
        let config = resolve(&format!("models:\n  m: {{model: x/m, replicas: {replicas}}}\n"));
        let block = config.instances.first().and_then(|one| one.server.replicas.as_ref()).expect("replicas");
        assert_eq!((block.value.least(), block.value.most()), bounds, "{replicas}");
        assert_eq!(config.instances.len(), usize::from(bounds.1), "{replicas}");
    }
    let config = resolve("models:\n  m: {model: x/m, replicas: {max: 2, by: prefix}}\n");
    let by = config.instances.first().and_then(|one| one.server.replicas.as_ref()?.value.by.clone());
    assert_eq!(by, Some(Sourced::new(ReplicasBy::Prefix, Source::Default)));
    let one = resolve("models:\n  m: {model: x/m, replicas: 1}\n");
    assert_eq!((names(&one), one.instances.first().map(|one| one.replica.is_none())), (vec!["m"], Some(true)));
    let shared = resolve("defaults: {replicas: 2}\nmodels:\n  m: {model: x/m}\n  n: {model: x/n, replicas: 1}\n");
    assert_eq!(names(&shared), ["m", "m-2", "n"]);
}

#[test]
fn the_verbs_tell_of_them_and_a_name_that_is_taken_is_refused() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let write = |text: &str| std::fs::write(folder.path().join("c.yaml"), text).expect("a file in it");
    let proxy = Proxy::builder().folder(folder.path());
    let run = |arguments: &[&str]| {
        let output = proxy.run(arguments.iter().copied());
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
    };
    write("models:\n  m: {model: x/m, replicas: {max: 2, by: prefix}}\n");
    let shown = run(&["config", "show", "c.yaml"]);
    assert!(shown.contains("models.m.replicas.by") && shown.contains("prefix") && !shown.contains("m-2"), "{shown}");
    let checked = run(&["config", "check", "c.yaml"]);
    assert!(checked.contains("nothing is wrong: m, m-2") && !checked.contains("warning"), "{checked}");
    let one = run(&["config", "check", "--name", "m", "c.yaml"]);
    assert!(one.contains("'replicas' (c.yaml:2) counts only where"), "{one}");
    write("models:\n  m: {model: x/m, replicas: 2}\n  m-2: {model: x/n}\n");
    let taken = run(&["config", "check", "c.yaml"]);
    assert!(taken.contains("m and m-2 are both to answer to the model name 'm-2'"), "{taken}");
}

#[test]
fn each_fault_has_its_line_and_what_to_write() {
    let table = [
        ("model: m\nreplicas: 0\n", "f.yaml:2: 'replicas' must be a whole number from 1 to 1000, and is '0'"),
        ("model: m\nreplicas: {mim: 1}\n", "f.yaml:2: 'replicas.mim' is not known; did you mean 'replicas.min'?"),
        ("model: m\nreplicas: {min: 3, max: 2}\n", "f.yaml:2: 'replicas.max' is 2, and 'replicas.min' is 3"),
        (
            "model: m\nreplicas: {by: luck}\n",
            "f.yaml:2: 'replicas.by' must be one of least_outstanding, prefix, and is 'luck'",
        ),
        (
            "models:\n  a: {model: m, host: x, replicas: {hosts: [x, y]}}\n",
            "f.yaml:2: 'replicas.hosts' says where they run, and so does 'host'; leave one of them out",
        ),
        (
            "hosts:\n  x: {login: l}\nmodels:\n  a: {model: m, replicas: {hosts: [x, z]}}\n",
            "f.yaml:4: 'models.a.replicas.hosts' is 'z', which 'hosts' does not have; did you mean 'x'?",
        ),
    ];
    for (text, message) in table {
        assert_eq!(read(text).err().as_deref(), Some(message), "{text}");
    }
}

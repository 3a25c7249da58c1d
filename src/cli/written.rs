//! The options that were typed, as a configuration file that means the same.

use std::path::{Path, absolute};

use clap::{Args as _, Command};

use super::ServeArgs;
use super::layers::flags;
use crate::config::{self, Environment, Fleet, SlurmBlock, Source, Sourced, Variable};
use crate::doctor::{NewFile, Typed};
use crate::id::InstanceName;
use crate::slurm::SrunArgs;

/// Where it is written: beside what the user works on, as `.env` is.
const PATH: &str = "llm-proxy.yaml";

/// What its host is called in it.
const HOST: &str = "login";

/// What a file has a key for.
const IN_FILE: [&str; 33] = [
    "host",
    "port",
    "access_key",
    "login",
    "jump",
    "identity",
    "ssh_config",
    "login_name",
    "login_port",
    "ssh_option",
    "accept_new_host_key",
    "target_port",
    "name",
    "use_slurm",
    "batch",
    "srun_args",
    "srun_arg",
    "chdir",
    "prelude",
    "login_shell",
    "route",
    "loopback_user",
    "loopback_host",
    "idle_timeout",
    "queue_timeout",
    "startup_timeout",
    "stop_timeout",
    "hung_timeout",
    "ready_path",
    "profile",
    "profile_output_dir",
    "profile_arg",
    "debug",
];

/// What is for one run alone.
const OF_ONE_RUN: [&str; 4] = ["config", "detach", "dry_run", "verbose"];

/// Variables that hold no secret, and may be written into a file: fewer than say where things are, for `HF_TOKEN` and a proxy's
/// address may be secrets.
const PLACES: [&str; 5] = ["HF_HOME", "HF_HUB_CACHE", "XDG_CACHE_HOME", "HF_HUB_OFFLINE", "CUDA_VISIBLE_DEVICES"];

/// The file; or why there is none; nothing, where there is one already, or no file can say it.
pub(super) fn file(args: &ServeArgs, line: &Typed, name: &InstanceName) -> Option<Result<NewFile, String>> {
    if args.config.is_some() {
        return None;
    }
    if line.without("--env").has_secret() {
        return Some(Err("a secret is on the line, and none is written into a file".to_owned()));
    }
    let dotenv = config::read_env_file(Path::new(".env")).unwrap_or_default();
    let environment = config::read_environment(&|name| std::env::var(name).ok(), &dotenv).ok()?;
    let (variables, passed_on) = match variables(args, !dotenv.is_empty()) {
        Ok(both) => both,
        Err(name) => {
            let why = format!("the value of {name} may be a secret, and none is written into a file");
            return Some(Err(format!("{why}; put it into .env of this folder, which is read without being named")));
        }
    };
    let mut fleet = fleet(args, &environment, name)?;
    fleet.models.first_mut()?.1.value.env_vars = variables;
    // By its name it is the only one, whatever model a request asks for, as it is with a command that is typed.
    let mut words = ["serve", "--config", PATH, "--name", &name.to_string()].map(str::to_owned).to_vec();
    words.extend(args.typed.again_without(&ServeArgs::augment_args(Command::new("serve")), &left_out(&environment)));
    words.extend(passed_on.iter().flat_map(|name| ["--env".to_owned(), name.clone()]));
    let serve = Typed::new(&words, 0);
    Some(Ok(NewFile { path: PATH.into(), text: fleet.to_yaml()?, serve }))
}

/// What does not stand on the line any more. What the environment says wins over a file, but not over what is typed.
fn left_out(environment: &Environment) -> Vec<&'static str> {
    let said = [
        ("host", environment.listen.host.is_some()),
        ("port", environment.listen.port.is_some()),
        ("debug", environment.server.debug_mode.is_some()),
        ("access_key", environment.access_key.is_some()),
    ];
    let stays = |name: &str| said.contains(&(name, true));
    IN_FILE.into_iter().chain(OF_ONE_RUN).chain(["env"]).filter(|name| !stays(name)).collect()
}

/// What `--env` sets in a file, and what it takes from the shell; or the name of what may be a secret.
type Variables = (Vec<Sourced<Variable>>, Vec<String>);

fn variables(args: &ServeArgs, files: bool) -> Result<Variables, String> {
    let (mut set, mut passed_on) = (Vec::new(), Vec::new());
    for text in &args.env {
        let Some((name, value)) = text.split_once('=') else {
            passed_on.push(text.clone());
            continue;
        };
        // A file of variables wins over a configuration.
        let harmless = PLACES.contains(&name) && !files && args.env_file.is_empty();
        let variable = Variable::new(name, value).ok().filter(|_| harmless).ok_or_else(|| name.to_owned())?;
        set.push(Sourced::new(variable, Source::Flag("--env")));
    }
    Ok((set, passed_on))
}

fn fleet(args: &ServeArgs, environment: &Environment, name: &InstanceName) -> Option<Fleet> {
    let mut typed = flags(args, true);
    let source = Source::Flag("the command line");
    if let Some(files) = &mut typed.host.identity {
        files.value.iter_mut().for_each(whole);
    }
    if let Some(file) = typed.host.ssh_config.as_mut().filter(|file| file.value != Path::new("none")) {
        file.value = absolute(&file.value).ok()?;
    }
    if let Some(place) = &mut typed.access_key
        && let Some(file) = place.value.strip_prefix("file:")
    {
        let mut file = file.to_owned();
        whole(&mut file);
        place.value = format!("file:{file}");
    }
    if args.srun_args.is_some() || !args.srun_arg.is_empty() {
        let given = SrunArgs::new(args.srun_args.as_deref(), &args.srun_arg).ok()?;
        let slurm = typed.server.slurm.get_or_insert_with(SlurmBlock::default);
        slurm.args = Some(Sourced::new(given.words().to_vec(), source.clone()));
    }
    let mut fleet = Fleet::default();
    if typed.host.login.is_some() {
        typed.server.host = Some(Sourced::new(HOST.to_owned(), source.clone()));
        fleet.hosts.push((HOST.to_owned(), Sourced::new(typed.host, source.clone())));
    }
    if environment.listen.host.is_some() {
        typed.listen.host = None;
    }
    if environment.listen.port.is_some() {
        typed.listen.port = None;
    }
    fleet.listen = (typed.listen != config::Listen::default()).then_some(typed.listen);
    fleet.access_key = typed.access_key.filter(|_| environment.access_key.is_none());
    fleet.models.push((name.to_string(), Sourced::new(typed.server, source)));
    Some(fleet)
}

/// A file that is named so is found from every folder.
fn whole(file: &mut String) {
    if !file.starts_with('~')
        && let Ok(path) = absolute(&*file)
    {
        *file = path.to_string_lossy().into_owned();
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::collections::{BTreeMap, BTreeSet};

    use clap::FromArgMatches as _;
    use proptest::prelude::*;
    use test_case::test_case;

    use super::super::configured;
    use super::*;
    use crate::backend;

    fn options() -> Command {
        ServeArgs::augment_args(Command::new("serve"))
    }

    fn parse(words: &[String]) -> ServeArgs {
        ServeArgs::from_arg_matches(&options().try_get_matches_from(words).unwrap()).unwrap()
    }

    fn words(line: &str) -> Vec<String> {
        shlex::split(&format!("serve {line}")).unwrap()
    }

    fn offered(words: &[String]) -> Option<Result<NewFile, String>> {
        let args = parse(words);
        let line = Typed::new(words, args.command.len());
        let name = args.name.clone().or(backend::recognise(&args.command).suggested_name.map(|name| name.to_string()));
        file(&args, &line, &InstanceName::from_text(&name?)?)
    }

    /// All that settings are made of, once nothing is left to be read.
    fn settings(words: &[String]) -> BTreeMap<&'static str, String> {
        let mut args = parse(words);
        assert!(configured::apply(&mut args).is_ok());
        let name = args.name.clone().or(backend::recognise(&args.command).suggested_name.map(|name| name.to_string()));
        let srun = args.use_slurm.then(|| SrunArgs::new(args.srun_args.as_deref(), &args.srun_arg).unwrap());
        let typed = args.env.iter().map(|text| Variable::parse(text, |name| std::env::var(name).ok()).unwrap());
        let env: BTreeMap<_, _> = args
            .found
            .env
            .iter()
            .cloned()
            .chain(typed)
            .map(|set| (set.name().to_owned(), set.value().to_owned()))
            .collect();
        let of: Vec<(&'static str, String)> = vec![
            ("listen", format!("{}:{}", args.host, args.port)),
            ("target", format!("{:?} {} {}", args.target_port, args.target_host, args.engine_socket)),
            ("name", format!("{:?}", InstanceName::from_text(&name.unwrap()).unwrap())),
            ("slurm", format!("{} {srun:?} {:?} {:?}", args.batch, args.loopback_user, args.loopback_host)),
            ("login", format!("{:?} {:?} {:?} {:?}", args.login, args.identity, args.ssh_config, args.ssh)),
            ("around", format!("{:?} {:?} {} {env:?} {:?}", args.chdir, args.prelude, args.login_shell, args.env_file)),
            ("route", format!("{:?}", args.route)),
            ("idle", format!("{:?} {:?}", args.idle_timeout, args.hung_timeout)),
            ("start", format!("{:?} {:?} {:?}", args.queue_timeout, args.startup_timeout, args.stop_timeout)),
            ("lease", format!("{:?} {}", args.lease, args.max_waiting)),
            ("signs", format!("{:?} {:?} {:?}", args.stream_headers_after, args.body_headers_after, args.keep_alive)),
            ("wake", format!("{:?}", args.wake_on)),
            ("key", format!("{:?} {}", args.access_key, args.found.access_key.is_some())),
            ("debug", args.debug.to_string()),
            ("command", format!("{:?} {:?} {:?}", args.command, args.found.backend, args.found.model)),
            ("engine", format!("{:?} {:?}", args.ready_path, args.found.profiling)),
            ("warnings", format!("{:?}", args.found.warnings)),
        ];
        of.into_iter().collect()
    }

    /// The file is written, and both lines are read as `serve` reads them.
    fn same(words: &[String]) -> NewFile {
        let written = offered(words).unwrap().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(PATH);
        std::fs::write(&path, &written.text).unwrap();
        let line = written.serve.line().unwrap().replace(PATH, &path.to_string_lossy());
        let again: Vec<String> = shlex::split(&line).unwrap().into_iter().skip(1).collect();
        assert_eq!(settings(&again), settings(words), "{line}\n{}", written.text);
        written
    }

    const PLAIN: [&str; 26] = [
        "--host 127.0.0.2",
        "--port 0",
        "--target-port 8084",
        "--target-host 10.0.0.1",
        "--name 'My model'",
        "--chdir /a/b",
        "--prelude 'module load cuda && echo \"a: b\" # c'",
        "--login-shell",
        "--route relay",
        "--idle-timeout 90m",
        "--idle-timeout 0",
        "--queue-timeout 1h30m",
        "--startup-timeout 1s500ms",
        "--stop-timeout 5",
        "--hung-timeout 0",
        "--lease 5m",
        "--max-waiting 3",
        "--stream-headers-after 0",
        "--body-headers-after 1m",
        "--keep-alive 3s",
        "--wake-on inference",
        "--access-key file:/k/e/y",
        "--env HOME --env 'HF_HOME=/big disk/hf'",
        "--ready-path /ready",
        "--profile nsys --profile-output-dir /tmp/p --profile-arg=-t --profile-arg 'a b'",
        "--debug",
    ];
    const LOGIN: [&str; 7] = [
        "-J jump1,jump2:2222",
        "-i /home/me/.ssh/id_a -i '~/.ssh/id b'",
        "-F none",
        "-l me",
        "-p 2222",
        "-o ProxyCommand='nc %h %p' -o 'SendEnv=A B'",
        "--accept-new-host-key",
    ];
    const SLURM: [&str; 5] = [
        "--srun-args '--mem=1G -p \"a b\"'",
        "--srun-arg --comment=x --srun-arg=--time=1:00:00",
        "--batch",
        "--loopback-user me",
        "--loopback-host 10.0.0.9",
    ];

    fn one_of_each(groups: &[&str]) -> Vec<String> {
        let (mut seen, mut kept) = (BTreeSet::new(), Vec::new());
        for group in groups {
            let words = shlex::split(group).unwrap();
            if seen.insert(words.first().unwrap().clone()) {
                kept.extend(words);
            }
        }
        kept
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn the_file_and_the_line_mean_the_same(
            plain in proptest::sample::subsequence(PLAIN.to_vec(), 0..8),
            login in proptest::option::of(proptest::sample::subsequence(LOGIN.to_vec(), 0..7)),
            slurm in proptest::option::of(proptest::sample::subsequence(SLURM.to_vec(), 0..5)),
        ) {
            let mut words = vec!["serve".to_owned()];
            words.extend(one_of_each(&plain));
            if let Some(login) = login {
                words.extend(["--login".to_owned(), "me@login.site:22".to_owned()]);
                words.extend(one_of_each(&login));
            }
            if let Some(slurm) = slurm {
                words.push("--use-slurm".to_owned());
                words.extend(one_of_each(&slurm));
            }
            let command = "-- uv run --with vllm vllm serve org/M --max-model-len 4096 --hf-overrides '{\"a\": [1, \"#\"]}'";
            words.extend(shlex::split(command).unwrap());
            same(&words);
        }
    }

    /// What is new is on the line until somebody gives it a key of a file.
    #[test]
    fn each_named_option_is_one() {
        let options = options();
        let all: BTreeSet<&str> = options.get_arguments().map(|option| option.get_id().as_str()).collect();
        for name in IN_FILE.iter().chain(&OF_ONE_RUN) {
            assert!(all.contains(name), "{name}");
        }
    }

    #[test]
    fn it_reads_as_somebody_would_write_it() {
        let line = "--login me@h:22 -i /k --use-slurm --srun-arg=-pgpu --port 9000 --lease 5m --env HF_HOME=/x -- vllm serve M";
        let written = same(&words(line));
        let expected = "listen:\n  port: 9000\nhosts:\n  login:\n    login: \"me@h:22\"\n    identity: [/k]\nmodels:\n  m:\n    \
                        command: [vllm, serve, M]\n    env_vars:\n      HF_HOME: /x\n    host: login\n    launcher: slurm\n    \
                        slurm:\n      args: [\"--mem=30G\", \"--gres=gpu:1\", -pgpu]\n";
        assert_eq!(written.text, expected);
        assert_eq!(written.serve.line().unwrap(), "llm-proxy serve --config llm-proxy.yaml --name m --lease 5m");
    }

    #[test_case("-- vllm serve M --api-key hunter2"; "of the engine")]
    #[test_case("--prelude 'export HF_TOKEN=hunter2' -- vllm serve M"; "in a prelude")]
    #[test_case("--env WHATEVER=hunter2 -- vllm serve M"; "in a variable")]
    #[test_case("--env=WHATEVER=hunter2 -- vllm serve M"; "in a variable that is attached")]
    fn no_secret_is_written(line: &str) {
        let why = offered(&words(line)).unwrap().unwrap_err();
        assert!(why.contains("secret") && !why.contains("hunter2"), "{why}");
    }

    #[test_case("--config a.yaml --name m -- vllm serve M"; "a file is there")]
    #[test_case("--prelude '' -- vllm serve M"; "what no file can say")]
    fn none_is_offered(line: &str) {
        assert!(offered(&words(line)).is_none());
    }
}

//! Whatever shell a site has given its user, and whatever that shell's profile prints: the whole way works; and the
//! surroundings that a login makes can be had.
#![expect(clippy::expect_used, reason = "a test fails by panicking")]

mod support;

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::PathBuf;
use std::time::Duration;

use support::scene::{chat, slurm_proxy, soon, wait_until_nothing_is_left};
use support::{Answer, Cluster, HostName, Proxy};
use tokio::time::timeout;

/// A login shell, and the files of the user's that it reads.
struct LoginShell {
    path: &'static str,
    /// Read however it is started, even for one command.
    always: Option<&'static str>,
    /// Read at a login.
    at_login: &'static str,
    /// A line of its language that puts a folder before all others of the PATH, at a login.
    path_line: &'static str,
}

const SHELLS: [LoginShell; 4] = [
    LoginShell {
        path: "/bin/bash",
        always: Some(".bashrc"),
        at_login: ".bash_profile",
        path_line: "export PATH=FOLDER:$PATH",
    },
    LoginShell { path: "/bin/dash", always: None, at_login: ".profile", path_line: "export PATH=FOLDER:$PATH" },
    LoginShell {
        path: "/bin/tcsh",
        always: Some(".tcshrc"),
        at_login: ".login",
        path_line: "setenv PATH FOLDER:${PATH}",
    },
    LoginShell {
        path: "/usr/bin/fish",
        always: Some(".config/fish/config.fish"),
        at_login: ".config/fish/conf.d/login.fish",
        path_line: "status is-login; and set -gx PATH FOLDER $PATH",
    },
];

/// A site whose programs are where only a profile leads: `srun` that says so to what it starts, and `module`.
struct Site {
    cluster: Cluster,
    slurm: PathBuf,
    junk: PathBuf,
}

impl Site {
    fn up() -> Self {
        let cluster = Cluster::builder().sshd_option("PermitUserEnvironment yes").up();
        let (slurm, plain) = (cluster.share().join("slurm"), cluster.share().join("plain"));
        fs::create_dir(&slurm).and_then(|()| fs::create_dir(&plain)).expect("folders of a shared one");
        let srun = slurm.join("srun");
        fs::write(&srun, "#!/bin/sh\nexport BY_SRUN_OF=site\nexec /usr/bin/srun \"$@\"\n").expect("a script");
        fs::set_permissions(&srun, fs::Permissions::from_mode(0o755)).expect("a script");
        for tool in fs::read_dir("/usr/bin").expect("a folder of programs").flatten() {
            let name = tool.file_name();
            let folder = match name.to_str() {
                Some("squeue" | "scancel") => &slurm,
                Some("srun" | "sbatch" | "salloc") => continue,
                _ => &plain,
            };
            symlink(tool.path(), folder.join(name)).expect("a link to a program");
        }
        let junk = cluster.share().join("junk");
        fs::write(&junk, junk_text()).expect("a file");
        Self { cluster, slurm, junk }
    }

    /// The user has this shell, whose files print junk, take their time, and lead to the site's programs.
    fn furnish(&self, shell: &LoginShell) {
        let home = self.cluster.home();
        for shell in &SHELLS {
            for file in [shell.always, Some(shell.at_login)].into_iter().flatten() {
                fs::create_dir_all(home.join(file).parent().expect("a folder")).expect("a folder in the home");
                drop(fs::remove_file(home.join(file)));
            }
        }
        let noise = self.noise();
        // As `/etc/profile.d/modules.sh` on sites that have it, which a login of bash reads whatever the user's shell is.
        let module = "module() { [ \"$1\" = load ] && export CUDA_HOME=/opt/$2; }\n";
        fs::write(home.join(".profile"), [&noise, module].concat()).expect("a profile");
        let path_line = shell.path_line.replace("FOLDER", &self.slurm.display().to_string()) + "\n";
        let own = home.join(shell.at_login);
        if let Some(always) = shell.always {
            fs::write(home.join(always), &noise).expect("a shell's file");
        }
        // In bash's own file, and in dash's, `module` as well: what bash reads at a login is the first that there is.
        let module = if shell.path_line.starts_with("export") { module } else { "" };
        fs::write(own, [&noise, module, &path_line].concat()).expect("a shell's file");
        self.cluster.set_shell(shell.path);
    }

    /// In words that every shell reads alike; dash's `echo` would need a fourth for the unclosed line.
    fn noise(&self) -> String {
        let junk = self.junk.display();
        format!("cat {junk}\nsh -c 'cat {junk} >&2'\nsleep 0.2\n")
    }

    /// Whether the user's PATH, before any profile, lacks Slurm.
    fn hide_slurm(&self, hidden: bool) {
        let file = self.cluster.home().join(".ssh/environment");
        let plain = self.cluster.share().join("plain");
        let text = if hidden { format!("PATH={}\n", plain.display()) } else { String::new() };
        fs::write(file, text).expect("the user's environment");
    }

    /// A proxy whose engine first shows its surroundings.
    async fn proxy(&self, options: &[&str]) -> Proxy {
        let show = "echo \"cuda $CUDA_HOME, srun of $BY_SRUN_OF, PATH $PATH.\" >&2; exec \"$0\" --host \"$HOST\" --port \"$PORT\"";
        let engine = self.cluster.engine().display().to_string();
        Proxy::builder()
            .on_laptop(&self.cluster)
            .options(["-v", "--use-slurm", "--srun-args", support::scene::SRUN_ARGS])
            .options(options.iter().copied())
            .command(["/bin/sh", "-c", show, &engine])
            .start()
            .await
    }

    async fn ends_well(&self, proxy: Proxy) {
        let lines = proxy.lines();
        assert!(proxy.stop("TERM", soon()).await.success(), "{}", lines.so_far().join("\n"));
        wait_until_nothing_is_left(&self.cluster, 10).await;
    }
}

async fn ask(proxy: &Proxy) -> Answer {
    let body = chat(false);
    let answer = timeout(Duration::from_mins(1), proxy.client().post("/v1/chat/completions", &body)).await;
    answer.expect("an answer within a minute")
}

/// More than a pipe, or any of our buffers, holds; every byte there is; what looks like controls; and no last line's end.
fn junk_text() -> Vec<u8> {
    let mut text = "Welcome to the cluster. Please read the news before you compute.\n".repeat(6000).into_bytes();
    text.extend(0..=u8::MAX);
    text.extend(b"\x1b]0;title\x07\x1b[2J\r\nllm-proxy-0000000000000000 gone 0\nno end of this line");
    text
}

#[tokio::test]
async fn whatever_the_login_shell_is_and_prints_the_whole_way_works() {
    let site = Site::up();
    for shell in &SHELLS {
        site.furnish(shell);
        let proxy = slurm_proxy(&site.cluster, &[], &[]).start().await;
        ask(&proxy).await.ok();
        site.ends_well(proxy).await;
    }
}

#[tokio::test]
async fn whatever_the_login_shell_is_its_profile_can_lead_to_slurm_and_modules() {
    let site = Site::up();
    for shell in &SHELLS {
        site.furnish(shell);
        site.hide_slurm(true);
        let proxy = site.proxy(&[]).await;
        let answer = ask(&proxy).await;
        assert_eq!(answer.status, 503, "{}: srun must not be found: {}", shell.path, answer.text());
        let hint = proxy.wait_for_line("hint: ", soon()).await;
        assert!(hint.contains("--login-shell"), "{}: {hint}", shell.path);
        site.ends_well(proxy).await;

        let proxy = site.proxy(&["--login-shell", "--prelude", "module load cuda"]).await;
        ask(&proxy).await.ok();
        let shown = proxy.wait_for_line("cuda /opt/cuda, srun of site, PATH /", soon()).await;
        let folder = site.slurm.display().to_string();
        assert!(shown.contains(&folder), "{}: {folder} is lost from the engine's PATH: {shown}", shell.path);
        site.ends_well(proxy).await;
    }
}

/// The junk is printed at all, and by every shell.
#[test]
fn the_shells_print_what_they_are_told_to() {
    let site = Site::up();
    for shell in &SHELLS {
        site.furnish(shell);
        for login in [false, true] {
            let flag = if login { "exec -l" } else { "exec" };
            let line = format!("{flag} {} -c true", shell.path);
            let output = site.cluster.on_as_user(HostName::Login, &["bash", "-c", &line]);
            let junk = junk_text();
            // bash takes its `.bashrc` for one command only where sshd starts it.
            let silent = !login && matches!(shell.path, "/bin/bash" | "/bin/dash");
            for (name, printed) in [("stdout", output.stdout), ("stderr", output.stderr)] {
                let times = printed.windows(junk.len()).filter(|window| *window == junk).count();
                assert_eq!(times > 0, !silent, "{} {login} {name}: {} bytes", shell.path, printed.len());
            }
        }
    }
}

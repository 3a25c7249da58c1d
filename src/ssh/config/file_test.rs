#![expect(clippy::unwrap_used, reason = "a test may stop where it finds a fault")]

use proptest::prelude::*;

use super::*;

fn read_text(text: &str) -> Result<Configured, SshError> {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("config");
    std::fs::write(&file, text).unwrap();
    let options =
        SshOptions { home: SshHome::below(dir.path(), "me"), config_file: Some(file), ..SshOptions::new("h") };
    read(&options, &Destination::parse("h").unwrap())
}

fn user(text: &str) -> String {
    read_text(text).unwrap().get("User").map_or_else(String::new, |setting| setting.value().to_owned())
}

#[test]
fn a_match_sees_what_stands_before_it() {
    assert_eq!(user("Match user me\nUser early"), "early");
    assert_eq!(user("User you\nMatch user me\nHostName x"), "you");
    let config = "HostName %h.example.org\nMatch host h.example.org\nUser found\nMatch host h\nUser missed";
    assert_eq!(user(config), "found");
    assert_eq!(user("Match originalhost h\nUser found\nHostName x"), "found");
}

#[test]
fn no_file_is_read_for_none() {
    let dir = tempfile::tempdir().unwrap();
    let home = SshHome::below(dir.path(), "me");
    std::fs::create_dir_all(&home.ssh_dir).unwrap();
    std::fs::write(home.ssh_dir.join("config"), "User x").unwrap();
    let options = SshOptions { home, config_file: Some("none".into()), ..SshOptions::new("h") };
    assert!(read(&options, &Destination::parse("h").unwrap()).unwrap().get("User").is_none());
}

proptest! {
    /// A block for another host, whatever it holds, changes nothing.
    #[test]
    fn another_hosts_block_changes_nothing(lines in proptest::collection::vec("(User|Port|Foo|ProxyJump) [a-z0-9]{1,4}", 0..6)) {
        let config = format!("Host other\n{}\nHost h\nUser me\n", lines.join("\n"));
        let found = read_text(&config).unwrap();
        prop_assert_eq!(found.get("User").map(Setting::value), Some("me"));
        prop_assert!(found.warnings.is_empty() && found.get("Port").is_none());
    }

    /// The first of several lines wins, wherever the others stand.
    #[test]
    fn the_first_user_wins(users in proptest::collection::vec("[a-z]{1,5}", 1..6)) {
        let lines: Vec<String> = users.iter().map(|user| format!("Host *\nUser {user}")).collect();
        prop_assert_eq!(user(&lines.join("\n")), users.first().cloned().unwrap());
    }

    #[test]
    fn never_panics(text in "((Host|Match|User|Include|IdentityFile|Port|ProxyJump|Foo)?[ =]?\\PC{0,12}\n){0,6}") {
        let _ = read_text(&text);
    }
}

/// What comes of `config`, with these other files beside it.
fn read_files(config: &str, files: &[(&str, &str)]) -> Result<Configured, SshError> {
    let dir = tempfile::tempdir().unwrap();
    let home = SshHome::below(dir.path(), "me");
    std::fs::create_dir_all(&home.ssh_dir).unwrap();
    for (name, text) in files.iter().chain(&[("config", config)]) {
        let file = home.ssh_dir.join(name);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, text).unwrap();
    }
    read(&SshOptions { home, ..SshOptions::new("h") }, &Destination::parse("h").unwrap())
}

#[test]
fn files_that_include_one_another_come_to_an_end() {
    // Eight times eight times eight…: as deep as files may go, nobody would wait for the end.
    let again = "Include config\n".repeat(8);
    let error = read_files(&again, &[]).unwrap_err();
    assert!(error.to_string().contains("too deeply") || error.to_string().contains("more than 1000 files"), "{error}");
    let files: Vec<(String, String)> =
        (0..10).map(|n| (format!("f{n}"), format!("Include f{}\n", n + 1).repeat(8))).collect();
    let files: Vec<(&str, &str)> = files.iter().map(|(name, text)| (&**name, &**text)).collect();
    let error = read_files("Include f0\n", &files).unwrap_err();
    assert!(error.to_string().contains("more than 1000 files"), "{error}");
}

#[test]
fn all_files_together_have_a_bound() {
    let comment = format!("# {}\n", "x".repeat(60)).repeat(1 << 16);
    let error = read_files(&"Include big\n".repeat(5), &[("big", &comment)]).unwrap_err();
    assert!(error.to_string().contains("more than 16777216 bytes"), "{error}");
    assert!(read_files(&"Include big\n".repeat(3), &[("big", &comment)]).is_ok());
}

#[test]
fn a_folder_that_a_star_finds_is_passed_over_aloud() {
    let found = read_files("Include conf.d/*\n", &[("conf.d/a", "User u\n"), ("conf.d/b/c", "User x\n")]).unwrap();
    assert_eq!(found.get("User").map(Setting::value), Some("u"));
    assert!(found.warnings.iter().any(|warning| warning.contains("conf.d/b is passed over: it is a folder")));
}

#[test]
fn a_pipe_that_is_included_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let pipe = dir.path().join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let error = read_text(&format!("Include {}\n", pipe.display())).unwrap_err();
    assert!(error.to_string().ends_with("pipe cannot be read: it is a pipe, not a file"), "{error}");
}

#[test]
fn what_others_may_write_is_not_followed() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().unwrap();
    let home = SshHome::below(dir.path(), "me");
    std::fs::create_dir_all(&home.ssh_dir).unwrap();
    std::fs::write(home.ssh_dir.join("config"), "Include more\n").unwrap();
    std::fs::write(home.ssh_dir.join("more"), "User u\n").unwrap();
    let options = SshOptions { home: home.clone(), ..SshOptions::new("h") };
    let destination = Destination::parse("h").unwrap();
    assert!(read(&options, &destination).is_ok());
    for name in ["more", "config"] {
        let file = home.ssh_dir.join(name);
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o666)).unwrap();
        let error = read(&options, &destination).unwrap_err();
        let told = format!("{} cannot be read: others may write it", file.display());
        assert!(error.to_string().contains(&told), "{error}");
        // Who names a file vouches for it, as with `ssh -F`.
        let named = SshOptions { config_file: Some(file), ..options.clone() };
        assert!(read(&named, &destination).is_ok());
        std::fs::set_permissions(home.ssh_dir.join(name), std::fs::Permissions::from_mode(0o600)).unwrap();
    }
}

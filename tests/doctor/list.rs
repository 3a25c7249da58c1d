//! Every line that the doctor prints to be pasted, and the test that provokes the fault and applies it as printed.

use std::fs;
use std::path::Path;

/// Where lines are made, how many, and what proves them.
const PROVEN: [(&str, usize, &str); 11] = [
    ("door.rs", 2, "what_is_misspelt_or_too_much_leads_to_what_there_is, a_closed_port_leads_to_the_one_that_is_known"),
    (
        "key_files.rs",
        4,
        "an_agent_that_is_gone_is_started_again, a_key_that_others_can_read_is_taken_away_from_them, \
         without_a_key_one_is_made_and_given_to_the_site, a_folder_that_others_can_write_is_taken_away_from_them",
    ),
    (
        "let_in.rs",
        4,
        "an_unknown_host_key_is_shown_and_added, a_changed_host_key_is_named_by_its_line_and_forgotten, \
         a_key_that_is_not_let_in_is_installed_by_the_password, without_a_key_one_is_made_and_given_to_the_site",
    ),
    (
        "loopback.rs",
        6,
        "another_key_than_the_known_one_is_forgotten_only_by_who_says_so, \
         where_no_port_is_forwarded_another_route_is_offered, \
         where_it_ends_on_the_login_host_the_lines_set_it_up_and_a_tunnel_is_had, \
         where_it_ends_elsewhere_the_line_for_that_host_is_printed",
    ),
    ("next.rs", 1, "without_a_terminal_the_printed_lines_lead_to_a_first_answer"),
    ("own_key.rs", 1, "who_says_no_is_given_the_line"),
    ("programs.rs", 3, "what_is_on_no_path_leads_to_where_it_is, what_is_misspelt_or_too_much_leads_to_what_there_is"),
    // It cures nothing: what it shows is for those who run the host.
    ("session.rs", 1, "a_shell_that_runs_nothing_is_shown_by_the_line"),
    ("slurm.rs", 1, "what_a_shell_makes_of_the_surroundings_is_seen"),
    ("submission.rs", 1, "what_is_misspelt_or_too_much_leads_to_what_there_is"),
    // No line of its own to paste, but an option.
    ("space.rs", 0, "where_there_is_little_room_another_place_is_named"),
];

/// What is said with no line that a test could apply, and why.
const FOR_PEOPLE: [(&str, &str); 6] = [
    ("clock.rs", "a clock is set by those who run the machine; that it is judged rightly is shown beside the check"),
    ("configuration.rs", "the options' own words, which their tests hold"),
    (
        "ssh_configuration.rs",
        "a line of the user's own file is wrong: it is named, and only its author knows what was meant",
    ),
    (
        "submission.rs",
        "accounts and qualities of service need Slurm's database, which the cluster of these tests has not",
    ),
    ("programs.rs", "to install uv, a package index has to be reached; a module is a site's"),
    (
        "forwarding.rs",
        "an sshd's settings are its operators', and the test plays them: forbidden_forwarding_is_named_…",
    ),
];

/// Looked at by the tests of `--deep`.
const DEEP: &str = "deep";

fn lines_made(text: &str) -> usize {
    let code = text.split("#[cfg(test)]").next().unwrap_or_default();
    // `error.remedy()` is what an error advises, in words.
    let of_errors = code.matches(".remedy()").count();
    code.matches(".remedy(").count() - of_errors
        + code.matches(".again(").count()
        + code.matches("remedy: line").count()
}

#[test]
fn every_line_to_paste_has_its_proof() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |folder: &str| -> Vec<(String, String)> {
        let files = fs::read_dir(root.join(folder)).expect("a folder of ours").flatten();
        let files = files.filter(|file| file.path().extension().is_some_and(|extension| extension == "rs"));
        let text = |file: &fs::DirEntry| fs::read_to_string(file.path()).expect("a file of ours");
        files.map(|file| (file.file_name().to_string_lossy().into_owned(), text(&file))).collect()
    };
    let tests: String = read("tests/doctor").into_iter().map(|(_, text)| text).collect();
    for (file, text) in read("src/doctor") {
        if file.starts_with(DEEP) || ["finding.rs", "forwarding.rs"].contains(&file.as_str()) {
            continue;
        }
        let listed = PROVEN.iter().find(|(name, ..)| *name == file).map_or(0, |(_, lines, _)| *lines);
        assert_eq!(lines_made(&text), listed, "{file} prints lines to paste that no test of this list applies");
    }
    for (_, _, proofs) in PROVEN {
        for proof in proofs.split(", ") {
            assert!(tests.contains(&format!("fn {proof}(")), "there is no test {proof}");
        }
    }
    for (file, reason) in FOR_PEOPLE {
        assert!(root.join("src/doctor").join(file).exists() && !reason.is_empty(), "{file}");
    }
}

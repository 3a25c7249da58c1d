//! Every line that the doctor prints to be pasted, and the test that provokes the fault and applies it as printed.

use std::fs;
use std::path::Path;

/// Where lines are made, and what proves each of them, in the order in which they stand there.
const PROVEN: [(&str, &[&str]); 12] = [
    ("deep_routes.rs", &["where_nodes_are_fenced_off"]),
    (
        "door.rs",
        &["what_is_misspelt_or_too_much_leads_to_what_there_is", "a_closed_port_leads_to_the_one_that_is_known"],
    ),
    (
        "key_files.rs",
        &[
            "an_agent_that_is_gone_is_started_again",
            "a_key_that_others_can_read_is_taken_away_from_them",
            "without_a_key_one_is_made_and_given_to_the_site",
            "a_folder_that_others_can_write_is_taken_away_from_them",
        ],
    ),
    (
        "let_in.rs",
        &[
            "an_unknown_host_key_is_shown_and_added",
            "a_changed_host_key_is_named_by_its_line_and_forgotten",
            "a_key_that_is_not_let_in_is_installed_by_the_password",
            "without_a_key_one_is_made_and_given_to_the_site",
        ],
    ),
    (
        "loopback.rs",
        &[
            "another_key_than_the_known_one_is_forgotten_only_by_who_says_so",
            "where_no_port_is_forwarded_another_route_is_offered",
            "where_it_ends_on_the_login_host_the_lines_set_it_up_and_a_tunnel_is_had",
            "where_it_ends_on_the_login_host_the_lines_set_it_up_and_a_tunnel_is_had",
            "where_it_ends_elsewhere_the_line_for_that_host_is_printed",
            "where_it_ends_elsewhere_the_line_for_that_host_is_printed",
        ],
    ),
    ("next.rs", &["without_a_terminal_the_printed_lines_lead_to_a_first_answer"]),
    ("own_key.rs", &["who_says_no_is_given_the_line"]),
    (
        "programs.rs",
        &[
            "what_is_on_no_path_leads_to_where_it_is",
            "what_is_misspelt_or_too_much_leads_to_what_there_is",
            "what_is_on_no_path_leads_to_where_it_is",
        ],
    ),
    // It cures nothing: what it shows is for those who run the host.
    ("session.rs", &["a_shell_that_runs_nothing_is_shown_by_the_line"]),
    ("slurm.rs", &["what_a_shell_makes_of_the_surroundings_is_seen"]),
    ("new_file.rs", &["at_a_terminal_saying_yes_leads_to_a_first_answer"]),
    // One line for both: of partitions, memory and cards, and of accounts.
    ("submission.rs", &["what_is_misspelt_or_too_much_leads_to_what_there_is"]),
];

/// Lines that no test applies, how many, and why.
const UNPROVEN: [(&str, usize, &str); 1] = [(
    "deep_job.rs",
    1,
    "Slurm's own scancel, by the job's name: it is printed where Slurm answered nobody for two minutes",
)];

/// How a test applies a line as it was printed.
const APPLIED: [&str; 8] = [
    "type_keys(&format!(\"{serve}\\n\"))",
    ".apply(",
    ".apply_with(",
    ".call_again(",
    ".paste(&",
    "\"-c\", &line]",
    "{{ {line}; }}",
    "exec {serve}",
];

/// What is said with no line that a test could apply, and why.
const FOR_PEOPLE: [(&str, &str); 6] = [
    ("clock.rs", "a clock is set by those who run the machine, and the test plays them: a_clock_that_is_wrong_…"),
    ("configuration.rs", "the options' own words, which their tests hold"),
    (
        "ssh_configuration.rs",
        "a line of the user's own file is wrong: it is named, and only its author knows what was meant",
    ),
    (
        "submission.rs",
        "who has no account is told how to see that; whose account is another is led to it by a stand-in: an_account_that_…",
    ),
    ("programs.rs", "to install uv, a package index has to be reached; a module is a site's"),
    (
        "forwarding.rs",
        "an sshd's settings are its operators', and the test plays them: forbidden_forwarding_is_named_…",
    ),
];

fn lines_made(text: &str) -> usize {
    let code = text.split("#[cfg(test)]").next().unwrap_or_default();
    // `error.remedy()` is what an error advises, in words.
    let of_errors = code.matches(".remedy()").count();
    code.matches(".remedy(").count() - of_errors
        + code.matches(".again(").count()
        + code.matches("remedy: line").count()
}

/// The text of a test, from its name to the next one's.
fn body<'t>(tests: &'t str, name: &str) -> &'t str {
    let body = tests.split_once(&format!("fn {name}(")).unwrap_or_else(|| panic!("there is no test {name}")).1;
    body.split("\n}\n").next().unwrap_or_default()
}

/// As many tests as lines, each of which applies what was printed; which of them is about which line is for who reads this.
#[test]
fn every_line_to_paste_has_a_test_that_applies_one() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |folder: &str| -> Vec<(String, String)> {
        let files = fs::read_dir(root.join(folder)).expect("a folder of ours").flatten();
        let files = files.filter(|file| file.path().extension().is_some_and(|extension| extension == "rs"));
        let text = |file: &fs::DirEntry| fs::read_to_string(file.path()).expect("a file of ours");
        files.map(|file| (file.file_name().to_string_lossy().into_owned(), text(&file))).collect()
    };
    let tests: String = read("tests/doctor").into_iter().map(|(_, text)| text).collect();
    // Where findings themselves are made, no line is.
    for (file, text) in read("src/doctor").into_iter().filter(|(file, _)| file != "finding.rs") {
        let proven = PROVEN.iter().find(|(name, _)| *name == file).map_or(0, |(_, proofs)| proofs.len());
        let unproven = UNPROVEN.iter().find(|(name, ..)| *name == file).map_or(0, |(_, lines, _)| *lines);
        assert_eq!(
            lines_made(&text),
            proven + unproven,
            "{file} prints lines to paste that no test of this list applies"
        );
    }
    for proof in PROVEN.iter().flat_map(|(_, proofs)| proofs.iter()) {
        let body = body(&tests, proof);
        assert!(APPLIED.iter().any(|how| body.contains(how)), "{proof} applies no line that was printed");
    }
    for (file, reason) in FOR_PEOPLE.into_iter().chain(UNPROVEN.map(|(file, _, reason)| (file, reason))) {
        assert!(root.join("src/doctor").join(file).exists() && !reason.is_empty(), "{file}");
    }
}

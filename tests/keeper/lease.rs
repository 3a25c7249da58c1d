//! The lease: the engine goes on only while somebody counts.

use std::time::{Duration, Instant};

use llm_proxy::keeper::{ControlWord, Report};

use super::support::{LISTEN, PYTHON, Running, Shell, each_shell, plan};

fn listening_with_a_lease_of_two_seconds(shell: Shell) -> Running {
    let mut plan = plan(&[PYTHON, "-c", LISTEN]);
    plan.lease = Duration::from_secs(2);
    let keeper = Running::keeper(shell, &plan);
    keeper.until_listening();
    keeper
}

const RAN_OUT: [Report; 4] = [Report::LeaseOut, Report::Stopping, Report::Exited(143), Report::Gone(143)];

#[test]
fn runs_out_in_silence() {
    each_shell(|shell| {
        assert_eq!(listening_with_a_lease_of_two_seconds(shell).until_gone(), RAN_OUT);
    });
}

#[test]
fn runs_out_while_the_engine_still_starts() {
    each_shell(|shell| {
        let mut plan = plan(&["sleep", "600"]);
        plan.lease = Duration::from_secs(1);
        assert!(Running::keeper(shell, &plan).until_gone().ends_with(&RAN_OUT));
    });
}

#[test]
fn is_renewed_by_a_number_that_grows() {
    each_shell(|shell| {
        let mut keeper = listening_with_a_lease_of_two_seconds(shell);
        let began = Instant::now();
        let mut number = 1_800_000_000;
        while began.elapsed() < Duration::from_secs(6) {
            number += 1;
            keeper.say(ControlWord::Alive(number));
            assert_eq!(keeper.next_within(Duration::from_millis(300)), None);
        }
        assert_eq!(keeper.until_gone(), RAN_OUT);
    });
}

#[test]
fn is_not_renewed_by_a_number_that_does_not_grow() {
    each_shell(|shell| {
        let mut keeper = listening_with_a_lease_of_two_seconds(shell);
        let mut seen = None;
        let mut numbers = [5, 5, 4].into_iter().cycle();
        while seen.is_none() {
            keeper.say(ControlWord::Alive(numbers.next().unwrap()));
            seen = keeper.next_within(Duration::from_millis(200));
        }
        assert_eq!(seen, Some(Report::LeaseOut));
    });
}

#[test]
fn a_closed_standard_input_only_starts_the_count_down() {
    each_shell(|shell| {
        let mut keeper = listening_with_a_lease_of_two_seconds(shell);
        keeper.say(ControlWord::Alive(1));
        keeper.stdin = None;
        assert_eq!(keeper.next_within(Duration::from_secs(1)), None);
        assert_eq!(keeper.until_gone(), RAN_OUT);
    });
}

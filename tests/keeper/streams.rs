//! What an engine writes to its two streams: one log, in its order, with standard output marked.

use llm_proxy::keeper::{ControlWord, Report};

use super::support::*;

/// Writes to both in turn, with an odd line each, and ends in the middle of one.
const BOTH: &str = r"
import sys
for n in range(100):
    print(f'out {n}', flush=True)
    print(f'err {n}', file=sys.stderr, flush=True)
print(r'  \t back\slash  %s  ', flush=True)
sys.stdout.buffer.write(b'\xff no text\n')
sys.stdout.write('cut off')
";

#[test]
fn are_told_apart_and_no_last_word_is_lost() {
    each_shell(|shell| {
        let plan = plan(&[PYTHON, "-c", BOTH]);
        let mut keeper = Running::keeper(shell, &plan);
        assert_eq!(keeper.until_gone().last(), Some(&Report::Gone(0)));
        // Nothing is written once the keeper is gone.
        keeper.exit_code();
        keeper.until_log("cut off\n");
        let log = keeper.marked_log();
        let (out, err) = apart(&log);
        let err: Vec<&str> = err.lines().collect();
        let numbered = |word: &str| (0..100).map(|n| format!("{word} {n}")).collect::<Vec<_>>();
        assert_eq!(err, numbered("err"));
        let mut expected = numbered("out");
        expected.extend(["  \\t back\\slash  %s  ", "\u{fffd} no text", "cut off"].map(str::to_owned));
        assert_eq!(out, expected);
    });
}

/// The marked lines, and all else. A mark may stand in the middle of a line: not every program writes one at once.
fn apart(log: &str) -> (Vec<&str>, String) {
    let (mut marked, mut others, mut rest) = (Vec::new(), String::new(), log);
    while let Some((before, after)) = rest.split_once('\u{1}') {
        others.push_str(before);
        let (line, after) = after.split_once('\n').unwrap_or((after, ""));
        marked.push(line);
        rest = after;
    }
    others.push_str(rest);
    (marked, others)
}

/// Its output is open for as long as somebody holds it, who need not be one of the engine's that can be ended.
#[test]
fn whoever_holds_the_output_and_is_not_found_holds_up_nobody() {
    const ESCAPE: &str = "
import os, subprocess, sys
child = subprocess.Popen(['sleep', '600'], start_new_session=True, env={'PATH': os.environ['PATH']})
print(child.pid, file=open(sys.argv[1], 'w'), flush=True)
print('engine up', flush=True)
";
    each_shell(|shell| {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("pid");
        let plan = plan(&[PYTHON, "-c", ESCAPE, file.to_str().unwrap()]);
        let keeper = Running::keeper(shell, &plan);
        let reports = keeper.until_gone();
        let pid = pid_in(&file);
        if runs(pid) {
            signal("KILL", i64::from(pid));
        }
        assert_eq!(reports.last(), Some(&Report::Gone(0)), "{reports:?}");
        keeper.until_log("engine up\n");
    });
}

/// An engine whose output nobody takes any more would end by it, or stand still.
#[test]
fn an_engine_that_is_told_to_end_says_its_last_words() {
    const LAST: &str = "
import os, signal, socket, sys, time
def end(*_):
    print('last words', flush=True)
    os._exit(0)
signal.signal(signal.SIGTERM, end)
s = socket.socket()
s.bind((os.environ['HOST'], int(os.environ['PORT'])))
s.listen()
time.sleep(600)
";
    each_shell(|shell| {
        let plan = plan(&[PYTHON, "-c", LAST]);
        let mut keeper = Running::keeper(shell, &plan);
        keeper.until_listening();
        keeper.say(ControlWord::Stop);
        assert_eq!(keeper.until_gone().last(), Some(&Report::Gone(0)));
        keeper.exit_code();
        keeper.until_log("last words\n");
        assert_eq!(keeper.marked_log(), "\u{1}last words\n");
    });
}

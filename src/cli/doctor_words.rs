//! What the doctor found, in words: one line for each check, and below it what to do.

use std::fmt::Write as _;

use console::Style;

use crate::backend;
use crate::doctor::{Finding, Level};

/// What to do about faults.
const AND_THEN: &str = ". Do what is said above, from the top; then look once more with the same line";

/// The finding for a person. No text of a host's can move the cursor; colours are for a terminal.
pub(super) fn words(finding: &Finding, colours: bool) -> String {
    let style = |style: Style| style.force_styling(colours);
    let (word, colour) = match finding.level {
        Level::Ok => ("ok", style(Style::new().green())),
        Level::Warn => ("warning", style(Style::new().yellow())),
        Level::Fail => ("fault", style(Style::new().red().bold())),
        Level::Skipped => ("skipped", style(Style::new().dim())),
    };
    let seen = backend::visible(&finding.seen.replace('\n', " / "));
    let mut text = format!("{} {}: {seen}\n", colour.apply_to(format!("{word:<8}")), finding.check);
    // Writing to a string cannot fail.
    if let Some(advice) = &finding.advice {
        let _ = writeln!(text, "         {}", backend::visible(advice));
    }
    if let Some(line) = &finding.remedy {
        // Alone on its line, so that it can be taken as it stands.
        let _ = writeln!(text, "\n{}\n", style(Style::new().bold()).apply_to(line));
    }
    text
}

/// How all came out.
pub(super) fn summary(findings: &[Finding], interrupted: bool) -> String {
    let count = |level| findings.iter().filter(|finding| finding.level == level).count();
    let several = |count: usize, word: &str| match count {
        1 => format!("1 {word}"),
        more => format!("{more} {word}s"),
    };
    if interrupted {
        return "interrupted: not everything was looked at\n".to_owned();
    }
    match (count(Level::Fail), count(Level::Warn)) {
        (0, 0) => "all is well\n".to_owned(),
        (0, warnings) => format!("nothing must be mended; {}\n", several(warnings, "warning")),
        (faults, 0) => format!("{} to mend{AND_THEN}\n", several(faults, "fault")),
        (faults, warnings) => {
            format!("{} to mend; {}{AND_THEN}\n", several(faults, "fault"), several(warnings, "warning"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_check_is_a_line_and_its_remedy_stands_alone() {
        let found = Finding::fail("host key", "it is\nnot \u{1b}[2Jknown").advice("compare it").remedy("echo x >> y");
        assert_eq!(
            words(&found, false),
            "fault    host key: it is / not known\n         compare it\n\necho x >> y\n\n"
        );
        assert!(words(&found, true).starts_with("\u{1b}[31m"));
        assert_eq!(words(&Finding::ok("clock", "fine"), false), "ok       clock: fine\n");
    }

    #[test]
    fn the_sum_is_told() {
        let (ok, warn, fail) = (Finding::ok("a", ""), Finding::warn("b", ""), Finding::fail("c", ""));
        assert_eq!(summary(std::slice::from_ref(&ok), false), "all is well\n");
        assert_eq!(summary(&[ok, warn.clone()], false), "nothing must be mended; 1 warning\n");
        assert_eq!(summary(&[fail.clone(), fail.clone()], false), format!("2 faults to mend{AND_THEN}\n"));
        assert_eq!(summary(&[fail, warn], false), format!("1 fault to mend; 1 warning{AND_THEN}\n"));
        assert!(summary(&[], true).starts_with("interrupted"));
    }
}

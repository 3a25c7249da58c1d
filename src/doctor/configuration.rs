//! Whether the arguments mean something; what they mean is worked out before.

use super::{Finding, Subject};
use crate::backend;

const CHECK: &str = "configuration";

/// What is known of the arguments.
pub(super) fn check(subject: &Subject) -> Vec<Finding> {
    let mut findings: Vec<Finding> =
        subject.warnings.iter().map(|warning| Finding::warn(CHECK, warning.clone())).collect();
    if findings.is_empty() {
        let place = subject.login.as_ref().map_or("this machine", |login| login.destination.as_str());
        let words: Vec<String> = subject.plan.argv.iter().map(crate::host::quote::Word::as_written).collect();
        let what = if subject.has_command { backend::redact(&words.join(" ")) } else { "no command given".to_owned() };
        findings.push(Finding::ok(CHECK, format!("on {place}: {what}")));
    }
    findings
}

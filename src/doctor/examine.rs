//! The order of the checks, and what becomes of what can be mended.

use std::cell::RefCell;
use std::sync::Arc;

use super::consent::Consent;
use super::{
    Finding, Level, Mend, Subject, configuration, deep, deep_routes, door, forwarding, key_files, let_in, loopback,
    new_file, next, own_key, programs, session, slurm, space, ssh_configuration, submission,
};
use crate::host::{Host, LocalHost, SshHost};
use crate::launch::Starter;
use crate::ssh::{Person, SshClient, SshOptions, Survey};

/// How often a check is done again after something was mended: more than anything has to be mended for.
const MOST_ROUNDS: usize = 6;

/// Looks at everything in order, tells each finding as it comes, and returns how all came out in the end. What can be mended
/// is offered to `person`, where somebody is there.
pub async fn examine(subject: &Subject, person: &Person, tell: &dyn Fn(&Finding)) -> Vec<Finding> {
    let mut visit = Visit { subject, person, tell, findings: Vec::new(), offered: Vec::new(), done: Vec::new() };
    visit.take(configuration::check(subject));
    match &subject.login {
        None => {
            let host = Host::Local(LocalHost);
            subject.stop.run_until_cancelled(visit.on_host(&host, None)).await;
            visit.deep(&host).await;
        }
        Some(options) => {
            let reached = subject.stop.run_until_cancelled(visit.reach(options)).await.flatten();
            if let Some((client, survey)) = reached {
                let host = Host::Ssh(Arc::new(SshHost::new(client.clone())));
                subject.stop.run_until_cancelled(visit.on_host(&host, Some((options, &survey, &client)))).await;
                visit.deep(&host).await;
                client.close().await;
            } else {
                let interrupted = subject.stop.is_cancelled();
                let reason = if interrupted { "interrupted" } else { "there is no connection to the host" };
                visit.skip(&["shell", "forwarding", "command"], reason);
            }
        }
    }
    if subject.stop.is_cancelled() {
        visit.interrupted();
        visit.skip(&["all else"], "interrupted");
    } else if visit.findings.iter().all(|finding| finding.level != Level::Fail) {
        visit.take(vec![next::step(subject)]);
        visit.new_file().await;
    }
    visit.findings
}

struct Visit<'a> {
    subject: &'a Subject,
    person: &'a Person,
    tell: &'a dyn Fn(&Finding),
    findings: Vec<Finding>,
    /// What was offered already.
    offered: Vec<Mend>,
    /// What was done, in words.
    done: Vec<String>,
}

/// A way to the host: what was said of it, what the configuration makes of that, and the connection.
type Way<'a> = (&'a SshOptions, &'a Survey, &'a SshClient);

impl Visit<'_> {
    /// Tells and keeps; says whether nothing of it must be mended.
    fn take(&mut self, findings: Vec<Finding>) -> bool {
        let fine = findings.iter().all(|finding| finding.level != Level::Fail);
        for finding in findings {
            (self.tell)(&finding);
            self.findings.push(finding);
        }
        fine
    }

    fn skip(&mut self, checks: &[&'static str], reason: &str) {
        self.take(checks.iter().map(|check| Finding::skipped(check, reason)).collect());
    }

    /// Does a check; what it finds is offered to be mended, and after that it is done again.
    async fn settle(&mut self, host: Option<&Host>, mut check: impl AsyncFnMut() -> Vec<Finding>) -> bool {
        for _ in 1..MOST_ROUNDS {
            let (mut mended, mut seen) = (false, Vec::new());
            for mut finding in check().await {
                let fresh = finding.mend.take_if(|mend| self.person.is_there() && !self.offered.contains(mend));
                if let Some(mend) = fresh {
                    mended |= self.offer(host, &finding, mend).await;
                }
                seen.push(finding);
            }
            if !mended {
                return self.take(seen);
            }
        }
        let findings = check().await;
        self.take(findings)
    }

    async fn offer(&mut self, host: Option<&Host>, finding: &Finding, mend: Mend) -> bool {
        self.offered.push(mend.clone());
        // What would be done is shown next; the line that does it by hand is for who says no.
        (self.tell)(&Finding { remedy: None, ..finding.clone() });
        if !Consent::to(&mend).ask(self.person).await {
            return false;
        }
        // Whoever interrupts it is told of it as well.
        self.done.push(mend.done());
        match mend.apply(host, self.subject.shell).await {
            Ok(()) => true,
            Err(problem) => {
                self.done.pop();
                (self.tell)(&Finding::warn(finding.check, format!("it could not be mended: {problem}")));
                false
            }
        }
    }

    /// What an interruption left.
    fn interrupted(&mut self) {
        let words = match self.done.as_slice() {
            [] => "nothing was changed".to_owned(),
            done => format!("what you said yes to stays ({}); nothing else was changed", done.join("; ")),
        };
        self.take(vec![Finding::skipped("interrupted", words)]);
    }

    /// Comes as far as a connection, if it can.
    async fn reach(&mut self, options: &SshOptions) -> Option<(SshClient, Survey)> {
        let survey = Survey::new(options);
        self.take(ssh_configuration::check(&survey));
        let Ok(survey) = survey else {
            self.skip(&["network", "host key", "authentication"], "the SSH configuration cannot be used");
            return None;
        };
        let reached = self.take(door::check(self.subject, options, &survey).await);
        self.settle(None, async || key_files::check(options, &survey).await).await;
        if !reached {
            self.skip(&["host key", "authentication"], "no SSH server was reached");
            return None;
        }
        let client = RefCell::new(None);
        let person = self.person;
        self.settle(None, async || {
            let (findings, connected) = let_in::check(options, &survey, person, &self.subject.tasks).await;
            client.replace(connected);
            findings
        })
        .await;
        Some((client.into_inner()?, survey))
    }

    async fn on_host(&mut self, host: &Host, way: Option<Way<'_>>) {
        let (findings, session) = session::check(self.subject, host).await;
        self.take(findings);
        let Some(session) = session else {
            self.skip(&["forwarding", "command"], "no command can be run on the host");
            return;
        };
        if let Some((options, survey, client)) = way {
            let entrance = client.entrance().unwrap_or_default();
            let (subject, mut round) = (self.subject, 0);
            self.settle(Some(host), async || {
                round += 1;
                // What was installed is proved by what it is for.
                let again = if round > 1 { own_key::come_in_again(subject, options).await } else { None };
                let entrance = again.as_ref().unwrap_or(&entrance);
                own_key::check(options, survey, entrance, round > 1).into_iter().collect()
            })
            .await;
            self.take(vec![forwarding::check(self.subject, host, &session).await]);
        }
        if let Starter::Slurm { args, .. } = &self.subject.plan.starter {
            let finding = slurm::check(self.subject, host).await;
            if self.take(vec![finding]) {
                let finding = submission::check(self.subject, host, args).await;
                self.take(vec![finding]);
                let subject = self.subject;
                self.settle(Some(host), async || loopback::check(subject, host).await.into_iter().collect()).await;
            } else {
                self.skip(&["job"], "Slurm's commands are not found");
            }
        }
        self.take(programs::check(self.subject, host).await);
        self.take(vec![space::check(self.subject, host).await]);
        if let Some((options, survey, _)) = way.filter(|_| self.person.is_there()) {
            self.settle(None, async || ssh_configuration::short_name(options, survey).into_iter().collect()).await;
        }
    }

    /// What was looked at, in a file, for who wants one.
    async fn new_file(&mut self) {
        if !self.person.is_there() {
            return;
        }
        let subject = self.subject;
        let route = deep_routes::noted(subject, &self.findings);
        let asked = self.settle(None, async || new_file::check(subject, route.as_deref()).into_iter().collect());
        subject.stop.run_until_cancelled(asked).await;
        if subject.stop.is_cancelled() {
            self.interrupted();
        }
    }

    /// The job, if one was asked for and Slurm would take it. It sees to its own end where the visit is stopped.
    async fn deep(&mut self, host: &Host) {
        let Some(wanted) = &self.subject.deep else { return };
        let Starter::Slurm { args, .. } = &self.subject.plan.starter else {
            return self.skip(&["short job"], "there is no job without --use-slurm");
        };
        if self.subject.stop.is_cancelled() {
            return self.skip(&["short job"], "interrupted");
        }
        let job = self.findings.iter().find(|finding| finding.check == "job");
        if job.is_none_or(|job| job.level != Level::Ok) {
            return self.skip(&["short job"], "Slurm would not take the job");
        }
        let findings = deep::check(self.subject, host, args, wanted).await;
        self.take(findings);
    }
}

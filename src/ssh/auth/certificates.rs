//! Certificates: which are good to be shown now.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jiff::Timestamp;
use russh::keys::ssh_key::certificate::CertType;
use russh::keys::{Certificate, load_openssh_certificate};

use crate::ssh::SshError;
use crate::ssh::words::printable;

/// How long before its end a certificate is warned about.
const SOON: Duration = Duration::from_hours(1);

/// A certificate and where it comes from.
#[derive(Clone, Debug)]
pub(super) struct Certified {
    /// What a user is told of where it comes from.
    pub(super) source: String,
    pub(super) certificate: Box<Certificate>,
}

impl Certified {
    /// Reads the certificate that a configuration names.
    ///
    /// # Errors
    /// It is not there, or is none.
    pub(super) fn load(file: &Path) -> Result<Self, SshError> {
        match load_openssh_certificate(file) {
            Ok(certificate) => Ok(Self { source: file.display().to_string(), certificate: Box::new(certificate) }),
            Err(error) => Err(SshError::CertificateUnusable {
                certificate: file.display().to_string(),
                problem: error.to_string(),
            }),
        }
    }

    /// Reads the file `KEY-cert.pub`, if there is one.
    pub(super) fn beside(key: &Path) -> Option<Self> {
        let mut name = key.as_os_str().to_owned();
        name.push("-cert.pub");
        Self::load(&PathBuf::from(name)).ok()
    }

    /// Whether it is worth showing at `now`.
    ///
    /// # Errors
    /// It is too old or too new, or a host's.
    pub(super) fn judge(&self, now: SystemTime) -> Result<(), SshError> {
        let unusable = |problem: String| SshError::CertificateUnusable { certificate: self.source.clone(), problem };
        if self.certificate.cert_type() != CertType::User {
            return Err(unusable("it is a host's and not a user's".to_owned()));
        }
        let seconds = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let (from, until) = (self.certificate.valid_after(), self.certificate.valid_before());
        if seconds >= until {
            return Err(unusable(format!("it expired on {}", date(until))));
        }
        if seconds < from {
            return Err(unusable(format!("it is not valid before {}", date(from))));
        }
        if until - seconds < SOON.as_secs() {
            let source = printable(&self.source);
            tracing::warn!(certificate = source, until = date(until), "a certificate expires within the hour");
        }
        Ok(())
    }
}

/// Seconds since 1970 as a date; the end of time is beyond what a calendar has.
fn date(seconds: u64) -> String {
    let moment = i64::try_from(seconds).ok().and_then(|seconds| Timestamp::from_second(seconds).ok());
    moment
        .map_or_else(|| "a day that never comes".to_owned(), |moment| moment.strftime("%Y-%m-%d %H:%M UTC").to_string())
}

#[cfg(test)]
#[path = "certificates_test.rs"]
mod tests;

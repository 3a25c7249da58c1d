//! Why something over SSH did not work: one variant for each cause that asks for something else of the user.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use russh::keys::PublicKey;

use super::words::{besides_words, list_or, notes_words, place_words, said, tried_words};
use super::{ChangedServer, CommandFault, UnknownServer};

/// Something over SSH did not work.
///
/// It can be cloned, because all who waited for one connection attempt are told the same.
#[derive(Clone, Debug, thiserror::Error)]
pub enum SshError {
    /// The destination cannot be read.
    #[error("`{destination}` is not an SSH destination: {problem}")]
    BadDestination {
        /// As it was written.
        destination: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A configuration file that was asked for cannot be read.
    #[error("the SSH configuration {} cannot be read: {source}", file.display())]
    ConfigUnreadable {
        /// The file.
        file: PathBuf,
        /// Why.
        source: Arc<io::Error>,
    },
    /// A line of the configuration means nothing.
    #[error("{}:{line}: {problem}", file.display())]
    ConfigInvalid {
        /// The file.
        file: PathBuf,
        /// Its line, counted from 1.
        line: usize,
        /// What is wrong with it.
        problem: String,
    },
    /// A setting that was given as an argument means nothing.
    #[error("`{setting}`: {problem}")]
    SettingInvalid {
        /// As it was given.
        setting: String,
        /// What is wrong with it.
        problem: String,
    },
    /// OpenSSH's own client refuses the configuration.
    #[error("ssh does not accept the SSH configuration: {words}")]
    ConfigRefused {
        /// Its own words.
        words: String,
    },
    /// OpenSSH's own client did not say in time what the configuration comes to.
    #[error("`{} -G` did not read the SSH configuration within {} s", program.display(), after.as_secs())]
    ConfigTimedOut {
        /// The program.
        program: PathBuf,
        /// How long we waited.
        after: Duration,
    },
    /// The configuration only allows what we do not have.
    #[error("the SSH configuration only allows {keyword} `{allowed}`, and this program has none of them")]
    NothingLeft {
        /// The keyword, such as `Ciphers`.
        keyword: &'static str,
        /// What it allows.
        allowed: String,
    },
    /// The way to a host leads through itself.
    #[error("the jump hosts lead in a circle: {chain}")]
    JumpCircle {
        /// The hosts, from the first one asked for to the one that comes again.
        chain: String,
    },
    /// The way to a host leads through too many others.
    #[error("the way leads through too many jump hosts: {chain}")]
    TooManyJumps {
        /// The hosts, from the first one asked for.
        chain: String,
    },
    /// The host's name has no address.
    #[error("the host name {host} cannot be resolved: {source}")]
    NameNotResolved {
        /// The name.
        host: String,
        /// What the resolver said.
        source: Arc<io::Error>,
    },
    /// Nothing listens there.
    #[error("{host} port {port} refused the connection")]
    ConnectionRefused {
        /// The host.
        host: String,
        /// The port.
        port: u16,
    },
    /// No address of the host answered in time.
    #[error("{host} port {port} did not answer within {} s", after.as_secs())]
    ConnectionTimedOut {
        /// The host.
        host: String,
        /// The port.
        port: u16,
        /// How long we waited.
        after: Duration,
    },
    /// The network does not lead there.
    #[error("{host} port {port} cannot be reached: {source}")]
    Unreachable {
        /// The host.
        host: String,
        /// The port.
        port: u16,
        /// What the system said.
        source: Arc<io::Error>,
    },
    /// The server took the connection and then did not speak SSH in time.
    #[error("{host} took the connection and did not finish its SSH handshake within {} s", after.as_secs())]
    HandshakeTimedOut {
        /// Whether it had said by then that it speaks SSH.
        greeted: bool,
        /// The host.
        host: String,
        /// How long we waited.
        after: Duration,
    },
    /// The server ended the connection before its SSH handshake.
    #[error("{host} ended the connection before the SSH handshake{}", said(words))]
    TurnedAway {
        /// The host.
        host: String,
        /// What it said, or nothing.
        words: String,
    },
    /// Server and client have no algorithm in common.
    #[error("{host} and this program share no {kind} algorithm (the server has: {theirs})")]
    NoCommonAlgorithm {
        /// The host.
        host: String,
        /// What kind of algorithm.
        kind: String,
        /// The server's list.
        theirs: String,
    },
    /// The command that was to carry the connection did not.
    #[error("the ProxyCommand for {host} failed: {words}")]
    ProxyCommandFailed {
        /// The host that it was to lead to.
        host: String,
        /// How it ended, and its last words.
        words: String,
        /// Whether it may do better another time.
        fault: CommandFault,
    },
    /// A host on the way to the one that is wanted failed.
    #[error("through {hop}: {error}")]
    Through {
        /// The host on the way, as the user calls it.
        hop: String,
        /// What failed there.
        error: Box<SshError>,
    },
    /// What only a person can change was not tried again.
    #[error("{refusal} (it is not tried again until `llm-proxy login`: sites bar whoever fails to log in too often)")]
    StillRefused {
        /// How the last attempt failed.
        refusal: Box<SshError>,
    },
    /// The server's key is not in any `known_hosts` file.
    #[error("the host key of {host} is not known: {key_type} {fingerprint}{}", besides.words(file))]
    HostKeyUnknown {
        /// The name it was looked up by.
        host: String,
        /// The kind of key.
        key_type: Box<str>,
        /// Its SHA-256 fingerprint, as `ssh` prints it.
        fingerprint: Box<str>,
        /// The user's file of known hosts.
        file: PathBuf,
        /// What else is to be known about it.
        besides: Box<UnknownServer>,
        /// The key itself.
        key: Box<PublicKey>,
    },
    /// The server shows another key than the one that is known.
    #[error("the host key of {host} has changed: it shows {key_type} {fingerprint}, and {} knows another", place_words(file, *line))]
    HostKeyChanged {
        /// The name it was looked up by.
        host: String,
        /// The kind of key.
        key_type: Box<str>,
        /// The SHA-256 fingerprint of the key it shows.
        fingerprint: Box<str>,
        /// The file that knows another.
        file: PathBuf,
        /// Its line, counted from 1; 0 where only this process knows it.
        line: usize,
        /// What else is to be known about it.
        besides: Box<ChangedServer>,
    },
    /// The server's key is marked as revoked.
    #[error("the host key of {host} is revoked: {key_type} {fingerprint} ({}:{line})", file.display())]
    HostKeyRevoked {
        /// The name it was looked up by.
        host: String,
        /// The kind of key.
        key_type: Box<str>,
        /// Its SHA-256 fingerprint.
        fingerprint: Box<str>,
        /// The file that says so.
        file: PathBuf,
        /// Its line, counted from 1.
        line: usize,
    },
    /// The configuration names a list of revoked host keys that cannot be used, so that no key can be judged.
    #[error("{named_by} sets RevokedHostKeys, and {} cannot be used: {problem}", list.display())]
    RevokedHostKeysUnusable {
        /// The list.
        list: PathBuf,
        /// Why.
        problem: String,
        /// Who names it: a file and its line, where they are known.
        named_by: String,
    },
    /// A file of known hosts exists and cannot be read, so that no key can be judged.
    #[error("{} cannot be read: {source}", file.display())]
    KnownHostsUnreadable {
        /// The file.
        file: PathBuf,
        /// Why.
        source: Arc<io::Error>,
    },
    /// The server took none of our keys, and nothing else that we have.
    #[error(
        "{user}@{host} could not be authenticated: {}; the server offers: {}{}",
        tried_words(tried),
        list_or(offers, "nothing more"),
        notes_words(notes)
    )]
    AuthenticationFailed {
        /// The user.
        user: String,
        /// The host.
        host: String,
        /// What was offered, in order.
        tried: Vec<String>,
        /// The methods that the server still offers.
        offers: Vec<String>,
        /// What else went wrong on the way.
        notes: Vec<String>,
    },
    /// Only a person can go on: a passphrase, a password or a code is asked for, and nobody is there to give it.
    #[error("{user}@{host} asks for {what}, and nobody is there to answer{}", besides_words(tried))]
    PersonNeeded {
        /// The user.
        user: String,
        /// The host.
        host: String,
        /// What is asked for, such as `a password`.
        what: String,
        /// What was refused before, in order.
        tried: Vec<String>,
    },
    /// A person is being asked already, and takes long.
    #[error("{user}@{host} is asking a person at a terminal, who has not answered yet")]
    PersonAsked {
        /// The user.
        user: String,
        /// The host.
        host: String,
    },
    /// A key was right, and the server asks for something more that this program does not have, such as Kerberos.
    #[error(
        "{user}@{host} accepts {accepted} and then asks for what this program does not have: {}",
        list_or(offers, "it does not say what")
    )]
    MoreAuthenticationNeeded {
        /// The user.
        user: String,
        /// The host.
        host: String,
        /// What was right.
        accepted: String,
        /// The methods that the server asks for.
        offers: Vec<String>,
    },
    /// The connection ended while we authenticated, and the server may count that as a failure.
    #[error("{host} ended the connection during authentication: {words}; {}", tried_words(tried))]
    AuthenticationCutOff {
        /// The host.
        host: String,
        /// The server's own words, or what we saw.
        words: String,
        /// What was shown, in order.
        tried: Vec<String>,
    },
    /// The connection ended while the server looked at a key, and it had refused nothing.
    #[error("the link to {host} broke during authentication: {words}; {}", tried_words(tried))]
    LoginInterrupted {
        /// The host.
        host: String,
        /// What we saw.
        words: String,
        /// What was shown, in order.
        tried: Vec<String>,
    },
    /// The server did not judge what a person answered.
    #[error("{host} did not say within {} s whether it lets {user} in", after.as_secs())]
    NoVerdict {
        /// The user.
        user: String,
        /// The host.
        host: String,
        /// How long we waited.
        after: Duration,
    },
    /// A certificate cannot be used, most often because it expired.
    #[error("the certificate {certificate} cannot be used: {problem}")]
    CertificateUnusable {
        /// Where it is.
        certificate: String,
        /// Why, with the date if it is one.
        problem: String,
    },
    /// A key file cannot be used.
    #[error("the key {} cannot be used: {problem}", file.display())]
    KeyUnreadable {
        /// The file.
        file: PathBuf,
        /// Why.
        problem: String,
    },
    /// The agent is the only one who could help, and cannot.
    #[error("the SSH agent cannot be used: {problem}")]
    Agent {
        /// Why.
        problem: String,
    },
    /// The connection ended.
    #[error("the SSH connection to {host} ended: {reason}")]
    Disconnected {
        /// The host.
        host: String,
        /// The server's own words, or what we saw.
        reason: String,
        /// Whether the server said so, in the words above.
        by_server: bool,
    },
    /// The server's policy forbids this connection.
    #[error("{host} does not allow a connection to {address}{}", said(words))]
    Prohibited {
        /// The SSH host.
        host: String,
        /// What was to be dialled.
        address: String,
        /// The server's own words, or nothing.
        words: String,
    },
    /// The server tried to connect, and failed.
    #[error("{host} could not connect to {address}{}", said(words))]
    ConnectFailed {
        /// The SSH host.
        host: String,
        /// What was to be dialled.
        address: String,
        /// The server's own words, or nothing.
        words: String,
    },
    /// All connections are full.
    #[error(
        "all {connections} SSH connections to {host} carry as many streams as they may{}",
        if *needs_person { ", and only a person could log in for another one" } else { "" }
    )]
    TooManyChannels {
        /// The host.
        host: String,
        /// How many connections there are.
        connections: usize,
        /// Whether another one was not tried because a person would be asked.
        needs_person: bool,
    },
    /// The server would not start a command.
    #[error("{host} would not run a command{}", said(words))]
    ExecRefused {
        /// The host.
        host: String,
        /// The server's own words, or nothing.
        words: String,
    },
    /// The server broke the protocol.
    #[error("the SSH conversation with {host} failed: {problem}")]
    Protocol {
        /// The host.
        host: String,
        /// What happened.
        problem: String,
    },
    /// We closed this client.
    #[error("the SSH connection to {host} is closed")]
    Closed {
        /// The host.
        host: String,
    },
}

impl SshError {
    /// What a user can do about it, if there is something.
    #[must_use]
    pub fn remedy(&self) -> Option<String> {
        super::error_remedy::remedy(self)
    }

    /// Whether the cause is who we are, or how we show it.
    #[must_use]
    pub fn is_authentication(&self) -> bool {
        matches!(
            self.root(),
            Self::AuthenticationFailed { .. }
                | Self::PersonNeeded { .. }
                | Self::MoreAuthenticationNeeded { .. }
                | Self::AuthenticationCutOff { .. }
                | Self::NoVerdict { .. }
                | Self::CertificateUnusable { .. }
                | Self::KeyUnreadable { .. }
                | Self::Agent { .. }
                | Self::ProxyCommandFailed { fault: CommandFault::Refused, .. }
        )
    }

    /// Whether only a person can go on: to answer what the server asks, or to see to its key, or to what has failed too often.
    #[must_use]
    pub fn needs_person(&self) -> bool {
        self.is_authentication()
            || self.is_host_key()
            || matches!(self, Self::StillRefused { .. } | Self::PersonAsked { .. })
    }

    /// Whether what is missing is the connection itself, which may come back by itself.
    #[must_use]
    pub fn is_link_loss(&self) -> bool {
        self.is_transient() && !matches!(self, Self::ConnectFailed { .. } | Self::TooManyChannels { .. })
    }

    /// Whether the cause is who the server is, or how we know it.
    #[must_use]
    pub fn is_host_key(&self) -> bool {
        matches!(
            self.root(),
            Self::HostKeyUnknown { .. }
                | Self::HostKeyChanged { .. }
                | Self::HostKeyRevoked { .. }
                | Self::RevokedHostKeysUnusable { .. }
                | Self::KnownHostsUnreadable { .. }
        )
    }

    /// Whether the same may work later, with nobody doing anything about it.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        !matches!(self, Self::StillRefused { .. })
            && matches!(
                self.root(),
                Self::NameNotResolved { .. }
                    | Self::ConnectionRefused { .. }
                    | Self::ConnectionTimedOut { .. }
                    | Self::Unreachable { .. }
                    | Self::HandshakeTimedOut { .. }
                    | Self::TurnedAway { .. }
                    | Self::ProxyCommandFailed { fault: CommandFault::Unexplained | CommandFault::Passing, .. }
                    | Self::LoginInterrupted { .. }
                    | Self::Disconnected { .. }
                    | Self::ConnectFailed { .. }
                    | Self::TooManyChannels { .. }
            )
    }

    /// What happened, whichever host on the way it happened to, and however long ago.
    #[must_use]
    pub fn root(&self) -> &Self {
        match self {
            Self::Through { error: inner, .. } | Self::StillRefused { refusal: inner } => inner.root(),
            other => other,
        }
    }
}

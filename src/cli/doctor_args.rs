//! The arguments of `doctor`: those of `serve`, without a COMMAND if there is none yet.

use clap::builder::Resettable;
use clap::{Arg, ArgMatches, Args, Command, FromArgMatches};

use super::ServeArgs;
use crate::host::Address;

/// Where models come from, unless `--hub` says otherwise.
const MODEL_HUB: &str = "huggingface.co:443";

/// Where packages come from.
const PACKAGE_INDEX: &str = "pypi.org:443";

/// The arguments of `doctor`. Without a `Debug`: they may hold secrets.
#[derive(Args)]
pub struct DoctorArgs {
    /// Those of `serve`.
    #[command(flatten)]
    pub(super) serve: OptionalCommand,

    /// Run a job of a minute at most, too: what its node is like, whether it is reached, and what it reaches
    #[arg(long, requires = "use_slurm")]
    pub deep: bool,

    /// With --deep, look whether the node reaches this; repeatable
    #[arg(long, requires = "deep", value_name = "HOST:PORT", value_parser = hub, default_values = [MODEL_HUB, PACKAGE_INDEX])]
    pub hub: Vec<Address>,

    /// Print what was found as JSON, and ask nothing
    #[arg(long)]
    pub json: bool,

    /// Ask nothing and mend nothing, on a terminal too
    #[arg(long)]
    pub no_input: bool,
}

fn hub(text: &str) -> Result<Address, String> {
    let parted = text.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse::<u16>().ok()?)));
    let (host, port) = parted.ok_or("write it as HOST:PORT")?;
    Ok(Address { host: host.trim_matches(['[', ']']).to_owned(), port })
}

/// The arguments of `serve`, of which COMMAND may be missing.
pub(super) struct OptionalCommand(pub(super) ServeArgs);

fn optional(argument: Arg) -> Arg {
    argument.required_unless_present(Resettable::Reset)
}

impl Args for OptionalCommand {
    fn augment_args(command: Command) -> Command {
        ServeArgs::augment_args(command).mut_arg("command", optional)
    }

    fn augment_args_for_update(command: Command) -> Command {
        ServeArgs::augment_args_for_update(command).mut_arg("command", optional)
    }
}

impl FromArgMatches for OptionalCommand {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        ServeArgs::from_arg_matches(matches).map(Self)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        self.0.update_from_arg_matches(matches)
    }
}

#[cfg(test)]
mod tests {
    use clap::{Args as _, Command};
    use test_case::test_case;

    use super::{DoctorArgs, hub};

    /// What the command line is refused for, if it is.
    fn refusal(words: &[&str]) -> Option<String> {
        let command = DoctorArgs::augment_args(Command::new("doctor"));
        command.try_get_matches_from(words).err().map(|error| error.to_string())
    }

    #[test]
    fn a_hub_is_for_the_short_job_alone() {
        assert!(refusal(&["doctor", "--hub", "h:1"]).is_some_and(|told| told.contains("--deep")));
        for words in [&["doctor"][..], &["doctor", "--use-slurm", "--deep", "--hub", "h:1"]] {
            assert_eq!(refusal(words), None);
        }
    }

    #[test_case("h:443", Some(("h", 443)))]
    #[test_case("[::1]:1", Some(("::1", 1)))]
    #[test_case("h", None; "no port")]
    #[test_case("h:x", None; "no number")]
    fn a_hub_is_read(text: &str, expected: Option<(&str, u16)>) {
        let read = hub(text).ok();
        assert_eq!(read.as_ref().map(|address| (address.host.as_str(), address.port)), expected);
    }
}

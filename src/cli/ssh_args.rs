//! How a login host is reached, in the letters of `ssh`.

use clap::Args;

/// What `ssh` can be told in an argument, too.
#[derive(Args, Clone, Debug, Default)]
pub struct SshArgs {
    /// Log in to that host through these, as with ssh -J: `[user@]host[:port]`, several with commas; none: through none
    #[arg(long, short = 'J', value_name = "HOSTS", requires = "login")]
    pub jump: Option<String>,

    /// Log in under this name, as with ssh -l; one in --login wins
    #[arg(long, short = 'l', value_name = "USER", requires = "login")]
    pub login_name: Option<String>,

    /// Log in at this port, as with ssh -p; one in --login wins
    #[arg(long, short = 'p', value_name = "PORT", requires = "login", value_parser = clap::value_parser!(u16).range(1..))]
    pub login_port: Option<u16>,

    /// Set this option of the SSH configuration, as with ssh -o; repeatable
    #[arg(long, short = 'o', value_name = "KEY=VALUE", requires = "login")]
    pub ssh_option: Vec<String>,

    /// Trust the login host (and no jump host) if its key is not known, and write the key down; a changed key is refused all the same
    #[arg(long, requires = "login")]
    pub accept_new_host_key: bool,
}

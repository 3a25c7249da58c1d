//! Which route: what was wished, what is tried, what became of it.

use std::fmt;

use crate::config::RouteName;

/// How bytes reach an engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// The host dials the engine's port.
    Direct,
    /// By SSH on to the engine's machine, and there to its loopback.
    Nested,
    /// Through an `ssh -R` from beside the engine.
    Reverse,
    /// Through the standard streams of a program beside the engine.
    Relay,
}

/// Which routes are tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Wish {
    /// All that there are, in order.
    #[default]
    Auto,
    /// This one alone.
    Only(Route),
}

/// The route that was taken, and those that were tried before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    /// The route.
    pub route: Route,
    /// What was tried in vain.
    pub passed_over: Vec<PassedOver>,
}

/// A route that was tried in vain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PassedOver {
    /// The route.
    pub route: Route,
    /// What was seen.
    pub why: String,
}

impl Route {
    /// All that there are, in the order in which they are tried.
    pub const ALL: [Self; 4] = [Self::Direct, Self::Nested, Self::Reverse, Self::Relay];
}

impl Wish {
    /// Whether this route is to be tried.
    #[must_use]
    pub fn allows(self, route: Route) -> bool {
        match self {
            Self::Auto => true,
            Self::Only(only) => only == route,
        }
    }
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Direct => "direct",
            Self::Nested => "nested",
            Self::Reverse => "reverse",
            Self::Relay => "relay",
        })
    }
}

impl fmt::Display for PassedOver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.route, self.why)
    }
}
impl From<RouteName> for Wish {
    fn from(name: RouteName) -> Self {
        match name {
            RouteName::Auto => Self::Auto,
            RouteName::Direct => Self::Only(Route::Direct),
            RouteName::Nested => Self::Only(Route::Nested),
            RouteName::Reverse => Self::Only(Route::Reverse),
            RouteName::Relay => Self::Only(Route::Relay),
        }
    }
}

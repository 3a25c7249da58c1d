//! One environment variable for the engine: `--env NAME=VALUE`.

use std::fmt;

use secrecy::SecretString;

/// A variable for the engine's environment. Its value may be a secret, so a `Debug` leaves it out.
#[derive(Clone, PartialEq, Eq)]
pub struct Variable {
    name: String,
    value: String,
}

/// A variable cannot be used. The messages never hold a value: it may be a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VariableError {
    /// The name is empty or holds what no shell takes in a name.
    #[error("'{name}' cannot be the name of a variable; a name has letters, digits and _ and starts with no digit")]
    Name {
        /// The name as written.
        name: String,
    },
    /// `NAME` alone, and the environment has no such variable.
    #[error("{name} is not set in this environment; set it, or write {name}=VALUE")]
    Unset {
        /// The name.
        name: String,
    },
    /// No process can be given a NUL in its environment.
    #[error("the value of {name} holds a NUL character")]
    Nul {
        /// The name.
        name: String,
    },
}

impl Variable {
    /// A variable with this name and value.
    ///
    /// # Errors
    /// The name is none, or the value holds a NUL.
    pub fn new(name: &str, value: impl Into<String>) -> Result<Self, VariableError> {
        let mut chars = name.chars();
        let starts_well = chars.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_');
        if !starts_well || !chars.all(|c| c.is_ascii_alphanumeric() || c == '_') {
            return Err(VariableError::Name { name: name.to_owned() });
        }
        let value = value.into();
        if value.contains('\0') {
            return Err(VariableError::Nul { name: name.to_owned() });
        }
        Ok(Self { name: name.to_owned(), value })
    }

    /// Reads `NAME=VALUE`, or `NAME` alone, whose value `lookup` then gives (from our own environment).
    ///
    /// # Errors
    /// See [`VariableError`].
    pub fn parse(text: &str, lookup: impl FnOnce(&str) -> Option<String>) -> Result<Self, VariableError> {
        if let Some((name, value)) = text.split_once('=') {
            return Self::new(name, value);
        }
        let empty = Self::new(text, "")?;
        let value = lookup(text).ok_or(VariableError::Unset { name: empty.name })?;
        Self::new(text, value)
    }

    /// What it is called.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it is set to.
    #[must_use]
    pub fn value(&self) -> &str {
        &self.value
    }

    /// Name and value, the value kept from every `Debug`.
    #[must_use]
    pub fn into_pair(self) -> (String, SecretString) {
        (self.name, SecretString::from(self.value))
    }
}

impl fmt::Debug for Variable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Variable({}=…)", self.name)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use test_case::test_case;

    use super::*;

    fn parse(text: &str) -> Result<Variable, VariableError> {
        Variable::parse(text, |name| (name == "SET").then(|| "from here".to_owned()))
    }

    #[test_case("A=b", "A", "b")]
    #[test_case("A=", "A", ""; "empty value")]
    #[test_case("_a1=x=y z", "_a1", "x=y z"; "equals sign in the value")]
    #[test_case("SET", "SET", "from here")]
    fn reads(text: &str, name: &str, value: &str) {
        let variable = parse(text).unwrap();
        assert_eq!((variable.name(), variable.value()), (name, value));
    }

    #[test_case("=x", "'' cannot be the name of a variable; a name has letters, digits and _ and starts with no digit")]
    #[test_case(
        "1A=hunter2",
        "'1A' cannot be the name of a variable; a name has letters, digits and _ and starts with no digit"
    )]
    #[test_case(
        "A-B=hunter2",
        "'A-B' cannot be the name of a variable; a name has letters, digits and _ and starts with no digit"
    )]
    #[test_case("UNSET", "UNSET is not set in this environment; set it, or write UNSET=VALUE")]
    #[test_case("A=hunter2\0", "the value of A holds a NUL character")]
    fn says_what_is_wrong(text: &str, message: &str) {
        assert_eq!(parse(text).unwrap_err().to_string(), message);
    }

    #[test]
    fn debug_keeps_the_value_to_itself() {
        assert_eq!(format!("{:?}", parse("TOKEN=hunter2").unwrap()), "Variable(TOKEN=…)");
    }
}

//! Reads a dotenv file for the engine, without a change to our own environment.

use std::io;
use std::path::{Path, PathBuf};

use super::{Variable, VariableError};

/// The largest file taken, in bytes: a dotenv file is written by hand.
const MAX_BYTES: u64 = 1024 * 1024;

/// A dotenv file cannot be used. The messages never hold a line of it: it is a file of secrets.
#[derive(Debug, thiserror::Error)]
pub enum EnvFileError {
    /// It could not be read.
    #[error("cannot read the environment file {}", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// More than a dotenv file ever has.
    #[error("the environment file {} has more than {MAX_BYTES} bytes", path.display())]
    TooLong {
        /// Which file.
        path: PathBuf,
    },
    /// A line that is neither NAME=VALUE, nor a comment, nor empty; or a quote that is never closed.
    #[error("{}:{line}: not NAME=VALUE, or a quote is not closed", path.display())]
    Line {
        /// Which file.
        path: PathBuf,
        /// Where, from 1.
        line: usize,
    },
    /// A name that no environment takes.
    #[error("{}", path.display())]
    Variable {
        /// Which file.
        path: PathBuf,
        /// Which variable, and why.
        source: VariableError,
    },
}

/// The variables of a dotenv file, in its order; of a name that is set twice, the last.
///
/// `$NAME` in an unquoted or double-quoted value is replaced, from our environment or from above in the file.
///
/// # Errors
/// See [`EnvFileError`].
pub fn read_env_file(path: &Path) -> Result<Vec<Variable>, EnvFileError> {
    let read_error = |source| EnvFileError::Read { path: path.to_owned(), source };
    if std::fs::metadata(path).map_err(read_error)?.len() > MAX_BYTES {
        return Err(EnvFileError::TooLong { path: path.to_owned() });
    }
    let text = std::fs::read_to_string(path).map_err(read_error)?;
    // Some editors start a file with a byte order mark; to dotenvy it is a part of the first name.
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    parse(path, text)
}

fn parse(path: &Path, text: &str) -> Result<Vec<Variable>, EnvFileError> {
    let mut variables: Vec<Variable> = Vec::new();
    for pair in dotenvy::from_read_iter(text.as_bytes()) {
        let (name, value) = pair.map_err(|error| explain(path, text, error))?;
        let variable =
            Variable::new(&name, value).map_err(|source| EnvFileError::Variable { path: path.to_owned(), source })?;
        variables.retain(|earlier| earlier.name() != name);
        variables.push(variable);
    }
    Ok(variables)
}

/// dotenvy's own message holds the line, and so perhaps a secret: all that is taken from it is where the line is.
fn explain(path: &Path, text: &str, error: dotenvy::Error) -> EnvFileError {
    let path = path.to_owned();
    match error {
        dotenvy::Error::LineParse(content, _) => {
            EnvFileError::Line { path, line: line_of(text, content.trim_end_matches(['\n', '\r'])) }
        }
        dotenvy::Error::Io(source) => EnvFileError::Read { path, source },
        other => EnvFileError::Read { path, source: io::Error::new(io::ErrorKind::InvalidData, kind_of(&other)) },
    }
}

fn kind_of(error: &dotenvy::Error) -> &'static str {
    match error {
        dotenvy::Error::EnvVar(_) => "a variable that it refers to is not text",
        _ => "it is not understood",
    }
}

/// The number of the line where `content` starts a line of `text`; 1 where it is not found.
fn line_of(text: &str, content: &str) -> usize {
    let starts_a_line = |at: usize| at == 0 || text.get(..at).is_some_and(|before| before.ends_with('\n'));
    text.match_indices(content)
        .map(|(at, _)| at)
        .find(|at| starts_a_line(*at))
        .and_then(|at| text.get(..at))
        .map_or(1, |before| before.matches('\n').count() + 1)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use test_case::test_case;

    use super::*;

    fn read(text: &str) -> Result<Vec<Variable>, String> {
        parse(Path::new("a.env"), text).map_err(|error| error.to_string())
    }

    #[test]
    fn reads_what_dotenv_files_hold() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let text =
            "\u{feff}# tokens\nHF_TOKEN=hf_1\n\nexport B=\"two words\"\nC='$HF_TOKEN'\nD=\"x\ny\"\nB=again # why\n";
        std::fs::write(file.path(), text).unwrap();
        let variables = read_env_file(file.path()).unwrap();
        let pairs: Vec<_> = variables.iter().map(|v| (v.name(), v.value())).collect();
        assert_eq!(pairs, [("HF_TOKEN", "hf_1"), ("C", "$HF_TOKEN"), ("D", "x\ny"), ("B", "again")]);
        assert!(std::env::var_os("HF_TOKEN").is_none_or(|token| token != "hf_1"));
    }

    #[test_case("A=1\nB hunter2\n", "a.env:2: not NAME=VALUE, or a quote is not closed"; "no equals sign")]
    #[test_case("A=1\n\nB='hunter2\nC=3\n", "a.env:3: not NAME=VALUE, or a quote is not closed"; "open quote")]
    #[test_case("A=one two\n", "a.env:1: not NAME=VALUE, or a quote is not closed"; "unquoted space")]
    #[test_case("A.B=hunter2\n", "a.env"; "name with a dot")]
    fn says_where_and_never_what(text: &str, message: &str) {
        assert_eq!(read(text).unwrap_err(), message);
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = read_env_file(Path::new("/nonexistent/x.env")).unwrap_err();
        assert_eq!(error.to_string(), "cannot read the environment file /nonexistent/x.env");
    }
}

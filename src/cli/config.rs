//! `config`: what a file says, what is wrong with it, and what may stand in it.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::config_args::{ConfigArgs, ConfigVerb};
use super::served::Served;
use super::{Report, ServeArgs, configured, output, settings};
use crate::backend;
use crate::config::{self, Config, Instance, Row, VARIABLES};

/// Runs `config`.
pub(super) fn run(args: ConfigArgs) -> Result<ExitCode, Report> {
    match args.verb {
        ConfigVerb::Check(described) => check(&file_of(described.serve.0)?, described.json),
        ConfigVerb::Show(described) => show(&file_of(described.serve.0)?, described.json),
        ConfigVerb::Schema => {
            output::write(&(serde_json::to_string_pretty(&config::schema()).map_err(Report::failure)? + "\n"))
        }
        ConfigVerb::Env { json } => variables(json),
    }
    .map(|()| ExitCode::SUCCESS)
}

/// `config check FILE` is what everybody types first.
fn file_of(mut args: ServeArgs) -> Result<ServeArgs, Report> {
    let is_file = |word: &String| {
        let kind = Path::new(word).extension();
        kind.is_some_and(|kind| kind == "yaml" || kind == "yml" || kind == "json")
    };
    if args.config.is_none()
        && let [file, rest @ ..] = args.command.as_slice()
        && is_file(file)
    {
        if !rest.is_empty() {
            return Err(Report::usage(format!("what stands behind {file} is not read"))
                .hinted(format!("write the options first: {} {file}", rest.join(" "))));
        }
        args.config = Some(PathBuf::from(file));
        args.command.clear();
        args.typed.forget("command");
    }
    Ok(args)
}

/// One look at each instance, then at all together, as `serve` would take them. All that is wrong with the file itself was
/// told before.
fn check(args: &ServeArgs, json: bool) -> Result<(), Report> {
    let chosen = configured::choose(args)?;
    let with_commands = || chosen.all.iter().filter(|args| !args.command.is_empty());
    let fault = |args: &ServeArgs| {
        let of = args.name.as_ref().filter(|_| chosen.by_model).map(|name| format!("{name}: ")).unwrap_or_default();
        settings::resolve(args).err().map(|report| format!("{of}{}", report.what))
    };
    let faults: Vec<String> = with_commands().filter_map(fault).collect();
    if !faults.is_empty() {
        return Err(Report::usage(faults.join("\n       ")));
    }
    let warnings = match with_commands().next() {
        Some(_) => Served::resolve(args, &chosen)?.warnings,
        None => Vec::new(),
    };
    let names = chosen.config.instances.iter().filter_map(|instance| instance.name.clone());
    let names: Vec<String> = names.filter(|name| chosen.by_model || args.name.as_ref() == Some(name)).collect();
    if json {
        return output::print_json(&serde_json::json!({ "models": names, "warnings": warnings }));
    }
    for warning in &warnings {
        output::print(&format!("warning: {warning}"))?;
    }
    let models = if names.is_empty() { "one server".to_owned() } else { names.join(", ") };
    output::print(&format!("nothing is wrong: {models}"))
}

fn show(args: &ServeArgs, json: bool) -> Result<(), Report> {
    let config = configured::resolve(args)?;
    let rows = rows(&config, args)?;
    if json {
        return output::print_json(&rows);
    }
    let (keys, values) = (width(&rows, |row| &row.key), width(&rows, |row| &row.value));
    let line = |row: &Row| format!("{:keys$}  {:values$}  # {}\n", row.key, row.value, row.source);
    output::print(&rows.iter().map(line).collect::<String>())
}

fn rows(config: &Config, args: &ServeArgs) -> Result<Vec<Row>, Report> {
    let mut rows = config.rows();
    // The others are the same but for their names.
    let is_first = |instance: &&Instance| instance.replica.as_ref().is_none_or(|replica| replica.number == 1);
    for instance in config.instances.iter().filter(is_first) {
        let path = instance.name.as_ref().map(|name| format!("models.{name}.")).unwrap_or_default();
        rows.extend(instance.rows());
        let typed = args.typed.has("command") || args.config.is_none();
        let command = if typed { args.command.clone() } else { configured::command_of(instance)?.words };
        if !command.is_empty() {
            let source =
                if typed { "the command line".to_owned() } else { "made of the above and its arguments".to_owned() };
            let words = backend::redact(&command.join(" "));
            rows.push(Row { key: format!("{path}command"), value: words, source });
        }
    }
    for row in &mut rows {
        row.value = backend::redact(&row.value);
    }
    Ok(rows)
}

/// As wide as most need: a long command must not push all else aside.
fn width(rows: &[Row], column: impl Fn(&Row) -> &String) -> usize {
    rows.iter().map(|row| column(row).chars().count()).filter(|width| *width <= 40).max().unwrap_or_default()
}

fn variables(json: bool) -> Result<(), Report> {
    if json {
        return output::print_json(&VARIABLES);
    }
    let width = VARIABLES.iter().map(|known| known.name.len()).max().unwrap_or_default();
    let line = |known: &config::KnownVariable| {
        format!("{:width$}  {} [default: {}]\n", known.name, known.meaning, known.default)
    };
    output::print(&VARIABLES.iter().map(line).collect::<String>())
}

//! The table of clients and situations: made by the tests, kept in the project, and compared.

use std::fmt::Write as _;
use std::path::PathBuf;

use crate::cell::Cell;
use crate::driver::Drivers;
use crate::rows::Row;

/// With this in the environment the table is written anew instead of compared.
const REWRITE: &str = "LLM_PROXY_REWRITE_CLIENTS";

/// One situation: a column.
#[derive(Debug)]
pub(crate) struct Column {
    pub(crate) title: &'static str,
    pub(crate) cells: Vec<Cell>,
}

/// Situations that belong together: one table of the document.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) title: &'static str,
    pub(crate) explanation: &'static str,
    pub(crate) columns: Vec<Column>,
    /// What is wrong with the group as a whole.
    pub(crate) faults: Vec<String>,
}

impl Group {
    /// What is wrong in it, a line for each cell.
    pub(crate) fn faults(&self) -> Vec<String> {
        let fault = |title: &str, (row, cell): (&Row, &Cell)| {
            let fault = cell.fault.as_ref()?;
            Some(format!("{} · {title} · {}: {} {fault}", self.title, row.name(), cell.words))
        };
        let of_column = |column: &Column| {
            Row::ALL.iter().zip(&column.cells).filter_map(|pair| fault(column.title, pair)).collect::<Vec<_>>()
        };
        self.faults.iter().cloned().chain(self.columns.iter().flat_map(of_column)).collect()
    }

    fn write(&self, drivers: &Drivers, text: &mut String) {
        let titles: Vec<&str> = self.columns.iter().map(|column| column.title).collect();
        let rule = vec!["---"; titles.len() + 1].join(" | ");
        let _ = write!(text, "\n## {}\n\n{}\n\n", self.title, self.explanation);
        let _ = writeln!(text, "| client | {} |\n| {rule} |", titles.join(" | "));
        for (at, row) in Row::ALL.iter().enumerate() {
            let version = drivers.version(row);
            let cells: Vec<&str> = self.columns.iter().map(|column| column.cells[at].words.as_str()).collect();
            let name = format!("{} {version}", row.title);
            let _ = writeln!(text, "| {}, {} | {} |", name.trim_end(), row.api.name(), cells.join(" | "));
        }
    }
}

/// Compares the groups with the committed document, or writes that; gives what is wrong.
pub(crate) fn compare(head: &str, groups: &[Group], drivers: &Drivers) -> Result<(), String> {
    let mut text = head.to_owned();
    for group in groups {
        group.write(drivers, &mut text);
    }
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs/clients.md");
    if std::env::var_os(REWRITE).is_some() {
        std::fs::write(&file, text).expect("docs/clients.md can be written");
        return Ok(());
    }
    let committed = std::fs::read_to_string(&file).unwrap_or_default();
    let differences: Vec<String> = text
        .lines()
        .filter(|line| !committed.lines().any(|old| old == *line))
        .map(|line| format!("now:       {line}"))
        .chain(
            committed
                .lines()
                .filter(|old| !text.lines().any(|line| line == *old))
                .map(|old| format!("committed: {old}")),
        )
        .collect();
    if text == committed {
        return Ok(());
    }
    Err(format!(
        "docs/clients.md is not what the clients saw; if that is right, run this test with {REWRITE}=1\n{}",
        differences.join("\n")
    ))
}

//! Holds the code to its plan: who may call whom, how large a file and a function may be, which names say nothing.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};

use syn::spanned::Spanned;
use syn::visit::Visit;

/// An arrow may point only to a later row; those in one row do not know each other.
const LAYERS: &[&[&str]] = &[
    &["main"],
    &["cli"],
    // Only the command line and the tests know the one, only other people's programs the other.
    &["demo", "server"],
    &["app"],
    // Only the command line knows the doctor, who looks at everything from the fleet down.
    &["gateway", "control", "doctor"],
    &["fleet"],
    &["instance"],
    &["launch"],
    &["backend", "slurm", "keeper", "route"],
    &["host"],
    &["ssh"],
    // Used by all.
    &["api", "beside", "config", "id", "marks", "secret", "telemetry", "vault"],
];

const LARGEST_FILE: usize = 500;
const LARGEST_FUNCTION: usize = 70;
/// Nine files in ten are no longer than this, and half of them no longer than the median.
const P90_FILE: usize = 300;
const MEDIAN_FILE: usize = 160;
const FORBIDDEN_NAMES: &[&str] = &["util", "utils", "common", "helper", "helpers", "misc", "manager"];

struct Source {
    path: PathBuf,
    module: String,
    text: String,
    syntax: syn::File,
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut paths = Vec::new();
    collect(&root, &mut paths);
    assert!(paths.len() > 30, "the sources were not found");
    paths
        .into_iter()
        .map(|path| {
            let text = fs::read_to_string(&path).unwrap();
            let inside = path.strip_prefix(&root).unwrap();
            let module = inside.iter().next().unwrap().to_str().unwrap().trim_end_matches(".rs").to_owned();
            let syntax = syn::parse_file(&text).unwrap();
            Source { module, syntax, text, path: inside.to_owned() }
        })
        .collect()
}

fn collect(folder: &Path, paths: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, paths);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            paths.push(path);
        }
    }
}

fn layer(module: &str) -> Option<usize> {
    LAYERS.iter().position(|row| row.contains(&module))
}

/// The text without its inline test modules and comments: tests may be as long and may reach as far as they need to.
fn code(source: &Source) -> String {
    let mut lines: Vec<&str> = source.text.lines().collect();
    for item in source.syntax.items.iter().rev() {
        if let syn::Item::Mod(module) = item
            && module.attrs.iter().any(|attr| attr.path().is_ident("cfg"))
        {
            let attr_line = module.attrs.first().map_or(0, |attr| attr.span().start().line);
            let (first, last) = (attr_line.min(module.span().start().line), module.span().end().line);
            lines.drain(first - 1..last);
        }
    }
    lines.into_iter().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

#[test]
fn arrows_point_only_to_later_layers() {
    let mut faults = Vec::new();
    for source in sources().iter().filter(|source| source.module != "lib") {
        let from = layer(&source.module).unwrap_or_else(|| panic!("{} has no layer", source.path.display()));
        for used in code(source).split("crate::").skip(1) {
            let name: String = used.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
            if name == source.module {
                continue;
            }
            if name == "doctor" && source.module != "cli" {
                faults.push(format!("{} uses crate::doctor", source.path.display()));
            }
            match layer(&name) {
                Some(to) if to > from => {}
                Some(_) => faults.push(format!("{} uses crate::{name}", source.path.display())),
                None => faults.push(format!("{} uses crate::{name}, which has no layer", source.path.display())),
            }
        }
    }
    assert!(faults.is_empty(), "arrows that point back: {faults:#?}");
}

#[test]
fn files_are_small() {
    let mut sizes: Vec<(usize, PathBuf)> =
        sources().iter().map(|source| (code(source).lines().count(), source.path.clone())).collect();
    sizes.sort();
    let too_large: Vec<_> = sizes.iter().filter(|(lines, _)| *lines > LARGEST_FILE).collect();
    assert!(too_large.is_empty(), "over {LARGEST_FILE} lines: {too_large:?}");
    let at = |percent: usize| sizes.get((sizes.len() - 1) * percent / 100).unwrap();
    assert!(at(50).0 <= MEDIAN_FILE, "the median file is {:?}", at(50));
    assert!(at(90).0 <= P90_FILE, "nine in ten are no longer than {:?}", at(90));
}

struct Functions<'a> {
    path: &'a Path,
    faults: Vec<String>,
}

impl Functions<'_> {
    fn check(&mut self, name: &syn::Ident, block: &syn::Block) {
        let lines = block.span().end().line - block.span().start().line + 1;
        if lines > LARGEST_FUNCTION {
            self.faults.push(format!("{}: {name} has {lines} lines", self.path.display()));
        }
    }
}

impl<'ast> Visit<'ast> for Functions<'_> {
    fn visit_item_fn(&mut self, function: &'ast syn::ItemFn) {
        self.check(&function.sig.ident, &function.block);
        syn::visit::visit_item_fn(self, function);
    }

    fn visit_impl_item_fn(&mut self, function: &'ast syn::ImplItemFn) {
        self.check(&function.sig.ident, &function.block);
        syn::visit::visit_impl_item_fn(self, function);
    }
}

#[test]
fn functions_are_small() {
    let mut faults = Vec::new();
    for source in &sources() {
        let mut functions = Functions { path: &source.path, faults: Vec::new() };
        functions.visit_file(&source.syntax);
        faults.append(&mut functions.faults);
    }
    assert!(faults.is_empty(), "over {LARGEST_FUNCTION} lines: {faults:#?}");
}

#[test]
fn names_say_something() {
    for source in sources() {
        let stem = source.path.file_stem().unwrap().to_str().unwrap();
        assert!(!FORBIDDEN_NAMES.contains(&stem), "{} says nothing by its name", source.path.display());
    }
}

#[test]
fn a_mod_file_holds_no_logic() {
    for source in sources().iter().filter(|source| source.path.ends_with("mod.rs")) {
        for item in &source.syntax.items {
            let fine =
                matches!(item, syn::Item::Mod(module) if module.content.is_none()) || matches!(item, syn::Item::Use(_));
            assert!(fine, "{} holds more than `mod` and `use`", source.path.display());
        }
    }
}

#[test]
fn tasks_are_owned() {
    for source in sources() {
        let code = code(&source);
        assert!(!code.contains("tokio::spawn("), "{}: spawn on a TaskTracker", source.path.display());
        assert!(!code.contains("#[allow("), "{}: expect, with a reason", source.path.display());
    }
}

#[test]
fn main_is_short() {
    let main = sources().into_iter().find(|source| source.module == "main").unwrap();
    assert!(main.text.lines().count() <= 20);
}

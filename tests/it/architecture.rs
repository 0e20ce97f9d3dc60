//! What keeps the sources in order: arrows between modules run downward, files are short, lines fit a screen, and what
//! ARCHITECTURE.md names exists.

mod graph;
mod tokens;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use self::graph::Graph;

/// What each module may use, besides itself. Below this level nothing but circles is forbidden.
const ARROWS: [(&str, &[&str]); 13] = [
    ("domain", &[]),
    ("holds", &["domain"]),
    ("ledger", &["domain", "telemetry"]),
    ("service", &["domain", "holds", "ledger", "telemetry"]),
    ("telemetry", &[]),
    ("tasks", &["domain", "service", "telemetry"]),
    ("signals", &[]),
    ("version", &[]),
    ("grpc", &["domain", "holds", "ledger", "service", "telemetry"]),
    ("config", &["grpc", "holds", "ledger", "service", "tasks", "telemetry"]),
    ("app", &["config", "grpc", "holds", "ledger", "service", "tasks", "telemetry", "version"]),
    ("cli", &["config", "grpc", "version"]),
    ("run", &["app", "cli", "config", "signals", "telemetry"]),
];

/// Crates that know the outside world; the rules of the domain must not.
const OUTSIDE: [&str; 6] = ["tonic", "prost", "fred", "sea_orm", "tokio", "async_trait"];

const LINES_MAX: usize = 350;
const LINES_MEDIAN_MAX: usize = 110;
const COLUMNS_MAX: usize = 120;

/// Kinds of files whose lines must fit a screen.
const PROSE_AND_CODE: [&str; 8] = ["rs", "lua", "proto", "md", "toml", "sh", "py", "run"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All files at or below a path, but for what is built or downloaded.
fn files(path: &Path) -> Vec<PathBuf> {
    if path.is_file() {
        return vec![path.into()];
    }
    let is_kept = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name != "target" && (name == ".ci" || !name.starts_with('.'))
    };
    let entries = fs::read_dir(path).map(|entries| entries.map(|entry| entry.expect("an entry").path()).collect());
    let entries: Vec<PathBuf> = entries.unwrap_or_default();
    entries.iter().filter(|path| is_kept(path)).flat_map(|path| files(path)).collect()
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A path as it stands in the documentation.
fn name(path: &Path) -> String {
    path.strip_prefix(root()).expect("below the root").display().to_string()
}

/// The end of a file's name, or all of it where there is no dot.
fn kind(path: &Path) -> &str {
    path.extension().or(path.file_name()).and_then(|kind| kind.to_str()).unwrap_or_default()
}

#[test]
fn modules_use_only_what_is_below_them() {
    let graph = Graph::read(&root().join("src"));
    let top = |module: &str| module.split("::").next().unwrap_or_default().to_owned();
    let uses: BTreeSet<_> = graph.uses().map(|(one, other)| (top(one), top(other))).collect();
    for (one, other) in uses.iter().filter(|(one, other)| one != other) {
        let (_, below) = ARROWS.iter().find(|(module, _)| module == one).expect("every module has its place");
        assert!(below.contains(&other.as_str()), "{one} must not use {other}");
    }
}

#[test]
fn every_module_has_its_place() {
    let graph = Graph::read(&root().join("src"));
    let modules: BTreeSet<_> = graph.modules().filter(|module| !module.contains("::")).collect();
    let places = ARROWS.iter().map(|(module, _)| *module).collect();
    assert_eq!(modules, places);
}

#[test]
fn no_modules_use_each_other() {
    let graph = Graph::read(&root().join("src"));
    let circles = graph.circles();
    let tell = |circle: &Vec<&str>| {
        let among = graph.uses().filter(|(one, other)| circle.contains(one) && circle.contains(other));
        among.map(|(one, other)| format!("  {one} uses {other}\n")).collect::<String>()
    };
    assert!(circles.is_empty(), "in circles:\n{}", circles.iter().map(tell).collect::<Vec<_>>().join("\n"));
}

#[test]
fn the_domain_knows_nothing_of_the_outside() {
    for path in files(&root().join("src/domain")).iter().chain(&[root().join("src/domain.rs")]) {
        for outside in OUTSIDE {
            assert!(!read(path).contains(&format!("{outside}::")), "{} uses {outside}", name(path));
        }
    }
}

#[test]
fn only_one_place_knows_sql() {
    for path in files(&root().join("src/ledger")).iter().filter(|path| !name(path).starts_with("src/ledger/sql")) {
        assert!(!read(path).contains("sea_orm"), "{} knows SQL", name(path));
    }
}

#[test]
fn files_are_short() {
    let lines = |path: &PathBuf| (read(path).lines().count(), name(path));
    let mut lengths: Vec<_> = files(&root().join("src")).iter().map(lines).collect();
    lengths.sort();
    let long: Vec<_> = lengths.iter().filter(|(lines, _)| *lines > LINES_MAX).collect();
    assert!(long.is_empty(), "longer than {LINES_MAX} lines: {long:?}");
    let (median, _) = &lengths[lengths.len() / 2];
    assert!(*median <= LINES_MEDIAN_MAX, "half of all files are longer than {median} lines");
}

#[test]
fn lines_fit_a_screen() {
    let mut wide = Vec::new();
    for path in files(root()).iter().filter(|path| PROSE_AND_CODE.contains(&kind(path))) {
        let is_markdown = kind(path) == "md";
        // A row of a table and an address cannot be wrapped.
        let may_be_wide = |line: &str| is_markdown && (line.trim_start().starts_with('|') || line.contains("://"));
        for (number, line) in read(path).lines().enumerate() {
            if line.chars().count() > COLUMNS_MAX && !may_be_wide(line) {
                wide.push(format!("{}:{}", name(path), number + 1));
            }
        }
    }
    assert!(wide.is_empty(), "wider than {COLUMNS_MAX} columns:\n{}", wide.join("\n"));
}

/// `src/…`, or `src/….rs:function` in the lists that follow a request.
#[test]
fn what_the_architecture_names_exists() {
    let text = read(&root().join("ARCHITECTURE.md"));
    let quoted = text.split('`').skip(1).step_by(2);
    let folders = ["src/", "tests/", "client/", "proto/", "migrations/", "benches/", "fuzz/", "docs/"];
    for named in quoted.filter(|named| folders.iter().any(|folder| named.starts_with(folder))) {
        let (file, function) = named.split_once(':').map_or((named, None), |(file, name)| (file, Some(name)));
        let path = root().join(file);
        assert!(path.exists(), "ARCHITECTURE.md names {named}: there is no {file}");
        let Some(function) = function else { continue };
        let text = read(&path);
        let definition = if kind(&path) == "lua" { "function " } else { "fn " };
        // A method may be named with its type.
        let function = function.rsplit("::").next().unwrap_or(function);
        let is_defined = ["(", "<"].iter().any(|after| text.contains(&format!("{definition}{function}{after}")));
        assert!(is_defined, "ARCHITECTURE.md names {named}: there is no such function");
    }
}

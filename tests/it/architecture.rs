//! The arrows between modules run downward, as `lib.rs` says.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// What each module may use, besides itself.
const ARROWS: [(&str, &[&str]); 13] = [
    ("domain", &[]),
    ("holds", &["domain"]),
    ("ledger", &["domain"]),
    ("service", &["domain", "holds", "ledger"]),
    ("tasks", &["domain", "service"]),
    ("telemetry", &[]),
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

fn files(path: &Path) -> Vec<PathBuf> {
    if path.is_file() {
        return vec![path.into()];
    }
    let entries = fs::read_dir(path).map(|entries| entries.map(|entry| entry.expect("an entry").path()).collect());
    entries.unwrap_or_else(|_| Vec::new()).iter().flat_map(|path| files(path)).collect()
}

fn sources(module: &str) -> String {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let paths = [src.join(format!("{module}.rs")), src.join(module)];
    let texts = paths.iter().flat_map(|path| files(path)).map(|path| fs::read_to_string(path).expect("a source"));
    texts.collect()
}

#[test]
fn modules_use_only_what_is_below_them() {
    for (module, below) in ARROWS {
        let text = sources(module);
        assert!(!text.is_empty(), "there is no module {module}");
        let word = |text: &str| text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
        let used: BTreeSet<_> = text.split("crate::").skip(1).map(word).collect();
        for name in used {
            assert!(name == module || below.contains(&name.as_str()), "{module} must not use {name}");
        }
    }
}

#[test]
fn every_module_has_its_place() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for path in fs::read_dir(src).expect("sources").map(|entry| entry.expect("an entry").path()) {
        let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
        assert!(["lib", "main"].contains(&name.as_str()) || ARROWS.iter().any(|(module, _)| *module == name), "{name}");
    }
}

#[test]
fn the_domain_knows_nothing_of_the_outside() {
    let text = sources("domain");
    for name in OUTSIDE {
        assert!(!text.contains(&format!("{name}::")), "the domain uses {name}");
    }
}

#[test]
fn only_one_place_knows_sql() {
    let ledger = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/ledger");
    for path in files(&ledger)
        .into_iter()
        .filter(|path| !path.starts_with(ledger.join("sql")) && *path != ledger.join("sql.rs"))
    {
        let text = fs::read_to_string(&path).expect("a source");
        assert!(!text.contains("sea_orm"), "{} knows SQL", path.display());
    }
}

//! The pages in `docs/` name every setting and every reason, with what the code has.

use std::fs;
use std::path::Path;

use clap::CommandFactory;
use stockhold::cli::Cli;

fn text(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).expect(path)
}

#[test]
fn every_setting_is_in_the_table() {
    let (page, command) = (text("docs/operations.md"), Cli::command());
    let serve = command.find_subcommand("serve").expect("there is serve");
    let settings =
        serve.get_arguments().filter_map(|argument| Some((argument.get_long()?, argument.get_env()?, argument)));
    let mut count = 0;
    for (flag, variable, argument) in settings {
        let default = argument.get_default_values().first().map(|value| format!("`{}`", value.to_string_lossy()));
        let row = format!("| `--{flag}` | `{}` | {} |", variable.to_string_lossy(), default.unwrap_or_default());
        assert!(page.contains(&row), "docs/operations.md has no row that begins with {row}");
        count += 1;
    }
    assert!(count > 20, "only {count} settings were found");
}

#[test]
fn every_reason_is_in_the_table() {
    let page = text("docs/errors.md");
    let protos = ["proto/stockhold/v1/reservation_service.proto", "proto/stockhold/v1/stock_service.proto"].map(text);
    let codes = [
        "INVALID_ARGUMENT",
        "NOT_FOUND",
        "ALREADY_EXISTS",
        "FAILED_PRECONDITION",
        "ABORTED",
        "UNAVAILABLE",
        "RESOURCE_EXHAUSTED",
        "DEADLINE_EXCEEDED",
        "INTERNAL",
    ];
    let mut count = 0;
    for line in protos.iter().flat_map(|proto| proto.lines()) {
        let words: Vec<_> = line.trim_start_matches("//").split_whitespace().collect();
        if let [code, reason, ..] = words[..]
            && codes.contains(&code)
            && line.starts_with("//")
        {
            let row = format!("| `{reason}` | `{code}` |");
            assert!(page.contains(&row), "docs/errors.md has no row that begins with {row}");
            count += 1;
        }
    }
    assert!(count >= 17, "only {count} reasons were found");
}

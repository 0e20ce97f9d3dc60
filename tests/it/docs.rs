//! The documentation says what the code does: every setting, every reason, every command and every link is checked.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use clap::{CommandFactory, Parser};
use stockhold::cli::Cli;

use crate::support::server::{Instance, stockhold};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn text(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The files of a folder and of its folders whose names end with `ending`, as paths below the root of the repository.
fn files(folder: &str, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(root().join(folder)).expect(folder) {
        let name = entry.expect(folder).file_name().into_string().expect("names are UTF-8");
        let path = format!("{folder}/{name}");
        if root().join(&path).is_dir() {
            found.extend(files(&path, ending));
        } else if name.ends_with(ending) {
            found.push(path.into());
        }
    }
    found
}

/// Every page of the documentation.
fn pages() -> Vec<PathBuf> {
    let mut pages = files("docs", ".md");
    pages.extend(["README.md", "ARCHITECTURE.md"].map(PathBuf::from));
    pages
}

#[test]
fn every_setting_is_in_the_table_with_its_default_and_its_help() {
    let page = text("docs/operations.md");
    let command = Cli::command();
    let serve = command.find_subcommand("serve").expect("there is serve");
    let mut expected = BTreeSet::new();
    for argument in serve.get_arguments() {
        let (Some(flag), Some(variable)) = (argument.get_long(), argument.get_env()) else { continue };
        let default = argument.get_default_values().first().map(|value| format!("`{}`", value.to_string_lossy()));
        let help = argument.get_help().map(ToString::to_string).unwrap_or_default();
        let (variable, default) = (variable.to_string_lossy(), default.unwrap_or_default());
        expected.insert(format!("| `--{flag}` | `{variable}` | {default} | {help} |"));
    }
    assert!(expected.len() > 20, "only {} settings were found", expected.len());
    let found: BTreeSet<String> =
        page.lines().filter(|line| line.starts_with("| `--")).map(|line| line.replace("|  |", "| |")).collect();
    let expected: BTreeSet<String> = expected.into_iter().map(|row| row.replace("|  |", "| |")).collect();
    let missing: Vec<_> = expected.difference(&found).collect();
    let unknown: Vec<_> = found.difference(&expected).collect();
    assert!(
        missing.is_empty() && unknown.is_empty(),
        "the table of docs/operations.md lacks\n{missing:#?}\nand has, though no setting is so,\n{unknown:#?}"
    );
}

const CODES: [&str; 10] = [
    "INVALID_ARGUMENT",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "FAILED_PRECONDITION",
    "ABORTED",
    "UNAVAILABLE",
    "RESOURCE_EXHAUSTED",
    "DEADLINE_EXCEEDED",
    "INTERNAL",
    "UNIMPLEMENTED",
];

#[test]
fn every_reason_is_in_the_table_of_errors() {
    let mut expected = BTreeSet::new();
    for line in files("proto", ".proto").iter().map(text).collect::<String>().lines() {
        let words: Vec<_> = line.trim_start_matches("//").split_whitespace().collect();
        if let [code, reason, ..] = words[..]
            && line.starts_with("//")
            && CODES.contains(&code)
        {
            expected.insert(format!("| `{reason}` | `{code}` |"));
        }
    }
    assert!(expected.len() >= 17, "only {} reasons were found", expected.len());
    let page = text("docs/errors.md");
    let first_cells = |line: &str| line.splitn(4, '|').take(3).collect::<Vec<_>>().join("|") + "|";
    let found: BTreeSet<String> = page.lines().filter(|line| line.starts_with("| `")).map(first_cells).collect();
    assert_eq!(found, expected, "docs/errors.md on the left, the tables of proto/ on the right");
}

#[test]
fn the_code_knows_no_other_reason() {
    let page = text("docs/errors.md");
    let mut count = 0;
    for line in
        text("src/grpc/status.rs").lines().filter(|line| line.contains("Code::") || line.contains("Failure::new"))
    {
        for reason in line.split('"').skip(1).step_by(2) {
            if reason.contains('_') && reason.chars().all(|letter| letter.is_ascii_uppercase() || letter == '_') {
                assert!(page.contains(&format!("| `{reason}` |")), "docs/errors.md does not have {reason}");
                count += 1;
            }
        }
    }
    assert!(count > 5, "only {count} reasons were found in the code");
}

/// The blocks of code of a page: their language and their lines.
fn blocks(page: &str) -> Vec<(String, Vec<String>)> {
    let mut blocks = Vec::new();
    let mut open: Option<(String, Vec<String>)> = None;
    for line in page.lines() {
        match (line.strip_prefix("```"), open.take()) {
            (Some(language), None) => open = Some((language.to_owned(), Vec::new())),
            (Some(_), Some(block)) => blocks.push(block),
            (None, Some((language, mut lines))) => {
                lines.push(line.to_owned());
                open = Some((language, lines));
            }
            (None, None) => {}
        }
    }
    blocks
}

/// The commands of a page that call `stockhold`, each in one line and without its comment.
fn commands(page: &str) -> Vec<String> {
    let mut commands = Vec::new();
    for (language, lines) in blocks(page) {
        let joined = lines.join("\n").replace("\\\n", " ");
        for line in joined.lines() {
            let command = match language.as_str() {
                "console" => line.strip_prefix("$ "),
                "sh" => Some(line),
                _ => None,
            };
            if let Some(command) = command.filter(|command| command.starts_with("stockhold ")) {
                let command = command.split(" #").next().unwrap_or_default();
                commands.push(command.split(" >").next().unwrap_or_default().to_owned());
            }
        }
    }
    commands
}

#[test]
fn every_command_in_the_documentation_is_understood() {
    let mut count = 0;
    for page in pages() {
        for command in commands(&text(&page)) {
            if let Err(error) = Cli::try_parse_from(command.split_whitespace()) {
                panic!("{}: {command}: {error}", page.display());
            }
            count += 1;
        }
    }
    assert!(count > 8, "only {count} commands were found");
}

/// What differs from run to run is replaced: points in time, what is left until then, versions and request ids.
fn steady(line: &str) -> String {
    let line = line.split("request id ").next().unwrap_or_default();
    let line = match (line.split_once("expires in "), line.split_once(" (")) {
        (Some((before, _)), Some((_, time))) => format!("{before}expires in TIME ({time}"),
        _ => line.to_owned(),
    };
    let word = |word: &str| match word {
        _ if word.contains("T") && word.contains("Z") => "TIME".to_owned(),
        _ if word.len() == 16 && word.chars().all(|digit| digit.is_ascii_digit()) => "VERSION".to_owned(),
        _ => word.to_owned(),
    };
    line.split_whitespace().map(word).collect::<Vec<_>>().join(" ")
}

#[test]
fn the_session_of_the_readme_prints_what_it_says() {
    let service = Instance::embedded().start();
    let mut count = 0;
    for (_, lines) in blocks(&text("README.md")).into_iter().filter(|(language, _)| language == "console") {
        let mut lines = lines.into_iter().filter(|line| !line.is_empty()).peekable();
        while let Some(line) = lines.next() {
            let command = line.strip_prefix("$ stockhold ").unwrap_or_else(|| panic!("no command of ours: {line}"));
            let mut expected = Vec::new();
            while let Some(line) = lines.next_if(|line| !line.starts_with("$ ")) {
                expected.push(steady(&line));
            }
            let output = stockhold()
                .args(command.split_whitespace())
                .env("STOCKHOLD_ADDR", service.address().to_string())
                .output()
                .expect("stockhold runs");
            let said = [output.stdout, output.stderr].concat();
            let said: Vec<_> = String::from_utf8_lossy(&said).lines().map(steady).collect();
            assert_eq!(said, expected, "{command}");
            count += 1;
        }
    }
    assert!(count > 5, "only {count} commands were found");
}

/// A page without its blocks of code.
fn prose(page: &str) -> String {
    page.split("```").step_by(2).collect()
}

/// The anchor of a heading, as GitHub and GitLab make it.
fn anchor(heading: &str) -> String {
    let kept = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = kept.chars().filter(|letter| letter.is_alphanumeric() || [' ', '-', '_'].contains(letter));
    kept.map(|letter| if letter == ' ' { '-' } else { letter }).collect()
}

#[test]
fn every_relative_link_leads_somewhere() {
    let mut count = 0;
    for page in pages() {
        let content = prose(&text(&page));
        for target in content.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if target.contains("://") {
                continue;
            }
            let (path, wanted) = target.split_once('#').unwrap_or((target, ""));
            let path = match path {
                "" => page.clone(),
                _ => page.parent().expect("a page is a file").join(path),
            };
            assert!(root().join(&path).exists(), "{}: {target} does not exist", page.display());
            let has =
                |content: &str| prose(content).lines().any(|line| line.starts_with('#') && anchor(line) == wanted);
            assert!(wanted.is_empty() || has(&text(&path)), "{}: no heading for {target}", page.display());
            count += 1;
        }
    }
    assert!(count > 10, "only {count} links were found");
}

#[test]
fn every_path_that_is_named_exists() {
    let folders = ["src/", "tests/", "proto/", "docs/", "benches/", "client/", "migrations/", "fuzz/", ".ci/"];
    let mut count = 0;
    for page in pages() {
        let content = prose(&text(&page));
        for name in content.split('`').skip(1).step_by(2) {
            let path = name.split([':', ' ']).next().unwrap_or_default();
            // Tests fetch what they need into a folder that is not always there.
            if !folders.iter().any(|folder| path.starts_with(folder)) || path == "tests/.cache" {
                continue;
            }
            assert!(root().join(path).exists(), "{}: {path} does not exist", page.display());
            count += 1;
        }
    }
    assert!(count > 20, "only {count} paths were found");
}

//! A limit of open files: it is raised as far as it may be, and then callers get what the stores leave.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use crate::support::server::stockhold;

/// Starts the service with so many files at most; `-S` is the limit that a process may raise.
fn limited(limit: &str) -> Command {
    let program = stockhold();
    let mut shell = Command::new("bash");
    shell.args(["-c", &format!("ulimit {limit} && exec \"$@\""), "bash"]).arg(program.get_program());
    for (name, value) in program.get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    shell.args(["serve", "--listen", "127.0.0.1:0"]).stderr(Stdio::piped());
    shell
}

#[test]
fn callers_get_as_many_connections_as_there_are_files() {
    for (limit, text, code) in [
        ("-n 16", "error: this process may have only 16 files open", Some(1)),
        ("-n 128", "--connections-max is 66 instead of 900", None),
        ("-Sn 128", " listening ", None),
    ] {
        let folder = tempfile::tempdir().expect("a folder");
        let mut service = limited(limit).current_dir(folder.path()).spawn().expect("bash starts");
        let log = BufReader::new(service.stderr.take().expect("it is a pipe"));
        let telling = [" listening ", "--connections-max", "error: "];
        let mut lines = log.lines().map_while(Result::ok);
        let first = lines.find(|line| telling.iter().any(|word| line.contains(word)));
        let files = fs::read_to_string(format!("/proc/{}/limits", service.id())).unwrap_or_default();
        if code.is_none() {
            service.kill().expect("it runs");
        }
        assert_eq!(service.wait().expect("it ends").code(), code, "{limit}");
        assert!(first.as_ref().is_some_and(|line| line.contains(text)), "{limit}: {first:?}");
        if limit.starts_with("-S") {
            let files = files.lines().find(|line| line.starts_with("Max open files")).expect("Linux tells it");
            assert!(!files.contains(" 128 "), "it was not raised: {files}");
        }
    }
}

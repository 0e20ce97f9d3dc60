//! Compiles `proto/` without a system `protoc`, writes the descriptor set that reflection and `--json` read, and tells
//! the code which commit it is built from.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::Command;

use prost::Message;

const PROTOS: [&str; 2] = ["stockhold/v1/reservation_service.proto", "stockhold/v1/stock_service.proto"];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=proto");
    let mut compiler = protox::Compiler::new(["proto"])?;
    compiler.include_imports(true).include_source_info(true).open_files(PROTOS)?;
    let descriptors = compiler.file_descriptor_set();

    let out_dir = PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(out_dir.join("stockhold.v1.bin"), descriptors.encode_to_vec())?;
    // The codec is ours so that bytes which do not parse are answered as the caller's mistake; tonic calls that
    // INTERNAL.
    tonic_prost_build::configure()
        .codec_path("crate::grpc::codec::Codec")
        // A server that has only a part of the contract, as those that the benchmark compares with, says so for the
        // rest.
        .generate_default_stubs(true)
        .compile_fds(descriptors)?;

    println!("cargo:rustc-env=STOCKHOLD_COMMIT={}", commit());
    Ok(())
}

/// The commit that is checked out; `unknown` where there is no git repository, as in a source archive, unless
/// `STOCKHOLD_COMMIT` names it.
fn commit() -> String {
    println!("cargo:rerun-if-env-changed=STOCKHOLD_COMMIT");
    // Git appends to this file at every commit and checkout.
    if let Some(log) = git(&["rev-parse", "--git-path", "logs/HEAD"]).filter(|log| Path::new(log).exists()) {
        println!("cargo:rerun-if-changed={log}");
    }
    let named = std::env::var("STOCKHOLD_COMMIT").ok().filter(|commit| !commit.is_empty());
    named.or_else(|| git(&["rev-parse", "--short=12", "HEAD"])).unwrap_or_else(|| "unknown".into())
}

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8(output.stdout).ok()?.trim().to_owned())
}

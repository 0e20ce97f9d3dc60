//! Compiles `proto/` without a system `protoc`, and writes the descriptor set that reflection and `--json` read.

use std::error::Error;
use std::path::PathBuf;

use prost::Message;

const PROTOS: [&str; 2] = ["stockhold/v1/reservation_service.proto", "stockhold/v1/stock_service.proto"];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=proto");
    let mut compiler = protox::Compiler::new(["proto"])?;
    compiler.include_imports(true).include_source_info(true).open_files(PROTOS)?;
    let descriptors = compiler.file_descriptor_set();

    let out_dir = PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(out_dir.join("stockhold.v1.bin"), descriptors.encode_to_vec())?;
    // The codec is ours so that bytes which do not parse are answered as the caller's mistake; tonic calls that INTERNAL.
    tonic_prost_build::configure()
        .codec_path("crate::grpc::codec::Codec")
        // A server that has only a part of the contract, as those that the benchmark compares with, says so for the rest.
        .generate_default_stubs(true)
        .compile_fds(descriptors)?;
    Ok(())
}

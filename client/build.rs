//! Compiles `proto/` without a system `protoc`.

use std::error::Error;

const PROTO: &str = "../proto";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed={PROTO}");
    let protos = ["stockhold/v1/reservation_service.proto", "stockhold/v1/stock_service.proto"];
    let descriptors = protox::compile(protos, [PROTO])?;
    tonic_prost_build::configure().build_server(false).compile_fds(descriptors)?;
    Ok(())
}

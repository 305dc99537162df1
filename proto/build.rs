//! Compiles the contract without a system protoc.

use std::{env, fs, path::PathBuf};

use protox::prost::Message as _;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=kubernaut");
    let descriptors = protox::compile(["kubernaut/execution/v1/execution.proto"], ["."])?;
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out.join("descriptors.bin"), descriptors.encode_to_vec())?;
    // Shown without values: see src/debug.rs.
    tonic_prost_build::configure()
        .skip_debug([".kubernaut.execution.v1.StartRequest"])
        .compile_fds(descriptors)?;
    Ok(())
}

//! Compiles `proto/` with protox, so that no protoc is needed, and keeps the descriptors for reflection.

use std::{env, error::Error, fs, path::PathBuf};

use prost::Message as _;

const FILES: [&str; 3] = ["triage/v1/ticket.proto", "triage/v1/triage.proto", "triage/v1/knowledge.proto"];

fn main() -> Result<(), Box<dyn Error>> {
    // tonic-prost-build prints no rerun lines for descriptors that it is handed.
    println!("cargo:rerun-if-changed=proto");
    let descriptors = protox::compile(FILES, ["proto"])?;
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out.join("descriptors.bin"), descriptors.encode_to_vec())?;
    tonic_prost_build::configure().extern_path(".google.rpc", "::tonic_types::pb").compile_fds(descriptors)?;
    Ok(())
}

//! Compiles `proto/` with protox, so that no protoc is needed, keeps the descriptors for reflection, and
//! lists the demo articles for the binary.

use std::{
    env,
    error::Error,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

use prost::Message as _;

const FILES: [&str; 8] = [
    "triage/v1/ticket.proto",
    "triage/v1/triage.proto",
    "triage/v1/knowledge.proto",
    "triage/v1/memory.proto",
    "triage/v1/feedback.proto",
    "triage/v1/job.proto",
    "triage/v1/taxonomy.proto",
    "triage/v1/model.proto",
];

fn main() -> Result<(), Box<dyn Error>> {
    // tonic-prost-build prints no rerun lines for descriptors that it is handed.
    println!("cargo:rerun-if-changed=proto");
    let descriptors = protox::compile(FILES, ["proto"])?;
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out.join("descriptors.bin"), descriptors.encode_to_vec())?;
    let mut config = tonic_prost_build::Config::new();
    config.enable_type_names();
    tonic_prost_build::configure()
        .extern_path(".google.rpc", "::tonic_types::pb")
        .codec_path("crate::grpc::codec::Codec")
        .compile_fds_with_config(descriptors, config)?;
    list_demo_articles(&out)
}

/// Writes `demo_articles.rs`: the name and text of every article under `models/demo/kb`.
fn list_demo_articles(out: &Path) -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=models/demo/kb");
    let folder = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?).join("models/demo/kb");
    let mut files = fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>, std::io::Error>>()?;
    files.sort();
    let mut list = "pub(super) const ARTICLES: &[(&str, &str)] = &[\n".to_owned();
    for file in files {
        let name = file.file_name().and_then(|name| name.to_str()).ok_or("an article's name is not UTF-8")?;
        let path = file.to_str().ok_or("the path of the demo articles is not UTF-8")?;
        writeln!(list, "    ({name:?}, include_str!({path:?})),")?;
    }
    list.push_str("];\n");
    fs::write(out.join("demo_articles.rs"), list)?;
    Ok(())
}

use prost::Message;

/// Generates the client from the descriptor set that LONGHAUL_DESCRIPTORS names.
fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-env-changed=LONGHAUL_DESCRIPTORS");
    let path = std::env::var("LONGHAUL_DESCRIPTORS")?;
    println!("cargo::rerun-if-changed={path}");
    let descriptors = prost_types::FileDescriptorSet::decode(&*std::fs::read(path)?)?;
    tonic_prost_build::configure().build_server(false).compile_fds(descriptors)?;
    Ok(())
}

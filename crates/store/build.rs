//! Rebuilds when a migration is added, since the crate embeds them.

fn main() {
    println!("cargo:rerun-if-changed=../../migrations");
}

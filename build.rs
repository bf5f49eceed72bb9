//! Rebuilds when a migration is added: the binary embeds them.

fn main() {
    println!("cargo:rerun-if-changed=migrations");
}

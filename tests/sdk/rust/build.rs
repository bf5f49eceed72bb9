//! Writes the document without PATCH: progenitor knows none of the media types of patches.

use std::{env, fs, path::Path};

use serde_json::Value;

fn main() {
    let document = "../../../openapi/podberth-3.0.json";
    println!("cargo::rerun-if-changed={document}");
    let mut document: Value = serde_json::from_str(&fs::read_to_string(document).expect("the document")).expect("JSON");
    for operations in document["paths"].as_object_mut().expect("paths").values_mut() {
        operations.as_object_mut().expect("operations").remove("patch");
    }
    let out = Path::new(&env::var_os("OUT_DIR").expect("cargo sets it")).join("podberth.json");
    fs::write(out, document.to_string()).expect("the folder can be written");
}

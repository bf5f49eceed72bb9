//! The schemas of Kubernetes 1.34's objects, as JSON.
//!
//! `build.rs` makes them from the crate k8s-openapi, which has the published descriptions of Kubernetes (Apache-2.0), and keeps them
//! compressed. So the product does not contain the crate's code, and nothing of Kubernetes stands in this repository.

use std::io::{self, Read as _};

use flate2::read::GzDecoder;

/// All definitions: an object of schemas by their names, as `io.k8s.api.core.v1.Pod`. References are
/// `{"$ref": "#/definitions/…"}`.
///
/// # Errors
/// If the text is damaged.
pub fn definitions() -> io::Result<String> {
    let mut text = String::new();
    GzDecoder::new(&include_bytes!(concat!(env!("OUT_DIR"), "/definitions.json.gz"))[..]).read_to_string(&mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    #[test]
    fn definitions_have_fields_with_descriptions() {
        let text = super::definitions().unwrap();
        for part in [
            r#""io.k8s.api.core.v1.Toleration":{"#,
            r##"{"$ref":"#/definitions/io.k8s.api.core.v1.Toleration"}"##,
            "the triple <key,value,effect>",
        ] {
            assert!(text.contains(part), "{part}");
        }
    }
}

//! The optional features of this package, which a binary may have been built without.

/// Refuses with the remedy if the binary was built without a feature.
pub(crate) fn built_in(feature: &str) -> Result<(), String> {
    const BUILT_IN: [(&str, bool); 6] = [
        ("docs-page", cfg!(feature = "docs-page")),
        ("externalgrpc", cfg!(feature = "externalgrpc")),
        ("karmada", cfg!(feature = "karmada")),
        ("otlp", cfg!(feature = "otlp")),
        ("pprof", cfg!(feature = "pprof")),
        ("sync", cfg!(feature = "sync")),
    ];
    if BUILT_IN.contains(&(feature, true)) {
        return Ok(());
    }
    Err(format!(
        "this binary was built without the feature {feature}: build it with `cargo build --features {feature}`"
    ))
}

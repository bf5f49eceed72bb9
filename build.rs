//! Tells the binary the commit that it is built from.

use std::{env, path::Path, process::Command};

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=PODBERTH_COMMIT");
    println!("cargo:rerun-if-env-changed=PODBERTH_BUILD_DATE");
    let folder = env::var("CARGO_MANIFEST_DIR").unwrap_or_default();
    let is_ours = git(&["rev-parse", "--show-toplevel"]).is_some_and(|top| same(&top, &folder));
    let told = |variable: &str, of_git: &[&str]| {
        let value = env::var(variable).ok().or_else(|| if is_ours { git(of_git) } else { None });
        println!("cargo:rustc-env={variable}={}", value.unwrap_or_default());
    };
    told("PODBERTH_COMMIT", &["rev-parse", "HEAD"]);
    // The commit's own date, so that the same source makes the same binary.
    told("PODBERTH_BUILD_DATE", &["log", "-1", "--date=format-local:%Y-%m-%dT%H:%M:%SZ", "--format=%cd"]);
    // A commit alone builds nothing again where one develops.
    if is_ours && env::var("PROFILE").is_ok_and(|profile| profile == "release") {
        let reference = git(&["symbolic-ref", "-q", "HEAD"]).unwrap_or_else(|| "HEAD".into());
        for name in ["HEAD", "packed-refs", &reference] {
            if let Some(path) = git(&["rev-parse", "--git-path", name]).filter(|path| Path::new(path).exists()) {
                println!("cargo:rerun-if-changed={path}");
            }
        }
    }
}

/// The one line that git prints; nothing where there is no git or no repository.
fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).env("TZ", "UTC").output().ok()?;
    let line = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    (output.status.success() && !line.is_empty()).then_some(line)
}

fn same(a: &str, b: &str) -> bool {
    let real = |path: &str| Path::new(path).canonicalize().ok();
    real(a).is_some() && real(a) == real(b)
}

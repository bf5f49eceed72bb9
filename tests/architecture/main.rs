//! Holds the code to the architecture in the crate's documentation: permitted imports and dependencies, the length of files,
//! the one reader of the environment, and the English of documentation.

use std::{
    fs,
    path::{Path, PathBuf},
};

mod cycles;

/// Past this a file holds more than one idea.
const LONGEST_FILE: usize = 600;

/// Folder or file → paths that its code must never name. Manifests hold the dependencies on other crates.
const NEVER: &[(&str, &[&str])] = &[
    ("crates/core/src/", &["std::time", "std::fs", "std::net", "std::env", "std::thread", "std::process"]),
    ("crates/wire/src/", &["std::time", "std::fs", "std::net", "std::env", "std::thread", "std::process"]),
    (
        "src/live/",
        &["axum", "hyper", "crate::extenders", "crate::service", "crate::api", "crate::app", "crate::config"],
    ),
    (
        "src/extenders/",
        &[
            "axum",
            "std::fs",
            "crate::store",
            "crate::live",
            "crate::service",
            "crate::api",
            "crate::app",
            "crate::config",
        ],
    ),
    (
        "src/net/",
        &[
            "axum",
            "hyper",
            "std::fs",
            "tokio::fs",
            "crate::store",
            "crate::live",
            "crate::service",
            "crate::api",
            "crate::app",
            "crate::config",
        ],
    ),
    ("src/service/", &["axum", "hyper", "kube", "crate::api", "crate::app", "crate::config"]),
    ("src/api/", &["crate::app", "crate::config"]),
    ("src/config.rs", &["crate::wire", "crate::store", "crate::live", "crate::service", "crate::api", "crate::app"]),
    ("src/telemetry.rs", &["crate::core", "crate::wire", "crate::store", "crate::live", "crate::api", "crate::app"]),
    ("src/clock.rs", &["crate::"]),
    ("src/ui/", &["crate::"]),
    ("src/features.rs", &["crate::"]),
];

/// Crate of the workspace → all that it may depend on, so that its layer is its manifest's.
const MAY_NEED: &[(&str, &[&str])] = &[
    ("core", &["hashbrown", "imbl", "regex", "rustc-hash", "thiserror"]),
    (
        "wire",
        &[
            "base64",
            "bytes",
            "comfy-table",
            "jiff",
            "podberth-core",
            "podberth-schemas",
            "ring",
            "rustc-hash",
            "serde",
            "serde-saphyr",
            "serde_json",
            "sha2",
            "thiserror",
            "utoipa",
        ],
    ),
    (
        "store",
        &[
            "async-trait",
            "bytes",
            "futures-util",
            "jiff",
            "serde",
            "serde_json",
            "sqlx",
            "thiserror",
            "tokio",
            "tracing",
            "uuid",
        ],
    ),
];

/// Files and folders whose documentation follows the rules of English in CONTRIBUTING.md. The list may only grow.
const PLAIN: &[&str] = &["benches/", "crates/", "src/", "tests/"];

/// A Rust file of the crate.
struct Source {
    /// From the repository's root, with slashes.
    path: String,
    text: String,
}

impl Source {
    /// The code: without comments, and without the items under `#[cfg(test)]`.
    fn code(&self) -> impl Iterator<Item = &str> {
        let mut skipped: Option<usize> = None;
        self.text.lines().filter_map(move |line| {
            let indent = line.len() - line.trim_start().len();
            if line.trim() == "#[cfg(test)]" {
                skipped = Some(indent);
            }
            let Some(of_item) = skipped else {
                return Some(line.split("//").next().unwrap_or_default());
            };
            let is_last = indent == of_item && (line.trim_start().starts_with('}') || line.ends_with(';'));
            if is_last {
                skipped = None;
            }
            None
        })
    }
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    let mut folders: Vec<PathBuf> = ["src", "crates", "benches", "tests"].map(|folder| root.join(folder)).into();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder can be read") {
            let path: PathBuf = entry.expect("a folder can be read").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let relative = path.strip_prefix(root).expect("below the root").to_string_lossy().replace('\\', "/");
                found.push(Source { path: relative, text: fs::read_to_string(&path).expect("a text file") });
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

/// Tells if `word` occurs in `line` and is not a part of a longer word.
fn mentions(line: &str, word: &str) -> bool {
    let in_word = |character: char| character.is_alphanumeric() || character == '_';
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + word.len()..].chars().next();
        let ends_open = word.ends_with(':');
        !before.is_some_and(|character| in_word(character) || character == '.')
            && (ends_open || !after.is_some_and(in_word))
    })
}

/// Tells if `line` names the crate or module `path`: a crate by `tokio::…` or `use tokio`, a module by its path.
fn imports(line: &str, path: &str) -> bool {
    if path.contains("::") {
        return mentions(line, path);
    }
    mentions(line, path) && (line.contains(&format!("{path}::")) || line.contains(&format!("use {path}")))
}

fn check(problems: &[String]) {
    assert!(problems.is_empty(), "\n{}\n", problems.join("\n"));
}

#[test]
fn no_module_imports_a_forbidden_one() {
    let mut problems = Vec::new();
    for source in sources() {
        let never = NEVER.iter().filter(|(part, _)| source.path.starts_with(part));
        for word in never.flat_map(|(_, words)| *words) {
            for line in source.code().filter(|line| imports(line, word)) {
                problems.push(format!("{} must not know {word}: {}", source.path, line.trim()));
            }
            // `use crate::{api, …}` names the module without its path.
            if let Some(module) = word.strip_prefix("crate::").filter(|module| !module.is_empty()) {
                let code: String = source.code().collect::<Vec<_>>().join("\n");
                for group in code.split("use crate::{").skip(1) {
                    let group = top_level(group);
                    if group.iter().any(|item| item.split("::").next() == Some(module)) {
                        problems.push(format!("{} must not know {word}", source.path));
                    }
                }
            }
        }
    }
    check(&problems);
}

/// The items of a `{…}` group after its opening brace, without the content of inner braces.
fn top_level(group: &str) -> Vec<String> {
    let (mut depth, mut items, mut item) = (0, Vec::new(), String::new());
    for character in group.chars() {
        match character {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => items.push(std::mem::take(&mut item)),
            _ if depth == 0 => item.push(character),
            _ => {}
        }
    }
    items.push(item);
    items.into_iter().map(|item| item.trim().to_owned()).collect()
}

/// The names in a manifest's `[dependencies]`.
fn dependencies(manifest: &str) -> Vec<String> {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(manifest)).expect("a manifest");
    let section =
        text.split("\n[dependencies]\n").nth(1).expect("dependencies").split("\n[").next().unwrap_or_default();
    let name = |line: &str| line.split([' ', '.', '=']).next().unwrap_or_default().to_owned();
    section.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).map(name).collect()
}

#[test]
fn crates_depend_only_on_allowed_crates() {
    let mut problems = Vec::new();
    for (member, may) in MAY_NEED {
        let needed = dependencies(&format!("crates/{member}/Cargo.toml"));
        assert!(!needed.is_empty(), "crates/{member} has dependencies");
        let stray = needed.iter().filter(|name| !may.contains(&name.as_str()));
        problems.extend(stray.map(|name| format!("crates/{member} must not depend on {name}")));
    }
    let product = dependencies("Cargo.toml");
    let stray = product.iter().filter(|name| ["sqlx", "podberth-testkit", "podberth-bench"].contains(&name.as_str()));
    problems.extend(stray.map(|name| format!("the service must not depend on {name}")));
    check(&problems);
}

#[test]
fn only_config_reads_the_environment() {
    let reads =
        |line: &str| ["env::var", "env::vars", "env::var_os", "env::vars_os"].iter().any(|word| mentions(line, word));
    let problems: Vec<String> = sources()
        .iter()
        .filter(|source| source.path.starts_with("src/") && source.path != "src/config.rs" && source.code().any(reads))
        .map(|source| format!("{} reads the environment: make it a setting in src/config.rs", source.path))
        .collect();
    check(&problems);
}

#[test]
fn no_file_exceeds_the_longest_length() {
    let problems: Vec<String> = sources()
        .iter()
        .map(|source| (&source.path, source.text.lines().count()))
        .filter(|(_, lines)| *lines > LONGEST_FILE)
        .map(|(path, lines)| format!("{path} has {lines} lines, more than {LONGEST_FILE}: something wants to move out"))
        .collect();
    check(&problems);
}

/// The first word of a documentation comment that begins like a riddle; "same" for "The same".
fn riddle(before: &str, line: &str) -> Option<&'static str> {
    let text = |line: &str| {
        let line = line.trim_start();
        line.strip_prefix("///").or_else(|| line.strip_prefix("//!")).map(|text| text.trim_start().to_owned())
    };
    let text = text(line).filter(|_| text(before).is_none())?;
    let mut words = text.split(|character: char| !character.is_alphanumeric()).map(str::to_lowercase);
    let first = words.next().filter(|word| word != "the").or_else(|| words.next())?;
    ["what", "whether", "who", "same"].into_iter().find(|word| *word == first)
}

#[test]
fn documentation_begins_with_a_noun_or_a_verb() {
    let mut problems = Vec::new();
    for source in sources().iter().filter(|source| PLAIN.iter().any(|part| source.path.starts_with(part))) {
        let before = std::iter::once("").chain(source.text.lines());
        for (number, (line, before)) in source.text.lines().zip(before).enumerate() {
            if riddle(before, line).is_some() {
                problems.push(format!(
                    "{}:{}: begin with the noun or the verb, see CONTRIBUTING.md: {}",
                    source.path,
                    number + 1,
                    line.trim()
                ));
            }
        }
    }
    check(&problems);
}

#[test]
fn the_check_itself_sees() {
    let text =
        "a;\n#[cfg(test)]\n#[path = \"x\"]\nmod tests;\nb;\n#[cfg(test)]\nmod tests {\n    c;\n}\nd; // e".to_owned();
    let source = Source { path: String::new(), text };
    assert_eq!(source.code().collect::<Vec<_>>(), ["a;", "b;", "d; "]);
    assert!(imports("use tokio::sync::watch;", "tokio") && imports("    tokio::spawn(x);", "tokio"));
    assert!(!imports("let kube = 1;", "kube") && !imports("use crate::kubernetes;", "kube"));
    assert!(imports("use crate::api::state;", "crate::api") && !imports("use crate::api_version;", "crate::api"));
    assert_eq!(top_level("api::{a, b}, store};"), ["api::", "store"]);
    assert_eq!(riddle("", "    /// Whether it fits."), Some("whether"));
    assert_eq!(riddle("x", "//! The same as text."), Some("same"));
    assert_eq!((riddle("/// A pod.", "/// What it asks."), riddle("", "/// Whatever fits.")), (None, None));
}

//! Holds the code to the plan that the crate's documentation tells: who may import whom, how long a file may grow, who
//! reads the environment.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Past this a file holds more than one idea.
const LONGEST_FILE: usize = 600;

/// Part of `src/` → what must never occur in its code.
const NEVER: &[(&str, &[&str])] = &[
    (
        "core/",
        &[
            "tokio",
            "axum",
            "hyper",
            "sqlx",
            "kube",
            "tracing",
            "metrics",
            "uuid",
            "rand",
            "std::time",
            "jiff",
            "crate::wire",
            "crate::store",
            "crate::cluster",
            "crate::downstream",
            "crate::api",
            "crate::app",
            "crate::config",
            "crate::telemetry",
            "crate::clock",
        ],
    ),
    (
        "wire/",
        &[
            "tokio",
            "axum",
            "hyper",
            "sqlx",
            "kube",
            "std::fs",
            "std::net",
            "crate::store",
            "crate::cluster",
            "crate::downstream",
            "crate::api",
            "crate::app",
            "crate::config",
            "crate::telemetry",
        ],
    ),
    (
        "store/",
        &["axum", "hyper", "kube", "crate::core", "crate::cluster", "crate::api", "crate::app", "crate::config"],
    ),
    ("cluster/", &["sqlx", "axum", "hyper", "kube", "crate::downstream", "crate::api", "crate::app", "crate::config"]),
    (
        "downstream/",
        &[
            "sqlx",
            "axum",
            "kube",
            "std::fs",
            "crate::store",
            "crate::cluster",
            "crate::api",
            "crate::app",
            "crate::config",
        ],
    ),
    ("api/", &["sqlx", "kube", "crate::app", "crate::config"]),
    ("config.rs", &["crate::wire", "crate::store", "crate::cluster", "crate::api", "crate::app"]),
    ("telemetry.rs", &["crate::core", "crate::wire", "crate::store", "crate::cluster", "crate::api", "crate::app"]),
    ("clock.rs", &["crate::"]),
];

/// A Rust file of the crate.
struct Source {
    /// From `src/`, with slashes.
    path: String,
    text: String,
}

impl Source {
    /// The code: without comments, and without the unit tests at the end of the file.
    fn code(&self) -> impl Iterator<Item = &str> {
        self.text
            .lines()
            .take_while(|line| *line != "#[cfg(test)]")
            .map(|line| line.split("//").next().unwrap_or_default())
    }
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("src/ can be read") {
            let path: PathBuf = entry.expect("src/ can be read").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let relative = path.strip_prefix(&root).expect("below src/").to_string_lossy().replace('\\', "/");
                found.push(Source { path: relative, text: fs::read_to_string(&path).expect("a text file") });
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

/// Whether `word` occurs in `line` and is not a part of a longer word.
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

/// Whether `line` names the crate or module `path`: a crate by `tokio::…` or `use tokio`, a module by its path.
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
fn nobody_imports_what_it_must_not() {
    let mut problems = Vec::new();
    for source in sources() {
        let never =
            NEVER.iter().filter(|(part, _)| source.path.starts_with(part) || source.path == part.replace('/', ".rs"));
        for word in never.flat_map(|(_, words)| *words) {
            for line in source.code().filter(|line| imports(line, word)) {
                problems.push(format!("src/{} must not know {word}: {}", source.path, line.trim()));
            }
            // `use crate::{api, …}` names the module without its path.
            if let Some(module) = word.strip_prefix("crate::").filter(|module| !module.is_empty()) {
                let code: String = source.code().collect::<Vec<_>>().join("\n");
                for group in code.split("use crate::{").skip(1) {
                    let group = top_level(group);
                    if group.iter().any(|item| item.split("::").next() == Some(module)) {
                        problems.push(format!("src/{} must not know {word}", source.path));
                    }
                }
            }
        }
    }
    check(&problems);
}

/// The items of a `{…}` group whose opening brace is already gone, without what is in inner braces.
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

#[test]
fn only_the_store_speaks_sql() {
    let problems: Vec<String> = sources()
        .iter()
        .filter(|source| !source.path.starts_with("store/"))
        .filter(|source| source.code().any(|line| imports(line, "sqlx")))
        .map(|source| format!("src/{} must not know sqlx", source.path))
        .collect();
    check(&problems);
}

#[test]
fn only_config_reads_the_environment() {
    let reads =
        |line: &str| ["env::var", "env::vars", "env::var_os", "env::vars_os"].iter().any(|word| mentions(line, word));
    let problems: Vec<String> = sources()
        .iter()
        .filter(|source| source.path != "config.rs" && source.code().any(reads))
        .map(|source| format!("src/{} reads the environment: make it a setting in src/config.rs", source.path))
        .collect();
    check(&problems);
}

#[test]
fn no_file_outgrows_its_idea() {
    let problems: Vec<String> = sources()
        .iter()
        .map(|source| (&source.path, source.text.lines().count()))
        .filter(|(_, lines)| *lines > LONGEST_FILE)
        .map(|(path, lines)| {
            format!("src/{path} has {lines} lines, more than {LONGEST_FILE}: something wants to move out")
        })
        .collect();
    check(&problems);
}

#[test]
fn the_check_itself_sees() {
    assert!(imports("use tokio::sync::watch;", "tokio") && imports("    tokio::spawn(x);", "tokio"));
    assert!(!imports("let kube = 1;", "kube") && !imports("use crate::kubernetes;", "kube"));
    assert!(imports("use crate::api::state;", "crate::api") && !imports("use crate::api_version;", "crate::api"));
    assert_eq!(top_level("api::{a, b}, store};"), ["api::", "store"]);
}

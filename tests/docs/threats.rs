//! The threat model names tests that exist.

use std::{fs, path::Path};

use crate::{in_repository, read};

/// The names of tests in a text: words in backquotes of lower case letters, digits and underscores, with at least two underscores.
fn named(text: &str) -> Vec<&str> {
    let is_name = |word: &&str| {
        word.matches('_').count() >= 2
            && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
            && !word.starts_with("podberth_")
    };
    text.split('`').skip(1).step_by(2).filter(is_name).collect()
}

/// The text of all Rust files below a folder.
fn sources(folder: &Path, text: &mut String) {
    for entry in fs::read_dir(folder).expect("a folder can be read") {
        let path = entry.expect("a folder can be read").path();
        if path.is_dir() {
            sources(&path, text);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            text.push_str(&fs::read_to_string(&path).expect("a text file"));
        }
    }
}

#[test]
fn the_threat_model_names_tests_that_exist() {
    let mut all = String::new();
    for folder in ["src", "crates", "tests"] {
        sources(&in_repository(folder), &mut all);
    }
    let text = read("docs/threat-model.md");
    let names = named(&text);
    assert!(names.len() > 40, "{names:?}");
    let missing: Vec<_> = names.iter().filter(|name| !all.contains(&format!("fn {name}("))).collect();
    assert!(missing.is_empty(), "docs/threat-model.md names tests that do not exist: {missing:?}");
    for risk in 1..=10 {
        let line = text.lines().find(|line| line.starts_with(&format!("| API{risk} ")));
        let tests = line.map(|line| named(line).len());
        assert!(tests.is_some_and(|count| count > 0), "API{risk} has no test");
    }
}

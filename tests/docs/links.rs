//! Links between the guides lead somewhere, and no guide with commands is left out.

use std::{collections::BTreeSet, fs, path::Path};

use crate::{
    blocks::{self, Mark},
    in_repository, read,
};

/// README, CONTRIBUTING and the guides.
fn guides() -> Vec<String> {
    let files = fs::read_dir(in_repository("docs")).expect("the guides");
    let names = files.map(|file| file.expect("a file").file_name().into_string().expect("text"));
    let guides = names.filter(|name| Path::new(name).extension().is_some_and(|ending| ending == "md"));
    let guides = guides.map(|name| format!("docs/{name}"));
    guides.chain(["README.md".to_owned(), "CONTRIBUTING.md".to_owned()]).collect()
}

/// The anchors that GitHub makes of a text's headings.
fn anchors(text: &str) -> BTreeSet<String> {
    let headings = text.lines().filter(|line| line.starts_with('#')).map(|line| line.trim_start_matches('#').trim());
    let anchor = |heading: &str| {
        let kept = heading.to_lowercase().replace(' ', "-");
        kept.chars().filter(|c| c.is_alphanumeric() || matches!(c, '-' | '_')).collect()
    };
    headings.map(anchor).collect()
}

#[test]
fn links_of_the_guides_lead_somewhere() {
    let mut problems = Vec::new();
    for guide in guides() {
        let text = read(&guide);
        let folder = Path::new(&guide).parent().expect("a folder");
        let targets = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        for target in targets.filter(|target| !target.contains("://")) {
            let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
            let path = if file.is_empty() { in_repository(&guide) } else { in_repository("").join(folder).join(file) };
            // A picture is no text.
            match fs::read(&path).map(|found| String::from_utf8_lossy(&found).into_owned()) {
                Err(error) => problems.push(format!("{guide}: {target}: {error}")),
                Ok(found) if !anchor.is_empty() && !anchors(&found).contains(anchor) => {
                    problems.push(format!("{guide}: {target}: no such heading"));
                }
                Ok(_) => {}
            }
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn every_guide_with_commands_is_run() {
    let here = include_str!("main.rs");
    for guide in guides().iter().filter(|guide| *guide != "CONTRIBUTING.md") {
        let text = read(guide);
        let has_commands = blocks::of(&text).iter().any(|block| block.language == "sh" && block.mark != Mark::Skip);
        assert!(!has_commands || here.contains(&format!("runs(\"{guide}\"")), "{guide} has commands and is not run");
    }
}

//! The files of scenarios: found, read, and with the files that they name.

use std::{
    collections::HashSet,
    fs, io,
    path::{Path, PathBuf},
};

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::{
    commands::explain::{contents, documents, whole_cluster},
    wire::{
        scenario::{self, Copies, Scenario},
        validation::fields,
    },
};

/// The end of the name of a stored outcome.
pub(super) const SNAPSHOT: &str = ".snap.json";

/// The ends of the names of other files that are looked into.
const ENDS: [&str; 3] = [".yaml", ".yml", ".json"];

/// How deep folders are searched.
const DEEPEST: usize = 32;

/// The most files of a run.
const MOST_FILES: usize = 10_000;

/// A file, and its scenarios in their order.
#[derive(Debug)]
pub(super) struct File {
    pub(super) path: PathBuf,
    pub(super) cases: Vec<Case>,
}

/// One scenario of a file.
#[derive(Debug)]
pub(super) struct Case {
    /// Its own name, or that of the file with its place there.
    pub(super) name: String,
    /// The scenario, or why there is none.
    pub(super) read: Result<Scenario, String>,
}

/// The scenarios of files and folders. A folder is searched in the order of names; files in it without any scenario, and those that scenarios name as
/// their parts, are passed over.
pub(super) fn find(paths: &[PathBuf]) -> Vec<File> {
    let mut files = Vec::new();
    for path in paths {
        if path.is_dir() {
            let mut search = Search { entered: HashSet::new(), found: Vec::new() };
            let searched = search.enter(path, 0);
            let mut found = search.found;
            found.sort();
            let mut read: Vec<File> = found.into_iter().map(|path| open(path, true)).collect();
            let parts: HashSet<PathBuf> =
                read.iter().flat_map(named).filter_map(|part| part.canonicalize().ok()).collect();
            read.retain(|file| {
                !file.cases.is_empty() && !file.path.canonicalize().is_ok_and(|path| parts.contains(&path))
            });
            let is_empty = read.is_empty();
            files.extend(read);
            if let Err(why) = searched {
                files.push(unread(path, why));
            } else if is_empty {
                files.push(unread(path, "there is no scenario in the folder".into()));
            }
        } else {
            let file = open(path.clone(), false);
            let is_empty = file.cases.is_empty();
            files.push(if is_empty { unread(path, "there is no scenario in the file".into()) } else { file });
        }
    }
    files
}

/// A path without scenarios, and why.
fn unread(path: &Path, why: String) -> File {
    let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    File { path: path.to_owned(), cases: vec![Case { name, read: Err(why) }] }
}

/// The files that the scenarios of a file name.
fn named(file: &File) -> impl Iterator<Item = PathBuf> {
    let scenarios = file.cases.iter().filter_map(|case| case.read.as_ref().ok());
    let parts = scenarios.flat_map(|scenario| [&scenario.cluster_file, &scenario.policy_file, &scenario.pods_file]);
    parts.flatten().map(|part| beside(&file.path, part))
}

/// A path that is relative to a file.
pub(super) fn beside(file: &Path, part: &str) -> PathBuf {
    file.parent().unwrap_or(Path::new("")).join(part)
}

/// The files of a folder, and of those in it.
struct Search {
    /// Folders that were entered: links may lead back to them.
    entered: HashSet<PathBuf>,
    found: Vec<PathBuf>,
}

impl Search {
    fn enter(&mut self, folder: &Path, depth: usize) -> Result<(), String> {
        let at = |error: &dyn std::fmt::Display| format!("{}: {error}", folder.display());
        if depth > DEEPEST {
            return Err(at(&format!("folders are nested deeper than {DEEPEST} levels")));
        }
        if !self.entered.insert(folder.canonicalize().map_err(|error| at(&error))?) {
            return Ok(());
        }
        let entries: io::Result<Vec<_>> = fs::read_dir(folder).and_then(Iterator::collect);
        let mut paths: Vec<PathBuf> = entries.map_err(|error| at(&error))?.iter().map(fs::DirEntry::path).collect();
        paths.sort();
        for path in paths {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if name.starts_with('.') {
                continue;
            }
            let is_scenario = || !name.ends_with(SNAPSHOT) && ENDS.iter().any(|end| name.ends_with(end));
            match fs::metadata(&path) {
                Ok(about) if about.is_dir() => self.enter(&path, depth + 1)?,
                // Pipes and devices may have no end.
                Ok(about) if !about.is_file() => {}
                // A link to nothing is told of when it is read.
                _ if is_scenario() => self.found.push(path),
                _ => {}
            }
            if self.found.len() > MOST_FILES {
                return Err(at(&format!("there are more than {MOST_FILES} files: name fewer folders")));
            }
        }
        Ok(())
    }
}

fn open(path: PathBuf, passes: bool) -> File {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let found = contents(&path).map_err(|error| error.to_string());
    let found = found.and_then(|body| scenario::read(&body, passes).map_err(|error| error.to_string()));
    let cases = match found {
        Err(why) => vec![Case { name: stem, read: Err(why) }],
        Ok(found) => cases(&stem, found),
    };
    File { path, cases }
}

/// The scenarios that were found in a file of that name.
fn cases(stem: &str, found: Vec<scenario::Found>) -> Vec<Case> {
    let mut names = HashSet::new();
    let case = |found: scenario::Found| {
        let own = found.read.as_ref().ok().and_then(|scenario| scenario.name.clone());
        let placed = if found.at.is_empty() { stem.to_owned() } else { format!("{stem}, {}", found.at) };
        // It is printed in one line.
        let name = own.unwrap_or(placed).replace(char::is_control, " ");
        let read = found.read.map_err(|error| error.to_string());
        // Stored outcomes are known by the names.
        let is_new = names.insert(name.clone());
        let read = if is_new { read } else { Err("another scenario of the file has this name".into()) };
        Case { name, read }
    };
    found.into_iter().map(case).collect()
}

/// Unknown and repeated fields of Kubernetes' objects in a part of a request: they are most likely misspelt, and would test something else.
fn odd(request: &str, field: &str, text: &str) -> Vec<String> {
    let whole = format!("{{{field:?}:{text}}}");
    let examined = fields::examine(request, "", whole.as_bytes());
    examined.refused.into_iter().chain(examined.odd).collect()
}

/// The pods of a document: itself, its elements, or the items of a list.
fn pods_of(document: String) -> Result<Vec<Box<RawValue>>, serde_json::Error> {
    #[derive(Deserialize)]
    struct List {
        kind: String,
        items: Vec<Box<RawValue>>,
    }
    if document.starts_with('[') {
        return serde_json::from_str(&document);
    }
    match serde_json::from_str(&document) {
        Ok(List { kind, items }) if kind.ends_with("List") => Ok(items),
        _ => Ok(vec![RawValue::from_string(document)?]),
    }
}

/// The texts of the parts of a scenario.
#[derive(Debug, Default)]
pub(super) struct Texts {
    pub(super) cluster: Option<String>,
    pub(super) policy: Option<String>,
    pub(super) profile: Option<String>,
    pub(super) pods: Option<Vec<Box<RawValue>>>,
    /// Unknown fields of a cluster in a file, which may be of a newer Kubernetes.
    pub(super) warnings: Vec<String>,
}

/// Reads the parts of a scenario, those in other files too.
///
/// # Errors
/// In one line.
pub(super) fn texts(path: &Path, scenario: &Scenario) -> Result<Texts, String> {
    let only = |own: &str, file: &str| Err(format!("{own} and {file} exclude each other"));
    let text = |raw: &RawValue| raw.get().to_owned();
    let mut warnings = Vec::new();
    let cluster = match (&scenario.cluster, &scenario.cluster_file) {
        (Some(_), Some(_)) => return only("cluster", "clusterFile"),
        (Some(own), None) => {
            odd("ExplainRequest", "cluster", own.get()).into_iter().next().map_or(Ok(()), Err)?;
            Some(text(own))
        }
        (None, Some(file)) => {
            let read = whole_cluster(&beside(path, file)).map_err(|error| format!("clusterFile: {error}"))?;
            warnings = odd("ExplainRequest", "cluster", &read);
            Some(read)
        }
        (None, None) => None,
    };
    let policy = match (&scenario.policy, &scenario.policy_file) {
        (Some(_), Some(_)) => return only("policy", "policyFile"),
        (Some(own), None) => Some(text(own)),
        (None, Some(file)) => {
            let file = beside(path, file);
            let at = |error: &dyn std::fmt::Display| format!("policyFile: {}: {error}", file.display());
            let read = contents(&file).map_err(|error| at(&error))?;
            Some(String::from_utf8(read).map_err(|error| at(&error))?)
        }
        (None, None) => None,
    };
    let pods: Option<Vec<Box<RawValue>>> = match (&scenario.pods, &scenario.pod, &scenario.pods_file) {
        (Some(own), None, None) => Some(own.clone()),
        (None, Some(own), None) => Some(vec![own.clone()]),
        (None, None, Some(file)) => {
            let at = |error: &dyn std::fmt::Display| format!("podsFile: {error}");
            let documents = documents(&beside(path, file)).map_err(|error| at(&error))?;
            let pods = documents.into_iter().map(pods_of).collect::<Result<Vec<_>, _>>();
            Some(pods.map_err(|error| at(&error))?.concat())
        }
        (None, None, None) => None,
        _ => return Err("only one of pods, pod and podsFile is possible".into()),
    };
    if let Some(pods) = &pods {
        let each = pods.iter().enumerate().map(|(place, pod)| match Copies::read(pod) {
            Ok(copies) => Ok(copies.pod.get()),
            Err(error) => Err(error.within(&format!("pods[{place}]")).to_string()),
        });
        let list = format!("[{}]", each.collect::<Result<Vec<_>, String>>()?.join(","));
        odd("ScheduleRequest", "pods", &list).into_iter().next().map_or(Ok(()), Err)?;
    }
    Ok(Texts { cluster, policy, profile: scenario.profile.as_deref().map(text), pods, warnings })
}

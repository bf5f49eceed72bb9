//! The files of scenarios: found, read, and with the files that they name.

use std::{
    collections::HashSet,
    fs,
    path::{Path, PathBuf},
};

use serde_json::value::RawValue;

use crate::{
    commands::explain::{documents, whole_cluster},
    wire::{
        scenario::{self, Scenario},
        validation::fields,
    },
};

/// The end of the name of a stored outcome.
pub(super) const SNAPSHOT: &str = ".snap.json";

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
            let mut found = Vec::new();
            let searched = search(path, 0, &mut found);
            found.sort();
            let mut read: Vec<File> = found.into_iter().map(|path| open(path, true)).collect();
            let parts: HashSet<PathBuf> =
                read.iter().flat_map(named).filter_map(|part| part.canonicalize().ok()).collect();
            read.retain(|file| {
                !file.cases.is_empty() && !file.path.canonicalize().is_ok_and(|path| parts.contains(&path))
            });
            files.extend(read);
            if let Err(why) = searched {
                files.push(File { path: path.clone(), cases: vec![Case { name: String::new(), read: Err(why) }] });
            }
        } else {
            files.push(open(path.clone(), false));
        }
    }
    files
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

fn search(folder: &Path, depth: usize, found: &mut Vec<PathBuf>) -> Result<(), String> {
    let at = |error: &dyn std::fmt::Display| format!("{}: {error}", folder.display());
    if depth > DEEPEST {
        return Err(at(&format!("folders are nested deeper than {DEEPEST} levels")));
    }
    for entry in fs::read_dir(folder).map_err(|error| at(&error))? {
        let path = entry.map_err(|error| at(&error))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.starts_with('.') {
            continue;
        }
        if path.is_dir() {
            search(&path, depth + 1, found)?;
        } else if !name.ends_with(SNAPSHOT) && [".yaml", ".yml", ".json"].iter().any(|end| name.ends_with(end)) {
            found.push(path);
            if found.len() > MOST_FILES {
                return Err(at(&format!("there are more than {MOST_FILES} files: name fewer folders")));
            }
        }
    }
    Ok(())
}

fn open(path: PathBuf, passes: bool) -> File {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let found = fs::read(&path).map_err(|error| error.to_string());
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
        let name = own.unwrap_or(placed);
        let read = found.read.map_err(|error| error.to_string()).and_then(|scenario| {
            examined(&scenario)?;
            Ok(scenario)
        });
        // Stored outcomes are known by the names.
        let is_new = names.insert(name.clone());
        let read = if is_new { read } else { Err("another scenario of the file has this name".into()) };
        Case { name, read }
    };
    found.into_iter().map(case).collect()
}

/// Refuses unknown fields of Kubernetes' objects: they are most likely misspelt, and would test something else.
fn examined(scenario: &Scenario) -> Result<(), String> {
    let examine = |kind: &str, at: &str, text: &RawValue| {
        let examined = fields::examine(kind, at, text.get().as_bytes());
        examined.refused.first().or(examined.odd.first()).map_or(Ok(()), |odd| Err(odd.clone()))
    };
    if let Some(cluster) = &scenario.cluster {
        examine("Cluster", "cluster", cluster)?;
    }
    let listed = scenario.pods.iter().flatten().enumerate().map(|(index, pod)| (format!("pods[{index}]"), pod));
    for (at, pod) in listed.chain(scenario.pod.iter().map(|pod| ("pod".to_owned(), pod))) {
        // Of a kind with a template, and of copies, something else is known.
        if !pod.get().contains("\"kind\"") && !pod.get().contains("\"count\"") {
            examine("Pod", &at, pod)?;
        }
    }
    Ok(())
}

/// The texts of the parts of a scenario.
#[derive(Debug, Default)]
pub(super) struct Texts {
    pub(super) cluster: Option<String>,
    pub(super) policy: Option<String>,
    pub(super) profile: Option<String>,
    pub(super) pods: Option<Vec<Box<RawValue>>>,
}

/// Reads the parts of a scenario, those in other files too.
///
/// # Errors
/// In one line.
pub(super) fn texts(path: &Path, scenario: &Scenario) -> Result<Texts, String> {
    let only = |own: &str, file: &str| Err(format!("{own} and {file} exclude each other"));
    let text = |raw: &RawValue| raw.get().to_owned();
    let cluster = match (&scenario.cluster, &scenario.cluster_file) {
        (Some(_), Some(_)) => return only("cluster", "clusterFile"),
        (Some(own), None) => Some(text(own)),
        (None, Some(file)) => {
            Some(whole_cluster(&beside(path, file)).map_err(|error| format!("clusterFile: {error}"))?)
        }
        (None, None) => None,
    };
    let policy = match (&scenario.policy, &scenario.policy_file) {
        (Some(_), Some(_)) => return only("policy", "policyFile"),
        (Some(own), None) => Some(text(own)),
        (None, Some(file)) => {
            let file = beside(path, file);
            let read = fs::read_to_string(&file);
            Some(read.map_err(|error| format!("policyFile: {}: {error}", file.display()))?)
        }
        (None, None) => None,
    };
    let pods = match (&scenario.pods, &scenario.pod, &scenario.pods_file) {
        (Some(own), None, None) => Some(own.iter().map(|pod| pod.to_owned()).collect()),
        (None, Some(own), None) => Some(vec![own.clone()]),
        (None, None, Some(file)) => {
            let at = |error: &dyn std::fmt::Display| format!("podsFile: {error}");
            let documents = documents(&beside(path, file)).map_err(|error| at(&error))?;
            let raw = documents.into_iter().map(RawValue::from_string).collect::<Result<_, _>>();
            Some(raw.map_err(|error| at(&error))?)
        }
        (None, None, None) => None,
        _ => return Err("only one of pods, pod and podsFile is possible".into()),
    };
    Ok(Texts { cluster, policy, profile: scenario.profile.as_deref().map(text), pods })
}

//! Import cycles between the modules of a crate. A module imports another one where it names it: by `use` or by an inline
//! path, beginning with `crate`, `self`, `super` or a child of its own. A module and those below it are one idea, so what
//! they name of each other does not count.

use std::{
    collections::{BTreeMap, BTreeSet},
    iter,
};

use crate::Source;

/// The folders of all crates' sources.
const CRATES: &[&str] =
    &["src", "crates/core/src", "crates/wire/src", "crates/store/src", "crates/testkit/src", "crates/bench/src"];

/// Module → the modules that it imports.
type Graph = BTreeMap<String, BTreeSet<String>>;

/// The cycles of a crate's modules.
pub(crate) fn of_crate(folder: &str, sources: &[Source]) -> BTreeSet<Vec<String>> {
    cycles(&graph(folder, sources))
}

fn graph(folder: &str, sources: &[Source]) -> Graph {
    let files: BTreeMap<String, &Source> = sources
        .iter()
        .filter_map(|source| Some((module(source.path.strip_prefix(folder)?.strip_prefix('/')?), source)))
        .collect();
    let imported = |module: &str, source: &Source| -> BTreeSet<String> {
        let code: String = source.code().flat_map(|line| [line, "\n"]).collect();
        let named = paths(&code).into_iter().filter_map(|path| {
            let mut named = absolute(module, &path)?;
            while !named.is_empty() && !files.contains_key(&named.join("::")) {
                named.pop();
            }
            Some(named.join("::"))
        });
        named.filter(|named| !named.is_empty() && !is_within(module, named) && !is_within(named, module)).collect()
    };
    let is_tests = |module: &str| module.split("::").any(|part| part == "tests");
    files
        .iter()
        .filter(|(module, _)| !is_tests(module))
        .map(|(module, source)| (module.clone(), imported(module, source)))
        .collect()
}

/// The module of a file, `a::b` of `a/b.rs` and `a/b/mod.rs`; that of the crate's root is empty.
fn module(file: &str) -> String {
    let path = file.strip_suffix(".rs").unwrap_or(file);
    let path = path.strip_suffix("/mod").unwrap_or(path);
    if matches!(path, "lib" | "main" | "mod") { String::new() } else { path.replace('/', "::") }
}

fn is_within(module: &str, outer: &str) -> bool {
    outer.is_empty() || module == outer || module.strip_prefix(outer).is_some_and(|rest| rest.starts_with("::"))
}

/// A path from the crate's root; `None` where it begins with another crate, or none of ours.
fn absolute(module: &str, path: &str) -> Option<Vec<String>> {
    let mut parts: Vec<&str> = path.split("::").collect();
    let mut base: Vec<String> = module.split("::").filter(|part| !part.is_empty()).map(Into::into).collect();
    match parts.first().copied()? {
        "crate" => {
            base.clear();
            parts.remove(0);
        }
        "self" => {
            parts.remove(0);
        }
        _ => {}
    }
    while parts.first() == Some(&"super") {
        base.pop();
        parts.remove(0);
    }
    base.extend(parts.into_iter().map(Into::into));
    Some(base)
}

/// Every path that the code names: those of `use` trees, spread out, and inline ones from `crate`, `self` and `super`.
fn paths(code: &str) -> Vec<String> {
    let mut found = Vec::new();
    for statement in code.split(';') {
        let Some((_, tree)) = statement.rsplit_once("use ") else { continue };
        if statement
            .trim_end()
            .lines()
            .any(|line| line.trim_start().trim_start_matches("pub ").starts_with("use ") || line.contains(") use "))
        {
            spread("", tree, &mut found);
        }
    }
    for start in ["crate::", "self::", "super::"] {
        for (at, _) in code.match_indices(start) {
            let is_whole =
                !code[..at].ends_with(|before: char| before.is_alphanumeric() || before == '_' || before == ':');
            if is_whole {
                let is_path = |c: &char| c.is_alphanumeric() || matches!(c, '_' | ':');
                let path: String = code[at..].chars().take_while(is_path).collect();
                found.push(path.trim_end_matches(':').to_owned());
            }
        }
    }
    found
}

/// The paths of a `use` tree behind a prefix.
fn spread(prefix: &str, tree: &str, found: &mut Vec<String>) {
    let tree = tree.trim();
    let Some((before, group)) = tree.split_once('{') else {
        let name = tree.split(" as ").next().unwrap_or_default().trim();
        found.push(format!("{prefix}{name}"));
        return;
    };
    let prefix = format!("{prefix}{}", before.trim());
    let (mut depth, mut item) = (0, String::new());
    for character in group.chars().chain(iter::once(',')) {
        match character {
            ',' if depth == 0 => {
                if !item.trim().is_empty() {
                    spread(&prefix, &item, found);
                }
                item.clear();
            }
            '}' if depth == 0 => {}
            _ => {
                depth += i32::from(character == '{') - i32::from(character == '}');
                item.push(character);
            }
        }
    }
}

/// The modules that reach themselves, together with all those that they reach and that reach them.
fn cycles(graph: &Graph) -> BTreeSet<Vec<String>> {
    let reached: BTreeMap<&str, BTreeSet<&str>> =
        graph.keys().map(|from| (&**from, reached_from(graph, from))).collect();
    let reaches = |from: &str, to: &str| reached.get(from).is_some_and(|reached| reached.contains(to));
    let of_one = |one: &&String| -> Vec<String> {
        graph.keys().filter(|other| reaches(one, other) && reaches(other, one)).cloned().collect()
    };
    graph.keys().filter(|one| reaches(one, one)).map(|one| of_one(&one)).collect()
}

fn reached_from<'g>(graph: &'g Graph, from: &str) -> BTreeSet<&'g str> {
    let mut reached = BTreeSet::new();
    let mut left: Vec<&str> = vec![from];
    while let Some(module) = left.pop() {
        for next in graph.get(module).into_iter().flatten() {
            if reached.insert(&**next) {
                left.push(next);
            }
        }
    }
    reached
}

#[test]
fn no_crate_has_an_import_cycle() {
    let sources = crate::sources();
    let mut problems = Vec::new();
    for folder in CRATES {
        let found = of_crate(folder, &sources);
        problems.extend(found.iter().map(|cycle| format!("{folder}: {} import each other", cycle.join(", "))));
    }
    crate::check(&problems);
}

/// Functions that register handlers: the methods of axum's routers, and the macro of documented routes.
const REGISTERING: &[&str] =
    &["any", "connect", "delete", "get", "head", "options", "patch", "post", "put", "trace", "on", "routes!"];

/// The modules of the handlers that `sources` register, in any file, by `get(list::list)` or `routes!(a::read, write)`. A
/// handler is an asynchronous function.
fn handler_modules(sources: &[Source]) -> BTreeSet<String> {
    let modules: BTreeMap<String, &Source> =
        sources.iter().filter_map(|source| Some((module(source.path.strip_prefix("src/")?), source))).collect();
    let mut found = BTreeSet::new();
    for (from, source) in &modules {
        let code: String = source.code().flat_map(|line| [line, "\n"]).collect();
        for handler in arguments(&code).iter().filter_map(|argument| absolute(from, argument)) {
            let Some((name, of)) = handler.split_last() else { continue };
            let is_handler = |source: &&Source| source.text.contains(&format!("async fn {name}("));
            let of = of.join("::");
            if modules.get(&of).is_some_and(is_handler) {
                found.insert(of);
            }
        }
    }
    found
}

/// The paths among the arguments of calls that may register handlers.
fn arguments(code: &str) -> Vec<&str> {
    let mut found = Vec::new();
    for name in REGISTERING {
        for (at, call) in code.match_indices(&format!("{name}(")) {
            if code[..at].ends_with(|before: char| before.is_alphanumeric() || before == '_') {
                continue;
            }
            let arguments = code[at + call.len()..].split(')').next().unwrap_or_default();
            let is_path = |path: &&str| {
                !path.is_empty()
                    && path.chars().all(|c| c.is_lowercase() || c.is_ascii_digit() || matches!(c, '_' | ':'))
            };
            found.extend(arguments.split(',').map(str::trim).filter(is_path));
        }
    }
    found
}

/// The imports of one handler's module by another's.
fn handlers_that_import_handlers(sources: &[Source]) -> Vec<String> {
    let (graph, handlers) = (graph("src", sources), handler_modules(sources));
    let imports = |handler: &String| -> Vec<String> {
        let others = graph[handler].intersection(&handlers);
        others.map(|other| format!("{handler} imports {other}: let both call a service")).collect()
    };
    handlers.iter().flat_map(imports).collect()
}

#[test]
fn no_handler_module_imports_another() {
    let sources = crate::sources();
    let handlers = handler_modules(&sources);
    // Documented ones, those of the table of kinds, one beside its routes, and one behind a feature.
    let known = ["api::extender", "api::resources::list", "api::resources::write", "api::policy", "api::profile"];
    for handler in known {
        assert!(handlers.contains(handler), "{handler} has handlers: {handlers:?}");
    }
    let documented =
        sources.iter().filter(|source| source.path.starts_with("src/") && source.text.contains("#[utoipa::path("));
    let unseen = documented.map(|source| module(&source.path[4..])).filter(|module| !handlers.contains(module));
    assert_eq!(unseen.collect::<Vec<_>>(), Vec::<String>::new(), "modules with documented handlers");
    crate::check(&handlers_that_import_handlers(&sources));
}

#[test]
fn handlers_are_seen_where_they_are_registered() {
    let file = |path: &str, text: &str| Source { path: path.into(), text: text.into() };
    let routes = "fn routes() {\n    many.get(list::list);\n    routes!(one, inner::two);\n    \
                  map.get(list::KEY);\n    map.get(show::key);\n}\npub async fn one() {}";
    let sources = [
        file("src/api/mod.rs", "fn routes() { one.post(write::create) }"),
        file("src/api/a/mod.rs", routes),
        file("src/api/a/list.rs", "use super::show;\npub async fn list() {}\npub fn find() {}"),
        file("src/api/a/inner.rs", "use super::{list::find, show::key};\npub(super) async fn two(\n) {}"),
        file("src/api/a/show.rs", "pub fn key() {}"),
        file("src/api/write.rs", "use super::a::list::find;\npub async fn create() {}"),
    ];
    let handlers: Vec<String> = handler_modules(&sources).into_iter().collect();
    assert_eq!(handlers, ["api::a", "api::a::inner", "api::a::list", "api::write"]);
    let imports = |from: &str| format!("{from} imports api::a::list: let both call a service");
    assert_eq!(handlers_that_import_handlers(&sources), [imports("api::a::inner"), imports("api::write")]);
}

#[test]
fn imports_are_seen_in_every_form() {
    let file = |path: &str, text: &str| Source { path: path.into(), text: text.into() };
    let sources = [
        file("src/lib.rs", "mod a; mod b; mod c; mod d; pub use d::D;"),
        file("src/a.rs", "use crate::{\n    b::{self, deep::B as Other},\n    wire,\n};"),
        file("src/b/mod.rs", "pub(super) mod deep;"),
        file("src/b/deep.rs", "fn f() { super::super::c::call(); }"),
        file("src/c.rs", "// use crate::d;\nfn g() -> crate::a::A { crate::a::A }"),
        file("src/d/mod.rs", "mod child;\nuse self::child::Child;"),
        file("src/d/child.rs", "use super::D;\n#[cfg(test)]\nmod tests {\n    use crate::a;\n}"),
        file("other/src/a.rs", "use crate::c;"),
    ];
    let graph = graph("src", &sources);
    let imports = |module: &str| graph[module].iter().map(String::as_str).collect::<Vec<_>>();
    assert_eq!(imports("a"), ["b", "b::deep"]);
    assert_eq!(imports("b::deep"), ["c"]);
    assert_eq!(imports("c"), ["a"]);
    assert!(imports("d").is_empty() && imports("d::child").is_empty(), "a module and its child are one idea");
    assert_eq!(cycles(&graph), BTreeSet::from([["a", "b::deep", "c"].map(String::from).to_vec()]));
}

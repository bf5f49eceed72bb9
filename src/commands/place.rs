//! `podberth place`: a server is asked where replicas go, and its answer printed as a table for people.

use std::{fmt::Write, path::PathBuf};

use clap::Args;
use hyper::Method;
use serde_json::Value;

use super::{
    asked::Asked,
    autoscale::{document, list, text},
    policy::Said,
};
use crate::wire::table::rows;

/// The options of the command.
#[derive(Args)]
pub struct Options {
    /// The request in JSON or YAML, as POST /placements takes it; - for standard input
    #[arg(short, long, value_name = "FILE")]
    file: PathBuf,
    /// Name of the stored policy that decides
    #[arg(long, value_name = "NAME")]
    policy: Option<String>,
    /// Print the whole answer as JSON
    #[arg(long)]
    json: bool,
    /// The server.
    #[command(flatten)]
    asked: Asked,
}

/// Asks, and renders the answer. It is good if all replicas have a place.
///
/// # Errors
/// The reason why there is no answer, as one line.
pub async fn run(options: &Options) -> Result<Said, String> {
    let path = options.policy.as_ref().map_or_else(String::new, |policy| format!("?policy={policy}"));
    let body = document(&options.file)?.into_bytes();
    let answer: Value = options.asked.ask(Method::POST, &format!("/placements{path}"), body).await?;
    let output = if options.json {
        serde_json::to_string_pretty(&answer).map_err(|error| error.to_string())? + "\n"
    } else {
        table(&answer)
    };
    Ok(Said { output, remarks: String::new(), good: answer["reason"].is_null() })
}

/// The answer for people: the clusters that get replicas, and why the others do not.
fn table(answer: &Value) -> String {
    let placed: i64 = list(&answer["clusters"]).iter().filter_map(|of| of["replicas"].as_i64()).sum();
    let done = answer["committed"].as_str().map_or("placed", |done| if done == "bind" { "bound" } else { "reserved" });
    let mut told = format!("{done}: {placed}, without a place: {}", text(&answer["unplaced"]));
    if let Some(message) = answer["message"].as_str() {
        let _ = write!(told, ": {message}");
    }
    let clusters = list(&answer["clusters"]).iter().map(|of| {
        let nodes = list(&of["nodes"]).iter().map(|on| format!("{} {}", text(&on["name"]), text(&on["count"])));
        let added = &of["afterScaleUp"];
        let added = if added.is_null() {
            String::new()
        } else {
            format!("{} {} in {} s", text(&added["count"]), text(&added["template"]), text(&added["waitSeconds"]))
        };
        let nodes = nodes.collect::<Vec<_>>().join(", ");
        vec![text(&of["name"]), text(&of["replicas"]), text(&of["available"]), nodes, added]
    });
    let clusters = rows(&["cluster", "replicas", "room", "nodes", "new nodes"], clusters);
    let rejected = list(&answer["rejected"]).iter().map(|of| {
        let reasons = list(&of["reasons"]).iter().map(|reason| match reason["nodes"].as_u64() {
            Some(nodes) => format!("{nodes} {}", text(&reason["text"])),
            None => format!("{}: {}", text(&reason["rule"]), text(&reason["text"])),
        });
        vec![text(&of["name"]), reasons.collect::<Vec<_>>().join("; ")]
    });
    let rejected = rows(&["no replicas for", "why"], rejected);
    told.push('\n');
    for part in [clusters, rejected].iter().filter(|part| !part.is_empty()) {
        let _ = write!(told, "\n{part}");
    }
    told
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    #[test]
    fn clusters_come_with_their_nodes_and_the_others_with_reasons() {
        let answer = json!({
            "clusters": [
                {"name": "eu-1", "replicas": 5, "available": 6, "nodes": [{"name": "a", "count": 4}, {"name": "b", "count": 1}]},
                {"name": "us-1", "replicas": 2, "available": 9, "nodes": [],
                    "afterScaleUp": {"template": "large", "replicas": 9, "count": 1, "waitSeconds": 180}}
            ],
            "rejected": [{"name": "us-2", "reasons": [
                {"rule": "Capacity", "text": "room for 0 of 1 replicas"}, {"rule": "Capacity", "text": "Insufficient cpu", "nodes": 3}]}],
            "unplaced": 1, "reason": "InsufficientReplicas", "message": "the clusters have room for 7 more replicas; 1 have no place"
        });
        let told = super::table(&answer);
        for part in [
            "placed: 7, without a place: 1: the clusters have room for 7",
            "a 4, b 1",
            "1 large in 180 s",
            "NO REPLICAS FOR",
            "Capacity: room for 0 of 1 replicas; 3 Insufficient cpu",
        ] {
            assert!(told.contains(part), "{part} is not in\n{told}");
        }
    }
}

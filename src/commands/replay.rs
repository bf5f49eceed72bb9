//! `podberth replay`: a server makes its recorded decisions again.

use std::fmt::Write;

use clap::Args;
use hyper::Method;

use super::{asked::Asked, policy::Said};
use crate::{
    live::DEFAULT_CLUSTER,
    wire::decision::{ReplayReport, ReplayRequest},
};

/// Decisions of one request.
const AT_ONCE: usize = 1_000;

/// Decisions that are printed with the reason.
const MOST_TOLD: usize = 20;

/// The options of the command.
#[derive(Args)]
pub struct Options {
    /// Only decisions from this instant on, RFC 3339; all that are kept unless told
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Only this decision; may be given several times
    #[arg(long = "decision", value_name = "ID", conflicts_with = "since")]
    decisions: Vec<String>,
    /// The cluster of the decisions
    #[arg(long, value_name = "NAME", default_value = DEFAULT_CLUSTER)]
    cluster: String,
    /// End with 1 if a decision has another answer, or if none could be made again
    #[arg(long)]
    verify: bool,
    /// Print the whole result as JSON
    #[arg(long)]
    json: bool,
    /// The server.
    #[command(flatten)]
    asked: Asked,
}

/// Makes decisions again.
///
/// # Errors
/// The reason why the server has no answer, as one line.
pub async fn run(options: &Options) -> Result<Said, String> {
    let path = match &*options.cluster {
        DEFAULT_CLUSTER => "/replay".to_owned(),
        name => format!("/clusters/{name}/replay"),
    };
    let is_named = !options.decisions.is_empty();
    let mut request = ReplayRequest {
        decisions: is_named.then(|| options.decisions.clone()),
        since: options.since.clone(),
        all: !is_named && options.since.is_none(),
        limit: (!is_named).then_some(AT_ONCE),
        after: None,
    };
    let mut whole = ReplayReport::default();
    loop {
        let body = serde_json::to_vec(&request).map_err(|error| error.to_string())?;
        let page: ReplayReport = options.asked.ask(Method::POST, &path, body).await?;
        request.after.clone_from(&page.next);
        whole.join(page);
        if request.after.is_none() {
            break;
        }
    }
    let good = !options.verify || whole.identical == whole.total || is_good(&whole);
    let output = if options.json {
        serde_json::to_string_pretty(&whole).map_err(|error| error.to_string())? + "\n"
    } else {
        told(&whole)
    };
    Ok(Said { output, remarks: String::new(), good })
}

/// `true` if every decision that could be made again is identical, and some are.
fn is_good(report: &ReplayReport) -> bool {
    report.different.is_empty() && report.identical > 0
}

/// The result for people.
fn told(report: &ReplayReport) -> String {
    let ReplayReport { total, identical, different, skipped, more_different, more_skipped, .. } = report;
    let (differ, skip) = (different.len() + more_different, skipped.len() + more_skipped);
    let mut text = format!("{total} decisions: {identical} identical, {differ} different, {skip} skipped\n");
    for difference in different.iter().take(MOST_TOLD) {
        let of = &difference.input.pod;
        for field in &difference.fields {
            let (id, field, recorded, now) = (&difference.id, &field.field, &field.recorded, &field.now);
            let _ = writeln!(text, "different {id} {}/{}: {field} was {recorded:?}, is {now:?}", of.namespace, of.name);
        }
    }
    for skipped in skipped.iter().take(MOST_TOLD) {
        let _ = writeln!(text, "skipped {}: {}", skipped.id, skipped.why);
    }
    if differ > MOST_TOLD || skip > MOST_TOLD {
        text.push_str("… (--json prints all)\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_counted_together_and_told_in_lines() {
        let mut whole = ReplayReport::default();
        let mut page = ReplayReport::default();
        page.is_identical();
        page.skip("a".into(), "revision 3 is gone".into());
        whole.join(page.clone());
        whole.join(page);
        assert_eq!(
            told(&whole),
            "4 decisions: 2 identical, 0 different, 2 skipped\nskipped a: revision 3 is gone\nskipped a: revision 3 is gone\n"
        );
        assert!(is_good(&whole));
    }
}

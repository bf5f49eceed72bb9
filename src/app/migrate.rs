//! `podberth migrate`: the schema, its distribution, and a look at the server.

use clap::Args;
use tracing::info;

use super::{Error, database};
use crate::{
    config::Settings,
    store::{self, Finding, Remark},
    telemetry,
};

/// Options of `podberth migrate`.
#[derive(Args)]
pub struct Migrate {
    #[command(flatten)]
    settings: Settings,
    /// Spread the tables over the servers of Citus as well: all rows of a cluster on one of them. No process may use the database meanwhile
    #[arg(long, conflicts_with = "check")]
    citus: bool,
    /// Change nothing: print what the database server is, and what of it will not work
    #[arg(long)]
    check: bool,
}

/// Runs it. What is printed, and `true` unless there is a problem.
pub async fn migrate(command: &Migrate) -> Result<(String, bool), Error> {
    let settings = &command.settings;
    telemetry::log(settings.log_level.filter(), settings.log_format);
    let (url, options) = (database::url(settings)?, database::options(settings));
    if command.check {
        let findings = store::inspect(&url, &options).await?;
        let is_good = !findings.iter().any(|found| matches!(found.remark, Some(Remark::Problem(_))));
        return Ok((shown(&findings), is_good));
    }
    if command.citus {
        store::can_distribute(&url, &options).await?;
    }
    let store = database::open(settings, true).await?;
    store.migrate().await?;
    store.close().await;
    info!("the database's schema is up to date");
    if command.citus {
        store::distribute(&url, &options).await?;
        info!("the tables are spread over the servers of Citus");
    }
    Ok((String::new(), true))
}

/// A line for each finding, and one below it for its remark.
fn shown(findings: &[Finding]) -> String {
    let lines = findings.iter().flat_map(|Finding { name, state, remark }| {
        let remark = remark.as_ref().map(|remark| match remark {
            Remark::Note(text) => format!("  note: {text}\n"),
            Remark::Problem(text) => format!("  problem: {text}\n"),
        });
        std::iter::once(format!("{name}: {state}\n")).chain(remark)
    });
    lines.collect()
}

//! From nothing to ready, with the large cluster in the database; and how much memory that takes.

use std::time::Duration;

use tokio::time::sleep;

use super::{
    fixture::Fixture,
    report::{Report, number},
    times::Times,
};

/// Starts of which the middle one counts.
const STARTS: usize = 3;

/// After a start, until nothing moves any more.
const REST: Duration = Duration::from_secs(3);

pub(super) async fn measure(fixture: &mut Fixture<'_>, report: &mut Report) -> Result<(), String> {
    let (nodes, pods) = (fixture.nodes(), fixture.pods());
    fixture.large().await?;
    if let Some(filling) = fixture.filling() {
        let (seconds, megabytes) = (filling.took.as_secs_f64(), filling.bytes as f64 / 1e6);
        let note = format!("{} MB in {} s", number(megabytes), number(seconds));
        report.add("start/import", format!("/import: {nodes} nodes, {pods} pods"), (megabytes / seconds, "MB/s"), note);
    }
    let mut times = Vec::new();
    for _ in 0..STARTS {
        times.push(fixture.fresh_server().await?.start);
    }
    let seconds = Times::from_iter(times).percentile(50) / 1e3;
    report.add("start/ready", "cold start to ready", (seconds, "s"), format!("middle of {STARTS}"));
    sleep(REST).await;
    let server = fixture.large().await?;
    if let (Some(resident), Some(peak)) = (server.resident(), server.peak()) {
        let note = format!("resident, {} s after the start; its peak until then {} MB", REST.as_secs(), number(peak));
        report.add("start/memory", "memory at rest", (resident, "MB"), note);
    }
    Ok(())
}

//! Everything at once for a while: changes, decisions, binds and reads; and whether memory grows.
//!
//! Each kind of call has a pace of its own. Calls begin when they are due, or as soon as a caller is free; where the server
//! cannot keep up there are fewer of them, which the rate of changes tells.

use std::{
    collections::BTreeSet,
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::http::Method;
use tokio::{
    task::JoinSet,
    time::{Instant, interval, sleep_until},
};

use super::{
    batch::schedule,
    check,
    client::{Client, Failed},
    fixture::{Fixture, import},
    report::{Report, number},
    times::Times,
    verbs,
};
use podberth_testkit::{
    json::{Shape, waiting},
    large::node_name,
};

/// Calls a second, of each kind, and those who make them.
const CHANGES: Pace = Pace { rate: 1_000, callers: 64 };
const FILTERS: Pace = Pace { rate: 20, callers: 2 };
const PRIORITIZES: Pace = Pace { rate: 20, callers: 2 };
const SCHEDULES: Pace = Pace { rate: 5, callers: 1 };
const LISTS: Pace = Pace { rate: 10, callers: 1 };

/// Pods of one `/schedule`.
const BATCH: usize = 10;
/// Pods that come and go: so many are there at any time.
const CHURNING: usize = 1_000;
/// Between two looks at the server's memory.
const LOOK: Duration = Duration::from_millis(250);

#[derive(Clone, Copy)]
struct Pace {
    rate: u32,
    callers: usize,
}

/// The results of the calls of one kind.
#[derive(Default)]
struct Calls {
    /// The number of each call that was answered, and how long it took.
    answered: Vec<(usize, Duration)>,
    turned_away: usize,
}

/// The inputs of calls.
#[derive(Clone)]
struct Scene {
    client: Client,
    url: String,
    nodes: usize,
}

fn churning() -> Shape {
    Shape { namespace: "churning", ..waiting("churn", "") }
}

pub(super) async fn measure(fixture: &mut Fixture<'_>, report: &mut Report) -> Result<(), String> {
    let (client, nodes, lasts) = (fixture.client(), fixture.nodes(), Duration::from_secs(fixture.seconds()));
    let url = fixture.large().await?.url.clone();
    let first: Vec<String> = (0..CHURNING).map(|i| churning().pod(i, Some(&node_name(i % nodes)))).collect();
    import(&client, &format!("{url}/import"), &first).await?;

    let server = fixture.large().await?;
    let before = server.cpu();
    let scene = Scene { client, url, nodes };
    let end = Instant::now() + lasts;
    let mut kinds = JoinSet::new();
    let names = verbs::by_names(nodes);
    kinds.spawn(paced("changes", CHANGES, end, scene.clone(), change));
    let ask = names.clone();
    kinds.spawn(paced("filters", FILTERS, end, scene.clone(), move |scene, _| {
        let ask = ask.clone();
        async move {
            let reply = scene.client.post(&format!("{}/filter", scene.url), ask).await?;
            verbs::is_filtered(&reply.body, scene.nodes)?;
            Ok(reply.took)
        }
    }));
    kinds.spawn(paced("prioritizes", PRIORITIZES, end, scene.clone(), move |scene, _| {
        let ask = names.clone();
        async move {
            let reply = scene.client.post(&format!("{}/prioritize", scene.url), ask).await?;
            verbs::is_prioritized(&reply.body, scene.nodes)?;
            Ok(reply.took)
        }
    }));
    kinds.spawn(paced("schedules", SCHEDULES, end, scene.clone(), place));
    kinds.spawn(paced("lists", LISTS, end, scene.clone(), |scene, _| async move {
        let url = format!("{}/api/v1/namespaces/churning/pods?limit=500", scene.url);
        Ok(scene.client.send(Method::GET, &url, None, "").await?.took)
    }));

    let (mut memory, mut look) = (Vec::new(), interval(LOOK));
    let mut done = Vec::new();
    loop {
        tokio::select! {
            kind = kinds.join_next() => match kind {
                Some(kind) => done.push(kind.map_err(|error| error.to_string())??),
                None => break,
            },
            _ = look.tick() => memory.extend(server.resident()),
        }
    }
    let cpu = server.cpu().zip(before).map(|(after, before)| (after - before) / lasts.as_secs_f64());
    is_as_told(&scene, &done).await?;

    done.sort_by_key(|(name, _)| *name);
    for (name, calls) in done {
        let (count, turned_away) = (calls.answered.len(), calls.turned_away);
        let rate = count as f64 / lasts.as_secs_f64();
        let times: Times = calls.answered.into_iter().map(|(_, took)| took).collect();
        let note = format!("p50 {} ms; {count} calls, {turned_away} turned away", number(times.percentile(50)));
        if name == "changes" {
            let cpu = cpu.map(|cpu| format!("the server used {} cores", number(cpu))).unwrap_or_default();
            report.add("mixed/changes", "mixed load: changes of state", (rate, "changes/s"), cpu);
        }
        report.add(format!("mixed/{name}-p99"), format!("mixed load: {name}, p99"), (times.percentile(99), "ms"), note);
    }
    let sixth = memory.len() / 6;
    if sixth > 0 {
        // The first moments, in which the server comes up to the load, are no growth.
        let mean = |looks: &[f64]| looks.iter().sum::<f64>() / looks.len() as f64;
        let (begin, end) = (mean(&memory[sixth..2 * sixth]), mean(&memory[memory.len() - sixth..]));
        let note = format!("{} MB in the second sixth, {} MB in the last one", number(begin), number(end));
        report.add(
            "mixed/memory-growth",
            "mixed load: memory at the end to that at the begin",
            (end / begin, "×"),
            note,
        );
    }
    Ok(())
}

/// Calls at a pace until the end.
async fn paced<F>(
    name: &'static str,
    pace: Pace,
    end: Instant,
    scene: Scene,
    call: impl Fn(Scene, usize) -> F + Clone + Send + 'static,
) -> Result<(&'static str, Calls), String>
where
    F: Future<Output = Result<Duration, Failed>> + Send,
{
    let (next, begun, mut callers) = (Arc::new(AtomicUsize::new(0)), Instant::now(), JoinSet::new());
    for _ in 0..pace.callers {
        let (next, scene, call) = (next.clone(), scene.clone(), call.clone());
        callers.spawn(async move {
            let mut calls = Calls::default();
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                let due = begun + Duration::from_secs(1) * number as u32 / pace.rate;
                if due.max(Instant::now()) >= end {
                    return Ok::<_, String>(calls);
                }
                sleep_until(due).await;
                match call(scene.clone(), number).await {
                    Ok(took) => calls.answered.push((number, took)),
                    Err(Failed { busy: Some(_), .. }) => calls.turned_away += 1,
                    Err(failed) => return Err(failed.into()),
                }
            }
        });
    }
    let mut all = Calls::default();
    for calls in callers.join_all().await {
        let Calls { answered, turned_away } = calls?;
        all.answered.extend(answered);
        all.turned_away += turned_away;
    }
    Ok((name, all))
}

/// A pod comes, or the oldest one goes.
async fn change(scene: Scene, number: usize) -> Result<Duration, Failed> {
    let (Scene { client, url, nodes }, i) = (scene, number / 2);
    let pods = format!("{url}/api/v1/namespaces/churning/pods");
    let reply = if number.is_multiple_of(2) {
        let i = i + CHURNING;
        client.post(&pods, churning().pod(i, Some(&node_name(i % nodes)))).await?
    } else {
        client.send(Method::DELETE, &format!("{pods}/churn-{i:07}"), None, "").await?
    };
    Ok(reply.took)
}

/// New pods are stored, placed and bound in one call; then they go, so that there are never more of them.
async fn place(scene: Scene, number: usize) -> Result<Duration, Failed> {
    let Scene { client, url, .. } = scene;
    let shape = Shape { namespace: "placed", ..waiting("placed", "") };
    let numbers = number * BATCH..(number + 1) * BATCH;
    let pods: Vec<String> = numbers.clone().map(|i| shape.pod(i, None)).collect();
    let done = schedule(&client, &url, format!(r#"{{"pods":[{}]}}"#, pods.join(","))).await?;
    done.all_bound(BATCH)?;
    for i in numbers {
        client.send(Method::DELETE, &format!("{url}/api/v1/namespaces/placed/pods/placed-{i:07}"), None, "").await?;
    }
    Ok(done.took)
}

/// The store has what was acknowledged, and nothing else.
async fn is_as_told(scene: &Scene, done: &[(&'static str, Calls)]) -> Result<(), String> {
    let Scene { client, url, .. } = scene;
    let mut expected: BTreeSet<usize> = (0..CHURNING).collect();
    let changes = done.iter().filter(|(name, _)| *name == "changes").flat_map(|(_, calls)| &calls.answered);
    let (came, went): (Vec<_>, Vec<_>) = changes.map(|(number, _)| *number).partition(|n| n.is_multiple_of(2));
    expected.extend(came.into_iter().map(|number| number / 2 + CHURNING));
    for number in went {
        expected.remove(&(number / 2));
    }
    let stored = check::stored(client, &format!("{url}/api/v1/namespaces/churning/pods")).await?;
    // A list is in order of names.
    if stored.iter().map(|pod| &*pod.name).eq(expected.iter().map(|i| format!("churn-{i:07}"))) {
        return Ok(());
    }
    Err(format!("{} pods are stored, and they are not the {} that should be", stored.len(), expected.len()))
}

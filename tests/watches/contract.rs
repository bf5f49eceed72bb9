//! The contract of watches at two replicas of one database: ordered, unique, reliable, atomic, resumable, bookmarkable.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
};

use podberth::store::{Head, Keep};
use podberth_testkit::watches::{Client, State, Told, Type};
use serde_json::Value;
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::{MAPS, Running, Watch, map, revision_of, server::Server};

const NAMES: u32 = 12;
/// Writes of each of the two writers.
const WRITES: usize = 80;
/// The object that is written last.
const END: &str = "zz-end";

fn told(event: &Value) -> Told {
    let (object, metadata) = (&event["object"], &event["object"]["metadata"]);
    let of = match event["type"].as_str().expect("a type") {
        "ADDED" => Type::Added,
        "MODIFIED" => Type::Modified,
        "DELETED" => Type::Deleted,
        "BOOKMARK" => Type::Bookmark,
        other => panic!("{other}: {event}"),
    };
    let text = |field: &str| metadata[field].as_str().unwrap_or_default().to_owned();
    Told { of, place: text("name"), created: id(&text("uid")), revision: revision_of(object) }
}

/// A number for an object among those of its name. An older one's is not known to be smaller.
fn id(uid: &str) -> u64 {
    Uuid::parse_str(uid).map_or(0, |uid| uid.as_u64_pair().0)
}

/// Writes at random at one replica.
async fn write(server: Server, seed: u64) {
    let mut chance = fastrand::Rng::with_seed(seed);
    for _ in 0..WRITES {
        let name = format!("m-{}", chance.u32(0..NAMES));
        let path = format!("{MAPS}/{name}");
        let object = map(&name, &chance.u32(0..3).to_string());
        let reply = match chance.u32(0..3) {
            0 => server.delete(&path).await,
            1 => server.post(MAPS, &object).await,
            _ => server.put(&path, &object).await,
        };
        assert!(matches!(reply.code, 200 | 201 | 404 | 409), "{}", reply.text());
    }
}

/// Watches from a revision until the last object comes: all events.
async fn all(address: SocketAddr, from: u64, query: &str) -> Vec<Told> {
    let mut watch = Watch::begin(address, &format!("{MAPS}?watch=1&resourceVersion={from}&{query}")).await;
    let mut events = Vec::new();
    loop {
        let event = told(&watch.next().await.expect("an event"));
        let is_end = event.place == END;
        events.push(event);
        if is_end {
            return events;
        }
    }
}

/// Watches a few events at one replica, then goes on at the other one, and so on until the last object comes.
async fn roam(addresses: [SocketAddr; 2], from: u64, query: String, seed: u64) -> Client {
    let mut chance = fastrand::Rng::with_seed(seed);
    let (mut client, mut at) = (Client::listed(State::new(), from), 0);
    loop {
        let seen = client.seen;
        let mut watch = Watch::begin(addresses[at], &format!("{MAPS}?watch=1&resourceVersion={seen}&{query}")).await;
        for _ in 0..chance.u32(1..12) {
            let event = watch.next().await.expect("an event");
            if event["object"]["code"] == 410 {
                // Of a revision at which the replica does not know the state: begin anew.
                client = list(addresses[at], &query).await;
                if client.state.contains_key(END) {
                    return client;
                }
                break;
            }
            let event = told(&event);
            client.take(&event).unwrap_or_else(|broken| panic!("{broken:?} by {event:?}: {client:?}"));
            if event.place == END {
                return client;
            }
        }
        at = 1 - at;
        client.resumes(true);
    }
}

async fn list(address: SocketAddr, query: &str) -> Client {
    let list = Watch::begin(address, &format!("{MAPS}?{query}")).await.next().await.expect("a list");
    let item = |item: &Value| {
        let text = |field: &str| item["metadata"][field].as_str().expect("text").to_owned();
        (text("name"), (id(&text("uid")), revision_of(item)))
    };
    let state = list["items"].as_array().expect("items").iter().map(item).collect();
    Client::listed(state, revision_of(&list))
}

pub async fn replicas_keep_the_contract_together(one: Server) {
    let servers = [one.clone(), Server::replica(one.state.store.clone())];
    servers[0].post(MAPS, &map("first", "0")).await.is(201);
    servers[0].delete(&format!("{MAPS}/first")).await.is(200);
    let running = [Running::start(servers[0].router.clone()).await, Running::start(servers[1].router.clone()).await];
    let addresses = [running[0].address, running[1].address];
    let from = list(addresses[0], "").await.seen;

    let mut watches = JoinSet::new();
    for (at, address) in addresses.into_iter().enumerate() {
        watches.spawn(async move { (at, all(address, from, "").await) });
    }
    let mut roamers = JoinSet::new();
    for seed in 0..12 {
        let query = if seed % 3 == 0 { "labelSelector=v%3D1" } else { "" };
        roamers.spawn(async move { (query, roam(addresses, from, query.to_owned(), seed).await) });
    }
    let mut writers = JoinSet::new();
    for (seed, server) in servers.iter().enumerate() {
        writers.spawn(write(server.clone(), seed as u64));
    }
    writers.join_all().await;
    servers[1].post(MAPS, &map(END, "1")).await.is(201);

    let streams: BTreeMap<usize, Vec<Told>> = watches.join_all().await.into_iter().collect();
    // A change has a revision of its own. Of several changes by another process at once a replica does not know when an object was deleted.
    let identity = |event: &Told| match event.of {
        Type::Deleted => (event.created, Some(event.place.clone())),
        _ => (event.revision, None),
    };
    let by_identity = |events: &[Told]| -> BTreeMap<_, Told> {
        events.iter().map(|event| (identity(event), event.clone())).collect()
    };
    let told = [by_identity(&streams[&0]), by_identity(&streams[&1])];
    for (at, events) in told.iter().enumerate() {
        assert_eq!(events.len(), streams[&at].len(), "each once");
        let mut client = Client::listed(State::new(), from);
        for event in &streams[&at] {
            client.take(event).unwrap_or_else(|broken| panic!("{broken:?} by {event:?}"));
        }
        assert_eq!(client.state, list(addresses[at], "").await.state);
    }
    let common: BTreeSet<_> = told[0].keys().filter(|key| told[1].contains_key(key)).collect();
    assert!(common.len() > WRITES / 4, "{}", common.len());
    for key in common.into_iter().filter(|(_, deleted)| deleted.is_none()) {
        let (one, other) = (&told[0][key], &told[1][key]);
        // Of several changes by another process at once the last one alone is told, which may be an addition then.
        assert_eq!((&one.place, one.created), (&other.place, other.created));
    }
    for (query, client) in roamers.join_all().await {
        let listed = list(addresses[0], query).await;
        assert_eq!(client.state, listed.state, "{query:?}");
    }
}

pub async fn revisions_of_another_history_have_expired(one: Server) {
    let store = one.state.store.clone();
    for name in ["a", "b"] {
        one.post(MAPS, &map(name, "1")).await.is(201);
    }
    one.delete(&format!("{MAPS}/a")).await.is(200);
    let compacted = store.compact("east", &Keep { age: std::time::Duration::ZERO, revisions: 0 }).await;
    assert_eq!(compacted.expect("it is compacted").revision, 3);
    let replica = Server::replica(store.clone());
    let running = Running::start(replica.router.clone()).await;
    let mut old = Watch::begin(running.address, &format!("{MAPS}?watch=1&resourceVersion=1")).await;
    let error = old.next().await.expect("an event");
    assert!(old.status.contains(" 200 "), "{}: the error is an event", old.status);
    assert_eq!((&error["type"], &error["object"]["reason"]), (&"ERROR".into(), &"Expired".into()), "{error}");
    assert_eq!(
        (&error["object"]["code"], &error["object"]["message"]),
        (&410.into(), &"too old resource version: 1 (3)".into())
    );
    assert_eq!(old.next().await, None);

    // An older copy of the database has come back: another process has seen a head that is no more.
    let mut newest = Watch::begin(running.address, &format!("{MAPS}?watch=1&resourceVersion=3")).await;
    one.post(MAPS, &map("c", "1")).await.is(201);
    assert_eq!(newest.next().await.expect("an event")["type"], "ADDED");
    let lost = Head { revision: 9, token: Uuid::from_u128(1), ..store.head("east").await.expect("a head") };
    let epoch = store.begin_epoch("east", &lost, Uuid::from_u128(2)).await.expect("an epoch begins");
    assert_eq!(newest.next().await.expect("an event")["object"]["code"], 410, "what was read is void");
    assert_eq!(newest.next().await, None);
    for foreign in [3, 9, epoch.revision - 1] {
        let path = format!("{MAPS}?watch=1&resourceVersion={foreign}");
        let mut watch = Watch::begin(running.address, &path).await;
        assert_eq!(watch.next().await.expect("an event")["object"]["code"], 410, "{foreign}");
    }
    let listed = list(running.address, "").await;
    assert_eq!(listed.seen, epoch.revision);
    let mut again = Watch::begin(running.address, &format!("{MAPS}?watch=1&resourceVersion={}", listed.seen)).await;
    one.post(MAPS, &map("d", "1")).await.is(201);
    assert_eq!(again.next().await.expect("an event")["object"]["metadata"]["name"], "d");
}

pub async fn a_removed_cluster_can_be_watched_until_it_is_made_again(one: Server) {
    let replica = Server::replica(one.state.store.clone());
    let running = Running::start(replica.router.clone()).await;
    one.post(MAPS, &map("a", "1")).await.is(201);
    let mut watch = Watch::begin(running.address, &format!("{MAPS}?watch=1")).await;
    assert_eq!(watch.next().await.expect("an event")["type"], "ADDED");
    one.delete("/clusters/east").await.is(200);
    while let Some(event) = watch.next().await {
        assert_eq!(event["object"]["code"], 410, "{event}");
    }
    // Its client comes again, and stays.
    let mut watch = Watch::begin(running.address, &format!("{MAPS}?watch=1")).await;
    let rounds = tokio::time::timeout(std::time::Duration::from_millis(500), watch.next()).await;
    assert!(rounds.is_err(), "several rounds of polling do not end it: {rounds:?}");
    one.post(MAPS, &map("b", "1")).await.is(201);
    let event = watch.next().await.expect("an event");
    assert_eq!((&event["type"], &event["object"]["metadata"]["name"]), (&"ADDED".into(), &"b".into()));
}

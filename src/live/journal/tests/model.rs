//! The contract of watches on a track, against a model, over random changes: ordered, unique, nothing left out, resumable.

use std::collections::BTreeMap;

use proptest::prelude::*;

use crate::{
    live::journal::{
        event::{Event, Kind},
        track::{Bounds, Lane, Read, Track},
    },
    store::{Key, Record},
    wire::{kinds, selector::Query},
};

const NAMES: [&str; 3] = ["a", "b", "c"];
const NODES: [Option<&str>; 3] = [None, Some("n"), Some("m")];

/// A change of one object: its node then, or its deletion. A new uid stands for a deletion that was not seen.
#[derive(Clone, Debug)]
enum Op {
    Put { name: usize, value: u8, node: usize },
    Bind { name: usize, node: usize },
    Replace { name: usize },
    Delete { name: usize },
}

fn op() -> impl Strategy<Value = Op> {
    let name = || 0..NAMES.len();
    prop_oneof![
        4 => (name(), 0_u8..3, 0..NODES.len()).prop_map(|(name, value, node)| Op::Put { name, value, node }),
        2 => (name(), 0..NODES.len()).prop_map(|(name, node)| Op::Bind { name, node }),
        1 => name().prop_map(|name| Op::Replace { name }),
        2 => name().prop_map(|name| Op::Delete { name }),
    ]
}

/// The state as the store has it.
#[derive(Clone, Default)]
struct Model {
    revision: u64,
    live: BTreeMap<usize, Record>,
}

impl Model {
    fn record(&mut self, name: usize, value: u8, node: usize) -> Record {
        let known = self.live.get(&name);
        let body = format!(
            r#"{{"metadata":{{"name":"{}","namespace":"s","labels":{{"v":"{value}"}}}},"spec":{{}}}}"#,
            NAMES[name]
        );
        Record {
            key: Key::new("pods", "s", NAMES[name]),
            uid: known.map_or_else(|| self.revision.to_string(), |known| known.uid.clone()),
            revision: self.revision,
            create_revision: known.map_or(self.revision, |known| known.create_revision),
            node: NODES[node].map(str::to_owned),
            deleted: false,
            body_revision: self.revision,
            body: body.into(),
        }
    }

    /// Carries a change out; the record that the store notes.
    fn apply(&mut self, op: &Op) -> Option<Record> {
        self.revision += 1;
        let noted = match *op {
            Op::Put { name, value, node } => {
                let record = self.record(name, value, node);
                self.live.insert(name, record.clone());
                record
            }
            Op::Bind { name, node } => {
                let (revision, live) = (self.revision, self.live.get_mut(&name)?);
                live.revision = revision;
                live.node = NODES[node].map(str::to_owned);
                Record { body: crate::store::Body::default(), ..live.clone() }
            }
            Op::Replace { name } => {
                self.live.remove(&name)?;
                let record = self.record(name, 0, 0);
                self.live.insert(name, record.clone());
                record
            }
            Op::Delete { name } => {
                let gone = self.live.remove(&name)?;
                Record { revision: self.revision, deleted: true, body: crate::store::Body::default(), ..gone }
            }
        };
        Some(noted)
    }

    fn selected(&self, query: &Query) -> BTreeMap<String, u64> {
        let body = |record: &Record| {
            let body = std::str::from_utf8(&record.body).expect("text").to_owned();
            match &record.node {
                Some(node) => body.replace(r#""spec":{}"#, &format!(r#""spec":{{"nodeName":"{node}"}}"#)),
                None => body,
            }
        };
        let selected = self.live.values().filter(|record| query.matches(&body(record)));
        selected.map(|record| (record.key.name.clone(), record.revision)).collect()
    }
}

/// A client of a watch: what it has been told, and up to which revision.
struct Client {
    query: Query,
    lane: Lane,
    position: u64,
    seen: u64,
    has: BTreeMap<String, u64>,
}

impl Client {
    /// Takes in one event and checks it against what it was told before.
    fn take(&mut self, event: &Event) {
        let Some(kind) = event.kind(&self.query) else { return };
        let object = event.object(kind).expect("an object");
        assert!(event.revision >= self.seen, "in order: {} after {}", event.revision, self.seen);
        self.seen = event.revision;
        let (name, known) = (object.key.name.clone(), self.has.contains_key(&object.key.name));
        assert_eq!(known, kind != Kind::Added, "{kind:?} of {name}");
        match kind {
            Kind::Deleted => drop(self.has.remove(&name)),
            _ => drop(self.has.insert(name, object.revision)),
        }
    }

    fn read(&mut self, track: &Track, most: usize) -> Option<u64> {
        match track.read(&self.lane, self.position, most) {
            Read::Events { events, position, complete } => {
                self.position = position;
                for event in &events {
                    self.take(event);
                }
                complete
            }
            Read::Lost => panic!("nothing is dropped"),
        }
    }
}

fn client(track: &mut Track, model: &Model, selector: &str, fields: &str, lane: Lane) -> Client {
    let kind = kinds::by_key("pods").expect("a kind");
    let query = Query::parse(kind.selectable, selector, fields).expect("a selector");
    drop(track.join(&lane));
    // The receiver is gone, the lane is not: nobody leaves it.
    Client { has: model.selected(&query), query, lane, position: track.end_position(), seen: model.revision }
}

proptest! {
    #[test]
    fn watches_tell_every_change_once_and_in_order(
        batches in prop::collection::vec(prop::collection::vec(op(), 1..5), 1..30),
        begins in 0_usize..20,
        most in 1_usize..4,
    ) {
        let kind = kinds::by_key("pods").expect("a kind");
        let bounds = Bounds { events: usize::MAX, bytes: usize::MAX };
        let mut track = Track::new(kind.selectable, bounds, Vec::new(), 0);
        let (mut model, mut clients, mut past) = (Model::default(), Vec::new(), vec![Model::default()]);
        for (i, batch) in batches.iter().enumerate() {
            if i == begins.min(batches.len() - 1) {
                clients = vec![
                    client(&mut track, &model, "", "", Lane::Everything),
                    client(&mut track, &model, "v=1", "", Lane::Namespace("s".into())),
                    client(&mut track, &model, "v!=1", "spec.nodeName=", Lane::Everything),
                    client(&mut track, &model, "", "spec.nodeName=n", Lane::Node("n".into())),
                    client(&mut track, &model, "", "metadata.name=a", Lane::Object(("s".into(), "a".into()))),
                ];
            }
            let noted: Vec<Record> = batch.iter().filter_map(|op| model.apply(op)).collect();
            track.apply(&noted, model.revision).expect("it goes on");
            past.push(model.clone());
            for client in &mut clients {
                client.read(&track, most);
            }
        }
        for client in &mut clients {
            while client.read(&track, most).is_none() {}
            prop_assert_eq!(&client.has, &model.selected(&client.query));
        }
        // From the revision of any batch a watch comes to the same state, and the past is what it was.
        for then in &past {
            let everything = Query::default();
            let mut later = Client {
                has: then.selected(&everything),
                query: everything.clone(),
                lane: Lane::Everything,
                position: track.position_after(then.revision),
                seen: then.revision,
            };
            drop(track.join(&later.lane));
            while later.read(&track, most).is_none() {}
            prop_assert_eq!(&later.has, &model.selected(&everything));
            let kept = track.objects_at(then.revision, Some("s"), None).expect("it is kept");
            let kept: BTreeMap<_, _> =
                kept.iter().map(|state| (state.record.key.name.clone(), state.record.revision)).collect();
            prop_assert_eq!(&kept, &then.selected(&everything));
        }
    }
}

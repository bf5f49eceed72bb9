//! The contract of watches on tracks, against a model, over random changes. Clients go from one replica's track to another's: one takes in every
//! change of its own batches, one reads the newest states of many batches at a time, as from the change feed.

use std::{
    cell::Cell,
    collections::{BTreeMap, BTreeSet},
};

use podberth_testkit::watches::{Broken, Client as Reader, State as Objects, Told, Type};
use proptest::{prelude::*, strategy::ValueTree, test_runner::TestRunner};

use crate::{
    live::journal::{
        event::{Event, Kind},
        track::{Bounds, Lane, Read, Track},
    },
    store::{Body, Key, Record},
    wire::{kinds, selector::Query},
};

const NAMES: [&str; 3] = ["a", "b", "c"];
const NODES: [Option<&str>; 3] = [None, Some("n"), Some("m")];
const UNBOUNDED: Bounds = Bounds { events: usize::MAX, bytes: usize::MAX / 4 };

/// A change of one object: its node then, or its deletion. A new uid stands for a deletion and a creation in one step.
#[derive(Clone, Debug)]
enum Op {
    Put {
        name: usize,
        value: u8,
        node: usize,
    },
    Bind {
        name: usize,
        node: usize,
    },
    Replace {
        name: usize,
    },
    Delete {
        name: usize,
    },
    /// A change of an object of another kind.
    Elsewhere,
}

fn op() -> impl Strategy<Value = Op> {
    let name = || 0..NAMES.len();
    prop_oneof![
        4 => (name(), 0_u8..3, 0..NODES.len()).prop_map(|(name, value, node)| Op::Put { name, value, node }),
        2 => (name(), 0..NODES.len()).prop_map(|(name, node)| Op::Bind { name, node }),
        1 => name().prop_map(|name| Op::Replace { name }),
        2 => name().prop_map(|name| Op::Delete { name }),
        1 => Just(Op::Elsewhere),
    ]
}

/// The state as the store has it.
#[derive(Clone, Default)]
struct Model {
    revision: u64,
    live: BTreeMap<usize, Record>,
    /// The newest tombstone of each name.
    gone: BTreeMap<usize, Record>,
    /// The newest change of another kind.
    elsewhere: u64,
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
        let revision = self.revision + 1;
        let is_there = |name: &usize| self.live.contains_key(name);
        match op {
            Op::Bind { name, .. } | Op::Replace { name } | Op::Delete { name } if !is_there(name) => return None,
            _ => self.revision = revision,
        }
        match *op {
            Op::Put { name, value, node } => {
                let record = self.record(name, value, node);
                self.live.insert(name, record.clone());
                Some(record)
            }
            Op::Bind { name, node } => {
                let live = self.live.get_mut(&name)?;
                (live.revision, live.node) = (revision, NODES[node].map(str::to_owned));
                Some(Record { body: Body::default(), ..live.clone() })
            }
            Op::Replace { name } => {
                self.live.remove(&name)?;
                let record = self.record(name, 0, 0);
                self.live.insert(name, record.clone());
                Some(record)
            }
            Op::Delete { name } => {
                let gone = Record { revision, deleted: true, body: Body::default(), ..self.live.remove(&name)? };
                self.gone.insert(name, gone.clone());
                Some(gone)
            }
            Op::Elsewhere => {
                self.elsewhere = revision;
                None
            }
        }
    }

    /// The feed after a revision: the newest state of each object, and the revisions of all kinds.
    fn feed(&self, after: u64) -> (Vec<Record>, Vec<u64>) {
        let newest = self.gone.iter().filter(|(name, _)| !self.live.contains_key(name)).map(|(_, gone)| gone);
        let mut records: Vec<Record> =
            self.live.values().chain(newest).filter(|record| record.revision > after).cloned().collect();
        records.sort_by_key(|record| record.revision);
        let elsewhere = Some(self.elsewhere).filter(|elsewhere| *elsewhere > after);
        let known: BTreeSet<u64> = records.iter().map(|record| record.revision).chain(elsewhere).collect();
        (records, known.into_iter().collect())
    }

    fn selected(&self, query: &Query) -> Objects {
        let body = |record: &Record| {
            let body = std::str::from_utf8(&record.body).expect("text").to_owned();
            match &record.node {
                Some(node) => body.replace(r#""spec":{}"#, &format!(r#""spec":{{"nodeName":"{node}"}}"#)),
                None => body,
            }
        };
        let selected = self.live.values().filter(|record| query.matches(&body(record)));
        selected.map(|record| (record.key.name.clone(), (record.create_revision, record.revision))).collect()
    }
}

/// A bug of a track or of those who read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Planted {
    Nothing,
    /// An event is lost now and then.
    Loses,
    /// An event is told twice now and then.
    Doubles,
    /// Two events change places.
    Swaps,
    /// A bookmark comes before the last events that it stands for.
    Hurries,
    /// No bookmark comes.
    Forgets,
    /// A batch is taken in by halves.
    Halves,
    /// A watch that goes on begins an event too late.
    Skips,
    /// A watch goes on at a revision whose state the track does not know.
    Guesses,
}

/// A client of a watch.
struct Client {
    reader: Reader,
    query: Query,
    lane: Lane,
    /// Its replica.
    at: usize,
    position: u64,
    /// Changes up to this revision are not told.
    after: u64,
    /// It has seen this revision, and its replica has not.
    ahead: Option<u64>,
}

fn told(kind: Kind, event: &Event) -> Told {
    let of = match kind {
        Kind::Added => Type::Added,
        Kind::Modified => Type::Modified,
        Kind::Deleted => Type::Deleted,
    };
    let object = event.object(kind).expect("an object");
    Told { of, place: object.key.name, created: object.create_revision, revision: object.revision }
}

/// Two replicas and their clients.
struct World {
    model: Model,
    past: BTreeMap<u64, Model>,
    /// The first one takes in each batch, the second one the newest states of several.
    tracks: [Track; 2],
    clients: Vec<Client>,
    planted: Planted,
    /// Events read; every fifth one meets the fault.
    events: Cell<usize>,
}

impl World {
    fn new(bounds: Bounds, planted: Planted) -> Self {
        let kind = kinds::by_key("pods").expect("a kind");
        let track = || Track::new(kind.selectable, bounds, Vec::new(), 0);
        let (everything, object) = (Lane::Everything, ("s".into(), "a".into()));
        let clients = [
            ("", "", everything.clone()),
            ("v=1", "", Lane::Namespace("s".into())),
            ("v!=1", "spec.nodeName=", everything),
            ("", "spec.nodeName=n", Lane::Node("n".into())),
            ("", "metadata.name=a", Lane::Object(object)),
        ];
        let client = |(labels, fields, lane): (&str, &str, Lane)| Client {
            reader: Reader::default(),
            query: Query::parse(kind.selectable, labels, fields).expect("a selector"),
            lane,
            at: 0,
            position: 0,
            after: 0,
            ahead: None,
        };
        let mut world = Self {
            model: Model::default(),
            past: BTreeMap::from([(0, Model::default())]),
            tracks: [track(), track()],
            clients: clients.map(client).into_iter().collect(),
            planted,
            events: Cell::new(0),
        };
        for client in &world.clients {
            // The receivers are gone, the lanes are not: nobody leaves them.
            world.tracks.iter_mut().for_each(|track| drop(track.join(&client.lane)));
        }
        world
    }

    fn write(&mut self, batch: &[Op]) -> Result<(), Broken> {
        let noted: Vec<Record> = batch.iter().filter_map(|op| self.model.apply(op)).collect();
        let known: Vec<u64> = (self.tracks[0].at() + 1..=self.model.revision).collect();
        if self.planted == Planted::Halves && noted.len() > 1 {
            let middle = noted[noted.len() / 2 - 1].revision;
            self.tracks[0].apply(&noted[..noted.len() / 2], &known, middle).expect("it goes on");
            for i in 0..self.clients.len() {
                self.read(i, usize::MAX)?;
            }
        }
        self.tracks[0].apply(&noted, &known, self.model.revision).expect("it goes on");
        self.past.insert(self.model.revision, self.model.clone());
        Ok(())
    }

    fn follow(&mut self) {
        let (records, known) = self.model.feed(self.tracks[1].at());
        self.tracks[1].apply(&records, &known, self.model.revision).expect("it goes on");
    }

    /// A client's watch breaks off, and goes on at a replica.
    fn resume(&mut self, client: usize, to: usize) {
        let (client, track) = (&mut self.clients[client], &self.tracks[to]);
        let seen = client.reader.seen;
        let guesses = self.planted == Planted::Guesses && seen >= track.since();
        if track.goes_on_from(seen) || guesses {
            client.position = track.position_after(seen) + u64::from(self.planted == Planted::Skips);
            client.after = seen;
            client.ahead = Some(seen).filter(|seen| *seen > track.at() && !guesses);
            client.reader.resumes(client.at != to);
        } else {
            let listed = self.past[&track.at()].selected(&client.query);
            client.reader = Reader::listed(listed, track.at());
            (client.position, client.after, client.ahead) = (track.end_position(), 0, None);
        }
        client.at = to;
    }

    /// A client reads some events.
    fn read(&mut self, i: usize, most: usize) -> Result<(), Broken> {
        let (client, planted) = (&mut self.clients[i], self.planted);
        let track = &self.tracks[client.at];
        let is_lost = client.ahead.take_if(|ahead| *ahead <= track.at()).is_some_and(|seen| !track.goes_on_from(seen));
        let read = if is_lost { Read::Lost } else { track.read(&client.lane, client.position, most) };
        let Read::Events { events, position, complete } = read else {
            let to = client.at;
            let listed = self.past[&track.at()].selected(&client.query);
            client.reader = Reader::listed(listed, track.at());
            client.after = track.at();
            self.resume(i, to);
            return Ok(());
        };
        client.position = position;
        let is_new = |event: &&std::sync::Arc<Event>| event.revision > client.after;
        let mut stream = Vec::new();
        for event in events.iter().filter(is_new) {
            let Some(kind) = event.kind(&client.query) else { continue };
            self.events.set(self.events.get() + 1);
            let (is_fifth, event) = (self.events.get().is_multiple_of(5), told(kind, event));
            match planted {
                Planted::Loses if is_fifth => {}
                Planted::Doubles if is_fifth => stream.extend([event.clone(), event]),
                Planted::Swaps if is_fifth => stream.insert(stream.len().saturating_sub(1), event),
                _ => stream.push(event),
            }
        }
        if let Some(revision) = complete.filter(|at| *at >= client.after && planted != Planted::Forgets) {
            let bookmark = Told { of: Type::Bookmark, place: String::new(), created: 0, revision };
            let hurries = planted == Planted::Hurries;
            stream.insert(if hurries { stream.len().saturating_sub(1) } else { stream.len() }, bookmark);
        }
        for event in &stream {
            client.reader.take(event)?;
            if event.of == Type::Bookmark {
                let truth = self.past.get(&event.revision).map(|model| model.selected(&client.query));
                client.reader.check(truth.as_ref())?;
            }
        }
        Ok(())
    }
}

/// A step of a run.
#[derive(Clone, Debug)]
enum Step {
    Write(Vec<Op>),
    Follow,
    Read { client: usize, most: usize },
    Resume { client: usize, to: usize },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let client = || 0..5_usize;
    let step = prop_oneof![
        4 => prop::collection::vec(op(), 1..6).prop_map(Step::Write),
        1 => Just(Step::Follow),
        4 => (client(), 1..4_usize).prop_map(|(client, most)| Step::Read { client, most }),
        2 => (client(), 0..2_usize).prop_map(|(client, to)| Step::Resume { client, to }),
    ];
    prop::collection::vec(step, 1..60)
}

fn run(steps: &[Step], bounds: Bounds, planted: Planted) -> Result<World, Broken> {
    let mut world = World::new(bounds, planted);
    for step in steps {
        match step {
            Step::Write(batch) => world.write(batch)?,
            Step::Follow => world.follow(),
            Step::Read { client, most } => world.read(*client, *most)?,
            Step::Resume { client, to } => world.resume(*client, *to),
        }
    }
    world.follow();
    for i in 0..world.clients.len() {
        world.read(i, usize::MAX)?;
        // One that had fallen out of the ring has begun anew.
        world.read(i, usize::MAX)?;
        world.clients[i].reader.check_marked(world.model.revision)?;
    }
    Ok(world)
}

proptest! {
    #[test]
    fn watches_keep_their_contract_over_replicas(steps in steps(), few in any::<bool>()) {
        let bounds = if few { Bounds { events: 4, ..UNBOUNDED } } else { UNBOUNDED };
        if let Err(broken) = run(&steps, bounds, Planted::Nothing) {
            return Err(TestCaseError::fail(format!("{broken:?}")));
        }
    }

    #[test]
    fn the_past_of_a_track_is_that_of_the_cluster_or_not_kept(steps in steps()) {
        let world = run(&steps, UNBOUNDED, Planted::Nothing).expect("it keeps the contract");
        for (revision, then) in &world.past {
            let wanted: BTreeMap<_, _> =
                then.live.values().map(|record| (record.key.name.clone(), record.revision)).collect();
            for (track, is_exact) in world.tracks.iter().zip([true, false]) {
                let Some(kept) = track.objects_at(*revision, Some("s"), None) else {
                    prop_assert!(!is_exact && *revision < track.at(), "{revision} is kept");
                    continue;
                };
                let kept: BTreeMap<_, _> =
                    kept.iter().map(|state| (state.record.key.name.clone(), state.record.revision)).collect();
                prop_assert_eq!(&kept, &wanted, "at {}", revision);
            }
        }
    }

    #[test]
    fn the_objects_of_a_node_are_those_that_are_on_it(steps in steps()) {
        let world = run(&steps, UNBOUNDED, Planted::Nothing).expect("it keeps the contract");
        for node in ["n", "m", "x"] {
            let on_it = world.model.live.values().filter(|record| record.node.as_deref() == Some(node));
            let wanted: Vec<&str> = on_it.map(|record| &*record.key.name).collect();
            for track in &world.tracks {
                let found = track.on_node(node);
                prop_assert_eq!(&found.iter().map(|state| &*state.record.key.name).collect::<Vec<_>>(), &wanted);
            }
        }
    }
}

/// One replica tells of two objects of which it knows only that they may have gone. A client hears of one of them, and goes on at the other replica.
#[test]
fn one_of_two_departures_does_not_hide_the_other_one() {
    let put = |name, value| Op::Put { name, value, node: 0 };
    let read = |client| Step::Read { client, most: 3 };
    let begins = |client| {
        vec![
            Step::Resume { client, to: 1 },
            Step::Write(vec![put(0, 1), put(2, 1)]),
            Step::Follow,
            Step::Read { client, most: 9 },
            Step::Resume { client, to: 1 },
        ]
    };
    let goes_on =
        |client| vec![Step::Follow, Step::Read { client, most: 1 }, Step::Resume { client, to: 0 }, read(client)];
    for changes in [
        // The first one leaves the selection; the second one is replaced, or leaves it too.
        vec![put(2, 2), Op::Replace { name: 0 }, Op::Bind { name: 2, node: 0 }],
        vec![put(2, 2), put(0, 2), put(2, 0), put(0, 0)],
        // Both are deleted and come again, in each order.
        vec![Op::Delete { name: 2 }, Op::Delete { name: 0 }, put(0, 0), put(2, 0)],
        vec![Op::Delete { name: 0 }, Op::Delete { name: 2 }, put(0, 0), put(2, 0)],
    ] {
        for client in 0..3 {
            let steps: Vec<Step> =
                [begins(client), vec![Step::Write(changes.clone())], goes_on(client)].into_iter().flatten().collect();
            assert_eq!(run(&steps, UNBOUNDED, Planted::Nothing).err(), None, "client {client}: {changes:?}");
        }
    }
}

/// The guarantees that a bug breaks in some hundred runs, which are always the same ones.
fn broken(planted: Planted) -> BTreeSet<Broken> {
    let mut runner = TestRunner::deterministic();
    let mut run = || {
        let steps = steps().new_tree(&mut runner).expect("steps").current();
        run(&steps, UNBOUNDED, planted).err()
    };
    (0..400).filter_map(|_| run()).collect()
}

#[test]
fn each_planted_fault_breaks_its_guarantee() {
    assert_eq!(broken(Planted::Nothing), BTreeSet::new());
    for (planted, guarantee) in [
        (Planted::Loses, Broken::Reliable),
        (Planted::Doubles, Broken::Unique),
        (Planted::Swaps, Broken::Ordered),
        (Planted::Hurries, Broken::Reliable),
        (Planted::Forgets, Broken::Bookmarkable),
        (Planted::Halves, Broken::Atomic),
        (Planted::Skips, Broken::Reliable),
        (Planted::Guesses, Broken::Reliable),
    ] {
        let broken = broken(planted);
        assert!(broken.contains(&guarantee), "{planted:?} breaks {broken:?}");
    }
}

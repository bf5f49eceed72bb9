//! Leads over a database whose time the test passes.

use podberth_testkit::memory::{Memory, Numbering};

use super::*;
use crate::{
    extenders::Extenders,
    live::Clusters,
    service::Freshness,
    store::{Schema, Store},
};

const DUTY: &str = "sync";

async fn database() -> Memory {
    let store = Memory::new(Numbering::Counter);
    store.migrate().await.expect("it migrates");
    store
}

/// The services of a process on the database.
fn process(store: &Memory) -> Service {
    let clusters = Clusters::new(Arc::new(store.handle()), Duration::from_hours(1));
    Service::new(clusters, Freshness::default(), Extenders::default())
}

fn of(service: &Service) -> Lead {
    Lead::new(service, DUTY, &"prod".into(), Uuid::new_v4(), &watch::channel(()).1)
}

/// The outcomes of a leader's fence, and of its write.
async fn write(lead: &Lead, fence: Write, name: &str) -> (Outcome, Outcome) {
    let change = Change::Put { body: "{}".into(), uid: name.into(), node: None };
    let key = Key::new("configmaps", "shop", name);
    let writes = vec![fence, Write { key, precondition: Precondition::default(), change }];
    let call = Call { writes, atomicity: Atomicity::AllOrNothing };
    let commit = lead.0.service.clusters.commit(lead.cluster(), call, None).await.expect("an answer");
    let [fence, written] = <[Outcome; 2]>::try_from(commit.outcomes).expect("two");
    (fence, written)
}

#[tokio::test]
async fn a_leader_that_was_paused_writes_nothing_when_it_wakes_up() {
    let store = database().await;
    let (one, other) = (process(&store), process(&store));
    let (slow, next) = (of(&one), of(&other));
    let held = slow.fence().await.expect("it leads");
    let (fence, written) = write(&slow, held.clone(), "a").await;
    assert!(matches!(fence, Outcome::Unchanged { .. }), "a fence takes no revision: {fence:?}");
    assert!(matches!(written, Outcome::Written { .. }), "{written:?}");
    assert!(next.fence().await.is_err(), "the lease is held");

    store.pass(LEASED_FOR);
    let fence = next.fence().await.expect("it leads now");
    let (refused, written) = write(&slow, held, "b").await;
    assert!(Lead::is_lost(&refused), "{refused:?}");
    assert_eq!(written, Outcome::Refused(Refusal::NotAttempted));
    assert_eq!(store.get("prod", &Key::new("configmaps", "shop", "b")).await.expect("an answer"), None);
    let (fence, written) = write(&next, fence, "b").await;
    assert!(!Lead::is_lost(&fence) && matches!(written, Outcome::Written { .. }), "{fence:?} {written:?}");
    assert!(slow.fence().await.is_ok(), "a lead remembers its fence, which is refused");
}

#[test]
fn leads_are_spread_and_only_those_of_a_process_that_ends_move() {
    let processes: Vec<Uuid> = (0..3).map(Uuid::from_u128).collect();
    let clusters: Vec<String> = (0..300).map(|i| format!("c{i}")).collect();
    let lead = |cluster: &str, of: &[Uuid]| preferred(DUTY, cluster, of[0], of[1..].iter().copied());
    for process in &processes {
        let led = clusters.iter().filter(|cluster| lead(cluster, &processes) == *process).count();
        assert!((70..130).contains(&led), "{process} leads {led} of 300");
    }
    for cluster in &clusters {
        let before = lead(cluster, &processes);
        if before != processes[2] {
            assert_eq!(lead(cluster, &processes[..2]), before);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_process_that_comes_later_gets_the_clusters_that_it_is_to_lead() {
    let store = database().await;
    let wanted: BTreeSet<Arc<str>> = (0..20).map(|i| format!("c{i}").into()).collect();
    let run = |_: Lead| std::future::pending::<()>();
    let (first, second) = (Uuid::from_u128(1), Uuid::from_u128(2));
    let rounds = |holder| Rounds::new(&process(&store), holder, DUTY, Arc::default());
    let (mut one, mut other) = (rounds(first), rounds(second));
    let led = |of: &Rounds| -> BTreeSet<Arc<str>> { of.running.keys().cloned().collect() };
    one.round(&wanted, &run).await;
    assert_eq!(led(&one), wanted, "nobody else is there");
    other.round(&wanted, &run).await;
    assert!(led(&other).is_empty(), "the leases are held");
    one.round(&wanted, &run).await;
    other.round(&wanted, &run).await;
    let is_first = |cluster: &&Arc<str>| preferred(DUTY, cluster, first, [second].into_iter()) == first;
    let (kept, given): (BTreeSet<_>, BTreeSet<_>) = wanted.iter().cloned().partition(|cluster| is_first(&cluster));
    assert!(!kept.is_empty() && !given.is_empty());
    assert_eq!((led(&one), led(&other)), (kept.clone(), given));
    other.round(&BTreeSet::new(), &run).await;
    assert!(led(&other).is_empty() && lock(&other.held).is_empty(), "what is not wanted is not led");
    one.round(&wanted, &run).await;
    assert_eq!(led(&one), kept, "what was handed over is left alone for a while");
    sleep(HANDED_OVER).await;
    one.round(&wanted, &run).await;
    assert_eq!(led(&one), wanted, "leases that were given back are free");
}

#[tokio::test(start_paused = true)]
async fn leads_that_end_are_free_at_once() {
    let store = database().await;
    let (one, other) = (process(&store), process(&store));
    let wanted = |_: Service| async { Ok([Arc::from("prod")].into()) };
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    let run = move |lead: Lead| {
        let tell = tell.clone();
        async move {
            tell.send(lead.cluster().to_string()).expect("the test listens");
            std::future::pending::<()>().await;
        }
    };
    let leads = lead(&one, Uuid::new_v4(), DUTY, wanted, run);
    assert_eq!(told.recv().await.as_deref(), Some("prod"));
    assert!(of(&other).fence().await.is_err(), "it is held");
    leads.end().await;
    assert!(of(&other).fence().await.is_ok(), "it is free although no time has passed");
}

#[tokio::test(start_paused = true)]
async fn a_lease_is_given_back_after_the_last_call_for_it() {
    /// Asks for the lease once more when it is dropped, in a task of its own.
    struct Late(Lead);

    impl Drop for Late {
        fn drop(&mut self) {
            let lead = self.0.clone();
            tokio::spawn(async move {
                sleep(Duration::from_secs(1)).await;
                assert!(lead.fence().await.is_ok(), "nobody else has it yet");
            });
        }
    }

    let store = database().await;
    let (one, other) = (process(&store), process(&store));
    let wanted = |_: Service| async { Ok([Arc::from("prod")].into()) };
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    let run = move |lead: Lead| {
        let tell = tell.clone();
        async move {
            let _late = Late(lead);
            tell.send(()).expect("the test listens");
            std::future::pending::<()>().await;
        }
    };
    let leads = lead(&one, Uuid::new_v4(), DUTY, wanted, run);
    assert_eq!(told.recv().await, Some(()));
    leads.end().await;
    assert!(of(&other).fence().await.is_ok(), "the late call came before");
}

#[tokio::test(start_paused = true)]
async fn a_process_that_ended_attracts_no_leads_whatever_its_clock_was() {
    for ahead in [-10, 0, 10, 3_600] {
        let store = database().await;
        let wanted: BTreeSet<Arc<str>> = (0..20).map(|i| format!("c{i}").into()).collect();
        let run = |_: Lead| std::future::pending::<()>();
        let mut rounds = Rounds::new(&process(&store), Uuid::from_u128(1), DUTY, Arc::default());
        let first = clock::now().checked_add(jiff::SignedDuration::from_secs(ahead)).expect("an instant");
        let entry = |id: EntryId| Entry {
            cluster: NO_CLUSTER.into(),
            kind: PROCESSES.into(),
            id,
            subject: Uuid::from_u128(2).to_string(),
            object: DUTY.into(),
            body: bytes::Bytes::new(),
        };
        let ids = (0..20).map(|at| EntryId::new(first.checked_add(SHOWN_EVERY * at).expect("an instant"), 2));
        let entries: Vec<Entry> = ids.map(entry).collect();
        rounds.round(&wanted, &run).await;
        rounds.service.store.append(&entries).await.expect("they are appended");
        rounds.round(&wanted, &run).await;
        assert!(rounds.running.len() < wanted.len(), "{ahead}: it may be there");
        sleep(SHOWN_FOR).await;
        for _ in 0..40 {
            rounds.round(&wanted, &run).await;
            assert_eq!(rounds.running.len(), wanted.len(), "{ahead}");
            sleep(AGAIN).await;
        }
        let mut later = Rounds::new(&process(&store), Uuid::from_u128(3), DUTY, Arc::default());
        later.round(&wanted, &run).await;
        later.round(&wanted, &run).await;
        assert!(
            later.others.shown_since(Instant::now(), Instant::now()).next().is_none(),
            "{ahead}: seen at the first look"
        );
    }
}

//! Verb by verb.

use podberth::{
    core::{
        extenders::ExtenderVerdict,
        policy::{Extender, ExtenderHosts, ManagedResource},
        verdict::Verdict,
    },
    extenders::{Bound, Cause, Extenders, Options, Origin, Victims},
};
use podberth_testkit as testing;
use serde_json::{Value, json};

use super::{
    Given, IMPATIENT, LONGEST, chain, extender, impatient, names, options,
    peer::{Manner, Peer, nobody},
    pod,
};

#[tokio::test]
async fn names_go_out_and_verdicts_and_scores_come_back() {
    let peer = Peer::start(Manner::Says(Box::new(|asked| {
        let body = match &*asked.path {
            "/base/filter" => json!({"nodeNames": ["c", "a"], "FailedNodes": {"b": "no gpu"}}),
            _ => json!([{"Host": "a", "Score": 3}, {"host": "c", "score": 10}, {"Host": "z", "Score": 9}]),
        };
        (200, body.to_string())
    })))
    .await;
    let url = format!("{}/base/", peer.url());
    let chain = chain(&[extender(&url)]);
    let (pod, documents) = (pod(), Given::default());
    let filtered = chain.filter(&pod, &names(&["a", "b", "c"]), &documents).await.expect("an answer");
    assert_eq!((filtered.fits.clone(), filtered.skipped), (names(&["a", "c"]), vec![]));
    let verdict = ExtenderVerdict { by: url.as_str().into(), verdict: Verdict::unschedulable("no gpu") };
    assert_eq!(filtered.verdicts, [("b".into(), verdict)].into());
    let scored = chain.prioritize(&pod, &filtered.fits, &documents).await;
    assert!(scored.skipped.is_empty());
    let scores = &scored.scores[0];
    assert_eq!((scores.weight, scores.scores["a"], scores.scores["c"]), (2, 30, 100), "ten times what it said");

    let asked = peer.asked();
    assert_eq!((&*asked[0].path, &*asked[1].path), ("/base/filter", "/base/prioritize"));
    assert_eq!(asked[0].body["NodeNames"], json!(["a", "b", "c"]));
    assert_eq!(
        (&asked[0].body["Nodes"], &asked[0].body["Pod"]["metadata"]["own"]),
        (&Value::Null, &json!({"field": 1}))
    );
}

#[tokio::test]
async fn full_nodes_go_out_as_they_are() {
    let peer = Peer::start(Manner::Says(Box::new(|asked| {
        (200, json!({"Nodes": {"items": [asked.body["Nodes"]["items"][0]]}, "NodeNames": ["b"]}).to_string())
    })))
    .await;
    let in_full = Extender { node_cache_capable: false, ..extender(&peer.url()) };
    let documents =
        Given([("a", r#"{"metadata":{"name":"a"},"odd":[1.50]}"#), ("b", r#"{"metadata":{"name":"b"}}"#)].into());
    let filtered = chain(&[in_full]).filter(&pod(), &names(&["a", "b", "gone"]), &documents).await.expect("an answer");
    assert_eq!(filtered.fits, names(&["a"]), "the list of nodes counts");
    assert!(filtered.verdicts["gone"].verdict.is_unresolvable() && !filtered.verdicts["b"].verdict.is_unresolvable());
    let asked = &peer.asked()[0].body;
    assert_eq!(
        asked["Nodes"]["items"],
        json!([{"metadata": {"name": "a"}, "odd": [1.5]}, {"metadata": {"name": "b"}}])
    );
    assert_eq!(asked["NodeNames"], Value::Null);
}

#[tokio::test]
async fn each_extender_gets_the_nodes_left_by_the_earlier_ones() {
    let first = Peer::saying(200, r#"{"NodeNames":["b"]}"#).await;
    let second = Peer::saying(200, r#"{"NodeNames":[],"FailedAndUnresolvableNodes":{"b":"never"}}"#).await;
    let third = Peer::saying(500, "").await;
    let managed = |peer: &Peer, resource: &str| Extender {
        managed_resources: vec![ManagedResource { name: resource.into(), ignored_by_scheduler: false }],
        ..extender(&peer.url())
    };
    let stranger = Peer::saying(500, "").await;
    let extenders = [
        managed(&stranger, "example.com/fpga"),
        extender(&first.url()),
        managed(&second, "example.com/gpu"),
        extender(&third.url()),
    ];
    let filtered = chain(&extenders).filter(&pod(), &names(&["a", "b"]), &Given::default()).await.expect("an answer");
    assert!(filtered.fits.is_empty());
    assert!(filtered.verdicts["b"].verdict.is_unresolvable());
    assert_eq!(second.asked()[0].body["NodeNames"], json!(["b"]));
    assert!(third.asked().is_empty(), "nothing was left to ask about");
    assert!(stranger.asked().is_empty(), "the pod does not name its resource");
}

/// Asks for a verdict and for scores; both failures are reported alike, and ignorable extenders are skipped.
async fn fails(peer: Extender, filter: impl Fn(&Cause) -> bool, prioritize: impl Fn(&Cause) -> bool) {
    let (pod, nodes, documents) = (pod(), names(&["a", "b"]), Given::default());
    let needed = chain(std::slice::from_ref(&peer));
    let failure = needed.filter(&pod, &nodes, &documents).await.expect_err("no answer");
    assert!(filter(&failure.cause), "{failure}");
    assert_eq!(*failure.extender, *peer.url_prefix);
    let scored = needed.prioritize(&pod, &nodes, &documents).await;
    assert!(scored.scores.is_empty() && prioritize(&scored.skipped[0].cause), "{:?}", scored.skipped);

    let ignorable = chain(&[Extender { ignorable: true, ..peer }]);
    let filtered = ignorable.filter(&pod, &nodes, &documents).await.expect("passed over");
    assert_eq!(filtered.fits, nodes);
    assert!(filter(&filtered.skipped[0].cause) && filtered.verdicts.is_empty());
}

#[tokio::test]
async fn calls_to_silent_extenders_fail_in_time() {
    let timeout = |cause: &Cause| *cause == Cause::Timeout(IMPATIENT);
    for manner in [Manner::Never, Manner::Trickles] {
        let peer = Peer::start(manner).await;
        fails(impatient(&peer.url()), timeout, timeout).await;
    }
    let unreachable = |cause: &Cause| matches!(cause, Cause::Unreachable(_));
    fails(extender(&nobody().await), unreachable, unreachable).await;
    let peer = Peer::start(Manner::HangsUp).await;
    fails(extender(&peer.url()), unreachable, unreachable).await;
}

#[tokio::test]
async fn long_answers_are_cut_off() {
    let too_long = |cause: &Cause| *cause == Cause::TooLong(LONGEST);
    for manner in [Manner::Announces(LONGEST + 1), Manner::Floods] {
        let peer = Peer::start(manner).await;
        fails(extender(&peer.url()), too_long, too_long).await;
    }
    let padding = " ".repeat(LONGEST - 2);
    let peer = Peer::saying(200, format!("{{{padding}}}")).await;
    let filtered = chain(&[extender(&peer.url())]).filter(&pod(), &names(&["a"]), &Given::default()).await;
    assert_eq!(filtered.expect("just short enough").fits, names(&[]));
}

#[tokio::test]
async fn redirects_and_codes_are_no_answers() {
    let good = Peer::saying(200, r#"{"NodeNames":["a","b"]}"#).await;
    let redirect = Peer::start(Manner::Redirects(format!("{}/filter", good.url()))).await;
    fails(extender(&redirect.url()), |c| *c == Cause::Code(302), |c| *c == Cause::Code(302)).await;
    assert!(good.asked().is_empty(), "redirects are not followed");
    let broken = Peer::saying(500, r#"{"NodeNames":["a","b"]}"#).await;
    fails(extender(&broken.url()), |c| *c == Cause::Code(500), |c| *c == Cause::Code(500)).await;
}

#[tokio::test]
async fn answers_that_cannot_be() {
    let unreadable = |cause: &Cause| matches!(cause, Cause::Unreadable(_));
    for body in ["", "<html>", r#"{"NodeNames":"a"}"#, r#"[{"Host":"a","Score":1.5}]"#] {
        let peer = Peer::saying(200, body).await;
        fails(extender(&peer.url()), unreadable, unreadable).await;
    }
    let liar = Peer::saying(200, r#"{"NodeNames":["a","c"]}"#).await;
    fails(extender(&liar.url()), |c| *c == Cause::UnknownNode("c".into()), unreadable).await;
    let refuser = Peer::saying(200, r#"{"NodeNames":["a","c"],"Error":"out of order"}"#).await;
    fails(extender(&refuser.url()), |c| *c == Cause::Refused("out of order".into()), unreadable).await;

    let stutterer = Peer::saying(200, r#"{"NodeNames":["b","b"]}"#).await;
    let filtered = chain(&[extender(&stutterer.url())]).filter(&pod(), &names(&["a", "b"]), &Given::default()).await;
    assert_eq!(filtered.expect("a list all the same").fits, names(&["b"]));
}

#[tokio::test]
async fn hosts_that_are_not_named_are_not_called() {
    let peer = Peer::saying(200, "{}").await;
    let elsewhere: ExtenderHosts = "localhost,127.0.0.1:1".parse().expect("hosts");
    for hosts in [ExtenderHosts::None, elsewhere] {
        let chain = Extenders::new(Options { hosts, ..options() }).chain(&[extender(&peer.url())], Origin::Request);
        let failure = chain.filter(&pod(), &names(&["a"]), &Given::default()).await.expect_err("refused");
        assert_eq!(failure.cause, Cause::NotAllowed(peer.address.to_string()));
    }
    for url in ["file:///etc/passwd", "ftp://127.0.0.1", "http://a:b@127.0.0.1", ""] {
        let failure = chain(&[extender(url)]).filter(&pod(), &names(&["a"]), &Given::default()).await;
        assert!(matches!(failure.expect_err("no URL to call").cause, Cause::Url(_)), "{url}");
    }
    assert!(peer.asked().is_empty());
}

#[tokio::test]
async fn waiting_for_a_turn_counts() {
    let peer = Peer::start(Manner::Never).await;
    let extenders = Extenders::new(Options { concurrency: 1, ..options() });
    let chain = extenders.chain(&[impatient(&peer.url())], Origin::Stored);
    let (pod, nodes, documents) = (pod(), names(&["a"]), Given::default());
    let ask = || chain.filter(&pod, &nodes, &documents);
    let answers = tokio::join!(ask(), ask(), ask());
    for answer in [answers.0, answers.1, answers.2] {
        assert_eq!(answer.expect_err("no answer").cause, Cause::Timeout(IMPATIENT));
    }
}

#[tokio::test]
async fn the_binding_extender_is_called() {
    let binder = Peer::saying(200, "{}").await;
    let without = Extender { bind_verb: String::new(), ..extender(&nobody().await) };
    let bound = chain(&[without.clone(), extender(&binder.url())]).bind(&pod(), "n1").await;
    assert_eq!(bound, Ok(Bound::By(binder.url().into())));
    assert_eq!(binder.asked()[0].body, json!({"PodName": "p", "PodNamespace": "shop", "PodUID": "u", "Node": "n1"}));
    assert_eq!(chain(&[without]).bind(&pod(), "n1").await, Ok(Bound::Here(vec![])));
    let refuser = Peer::saying(200, r#"{"Error":"taken"}"#).await;
    let failure = chain(&[extender(&refuser.url())]).bind(&pod(), "n1").await.expect_err("refused");
    assert_eq!(failure.cause, Cause::Refused("taken".into()));
    let ignorable = Extender { ignorable: true, ..extender(&refuser.url()) };
    let bound = chain(&[ignorable]).bind(&pod(), "n1").await.expect("bound here");
    assert!(matches!(bound, Bound::Here(skipped) if skipped.len() == 1));
}

#[tokio::test]
async fn victims_may_be_chosen_anew() {
    let snapshot = testing::cluster([
        testing::node("a").into(),
        testing::node("b").into(),
        testing::pod("v").on("a").into(),
        testing::pod("w").on("a").into(),
        testing::pod("x").on("b").into(),
    ]);
    let candidates: std::collections::BTreeMap<_, _> = [("a", "v"), ("b", "x")]
        .map(|(node, pod)| {
            let pods = vec![snapshot.pod("default", pod).expect("it is there").clone()];
            (node.into(), Victims { pods, budget_violations: 1 })
        })
        .into();
    let answer = r#"{"NodeNameToMetaVictims":{"a":{"Pods":[{"UID":"uid-w"}]}}}"#;
    let documents = Given([("v", r#"{"own":1}"#)].into());
    for node_cache_capable in [true, false] {
        let peer = Peer::saying(200, answer).await;
        let chain = chain(&[Extender { node_cache_capable, ..extender(&peer.url()) }]);
        let left =
            chain.preempt(&pod(), candidates.clone(), &snapshot, &documents).await.expect("an answer").candidates;
        assert_eq!(left.len(), 1);
        assert_eq!(&*left["a"].pods[0].name, "w");
        let asked = &peer.asked()[0].body;
        if node_cache_capable {
            let expected = json!({"Pods": [{"UID": "uid-v"}], "NumPDBViolations": 1});
            assert_eq!((&asked["NodeNameToMetaVictims"]["a"], &asked["NodeNameToVictims"]), (&expected, &Value::Null));
        } else {
            let expected =
                json!({"a": {"Pods": [{"own": 1}], "NumPDBViolations": 1}, "b": {"Pods": [], "NumPDBViolations": 1}});
            assert_eq!((&asked["NodeNameToVictims"], &asked["NodeNameToMetaVictims"]), (&expected, &Value::Null));
        }
    }
    let liar = Peer::saying(200, r#"{"NodeNameToMetaVictims":{"a":{"Pods":[{"UID":"uid-x"}]}}}"#).await;
    let failure = chain(&[extender(&liar.url())]).preempt(&pod(), candidates, &snapshot, &documents).await;
    assert!(matches!(failure.expect_err("a lie").cause, Cause::UnknownVictim(..)));
}

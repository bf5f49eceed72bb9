//! Several writers, replicas and decisions at once.

use serde_json::{Value, json};

use super::{Told, packing, question, server::Server, spreading, weighing};

pub(crate) async fn conditions_hold_or_nothing_is_changed(server: Server) {
    let send = async |method: &str, path: &str, header: (&str, &str), body: Value| {
        server.ask(method, path, header, body).await
    };
    send("PUT", "/policy", ("if-match", "*"), packing()).await.fails(412, "PreconditionFailed");
    send("PUT", "/policy", ("if-none-match", "*"), packing()).await.policy();
    let taken = send("PUT", "/policy", ("if-none-match", "*"), packing()).await;
    taken.fails(412, "PreconditionFailed");
    let tag = server.get("/policy").await.etag().to_owned();
    send("PUT", "/policy", ("if-match", &tag), spreading()).await.policy();
    let status = send("PUT", "/policy", ("if-match", &tag), packing()).await.fails(412, "PreconditionFailed");
    assert_eq!(status["message"], "If-Match does not hold: the revision in force is \"2\"");
    send("DELETE", "/policy", ("if-match", &tag), Value::Null).await.fails(412, "PreconditionFailed");
    send("POST", "/policy/rollback", ("if-match", &tag), json!({})).await.fails(412, "PreconditionFailed");
    send("PUT", "/policy?dryRun=All", ("if-match", &tag), packing()).await.fails(412, "PreconditionFailed");
    send("PUT", "/policy", ("if-match", "2"), packing()).await.fails(400, "BadRequest");
    assert_eq!(server.get("/policy").await.etag(), "\"2\"");
    send("DELETE", "/policy", ("if-match", "\"2\""), Value::Null).await.is(200);
    send("PUT", "/policy", ("if-match", "\"0\""), packing()).await.policy();
}

pub(crate) async fn another_replica_follows(server: Server) {
    let other = Server::replica(server.state.store.clone());
    assert_eq!(other.get("/policy").await.policy()["revision"], 0);
    server.put("/policy", packing()).await.policy();
    // Putting what is in force waits until this replica has it too.
    assert_eq!(other.put("/policy", packing()).await.policy()["revision"], 1);
    assert_eq!(other.get("/policy").await.policy()["revision"], 1);
}

pub(crate) async fn writers_at_once_get_numbers_of_their_own(server: Server) {
    const WRITERS: usize = 8;
    let writers: Vec<_> = (1..=WRITERS)
        .map(|weight| {
            let server = server.clone();
            tokio::spawn(async move {
                let state = server.put("/policy", weighing(weight)).await.policy();
                (state["revision"].as_u64().expect("a number"), weight)
            })
        })
        .collect();
    let mut told = Vec::new();
    for writer in writers {
        told.push(writer.await.expect("no panic"));
    }
    told.sort_unstable();
    let numbers: Vec<u64> = told.iter().map(|(number, _)| *number).collect();
    assert_eq!(numbers, (1..=WRITERS as u64).collect::<Vec<_>>());
    let list = server.get("/policy/revisions").await.is(200);
    for (item, (number, weight)) in list["items"].as_array().expect("a list").iter().rev().zip(&told) {
        assert_eq!((&item["revision"], &item["text"]), (&(*number).into(), &weighing(*weight).to_string().into()));
    }
    assert_eq!(server.get("/policy").await.policy()["revision"], WRITERS);

    // Of those that hold the same tag one wins.
    let racers: Vec<_> = (1..=WRITERS)
        .map(|weight| {
            let (server, tag) = (server.clone(), format!("\"{WRITERS}\""));
            let body = weighing(100 + weight).to_string();
            tokio::spawn(async move { server.ask("PUT", "/policy", ("if-match", &tag), body).await.code })
        })
        .collect();
    let mut codes = Vec::new();
    for racer in racers {
        codes.push(racer.await.expect("no panic"));
    }
    codes.sort_unstable();
    assert_eq!((codes[0], &codes[1..]), (200, &[412; WRITERS - 1][..]));

    // Equal text from several writers makes one revision.
    let same = (0..WRITERS).map(|_| {
        let server = server.clone();
        tokio::spawn(async move { server.put("/policies/same", packing()).await.policy()["revision"].clone() })
    });
    let same: Vec<_> = same.into_iter().collect();
    for writer in same {
        assert_eq!(writer.await.expect("no panic"), 1);
    }
}

/// While two policies take turns, every answer is that of one of them: its name, choice and weights belong together.
pub(crate) async fn a_decision_sees_one_policy_whole(server: Server) {
    let policies = [packing(), spreading()];
    server.put("/policy", &policies[0]).await.policy();
    let writer = {
        let (server, policies) = (server.clone(), policies.clone());
        tokio::spawn(async move {
            for turn in 1..=20 {
                server.put("/policy", &policies[turn % 2]).await.policy();
            }
        })
    };
    while !writer.is_finished() {
        let explained = server.post("/explain", question()).await.is(200);
        let odd = explained["policy"]["revision"].as_u64().expect("a number") % 2 == 1;
        assert_eq!(explained["selected"], if odd { "full" } else { "empty" }, "{}", explained["policy"]);
    }
    writer.await.expect("no panic");
}

//! Lists: pages, selectors, namespaces.

use serde_json::{Value, json};

use crate::{
    fields, names,
    objects::{NODES, PODS, node, pod},
    server::Server,
};

async fn five_pods(server: &Server) {
    for (i, name) in ["e", "c", "a", "d", "b"].into_iter().enumerate() {
        let mut pod = pod(name);
        pod["metadata"]["labels"] = json!({"app": if i % 2 == 0 { "web" } else { "db" }});
        if name > "c" {
            pod["spec"]["nodeName"] = "n1".into();
        }
        pod["status"] = json!({"phase": "Running"});
        server.post(PODS, &pod).await.is(201);
    }
}

pub async fn lists_page_by_page(server: Server) {
    five_pods(&server).await;
    let whole = server.get(PODS).await.is(200);
    assert_eq!(names(&whole), ["a", "b", "c", "d", "e"]);
    assert_eq!(whole["metadata"], json!({"resourceVersion": "5"}));

    let first = server.get(&format!("{PODS}?limit=2")).await.is(200);
    assert_eq!((names(&first), &first["metadata"]["remainingItemCount"]), (vec!["a", "b"], &3.into()));
    // The pages are of one revision, whatever changes in between.
    server.delete(&format!("{PODS}/b")).await.is(200);
    server.post(PODS, &pod("bb")).await.is(201);
    let token = first["metadata"]["continue"].as_str().expect("a token");
    let second = server.get(&format!("{PODS}?limit=2&continue={token}")).await.is(200);
    assert_eq!((names(&second), &second["metadata"]["resourceVersion"]), (vec!["c", "d"], &"5".into()));
    assert_eq!(second["metadata"]["remainingItemCount"], 1);
    let token = second["metadata"]["continue"].as_str().expect("a token");
    let third = server.get(&format!("{PODS}?limit=2&continue={token}")).await.is(200);
    assert_eq!((names(&third), &third["metadata"]), (vec!["e"], &json!({"resourceVersion": "5"})));
    let exact = server.get(&format!("{PODS}?resourceVersion=5&resourceVersionMatch=Exact")).await.is(200);
    assert_eq!(names(&exact), ["a", "b", "c", "d", "e"], "as it was");
    assert_eq!(names(&server.get(&format!("{PODS}?limit=0")).await.is(200)).len(), 5);
    assert_eq!(names(&server.get(&format!("{PODS}?limit={}", i64::MAX)).await.is(200)).len(), 5);
    assert_eq!(names(&server.get(&format!("{PODS}?limit=-1")).await.is(200)).len(), 5);
    assert_eq!(
        names(&server.get(&format!("{PODS}?limit=1&resourceVersion=0")).await.is(200)).len(),
        5,
        "as from a cache"
    );
    server.get(&format!("{PODS}?limit=x")).await.fails(400, "BadRequest");
}

pub async fn selectors_choose(server: Server) {
    five_pods(&server).await;
    let select = async |query: &str| {
        let list: Value = server.get(&format!("{PODS}?{query}")).await.is(200);
        names(&list).into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(select("labelSelector=app%3Dweb").await, ["a", "b", "e"]);
    assert_eq!(select("labelSelector=app%20notin%20(web)").await, ["c", "d"]);
    assert_eq!(select("fieldSelector=spec.nodeName%3Dn1").await, ["d", "e"]);
    assert_eq!(select("fieldSelector=spec.nodeName%3D,status.phase%3DRunning").await, ["a", "b", "c"]);
    assert_eq!(select("fieldSelector=metadata.name%3Dc&labelSelector=app").await, ["c"]);
    assert_eq!(select("labelSelector=app%3Dnone").await, Vec::<String>::new());

    // A bind is selected by, although it does not stand in the body that was sent.
    server.post(NODES, &node("n2")).await.is(201);
    let binding = json!({"target": {"name": "n2"}});
    server.post(&format!("{PODS}/a/binding"), &binding).await.is(201);
    assert_eq!(select("fieldSelector=spec.nodeName%3Dn2").await, ["a"]);

    let first = server.get(&format!("{PODS}?labelSelector=app%3Dweb&limit=2")).await.is(200);
    assert_eq!(names(&first), ["a", "b"]);
    assert!(first["metadata"]["remainingItemCount"].is_null(), "nobody counts what selectors leave out");
    let token = first["metadata"]["continue"].as_str().expect("a token");
    let rest = server.get(&format!("{PODS}?labelSelector=app%3Dweb&limit=2&continue={token}")).await.is(200);
    assert_eq!((names(&rest), &rest["metadata"]["continue"]), (vec!["e"], &Value::Null));
    for bad in ["labelSelector=a%20in", "fieldSelector=spec.other%3D1", "labelSelector=%3D%3D"] {
        server.get(&format!("{PODS}?{bad}")).await.fails(400, "BadRequest");
    }
}

/// `spec.host` is an old name of `spec.nodeName`, by which all pods are searched.
pub async fn lists_of_a_node_are_those_of_a_search(server: Server) {
    five_pods(&server).await;
    server.post("/api/v1/namespaces/shop-2/pods", &pod("a")).await.is(201);
    for name in ["n1", "n2"] {
        server.post(NODES, &node(name)).await.is(201);
    }
    let same = async |places: &[&str]| {
        for base in places {
            for node in ["n1", "n2", "none", ""] {
                for rest in
                    ["", ",status.phase=Running", ",metadata.name!=d", ",metadata.namespace=shop", ",metadata.name=a"]
                {
                    for more in ["", "&labelSelector=app%3Dweb", "&resourceVersion=0&limit=1", "&resourceVersion=3"] {
                        let of = async |field: &str| {
                            let selector = format!("{field}={node}{rest}").replace('=', "%3D");
                            let list = server.get(&format!("{base}?fieldSelector={selector}{more}")).await.is(200);
                            (list["items"].clone(), list["metadata"].clone())
                        };
                        assert_eq!(of("spec.nodeName").await, of("spec.host").await, "{base} {node} {rest} {more}");
                    }
                }
            }
        }
    };
    let names_of = async |selector: &str| {
        let list = server.get(&format!("/api/v1/pods?fieldSelector={selector}")).await.is(200);
        names(&list).into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    let places = ["/api/v1/pods", PODS, "/api/v1/namespaces/shop-2/pods", "/api/v1/namespaces/none/pods"];
    same(&places).await;
    assert_eq!(names_of("metadata.name%3Da").await, ["a", "a"], "of two namespaces");

    // A bind, an assumed pod, one that has ended, a deletion.
    server.post(&format!("{PODS}/a/binding"), &json!({"target": {"name": "n2"}})).await.is(201);
    server.put("/reservations/shop/b", json!({"node": "n2"})).await.is(200);
    let mut ended = server.get(&format!("{PODS}/d")).await.is(200);
    ended["status"]["phase"] = "Succeeded".into();
    server.put(&format!("{PODS}/d/status"), ended).await.is(200);
    assert_eq!(names_of("spec.nodeName%3Dn2").await, ["a"], "a reservation is no bind");
    assert_eq!(names_of("spec.nodeName%3Dn1").await, ["d", "e"], "also one that has ended");
    same(&places).await;
    server.delete(&format!("{PODS}/e")).await.is(200);
    assert_eq!(names_of("spec.nodeName%3Dn1").await, ["d"]);
    same(&places).await;

    // Page by page, all of one revision.
    let path = format!("{PODS}?fieldSelector=spec.nodeName%3D&limit=1");
    let first = server.get(&path).await.is(200);
    assert_eq!((names(&first), &first["metadata"]["remainingItemCount"]), (vec!["b"], &Value::Null));
    server.post(PODS, &pod("z")).await.is(201);
    let token = first["metadata"]["continue"].as_str().expect("a token");
    let second = server.get(&format!("{path}&continue={token}")).await.is(200);
    assert_eq!(names(&second), ["c"]);
    assert_eq!(second["metadata"]["resourceVersion"], first["metadata"]["resourceVersion"]);
    let nothing = server.get(&format!("{PODS}?fieldSelector=spec.nodeName%3Dn1&limit=1")).await.is(200);
    assert_eq!((names(&nothing), &nothing["metadata"]["continue"]), (vec!["d"], &Value::Null), "no empty page follows");
}

pub async fn namespaces_are_listed_apart(server: Server) {
    server.post(PODS, &pod("a")).await.is(201);
    server.post("/api/v1/namespaces/shop-2/pods", &pod("a")).await.is(201);
    assert_eq!(names(&server.get(PODS).await.is(200)), ["a"]);
    let all = server.get("/api/v1/pods").await.is(200);
    let namespaces: Vec<_> =
        all["items"].as_array().expect("items").iter().map(|p| &p["metadata"]["namespace"]).collect();
    assert_eq!(namespaces, ["shop", "shop-2"]);
    let empty = server.get("/api/v1/namespaces/none/pods").await.is(200);
    assert_eq!(empty["items"], json!([]));
    server.post("/api/v1/pods", &pod("a")).await.fails(405, "MethodNotAllowed");
}

pub async fn tokens_and_revisions_are_checked(server: Server) {
    five_pods(&server).await;
    server.get(&format!("{PODS}?continue=garbage")).await.fails(400, "BadRequest");
    // {"rv":99,"ns":"shop","name":"a"}: of a history that this store never had.
    server.get(&format!("{PODS}?continue=eyJydiI6OTksIm5zIjoic2hvcCIsIm5hbWUiOiJhIn0")).await.fails(410, "Expired");
    server.get(&format!("{PODS}?resourceVersion=0")).await.is(200);
    server.get(&format!("{PODS}?resourceVersion=3")).await.is(200);
    server.get(&format!("{PODS}?resourceVersion=3&resourceVersionMatch=Exact")).await.fails(410, "Expired");
    for path in [format!("{PODS}?resourceVersion=99"), format!("{PODS}/a?resourceVersion=99")] {
        let reply = server.get(&path).await;
        assert_eq!(reply.headers["retry-after"], "1");
        let status = reply.fails(504, "Timeout");
        assert_eq!(status["message"], "Timeout: Too large resource version: 99, current: 5");
        assert_eq!(status["details"]["causes"][0]["reason"], "ResourceVersionTooLarge");
    }
    server.get(&format!("{PODS}/a?resourceVersion=5")).await.is(200);
    server.get(&format!("{NODES}?resourceVersion=soon")).await.fails(400, "BadRequest");
    for (query, field) in [
        ("resourceVersionMatch=Exact", "resourceVersionMatch"),
        ("resourceVersion=0&resourceVersionMatch=Exact", "resourceVersionMatch"),
        ("resourceVersion=1&resourceVersionMatch=Roughly", "resourceVersionMatch"),
        ("sendInitialEvents=true", "sendInitialEvents"),
    ] {
        let status = server.get(&format!("{PODS}?{query}")).await.fails(422, "Invalid");
        assert_eq!(fields(&status), [field], "{query}");
        assert!(status["message"].as_str().expect("text").starts_with("ListOptions.meta.k8s.io \"\" is invalid: "));
    }
}

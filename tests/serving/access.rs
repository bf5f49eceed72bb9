//! Access control: tokens, roles, acting as others, the guards of roles and bindings, and every route for every sort of user.

use std::{collections::HashMap, fmt::Write as _, sync::Arc};

use axum::{
    body::Body,
    http::{Request, header},
};
use podberth::{
    service::access::authenticate::Authenticator,
    wire::access::{token, token_file},
};
use serde_json::{Value, json};
use tower::ServiceExt as _;

use crate::server::{Reply, Server, Setup, memory, secrets};

mod placements;
mod table;

const ROOT: &str = "pbt_the-token-of-the-first-user-of-all-these-tests";

/// A server that asks everybody, where [`ROOT`] may do everything and each name is a token of its user.
async fn closed(users: &[&str]) -> Server {
    let file: String = users.iter().map(|user| format!("token-of-{user},{user},\n")).collect::<Vec<_>>().concat();
    let mut fixed = token_file::parse(&file).expect("a file of tokens");
    fixed.insert(token::digest(ROOT), Arc::new(Authenticator::first_user()));
    closed_with(fixed).await
}

async fn closed_with(fixed: HashMap<token::TokenDigest, Arc<podberth::core::access::User>>) -> Server {
    let authenticator = Some(Authenticator::new(fixed));
    Server::start(memory(&[]).await, Setup { authenticator, ..Setup::default() })
}

/// Sends a request with a token, if there is one.
async fn ask(server: &Server, token: &str, method: &str, path: &str, body: Value) -> Reply {
    let mut request = Request::builder().method(method).uri(path).header("content-type", "application/json");
    if !token.is_empty() {
        request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
    }
    let body = if body.is_null() { Body::empty() } else { Body::from(body.to_string()) };
    server.send(request.body(body).expect("a request")).await
}

async fn get(server: &Server, token: &str, path: &str) -> Reply {
    ask(server, token, "GET", path, Value::Null).await
}

fn prefixed(cluster: &str, path: &str) -> String {
    if cluster.is_empty() { path.into() } else { format!("/clusters/{cluster}{path}") }
}

/// Binds a ClusterRole to a user in a cluster (empty: the default one), in a namespace or everywhere.
async fn bind(server: &Server, cluster: &str, namespace: &str, role: &str, user: &str) {
    bind_with(server, cluster, namespace, role, user, json!({})).await;
}

async fn bind_with(server: &Server, cluster: &str, namespace: &str, role: &str, user: &str, annotations: Value) {
    let path = match namespace {
        "" => "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings".to_owned(),
        of => format!("/apis/rbac.authorization.k8s.io/v1/namespaces/{of}/rolebindings"),
    };
    let body = json!({
        "metadata": {"name": format!("{user}-{role}").replace(':', "-"), "annotations": annotations},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}],
    });
    ask(server, ROOT, "POST", &prefixed(cluster, &path), body).await.is(201);
}

async fn role(server: &Server, token: &str, name: &str, rules: Value) -> Reply {
    let body = json!({"metadata": {"name": name}, "rules": rules});
    ask(server, token, "POST", "/apis/rbac.authorization.k8s.io/v1/clusterroles", body).await
}

#[tokio::test]
async fn who_sends_no_token_sees_health_alone() {
    let server = closed(&["ann"]).await;
    for path in ["/livez", "/readyz", "/healthz", "/version", "//version", "/clusters/prod/livez"] {
        assert_eq!(get(&server, "", path).await.code, 200, "{path}");
    }
    for path in ["/", "/ui/", "/clusters/prod/ui/"] {
        assert_eq!(get(&server, "", path).await.code, 200, "{path}: the page asks for a token itself");
    }
    for path in ["/metrics", "/docs/", "/api", "/openapi.json", "/plugins", "/livez/ping", "/nowhere"] {
        let message = get(&server, "", path).await.fails(403, "Forbidden")["message"].clone();
        let told = format!("forbidden: User \"system:anonymous\" cannot get path {path:?}");
        assert_eq!(message, told, "a refusal does not tell if there is such a path");
    }
    let refused = get(&server, "", "/api/v1/nodes").await.fails(403, "Forbidden");
    let told = "nodes is forbidden: User \"system:anonymous\" cannot list resource \"nodes\" in API group \"\" at the cluster scope";
    assert_eq!((&refused["message"], &refused["details"]), (&told.into(), &json!({"kind": "nodes"})));
    assert_eq!(get(&server, "token-of-ann", "/api").await.code, 200);
    assert_eq!(get(&server, "token-of-ann", "/metrics").await.code, 403);
}

#[tokio::test]
async fn a_token_that_is_not_valid_is_401() {
    let server = closed(&["ann"]).await;
    let well_formed = token::from_random([7; 32]);
    for token in ["token-of-bob", "x", ROOT.get(1..).expect("text"), &well_formed] {
        let reply = get(&server, token, "/livez").await;
        let status = reply.fails(401, "Unauthorized");
        assert_eq!(
            status,
            json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "reason": "Unauthorized", "message": "Unauthorized", "code": 401})
        );
        assert_eq!(reply.header("www-authenticate"), Some("Bearer"));
    }
    let basic = Request::get("/livez").header(header::AUTHORIZATION, "Basic eDp5").body(Body::empty());
    assert_eq!(server.send(basic.expect("a request")).await.code, 200, "credentials of another sort are none");
}

/// All tests search what their servers log and reply ([`secrets`]).
#[tokio::test]
async fn a_token_in_a_log_line_or_reply_is_found() {
    let server = closed(&[]).await;
    let [in_header, in_path] = ["one-that-a-header-has", "one-that-a-path-has"];
    get(&server, in_header, "/livez").await.fails(401, "Unauthorized");
    get(&server, "", &format!("/key/{in_path}/livez")).await.fails(401, "Unauthorized");
    for secret in [in_header, in_path, &token::from_random([3; 32])] {
        assert!(secrets::is_shown(&format!("{{\"path\": \"/key/{secret}/filter\"}}")), "{secret}");
    }
    assert!(!secrets::is_shown("a request of /key/…/filter by one-that-a"));
}

#[tokio::test]
async fn stored_tokens_are_made_used_and_revoked() {
    let server = closed(&["ann"]).await;
    bind(&server, "podberth-system", "", "view", "jane").await;
    let new = json!({"name": "jane", "user": "jane", "groups": ["dev"], "expiresInSeconds": 3600});
    let made = ask(&server, ROOT, "POST", "/tokens", new.clone()).await.is(201);
    let token = made["token"].as_str().expect("a token").to_owned();
    assert!(token::is_well_formed(&token), "{token}");
    assert_eq!(get(&server, &token, "/api/v1/pods").await.code, 200);
    assert_eq!(get(&server, &token, "/clusters/other/api/v1/pods").await.code, 200, "it counts in all clusters");
    assert_eq!(get(&server, &token, "/tokens").await.code, 403);
    let review =
        ask(&server, &token, "POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", json!({})).await.is(201);
    let info = json!({"username": "jane", "groups": ["dev", "system:authenticated"]});
    assert_eq!(review["status"]["userInfo"], info);

    let listed = get(&server, ROOT, "/tokens").await;
    let digest = token::digest(&token).iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    });
    assert!(!listed.text().contains(&token) && !listed.text().contains(&digest));
    assert_eq!(listed.json()["items"][0]["name"], "jane");
    ask(&server, ROOT, "POST", "/tokens", new).await.fails(409, "AlreadyExists");
    ask(&server, ROOT, "DELETE", "/tokens/jane", Value::Null).await.is(200);
    get(&server, &token, "/livez").await.fails(401, "Unauthorized");
    ask(&server, ROOT, "DELETE", "/tokens/jane", Value::Null).await.fails(404, "NotFound");
}

/// The stream of a watch ends within moments, and the next request is refused.
#[tokio::test]
async fn a_watch_ends_with_its_token() {
    let server = closed(&[]).await;
    bind(&server, "podberth-system", "", "cluster-admin", "jane").await;
    for ends in ["revoked", "expired"] {
        let made = ask(&server, ROOT, "POST", "/tokens", json!({"name": ends, "user": "jane"})).await.is(201);
        let token = made["token"].as_str().expect("a token").to_owned();
        let watch = Request::get("/api/v1/nodes?watch=1").header(header::AUTHORIZATION, format!("Bearer {token}"));
        let watch = watch.body(Body::empty()).expect("a request");
        let watch = server.router.clone().oneshot(watch).await.expect("the router never fails");
        assert_eq!(watch.status(), 200);
        if ends == "revoked" {
            ask(&server, ROOT, "DELETE", "/tokens/revoked", Value::Null).await.is(200);
        } else {
            expire(&server, ends).await;
        }
        let told = axum::body::to_bytes(watch.into_body(), usize::MAX).await.expect("it ends");
        assert!(told.is_empty(), "{told:?}");
        get(&server, &token, "/livez").await.fails(401, "Unauthorized");
    }
}

#[tokio::test]
async fn the_last_use_of_a_token_is_listed_and_goes_with_it() {
    let server = closed(&[]).await;
    let used = async || {
        let uses = &server.state.manner.authenticator.as_ref().expect("users are known").uses;
        uses.flush(&server.state).await.expect("they are stored");
        get(&server, ROOT, "/tokens").await.json()["items"][0]["lastUsedAt"].as_str().map(str::to_owned)
    };
    let new = json!({"name": "x", "user": "jane"});
    let made = ask(&server, ROOT, "POST", "/tokens", new.clone()).await.is(201);
    assert_eq!(used().await, None, "it was not used");
    assert_eq!(get(&server, made["token"].as_str().expect("a token"), "/livez").await.code, 200);
    let first = used().await.expect("it was used");
    assert!(first.parse::<jiff::Timestamp>().is_ok(), "{first}");
    ask(&server, ROOT, "DELETE", "/tokens/x", Value::Null).await.is(200);
    ask(&server, ROOT, "POST", "/tokens", new).await.is(201);
    assert_eq!(used().await, None, "another token of the name was not");
}

#[tokio::test]
async fn a_token_is_made_only_of_rights_to_act_as_its_user() {
    let server = closed(&["maker"]).await;
    let rules = json!([
        {"verbs": ["create"], "apiGroups": ["podberth.io"], "resources": ["tokens"]},
        {"verbs": ["impersonate"], "apiGroups": [""], "resources": ["users"], "resourceNames": ["robot"]},
    ]);
    let path = "/clusters/podberth-system/apis/rbac.authorization.k8s.io/v1/clusterroles";
    ask(&server, ROOT, "POST", path, json!({"metadata": {"name": "maker"}, "rules": rules})).await.is(201);
    bind(&server, "podberth-system", "", "maker", "maker").await;
    let make = async |body: Value| ask(&server, "token-of-maker", "POST", "/tokens", body).await;
    assert_eq!(make(json!({"name": "a", "user": "robot"})).await.code, 201);
    make(json!({"name": "b", "kind": "extender"})).await.fails(403, "Forbidden");
    make(json!({"name": "b", "kind": "extender", "user": "robot"})).await.fails(403, "Forbidden");
    let extenders = json!([
        {"verbs": ["impersonate"], "apiGroups": [""], "resources": ["groups"], "resourceNames": ["system:extenders"]},
        {"verbs": ["impersonate"], "apiGroups": [""], "resources": ["users"], "resourceNames": ["system:extender:b"]},
    ]);
    ask(&server, ROOT, "POST", path, json!({"metadata": {"name": "extenders"}, "rules": extenders})).await.is(201);
    bind(&server, "podberth-system", "", "extenders", "maker").await;
    assert_eq!(make(json!({"name": "b", "kind": "extender"})).await.code, 201);
    make(json!({"name": "c", "kind": "extender"})).await.fails(403, "Forbidden");
    make(json!({"name": "c", "user": "root"})).await.fails(403, "Forbidden");
    make(json!({"name": "d", "user": "robot", "groups": ["ops"]})).await.fails(403, "Forbidden");
    make(json!({"name": "d", "kind": "extender", "user": "root"})).await.fails(403, "Forbidden");
    let everything = json!({"name": "e", "user": "u", "groups": ["system:masters"]});
    let refused = ask(&server, ROOT, "POST", "/tokens", everything).await.fails(422, "Invalid");
    assert_eq!(refused["details"]["causes"][0]["field"], "groups");
    for wrong in [json!({}), json!({"name": "A_"}), json!({"name": "x", "user": "u", "expiresInSeconds": 0})] {
        ask(&server, ROOT, "POST", "/tokens", wrong).await.fails(422, "Invalid");
    }
    // A token that has ended makes room for another of its name.
    ask(&server, ROOT, "POST", "/tokens", json!({"name": "a", "user": "robot"})).await.fails(409, "AlreadyExists");
    expire(&server, "a").await;
    assert_eq!(ask(&server, ROOT, "POST", "/tokens", json!({"name": "a", "user": "robot"})).await.code, 201);
    // What is judged in the cluster for all is not given in any other one.
    bind(&server, "", "", "cluster-admin", "maker").await;
    assert_eq!(get(&server, "token-of-maker", "/api/v1/nodes").await.code, 200);
    assert_eq!(get(&server, "token-of-maker", "/tokens").await.code, 403);
    assert_eq!(get(&server, "token-of-maker", "/clusters/default/clusters").await.code, 403);
}

const MERGE: (&str, &str) = ("content-type", "application/merge-patch+json");

async fn patch(server: &Server, user: &str, path: &str, body: Value) -> Reply {
    let request = Request::builder().method("PATCH").uri(path).header(MERGE.0, MERGE.1);
    let request = request.header(header::AUTHORIZATION, format!("Bearer token-of-{user}"));
    server.send(request.body(Body::from(body.to_string())).expect("a request")).await
}

/// By its labels a role joins the rules of others, so they are as good as rules.
#[tokio::test]
async fn labels_of_a_role_give_no_more_than_its_rules() {
    let server = closed(&["lab"]).await;
    let rules =
        json!([{"verbs": ["get", "patch"], "apiGroups": ["rbac.authorization.k8s.io"], "resources": ["clusterroles"]}]);
    role(&server, ROOT, "labeller", rules).await.is(201);
    role(&server, ROOT, "power", json!([{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}])).await.is(201);
    bind(&server, "", "", "labeller", "lab").await;
    bind(&server, "", "", "view", "lab").await;
    let path = "/apis/rbac.authorization.k8s.io/v1/clusterroles/power";
    let label = json!({"metadata": {"labels": {"rbac.authorization.k8s.io/aggregate-to-view": "true"}}});
    patch(&server, "lab", path, label).await.fails(403, "Forbidden");
    assert_eq!(ask(&server, "token-of-lab", "DELETE", "/api/v1/nodes/n", Value::Null).await.code, 403);
    assert_eq!(patch(&server, "lab", path, json!({"metadata": {"annotations": {"a": "b"}}})).await.code, 200);
}

/// Objects of the cluster for all count everywhere: rights that are kept to some clusters do not suffice to write them.
#[tokio::test]
async fn rights_kept_to_clusters_give_none_for_all() {
    let server = closed(&["an"]).await;
    let rules = json!([
        {"verbs": ["*"], "apiGroups": ["rbac.authorization.k8s.io"], "resources": ["clusterrolebindings"]},
        {"verbs": ["get", "list"], "apiGroups": [""], "resources": ["pods"]},
    ]);
    let path = "/clusters/podberth-system/apis/rbac.authorization.k8s.io/v1";
    let of = json!({"metadata": {"name": "an"}, "rules": rules});
    ask(&server, ROOT, "POST", &format!("{path}/clusterroles"), of).await.is(201);
    let kept = json!({"podberth.io/clusters": "podberth-system"});
    bind_with(&server, "podberth-system", "", "an", "an", kept).await;
    let binding = format!("{path}/clusterrolebindings/an-an");
    let widened = json!({"metadata": {"annotations": {"podberth.io/clusters": null}}});
    patch(&server, "an", &binding, widened).await.fails(403, "Forbidden");
    let other = json!({"metadata": {"name": "other"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "an"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "an"}]});
    ask(&server, "token-of-an", "POST", &format!("{path}/clusterrolebindings"), other).await.fails(403, "Forbidden");
    assert_eq!(get(&server, "token-of-an", "/clusters/prod/api/v1/pods").await.code, 403);
}

#[tokio::test]
async fn an_extender_is_known_by_its_path_and_kept_to_its_clusters() {
    let server = closed(&[]).await;
    let new = json!({"name": "sched", "kind": "extender", "clusters": ["default", "prod-*"]});
    let made = ask(&server, ROOT, "POST", "/tokens", new).await.is(201);
    let token = made["token"].as_str().expect("a token");
    let filter = json!({"Pod": {"metadata": {"name": "p"}, "spec": {"containers": []}}, "NodeNames": []});
    for path in ["filter", "/filter", "clusters/prod-1/filter", "clusters/prod-1//prioritize"] {
        let path = format!("/key/{token}/{path}");
        let code = ask(&server, "", "POST", &path, filter.clone()).await.code;
        assert!(matches!(code, 200 | 404), "{code}: a cluster without anything in it is not there");
    }
    let elsewhere = ask(&server, "", "POST", &format!("/key/{token}/clusters/lab/filter"), filter.clone()).await;
    let told = "forbidden: the token \"sched\" is not for the cluster \"lab\"";
    assert_eq!(elsewhere.fails(403, "Forbidden")["message"], told);
    for (method, path) in
        [("GET", "api/v1/nodes"), ("POST", "schedule"), ("POST", "explain"), ("GET", "tokens"), ("GET", "metrics")]
    {
        let reply = ask(&server, "", method, &format!("/key/{token}/{path}"), Value::Null).await;
        assert_eq!(reply.code, 403, "{path}");
        assert!(!reply.text().contains(token), "{path}");
    }
    let bind = json!({"PodName": "p", "PodNamespace": "default", "PodUID": "", "Node": "n"});
    let path = format!("/key/{token}/bind");
    assert!(
        ask(&server, "", "POST", &path, bind).await.json()["Error"].is_string(),
        "it may bind, if there were a pod"
    );
    assert_eq!(ask(&server, token, "POST", "/filter", filter.clone()).await.code, 200, "in the header as well");

    let user = ask(&server, ROOT, "POST", "/tokens", json!({"name": "jane", "user": "jane"})).await.is(201);
    let path = format!("/key/{}/filter", user["token"].as_str().expect("a token"));
    assert_eq!(ask(&server, "", "POST", &path, filter.clone()).await.code, 401, "tokens of users are for headers");
    for path in [format!("/key/{ROOT}/livez"), "/key/x/livez".into(), "/key//livez".into()] {
        assert_eq!(get(&server, "", &path).await.code, 401, "{path}");
    }
    let open = Server::with(&[]).await;
    assert_eq!(ask(&open, "", "POST", "/key/anything/filter", filter).await.code, 200, "nobody is asked there");
}

#[tokio::test]
async fn who_is_not_asked_may_act_as_others_with_their_rights() {
    let server = Server::with(&[]).await;
    let acting = async |user: &str, path: &str| {
        let request = Request::get(path).header("impersonate-user", user).body(Body::empty());
        server.send(request.expect("a request")).await
    };
    assert_eq!(server.get("/api/v1/nodes").await.code, 200);
    acting("nan", "/api/v1/nodes").await.fails(403, "Forbidden");
    assert_eq!(acting("nan", "/api").await.code, 200, "it is in system:authenticated");
    let request = Request::get("/api/v1/pods").header("impersonate-group", "x").body(Body::empty());
    let refused = server.send(request.expect("a request")).await.fails(400, "BadRequest");
    assert_eq!(refused["message"], "requested [{Group  x    }] without impersonating a user");
    let closed = closed(&["ann"]).await;
    let request =
        Request::get("/api").header(header::AUTHORIZATION, "Bearer token-of-ann").header("impersonate-user", "nan");
    let refused = closed.send(request.body(Body::empty()).expect("a request")).await.fails(403, "Forbidden");
    let told = "users \"nan\" is forbidden: User \"ann\" cannot impersonate resource \"users\" in API group \"\" at the cluster scope";
    assert_eq!(refused["message"], told);
}

#[tokio::test]
async fn nobody_gives_away_rights_that_they_do_not_have() {
    let server = closed(&["oli", "binder", "escalator"]).await;
    let rbac = |verbs: Value, resources: Value| json!({"verbs": verbs, "apiGroups": ["rbac.authorization.k8s.io"], "resources": resources});
    let write = rbac(json!(["create", "update", "patch", "get"]), json!(["clusterroles", "clusterrolebindings"]));
    let pods = json!({"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]});
    role(&server, ROOT, "writer", json!([write, pods])).await.is(201);
    role(&server, ROOT, "binder", json!([write, rbac(json!(["bind"]), json!(["clusterroles"]))])).await.is(201);
    role(&server, ROOT, "escalator", json!([write, rbac(json!(["escalate"]), json!(["clusterroles"]))])).await.is(201);
    for (user, role) in [("oli", "writer"), ("binder", "binder"), ("escalator", "escalator")] {
        bind(&server, "", "", role, user).await;
    }
    let (oli, binder, escalator) = ("token-of-oli", "token-of-binder", "token-of-escalator");
    assert_eq!(role(&server, oli, "own", json!([pods])).await.code, 201);
    let nodes = json!({"verbs": ["get", "list"], "apiGroups": [""], "resources": ["nodes"]});
    let refused = role(&server, oli, "more", json!([nodes])).await.fails(403, "Forbidden");
    let told = "clusterroles.rbac.authorization.k8s.io \"more\" is forbidden: user \"oli\" (groups=[\"system:authenticated\"]) is \
                attempting to grant RBAC permissions not currently held:\n{APIGroups:[\"\"], Resources:[\"nodes\"], Verbs:[\"get\" \"list\"]}";
    assert_eq!(refused["message"], told);
    assert_eq!(role(&server, escalator, "more", json!([nodes])).await.code, 201);

    let path = |name: &str| format!("/apis/rbac.authorization.k8s.io/v1/clusterroles/{name}");
    let patch = async |token: &str, name: &str, body: Value| {
        let request = Request::patch(path(name)).header(header::AUTHORIZATION, format!("Bearer {token}"));
        let request = request.header("content-type", "application/merge-patch+json");
        server.send(request.body(Body::from(body.to_string())).expect("a request")).await
    };
    patch(oli, "own", json!({"rules": [nodes]})).await.fails(403, "Forbidden");
    patch(oli, "more", json!({"rules": [nodes, pods]})).await.fails(403, "Forbidden");
    patch(oli, "more", json!({"metadata": {"labels": {"a": "b"}}})).await.fails(403, "Forbidden");
    assert_eq!(
        patch(oli, "more", json!({"metadata": {"annotations": {"a": "b"}}})).await.code,
        200,
        "nothing is given"
    );
    let aggregated = json!({"metadata": {"name": "all"}, "aggregationRule": {"clusterRoleSelectors": [{"matchLabels": {"a": "b"}}]}});
    let refused = ask(&server, oli, "POST", "/apis/rbac.authorization.k8s.io/v1/clusterroles", aggregated).await;
    let refused = refused.fails(403, "Forbidden")["message"].as_str().map(str::to_owned);
    assert!(
        refused.is_some_and(|told| told.ends_with("must have cluster-admin privileges to use the aggregationRule"))
    );

    let to = |role: &str, name: &str| {
        json!({"metadata": {"name": name}, "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
            "subjects": [{"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": "pat"}]})
    };
    let path = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings";
    assert_eq!(ask(&server, oli, "POST", path, to("own", "a")).await.code, 201);
    ask(&server, oli, "POST", path, to("cluster-admin", "b")).await.fails(403, "Forbidden");
    let missing = ask(&server, oli, "POST", path, to("nowhere", "c")).await.fails(404, "NotFound");
    assert_eq!(missing["message"], "clusterroles.rbac.authorization.k8s.io \"nowhere\" not found");
    assert_eq!(ask(&server, binder, "POST", path, to("cluster-admin", "d")).await.code, 201);

    bind(&server, "", "", "podberth:sync", "binder").await;
    let import = |role: &str| {
        json!({"kind": "List", "apiVersion": "v1", "items": [{"kind": "ClusterRole",
        "apiVersion": "rbac.authorization.k8s.io/v1", "metadata": {"name": role}, "rules": [nodes]}]})
    };
    ask(&server, binder, "POST", "/import", import("sly")).await.fails(403, "Forbidden");
    assert_eq!(ask(&server, ROOT, "POST", "/import", import("sly")).await.code, 200);
    let node = json!({"kind": "Node", "apiVersion": "v1", "metadata": {"name": "n"}});
    assert_eq!(ask(&server, binder, "POST", "/import?replace=true", node).await.code, 200);
    assert_eq!(get(&server, ROOT, "/apis/rbac.authorization.k8s.io/v1/clusterroles/sly").await.code, 200, "roles stay");
}

#[tokio::test]
async fn pods_are_bound_where_the_sender_may_bind() {
    let server = closed(&["placer"]).await;
    let rules =
        json!([{"verbs": ["create"], "apiGroups": ["podberth.io"], "resources": ["placements", "extenders/bind"]}]);
    role(&server, ROOT, "placer", rules).await.is(201);
    let binding = json!([{"verbs": ["create"], "apiGroups": [""], "resources": ["pods/binding"]}]);
    role(&server, ROOT, "pod-binder", binding).await.is(201);
    bind(&server, "", "", "placer", "placer").await;
    bind(&server, "", "own", "pod-binder", "placer").await;
    let pod = |namespace: &str| json!({"metadata": {"name": "p", "namespace": namespace}, "spec": {"containers": [{"name": "c"}]}});
    for namespace in ["own", "other"] {
        let path = format!("/api/v1/namespaces/{namespace}/pods");
        assert_eq!(ask(&server, ROOT, "POST", &path, pod(namespace)).await.code, 201);
    }
    let schedule = async |namespaces: &[&str]| {
        let pods: Vec<Value> =
            namespaces.iter().map(|namespace| json!({"metadata": {"name": "p", "namespace": namespace}})).collect();
        let pods: Vec<Value> = pods
            .into_iter()
            .map(|mut one| {
                one["spec"] = json!({"containers": [{"name": "c"}]});
                one
            })
            .collect();
        ask(&server, "token-of-placer", "POST", "/schedule", json!({"pods": pods})).await
    };
    assert_eq!(schedule(&["own"]).await.code, 200);
    let refused = schedule(&["own", "other"]).await.fails(403, "Forbidden");
    let told = "pods is forbidden: User \"placer\" cannot create resource \"pods/binding\" in API group \"\" in the namespace \"other\"";
    assert_eq!(refused["message"], told);
    let bind = async |namespace: &str| {
        let body = json!({"PodName": "p", "PodNamespace": namespace, "PodUID": "", "Node": "n"});
        ask(&server, "token-of-placer", "POST", "/bind", body).await.code
    };
    assert_eq!((bind("own").await, bind("other").await), (200, 403));
}

#[tokio::test]
async fn bindings_for_all_clusters_may_name_some() {
    let server = closed(&["ops", "tenant"]).await;
    let some = json!({"podberth.io/clusters": "prod-*, lab"});
    bind_with(&server, "podberth-system", "", "cluster-admin", "ops", some).await;
    bind(&server, "tenant-1", "", "cluster-admin", "tenant").await;
    let code = async |token: &str, cluster: &str| get(&server, token, &prefixed(cluster, "/api/v1/nodes")).await.code;
    for (cluster, expected) in [("prod-1", 200), ("lab", 200), ("lab-2", 403), ("", 403), ("podberth-system", 403)] {
        assert_eq!(code("token-of-ops", cluster).await, expected, "{cluster}");
    }
    for (cluster, expected) in [("tenant-1", 200), ("tenant-2", 403), ("", 403), ("podberth-system", 403)] {
        assert_eq!(code("token-of-tenant", cluster).await, expected, "{cluster}");
    }
    // The numbers of the process are not those of one cluster.
    assert_eq!(get(&server, "token-of-tenant", "/clusters/tenant-1/metrics").await.code, 403);
    assert_eq!(ask(&server, "token-of-tenant", "DELETE", "/clusters/tenant-1", Value::Null).await.code, 403);
    ask(&server, ROOT, "DELETE", "/clusters/podberth-system", Value::Null).await.fails(400, "BadRequest");
}

/// Credentials of a source are the server's: whoever may change clusters still needs the right to use each of them, and learns nothing of files.
#[tokio::test]
async fn sources_need_the_right_to_use_their_credentials() {
    let server = closed(&["ann"]).await;
    let rules = json!([
        {"apiGroups": ["podberth.io"], "resources": ["clusters"], "verbs": ["get", "list", "update"]},
        {"apiGroups": ["podberth.io"], "resources": ["sources"], "verbs": ["use"], "resourceNames": ["/etc/hosts", "in-cluster"]},
    ]);
    let body = json!({"metadata": {"name": "mirrors"}, "rules": rules});
    let path = "/clusters/podberth-system/apis/rbac.authorization.k8s.io/v1/clusterroles";
    ask(&server, ROOT, "POST", path, body).await.is(201);
    bind(&server, "podberth-system", "", "mirrors", "ann").await;
    let put = async |file: &str| {
        let body = json!({"source": {"kubeconfigFile": file}});
        ask(&server, "token-of-ann", "PUT", "/clusters/prod", body).await
    };
    // One that there is, and one that there is not.
    for file in ["/etc/passwd", "/etc/no-such-file"] {
        let refused = put(file).await.fails(403, "Forbidden");
        let told = format!("sources.podberth.io {file:?} is forbidden: User \"ann\" cannot use resource");
        assert!(refused["message"].as_str().is_some_and(|message| message.starts_with(&told)), "{refused}");
    }
    for around in ["/etc/../etc/hosts", "/etc//hosts", "etc/hosts"] {
        put(around).await.fails(422, "Invalid");
    }
    put("/etc/hosts").await.is(201);
    ask(&server, "token-of-ann", "PUT", "/clusters/prod", json!({"source": {"inCluster": true}})).await.is(200);
    ask(&server, "token-of-ann", "PUT", "/clusters/prod", json!({"source": null})).await.is(200);
    ask(&server, ROOT, "PUT", "/clusters/prod", json!({"source": {"kubeconfigFile": "/any"}})).await.is(200);
    ask(&server, "token-of-ann", "PUT", "/clusters/prod?dryRun=All", json!({"source": {"kubeconfigFile": "/any"}}))
        .await
        .fails(403, "Forbidden");
}

/// The code of a reply, and `true` if the request was not let in. The body of a watch is not waited for.
async fn code(server: &Server, token: &str, method: &str, path: &str) -> (u16, bool) {
    let mut request = Request::builder().method(method.to_uppercase().as_str()).uri(path);
    if !token.is_empty() {
        request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
    }
    let request = request.body(Body::empty()).expect("a request");
    let response = server.router.clone().oneshot(request).await.expect("the router never fails");
    let code = response.status().as_u16();
    if !matches!(code, 401 | 403) {
        return (code, false);
    }
    let body = axum::body::to_bytes(response.into_body(), usize::MAX).await.expect("a body");
    (code, code == 401 || String::from_utf8_lossy(&body).contains("forbidden: User "))
}

/// Puts the end of a token into the past.
async fn expire(server: &Server, name: &str) {
    use podberth::store::{Atomicity, Call, Change, Key, Precondition, Write};
    let key = Key::new(token::KIND, "", name);
    let record = server.state.store.get("podberth-system", &key).await.expect("it reads").expect("a token");
    let mut stored: Value = serde_json::from_slice(&record.body).expect("JSON");
    stored["expiresAt"] = "2026-01-01T00:00:00Z".into();
    let change = Change::Put { body: stored.to_string().into(), uid: record.uid, node: None };
    let writes = vec![Write { key, precondition: Precondition::default(), change }];
    let call = Call { writes, atomicity: Atomicity::Each };
    server.state.clusters.commit("podberth-system", call, None).await.expect("it is written");
}

//! The table of all routes, and of those who are let in.

use std::{fmt::Write as _, fs, path::PathBuf};

use podberth::{
    api::published::DOCUMENTS,
    service::access::{
        Caller,
        tokens::{self, NewToken},
    },
};

use super::{bind, closed, code, expire, get};

/// The callers of the golden table, each with a letter.
const CALLERS: [(&str, char); 7] = [
    ("", 'n'),
    ("token-of-viewer", 'v'),
    ("token-of-editor", 'e'),
    ("token-of-admin", 'a'),
    ("extender", 'x'),
    ("token-of-tenant", 't'),
    ("expired", '!'),
];

/// Each route, and who is let in: nobody known (`n`), who may view (`v`), edit (`e`) and administer (`a`) the namespace of the table, an extender
/// (`x`), the owner of another cluster (`t`); `!` tells that an expired token is refused. `UPDATE=1` writes the table.
#[tokio::test]
async fn every_route_lets_in_whom_it_should() {
    let server = closed(&["viewer", "editor", "admin", "tenant"]).await;
    for (role, user) in [("view", "viewer"), ("edit", "editor"), ("admin", "admin")] {
        bind(&server, "podberth-system", "ns", role, user).await;
    }
    bind(&server, "tenant", "", "cluster-admin", "tenant").await;
    let caller = Caller::default();
    let new = NewToken { name: "x".into(), kind: "extender".into(), ..NewToken::default() };
    let extender = tokens::create(&server.state, &caller, new).await.expect("a token").token;
    let new = NewToken { name: "old".into(), user: "viewer".into(), ..NewToken::default() };
    let expired = tokens::create(&server.state, &caller, new).await.expect("a token").token;
    expire(&server, "old").await;
    assert_eq!(get(&server, &expired, "/livez").await.code, 401);

    let paths = DOCUMENTS.v3_1["paths"].as_object().expect("paths");
    let mut table = String::new();
    for (path, item) in paths {
        let filled = path.replace("{namespace}", "ns").replace(['{', '}'], "");
        for method in ["get", "put", "post", "delete", "patch"].into_iter().filter(|method| item.get(*method).is_some())
        {
            let mut letters = String::new();
            for (token, letter) in CALLERS {
                let token = match token {
                    "extender" => extender.as_str(),
                    "expired" => expired.as_str(),
                    other => other,
                };
                let code = code(&server, token, method, &filled).await;
                let shown = if letter == '!' { code.0 == 401 } else { !code.1 };
                letters.push(if shown { letter } else { '-' });
            }
            let _ = writeln!(table, "{letters} {} {path}", method.to_uppercase());
        }
    }
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/access.txt");
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&file, &table).expect("the table can be written");
    }
    let kept = fs::read_to_string(&file).unwrap_or_default();
    let changed: Vec<&str> = table.lines().filter(|line| !kept.lines().any(|kept| kept == *line)).collect();
    assert!(
        kept == table,
        "tests/data/access.txt does not tell who is let in. If the change is meant: UPDATE=1 cargo test --test serving \
         every_route\n{}",
        changed.join("\n")
    );
    assert!(table.lines().all(|line| line.chars().nth(6) == Some('!')), "an expired token opens a route");
    assert!(
        table.lines().all(|line| line.chars().nth(5) == Some('-')
            || line.chars().nth(1) == Some('v')
            || line.starts_with("---"))
    );
}

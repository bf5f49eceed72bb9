//! No secret is shown anywhere: a server with every sort of secret is asked all sorts of questions, and whatever leaves the process is searched for them.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use podberth_testkit::jwt::{Signer, key_set};
use serde_json::{Value, json};

const BOOTSTRAP: &str = "bootstrap-secret-0123456789-abcdefghijklmnop";
const IN_FILE: &str = "token-in-a-file-secret-0123456789";
const WRONG: &str = "wrong-secret-0123456789-abcdefghij";
const PASSWORD: &str = "database-secret-0123456789";

/// Takes whatever is sent to it, as a collector of traces does.
fn collector() -> (String, Arc<Mutex<Vec<u8>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("its address"));
    let taken = Arc::<Mutex<Vec<u8>>>::default();
    let kept = taken.clone();
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let kept = kept.clone();
            thread::spawn(move || take(stream, &kept));
        }
    });
    (url, taken)
}

/// Answers the requests of a connection.
fn take(stream: TcpStream, kept: &Mutex<Vec<u8>>) {
    let mut out = stream.try_clone().expect("a stream");
    let mut reader = BufReader::new(stream);
    loop {
        let mut length = 0;
        let mut line = String::new();
        loop {
            line.clear();
            if reader.read_line(&mut line).unwrap_or_default() == 0 {
                return;
            }
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap_or_default();
            }
            kept.lock().expect("no test panics with it").extend(line.as_bytes());
            if line == "\r\n" {
                break;
            }
        }
        let mut body = vec![0; length];
        if reader.read_exact(&mut body).is_err() {
            return;
        }
        kept.lock().expect("no test panics with it").extend(body);
        let _ = out.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
    }
}

/// A server that is stopped when the test is over.
struct Running {
    child: Child,
    address: String,
    log: thread::JoinHandle<String>,
}

impl Running {
    fn start(folder: &Path, arguments: &[String]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_podberth"));
        command.current_dir(folder).env_clear().arg("serve").args(arguments).stdin(Stdio::null());
        let mut child = command.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().expect("the binary starts");
        let mut log = BufReader::new(child.stderr.take().expect("a pipe"));
        let (mut text, mut address) = (String::new(), String::new());
        while address.is_empty() {
            let mut line = String::new();
            assert_ne!(log.read_line(&mut line).expect("text"), 0, "it ended before it listened: {text}");
            text.push_str(&line);
            if let Some((_, rest)) = line.split_once("listening on http://") {
                let end = |c: char| c != '.' && c != ':' && !c.is_ascii_digit();
                rest.split(end).next().unwrap_or_default().clone_into(&mut address);
            }
        }
        let log = thread::spawn(move || {
            let _ = log.read_to_string(&mut text);
            text
        });
        Self { child, address, log }
    }

    /// Sends bytes as they are; the reply, as far as there is one.
    fn send(&self, request: &str) -> String {
        let mut stream = TcpStream::connect(&self.address).expect("it listens");
        stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
        let _ = stream.write_all(request.as_bytes());
        let mut reply = Vec::new();
        let _ = stream.read_to_end(&mut reply);
        String::from_utf8_lossy(&reply).into_owned()
    }

    fn ask(&self, method: &str, path: &str, headers: &str, body: &str) -> String {
        let length = body.len();
        self.send(&format!(
            "{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-type: application/json\r\n\
             content-length: {length}\r\n{headers}\r\n{body}"
        ))
    }

    fn by(&self, token: &str, method: &str, path: &str, body: &str) -> String {
        self.ask(method, path, &format!("authorization: Bearer {token}\r\n"), body)
    }

    /// Stops it; its whole log.
    fn stop(mut self) -> String {
        let sent = Command::new("kill").arg(self.child.id().to_string()).status().expect("kill is there");
        assert!(sent.success());
        self.child.wait().expect("it ends");
        self.log.join().expect("the log is read")
    }
}

fn json_of(reply: &str) -> Value {
    let body = reply.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {reply}"))
}

/// Asks good and bad questions with a secret in each place where one may stand; the replies.
fn question(server: &Running, secret: &str) -> String {
    let filter = r#"{"Pod": {"metadata": {"name": "p"}, "spec": {"containers": []}}, "NodeNames": ["a"]}"#;
    let mut replies = Vec::new();
    for (method, path, body) in [
        ("GET", "/livez", ""),
        ("GET", "/api/v1/nodes", ""),
        ("GET", "/api/v1/nodes?limit=x", ""),
        ("GET", "/nowhere", ""),
        ("POST", "/filter", filter),
        ("POST", "/filter", "{"),
        ("POST", "/explain", r#"{"podName": "none"}"#),
        ("DELETE", "/tokens/none", ""),
        ("PUT", "/policy", "[]"),
        ("GET", "/clusters/Bad/api/v1/nodes", ""),
        ("TRACE", "/livez", ""),
        ("GET", "/audit", ""),
    ] {
        replies.push(server.by(secret, method, path, body));
    }
    for header in [
        format!("authorization: {secret}\r\n"),
        format!("authorization: Basic {secret}\r\n"),
        format!("authorization: Bearer {secret} more\r\n"),
        format!("authorization: Bearer {secret}\r\nauthorization: Bearer {secret}\r\n"),
        format!("authorization: Bearer {secret}\r\nimpersonate-user: jane\r\n"),
        format!("authorization: Bearer {secret}\r\norigin: http://evil.example\r\n"),
    ] {
        replies.push(server.ask("GET", "/api/v1/pods", &header, ""));
        replies.push(server.ask("POST", "/schedule", &header, "{}"));
    }
    for path in [
        format!("/key/{secret}/filter"),
        format!("//key/{secret}//filter/"),
        format!("/key/{secret}"),
        format!("/key/{secret}/key/{secret}/filter"),
        format!("/clusters/default/key/{secret}/filter"),
        format!("/clusters/Bad/key/{secret}/filter"),
        format!("/key/{secret}/clusters/Bad/filter"),
        format!("/key/{secret}/nowhere?x=y"),
    ] {
        replies.push(server.ask("POST", &path, "", filter));
        replies.push(server.ask("GET", &path, "", ""));
        replies.push(server.send(&format!("GET {path} HTTP/1.0\r\n\r\n")));
        replies.push(server.send(&format!("GET {path} nonsense\r\n\r\n")));
        replies.push(server.send(&format!("GET {path} HTTP/1.1\r\nbad header\r\n\r\n")));
    }
    let review = json!({"spec": {"token": secret}}).to_string();
    replies.push(server.by(BOOTSTRAP, "POST", "/apis/authentication.k8s.io/v1/tokenreviews", &review));
    let wrong = json!({"spec": {"token": {"a": secret}}}).to_string();
    replies.push(server.by(BOOTSTRAP, "POST", "/apis/authentication.k8s.io/v1/tokenreviews", &wrong));
    // With HTTP/2, whose library logs on its own.
    let url = format!("http://{}/api/v1/nodes", server.address);
    let header = format!("authorization: Bearer {secret}");
    if let Ok(output) = Command::new("curl").args(["-s", "--http2-prior-knowledge", "-H", &header, &url]).output() {
        replies.push(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    replies.concat()
}

fn search(place: &str, text: &str, secrets: &[String]) {
    for secret in secrets {
        if let Some(at) = text.find(secret.as_str()) {
            let from = text.floor_char_boundary(at.saturating_sub(300));
            let to = text.ceil_char_boundary((at + secret.len() + 100).min(text.len()));
            panic!("{place} shows a secret: …{}…", &text[from..to]);
        }
    }
}

/// Runs a server with a format of log lines, and searches all that leaves it.
fn searched(format: &str) {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).expect("it is written");
    let signer = Signer::ed25519("k", 1);
    #[expect(clippy::disallowed_methods, reason = "a token is made as an issuer makes it")]
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    let jwt =
        signer.token(&json!({"iss": "https://issuer.example", "aud": "podberth", "sub": "jane", "exp": now + 3_600}));
    write("first", BOOTSTRAP);
    write("tokens", &format!("{IN_FILE},ann,1,\"dev\"\n"));
    write("keys", &key_set(&[&signer]).to_string());
    write(
        "issuers",
        "apiVersion: apiserver.config.k8s.io/v1\nkind: AuthenticationConfiguration\njwt:\n\
         - issuer: {url: https://issuer.example, audiences: [podberth], jwksFile: keys}\n  \
           claimMappings: {username: {claim: sub, prefix: ''}}\n",
    );
    write("audit-policy", "apiVersion: audit.k8s.io/v1\nkind: Policy\nrules: [{level: RequestResponse}]\n");
    let (traces, spans) = collector();
    let arguments: Vec<String> = [
        "--listen=127.0.0.1:0",
        "--bootstrap-token-file=first",
        "--token-auth-file=tokens",
        "--authentication-config=issuers",
        "--audit-policy-file=audit-policy",
        "--audit-log-path=audit.log",
        "--log-level=trace",
    ]
    .map(String::from)
    .into_iter()
    .chain([format!("--log-format={format}"), format!("--otlp-endpoint={traces}")])
    .collect();
    let server = Running::start(folder.path(), &arguments);
    let made = |body: Value| {
        let reply = json_of(&server.by(BOOTSTRAP, "POST", "/tokens", &body.to_string()));
        reply["token"].as_str().unwrap_or_else(|| panic!("no token: {reply}")).to_owned()
    };
    let user = made(json!({"name": "user", "user": "jane", "groups": ["dev"]}));
    let extender = made(json!({"name": "sched", "kind": "extender"}));
    assert!(server.by(&jwt, "GET", "/api", "").starts_with("HTTP/1.1 200"), "the JSON Web Token is known");
    let secrets: Vec<String> =
        [BOOTSTRAP, IN_FILE, WRONG, &user, &extender, &jwt].into_iter().map(str::to_owned).collect();
    for secret in &secrets {
        search("a reply", &question(&server, secret), &secrets);
    }
    // The signature alone is a secret as well: with it the claims can be guessed.
    let secrets: Vec<String> =
        secrets.into_iter().chain(jwt.rsplit_once('.').map(|(_, signature)| signature.to_owned())).collect();
    search("/metrics", &server.by(BOOTSTRAP, "GET", "/metrics", ""), &secrets);
    search("/audit", &server.by(BOOTSTRAP, "GET", "/audit", ""), &secrets);
    let arguments = fs::read(format!("/proc/{}/cmdline", server.child.id())).expect("a process");
    search("the arguments of the process", &String::from_utf8_lossy(&arguments), &secrets);
    let log = server.stop();
    assert!(log.lines().count() > 200, "it logs all it can: {} lines", log.lines().count());
    search("the log", &log, &secrets);
    let audit = fs::read_to_string(folder.path().join("audit.log")).expect("audit events");
    assert!(audit.contains("/key/") || audit.lines().count() > 50, "requests are recorded");
    search("the audit log", &audit, &secrets);
    let spans = spans.lock().expect("no test panics with it");
    assert!(!spans.is_empty(), "traces are sent");
    search("a trace", &String::from_utf8_lossy(&spans), &secrets);
    for entry in fs::read_dir(folder.path()).expect("a folder").map_while(Result::ok) {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with("podberth.db") {
            search(&name, &String::from_utf8_lossy(&fs::read(entry.path()).expect("a file")), &secrets);
        }
    }
}

#[test]
fn no_secret_is_shown_anywhere() {
    searched("text");
    searched("json");
}

#[test]
fn no_error_shows_the_password_of_the_database() {
    let folder = tempfile::tempdir().expect("a folder");
    let url = format!("postgres://podberth:{PASSWORD}@127.0.0.1:1/podberth");
    fs::write(folder.path().join("url"), &url).expect("it is written");
    let run = |arguments: &[&str], variable: Option<&str>| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_podberth"));
        command.current_dir(folder.path()).env_clear().args(arguments).stdin(Stdio::null());
        command.envs(variable.map(|value| ("PODBERTH_DATABASE_URL", value)));
        let output = command.output().expect("the binary runs");
        assert!(!output.status.success(), "there is no such database");
        [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat()
    };
    let serve = ["serve", "--listen=127.0.0.1:0", "--database-wait=0s", "--log-level=trace"];
    let secrets = [PASSWORD.to_owned()];
    search("an error", &run(&[&serve[..], &["--database-url-file=url"]].concat(), None), &secrets);
    search("an error", &run(&serve, Some(&url)), &secrets);
    search("an error", &run(&["serve", "--nonsense"], Some(&url)), &secrets);
    let odd = format!("postgres://podberth:{PASSWORD}@[::1/podberth");
    search("an error", &run(&serve, Some(&odd)), &secrets);
    let print = |url: &str, arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_podberth"));
        command.current_dir(folder.path()).env_clear().env("PODBERTH_DATABASE_URL", url);
        let output = command.args(["serve", "--print-config"]).args(arguments).output().expect("the binary runs");
        assert!(output.status.success());
        [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat()
    };
    for url in [&url, &odd, &format!("postgres://127.0.0.1/podberth?user=podberth&password={PASSWORD}")] {
        search("--print-config", &print(url, &["--token-auth-file=url"]), &secrets);
    }
    let given = run(&[&serve[..], &["--log-format=text", &format!("--database-url={url}")]].concat(), None);
    search("an error", &given, &secrets);
}

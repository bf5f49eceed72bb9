//! The binary as users run it: settings, errors, start and stop.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, ExitStatus, Output, Stdio},
};

use tempfile::TempDir;

/// The binary in a folder of its own, with nothing of our environment.
fn podberth(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_podberth"));
    command.current_dir(folder).env_clear().stdin(Stdio::null());
    command
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

/// A server that is stopped when the test is over.
struct Server {
    child: Child,
    /// The rest of standard error, kept open so that the server can go on writing.
    log: BufReader<std::process::ChildStderr>,
    /// Where it listens.
    address: String,
    /// The lines before that.
    begin: String,
}

impl Server {
    /// Starts it and waits for the line with its address.
    fn start(command: &mut Command) -> Self {
        let mut child = command.arg("--listen=127.0.0.1:0").stderr(Stdio::piped()).spawn().expect("the binary starts");
        let log = BufReader::new(child.stderr.take().expect("a pipe"));
        let mut server = Self { child, log, address: String::new(), begin: String::new() };
        let mut line = String::new();
        loop {
            line.clear();
            assert_ne!(server.log.read_line(&mut line).expect("text"), 0, "it ended before it listened");
            if let Some((_, address)) = line.split_once("listening on http://") {
                let address = address.split(|c: char| c != '.' && c != ':' && !c.is_ascii_digit()).next();
                address.unwrap_or_default().clone_into(&mut server.address);
                return server;
            }
            server.begin.push_str(&line);
        }
    }

    /// Sends a request unchanged and returns the whole reply.
    fn send(&self, request: &str) -> String {
        let mut stream = TcpStream::connect(&self.address).expect("it listens");
        stream.write_all(request.as_bytes()).expect("it reads");
        let mut reply = String::new();
        stream.read_to_string(&mut reply).expect("it answers and closes");
        reply
    }

    fn get(&self, path: &str) -> String {
        self.send(&format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"))
    }

    /// Sends the signal to stop; returns the exit status and the rest of its log.
    fn stop(mut self) -> (ExitStatus, String) {
        let sent = Command::new("kill").arg(self.child.id().to_string()).status().expect("kill is there");
        assert!(sent.success());
        let mut rest = String::new();
        self.log.read_to_string(&mut rest).expect("text");
        (self.child.wait().expect("it ends"), rest)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Already gone after `stop`.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs it to its end, which must be a failure with one line of output.
fn one_line(command: &mut Command) -> String {
    let Output { status, stdout, stderr } = command.output().expect("the binary starts");
    let text = String::from_utf8(stderr).expect("text");
    assert!(!status.success(), "it ended well: {text}");
    assert_eq!(text.lines().count(), 1, "{text}");
    assert!(text.starts_with("error: ") && !text.contains("panicked"), "{text}");
    assert!(stdout.is_empty());
    text
}

#[test]
fn help_explains_every_setting_and_its_variable() {
    let folder = folder();
    let output = podberth(folder.path()).args(["serve", "--help"]).output().expect("the binary starts");
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).expect("text");
    for expected in ["--listen", "PODBERTH_LISTEN", "--database-url", "PODBERTH_DATABASE_URL", "[default: 60s]"] {
        assert!(text.contains(expected), "{expected} is not in\n{text}");
    }
}

/// The output of `podberth explain`, on standard output and standard error.
fn explained(folder: &Path, arguments: &[&str]) -> (String, String) {
    let output = podberth(folder).arg("explain").args(arguments).output().expect("the binary starts");
    let [said, told] = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).expect("text"));
    assert!(output.status.success(), "{arguments:?}: {told}");
    (said, told)
}

#[test]
fn explain_takes_pod_and_cluster_in_files_of_any_form() {
    let folder = folder();
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).expect("it is written");
    let node = |name: &str| {
        format!(
            r#"{{"kind":"Node","apiVersion":"v1","metadata":{{"name":"{name}"}},"status":{{"allocatable":{{"cpu":"4","pods":"9"}}}}}}"#
        )
    };
    write("pod.yaml", "kind: Pod\nmetadata: {name: web}\nspec: {containers: [{name: main}]}\n");
    write(
        "job.yaml",
        "kind: Job\napiVersion: batch/v1\nmetadata: {name: sum}\nspec: {template: {spec: {containers: [{name: main}]}}}\n",
    );
    write("list.json", &format!(r#"{{"kind":"List","apiVersion":"v1","items":[{},{}]}}"#, node("n1"), node("n2")));
    write("stream.json", &format!("{}\n{}\n", node("n1"), node("n2")));
    write("manifests.yaml", &format!("{}\n---\n{}\n", node("n1"), node("n2")));
    write("lists.yaml", "nodes:\n- {metadata: {name: n1}}\n- {metadata: {name: n2}}\n");
    for cluster in ["list.json", "stream.json", "manifests.yaml", "lists.yaml"] {
        for (pod, name) in [("pod.yaml", "web"), ("job.yaml", "sum")] {
            let (said, told) = explained(folder.path(), &["--pod", pod, "--cluster", cluster]);
            assert!(said.contains(&format!("default/{name}")) && said.contains("on 2 nodes"), "{cluster}: {said}");
            assert_eq!(told, "", "{cluster}");
        }
    }
    write("one.json", &node("n1"));
    assert!(explained(folder.path(), &["--pod", "pod.yaml", "--cluster", "one.json"]).0.contains("on 1 node"));

    write("policy.json", r#"{"kind":"Policy","priorities":[{"name":"MostRequestedPriority","weight":1}]}"#);
    let (said, _) =
        explained(folder.path(), &["--pod", "pod.yaml", "--cluster", "list.json", "--policy", "policy.json"]);
    assert!(said.contains("MostRequestedPriority × 1") && !said.contains("LeastRequested"), "{said}");
    write("huge.yaml", "metadata: {name: huge}\nspec: {containers: [{name: main, resources: {requests: {cpu: 9}}}]}\n");
    let (said, _) = explained(folder.path(), &["--pod", "huge.yaml", "--cluster", "list.json", "--preempt"]);
    assert!(said.contains("Insufficient cpu") && said.contains("preemption"), "{said}");

    write("slip.yaml", "metadata: {name: slip}\nspec: {nodeselector: {a: b}, containers: [{name: main}]}\n");
    let (_, told) = explained(folder.path(), &["--pod", "slip.yaml", "--cluster", "list.json"]);
    assert_eq!(told, "warning: unknown field \"pod.spec.nodeselector\"\n");

    let wrong = |arguments: &[&str]| one_line(podberth(folder.path()).arg("explain").args(arguments));
    assert!(wrong(&["--pod", "pod.yaml"]).contains("--cluster"));
    assert!(wrong(&["--pod", "manifests.yaml", "--cluster", "list.json"]).contains("found 2"));
    assert!(wrong(&[]).contains("--file"));
    assert!(wrong(&["manifests.yaml"]).contains("--cluster"), "a file without an option is the case");
}

#[test]
fn a_wrong_setting_is_one_line() {
    let folder = folder();
    let wrong = |arguments: &[&str]| one_line(podberth(folder.path()).arg("serve").args(arguments));
    assert!(wrong(&["--lisen=x"]).contains("--listen"));
    assert!(wrong(&["--request-timeout=soon"]).contains("expected a duration"));
    assert!(wrong(&["--max-body-bytes=much"]).contains("expected bytes"));
    assert!(wrong(&["--log-level=podberth=loud"]).contains("--log-level"));
    assert!(wrong(&["--database-max-connections=0"]).contains("--database-max-connections"));
    assert!(wrong(&["--otlp-endpoint=collector:4318"]).contains("expected a URL such as"));
    assert!(wrong(&["--otlp-endpoint=http://me:secret@collector"]).contains("expected a URL such as"));
    assert!(wrong(&["--trace-ratio=1.1"]).contains("expected a number from 0 to 1"));
    assert!(wrong(&["--listen=nowhere"]).contains("cannot listen on nowhere"));
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("an address");
    let told = wrong(&["--database-url=sqlite::memory:", &format!("--listen={address}")]);
    assert!(told.contains("another process listens there") && told.contains("--listen"), "{told}");
    let from_environment = one_line(podberth(folder.path()).arg("serve").env("PODBERTH_LOG_FORMAT", "xml"));
    assert!(
        from_environment.contains("PODBERTH_LOG_FORMAT: ") && from_environment.contains("--log-format"),
        "{from_environment}"
    );
    for listen in ["8080", ":8080"] {
        assert!(wrong(&["--listen", listen]).contains("did you mean 127.0.0.1:8080?"), "{listen}");
    }
    assert!(wrong(&["--allowed-origins=https://ui.example/path"]).contains("expected scheme://host"));
    assert!(wrong(&["--max-connections=0"]).contains("expected a number from 1 on"));
}

#[test]
fn a_database_that_is_not_there_is_one_line() {
    let folder = folder();
    let at = |url: &str| {
        let waiting = ["serve", "--listen=127.0.0.1:0", "--database-wait=0s", "--database-url", url];
        one_line(podberth(folder.path()).args(waiting))
    };
    assert!(at("mysql://localhost/x").contains("cannot use the database"));
    assert!(at("sqlite:missing/folder/file.db").contains("cannot use the database"));
    let refused = at("postgres://user:secret@127.0.0.1:1/podberth");
    assert!(refused.contains("cannot use the database") && !refused.contains("secret"), "{refused}");
}

#[test]
fn a_wrong_path_is_named_and_creates_no_file() {
    let folder = folder();
    fs::write(folder.path().join("text"), "no database").expect("a file");
    fs::write(folder.path().join("empty.db"), "").expect("a file");
    let cases: [(&[&str], &str); 5] = [
        (&["export", "out.ndjson"], "typo.db"),
        (&["export", "out.ndjson"], "empty.db"),
        (&["export", "out.ndjson"], "text"),
        (&["migrate"], "text"),
        (&["serve", "--listen=127.0.0.1:0"], "text"),
    ];
    for (command, path) in cases {
        let line = one_line(podberth(folder.path()).args(command).args(["--database-url", &format!("sqlite:{path}")]));
        assert!(line.contains(path), "{command:?}: {line}");
        let mut names: Vec<_> =
            fs::read_dir(folder.path()).expect("the folder").flatten().map(|e| e.file_name()).collect();
        names.sort();
        assert_eq!(names, ["empty.db", "text"], "{command:?} {path}");
    }
}

#[test]
fn a_busy_port_is_one_line() {
    let folder = folder();
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("its address").to_string();
    let line = one_line(podberth(folder.path()).args(["serve", "--listen", &address]));
    assert!(line.contains(&format!("cannot listen on {address}")), "{line}");
    assert!(!folder.path().join("podberth.db").exists(), "it opened the database first");
}

#[test]
fn a_file_is_held_to_the_known_settings() {
    let folder = folder();
    let with = |text: &str| {
        fs::write(folder.path().join("podberth.yaml"), text).expect("a file");
        one_line(podberth(folder.path()).args(["serve", "--config=podberth.yaml"]))
    };
    let unknown = with("request-timeoutt: 1s\n");
    assert!(unknown.contains("podberth.yaml") && unknown.contains("\"request-timeoutt\""), "{unknown}");
    assert!(unknown.contains("did you mean \"request-timeout\""), "{unknown}");
    assert!(with("help: true\n").contains("unknown setting \"help\""));
    assert!(with("config: other.yaml\n").contains("unknown setting \"config\""));
    assert!(with("listen: [a, b]\n").contains("listen must be a single value"));
    assert!(with("request-timeout: soon\n").contains("podberth.yaml: invalid value 'soon'"));
    assert!(with("listen: [\n").contains("podberth.yaml"));
    let missing = one_line(podberth(folder.path()).args(["serve", "--config=absent.yaml"]));
    assert!(missing.contains("absent.yaml"), "{missing}");
}

#[test]
fn flag_before_variable_before_file_before_default() {
    let folder = folder();
    fs::write(folder.path().join("podberth.json"), r#"{"listen": "from-file", "request-timeout": "7s"}"#)
        .expect("a file");
    let serve = |configured: bool| {
        let mut command = podberth(folder.path());
        command.arg("serve");
        if configured {
            command.env("PODBERTH_CONFIG", "podberth.json");
        }
        command
    };
    // Each is no address, so that the line names the one that counted.
    assert!(one_line(&mut serve(true)).contains("cannot listen on from-file"));
    assert!(one_line(serve(true).env("PODBERTH_LISTEN", "from-variable")).contains("cannot listen on from-variable"));
    let both = one_line(serve(true).env("PODBERTH_LISTEN", "from-variable").arg("--listen=from-flag"));
    assert!(both.contains("cannot listen on from-flag"), "{both}");
}

#[test]
fn the_document_is_printed_and_written() {
    let folder = folder();
    let printed = podberth(folder.path()).arg("openapi").output().expect("the binary starts");
    assert!(printed.status.success() && String::from_utf8_lossy(&printed.stdout).contains("\"3.0.3\""));
    let written = podberth(folder.path()).args(["openapi", "--version=3.1", "--output=it.json"]).status();
    assert!(written.expect("the binary starts").success());
    assert!(fs::read_to_string(folder.path().join("it.json")).expect("the file").contains("\"3.1.0\""));
}

#[test]
fn it_serves_and_stops_on_the_signal() {
    let folder = folder();
    let server = Server::start(podberth(folder.path()).arg("serve"));

    assert!(server.get("/livez").ends_with("\r\n\r\nok"));
    let ready = server.get("/readyz?verbose");
    for expected in ["200 OK", "[+]migrations ok\n", "[+]snapshot ok\n", "readyz check passed\n"] {
        assert!(ready.contains(expected), "{expected:?} is not in {ready}");
    }
    assert!(server.get("/version").contains("\"gitVersion\":\"v"));
    assert!(server.get("/metrics").contains("podberth_build_info{"));
    assert!(server.get("/openapi.json").contains("\"openapi\":\"3.0.3\""));
    assert!(server.get("/docs/").contains("swagger-ui"));
    assert!(server.get("/docs/swagger-initializer.js").contains("../openapi.json"));

    let unknown = server.get("/nowhere");
    assert!(unknown.starts_with("HTTP/1.1 404") && unknown.contains("404 page not found"), "{unknown}");
    let wrong =
        server.send("POST /version HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
    assert!(wrong.starts_with("HTTP/1.1 405") && wrong.contains("\"reason\":\"MethodNotAllowed\""), "{wrong}");
    assert!(wrong.to_lowercase().contains("allow: get,head"), "{wrong}");
    let head = server.send("HEAD /livez HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    assert!(head.starts_with("HTTP/1.1 200") && head.ends_with("\r\n\r\n"), "{head}");

    // A connection that says nothing does not hold the process up.
    let silent = TcpStream::connect(&server.address).expect("it listens");
    let (status, log) = server.stop();
    assert!(status.success(), "{status} {log}");
    assert!(log.contains("stopped"), "{log}");
    drop(silent);
}

#[test]
fn misspelt_variables_are_reported_and_those_of_a_service_ignored() {
    let folder = folder();
    let variables =
        [("PODBERTH_IDLE_TIMEOU", "1s"), ("PODBERTH_SERVICE_HOST", "10.0.0.1"), ("PODBERTH_PORT", "tcp://10.0.0.1")];
    let output =
        podberth(folder.path()).args(["serve", "--listen=nowhere"]).envs(variables).output().expect("it starts");
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(text.contains("PODBERTH_IDLE_TIMEOU, which is no setting: did you mean PODBERTH_IDLE_TIMEOUT?"), "{text}");
    assert!(!text.contains("PODBERTH_SERVICE_HOST") && !text.contains("PODBERTH_PORT"), "{text}");
}

#[test]
fn it_is_watched_where_that_is_switched_on() {
    let folder = folder();
    let nobody = ["serve", "--profiling", "--otlp-endpoint=http://127.0.0.1:1"];
    let server = Server::start(podberth(folder.path()).args(nobody));
    let profile = server.get("/debug/pprof/profile?seconds=0");
    assert!(profile.starts_with("HTTP/1.1 400"), "{profile}");
    // The span of that request is sent now, in vain.
    let (status, log) = server.stop();
    assert!(status.success(), "{status} {log}");
    assert_eq!(log.matches("takes no spans").count(), 1, "{log}");
}

#[test]
fn a_schema_that_is_behind_is_not_ready() {
    let folder = folder();
    let behind = Server::start(podberth(folder.path()).args(["serve", "--no-migrate"]));
    let reply = behind.get("/readyz");
    assert!(reply.starts_with("HTTP/1.1 503") && reply.contains("[-]migrations failed: "), "{reply}");
    assert!(behind.stop().0.success());

    assert!(podberth(folder.path()).arg("migrate").status().expect("the binary starts").success());
    let migrated = Server::start(podberth(folder.path()).args(["serve", "--no-migrate"]));
    assert!(migrated.get("/readyz").starts_with("HTTP/1.1 200"));
    assert!(migrated.stop().0.success());
}

/// An export of a cluster with `pods` pods, made in `podberth.db` by an import.
fn export_of(pods: usize) -> String {
    use std::fmt::Write as _;

    use sha2::{Digest, Sha256};

    let mut text = format!(
        "{{\"podberth\":\"cluster\",\"version\":1,\"cluster\":\"default\",\"revision\":{pods},\"count\":{pods}}}\n"
    );
    for i in 1..=pods {
        let body = "x".repeat(2_000);
        let _ = writeln!(
            text,
            "{{\"kind\":\"pods\",\"namespace\":\"a\",\"name\":\"{i:06}\",\"uid\":\"{i}\",\"revision\":{i},\"createRevision\":{i},\
             \"bodyRevision\":{i},\"body\":\"{body}\"}}"
        );
    }
    let mut hash = String::new();
    for byte in Sha256::digest(&text) {
        let _ = write!(hash, "{byte:02x}");
    }
    text + &format!("{{\"podberth\":\"end\",\"count\":{pods},\"sha256\":\"{hash}\"}}\n")
}

#[test]
fn a_cluster_survives_export_and_import() {
    let folder = folder();
    let text = export_of(700);
    fs::write(folder.path().join("in.ndjson"), &text).expect("a file");
    let ran = |arguments: &[&str]| {
        assert!(
            podberth(folder.path()).args(arguments).status().expect("the binary starts").success(),
            "{arguments:?}"
        );
    };
    ran(&["import", "in.ndjson"]);
    ran(&["export", "out.ndjson"]);
    let out = fs::read_to_string(folder.path().join("out.ndjson")).expect("the export");
    assert!(out == text, "the same bytes");
    let printed = podberth(folder.path()).args(["export", "--all-clusters"]).output().expect("the binary starts");
    assert!(printed.stdout == text.as_bytes());

    let again = one_line(podberth(folder.path()).args(["import", "--log-level=off", "in.ndjson"]));
    assert!(again.contains("\"default\" is not empty"), "{again}");
    ran(&["import", "--replace", "in.ndjson"]);
    ran(&["import", "--cluster=copy", "in.ndjson"]);
    let absent = one_line(podberth(folder.path()).args(["import", "absent.ndjson"]));
    assert!(absent.contains("cannot read absent.ndjson"), "{absent}");
    let nowhere = one_line(podberth(folder.path()).args(["export", "--log-level=off", "no/such/folder/x"]));
    assert!(nowhere.contains("cannot write no/such/folder/x"), "{nowhere}");
}

/// The file may not grow, as on a full disk. Afterwards nothing of the failed write exists, and everything that existed before does.
#[test]
fn a_full_disk_loses_nothing() {
    let folder = folder();
    fs::write(folder.path().join("small.ndjson"), export_of(10)).expect("a file");
    fs::write(folder.path().join("large.ndjson"), export_of(2_000)).expect("a file");
    assert!(podberth(folder.path()).args(["import", "small.ndjson"]).status().expect("the binary starts").success());

    let binary = env!("CARGO_BIN_EXE_podberth");
    let script = format!("trap '' XFSZ; ulimit -f 1000; exec {binary} import --log-level=off --replace large.ndjson");
    let full = one_line(Command::new("bash").args(["-c", &script]).current_dir(folder.path()).env_clear());
    assert!(full.contains("cannot use the database: ") && full.contains("SQLite"), "{full}");

    let kept = podberth(folder.path()).args(["export", "--log-level=off"]).output().expect("the binary starts");
    assert!(kept.stdout == export_of(10).as_bytes(), "what was there is there");
    assert!(
        podberth(folder.path()).args(["import", "--replace", "large.ndjson"]).status().expect("it starts").success()
    );
}

/// The output of a subcommand of `podberth token` on a server, on standard output and standard error.
fn token(folder: &Path, server: &Server, by: &str, arguments: &[&str]) -> (String, String) {
    fs::write(folder.join("by"), by).expect("it is written");
    let mut command = podberth(folder);
    command.arg("token").args(arguments).args([
        "--server",
        &format!("http://{}", server.address),
        "--token-file",
        "by",
    ]);
    let output = command.output().expect("the binary starts");
    let [said, told] = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).expect("text"));
    assert_eq!(output.status.success(), told.is_empty(), "{arguments:?}: {told}");
    (said, told)
}

#[test]
fn the_first_token_is_printed_once_and_makes_others() {
    let folder = folder();
    let start = || Server::start(podberth(folder.path()).args(["serve", "--auth=required", "--log-level=debug"]));
    let server = start();
    let printed: Vec<&str> = server.begin.lines().map(str::trim).filter(|line| line.starts_with("pbt_")).collect();
    let [first] = printed.try_into().expect("one token");
    let first = first.to_owned();
    assert!(server.get("/api/v1/nodes").starts_with("HTTP/1.1 403 "));
    assert!(server.get("/readyz").starts_with("HTTP/1.1 200 "));

    let (made, _) = token(folder.path(), &server, &first, &["create", "s", "--kind=extender", "--cluster=default"]);
    let extender = made.trim();
    assert!(extender.starts_with("pbt_") && extender.len() == 53, "a token and nothing else");
    let filter = r#"{"Pod":{"metadata":{"name":"p"},"spec":{"containers":[]}},"NodeNames":[]}"#;
    let length = filter.len();
    let head = format!(
        "POST /key/{extender}/filter HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: {length}"
    );
    assert!(server.send(&format!("{head}\r\n\r\n{filter}")).starts_with("HTTP/1.1 200 "));

    let (listed, _) = token(folder.path(), &server, &first, &["list"]);
    let rows: Vec<Vec<&str>> = listed.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows[1], ["bootstrap", "user", "system:bootstrap", "*", "never", "never"]);
    assert_eq!(rows[2], ["s", "extender", "system:extender:s", "default", "never", "never"]);
    token(folder.path(), &server, &first, &["create", "root", "--user=root", "--expires-in=24h"]);
    assert_eq!(token(folder.path(), &server, &first, &["revoke", "bootstrap"]).0, "token bootstrap revoked\n");
    let (_, told) = token(folder.path(), &server, &first, &["list"]);
    assert_eq!(told, "error: Unauthorized: name a file with a valid token in --token-file\n");
    let (_, log) = server.stop();
    assert!(log.contains("request served") && !log.contains("pbt_"), "no token is in the log");

    let again = start();
    assert!(!again.begin.contains("pbt_"), "it is made once");
}

#[test]
fn settings_of_access_that_mean_nothing_are_one_line() {
    let folder = folder();
    let serve =
        |arguments: &[&str]| one_line(podberth(folder.path()).args(["serve", "--listen=127.0.0.1:0"]).args(arguments));
    fs::write(folder.path().join("short"), "secret").expect("it is written");
    fs::write(folder.path().join("tokens"), "secret,user").expect("it is written");
    let short = serve(&["--bootstrap-token-file=short"]);
    assert!(short.contains("32 characters") && !short.contains("secret"), "{short}");
    let tokens = serve(&["--token-auth-file=tokens"]);
    assert!(tokens.contains("line 1: expected token,user,uid") && !tokens.contains("secret"), "{tokens}");
    assert!(serve(&["--token-auth-file=missing"]).contains("missing"));
    assert!(serve(&["--token-auth-file=tokens", "--auth=none"]).contains("contradicts"));
    assert!(serve(&["--auth=perhaps"]).contains("--auth"));
    assert!(serve(&["--trusted-proxies=10.0.0.0/33"]).contains("--trusted-proxies"));
}

#[test]
fn loops_of_autoscaling_that_could_not_work_are_one_line() {
    let folder = folder();
    let serve =
        |arguments: &[&str]| one_line(podberth(folder.path()).args(["serve", "--listen=127.0.0.1:0"]).args(arguments));
    let nobody = serve(&["--autoscale=act"]);
    assert!(nobody.contains("--autoscale-webhook or --autoscale-provider"), "{nobody}");
    let restless = serve(&["--autoscale=advise", "--autoscale-interval=0s"]);
    assert!(restless.contains("--autoscale-interval: it must be at least 1s"), "{restless}");
    assert!(serve(&["--reschedule=act"]).contains("--reschedule-policy"));
}

#[test]
fn a_faulty_audit_policy_is_one_line() {
    let folder = folder();
    let serve =
        |arguments: &[&str]| one_line(podberth(folder.path()).args(["serve", "--listen=127.0.0.1:0"]).args(arguments));
    let rule = "apiVersion: audit.k8s.io/v1\nkind: Policy\nrules: [{level: Metadata, verb: [get]}]\n";
    fs::write(folder.path().join("policy"), rule).expect("it is written");
    let faulty = serve(&["--audit-policy-file=policy"]);
    assert!(faulty.contains("--audit-policy-file policy: rules[0]") && faulty.contains("`verb`"), "{faulty}");
    assert!(serve(&["--audit-policy-file=missing"]).contains("--audit-policy-file missing"));
    assert!(serve(&["--audit-log-path=no/such/folder"]).contains("--audit-log-path no/such/folder"));
    fs::write(folder.path().join("policy"), rule.replace(", verb: [get]", "")).expect("it is written");
    assert!(serve(&["--audit-policy-file=policy", "--audit-retention=0s"]).contains("set --audit-log-path"));
}

/// Where nobody is asked who they are, requests are recorded all the same if a file for that is named.
#[test]
fn audit_events_are_lines_of_a_file() {
    let folder = folder();
    let server =
        Server::start(podberth(folder.path()).args(["serve", "--audit-log-path=audit.log", "--audit-retention=0s"]));
    let node = r#"{"metadata":{"name":"n"}}"#;
    let head = "POST /api/v1/nodes HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\naudit-id: my-id\r\ncontent-type: application/json";
    let created = server.send(&format!("{head}\r\ncontent-length: {}\r\n\r\n{node}", node.len()));
    assert!(created.starts_with("HTTP/1.1 201 ") && created.contains("audit-id: my-id"), "{created}");
    let text = fs::read_to_string(folder.path().join("audit.log")).expect("it was written before the answer");
    let event: serde_json::Value = serde_json::from_str(&text).expect("one line of JSON");
    assert_eq!((&event["auditID"], &event["objectRef"]["name"]), (&"my-id".into(), &"n".into()));
    assert_eq!((&event["sourceIPs"][0], &event["responseStatus"]["code"]), (&"127.0.0.1".into(), &201.into()));
    assert!(server.get("/audit").contains(r#""items":[]"#), "the database has none");
    server.stop();
}

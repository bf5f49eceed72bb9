//! The binary over TLS: certificates to try out, the commands that ask a server, and the reload on SIGHUP.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{Child, ChildStderr, Command, Stdio},
};

use serde_json::Value;

fn podberth(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_podberth"));
    command.current_dir(folder).env_clear().stdin(Stdio::null());
    command
}

/// Standard output of a command, or standard error if it failed.
fn run(folder: &Path, arguments: &str) -> Result<String, String> {
    let output = podberth(folder).args(arguments.split_whitespace()).output().expect("the binary starts");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    if output.status.success() { Ok(text(output.stdout)) } else { Err(text(output.stderr)) }
}

/// A server that is stopped when the test is over.
struct Server {
    child: Child,
    log: BufReader<ChildStderr>,
    port: String,
}

impl Server {
    fn start(folder: &Path) -> Self {
        let mut command = podberth(folder);
        command.args([
            "serve",
            "--listen=127.0.0.1:0",
            "--database-url=sqlite::memory:",
            "--client-ca-file=pki/ca.crt",
        ]);
        command.args(["--tls-cert-file=pki/server.crt", "--tls-key-file=pki/server.key"]);
        let mut child = command.stderr(Stdio::piped()).spawn().expect("the binary starts");
        let log = BufReader::new(child.stderr.take().expect("a pipe"));
        let mut server = Self { child, log, port: String::new() };
        let line = server.line_with("listening on https://127.0.0.1:");
        let port = line.split("https://127.0.0.1:").nth(1).unwrap_or_default();
        server.port = port.chars().take_while(char::is_ascii_digit).collect();
        server
    }

    /// The next line of the log that has these words.
    fn line_with(&mut self, words: &str) -> String {
        loop {
            let mut line = String::new();
            assert_ne!(self.log.read_line(&mut line).expect("text"), 0, "it ended before it said {words:?}");
            if line.contains(words) {
                return line;
            }
        }
    }

    fn hang_up(&self) {
        let sent = Command::new("kill").args(["-HUP", &self.child.id().to_string()]).status();
        assert!(sent.expect("kill is there").success());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn certificates_to_try_out_serve_and_are_loaded_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    let told = run(folder, "certs dev pki").expect("certificates");
    assert!(told.contains("--tls-cert-file pki/server.crt"), "{told}");
    let mode = |name: &str| fs::metadata(folder.join("pki").join(name)).expect(name).permissions().mode() & 0o777;
    for name in ["server", "admin", "scheduler"] {
        assert_eq!(mode(&format!("{name}.key")), 0o600, "{name}");
        assert!(mode(&format!("{name}.crt")) & 0o400 != 0, "{name}");
    }
    let before = fs::read(folder.join("pki/server.key")).expect("a key");
    fs::remove_file(folder.join("pki/ca.crt")).expect("it is there");
    let refused = run(folder, "certs dev pki").expect_err("keys are there");
    assert!(refused.contains("nothing is overwritten") && refused.contains("server.key"), "{refused}");
    assert_eq!(fs::read(folder.join("pki/server.key")).expect("a key"), before);
    assert!(!folder.join("pki/ca.crt").exists(), "all or nothing");
    fs::remove_dir_all(folder.join("pki")).expect("it is there");
    run(folder, "certs dev pki --host podberth.example").expect("certificates");

    let mut server = Server::start(folder);
    let at = format!("--server https://localhost:{}", server.port);
    let admin = "--ca-file pki/ca.crt --client-cert pki/admin.crt --client-key pki/admin.key";
    let token = run(folder, &format!("token create jane --user jane {at} {admin}")).expect("a token");
    fs::write(folder.join("jane.token"), &token).expect("it is written");
    let listed =
        run(folder, &format!("token list {at} --ca pki/ca.crt --client-cert pki/admin.crt --client-key pki/admin.key"));
    assert!(listed.expect("a list").contains("jane"));
    for (arguments, told) in [
        (format!("token list {at}"), "--ca-file"),
        (format!("token list {at} --ca-file pki/ca.crt"), "--token-file"),
        (format!("token list {at} --ca-file pki/ca.crt --token-file jane.token"), "forbidden"),
        (format!("token list --server http://127.0.0.1:{}", server.port), "speaks TLS"),
        (format!("token list {at} --ca-file pki/server.key"), "--ca-file: it has no certificate"),
        (format!("token list {at} --client-cert pki/admin.crt"), "--client-key"),
        (
            format!("token list {at} --client-cert pki/admin.crt --client-key pki/server.key"),
            "not that of --client-cert",
        ),
        (format!("token list --server http://127.0.0.1:1 {admin}"), "certificates are for https"),
    ] {
        let error = run(folder, &arguments).expect_err(told);
        assert!(
            error.starts_with("error: ") && error.lines().count() == 1 && error.contains(told),
            "{arguments}: {error}"
        );
    }
    fs::write(folder.join("config"), "kind: Config\nusers: [{name: me, user: {token: x}}]\n").expect("it is written");
    let told = run(
        folder,
        &format!("kubeconfig {at} --ca-file pki/ca.crt --token-file jane.token --cluster prod --kubeconfig config"),
    );
    assert!(told.expect("a kubeconfig").contains("podberth-prod"));
    assert_eq!(fs::metadata(folder.join("config")).expect("a file").permissions().mode() & 0o777, 0o600);
    let config: Value =
        serde_saphyr::from_str(&fs::read_to_string(folder.join("config")).expect("text")).expect("YAML");
    assert_eq!(
        (&config["users"][0]["name"], &config["users"][1]["user"]["token"]),
        (&"me".into(), &token.trim().into())
    );
    let printed = run(folder, &format!("kubeconfig {at} {admin} --all")).expect("a kubeconfig");
    assert!(printed.contains("podberth-podberth-system") && printed.contains("client-key-data"), "{printed}");

    fs::write(folder.join("pki/server.key"), "no key").expect("it is written");
    server.hang_up();
    let line = server.line_with("the certificates of before stay in force");
    assert!(line.contains("--tls-key-file: it has no private key"), "{line}");
    run(folder, &format!("token list {at} {admin}")).expect("it goes on with the certificates of before");

    run(folder, "certs dev next").expect("certificates");
    for name in ["server.crt", "server.key", "ca.crt"] {
        fs::copy(folder.join("next").join(name), folder.join("pki").join(name)).expect("it is copied");
    }
    server.hang_up();
    server.line_with("the certificates were loaded again");
    let refused = run(folder, &format!("token list {at} {admin}")).expect_err("it has the authority of before");
    assert!(refused.contains("does not answer"), "{refused}");
    let next = "--ca-file next/ca.crt --client-cert next/admin.crt --client-key next/admin.key";
    run(folder, &format!("token list {at} {next}")).expect("the new certificates are in force");
}

#[test]
fn settings_that_contradict_each_other_are_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    run(folder, "certs dev .").expect("certificates");
    let pair = "--tls-cert-file server.crt --tls-key-file server.key";
    for (arguments, told) in [
        ("--tls-cert-file server.crt".to_owned(), "--tls-key-file"),
        ("--client-ca-file ca.crt".to_owned(), "--tls-cert-file"),
        (format!("{pair} --client-crl-file ca.crt"), "--client-ca-file"),
        (format!("{pair} --tls-min-version VersionTLS11"), "TLS 1.0 and 1.1 are not safe"),
        (format!("{pair} --client-ca-file ca.crt --auth none"), "contradicts"),
        ("--tls-cert-file server.crt --tls-key-file admin.key".to_owned(), "the key is not that of the certificate"),
        ("--tls-cert-file missing --tls-key-file server.key".to_owned(), "--tls-cert-file: the file cannot be read"),
        ("--tls-cert-file . --tls-key-file server.key".to_owned(), "--tls-cert-file: it is no file"),
        ("--database-url-file missing".to_owned(), "--database-url-file: missing"),
        ("--database-url-file ca.crt --database-url sqlite::memory:".to_owned(), "cannot be used with"),
    ] {
        let error = run(folder, &format!("serve --listen 127.0.0.1:0 {arguments}")).expect_err(told);
        let error = error.lines().find(|line| line.starts_with("error: ")).unwrap_or_default().to_owned();
        assert!(error.contains(told), "{arguments}: {error}");
    }
}

/// The URL of a database comes from a file, and its password is neither logged nor told.
#[test]
fn password_of_the_database_is_never_shown() {
    let folder = tempfile::tempdir().expect("a folder");
    let url = "postgres://podberth:sesame@127.0.0.1:1/podberth";
    fs::write(folder.path().join("url"), format!("{url}\n")).expect("it is written");
    let serve = "serve --listen 127.0.0.1:0 --database-wait 0s --log-level trace";
    let error = run(folder.path(), &format!("{serve} --database-url-file url")).expect_err("there is no database");
    assert!(error.contains("cannot use the database") && !error.contains("sesame"), "{error}");
    let error = run(folder.path(), &format!("{serve} --database-url {url}")).expect_err("there is no database");
    assert!(error.contains("cannot use the database") && !error.contains("sesame"), "{error}");
    let help = podberth(folder.path()).args(["serve", "--help"]).env("PODBERTH_DATABASE_URL", url).output();
    assert!(!String::from_utf8_lossy(&help.expect("the binary starts").stdout).contains("sesame"));
}

#[test]
fn printed_settings_are_a_file_of_settings_without_passwords() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("settings"), "idle-timeout: 5m\nmax-watches: 7\n").expect("it is written");
    let command = |arguments: &str| {
        let mut command = podberth(folder.path());
        command.env("PODBERTH_DATABASE_URL", "postgres://podberth:sesame@db/podberth?sslmode=verify-full");
        let output = command.args(arguments.split_whitespace()).output().expect("the binary starts");
        String::from_utf8([output.stdout, output.stderr].concat()).expect("text")
    };
    let printed = command("serve --config settings --max-watches 8 --print-config");
    let settings: Value = serde_saphyr::from_str(&printed).expect("YAML");
    assert_eq!((&settings["idle-timeout"], &settings["max-watches"]), (&"5m".into(), &"8".into()), "{printed}");
    assert_eq!(settings["database-url"], "postgres://podberth:***@db/podberth?sslmode=verify-full");
    assert_eq!(
        (settings.get("config"), settings.get("print-config"), settings.get("tls-cert-file")),
        (None, None, None)
    );
    fs::write(folder.path().join("again"), &printed).expect("it is written");
    assert_eq!(command("serve --config again --print-config"), printed);
}

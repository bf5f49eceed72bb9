//! Clients that are not Rust's: curl, OpenSSL and Python, where they are there.

use std::{
    fs,
    io::Write as _,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use podberth::net::{MinVersion, Tls};
use podberth_testkit::certificates::{Authority, Identity, Wanted, self_signed};
use tempfile::TempDir;

use crate::tls::{closed, files, secured};

/// Asks over HTTPS with a certificate and prints the status.
const PYTHON: &str = r#"
import http.client, ssl, sys
host, port, ca, cert, key, version = sys.argv[1:]
context = ssl.create_default_context(cafile=ca)
context.minimum_version = context.maximum_version = getattr(ssl.TLSVersion, version)
if cert: context.load_cert_chain(cert, key)
connection = http.client.HTTPSConnection(host, int(port), context=context)
connection.request("GET", "/api/v1/nodes")
print("status", connection.getresponse().status)
"#;

/// The files of a client.
struct Client {
    folder: TempDir,
    address: SocketAddr,
}

impl Client {
    fn put(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::write(&path, text).expect("it is written");
        path
    }

    /// The result of a tool: `Ok` with code 200, or the words of the failure. `None` where the tool is not there.
    fn ask(
        &self,
        tool: &str,
        host: &str,
        authority: &Authority,
        identity: Option<&Identity>,
        version: &str,
    ) -> Option<Result<(), String>> {
        let authority = self.put("ca.crt", &authority.pem);
        let pair = identity.map(|of| (self.put("client.crt", &of.certificate), self.put("client.key", &of.key)));
        let (port, path) = (self.address.port().to_string(), |path: &Path| path.display().to_string());
        let pair = pair.as_ref().map(|(certificate, key)| (path(certificate), path(key)));
        let mut command = Command::new(tool);
        let mut input = "";
        match tool {
            "curl" => {
                command.args(["-sS", "-o", "/dev/null", "-w", "status %{http_code}", "--noproxy", "*", "--cacert"]);
                command.arg(&authority);
                // A name that does not resolve by itself.
                command.arg("--resolve").arg(format!("other.test:{port}:127.0.0.1"));
                command.args(if version == "TLSv1_2" { ["--tls-max", "1.2"] } else { ["--tlsv1.3", "-4"] });
                if let Some((certificate, key)) = &pair {
                    command.args(["--cert", certificate, "--key", key]);
                }
                command.arg(format!("https://{host}:{port}/api/v1/nodes"));
            }
            "openssl" => {
                command.args([
                    "s_client",
                    "-quiet",
                    "-verify_return_error",
                    "-verify_hostname",
                    host,
                    "-servername",
                    host,
                ]);
                command.arg("-connect").arg(self.address.to_string()).arg("-CAfile").arg(&authority);
                command.arg(if version == "TLSv1_2" { "-tls1_2" } else { "-tls1_3" });
                if let Some((certificate, key)) = &pair {
                    command.args(["-cert", certificate, "-key", key]);
                }
                input = "GET /api/v1/nodes HTTP/1.0\r\nHost: localhost\r\n\r\n";
            }
            _ => {
                let (certificate, key) = pair.unwrap_or_default();
                let host = if host == "other.test" { "127.0.0.1" } else { host };
                command.args(["-c", PYTHON, host, &port, &path(&authority), &certificate, &key, version]);
            }
        }
        let command = command.env_remove("SSL_CERT_FILE").env_remove("SSL_CERT_DIR").env_remove("CURL_CA_BUNDLE");
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().ok()?;
        let mut stdin = child.stdin.take().expect("a pipe");
        // A tool that was refused does not read.
        let _ = stdin.write_all(input.as_bytes());
        if tool != "openssl" {
            drop(stdin);
        }
        let output = child.wait_with_output().expect("it ends");
        let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
        let is_good = text.contains("status 200") || text.contains("HTTP/1.0 200") || text.contains("HTTP/1.1 200");
        Some(if is_good { Ok(()) } else { Err(text.to_lowercase()) })
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_clients_are_served_and_told_why_not() {
    let (authority, other) = (Authority::new("a"), Authority::new("b"));
    let server = authority.issue(Wanted { hosts: &["localhost"], ..Wanted::default() });
    let masters =
        |serial, expired| Wanted { name: "admin", group: "system:masters", serial, expired, ..Wanted::default() };
    let (admin, revoked) = (authority.issue(masters(1, false)), authority.issue(masters(2, false)));
    let expired = authority.issue(masters(3, true));
    let (foreign, own) = (other.issue(masters(1, false)), self_signed(masters(1, false)));
    let lists = authority.revoke(&[&revoked], false);
    let tls = Tls::new(files(&server, Some(&authority), Some(lists)), MinVersion::Tls12).expect("certificates");
    let running = secured(&tls, closed().await.router).await;
    let client = Client { folder: tempfile::tempdir().expect("a folder"), address: running.address };
    let asked = tokio::task::spawn_blocking(move || {
        let mut asked = 0;
        for tool in ["curl", "openssl", "python3"] {
            for version in ["TLSv1_2", "TLSv1_3"] {
                for (host, trusted, identity, told) in [
                    ("localhost", &authority, Some(&admin), ""),
                    ("localhost", &authority, Some(&revoked), "certificate revoked"),
                    ("localhost", &authority, Some(&expired), "certificate expired|certificate verification failed"),
                    ("localhost", &authority, Some(&foreign), "unknown ca"),
                    ("localhost", &authority, Some(&own), "unknown ca"),
                    ("localhost", &other, Some(&admin), "certificate"),
                    ("other.test", &authority, Some(&admin), "match"),
                ] {
                    let Some(result) = client.ask(tool, host, trusted, identity, version) else {
                        eprintln!("skipped: {tool} is not installed");
                        continue;
                    };
                    asked += 1;
                    match result {
                        Ok(()) => assert_eq!(told, "", "{tool} {version}: it was served"),
                        Err(text) => {
                            assert!(
                                !told.is_empty() && told.split('|').any(|told| text.contains(told)),
                                "{tool} {version} {told}: {text}"
                            );
                        }
                    }
                }
            }
        }
        asked
    });
    let asked = asked.await.expect("each is told why");
    assert!(asked % 14 == 0, "each tool asks all questions");
}

//! The address as an operator sets it: `--karmada-listen`.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
};

use tokio::net::TcpStream;

use crate::client::{Client, REPLICAS, replicas, template};

fn serve(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_podberth"));
    command.args(["serve", "--listen=127.0.0.1:0", "--database-url=sqlite::memory:"]).args(arguments);
    command.env_clear().env("NO_COLOR", "1").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    command
}

#[test]
fn off_loopback_it_does_not_start_without_authorities_of_certificates() {
    for auth in ["--auth=auto", "--auth=required"] {
        let output = serve(&["--karmada-listen=0.0.0.0:0", auth]).output().expect("the binary starts");
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success(), "{text}");
        assert!(text.contains("--client-ca-file") && text.contains("--auth=none"), "{text}");
    }
}

/// A process that is killed when it is dropped.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_is_served_beside_the_address_for_clients() {
    for arguments in [&["--karmada-listen=127.0.0.1:0"][..], &["--karmada-listen=0.0.0.0:0", "--auth=none"]] {
        let mut process = Process(serve(arguments).spawn().expect("the binary starts"));
        let stderr = process.0.stderr.take().expect("a pipe");
        let mut lines = BufReader::new(stderr).lines().map_while(Result::ok);
        let line = lines.find(|line| line.contains("listening for Karmada's schedulers")).expect("it listens");
        let port = line.split_once("address=").and_then(|(_, rest)| rest.split(':').next_back());
        let port: String = port.expect("a port").chars().take_while(char::is_ascii_digit).collect();
        let drained = std::thread::spawn(move || lines.count());
        let stream = TcpStream::connect(format!("127.0.0.1:{port}")).await.expect("it listens");
        let called = Client::over(stream).await.call(REPLICAS, replicas("default", &template("1"))).await;
        assert_eq!(called.number(), 0);
        drop(process);
        drained.join().expect("no panic");
    }
}

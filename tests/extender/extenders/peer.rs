//! Extenders in this process, well-behaved and otherwise. Each ends with the test that started it.

use std::{
    future::pending,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use tokio_rustls::TlsAcceptor;

/// A call to an extender.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) path: String,
    pub(crate) body: Value,
}

/// The code and body of the answer to a question.
type Answer = Box<dyn Fn(&Asked) -> (u16, String) + Send + Sync>;

/// How it answers.
pub(crate) enum Manner {
    /// With a code and a body.
    Says(Answer),
    /// Not at all, but keeps the connection.
    Never,
    /// Closes the connection.
    HangsUp,
    /// Begins an answer and never ends it.
    Trickles,
    /// Announces a long answer.
    Announces(usize),
    /// Sends without end.
    Floods,
    /// Sends elsewhere.
    Redirects(String),
}

/// An extender at work.
pub(crate) struct Peer {
    pub(crate) address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
    task: JoinHandle<()>,
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Peer {
    pub(crate) async fn start(manner: Manner) -> Self {
        Self::start_with(manner, None).await
    }

    /// An extender with one reply to every call.
    pub(crate) async fn saying(code: u16, body: impl Into<String>) -> Self {
        let body = body.into();
        Self::start(Manner::Says(Box::new(move |_| (code, body.clone())))).await
    }

    pub(crate) async fn start_with(manner: Manner, tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let asked = Arc::<Mutex<Vec<Asked>>>::default();
        let (manner, told) = (Arc::new(manner), asked.clone());
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(connection(stream, tls.clone(), manner.clone(), told.clone()));
            }
        });
        Self { address, asked, task }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().expect("no panic").clone()
    }
}

/// An address without a server.
pub(crate) async fn nobody() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    format!("http://{}", listener.local_addr().expect("an address"))
}

async fn connection(stream: TcpStream, tls: Option<TlsAcceptor>, manner: Arc<Manner>, told: Arc<Mutex<Vec<Asked>>>) {
    match tls {
        // A client that breaks off is its own business.
        Some(tls) => {
            if let Ok(stream) = tls.accept(stream).await {
                drop(talk(stream, &manner, &told).await);
            }
        }
        None => drop(talk(stream, &manner, &told).await),
    }
}

async fn talk<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    manner: &Manner,
    told: &Mutex<Vec<Asked>>,
) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let (mut path, mut length) = (String::new(), 0);
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line).await? == 0 {
                return Ok(());
            }
            let line = line.trim_end();
            if line.is_empty() {
                break;
            }
            if path.is_empty() {
                path = line.split(' ').nth(1).unwrap_or_default().to_owned();
            } else if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().expect("a length");
            }
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await?;
        let asked = Asked { path, body: serde_json::from_slice(&body).expect("questions are JSON") };
        told.lock().expect("no panic").push(asked.clone());
        match manner {
            Manner::Says(answer) => {
                let (code, body) = answer(&asked);
                let length = body.len();
                stream
                    .write_all(format!("HTTP/1.1 {code} X\r\nContent-Length: {length}\r\n\r\n{body}").as_bytes())
                    .await?;
            }
            Manner::Redirects(to) => {
                let head = format!("HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n");
                stream.write_all(head.as_bytes()).await?;
            }
            Manner::Never => pending::<()>().await,
            Manner::HangsUp => return Ok(()),
            Manner::Trickles => {
                stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"NodeNames\":").await?;
                stream.flush().await?;
                pending::<()>().await;
            }
            Manner::Announces(length) => {
                stream.write_all(format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n[").as_bytes()).await?;
            }
            Manner::Floods => {
                stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await?;
                loop {
                    stream.write_all(b"400\r\n").await?;
                    stream.write_all(&[b' '; 0x400]).await?;
                    stream.write_all(b"\r\n").await?;
                }
            }
        }
        stream.flush().await?;
    }
}

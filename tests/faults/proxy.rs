//! A proxy between a replica and its database: passes everything on, or fails as networks do.

use std::{sync::Arc, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
    time::sleep,
};

/// A COMMIT as the PostgreSQL protocol's simple query.
const COMMIT: &[u8] = b"Q\0\0\0\x0bCOMMIT\0";

/// The behaviour of the proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Passes everything on.
    Pass,
    /// Cuts every connection and takes no new one.
    Drop,
    /// Delays every piece by this time.
    Delay(Duration),
    /// Takes everything and passes nothing on.
    Blackhole,
    /// Passes on a few bytes at a time.
    Trickle,
    /// Cuts the connection once a COMMIT was passed on, before its reply.
    LoseReply,
    /// Cuts the connection instead of passing a COMMIT on.
    LoseCommit,
    /// Reports by [`Proxy::caught`] that a COMMIT has come, and holds it back until the mode changes.
    CatchCommit,
}

/// A proxy for one replica.
#[derive(Debug)]
pub(crate) struct Proxy {
    /// The database's URL through the proxy.
    pub(crate) url: String,
    mode: watch::Sender<Mode>,
    caught: Arc<watch::Sender<u64>>,
    accepting: tokio::task::AbortHandle,
}

impl Proxy {
    /// A proxy to the server at `host:port`, which has no password.
    pub(crate) async fn start(server: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("postgres://postgres@{}/postgres", listener.local_addr().expect("an address"));
        let mode = watch::Sender::new(Mode::Pass);
        let caught = Arc::new(watch::Sender::new(0));
        let (modes, catching) = (mode.subscribe(), caught.clone());
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let pass = pass(client, server.clone(), modes.clone(), catching.clone());
                // An end of a connection is what this is for.
                tokio::spawn(async move { drop(pass.await) });
            }
        })
        .abort_handle();
        Self { url, mode, caught, accepting }
    }

    /// Sets the behaviour from now on.
    pub(crate) fn set(&self, mode: Mode) {
        self.mode.send_replace(mode);
    }

    /// Resolves when a COMMIT was caught.
    pub(crate) async fn caught(&self) {
        let mut caught = self.caught.subscribe();
        caught.mark_unchanged();
        caught.changed().await.expect("the proxy is there");
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn pass(
    mut client: TcpStream,
    server: String,
    mut mode: watch::Receiver<Mode>,
    caught: Arc<watch::Sender<u64>>,
) -> std::io::Result<()> {
    if *mode.borrow() == Mode::Drop {
        return Ok(());
    }
    let mut server = TcpStream::connect(server).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (mut up, mut down) = (vec![0; 65536], vec![0; 65536]);
    loop {
        let now = *mode.borrow_and_update();
        tokio::select! {
            changed = mode.changed() => match changed {
                Ok(()) if *mode.borrow() != Mode::Drop => {}
                _ => return Ok(()),
            },
            read = client.read(&mut up), if now != Mode::Blackhole => {
                let piece = &up[..read?];
                if piece.is_empty() {
                    return Ok(());
                }
                match now {
                    Mode::LoseCommit if piece == COMMIT => return Ok(()),
                    Mode::LoseReply if piece == COMMIT => {
                        server.write_all(piece).await?;
                        return server.read(&mut down).await.map(drop);
                    }
                    Mode::CatchCommit if piece == COMMIT => {
                        caught.send_modify(|count| *count += 1);
                        let _ = mode.wait_for(|mode| *mode != Mode::CatchCommit).await;
                    }
                    _ => {}
                }
                forward(&mut server, piece, now).await?;
            }
            read = server.read(&mut down), if now != Mode::Blackhole => {
                let piece = &down[..read?];
                if piece.is_empty() {
                    return Ok(());
                }
                forward(&mut client, piece, now).await?;
            }
        }
    }
}

async fn forward(to: &mut TcpStream, piece: &[u8], mode: Mode) -> std::io::Result<()> {
    match mode {
        Mode::Delay(time) => {
            sleep(time).await;
            to.write_all(piece).await
        }
        Mode::Trickle => {
            for bytes in piece.chunks(64) {
                to.write_all(bytes).await?;
                sleep(Duration::from_millis(1)).await;
            }
            Ok(())
        }
        _ => to.write_all(piece).await,
    }
}

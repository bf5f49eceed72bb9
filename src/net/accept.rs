//! The handshake with a client.

use std::{io, sync::Arc, time::Duration};

use rustls::AlertDescription;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, copy, sink},
    time::timeout,
};
use tokio_rustls::TlsAcceptor;

use super::{
    client_certificate::{ClientCertificate, Secured},
    server::Tls,
    stream::Stream,
};

/// How long the rest of a refused client's bytes is read, and how many at most: otherwise the reason might be lost with the connection.
const LINGERS: Duration = Duration::from_secs(1);
const LINGERS_FOR: u64 = 64 << 10;

/// The answer to a request in plain text (Go: `net/http/server.go`, `conn.serve`).
const PLAIN_TEXT: &[u8] =
    b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\
    Content-Length: 48\r\n\r\nClient sent an HTTP request to an HTTPS server.\n";

/// The reason why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// The client does not speak TLS.
    #[error("the client sent an HTTP request to this HTTPS server")]
    PlainText,
    /// The client took too long.
    #[error("the client did not complete it in time")]
    Timeout,
    /// The client went away.
    #[error("the client closed the connection")]
    Closed,
    /// The client's certificate is not accepted.
    #[error("the client's certificate is not accepted: {0}")]
    Certificate(String),
    /// The client does not accept this server.
    #[error("the client does not accept this server: {0}")]
    Alert(String),
    /// The client does not speak the protocol.
    #[error("{0}")]
    Protocol(String),
}

impl Refusal {
    /// The reason in a word, for metrics.
    pub fn word(&self) -> &'static str {
        match self {
            Self::PlainText => "plain-text",
            Self::Timeout => "timeout",
            Self::Closed => "closed",
            Self::Certificate(_) => "certificate",
            Self::Alert(_) => "refused-by-client",
            Self::Protocol(_) => "protocol",
        }
    }

    fn of(error: &io::Error) -> Self {
        let Some(of_tls) = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) else {
            return Self::Closed;
        };
        match of_tls {
            rustls::Error::InvalidCertificate(why) => Self::Certificate(why.to_string()),
            rustls::Error::InvalidCertRevocationList(why) => {
                Self::Certificate(format!("the revocation list of its authority cannot be used ({why:?})"))
            }
            rustls::Error::AlertReceived(AlertDescription::CloseNotify | AlertDescription::UserCanceled) => {
                Self::Closed
            }
            rustls::Error::AlertReceived(alert) => Self::Alert(format!("{alert:?}")),
            other => Self::Protocol(other.to_string()),
        }
    }
}

/// A connection whose handshake is complete.
#[derive(Debug)]
pub struct Accepted<S> {
    /// The connection.
    pub stream: Stream<S>,
    /// The certificates on both sides.
    pub secured: Secured,
}

/// Performs the handshake with a client whose first byte has come, within a time. A refused client gets the reason, as far as the protocol has
/// one.
///
/// # Errors
/// Why there is no connection.
pub async fn accept<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: S,
    first: u8,
    tls: &Tls,
    within: Duration,
) -> Result<Accepted<S>, Refusal> {
    // Methods of HTTP begin with a capital letter, records of TLS with a small number.
    if first.is_ascii_uppercase() {
        let _ = stream.write_all(PLAIN_TEXT).await;
        linger(stream).await;
        return Err(Refusal::PlainText);
    }
    let in_force = tls.in_force().clone();
    let handshake = TlsAcceptor::from(in_force.config.clone()).accept(stream).into_fallible();
    let stream = match timeout(within, handshake).await {
        Err(_) => return Err(Refusal::Timeout),
        Ok(Err((error, stream))) => {
            linger(stream).await;
            return Err(Refusal::of(&error));
        }
        Ok(Ok(stream)) => stream,
    };
    let chain = stream.get_ref().1.peer_certificates().unwrap_or_default();
    let certificate = ClientCertificate::new(chain, in_force.generation).map(Arc::new);
    let secured = Secured { tls: tls.clone(), certificate };
    Ok(Accepted { stream: Stream::Tls(Box::new(stream)), secured })
}

/// Reads on for a while after the last word.
async fn linger<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S) {
    let discard = async move {
        stream.shutdown().await?;
        copy(&mut stream.take(LINGERS_FOR), &mut sink()).await
    };
    let _ = timeout(LINGERS, discard).await;
}

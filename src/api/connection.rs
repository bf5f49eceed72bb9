//! One connection: its requests in progress, the progress of its client in reading replies, and its share of the budget of bodies.
//!
//! A client that does not read a reply, or reads too slowly, would keep the reply's memory for as long as it likes. On HTTP/1.1 the socket
//! shows that; on HTTP/2 the socket is writable and the stream has no window. So replies are passed on in small pieces, and the time between
//! two pieces is the client's.

use std::{
    mem,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::{
    BoxError,
    body::{Body, Bytes, HttpBody},
    http::{Response, Version},
};
use hyper::body::{Frame, SizeHint};
use tokio::{
    sync::Notify,
    time::{Instant, sleep},
};

use super::{
    admission::Share,
    pace::Pace,
    replies::{self, Replies, ReplyRoom, Taken},
};
use crate::service::objects::ListTurn;

/// Size of a piece over HTTP/2, which stays in memory when the stream is given up.
const HTTP2_PIECE: usize = 16 << 10;

/// Size of a piece over HTTP/1.1, where nothing is copied.
const HTTP1_PIECE: usize = 256 << 10;

/// Number of checks of a connection's requests within the time that a client has.
const LOOKS: u32 = 4;

/// A connection that is served.
#[derive(Debug)]
pub(super) struct Connection {
    pace: Pace,
    /// Requests without a reply.
    at_work: AtomicUsize,
    replies: Mutex<Vec<Weak<Meter>>>,
    /// When the last request came, was answered, or the reply was taken.
    used: Mutex<Instant>,
    /// The signal to end.
    closed: Notify,
    /// The share of its requests in the budget.
    pub(super) share: Share,
    replies_of_all: Replies,
}

/// A request in progress.
pub(super) struct AtWork(Arc<Connection>);

/// The state of a reply.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// It is written, or its client still has time.
    Well,
    /// Its client's time is over; its memory is freed.
    GivenUp,
}

impl Connection {
    pub(super) fn new(pace: Pace, replies_of_all: Replies) -> Self {
        Self {
            pace,
            replies_of_all,
            at_work: AtomicUsize::new(0),
            replies: Mutex::default(),
            used: Mutex::new(Instant::now()),
            closed: Notify::new(),
            share: Share::default(),
        }
    }

    /// Counts a request as in progress while the returned value lives.
    pub(super) fn begin(self: &Arc<Self>) -> AtWork {
        self.at_work.fetch_add(1, Ordering::Relaxed);
        AtWork(self.clone())
    }

    /// Time since the last request ended; `None` while one is in progress.
    pub(super) fn idle(&self) -> Option<Duration> {
        let is_idle = self.at_work.load(Ordering::Relaxed) == 0 && self.replies().iter().all(|r| r.strong_count() == 0);
        is_idle.then(|| lock(&self.used).elapsed())
    }

    /// Ends the connection, with all its requests.
    pub(super) fn close(&self) {
        self.closed.notify_one();
    }

    /// Resolves when it must be closed: on the signal, when it was idle for `idle`, or when only replies are in progress that its client does not
    /// read.
    pub(super) async fn to_be_closed(&self, idle: Duration) {
        let look = (self.pace.grace.min(idle) / LOOKS).max(Duration::from_millis(1));
        loop {
            tokio::select! {
                () = self.closed.notified() => return,
                () = sleep(look) => {}
            }
            let replies: Vec<Arc<Meter>> = self.replies().iter().filter_map(Weak::upgrade).collect();
            let standings: Vec<Standing> = replies.iter().map(|reply| reply.standing(self.pace)).collect();
            drop(replies);
            let is_stuck = !standings.is_empty() && standings.iter().all(|standing| *standing == Standing::GivenUp);
            if is_stuck && self.at_work.load(Ordering::Relaxed) == 0 {
                return;
            }
            if self.idle().is_some_and(|since| since >= idle) {
                return;
            }
        }
    }

    /// The reply, which from now on is looked after, once there is room for it.
    pub(super) async fn watched(
        self: &Arc<Self>,
        mut reply: Response<Body>,
        version: Version,
        only_reads: bool,
    ) -> Response<Body> {
        if reply.body().is_end_stream() {
            return reply;
        }
        let room = match self.replies_of_all.room(reply.body().size_hint().lower()).await {
            Ok(room) => room,
            Err(error) => {
                drop(reply);
                return replies::refused(error, only_reads);
            }
        };
        reply.extensions_mut().remove::<ListTurn>();
        reply.map(|body| {
            let has_room = room.is_some();
            let state = Reply {
                room,
                body: Some(body),
                piece: Bytes::new(),
                handed: 0,
                handed_at: Some(Instant::now()),
                waited: Duration::ZERO,
            };
            // What is handed over on HTTP/1.1 is a part of the whole, which goes with the connection only.
            let closes = if version == Version::HTTP_2 { Weak::new() } else { Arc::downgrade(self) };
            let meter = Arc::new(Meter(Mutex::new(state), closes));
            if has_room {
                let held: Weak<Meter> = Arc::downgrade(&meter);
                self.replies_of_all.hold(held);
            }
            let mut replies = self.replies();
            if replies.len() == replies.capacity() {
                replies.retain(|reply| reply.strong_count() > 0);
            }
            replies.push(Arc::downgrade(&meter));
            Body::new(Watched { connection: self.clone(), meter, is_copied: version == Version::HTTP_2 })
        })
    }

    fn replies(&self) -> MutexGuard<'_, Vec<Weak<Meter>>> {
        lock(&self.replies)
    }
}

impl Drop for AtWork {
    fn drop(&mut self) {
        *lock(&self.0.used) = Instant::now();
        self.0.at_work.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A reply that is being written.
#[derive(Debug)]
struct Meter(Mutex<Reply>, Weak<Connection>);

#[derive(Debug)]
struct Reply {
    /// Where it is large.
    room: Option<ReplyRoom>,
    /// `None` once it is given up.
    body: Option<Body>,
    /// The rest of the last frame.
    piece: Bytes,
    handed: u64,
    /// Since when it is the client's turn.
    handed_at: Option<Instant>,
    /// For how long it was the client's turn before.
    waited: Duration,
}

impl Meter {
    /// Its state; gives the reply up if the client's time is over.
    fn standing(&self, pace: Pace) -> Standing {
        let reply = lock(&self.0);
        let waited = reply.waited + reply.handed_at.map_or(Duration::ZERO, |at| at.elapsed());
        if waited <= pace.allows(reply.handed) && reply.body.is_some() {
            return Standing::Well;
        }
        drop(reply);
        self.let_go();
        Standing::GivenUp
    }

    fn let_go(&self) {
        let mut reply = lock(&self.0);
        let given_up = (reply.body.take(), mem::take(&mut reply.piece), reply.room.take());
        drop(reply);
        drop(given_up);
    }
}

impl Taken for Meter {
    fn stalled(&self) -> Duration {
        let reply = lock(&self.0);
        // One without room was given up already.
        reply.handed_at.filter(|_| reply.room.is_some()).map_or(Duration::ZERO, |at| at.elapsed())
    }

    fn give_up(&self) {
        self.let_go();
        if let Some(connection) = self.1.upgrade() {
            connection.close();
        }
    }
}

/// A piece of a large reply, which is not written while one of its pieces is not.
struct Piece {
    bytes: Bytes,
    _of: Arc<Meter>,
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// The body of a reply that is looked after.
struct Watched {
    connection: Arc<Connection>,
    meter: Arc<Meter>,
    is_copied: bool,
}

impl Watched {
    /// The next piece of the available data.
    fn cut(&self, reply: &mut Reply) -> Bytes {
        let most = if self.is_copied { HTTP2_PIECE } else { HTTP1_PIECE };
        let piece = reply.piece.split_to(most.min(reply.piece.len()));
        reply.handed += piece.len() as u64;
        reply.handed_at = Some(Instant::now());
        match reply.room {
            // What is copied holds nothing but itself.
            _ if self.is_copied => Bytes::copy_from_slice(&piece),
            // Each piece holds the whole.
            Some(_) => Bytes::from_owner(Piece { bytes: piece, _of: self.meter.clone() }),
            None => piece,
        }
    }
}

impl HttpBody for Watched {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let mut reply = lock(&self.meter.0);
        if let Some(at) = reply.handed_at.take() {
            reply.waited += at.elapsed();
        }
        if !reply.piece.is_empty() {
            return Poll::Ready(Some(Ok(Frame::data(self.cut(&mut reply)))));
        }
        let Some(body) = &mut reply.body else {
            return Poll::Ready(Some(Err("the client took too little of the reply".into())));
        };
        let frame = match ready!(Pin::new(body).poll_frame(context)) {
            Some(Ok(frame)) => frame,
            Some(Err(error)) => return Poll::Ready(Some(Err(error.into()))),
            None => {
                reply.handed_at = Some(Instant::now());
                return Poll::Ready(None);
            }
        };
        let frame = match frame.into_data() {
            Ok(data) => {
                reply.piece = data;
                Frame::data(self.cut(&mut reply))
            }
            Err(trailers) => trailers,
        };
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        let reply = lock(&self.meter.0);
        reply.piece.is_empty() && reply.body.as_ref().is_some_and(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        let reply = lock(&self.meter.0);
        let left = reply.piece.len() as u64;
        let Some(hint) = reply.body.as_ref().map(HttpBody::size_hint) else { return SizeHint::default() };
        let mut whole = SizeHint::new();
        whole.set_lower(hint.lower() + left);
        if let Some(upper) = hint.upper() {
            whole.set_upper(upper + left);
        }
        whole
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        *lock(&self.connection.used) = Instant::now();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

//! Long computations: off the runtime's threads, in turns, and only while a client waits for the result.

use std::{
    any::Any,
    sync::{Arc, LazyLock},
};

use futures_util::future::BoxFuture;
use metrics::counter;
use tokio::sync::Semaphore;

use super::{
    error::{Error, Result},
    limits::{self, Seats},
    memory,
};
use crate::{
    core::work::{self, Stop},
    telemetry::{self, trace::Here},
};

/// The largest body that counts as small.
pub const SMALL_BODY: usize = 1 << 20;

/// The largest body that is read on a thread of the runtime: it takes a millisecond or two, about as long as a switch to
/// another thread on a busy machine.
const SHORT_BODY: usize = 32 << 10;

/// Runs a long computation on a thread of its own, so that small requests do not wait. It ends soon after its future is dropped, because the client
/// disconnected or its time was over.
///
/// # Errors
/// [`Error::Internal`] when it panicked.
pub async fn compute<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    compute_in(Turn::Short, work).await
}

/// Reads a body of that size: a short one at once, a longer one as [`compute_on`] does.
///
/// # Errors
/// As for [`compute`].
pub async fn read_on<T: Send + 'static>(bytes: usize, work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    if bytes <= SHORT_BODY { Ok(work()) } else { compute_on(bytes, work).await }
}

/// Like [`compute`], for a computation over a body of that size.
pub async fn compute_on<T: Send + 'static>(bytes: usize, work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    compute_in(if bytes > SMALL_BODY { Turn::Long { is_begun: false } } else { Turn::Short }, work).await
}

/// Like [`compute`]; long computations take turns, fair by user, and a core is left for the others. `is_begun`: it is a part of an operation that has
/// begun, and is never refused.
///
/// # Errors
/// As for [`compute`], and [`Error::TooManyRequests`] if too many wait.
pub async fn compute_long<T: Send + 'static>(is_begun: bool, work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    compute_in(Turn::Long { is_begun }, work).await
}

/// Computes a part of an operation that has begun, long or not.
///
/// # Errors
/// As for [`compute`].
pub async fn compute_chunk<T: Send + 'static>(is_long: bool, work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    compute_in(if is_long { Turn::Long { is_begun: true } } else { Turn::Short }, work).await
}

/// A place among the computations at a time.
#[derive(Clone, Copy, Debug)]
enum Turn {
    Short,
    Long { is_begun: bool },
}

impl Turn {
    /// Waits for it; it is held until the value is dropped.
    async fn wait(self) -> Result<Box<dyn Send>> {
        static SHORT: LazyLock<Arc<Semaphore>> = LazyLock::new(|| Arc::new(Semaphore::new(small_turns())));
        Ok(match self {
            Self::Short => Box::new(Arc::clone(&SHORT).acquire_owned().await.map_err(Error::internal)?),
            Self::Long { is_begun } => Box::new(HEAVY.seat(&limits::flow(), is_begun).await?),
        })
    }
}

/// The turns of long computations.
static HEAVY: LazyLock<Seats> = LazyLock::new(|| Seats::new("heavy", long_turns(cores())));

/// How many long computations there are at a time on so many cores.
fn long_turns(cores: usize) -> usize {
    cores.saturating_sub(1).max(1)
}

/// How many short computations there are at a time: few enough that the runtime's own blocking work always finds a thread.
pub fn small_turns() -> usize {
    (16 * cores()).clamp(32, 256)
}

async fn compute_in<T: Send + 'static>(turn: Turn, work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    let result = compute_any(turn, Box::new(|| Box::new(work()))).await?;
    let result = result.downcast().map_err(|_| Error::internal("a computation has the result of another"))?;
    Ok(*result)
}

/// Computes while it holds a turn, which ends with the work and not with its caller. Waiting work whose caller is gone is not begun.
///
/// Nothing here depends on the type of the work: there are almost two hundred, and each would be compiled with all of a task.
fn compute_any(
    turn: Turn,
    work: Box<dyn FnOnce() -> Box<dyn Any + Send> + Send>,
) -> BoxFuture<'static, Result<Box<dyn Any + Send>>> {
    Box::pin(async move {
        let turn = turn.wait().await?;
        let (stop, _caller) = if let Ok(stop) = STOP.try_with(Stop::clone) {
            (stop, None)
        } else {
            let stop = Stop::default();
            (stop.clone(), Some(stop.on_drop()))
        };
        let (here, work) = (Here::now(), memory::carried(work));
        let computing = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            let mut steps = work::UNBOUNDED;
            work::run(&stop, &mut steps, || Here::within(here, work))
                .inspect_err(|_| counter!(telemetry::COMPUTATIONS_STOPPED).increment(1))
        });
        let stopped = |_| Error::Timeout("nobody waited for the answer any more".into());
        computing.await.map_err(Error::internal)?.map_err(stopped)
    })
}

tokio::task_local! {
    /// Stops the computations of a task that continues without its client.
    static STOP: Stop;
}

/// Runs a task whose computations `stop` ends, and nothing else: a write that has begun is finished.
pub async fn computing_until<T>(stop: Stop, task: impl Future<Output = T>) -> T {
    STOP.scope(stop, task).await
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;
    use crate::core::work::spend;

    /// Endless work that reports its begin and, by dropping its end of the channel, its end.
    fn endless(said: &mpsc::Sender<()>) {
        said.send(()).expect("the test listens");
        loop {
            spend(1);
        }
    }

    #[test]
    fn long_work_leaves_a_core_to_others() {
        assert!((2..512).all(|cores| (1..cores).contains(&long_turns(cores))));
        assert_eq!(long_turns(1), 1, "there is none to leave");
        assert!(small_turns() > long_turns(cores()), "short work does not wait for it");
    }

    #[tokio::test]
    async fn work_ends_when_its_caller_is_gone_and_only_then_gives_back_its_turn() {
        let (said, heard) = mpsc::channel();
        let computing = tokio::spawn(compute_long(false, move || endless(&said)));
        let heard = tokio::task::spawn_blocking(move || heard.recv().map(|()| heard)).await;
        let heard = heard.expect("no panic").expect("the work has begun");
        computing.abort();
        let ended = tokio::task::spawn_blocking(move || heard.recv().is_err()).await;
        assert!(ended.expect("no panic"), "it let go of the channel");
        // On a machine with two cores there is one such turn.
        compute_long(false, || ()).await.expect("the turn was given back");
    }

    #[tokio::test]
    async fn a_task_that_outlives_its_client_stops_only_its_computation() {
        let (said, heard) = mpsc::channel();
        let stop = Stop::default();
        let task = tokio::spawn(computing_until(stop.clone(), async move {
            let computed = compute(move || endless(&said)).await;
            (computed, "written")
        }));
        tokio::task::spawn_blocking(move || heard.recv()).await.expect("no panic").expect("the work has begun");
        stop.stop();
        let (computed, written) = task.await.expect("no panic");
        assert!(matches!(computed, Err(Error::Timeout(_))));
        assert_eq!(written, "written");
    }
}

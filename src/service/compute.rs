//! Long computations: off the runtime's threads, in turns, and only while a client waits for the result.

use std::sync::{Arc, LazyLock};

use metrics::counter;
use tokio::sync::Semaphore;

use super::{
    error::{Error, Result},
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
    compute_in_turn(false, work).await
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
    compute_in_turn(bytes > SMALL_BODY, work).await
}

/// Like [`compute`]; long computations take turns, so that a core is left for the others. A turn ends with the work and not with its caller. Waiting
/// work whose caller is gone is not begun.
pub async fn compute_in_turn<T: Send + 'static>(is_long: bool, work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    static LONG: LazyLock<Arc<Semaphore>> =
        LazyLock::new(|| Arc::new(Semaphore::new(cores().saturating_sub(1).max(1))));
    // Few enough that the runtime's own blocking work always finds a thread.
    static SHORT: LazyLock<Arc<Semaphore>> = LazyLock::new(|| Arc::new(Semaphore::new((16 * cores()).clamp(32, 256))));
    let turns = if is_long { &LONG } else { &SHORT };
    let turn = Arc::clone(turns).acquire_owned().await.map_err(Error::internal)?;
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

    #[tokio::test]
    async fn work_ends_when_its_caller_is_gone_and_only_then_gives_back_its_turn() {
        let (said, heard) = mpsc::channel();
        let computing = tokio::spawn(compute_in_turn(true, move || endless(&said)));
        let heard = tokio::task::spawn_blocking(move || heard.recv().map(|()| heard)).await;
        let heard = heard.expect("no panic").expect("the work has begun");
        computing.abort();
        let ended = tokio::task::spawn_blocking(move || heard.recv().is_err()).await;
        assert!(ended.expect("no panic"), "it let go of the channel");
        // On a machine with two cores there is one such turn.
        compute_in_turn(true, || ()).await.expect("the turn was given back");
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

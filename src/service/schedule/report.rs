//! Where answers go: into one reply, or out line by line.

use bytes::Bytes;
use tokio::sync::mpsc;

use super::pods::{APART, Task};
use crate::service::access::sight::Sight;
use crate::wire::schedule::{ScheduleLine, ScheduleResult, ScheduleSummary, ScheduledPod};

/// Where answers go.
enum Sink {
    /// Into one reply, each with its place.
    Collected(Vec<(usize, ScheduledPod)>),
    /// To a client that reads them as they come.
    Lines(mpsc::Sender<Bytes>),
}

/// The results reported so far.
pub struct Answers {
    sink: Sink,
    /// The pods that may be named.
    pub(super) sight: Sight,
    /// The counts of results.
    pub(super) counts: ScheduleSummary,
    client_left: bool,
}

impl Answers {
    fn new(sink: Sink) -> Self {
        Self { sink, sight: Sight::default(), counts: ScheduleSummary::default(), client_left: false }
    }

    /// Those that go into one reply.
    pub fn collected() -> Self {
        Self::new(Sink::Collected(Vec::new()))
    }

    /// Those that go out line by line.
    pub fn lines(lines: mpsc::Sender<Bytes>) -> Self {
        Self::new(Sink::Lines(lines))
    }

    /// `true` if the client has disconnected.
    pub(super) fn client_left(&self) -> bool {
        self.client_left || matches!(&self.sink, Sink::Lines(lines) if lines.is_closed())
    }

    /// Reports the result for a pod.
    pub(super) async fn tell(&mut self, index: usize, mut pod: ScheduledPod) {
        if pod.name.ends_with(APART) {
            pod.name.pop();
        }
        for victim in &mut pod.victims {
            self.sight.mask(&mut victim.namespace, &mut victim.name, None);
        }
        let count = match pod.result {
            ScheduleResult::Bound | ScheduleResult::WouldBind => &mut self.counts.bound,
            ScheduleResult::Assumed => &mut self.counts.assumed,
            ScheduleResult::AlreadyBound => &mut self.counts.already_bound,
            ScheduleResult::Unschedulable => &mut self.counts.unschedulable,
            ScheduleResult::NotAttempted => &mut self.counts.not_attempted,
            ScheduleResult::Failed => &mut self.counts.failed,
        };
        *count += 1;
        self.counts.evicted += pod.victims.len();
        match &mut self.sink {
            Sink::Collected(pods) => pods.push((index, pod)),
            Sink::Lines(_) => self.line(&ScheduleLine { pod: Some(pod), ..ScheduleLine::default() }).await,
        }
    }

    /// Reports the result for a task's pod, with its failed calls.
    pub(super) async fn tell_of(&mut self, task: Task, pod: ScheduledPod) {
        self.tell(task.index, ScheduledPod { extender_errors: task.errors, ..pod }).await;
    }

    /// Sends a line; where answers are collected there are none.
    pub async fn line(&mut self, line: &ScheduleLine) {
        let Sink::Lines(lines) = &self.sink else { return };
        match serde_json::to_vec(line) {
            Ok(mut text) => {
                text.push(b'\n');
                self.client_left |= lines.send(text.into()).await.is_err();
            }
            Err(error) => tracing::error!(%error, "a line cannot be written"),
        }
    }

    /// The answers in the order of the request.
    pub fn into_pods(self) -> Vec<ScheduledPod> {
        let Sink::Collected(mut pods) = self.sink else { return Vec::new() };
        pods.sort_by_key(|(index, _)| *index);
        pods.into_iter().map(|(_, pod)| pod).collect()
    }
}

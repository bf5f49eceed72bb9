//! The delivery of one bind to an API server: sent, looked after where the reply does not tell, sent again, and given up in bounded time.

use std::time::Duration;

use tokio::time::sleep;

use super::replies::{Delivered, Found, Said, Unclear, to_binding, to_look};
use crate::service::source::{
    ApiServer,
    requests::{PodRef, send},
};

/// Requests for one bind at most; the last one is a look.
const MOST_REQUESTS: usize = 9;

/// Pause after a request without a clear reply, which doubles, and the longest that an API server may ask for.
const PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// The first request of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum First {
    /// The binding, which nobody has sent.
    Send,
    /// A look at the pod: somebody may have sent the binding.
    Look,
}

/// Brings a bind to its API server.
pub(super) async fn deliver(server: &dyn ApiServer, pod: &PodRef, node: &str, first: First) -> Delivered {
    let mut looks = first == First::Look;
    // The last reply to a binding that did not bind.
    let mut refused: Option<String> = None;
    // The last binding whose fate is open.
    let mut open: Option<Unclear> = None;
    let mut pause = PAUSE;
    for request in 0..MOST_REQUESTS {
        let is_last = request + 1 == MOST_REQUESTS;
        let unclear = if looks || is_last {
            match to_look(&send(server, pod.get()).await, &pod.uid) {
                Found::On(there) if there == node => return Delivered::Done,
                Found::On(there) => return Delivered::Taken(there),
                Found::Gone => return Delivered::Gone,
                Found::Waits => match (refused.take(), &open) {
                    (Some(why), _) => return Delivered::Refused(why),
                    // It was carried out by now, if it was to be.
                    (None, Some(open)) if is_last && !open.is_lost => return Delivered::Refused(open.why.clone()),
                    _ => {
                        looks = false;
                        continue;
                    }
                },
                Found::Unclear(unclear) => unclear,
            }
        } else {
            let was_sent = first == First::Look || open.is_some();
            match to_binding(&send(server, pod.bind(node)).await) {
                Said::Done => return Delivered::Done,
                Said::Gone => return Delivered::Gone,
                Said::Refused(why) if !was_sent => return Delivered::Refused(why),
                // An earlier attempt may have bound it.
                Said::Refused(why) => {
                    (looks, refused) = (true, Some(why));
                    continue;
                }
                Said::Assigned => {
                    looks = true;
                    continue;
                }
                Said::Unclear(unclear) => {
                    looks = true;
                    open = Some(unclear.clone());
                    unclear
                }
            }
        };
        if is_last {
            open = Some(unclear);
            break;
        }
        sleep(unclear.after.unwrap_or(pause).min(LONGEST_PAUSE)).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
    Delivered::Unknown(open.map_or_else(|| "its replies contradict each other".into(), |open| open.why))
}

//! No secret is shown in any test: the logs and replies of its servers are searched for tokens. A process that shows one ends at once, since a log line
//! may come from any task.

use std::{
    collections::BTreeSet,
    io::{self, Write},
    process,
    sync::{Mutex, Once, PoisonError},
};

use axum::http::{HeaderMap, Uri, header};
use podberth::wire::access::token;
use tracing_subscriber::{EnvFilter, fmt};

/// Shorter texts may stand anywhere for other reasons.
const SHORTEST: usize = 12;

/// Tokens that requests of this process have carried.
static CARRIED: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

/// Searches all that this process logs from now on, unless the test has a log of its own.
pub(crate) fn search_log() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let filter = EnvFilter::new("info,podberth=trace,podberth_store=trace");
        let log = fmt().json().with_env_filter(filter).with_writer(|| Searched).try_init();
        // The suite has one already.
        drop(log);
    });
}

/// The log, which nobody reads but this.
struct Searched;

impl Write for Searched {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(line);
        if is_shown(&text) {
            end("a log line", &text);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Remembers the tokens of a request; what its sender is told must not have them.
pub(crate) fn carried(uri: &Uri, headers: &HeaderMap) {
    let sent = headers.get_all(header::AUTHORIZATION).iter().filter_map(|value| value.to_str().ok());
    let in_path = uri.path().split('/').skip_while(|part| *part != "key").nth(1);
    let tokens = sent.filter_map(|value| value.strip_prefix("Bearer ")).chain(in_path);
    let tokens = tokens.filter(|token| token.len() >= SHORTEST).map(str::to_owned);
    CARRIED.lock().unwrap_or_else(PoisonError::into_inner).extend(tokens);
}

/// Searches a reply for tokens that requests carried. One that is new is shown once, to whoever made it.
pub(crate) fn replied(headers: &HeaderMap, body: &[u8]) {
    let text = String::from_utf8_lossy(body);
    if has_carried(&text) || headers.values().any(|value| has_carried(&String::from_utf8_lossy(value.as_bytes()))) {
        end("a reply", &text);
    }
}

/// `true` if a text has a token that a request carried, or a stored one.
pub(crate) fn is_shown(text: &str) -> bool {
    has_carried(text) || token::masked(text) != text
}

fn has_carried(text: &str) -> bool {
    CARRIED.lock().unwrap_or_else(PoisonError::into_inner).iter().any(|token| text.contains(&**token))
}

fn end(place: &str, text: &str) -> ! {
    // Not by a macro of the standard library, whose output is kept back.
    let _ = writeln!(io::stderr(), "{place} shows a secret: {text}");
    process::abort();
}

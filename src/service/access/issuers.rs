//! Issuers of JSON Web Tokens, and their keys.
//!
//! The keys of an issuer are read by a loop of their own: from time to time, and when a token names a key that is not known. Between two
//! reads lies a rest, so that no number of tokens with invented keys causes more than one request to the issuer in that time. If a read fails, the
//! keys stay as they are. If the keys change, all users that were verified before are forgotten.

use std::{
    fmt,
    fs::File,
    io::{self, Read},
    panic::AssertUnwindSafe,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::FutureExt;
use metrics::{counter, gauge};
use serde::Deserialize;
use tokio::{
    sync::{Notify, watch},
    task::{AbortHandle, spawn_blocking},
    time::{sleep, timeout},
};

use super::remembered::Remembered;
use crate::{
    clock,
    core::access::User,
    fetch::Fetcher,
    telemetry,
    wire::access::{
        jwt::{Issuer, Jwt, KeySet, KeySource, LONGEST_KEY_SET, Refusal, Verified},
        token::TokenDigest,
    },
};

/// The time between two reads, at least.
const REST: Duration = Duration::from_secs(10);
/// The time between two reads that nothing asked for: of a server, of a file, and after one that failed.
const OF_SERVER: Duration = Duration::from_mins(5);
const OF_FILE: Duration = Duration::from_secs(30);
const AFTER_FAILURE: Duration = Duration::from_secs(20);
/// The longest that a request waits for keys.
const WAIT: Duration = Duration::from_secs(5);

/// The place of a key set.
#[async_trait]
pub trait Keys: fmt::Debug + Send + Sync {
    /// Reads the key set.
    async fn read(&self) -> Result<Bytes, String>;

    /// The time between two reads that nothing asked for.
    fn period(&self) -> Duration;
}

/// The issuers. Their loops end when this is dropped.
#[derive(Debug)]
pub struct Issuers {
    all: Vec<Arc<Live>>,
    remembered: Arc<Remembered>,
    loops: Vec<AbortHandle>,
}

/// An issuer with its keys.
#[derive(Debug)]
struct Live {
    issuer: Issuer,
    source: Arc<dyn Keys>,
    state: watch::Sender<State>,
    wanted: Notify,
}

#[derive(Clone, Debug, Default)]
struct State {
    keys: Arc<KeySet>,
    /// The number of reads.
    reads: u64,
    /// `true` while no read may begin.
    rests: bool,
    /// `true` if the last read failed.
    fails: bool,
}

impl Drop for Issuers {
    fn drop(&mut self) {
        self.loops.iter().for_each(AbortHandle::abort);
    }
}

impl Issuers {
    /// Starts to read the keys of issuers. Files are found below a folder, unless they are named in full.
    ///
    /// # Errors
    /// If a file has no keys, or the authority of an issuer is none.
    pub async fn start(issuers: Vec<Issuer>, folder: &Path) -> Result<Self, String> {
        let mut with = Vec::new();
        for (at, issuer) in issuers.into_iter().enumerate() {
            let source = Source::new(&issuer, folder)
                .map_err(|error| format!("jwt[{at}].issuer.certificateAuthority: {error}"))?;
            if let Source::File(path) = &source {
                let keys = source.read().await.and_then(|json| KeySet::parse(&json));
                keys.map_err(|error| format!("jwt[{at}].issuer.jwksFile: {}: {error}", path.display()))?;
            }
            with.push((issuer, Arc::new(source) as Arc<dyn Keys>));
        }
        Ok(Self::with(with))
    }

    /// Starts to read the keys of issuers.
    pub fn with(issuers: Vec<(Issuer, Arc<dyn Keys>)>) -> Self {
        let remembered = Arc::<Remembered>::default();
        let live = |(issuer, source)| {
            let state = watch::Sender::new(State::default());
            Arc::new(Live { issuer, source, state, wanted: Notify::new() })
        };
        let all: Vec<Arc<Live>> = issuers.into_iter().map(live).collect();
        let run = |live: &Arc<Live>| tokio::spawn(live.clone().keep(remembered.clone())).abort_handle();
        let loops = all.iter().map(run).collect();
        Self { all, remembered, loops }
    }

    /// The user of a token, and the second since 1970 at which the token ends.
    ///
    /// # Errors
    /// The [`Refusal`], which clients are not told.
    pub async fn user(&self, text: &str, digest: &TokenDigest) -> Result<(Arc<User>, i64), Refusal> {
        let now = clock::now().as_second();
        if let Some(known) = self.remembered.get(digest, now) {
            return Ok(known);
        }
        let jwt = Jwt::parse(text)?;
        let live = self.all.iter().find(|live| live.issuer.url == jwt.issuer).ok_or(Refusal::Issuer)?;
        let mut epoch = self.remembered.epoch();
        let mut verified = live.user(&jwt, now);
        if verified == Err(Refusal::UnknownKey) && live.has_read_again().await {
            epoch = self.remembered.epoch();
            verified = live.user(&jwt, now);
        }
        let Verified { user, ends } = verified?;
        let user = Arc::new(user);
        self.remembered.put(epoch, *digest, user.clone(), ends);
        Ok((user, ends))
    }
}

impl Live {
    fn user(&self, jwt: &Jwt<'_>, now: i64) -> Result<Verified, Refusal> {
        let keys = self.state.borrow().keys.clone();
        self.issuer.user(jwt, &keys, now)
    }

    /// Asks for newer keys and waits for them; `false` if they may not be read just now.
    async fn has_read_again(&self) -> bool {
        let mut state = self.state.subscribe();
        // A rest remembers it, and ends with a read.
        self.wanted.notify_one();
        let State { reads, rests, .. } = *state.borrow_and_update();
        !rests && timeout(WAIT, state.wait_for(|now| now.reads > reads)).await.is_ok_and(|read| read.is_ok())
    }

    /// Reads the keys for ever.
    async fn keep(self: Arc<Self>, remembered: Arc<Remembered>) {
        loop {
            let read = AssertUnwindSafe(self.read(&remembered)).catch_unwind().await;
            if read.is_err() {
                tracing::error!(issuer = self.issuer.url, "reading the keys of an issuer panicked; it is tried again");
                counter!(telemetry::LOOPS_ENDED).increment(1);
                self.state.send_modify(|state| *state = State { reads: state.reads + 1, rests: true, ..state.clone() });
            }
            sleep(REST).await;
            let mut fails = false;
            self.state.send_modify(|state| {
                state.rests = false;
                fails = state.fails;
            });
            let period = if fails { AFTER_FAILURE } else { self.source.period() };
            let _ = timeout(period, self.wanted.notified()).await;
        }
    }

    /// Reads the keys once.
    async fn read(&self, remembered: &Remembered) {
        let issuer = &*self.issuer.url;
        let read = self.source.read().await.and_then(|json| KeySet::parse(&json));
        let result = if read.is_ok() { "ok" } else { "failed" };
        counter!(telemetry::JWKS_READS, "issuer" => issuer.to_owned(), "result" => result).increment(1);
        let (before, failed) = {
            let state = self.state.borrow();
            (state.keys.clone(), state.fails)
        };
        let fails = read.is_err();
        let keys = match read {
            Ok(keys) => {
                gauge!(telemetry::JWKS_READ_AT, "issuer" => issuer.to_owned()).set(clock::now().as_second() as f64);
                if *before != keys || failed {
                    let unusable = keys.unusable.join("; ");
                    tracing::info!(issuer, keys = keys.len(), unusable, "the keys of an issuer of tokens were read");
                }
                Arc::new(keys)
            }
            Err(error) if failed => {
                tracing::debug!(issuer, error, "the keys of an issuer of tokens still cannot be read");
                before.clone()
            }
            Err(error) => {
                let keys = before.len();
                tracing::warn!(
                    issuer,
                    error,
                    keys,
                    "the keys of an issuer of tokens cannot be read: those from before stay"
                );
                before.clone()
            }
        };
        gauge!(telemetry::JWKS_KEYS, "issuer" => issuer.to_owned()).set(keys.len() as f64);
        let is_changed = *before != *keys;
        // Those who asked for this read need no other one.
        let _ = self.wanted.notified().now_or_never();
        self.state.send_modify(|state| *state = State { keys, reads: state.reads + 1, rests: true, fails });
        if is_changed {
            remembered.clear();
        }
    }
}

/// The places of key sets outside of tests.
#[derive(Debug)]
enum Source {
    File(PathBuf),
    Url(Fetcher, String),
    Discovery { fetcher: Fetcher, url: String, issuer: String },
}

/// The part of an OpenID discovery document that is read.
#[derive(Deserialize)]
struct Discovered {
    issuer: String,
    jwks_uri: String,
}

impl Source {
    fn new(issuer: &Issuer, folder: &Path) -> Result<Self, String> {
        let fetcher = Fetcher::new(&issuer.authority)?;
        Ok(match &issuer.keys {
            KeySource::File(path) => Self::File(folder.join(path)),
            KeySource::Url(url) => Self::Url(fetcher, url.clone()),
            KeySource::Discovery(url) => Self::Discovery { fetcher, url: url.clone(), issuer: issuer.url.clone() },
        })
    }
}

/// The beginning of a file, one byte longer than a key set may be.
fn bounded(path: &Path) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    File::open(path)?.take(LONGEST_KEY_SET as u64 + 1).read_to_end(&mut text)?;
    Ok(text)
}

#[async_trait]
impl Keys for Source {
    async fn read(&self) -> Result<Bytes, String> {
        match self {
            Self::File(path) => {
                let path = path.clone();
                let read = spawn_blocking(move || bounded(&path)).await.map_err(|error| error.to_string())?;
                let text = read.map_err(|error| error.to_string())?;
                if text.len() > LONGEST_KEY_SET {
                    return Err(format!("it is longer than {LONGEST_KEY_SET} bytes"));
                }
                Ok(text.into())
            }
            Self::Url(fetcher, url) => fetcher.get(url, LONGEST_KEY_SET).await,
            Self::Discovery { fetcher, url, issuer } => {
                let document = fetcher.get(url, LONGEST_KEY_SET).await.map_err(|error| format!("{url}: {error}"))?;
                let found: Discovered = serde_json::from_slice(&document)
                    .map_err(|error| format!("{url} is no discovery document: {error}"))?;
                if found.issuer != *issuer {
                    return Err(format!("{url} is the document of the issuer {:?}", found.issuer));
                }
                let uri = &found.jwks_uri;
                fetcher.get(uri, LONGEST_KEY_SET).await.map_err(|error| format!("{uri}: {error}"))
            }
        }
    }

    fn period(&self) -> Duration {
        if matches!(self, Self::File(_)) { OF_FILE } else { OF_SERVER }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    };

    use podberth_testkit::jwt::{Signer, key_set};
    use serde_json::{Value, json};

    use super::*;
    use crate::wire::access::{authentication, token::digest};

    /// Keys that a test replaces.
    #[derive(Debug)]
    struct Given {
        keys: Mutex<Result<Value, String>>,
        reads: AtomicUsize,
    }

    #[async_trait]
    impl Keys for Given {
        async fn read(&self) -> Result<Bytes, String> {
            self.reads.fetch_add(1, Ordering::Relaxed);
            self.keys.lock().expect("no test panics with it").clone().map(|keys| keys.to_string().into())
        }

        fn period(&self) -> Duration {
            OF_SERVER
        }
    }

    impl Given {
        fn new(signers: &[&Signer]) -> Arc<Self> {
            Arc::new(Self { keys: Mutex::new(Ok(key_set(signers))), reads: AtomicUsize::new(0) })
        }

        fn set(&self, keys: Result<Value, String>) {
            *self.keys.lock().expect("no test panics with it") = keys;
        }

        fn reads(&self) -> usize {
            self.reads.load(Ordering::Relaxed)
        }
    }

    fn issuers(source: &Arc<Given>) -> Issuers {
        let text = "apiVersion: apiserver.config.k8s.io/v1\nkind: AuthenticationConfiguration\njwt:\n\
                    - issuer: {url: https://issuer.example, audiences: [p]}\n  claimMappings: {username: {claim: sub, prefix: ''}}";
        let issuer = authentication::parse(text).expect("a good file").issuers.remove(0);
        Issuers::with(vec![(issuer, source.clone() as Arc<dyn Keys>)])
    }

    fn token(signer: &Signer, user: &str) -> String {
        let ends = clock::now().as_second() + 3_600;
        signer.token(&json!({"iss": "https://issuer.example", "aud": "p", "sub": user, "exp": ends}))
    }

    async fn name(issuers: &Issuers, token: &str) -> Result<String, Refusal> {
        issuers.user(token, &digest(token)).await.map(|(user, _)| user.name.to_string())
    }

    #[tokio::test(start_paused = true)]
    async fn invented_keys_cause_no_more_than_one_read_in_each_rest() {
        let own = Signer::ed25519("own", 1);
        let source = Given::new(&[&own]);
        let issuers = issuers(&source);
        assert_eq!(name(&issuers, &token(&own, "jane")).await, Ok("jane".into()), "the first read is waited for");
        assert_eq!(source.reads(), 1);
        for i in 0..500_u32 {
            let invented = Signer::ed25519(&format!("invented-{i}"), 2);
            assert_eq!(name(&issuers, &token(&invented, "eve")).await, Err(Refusal::UnknownKey));
            tokio::time::advance(Duration::from_millis(100)).await;
        }
        // Fifty seconds: five rests.
        assert!((2..=6).contains(&source.reads()), "{} reads", source.reads());
        assert_eq!(name(&issuers, &token(&own, "joe")).await, Ok("joe".into()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_new_key_is_known_with_its_first_token_and_an_old_one_not_any_more() {
        let (old, new) = (Signer::ed25519("old", 1), Signer::ed25519("new", 2));
        let source = Given::new(&[&old]);
        let issuers = issuers(&source);
        let of_old = token(&old, "jane");
        assert_eq!(name(&issuers, &of_old).await, Ok("jane".into()));
        sleep(REST * 2).await;
        source.set(Ok(key_set(&[&new])));
        assert_eq!(name(&issuers, &of_old).await, Ok("jane".into()), "it is remembered");
        assert_eq!(name(&issuers, &token(&new, "jane")).await, Ok("jane".into()));
        assert_eq!(name(&issuers, &of_old).await, Err(Refusal::UnknownKey), "all is forgotten with the old keys");
        assert_eq!(source.reads(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn keys_stay_while_they_cannot_be_read_and_are_read_again_by_themselves() {
        let (old, new) = (Signer::ed25519("old", 1), Signer::ed25519("new", 2));
        let source = Given::new(&[&old]);
        let issuers = issuers(&source);
        assert!(name(&issuers, &token(&old, "a")).await.is_ok());
        for failure in [Err("no route to host".to_owned()), Ok(json!({"keys": []})), Ok(json!("<html>"))] {
            source.set(failure);
            sleep(OF_SERVER * 2).await;
            assert!(name(&issuers, &token(&old, "b")).await.is_ok());
        }
        let reads = source.reads();
        source.set(Ok(key_set(&[&new])));
        sleep(OF_SERVER + REST).await;
        assert!(source.reads() > reads);
        assert_eq!(name(&issuers, &token(&old, "c")).await, Err(Refusal::UnknownKey), "it is withdrawn");
        let other = Signer::ed25519("new", 3);
        assert_eq!(name(&issuers, &token(&other, "d")).await, Err(Refusal::Signature));
    }

    #[tokio::test]
    async fn a_file_without_keys_is_refused_at_the_start() {
        let folder = tempfile::tempdir().expect("a folder");
        let text = "apiVersion: apiserver.config.k8s.io/v1\nkind: AuthenticationConfiguration\njwt:\n\
                    - issuer: {url: https://issuer.example, audiences: [p], jwksFile: keys.json}\n  \
                      claimMappings: {username: {claim: sub, prefix: ''}}";
        let start = async || {
            let issuers = authentication::parse(text).expect("a good file").issuers;
            Issuers::start(issuers, folder.path()).await
        };
        let path = folder.path().join("keys.json");
        for content in [None, Some("{}".to_owned()), Some(" ".repeat(LONGEST_KEY_SET + 1))] {
            if let Some(content) = content {
                std::fs::write(&path, content).expect("it is written");
            }
            let refused = start().await.map(|_| ()).expect_err("no keys");
            assert!(refused.starts_with("jwt[0].issuer.jwksFile: "), "{refused}");
        }
        let signer = Signer::rsa("a");
        std::fs::write(&path, key_set(&[&signer]).to_string()).expect("it is written");
        let issuers = start().await.expect("it has keys");
        assert_eq!(name(&issuers, &token(&signer, "jane")).await, Ok("jane".into()));
    }
}

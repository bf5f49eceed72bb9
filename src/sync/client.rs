//! Connections to API servers, by kube's client: its credentials, TLS and the reload of both.

use std::{
    error::Error as StdError,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::{
    Request, Response,
    header::{ACCEPT, ACCEPT_ENCODING, CONTENT_TYPE, RETRY_AFTER},
};
use hyper_util::{
    client::legacy::{self, connect::HttpConnector},
    rt::TokioExecutor,
};
use kube::{
    Client,
    client::{AuthError, Body, ConfigExt},
};
use tokio::{
    sync::{Mutex as AsyncMutex, Notify, Semaphore, SemaphorePermit, oneshot},
    time::timeout,
};
use tower::{BoxError, ServiceBuilder};
use tower_http::decompression::DecompressionLayer;

use super::kubeconfig::{self, Access};
use crate::{
    service::source::{ApiReply, ApiRequest, ApiServer, Connector},
    wire::source::ClusterSource,
};

/// How long credentials of a program are used that does not tell when they end.
const PROGRAM_RUN: Duration = Duration::from_mins(10);

/// Pages of lists that are read at a time of one API server. They are large, and all kinds of a cluster may be listed again at once.
const PAGES_AT_ONCE: usize = 3;

/// Longest part of an error that is told.
const MOST_TOLD: usize = 300;

/// Connects to the API servers of sources.
#[derive(Clone, Debug)]
pub struct KubeConnector {
    limits: Limits,
    programs_allowed: bool,
}

/// The bounds of requests to an API server.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Longest wait for a connection.
    pub connect: Duration,
    /// Longest wait for the head of a reply.
    pub head: Duration,
    /// Longest wait for a whole reply.
    pub whole: Duration,
    /// Longest reply of a request, in bytes.
    pub reply_bytes: usize,
    /// How often the files of a kubeconfig are looked at.
    pub files_checked: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            head: Duration::from_secs(30),
            whole: Duration::from_mins(1),
            reply_bytes: 8 << 20,
            files_checked: Duration::from_secs(10),
        }
    }
}

impl KubeConnector {
    /// A connector. If `programs_allowed`, it runs the programs that kubeconfig files name for credentials (`exec`, `auth-provider`).
    pub fn new(programs_allowed: bool) -> Self {
        Self { limits: Limits::default(), programs_allowed }
    }

    /// With other bounds.
    #[must_use]
    pub fn with_limits(self, limits: Limits) -> Self {
        Self { limits, ..self }
    }

    /// A link to the API server of a source. Nothing is sent yet, and no file is read.
    pub fn link(&self, source: &ClusterSource) -> Link {
        let Self { limits, programs_allowed } = *self;
        Link {
            source: Arc::new(source.clone()),
            programs_allowed,
            limits,
            pages: Semaphore::new(PAGES_AT_ONCE),
            moved: Notify::new(),
            current: Mutex::default(),
            looking: AsyncMutex::default(),
        }
    }
}

#[async_trait]
impl Connector for KubeConnector {
    async fn connect(&self, source: &ClusterSource) -> Result<Arc<dyn ApiServer>, String> {
        let link = self.link(source);
        link.client().await?;
        Ok(Arc::new(link))
    }
}

/// A link to one API server. Changed files of its kubeconfig are noticed at a request, so it outlives its credentials.
pub struct Link {
    source: Arc<ClusterSource>,
    programs_allowed: bool,
    limits: Limits,
    /// Turns of pages of lists.
    pages: Semaphore,
    /// Notified when the files name another API server than before.
    moved: Notify,
    current: Mutex<Option<Connected>>,
    /// The look at the files that is under way. There is one at most, since a file or a program may hang.
    looking: AsyncMutex<Option<oneshot::Receiver<Looked>>>,
}

/// The outcome of a look at the files; `None` where they are as before.
type Looked = Result<Option<Connected>, String>;

/// A client, and the files that it comes from.
struct Connected {
    client: Client,
    /// The address of the API server, for errors.
    address: String,
    digest: [u8; 32],
    server: [u8; 32],
    by_program: bool,
    since: Instant,
    checked: Instant,
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Link").field(&self.source.title()).finish()
    }
}

impl Link {
    /// The client to use now. A look at the files that hangs holds nobody up who has a client.
    ///
    /// # Errors
    /// Why the credentials cannot be used, if none could be used before.
    pub async fn client(&self) -> Result<Client, String> {
        let most = self.limits.head;
        let looked = match self.known() {
            Some((client, true)) => return Ok(client),
            Some((client, false)) => {
                let Ok(mut looking) = self.looking.try_lock() else { return Ok(client) };
                // One that took too long once is not waited for again.
                let most = if looking.is_none() { most } else { Duration::ZERO };
                timeout(most, self.look(&mut looking)).await
            }
            None => timeout(most, async { self.look(&mut *self.looking.lock().await).await }).await,
        };
        looked.unwrap_or_else(|_| {
            let why = format!("the kubeconfig, or a program that it names, gives no credentials within {most:?}");
            self.take(Err(why))
        })
    }

    /// Resolves when the files name another API server than before. Versions and objects of the one say nothing of the other.
    pub(super) async fn moved(&self) {
        self.moved.notified().await;
    }

    /// Waits for a turn to read a page of a list. The turn is kept until its objects are stored.
    pub(super) async fn page_turn(&self) -> Option<SemaphorePermit<'_>> {
        // The turns never end.
        self.pages.acquire().await.ok()
    }

    /// The address of the API server, as far as it is known.
    fn address(&self) -> String {
        self.lock().as_ref().map(|known| known.address.clone()).unwrap_or_default()
    }

    /// The client at hand, and if it can be used without a look at the files.
    fn known(&self) -> Option<(Client, bool)> {
        let current = self.lock();
        let connected = current.as_ref()?;
        Some((connected.client.clone(), connected.checked.elapsed() < self.limits.files_checked))
    }

    /// Looks at the files, or goes on with the look that is under way.
    async fn look(&self, looking: &mut Option<oneshot::Receiver<Looked>>) -> Result<Client, String> {
        if let Some((client, true)) = self.known() {
            return Ok(client);
        }
        let told = looking.get_or_insert_with(|| self.begin_look()).await;
        *looking = None;
        self.take(told.unwrap_or_else(|_| Err("the credentials cannot be used".into())))
    }

    /// Looks at the files on a thread of its own, for which the end of the process does not wait.
    fn begin_look(&self) -> oneshot::Receiver<Looked> {
        let known = {
            let current = self.lock();
            let is_valid = |known: &&Connected| !known.by_program || known.since.elapsed() < PROGRAM_RUN;
            current.as_ref().filter(is_valid).map(|known| known.digest)
        };
        let (source, allowed, limits) = (self.source.clone(), self.programs_allowed, self.limits);
        let (tell, told) = oneshot::channel();
        let runtime = tokio::runtime::Handle::current();
        let look = move || {
            let _entered = runtime.enter();
            // Nobody may wait for it any more.
            drop(tell.send(connect(&source, allowed, limits, known)));
        };
        // Where there is no thread, nothing is told.
        drop(thread::Builder::new().name("credentials".into()).spawn(look));
        told
    }

    /// Takes the outcome of a look in, and returns the client to use.
    fn take(&self, told: Looked) -> Result<Client, String> {
        let mut current = self.lock();
        match (told, current.as_mut()) {
            (Ok(Some(connected)), before) => {
                if before.is_some_and(|before| before.server != connected.server) {
                    tracing::warn!(source = self.source.title(), "the kubeconfig names another API server now");
                    self.moved.notify_one();
                }
                Ok(current.insert(connected).client.clone())
            }
            (told, Some(connected)) => {
                if let Err(error) = told {
                    // The files may be in the middle of a change.
                    tracing::warn!(error, "a changed kubeconfig cannot be used; the one before it stays");
                }
                connected.checked = Instant::now();
                Ok(connected.client.clone())
            }
            (Err(error), None) => Err(error),
            (Ok(None), None) => Err("the credentials cannot be used".into()),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Connected>> {
        // Each change of it is one assignment.
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends a request and returns the reply when its head is there.
    ///
    /// # Errors
    /// Why there is none, in one line.
    pub(super) async fn begin(&self, request: Request<Body>) -> Result<Response<Body>, String> {
        let client = self.client().await?;
        match timeout(self.limits.head, client.send(request)).await {
            Ok(reply) => reply.map_err(|error| format!("{}: {}", self.address(), unanswered(&error))),
            Err(_) => Err(format!("{}: no reply within {} s", self.address(), self.limits.head.as_secs())),
        }
    }

    /// Reads the rest of a reply.
    ///
    /// # Errors
    /// [`Cut`]
    pub(super) async fn rest(&self, reply: Response<Body>, most: usize) -> Result<Bytes, Cut> {
        match timeout(self.limits.whole, Limited::new(reply.into_body(), most).collect()).await {
            Ok(Ok(whole)) => Ok(whole.to_bytes()),
            Ok(Err(error)) if error.is::<LengthLimitError>() => Err(Cut::TooLong),
            Ok(Err(error)) => Err(Cut::Broken(chain(&*error))),
            Err(_) => Err(Cut::Broken(format!("the reply is not whole after {} s", self.limits.whole.as_secs()))),
        }
    }
}

/// Why the rest of a reply is not there.
#[derive(Debug)]
pub(super) enum Cut {
    /// It is longer than it may be.
    TooLong,
    /// The connection ended or stalled.
    Broken(String),
}

/// A GET of JSON.
pub(super) fn get(path: &str, encoding: &'static str) -> Result<Request<Body>, String> {
    let request = Request::get(path).header(ACCEPT, "application/json").header(ACCEPT_ENCODING, encoding);
    request.body(Body::empty()).map_err(|error| format!("{path} is no path: {error}"))
}

/// The time that a reply asks to wait for.
pub(super) fn retry_after(reply: &Response<Body>) -> Option<Duration> {
    let seconds = reply.headers().get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}

#[async_trait]
impl ApiServer for Link {
    async fn send(&self, request: ApiRequest) -> Result<ApiReply, String> {
        let ApiRequest { method, path, content_type, body } = request;
        let built = Request::builder().method(method).uri(&path).header(ACCEPT, "application/json");
        let built = if content_type.is_empty() { built } else { built.header(CONTENT_TYPE, content_type) };
        let request =
            built.body(Body::from(body)).map_err(|error| format!("{method} {path} is no request: {error}"))?;
        let reply = self.begin(request).await?;
        let (code, retry_after) = (reply.status().as_u16(), retry_after(&reply));
        let body = self.rest(reply, self.limits.reply_bytes).await.map_err(|cut| match cut {
            Cut::TooLong => format!("the reply is longer than {} bytes", self.limits.reply_bytes),
            Cut::Broken(why) => why,
        })?;
        Ok(ApiReply { code, retry_after, body })
    }
}

/// A client, unless the files are those that are known. kube's own stack of services has two layers more: retries, which callers
/// do themselves, and logs of each failure, of which one an outage is enough.
fn connect(
    source: &ClusterSource,
    programs_allowed: bool,
    limits: Limits,
    known: Option<[u8; 32]>,
) -> Result<Option<Connected>, String> {
    let Access { config, digest, server, by_program } = kubeconfig::read(source, programs_allowed)?;
    if known == Some(digest) {
        return Ok(None);
    }
    let title = source.title();
    let address = config.cluster_url.authority().map(ToString::to_string).unwrap_or_default();
    let cannot = |error: kube::Error| format!("{title}: {}", unusable(&error));
    let mut http = HttpConnector::new();
    http.enforce_http(false);
    http.set_connect_timeout(Some(limits.connect));
    http.set_keepalive(Some(Duration::from_secs(20)));
    http.set_keepalive_interval(Some(Duration::from_secs(5)));
    http.set_keepalive_retries(Some(3));
    http.set_nodelay(true);
    let https = config.rustls_https_connector_with_connector(http).map_err(cannot)?;
    let carrier: legacy::Client<_, Body> =
        legacy::Client::builder(TokioExecutor::new()).pool_idle_timeout(Duration::from_mins(1)).build(https);
    let service = ServiceBuilder::new()
        .layer(config.base_uri_layer())
        .layer(DecompressionLayer::new())
        .option_layer(config.auth_layer().map_err(cannot)?)
        .layer(config.extra_headers_layer().map_err(cannot)?)
        .map_err(BoxError::from)
        .service(carrier);
    let now = Instant::now();
    let client = Client::new(service, config.default_namespace);
    Ok(Some(Connected { client, address, digest, server, by_program, since: now, checked: now }))
}

/// Why a configuration cannot be used.
fn unusable(error: &kube::Error) -> String {
    match error {
        kube::Error::Auth(error) => kubeconfig::of_credentials(error),
        kube::Error::InferKubeconfig(error) => kubeconfig::told(error),
        kube::Error::RustlsTls(_) => {
            "the certificates cannot be used: they must be PEM, and the key that of the certificate".into()
        }
        _ => "it cannot be used".into(),
    }
}

/// Why a request has no reply.
fn unanswered(error: &kube::Error) -> String {
    match causes(error).find_map(|error| error.downcast_ref::<AuthError>()) {
        Some(error) => kubeconfig::of_credentials(error),
        None => error.source().map_or_else(|| chain(error), chain),
    }
}

/// An error and its causes.
fn causes<'e>(error: &'e (dyn StdError + 'static)) -> impl Iterator<Item = &'e (dyn StdError + 'static)> {
    let mut next = Some(error);
    std::iter::from_fn(move || {
        let one = next?;
        next = one.source();
        Some(one)
    })
}

/// An error and its causes in one line.
pub(super) fn chain(error: &(dyn StdError + 'static)) -> String {
    let mut told = String::new();
    for error in causes(error) {
        let one = error.to_string();
        if !told.contains(&one) {
            if !told.is_empty() {
                told.push_str(": ");
            }
            told.push_str(&one);
        }
    }
    told.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MOST_TOLD).collect()
}

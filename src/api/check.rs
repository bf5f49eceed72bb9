//! What must hold for the process to be ready.

use std::{fmt, pin::Pin, sync::Arc, time::Duration};

use tokio::time::timeout;

/// How long one check may take: whoever probes does not wait long either.
const CHECK_TIMEOUT: Duration = Duration::from_secs(1);

/// What a check's run comes to: nothing, or one line that may be shown to anybody.
pub type CheckResult = std::result::Result<(), String>;

type Running = Pin<Box<dyn Future<Output = CheckResult> + Send>>;

/// Something that must hold for the process to be ready.
#[derive(Clone)]
pub struct Check {
    name: &'static str,
    run: Arc<dyn Fn() -> Running + Send + Sync>,
}

impl Check {
    /// A check under the name that `/readyz` tells.
    pub fn new<F>(name: &'static str, run: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = CheckResult> + Send + 'static,
    {
        Self { name, run: Arc::new(move || Box::pin(run())) }
    }

    /// What it comes to now, under its name. One that takes too long has failed.
    pub async fn result(&self) -> (&'static str, CheckResult) {
        let result = timeout(CHECK_TIMEOUT, (self.run)()).await;
        (self.name, result.unwrap_or_else(|_| Err(format!("no answer within {CHECK_TIMEOUT:?}"))))
    }
}

impl fmt::Debug for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Check").field(&self.name).finish()
    }
}

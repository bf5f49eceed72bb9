//! The readiness checks of the process.

use std::{fmt, pin::Pin, sync::Arc, time::Duration};

use tokio::time::timeout;

/// Longest time of one check: probes do not wait long either.
const CHECK_TIMEOUT: Duration = Duration::from_secs(1);

/// The result of a check: `Ok`, or one line that everybody may read.
pub type CheckResult = std::result::Result<(), String>;

/// Tells what an operator should mend although the check passes.
type Remark = Arc<dyn Fn() -> Option<String> + Send + Sync>;

type Running = Pin<Box<dyn Future<Output = CheckResult> + Send>>;

/// Something that must hold for the process to be ready.
#[derive(Clone)]
pub struct Check {
    name: &'static str,
    run: Arc<dyn Fn() -> Running + Send + Sync>,
    remark: Option<Remark>,
}

impl Check {
    /// A check with its name in `/readyz`.
    pub fn new<F>(name: &'static str, run: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = CheckResult> + Send + 'static,
    {
        Self { name, run: Arc::new(move || Box::pin(run())), remark: None }
    }

    /// A check that always passes, for a remark that everybody may read in the verbose reply.
    pub fn remarking(name: &'static str, remark: impl Fn() -> Option<String> + Send + Sync + 'static) -> Self {
        Self::new(name, || async { Ok(()) }).with_remark(remark)
    }

    /// This check with a remark that everybody may read in the verbose reply.
    #[must_use]
    pub fn with_remark(self, remark: impl Fn() -> Option<String> + Send + Sync + 'static) -> Self {
        Self { remark: Some(Arc::new(remark)), ..self }
    }

    /// Its name, and its remark at present.
    pub fn remark(&self) -> Option<(&'static str, String)> {
        Some((self.name, self.remark.as_ref()?()?))
    }

    /// Its present result, with its name. A check that takes too long has failed.
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

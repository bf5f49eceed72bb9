//! A look at a live cluster: its mirrored kinds, listed once.

use std::io::Write;

use tokio::time::sleep;

use super::{
    client::{KubeConnector, Link},
    mirror::kinds_of,
    object::Mirrored,
    stream::{self, Failure, List, encoded},
};
use crate::wire::{document, source::ClusterSource};

/// Objects of a page.
const PAGE: u32 = 500;

/// How often a page is asked for, and the longest wait in between.
const ATTEMPTS: u32 = 4;
const PAUSE: std::time::Duration = std::time::Duration::from_secs(1);
const LONGEST_PAUSE: std::time::Duration = std::time::Duration::from_secs(10);

/// The objects of one kind that were listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counted {
    /// The kind, by plural and group.
    pub kind: String,
    /// Its objects; `None` if the API server does not serve it.
    pub objects: Option<u64>,
    /// Those that cannot be read and are left out.
    pub unreadable: u64,
}

/// Writes all objects of a source's kinds as one `v1` List, which an import takes.
///
/// # Errors
/// Why they cannot be read, or written, in one line.
pub async fn list(
    connector: &KubeConnector,
    source: &ClusterSource,
    output: &mut (dyn Write + Send),
) -> Result<Vec<Counted>, String> {
    let link = connector.link(source);
    let mut counted = Vec::new();
    let mut text = String::from("{\"kind\":\"List\",\"apiVersion\":\"v1\",\"metadata\":{},\"items\":[");
    let mut is_first = true;
    for of in kinds_of(source) {
        let mut count = Counted { kind: of.key.to_string(), objects: None, unreadable: 0 };
        let mut next = String::new();
        while let Some(page) = page(&link, &of, &next).await? {
            let List { metadata, items, .. } =
                List::read(&page, of.kind.kind, next.is_empty()).map_err(|why| format!("{}: {why}", of.key))?;
            for item in items {
                let Ok(object) = of.read(item.get()) else {
                    count.unreadable += 1;
                    continue;
                };
                text.push_str(if std::mem::take(&mut is_first) { "\n" } else { ",\n" });
                document::render_into(&mut text, &object.body, of.kind, object.version.parse().unwrap_or_default());
                count.objects = Some(count.objects.unwrap_or_default() + 1);
            }
            count.objects.get_or_insert(0);
            output.write_all(text.as_bytes()).map_err(|error| format!("cannot write: {error}"))?;
            text.clear();
            next = metadata.next.unwrap_or_default();
            if next.is_empty() {
                break;
            }
        }
        counted.push(count);
    }
    text.push_str("\n]}\n");
    output
        .write_all(text.as_bytes())
        .and_then(|()| output.flush())
        .map_err(|error| format!("cannot write: {error}"))?;
    Ok(counted)
}

/// A page of a kind; `None` if the API server does not serve the kind.
async fn page(link: &Link, of: &Mirrored, next: &str) -> Result<Option<bytes::Bytes>, String> {
    let rest = if next.is_empty() { String::new() } else { format!("&continue={}", encoded(next)) };
    let path = format!("{}?limit={PAGE}{rest}", of.path());
    let mut attempt = 0;
    loop {
        attempt += 1;
        let (why, wait) = match stream::page(link, &path).await {
            Ok(page) => return Ok(Some(page)),
            Err(Failure::Refused { code: 404, .. }) if !of.kind.group.is_empty() => return Ok(None),
            Err(Failure::Refused { code, retry_after, why }) if code == 429 || code >= 500 => {
                (why, retry_after.unwrap_or(PAUSE))
            }
            Err(Failure::Refused { code: 401 | 403, why, .. }) => {
                return Err(format!("{}: {why}; `podberth rbac sync` prints the rights that are needed", of.key));
            }
            Err(Failure::Refused { why, .. }) => return Err(format!("{}: {why}", of.key)),
            Err(Failure::TooLong) => return Err(format!("{}: a page of {PAGE} objects is too long", of.key)),
            Err(Failure::Lost(why)) => (why, PAUSE),
        };
        if attempt == ATTEMPTS {
            return Err(format!("{}: {why}", of.key));
        }
        sleep(wait.min(LONGEST_PAUSE)).await;
    }
}

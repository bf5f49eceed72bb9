//! `podberth export` and `podberth import`: whole clusters as lines of JSON.
//!
//! Each cluster is a header, a line for every object, and a trailer with the SHA-256 of all lines before it:
//!
//! ```text
//! {"podberth":"cluster","version":1,"cluster":"default","revision":7,"count":1}
//! {"kind":"pods","namespace":"shop","name":"web","uid":"…","revision":7,"createRevision":3,"bodyRevision":3,"node":"a","body":"{…}"}
//! {"podberth":"end","count":1,"sha256":"…"}
//! ```
//!
//! A body that is not UTF-8 is written as `bodyBase64`. Lines are read and written one at a time, so memory does not grow with
//! the cluster.

use std::{
    io::{self, BufRead, Write},
    mem,
};

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{
    hex::hex,
    service::{lead, source::mirrored},
    store::{Head, Key, Past, Record, Restore, Source, Storage, StoreError, Visitor},
    wire::{
        objects::member_cluster,
        outbox,
        source::{self, ClusterSource},
    },
};

/// The version of the format. A reader accepts only its own version.
const VERSION: u32 = 1;

/// The number of objects in one batch.
const PAGE: usize = 500;

#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "podberth", rename_all = "lowercase")]
enum Mark {
    Cluster { version: u32, cluster: String, revision: u64, count: u64 },
    End { count: u64, sha256: String },
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Line {
    kind: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    namespace: String,
    name: String,
    uid: String,
    revision: u64,
    create_revision: u64,
    body_revision: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    node: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    body: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    body_base64: Option<String>,
}

impl From<Record> for Line {
    fn from(record: Record) -> Self {
        let Key { kind, namespace, name } = record.key;
        let (body, body_base64) = match String::from_utf8(record.body.to_vec()) {
            Ok(text) => (Some(text), None),
            Err(bytes) => (None, Some(BASE64.encode(bytes.as_bytes()))),
        };
        Self {
            kind: kind.to_string(),
            namespace,
            name,
            uid: record.uid,
            revision: record.revision,
            create_revision: record.create_revision,
            body_revision: record.body_revision,
            node: record.node,
            body,
            body_base64,
        }
    }
}

impl TryFrom<Line> for Record {
    type Error = String;

    fn try_from(line: Line) -> Result<Self, String> {
        let body = match (line.body, line.body_base64) {
            (Some(text), None) => text.into_bytes(),
            (None, Some(text)) => BASE64.decode(text).map_err(|error| format!("bodyBase64: {error}"))?,
            _ => return Err("one of body and bodyBase64 is needed".into()),
        };
        Ok(Self {
            key: Key::new(line.kind, line.namespace, line.name),
            uid: line.uid,
            revision: line.revision,
            create_revision: line.create_revision,
            node: line.node,
            deleted: false,
            body_revision: line.body_revision,
            body: body.into(),
        })
    }
}

/// Writes one cluster in its current state. Returns the revision and the number of objects.
pub async fn export(
    store: &dyn Past,
    cluster: &str,
    output: &mut (dyn Write + Send),
) -> Result<(u64, u64), StoreError> {
    let mut writer = Writer { cluster, output, hash: Sha256::new(), revision: 0, count: 0 };
    store.state_at(cluster, None, &mut writer).await?;
    writer.end().map_err(StoreError::Stopped)
}

struct Writer<'a> {
    cluster: &'a str,
    output: &'a mut (dyn Write + Send),
    hash: Sha256,
    revision: u64,
    count: u64,
}

impl Writer<'_> {
    fn line(&mut self, line: &impl Serialize) -> Result<(), String> {
        let mut text = serde_json::to_vec(line).map_err(|error| error.to_string())?;
        text.push(b'\n');
        self.hash.update(&text);
        self.output.write_all(&text).map_err(|error| format!("the export cannot be written: {error}"))
    }

    fn end(mut self) -> Result<(u64, u64), String> {
        let sha256 = hex(&mem::take(&mut self.hash).finalize());
        self.line(&Mark::End { count: self.count, sha256 })?;
        self.output.flush().map_err(|error| format!("the export cannot be written: {error}"))?;
        Ok((self.revision, self.count))
    }
}

impl Visitor for Writer<'_> {
    fn begin(&mut self, revision: u64, count: u64) -> Result<(), String> {
        self.revision = revision;
        self.line(&Mark::Cluster { version: VERSION, cluster: self.cluster.to_owned(), revision, count })
    }

    fn records(&mut self, records: Vec<Record>) -> Result<(), String> {
        for record in records {
            self.line(&Line::from(record))?;
            self.count += 1;
        }
        Ok(())
    }
}

/// The result of importing one cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Imported {
    /// Name of the cluster.
    pub cluster: String,
    /// Number of objects.
    pub count: u64,
    /// Revision of the cluster after the import.
    pub head: Head,
    /// The live clusters that the export names as sources of mirrors, each after the mirror's name. What is imported mirrors none.
    pub sources: Vec<String>,
}

/// Reads the next cluster of an export and restores it, whole or not at all; `None` at the end of the input. `rename`
/// gives it another name. A copy mirrors no live cluster: it would bind pods there too.
pub async fn import(
    store: &dyn Storage,
    input: &mut (dyn BufRead + Send),
    rename: Option<&str>,
    how: Restore,
) -> Result<Option<Imported>, StoreError> {
    let Some(mut reader) = Reader::open(input).map_err(StoreError::Stopped)? else { return Ok(None) };
    let cluster = rename.map_or_else(|| reader.cluster.clone(), str::to_owned);
    if mirrored::is_mirror(store, &cluster).await? {
        let why = format!(
            "the cluster {cluster:?} mirrors a live one: end that (PUT /clusters/{cluster} with {{\"source\": null}}), or import under another name"
        );
        return Err(StoreError::Stopped(why));
    }
    let head = store.restore(&cluster, &mut reader, how).await.map_err(|error| match error {
        StoreError::Stopped(why) => StoreError::Stopped(format!("{cluster}: {why}; nothing of it was imported")),
        other => other,
    })?;
    Ok(Some(Imported { cluster, count: reader.count, head, sources: reader.sources }))
}

/// Tells if the input begins like an export, as far as the buffered bytes show.
pub fn begins(text: &[u8]) -> bool {
    text.starts_with(MARK) || MARK.starts_with(text)
}

/// The beginning of header and trailer lines.
const MARK: &[u8] = br#"{"podberth":"#;

/// The error for a file that is no export.
pub const NO_EXPORT: &str =
    "this is no export of a cluster; manifests are for a server: curl --data-binary @FILE …/import";

struct Reader<'a> {
    input: &'a mut (dyn BufRead + Send),
    cluster: String,
    revision: u64,
    expected: u64,
    hash: Sha256,
    count: u64,
    ended: bool,
    /// The live clusters that were mirrored, each after the mirror's name.
    sources: Vec<String>,
}

/// The kinds that are about a live cluster, and about who does what for it.
const OF_MIRRORS: [&str; 3] = [source::KIND, outbox::KIND, lead::KIND];

impl<'a> Reader<'a> {
    fn open(input: &'a mut (dyn BufRead + Send)) -> Result<Option<Self>, String> {
        let mut line = Vec::new();
        if read_line(input, &mut line)? == 0 {
            return Ok(None);
        }
        match serde_json::from_slice(&line) {
            Ok(Mark::Cluster { version: VERSION, cluster, revision, count: expected }) => {
                let hash = Sha256::new_with_prefix(&line);
                Ok(Some(Self { input, cluster, revision, expected, hash, count: 0, ended: false, sources: Vec::new() }))
            }
            Ok(Mark::Cluster { version, .. }) => Err(format!(
                "the export has version {version} of the format, this binary reads version {VERSION}: export again with this release"
            )),
            Ok(Mark::End { .. }) | Err(_) => Err(NO_EXPORT.into()),
        }
    }

    /// Checks the trailer against the lines read.
    fn check(&mut self, count: u64, sha256: &str) -> Result<(), String> {
        if count != self.count || self.expected != self.count {
            return Err(format!("the export has {} objects where it says {}", self.count, self.expected.max(count)));
        }
        if hex(&mem::take(&mut self.hash).finalize()) != sha256 {
            return Err("the export was changed: its SHA-256 is not that of its last line; export again".into());
        }
        Ok(())
    }
}

impl Source for Reader<'_> {
    fn revision(&self) -> u64 {
        self.revision
    }

    fn records(&mut self) -> Result<Option<Vec<Record>>, String> {
        let mut records = Vec::new();
        let mut text = Vec::new();
        while !self.ended && records.len() < PAGE {
            if read_line(self.input, &mut text)? == 0 {
                return Err("the export ends before its last line".into());
            }
            if text.starts_with(MARK) {
                let Ok(Mark::End { count, sha256 }) = serde_json::from_slice(&text) else {
                    return Err("the export ends before its last line".into());
                };
                self.check(count, &sha256)?;
                self.ended = true;
                break;
            }
            let line: Result<Line, _> = serde_json::from_slice(&text);
            let record = line.map_err(|error| error.to_string()).and_then(Record::try_from);
            self.count += 1;
            let record = record.map_err(|error| format!("object {}: {error}", self.count))?;
            self.hash.update(&text);
            // Where releases before Cluster objects kept the source.
            if *record.key.kind == *source::KIND {
                self.sources.push(mirrored_by(&self.cluster, &record.body));
            }
            let (record, source) = without_source(record).map_err(|error| format!("object {}: {error}", self.count))?;
            self.sources.extend(source.map(|source| mirrored_by(&record.key.name, &source)));
            if !OF_MIRRORS.contains(&&*record.key.kind) {
                records.push(record);
            }
        }
        Ok((!records.is_empty()).then_some(records))
    }
}

/// The live cluster that a source names, after the cluster that mirrors it.
fn mirrored_by(cluster: &str, source: &[u8]) -> String {
    let title = ClusterSource::parse(source).map_or_else(|_| "a live cluster".into(), |source| source.title());
    format!("{cluster}: {title}")
}

/// A Cluster object that names no live cluster, and the source that it had; any other object as it is.
fn without_source(record: Record) -> Result<(Record, Option<Vec<u8>>), String> {
    if *record.key.kind != *member_cluster::KIND || record.deleted {
        return Ok((record, None));
    }
    let mut object: serde_json::Value = serde_json::from_slice(&record.body).map_err(|error| error.to_string())?;
    let spec = object.get_mut("spec").and_then(serde_json::Value::as_object_mut);
    let Some(source) = spec.and_then(|spec| spec.remove("source")).filter(|source| !source.is_null()) else {
        return Ok((record, None));
    };
    Ok((Record { body: object.to_string().into(), ..record }, Some(source.to_string().into_bytes())))
}

fn read_line(input: &mut dyn BufRead, line: &mut Vec<u8>) -> Result<usize, String> {
    line.clear();
    input.read_until(b'\n', line).map_err(|error: io::Error| format!("the export cannot be read: {error}"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &[u8]) -> Result<usize, String> {
        let mut input = text;
        let Some(mut reader) = Reader::open(&mut input)? else { return Ok(0) };
        let mut read = 0;
        while let Some(records) = reader.records()? {
            read += records.len();
        }
        Ok(read)
    }

    fn written(records: Vec<Record>) -> Vec<u8> {
        let mut output = Vec::new();
        let mut writer = Writer { cluster: "c", output: &mut output, hash: Sha256::new(), revision: 0, count: 0 };
        writer.begin(9, records.len() as u64).expect("memory takes it");
        writer.records(records).expect("memory takes it");
        writer.end().expect("memory takes it");
        output
    }

    fn record(name: &str, body: &[u8]) -> Record {
        Record {
            key: Key::new("pods", "", name),
            uid: "u".into(),
            revision: 2,
            create_revision: 1,
            node: None,
            deleted: false,
            body_revision: 1,
            body: body.to_vec().into(),
        }
    }

    #[test]
    fn an_incomplete_export_is_refused() {
        let whole = written((0..1_200).map(|i| record(&i.to_string(), b"{}")).collect());
        assert_eq!(read(&whole), Ok(1_200));
        assert_eq!(read(b""), Ok(0));
        let text = String::from_utf8(whole).expect("text");
        let refused = |text: &str| read(text.as_bytes()).expect_err("it is refused");
        assert!(refused("hello\n").starts_with("this is no export of a cluster; manifests are for a server"));
        assert!(refused(&text.replacen("\"version\":1", "\"version\":2", 1)).contains("version 2"));
        assert!(refused(&text.replacen("\"name\":\"7\"", "\"name\":\"x\"", 1)).contains("SHA-256"));
        assert!(refused(&text.replacen("\"revision\":9", "\"revision\":8", 1)).contains("SHA-256"));
        let lines: Vec<&str> = text.split_inclusive('\n').collect();
        assert!(refused(&lines[..900].concat()).contains("ends before its last line"));
        assert!(refused(&[&lines[..5], &lines[6..]].concat().concat()).contains("1199 objects where it says 1200"));
        assert!(refused(&text.replacen("\"uid\":\"u\"", "\"uid\":7", 1)).contains("object 1: "));
    }

    proptest! {
        #[test]
        fn bodies_come_back_as_they_were(body in prop::collection::vec(any::<u8>(), 0..40), text in ".{0,20}") {
            for body in [body.as_slice(), text.as_bytes(), b"\0\"\\\n"] {
                let before = record(&text, body);
                let line = serde_json::to_vec(&Line::from(before.clone())).expect("plain data");
                let after: Line = serde_json::from_slice(&line).expect("its own line");
                prop_assert_eq!(Record::try_from(after), Ok(before));
            }
        }

        /// Reading any file ends with a result or one line about the fault.
        #[test]
        fn any_input_is_read_or_refused(
            bytes in prop::collection::vec(any::<u8>(), 0..300),
            at in any::<prop::sample::Index>(),
            byte in any::<u8>(),
        ) {
            let _ = read(&bytes);
            let mut changed = written(vec![record("a", b"{}"), record("b", &[255])]);
            let at = at.index(changed.len() - 1); // But for the last line's end.
            let same = mem::replace(&mut changed[at], byte) == byte;
            prop_assert_eq!(read(&changed).is_ok(), same);
        }
    }
}

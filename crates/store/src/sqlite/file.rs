//! The database file in the file system. SQLite keeps using a file that was deleted or replaced, and one that was cut short as long as it finds its
//! data elsewhere: writes are then lost.

use std::fs::{self, File, Metadata, TryLockError};
use std::io::ErrorKind;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use super::StoreError;

/// The first bytes of each SQLite database (<https://www.sqlite.org/fileformat.html>).
const MAGIC: &[u8; 16] = b"SQLite format 3\0";

/// The header up to the number of pages.
const HEADER: usize = 32;

/// The remedy for a file that has changed.
const REMEDY: &str = "nothing more is read from it or written to it; put the file right, then restart";

/// Device and inode.
type Identity = (u64, u64);

/// A database file that this process alone has.
#[derive(Debug)]
pub(super) struct DatabaseFile {
    /// As the user wrote it.
    name: String,
    /// Holds the lock, which follows the file and not its name. It is closed after SQLite's own descriptors: closing any
    /// descriptor of a file takes the locks away that SQLite has on it (POSIX).
    file: File,
    identity: Identity,
    /// The write-ahead log and its index, once they exist.
    beside: OnceLock<[(PathBuf, Identity); 2]>,
    /// The greatest length seen.
    length: AtomicU64,
    /// The greatest change counter seen in the header.
    counter: AtomicU32,
    /// Why the file is not to be used any more.
    spoilt: OnceLock<String>,
    /// `true` if this created the file.
    pub(super) is_new: bool,
}

impl DatabaseFile {
    /// Opens and locks the file; creates it if it does not exist and `create` is set. Nothing is left behind on failure.
    pub(super) fn open(name: &str, create: bool) -> Result<Self, StoreError> {
        let cannot = |why: String| StoreError::Denied(format!("the SQLite database {name} cannot be used: {why}"));
        let mut options = File::options();
        options.read(true).write(true);
        let found = match fs::metadata(name) {
            Ok(found) if found.is_dir() => return Err(cannot("it is a directory".into())),
            Ok(found) if !found.is_file() => return Err(cannot("it is no regular file".into())),
            Ok(_) => options.open(name).map(|file| (file, false)),
            Err(error) if error.kind() == ErrorKind::NotFound && !create => {
                return Err(StoreError::Denied(format!("there is no SQLite database {name}")));
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {
                options.create(true).open(name).map(|file| (file, true))
            }
            Err(error) => Err(error),
        };
        let (file, is_new) = found.map_err(|error| cannot(error.to_string()))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(StoreError::InUse(format!(
                    "the SQLite database {name} is in use by another process; several replicas need PostgreSQL"
                )));
            }
            Err(TryLockError::Error(error)) => return Err(cannot(error.to_string())),
        }
        let metadata = file.metadata().map_err(|error| cannot(error.to_string()))?;
        let mut magic = [0; MAGIC.len()];
        if metadata.len() > 0 && (file.read_exact_at(&mut magic, 0).is_err() || magic != *MAGIC) {
            return Err(cannot("file is not a database".into()));
        }
        if metadata.nlink() > 1
            && let Some(log) = log_of_another_name(name, identity(&metadata))
        {
            return Err(cannot(format!("its last changes are in {}: open it under that name", log.display())));
        }
        let length = AtomicU64::new(metadata.len());
        let (beside, counter, spoilt) = (OnceLock::new(), AtomicU32::new(0), OnceLock::new());
        Ok(Self { name: name.to_owned(), file, identity: identity(&metadata), beside, length, counter, spoilt, is_new })
    }

    /// The file's name, free of symbolic links: SQLite names the files beside it after that.
    fn canonical(&self) -> PathBuf {
        fs::canonicalize(&self.name).unwrap_or_else(|_| PathBuf::from(&self.name))
    }

    /// To be called once a connection has the write-ahead log open, which keeps it as long as it lives.
    pub(super) fn note_beside(&self) {
        let path = self.canonical();
        let note = |suffix: &str| {
            let path = beside(&path, suffix);
            fs::metadata(&path).ok().map(|found| (path, identity(&found)))
        };
        if let (Some(log), Some(index)) = (note("-wal"), note("-shm")) {
            let _ = self.beside.set([log, index]);
        }
    }

    /// Removes the file if this created it and it is still empty.
    pub(super) fn discard(&self) {
        if self.is_new && self.file.metadata().is_ok_and(|found| found.len() == 0) {
            let _ = fs::remove_file(&self.name);
        }
    }

    /// Nothing is to be done with the file any more: it is damaged.
    pub(super) fn spoil(&self, why: String) -> StoreError {
        let why = self.spoilt.get_or_init(|| why);
        StoreError::Unwritable(format!("the SQLite database {} {why}: {REMEDY}", self.name))
    }

    /// `Ok` if the name still leads to the file, all of it. Reads no page of the database.
    pub(super) fn check(&self) -> Result<(), StoreError> {
        if let Some(why) = self.spoilt.get() {
            return Err(self.spoil(why.clone()));
        }
        let name = Path::new(&self.name);
        let known = self.beside.get().into_iter().flatten().map(|(path, identity)| (path.as_path(), *identity));
        for (path, identity_then) in [(name, self.identity)].into_iter().chain(known) {
            let what = match fs::metadata(path) {
                Err(error) if error.kind() == ErrorKind::NotFound => "was deleted while it was in use",
                Ok(found) if identity(&found) != identity_then => "was replaced by another file while it was in use",
                // It cannot be looked at: reading and writing will tell.
                Ok(_) | Err(_) => continue,
            };
            let what =
                if path == name { what.to_owned() } else { format!("has lost {}, which {what}", path.display()) };
            return Err(StoreError::Unwritable(format!("the SQLite database {} {what}: {REMEDY}", self.name)));
        }
        let Ok(now) = self.file.metadata() else { return Ok(()) };
        if now.len() < self.length.fetch_max(now.len(), Ordering::Relaxed) {
            if self.lacks_pages() {
                return Err(self.was_cut());
            }
            // Somebody has vacuumed it.
            self.length.store(now.len(), Ordering::Relaxed);
        }
        // Looked at twice: another may have seen a later state since the first look.
        if self.is_overwritten() && self.is_overwritten() {
            return Err(self.spoil("was overwritten while it was in use".into()));
        }
        Ok(())
    }

    /// `true` if the header is invalid, or is an earlier one than was seen before.
    fn is_overwritten(&self) -> bool {
        let Some(header) = self.header() else { return false };
        let counter = number(&header, 24);
        !header.starts_with(MAGIC) || counter < self.counter.fetch_max(counter, Ordering::Relaxed)
    }

    /// The file's first bytes, if it has them.
    fn header(&self) -> Option<[u8; HEADER]> {
        let mut header = [0; HEADER];
        self.file.read_exact_at(&mut header, 0).is_ok().then_some(header)
    }

    /// `true` if the file holds fewer pages than its header says. That is so for moments while the write-ahead log is moved into it, for longer if
    /// that was interrupted, and if the file was cut short.
    pub(super) fn lacks_pages(&self) -> bool {
        let Ok(now) = self.file.metadata() else { return false };
        let Some(header) = self.header() else { return self.length.load(Ordering::Relaxed) > 0 };
        let page = match u16::from_be_bytes([header[16], header[17]]) {
            1 => 65_536,
            size => u64::from(size),
        };
        let pages = u64::from(number(&header, 28));
        now.len() < pages.saturating_mul(page)
    }

    /// Marks the file as cut short: it lacks pages that are nowhere else either. Returns the error.
    pub(super) fn was_cut(&self) -> StoreError {
        self.spoil(CUT.into())
    }

    /// Unlocks the file for other processes.
    pub(super) fn unlock(&self) {
        if let Err(error) = self.file.unlock() {
            tracing::warn!(%error, "the lock on the SQLite database could not be released");
        }
    }
}

/// The write-ahead log that a process has left which opened the file under another of its hard links in this directory, and
/// was killed: SQLite would not find it under this name.
fn log_of_another_name(name: &str, file: Identity) -> Option<PathBuf> {
    let ours = fs::canonicalize(name).ok()?;
    let others = fs::read_dir(ours.parent()?).ok()?.flatten().map(|entry| entry.path());
    let of_file = others.filter(|other| {
        *other != ours && fs::symlink_metadata(other).is_ok_and(|found| found.is_file() && identity(&found) == file)
    });
    of_file.map(|other| beside(&other, "-wal")).find(|log| fs::metadata(log).is_ok_and(|found| found.len() > 0))
}

const CUT: &str = "was cut short while it was in use";

/// A number of the header (<https://www.sqlite.org/fileformat.html#the_database_header>): from 24 the change counter, from 28
/// the number of pages.
fn number(header: &[u8; HEADER], at: usize) -> u32 {
    header.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |bytes| u32::from_be_bytes(*bytes))
}

fn identity(metadata: &Metadata) -> Identity {
    (metadata.dev(), metadata.ino())
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

//! A file of events, one JSON document a line, which is rotated as kube-apiserver rotates its own.
//!
//! A file that has grown to its size is renamed: its name gets the time, as in `audit-2026-11-27T03-00-00.000.log`. Renamed files go when they are
//! too old or too many.
//!
//! Source: `gopkg.in/natefinch/lumberjack.v2`, which kube-apiserver uses.

use std::{
    ffi::OsStr,
    fs::{self, File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
    time::Duration,
};

use jiff::Timestamp;

/// The form of the time in the name of a renamed file.
const TIME: &str = "%Y-%m-%dT%H-%M-%S%.3f";

/// The bounds of a log file and its predecessors.
#[derive(Clone, Copy, Debug)]
pub struct Rotation {
    /// Bytes of a file.
    pub bytes: u64,
    /// The age of a renamed file; zero: any.
    pub age: Duration,
    /// The number of renamed files; zero: any.
    pub files: usize,
}

/// The place where lines of events go.
#[derive(Debug)]
pub enum LogFile {
    /// Standard output.
    Output,
    /// A file.
    File {
        /// Its path.
        path: PathBuf,
        /// Its bounds.
        rotation: Rotation,
        /// The open file and its size.
        open: Option<(File, u64)>,
    },
}

impl LogFile {
    /// Opens the file of this path, or standard output for `-`.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn open(path: &Path, rotation: Rotation) -> io::Result<Self> {
        if path.as_os_str() == OsStr::new("-") {
            return Ok(Self::Output);
        }
        let open = Some(append_to(path)?);
        Ok(Self::File { path: path.to_owned(), rotation, open })
    }

    /// Writes lines, and begins a new file first if this one has no room for them.
    ///
    /// # Errors
    /// If they cannot be written. The next lines are tried again.
    pub fn write(&mut self, lines: &[u8], now: Timestamp) -> io::Result<()> {
        let Self::File { path, rotation, open } = self else {
            let mut output = io::stdout().lock();
            output.write_all(lines)?;
            return output.flush();
        };
        let (mut file, mut size) = match open.take() {
            Some(open) => open,
            None => append_to(path)?,
        };
        if size > 0 && size.saturating_add(lines.len() as u64) > rotation.bytes {
            drop(file);
            fs::rename(&*path, renamed(path, now))?;
            (file, size) = append_to(path)?;
            if let Err(error) = forget(path, rotation, now) {
                tracing::warn!(path = %path.display(), %error, "old audit logs cannot be removed");
            }
        }
        file.write_all(lines)?;
        *open = Some((file, size.saturating_add(lines.len() as u64)));
        Ok(())
    }
}

/// Opens a file that only its owner can read, at its end.
fn append_to(path: &Path) -> io::Result<(File, u64)> {
    let mut options = OpenOptions::new();
    options.create(true).append(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = options.open(path)?;
    let size = file.metadata()?.len();
    Ok((file, size))
}

/// The parts of a file's name before and behind the time of its renaming.
fn parts(path: &Path) -> (String, String) {
    let text = |part: Option<&OsStr>| part.unwrap_or_default().to_string_lossy().into_owned();
    let extension = path.extension().map(|extension| format!(".{}", extension.to_string_lossy())).unwrap_or_default();
    (format!("{}-", text(path.file_stem())), extension)
}

/// The name of a file that gives way to another, which no file has.
fn renamed(path: &Path, now: Timestamp) -> PathBuf {
    let (before, behind) = parts(path);
    let name = |at: Timestamp| path.with_file_name(format!("{before}{}{behind}", at.strftime(TIME)));
    let times = (0..1_000).filter_map(|ms| now.checked_add(Duration::from_millis(ms)).ok());
    times.map(name).find(|path| !path.exists()).unwrap_or_else(|| name(now))
}

/// Removes renamed files that are too old or too many.
fn forget(path: &Path, rotation: &Rotation, now: Timestamp) -> io::Result<()> {
    let (before, behind) = parts(path);
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut old: Vec<(Timestamp, PathBuf)> = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let time = name.to_str().and_then(|name| name.strip_prefix(&before)?.strip_suffix(&behind));
        let time = time.and_then(|time| jiff::civil::DateTime::strptime(TIME, time).ok());
        if let Some(time) = time.and_then(|time| time.to_zoned(jiff::tz::TimeZone::UTC).ok()) {
            old.push((time.timestamp(), entry.path()));
        }
    }
    old.sort_unstable_by(|a, b| b.cmp(a));
    let most = if rotation.files == 0 { usize::MAX } else { rotation.files };
    let first = (!rotation.age.is_zero()).then(|| now.checked_sub(rotation.age).ok()).flatten();
    for (_, path) in old.iter().enumerate().filter(|(at, (time, _))| *at >= most || first.is_some_and(|f| *time < f)) {
        fs::remove_file(&path.1)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(folder: &Path) -> Vec<(String, String)> {
        let mut files: Vec<_> = fs::read_dir(folder)
            .expect("a folder")
            .map(|entry| entry.expect("a file"))
            .map(|entry| {
                let text = fs::read_to_string(entry.path()).expect("text");
                (entry.file_name().to_string_lossy().into_owned(), text)
            })
            .collect();
        files.sort();
        files
    }

    #[test]
    fn a_full_file_is_renamed_and_old_ones_go() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("audit.log");
        fs::write(folder.path().join("audit-notes.log"), "mine").expect("it is written");
        let rotation = Rotation { bytes: 4, age: Duration::from_secs(100), files: 2 };
        let mut log = LogFile::open(&path, rotation).expect("it opens");
        let mut write = |line: &str, second: i64| {
            log.write(line.as_bytes(), Timestamp::from_second(second).expect("a time")).expect("it is written");
        };
        write("a\n", 0);
        write("b\n", 1);
        write("c\n", 2);
        write("longer than all\n", 3);
        write("d\n", 4);
        let old = |second| format!("audit-1970-01-01T00-00-0{second}.000.log");
        let expected = [
            (old(3), "c\n".to_owned()),
            (old(4), "longer than all\n".to_owned()),
            ("audit-notes.log".to_owned(), "mine".to_owned()),
            ("audit.log".to_owned(), "d\n".to_owned()),
        ];
        assert_eq!(files(folder.path()), expected);
        write("e\n", 500);
        write("f\n", 501);
        let names: Vec<String> = files(folder.path()).into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["audit-1970-01-01T00-08-21.000.log", "audit-notes.log", "audit.log"]);
    }

    #[test]
    fn lines_go_to_the_end_of_the_file_that_is_there() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("audit");
        fs::write(&path, "a\n").expect("it is written");
        let rotation = Rotation { bytes: 3, age: Duration::ZERO, files: 0 };
        let mut log = LogFile::open(&path, rotation).expect("it opens");
        log.write(b"b\n", Timestamp::UNIX_EPOCH).expect("it is written");
        let expected = [("audit".to_owned(), "b\n".to_owned()), ("audit-1970-01-01T00-00-00.000".into(), "a\n".into())];
        assert_eq!(files(folder.path()), expected);
    }
}

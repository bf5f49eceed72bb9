//! `podberth export` and `podberth import`: the database at one end, a file or a pipe at the other.

use std::{
    fs::{self, File},
    io::{self, BufRead, BufReader, BufWriter, Write},
    path::{Path, PathBuf},
};

use clap::Args;

use super::{Error, database};
use crate::{
    commands::archive,
    config::Settings,
    live::DEFAULT_CLUSTER,
    store::{Restore, Storage, StoreError},
    telemetry,
};

/// Options of `podberth export`.
#[derive(Args)]
pub struct Export {
    #[command(flatten)]
    settings: Settings,
    /// The cluster to export
    #[arg(long, value_name = "NAME", default_value = DEFAULT_CLUSTER)]
    cluster: String,
    /// Export every cluster, one after the other
    #[arg(long, conflicts_with = "cluster")]
    all_clusters: bool,
    /// The file to write; - for standard output
    #[arg(value_name = "FILE", default_value = "-")]
    file: PathBuf,
}

/// Options of `podberth import`.
#[derive(Args)]
pub struct Import {
    #[command(flatten)]
    settings: Settings,
    /// Import into a cluster of this name; the file must hold no more than one
    #[arg(long, value_name = "NAME")]
    cluster: Option<String>,
    /// Replace the objects of existing clusters; all their readers begin anew
    #[arg(long)]
    replace: bool,
    /// Skip this many revisions before the next change: more than the changes since the export was made, so that no revision is used twice
    #[arg(long, value_name = "N", default_value = "0")]
    skip_revisions: u64,
    /// The file to read; - for standard input
    #[arg(value_name = "FILE", default_value = "-")]
    file: PathBuf,
}

/// `podberth export`. A file appears when it is complete.
pub async fn export(command: &Export) -> Result<(), Error> {
    let settings = &command.settings;
    telemetry::log(settings.log_level.filter(), settings.log_format);
    let store = database::open(settings, false).await?;
    let exported = if command.file == Path::new("-") {
        write(&*store, command, &mut BufWriter::new(io::stdout())).await
    } else {
        write_file(&*store, command).await
    };
    store.close().await;
    exported.map_err(|error| match error {
        Error::Store(error @ StoreError::NotMigrated) => Error::Archive(format!(
            "cannot export from {}: {error}",
            place(&settings.database.url().unwrap_or_default())
        )),
        other => other,
    })
}

/// A database's URL without user, password and settings.
fn place(url: &str) -> &str {
    match url.rsplit_once('@') {
        _ if url.starts_with("sqlite:") => url,
        found => {
            let place = found.map_or(url, |(_, place)| place);
            place.split_once('?').map_or(place, |(place, _)| place)
        }
    }
}

async fn write_file(store: &dyn Storage, command: &Export) -> Result<(), Error> {
    let cannot = |error| Error::Output(command.file.display().to_string(), error);
    let mut name = command.file.clone().into_os_string();
    name.push(".partial");
    let partial = PathBuf::from(name);
    let file = File::create(&partial).map_err(cannot)?;
    let mut output = BufWriter::new(file);
    let written = write(store, command, &mut output).await;
    let durable = output.into_inner().map_err(io::IntoInnerError::into_error).and_then(|file| file.sync_all());
    let done = written.and_then(|()| durable.and_then(|()| fs::rename(&partial, &command.file)).map_err(cannot));
    if done.is_err() {
        // What is left of it is of no use.
        let _ = fs::remove_file(&partial);
    }
    done
}

async fn write(store: &dyn Storage, command: &Export, output: &mut (dyn Write + Send)) -> Result<(), Error> {
    let clusters = if command.all_clusters { store.clusters().await? } else { vec![command.cluster.clone()] };
    for cluster in clusters {
        let (revision, count) = archive::export(store, &cluster, output).await.map_err(refusal)?;
        tracing::info!(cluster, revision, count, "exported");
    }
    Ok(())
}

/// `podberth import`. Updates the schema first, unless `--no-migrate` is set.
pub async fn import(command: &Import) -> Result<(), Error> {
    let settings = &command.settings;
    telemetry::log(settings.log_level.filter(), settings.log_format);
    let mut input: Box<dyn BufRead + Send> = if command.file == Path::new("-") {
        Box::new(BufReader::new(io::stdin()))
    } else {
        let file = File::open(&command.file);
        let cannot = |error| Error::Archive(format!("cannot read {}: {error}", command.file.display()));
        Box::new(BufReader::new(file.map_err(cannot)?))
    };
    // Before a database is made for nothing.
    let begin =
        input.fill_buf().map_err(|error| Error::Archive(format!("cannot read {}: {error}", command.file.display())))?;
    match begin {
        [] => return Err(Error::Archive("the export is empty".into())),
        begin if !archive::begins(begin) => return Err(Error::Archive(archive::NO_EXPORT.into())),
        _ => {}
    }
    let store = database::open(settings, !settings.no_migrate).await?;
    if !settings.no_migrate {
        store.migrate().await?;
    }
    let imported = read(&*store, command, &mut *input).await;
    store.close().await;
    imported
}

async fn read(store: &dyn Storage, command: &Import, input: &mut (dyn BufRead + Send)) -> Result<(), Error> {
    let how = Restore { replace: command.replace, skip: command.skip_revisions };
    let mut clusters = 0;
    while let Some(done) = archive::import(store, input, command.cluster.as_deref(), how).await.map_err(refusal)? {
        tracing::info!(cluster = done.cluster, revision = done.head.revision, count = done.count, "imported");
        for source in &done.sources {
            tracing::warn!(source, "the exported cluster mirrored a live one, the imported one does not");
        }
        clusters += 1;
        if command.cluster.is_some() && !input.fill_buf().is_ok_and(<[u8]>::is_empty) {
            return Err(Error::Archive("the export holds more than one cluster: the others were not imported".into()));
        }
    }
    if clusters == 0 {
        return Err(Error::Archive("the export is empty".into()));
    }
    Ok(())
}

fn refusal(error: StoreError) -> Error {
    match error {
        StoreError::Stopped(why) | StoreError::Invalid(why) => Error::Archive(why),
        other => other.into(),
    }
}

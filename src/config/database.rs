//! Settings of the database.

use std::{fs, path::PathBuf, time::Duration};

use clap::Args;

use super::duration;

/// The settings of the database.
#[derive(Clone, Args)]
pub struct DatabaseSettings {
    /// Database: sqlite:FILE, sqlite::memory: or postgres://USER:PASSWORD@HOST/NAME; of several hosts (h1:5432,h2:5432) the primary
    /// is used
    #[arg(long, value_name = "URL", default_value = "sqlite:podberth.db", hide_env_values = true)]
    pub database_url: String,

    /// File with the URL of the database, in place of --database-url: no list of processes shows the password in it
    #[arg(long, value_name = "FILE", conflicts_with = "database_url")]
    pub database_url_file: Option<PathBuf>,

    /// Maximum number of connections to the database
    #[arg(long, value_name = "N", default_value = "8", value_parser = clap::value_parser!(u32).range(1..))]
    pub database_max_connections: u32,

    /// Longest wait for a connection to the database
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = duration)]
    pub database_acquire_timeout: Duration,

    /// Longest wait at the start for a PostgreSQL that cannot be reached yet
    #[arg(long, value_name = "DURATION", default_value = "1m", value_parser = duration)]
    pub database_wait: Duration,

    /// Longest time of one statement in the database
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = duration)]
    pub database_statement_timeout: Duration,
}

impl DatabaseSettings {
    /// The URL of the database.
    ///
    /// # Errors
    /// In a few words, if its file cannot be read.
    pub fn url(&self) -> Result<String, String> {
        let Some(path) = &self.database_url_file else { return Ok(self.database_url.clone()) };
        let text = fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(text.trim().to_owned())
    }
}

/// `true` if a password stands on a command line, where every user of the machine reads it.
pub fn shows_password(arguments: impl IntoIterator<Item = String>) -> bool {
    let has_password = |word: String| {
        let Some((_, rest)) = word.split_once("://") else { return false };
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let user = authority.rsplit_once('@').map_or("", |(user, _)| user);
        user.split_once(':').is_some_and(|(_, password)| !password.is_empty()) || rest.contains("password=")
    };
    arguments.into_iter().any(has_password)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_on_a_command_line_are_seen() {
        let shows = |words: &[&str]| shows_password(words.iter().map(|&word| word.to_owned()));
        assert!(shows(&["serve", "--database-url=postgres://u:p@h/x"]));
        assert!(shows(&["serve", "--database-url", "postgres://u:p@h1,h2/x"]));
        assert!(shows(&["postgres://h/x?password=p"]));
        assert!(!shows(&[
            "serve",
            "--database-url=postgres://u@h:5432/x",
            "--database-url=sqlite:a.db",
            "http://h:1/a:b@c"
        ]));
    }
}

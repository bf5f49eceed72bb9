//! Settings of the database.

use std::{fs, path::PathBuf, time::Duration};

use clap::{Args, ValueEnum};

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

    /// Plans of the statements that write to PostgreSQL: auto, kept ones if a trial at the start shows that the server makes them; custom, new ones
    /// each time; generic, kept ones
    #[arg(long, value_name = "PLANS", value_enum, default_value = "auto")]
    pub database_plans: DatabasePlans,
}

/// Values of `--database-plans`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum DatabasePlans {
    /// As a trial shows.
    Auto,
    /// New ones each time.
    Custom,
    /// Kept ones.
    Generic,
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
    arguments.into_iter().any(|word| without_password(&word) != word)
}

/// A text whose URL has `***` in place of a password, before the host or as a parameter.
pub(super) fn without_password(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else { return text.to_owned() };
    let (authority, rest) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let authority = match authority.rsplit_once('@') {
        Some((user, hosts)) => match user.split_once(':') {
            Some((user, password)) if !password.is_empty() => format!("{user}:***@{hosts}"),
            _ => authority.to_owned(),
        },
        None => authority.to_owned(),
    };
    let (path, query) = rest.split_once('?').map_or((rest, None), |(path, query)| (path, Some(query)));
    let parameter = |parameter: &str| match parameter.split_once('=') {
        Some((name, value)) if name.contains("password") && !value.is_empty() => format!("{name}=***"),
        _ => parameter.to_owned(),
    };
    let query = query.map(|query| query.split('&').map(parameter).collect::<Vec<_>>().join("&"));
    format!("{scheme}://{authority}{path}{}", query.map(|query| format!("?{query}")).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn url_is_shown_without_its_password() {
        for (url, shown) in [
            ("postgres://u:p@h1,h2/x?a=b", "postgres://u:***@h1,h2/x?a=b"),
            ("postgres://u:p@:w@h/x", "postgres://u:***@h/x"),
            (
                "postgres://h/x?sslmode=require&password=p&sslpassword=q",
                "postgres://h/x?sslmode=require&password=***&sslpassword=***",
            ),
            ("postgres://u@h:5432/x?", "postgres://u@h:5432/x?"),
            ("sqlite:podberth.db", "sqlite:podberth.db"),
        ] {
            assert_eq!(without_password(url), shown);
        }
    }

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

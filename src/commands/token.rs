//! `podberth token`: makes, lists and revokes the tokens of a server.

use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use hyper::Method;

use super::asked::Asked;
use crate::{
    service::access::tokens::{ListedToken, MadeToken, NewToken, TokenList},
    wire::status::Status,
};

/// The subcommands for tokens.
#[derive(Subcommand)]
pub enum Command {
    /// Make a token and print it; it is shown this once
    Create(Box<Create>),
    /// List the tokens, without their texts
    List(Asked),
    /// Revoke a token
    Revoke {
        /// The server
        #[command(flatten)]
        asked: Asked,
        /// The name of the token
        #[arg(value_name = "NAME")]
        name: String,
    },
}

/// Options of `podberth token create`.
#[derive(Args)]
pub struct Create {
    #[command(flatten)]
    asked: Asked,
    /// Name of the token, by which it is listed and revoked
    #[arg(value_name = "NAME")]
    name: String,
    /// The user whose rights it has; of an extender, system:extender:NAME unless told
    #[arg(long, value_name = "USER", required_if_eq("kind", "user"))]
    user: Option<String>,
    /// A group of the user; may be repeated
    #[arg(long = "group", value_name = "GROUP")]
    groups: Vec<String>,
    /// The use of the token: user, or extender for a kube-scheduler that calls Podberth as its extender
    #[arg(long, value_enum, default_value = "user")]
    kind: Kind,
    /// A cluster that it is for, by name or by its beginning and *; may be repeated. All unless told
    #[arg(long = "cluster", value_name = "CLUSTER")]
    clusters: Vec<String>,
    /// Time after which it ends, as 24h; it does not unless told
    #[arg(long, value_name = "DURATION", value_parser = crate::config::duration)]
    expires_in: Option<Duration>,
}

/// The use of a token.
#[derive(Clone, Copy, ValueEnum)]
enum Kind {
    User,
    Extender,
}

/// Runs a subcommand; its output.
///
/// # Errors
/// In one line.
pub async fn run(command: &Command) -> Result<String, String> {
    match command {
        Command::Create(create) => {
            let new = NewToken {
                name: create.name.clone(),
                kind: if matches!(create.kind, Kind::Extender) { "extender" } else { "user" }.into(),
                user: create.user.clone().unwrap_or_default(),
                groups: create.groups.clone(),
                clusters: create.clusters.clone(),
                expires_in_seconds: create.expires_in.map(|time| time.as_secs()),
            };
            let body = serde_json::to_vec(&new).map_err(|error| error.to_string())?;
            let made: MadeToken = create.asked.ask(Method::POST, "/tokens", body).await?;
            Ok(format!("{}\n", made.token))
        }
        Command::List(asked) => {
            let list: TokenList = asked.ask(Method::GET, "/tokens", Vec::new()).await?;
            Ok(table(&list.items))
        }
        Command::Revoke { asked, name } => {
            let _: Status = asked.ask(Method::DELETE, &format!("/tokens/{name}"), Vec::new()).await?;
            Ok(format!("token {name} revoked\n"))
        }
    }
}

fn table(tokens: &[ListedToken]) -> String {
    let row = |cells: [&str; 6]| cells.map(str::to_owned);
    let mut rows = vec![row(["NAME", "KIND", "USER", "CLUSTERS", "EXPIRES", "LAST USED"])];
    for token in tokens {
        let clusters = if token.clusters.is_empty() { "*".to_owned() } else { token.clusters.join(",") };
        let expires = token.expires_at.as_deref().unwrap_or("never");
        let used = token.last_used_at.as_deref().unwrap_or("never");
        rows.push(row([&token.name, &token.kind, &token.user, &clusters, expires, used]));
    }
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
    let widths: Vec<usize> = (0..6).map(width).collect();
    let line = |row: &[String; 6]| {
        let cells: Vec<String> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        format!("{}\n", cells.join("   ").trim_end())
    };
    rows.iter().map(line).collect()
}

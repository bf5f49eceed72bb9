//! The users of a process: `--auth`, `--token-auth-file`, `--bootstrap-token-file`, `--authentication-config`, and the first token.

use std::{collections::HashMap, fs, net::IpAddr, path::Path, sync::Arc};

use super::Error;
use crate::{
    clock,
    config::{Auth, Settings},
    live::SYSTEM_CLUSTER,
    service::{
        Service,
        access::{authenticate::Authenticator, issuers::Issuers, reviewer::Reviewer, tokens},
        clusters::check_name,
        error,
        objects::create_built_in,
    },
    wire::access::{authentication, token, token_file},
};

/// Characters of a token that is given, at least: it must not be guessed.
const SHORTEST: usize = 32;

/// The ways by which users are known; `None` where nobody is asked.
pub(super) async fn authenticator(settings: &Settings, address: IpAddr) -> Result<Option<Authenticator>, Error> {
    let (of_users, first) = (settings.token_auth_file.as_deref(), settings.bootstrap_token_file.as_deref());
    let others = settings.authentication_config.as_deref();
    if !asks(settings.auth, is_configured(settings) || asks_others(settings), address)
        .map_err(|why| Error::Access(why.into()))?
    {
        return Ok(None);
    }
    let mut fixed = of_users.map(users).transpose()?.unwrap_or_else(HashMap::new);
    if let Some(path) = first {
        let text = read(path)?;
        let text = text.trim();
        if text.len() < SHORTEST || text.contains(char::is_whitespace) {
            let why = format!("{}: expected one token of {SHORTEST} characters or more", path.display());
            return Err(Error::Access(why));
        }
        fixed.insert(token::digest(text), Arc::new(Authenticator::first_user()));
    }
    let mut authenticator = Authenticator::new(fixed);
    if let Some(path) = others {
        authenticator = with_others(authenticator, path).await?;
    }
    if let Some(cluster) = &settings.sync.authentication_token_webhook_cluster {
        check_name(cluster)
            .map_err(|error| Error::Access(format!("--authentication-token-webhook-cluster: {error}")))?;
        authenticator = authenticator.with_reviewer(Reviewer::new(cluster));
    }
    Ok(Some(authenticator))
}

/// Makes the cluster that has the tokens, and its first token unless there is another way in. This is the last step before the server serves: the
/// token is shown once, so no fault of a setting may come after it.
pub(super) async fn prepare(settings: &Settings, service: &Service) -> Result<(), Error> {
    if !service.store.migration_status().await?.is_current() {
        tracing::warn!("the schema of the database is not current: stored tokens are not known yet");
        return Ok(());
    }
    make(service, is_configured(settings)).await.map_err(|error| match error {
        // Here is no reply from which the cause has to be kept.
        error::Error::Internal(cause) => Error::Access(cause),
        error => Error::Access(error.to_string()),
    })
}

/// `true` if a setting gives somebody all rights.
fn is_configured(settings: &Settings) -> bool {
    settings.token_auth_file.is_some()
        || settings.bootstrap_token_file.is_some()
        || settings.tls.client_ca_file.is_some()
}

/// `true` if a setting names others who know users.
fn asks_others(settings: &Settings) -> bool {
    settings.authentication_config.is_some() || settings.sync.authentication_token_webhook_cluster.is_some()
}

/// Knows the issuers of a file as well.
async fn with_others(authenticator: Authenticator, path: &Path) -> Result<Authenticator, Error> {
    let wrong = |why: String| Error::Access(format!("{}: {why}", path.display()));
    let authentication::Authentication { issuers, anonymous } = authentication::parse(&read(path)?).map_err(wrong)?;
    let issuers = Issuers::start(issuers, path.parent().unwrap_or_else(|| Path::new(""))).await.map_err(wrong)?;
    Ok(authenticator.with_issuers(issuers).with_anonymous(anonymous))
}

/// `true` if clients that reach this address are asked who they are.
fn asks(auth: Auth, is_configured: bool, address: IpAddr) -> Result<bool, &'static str> {
    match auth {
        Auth::Required => Ok(true),
        Auth::Auto => Ok(is_configured || !address.to_canonical().is_loopback()),
        Auth::None if is_configured => Err(
            "--auth=none contradicts --token-auth-file, --bootstrap-token-file, --client-ca-file, --authentication-config and \
             --authentication-token-webhook-cluster: leave it or them out",
        ),
        Auth::None => Ok(false),
    }
}

async fn make(service: &Service, is_configured: bool) -> error::Result<()> {
    if !is_configured && tokens::list(service).await?.items.is_empty() {
        let made = tokens::create_first(service, clock::now()).await?;
        if let Some(token) = made {
            eprintln!(
                "This database knows nobody yet. The token of its first user, who may do everything, is shown this once:\n\n    {token}\n\n\
                 Make a token for yourself and bind cluster-admin to it, then revoke this one (docs/security.md tells how): podberth token revoke {}\n",
                tokens::FIRST
            );
        }
    }
    create_built_in(service, &SYSTEM_CLUSTER.into()).await
}

fn users(path: &Path) -> Result<HashMap<token::TokenDigest, Arc<crate::core::access::User>>, Error> {
    token_file::parse(&read(path)?).map_err(|why| Error::Access(format!("{}: {why}", path.display())))
}

fn read(path: &Path) -> Result<String, Error> {
    fs::read_to_string(path).map_err(|error| Error::Access(format!("{}: {error}", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_are_asked_unless_they_are_local_or_it_is_said_aloud() {
        let asks = |auth, is_configured, address: &str| asks(auth, is_configured, address.parse().expect("an address"));
        for local in ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"] {
            assert_eq!(asks(Auth::Auto, false, local), Ok(false), "{local}");
            assert_eq!(asks(Auth::Auto, true, local), Ok(true), "{local}");
            assert_eq!(asks(Auth::Required, false, local), Ok(true), "{local}");
        }
        for other in ["0.0.0.0", "::", "10.0.0.1", "fe80::1", "::ffff:10.0.0.1"] {
            assert_eq!(asks(Auth::Auto, false, other), Ok(true), "{other}");
            assert_eq!(asks(Auth::None, false, other), Ok(false), "{other}");
        }
        assert!(asks(Auth::None, true, "10.0.0.1").is_err());
    }
}

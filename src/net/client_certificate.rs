//! The certificate that a client showed, and the user in it.

use std::sync::{Arc, Mutex, PoisonError};

use rustls::pki_types::{CertificateDer, UnixTime};

use super::{
    replica::{Pin, pin},
    server::Tls,
    subject,
};
use crate::core::access::User;

/// An extension of requests that came over TLS.
#[derive(Clone, Debug)]
pub struct Secured {
    /// The server's TLS.
    pub tls: Tls,
    /// The client's certificate, if it showed one.
    pub certificate: Option<Arc<ClientCertificate>>,
}

/// A certificate that was verified when its connection began.
///
/// Connections live on for days. So each request asks anew whether the certificate has ended, and the first one after a reload whether the
/// authorities and revocation lists of now accept it.
#[derive(Debug)]
pub struct ClientCertificate {
    chain: Vec<CertificateDer<'static>>,
    /// Or why it cannot be read.
    user: Result<Option<Arc<User>>, String>,
    ends: i64,
    verified: Mutex<Verified>,
}

/// The result of the last verification.
#[derive(Debug)]
struct Verified {
    generation: u64,
    refused: Option<String>,
}

impl ClientCertificate {
    /// The certificate of a client, verified by the configuration of a generation; `None` if it showed none.
    pub(super) fn new(chain: &[CertificateDer<'_>], generation: u64) -> Option<Self> {
        let (user, ends) = match subject::subject(chain.first()?) {
            Ok(of) => (Ok(of.user.map(Arc::new)), of.ends),
            Err(why) => (Err(why), i64::MAX),
        };
        let chain = chain.iter().map(|one| one.clone().into_owned()).collect();
        Some(Self { chain, user, ends, verified: Mutex::new(Verified { generation, refused: None }) })
    }

    /// The digest by which a replica is known.
    pub fn pin(&self) -> Option<Pin> {
        self.chain.first().map(pin)
    }

    /// Its user at a second since 1970; `None` if it names none.
    ///
    /// # Errors
    /// Why it is not valid any more.
    pub fn user(&self, tls: &Tls, now: i64) -> Result<Option<Arc<User>>, String> {
        if now > self.ends {
            return Err("it has expired".into());
        }
        let in_force = tls.in_force();
        let mut verified = self.verified.lock().unwrap_or_else(PoisonError::into_inner);
        if verified.generation != in_force.generation {
            let now = UnixTime::since_unix_epoch(std::time::Duration::from_secs(now.unsigned_abs()));
            let refused = match (&in_force.verifier, self.chain.split_first()) {
                (Some(verifier), Some((leaf, others))) => {
                    verifier.verify_client_cert(leaf, others, now).err().map(|error| error.to_string())
                }
                _ => Some("clients are not asked for certificates any more".to_owned()),
            };
            *verified = Verified { generation: in_force.generation, refused };
        }
        match &verified.refused {
            Some(why) => Err(why.clone()),
            None => self.user.clone(),
        }
    }
}

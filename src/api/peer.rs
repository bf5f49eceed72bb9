//! The address of a request's client.

use std::net::IpAddr;

use axum::http::{Extensions, HeaderMap, HeaderName};

use crate::origin::TrustedProxies;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Addresses in `X-Forwarded-For` that are read at most, from its end.
const MOST: usize = 32;

/// The address of the connection that a request came on.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub IpAddr);

/// The address of the client: that of the connection, or if this is a trusted proxy the one that the proxy tells.
pub(super) fn client(extensions: &Extensions, headers: &HeaderMap, proxies: &TrustedProxies) -> Option<IpAddr> {
    let Peer(peer) = *extensions.get::<Peer>()?;
    Some(path(peer, headers, proxies).last().copied().unwrap_or(peer))
}

/// The addresses that a request came by, the client's first.
pub(super) fn addresses(extensions: &Extensions, headers: &HeaderMap, proxies: &TrustedProxies) -> Vec<String> {
    let Some(Peer(peer)) = extensions.get::<Peer>() else { return Vec::new() };
    path(*peer, headers, proxies).iter().rev().map(ToString::to_string).collect()
}

/// The addresses that a request came by, from here back to the first one that is no trusted proxy: what that one tells of others may be made up.
fn path(peer: IpAddr, headers: &HeaderMap, proxies: &TrustedProxies) -> Vec<IpAddr> {
    let mut path = vec![peer.to_canonical()];
    if !proxies.trusts(peer) {
        return path;
    }
    let values: Vec<&str> = headers.get_all(FORWARDED_FOR).iter().filter_map(|value| value.to_str().ok()).collect();
    for text in values.iter().rev().flat_map(|value| value.rsplit(',')).take(MOST) {
        let Ok(address) = text.trim().parse::<IpAddr>() else { break };
        path.push(address.to_canonical());
        if !proxies.trusts(address) {
            break;
        }
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(peer: &str, forwarded: &[&str], proxies: &str) -> (String, Vec<String>) {
        let (mut extensions, mut headers) = (Extensions::new(), HeaderMap::new());
        extensions.insert(Peer(peer.parse().expect("an address")));
        for value in forwarded {
            headers.append(FORWARDED_FOR, value.parse().expect("a value"));
        }
        let proxies = proxies.parse().expect("proxies");
        let client = client(&extensions, &headers, &proxies).expect("it has a peer");
        (client.to_string(), addresses(&extensions, &headers, &proxies))
    }

    #[test]
    fn only_trusted_proxies_tell_the_address_of_a_client() {
        for (peer, forwarded, proxies, client, all) in [
            ("10.0.0.1", &["1.2.3.4"][..], "none", "10.0.0.1", &["10.0.0.1"][..]),
            ("::ffff:10.0.0.1", &["1.2.3.4"], "10.0.0.0/8", "1.2.3.4", &["1.2.3.4", "10.0.0.1"]),
            ("10.0.0.1", &["6.6.6.6, 1.2.3.4"], "10.0.0.0/8", "1.2.3.4", &["1.2.3.4", "10.0.0.1"]),
            ("10.0.0.1", &["1.2.3.4", "10.0.0.2"], "10.0.0.0/8", "1.2.3.4", &["1.2.3.4", "10.0.0.2", "10.0.0.1"]),
            ("10.0.0.1", &["1.2.3.4, nonsense"], "10.0.0.1", "10.0.0.1", &["10.0.0.1"]),
            ("10.0.0.1", &[], "10.0.0.1", "10.0.0.1", &["10.0.0.1"]),
            ("fd00::7", &["2001:db8::1"], "fd00::/64", "2001:db8::1", &["2001:db8::1", "fd00::7"]),
        ] {
            assert_eq!(
                told(peer, forwarded, proxies),
                (client.into(), all.iter().map(ToString::to_string).collect()),
                "{peer} {forwarded:?}"
            );
        }
        assert!(super::client(&Extensions::new(), &HeaderMap::new(), &TrustedProxies::default()).is_none());
    }
}

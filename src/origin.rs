//! Hosts and the origins of web pages, as requests and settings have them.

use std::{
    net::{IpAddr, Ipv6Addr},
    str::FromStr,
};

/// Origins of pages that may ask: `none`, or a list of `https://host:port` as browsers write them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origins(Vec<String>);

impl Origins {
    /// `true` if there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Tells if pages of this origin may send requests.
    pub fn allow(&self, origin: &str) -> bool {
        !self.0.is_empty() && normal_origin(origin).is_some_and(|origin| self.0.contains(&origin))
    }
}

impl FromStr for Origins {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        if matches!(text.trim(), "" | "none") {
            return Ok(Self::default());
        }
        let origin = |text: &str| {
            normal_origin(text.trim()).ok_or_else(|| {
                format!("{text:?} is no origin: expected scheme://host or scheme://host:port, without a path")
            })
        };
        text.split(',').map(origin).collect::<std::result::Result<_, _>>().map(Self)
    }
}

/// An origin in lower case and without the default port of its scheme; `None` if it is invalid.
fn normal_origin(text: &str) -> Option<String> {
    let text = text.to_ascii_lowercase();
    let (scheme, authority) = text.split_once("://")?;
    let is_scheme = scheme.starts_with(|c: char| c.is_ascii_lowercase())
        && scheme.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'));
    let Authority { host, port } = Authority::parse(authority)?;
    let port = port.filter(|port| Some(*port) != usual_port(scheme)).map(|port| format!(":{port}")).unwrap_or_default();
    is_scheme.then(|| format!("{scheme}://{host}{port}"))
}

fn usual_port(scheme: &str) -> Option<u16> {
    match scheme {
        "http" => Some(80),
        "https" => Some(443),
        _ => None,
    }
}

/// A host and its port, as `Host`, `:authority` and URLs have them.
#[derive(Debug, PartialEq, Eq)]
pub struct Authority {
    /// In lower case and without the dot at the end of a name that is complete; an IPv6 address in brackets.
    pub host: String,
    /// `None` if absent.
    pub port: Option<u16>,
}

impl Authority {
    /// `None` if it is not a host, or has a user in front.
    pub fn parse(text: &str) -> Option<Self> {
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) if !host.contains(':') || host.ends_with(']') => (host, Some(port)),
            _ => (text, None),
        };
        let port = match port {
            None | Some("") => None,
            Some(port) if port.bytes().all(|b| b.is_ascii_digit()) => Some(port.parse().ok()?),
            Some(_) => return None,
        };
        let host = host.to_ascii_lowercase();
        let name = host.strip_suffix('.').unwrap_or(&host);
        let is_name = name.split('.').all(|label| !label.is_empty())
            && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_'));
        let is_address = name.strip_prefix('[').and_then(|n| n.strip_suffix(']')).is_some_and(|address| {
            let address = address.split('%').next().unwrap_or_default();
            address.parse::<Ipv6Addr>().is_ok()
        });
        (is_name || is_address).then(|| Self { host: name.to_owned(), port })
    }

    /// `true` if no name server decides where this leads.
    pub fn is_local_or_address(&self) -> bool {
        let host = self.host.as_str();
        host == "localhost" || host.ends_with(".localhost") || host.starts_with('[') || host.parse::<IpAddr>().is_ok()
    }
}

/// Tells if an origin is that of the requested host. Its scheme is ignored, since TLS may end in a proxy.
pub fn is_origin_of(origin: &str, host: &str) -> bool {
    let Some((scheme, of_origin)) = origin.split_once("://") else { return false };
    let (Some(theirs), Some(ours)) = (Authority::parse(of_origin), Authority::parse(host)) else { return false };
    let usual = usual_port(&scheme.to_ascii_lowercase());
    theirs.host == ours.host && theirs.port.or(usual) == ours.port.or(usual)
}

/// Proxies whose `X-Forwarded-For` counts: `none`, or a list of addresses and networks (`10.0.0.0/8`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustedProxies(Vec<(IpAddr, u32)>);

impl TrustedProxies {
    /// `true` if an address is that of a trusted proxy.
    pub fn trusts(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|(network, bits)| match (network, address) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                (network.to_bits() ^ address.to_bits()).leading_zeros() >= *bits
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                (network.to_bits() ^ address.to_bits()).leading_zeros() >= *bits
            }
            _ => false,
        })
    }
}

impl FromStr for TrustedProxies {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        if matches!(text.trim(), "" | "none") {
            return Ok(Self::default());
        }
        let network = |text: &str| {
            let (address, bits) = text.trim().split_once('/').map_or((text.trim(), None), |(a, b)| (a, Some(b)));
            let address: IpAddr = address.parse().ok()?;
            let most = if address.is_ipv4() { 32 } else { 128 };
            let bits = bits.map_or(Some(most), |bits| bits.parse().ok().filter(|bits| *bits <= most))?;
            Some((address, bits))
        };
        let told = |text: &str| {
            network(text).ok_or_else(|| format!("{text:?} is neither an address nor a network as 10.0.0.0/8"))
        };
        text.split(',').map(told).collect::<std::result::Result<_, _>>().map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn authorities_are_read_as_browsers_write_them() {
        let of = |text: &str| Authority::parse(text).map(|a| (a.host, a.port));
        for (text, host, port) in [
            ("LocalHost", "localhost", None),
            ("localhost.:8080", "localhost", Some(8080)),
            ("a.localhost:", "a.localhost", None),
            ("127.0.0.1:1", "127.0.0.1", Some(1)),
            ("[::1]:8080", "[::1]", Some(8080)),
            ("[::FFFF:127.0.0.1]", "[::ffff:127.0.0.1]", None),
        ] {
            assert_eq!(of(text), Some((host.into(), port)), "{text}");
        }
        for text in
            ["", ".", "a..b", "::1", "[::1", "[x]", "a:b", "a:99999", "user@localhost", "a/b", "a b", "localhost:+1"]
        {
            assert_eq!(of(text), None, "{text:?}");
        }
    }

    #[test]
    fn names_that_a_server_resolves_are_not_local() {
        let is_local = |text: &str| Authority::parse(text).is_some_and(|a| a.is_local_or_address());
        for text in ["localhost", "x.localhost", "LOCALHOST.", "10.0.0.1", "[fe80::1]", "0.0.0.0"] {
            assert!(is_local(text), "{text}");
        }
        for text in
            ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "xlocalhost", "2130706433", "127.1"]
        {
            assert!(!is_local(text), "{text}");
        }
    }

    #[test]
    fn an_origin_is_compared_with_its_usual_port() {
        assert!(is_origin_of("http://localhost:8080", "LOCALHOST:8080"));
        assert!(is_origin_of("https://podberth.example", "podberth.example:443"));
        assert!(is_origin_of("http://podberth.example:80", "podberth.example"));
        for (origin, host) in
            [("http://localhost:1", "localhost:2"), ("null", "localhost"), ("http://a", "b"), ("", "")]
        {
            assert!(!is_origin_of(origin, host), "{origin} {host}");
        }
        let origins: Origins = "https://UI.example:443, http://localhost:3000".parse().expect("origins");
        assert!(origins.allow("https://ui.example") && origins.allow("http://localhost:3000"));
        assert!(!origins.allow("http://ui.example") && !origins.allow("null") && !Origins::default().allow("null"));
        for wrong in ["*", "ui.example", "https://ui.example/path", "null"] {
            assert!(wrong.parse::<Origins>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn proxies_are_addresses_and_networks() {
        let proxies: TrustedProxies = "10.0.0.0/8, 192.168.1.7, fd00::/8".parse().expect("proxies");
        for (address, is_trusted) in [
            ("10.255.0.1", true),
            ("11.0.0.1", false),
            ("192.168.1.7", true),
            ("192.168.1.8", false),
            ("::ffff:10.0.0.1", true),
            ("fd12::1", true),
            ("fe80::1", false),
        ] {
            assert_eq!(proxies.trusts(address.parse().expect("an address")), is_trusted, "{address}");
        }
        assert!("0.0.0.0/0".parse::<TrustedProxies>().is_ok_and(|all| all.trusts([1, 2, 3, 4].into())));
        for wrong in ["10.0.0.0/33", "proxy.example", "10.0.0.1,", "::/129"] {
            assert!(wrong.parse::<TrustedProxies>().is_err(), "{wrong}");
        }
    }
}

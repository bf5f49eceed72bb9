//! The hosts at which the extenders of a policy may be called. Without this list the author of a policy could make this process call
//! anything that it can reach.

use std::{fmt, str::FromStr};

/// The hosts that extenders may be called at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ExtenderHosts {
    /// None: extenders are not called.
    #[default]
    None,
    /// Any.
    Any,
    /// Those that one of these is about.
    Only(Vec<HostPattern>),
}

/// A host, or all below a domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostPattern {
    /// In lower case. Where it begins with a dot, every host that ends so is meant.
    host: String,
    /// `None` for every port.
    port: Option<u16>,
}

impl ExtenderHosts {
    /// `true` if a host and port, as in a URL, may be called.
    pub fn allow(&self, host: &str, port: u16) -> bool {
        match self {
            Self::None => false,
            Self::Any => true,
            Self::Only(patterns) => patterns.iter().any(|pattern| pattern.matches(host, port)),
        }
    }
}

impl HostPattern {
    fn matches(&self, host: &str, port: u16) -> bool {
        let host = host.to_ascii_lowercase();
        let is_below = self.host.starts_with('.') && host.len() > self.host.len() && host.ends_with(&self.host);
        (host == self.host || is_below) && self.port.is_none_or(|only| only == port)
    }
}

impl FromStr for ExtenderHosts {
    type Err = String;

    /// `none`, `any`, or hosts joined by commas: `name`, `name:port`, `*.domain`, `[address]:port`.
    fn from_str(text: &str) -> Result<Self, String> {
        match text.trim() {
            "none" | "" => Ok(Self::None),
            "any" | "*" => Ok(Self::Any),
            list => list.split(',').map(|host| host.trim().parse()).collect::<Result<_, _>>().map(Self::Only),
        }
    }
}

impl FromStr for HostPattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is no host: expected name, name:port, *.domain or [address]:port");
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) if !host.contains(':') || host.ends_with(']') => (host, Some(port)),
            _ => (text, None),
        };
        let port = port.map(str::parse).transpose().map_err(|_| wrong())?;
        let host = host.to_ascii_lowercase();
        let host = host.strip_prefix('*').filter(|domain| domain.starts_with('.')).map_or(host.clone(), str::to_owned);
        let name = host.strip_prefix('.').unwrap_or(&host);
        let is_address = name.strip_prefix('[').and_then(|n| n.strip_suffix(']')).is_some_and(|address| {
            !address.is_empty() && address.chars().all(|c| c.is_ascii_hexdigit() || matches!(c, ':' | '.'))
        });
        let is_name = !name.is_empty()
            && !name.starts_with('.')
            && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_'));
        if is_address || is_name { Ok(Self { host, port }) } else { Err(wrong()) }
    }
}

impl fmt::Display for ExtenderHosts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::Any => f.write_str("any"),
            Self::Only(patterns) => {
                for (i, HostPattern { host, port }) in patterns.iter().enumerate() {
                    let (comma, star) = (if i > 0 { "," } else { "" }, if host.starts_with('.') { "*" } else { "" });
                    write!(f, "{comma}{star}{host}")?;
                    port.map_or(Ok(()), |port| write!(f, ":{port}"))?;
                }
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_allowed_by_name_port_and_domain() {
        let hosts: ExtenderHosts = "GPU.kube-system.svc:8888, *.example.com,10.0.0.1,[::1]:80".parse().unwrap();
        assert_eq!(hosts.to_string(), "gpu.kube-system.svc:8888,*.example.com,10.0.0.1,[::1]:80");
        for (host, port, allowed) in [
            ("gpu.kube-system.svc", 8888, true),
            ("Gpu.Kube-System.Svc", 8888, true),
            ("gpu.kube-system.svc", 80, false),
            ("a.example.com", 1, true),
            ("a.b.example.com", 443, true),
            ("example.com", 443, false),
            ("badexample.com", 443, false),
            ("10.0.0.1", 7, true),
            ("10.0.0.10", 7, false),
            ("[::1]", 80, true),
            ("[::1]", 81, false),
            ("169.254.169.254", 80, false),
        ] {
            assert_eq!(hosts.allow(host, port), allowed, "{host}:{port}");
        }
        assert!(!ExtenderHosts::default().allow("localhost", 80) && ExtenderHosts::Any.allow("localhost", 80));
        assert_eq!(("none".parse(), "any".parse()), (Ok(ExtenderHosts::None), Ok(ExtenderHosts::Any)));
        for bad in ["a,,b", "http://a", "a:99999", "a/b", "*", "*a", "*.", "::1", "[]", "[x]:1", "a b", "*..a"] {
            let only: Result<HostPattern, String> = bad.parse();
            assert!(only.is_err() || bad.contains(','), "{bad}");
            assert!(bad == "*" || bad.parse::<ExtenderHosts>().is_err(), "{bad}");
        }
    }

    proptest::proptest! {
        #[test]
        fn a_host_list_prints_as_it_was_read(text in r"[a-z*.:\[\],0-9]{0,20}") {
            if let Ok(hosts) = text.parse::<ExtenderHosts>() {
                proptest::prop_assert_eq!(hosts.to_string().parse::<ExtenderHosts>(), Ok(hosts));
            }
        }
    }
}

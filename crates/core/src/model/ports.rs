//! Host ports.
//!
//! Source: `pkg/scheduler/framework/types.go` (`HostPortInfo`).

use super::Name;

/// Transport of a host port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Protocol {
    Tcp,
    Udp,
    Sctp,
}

/// A port that a pod takes on its node. Port 0 (none asked for) never becomes one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostPort {
    /// The address it is taken on; `0.0.0.0` where none was given, which means all of them.
    pub ip: Name,
    /// The transport.
    pub protocol: Protocol,
    /// 1..=65535.
    pub port: u16,
}

impl HostPort {
    /// The wildcard address.
    pub const ANY_IP: &'static str = "0.0.0.0";

    /// `true` if one node cannot have both: same transport and port, and the same address or all addresses.
    pub fn conflicts_with(&self, other: &Self) -> bool {
        self.port == other.port
            && self.protocol == other.protocol
            && (self.ip == other.ip || &*self.ip == Self::ANY_IP || &*other.ip == Self::ANY_IP)
    }
}

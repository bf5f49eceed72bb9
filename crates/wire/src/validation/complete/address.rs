//! Addresses and ranges of them, in the forms in which the API server accepts them.
//!
//! Source: `k8s.io/utils/net` (`ParseIPSloppy`, `ParseCIDRSloppy`).

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// An address, read as the API server does: the parts of an IPv4 address may begin with zeros.
pub(super) fn lenient(text: &str) -> Option<IpAddr> {
    text.parse().ok().or_else(|| {
        let parts = text.split('.').map(|part| {
            let is_number = !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
            part.trim_start_matches('0')
                .parse()
                .ok()
                .or_else(|| part.bytes().all(|b| b == b'0').then_some(0_u8))
                .filter(|_| is_number)
        });
        let parts: Option<Vec<u8>> = parts.collect();
        parts.and_then(|parts| <[u8; 4]>::try_from(parts).ok()).map(|parts| Ipv4Addr::from(parts).into())
    })
}

/// A range of addresses, read like [`lenient`]: its address, and the length of its prefix.
pub(super) fn lenient_range(text: &str) -> Option<(IpAddr, u8)> {
    let (address, bits) = text.split_once('/')?;
    let address = lenient(address)?;
    let bits = Some(bits).filter(|bits| !bits.is_empty() && bits.bytes().all(|byte| byte.is_ascii_digit()))?;
    let bits = bits.parse().ok()?;
    (bits <= width(address)).then_some((address, bits))
}

pub(super) fn width(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

/// The address within an IPv4-mapped one, or the address.
pub(super) fn unmapped(address: IpAddr) -> IpAddr {
    address.to_canonical()
}

/// `true` if others may read the text otherwise or not at all.
pub(super) fn is_odd(text: &str) -> bool {
    text.parse::<IpAddr>().map_or(true, |address| unmapped(address) != address)
}

/// The first address of a range.
pub(super) fn masked(address: IpAddr, bits: u8) -> IpAddr {
    let keep = |width: u8| u32::from(width - bits);
    match address {
        IpAddr::V4(address) => Ipv4Addr::from(u32::from(address) & u32::MAX.checked_shl(keep(32)).unwrap_or(0)).into(),
        IpAddr::V6(address) => {
            Ipv6Addr::from(u128::from(address) & u128::MAX.checked_shl(keep(128)).unwrap_or(0)).into()
        }
    }
}

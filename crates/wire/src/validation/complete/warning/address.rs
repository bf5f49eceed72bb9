//! Addresses that are accepted in more forms than they should have.
//!
//! Source: `apimachinery/pkg/util/validation/ip.go` (`GetWarningsForIP`, `GetWarningsForCIDR`).

use crate::validation::complete::{
    address::{is_odd, lenient, lenient_range, masked, unmapped, width},
    part::Part,
};

pub(super) fn of_address(part: &Part<'_>, told: &mut Vec<String>) {
    let (text, at) = (part.text(), part.at);
    let Some(address) = lenient(text) else { return };
    if is_odd(text) {
        told.push(format!(
            "{at}: non-standard IP address {text:?} will be considered invalid in a future Kubernetes release: use {:?}",
            unmapped(address).to_string()
        ));
    } else if address.is_ipv6() && address.to_string() != text {
        told.push(format!(
            "{at}: IPv6 address {text:?} should be in RFC 5952 canonical format ({:?})",
            address.to_string()
        ));
    }
}

pub(super) fn of_range(part: &Part<'_>, told: &mut Vec<String>) {
    let (text, at) = (part.text(), part.at);
    let Some((address, bits)) = lenient_range(text) else { return };
    let first = masked(address, bits);
    let range = format!("{first}/{bits}");
    let (before, written) = text.split_once('/').unwrap_or_default();
    let (is_ambiguous, is_odd) = (first != address, is_odd(before) || (written.len() > 1 && written.starts_with('0')));
    if is_ambiguous {
        let alone = format!("{address}/{}", width(address));
        told.push(format!(
            "{at}: CIDR value {text:?} is ambiguous in this context (should be {range:?} or {alone:?}?)"
        ));
    }
    if is_odd {
        told.push(format!(
            "{at}: non-standard CIDR value {text:?} will be considered invalid in a future Kubernetes release: use {range:?}"
        ));
    }
    if !is_ambiguous && !is_odd && address.is_ipv6() && range != text {
        told.push(format!("{at}: IPv6 CIDR value {text:?} should be in RFC 5952 canonical format ({range:?})"));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn told(text: &str, of: fn(&Part<'_>, &mut Vec<String>)) -> Vec<String> {
        let (value, mut told) = (json!(text), Vec::new());
        of(&Part::whole(&value), &mut told);
        told
    }

    #[test]
    fn addresses_in_odd_forms_are_told_with_the_usual_one() {
        for usual in ["10.0.0.1", "2001:db8::1", "::1", "x", ""] {
            assert_eq!(told(usual, of_address), Vec::<String>::new(), "{usual}");
        }
        assert!(told("010.0.0.1", of_address)[0].contains(r#"non-standard IP address "010.0.0.1""#));
        assert!(told("::ffff:1.2.3.4", of_address)[0].ends_with(r#"use "1.2.3.4""#));
        assert!(told("2001:DB8::1", of_address)[0].ends_with(r#"canonical format ("2001:db8::1")"#));
    }

    #[test]
    fn ranges_in_odd_forms_are_told_with_the_usual_one() {
        for usual in ["10.0.0.0/8", "2001:db8::/64", "0.0.0.0/0", "10.0.0.0", "10.0.0.0/33"] {
            assert_eq!(told(usual, of_range), Vec::<String>::new(), "{usual}");
        }
        assert!(told("10.1.2.3/8", of_range)[0].ends_with(r#"(should be "10.0.0.0/8" or "10.1.2.3/32"?)"#));
        assert!(told("10.0.0.0/08", of_range)[0].ends_with(r#"use "10.0.0.0/8""#));
        assert!(told("2001:DB8::/64", of_range)[0].contains("RFC 5952"));
    }
}

//! Names that Kubernetes calls qualified: an optional DNS prefix, a slash, and a name.
//!
//! Source: `apimachinery/pkg/util/validation/validation.go` (`IsQualifiedName`), `pkg/apis/core/v1/helper/helpers.go`
//! (`IsExtendedResourceName`).

use crate::fault::Fault;

const NAME: &str = "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an \
                    alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is \
                    '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
const PREFIX: &str = "prefix part a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' \
                      or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for \
                      validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const SHAPE: &str = "a qualified name must consist of alphanumeric characters, '-', '_' or '.', and must start and end \
                     with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for \
                     validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]') with an optional DNS subdomain prefix \
                     and '/' (e.g. 'example.com/MyName')";
const MAX_NAME: usize = 63;
const MAX_PREFIX: usize = 253;

/// The reasons why a text is no qualified name, in Kubernetes' words; none if it is one.
pub(super) fn reasons(text: &str) -> Vec<String> {
    let (prefix, name) = match text.split_once('/') {
        Some((_, name)) if name.contains('/') => return vec![SHAPE.to_owned()],
        Some((prefix, name)) => (Some(prefix), name),
        None => (None, text),
    };
    let mut reasons = Vec::new();
    match prefix {
        Some("") => reasons.push("prefix part must be non-empty".to_owned()),
        Some(prefix) => {
            if prefix.len() > MAX_PREFIX {
                reasons.push(format!("prefix part must be no more than {MAX_PREFIX} characters"));
            }
            if !prefix.split('.').all(is_dns_label) {
                reasons.push(PREFIX.to_owned());
            }
        }
        None => {}
    }
    if name.is_empty() {
        reasons.push("name part must be non-empty".to_owned());
    } else if name.len() > MAX_NAME {
        reasons.push(format!("name part must be no more than {MAX_NAME} characters"));
    }
    if !is_name(name) {
        reasons.push(NAME.to_owned());
    }
    reasons
}

/// Reports the faults of a label key.
pub(super) fn label_key(field: &str, key: &str, faults: &mut Vec<Fault>) {
    faults.extend(reasons(key).into_iter().map(|why| Fault::invalid_text(field, key, why)));
}

/// Reports the faults of an extended resource's name.
pub(super) fn extended_resource(field: &str, name: &str, faults: &mut Vec<Fault>) {
    let why = reasons(name);
    let native = !name.contains('/') || name.contains("kubernetes.io/");
    let for_quota = || reasons(&format!("requests.{name}"));
    if !why.is_empty() {
        // A resource name is printed without quotes here, being no string type in Go.
        faults.extend(why.into_iter().map(|why| Fault::invalid(field, name, why)));
    } else if native || name.starts_with("requests.") || !for_quota().is_empty() {
        faults.push(Fault::invalid_text(field, name, "is an invalid extended resource name"));
    }
}

fn is_name(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.first().is_some_and(u8::is_ascii_alphanumeric)
        && bytes.last().is_some_and(u8::is_ascii_alphanumeric)
        && bytes.iter().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(b))
}

fn is_dns_label(text: &str) -> bool {
    let plain = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = text.as_bytes();
    bytes.first().is_some_and(plain) && bytes.last().is_some_and(plain) && bytes.iter().all(|b| plain(b) || *b == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn qualified_names() {
        for good in ["a", "A-1_b.c", "example.com/f", "a-b.c/X", &"x".repeat(63)] {
            assert!(reasons(good).is_empty(), "{good}");
        }
        for bad in ["", "-a", "a-", "a b", "/a", "a/", "a/b/c", "Upper.com/a", "a..b/c", "é", &"x".repeat(64)] {
            assert!(!reasons(bad).is_empty(), "{bad}");
        }
    }

    #[test]
    fn extended_resources_have_a_domain_outside_kubernetes() {
        let told = |name: &str| {
            let mut faults = Vec::new();
            extended_resource("f", name, &mut faults);
            faults.into_iter().map(|f| f.to_string()).collect::<Vec<_>>()
        };
        assert!(told("example.com/gpu").is_empty());
        assert_eq!(told("cpu"), [r#"f: Invalid value: "cpu": is an invalid extended resource name"#]);
        assert_eq!(
            told("kubernetes.io/x"),
            [r#"f: Invalid value: "kubernetes.io/x": is an invalid extended resource name"#]
        );
        assert_eq!(told("requests.example.com/x").len(), 1);
    }
}

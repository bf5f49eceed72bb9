//! The rules for names, label keys and label values.
//!
//! Source: `apimachinery/pkg/util/validation/validation.go`.

/// A rule for names.
pub type NameRule = fn(&str) -> Result<(), &'static str>;

fn is_label(text: &str, upper: bool, inner: &[u8]) -> bool {
    let edge = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || (upper && b.is_ascii_uppercase());
    let bytes = text.as_bytes();
    bytes.first().is_some_and(|b| edge(*b))
        && bytes.last().is_some_and(|b| edge(*b))
        && bytes.iter().all(|b| edge(*b) || inner.contains(b))
}

/// An RFC 1123 label: at most 63 of `[a-z0-9-]`, letters or digits at both ends.
pub fn dns_label(name: &str) -> Result<(), &'static str> {
    if name.len() > 63 {
        Err("must be no more than 63 characters")
    } else if is_label(name, false, b"-") {
        Ok(())
    } else if dns_subdomain(name).is_ok() {
        Err("must not contain dots")
    } else {
        Err("a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and \
             end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is \
             '[a-z0-9]([-a-z0-9]*[a-z0-9])?')")
    }
}

/// All that is wrong with an RFC 1123 label, in the API server's order.
pub fn dns_label_faults(name: &str) -> Vec<&'static str> {
    let long = if name.len() > 63 { dns_label(name).err() } else { None };
    // The rest does not depend on the length: the first and the last character and those between them.
    let rest = if is_label(name, false, b"-") {
        None
    } else if dns_subdomain(name).is_ok() {
        Some("must not contain dots")
    } else {
        dns_label(name.get(..name.len().min(63)).unwrap_or("")).err()
    };
    long.into_iter().chain(rest).collect()
}

/// An RFC 1123 subdomain: labels joined by dots, at most 253 characters.
pub fn dns_subdomain(name: &str) -> Result<(), &'static str> {
    if name.len() > 253 {
        Err("must be no more than 253 characters")
    } else if name.split('.').all(|label| is_label(label, false, b"-")) {
        Ok(())
    } else {
        Err("a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must \
             start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is \
             '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')")
    }
}

/// A label key: an optional DNS subdomain and a slash, then at most 63 of `[A-Za-z0-9-_.]`.
pub fn qualified_name(key: &str) -> Result<(), &'static str> {
    let name = match key.split_once('/') {
        None => key,
        Some((prefix, name)) => {
            if dns_subdomain(prefix).is_err() {
                return Err("prefix part a lowercase RFC 1123 subdomain must consist of lower case alphanumeric \
                            characters, '-' or '.', and must start and end with an alphanumeric character (e.g. \
                            'example.com', regex used for validation is \
                            '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')");
            }
            name
        }
    };
    if name.is_empty() {
        Err("name part must be non-empty")
    } else if name.len() > 63 {
        Err("name part must be no more than 63 characters")
    } else if is_label(name, true, b"-_.") {
        Ok(())
    } else {
        Err("name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an \
             alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is \
             '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')")
    }
}

/// A label value: empty, or at most 63 of `[A-Za-z0-9-_.]`.
pub fn label_value(value: &str) -> Result<(), &'static str> {
    if value.len() > 63 {
        Err("must be no more than 63 characters")
    } else if value.is_empty() || is_label(value, true, b"-_.") {
        Ok(())
    } else {
        Err("a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must \
             start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for \
             validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')")
    }
}

/// A DNS-1035 label: an RFC 1123 label that begins with a letter.
pub fn dns_1035_label(name: &str) -> Result<(), &'static str> {
    if name.len() > 63 {
        Err("must be no more than 63 characters")
    } else if is_label(name, false, b"-") && name.starts_with(|first: char| first.is_ascii_lowercase()) {
        Ok(())
    } else {
        Err("a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic \
             character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for \
             validation is '[a-z]([-a-z0-9]*[a-z0-9])?')")
    }
}

/// A segment of a path: anything without `/` and `%` but `.` and `..`
/// (`apimachinery/pkg/api/validation/path/name.go`).
pub fn path_segment(name: &str) -> Result<(), &'static str> {
    match name {
        "." => Err("may not be '.'"),
        ".." => Err("may not be '..'"),
        _ if name.contains('/') => Err("may not contain '/'"),
        _ if name.contains('%') => Err("may not contain '%'"),
        _ => Ok(()),
    }
}

/// The name of a port: at most 15 of `[a-z0-9-]`, a letter among them, no hyphens at the ends or side by side.
pub fn port_name(name: &str) -> Result<(), &'static str> {
    let bytes = name.as_bytes();
    if bytes.len() > 15 {
        Err("must be no more than 15 characters")
    } else if !bytes.iter().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'-') {
        Err("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)")
    } else if !bytes.iter().any(u8::is_ascii_lowercase) {
        Err("must contain at least one letter (a-z)")
    } else if name.contains("--") {
        Err("must not contain consecutive hyphens")
    } else if name.starts_with('-') || name.ends_with('-') {
        Err("must not begin or end with a hyphen")
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_and_bad() {
        for good in ["a", "a-b", "a.b.c", "0", "ip-10-0-0-1.ec2.internal"] {
            assert!(dns_subdomain(good).is_ok(), "{good}");
        }
        for bad in ["", "A", "-a", "a-", "a..b", ".a", "a_b", "a/b", "ä", &"a".repeat(254)] {
            assert!(dns_subdomain(bad).is_err(), "{bad}");
        }
        assert!(dns_label("a.b").is_err() && dns_label(&"a".repeat(64)).is_err() && dns_label("a-b").is_ok());
        for good in ["app", "k8s.io/App_x.y", "a/b", "1"] {
            assert!(qualified_name(good).is_ok(), "{good}");
        }
        for bad in ["", "/a", "a/", "a/b/c", "A/b", "-a", "a b"] {
            assert!(qualified_name(bad).is_err(), "{bad}");
        }
        for good in ["system:node", "A b", "...", "ä"] {
            assert!(path_segment(good).is_ok(), "{good}");
        }
        for bad in [".", "..", "a/b", "50%"] {
            assert!(path_segment(bad).is_err(), "{bad}");
        }
        assert!(label_value("").is_ok() && label_value("A_1.b-c").is_ok() && label_value("a/b").is_err());
    }
}

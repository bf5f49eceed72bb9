//! Semantic versions, as `github.com/blang/semver/v4` reads and compares them.

use std::cmp::Ordering;

/// A semantic version. Versions that differ only in build metadata are equal.
#[derive(Clone, Debug)]
pub struct Semver {
    numbers: [u64; 3],
    before: Vec<Part>,
}

/// A part of a pre-release version. Numbers come before texts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Number(u64),
    Text(String),
}

impl Semver {
    /// Reads a version.
    ///
    /// # Errors
    /// The reason why the text is none.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("Version string empty".into());
        }
        let mut parts = text.splitn(3, '.');
        let (Some(major), Some(minor), Some(rest)) = (parts.next(), parts.next(), parts.next()) else {
            return Err("No Major.Minor.Patch elements found".into());
        };
        let (rest, build) = rest.split_once('+').map_or((rest, None), |(rest, build)| (rest, Some(build)));
        let (patch, before) = rest.split_once('-').map_or((rest, None), |(patch, before)| (patch, Some(before)));
        let numbers = [number(major)?, number(minor)?, number(patch)?];
        if build.is_some_and(|build| !build.split('.').all(is_word)) {
            return Err("Invalid character(s) found in build meta data".into());
        }
        let before = before.map_or(Ok(Vec::new()), |before| before.split('.').map(part).collect())?;
        Ok(Self { numbers, before })
    }

    /// Reads a version after filling in missing numbers and removing a leading `v` and leading zeros.
    ///
    /// # Errors
    /// The reason why the text is none.
    pub fn parse_normalized(text: &str) -> Result<Self, String> {
        let text = text.strip_prefix('v').unwrap_or(text);
        let mut parts: Vec<String> = text.splitn(3, '.').map(without_zeros).collect();
        if let Some(last) = parts.last()
            && parts.len() < 3
            && last.contains(['+', '-'])
        {
            return Err("Short version cannot contain PreRelease/Build meta data".into());
        }
        parts.resize(3, "0".into());
        Self::parse(&parts.join("."))
    }

    /// Major, minor and patch number.
    pub fn numbers(&self) -> [u64; 3] {
        self.numbers
    }
}

impl PartialEq for Semver {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Semver {}

impl PartialOrd for Semver {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Semver {
    fn cmp(&self, other: &Self) -> Ordering {
        let released = |version: &Self| version.before.is_empty();
        self.numbers
            .cmp(&other.numbers)
            .then_with(|| released(self).cmp(&released(other)))
            .then_with(|| self.before.cmp(&other.before))
    }
}

fn is_word(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

fn number(text: &str) -> Result<u64, String> {
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(format!("Invalid character(s) found in number {text:?}"));
    }
    if text.len() > 1 && text.starts_with('0') {
        return Err(format!("Number must not contain leading zeroes {text:?}"));
    }
    text.parse().map_err(|_| format!("number {text:?} is too large"))
}

fn part(text: &str) -> Result<Part, String> {
    if !is_word(text) {
        return Err(format!("Invalid character(s) found in prerelease {text:?}"));
    }
    if text.bytes().all(|b| b.is_ascii_digit()) { number(text).map(Part::Number) } else { Ok(Part::Text(text.into())) }
}

fn without_zeros(part: &str) -> String {
    if part.len() < 2 {
        return part.into();
    }
    let rest = part.trim_start_matches('0');
    if rest.starts_with(|c: char| c.is_ascii_digit()) { rest.into() } else { format!("0{rest}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(text: &str) -> Semver {
        Semver::parse(text).unwrap_or_else(|e| panic!("{text}: {e}"))
    }

    #[test]
    fn versions_are_ordered_as_the_specification_lists_them() {
        let listed = [
            "0.9.9",
            "1.0.0-alpha",
            "1.0.0-alpha.1",
            "1.0.0-alpha.beta",
            "1.0.0-beta",
            "1.0.0-beta.2",
            "1.0.0-beta.11",
            "1.0.0-rc.1",
            "1.0.0",
            "1.0.1",
            "1.2.0",
            "2.0.0",
            "10.0.0",
        ];
        for (i, a) in listed.iter().enumerate() {
            for (j, b) in listed.iter().enumerate() {
                assert_eq!(version(a).cmp(&version(b)), i.cmp(&j), "{a} and {b}");
            }
        }
        assert_eq!(version("1.0.0+a"), version("1.0.0+b"), "build metadata does not count");
    }

    #[test]
    fn invalid_versions_are_refused_and_short_ones_normalized() {
        for bad in ["", "1", "1.2", "01.0.0", "1.0.0-01", "1.0.0-", "1.0.0+", "v1.0.0", "1.0.x", "1.0.0-a_b", "-1.0.0"]
        {
            assert!(Semver::parse(bad).is_err(), "{bad}");
        }
        for (text, same) in
            [("v1.0.0", "1.0.0"), ("1.0", "1.0.0"), ("01.01.01", "1.1.1"), ("1", "1.0.0"), ("1.0.0-a", "1.0.0-a")]
        {
            assert_eq!(Semver::parse_normalized(text), Ok(version(same)), "{text}");
        }
        assert!(Semver::parse_normalized("1.0-a").is_err());
    }
}

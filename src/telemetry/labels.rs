//! Labels whose values clients choose: a bounded number of values is counted separately, the others together.

use std::{
    collections::BTreeSet,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// Largest number of separate values at a time.
const AT_ONCE: usize = 16;

/// How many there are in the life of a process. The recorder forgets none.
const EVER: usize = 256;

/// The label value under which all further values count.
const OTHER: &str = "other";

/// The names of policies.
pub static PROFILES: Label = Label::new("profile", &["", "default", "(request)"]);

/// Hosts and ports of extenders.
pub static EXTENDERS: Label = Label::new("extender", &["", "(request)"]);

/// Clusters that mirror live ones.
pub static CLUSTERS: Label = Label::new("cluster", &["default"]);

/// One label.
#[derive(Debug)]
pub struct Label {
    name: &'static str,
    /// Values that clients cannot choose.
    fixed: &'static [&'static str],
    values: Mutex<Values>,
}

#[derive(Debug)]
struct Values {
    told: BTreeSet<String>,
    ever: BTreeSet<String>,
}

impl Label {
    const fn new(name: &'static str, fixed: &'static [&'static str]) -> Self {
        Self { name, fixed, values: Mutex::new(Values { told: BTreeSet::new(), ever: BTreeSet::new() }) }
    }

    /// The value to count under.
    pub fn of(&self, value: &str) -> String {
        if self.fixed.contains(&value) {
            return value.to_owned();
        }
        let mut values = self.lock();
        if values.told.contains(value) {
            return value.to_owned();
        }
        let is_new = !values.ever.contains(value);
        if values.told.len() >= AT_ONCE || (is_new && values.ever.len() >= EVER) {
            return OTHER.to_owned();
        }
        values.told.insert(value.to_owned());
        values.ever.insert(value.to_owned());
        value.to_owned()
    }

    /// Makes room: of the values only these are still about something.
    pub fn retain(&self, there: &BTreeSet<String>) {
        self.lock().told.retain(|value| there.contains(value));
    }

    /// Tells if a line of metrics has no such label, or has a value that still exists.
    pub fn tells(&self, line: &str) -> bool {
        let value = line.split_once(&format!("{}=\"", self.name)).and_then(|(_, rest)| rest.split_once('"'));
        value.is_none_or(|(value, _)| value == OTHER || self.fixed.contains(&value) || self.lock().told.contains(value))
    }

    fn lock(&self) -> MutexGuard<'_, Values> {
        // After a panic between two changes a removed value may still be shown, at worst.
        self.values.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_bounded_at_a_time_and_for_ever() {
        let label = Label::new("profile", &["default"]);
        let count = |names: std::ops::Range<usize>| {
            names.map(|i| label.of(&format!("p{i}"))).filter(|value| value != OTHER).count()
        };
        assert_eq!(count(0..100), AT_ONCE);
        assert_eq!(
            (label.of("default"), label.of("p0"), label.of("p99")),
            ("default".into(), "p0".into(), OTHER.into())
        );
        label.retain(&BTreeSet::from(["p0".to_owned()]));
        assert_eq!(count(100..200), AT_ONCE - 1, "what is gone makes room");
        for round in 0..100 {
            label.retain(&BTreeSet::new());
            count(round * 100..round * 100 + 100);
        }
        label.retain(&BTreeSet::new());
        assert_eq!(label.of("another"), OTHER, "the process has told enough apart");
        assert_eq!(label.of("p0"), "p0");
    }

    #[test]
    fn lines_with_unknown_label_values_are_hidden() {
        let label = Label::new("profile", &["default"]);
        label.of("a");
        let told = |line: &str| label.tells(line);
        assert!(told("up 1") && told(r#"x{profile="a",le="1"} 1"#) && told(r#"x{profile="default"} 1"#));
        assert!(told(r#"x{profile="other"} 1"#) && !told(r#"x{result="y",profile="b"} 1"#));
    }
}

//! The setting that names the schedulers which Podberth is itself.

use std::str::FromStr;

use crate::model::Name;

/// Names of schedulers, each with its cluster if that is not the default one. Written `name` or `cluster/name`, separated by commas.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Loops(pub Vec<(Option<Name>, Name)>);

impl FromStr for Loops {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let is_name = |text: &str| {
            let is_part = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'.');
            (1..=253).contains(&text.len()) && text.bytes().all(is_part)
        };
        let named = |entry: &str| {
            let (cluster, name) = entry.split_once('/').map_or((None, entry), |(cluster, name)| (Some(cluster), name));
            let is_valid = is_name(name) && cluster.is_none_or(is_name);
            is_valid
                .then(|| (cluster.map(Name::from), name.into()))
                .ok_or_else(|| format!("{entry:?}: expected the schedulerName of pods, or CLUSTER/NAME"))
        };
        text.split(',').map(|entry| named(entry.trim())).collect::<Result<_, _>>().map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loop_is_of_a_cluster() {
        let of = |text: &str| text.parse::<Loops>().map(|loops| loops.0);
        assert_eq!(of("mine"), Ok(vec![(None, "mine".into())]));
        assert_eq!(
            of("mine, prod/b.example"),
            Ok(vec![(None, "mine".into()), (Some("prod".into()), "b.example".into())])
        );
        for wrong in ["", "/", "a/", "/a", "a/b/c", "Mine", "a b", "a,,b"] {
            assert!(of(wrong).is_err(), "{wrong:?}");
        }
    }
}

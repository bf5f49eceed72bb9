//! Finds the name that a misspelt one was meant for.

/// The name that was most likely meant.
pub fn near<'n>(names: impl Iterator<Item = &'n str>, typed: &str) -> Option<&'n str> {
    // Text far longer than any name is not a misspelt name.
    if typed.len() > 64 {
        return None;
    }
    let most = if typed.len() < 4 { 1 } else { 2 };
    let typed = typed.to_ascii_lowercase();
    names
        .map(|name| (distance(&name.to_ascii_lowercase(), &typed), name))
        .filter(|(distance, _)| *distance <= most)
        .min()
        .map(|(_, name)| name)
}

/// How many letters have to be added, taken out, changed, or swapped with their neighbour.
fn distance(a: &str, b: &str) -> usize {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let changed = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            row[j] = changed.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                row[j] = row[j].min(before[j - 2] + 1);
            }
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_seen_through() {
        let names = ["nodes", "pods", "podName", "policy"];
        for (typed, meant) in [
            ("nods", Some("nodes")),
            ("pood", Some("pods")),
            ("podname", Some("podName")),
            ("polciy", Some("policy")),
            ("x", None),
            ("replicas", None),
        ] {
            assert_eq!(near(names.into_iter(), typed), meant, "{typed}");
        }
    }
}

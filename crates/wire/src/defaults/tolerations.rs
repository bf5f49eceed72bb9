//! Tolerations of a new pod: it stays on a node that is not ready or unreachable for five minutes, unless it sets another time. `/evictions`
//! reads them, and so does every decision about a node that has one of the two taints with `NoExecute` alone.
//!
//! Source: `plugin/pkg/admission/defaulttolerationseconds/admission.go`.

use podberth_core::model::{Effect, Toleration, TolerationOperator};

/// Default time for which a pod stays.
const SECONDS: i64 = 300;

/// The taints that every pod tolerates for a while.
pub(super) const TAINTS: [&str; 2] = ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"];

/// The tolerations to add to these, which are identified by key and effect.
pub(super) fn missing<'a>(said: impl Iterator<Item = (&'a str, &'a str)> + Clone) -> impl Iterator<Item = Toleration> {
    TAINTS
        .into_iter()
        .filter(move |taint| {
            !said.clone().any(|(key, effect)| (key.is_empty() || key == *taint) && matches!(effect, "" | "NoExecute"))
        })
        .map(|taint| Toleration {
            key: taint.into(),
            operator: TolerationOperator::Exists,
            value: "".into(),
            effect: Some(Effect::NoExecute),
            seconds: Some(SECONDS),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pods_tolerate_both_taints_unless_they_say_how_long() {
        let missing = |said: &[(&str, &str)]| missing(said.iter().copied()).map(|t| t.key).collect::<Vec<_>>();
        let [not_ready, unreachable] = TAINTS;
        assert_eq!(missing(&[]), [not_ready.into(), unreachable.into()]);
        assert_eq!(missing(&[(not_ready, "NoExecute")]), [unreachable.into()]);
        assert_eq!(missing(&[(unreachable, ""), (not_ready, "NoSchedule")]), [not_ready.into()]);
        assert!(missing(&[("", "")]).is_empty() && missing(&[("", "NoExecute")]).is_empty());
        assert_eq!(missing(&[("", "NoSchedule"), ("dedicated", "NoExecute")]).len(), 2);
    }
}

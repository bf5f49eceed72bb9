//! The form that an `Accept` header asks for.
//!
//! Source: `go-restful/v3/route.go` (first a type that the path has must be named), `munnerz/goautoneg` (the header),
//! `apiserver/pkg/endpoints/handlers/negotiation/negotiate.go` and `handlers/rest.go` (the first clause that can be met).

use super::{Form, Include, MetaVersion, Representation};

/// Media types that the API server names; its binary one is read here, and never written.
const NAMED: [&str; 3] = ["application/json", "application/yaml", "application/vnd.kubernetes.protobuf"];

/// No form of the header can be had; the message lists those that can.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NotAcceptable(pub String);

/// A clause of the header.
struct Clause<'h> {
    of: &'h str,
    sub: &'h str,
    quality: f32,
    parameters: Vec<(&'h str, &'h str)>,
}

impl<'h> Clause<'h> {
    fn parse(text: &'h str) -> Self {
        let mut parts = text.split(';').map(str::trim);
        let (of, sub) = parts.next().unwrap_or_default().split_once('/').unwrap_or_default();
        let named = parts.filter_map(|part| part.split_once('='));
        let mut parameters: Vec<_> = named.map(|(name, value)| (name.trim(), value.trim())).collect();
        let quality = parameters.iter().find(|(name, _)| *name == "q").and_then(|(_, value)| value.parse().ok());
        parameters.retain(|(name, _)| *name != "q");
        Self { of, sub, quality: quality.unwrap_or(1.0), parameters }
    }

    fn takes(&self, sub: &str) -> bool {
        (self.of == "application" && (self.sub == sub || self.sub == "*")) || (self.of == "*" && self.sub == "*")
    }

    fn parameter(&self, name: &str) -> &'h str {
        self.parameters.iter().find(|(known, _)| *known == name).map(|(_, value)| *value).unwrap_or_default()
    }

    /// The conversion asked for, as `as`, `g` and `v`; all empty if there is none.
    fn conversion(&self) -> [&'h str; 3] {
        ["as", "g", "v"].map(|name| self.parameter(name))
    }
}

/// The best form of objects that a header allows; JSON where there is none.
///
/// # Errors
/// If none is allowed.
pub fn representation(header: Option<&str>, include: Include) -> Result<Representation, NotAcceptable> {
    choose(header, |[kind, group, version], sub| {
        let form = match (kind, group, MetaVersion::parse(version)) {
            ("", "", _) if version.is_empty() => Form::Whole,
            ("Table", "meta.k8s.io", Some(version)) => Form::Table(version, include),
            ("PartialObjectMetadata", "meta.k8s.io", Some(version)) => Form::Metadata(version),
            ("PartialObjectMetadataList", "meta.k8s.io", Some(version)) => Form::MetadataList(version),
            _ => return None,
        };
        Some(Representation { form, is_yaml: sub == "yaml" })
    })
}

/// `true` if a header asks for all discovery documents in one before it asks for the plain document.
///
/// # Errors
/// If it allows neither.
pub fn aggregated(header: Option<&str>) -> Result<bool, NotAcceptable> {
    choose(header, |conversion, sub| match conversion {
        ["", "", ""] => Some(false),
        ["APIGroupDiscoveryList", "apidiscovery.k8s.io", "v2"] if sub == "json" => Some(true),
        _ => None,
    })
}

/// The first conversion that can be had, in the order of the client's preference.
fn choose<T>(header: Option<&str>, allow: impl Fn([&str; 3], &str) -> Option<T>) -> Result<T, NotAcceptable> {
    let header = header.map(str::trim).filter(|header| !header.is_empty()).unwrap_or("*/*");
    let mut clauses: Vec<Clause<'_>> = header.split(',').map(|clause| Clause::parse(clause.trim())).collect();
    let is_named = |clause: &Clause<'_>| {
        (clause.of == "*" && clause.sub == "*")
            || NAMED.iter().any(|named| named.split_once('/') == Some((clause.of, clause.sub)))
    };
    if !clauses.iter().any(is_named) {
        let named = NAMED.join(", ");
        return Err(NotAcceptable(format!("406: Not Acceptable\n\nAvailable representations: {named}")));
    }
    clauses.sort_by(|a, b| b.quality.total_cmp(&a.quality));
    let chosen = clauses.iter().find_map(|clause| {
        ["json", "yaml"].into_iter().filter(|sub| clause.takes(sub)).find_map(|sub| allow(clause.conversion(), sub))
    });
    chosen.ok_or_else(|| {
        NotAcceptable("only the following media types are accepted: application/json, application/yaml".into())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(header: &str) -> Result<Representation, NotAcceptable> {
        representation(Some(header), Include::Metadata)
    }

    const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io";

    #[test]
    fn the_first_clause_that_can_be_met_is_chosen() {
        let json = Representation { form: Form::Whole, is_yaml: false };
        let table = |version| Representation { form: Form::Table(version, Include::Metadata), is_yaml: false };
        assert_eq!(representation(None, Include::Metadata), Ok(json));
        for plain in [
            "",
            "*/*",
            "application/json",
            "application/json, */*",
            "text/html,application/xml;q=0.9,*/*;q=0.8",
            "application/vnd.kubernetes.protobuf,application/json",
            "application/vnd.kubernetes.protobuf, */*",
            "application/json;pretty=1",
            "application/json;stream=watch",
            "application/json;charset=utf-8",
            "application/vnd.kubernetes.protobuf;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json",
            "application/json;as=Table;v=v9;g=meta.k8s.io,application/json",
        ] {
            assert_eq!(of(plain), Ok(json), "{plain}");
        }
        assert_eq!(of(TABLE), Ok(table(MetaVersion::V1)));
        assert_eq!(of(&format!("application/json;q=0.5, {TABLE}")), Ok(table(MetaVersion::V1)));
        assert_eq!(
            of("application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json"),
            Ok(table(MetaVersion::V1Beta1))
        );
        assert_eq!(of("application/yaml"), Ok(Representation { is_yaml: true, ..json }));
        let partial = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1";
        assert_eq!(of(partial).map(|chosen| chosen.form), Ok(Form::MetadataList(MetaVersion::V1)));
    }

    #[test]
    fn what_cannot_be_had_is_refused_with_a_list() {
        for header in ["application/xml", "text/html", "application/*", "nonsense", ";;,/"] {
            let NotAcceptable(message) = of(header).expect_err(header);
            assert!(
                message.starts_with("406: Not Acceptable\n\nAvailable representations: application/json, "),
                "{message}"
            );
        }
        for header in [
            "application/vnd.kubernetes.protobuf",
            "application/json;as=Chart;v=v1;g=meta.k8s.io",
            "application/json;as=Table;v=v9;g=meta.k8s.io",
            "application/json;as=Table",
            "application/json;v=v1",
        ] {
            let NotAcceptable(message) = of(header).expect_err(header);
            assert!(
                message.starts_with("only the following media types are accepted: application/json, "),
                "{message}"
            );
        }
    }

    #[test]
    fn discovery_is_aggregated_in_its_current_version_alone() {
        let aggregated = |version: &str| {
            aggregated(Some(&format!(
                "application/json;g=apidiscovery.k8s.io;v={version};as=APIGroupDiscoveryList,application/json"
            )))
        };
        assert_eq!((aggregated("v2"), aggregated("v2beta1")), (Ok(true), Ok(false)));
        assert_eq!(super::aggregated(None), Ok(false));
        assert!(
            super::aggregated(Some("application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList"))
                .is_err()
        );
    }
}

//! Acting as another user: the headers `Impersonate-User`, `-Group`, `-Uid` and `-Extra-…`.
//!
//! Source: `apiserver/pkg/endpoints/filters/impersonation.go`.

use std::collections::BTreeMap;

use axum::http::{HeaderMap, HeaderName};

use crate::{
    core::access::{ANONYMOUS, AUTHENTICATED, ResourceAttributes, UNAUTHENTICATED, User, split_service_account},
    core::model::Name,
    service::access::tokens::impersonating,
};

const USER: HeaderName = HeaderName::from_static("impersonate-user");
const GROUP: HeaderName = HeaderName::from_static("impersonate-group");
const UID: HeaderName = HeaderName::from_static("impersonate-uid");
const EXTRA: &str = "impersonate-extra-";
const GROUP_OF_EXTRA: &str = "authentication.k8s.io";

/// Values of these headers at most.
const MOST: usize = 500;

/// `true` if a request is to be carried out as another user.
pub(super) fn is_asked(headers: &HeaderMap) -> bool {
    headers.contains_key(USER) || headers.contains_key(GROUP) || headers.contains_key(UID)
}

/// Takes these headers off a request: nobody acts on them again.
pub(super) fn forget(headers: &mut HeaderMap) {
    let extra: Vec<HeaderName> = headers.keys().filter(|name| name.as_str().starts_with(EXTRA)).cloned().collect();
    for name in extra.into_iter().chain([USER, GROUP, UID]) {
        headers.remove(name);
    }
}

/// The user of the headers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Impersonated {
    user: String,
    groups: Vec<String>,
    uid: Option<String>,
    extra: BTreeMap<String, Vec<String>>,
}

impl Impersonated {
    /// Reads the headers; `None` if there are none.
    pub(super) fn of(headers: &HeaderMap) -> Result<Option<Self>, String> {
        let text = |value: &axum::http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        let all = |name: &HeaderName| headers.get_all(name).iter().map(text).collect::<Vec<_>>();
        let first = |name: &HeaderName| headers.get(name).map(text).filter(|value| !value.is_empty());
        let mut extra = BTreeMap::new();
        for name in headers.keys().filter(|name| name.as_str().starts_with(EXTRA)) {
            let key = name.as_str().strip_prefix(EXTRA).unwrap_or_default();
            extra.insert(super::request_info::decoded(key).into_owned(), all(name));
        }
        let (user, groups, uid) = (first(&USER), all(&GROUP), first(&UID));
        let Some(user) = user else {
            if groups.is_empty() && uid.is_none() && extra.is_empty() {
                return Ok(None);
            }
            return Err(format!("requested [{}] without impersonating a user", shown(&groups, &extra, uid.as_deref())));
        };
        let count = groups.len() + extra.values().map(Vec::len).sum::<usize>();
        if count > MOST {
            return Err(format!("{count} groups and values to impersonate are too many: the limit is {MOST}"));
        }
        Ok(Some(Self { user, groups, uid, extra }))
    }

    /// The rights that the sender must have.
    pub(super) fn needed(&self) -> Vec<ResourceAttributes<'_>> {
        let mut needed: Vec<_> = impersonating(Some(&self.user), self.groups.iter().map(String::as_str)).collect();
        let of = |resource| ResourceAttributes::new("impersonate", GROUP_OF_EXTRA, resource);
        for (key, values) in &self.extra {
            needed.extend(values.iter().map(|value| of("userextras").below(key).named(value)));
        }
        needed.extend(self.uid.as_deref().map(|uid| of("uids").named(uid)));
        needed
    }

    /// The user, with the groups that everybody is in.
    pub(super) fn into_user(self) -> User {
        let Self { user, groups, uid, extra } = self;
        let mut groups: Vec<Name> = groups.into_iter().map(Name::from).collect();
        if let (true, Some((namespace, _))) = (groups.is_empty(), split_service_account(&user)) {
            groups.push("system:serviceaccounts".into());
            groups.push(format!("system:serviceaccounts:{namespace}").into());
        }
        let is_in = |group: &str| groups.iter().any(|of| &**of == group);
        if user == ANONYMOUS {
            if !is_in(UNAUTHENTICATED) {
                groups.push(UNAUTHENTICATED.into());
            }
        } else if !is_in(AUTHENTICATED) && !is_in(UNAUTHENTICATED) {
            groups.push(AUTHENTICATED.into());
        }
        User { name: user.into(), uid: uid.unwrap_or_default(), groups, extra }
    }
}

/// The objects to impersonate, as Go prints them.
fn shown(groups: &[String], extra: &BTreeMap<String, Vec<String>>, uid: Option<&str>) -> String {
    let groups = groups.iter().map(|group| format!("{{Group  {group}    }}"));
    let extra = extra.iter().flat_map(|(key, values)| {
        values.iter().map(move |value| format!("{{UserExtra  {value}  {GROUP_OF_EXTRA}/v1  {key}}}"))
    });
    let uid = uid.map(|uid| format!("{{UID  {uid}  {GROUP_OF_EXTRA}/v1  }}"));
    groups.chain(extra).chain(uid).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
        let pair = |(name, value): &(&str, &str)| {
            (name.parse::<HeaderName>().expect("a name"), value.parse().expect("a value"))
        };
        let mut headers = HeaderMap::new();
        for (name, value) in pairs.iter().map(pair) {
            headers.append(name, value);
        }
        headers
    }

    #[test]
    fn the_user_and_the_rights_to_act_as_it_come_from_the_headers() {
        let of = |pairs: &[(&str, &str)]| Impersonated::of(&headers(pairs)).expect("good headers").expect("a user");
        let all = of(&[
            ("Impersonate-User", "jane"),
            ("Impersonate-Group", "dev"),
            ("Impersonate-Group", "ops"),
            ("Impersonate-Uid", "u-1"),
            ("Impersonate-Extra-Scopes%2fX", "a"),
        ]);
        let shown: Vec<String> = all
            .needed()
            .iter()
            .map(|of| format!("{}/{}/{} {}", of.group, of.resource, of.subresource, of.name))
            .collect();
        let expected = [
            "/users/ jane",
            "/groups/ dev",
            "/groups/ ops",
            "authentication.k8s.io/userextras/scopes/x a",
            "authentication.k8s.io/uids/ u-1",
        ];
        assert_eq!(shown, expected);
        let groups = |pairs: &[(&str, &str)]| of(pairs).into_user().groups.join(" ");
        let account = ("Impersonate-User", "system:serviceaccount:ns:s");
        assert_eq!(groups(&[("Impersonate-User", "jane")]), AUTHENTICATED);
        assert_eq!(groups(&[account]), "system:serviceaccounts system:serviceaccounts:ns system:authenticated");
        assert_eq!(groups(&[account, ("Impersonate-Group", "x")]), "x system:authenticated");
        assert_eq!(groups(&[("Impersonate-User", ANONYMOUS)]), UNAUTHENTICATED);
        let account_needs = of(&[account]).needed().iter().map(|of| of.resource.to_string()).collect::<Vec<_>>();
        assert_eq!(account_needs, ["serviceaccounts"]);
    }

    #[test]
    fn headers_without_a_user_are_refused() {
        let of = |pairs: &[(&str, &str)]| Impersonated::of(&headers(pairs));
        assert_eq!(of(&[("X", "y")]), Ok(None));
        let refused = "requested [{Group  x    }] without impersonating a user".to_owned();
        assert_eq!(of(&[("Impersonate-Group", "x")]), Err(refused));
        for name in ["Impersonate-Uid", "Impersonate-Extra-a"] {
            assert!(of(&[(name, "x")]).is_err(), "{name}");
        }
        let mut many = vec![("Impersonate-User", "u")];
        many.extend(vec![("Impersonate-Group", "g"); MOST + 1]);
        assert!(of(&many).is_err_and(|error| error.contains("500")));
        let mut kept = headers(&[("Impersonate-User", "u"), ("Impersonate-Extra-a", "x"), ("Accept", "y")]);
        forget(&mut kept);
        assert_eq!(kept.len(), 1);
    }
}

//! Roles, bindings and tokens of a view. What they compile to is kept until a record of the change feed changes them.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use imbl::OrdMap;

use crate::{
    core::{
        access::{Access, Objects},
        model::Name,
    },
    store::Record,
    wire::access::{
        self,
        token::{self, StoredToken, Token, TokenDigest},
    },
};

/// The store's kinds that are read here.
pub fn kinds() -> impl Iterator<Item = &'static str> {
    access::STORED.into_iter().map(|(kind, _)| kind).chain([token::KIND])
}

/// `true` if objects of a store's kind are read here.
pub fn is_read(kind: &str) -> bool {
    kind == token::KIND || access::resource(kind).is_some()
}

/// The objects of one cluster. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Stored(Arc<Inner>);

#[derive(Clone, Debug, Default)]
struct Inner {
    objects: Objects,
    names: OrdMap<Name, TokenDigest>,
    tokens: OrdMap<TokenDigest, Arc<Token>>,
    compiled: Arc<ArcSwapOption<Compiled>>,
}

/// The compiled form of the objects, on top of a layer.
#[derive(Debug)]
struct Compiled {
    below: Arc<Access>,
    access: Arc<Access>,
}

impl Stored {
    /// The roles and bindings, compiled on top of those below.
    pub fn on(&self, below: &Arc<Access>) -> Arc<Access> {
        let Inner { objects, compiled: cell, .. } = &*self.0;
        if let Some(compiled) = &*cell.load()
            && Arc::ptr_eq(&compiled.below, below)
        {
            return compiled.access.clone();
        }
        let access = Arc::new(Access::new(objects.clone(), Some(below.clone())));
        cell.store(Some(Arc::new(Compiled { below: below.clone(), access: access.clone() })));
        access
    }

    /// The token of a digest.
    pub fn token(&self, digest: &TokenDigest) -> Option<&Arc<Token>> {
        self.0.tokens.get(digest)
    }

    /// `true` if there is this token.
    pub fn has(&self, token: &Token) -> bool {
        let found = self.0.names.get(&token.name).and_then(|digest| self.0.tokens.get(digest));
        found.is_some_and(|found| **found == *token)
    }

    /// Takes in a record of the change feed. An object that cannot be read gives no rights.
    pub(super) fn apply(&mut self, record: &Record, complete: u64) {
        if record.body_is_known(complete) {
            return;
        }
        let (inner, name) = (Arc::make_mut(&mut self.0), Name::from(&*record.key.name));
        if let Some(resource) = access::resource(&record.key.kind) {
            let key = (Name::from(&*record.key.namespace), name);
            let read = if record.deleted { Ok(None) } else { access::parse(resource, &record.body) };
            match read.inspect_err(|error| unreadable(record, error)) {
                Ok(Some(object)) => inner.objects.put(key, object),
                _ => inner.objects.remove(resource, key),
            }
            inner.compiled = Arc::default();
            return;
        }
        if let Some(digest) = inner.names.remove(&name) {
            inner.tokens.remove(&digest);
        }
        if record.deleted {
            return;
        }
        match StoredToken::parse(&name, &record.body) {
            Ok((digest, token)) => {
                inner.names.insert(name, digest);
                inner.tokens.insert(digest, Arc::new(token));
            }
            Err(error) => unreadable(record, &error),
        }
    }
}

fn unreadable(record: &Record, error: &dyn std::fmt::Display) {
    tracing::error!(key = ?record.key, revision = record.revision, %error, "a stored object of access control cannot be read");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        core::access::{Attributes, ResourceAttributes, User, built_in},
        store::{Body, Key},
    };

    fn record(kind: &str, revision: u64, body: Option<&str>) -> Record {
        Record {
            key: Key::new(kind, "", "x"),
            uid: "1".into(),
            revision,
            create_revision: 1,
            node: None,
            deleted: body.is_none(),
            body_revision: revision,
            body: Body::from(bytes::Bytes::from(body.unwrap_or_default().to_owned())),
        }
    }

    #[test]
    fn a_compiled_layer_dies_with_the_record_that_changes_it() {
        let attributes = Attributes::Resource(ResourceAttributes::new("get", "", "nodes"));
        let may = |stored: &Stored| {
            stored.on(built_in::access()).verdict("default", &User::new("u", []), &attributes).is_allowed()
        };
        let [_, (roles, _), _, (bindings, _)] = access::STORED;
        let role = r#"{"metadata":{"name":"x"},"rules":[{"verbs":["get"],"apiGroups":[""],"resources":["nodes"]}]}"#;
        let binding = r#"{"metadata":{"name":"x"},"roleRef":{"kind":"ClusterRole","name":"x"},"subjects":[{"kind":"User","name":"u"}]}"#;
        let mut stored = Stored::default();
        stored.apply(&record(roles, 1, Some(role)), 0);
        stored.apply(&record(bindings, 2, Some(binding)), 0);
        assert!(may(&stored));
        let (before, first) = (stored.clone(), stored.on(built_in::access()));
        assert!(Arc::ptr_eq(&first, &stored.on(built_in::access())), "it is compiled once");
        stored.apply(&record(roles, 2, Some("")), 2);
        assert!(may(&stored), "a body that is known changes nothing");
        stored.apply(&record(roles, 3, Some("not json")), 2);
        assert!(!may(&stored), "a role that cannot be read gives no rights");
        stored.apply(&record(roles, 4, Some(role)), 2);
        assert!(may(&stored));
        stored.apply(&record(bindings, 5, None), 2);
        assert!(!may(&stored) && may(&before), "a view taken before stays as it was");
    }

    #[test]
    fn a_token_is_gone_with_its_record() {
        let body = |digest: &str| {
            let digest = digest.repeat(32);
            format!(r#"{{"digest":"{digest}","kind":"user","user":"u","createdAt":"2026-01-01T00:00:00Z"}}"#)
        };
        let mut stored = Stored::default();
        stored.apply(&record(token::KIND, 1, Some(&body("ab"))), 0);
        assert!(stored.token(&[0xab; 32]).is_some_and(|token| &*token.name == "x"));
        stored.apply(&record(token::KIND, 2, Some(&body("cd"))), 0);
        assert!(stored.token(&[0xab; 32]).is_none() && stored.token(&[0xcd; 32]).is_some());
        stored.apply(&record(token::KIND, 3, None), 0);
        assert!(stored.token(&[0xcd; 32]).is_none());
    }
}

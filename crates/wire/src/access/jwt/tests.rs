//! Tests of tokens, key sets and files of issuers: attacks on them, and every good form.

use podberth_testkit::jwt::{Signer, by_hmac, key_set};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::access::authentication;

const NOW: i64 = 1_800_000_000;

/// The issuer of the tests.
pub(crate) fn issuer() -> Issuer {
    let text = r#"
apiVersion: apiserver.config.k8s.io/v1
kind: AuthenticationConfiguration
jwt:
- issuer: {url: https://issuer.example, audiences: [podberth]}
  claimMappings:
    username: {claim: sub, prefix: "oidc:"}
    groups: {claim: groups, prefix: "oidc:"}
    uid: {claim: id}
  claimValidationRules: [{claim: tenant, requiredValue: blue}]
"#;
    authentication::parse(text).expect("a good file").issuers.remove(0)
}

fn claims() -> Value {
    json!({"iss": "https://issuer.example", "sub": "jane", "aud": "podberth", "exp": NOW + 300, "nbf": NOW,
        "tenant": "blue", "groups": ["dev", "ops"], "id": "7"})
}

fn with(change: &Value) -> Value {
    let mut claims = claims();
    for (name, value) in change.as_object().expect("an object") {
        claims[name] = value.clone();
    }
    claims
}

fn keys(signers: &[&Signer]) -> KeySet {
    KeySet::parse(key_set(signers).to_string().as_bytes()).expect("a key set")
}

fn known(token: &str, keys: &KeySet) -> Result<Verified, Refusal> {
    issuer().user(&Jwt::parse(token)?, keys, NOW)
}

#[test]
fn a_token_of_each_algorithm_is_verified_by_its_key_alone() {
    let signers = [Signer::rsa("a"), Signer::p256("b"), Signer::p384("c"), Signer::ed25519("d", 1)];
    let set = keys(&signers.iter().collect::<Vec<_>>());
    for (algorithm, at) in [
        ("RS256", 0),
        ("RS384", 0),
        ("RS512", 0),
        ("PS256", 0),
        ("PS384", 0),
        ("PS512", 0),
        ("ES256", 1),
        ("ES384", 2),
        ("EdDSA", 3),
    ] {
        let signer = &signers[at];
        let token = signer.sign(&json!({"alg": algorithm, "kid": signer.id}), claims().to_string());
        let user = known(&token, &set).expect(algorithm).user;
        assert_eq!((&*user.name, &*user.uid), ("oidc:jane", "7"), "{algorithm}");
        assert_eq!(user.groups.join(" "), "oidc:dev oidc:ops system:authenticated");
        let unnamed = signer.sign(&json!({"alg": algorithm}), claims().to_string());
        assert!(known(&unnamed, &set).is_ok(), "{algorithm} without the name of a key");
        for (other, _) in Algorithm::ALL.iter().filter(|(other, _)| *other != algorithm) {
            let header = json!({"alg": other, "kid": signer.id});
            let signed = token.split_once('.').map(|(_, rest)| rest).expect("three parts");
            let confused = format!("{}.{signed}", URL_SAFE_NO_PAD.encode(header.to_string()));
            assert!(known(&confused, &set).is_err(), "{algorithm} is taken for {other}");
        }
    }
}

#[test]
fn no_secret_is_made_of_a_public_key_and_no_signature_is_none() {
    let (rsa, ed) = (Signer::rsa("a"), Signer::ed25519("b", 1));
    let (set, public) = (keys(&[&rsa, &ed]), rsa.jwk());
    let secrets = [public.to_string(), public["n"].to_string(), ed.jwk()["x"].as_str().unwrap_or_default().into()];
    for secret in secrets.iter().map(String::as_bytes).chain([&b""[..]]) {
        for algorithm in ["HS256", "HS384", "HS512", "RS256", "EdDSA"] {
            let token = by_hmac(secret, &json!({"alg": algorithm, "kid": "a"}), claims().to_string());
            assert!(known(&token, &set).is_err(), "{algorithm}");
        }
    }
    for algorithm in ["none", "None", "NONE", "", "rs256", "ES512", "ES256K", "dir"] {
        let token = rsa.sign(&json!({"alg": algorithm, "kid": "a"}), claims().to_string());
        assert_eq!(known(&token, &set), Err(Refusal::Algorithm), "{algorithm:?}");
        let unsigned = token.rsplit_once('.').map(|(signed, _)| format!("{signed}.")).expect("three parts");
        assert_eq!(known(&unsigned, &set), Err(Refusal::Algorithm), "{algorithm:?}");
    }
    let unsigned = rsa.token(&claims()).rsplit_once('.').map(|(signed, _)| format!("{signed}.")).expect("three parts");
    assert_eq!(known(&unsigned, &set), Err(Refusal::Signature));
}

#[test]
fn keys_in_a_header_are_never_used() {
    let (own, foreign) = (Signer::ed25519("a", 1), Signer::ed25519("a", 2));
    let set = keys(&[&own]);
    let mut header = json!({"alg": "EdDSA", "kid": "a", "jwk": foreign.jwk(), "jku": "https://evil.example/keys",
        "x5u": "https://evil.example/x", "x5c": ["AAAA"]});
    assert_eq!(known(&foreign.sign(&header, claims().to_string()), &set), Err(Refusal::Signature));
    assert!(known(&own.sign(&header, claims().to_string()), &set).is_ok(), "they change nothing");
    for kid in ["b", "../../dev/null", "a\u{0}", "' or 1=1", &"k".repeat(4096)] {
        header["kid"] = kid.into();
        let token = foreign.sign(&header, claims().to_string());
        assert_eq!(known(&token, &set), Err(Refusal::UnknownKey), "{kid}");
    }
    header["kid"] = json!(7);
    assert!(matches!(known(&own.sign(&header, claims().to_string()), &set), Err(Refusal::Malformed(_))));
    let critical = own.sign(&json!({"alg": "EdDSA", "kid": "a", "crit": ["b64"], "b64": false}), claims().to_string());
    assert!(matches!(known(&critical, &set), Err(Refusal::Malformed(_))));
}

#[test]
fn a_key_verifies_what_it_is_for() {
    let signer = Signer::rsa("a");
    let set = |field: &str, value: &str| {
        let mut key = signer.jwk();
        key[field] = value.into();
        KeySet::parse(json!({"keys": [key, Signer::ed25519("other", 1).jwk()]}).to_string().as_bytes())
    };
    let token = signer.token(&claims());
    assert!(known(&token, &set("alg", "RS256").expect("a set")).is_ok());
    for (field, value) in [("alg", "PS256"), ("alg", "HS256"), ("use", "enc"), ("kty", "oct"), ("n", "AQAB"), ("e", "")]
    {
        assert_eq!(known(&token, &set(field, value).expect("a set")), Err(Refusal::UnknownKey), "{field}: {value}");
    }
    for wrong in ["", "[]", "{}", r#"{"keys":[]}"#, r#"{"keys":[{"kty":"oct","k":"c2VjcmV0"}]}"#, r#"{"keys":{}}"#] {
        assert!(KeySet::parse(wrong.as_bytes()).is_err(), "{wrong}");
    }
    let many: Vec<Value> = (0..65).map(|_| signer.jwk()).collect();
    let refused = KeySet::parse(json!({"keys": many}).to_string().as_bytes());
    assert!(refused.is_err_and(|why| why.contains("64 are the limit")));
}

#[test]
fn claims_are_as_the_issuer_is_configured() {
    let signer = Signer::ed25519("a", 1);
    let set = keys(&[&signer]);
    let of = |change: Value| known(&signer.token(&with(&change)), &set);
    for good in [
        json!({"exp": NOW + 1}),
        json!({"exp": NOW - 59}),
        json!({"exp": NOW + 1_000_000_000_000_i64}),
        json!({"exp": i64::MAX}),
        json!({"exp": 1e300}),
        json!({"exp": 1_800_000_000.5}),
        json!({"nbf": NOW + 60}),
        json!({"nbf": null}),
        json!({"aud": ["x", "podberth"]}),
        json!({"groups": "dev"}),
        json!({"groups": null}),
        json!({"id": null}),
    ] {
        assert!(of(good.clone()).is_ok(), "{good}");
    }
    for (bad, claim) in [
        (json!({"exp": NOW - 60}), "exp"),
        (json!({"exp": null}), "exp"),
        (json!({"exp": "2099"}), "exp"),
        (json!({"exp": i64::MIN}), "exp"),
        (json!({"nbf": NOW + 61}), "nbf"),
        (json!({"nbf": "soon"}), "nbf"),
        (json!({"aud": "other"}), "aud"),
        (json!({"aud": ["podberth "]}), "aud"),
        (json!({"aud": []}), "aud"),
        (json!({"aud": null}), "aud"),
        (json!({"aud": {"podberth": true}}), "aud"),
        (json!({"tenant": "red"}), "tenant"),
        (json!({"tenant": null}), "tenant"),
        (json!({"tenant": ["blue"]}), "tenant"),
        (json!({"sub": ""}), "sub"),
        (json!({"sub": null}), "sub"),
        (json!({"sub": 7}), "sub"),
        (json!({"sub": "j".repeat(1024)}), "sub"),
        (json!({"groups": {"a": "b"}}), "groups"),
        (json!({"groups": ["a", 1]}), "groups"),
        (json!({"groups": vec!["g"; 1001]}), "groups"),
        (json!({"id": 7}), "id"),
    ] {
        let refusal = of(bad.clone());
        assert!(matches!(&refusal, Err(Refusal::Claim(of, _)) if of == claim), "{bad}: {refusal:?}");
    }
    for other in ["https://other.example", "https://issuer.example/", "", "HTTPS://issuer.example"] {
        assert_eq!(of(json!({"iss": other})), Err(Refusal::Issuer), "{other}");
    }
    let email = Issuer { username: Mapping { claim: "email".into(), prefix: String::new() }, ..issuer() };
    let by_mail = |verified: Value| {
        let token = signer.token(&with(&json!({"email": "j@x", "email_verified": verified})));
        email.user(&Jwt::parse(&token).expect("a token"), &set, NOW)
    };
    assert!(by_mail(json!(true)).is_ok_and(|verified| &*verified.user.name == "j@x"));
    assert!(by_mail(json!(false)).is_err() && by_mail(json!("true")).is_err() && by_mail(json!(null)).is_err());
}

#[test]
fn no_token_gives_a_name_of_the_system() {
    let signer = Signer::ed25519("a", 1);
    let set = keys(&[&signer]);
    let plain = |claim: &str| Mapping { claim: claim.into(), prefix: String::new() };
    let issuer = Issuer { username: plain("sub"), groups: Some(plain("groups")), ..issuer() };
    let of = |change: Value| issuer.user(&Jwt::parse(&signer.token(&with(&change))).expect("a token"), &set, NOW);
    for name in ["system:admin", "system:kube-scheduler", "system:anonymous", "system:serviceaccount:ns:"] {
        assert!(of(json!({"sub": name})).is_err(), "{name}");
    }
    let user = of(json!({"groups": ["system:masters", "system:extenders", "dev", ""]})).expect("a user").user;
    assert_eq!(user.groups.join(" "), "dev system:authenticated");
    let account = of(json!({"sub": "system:serviceaccount:ns:robot", "groups": null})).expect("a user").user;
    assert_eq!(account.groups.join(" "), "system:serviceaccounts system:serviceaccounts:ns system:authenticated");
}

#[test]
fn a_changed_token_is_refused_wherever_it_is_changed() {
    let signer = Signer::ed25519("a", 1);
    let (set, token) = (keys(&[&signer]), signer.token(&claims()));
    let verified = known(&token, &set).expect("a good token");
    assert_eq!(verified.ends, NOW + 300 + SKEW);
    for at in 0..token.len() {
        let mut changed = token.clone().into_bytes();
        changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(changed).expect("ASCII");
        assert!(known(&changed, &set).is_err(), "one letter at {at} is changed");
    }
    for text in
        [format!("{token}="), format!("{token}."), format!(".{token}"), format!("{token} "), token.replace('.', "")]
    {
        assert!(known(&text, &set).is_err(), "{text}");
    }
    let huge = with(&json!({"x": "y".repeat(LONGEST)}));
    assert_eq!(known(&signer.token(&huge), &set), Err(Refusal::TooLong));
    let deep = signer.sign(&json!({"alg": "EdDSA", "kid": "a"}), "[".repeat(5_000));
    assert!(known(&deep, &set).is_err());
}

#[test]
fn files_are_read_as_the_api_server_reads_them() {
    let file = |jwt: &str| {
        authentication::parse(&format!(
            "apiVersion: apiserver.config.k8s.io/v1beta1\nkind: AuthenticationConfiguration\n{jwt}"
        ))
    };
    let of = |issuer: &str, rest: &str| {
        file(&format!(
            "jwt:\n- issuer: {{{issuer}}}\n  claimMappings: {{username: {{claim: sub, prefix: ''}}{rest}}}\n"
        ))
    };
    let good = "url: https://a.example/x/, audiences: [p]";
    let read = of(good, "").expect("a good file");
    let source = KeySource::Discovery("https://a.example/x/.well-known/openid-configuration".into());
    assert_eq!((read.issuers.len(), &read.issuers[0].keys), (1, &source));
    for (field, source) in [
        ("discoveryURL: https://b.example/d", KeySource::Discovery("https://b.example/d".into())),
        ("jwksURL: https://b.example/k", KeySource::Url("https://b.example/k".into())),
        ("jwksFile: keys.json", KeySource::File("keys.json".into())),
    ] {
        assert_eq!(of(&format!("{good}, {field}"), "").expect(field).issuers[0].keys, source);
    }
    for (issuer, rest, told) in [
        ("audiences: [p]", "", "jwt[0].issuer.url: Required value"),
        (
            "url: 'http://a', audiences: [p]",
            "",
            "jwt[0].issuer.url: Invalid value: \"http://a\": URL scheme must be https",
        ),
        ("url: 'https://u:p@a', audiences: [p]", "", "must not contain a username"),
        ("url: 'https://a?q', audiences: [p]", "", "must not contain a query"),
        ("url: 'https://', audiences: [p]", "", "must name a host"),
        ("url: https://a", "", "jwt[0].issuer.audiences: Required value"),
        ("url: https://a, audiences: [p, q]", "", "audienceMatchPolicy must be MatchAny for multiple audiences"),
        (
            "url: https://a, audiences: [p, p], audienceMatchPolicy: MatchAny",
            "",
            "jwt[0].issuer.audiences[1]: Duplicate",
        ),
        ("url: https://a, audiences: [p], audienceMatchPolicy: All", "", "supported values: \"MatchAny\""),
        ("url: https://a, audiences: [p], discoveryURL: https://a/", "", "discoveryURL must be different from URL"),
        ("url: https://a, audiences: [p], jwksFile: a, jwksURL: https://b", "", "only one of discoveryURL"),
        ("url: https://a, audiences: [p], egressSelectorType: cluster", "", "no egress selection"),
        (
            "url: https://a, audiences: [p], algorithms: [none]",
            "",
            "jwt[0].issuer.algorithms: unknown field `algorithms`",
        ),
        (
            good,
            ", uid: {expression: claims.x}",
            "jwt[0].claimMappings.uid.expression: Forbidden: Podberth evaluates no CEL",
        ),
        (good, ", groups: {expression: claims.x}", "jwt[0].claimMappings.groups.expression: Forbidden"),
        (
            good,
            ", groups: {claim: g}",
            "jwt[0].claimMappings.groups.prefix: Required value: prefix is required when claim is set",
        ),
        (good, ", groups: {prefix: g}", "jwt[0].claimMappings.groups.claim: Required value"),
        (
            good,
            ", extra: [{key: a/b, valueExpression: claims.x}]",
            "jwt[0].claimMappings.extra[0].valueExpression: Forbidden",
        ),
        (good, "}, userValidationRules: [{expression: x}], claimValidationRules: [{expression: y}]", ""),
    ] {
        let error = of(issuer, rest).expect_err(issuer);
        assert!(error.contains(told), "{issuer} {rest}: {error}");
    }
    let rules = "jwt:\n- issuer: {url: https://a, audiences: [p]}\n  claimMappings: {username: {expression: x}}\n  \
                 claimValidationRules: [{expression: y}, {claim: a}, {claim: a}, {}]\n  userValidationRules: [{expression: z}]\n";
    let error = file(rules).map(|_| ()).expect_err("expressions");
    for told in [
        "jwt[0].claimMappings.username.expression: Forbidden",
        "jwt[0].claimValidationRules[0].expression: Forbidden",
        "jwt[0].claimValidationRules[2].claim: Duplicate value",
        "jwt[0].claimValidationRules[3].claim: Required value",
        "jwt[0].userValidationRules[0].expression: Forbidden",
    ] {
        assert!(error.contains(told), "{told}: {error}");
    }
    let twice = "jwt:\n- &a {issuer: {url: https://a, audiences: [p]}, claimMappings: {username: {claim: s, prefix: ''}}}\n- *a\n";
    assert!(file(twice).is_err_and(|error| error.contains("jwt[1].issuer.url: Duplicate value")));
    for (wrong, told) in [
        ("", "expected one YAML document"),
        ("{}", "apiVersion: Unsupported value"),
        (
            "kind: AuthenticationConfiguration\napiVersion: apiserver.config.k8s.io/v1alpha1",
            "apiserver.config.k8s.io/v1beta1",
        ),
        ("kind: Policy\napiVersion: apiserver.config.k8s.io/v1", "kind: Unsupported value"),
        ("kind: AuthenticationConfiguration\napiVersion: apiserver.config.k8s.io/v1\njwts: []", "unknown field `jwts`"),
        ("{", ""),
    ] {
        let error = authentication::parse(wrong).expect_err(wrong);
        assert!(error.contains(told), "{error}");
    }
}

#[test]
fn requests_without_a_token_are_let_in_where_the_file_says_so() {
    let of = |anonymous: &str| {
        authentication::parse(&format!(
            "apiVersion: apiserver.config.k8s.io/v1\nkind: AuthenticationConfiguration\n{anonymous}"
        ))
        .map(|read| read.anonymous)
    };
    let allows = |anonymous: &str, path: &str| of(anonymous).expect(anonymous).allows(path);
    assert!(
        allows("", "/x")
            && allows("anonymous: {enabled: true}", "/x")
            && !allows("anonymous: {enabled: false}", "/livez")
    );
    let some = "anonymous: {enabled: true, conditions: [{path: /livez}]}";
    assert!(allows(some, "/livez") && !allows(some, "/livez/") && !allows(some, "/readyz"));
    for wrong in ["anonymous: {conditions: [{path: /x}]}", "anonymous: {enabled: true, conditions: [{path: x}]}"] {
        assert!(of(wrong).is_err_and(|error| error.contains("anonymous.conditions")), "{wrong}");
    }
}

proptest! {
    #[test]
    fn any_text_is_read_as_a_token(text in "\\PC{0,80}|[A-Za-z0-9_-]{0,40}(\\.[A-Za-z0-9_-]{0,40}){0,4}") {
        prop_assert!(Jwt::parse(&text).is_err());
    }

    #[test]
    fn any_header_and_payload_are_read(header in any_json(), payload in any_json()) {
        let signer = Signer::ed25519("a", 1);
        let mut named = header.clone();
        if let Some(fields) = named.as_object_mut() {
            fields.insert("alg".into(), "EdDSA".into());
        }
        for header in [header, named] {
            let token = signer.sign(&header, payload.to_string());
            if let Ok(jwt) = Jwt::parse(&token) {
                prop_assert!(issuer().user(&jwt, &keys(&[&signer]), NOW).is_err());
            }
        }
    }

    /// A payload that is signed may hold anything: it is a user or a refusal.
    #[test]
    fn any_claims_are_read(name in "exp|nbf|aud|sub|groups|id|tenant|email|iss", value in any_json()) {
        let signer = Signer::ed25519("a", 1);
        let mut claims = claims();
        claims[&name] = value;
        let token = signer.token(&claims);
        if let Ok(jwt) = Jwt::parse(&token)
            && let Ok(verified) = issuer().user(&jwt, &keys(&[&signer]), NOW) {
            prop_assert!(verified.user.name.starts_with("oidc:") && !verified.user.is_master());
        }
    }

    #[test]
    fn any_key_set_is_read(set in any_json(), key in any_json()) {
        for json in [set, json!({"keys": [key.clone()]}), json!({"keys": [{"kty": "RSA", "n": key.clone(), "e": key}]})] {
            let _ = KeySet::parse(json.to_string().as_bytes());
        }
    }

    #[test]
    fn any_file_is_read(text in "\\PC{0,60}", jwt in any_json()) {
        let _ = authentication::parse(&text);
        let file = json!({"apiVersion": "apiserver.config.k8s.io/v1", "kind": "AuthenticationConfiguration", "jwt": jwt});
        let _ = authentication::parse(&file.to_string());
    }
}

/// Any JSON whose names are often those that are read.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "\\PC{0,8}|https://issuer.example|podberth|EdDSA|a".prop_map(Value::from),
    ];
    let name =
        "alg|kid|crit|typ|iss|sub|aud|exp|groups|keys|kty|crv|n|e|x|y|use|issuer|url|audiences|claimMappings|\\PC{0,4}";
    leaf.prop_recursive(4, 24, 4, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((name, inner), 0..4).prop_map(|fields| fields.into_iter().collect::<Value>()),
        ]
    })
}

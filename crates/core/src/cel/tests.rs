//! Expressions and their values.

use std::sync::Arc;

use super::*;

/// A device with attributes and a capacity.
struct Gpu;

fn map(entries: &[(&str, Value)]) -> Value {
    Value::Map(Arc::new(Map::new(entries.iter().map(|(key, value)| ((*key).into(), value.clone())).collect())))
}

impl Variables for Gpu {
    fn field(&self, name: &str) -> Option<Value> {
        let gpu = map(&[
            ("model", "a100".into()),
            ("index", 3.into()),
            ("mig", false.into()),
            ("version", Value::Semver(Arc::new(Semver::parse("1.2.3").unwrap()))),
        ]);
        let memory = map(&[("memory", Value::Quantity("40Gi".parse().unwrap()))]);
        let outer = |inner: Value| Value::Map(Arc::new(Map::with_default(vec![("gpu.example.com".into(), inner)])));
        match name {
            "driver" => Some("gpu.example.com".into()),
            "attributes" => Some(outer(gpu)),
            "capacity" => Some(outer(memory)),
            _ => None,
        }
    }

    fn whole(&self) -> Value {
        map(&["driver", "attributes", "capacity"].map(|name| (name, self.field(name).unwrap())))
    }
}

fn value(text: &str) -> Result<Value, String> {
    Expression::parse(text).evaluate(&Gpu, &mut 0).map_err(|reason| reason.to_string())
}

fn holds(text: &str) {
    match value(text) {
        Ok(Value::Bool(true)) => {}
        other => panic!("{text}: {other:?}"),
    }
}

#[test]
fn operators_follow_their_precedence_and_types() {
    for text in [
        "1 + 2 * 3 == 7 && (1 + 2) * 3 == 9",
        "7 / 2 == 3 && -7 / 2 == -3 && 7 % 3 == 1 && -7 % 3 == -1",
        "10 - 3 - 2 == 5",
        "1 == 1.0 && 1u == 1 && 2 > 1.5 && 1u < 2.5",
        "!false || false && false",
        "true ? 1 < 2 : false ? false : false",
        "-9223372036854775808 < -9223372036854775807",
        "0x10 == 16 && 1e3 == 1000.0 && .5 == 0.5 && 7u == 7",
        "'a' + \"b\" == 'ab' && 'a' < 'b' && 'B' < 'a'",
        r#"'\x41\u00e4\101\n' == "A" + 'ä' + 'A' + "\n" && r'\n' != '\n' && '''a'b''' == "a'b""#,
        "[1, 2] + [3] == [1, 2, 3] && 2 in [1, 2] && !(3 in [1, 2]) && [1][0] == 1",
        "{'a': 1}.a == 1 && {'a': 1}['a'] == 1 && 'a' in {'a': 1} && {1: 2}[1] == 2",
        "null == null && null != 1 && 'a' != 1 && [1] != ['a']",
        "type(1) == int && type('a') == string && type(device) == map",
        "true // a comment\n && true",
        "!!true && --1 == 1 && - 1 < 0",
        "{'a-b': 1}.`a-b` == 1",
    ] {
        holds(text);
    }
}

#[test]
fn attributes_and_capacity_are_read_by_domain() {
    for text in [
        r#"device.driver == "gpu.example.com""#,
        r#"device.attributes["gpu.example.com"].model == "a100""#,
        r#"device.attributes["gpu.example.com"].index % 2 == 1"#,
        r#"device.attributes["other"].?model.orValue("none") == "none""#,
        r#"!has(device.attributes["gpu.example.com"].extra) && has(device.attributes["gpu.example.com"].mig)"#,
        r#"!("extra" in device.attributes["gpu.example.com"]) && !("x" in device.attributes)"#,
        r#"size(device.attributes) == 1 && size(device.attributes["x"]) == 0"#,
        r#"device.capacity["gpu.example.com"].memory.compareTo(quantity("40Gi")) == 0"#,
        r#"device.capacity["gpu.example.com"].memory == quantity("40960Mi")"#,
        r#"device.attributes["gpu.example.com"].version.isLessThan(semver("2.0.0"))"#,
        r#"cel.bind(gpu, device.attributes["gpu.example.com"], gpu.model == "a100" && gpu.index == 3)"#,
        r#"device.attributes["gpu.example.com"].model != device.attributes["gpu.example.com"].index"#,
        r#"device.attributes.exists(domain, domain.startsWith("gpu"))"#,
    ] {
        holds(text);
    }
}

#[test]
fn a_side_without_value_does_not_count_where_the_other_decides() {
    for text in [
        "device.attributes['x'].y == 1 || true",
        "true || device.attributes['x'].y == 1",
        "!(device.attributes['x'].y && false)",
        "!(false && 1 / 0 == 1)",
        "[1, 0, 2].exists(n, 2 / n == 2)",
        "![1, 0, 4].all(n, 4 / n > 1)",
        "true ? true : 1 / 0 == 1",
    ] {
        holds(text);
    }
    for (text, reason) in [
        ("device.attributes['x'].y == 1", "no such key: y"),
        ("device.attributes['x'].y || false", "no such key: y"),
        ("1 / 0 == 1", "division by zero"),
        ("1 % 0 == 1", "modulus by zero"),
        ("9223372036854775807 + 1 == 0", "integer overflow"),
        ("[1][1] == 1", "index out of bounds: 1"),
        ("1 + 'a' == 2", "no such overload"),
        ("'a' < 1", "no such overload"),
        ("1 && true", "no such overload"),
        ("quantity('1') == 1", "no such overload"),
        ("quantity('1') < quantity('2')", "no such overload"),
        ("[1, 0].all(n, 4 / n > 1)", "division by zero"),
        ("[1, 0].filter(n, 4 / n > 1) == []", "division by zero"),
        ("{'a': 1, 'a': 2} == {}", "insert failed: key a already exists"),
        ("optional.none().value() == 1", "optional.none() dereference"),
        ("device.color == 'red'", "undefined field 'color'"),
    ] {
        assert_eq!(value(text).map_err(|e| e.clone()).err().as_deref(), Some(reason), "{text}");
    }
}

#[test]
fn libraries_give_what_the_api_server_gives() {
    for text in [
        "'Ab'.lowerAscii() == 'ab' && 'Ab'.upperAscii() == 'AB' && ' a '.trim() == 'a'",
        "'a,b,c'.split(',') == ['a', 'b', 'c'] && 'a,b,c'.split(',', 2) == ['a', 'b,c'] && 'ab'.split('') == ['a', 'b']",
        "['a', 'b'].join('-') == 'a-b' && ['a', 'b'].join() == 'ab'",
        "'hällo'.substring(1, 3) == 'äl' && 'hällo'.charAt(1) == 'ä' && 'abc'.substring(3) == ''",
        "'hello'.indexOf('l') == 2 && 'hello'.lastIndexOf('l') == 3 && 'hello'.indexOf('l', 3) == 3 && 'hello'.indexOf('z') == -1",
        "'hello'.lastIndexOf('l', 2) == 2 && 'hello'.lastIndexOf('') == 5 && 'äb'.indexOf('b') == 1",
        "'aaa'.replace('a', 'b') == 'bbb' && 'aaa'.replace('a', 'b', 2) == 'bba'",
        "'a100'.matches('^[ah]100$') && !'a1000'.matches('^[ah]100$') && 'xab'.matches('a')",
        "'a1b22'.find('[0-9]+') == '1' && 'a1b22'.findAll('[0-9]+') == ['1', '22'] && 'a1b22'.findAll('[0-9]+', 1) == ['1']",
        "'abc'.contains('b') && 'abc'.startsWith('a') && 'abc'.endsWith('c') && size('äb') == 2 && 'ab'.size() == 2",
        "int('12') == 12 && int(1.9) == 1 && int(-1.9) == -1 && string(12) == '12' && double('1.5') == 1.5 && uint(3) == 3u && bool('true')",
        "[3, 1, 2].sort() == [1, 2, 3] && [1, 2].isSorted() && [1, 2].sum() == 3 && [1, 2].min() == 1 && [1, 2].max() == 2",
        "[1, 2, 3].slice(1, 2) == [2] && [[1], [[2]]].flatten() == [1, [2]] && [1, 1].distinct() == [1] && [1, 2].reverse() == [2, 1]",
        "lists.range(3) == [0, 1, 2] && [1, 2].indexOf(2) == 1 && ['bb', 'a'].sortBy(t, size(t)) == ['a', 'bb']",
        "sets.contains([1, 2], [2]) && sets.intersects([1], [1, 2]) && sets.equivalent([1, 1], [1])",
        "quantity('1500m').isGreaterThan(quantity('1')) && quantity('1').add(1) == quantity('2') && quantity('2').sub(quantity('1')) == quantity('1')",
        "quantity('2k').asInteger() == 2000 && !quantity('1500m').isInteger() && quantity('1500m').asApproximateFloat() == 1.5",
        "isQuantity('1Gi') && !isQuantity('1gi') && quantity('-1').sign() == -1",
        "semver('1.2.3').major() == 1 && semver('1.2.3').minor() == 2 && semver('1.2.3').patch() == 3",
        "semver('1.2.3-rc.1').compareTo(semver('1.2.3')) == -1 && isSemver('1.0.0') && !isSemver('v1.0') && isSemver('v1.0', true)",
        "optional.of(1).hasValue() && !optional.ofNonZeroValue(0).hasValue() && optional.none().or(optional.of(2)).value() == 2",
        "{'a': 1}[?'b'].orValue(2) == 2 && [1][?0].value() == 1 && {'a': {'b': 1}}.?a.b.value() == 1 && !{'a': 1}.?b.c.hasValue()",
        "optional.of(1).optMap(x, x + 1).value() == 2 && optional.of(1).optFlatMap(x, optional.of(x)).value() == 1",
        "[?optional.none(), ?optional.of(1)] == [1] && {?'a': optional.none()} == {}",
        "[1, 2].map(n, n * 2) == [2, 4] && [1, 2].map(n, n > 1, n) == [2] && [1, 2].filter(n, n > 1) == [2]",
        "[1, 2].exists_one(n, n > 1) && ![2, 2].exists_one(n, n > 1) && {'a': 1}.all(k, k == 'a')",
        "[5, 6].exists(i, v, i == 1 && v == 6) && {'a': 1}.transformMap(k, v, v + 1) == {'a': 2} && [1].transformList(i, v, i + v) == [1]",
        "cel.bind(a, 1, cel.bind(b, 2, a + b)) == 3 && [1].all(a, [2].all(b, a < b))",
        "strings.quote('a\"b') == '\"a\\\\\"b\"'",
    ] {
        holds(text);
    }
}

#[test]
fn invalid_expressions_do_not_compile() {
    for text in [
        "",
        "1 +",
        "(1",
        "1)",
        "[1",
        "{1}",
        "a",
        "gpu.model == 1",
        "f(1)",
        "device.f()",
        "'a",
        "'\\q'",
        "1 2",
        "@",
        "has(1)",
        "cel.bind(1, 2, 3)",
        "'a'.matches('(')",
        "x.all(",
        "duration('1s') == 1",
        "[1].all(n)",
        "for",
        "99999999999999999999",
        "[1].all(true, true)",
        "a.b.c(",
        "1 ? 2",
        "'a'.find()",
        "in",
        "device.",
        "size()",
    ] {
        assert!(Expression::parse(text).fault().is_some(), "{text}");
    }
}

#[test]
fn hostile_expressions_end_with_a_reason() {
    let n = MOST_LENGTH;
    let texts = [
        "(".repeat(n),
        format!("{}1{}", "(".repeat(n / 2 - 1), ")".repeat(n / 2 - 1)),
        "[".repeat(n),
        format!("{}1{}", "{1:".repeat(n / 4 - 1), "}".repeat(n / 4 - 1)),
        format!("{}true", "!".repeat(n - 5)),
        format!("{}1 == 1", "-".repeat(n - 7)),
        "1+".repeat(n / 2 - 1) + "1 == 1",
        "true||".repeat(n / 6 - 1) + "true",
        "true?true:".repeat(n / 10 - 1) + "true",
        format!("device{}", ".a".repeat(n / 2 - 4)),
        format!("[1]{}", "[0]".repeat(n / 3 - 2)),
        format!("{}1{}", "size(".repeat(n / 6 - 1), ")".repeat(n / 6 - 1)),
        "[1].all(x,".repeat(200) + &")".repeat(200),
        "'a'".to_owned() + &".trim()".repeat(n / 7 - 2),
        "ä§$%&".repeat(n / 8),
        "a".repeat(n + 1),
    ];
    // The stack of this thread, as that of the runtime's threads, holds the deepest expression.
    for text in texts {
        let _ = value(&text);
    }
    let nested = "lists.range(1000).all(a, ".repeat(4) + "a >= 0" + &")".repeat(4);
    assert_eq!(value(&nested).err().as_deref(), Some("operation cancelled: actual cost limit exceeded"));
    let doubled = (0..60).fold("'x'.size() > 0".to_owned(), |inner, _| format!("cel.bind(s, 'x', {inner})"));
    assert!(value(&doubled).is_ok());
    let growing = (0..40).fold("size(s) > 0".to_owned(), |inner, _| format!("cel.bind(s, s + s, {inner})"));
    assert!(value(&format!("cel.bind(s, 'xxxxxxxxxx', {growing})")).is_err());
}

proptest::proptest! {
    #[test]
    fn no_text_panics(text in ".{0,200}") {
        let _ = value(&text);
    }

    #[test]
    fn no_tokens_in_any_order_panic(tokens in proptest::collection::vec(proptest::sample::select(vec![
        "device", ".", "attributes", "[", "]", "(", ")", "'a'", "1", "-", "!", "==", "&&", "||", "?", ":", ",", "{", "}", ".?", "[?",
        "all", "x", "map", "cel", "bind", "size", "in", "+", "9223372036854775808", "1u", "2.5", "has", "orValue", "optional", "none",
        "matches", "substring", "split", "%", "/", "*", "replace", "lists", "range",
    ]), 0..24)) {
        let _ = value(&tokens.join(" "));
        let _ = value(&tokens.concat());
    }
}

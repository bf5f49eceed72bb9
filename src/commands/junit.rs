//! Results in the XML that CI systems read (JUnit).

use std::fmt::Write as _;

/// The results of one command.
#[derive(Debug, Default)]
pub(super) struct Suite {
    /// Its name.
    pub(super) name: String,
    /// The test cases.
    pub(super) cases: Vec<Case>,
}

/// One test case.
#[derive(Debug, Default)]
pub(super) struct Case {
    /// The group that it is in.
    pub(super) class: String,
    /// Its name.
    pub(super) name: String,
    /// How long it took.
    pub(super) seconds: Option<f64>,
    /// Its failure: one line, and the details.
    pub(super) failure: Option<(String, String)>,
    /// The reason why it could not be run.
    pub(super) error: Option<String>,
}

/// Suites as one document.
pub(super) fn render(suites: &[Suite]) -> String {
    let mut text = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n");
    // Writing to a String cannot fail.
    for suite in suites {
        let count = |of: fn(&Case) -> bool| suite.cases.iter().filter(|case| of(case)).count();
        let (failures, errors) = (count(|case| case.failure.is_some()), count(|case| case.error.is_some()));
        let _ = writeln!(
            text,
            "  <testsuite name=\"{}\" tests=\"{}\" failures=\"{failures}\" errors=\"{errors}\">",
            escaped(&suite.name),
            suite.cases.len()
        );
        for case in &suite.cases {
            let time = case.seconds.map(|seconds| format!(" time=\"{seconds:.3}\"")).unwrap_or_default();
            let (class, name) = (escaped(&case.class), escaped(&case.name));
            let _ = write!(text, "    <testcase classname=\"{class}\" name=\"{name}\"{time}");
            if let Some((message, details)) = &case.failure {
                let (message, details) = (escaped(message), escaped(details));
                let _ = writeln!(text, ">\n      <failure message=\"{message}\">{details}</failure>\n    </testcase>");
            } else if let Some(message) = &case.error {
                let _ = writeln!(text, ">\n      <error message=\"{}\"/>\n    </testcase>", escaped(message));
            } else {
                text.push_str("/>\n");
            }
        }
        text.push_str("  </testsuite>\n");
    }
    text.push_str("</testsuites>\n");
    text
}

/// A text within XML 1.0, which has no control characters.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\n' => escaped.push_str("&#10;"),
            '\t' => escaped.push_str("&#9;"),
            '\u{fffe}' | '\u{ffff}' => escaped.push('\u{fffd}'),
            letter if letter.is_control() => escaped.push('\u{fffd}'),
            letter => escaped.push(letter),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_escaped_and_counts_are_of_the_cases() {
        let failure = Some(("a < b & \"c\"".to_owned(), "two\nlines\u{1}".to_owned()));
        let cases = vec![
            Case { name: "good".into(), seconds: Some(0.0123), ..Case::default() },
            Case { name: "bad".into(), failure, ..Case::default() },
            Case { name: "none".into(), error: Some("no file".into()), ..Case::default() },
        ];
        let text = render(&[Suite { name: "all".into(), cases }]);
        assert!(text.contains("<testsuite name=\"all\" tests=\"3\" failures=\"1\" errors=\"1\">"), "{text}");
        assert!(text.contains("<failure message=\"a &lt; b &amp; &quot;c&quot;\">two&#10;lines\u{fffd}</failure>"));
        assert!(text.contains("name=\"good\" time=\"0.012\"/>"), "{text}");
    }
}

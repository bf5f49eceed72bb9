//! The commands of the guides, run without a shell: as much of it as they use.

use std::{
    fs,
    process::{Command, Stdio},
};

use axum::{body::Body, http::Request};

use crate::{in_repository, server::Server};

/// The output of a command.
#[derive(Debug)]
pub(crate) struct Output {
    pub(crate) text: String,
    /// Exit code 0 or a 2xx.
    pub(crate) succeeded: bool,
}

/// The commands of a block: one per line, unless the line continues within quotes or after a backslash.
pub(crate) fn split(block: &str) -> Vec<String> {
    let mut commands = vec![String::new()];
    let (mut quote, mut escaped) = (None, false);
    for c in block.chars() {
        match (c, quote) {
            ('\n', None) if !escaped => {
                commands.push(String::new());
                continue;
            }
            ('\'' | '"', None) => quote = Some(c),
            (c, Some(open)) if c == open => quote = None,
            _ => {}
        }
        escaped = c == '\\' && !escaped;
        commands.last_mut().expect("one is open").push(c);
    }
    commands.retain(|command| !command.trim().is_empty() && !command.trim().starts_with('#'));
    commands
}

/// The words of a command, without quotes.
fn words(command: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let (mut quote, mut within) = (None, false);
    let mut characters = command.chars();
    while let Some(c) = characters.next() {
        match (c, quote) {
            ('\'' | '"', None) => {
                quote = Some(c);
                begin(&mut words, &mut within);
            }
            (c, Some(open)) if c == open => quote = None,
            ('\\', None | Some('"')) => match characters.next() {
                Some('\n') | None => {}
                Some(next) => begin(&mut words, &mut within).push(next),
            },
            ('#', None) if !within => break,
            (blank, None) if blank.is_whitespace() => within = false,
            ('|' | '&' | ';' | '<' | '$' | '`', None) => panic!("{command}: only plain commands are run; skip it"),
            (c, _) => begin(&mut words, &mut within).push(c),
        }
    }
    assert!(quote.is_none(), "{command}: a quote is not closed");
    words
}

/// The word that is open, or a new one.
fn begin<'w>(words: &'w mut Vec<String>, within: &mut bool) -> &'w mut String {
    if !*within {
        words.push(String::new());
    }
    *within = true;
    words.last_mut().expect("one is open")
}

/// Runs a command.
///
/// # Panics
/// When it is of a kind that cannot be run here.
pub(crate) async fn run(server: &Server, command: &str) -> Output {
    let mut words = words(command);
    // Output that is redirected to a file is not compared.
    if let Some(at) = words.iter().position(|word| word == ">") {
        words.truncate(at);
    }
    match words.split_first() {
        Some((name, arguments)) if name == "curl" => curl(server, command, arguments).await,
        Some((name, arguments)) if name == "podberth" => podberth(arguments),
        _ => panic!("{command}: only curl and podberth are run; skip it"),
    }
}

fn podberth(arguments: &[String]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_podberth"));
    command.args(arguments).current_dir(env!("CARGO_MANIFEST_DIR")).env_clear().stdin(Stdio::null());
    let output = command.output().expect("the binary starts");
    let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    Output { text, succeeded: output.status.success() }
}

/// The options of curl that the guides use, with their effect on method, body and its default media type.
async fn curl(server: &Server, command: &str, arguments: &[String]) -> Output {
    let (mut method, mut path, mut body, mut media_type, mut host) = (None, None, None, None, "localhost");
    let mut headers: Vec<(&str, &str)> = Vec::new();
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().unwrap_or_else(|| panic!("{command}: {argument} needs a value"));
        match &**argument {
            "-X" => method = Some(value().clone()),
            "-H" => {
                let (name, value) = value().split_once(": ").expect("a header is a name and a value");
                headers.push((name, value));
            }
            "-T" => {
                body = Some(file(value()));
                method.get_or_insert("PUT".to_owned());
            }
            "-d" | "--data-binary" => {
                let value = value();
                body = Some(value.strip_prefix('@').map_or_else(|| value.clone().into_bytes(), file));
                method.get_or_insert("POST".to_owned());
                media_type = Some("application/x-www-form-urlencoded");
            }
            "-s" | "-sS" | "-f" | "-i" => {}
            url => {
                let hosts = ["localhost:8080", "127.0.0.1:8080"];
                let url_of = |host: &&'static str| Some((*host, url.strip_prefix("http://")?.strip_prefix(host)?));
                (host, path) = hosts.iter().find_map(url_of).map_or((host, None), |(host, path)| (host, Some(path)));
                assert!(path.is_some(), "{command}: {url} is no option known here and no address of the server");
            }
        }
    }
    let path = path.unwrap_or_else(|| panic!("{command}: where to?"));
    let mut request = Request::builder().method(method.as_deref().unwrap_or("GET")).uri(path).header("host", host);
    if headers.iter().all(|(name, _)| !name.eq_ignore_ascii_case("content-type")) {
        headers.extend(media_type.map(|value| ("content-type", value)));
    }
    for (name, value) in headers {
        request = request.header(name, value);
    }
    let request = request.body(Body::from(body.unwrap_or_default())).expect("a request");
    let reply = server.send(request).await;
    Output { text: reply.text().to_owned(), succeeded: (200..300).contains(&reply.code) }
}

fn file(path: &str) -> Vec<u8> {
    fs::read(in_repository(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

#[test]
fn commands_and_their_words() {
    let block = "# Two.\ncurl -d '{\"a\":\n 1}' http://x \\\n  -X PUT  # put\n\npodberth \"a b\" c\\ d\n";
    let commands = split(block);
    assert_eq!(commands.len(), 2, "{commands:?}");
    assert_eq!(words(&commands[0]), ["curl", "-d", "{\"a\":\n 1}", "http://x", "-X", "PUT"]);
    assert_eq!(words(&commands[1]), ["podberth", "a b", "c d"]);
    assert_eq!(words("a '' \"b\"c"), ["a", "", "bc"]);
}

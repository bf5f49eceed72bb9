//! The web page: files built from `ui/` and committed, so that a build needs no Node. See `ui/vite.config.ts`.
//!
//! Every file but `index.html` has a hash of its content in its name, so a browser keeps it for good and asks for `index.html` alone.

use std::{
    io::Write,
    sync::{LazyLock, OnceLock},
};

use axum::{
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use flate2::{Compression, write::GzEncoder};

/// The file that `/ui/` is.
pub const INDEX: &str = "index.html";

/// The policy of the page: it loads nothing from other origins, sets no style in place, and no page may frame it.
const PAGE_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; \
     frame-ancestors 'none'; base-uri 'none'; form-action 'none'";

/// Files below this many bytes are sent as they are.
const COMPRESSED_FROM: usize = 1024;

static FILES: LazyLock<Vec<File>> =
    LazyLock::new(|| include!(concat!(env!("CARGO_MANIFEST_DIR"), "/ui/dist/files.rs")));

/// A built file.
struct File {
    name: &'static str,
    media_type: &'static str,
    etag: &'static str,
    bytes: &'static [u8],
    compressed: OnceLock<Vec<u8>>,
}

impl File {
    const fn new(name: &'static str, media_type: &'static str, etag: &'static str, bytes: &'static [u8]) -> Self {
        Self { name, media_type, etag, bytes, compressed: OnceLock::new() }
    }

    /// The bytes in gzip, compressed when they are first asked for.
    fn gzip(&self) -> &[u8] {
        self.compressed.get_or_init(|| {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
            // Writing to a vector does not fail; if it did, the reply would be empty and the browser would say so.
            encoder.write_all(self.bytes).and_then(|()| encoder.finish()).unwrap_or_default()
        })
    }
}

/// A file of the page by its name; `None` if there is none.
pub fn reply(name: &str, request: &HeaderMap) -> Option<Response> {
    let file = FILES.iter().find(|file| file.name == name)?;
    let is_named_by_content = name != INDEX;
    let cache = if is_named_by_content { "public, max-age=31536000, immutable" } else { "no-cache" };
    let has_it = request.get_all(header::IF_NONE_MATCH).iter().any(|tags| lists(tags, file.etag));
    let mut response = if has_it {
        StatusCode::NOT_MODIFIED.into_response()
    } else if file.bytes.len() >= COMPRESSED_FROM && takes_gzip(request) {
        ([(header::CONTENT_ENCODING, "gzip")], file.gzip()).into_response()
    } else {
        file.bytes.into_response()
    };
    let headers = response.headers_mut();
    for (header, value) in [
        (header::CONTENT_TYPE, file.media_type),
        (header::ETAG, file.etag),
        (header::CACHE_CONTROL, cache),
        (header::VARY, "accept-encoding"),
        (header::CONTENT_SECURITY_POLICY, PAGE_POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
    ] {
        headers.insert(header, HeaderValue::from_static(value));
    }
    Some(response)
}

/// `true` if `If-None-Match` lists the tag. A proxy that compresses makes a tag weak.
fn lists(tags: &HeaderValue, etag: &str) -> bool {
    tags.to_str().is_ok_and(|tags| {
        tags.split(',').any(|tag| matches!(tag.trim(), "*") || tag.trim().trim_start_matches("W/") == etag)
    })
}

/// `true` if the client takes gzip (RFC 9110, section 12.5.3).
fn takes_gzip(request: &HeaderMap) -> bool {
    let accepted = request.get_all(header::ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    accepted.flat_map(|value| value.split(',')).any(|coding| {
        let (name, weight) = coding.split_once(';').unwrap_or((coding, ""));
        let is_refused = weight.trim().strip_prefix("q=").is_some_and(|q| q.trim_matches(['0', '.']).is_empty());
        name.trim().eq_ignore_ascii_case("gzip") && !is_refused
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(header: header::HeaderName, value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(header, HeaderValue::from_static(value))])
    }

    #[test]
    fn gzip_is_sent_to_clients_that_take_it() {
        for (accepted, takes) in [
            ("gzip", true),
            ("br, GZIP;q=0.5", true),
            ("gzip;q=0", false),
            ("gzip;q=0.0", false),
            ("br", false),
            ("", false),
        ] {
            assert_eq!(takes_gzip(&with(header::ACCEPT_ENCODING, accepted)), takes, "{accepted}");
        }
    }

    #[test]
    fn files_that_the_index_names_are_served_and_kept() {
        let index = FILES.iter().find(|file| file.name == INDEX).expect("an index");
        let text = std::str::from_utf8(index.bytes).expect("a text");
        let named: Vec<&str> = text.split("\"./").skip(1).filter_map(|rest| rest.split('"').next()).collect();
        assert!(named.len() >= 3, "a script, a style sheet and an icon: {named:?}");
        for name in named {
            let reply = reply(name, &HeaderMap::new()).expect(name);
            assert!(
                reply.headers()[header::CACHE_CONTROL].to_str().is_ok_and(|cache| cache.contains("immutable")),
                "{name}"
            );
        }
    }

    #[test]
    fn a_file_that_the_browser_has_is_not_sent_again() {
        let first = reply(INDEX, &HeaderMap::new()).expect("an index");
        let tag = first.headers()[header::ETAG].to_str().expect("a tag").to_owned();
        for tags in [tag.clone(), format!("\"x\", W/{tag}"), "*".into()] {
            let request =
                HeaderMap::from_iter([(header::IF_NONE_MATCH, HeaderValue::from_str(&tags).expect("a header"))]);
            assert_eq!(reply(INDEX, &request).map(|reply| reply.status()), Some(StatusCode::NOT_MODIFIED), "{tags}");
        }
        assert!(reply("files.rs", &HeaderMap::new()).is_none() && reply("../Cargo.toml", &HeaderMap::new()).is_none());
    }

    #[test]
    fn the_page_stays_within_its_sizes() {
        let index = FILES.iter().find(|file| file.name == INDEX).expect("an index");
        let text = std::str::from_utf8(index.bytes).expect("a text");
        let size = |file: &File| file.gzip().len();
        let first: usize = FILES
            .iter()
            .filter(|file| text.contains(file.name) && file.media_type.starts_with("text/javascript"))
            .map(size)
            .sum();
        let largest = FILES.iter().map(size).max().unwrap_or_default();
        let whole: usize = FILES.iter().map(size).sum();
        assert!(first <= 60 << 10, "scripts of the first load: {first} bytes");
        assert!(largest <= 160 << 10, "the largest file: {largest} bytes");
        assert!(whole <= 700 << 10, "all files: {whole} bytes");
    }
}

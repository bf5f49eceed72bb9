//! gRPC, as much of it as unary calls need: messages in frames, and statuses.
//!
//! Source: `grpc/doc/PROTOCOL-HTTP2.md` (length-prefixed messages, `grpc-timeout`, the trailers `grpc-status` and `grpc-message`).

use std::{fmt::Write as _, time::Duration};

use hyper::body::Bytes;

#[cfg(feature = "externalgrpc")]
mod client;

#[cfg(feature = "externalgrpc")]
pub use client::{GrpcClient, GrpcError};

/// The media type of calls.
pub const MEDIA_TYPE: &str = "application/grpc";

/// The length of what stands before a message.
pub const HEAD: usize = 5;

/// The numbers of `grpc/codes`.
pub mod code {
    /// The call has its reply.
    pub const OK: u32 = 0;
    /// Of an unknown sort.
    pub const UNKNOWN: u32 = 2;
    /// The request is not as it must be.
    pub const INVALID_ARGUMENT: u32 = 3;
    /// The time of the call is over.
    pub const DEADLINE_EXCEEDED: u32 = 4;
    /// There is no such thing.
    pub const NOT_FOUND: u32 = 5;
    /// The caller has not the right.
    pub const PERMISSION_DENIED: u32 = 7;
    /// A bound is reached.
    pub const RESOURCE_EXHAUSTED: u32 = 8;
    /// There is no such call, or not in this form.
    pub const UNIMPLEMENTED: u32 = 12;
    /// A fault of the server.
    pub const INTERNAL: u32 = 13;
    /// Something that is needed is away.
    pub const UNAVAILABLE: u32 = 14;
    /// Nobody knows who the caller is.
    pub const UNAUTHENTICATED: u32 = 16;
}

/// Why a body is not one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unframed {
    /// The message is compressed.
    #[error("the message is compressed")]
    Compressed,
    /// There is none, more than one, or a part of one.
    #[error("the body is not one whole message")]
    NotOne,
}

/// A message in its frame.
pub fn framed(message: &[u8]) -> Bytes {
    let length = u32::try_from(message.len()).unwrap_or(u32::MAX);
    [&[0][..], &length.to_be_bytes(), message].concat().into()
}

/// The one message of a body.
///
/// # Errors
/// If it has none, more, or a compressed one.
pub fn unframed(body: &Bytes) -> Result<Bytes, Unframed> {
    let (head, rest) = body.split_first_chunk::<HEAD>().ok_or(Unframed::NotOne)?;
    let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]);
    if usize::try_from(length).ok() != Some(rest.len()) {
        return Err(Unframed::NotOne);
    }
    match head[0] {
        0 => Ok(body.slice(HEAD..)),
        1 => Err(Unframed::Compressed),
        _ => Err(Unframed::NotOne),
    }
}

/// The time of a call, as `grpc-timeout` tells it: at most eight digits and a unit.
pub fn timeout(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if !(1..=8).contains(&digits.len()) || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let amount: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(amount * 3_600)),
        "M" => Some(Duration::from_secs(amount * 60)),
        "S" => Some(Duration::from_secs(amount)),
        "m" => Some(Duration::from_millis(amount)),
        "u" => Some(Duration::from_micros(amount)),
        "n" => Some(Duration::from_nanos(amount)),
        _ => None,
    }
}

/// A text as `grpc-message` has it: bytes that are not printed, and the percent sign, by their number.
pub fn percent_encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b' '..=b'~' if byte != b'%' => out.push(char::from(byte)),
            _ => {
                let _ = write!(out, "%{byte:02X}");
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn one_whole_message_is_taken_out_of_its_frame() {
        let unframed = |bytes: &'static [u8]| unframed(&Bytes::from_static(bytes));
        assert_eq!(unframed(b"\0\0\0\0\x02ab").as_deref(), Ok(&b"ab"[..]));
        assert_eq!(unframed(b"\0\0\0\0\0").as_deref(), Ok(&b""[..]));
        assert_eq!(unframed(b"\x01\0\0\0\x01a"), Err(Unframed::Compressed));
        for wrong in
            [&b""[..], b"\0\0\0\0", b"\x02\0\0\0\x01a", b"\0\0\0\0\x02a", b"\0\0\0\0\x01ab", b"\0\xff\xff\xff\xffa"]
        {
            assert_eq!(unframed(wrong), Err(Unframed::NotOne), "{wrong:?}");
        }
    }

    #[test]
    fn times_have_a_unit() {
        for (text, time) in [
            ("2H", Some(Duration::from_hours(2))),
            ("3M", Some(Duration::from_mins(3))),
            ("00000003S", Some(Duration::from_secs(3))),
            ("2999876u", Some(Duration::from_micros(2_999_876))),
            ("5m", Some(Duration::from_millis(5))),
            ("99999999n", Some(Duration::from_nanos(99_999_999))),
            ("0n", Some(Duration::ZERO)),
            ("123456789S", None),
            ("S", None),
            ("3", None),
            ("+3S", None),
            ("3s", None),
            ("3 S", None),
            ("3é", None),
            ("", None),
        ] {
            assert_eq!(timeout(text), time, "{text:?}");
        }
    }

    #[test]
    fn messages_are_one_printed_line() {
        assert_eq!(percent_encoded("50% of \"a\"\nand é"), "50%25 of \"a\"%0Aand %C3%A9");
    }

    proptest! {
        #[test]
        fn frames_hold_any_message_and_texts_any_bytes(message in prop::collection::vec(any::<u8>(), 0..300), text in any::<String>()) {
            prop_assert_eq!(unframed(&framed(&message)), Ok(Bytes::from(message.clone())));
            let _ = unframed(&Bytes::from(message));
            let _ = timeout(&text);
            prop_assert!(hyper::header::HeaderValue::from_str(&percent_encoded(&text)).is_ok());
        }
    }
}

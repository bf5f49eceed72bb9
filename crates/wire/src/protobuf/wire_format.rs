//! The fields of a protobuf message as they stand in its bytes.

use super::ProtobufError;

/// The value of a field.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'b> {
    /// A number of variable length.
    Varint(u64),
    /// Eight bytes.
    Eight(u64),
    /// A text, bytes or a message.
    Bytes(&'b [u8]),
    /// Four bytes, which are not read.
    Four,
}

/// The fields of a message, one after another.
#[derive(Clone, Debug)]
pub struct Fields<'b>(pub &'b [u8]);

impl<'b> Fields<'b> {
    /// The next field: its number and value; `None` at the end.
    ///
    /// # Errors
    /// Where the bytes are no message.
    pub fn take_next(&mut self) -> Result<Option<(u64, Value<'b>)>, ProtobufError> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let key = self.varint()?;
        let value = match key & 7 {
            0 => Value::Varint(self.varint()?),
            1 => Value::Eight(self.take(8)?.iter().rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte))),
            2 => {
                let length = usize::try_from(self.varint()?).map_err(|_| ProtobufError::Short)?;
                Value::Bytes(self.take(length)?)
            }
            5 => {
                self.take(4)?;
                Value::Four
            }
            other => return Err(ProtobufError::WireType(other)),
        };
        match key >> 3 {
            0 => Err(ProtobufError::Tag),
            number => Ok(Some((number, value))),
        }
    }

    fn take(&mut self, length: usize) -> Result<&'b [u8], ProtobufError> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(ProtobufError::Short)?;
        self.0 = rest;
        Ok(taken)
    }

    /// A whole number of variable length.
    pub(super) fn varint(&mut self) -> Result<u64, ProtobufError> {
        let mut value = 0;
        for shift in (0..70).step_by(7) {
            let (byte, rest) = self.0.split_first().ok_or(ProtobufError::Short)?;
            self.0 = rest;
            // The tenth byte has one bit of a number of 64.
            value |= u64::from(byte & 0x7f).checked_shl(shift).unwrap_or_default();
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(ProtobufError::Overflow)
    }
}

/// A message that is being written.
#[derive(Clone, Debug, Default)]
pub struct Encoder(Vec<u8>);

impl Encoder {
    /// Adds a text, unless it is empty.
    #[must_use]
    pub fn text(self, field: u8, text: &str) -> Self {
        if text.is_empty() { self } else { self.bytes(field, text.as_bytes()) }
    }

    /// Adds a message.
    #[must_use]
    pub fn message(self, field: u8, message: &Self) -> Self {
        self.bytes(field, &message.0)
    }

    /// Adds a number of the type `int32`, `int64`, or `uint64` below 2^63. Negative ones are written with 64 bits.
    #[must_use]
    pub fn number(mut self, field: u8, number: impl Into<i64>) -> Self {
        self.varint(u64::from(field) << 3);
        self.varint(number.into().cast_unsigned());
        self
    }

    /// The bytes.
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    /// Adds bytes. Unlike [`Self::text`] it writes an empty value too.
    #[must_use]
    pub fn bytes(mut self, field: u8, bytes: &[u8]) -> Self {
        self.varint(u64::from(field) << 3 | 2);
        self.varint(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
        self
    }

    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push((value & 0x7f) as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn written_fields_are_read_again() {
        let inner = Encoder::default().text(1, "a");
        let bytes = Encoder::default().number(1, -2).text(2, "big").text(3, "").message(4, &inner).into_bytes();
        let mut fields = Fields(&bytes);
        let negative = (-2_i64).cast_unsigned();
        assert_eq!(fields.take_next(), Ok(Some((1, Value::Varint(negative)))));
        assert_eq!(fields.take_next(), Ok(Some((2, Value::Bytes(b"big")))));
        assert_eq!(fields.take_next(), Ok(Some((4, Value::Bytes(b"\x0a\x01a")))));
        assert_eq!(fields.take_next(), Ok(None));
    }
}

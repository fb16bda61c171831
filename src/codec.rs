//! Bytes in, values out: postcard with the two things it leaves to its caller, namely that nothing
//! may follow the value and that the input's length was capped before (see `limits`).

use serde::{Deserialize, Serialize};

/// Why bytes could not be read as a value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Not a valid encoding: truncated, unknown variant, impossible length.
    #[error("malformed: {0}")]
    Malformed(postcard::Error),
    /// A value, and then bytes that belong to nothing.
    #[error("{0} bytes follow the value")]
    Trailing(usize),
}

/// Appends the encoding of `value` to `out`.
///
/// # Panics
/// When `T` cannot be serialised, which is a property of the type (a bug), not of the value.
pub fn encode_into<T: Serialize + ?Sized>(value: &T, out: &mut Vec<u8>) {
    struct Extend<'a>(&'a mut Vec<u8>);
    impl postcard::ser_flavors::Flavor for Extend<'_> {
        type Output = ();
        fn try_push(&mut self, data: u8) -> postcard::Result<()> {
            self.0.push(data);
            Ok(())
        }
        fn try_extend(&mut self, data: &[u8]) -> postcard::Result<()> {
            self.0.extend_from_slice(data);
            Ok(())
        }
        fn finalize(self) -> postcard::Result<()> {
            Ok(())
        }
    }
    postcard::serialize_with_flavor(value, Extend(out)).expect("a type that serialises");
}

/// The encoding of `value` on its own.
pub fn encode<T: Serialize + ?Sized>(value: &T) -> Vec<u8> {
    let mut out = Vec::new();
    encode_into(value, &mut out);
    out
}

/// Reads one value that fills `bytes` to the end.
///
/// # Errors
/// When the bytes are no encoding of `T`, or something follows it.
pub fn decode<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, DecodeError> {
    let (value, rest) = postcard::take_from_bytes(bytes).map_err(DecodeError::Malformed)?;
    if rest.is_empty() { Ok(value) } else { Err(DecodeError::Trailing(rest.len())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_follows_a_value_is_an_error() {
        let mut bytes = encode(&(7u32, "seven"));
        assert_eq!(decode::<(u32, &str)>(&bytes), Ok((7, "seven")));
        bytes.push(0);
        assert_eq!(decode::<(u32, &str)>(&bytes), Err(DecodeError::Trailing(1)));
        bytes.truncate(3);
        assert!(matches!(decode::<(u32, &str)>(&bytes), Err(DecodeError::Malformed(_))));
    }
}

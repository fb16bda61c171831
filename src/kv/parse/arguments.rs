//! Words as numbers, options and keys, and what is said when they are none.

use crate::kv::{ReplyError, number};
use crate::limits::KEY_BYTES_MAX;
use bytes::Bytes;

/// The result of parsing something.
pub(super) type Answer<T> = Result<T, ReplyError>;

/// A signed number, written as Redis would write it.
pub(super) fn integer(word: &[u8]) -> Answer<i64> {
    number::integer(word).ok_or_else(ReplyError::not_an_integer)
}

/// Whether a word is this option, in whatever case.
pub(super) fn is(word: &[u8], option: &str) -> bool {
    word.eq_ignore_ascii_case(option.as_bytes())
}

/// A word for an error's text.
pub(super) fn shown(word: &[u8]) -> String {
    String::from_utf8_lossy(word).into_owned()
}

/// A key, unless it is too long.
pub(super) fn key(word: &Bytes) -> Answer<Bytes> {
    if word.len() > KEY_BYTES_MAX {
        return Err(ReplyError::err(format!("key is larger than {KEY_BYTES_MAX} bytes")));
    }
    Ok(word.clone())
}

/// All of these as keys.
pub(super) fn keys(words: &[Bytes]) -> Answer<Vec<Bytes>> {
    words.iter().map(key).collect()
}

//! What can be wrong with a client's bytes. Each is answered once, in Redis's own words, and then the
//! connection closes: after a broken length nobody knows where the next command starts.

/// Why the bytes of a connection are no request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProtocolError {
    /// An inline command without an end of line within [`crate::limits::INLINE_BYTES_MAX`].
    #[error("Protocol error: too big inline request")]
    InlineTooLong,
    /// An inline command with an open quote, or something stuck to a closing one.
    #[error("Protocol error: unbalanced quotes in request")]
    UnbalancedQuotes,
    /// The line with the number of arguments does not end.
    #[error("Protocol error: too big mbulk count string")]
    ArrayHeaderTooLong,
    /// The number of arguments is no number, or above the limit.
    #[error("Protocol error: invalid multibulk length")]
    ArrayLength,
    /// More arguments than a client may send before it has authenticated.
    #[error("Protocol error: unauthenticated multibulk length")]
    ArrayUnauthenticated,
    /// The line with an argument's length does not end.
    #[error("Protocol error: too big bulk count string")]
    BulkHeaderTooLong,
    /// An argument that does not start with a dollar sign.
    #[error("Protocol error: expected '$', got '{}'", printable(*.0))]
    ExpectedBulk(u8),
    /// The length of an argument is no number, or negative.
    #[error("Protocol error: invalid bulk length")]
    BulkLength,
    /// A longer argument than a client may send before it has authenticated.
    #[error("Protocol error: unauthenticated bulk length")]
    BulkUnauthenticated,
    /// An argument above the limit for values; known, and refused, at its length header.
    #[error("value is larger than {limit} bytes")]
    Oversized {
        /// The limit in force, bytes.
        limit: usize,
    },
    /// A command whose arguments together are above the limit.
    #[error("request is larger than {limit} bytes")]
    RequestTooLarge {
        /// The limit in force, bytes.
        limit: usize,
    },
    /// A web browser was made to talk to us. Redis closes without a word; so should the caller.
    #[error("Protocol error: this is no HTTP port")]
    Http,
}

impl ProtocolError {
    /// The line to send before the connection is closed, with its prefix and line end.
    #[must_use]
    pub fn to_line(&self) -> String {
        format!("-ERR {self}\r\n")
    }
}

/// A byte as one character that cannot break the reply's line.
fn printable(byte: u8) -> char {
    match byte {
        b'\r' | b'\n' => ' ',
        byte if byte.is_ascii() => char::from(byte),
        _ => char::REPLACEMENT_CHARACTER,
    }
}

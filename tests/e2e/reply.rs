//! A RESP reply of any kind, of version 2 or 3, and how it is written in test files.

use std::fmt;

/// One reply.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Reply {
    /// `+`
    Simple(String),
    /// `-`
    Error(String),
    /// `:`
    Integer(i64),
    /// `$`
    Bulk(Vec<u8>),
    /// `$-1` or `*-1`
    Nil,
    /// `*`
    Array(Vec<Reply>),
    /// `_`
    Null,
    /// `#`
    Boolean(bool),
    /// `,`
    Double(String),
    /// `%`, or an attribute
    Map(Vec<(Reply, Reply)>),
    /// `~`
    Set(Vec<Reply>),
    /// `=`
    Verbatim(Vec<u8>),
    /// `(`
    BigNumber(String),
    /// `>`
    Push(Vec<Reply>),
}

impl Reply {
    /// The bytes of a string reply as text.
    pub(crate) fn text(&self) -> String {
        match self {
            Reply::Simple(text)
            | Reply::Error(text)
            | Reply::Double(text)
            | Reply::BigNumber(text) => text.clone(),
            Reply::Bulk(bytes) | Reply::Verbatim(bytes) => {
                String::from_utf8_lossy(bytes).into_owned()
            }
            Reply::Integer(number) => number.to_string(),
            other => panic!("not a text: {other}"),
        }
    }

    /// An integer reply.
    pub(crate) fn integer(&self) -> i64 {
        match self {
            Reply::Integer(number) => *number,
            other => panic!("not an integer: {other}"),
        }
    }

    /// The items of an array, set or push.
    pub(crate) fn items(&self) -> &[Reply] {
        match self {
            Reply::Array(items) | Reply::Set(items) | Reply::Push(items) => items,
            other => panic!("not an array: {other}"),
        }
    }

    /// The value of a text key in a map, or in an array of alternating keys and values.
    pub(crate) fn get(&self, key: &str) -> Option<&Reply> {
        match self {
            Reply::Map(pairs) => {
                pairs.iter().find(|(k, _)| k.text() == key).map(|(_, value)| value)
            }
            Reply::Array(items) => {
                items.chunks(2).find(|pair| pair[0].text() == key).and_then(|pair| pair.get(1))
            }
            other => panic!("not a map: {other}"),
        }
    }

    /// Whether it is an error.
    pub(crate) fn is_error(&self) -> bool {
        matches!(self, Reply::Error(_))
    }

    /// Whether it is `+OK`.
    pub(crate) fn is_ok(&self) -> bool {
        matches!(self, Reply::Simple(text) if text == "OK")
    }
}

/// As in test files: one line, the kind visible.
impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |f: &mut fmt::Formatter<'_>, open: &str, items: &[Reply], close: &str| {
            f.write_str(open)?;
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    f.write_str(", ")?;
                }
                write!(f, "{item}")?;
            }
            f.write_str(close)
        };
        match self {
            Reply::Simple(text) => write!(f, "+{text}"),
            Reply::Error(text) => write!(f, "-{text}"),
            Reply::Integer(number) => write!(f, ":{number}"),
            Reply::Bulk(bytes) => write!(f, "\"{}\"", bytes.escape_ascii()),
            Reply::Nil => f.write_str("nil"),
            Reply::Array(items) => list(f, "[", items, "]"),
            Reply::Null => f.write_str("null"),
            Reply::Boolean(truth) => write!(f, "#{truth}"),
            Reply::Double(text) => write!(f, ",{text}"),
            Reply::Map(pairs) => {
                f.write_str("{")?;
                for (i, (key, value)) in pairs.iter().enumerate() {
                    write!(f, "{}{key} => {value}", if i > 0 { ", " } else { "" })?;
                }
                f.write_str("}")
            }
            Reply::Set(items) => list(f, "~[", items, "]"),
            Reply::Verbatim(bytes) => write!(f, "=\"{}\"", bytes.escape_ascii()),
            Reply::BigNumber(text) => write!(f, "({text}"),
            Reply::Push(items) => list(f, ">[", items, "]"),
        }
    }
}

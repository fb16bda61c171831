//! The client's side: bytes of a server to replies, for our tools, benchmarks and tests.
//!
//! Understands both versions at once. Whole nested replies may come in any pieces; finished parts are
//! kept, so no byte of a body is looked at twice. Depth, size and claimed lengths are bounded: a server
//! is not trusted either.

use super::request::{BIG_BYTES, decimal};
use crate::kv::{Reply, ReplyError};
use bytes::{Buf, Bytes, BytesMut};

/// Replies within replies, at most.
pub const DEPTH_MAX: usize = 32;
/// What each part of a reply costs besides its bytes.
const PART_COST_BYTES: usize = 64;
/// A line of a reply (status, error, number, length), bytes.
const LINE_BYTES_MAX: usize = 64 * 1024;
/// Room made in the buffer when more is needed, bytes.
const ROOM_BYTES: usize = 16 * 1024;

/// What a server sends.
#[derive(Debug, Clone, PartialEq)]
pub enum Incoming {
    /// The answer to the oldest request that has none yet.
    Reply(Reply),
    /// A message that no request asked for.
    Push(Vec<Reply>),
}

/// Why the bytes of a server are no reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReplyDecodeError {
    /// No kind of reply starts with this byte.
    #[error("a reply starts with the byte {0:#04x}")]
    Kind(u8),
    /// A length, number or truth value that is none.
    #[error("a reply has a malformed number")]
    Number,
    /// A part is not followed by a line end.
    #[error("a part of a reply does not end where it should")]
    End,
    /// Above a limit.
    #[error("a reply is too large or too deep")]
    TooLarge,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Array,
    Set,
    Map,
    Push,
    /// Remarks about the reply that follows; nobody here wants them.
    Attribute,
}

/// A list that is not complete.
#[derive(Debug)]
struct Open {
    kind: Kind,
    missing: usize,
    items: Vec<Reply>,
}

/// The reading side of a client's connection.
#[derive(Debug)]
pub struct ReplyDecoder {
    bytes_max: usize,
    bytes: usize,
    open: Vec<Open>,
}

impl ReplyDecoder {
    /// A decoder that takes replies of up to `bytes_max` bytes, all parts together.
    #[must_use]
    pub fn new(bytes_max: usize) -> Self {
        Self { bytes_max, bytes: 0, open: Vec::new() }
    }

    /// Takes the next reply out of `buffer`, or says that more bytes are needed and makes room.
    ///
    /// # Errors
    /// When this is no reply. The connection is then of no more use.
    pub fn decode(&mut self, buffer: &mut BytesMut) -> Result<Option<Incoming>, ReplyDecodeError> {
        loop {
            let mut done = match self.part(buffer)? {
                None => {
                    if buffer.capacity() - buffer.len() < ROOM_BYTES / 4 {
                        buffer.reserve(ROOM_BYTES);
                    }
                    return Ok(None);
                }
                Some(Part::Whole(reply)) => Some(reply),
                Some(Part::List(kind, missing)) => {
                    if self.open.len() >= DEPTH_MAX {
                        return Err(ReplyDecodeError::TooLarge);
                    }
                    let items = Vec::with_capacity(missing.min(1024));
                    self.open.push(Open { kind, missing, items });
                    None
                }
            };
            // A part that is complete may complete the list it belongs to, and that the next.
            loop {
                if let Some(reply) = done.take() {
                    match self.open.last_mut() {
                        None => {
                            self.bytes = 0;
                            return Ok(Some(Incoming::Reply(reply)));
                        }
                        Some(list) => {
                            list.items.push(reply);
                            list.missing -= 1;
                        }
                    }
                }
                let Some(list) = self.open.pop_if(|list| list.missing == 0) else { break };
                match list.kind {
                    Kind::Array => done = Some(Reply::Array(list.items)),
                    Kind::Set => done = Some(Reply::Set(list.items)),
                    Kind::Map => done = Some(Reply::Map(pairs(list.items))),
                    Kind::Attribute => break,
                    Kind::Push if self.open.is_empty() => {
                        self.bytes = 0;
                        return Ok(Some(Incoming::Push(list.items)));
                    }
                    Kind::Push => return Err(ReplyDecodeError::Kind(b'>')),
                }
            }
        }
    }

    fn charge(&mut self, bytes: usize) -> Result<(), ReplyDecodeError> {
        self.bytes = self.bytes.saturating_add(bytes);
        if self.bytes > self.bytes_max { Err(ReplyDecodeError::TooLarge) } else { Ok(()) }
    }

    /// The next part; the buffer is untouched unless it is there as a whole.
    fn part(&mut self, buffer: &mut BytesMut) -> Result<Option<Part>, ReplyDecodeError> {
        let head = &buffer[..buffer.len().min(LINE_BYTES_MAX + 2)];
        let Some(end) = head.windows(2).position(|pair| pair == b"\r\n") else {
            if buffer.len() > LINE_BYTES_MAX {
                return Err(ReplyDecodeError::TooLarge);
            }
            return match buffer.first() {
                Some(&kind) if !b"+-:$*_,#=!(%~>|".contains(&kind) => {
                    Err(ReplyDecodeError::Kind(kind))
                }
                _ => Ok(None),
            };
        };
        let Some((&kind, line)) = buffer[..end].split_first() else {
            return Err(ReplyDecodeError::Kind(b'\r'));
        };
        let number = || decimal(line).ok_or(ReplyDecodeError::Number);
        let length = || usize::try_from(number()?).map_err(|_| ReplyDecodeError::Number);
        let list = match kind {
            b'+' | b'-' | b':' | b'_' | b',' | b'#' | b'(' => {
                let reply = whole(kind, line)?;
                self.charge(line.len() + PART_COST_BYTES)?;
                buffer.advance(end + 2);
                return Ok(Some(Part::Whole(reply)));
            }
            b'$' | b'*' if line == b"-1" => {
                self.charge(PART_COST_BYTES)?;
                buffer.advance(end + 2);
                let nil = if kind == b'$' { Reply::Nil } else { Reply::NilArray };
                return Ok(Some(Part::Whole(nil)));
            }
            b'$' | b'=' | b'!' => {
                let length = length()?;
                if kind == b'=' && length < 4 {
                    // Too short for the three letters of its format and a colon.
                    return Err(ReplyDecodeError::Number);
                }
                if self.bytes.saturating_add(length) > self.bytes_max {
                    return Err(ReplyDecodeError::TooLarge);
                }
                if buffer.len() < end + 2 + length + 2 {
                    return Ok(None);
                }
                if &buffer[end + 2 + length..end + 2 + length + 2] != b"\r\n" {
                    return Err(ReplyDecodeError::End);
                }
                self.charge(length + PART_COST_BYTES)?;
                buffer.advance(end + 2);
                let body = if length < BIG_BYTES {
                    let body = Bytes::copy_from_slice(&buffer[..length]);
                    buffer.advance(length);
                    body
                } else {
                    buffer.split_to(length).freeze()
                };
                buffer.advance(2);
                return Ok(Some(Part::Whole(match kind {
                    b'$' => Reply::Bulk(body),
                    b'=' => Reply::Verbatim(text(&body[4..])),
                    _ => error(&body),
                })));
            }
            b'*' => Part::List(Kind::Array, length()?),
            b'~' => Part::List(Kind::Set, length()?),
            b'>' => Part::List(Kind::Push, length()?),
            b'%' => Part::List(Kind::Map, twice(length()?)?),
            b'|' => Part::List(Kind::Attribute, twice(length()?)?),
            other => return Err(ReplyDecodeError::Kind(other)),
        };
        self.charge(PART_COST_BYTES)?;
        buffer.advance(end + 2);
        Ok(Some(list))
    }
}

enum Part {
    Whole(Reply),
    List(Kind, usize),
}

fn twice(pairs: usize) -> Result<usize, ReplyDecodeError> {
    pairs.checked_mul(2).ok_or(ReplyDecodeError::TooLarge)
}

fn whole(kind: u8, line: &[u8]) -> Result<Reply, ReplyDecodeError> {
    Ok(match kind {
        b'+' if line == b"OK" => Reply::Ok,
        b'+' => Reply::Status(text(line)),
        b'-' => error(line),
        b':' => Reply::Integer(decimal(line).ok_or(ReplyDecodeError::Number)?),
        b'_' if line.is_empty() => Reply::Nil,
        b'#' if line == b"t" => Reply::Bool(true),
        b'#' if line == b"f" => Reply::Bool(false),
        b',' => {
            let number = std::str::from_utf8(line).ok().and_then(|text| text.parse().ok());
            Reply::Double(number.ok_or(ReplyDecodeError::Number)?)
        }
        // A number of any size is kept as its digits.
        b'(' => Reply::Bulk(Bytes::copy_from_slice(line)),
        _ => return Err(ReplyDecodeError::Number),
    })
}

fn error(line: &[u8]) -> Reply {
    let line = text(line);
    let (code, text) = line.split_once(' ').unwrap_or((&line, ""));
    ReplyError::new(code, text).into()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn pairs(items: Vec<Reply>) -> Vec<(Reply, Reply)> {
    let mut items = items.into_iter();
    std::iter::from_fn(|| Some((items.next()?, items.next()?))).collect()
}

#[cfg(test)]
mod tests {
    use super::super::encode::{RespVersion, encode, encode_push};
    use super::*;
    use proptest::prelude::*;

    fn decode(bytes: &[u8], piece: usize) -> Result<Vec<Incoming>, ReplyDecodeError> {
        let (mut decoder, mut buffer) = (ReplyDecoder::new(1 << 20), BytesMut::new());
        let mut found = Vec::new();
        for bytes in bytes.chunks(piece) {
            buffer.extend_from_slice(bytes);
            while let Some(reply) = decoder.decode(&mut buffer)? {
                found.push(reply);
            }
        }
        Ok(found)
    }

    fn replies() -> impl Strategy<Value = Reply> {
        let leaf = prop_oneof![
            Just(Reply::Ok),
            Just(Reply::Nil),
            any::<i64>().prop_map(Reply::Integer),
            any::<bool>().prop_map(Reply::Bool),
            (-1e300..1e300f64).prop_map(Reply::Double),
            "[a-z ]{1,20}".prop_map(Reply::Status),
            "\\PC{0,20}".prop_map(Reply::Verbatim),
            ("[A-Z]{1,8}", "[a-z ]{0,20}")
                .prop_map(|(code, text)| error(format!("{code} {text}").as_bytes())),
            prop::collection::vec(any::<u8>(), 0..60).prop_map(|bytes| Reply::Bulk(bytes.into())),
        ];
        leaf.prop_recursive(4, 60, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Reply::Array),
                prop::collection::vec(inner.clone(), 0..6).prop_map(Reply::Set),
                prop::collection::vec((inner.clone(), inner), 0..4).prop_map(Reply::Map),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_resp3_encodes_it_decodes(
            wanted in prop::collection::vec(replies(), 1..5), piece in 1..100usize,
        ) {
            let mut out = BytesMut::new();
            for reply in &wanted {
                encode(reply, RespVersion::Resp3, &mut out);
            }
            let found = decode(&out, piece).unwrap();
            prop_assert_eq!(found, wanted.into_iter().map(Incoming::Reply).collect::<Vec<_>>());
        }

        #[test]
        fn what_resp2_encodes_is_one_reply_each(
            wanted in prop::collection::vec(replies(), 1..5), piece in 1..100usize,
        ) {
            let mut out = BytesMut::new();
            for reply in &wanted {
                encode(reply, RespVersion::Resp2, &mut out);
            }
            prop_assert_eq!(decode(&out, piece).unwrap().len(), wanted.len());
        }

        #[test]
        fn random_bytes_do_no_harm(bytes in prop::collection::vec(any::<u8>(), 0..500)) {
            for kind in *b"*%$=|~>+" {
                let mut bytes = bytes.clone();
                bytes.insert(0, kind);
                let _ = decode(&bytes, 7);
            }
        }
    }

    #[test]
    fn pushes_are_told_apart_and_attributes_are_skipped() {
        let mut out = BytesMut::from(&b"|1\r\n+ttl\r\n:1\r\n*1\r\n|1\r\n+a\r\n+b\r\n:2\r\n"[..]);
        encode_push(&[Reply::Ok], RespVersion::Resp3, &mut out);
        out.extend_from_slice(b"(123456789012345678901234567890\r\n!7\r\nERR a\r\n\r\n");
        // The blob error's text holds a line end.
        assert_eq!(
            decode(&out, 3),
            Ok(vec![
                Incoming::Reply(Reply::Array(vec![Reply::Integer(2)])),
                Incoming::Push(vec![Reply::Ok]),
                Incoming::Reply(Reply::text("123456789012345678901234567890")),
                Incoming::Reply(error(b"ERR a\r\n")),
            ])
        );
    }

    #[test]
    fn depth_size_and_claims_are_bounded() {
        assert_eq!(decode(&b"*1\r\n".repeat(DEPTH_MAX), 9), Ok(vec![]));
        assert_eq!(decode(&b"*1\r\n".repeat(DEPTH_MAX + 1), 9), Err(ReplyDecodeError::TooLarge));
        assert_eq!(decode(b"$99999999\r\n", 9), Err(ReplyDecodeError::TooLarge));
        assert_eq!(decode(b"*9223372036854775807\r\n:1\r\n", 9), Ok(vec![]));
        assert_eq!(decode(b"%9223372036854775807\r\n:1\r\n", 9), Ok(vec![]));
        let many = [&b"*100000\r\n"[..], &b":1\r\n".repeat(100_000)].concat();
        assert_eq!(decode(&many, 999), Err(ReplyDecodeError::TooLarge));
        assert_eq!(decode(&[b'+'; LINE_BYTES_MAX + 9], 999), Err(ReplyDecodeError::TooLarge));
        assert_eq!(decode(b"?\r\n", 9), Err(ReplyDecodeError::Kind(b'?')));
        assert_eq!(decode(b"$1\r\nabc", 9), Err(ReplyDecodeError::End));
    }
}

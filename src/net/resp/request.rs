//! The request decoder: a connection's bytes in, commands out, one pass however the bytes arrive.
//!
//! What must always hold:
//! - No byte is looked at twice, except by the one copy out of the read buffer.
//! - What a request keeps in memory is what it holds. Its small arguments share one block of their own
//!   size, a big one ([`BIG_BYTES`]) has a block of its own, into which the socket is read directly; so
//!   an argument that is kept for long never pins a read buffer, and the read buffer is used again.
//! - Memory is taken as bytes arrive ([`AHEAD_BYTES`] ahead at most), never because a header claims it.
//! - The requests do not depend on how the bytes were cut into reads.

use super::error::ProtocolError;
use super::inline;
use crate::limits::{
    ARGUMENTS_MAX, ARGUMENTS_UNAUTHENTICATED_MAX, BULK_BYTES_UNAUTHENTICATED_MAX, INLINE_BYTES_MAX,
    VALUE_BYTES_MAX, VALUE_BYTES_MAX_DEFAULT,
};
use bytes::{Buf, Bytes, BytesMut};

/// Room made in an empty read buffer, bytes.
pub const READ_BYTES: usize = 16 * 1024;
/// From this length on an argument gets a block of its own.
pub const BIG_BYTES: usize = 32 * 1024;
/// Room made for a big argument ahead of its bytes; beyond it the room doubles as they arrive.
pub const AHEAD_BYTES: usize = 256 * 1024;
/// Small arguments are cut out of the read buffer at the latest when they fill this much of it.
const SEGMENT_BYTES: usize = 64 * 1024;
/// Places of arguments for which a connection keeps room.
const RANGES_KEPT: usize = 256;
/// What an argument costs besides its bytes.
const ARGUMENT_COST_BYTES: usize = 32;
/// All arguments of one request, bytes: one value of the largest size and as much again in small ones.
pub const REQUEST_BYTES_MAX: usize = 2 * VALUE_BYTES_MAX;

/// One command: its name and arguments, at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The name first.
    pub arguments: Vec<Bytes>,
}

/// What a connection may send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The largest argument, bytes.
    pub bulk_bytes_max: usize,
    /// All arguments of one request together, bytes, with a small charge for each.
    pub request_bytes_max: usize,
    /// The number of arguments.
    pub arguments_max: usize,
    /// Whether the client has said who it is, or need not. Else it gets less, as in Redis.
    pub authenticated: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            bulk_bytes_max: VALUE_BYTES_MAX_DEFAULT,
            request_bytes_max: REQUEST_BYTES_MAX,
            arguments_max: ARGUMENTS_MAX,
            authenticated: true,
        }
    }
}

/// The reading side of one connection.
///
/// ```text
/// loop {
///     while let Some(request) = decoder.decode(&mut buffer)? { … }
///     socket.read_buf(&mut buffer).await?; // decode has made room
/// }
/// ```
#[derive(Debug)]
pub struct Decoder {
    limits: Limits,
    /// Arguments of the request being read that have left the buffer.
    arguments: Vec<Bytes>,
    /// Arguments after those that are complete but still in the buffer: start and length.
    ranges: Vec<(usize, usize)>,
    /// Arguments still to come, the one being read included; 0 between requests.
    missing: usize,
    /// The length of the argument whose header has been read.
    bulk: Option<usize>,
    /// The buffer starts with that argument and has been made for it.
    big: bool,
    /// The first byte of the buffer that has not been understood.
    position: usize,
    /// How much behind `position` was already searched for an end of line.
    searched: usize,
    /// What the request has cost so far, against `request_bytes_max`.
    cost_bytes: usize,
    failed: Option<ProtocolError>,
}

impl Decoder {
    /// A decoder for a new connection.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            arguments: Vec::new(),
            ranges: Vec::new(),
            missing: 0,
            bulk: None,
            big: false,
            position: 0,
            searched: 0,
            cost_bytes: 0,
            failed: None,
        }
    }

    /// Changes the limits, for instance after `AUTH`; headers already read are not judged again.
    pub fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// The limits in force.
    #[must_use]
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// Bytes that the unfinished request holds outside the buffer, for the node's account of them.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        if self.missing == 0 { 0 } else { self.cost_bytes }
    }

    /// Takes the next request out of `buffer`, or says that more bytes are needed; then the buffer has
    /// room for them. Between calls the caller may only append to the buffer.
    ///
    /// # Errors
    /// What the connection is to be told before it is closed. Every later call says it again.
    pub fn decode(&mut self, buffer: &mut BytesMut) -> Result<Option<Request>, ProtocolError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        match self.step(buffer) {
            Ok(None) => {
                self.make_room(buffer);
                Ok(None)
            }
            Ok(Some(arguments)) => Ok(Some(Request { arguments })),
            Err(error) => {
                *self = Self { failed: Some(error.clone()), ..Self::new(self.limits) };
                Err(error)
            }
        }
    }

    fn step(&mut self, buffer: &mut BytesMut) -> Result<Option<Vec<Bytes>>, ProtocolError> {
        while self.missing == 0 {
            match buffer.first() {
                None => return Ok(None),
                Some(b'*') => {
                    let Some(count) = self.array_header(buffer)? else { return Ok(None) };
                    self.missing = count;
                    if count == 0 {
                        // An array of nothing is no request and gets no reply.
                        buffer.advance(self.position);
                        self.position = 0;
                    }
                }
                Some(_) => match self.inline(buffer)? {
                    Some(arguments) if arguments.is_empty() => {}
                    other => return Ok(other),
                },
            }
        }
        while self.missing > 0 {
            let length = match self.bulk {
                Some(length) => length,
                None => match self.bulk_header(buffer)? {
                    Some(length) => length,
                    None => return Ok(None),
                },
            };
            if buffer.len() - self.position < length + 2 {
                return Ok(None);
            }
            if length < BIG_BYTES {
                self.ranges.push((self.position, length));
                self.position += length + 2;
                if self.position >= SEGMENT_BYTES {
                    self.cut(buffer);
                }
            } else {
                let argument = if self.big {
                    buffer.split_to(length).freeze()
                } else {
                    let argument = Bytes::copy_from_slice(&buffer[..length]);
                    buffer.advance(length);
                    argument
                };
                self.arguments.push(argument);
                buffer.advance(2);
                if self.big && buffer.is_empty() {
                    // The end of the block is not worth keeping the block for.
                    *buffer = BytesMut::new();
                }
                self.big = false;
            }
            self.bulk = None;
            self.missing -= 1;
        }
        self.cut(buffer);
        self.cost_bytes = 0;
        Ok(Some(std::mem::take(&mut self.arguments)))
    }

    /// Moves the complete arguments, and all that has been understood, out of the buffer.
    fn cut(&mut self, buffer: &mut BytesMut) {
        if let Some(&(first, first_length)) = self.ranges.first() {
            if self.arguments.is_empty() {
                // Nearly always this is all there will be.
                self.arguments = Vec::with_capacity(self.ranges.len());
            }
            if self.ranges.len() == 1 {
                let argument = &buffer[first..first + first_length];
                self.arguments.push(Bytes::copy_from_slice(argument));
            } else {
                // The few bytes of headers in between are copied along: one copy is cheaper than many.
                let block = Bytes::copy_from_slice(&buffer[first..self.position - 2]);
                for &(start, length) in &self.ranges {
                    self.arguments.push(block.slice(start - first..start - first + length));
                }
            }
            self.ranges.clear();
            // One large request must not make every idle connection large.
            self.ranges.shrink_to(RANGES_KEPT);
        }
        buffer.advance(self.position);
        self.position = 0;
    }

    fn inline(&mut self, buffer: &mut BytesMut) -> Result<Option<Vec<Bytes>>, ProtocolError> {
        let Some(end) = find(buffer, self.searched, b'\n') else {
            self.searched = buffer.len();
            if buffer.len() > INLINE_BYTES_MAX {
                return Err(ProtocolError::InlineTooLong);
            }
            return Ok(None);
        };
        if end > INLINE_BYTES_MAX {
            return Err(ProtocolError::InlineTooLong);
        }
        self.searched = 0;
        let line = &buffer[..end];
        let arguments = inline::split(line.strip_suffix(b"\r").unwrap_or(line))?;
        if let Some(name) = arguments.first() {
            // A browser can be made to send its forms here; the lines of one must not run as commands.
            if name.eq_ignore_ascii_case(b"post") || name.eq_ignore_ascii_case(b"host:") {
                return Err(ProtocolError::Http);
            }
        }
        buffer.advance(end + 1);
        Ok(Some(arguments))
    }

    /// The number of arguments to come; 0 for an array of nothing.
    fn array_header(&mut self, buffer: &[u8]) -> Result<Option<usize>, ProtocolError> {
        let Some(line) = self.line(buffer, ProtocolError::ArrayHeaderTooLong)? else {
            return Ok(None);
        };
        let count = match decimal(&line[1..]).ok_or(ProtocolError::ArrayLength)? {
            ..=0 => 0,
            count => usize::try_from(count).map_err(|_| ProtocolError::ArrayLength)?,
        };
        if count > self.limits.arguments_max {
            return Err(ProtocolError::ArrayLength);
        }
        if count > ARGUMENTS_UNAUTHENTICATED_MAX && !self.limits.authenticated {
            return Err(ProtocolError::ArrayUnauthenticated);
        }
        self.position += line.len() + 2;
        Ok(Some(count))
    }

    fn bulk_header(&mut self, buffer: &mut BytesMut) -> Result<Option<usize>, ProtocolError> {
        let Some(line) = self.line(buffer, ProtocolError::BulkHeaderTooLong)? else {
            return Ok(None);
        };
        match line.first() {
            Some(b'$') => {}
            // An empty line: what stands there is its end.
            first => return Err(ProtocolError::ExpectedBulk(first.copied().unwrap_or(b'\r'))),
        }
        let length = decimal(&line[1..]).ok_or(ProtocolError::BulkLength)?;
        let length = usize::try_from(length).map_err(|_| ProtocolError::BulkLength)?;
        if length > BULK_BYTES_UNAUTHENTICATED_MAX && !self.limits.authenticated {
            return Err(ProtocolError::BulkUnauthenticated);
        }
        if length > self.limits.bulk_bytes_max {
            return Err(ProtocolError::Oversized { limit: self.limits.bulk_bytes_max });
        }
        self.cost_bytes += length + ARGUMENT_COST_BYTES;
        if self.cost_bytes > self.limits.request_bytes_max {
            return Err(ProtocolError::RequestTooLarge { limit: self.limits.request_bytes_max });
        }
        self.position += line.len() + 2;
        self.bulk = Some(length);
        if length >= BIG_BYTES {
            self.cut(buffer);
            if buffer.len() < length + 2 {
                resize(buffer, (length + 2).min(AHEAD_BYTES.max(buffer.len())));
                self.big = true;
            }
        }
        Ok(Some(length))
    }

    /// The header line at `position`, without its end; as in Redis, it ends with a carriage return and
    /// whatever byte follows.
    fn line<'a>(
        &mut self,
        buffer: &'a [u8],
        too_long: ProtocolError,
    ) -> Result<Option<&'a [u8]>, ProtocolError> {
        let rest = &buffer[self.position..];
        match find(rest, self.searched, b'\r') {
            Some(end) if end > INLINE_BYTES_MAX => Err(too_long),
            Some(end) if end + 1 < rest.len() => {
                self.searched = 0;
                Ok(Some(&rest[..end]))
            }
            Some(end) => {
                self.searched = end;
                Ok(None)
            }
            None if rest.len() > INLINE_BYTES_MAX => Err(too_long),
            None => {
                self.searched = rest.len();
                Ok(None)
            }
        }
    }

    fn make_room(&self, buffer: &mut BytesMut) {
        let (length, room) = (buffer.len(), buffer.capacity() - buffer.len());
        match self.bulk {
            Some(bulk) if self.big && room == 0 => resize(buffer, (bulk + 2).min(length * 2)),
            // Its own block has room; more than that would be too much.
            Some(_) if self.big => {}
            _ if length == 0 && room > 4 * READ_BYTES => {
                *buffer = BytesMut::with_capacity(READ_BYTES);
            }
            _ if room < READ_BYTES / 4 => buffer.reserve(READ_BYTES),
            _ => {}
        }
    }
}

/// Gives the buffer this capacity exactly, so that what is split off it later pins nothing else.
fn resize(buffer: &mut BytesMut, capacity: usize) {
    let mut grown = BytesMut::with_capacity(capacity);
    grown.extend_from_slice(buffer);
    *buffer = grown;
}

fn find(bytes: &[u8], from: usize, wanted: u8) -> Option<usize> {
    bytes[from..].iter().position(|&byte| byte == wanted).map(|at| from + at)
}

/// A decimal number as Redis takes it: no plus sign, blanks or leading zeros.
pub(super) fn decimal(text: &[u8]) -> Option<i64> {
    match text {
        // Nearly all lengths are of one or two digits.
        [digit @ b'0'..=b'9'] => Some(i64::from(digit - b'0')),
        [tens @ b'1'..=b'9', ones @ b'0'..=b'9'] => {
            Some(i64::from(tens - b'0') * 10 + i64::from(ones - b'0'))
        }
        _ => crate::kv::number::integer(text),
    }
}

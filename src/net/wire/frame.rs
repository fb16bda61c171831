//! Frames: how a stream of bytes is cut into messages.
//!
//! ```text
//! length u32 LE │ format u8 │ kind u8 │ payload, `length` bytes
//! ```
//!
//! These six bytes never change their meaning; everything behind them may, with the format. The length
//! is checked against a limit as soon as it is known, and memory grows with what has been received, not
//! with what was announced. There is no checksum: QUIC authenticates every packet.

use bytes::{Bytes, BytesMut};

/// Bytes in front of a payload.
pub const HEADER_BYTES: usize = 6;
/// The only format so far.
pub const FORMAT: u8 = 1;
/// How far ahead of the received bytes the reader may allocate.
const AHEAD_BYTES_MAX: usize = 64 * 1024;
/// What a reader allocates at first.
const BUFFER_BYTES: usize = 16 * 1024;

/// What a frame is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A [`super::Hello`]: the only frame of a connection's first stream, once in each direction.
    Hello,
    /// The first frame of a lane's stream: one byte, the lane.
    Lane,
    /// A message.
    Data,
    /// The only frame of a stream: the sender was born into this cluster after it had said hello.
    Cluster,
}

impl Kind {
    fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            1 => Some(Self::Hello),
            2 => Some(Self::Lane),
            3 => Some(Self::Data),
            4 => Some(Self::Cluster),
            _ => None,
        }
    }

    fn byte(self) -> u8 {
        match self {
            Self::Hello => 1,
            Self::Lane => 2,
            Self::Data => 3,
            Self::Cluster => 4,
        }
    }
}

/// The bytes that stand before a payload of `length` bytes.
///
/// # Panics
/// When the payload is longer than 4 GiB; every limit of ours is far below.
#[must_use]
pub fn header(kind: Kind, length: usize) -> [u8; HEADER_BYTES] {
    let length = u32::try_from(length).expect("frames are capped far below 4 GiB").to_le_bytes();
    [length[0], length[1], length[2], length[3], FORMAT, kind.byte()]
}

/// Why a stream of frames cannot be read on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The payload would be larger than is allowed here.
    #[error("a frame of {length} bytes is larger than the {limit} allowed here")]
    TooLong {
        /// The announced length, bytes.
        length: usize,
        /// The limit, bytes.
        limit: usize,
    },
    /// A format of a later version, or no frame at all.
    #[error("frame format {0} is unknown")]
    Format(u8),
    /// A kind of a later version, or no frame at all.
    #[error("frame kind {0} is unknown")]
    Kind(u8),
}

/// Takes in chunks as they arrive and hands out whole frames, which share the memory of the chunks
/// they arrived with.
#[derive(Debug)]
pub struct FrameReader {
    buffer: BytesMut,
    limit: usize,
}

impl FrameReader {
    /// A reader of frames with payloads up to `limit` bytes.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self { buffer: BytesMut::new(), limit }
    }

    /// Takes in what was received. Call `next` until it has nothing more before the next push,
    /// which is what bounds the memory.
    pub fn push(&mut self, chunks: &[Bytes]) {
        let received: usize = chunks.iter().map(Bytes::len).sum();
        if self.buffer.capacity() - self.buffer.len() < received {
            let missing = self.announced().unwrap_or(0).saturating_sub(self.buffer.len());
            let ahead = missing.min(AHEAD_BYTES_MAX.max(self.buffer.len()));
            self.buffer.reserve(received.max(ahead).max(BUFFER_BYTES));
        }
        for chunk in chunks {
            self.buffer.extend_from_slice(chunk);
        }
    }

    /// The next whole frame, `None` if more has to be received first.
    ///
    /// # Errors
    /// When what was received is no frame, or one that is too long. The reader is of no use after that.
    pub fn next_frame(&mut self) -> Result<Option<(Kind, Bytes)>, FrameError> {
        if self.buffer.len() < HEADER_BYTES {
            return Ok(None);
        }
        let (format, kind) = (self.buffer[4], self.buffer[5]);
        if format != FORMAT {
            return Err(FrameError::Format(format));
        }
        let kind = Kind::from_byte(kind).ok_or(FrameError::Kind(kind))?;
        let whole = self.announced().expect("the header is there");
        let length = whole - HEADER_BYTES;
        if length > self.limit {
            return Err(FrameError::TooLong { length, limit: self.limit });
        }
        if self.buffer.len() < whole {
            return Ok(None);
        }
        let mut frame = self.buffer.split_to(whole).freeze();
        Ok(Some((kind, frame.split_off(HEADER_BYTES))))
    }

    /// The payload length of the frame whose first bytes are here, if its header is.
    #[must_use]
    pub fn announced_payload(&self) -> Option<usize> {
        self.announced().map(|whole| whole - HEADER_BYTES)
    }

    /// Whether nothing of an unfinished frame is left.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.buffer.is_empty()
    }

    fn announced(&self) -> Option<usize> {
        let length = self.buffer.get(..4)?.try_into().ok()?;
        self.buffer.get(..HEADER_BYTES)?;
        usize::try_from(u32::from_le_bytes(length)).ok()?.checked_add(HEADER_BYTES)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: Kind, payload: &[u8]) -> Vec<u8> {
        let mut bytes = header(kind, payload.len()).to_vec();
        bytes.extend_from_slice(payload);
        bytes
    }

    #[test]
    fn frames_come_out_however_the_bytes_were_cut() {
        let payloads: Vec<Vec<u8>> =
            [0usize, 1, 7, 300, 70_000, 5].iter().map(|&n| vec![n as u8; n]).collect();
        let mut stream = Vec::new();
        for payload in &payloads {
            stream.extend(frame(Kind::Data, payload));
        }
        for cut in [1, 2, 5, 6, 7, 1000, 1452, stream.len()] {
            let mut reader = FrameReader::new(100_000);
            let mut got = Vec::new();
            for chunk in stream.chunks(cut) {
                reader.push(&[Bytes::copy_from_slice(chunk)]);
                while let Some((kind, payload)) = reader.next_frame().unwrap() {
                    assert_eq!(kind, Kind::Data);
                    got.push(payload.to_vec());
                }
            }
            assert_eq!(got, payloads, "cut every {cut} bytes");
            assert!(reader.is_empty());
        }
    }

    #[test]
    fn a_lie_about_the_length_costs_no_memory() {
        let mut reader = FrameReader::new(50_000_000);
        reader.push(&[Bytes::copy_from_slice(&header(Kind::Data, 49_999_999))]);
        assert_eq!(reader.next_frame(), Ok(None));
        reader.push(&[Bytes::from(vec![0; 20_000])]);
        assert_eq!(reader.next_frame(), Ok(None));
        assert!(reader.buffer.capacity() < 200_000, "{}", reader.buffer.capacity());
    }

    #[test]
    fn what_is_no_frame_is_an_error() {
        let mut reader = FrameReader::new(10);
        reader.push(&[Bytes::copy_from_slice(&header(Kind::Data, 11))]);
        assert_eq!(reader.next_frame(), Err(FrameError::TooLong { length: 11, limit: 10 }));

        let mut reader = FrameReader::new(10);
        reader.push(&[Bytes::from_static(&[1, 0, 0, 0, 9, 3, 0])]);
        assert_eq!(reader.next_frame(), Err(FrameError::Format(9)));

        let mut reader = FrameReader::new(10);
        reader.push(&[Bytes::from_static(&[1, 0, 0, 0, FORMAT, 77, 0])]);
        assert_eq!(reader.next_frame(), Err(FrameError::Kind(77)));
    }
}

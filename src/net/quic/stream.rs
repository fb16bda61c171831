//! Frames over one QUIC stream: few large writes out of many frames, many frames out of one read.

use super::outbox::Outbox;
use super::stats::LaneStats;
use crate::net::wire::{FrameError, FrameReader, Kind, header};
use bytes::{BufMut, Bytes, BytesMut};
use quinn::{ReadError, RecvStream, SendStream, WriteError};

/// Bytes that one write takes from the queue at most, unless a single frame is larger.
const WRITE_BYTES: usize = 256 * 1024;
/// A payload up to this is copied next to its neighbours; a larger one is passed on as it is.
const COPY_BYTES_MAX: usize = 8 * 1024;
/// Chunks (packets, roughly) that one read takes.
const READ_CHUNKS: usize = 64;

/// Writes what `outbox` gets until it is finished or closed. `stats` counts it, if given.
pub(crate) async fn write_frames(
    stream: &mut SendStream,
    outbox: &Outbox,
    stats: Option<&LaneStats>,
) -> Result<(), WriteError> {
    let mut frames = Vec::new();
    let mut chunks = Vec::new();
    while outbox.take(&mut frames, WRITE_BYTES).await {
        let count = frames.len();
        let bytes = frames.iter().map(Bytes::len).sum();
        gather(&mut frames, &mut chunks);
        stream.write_all_chunks(&mut chunks).await?;
        chunks.clear();
        outbox.written(count, bytes);
        if let Some(stats) = stats {
            stats.frames_sent.add(count as u64);
            stats.bytes_sent.add(bytes as u64);
            stats.writes.one();
        }
    }
    Ok(())
}

/// Puts a header before each frame, and small frames together.
fn gather(frames: &mut Vec<Bytes>, chunks: &mut Vec<Bytes>) {
    let is_small = |frame: &Bytes| frame.len() <= COPY_BYTES_MAX;
    let copied: usize =
        frames.iter().map(|frame| 6 + if is_small(frame) { frame.len() } else { 0 }).sum();
    let mut buffer = BytesMut::with_capacity(copied);
    for frame in frames.drain(..) {
        buffer.put_slice(&header(Kind::Data, frame.len()));
        if is_small(&frame) {
            buffer.put_slice(&frame);
        } else {
            chunks.push(buffer.split().freeze());
            chunks.push(frame);
        }
    }
    if !buffer.is_empty() {
        chunks.push(buffer.freeze());
    }
}

/// Why nothing more can be read.
#[derive(Debug)]
pub(crate) enum ReadFault {
    /// The stream or connection is gone.
    Lost,
    /// What came is no frame.
    Frame(FrameError),
}

impl From<ReadError> for ReadFault {
    fn from(_: ReadError) -> Self {
        Self::Lost
    }
}

impl From<FrameError> for ReadFault {
    fn from(error: FrameError) -> Self {
        Self::Frame(error)
    }
}

/// Reads the frames of a stream.
pub(crate) struct FrameStream {
    stream: RecvStream,
    reader: FrameReader,
    chunks: Vec<Bytes>,
}

impl FrameStream {
    pub(crate) fn new(stream: RecvStream, limit: usize) -> Self {
        Self { stream, reader: FrameReader::new(limit), chunks: vec![Bytes::new(); READ_CHUNKS] }
    }

    /// Takes in what has arrived, waiting for something if need be; `false` at the stream's end.
    /// [`Self::next_frame`] has to be called until there is none before the next call.
    pub(crate) async fn fill(&mut self) -> Result<bool, ReadFault> {
        let Some(count) = self.stream.read_chunks(&mut self.chunks).await? else {
            return Ok(false);
        };
        let chunks = &mut self.chunks[..count];
        self.reader.push(chunks);
        // The packets' memory is not kept until the next read.
        chunks.fill(Bytes::new());
        Ok(true)
    }

    /// The next whole frame.
    pub(crate) fn next_frame(&mut self) -> Result<Option<(Kind, Bytes)>, FrameError> {
        self.reader.next_frame()
    }

    /// The length of the frame that has begun to arrive.
    pub(crate) fn announced_payload(&self) -> Option<usize> {
        self.reader.announced_payload()
    }

    /// Whether nothing of an unfinished frame was read.
    pub(crate) fn is_between_frames(&self) -> bool {
        self.reader.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_frames_share_a_chunk_and_large_ones_are_not_copied() {
        let large = Bytes::from(vec![7; COPY_BYTES_MAX + 1]);
        let mut frames = vec![
            Bytes::from_static(b"one"),
            Bytes::from_static(b"two"),
            large.clone(),
            Bytes::from_static(b"three"),
        ];
        let mut chunks = Vec::new();
        gather(&mut frames, &mut chunks);
        assert_eq!(chunks.len(), 3);
        assert_eq!(chunks[1].as_ptr(), large.as_ptr());
        let mut reader = FrameReader::new(1 << 20);
        reader.push(&chunks);
        let mut got = Vec::new();
        while let Some((_, payload)) = reader.next_frame().unwrap() {
            got.push(payload);
        }
        assert_eq!(got, [&b"one"[..], b"two", &large, b"three"]);
    }
}

//! A connection's way out: replies gather here and leave in large writes.
//!
//! What must always hold: no more than [`GATHERED_BYTES`] and one reply wait for the client, who may be
//! slow, and a client that takes nothing for [`PATIENCE`] is let go.

use super::registry::Entry;
use crate::kv::Reply;
use crate::net::resp::{RespVersion, encode};
use bytes::BytesMut;
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// So many bytes are gathered before they are written in the middle of a pipeline.
const GATHERED_BYTES: usize = 1024 * 1024;
/// A buffer that grew beyond this is given back, bytes.
const KEPT_BYTES: usize = 256 * 1024;
/// How long a client may take nothing of what it asked for.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long a client that was told why it has to go may still send.
const LINGER: Duration = Duration::from_millis(500);

/// See the module's first lines.
pub(super) struct Output<'a, S> {
    stream: &'a mut S,
    entry: Arc<Entry>,
    gathered: BytesMut,
    patience: Duration,
}

impl<'a, S: AsyncRead + AsyncWrite + Unpin> Output<'a, S> {
    /// The way out of this connection.
    pub(super) fn new(stream: &'a mut S, entry: Arc<Entry>) -> Self {
        Self { stream, entry, gathered: BytesMut::new(), patience: PATIENCE }
    }

    /// Appends a reply; writes when enough has gathered.
    ///
    /// # Errors
    /// When the client is gone, killed, or takes nothing.
    pub(super) async fn reply(&mut self, reply: Reply, version: RespVersion) -> io::Result<()> {
        encode(&reply, version, &mut self.gathered);
        drop(reply);
        if self.gathered.len() > GATHERED_BYTES { self.write().await } else { Ok(()) }
    }

    /// Appends a line that is no reply.
    pub(super) fn line(&mut self, line: &[u8]) {
        self.gathered.extend_from_slice(line);
    }

    /// Writes what has gathered.
    ///
    /// # Errors
    /// When the client is gone, killed, or takes nothing.
    pub(super) async fn write(&mut self) -> io::Result<()> {
        if self.gathered.is_empty() {
            return Ok(());
        }
        let Self { stream, entry, gathered, patience } = self;
        while !gathered.is_empty() {
            if patiently(*patience, entry, stream.write_buf(gathered)).await? == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
        }
        // TLS may keep the end of it back.
        patiently(*patience, entry, stream.flush()).await?;
        if gathered.capacity() > KEPT_BYTES {
            *gathered = BytesMut::new();
        }
        Ok(())
    }

    /// Reads what the client sends; 0 when nothing will come any more.
    ///
    /// # Errors
    /// When the client is gone.
    pub(super) async fn read(&mut self, buffer: &mut BytesMut) -> io::Result<usize> {
        tokio::select! {
            read = self.stream.read_buf(buffer) => read,
            () = self.entry.killed() => Ok(0),
        }
    }

    /// Closes our side. When the client may still be sending, what comes is read for a moment, or the
    /// system would throw our last words away with it.
    ///
    /// # Errors
    /// When the client is gone, killed, or takes nothing.
    pub(super) async fn finish(&mut self, linger: bool) -> io::Result<()> {
        tokio::time::timeout(self.patience, self.stream.shutdown()).await??;
        if linger {
            let mut sink = [0; 4096];
            let drain =
                async { while self.stream.read(&mut sink).await.is_ok_and(|read| read > 0) {} };
            let _ = tokio::time::timeout(LINGER, drain).await;
        }
        Ok(())
    }
}

/// Waits for one step of a write.
async fn patiently<T>(
    patience: Duration,
    entry: &Entry,
    step: impl Future<Output = io::Result<T>>,
) -> io::Result<T> {
    tokio::select! {
        // First what is nearly always ready at once: whoever kills its own connection still hears so.
        biased;
        done = tokio::time::timeout(patience, step) => {
            done.unwrap_or_else(|_| Err(io::Error::new(io::ErrorKind::TimedOut, "it takes no replies")))
        }
        () = entry.killed() => Err(io::Error::new(io::ErrorKind::ConnectionAborted, "it was killed")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::registry::Registry;
    use super::*;
    use bytes::Bytes;

    fn entry(registry: &Registry) -> Arc<Entry> {
        let address = "127.0.0.1:1".parse().unwrap();
        registry.open(address, address).unwrap()
    }

    fn large() -> Reply {
        Reply::Bulk(Bytes::from(vec![b'x'; GATHERED_BYTES]))
    }

    #[tokio::test]
    async fn many_replies_leave_before_all_are_there() {
        let registry = Registry::default();
        let (mut ours, mut theirs) = tokio::io::duplex(64 * 1024);
        let reader = tokio::spawn(async move {
            let mut all = Vec::new();
            theirs.read_to_end(&mut all).await.unwrap();
            all.len()
        });
        let mut output = Output::new(&mut ours, entry(&registry));
        for _ in 0..5 {
            output.reply(large(), RespVersion::Resp2).await.unwrap();
            assert!(output.gathered.is_empty());
        }
        output.reply(Reply::Ok, RespVersion::Resp2).await.unwrap();
        assert_eq!(output.gathered.len(), 5);
        output.write().await.unwrap();
        output.finish(false).await.unwrap();
        drop(ours);
        assert_eq!(reader.await.unwrap(), 5 * (GATHERED_BYTES + "$1048576\r\n\r\n".len()) + 5);
    }

    #[tokio::test]
    async fn a_client_that_takes_nothing_is_let_go() {
        let registry = Registry::default();
        let (mut ours, _theirs) = tokio::io::duplex(1024);
        let mut output = Output::new(&mut ours, entry(&registry));
        output.patience = Duration::from_millis(20);
        let error = output.reply(large(), RespVersion::Resp2).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn a_client_that_takes_nothing_can_be_killed() {
        let registry = Registry::default();
        let (mut ours, _theirs) = tokio::io::duplex(1024);
        let entry = entry(&registry);
        let mut output = Output::new(&mut ours, entry.clone());
        let all = crate::kv::parse::KillFilter {
            id: None,
            address: None,
            local_address: None,
            user: None,
            normal: true,
            skip_me: false,
        };
        let (error, killed) = tokio::join!(output.reply(large(), RespVersion::Resp2), async {
            tokio::task::yield_now().await;
            registry.kill(0, &all)
        });
        assert_eq!(error.unwrap_err().kind(), io::ErrorKind::ConnectionAborted);
        assert_eq!(killed, 1);
    }
}

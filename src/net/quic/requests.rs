//! The accepting side of connections for requests: one stream per request, read, handed on, answered.
//!
//! A requester may have many streams, but only so many bytes of requests under way: each takes its whole
//! length from a budget before it is read on, so that half-sent requests cannot pile up.

use super::endpoint::Shared;
use super::handshake::{Greeted, close, frame_refusal};
use super::inbound::Requester;
use super::outbox::Outbox;
use super::respond::Responder;
use super::stream::{FrameStream, ReadFault, write_frames};
use crate::limits::FRAME_BYTES_MAX;
use crate::net::wire::{CloseCode, Kind, Refusal};
use bytes::Bytes;
use quinn::{RecvStream, SendStream, VarInt};
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;

/// Bytes of requests that one connection may have sent and not seen answered.
pub const REQUESTS_BYTES_MAX: usize = FRAME_BYTES_MAX;
/// The unit of that budget: a request costs at least one.
const BUDGET_UNIT: usize = 1024;

/// Serves requests until the connection ends.
pub(super) async fn serve(shared: Arc<Shared>, greeted: Greeted) {
    let connection = greeted.connection;
    let from = Requester { role: greeted.hello.from, address: connection.remote_address() };
    let budget = Arc::new(Semaphore::new(REQUESTS_BYTES_MAX / BUDGET_UNIT + 1));
    let mut streams = JoinSet::new();
    let refusal = loop {
        tokio::select! {
            accepted = connection.accept_bi() => match accepted {
                Ok((send, receive)) => {
                    streams.spawn(request(shared.clone(), from, send, receive, budget.clone()));
                }
                // Dropping the tasks tells the responders that nobody waits any more.
                Err(_) => return,
            },
            Ok(_) = connection.accept_uni() => {
                break Refusal::new(CloseCode::Protocol, "lanes are for nodes");
            }
            Some(ended) = streams.join_next() => {
                if let Ok(Err(refusal)) = ended {
                    break refusal;
                }
            }
        }
    };
    tracing::warn!(from = %from.role, address = %from.address, %refusal, "closing the connection of a requester");
    shared.stats.refused(refusal.code).one();
    close(&connection, &refusal);
}

/// Serves one request. An error closes the whole connection.
async fn request(
    shared: Arc<Shared>,
    from: Requester,
    mut send: SendStream,
    receive: RecvStream,
    budget: Arc<Semaphore>,
) -> Result<(), Refusal> {
    let (frame, _share) = match read(receive, budget).await {
        Ok(Some(request)) => request,
        Ok(None) | Err(ReadFault::Lost) => {
            shared.stats.requests_broken.one();
            let _ = send.reset(VarInt::from_u32(CloseCode::Malformed.number()));
            return Ok(());
        }
        Err(ReadFault::Frame(error)) => {
            shared.stats.requests_broken.one();
            return Err(frame_refusal(error));
        }
    };
    shared.stats.requests.one();
    let (respond, outbox) = Responder::new();
    let answer = ClosedOnDrop(outbox);
    shared.inbound.request(from, frame, respond);
    if write_frames(&mut send, &answer.0, None).await.is_ok() {
        let _ = send.finish();
    }
    Ok(())
}

/// Reads the one frame of a request, with its share of the budget; `None` if it ends too soon.
async fn read(
    receive: RecvStream,
    budget: Arc<Semaphore>,
) -> Result<Option<(Bytes, OwnedSemaphorePermit)>, ReadFault> {
    let mut stream = FrameStream::new(receive, FRAME_BYTES_MAX);
    let mut share = None;
    while stream.fill().await? {
        let announced = stream.announced_payload();
        let frame = stream.next_frame()?;
        if let (None, Some(length)) = (&share, announced) {
            let units = u32::try_from(length / BUDGET_UNIT + 1).unwrap_or(u32::MAX);
            let acquired = budget.clone().acquire_many_owned(units).await;
            share = Some(acquired.expect("this semaphore is never closed"));
        }
        if let Some((kind, payload)) = frame {
            return Ok(share.take().filter(|_| kind == Kind::Data).map(|share| (payload, share)));
        }
    }
    Ok(None)
}

/// Closes an answer's queue when nobody writes it any more.
struct ClosedOnDrop(Arc<Outbox>);

impl Drop for ClosedOnDrop {
    fn drop(&mut self) {
        self.0.close();
    }
}

//! The ways of the driver: its questions as units of work for the source, its entries as units for its own
//! group.

use crate::actors::router::{Mode, Router, Target};
use crate::ids::GroupId;
use crate::kv::Reply;
use crate::kv::migration::drive::{Errand, Heard, Word};
use crate::kv::migration::{MoveAnswer, MoveAsk, MoveRecord, MoveReply};
use crate::net::message::{Outcome, Work};

/// Asks the source; `None` if it did not answer.
pub(super) async fn ask(router: &Router, source: GroupId, question: MoveAsk) -> Option<MoveAnswer> {
    let (mut errand, mut word) = Errand::new(question);
    loop {
        let replies = submit(router, source, work(word), Mode::Cluster).await?;
        match errand.heard(replies.first()?) {
            Heard::Say(next) => word = next,
            Heard::Answer(answer) => return Some(answer),
            Heard::Nothing(why) => {
                tracing::warn!(%source, "a move gets no answer from its source: {why}");
                return None;
            }
        }
    }
}

fn work(word: Word) -> Work {
    match word {
        Word::Look(look) => Work::Look(look),
        Word::Step(record) => Work::Steps(vec![record]),
    }
}

/// Has one entry made of these steps; `None` if that was not done, or nobody knows.
pub(super) async fn steps(
    router: &Router,
    group: GroupId,
    records: Vec<MoveRecord>,
    mode: Mode,
) -> Option<Vec<MoveReply>> {
    let replies = submit(router, group, Work::Steps(records), mode).await?;
    replies.iter().map(|reply| reply.decode().ok()).collect()
}

/// The replies to a unit, if it was carried out.
pub(super) async fn submit(
    router: &Router,
    group: GroupId,
    work: Work,
    mode: Mode,
) -> Option<Vec<Reply>> {
    match router.submit(vec![(Target::Group(group), work)], mode).await.pop()?.outcome {
        Outcome::Done(replies) => Some(replies),
        Outcome::NotDone(_) | Outcome::Unknown => None,
    }
}

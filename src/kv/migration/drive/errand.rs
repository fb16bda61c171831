//! A question of the driver on its way: what to say to the source's group for it, one thing after the other,
//! and what its replies come to.
//!
//! | question | says | answered with |
//! |---|---|---|
//! | Begin | a look: which of them can go, or are going already; then `BeginMove` | Begun |
//! | Page | a look at the page | Page |
//! | Handoff | `Handoff`, whose reply is the rest | HandedOff |
//! | Cancel | `Cancel` | Over |
//! | Accepted | `Forget` | Over |
//!
//! All of it may be done twice, or be given up half done.

use super::bounds::MOVE_BYTES;
use crate::kv::Reply;
use crate::kv::migration::{MoveAnswer, MoveAsk, MoveLook, MoveRecord, MoveReply, MoveSight};

/// Something to say to the source's group.
#[derive(Clone, Debug, PartialEq)]
pub enum Word {
    /// It is a read; see [`MoveLook`].
    Look(MoveLook),
    /// It is to become an entry.
    Step(MoveRecord),
}

/// What a reply means for the question.
#[derive(Clone, Debug, PartialEq)]
pub enum Heard {
    /// This is to be said next.
    Say(Word),
    /// The question is answered.
    Answer(MoveAnswer),
    /// It does not fit, or the source cannot read its state: there is no answer, for this reason.
    Nothing(String),
}

/// See the module's first lines.
#[derive(Clone, Debug)]
pub struct Errand {
    question: MoveAsk,
    /// The last word was a look.
    looks: bool,
}

impl Errand {
    /// The question, and what is to be said first.
    #[must_use]
    pub fn new(question: MoveAsk) -> (Self, Word) {
        let word = match question.clone() {
            MoveAsk::Begin { to, ranges, .. } => {
                Word::Look(MoveLook::Begin { to, ranges, bytes_max: MOVE_BYTES })
            }
            MoveAsk::Page { id, progress, bytes_max } => {
                Word::Look(MoveLook::Page { id, progress, bytes_max })
            }
            MoveAsk::Handoff { id, progress } => {
                Word::Step(MoveRecord::Handoff { id, destination: progress })
            }
            MoveAsk::Cancel { id } => Word::Step(MoveRecord::Cancel { id }),
            MoveAsk::Accepted { id } => Word::Step(MoveRecord::Forget { id }),
        };
        let looks = matches!(word, Word::Look(_));
        (Self { question, looks }, word)
    }

    /// What the source's group has replied to the last word.
    #[must_use]
    pub fn heard(&mut self, reply: &Reply) -> Heard {
        let heard = match self.looks {
            true => reply.decode().map(|sight| self.seen(sight)),
            false => reply.decode().map(|stepped| self.stepped(stepped)),
        };
        heard.unwrap_or_else(|error| Heard::Nothing(format!("an answer does not decode: {error}")))
    }

    fn seen(&mut self, sight: MoveSight) -> Heard {
        let id = self.question.id();
        Heard::Answer(match (&self.question, sight) {
            (MoveAsk::Begin { to, table, .. }, MoveSight::Free(ranges)) => {
                self.looks = false;
                let (to, table) = (*to, *table);
                return Heard::Say(Word::Step(MoveRecord::BeginMove { ranges, to, table }));
            }
            (MoveAsk::Begin { .. }, MoveSight::Moving(id, outgoing)) => {
                MoveAnswer::Begun { id, outgoing: *outgoing }
            }
            (MoveAsk::Page { id, progress, .. }, MoveSight::Page(page)) => {
                MoveAnswer::Page { id: *id, from: progress.clone(), page }
            }
            (_, MoveSight::Refused(why)) => MoveAnswer::Refused { id, why },
            (_, MoveSight::Failed(trouble)) => return Heard::Nothing(trouble),
            _ => return Heard::unfit(),
        })
    }

    fn stepped(&self, reply: MoveReply) -> Heard {
        let id = self.question.id();
        Heard::Answer(match (&self.question, reply) {
            (MoveAsk::Begin { .. }, MoveReply::Begun(id, outgoing)) => {
                MoveAnswer::Begun { id, outgoing: *outgoing }
            }
            (MoveAsk::Handoff { id, progress }, MoveReply::HandedOff(handoff, page)) => {
                MoveAnswer::HandedOff { id: *id, handoff, from: progress.clone(), page: *page }
            }
            (MoveAsk::Cancel { id } | MoveAsk::Accepted { id }, MoveReply::Done) => {
                MoveAnswer::Over { id: *id }
            }
            (_, MoveReply::Refused(why)) => MoveAnswer::Refused { id, why },
            _ => return Heard::unfit(),
        })
    }
}

impl Heard {
    fn unfit() -> Self {
        Self::Nothing("the answer to another question".into())
    }
}

//! What clients do, and how the answers are judged.

use super::checks::{Register, Story, Total, Violation};
use super::parts::Chance;
use bytes::Bytes;
use eraft::kv::{Command, Condition, Deadline, Expiry, Reply, SessionRef};
use eraft::net::message::{Ask, Work};

/// Values have up to so many bytes, so that batches span pages.
const PADDING_MAX: u64 = 3_000;

/// See the module's first lines.
#[derive(Clone, Debug)]
pub(crate) enum Task {
    /// Sets two keys to one value, as one unit.
    Pair(String),
    /// Appends to the client's text, under its session.
    Append(String),
    /// Counts the group's counter up, under the client's session; it was at least here when the client
    /// began.
    Count(i64),
    /// Sets a key that soon expires; nobody reads it.
    Fleeting(i64),
    /// Reads both keys of the pair, as one unit.
    ReadPair,
    /// Reads the text.
    ReadStory,
    /// Reads the counter, when nobody counts.
    ReadTotal,
}

impl Task {
    /// The next one.
    pub(crate) fn choose(client: u64, sequence: u64, total: &Total, chance: &mut Chance) -> Self {
        let kind = chance.below(10);
        let padding = "x".repeat(chance.below(PADDING_MAX) as usize);
        match kind {
            0..3 => Self::Pair(format!("{client}.{sequence}~{padding}")),
            3..5 => Self::Append(format!("{sequence}~{}", &padding[..padding.len() / 4])),
            5..7 => Self::Count(total.highest()),
            7 => Self::Fleeting(chance.between(1, 100) as i64),
            8 => Self::ReadPair,
            _ => Self::ReadStory,
        }
    }

    /// Whether it is given up when its outcome is not known.
    pub(crate) fn is_plain(&self) -> bool {
        matches!(self, Self::Pair(_) | Self::Fleeting(_))
    }

    /// Whether it goes under a session, so that it is done exactly once.
    pub(crate) fn is_counted(&self) -> bool {
        matches!(self, Self::Append(_) | Self::Count(_))
    }

    /// Whether it changes something.
    pub(crate) fn is_write(&self) -> bool {
        self.is_plain() || self.is_counted()
    }

    /// The commands.
    pub(crate) fn work(&self, client: u64, tag: &str, session: Option<SessionRef>) -> Work {
        let key = |name: &str| Bytes::from(format!("{tag}{name}{client}"));
        let total = Bytes::from(format!("{tag}total"));
        let get = |key| Command::Get { key };
        let set = |key, value: &str, expiry| Command::Set {
            key,
            value: Bytes::from(value.to_owned()),
            condition: Condition::Always,
            expiry,
            get: false,
        };
        let commands = match self {
            Self::Pair(value) => {
                vec![
                    set(key("left"), value, Expiry::Clear),
                    set(key("right"), value, Expiry::Clear),
                ]
            }
            Self::Append(text) => {
                vec![Command::Append { key: key("text"), value: Bytes::from(text.clone()) }]
            }
            Self::Count(_) => vec![Command::IncrBy { key: total, by: 1 }],
            Self::Fleeting(millis) => {
                vec![set(key("fleeting"), "here", Expiry::Set(Deadline::After(*millis)))]
            }
            Self::ReadPair => vec![get(key("left")), get(key("right"))],
            Self::ReadStory => vec![get(key("text"))],
            Self::ReadTotal => vec![get(total)],
        };
        Work::Keys(commands.into_iter().map(|command| Ask { command, session }).collect())
    }

    /// Judges the answer.
    pub(crate) fn judge(
        &self,
        replies: &[Reply],
        pair: &mut Register,
        story: &mut Story,
        total: &mut Total,
    ) -> Result<(), Violation> {
        match (self, replies) {
            (Self::Pair(value), [Reply::Ok, Reply::Ok]) => pair.done(value),
            (Self::Append(text), [Reply::Integer(length)]) => story.appended(text, *length)?,
            (Self::Count(floor), [Reply::Integer(number)]) => total.counted(*floor, *number)?,
            (Self::Fleeting(_), [Reply::Ok]) => {}
            (Self::ReadPair, [left, right]) if left == right => {
                let value = text_of(left)?;
                pair.saw(value.as_deref())?;
            }
            (Self::ReadPair, [left, right]) => {
                let lengths = (text_of(left)?.map(|t| t.len()), text_of(right)?.map(|t| t.len()));
                return Err(Violation::Torn(format!("a pair of {lengths:?} bytes")));
            }
            (Self::ReadStory, [found]) => story.saw(&text_of(found)?.unwrap_or_default())?,
            (Self::ReadTotal, [found]) => {
                let found = text_of(found)?.unwrap_or_else(|| "0".into());
                total.saw(found.parse().map_err(|_| Violation::Invented(found))?)?;
            }
            (task, replies) => return Err(Violation::Invented(format!("{task:?}: {replies:?}"))),
        }
        Ok(())
    }
}

fn text_of(reply: &Reply) -> Result<Option<String>, Violation> {
    match reply {
        Reply::Nil => Ok(None),
        Reply::Bulk(bytes) => Ok(Some(String::from_utf8_lossy(bytes).into_owned())),
        other => Err(Violation::Invented(format!("a value reads as {other:?}"))),
    }
}

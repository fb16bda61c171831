//! Large histories that were damaged on purpose, each in a way that no order can explain.
//!
//! Every text that is written is written once, and tells by which operation: `v17.`. So a text that was read
//! says which operations made it. Why a damage is certain to show is said with each.

use crate::chance::Chance;
use crate::linearizability::redis::{Action, Reply, Request};
use crate::linearizability::{Operation, RedisStrings, Verdict, check};
use crate::stores::RedisStore;
use crate::traffic::{Shape, traffic};

type History = Vec<Operation<Request, Reply>>;

const SHAPE: Shape = Shape { clients: 8, operations: 300, lost_percent: 5 };
const SEEDS: u64 = 300;

/// Keys of texts, of numbers, and of flags that are set once.
fn input(chance: &mut Chance, number: usize) -> Request {
    let text = format!("v{number}.");
    match chance.below(10) {
        0..=6 => {
            let action = match chance.below(4) {
                0 => Action::Set(text),
                1 => Action::Append(text),
                _ => Action::Get,
            };
            Request::new(["text 1", "text 2", "text 3"][chance.below(3)], action)
        }
        7 | 8 => Request::new("number", Action::IncrementBy(1)),
        _ => Request::new(format!("flag {}", chance.below(3)), Action::SetIfAbsent(text)),
    }
}

/// Damages a history wherever `damage` can, and expects each of these to be refused.
fn refuse(damage: impl Fn(&History, usize, usize) -> Option<History>) {
    let mut refused = 0;
    for seed in 0..SEEDS {
        let mut chance = Chance::new(seed);
        let history = traffic::<RedisStore>(&mut chance, SHAPE, input);
        assert_eq!(check::<RedisStrings>(&history), Verdict::Linearizable, "seed {seed}");
        // Some places of each history, from anywhere in it.
        let mut places: Vec<_> = (0..history.len())
            .flat_map(|one| (0..history.len()).map(move |other| (one, other)))
            .collect();
        let mut found = 0;
        while found < 4 && !places.is_empty() {
            let (one, other) = places.swap_remove(chance.below(places.len()));
            if let Some(damaged) = damage(&history, one, other) {
                let verdict = check::<RedisStrings>(&damaged);
                assert!(
                    matches!(verdict, Verdict::Violation(_)),
                    "seed {seed}, {one}, {other}: {verdict:?}"
                );
                found += 1;
            }
        }
        refused += found;
    }
    assert!(refused >= 500, "only {refused} histories could be damaged");
}

fn precedes(one: &Operation<Request, Reply>, other: &Operation<Request, Reply>) -> bool {
    one.input.key == other.input.key
        && one.returned.as_ref().is_some_and(|(end, _)| *end < other.called_at)
}

/// The text that a read was answered with.
fn text_read(operation: &Operation<Request, Reply>) -> Option<&str> {
    match &operation.returned {
        Some((_, Reply::Text(Some(text)))) => Some(text),
        _ => None,
    }
}

fn text_set(operation: &Operation<Request, Reply>) -> Option<&str> {
    match &operation.input.action {
        Action::Set(text) => Some(text),
        _ => None,
    }
}

fn text_appended(operation: &Operation<Request, Reply>) -> Option<&str> {
    match &operation.input.action {
        Action::Append(text) => Some(text),
        _ => None,
    }
}

/// The write that the text which was read began with.
fn source<'h>(
    history: &'h History,
    read: &Operation<Request, Reply>,
) -> Option<&'h Operation<Request, Reply>> {
    let text = text_read(read)?;
    history.iter().find(|write| text_set(write).is_some_and(|set| text.starts_with(set)))
}

fn with_reply(history: &History, at: usize, reply: Reply) -> Option<History> {
    let mut damaged = history.clone();
    damaged[at].returned.as_mut()?.1 = reply;
    Some(damaged)
}

fn with_text(history: &History, at: usize, text: &str) -> Option<History> {
    with_reply(history, at, Reply::Text(Some(text.to_owned())))
}

#[test]
fn a_stale_read() {
    // Overwritten by a write that began after it had ended, and ended before the read began.
    refuse(|history, old, read| {
        let stale = text_set(&history[old])?;
        let newer = source(history, &history[read])?;
        (precedes(&history[old], newer) && precedes(newer, &history[read])).then_some(())?;
        with_text(history, read, stale)
    });
}

#[test]
fn a_read_from_the_future() {
    refuse(|history, read, write| {
        text_read(&history[read])?;
        precedes(&history[read], &history[write]).then_some(())?;
        with_text(history, read, text_set(&history[write])?)
    });
}

#[test]
fn a_value_that_flickers() {
    // After a read has seen a write, a later one sees what that write had replaced.
    refuse(|history, first, second| {
        let newer = source(history, &history[first])?;
        text_read(&history[second])?;
        precedes(&history[first], &history[second]).then_some(())?;
        let old = history.iter().find(|old| text_set(old).is_some() && precedes(old, newer))?;
        with_text(history, second, text_set(old)?)
    });
}

#[test]
fn a_write_that_never_was() {
    refuse(|history, write, _| {
        let text = text_set(&history[write])?;
        history
            .iter()
            .any(|read| text_read(read).is_some_and(|read| read.starts_with(text)))
            .then_some(())?;
        let mut damaged = history.clone();
        damaged.remove(write);
        Some(damaged)
    });
}

#[test]
fn an_append_that_is_lost() {
    // It came after the write that was read, and before the read.
    refuse(|history, append, read| {
        let (text, whole) = (text_appended(&history[append])?, text_read(&history[read])?);
        let write = source(history, &history[read])?;
        (precedes(write, &history[append]) && precedes(&history[append], &history[read]))
            .then_some(())?;
        with_text(history, read, &whole.replace(text, ""))
    });
}

#[test]
fn an_append_that_is_applied_twice() {
    refuse(|history, append, read| {
        let (text, whole) = (text_appended(&history[append])?, text_read(&history[read])?);
        (history[append].input.key == history[read].input.key && whole.contains(text))
            .then_some(())?;
        with_text(history, read, &whole.replace(text, &text.repeat(2)))
    });
}

#[test]
fn appends_in_the_wrong_order() {
    refuse(|history, first, second| {
        let (one, other) = (text_appended(&history[first])?, text_appended(&history[second])?);
        precedes(&history[first], &history[second]).then_some(())?;
        let both = format!("{one}{other}");
        let read = history
            .iter()
            .position(|read| text_read(read).is_some_and(|read| read.contains(&both)))?;
        with_text(
            history,
            read,
            &text_read(&history[read])?.replace(&both, &format!("{other}{one}")),
        )
    });
}

#[test]
fn a_number_that_is_given_twice() {
    refuse(|history, one, other| {
        let increments = |at: usize| matches!(history[at].input.action, Action::IncrementBy(_));
        (one != other && increments(one) && increments(other)).then_some(())?;
        with_reply(history, one, history[other].returned.clone()?.1)
    });
}

#[test]
fn a_flag_that_two_have_set_first() {
    refuse(|history, one, other| {
        let flag = |at: usize, set: bool| {
            matches!(history[at].input.action, Action::SetIfAbsent(_))
                && matches!(history[at].returned, Some((_, Reply::Flag(was))) if was == set)
        };
        let same = history[one].input.key == history[other].input.key;
        (same && flag(one, true) && flag(other, false)).then_some(())?;
        with_reply(history, other, Reply::Flag(true))
    });
}

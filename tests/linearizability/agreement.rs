//! The checker against the enumeration of all orders, on many small histories of few values, which are
//! linearizable about as often as not.

use crate::chance::Chance;
use crate::enumeration::is_linearizable;
use crate::linearizability::{Verdict, check, map, redis, register};
use crate::stores::{MapStore, RedisStore, RegisterStore, Store};
use crate::traffic::{HistoryOf, Shape, traffic};

const HISTORIES: u64 = 50_000;

fn small_shape(chance: &mut Chance) -> Shape {
    Shape {
        clients: 2 + chance.below(4),
        operations: 3 + chance.below(6),
        lost_percent: *chance.pick(&[0, 0, 15, 40]),
    }
}

/// Changes what some operations of a history were told, or when.
fn disturb<S: Store>(chance: &mut Chance, history: &mut HistoryOf<S>) {
    for _ in 0..chance.below(4) {
        let (one, other) = (chance.below(history.len()), chance.below(history.len()));
        match chance.below(5) {
            // Another answer to the same question, if there is one.
            0..=2 => {
                let told = history[other].returned.clone();
                if let (Some((_, output)), Some((_, told))) = (&mut history[one].returned, told) {
                    *output = told;
                }
            }
            3 => {
                let at = history[one].called_at;
                if let Some((end, _)) = &mut history[one].returned {
                    *end = at.max(end.saturating_sub(4));
                }
            }
            _ => drop(history.remove(one)),
        }
        if history.is_empty() {
            return;
        }
    }
}

/// Both verdicts on many histories; and each must occur often, or the comparison says little.
fn compare<S: Store>(inputs: impl Fn(&mut Chance, usize) -> S::Input) {
    let mut violations = 0;
    for seed in 0..HISTORIES {
        let mut chance = Chance::new(seed);
        let shape = small_shape(&mut chance);
        let mut history = traffic::<S>(&mut chance, shape, &inputs);
        disturb::<S>(&mut chance, &mut history);
        let expected = is_linearizable::<S>(&history);
        let verdict = check::<S::Model>(&history);
        match (&verdict, expected) {
            (Verdict::Linearizable, true) => {}
            (Verdict::Violation(violation), false) => {
                violations += 1;
                assert!(!violation.stuck.is_empty(), "seed {seed}: {violation}");
                let prefix: HistoryOf<S> =
                    violation.order.iter().map(|at| history[*at].clone()).collect();
                assert!(is_linearizable::<S>(&prefix), "seed {seed}: not an order: {violation}");
            }
            _ => panic!("seed {seed}: {expected} by enumeration, but {verdict:?}\n{history:#?}"),
        }
    }
    assert!((HISTORIES / 10..HISTORIES * 9 / 10).contains(&violations), "{violations} violations");
}

#[test]
fn registers() {
    compare::<RegisterStore>(|chance, _| {
        let value = |chance: &mut Chance| *chance.pick(&[None, Some(1), Some(2), Some(3)]);
        match chance.below(4) {
            0 | 1 => register::Input::Read,
            2 => register::Input::Write(value(chance)),
            _ => register::Input::CompareAndSet { expected: value(chance), new: value(chance) },
        }
    });
}

#[test]
fn maps() {
    compare::<MapStore>(|chance, number| {
        let text = [["a", "b", "ab", ""][chance.below(4)].to_owned(), format!("<{number}>")]
            [chance.below(2)]
        .clone();
        let action = match chance.below(5) {
            0 | 1 => map::Action::Get,
            2 => map::Action::Put(text),
            _ => map::Action::Append(text),
        };
        map::Input { key: ["x", "x", "y"][chance.below(3)].to_owned(), action }
    });
}

#[test]
fn redis_strings() {
    compare::<RedisStore>(|chance, number| {
        let text = |chance: &mut Chance| match chance.below(3) {
            0 => format!("<{number}>"),
            _ => ["a", "b", "ab", "", "1", "-", "2"][chance.below(7)].to_owned(),
        };
        let action = match chance.below(12) {
            0..=2 => redis::Action::Get,
            3 | 4 => redis::Action::Set(text(chance)),
            5 => redis::Action::SetIfAbsent(text(chance)),
            6 => redis::Action::CompareAndSet { expected: text(chance), new: text(chance) },
            7 | 8 => redis::Action::Append(text(chance)),
            9 | 10 => redis::Action::IncrementBy(1 - 2 * i64::from(chance.percent(20))),
            _ => redis::Action::Delete,
        };
        redis::Request::new(["x", "x", "y"][chance.below(3)], action)
    });
}

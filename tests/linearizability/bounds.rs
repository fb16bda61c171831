//! Histories that a plain search would not come to an end with, and what happens when ours does not.

use crate::chance::Chance;
use crate::linearizability::register::{Input, Output};
use crate::linearizability::{Operation, Register, Verdict, check, check_within, map, redis};
use crate::stores::{MapStore, RedisStore, RegisterStore, Store};
use crate::traffic::{Shape, traffic};

fn write(client: u64, value: i64, from: u64, to: Option<u64>) -> Operation<Input, Output> {
    let returned = to.map(|at| (at, Output::Done));
    Operation { client, input: Input::Write(Some(value)), called_at: from, returned }
}

fn read(value: i64, from: u64, to: u64) -> Operation<Input, Output> {
    Operation {
        client: 0,
        input: Input::Read,
        called_at: from,
        returned: Some((to, Output::Value(Some(value)))),
    }
}

#[test]
fn many_concurrent_writes_are_no_choice_of_subsets() {
    let mut history: Vec<_> =
        (0..200).map(|client| write(client, client.cast_signed(), 0, Some(10))).collect();
    history.push(read(70, 20, 30));
    assert_eq!(check::<Register>(&history), Verdict::Linearizable);
    history.push(read(71, 40, 50));
    assert!(matches!(check::<Register>(&history), Verdict::Violation(_)));
}

#[test]
fn many_lost_writes_are_no_choice_of_subsets() {
    let mut history: Vec<_> =
        (0..200).map(|client| write(client, client.cast_signed(), 0, None)).collect();
    // All of the even ones are seen, the last one first, between reads of one that returned.
    for step in 0..100 {
        history.push(write(500, 1000, 10 + step * 10, Some(11 + step * 10)));
        history.push(read(1000, 12 + step * 10, 13 + step * 10));
        history.push(read(198 - 2 * step.cast_signed(), 14 + step * 10, 15 + step * 10));
    }
    assert_eq!(check::<Register>(&history), Verdict::Linearizable);
    // Again one that is used up.
    history.push(write(500, 1000, 2000, Some(2001)));
    history.push(read(8, 2002, 2003));
    assert!(matches!(check::<Register>(&history), Verdict::Violation(_)));
}

/// Traffic that must be accepted, within the usual bound.
fn accept<S: Store>(shape: Shape, seeds: u64, inputs: impl Fn(&mut Chance, usize) -> S::Input) {
    for seed in 0..seeds {
        let history = traffic::<S>(&mut Chance::new(seed), shape, &inputs);
        assert_eq!(check::<S::Model>(&history), Verdict::Linearizable, "seed {seed}");
    }
}

#[test]
fn redis_traffic_with_every_third_answer_lost() {
    accept::<RedisStore>(
        Shape { clients: 8, operations: 300, lost_percent: 30 },
        100,
        |chance, number| {
            let text = format!("v{number}.");
            let action = match chance.below(10) {
                0..=3 => redis::Action::Get,
                4 | 5 => redis::Action::Set(text),
                6 => redis::Action::Append(text),
                7 => redis::Action::SetIfAbsent(text),
                8 => redis::Action::IncrementBy(1),
                _ => redis::Action::Delete,
            };
            redis::Request::new(format!("k{}", chance.below(5)), action)
        },
    );
}

#[test]
fn register_traffic_of_few_values() {
    accept::<RegisterStore>(
        Shape { clients: 5, operations: 200, lost_percent: 20 },
        100,
        |chance, _| {
            let mut value = || Some(i64::from(u8::try_from(chance.below(5)).expect("below 5")));
            let (expected, new) = (value(), value());
            match chance.below(3) {
                0 => Input::Read,
                1 => Input::Write(new),
                _ => Input::CompareAndSet { expected, new },
            }
        },
    );
}

#[test]
fn map_traffic_of_many_clients() {
    accept::<MapStore>(
        Shape { clients: 50, operations: 1000, lost_percent: 2 },
        10,
        |chance, number| {
            let text = format!("x {number} y");
            let action = match chance.below(20) {
                0 => map::Action::Put(text),
                1..=9 => map::Action::Append(text),
                _ => map::Action::Get,
            };
            map::Input { key: chance.below(3).to_string(), action }
        },
    );
}

#[test]
fn a_long_history_needs_no_deep_stack() {
    let history: Vec<_> = (0..5000_u64)
        .flat_map(|step| {
            let value = (step % 7).cast_signed();
            [
                write(1, value, step * 10, Some(step * 10 + 1)),
                read(value, step * 10 + 2, step * 10 + 3),
            ]
        })
        .collect();
    assert_eq!(check::<Register>(&history), Verdict::Linearizable);
}

#[test]
fn past_the_bound_nothing_is_claimed() {
    for seed in 0..50 {
        let shape = Shape { clients: 8, operations: 60, lost_percent: 10 };
        let mut history =
            traffic::<RegisterStore>(&mut Chance::new(seed), shape, |chance, number| {
                if chance.percent(50) {
                    Input::Read
                } else {
                    Input::Write(Some(i64::try_from(number).expect("small")))
                }
            });
        history.push(read(-1, 0, 10_000));
        for bound in [1, 2, 3, 5, 8] {
            let verdict = check_within::<Register>(&history, bound);
            assert!(matches!(verdict, Verdict::Unknown { .. }), "seed {seed}: {verdict:?}");
        }
        let verdict = check::<Register>(&history);
        assert!(matches!(verdict, Verdict::Violation(_)), "seed {seed}: {verdict:?}");
        assert_eq!(check::<Register>(&history), verdict, "the same again");
    }
}

//! Short histories, each with one reason for its verdict.

use crate::linearizability::register::{Input, Output};
use crate::linearizability::{Map, Operation, RedisStrings, Register, Verdict, check, map, redis};

/// From when to when; `None` at the end for a lost answer.
type During = (u64, Option<u64>);

fn operation<I, O>(during: During, input: I, output: O) -> Operation<I, O> {
    Operation {
        client: during.0,
        input,
        called_at: during.0,
        returned: during.1.map(|at| (at, output)),
    }
}

fn write(from: u64, to: impl Into<Option<u64>>, value: i64) -> Operation<Input, Output> {
    operation((from, to.into()), Input::Write(Some(value)), Output::Done)
}

fn read(from: u64, to: u64, value: i64) -> Operation<Input, Output> {
    operation((from, Some(to)), Input::Read, Output::Value(Some(value)))
}

fn is_linearizable(history: &[Operation<Input, Output>]) -> bool {
    match check::<Register>(history) {
        Verdict::Linearizable => true,
        Verdict::Violation(_) => false,
        unknown @ Verdict::Unknown { .. } => panic!("{unknown:?}"),
    }
}

#[test]
fn a_read_sees_the_last_write_before_it_or_one_beside_it() {
    assert!(is_linearizable(&[]));
    assert!(is_linearizable(&[write(0, 1, 7), read(2, 3, 7)]));
    assert!(!is_linearizable(&[write(0, 1, 6), write(2, 3, 7), read(4, 5, 6)]));
    assert!(is_linearizable(&[write(0, 1, 6), write(2, 9, 7), read(4, 5, 6), read(6, 7, 7)]));
    assert!(!is_linearizable(&[write(0, 1, 6), write(2, 9, 7), read(4, 5, 7), read(6, 7, 6)]));
    assert!(!is_linearizable(&[read(0, 1, 7), write(2, 3, 7)]));
}

#[test]
fn operations_that_touch_in_time_overlap() {
    assert!(is_linearizable(&[write(0, 1, 6), write(1, 2, 7), read(2, 3, 6)]));
    assert!(is_linearizable(&[write(5, 5, 6), write(5, 5, 7), read(5, 5, 6), read(6, 6, 7)]));
    assert!(!is_linearizable(&[write(4, 4, 6), write(5, 5, 7), read(6, 6, 6)]));
}

#[test]
fn a_lost_write_shows_after_its_call_once_or_never() {
    let before = write(0, 1, 6);
    let lost = write(2, None, 7);
    assert!(is_linearizable(&[before.clone(), lost.clone(), read(3, 4, 6)]));
    assert!(is_linearizable(&[before.clone(), lost.clone(), read(3, 4, 6), read(99, 100, 7)]));
    assert!(!is_linearizable(&[before.clone(), lost.clone(), read(3, 4, 7), read(5, 6, 6)]));
    assert!(!is_linearizable(&[before.clone(), read(0, 1, 7), lost.clone()]));
    let twice = [read(3, 4, 7), write(5, 6, 8), read(7, 8, 7)];
    let once = [&[before.clone(), lost.clone()][..], &twice].concat();
    assert!(!is_linearizable(&once));
    assert!(is_linearizable(&[&once[..], &[write(3, None, 7)]].concat()));
    assert!(!is_linearizable(&[&once[..], &[write(9, None, 7)]].concat()));
}

#[test]
fn a_lost_compare_and_set_may_have_done_nothing() {
    let lost = operation(
        (2, None),
        Input::CompareAndSet { expected: Some(6), new: Some(7) },
        Output::Done,
    );
    assert!(is_linearizable(&[write(0, 1, 6), lost.clone(), read(3, 4, 7)]));
    assert!(is_linearizable(&[write(0, 1, 6), lost.clone(), read(3, 4, 6)]));
    assert!(!is_linearizable(&[write(0, 1, 5), lost, read(3, 4, 7)]));
}

#[test]
fn a_write_that_was_hidden_brings_back_the_ones_after_it() {
    // 1 and then 2 were written while 3 was; after them, 1 cannot be read.
    let writes = [write(0, 100, 3), write(10, 20, 1), write(30, 40, 2)];
    assert!(!is_linearizable(&[&writes[..], &[read(50, 60, 1)]].concat()));
    assert!(is_linearizable(&[&writes[..], &[read(50, 60, 2)]].concat()));
    assert!(is_linearizable(&[&writes[..], &[read(50, 60, 3)]].concat()));
    assert!(is_linearizable(
        &[&writes[..], &[read(35, 60, 1), read(61, 62, 2), read(63, 64, 3)]].concat()
    ));
}

fn kv(
    during: (u64, u64),
    action: map::Action,
    output: map::Output,
) -> Operation<map::Input, map::Output> {
    operation((during.0, Some(during.1)), map::Input { key: "k".to_owned(), action }, output)
}

#[test]
fn a_text_that_nobody_read_is_allowed_for() {
    let append = kv((0, 1), map::Action::Append("a".to_owned()), map::Output::Done);
    let put = kv((2, 3), map::Action::Put("b".to_owned()), map::Output::Done);
    let get = |text: &str| kv((4, 5), map::Action::Get, map::Output::Text(text.to_owned()));
    assert_eq!(check::<Map>(&[append.clone(), put.clone(), get("b")]), Verdict::Linearizable);
    assert_eq!(check::<Map>(&[append.clone(), put.clone()]), Verdict::Linearizable);
    assert_ne!(check::<Map>(&[append, put, get("ab")]), Verdict::Linearizable);
}

fn command(
    at: u64,
    key: &str,
    action: redis::Action,
    reply: redis::Reply,
) -> Operation<redis::Request, redis::Reply> {
    operation((at, Some(at)), redis::Request::new(key, action), reply)
}

#[test]
fn redis_commands_one_after_the_other() {
    use redis::Action::{Append, CompareAndSet, Delete, Get, IncrementBy, Set, SetIfAbsent};
    use redis::Reply::{Done, Flag, Number, Refused, Text};
    let text = |text: &str| text.to_owned();
    let swap =
        |expected: &str, new: &str| CompareAndSet { expected: text(expected), new: text(new) };
    let steps = [
        (Get, Text(None)),
        (Delete, Flag(false)),
        (swap("", "x"), Flag(false)),
        (Append(text("ab")), Number(2)),
        (Append(text("c")), Number(3)),
        (Get, Text(Some(text("abc")))),
        (IncrementBy(1), Refused),
        (SetIfAbsent(text("x")), Flag(false)),
        (swap("abc", "unread"), Flag(true)),
        (Append(text("!")), Number(7)),
        (Delete, Flag(true)),
        (SetIfAbsent(text("40")), Flag(true)),
        (IncrementBy(2), Number(42)),
        (Append(text("0")), Number(3)),
        (IncrementBy(-421), Number(-1)),
        (Set(text("007")), Done),
        (IncrementBy(1), Refused),
        (Set(i64::MAX.to_string()), Done),
        (IncrementBy(1), Refused),
    ];
    let history: Vec<_> = (0..)
        .zip(&steps)
        .map(|(at, (action, reply))| command(at, "k", action.clone(), reply.clone()))
        .collect();
    assert_eq!(check::<RedisStrings>(&history), Verdict::Linearizable);
    for (at, step) in
        history.iter().enumerate().filter(|(_, step)| step.input.action != Set(text("007")))
    {
        let mut other = history.clone();
        other[at].returned = step.returned.as_ref().map(|(end, _)| (*end, Number(1000)));
        assert_ne!(check::<RedisStrings>(&other), Verdict::Linearizable, "{step:?}");
    }
}

#[test]
fn lost_digits_of_equal_length_are_not_alike() {
    use redis::Action::{Append, IncrementBy};
    let lost = |at, digit: &str| {
        operation(
            (at, None),
            redis::Request::new("k", Append(digit.to_owned())),
            redis::Reply::Done,
        )
    };
    for (sum, fits) in [(1, true), (2, true), (3, true), (13, true), (22, true), (4, false)] {
        let history = [
            lost(0, "1"),
            lost(1, "2"),
            command(5, "k", IncrementBy(1), redis::Reply::Number(sum)),
        ];
        assert_eq!(check::<RedisStrings>(&history) == Verdict::Linearizable, fits, "{sum}");
    }
}

#[test]
fn a_violation_says_how_far_an_order_goes() {
    use redis::Action::{Get, Set};
    let get =
        |at, key, text: &str| command(at, key, Get, redis::Reply::Text(Some(text.to_owned())));
    let set = |at, key, text: &str| command(at, key, Set(text.to_owned()), redis::Reply::Done);
    let history = [
        set(0, "b", "x"),
        set(1, "c", "y"),
        set(2, "b", "z"),
        get(3, "b", "x"),
        get(4, "c", "?"),
        get(5, "a", "?"),
    ];
    let Verdict::Violation(violation) = check::<RedisStrings>(&history[..5]) else {
        panic!("not linearizable")
    };
    assert_eq!((&violation.order[..], &violation.stuck[..]), (&[0, 2][..], &[3][..]));
    assert_eq!(
        violation.to_string(),
        r#"key "b" is not linearizable; of its 3 operations, 2 can be put in an order:
    #0 client 0 [0, 0] Request { key: "b", action: Set("x") } -> Done
    #2 client 2 [2, 2] Request { key: "b", action: Set("z") } -> Done
  then the value is a text of 1 bytes that nobody read, and none of these fits next:
    #3 client 3 [3, 3] Request { key: "b", action: Get } -> Text(Some("x"))
"#
    );
    // Of several keys, the first by name.
    let Verdict::Violation(violation) = check::<RedisStrings>(&history) else {
        panic!("not linearizable")
    };
    assert_eq!(violation.key, r#""a""#);
}

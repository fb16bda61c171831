//! Tests of the request decoder: what it understands, that it does not matter how bytes arrive, and that
//! nobody can make it take memory or fall over.

use super::error::ProtocolError;
use super::request::{AHEAD_BYTES, BIG_BYTES, Decoder, Limits, READ_BYTES, decimal};
use crate::limits::INLINE_BYTES_MAX;
use bytes::BytesMut;
use proptest::prelude::*;

type Outcome = (Vec<Vec<Vec<u8>>>, Option<ProtocolError>);

/// Feeds `input` in pieces of the given sizes, over and over, and collects what comes out.
fn feed(limits: Limits, input: &[u8], pieces: &[usize]) -> Outcome {
    let mut decoder = Decoder::new(limits);
    let mut buffer = BytesMut::new();
    let mut requests = Vec::new();
    let mut sizes = pieces.iter().copied().cycle();
    let mut rest = input;
    loop {
        let (piece, after) =
            rest.split_at(sizes.next().unwrap().clamp(1, rest.len().max(1)).min(rest.len()));
        buffer.extend_from_slice(piece);
        rest = after;
        loop {
            match decoder.decode(&mut buffer) {
                Ok(Some(request)) => {
                    requests.push(request.arguments.iter().map(|a| a.to_vec()).collect());
                }
                Ok(None) => break,
                Err(error) => {
                    assert_eq!(decoder.decode(&mut buffer), Err(error.clone()), "it stays failed");
                    return (requests, Some(error));
                }
            }
        }
        assert!(buffer.capacity() > buffer.len(), "decode makes room");
        if rest.is_empty() {
            return (requests, None);
        }
    }
}

fn all(input: &[u8]) -> Outcome {
    feed(Limits::default(), input, &[usize::MAX])
}

fn error(input: &[u8]) -> ProtocolError {
    all(input).1.expect("an error")
}

fn array(arguments: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", arguments.len()).into_bytes();
    for argument in arguments {
        bytes.extend_from_slice(format!("${}\r\n", argument.len()).as_bytes());
        bytes.extend_from_slice(argument);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}

#[test]
fn arrays_inline_commands_and_nothings_mix() {
    let (requests, error) =
        all(b"*1\r\n$4\r\nPING\r\n*0\r\n*-1\r\n\r\n  \nset 'a b' \"\"\r\n*2\r\n$0\r\n\r\n$2\r\n\r\n\r\nget k\n*2\r\n$3\r\nget");
    assert_eq!(error, None);
    let text: Vec<Vec<&[u8]>> =
        requests.iter().map(|r| r.iter().map(Vec::as_slice).collect()).collect();
    assert_eq!(
        text,
        [vec![&b"PING"[..]], vec![b"set", b"a b", b""], vec![b"", b"\r\n"], vec![b"get", b"k"],]
    );
}

#[test]
fn errors_are_those_of_redis() {
    for (input, text) in [
        (&b"*abc\r\n"[..], "Protocol error: invalid multibulk length"),
        (b"*1 \r\n", "Protocol error: invalid multibulk length"),
        (b"*+1\r\n", "Protocol error: invalid multibulk length"),
        (b"*01\r\n", "Protocol error: invalid multibulk length"),
        (b"*\r\n", "Protocol error: invalid multibulk length"),
        (b"*2147483648\r\n", "Protocol error: invalid multibulk length"),
        (b"*99999999999999999999999\r\n", "Protocol error: invalid multibulk length"),
        (b"*1\r\n:1\r\n", "Protocol error: expected '$', got ':'"),
        (b"*1\r\n\r\n", "Protocol error: expected '$', got ' '"),
        (b"*1\r\n*1\r\n$1\r\na\r\n", "Protocol error: expected '$', got '*'"),
        (b"*1\r\n$-1\r\n", "Protocol error: invalid bulk length"),
        (b"*1\r\n$1x\r\n", "Protocol error: invalid bulk length"),
        (b"*1\r\n$\r\n", "Protocol error: invalid bulk length"),
        (b"*1\r\n$9223372036854775808\r\n", "Protocol error: invalid bulk length"),
        (b"set \"a\r\n", "Protocol error: unbalanced quotes in request"),
        (b"*1\r\n$8388609\r\n", "value is larger than 8388608 bytes"),
        (b"*1\r\n$9223372036854775807\r\n", "value is larger than 8388608 bytes"),
        (b"POST / HTTP/1.1\r\n", "Protocol error: this is no HTTP port"),
    ] {
        assert_eq!(error(input).to_string(), text, "{}", String::from_utf8_lossy(input));
    }
    assert_eq!(error(b"*x\r\n").to_line(), "-ERR Protocol error: invalid multibulk length\r\n");
}

#[test]
fn lines_without_end_are_cut_short() {
    for (start, expected) in [
        (&b"a"[..], ProtocolError::InlineTooLong),
        (b"*", ProtocolError::ArrayHeaderTooLong),
        (b"*1\r\n$", ProtocolError::BulkHeaderTooLong),
    ] {
        let mut input = start.to_vec();
        input.resize(INLINE_BYTES_MAX * 2, b'1');
        for piece in [1, 1000, usize::MAX] {
            assert_eq!(feed(Limits::default(), &input, &[piece]).1, Some(expected.clone()));
        }
        // With an end that comes too late it is no better.
        input.extend_from_slice(b"\r\n");
        assert_eq!(feed(Limits::default(), &input, &[usize::MAX]).1, Some(expected));
    }
}

#[test]
fn a_client_that_has_not_authenticated_gets_less() {
    let limits = Limits { authenticated: false, ..Limits::default() };
    let outcome = |input: &[u8]| feed(limits, input, &[usize::MAX]);
    assert_eq!(outcome(b"*11\r\n").1, Some(ProtocolError::ArrayUnauthenticated));
    assert_eq!(outcome(b"*10\r\n").1, None);
    assert_eq!(outcome(b"*1\r\n$16385\r\n").1, Some(ProtocolError::BulkUnauthenticated));
    assert_eq!(outcome(b"*1\r\n$16384\r\n").1, None);
}

#[test]
fn big_arguments_have_blocks_of_their_own_and_are_not_copied() {
    let length = 3 * AHEAD_BYTES + 17;
    let mut decoder = Decoder::new(Limits::default());
    let mut buffer = BytesMut::new();
    buffer.extend_from_slice(format!("*3\r\n$3\r\nset\r\n$1\r\nk\r\n${length}\r\n").as_bytes());
    assert_eq!(decoder.decode(&mut buffer), Ok(None));
    assert_eq!(buffer.capacity(), AHEAD_BYTES, "a header alone buys no more");
    assert!(decoder.held_bytes() > length);
    let mut sent = 0;
    while sent < length {
        let room = buffer.capacity() - buffer.len();
        let piece = room.min(length - sent).min(10_000);
        buffer.extend_from_slice(&vec![b'v'; piece]);
        sent += piece;
        assert_eq!(decoder.decode(&mut buffer), Ok(None));
        assert!(buffer.capacity() <= (2 * sent).max(AHEAD_BYTES));
    }
    assert_eq!(buffer.capacity(), length + 2, "the block fits in the end");
    let start = buffer.as_ptr();
    buffer.extend_from_slice(b"\r\n");
    let request = decoder.decode(&mut buffer).unwrap().unwrap();
    assert_eq!(request.arguments[2].len(), length);
    assert_eq!(request.arguments[2].as_ptr(), start, "the bytes stay where they were read to");
    assert_eq!(decoder.held_bytes(), 0);
    assert_eq!(decoder.decode(&mut buffer), Ok(None));
    assert!(buffer.capacity() <= 2 * READ_BYTES, "and the buffer is small again");
}

#[test]
fn small_arguments_never_pin_the_read_buffer() {
    let mut decoder = Decoder::new(Limits::default());
    let mut buffer = BytesMut::with_capacity(READ_BYTES);
    let start = buffer.as_ptr();
    let request = array(&[b"set".to_vec(), b"k".to_vec(), vec![b'v'; 1000]]);
    let mut kept = Vec::new();
    for _ in 0..1000 {
        buffer.extend_from_slice(&request);
        kept.push(decoder.decode(&mut buffer).unwrap().unwrap());
        assert_eq!(decoder.decode(&mut buffer), Ok(None));
    }
    assert!(
        (start.addr()..=start.addr() + READ_BYTES).contains(&buffer.as_ptr().addr()),
        "it is the same buffer still"
    );
    assert!(kept.iter().all(|request| request.arguments[2].iter().all(|&byte| byte == b'v')));
}

#[test]
fn a_request_of_very_many_arguments_is_cut_out_as_it_comes() {
    let arguments: Vec<_> = (0..200_000).map(|n: u32| n.to_string().into_bytes()).collect();
    let input = array(&arguments);
    let mut decoder = Decoder::new(Limits::default());
    let mut buffer = BytesMut::new();
    let mut found = None;
    for piece in input.chunks(10_000) {
        buffer.extend_from_slice(piece);
        found = decoder.decode(&mut buffer).unwrap();
        assert!(buffer.capacity() <= 256 * 1024, "{}", buffer.capacity());
    }
    assert_eq!(found.unwrap().arguments, arguments);
    let small = Limits { request_bytes_max: 1 << 20, ..Limits::default() };
    let refused = ProtocolError::RequestTooLarge { limit: 1 << 20 };
    assert_eq!(feed(small, &input, &[10_000]).1, Some(refused));
}

#[test]
fn numbers_are_read_strictly() {
    for (text, number) in [
        ("0", Some(0)),
        ("7", Some(7)),
        ("42", Some(42)),
        ("-1", Some(-1)),
        ("9223372036854775807", Some(i64::MAX)),
        ("-9223372036854775808", Some(i64::MIN)),
        ("9223372036854775808", None),
        ("", None),
        ("-", None),
        ("-0", None),
        ("00", None),
        ("01", None),
        ("+1", None),
        ("1 ", None),
        (" 1", None),
        ("1a", None),
        ("1_000", None),
    ] {
        assert_eq!(decimal(text.as_bytes()), number, "{text:?}");
    }
}

/// Bytes that look like the protocol, more or less.
fn nearly_requests() -> impl Strategy<Value = Vec<u8>> {
    let token = prop_oneof![
        (0..12i64).prop_map(|n| format!("*{n}\r\n").into_bytes()),
        (-2..40i64).prop_map(|n| format!("${n}\r\n").into_bytes()),
        Just(b"\r\n".to_vec()),
        Just(b"$3\r\nget\r\n".to_vec()),
        Just(b"\"".to_vec()),
        Just(format!("${}\r\n", BIG_BYTES + 1).into_bytes()),
        prop::collection::vec(any::<u8>(), 0..20),
        prop::collection::vec(prop::collection::vec(any::<u8>(), 0..50), 1..6)
            .prop_map(|arguments| array(&arguments)),
        (BIG_BYTES - 3..BIG_BYTES + 3).prop_map(|n| array(&[
            b"e".to_vec(),
            vec![b'x'; n],
            b"y".to_vec()
        ])),
    ];
    prop::collection::vec(token, 0..12).prop_map(|tokens| tokens.concat())
}

proptest! {
    #[test]
    fn what_is_sent_is_what_comes_out(
        requests in prop::collection::vec(
            prop::collection::vec(prop::collection::vec(any::<u8>(), 0..100), 1..8), 0..20),
        pieces in prop::collection::vec(1..300usize, 1..10),
    ) {
        let input: Vec<u8> = requests.iter().flat_map(|request| array(request)).collect();
        prop_assert_eq!(feed(Limits::default(), &input, &pieces), (requests, None));
    }

    #[test]
    fn it_does_not_matter_how_bytes_are_cut(
        input in nearly_requests(),
        pieces in prop::collection::vec(1..5000usize, 1..10),
    ) {
        prop_assert_eq!(feed(Limits::default(), &input, &pieces), all(&input));
        prop_assert_eq!(feed(Limits::default(), &input[..input.len().min(3000)], &[1]),
            all(&input[..input.len().min(3000)]));
    }

    #[test]
    fn random_bytes_do_no_harm(input in prop::collection::vec(any::<u8>(), 0..2000)) {
        all(&input);
        let mut input = input;
        input.insert(0, b'*');
        all(&input);
    }
}

//! The Redis protocol alone: a pipeline's bytes to requests, replies to bytes.

use bytes::{Bytes, BytesMut};
use divan::counter::{BytesCount, ItemsCount};
use divan::{Bencher, black_box};
use eraft::kv::Reply;
use eraft::net::resp::{Decoder, Limits, RespVersion, encode};

fn main() {
    divan::main();
}

fn sets(count: usize, value_bytes: usize) -> Vec<u8> {
    let value = vec![b'v'; value_bytes];
    let mut bytes = Vec::new();
    for n in 0..count {
        bytes.extend_from_slice(
            format!("*3\r\n$3\r\nSET\r\n$16\r\nkey:{n:012}\r\n${value_bytes}\r\n").as_bytes(),
        );
        bytes.extend_from_slice(&value);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}

/// A pipeline of SETs of 128 bytes.
#[divan::bench(args = [1, 16, 100])]
fn decode_sets(bencher: Bencher, count: usize) {
    let bytes = sets(count, 128);
    bencher
        .counter(ItemsCount::new(count))
        .with_inputs(|| BytesMut::from(&bytes[..]))
        .bench_values(|mut buffer| {
            let mut decoder = Decoder::new(Limits::default());
            for _ in 0..count {
                black_box(decoder.decode(&mut buffer).expect("valid").expect("whole"));
            }
        });
}

/// One value of 1 MiB that arrives in pieces of 16 KiB, as it does from a socket.
#[divan::bench]
fn decode_a_large_value_in_pieces(bencher: Bencher) {
    let bytes = sets(1, 1024 * 1024);
    bencher.counter(BytesCount::new(bytes.len())).bench_local(|| {
        let mut decoder = Decoder::new(Limits::default());
        let mut buffer = BytesMut::new();
        let mut found = 0;
        for piece in bytes.chunks(16 * 1024) {
            buffer.extend_from_slice(piece);
            found += usize::from(decoder.decode(&mut buffer).expect("valid").is_some());
        }
        assert_eq!(found, 1);
    });
}

/// Replies of a pipeline of GETs of 128 bytes.
#[divan::bench(args = [1, 16, 100])]
fn encode_values(bencher: Bencher, count: usize) {
    let reply = Reply::Bulk(Bytes::from(vec![b'v'; 128]));
    let mut out = BytesMut::with_capacity(64 * 1024);
    bencher.counter(ItemsCount::new(count)).bench_local(|| {
        out.clear();
        for _ in 0..count {
            encode(black_box(&reply), RespVersion::Resp2, &mut out);
        }
    });
}

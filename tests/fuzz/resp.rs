//! What Redis clients and servers send.

use super::mutate::{Chance, damage, pieces};
use bytes::BytesMut;
use eraft::net::resp::{Decoder, Limits, ReplyDecoder};

/// Small ones, so that chance reaches them.
const LIMITS: Limits = Limits {
    bulk_bytes_max: 4_096,
    request_bytes_max: 8_192,
    arguments_max: 64,
    authenticated: true,
};
/// What a decoder may hold besides the bytes of a request: the list of its arguments.
const OVERHEAD_BYTES: usize = 4_096;

pub(crate) fn requests(chance: &mut Chance) {
    let corpus: [&[u8]; 6] = [
        b"*3\r\n$3\r\nSET\r\n$3\r\nkey\r\n$5\r\nvalue\r\n",
        b"*1\r\n$4\r\nPING\r\n*2\r\n$3\r\nGET\r\n$0\r\n\r\n",
        b"SET \"a key\" 'value' \r\nPING\r\n",
        b"*0\r\n*-1\r\n\r\n*1\r\n$4\r\nQUIT\r\n",
        b"*4\r\n$4\r\nMSET\r\n$1\r\na\r\n$1\r\nb\r\n$1\r\nc\r\n",
        b"*2\r\n$4\r\nECHO\r\n$12\r\n\r\n\r\n$3\r\n*1\r\n\r\n",
    ];
    let mut bytes = corpus[chance.below(corpus.len())].repeat(1 + chance.below(3));
    damage(chance, &mut bytes);
    let (mut decoder, mut buffer) = (Decoder::new(LIMITS), BytesMut::new());
    for piece in pieces(chance, &bytes) {
        buffer.extend_from_slice(piece);
        loop {
            match decoder.decode(&mut buffer) {
                Ok(Some(request)) => {
                    assert!(!request.arguments.is_empty(), "a request has a name");
                    assert!(request.arguments.len() <= LIMITS.arguments_max);
                    let held: usize = request.arguments.iter().map(bytes::Bytes::len).sum();
                    assert!(held <= LIMITS.request_bytes_max);
                }
                Ok(None) => break,
                // The connection would be closed.
                Err(error) => {
                    assert!(!error.to_string().is_empty());
                    return;
                }
            }
        }
        assert!(decoder.held_bytes() <= LIMITS.request_bytes_max + OVERHEAD_BYTES);
    }
}

pub(crate) fn replies(chance: &mut Chance) {
    let corpus: [&[u8]; 6] = [
        b"+OK\r\n-ERR no\r\n:12\r\n$5\r\nvalue\r\n$-1\r\n",
        b"*2\r\n*1\r\n:1\r\n$1\r\na\r\n*-1\r\n",
        b"%1\r\n+a\r\n:1\r\n~1\r\n+b\r\n_\r\n#t\r\n",
        b",3.25\r\n(12345678901234567890\r\n=8\r\ntxt:abcd\r\n",
        b">2\r\n+message\r\n$2\r\nhi\r\n",
        b"*1\r\n*1\r\n*1\r\n*1\r\n:1\r\n",
    ];
    let mut bytes = corpus[chance.below(corpus.len())].repeat(1 + chance.below(3));
    damage(chance, &mut bytes);
    let (mut decoder, mut buffer) = (ReplyDecoder::new(4_096), BytesMut::new());
    for piece in pieces(chance, &bytes) {
        buffer.extend_from_slice(piece);
        loop {
            match decoder.decode(&mut buffer) {
                Ok(Some(_)) => {}
                Ok(None) => break,
                Err(error) => {
                    assert!(!error.to_string().is_empty());
                    return;
                }
            }
        }
    }
}

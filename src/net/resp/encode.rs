//! Replies to bytes, in the version of the protocol that the connection has agreed on.
//!
//! A reply is appended to the connection's output; a whole pipeline's replies become one write. Nothing
//! in a line (an error, a status) can break it: its line ends are sent as blanks, as Redis does.

use crate::kv::{Reply, ReplyError};
use bytes::{BufMut, BytesMut};

/// The version of the protocol.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RespVersion {
    /// What every connection starts with.
    #[default]
    Resp2,
    /// With maps, sets, nulls, booleans and numbers of their own; after `HELLO 3`.
    Resp3,
}

/// Appends `reply` to `out`.
pub fn encode(reply: &Reply, version: RespVersion, out: &mut BytesMut) {
    let resp3 = version == RespVersion::Resp3;
    match reply {
        Reply::Ok => out.extend_from_slice(b"+OK\r\n"),
        Reply::Status(text) => {
            out.put_u8(b'+');
            line(text.as_bytes(), out);
        }
        Reply::Integer(number) => header(b':', *number, out),
        Reply::Bulk(bytes) => bulk(bytes, out),
        Reply::Nil if resp3 => out.extend_from_slice(b"_\r\n"),
        Reply::Nil => out.extend_from_slice(b"$-1\r\n"),
        Reply::NilArray if resp3 => out.extend_from_slice(b"_\r\n"),
        Reply::NilArray => out.extend_from_slice(b"*-1\r\n"),
        Reply::Array(items) => list(b'*', items, version, out),
        Reply::Set(items) => list(if resp3 { b'~' } else { b'*' }, items, version, out),
        Reply::Map(pairs) => {
            if resp3 {
                count(b'%', pairs.len(), out);
            } else {
                count(b'*', pairs.len() * 2, out);
            }
            for (key, value) in pairs {
                encode(key, version, out);
                encode(value, version, out);
            }
        }
        Reply::Double(number) => {
            let text = double(*number);
            if resp3 {
                out.put_u8(b',');
                line(text.as_bytes(), out);
            } else {
                bulk(text.as_bytes(), out);
            }
        }
        Reply::Bool(yes) if resp3 => {
            out.extend_from_slice(if *yes { b"#t\r\n" } else { b"#f\r\n" });
        }
        Reply::Bool(yes) => header(b':', i64::from(*yes), out),
        Reply::Verbatim(text) if resp3 => {
            count(b'=', text.len() + 4, out);
            out.extend_from_slice(b"txt:");
            out.extend_from_slice(text.as_bytes());
            out.extend_from_slice(b"\r\n");
        }
        Reply::Verbatim(text) => bulk(text.as_bytes(), out),
        Reply::Error(error) => encode_error(error, out),
        Reply::Redirect(redirect) => encode_error(&redirect.to_error(), out),
    }
}

/// Appends an error; it looks the same in both versions.
pub fn encode_error(error: &ReplyError, out: &mut BytesMut) {
    out.put_u8(b'-');
    plain(error.code.as_bytes(), out);
    if !error.text.is_empty() {
        out.put_u8(b' ');
    }
    line(error.text.as_bytes(), out);
}

/// Appends a message that no request asked for. RESP2 has none: there it is an array.
pub fn encode_push(items: &[Reply], version: RespVersion, out: &mut BytesMut) {
    list(if version == RespVersion::Resp3 { b'>' } else { b'*' }, items, version, out);
}

/// Appends a request, for clients of our own: the name and its arguments.
pub fn encode_request<A: AsRef<[u8]>>(arguments: &[A], out: &mut BytesMut) {
    count(b'*', arguments.len(), out);
    for argument in arguments {
        bulk(argument.as_ref(), out);
    }
}

fn list(mark: u8, items: &[Reply], version: RespVersion, out: &mut BytesMut) {
    count(mark, items.len(), out);
    for item in items {
        encode(item, version, out);
    }
}

fn bulk(bytes: &[u8], out: &mut BytesMut) {
    out.reserve(bytes.len() + 16);
    count(b'$', bytes.len(), out);
    out.extend_from_slice(bytes);
    out.extend_from_slice(b"\r\n");
}

fn count(mark: u8, count: usize, out: &mut BytesMut) {
    header(mark, i64::try_from(count).expect("nothing in memory is that long"), out);
}

/// The mark, the number and a line end, composed on the stack.
fn header(mark: u8, number: i64, out: &mut BytesMut) {
    const WIDTH: usize = 1 + 20 + 2;
    let mut text = [0; WIDTH];
    text[WIDTH - 2..].copy_from_slice(b"\r\n");
    let mut at = WIDTH - 2;
    let mut rest = number.unsigned_abs();
    loop {
        at -= 1;
        text[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if number < 0 {
        at -= 1;
        text[at] = b'-';
    }
    at -= 1;
    text[at] = mark;
    out.extend_from_slice(&text[at..]);
}

fn line(text: &[u8], out: &mut BytesMut) {
    plain(text, out);
    out.extend_from_slice(b"\r\n");
}

fn plain(text: &[u8], out: &mut BytesMut) {
    let start = out.len();
    out.extend_from_slice(text);
    for byte in &mut out[start..] {
        if matches!(byte, b'\r' | b'\n') {
            *byte = b' ';
        }
    }
}

/// A floating-point number as RESP3 writes it: the shortest text that reads back as the same number.
fn double(number: f64) -> String {
    if number.is_nan() {
        "nan".to_owned()
    } else if number.is_infinite() {
        if number > 0.0 { "inf" } else { "-inf" }.to_owned()
    } else {
        number.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn both(reply: &Reply) -> (String, String) {
        let text = |version| {
            let mut out = BytesMut::new();
            encode(reply, version, &mut out);
            String::from_utf8(out.to_vec()).unwrap()
        };
        (text(RespVersion::Resp2), text(RespVersion::Resp3))
    }

    #[test]
    fn each_kind_looks_as_redis_writes_it() {
        let integers = [Reply::Integer(1), Reply::Integer(i64::MIN)];
        for (reply, resp2, resp3) in [
            (Reply::Ok, "+OK\r\n", "+OK\r\n"),
            (Reply::Status("a\r\nb".into()), "+a  b\r\n", "+a  b\r\n"),
            (Reply::Integer(0), ":0\r\n", ":0\r\n"),
            (Reply::Integer(i64::MAX), ":9223372036854775807\r\n", ":9223372036854775807\r\n"),
            (Reply::Bulk(Bytes::from_static(b"a\r\n")), "$3\r\na\r\n\r\n", "$3\r\na\r\n\r\n"),
            (Reply::Nil, "$-1\r\n", "_\r\n"),
            (Reply::NilArray, "*-1\r\n", "_\r\n"),
            (
                Reply::Array(integers.to_vec()),
                "*2\r\n:1\r\n:-9223372036854775808\r\n",
                "*2\r\n:1\r\n:-9223372036854775808\r\n",
            ),
            (Reply::Set(vec![Reply::Nil]), "*1\r\n$-1\r\n", "~1\r\n_\r\n"),
            (
                Reply::Map(vec![(Reply::Ok, Reply::Ok)]),
                "*2\r\n+OK\r\n+OK\r\n",
                "%1\r\n+OK\r\n+OK\r\n",
            ),
            (Reply::Double(1.5), "$3\r\n1.5\r\n", ",1.5\r\n"),
            (Reply::Double(-f64::INFINITY), "$4\r\n-inf\r\n", ",-inf\r\n"),
            (Reply::Bool(true), ":1\r\n", "#t\r\n"),
            (Reply::Verbatim("hi".into()), "$2\r\nhi\r\n", "=6\r\ntxt:hi\r\n"),
            (ReplyError::err("a\nb").into(), "-ERR a b\r\n", "-ERR a b\r\n"),
            (ReplyError::new("EXECABORT", "").into(), "-EXECABORT\r\n", "-EXECABORT\r\n"),
        ] {
            assert_eq!(both(&reply), (resp2.to_owned(), resp3.to_owned()), "{reply:?}");
        }
    }
}

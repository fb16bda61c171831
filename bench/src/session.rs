//! One connection to one server, and what is sent on it. The two protocols differ only here; the loop that drives
//! them is the same (`load`).
//!
//! The RESP side is as lean as it can be: requests are templates in which only the key and the value's start are
//! overwritten, replies are only counted and checked for errors. So the generator takes little of the processor that
//! the servers need, and what it takes is reported.

use anyhow::{Result, bail};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// What a request does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Op {
    /// Write one value.
    Set,
    /// Read one value, linearizable where the system can.
    Get,
}

/// The protocol of a system.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Protocol {
    /// Redis and eraft.
    Resp,
    /// etcd v3 (gRPC).
    Etcd,
}

/// Random bytes that values are cut from, so that compression wins nothing.
pub struct Values(Vec<u8>);

impl Values {
    /// A pool from which values of up to `bytes` can be cut.
    pub fn new(bytes: usize) -> Values {
        let mut pool = vec![0; bytes + 64 * 1024];
        fastrand::Rng::with_seed(7).fill(&mut pool);
        Values(pool)
    }

    fn cut(&self, bytes: usize) -> &[u8] {
        let at = fastrand::usize(..self.0.len() - bytes);
        &self.0[at..at + bytes]
    }
}

/// The key of a number; all have one length.
pub fn key(number: u64) -> String {
    format!("key:{number:012}")
}

/// One connection.
pub enum Session {
    /// RESP over TCP.
    Resp(Box<Resp>),
    /// One HTTP/2 connection.
    Etcd(Box<Etcd>),
}

impl Session {
    /// Connects to `address` (host and port).
    pub async fn connect(protocol: Protocol, address: &str, value_bytes: usize) -> Result<Session> {
        Ok(match protocol {
            Protocol::Resp => Session::Resp(Box::new(Resp::connect(address, value_bytes).await?)),
            Protocol::Etcd => Session::Etcd(Box::new(Etcd::connect(address, value_bytes).await?)),
        })
    }

    /// Sends one request for each key and waits for all answers; returns how many were errors. On RESP they go out
    /// as one pipeline, on etcd (which has none) as one transaction.
    pub async fn call(&mut self, op: Op, keys: &[u64], values: &Values) -> Result<usize> {
        match self {
            Session::Resp(resp) => resp.call(op, keys, values).await,
            Session::Etcd(etcd) => etcd.call(op, keys, values).await,
        }
    }
}

/// See [`Session::Resp`].
pub struct Resp {
    stream: TcpStream,
    set: Template,
    get: Template,
    out: Vec<u8>,
    replies: Replies,
}

/// A formatted request and where its changing parts are.
struct Template {
    bytes: Vec<u8>,
    key_at: usize,
    value_at: usize,
    value_bytes: usize,
}

impl Resp {
    async fn connect(address: &str, value_bytes: usize) -> Result<Resp> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Resp {
            stream,
            set: Template::set(value_bytes),
            get: Template::get(),
            out: Vec::new(),
            replies: Replies::default(),
        })
    }

    async fn call(&mut self, op: Op, keys: &[u64], values: &Values) -> Result<usize> {
        self.out.clear();
        for &number in keys {
            match op {
                Op::Set => self.set.append(&mut self.out, number, values),
                Op::Get => self.get.append(&mut self.out, number, values),
            }
        }
        self.stream.write_all(&self.out).await?;
        self.replies.take(&mut self.stream, keys.len()).await
    }
}

impl Template {
    fn set(value_bytes: usize) -> Template {
        let key = key(0);
        let head = format!("*3\r\n$3\r\nSET\r\n${}\r\n", key.len());
        let middle = format!("\r\n${value_bytes}\r\n");
        let mut bytes = head.clone().into_bytes();
        bytes.extend_from_slice(key.as_bytes());
        bytes.extend_from_slice(middle.as_bytes());
        let value_at = bytes.len();
        bytes.resize(value_at + value_bytes, b'x');
        bytes.extend_from_slice(b"\r\n");
        Template { bytes, key_at: head.len(), value_at, value_bytes }
    }

    fn get() -> Template {
        let key = key(0);
        let head = format!("*2\r\n$3\r\nGET\r\n${}\r\n", key.len());
        let bytes = format!("{head}{key}\r\n").into_bytes();
        Template { bytes, key_at: head.len(), value_at: 0, value_bytes: 0 }
    }

    fn append(&self, out: &mut Vec<u8>, number: u64, values: &Values) {
        let start = out.len();
        out.extend_from_slice(&self.bytes);
        let mut rest = number;
        // The digits of "key:000000000000" from the right.
        for digit in out[start + self.key_at + 4..start + self.key_at + 16].iter_mut().rev() {
            *digit = b'0' + (rest % 10) as u8;
            rest /= 10;
        }
        if self.value_bytes > 0 {
            let at = start + self.value_at;
            out[at..at + self.value_bytes].copy_from_slice(values.cut(self.value_bytes));
        }
    }
}

/// Replies as they arrive, counted.
struct Replies {
    buffer: Vec<u8>,
    filled: usize,
}

impl Default for Replies {
    fn default() -> Replies {
        Replies { buffer: vec![0; 32 * 1024], filled: 0 }
    }
}

impl Replies {
    /// Reads until `count` replies have come; returns how many were errors or "no such key".
    async fn take(&mut self, stream: &mut TcpStream, count: usize) -> Result<usize> {
        let (mut left, mut errors, mut at) = (count, 0, 0);
        loop {
            while left > 0 {
                let Some((end, error)) = reply(&self.buffer[at..self.filled])? else {
                    break;
                };
                at += end;
                left -= 1;
                errors += usize::from(error);
            }
            if left == 0 {
                self.buffer.copy_within(at..self.filled, 0);
                self.filled -= at;
                return Ok(errors);
            }
            self.buffer.copy_within(at..self.filled, 0);
            self.filled -= at;
            at = 0;
            if self.filled == self.buffer.len() {
                self.buffer.resize(self.buffer.len() * 2, 0);
            }
            let read = stream.read(&mut self.buffer[self.filled..]).await?;
            if read == 0 {
                bail!("the server closed the connection");
            }
            self.filled += read;
        }
    }
}

/// The first whole reply in `bytes`: its length, and whether it is an error. Only the kinds that SET and GET give.
fn reply(bytes: &[u8]) -> Result<Option<(usize, bool)>> {
    let Some(line) = bytes.iter().position(|&b| b == b'\n') else {
        return Ok(None);
    };
    match bytes[0] {
        b'+' | b':' => Ok(Some((line + 1, false))),
        b'-' => Ok(Some((line + 1, true))),
        b'$' => {
            let digits = std::str::from_utf8(&bytes[1..line.saturating_sub(1)])?;
            let length: i64 = digits.parse()?;
            let Ok(length) = usize::try_from(length) else {
                return Ok(Some((line + 1, true)));
            };
            let end = line + 1 + length + 2;
            Ok((bytes.len() >= end).then_some((end, false)))
        }
        other => bail!("unexpected reply kind {:?}", other as char),
    }
}

/// Sends one command to a RESP server on a connection of its own; returns the first line of the reply.
pub async fn ask(address: &str, command: &str) -> Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(format!("{command}\r\n").as_bytes()).await?;
    let mut text = Vec::new();
    while !text.contains(&b'\n') {
        if stream.read_buf(&mut text).await? == 0 {
            bail!("{address} closed the connection");
        }
    }
    let line = text.split(|&b| b == b'\r' || b == b'\n').next().unwrap_or_default();
    Ok(String::from_utf8_lossy(line).into_owned())
}

/// See [`Session::Etcd`].
pub struct Etcd {
    kv: etcd_client::KvClient,
    value_bytes: usize,
}

impl Etcd {
    async fn connect(address: &str, value_bytes: usize) -> Result<Etcd> {
        let client = etcd_client::Client::connect([address], None).await?;
        Ok(Etcd { kv: client.kv_client(), value_bytes })
    }

    async fn call(&mut self, op: Op, keys: &[u64], values: &Values) -> Result<usize> {
        match (op, keys) {
            (Op::Set, [number]) => {
                let outcome = self.kv.put(key(*number), values.cut(self.value_bytes), None).await;
                Ok(usize::from(outcome.is_err()))
            }
            // A plain range request of etcd is linearizable.
            (Op::Get, [number]) => match self.kv.get(key(*number), None).await {
                Ok(answer) => Ok(usize::from(answer.kvs().len() != 1)),
                Err(_) => Ok(1),
            },
            _ => {
                let operations: Vec<etcd_client::TxnOp> = keys
                    .iter()
                    .map(|&number| match op {
                        Op::Set => {
                            etcd_client::TxnOp::put(key(number), values.cut(self.value_bytes), None)
                        }
                        Op::Get => etcd_client::TxnOp::get(key(number), None),
                    })
                    .collect();
                let outcome = self.kv.txn(etcd_client::Txn::new().and_then(operations)).await;
                Ok(if outcome.is_err() { keys.len() } else { 0 })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_are_valid_requests() {
        let values = Values::new(4);
        let mut out = Vec::new();
        Template::get().append(&mut out, 987, &values);
        assert_eq!(out, b"*2\r\n$3\r\nGET\r\n$16\r\nkey:000000000987\r\n");
        out.clear();
        Template::set(4).append(&mut out, 12, &values);
        assert!(out.starts_with(b"*3\r\n$3\r\nSET\r\n$16\r\nkey:000000000012\r\n$4\r\n"));
        assert!(out.ends_with(b"\r\n"));
        assert_eq!(
            out.len(),
            b"*3\r\n$3\r\nSET\r\n$16\r\nkey:000000000012\r\n$4\r\nvvvv\r\n".len()
        );
    }

    #[test]
    fn replies_are_cut_and_judged() {
        assert_eq!(reply(b"+OK\r\n+OK\r\n").unwrap(), Some((5, false)));
        assert_eq!(reply(b"-ERR no\r\n").unwrap(), Some((9, true)));
        assert_eq!(reply(b"$3\r\nabc\r\n").unwrap(), Some((9, false)));
        assert_eq!(reply(b"$3\r\nabc\r").unwrap(), None);
        assert_eq!(reply(b"$-1\r\n").unwrap(), Some((5, true)));
        assert_eq!(reply(b"$1").unwrap(), None);
        assert!(reply(b"%1\r\n").is_err());
    }
}

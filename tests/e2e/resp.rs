//! A plain Redis client for tests: one blocking connection, any bytes out, any reply back.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use crate::reply::Reply;

/// One connection.
pub(crate) struct Client {
    reader: BufReader<TcpStream>,
}

impl Client {
    /// Connects, with 15 s for any one reply.
    pub(crate) fn connect(address: &str) -> io::Result<Client> {
        Client::connect_with(address, Duration::from_secs(15))
    }

    /// Connects with a limit for any one reply.
    pub(crate) fn connect_with(address: &str, limit: Duration) -> io::Result<Client> {
        let address = address.to_socket_addrs()?.next().ok_or(io::ErrorKind::NotFound)?;
        let stream = TcpStream::connect_timeout(&address, Duration::from_secs(2))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(limit))?;
        stream.set_write_timeout(Some(limit))?;
        Ok(Client { reader: BufReader::with_capacity(64 * 1024, stream) })
    }

    /// Sends one command and waits for its reply.
    pub(crate) fn try_command(&mut self, words: &[&[u8]]) -> io::Result<Reply> {
        self.send(&request(words))?;
        self.read()
    }

    /// The same, for tests where the connection must not break.
    pub(crate) fn command(&mut self, words: &[&str]) -> Reply {
        let bytes: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
        self.try_command(&bytes).unwrap_or_else(|error| panic!("{}: {error}", words.join(" ")))
    }

    /// Splits `line` at spaces and sends that.
    pub(crate) fn line(&mut self, line: &str) -> Reply {
        self.command(&line.split_whitespace().collect::<Vec<_>>())
    }

    /// Sends bytes as they are.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.reader.get_mut().write_all(bytes)
    }

    /// Reads one reply.
    pub(crate) fn read(&mut self) -> io::Result<Reply> {
        let mut line = Vec::new();
        if self.reader.read_until(b'\n', &mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let text = match line.strip_suffix(b"\r\n") {
            Some([_, rest @ ..]) => String::from_utf8_lossy(rest).into_owned(),
            _ => {
                return Err(broken(format!(
                    "a reply line without an end: {:?}",
                    line.escape_ascii().to_string()
                )));
            }
        };
        let count = || text.parse::<i64>().map_err(|_| broken(format!("not a count: {text}")));
        Ok(match line[0] {
            b'+' => Reply::Simple(text),
            b'-' => Reply::Error(text),
            b':' => Reply::Integer(count()?),
            b'$' if count()? < 0 => Reply::Nil,
            b'$' => Reply::Bulk(self.body(count()?)?),
            b'*' if count()? < 0 => Reply::Nil,
            b'*' => Reply::Array(self.items(count()?)?),
            b'_' => Reply::Null,
            b'#' => Reply::Boolean(text == "t"),
            b',' => Reply::Double(text),
            b'%' => {
                let items = self.items(count()? * 2)?;
                Reply::Map(items.chunks(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect())
            }
            b'~' => Reply::Set(self.items(count()?)?),
            b'=' => Reply::Verbatim(self.body(count()?)?),
            b'(' => Reply::BigNumber(text),
            b'>' => Reply::Push(self.items(count()?)?),
            kind => return Err(broken(format!("no such reply kind: {:?}", kind as char))),
        })
    }

    /// Whether the server has closed the connection (waits for that at most as long as for a reply).
    pub(crate) fn closed(&mut self) -> bool {
        let mut rest = Vec::new();
        match self.reader.read_to_end(&mut rest) {
            Ok(_) => true,
            Err(error) => error.kind() == io::ErrorKind::ConnectionReset,
        }
    }

    fn items(&mut self, count: i64) -> io::Result<Vec<Reply>> {
        (0..count).map(|_| self.read()).collect()
    }

    fn body(&mut self, length: i64) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; length as usize + 2];
        self.reader.read_exact(&mut bytes)?;
        match bytes.strip_suffix(b"\r\n") {
            Some(body) => Ok(body.to_vec()),
            None => Err(broken("a bulk string without an end".into())),
        }
    }
}

/// A command as an array of bulk strings.
pub(crate) fn request(words: &[&[u8]]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        bytes.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        bytes.extend_from_slice(word);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}

/// The hash slot of a key, by the rules of Redis Cluster; written again here so that ours is checked against it.
pub(crate) fn slot(key: &str) -> u16 {
    let bytes = key.as_bytes();
    let tag = bytes.iter().position(|&b| b == b'{').and_then(|open| {
        let length = bytes[open + 1..].iter().position(|&b| b == b'}')?;
        (length > 0).then(|| &bytes[open + 1..open + 1 + length])
    });
    let mut crc = 0u16;
    for &byte in tag.unwrap_or(bytes) {
        crc ^= u16::from(byte) << 8;
        for _ in 0..8 {
            crc = if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 };
        }
    }
    crc % 16_384
}

fn broken(text: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text)
}

#[test]
fn slots_are_those_of_redis() {
    // From the Redis Cluster specification: the CRC16 of "123456789" is 31C3.
    assert_eq!(slot("123456789"), 0x31c3);
    assert_eq!(slot("{user1000}.following"), slot("{user1000}.followers"));
    assert_eq!(slot("foo{}{bar}"), slot("foo{}{bar}"));
    assert_ne!(slot("foo{}{bar}"), slot("bar"));
}

//! `get`, `put`, `append`, `del`, `scan`: keys and values, by the native client.

use crate::answer::{Answer, Trouble, print, print_json, said, say};
use crate::args::{Get, Put, Scan};
use crate::reach::Reach;
use bytes::Bytes;
use serde_json::{Value, json};
use std::io::{self, Write};

/// Bytes as JSON: text if they are that, otherwise hexadecimal digits under another name.
fn bytes(name: &str, bytes: &[u8]) -> (String, Value) {
    match std::str::from_utf8(bytes) {
        Ok(text) => (name.to_owned(), text.into()),
        Err(_) => {
            let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            (format!("{name}_hex"), hex.into())
        }
    }
}

/// `get`.
pub(crate) async fn get(reach: &Reach, get: &Get) -> Result<Answer, Trouble> {
    let value = reach.client().await?.get(&get.key).await?;
    if reach.json {
        let mut document = json!({ "key": get.key, "found": value.is_some() });
        if let (Some(value), Value::Object(fields)) = (&value, &mut document) {
            fields.extend([bytes("value", value)]);
        }
        print_json(&document)?;
    } else {
        match &value {
            Some(value) => print(value)?,
            None => say(&format!("there is no key {:?}", get.key)),
        }
    }
    Ok(Answer::of(value.is_some()))
}

/// `put`.
pub(crate) async fn put(reach: &Reach, put: &Put) -> Result<Answer, Trouble> {
    reach.client().await?.put(&put.key, &put.value).await?;
    if reach.json {
        print_json(&json!({ "key": put.key, "ok": true }))?;
    } else {
        print("OK")?;
    }
    Ok(Answer::Yes)
}

/// `append`.
pub(crate) async fn append(reach: &Reach, put: &Put) -> Result<Answer, Trouble> {
    let length = reach.client().await?.append(&put.key, &put.value).await?;
    if reach.json {
        print_json(&json!({ "key": put.key, "length": length }))?;
    } else {
        print(length.to_string())?;
    }
    Ok(Answer::Yes)
}

/// `del`.
pub(crate) async fn del(reach: &Reach, keys: &[String]) -> Result<Answer, Trouble> {
    let removed = reach.client().await?.del(keys).await?;
    if reach.json {
        print_json(&json!({ "removed": removed }))?;
    } else {
        print(removed.to_string())?;
    }
    Ok(Answer::of(removed > 0))
}

/// `scan`: prints while it reads, so that memory stays small.
pub(crate) async fn scan(reach: &Reach, scan: &Scan) -> Result<Answer, Trouble> {
    let pattern = scan.pattern.as_ref().map(|pattern| Bytes::copy_from_slice(pattern.as_bytes()));
    let mut left = scan.limit.unwrap_or(u64::MAX);
    let mut pages = reach.client().await?.scan(pattern, scan.count).await?;
    let mut out = Keys { out: io::stdout().lock(), json: reach.json, any: false };
    said(out.begin())?;
    while left > 0 {
        let Some(keys) = pages.next().await? else { break };
        for key in keys.iter().take(usize::try_from(left).unwrap_or(usize::MAX)) {
            said(out.key(key))?;
            left -= 1;
        }
    }
    said(out.end())?;
    Ok(Answer::Yes)
}

/// Keys on their way out.
struct Keys<W> {
    out: W,
    json: bool,
    any: bool,
}

impl<W: Write> Keys<W> {
    fn begin(&mut self) -> io::Result<()> {
        if self.json { self.out.write_all(b"{\"keys\":[") } else { Ok(()) }
    }

    fn key(&mut self, key: &[u8]) -> io::Result<()> {
        if !self.json {
            self.out.write_all(key)?;
            return self.out.write_all(b"\n");
        }
        if std::mem::replace(&mut self.any, true) {
            self.out.write_all(b",")?;
        }
        match bytes("hex", key) {
            (_, Value::String(text)) if std::str::from_utf8(key).is_ok() => {
                serde_json::to_writer(&mut self.out, &text)?;
            }
            (_, digits) => serde_json::to_writer(&mut self.out, &json!({ "hex": digits }))?,
        }
        Ok(())
    }

    fn end(&mut self) -> io::Result<()> {
        if self.json {
            self.out.write_all(b"]}\n")?;
        }
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(json: bool, keys: &[&[u8]]) -> Vec<u8> {
        let mut out = Keys { out: Vec::new(), json, any: false };
        out.begin().unwrap();
        keys.iter().for_each(|key| out.key(key).unwrap());
        out.end().unwrap();
        out.out
    }

    #[test]
    fn keys_are_one_document_or_lines() {
        assert_eq!(printed(false, &[b"a", b"\xff"]), b"a\n\xff\n");
        let keys: Value = serde_json::from_slice(&printed(true, &[b"a\"", b"\xff"])).unwrap();
        assert_eq!(keys, json!({ "keys": ["a\"", { "hex": "ff" }] }));
        let none: Value = serde_json::from_slice(&printed(true, &[])).unwrap();
        assert_eq!(none, json!({ "keys": [] }));
    }

    #[test]
    fn bytes_that_are_no_text_have_another_name() {
        assert_eq!(bytes("value", b"v"), ("value".into(), "v".into()));
        assert_eq!(bytes("value", b"\x00\xfe"), ("value_hex".into(), "00fe".into()));
    }
}

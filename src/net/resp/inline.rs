//! Inline commands: what a person types into `nc`. Words apart by blanks, quotes as Redis reads them.

use super::error::ProtocolError;
use bytes::Bytes;

/// Splits one line, without its end of line, into arguments; a blank line has none.
///
/// In double quotes `\n \r \t \b \a \xHH` stand for bytes and a backslash before anything else for that
/// thing; in single quotes only `\'` does. A closing quote must be followed by a blank or the end.
pub(super) fn split(line: &[u8]) -> Result<Vec<Bytes>, ProtocolError> {
    // Redis reads the line as a C string.
    let line = line.split(|&byte| byte == 0).next().unwrap_or_default();
    let mut arguments = Vec::new();
    let mut rest = line;
    loop {
        rest = trim_start(rest);
        if rest.is_empty() {
            return Ok(arguments);
        }
        let mut word = Vec::new();
        loop {
            match *rest {
                [] | [b' ' | b'\n' | b'\r' | b'\t', ..] => break,
                [b'"', ref quoted @ ..] => {
                    rest = double_quoted(quoted, &mut word)?;
                    break;
                }
                [b'\'', ref quoted @ ..] => {
                    rest = single_quoted(quoted, &mut word)?;
                    break;
                }
                [byte, ref after @ ..] => {
                    word.push(byte);
                    rest = after;
                }
            }
        }
        arguments.push(Bytes::from(word));
    }
}

/// C's `isspace` knows the vertical tab, Rust's `trim_ascii_start` does not.
fn trim_start(text: &[u8]) -> &[u8] {
    let blanks = text.iter().take_while(|byte| is_blank(**byte)).count();
    &text[blanks..]
}

fn is_blank(byte: u8) -> bool {
    byte.is_ascii_whitespace() || byte == 0x0b
}

fn double_quoted<'a>(mut rest: &'a [u8], word: &mut Vec<u8>) -> Result<&'a [u8], ProtocolError> {
    loop {
        match *rest {
            [] => return Err(ProtocolError::UnbalancedQuotes),
            [b'\\', b'x', high, low, ref after @ ..]
                if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() =>
            {
                word.push(hex(high) * 16 + hex(low));
                rest = after;
            }
            [b'\\', escaped, ref after @ ..] => {
                word.push(match escaped {
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    b'b' => 0x08,
                    b'a' => 0x07,
                    other => other,
                });
                rest = after;
            }
            [b'"', ref after @ ..] => return closed(after),
            [byte, ref after @ ..] => {
                word.push(byte);
                rest = after;
            }
        }
    }
}

fn single_quoted<'a>(mut rest: &'a [u8], word: &mut Vec<u8>) -> Result<&'a [u8], ProtocolError> {
    loop {
        match *rest {
            [] => return Err(ProtocolError::UnbalancedQuotes),
            [b'\\', b'\'', ref after @ ..] => {
                word.push(b'\'');
                rest = after;
            }
            [b'\'', ref after @ ..] => return closed(after),
            [byte, ref after @ ..] => {
                word.push(byte);
                rest = after;
            }
        }
    }
}

fn closed(after: &[u8]) -> Result<&[u8], ProtocolError> {
    match after.first() {
        Some(&byte) if !is_blank(byte) => Err(ProtocolError::UnbalancedQuotes),
        _ => Ok(after),
    }
}

fn hex(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        b'a'..=b'f' => digit - b'a' + 10,
        _ => digit.to_ascii_uppercase() - b'A' + 10,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Result<Vec<Vec<u8>>, ProtocolError> {
        Ok(split(line.as_bytes())?.iter().map(|word| word.to_vec()).collect())
    }

    #[test]
    fn quotes_are_read_as_redis_reads_them() {
        assert_eq!(words("  set k  v ").unwrap(), [b"set".to_vec(), b"k".to_vec(), b"v".to_vec()]);
        assert_eq!(
            words(r#"e "a\x41\n\q" 'it\'s \n'"#).unwrap()[1..],
            [b"aA\nq".to_vec(), b"it's \\n".to_vec()]
        );
        // A quote that opens inside a word joins it.
        assert_eq!(words(r#"e a"b c" ''"#).unwrap()[1..], [b"ab c".to_vec(), b"".to_vec()]);
        assert_eq!(words("\u{b} \t").unwrap(), Vec::<Vec<u8>>::new());
        for open in [r#"e "a"#, "e 'a", r#"e "a"b"#, "e 'a'b", r#"e "a\"#] {
            assert_eq!(words(open), Err(ProtocolError::UnbalancedQuotes), "{open}");
        }
    }
}

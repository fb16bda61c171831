//! Glob patterns as KEYS, SCAN and CONFIG GET know them, in Redis' dialect: `*`, `?`, `[abc]`, `[a-z]`,
//! `[^a]`, and `\` before a byte that shall stand for itself.
//!
//! Must always hold: the work is bounded by the product of the two lengths. Only the last `*` is ever
//! tried again, which is enough, because an earlier one could only give up bytes that the last one can
//! take as well.

/// Whether all of `text` matches `pattern`.
#[must_use]
pub fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut at, mut read) = (0, 0);
    // Behind the last `*`: the rest of the pattern, and where the text that it must match begins.
    let mut retry: Option<(usize, usize)> = None;
    loop {
        let rest = &pattern[at..];
        if rest.first() == Some(&b'*') {
            at += 1;
            retry = Some((at, read));
            continue;
        }
        match text.get(read) {
            None => return rest.is_empty(),
            Some(&byte) => {
                if let Some(taken) = one(rest, byte) {
                    at += taken;
                    read += 1;
                    continue;
                }
            }
        }
        let Some((behind_star, start)) = retry else { return false };
        at = behind_star;
        read = start + 1;
        retry = Some((behind_star, read));
    }
}

/// How much of the pattern stands for this one byte; `None` if it does not match.
fn one(pattern: &[u8], byte: u8) -> Option<usize> {
    match pattern {
        [] => None,
        [b'?', ..] => Some(1),
        [b'[', class @ ..] => {
            let (found, taken) = in_class(class, byte);
            found.then_some(1 + taken)
        }
        [b'\\', literal, ..] => (*literal == byte).then_some(2),
        [literal, ..] => (*literal == byte).then_some(1),
    }
}

/// Whether the byte is in the class, and the length of the class with its `]`. A class that is never
/// closed goes on to the end of the pattern.
fn in_class(class: &[u8], byte: u8) -> (bool, usize) {
    let negated = class.first() == Some(&b'^');
    let mut at = usize::from(negated);
    let mut found = false;
    loop {
        match &class[at..] {
            [] => break,
            [b']', ..] => {
                at += 1;
                break;
            }
            [b'\\', literal, ..] => {
                found |= *literal == byte;
                at += 2;
            }
            [from, b'-', to, ..] => {
                found |= (*from.min(to)..=*from.max(to)).contains(&byte);
                at += 3;
            }
            [literal, ..] => {
                found |= *literal == byte;
                at += 1;
            }
        }
    }
    (found != negated, at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_in_redis() {
        #[rustfmt::skip]
        let cases: [(&str, &str, bool); 30] = [
            ("", "", true), ("", "a", false), ("*", "", true), ("*", "abc", true), ("**", "a", true),
            ("a", "a", true), ("a", "b", false), ("a", "", false), ("a*", "a", true),
            ("h?llo", "hello", true), ("h?llo", "hllo", false), ("*llo", "hello", true),
            ("h*o*", "hello world", true), ("*ab", "aaab", true), ("*ab*cd", "abxabcxcd", true),
            ("*ab*cd", "abxabcxce", false), ("a*b", "ab ", false),
            ("h[ae]llo", "hallo", true), ("h[ae]llo", "hillo", false), ("h[^e]llo", "hello", false),
            ("h[^e]llo", "hbllo", true), ("[a-c]", "b", true), ("[c-a]", "b", true), ("[a-c]", "d", false),
            (r"\*", "*", true), (r"\*", "a", false), (r"[\]]", "]", true), ("[]a", "a", false),
            ("[ab", "b", true), (r"a\", r"a\", true),
        ];
        for (pattern, text, expected) in cases {
            let found = matches(pattern.as_bytes(), text.as_bytes());
            assert_eq!(found, expected, "{pattern:?} on {text:?}");
        }
    }

    #[test]
    fn a_hostile_pattern_ends_soon() {
        let pattern = b"a*".repeat(2_000);
        assert!(!matches(&[&pattern[..], b"b"].concat(), &[b'a'; 4_000]));
    }
}

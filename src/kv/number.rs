//! Numbers as text, in Redis' dialect: what INCR and INCRBYFLOAT read and write.
//!
//! Apart, because parsing and apply must agree on it, and because every replica must write the same
//! digits: integers and decimals are computed exactly, and only what neither can hold is an `f64`.

/// Fractional digits of a decimal; Redis prints as many.
const SCALE_DIGITS: u32 = 17;
const SCALE: i128 = 10_i128.pow(SCALE_DIGITS);
/// The longest text that is read as a number, bytes; an `f64` without an exponent needs less.
const TEXT_BYTES_MAX: usize = 1024;

/// The integer that this text is the only way to write: no sign `+`, no spaces, no leading zeros.
#[must_use]
pub fn integer(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    match digits {
        [b'0'] => return (!negative).then_some(0),
        [b'1'..=b'9', ..] if digits.len() < 20 => {}
        _ => return None,
    }
    digits.iter().try_fold(0_i64, |value, digit| {
        let digit = digit.is_ascii_digit().then(|| i64::from(digit - b'0'))?;
        let value = value.checked_mul(10)?;
        if negative { value.checked_sub(digit) } else { value.checked_add(digit) }
    })
}

/// A floating-point number: decimal digits with an exponent or not, or an infinity. Not a number, it
/// is not.
#[must_use]
pub fn float(text: &[u8]) -> Option<f64> {
    if text.len() > TEXT_BYTES_MAX {
        return None;
    }
    let value: f64 = std::str::from_utf8(text).ok()?.parse().ok()?;
    (!value.is_nan()).then_some(value)
}

/// Why two numbers have no sum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SumError {
    /// One of them is no number.
    NotAFloat,
    /// The sum is infinite, or none.
    NotFinite,
}

/// The sum of two floating-point numbers, written without an exponent. Exact where both are decimals
/// of at most 17 fractional digits and not too large, so that 0.1 and 0.2 give 0.3.
///
/// # Errors
/// When one is no number, or the sum is not finite.
pub fn sum(a: &[u8], b: &[u8]) -> Result<String, SumError> {
    let (Some(x), Some(y)) = (float(a), float(b)) else { return Err(SumError::NotAFloat) };
    let exact = decimal(a).zip(decimal(b)).and_then(|(a, b)| a.checked_add(b));
    if let Some(exact) = exact {
        return Ok(write_decimal(exact));
    }
    let total = x + y;
    if !total.is_finite() {
        return Err(SumError::NotFinite);
    }
    Ok(if total == 0.0 { "0".to_owned() } else { format!("{total}") })
}

/// The number times [`SCALE`], if that is an integer that fits.
fn decimal(text: &[u8]) -> Option<i128> {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        rest => (false, rest),
    };
    let mut value = 0_i128;
    let mut places: Option<u32> = None;
    for byte in digits {
        match byte {
            b'.' if places.is_none() => places = Some(0),
            b'0'..=b'9' => {
                value = value.checked_mul(10)?.checked_add(i128::from(byte - b'0'))?;
                places = places.map(|places| places + 1);
            }
            _ => return None,
        }
    }
    let missing = SCALE_DIGITS.checked_sub(places.unwrap_or(0))?;
    let value = value.checked_mul(10_i128.pow(missing))?;
    Some(if negative { -value } else { value })
}

fn write_decimal(value: i128) -> String {
    let sign = if value < 0 { "-" } else { "" };
    let value = value.unsigned_abs();
    let scale = SCALE.unsigned_abs();
    let (whole, part) = (value / scale, value % scale);
    if part == 0 {
        return format!("{sign}{whole}");
    }
    let part = format!("{part:017}");
    format!("{sign}{whole}.{}", part.trim_end_matches('0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_integer_has_one_way_to_be_written() {
        for value in [0, 1, -1, 42, i64::MAX, i64::MIN] {
            assert_eq!(integer(value.to_string().as_bytes()), Some(value));
        }
        let none = [
            "",
            "-",
            "-0",
            "+1",
            " 1",
            "1 ",
            "01",
            "1.0",
            "1e3",
            "a",
            "9223372036854775808",
            "-9223372036854775809",
            "99999999999999999999",
            "0x10",
        ];
        for text in none {
            assert_eq!(integer(text.as_bytes()), None, "{text:?}");
        }
    }

    #[test]
    fn sums_read_as_in_redis() {
        #[rustfmt::skip]
        let cases = [
            ("10.50", "0.1", "10.6"), ("10.6", "-5", "5.6"), ("5.0e3", "2.0e2", "5200"),
            ("0.1", "0.2", "0.3"), ("1", "-1.1", "-0.1"), ("0", "-0", "0"), ("3.0", "0", "3"),
            ("-0.5", "0.5", "0"), ("3", "0.14", "3.14"), ("1e300", "1e300", "2"), ("-0.0", "-0e0", "0"),
            ("17179869184", "1.5", "17179869185.5"), ("-1.25", "-1.25", "-2.5"), (".5", "5.", "5.5"),
            ("0.00000000000000001", "0", "0.00000000000000001"),
        ];
        for (a, b, expected) in cases {
            let written = sum(a.as_bytes(), b.as_bytes()).unwrap();
            if expected == "2" {
                assert_eq!((written.len(), &written[..1]), (301, "2"));
            } else {
                assert_eq!(written, expected, "{a} + {b}");
            }
            assert!(float(written.as_bytes()).is_some());
        }
    }

    #[test]
    fn what_has_no_sum_says_why() {
        for text in ["", " 1", "1 ", "abc", "nan", "1.2.3", ".", "--1"] {
            assert_eq!(sum(text.as_bytes(), b"1"), Err(SumError::NotAFloat), "{text:?}");
        }
        assert_eq!(sum(b"inf", b"1"), Err(SumError::NotFinite));
        assert_eq!(sum(b"1e308", b"1.7e308"), Err(SumError::NotFinite));
    }
}

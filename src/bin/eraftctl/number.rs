//! Ids as people write them: `2`, or the way they are shown (`g2`, `n2`, `v2`).

/// Reads a number that may have this letter in front.
pub(crate) fn parse<T: std::str::FromStr>(text: &str, letter: char) -> Result<T, String> {
    let digits = text.strip_prefix(letter).unwrap_or(text);
    // `parse` would take "+2" as well.
    let all_digits = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    let number = if all_digits { digits.parse().ok() } else { None };
    number.ok_or_else(|| format!("{text:?} is no number such as 2 or {letter}2"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_are_read() {
        assert_eq!(parse::<u32>("2", 'g'), Ok(2));
        assert_eq!(parse::<u32>("g2", 'g'), Ok(2));
        for wrong in ["", "g", "n2", "-2", "+2", "2g", "99999999999"] {
            assert!(parse::<u32>(wrong, 'g').is_err(), "{wrong}");
        }
    }
}

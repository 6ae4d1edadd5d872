//! `"7d"` or `"1d12h"` in, exact microseconds out.

use thiserror::Error;

/// A duration text that cannot be used; `name` is the parameter it was given for.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum DurationError {
    /// Not numbers with units.
    #[error(
        "{name} must be a duration, got `{given}`\nhint: write `7d`, `36h`, `30m`, `15s` or \
         combine them: `1d12h`"
    )]
    Malformed {
        /// The parameter.
        name: String,
        /// What was given for it.
        given: String,
    },
    /// A sign where none can be meant.
    #[error("{name} must not be negative, got `{given}`\nhint: write `7d` for seven days")]
    Negative {
        /// The parameter.
        name: String,
        /// What was given for it.
        given: String,
    },
    /// More than 292,000 years.
    #[error("{name} is too long, got `{given}`\nhint: a duration ends at 106751991 days")]
    TooLong {
        /// The parameter.
        name: String,
        /// What was given for it.
        given: String,
    },
}

const UNITS: [(&str, i64); 7] = [
    ("w", 604_800_000_000),
    ("d", 86_400_000_000),
    ("h", 3_600_000_000),
    ("m", 60_000_000),
    ("s", 1_000_000),
    ("ms", 1_000),
    ("us", 1),
];

/// Microseconds of `text`, e.g. `36h`; `name` is the parameter an error speaks of.
///
/// # Errors
/// The text is no duration, or one that cannot be used.
pub fn parse(name: &str, text: &str) -> Result<i64, DurationError> {
    let own = || (name.to_owned(), text.to_owned());
    let malformed = || {
        let (name, given) = own();
        DurationError::Malformed { name, given }
    };
    if text.starts_with('-') {
        let (name, given) = own();
        return Err(DurationError::Negative { name, given });
    }
    let too_long = || {
        let (name, given) = own();
        DurationError::TooLong { name, given }
    };
    let mut total = 0_i64;
    let mut rest = text;
    while !rest.is_empty() {
        let (digits, after) = split(rest, |c| c.is_ascii_digit());
        let (unit, after) = split(after, |c| c.is_ascii_alphabetic());
        let factor = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(malformed)?.1;
        if digits.is_empty() {
            return Err(malformed());
        }
        let part = digits.parse::<i64>().ok().and_then(|n| n.checked_mul(factor));
        total = part.and_then(|n| total.checked_add(n)).ok_or_else(too_long)?;
        rest = after;
    }
    if text.is_empty() { Err(malformed()) } else { Ok(total) }
}

fn split(text: &str, keep: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(|c| !keep(c)).unwrap_or(text.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_and_combinations_are_exact() {
        for (text, us) in [
            ("7d", 604_800_000_000),
            ("36h", 129_600_000_000),
            ("30m", 1_800_000_000),
            ("15s", 15_000_000),
            ("1d12h", 129_600_000_000),
            ("2w", 1_209_600_000_000),
            ("1s500ms", 1_500_000),
            ("1us", 1),
            ("0d", 0),
        ] {
            assert_eq!(parse("half_life", text), Ok(us), "{text}");
        }
    }

    #[test]
    fn anything_else_is_refused_with_a_hint() {
        for text in ["", "7", "d", "7 d", "7x", "1.5d", "d7", "７d", "7D"] {
            let said = parse("half_life", text).unwrap_err().to_string();
            assert!(said.starts_with("half_life must be a duration"), "{said}");
            assert!(said.contains(&format!("`{text}`")) && said.contains("\nhint: "), "{said}");
        }
    }

    #[test]
    fn a_negative_or_endless_one_says_so() {
        let said = parse("click_lookback", "-7d").unwrap_err().to_string();
        assert_eq!(
            said,
            "click_lookback must not be negative, got `-7d`\nhint: write `7d` for seven days"
        );
        for text in ["106751992d", "99999999999999999999s", "106751991d5h"] {
            let error = parse("x", text).unwrap_err();
            assert!(matches!(error, DurationError::TooLong { .. }), "{text}: {error}");
        }
    }
}

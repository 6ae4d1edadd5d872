//! Decimal text in, integer millionths out, exactly; and the currencies money can be in.

/// What a decimal numeral turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decimal {
    /// Its value in millionths.
    Micros(i128),
    /// A number beyond any we keep.
    TooLarge,
    /// A number that millionths cannot hold exactly.
    TooFine,
    /// No number.
    Invalid,
}

/// A JSON number, exponent allowed, in millionths. The text is one number or `Invalid`.
#[inline]
pub fn decimal(text: &[u8]) -> Decimal {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        _ => (false, text),
    };
    let value = whole(digits).unwrap_or_else(|| general(digits));
    match value {
        Decimal::Micros(micros) if negative => Decimal::Micros(-micros),
        other => other,
    }
}

/// The fast way: up to 18 digits without point or exponent.
#[inline]
fn whole(digits: &[u8]) -> Option<Decimal> {
    if digits.is_empty() || digits.len() > 18 || (digits[0] == b'0' && digits.len() > 1) {
        return None;
    }
    let mut value = 0_u64;
    for byte in digits {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value = value * 10 + u64::from(digit);
    }
    Some(Decimal::Micros(i128::from(value) * 1_000_000))
}

/// Digits without the zeros at either end, and the power of ten of the last one.
struct Digits {
    value: u128,
    power: i64,
    zeros: u32,
    overflow: bool,
}

impl Digits {
    /// Zeros wait until a later digit shows that they count.
    fn push(&mut self, digit: u8) {
        if digit == 0 {
            self.zeros += u32::from(self.value > 0);
            return;
        }
        let shifted = 10_u128
            .checked_pow(self.zeros + 1)
            .and_then(|scale| self.value.checked_mul(scale))
            .and_then(|value| value.checked_add(u128::from(digit)));
        self.overflow |= shifted.is_none();
        self.value = shifted.unwrap_or(self.value);
        self.zeros = 0;
    }

    fn extend(&mut self, text: &[u8]) {
        for digit in text {
            self.push(digit - b'0');
        }
    }

    fn micros(&self) -> Decimal {
        let power = self.power.saturating_add(i64::from(self.zeros)).saturating_add(6);
        if self.value == 0 {
            return Decimal::Micros(0);
        }
        if power < 0 {
            return Decimal::TooFine;
        }
        u32::try_from(power)
            .ok()
            .filter(|_| !self.overflow)
            .and_then(|power| 10_u128.checked_pow(power))
            .and_then(|scale| self.value.checked_mul(scale))
            .and_then(|value| i128::try_from(value).ok())
            .map_or(Decimal::TooLarge, Decimal::Micros)
    }
}

/// Digits at the start of `text`, and the rest.
fn run(text: &[u8]) -> (&[u8], &[u8]) {
    let count = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    text.split_at(count)
}

fn general(text: &[u8]) -> Decimal {
    let mut digits = Digits { value: 0, power: 0, zeros: 0, overflow: false };
    let (whole, mut rest) = run(text);
    if whole.is_empty() || (whole[0] == b'0' && whole.len() > 1) {
        return Decimal::Invalid;
    }
    digits.extend(whole);
    if let [b'.', tail @ ..] = rest {
        let (fraction, tail) = run(tail);
        if fraction.is_empty() {
            return Decimal::Invalid;
        }
        digits.extend(fraction);
        digits.power = -i64::try_from(fraction.len()).unwrap_or(i64::MAX);
        rest = tail;
    }
    if let [b'e' | b'E', tail @ ..] = rest {
        let Some(power) = exponent(tail) else { return Decimal::Invalid };
        digits.power = digits.power.saturating_add(power);
        rest = b"";
    }
    if rest.is_empty() { digits.micros() } else { Decimal::Invalid }
}

fn exponent(text: &[u8]) -> Option<i64> {
    let (sign, text) = match text {
        [b'-', rest @ ..] => (-1, rest),
        [b'+', rest @ ..] => (1, rest),
        _ => (1, text),
    };
    let (digits, rest) = run(text);
    if digits.is_empty() || !rest.is_empty() {
        return None;
    }
    let size = digits
        .iter()
        .fold(0_i64, |size, digit| size.saturating_mul(10).saturating_add(i64::from(digit - b'0')));
    Some(sign * size)
}

/// Revenue from a JSON number: exact micros that fit 64 bits.
#[inline]
pub fn number(text: &[u8]) -> Option<i64> {
    match decimal(text) {
        Decimal::Micros(micros) => i64::try_from(micros).ok(),
        _ => None,
    }
}

/// Revenue from a decimal string: as a JSON number, but without an exponent.
pub fn string(text: &[u8]) -> Option<i64> {
    if text.iter().any(|byte| matches!(byte, b'e' | b'E')) { None } else { number(text) }
}

/// A currency code of ISO 4217 in any case, upper-cased.
pub fn currency(text: &[u8]) -> Option<[u8; 3]> {
    let code: &[u8; 3] = text.try_into().ok()?;
    let code = code.map(|byte| byte.to_ascii_uppercase());
    CURRENCIES.binary_search(&&code).is_ok().then_some(code)
}

/// ISO 4217, list one, and the codes withdrawn since 2000, because events may be as old. Without
/// `XXX` (no currency) and `XTS` (tests), which name no money.
#[rustfmt::skip]
const CURRENCIES: [&[u8; 3]; 225] = [
    b"ADP", b"AED", b"AFA", b"AFN", b"ALL", b"AMD", b"ANG", b"AOA", b"ARS", b"ATS", b"AUD", b"AWG",
    b"AZM", b"AZN", b"BAM", b"BBD", b"BDT", b"BEF", b"BGN", b"BHD", b"BIF", b"BMD", b"BND", b"BOB",
    b"BOV", b"BRL", b"BSD", b"BTN", b"BWP", b"BYB", b"BYN", b"BYR", b"BZD", b"CAD", b"CDF", b"CHE",
    b"CHF", b"CHW", b"CLF", b"CLP", b"CNY", b"COP", b"COU", b"CRC", b"CSD", b"CUC", b"CUP", b"CVE",
    b"CYP", b"CZK", b"DEM", b"DJF", b"DKK", b"DOP", b"DZD", b"EEK", b"EGP", b"ERN", b"ESP", b"ETB",
    b"EUR", b"FIM", b"FJD", b"FKP", b"FRF", b"GBP", b"GEL", b"GHC", b"GHS", b"GIP", b"GMD", b"GNF",
    b"GRD", b"GTQ", b"GWP", b"GYD", b"HKD", b"HNL", b"HRK", b"HTG", b"HUF", b"IDR", b"IEP", b"ILS",
    b"INR", b"IQD", b"IRR", b"ISK", b"ITL", b"JMD", b"JOD", b"JPY", b"KES", b"KGS", b"KHR", b"KMF",
    b"KPW", b"KRW", b"KWD", b"KYD", b"KZT", b"LAK", b"LBP", b"LKR", b"LRD", b"LSL", b"LTL", b"LUF",
    b"LVL", b"LYD", b"MAD", b"MDL", b"MGA", b"MGF", b"MKD", b"MMK", b"MNT", b"MOP", b"MRO", b"MRU",
    b"MTL", b"MUR", b"MVR", b"MWK", b"MXN", b"MXV", b"MYR", b"MZM", b"MZN", b"NAD", b"NGN", b"NIO",
    b"NLG", b"NOK", b"NPR", b"NZD", b"OMR", b"PAB", b"PEN", b"PGK", b"PHP", b"PKR", b"PLN", b"PTE",
    b"PYG", b"QAR", b"ROL", b"RON", b"RSD", b"RUB", b"RWF", b"SAR", b"SBD", b"SCR", b"SDD", b"SDG",
    b"SEK", b"SGD", b"SHP", b"SIT", b"SKK", b"SLE", b"SLL", b"SOS", b"SRD", b"SRG", b"SSP", b"STD",
    b"STN", b"SVC", b"SYP", b"SZL", b"THB", b"TJS", b"TMM", b"TMT", b"TND", b"TOP", b"TRL", b"TRY",
    b"TTD", b"TWD", b"TZS", b"UAH", b"UGX", b"USD", b"USN", b"USS", b"UYI", b"UYU", b"UYW", b"UZS",
    b"VEB", b"VED", b"VEF", b"VES", b"VND", b"VUV", b"WST", b"XAD", b"XAF", b"XAG", b"XAU", b"XBA",
    b"XBB", b"XBC", b"XBD", b"XCD", b"XCG", b"XDR", b"XOF", b"XPD", b"XPF", b"XPT", b"XSU", b"XUA",
    b"YER", b"ZAR", b"ZMK", b"ZMW", b"ZWD", b"ZWG", b"ZWL", b"ZWN", b"ZWR",
];

#[cfg(test)]
mod tests {
    use super::{CURRENCIES, Decimal, currency, decimal, number, string};

    #[test]
    fn decimals_are_exact() {
        for (text, micros) in [
            ("0", 0),
            ("-0.0", 0),
            ("0e999999999999999999999", 0),
            ("12.5", 12_500_000),
            ("-12.50", -12_500_000),
            ("0.000001", 1),
            ("1.0000000000", 1_000_000),
            ("1e-6", 1),
            ("1.5E+3", 1_500_000_000),
            ("100e-8", 1),
            ("9223372036854.775807", i64::MAX),
            ("-9223372036854.775808", i64::MIN),
            ("0.1", 100_000),
            ("1000000000000e-3", 1_000_000_000_000_000),
        ] {
            assert_eq!(number(text.as_bytes()), Some(micros), "{text}");
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        for text in ["9223372036854.775808", "1e13", "1e400", "99999999999999999999999999999999"] {
            assert_eq!(number(text.as_bytes()), None, "{text}");
        }
        assert_eq!(decimal(b"0.0000001"), Decimal::TooFine);
        assert_eq!(decimal(b"0.30000000000000004"), Decimal::TooFine);
        assert_eq!(decimal(b"1e-7"), Decimal::TooFine);
        assert_eq!(decimal(b"1e-99999999999999999999"), Decimal::TooFine);
        assert_eq!(decimal(b"1e99999999999999999999"), Decimal::TooLarge);
    }

    #[test]
    fn what_is_no_number_is_refused() {
        for text in [
            "", "-", "12,50", "1.", ".5", "+1", " 1", "1 ", "01", "--1", "1e", "NaN", "0x1",
            "1.2.3",
        ] {
            assert_eq!(decimal(text.as_bytes()), Decimal::Invalid, "{text}");
        }
        assert_eq!(string(b"1e3"), None);
        assert_eq!(string(b"-1.25"), Some(-1_250_000));
    }

    #[test]
    fn currencies_are_sorted_and_found_in_any_case() {
        assert!(CURRENCIES.is_sorted());
        assert_eq!(currency(b"eur"), Some(*b"EUR"));
        assert_eq!(currency(b"Usd"), Some(*b"USD"));
        for text in ["", "EU", "EURO", "XXX", "ZZZ", "E R", "\u{20ac}"] {
            assert_eq!(currency(text.as_bytes()), None, "{text}");
        }
    }
}

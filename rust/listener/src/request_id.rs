//! The id of a request: what a proxy gave, or a new one, unlike those of any other process.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use hyper::header::HeaderValue;

use crate::gate::random;

/// Bytes that an id from outside may have.
const BYTES_MAX: usize = 64;

/// Makes ids.
pub(crate) struct RequestIds {
    prefix: u64,
    next: AtomicU64,
}

impl RequestIds {
    pub(crate) fn new() -> Self {
        Self { prefix: random() >> 16, next: AtomicU64::new(1) }
    }

    /// The given one where it is one, or a new one.
    pub(crate) fn begin(&self, given: Option<&HeaderValue>) -> HeaderValue {
        if let Some(given) = given.filter(|given| is_id(given.as_bytes())) {
            return given.clone();
        }
        let made = format!("{:012x}-{:x}", self.prefix, self.next.fetch_add(1, Relaxed));
        HeaderValue::try_from(made).unwrap_or(HeaderValue::from_static("-"))
    }
}

fn is_id(text: &[u8]) -> bool {
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"._-".contains(byte);
    (1..=BYTES_MAX).contains(&text.len()) && text.iter().all(is_plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_kept_or_made() {
        let ids = RequestIds::new();
        let begun = |given: &str| {
            let given = HeaderValue::from_bytes(given.as_bytes()).unwrap();
            String::from_utf8(ids.begin(Some(&given)).as_bytes().to_vec()).unwrap()
        };
        assert_eq!(begun("edge-7"), "edge-7");
        for odd in ["", "two words", "x\t", &"x".repeat(65)] {
            assert_ne!(begun(odd), odd);
        }
        assert_ne!(ids.begin(None), ids.begin(None));
    }
}

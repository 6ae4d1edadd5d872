//! The key that a request carries, in any of the three ways.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper::HeaderMap;
use hyper::header::AUTHORIZATION;

/// The key in the headers: `Authorization: Bearer K`, `Authorization: Basic base64(K:)` or
/// `X-Api-Key: K`. What cannot be read is no key.
pub(crate) fn in_headers(headers: &HeaderMap) -> Option<String> {
    let authorization = text(headers, AUTHORIZATION.as_str()).unwrap_or_default();
    let (scheme, rest) = authorization.split_once(' ').unwrap_or((&authorization, ""));
    let key = match scheme.to_ascii_lowercase().as_str() {
        "bearer" => rest.trim().to_owned(),
        "basic" => {
            let decoded = String::from_utf8(STANDARD.decode(rest).ok()?).ok()?;
            decoded.split(':').next().unwrap_or_default().to_owned()
        }
        _ => text(headers, "x-api-key").unwrap_or_default(),
    };
    Some(key).filter(|key| !key.is_empty())
}

/// The first header of a name. Each byte is a character, as HTTP has it.
pub(crate) fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    let value = headers.get(name)?;
    Some(value.as_bytes().iter().map(|&byte| char::from(byte)).collect())
}

#[cfg(test)]
mod tests {
    use hyper::header::{HeaderName, HeaderValue};

    use super::*;

    fn key(name: &'static str, value: &str) -> Option<String> {
        let mut headers = HeaderMap::new();
        let value = HeaderValue::from_bytes(value.as_bytes()).unwrap();
        headers.insert(HeaderName::from_static(name), value);
        in_headers(&headers)
    }

    #[test]
    fn each_way_gives_the_key() {
        for (name, value) in [
            ("authorization", "Bearer ug_k"),
            ("authorization", "bearer  ug_k "),
            ("authorization", "Basic dWdfazo="),
            ("authorization", "Basic dWdfazpwYXNzd29yZA=="),
            ("x-api-key", "ug_k"),
        ] {
            assert_eq!(key(name, value).as_deref(), Some("ug_k"), "{name}: {value}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_no_key() {
        for (name, value) in [
            ("authorization", "Bearer "),
            ("authorization", "Bearer"),
            ("authorization", "Basic !"),
            ("authorization", "Basic dWdfazo"),
            ("authorization", "Basic Og=="),
            ("authorization", "Digest ug_k"),
            ("x-api-key", ""),
        ] {
            assert_eq!(key(name, value), None, "{name}: {value}");
        }
    }
}

//! Just enough of a JSON object: the raw text of a few named fields, the rest skipped unread.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// The raw values of `names` in the object `json`; null and absent are one, the last of equals
/// wins. `Err` says why `json` is no object.
pub(super) fn pick<'a, const N: usize>(
    json: &'a str,
    names: &[&str; N],
) -> Result<[Option<&'a str>; N], String> {
    let mut source = serde_json::Deserializer::from_str(json);
    let found = Pick(names).deserialize(&mut source).and_then(|v| source.end().map(|()| v));
    found.map_err(|e| e.to_string())
}

/// As [`pick`], with nothing found where there is no object.
pub(super) fn inside<'a, const N: usize>(
    json: Option<&'a str>,
    names: &[&str; N],
) -> [Option<&'a str>; N] {
    json.and_then(|json| pick(json, names).ok()).unwrap_or([None; N])
}

/// Hand each element of the array `json` to `take` until it says false.
pub(super) fn each<'a>(json: &'a str, take: impl FnMut(&'a str) -> bool) -> Result<(), String> {
    let mut source = serde_json::Deserializer::from_str(json);
    let done = source.deserialize_seq(Each(take)).and_then(|()| source.end());
    done.map_err(|e| e.to_string())
}

struct Pick<'n, const N: usize>(&'n [&'n str; N]);

impl<'de, const N: usize> DeserializeSeed<'de> for Pick<'_, N> {
    type Value = [Option<&'de str>; N];

    fn deserialize<D: Deserializer<'de>>(self, source: D) -> Result<Self::Value, D::Error> {
        source.deserialize_map(self)
    }
}

impl<'de, const N: usize> Visitor<'de> for Pick<'_, N> {
    type Value = [Option<&'de str>; N];

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = [None; N];
        while let Some(at) = map.next_key_seed(Name(self.0))? {
            let value: &RawValue = map.next_value()?;
            if let Some(slot) = at.and_then(|at| found.get_mut(at)) {
                *slot = (value.get() != "null").then(|| value.get());
            }
        }
        Ok(found)
    }
}

/// Reads a key as its position among the names, without keeping the text.
struct Name<'n>(&'n [&'n str]);

impl<'de> DeserializeSeed<'de> for Name<'_> {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'de>>(self, source: D) -> Result<Self::Value, D::Error> {
        source.deserialize_str(self)
    }
}

impl Visitor<'_> for Name<'_> {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<Self::Value, E> {
        Ok(self.0.iter().position(|name| *name == key))
    }
}

struct Each<F>(F);

impl<'de, F: FnMut(&'de str) -> bool> Visitor<'de> for Each<F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut seq: A) -> Result<(), A::Error> {
        while let Some(value) = seq.next_element::<&RawValue>()? {
            if !(self.0)(value.get()) {
                break;
            }
        }
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(())
    }
}

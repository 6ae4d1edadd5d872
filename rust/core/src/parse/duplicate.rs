//! A scanned record in, the first key it has twice out.
//!
//! Unknown fields join `properties`, so a key of both would be there twice.

use hashbrown::HashSet;

use super::block::Member;
use super::json::{Form, Scanner, Slot, Stop, unescape};

/// Up to here all pairs are compared, which needs no memory. Beyond it that would be an attack: a
/// megabyte holds a hundred thousand keys.
const FEW: usize = 16;

/// An unknown key that is there twice, or that `properties` (which may be empty) has too.
#[inline]
pub(crate) fn duplicate(text: &[u8], unknown: &[Member], properties: &[u8]) -> Option<String> {
    if unknown.is_empty() {
        return None;
    }
    match among_few(text, unknown, properties) {
        Answer::None => None,
        Answer::Some(key) => Some(plain(text, key)),
        Answer::TooHard => among_many(text, unknown, properties),
    }
}

enum Answer {
    None,
    Some(Slot),
    /// Too many keys, or escaped ones.
    TooHard,
}

fn among_few(bytes: &[u8], unknown: &[Member], properties: &[u8]) -> Answer {
    let is_plain = unknown.iter().all(|member| member.key.form == Form::Text);
    if unknown.len() > FEW || !is_plain {
        return Answer::TooHard;
    }
    for (index, member) in unknown.iter().enumerate() {
        let key = member.key.of(bytes);
        if unknown[..index].iter().any(|before| before.key.of(bytes) == key) {
            return Answer::Some(member.key);
        }
    }
    let mut answer = Answer::None;
    each_key(properties, |key| {
        let text = key.of(properties);
        let found = unknown.iter().find(|member| member.key.of(bytes) == text);
        match found {
            _ if key.form == Form::Escaped => answer = Answer::TooHard,
            Some(member) => answer = Answer::Some(member.key),
            None => return true,
        }
        false
    });
    answer
}

#[cold]
fn among_many(bytes: &[u8], unknown: &[Member], properties: &[u8]) -> Option<String> {
    let mut met = HashSet::with_hasher(foldhash::fast::RandomState::default());
    for member in unknown {
        let key = plain(bytes, member.key);
        if met.contains(&key) {
            return Some(key);
        }
        met.insert(key);
    }
    let mut twice = None;
    each_key(properties, |key| {
        twice = Some(plain(properties, key)).filter(|key| met.contains(key));
        twice.is_none()
    });
    twice
}

/// Visit the keys of an object, which was scanned before, until told to stop.
fn each_key(object: &[u8], mut visit: impl FnMut(Slot) -> bool) {
    if object.is_empty() {
        return;
    }
    let mut scanner = Scanner::over(object);
    let mut inside = scanner.enter();
    while inside {
        inside = next(&mut scanner).is_ok_and(|(key, more)| visit(key) && more);
    }
}

/// A member's key, and whether another follows.
fn next(scanner: &mut Scanner<'_>) -> Result<(Slot, bool), Stop> {
    let key = scanner.key()?;
    scanner.value()?;
    Ok((key, scanner.more()?))
}

pub(crate) fn plain(bytes: &[u8], key: Slot) -> String {
    let mut text = Vec::new();
    unescape(key.of(bytes), &mut text);
    String::from_utf8(text).unwrap_or_default()
}

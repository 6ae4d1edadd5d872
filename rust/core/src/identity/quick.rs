//! Ids of events in, a quick key per row out: equal where app and all ids are.
//!
//! The key that is stored is slow to make, and most events have ids that were seen before. Quick
//! keys are sums of 128-bit hashes under a salt, so that they cannot be guessed either.

use std::cell::Cell;

use super::{ID_COUNT, Ids, Row, is_nobody_in};
use crate::column::{Bytes, NULL};
use crate::digest::Digester;

/// Of an id or of a row.
pub(super) type Quick = u128;

/// Of a row without ids.
pub(super) const NOTHING: Quick = 0;

/// Digests of apps and of each kind of id.
pub(super) struct Salted {
    app: Digester,
    kinds: [Digester; ID_COUNT],
}

impl Salted {
    pub(super) fn new(salt: u64) -> Self {
        let kind = |kind: usize| Digester::new(salt.wrapping_add(kind as u64 + 1));
        Self { app: Digester::new(salt), kinds: std::array::from_fn(kind) }
    }

    /// The keys of each id of an app.
    pub(super) fn ids(&self, app: &[u8], ids: &Row<'_>) -> [Option<Quick>; ID_COUNT] {
        let app = quick(&self.app, app);
        let mut keys = [None; ID_COUNT];
        for ((key, id), digester) in keys.iter_mut().zip(ids).zip(&self.kinds) {
            *key = id.map(|id| app.wrapping_add(quick(digester, id)));
        }
        keys
    }

    /// Make the key of each row, [`NOTHING`] before; whether some id means nobody.
    pub(super) fn keys(&self, ids: &Ids<'_>, keys: &mut [Quick]) -> bool {
        let has_nobodies = Cell::new(false);
        for (column, digester) in ids.columns.iter().zip(&self.kinds) {
            let is_raw = column.is_raw();
            let of = |id: &[u8]| {
                if id.is_empty() || is_nobody_in(is_raw, id) {
                    has_nobodies.set(has_nobodies.get() || !id.is_empty());
                    return NOTHING;
                }
                quick(digester, id)
            };
            digests(column, of, |row, digest| keys[row] = keys[row].wrapping_add(digest));
        }
        // An empty app is none, as where a store has no nulls.
        let of = |app: &[u8]| if app.is_empty() { NOTHING } else { quick(&self.app, app) };
        digests(&ids.apps, of, |row, digest| {
            // Who has no id is nobody in any app.
            if keys[row] != NOTHING {
                keys[row] = keys[row].wrapping_add(digest);
            }
        });
        has_nobodies.get()
    }
}

fn quick(digester: &Digester, bytes: &[u8]) -> Quick {
    let [high, low] = digester.digest(bytes);
    u128::from(high) << 64 | u128::from(low)
}

/// Call `take` with each row that is not null and the digest of its value, which is made once for
/// each value of a dictionary that is smaller than the column.
fn digests(
    column: &Bytes<'_>,
    digest: impl Fn(&[u8]) -> Quick,
    mut take: impl FnMut(usize, Quick),
) {
    let Bytes::Keyed(keys, values) = column else {
        return column.each(|row, value| take(row, digest(value)));
    };
    let last = keys.iter().filter(|key| **key != NULL).max();
    let count = last.map_or(0, |last| *last as usize + 1);
    if count > keys.len() {
        return column.each(|row, value| take(row, digest(value)));
    }
    let made: Vec<Quick> = (0..count).map(|at| values.get(at).map_or(NOTHING, &digest)).collect();
    for (row, key) in keys.iter().enumerate().filter(|(_, key)| **key != NULL) {
        take(row, made[*key as usize]);
    }
}

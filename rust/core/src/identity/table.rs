//! Links and the texts of their ids in, the table of them out.

use std::sync::Arc;

use arrow_array::builder::BinaryBuilder;
use arrow_array::{
    ArrayRef, BinaryArray, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
    UInt32Array,
};
use arrow_select::take::take;

use super::links::{Found, Link};
use super::{IDENTITY, binary};
use crate::column::{NULL, TableError};
use crate::parse::uuid;
use crate::schema::COLUMNS;

/// Ids as people write them, by the number of their link.
pub(super) struct Texts(BinaryBuilder);

/// Most ids are UUIDs.
const ID_BYTES: usize = 36;

impl Texts {
    pub(super) fn with_capacity(ids: usize) -> Self {
        Self(BinaryBuilder::with_capacity(ids, ID_BYTES * ids))
    }

    /// Add an id, which is the bytes of a UUID or text.
    pub(super) fn push(&mut self, id: &[u8], is_raw: bool) -> Result<(), TableError> {
        match id.try_into() {
            Ok(bytes) if is_raw => self.append(&uuid::written(bytes)),
            _ => self.append(id),
        }
    }

    /// Offsets of 32 bits end somewhere, and an id may stand for many that it was joined to.
    fn append(&mut self, text: &[u8]) -> Result<(), TableError> {
        let max = i32::MAX.unsigned_abs();
        if self.0.values_slice().len() + text.len() > max as usize {
            return Err(TableError::TooMany { what: "bytes of ids", max });
        }
        self.0.append_value(text);
        Ok(())
    }

    /// They are nearly always text: looking at all at once is faster than mending each.
    pub(super) fn finish(mut self) -> StringArray {
        let bytes: BinaryArray = self.0.finish();
        let mend = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let mended = || bytes.iter().map(|bytes| bytes.map(mend)).collect();
        StringArray::try_from_binary(bytes.clone()).unwrap_or_else(|_| mended())
    }
}

/// Links in their order, and which number each had among the texts: `app_id, kind, id, person,
/// status, joined_to_kind, joined_to_id, joined_at, event_id, first_seen, events`.
pub(super) fn of(found: &Found, numbers: &[u32]) -> Result<RecordBatch, TableError> {
    let Found { links, texts, keys, seen, .. } = found;
    let apps = found.apps.texts();
    let app = |link: &Link| Some(&*apps[link.app as usize]).filter(|app| !app.is_empty());
    let name = |kind: u8| COLUMNS[IDENTITY[usize::from(kind)]].name;
    let utc = |times: Vec<Option<i64>>| -> ArrayRef {
        Arc::new(TimestampMicrosecondArray::from(times).with_timezone("UTC"))
    };
    let joined = |link: &Link| Some(link.joined).filter(|joined| *joined != NULL);
    let own = UInt32Array::from_iter_values(numbers.iter().copied());
    let to: UInt32Array = links.iter().map(|link| joined(link).map(|_| link.joined_to)).collect();
    let person = |link: &Link| keys.get(link.person as usize).map(|key| key.to_be_bytes());
    let event = |link: &Link| seen.get(link.joined as usize).map(|sight| sight.first.event);
    let joined_at = |link: &Link| joined(link).map(|_| link.joined_us);
    let events = Int64Array::from_iter_values(links.iter().map(|link| link.events));
    Ok(RecordBatch::try_from_iter_with_nullable([
        ("app_id", words(links, |link| app(link)), true),
        ("kind", words(links, |link| Some(name(link.kind))), false),
        ("id", take(texts, &own, None)?, false),
        ("person", Arc::new(binary(links.iter().map(person))), true),
        ("status", words(links, |link| Some(link.status.name())), false),
        ("joined_to_kind", words(links, |link| joined(link).map(|_| name(link.joined_kind))), true),
        ("joined_to_id", take(texts, &to, None)?, true),
        ("joined_at", utc(links.iter().map(joined_at).collect()), true),
        ("event_id", Arc::new(binary(links.iter().map(event))), true),
        ("first_seen", utc(links.iter().map(|link| Some(link.first_us)).collect()), false),
        ("events", Arc::new(events), false),
    ])?)
}

fn words<'a>(links: &[Link], word: impl Fn(&Link) -> Option<&'a str>) -> ArrayRef {
    Arc::new(links.iter().map(word).collect::<StringArray>())
}

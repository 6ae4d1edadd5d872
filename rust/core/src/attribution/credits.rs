//! Touchpoints of whole persons in, one row per conversion with the credit of every rule out, and
//! one per journey that did not convert: what a warehouse stores.

use std::sync::Arc;

use arrow_array::builder::Float64Builder;
use arrow_array::{
    ArrayRef, FixedSizeBinaryArray, Float64Array, Int64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray, UInt32Array,
};
use arrow_buffer::OffsetBuffer;
use arrow_schema::{DataType, SchemaRef};
use arrow_select::concat::concat_batches;
use arrow_select::take::take;

use super::columns::Columns;
use super::opens::{Places, opens};
use super::{Model, ModelError, NAMES, Rule, Study};
use crate::column::{Bytes, Interner, TableError, find, micros};
use crate::journey::{Effort, EventSettings, Journeys, Touch, read_events};

/// Columns of the touch, as `<output>` from `<input>`.
pub(super) const TOUCH_COLUMNS: [(&str, &str); 4] =
    [("channel", "source"), ("campaign", "campaign"), ("adset", "adset"), ("creative", "creative")];

/// Credit of every conversion under every rule model, with default parameters, and the journeys
/// that did not convert.
///
/// Takes canonical columns `app_id, identity, person, event_id, timestamp, event_name, event_type,
/// source, campaign, adset, creative, country, revenue_micros, currency`, all rows of each person;
/// a person that is null or nil stands alone. Gives `app_id, conversion_id, conversion_time,
/// conversion_name, country, value_micros, currency, person`, then lists with one item per touch:
/// `touch_id, touch_time, channel, campaign, adset, creative` and one of credit per model, named
/// as [`NAMES`]. A conversion without touches has empty lists. The second table has the open
/// journeys of all persons, and the places of those in `known` that are free again.
///
/// # Errors
/// The model does not fit the journeys, the table is not canonical, or the effort was stopped.
pub fn credits(
    schema: &SchemaRef,
    batches: &[RecordBatch],
    known: &Places,
    settings: EventSettings<'_>,
    effort: Effort<'_>,
) -> Result<(RecordBatch, RecordBatch), ModelError> {
    let table = concat_batches(schema, batches).map_err(TableError::from)?;
    let persons = person_keys(&table)?;
    let given = std::slice::from_ref(&table);
    let journeys = read_events(schema, given, &persons, settings, effort.stop)?;
    let models: Vec<Model> =
        NAMES.iter().map(|name| Model::parse(name)).collect::<Result<_, _>>()?;
    let study = Study::new(&journeys, &models, effort)?;
    let rule = |model| Rule::new(model, &journeys, &study, effort);
    let rules: Vec<Rule<'_>> = models.iter().map(rule).collect::<Result<_, _>>()?;
    let touched = Touched::new(&journeys, &rules, effort)?;
    let opens = opens(&table, &journeys, known, effort)?;
    Ok((touched.table(&table, &journeys)?, opens))
}

/// Persons within apps, numbered; one that is null or nil is the only one with its number.
fn person_keys(table: &RecordBatch) -> Result<Vec<u64>, TableError> {
    const ROLE: &str = "the person of each row";
    let apps = Bytes::text(find(table, "app_id", ROLE)?.as_ref(), "app_id")?;
    let array = find(table, "person", ROLE)?.as_ref();
    let persons = Bytes::new(array).map_or_else(|| Bytes::text(array, "person"), Ok)?;
    let (mut app_ids, mut seen) = (Interner::default(), Interner::default());
    let apps = app_ids.column(&apps, table.num_rows());
    let mut key = Vec::new();
    let number = |row: usize| {
        let Some(person) = persons.get(row).filter(|person| person.iter().any(|b| *b != 0)) else {
            return 1 << 63 | row as u64;
        };
        key.clear();
        key.extend_from_slice(&apps[row].to_le_bytes());
        key.extend_from_slice(person);
        u64::from(seen.id(&key))
    };
    Ok((0..table.num_rows()).map(number).collect())
}

/// The touches of all conversions one after the other, with their credit by model.
struct Touched {
    rows: Vec<u32>,
    times: Vec<i64>,
    ends: Vec<usize>,
    conversion_times: Vec<i64>,
    credit: Vec<Float64Builder>,
}

impl Touched {
    fn new(
        journeys: &Journeys,
        rules: &[Rule<'_>],
        effort: Effort<'_>,
    ) -> Result<Self, TableError> {
        let mut touched = Self {
            rows: Vec::new(),
            times: Vec::new(),
            ends: Vec::new(),
            conversion_times: Vec::new(),
            credit: rules.iter().map(|_| Float64Builder::new()).collect(),
        };
        let mut weights = Vec::new();
        journeys.in_order(effort, |_, journey| {
            touched.rows.extend(journey.touches.iter().map(Touch::row));
            touched.times.extend(journey.touches.iter().map(Touch::time));
            touched.ends.push(journey.touches.len());
            touched.conversion_times.push(journey.time);
            weights.resize(journey.touches.len(), 0.0);
            if !weights.is_empty() {
                for (rule, credit) in rules.iter().zip(&mut touched.credit) {
                    rule.weigh(&journey, &mut weights);
                    credit.append_slice(&weights);
                }
            }
            Ok::<_, TableError>(())
        })?;
        Ok(touched)
    }

    fn table(
        mut self,
        table: &RecordBatch,
        journeys: &Journeys,
    ) -> Result<RecordBatch, TableError> {
        let max = i32::MAX.unsigned_abs();
        if self.rows.len() > max as usize {
            return Err(TableError::TooMany { what: "touches in journeys", max });
        }
        let conversions = UInt32Array::from(journeys.conversions().rows.clone());
        let touches = UInt32Array::from(self.rows);
        let offsets = OffsetBuffer::<i32>::from_lengths(self.ends);
        let mut out = Columns::default();
        let own = |name| taken(table, name, &conversions);
        let utc =
            |times: Vec<i64>| Arc::new(TimestampMicrosecondArray::from(times).with_timezone("UTC"));
        out.add("app_id", text(&own("app_id")?)?);
        out.add("conversion_id", uuid(&own("event_id")?)?);
        out.add("conversion_time", utc(self.conversion_times));
        out.add("conversion_name", text(&own("event_name")?)?);
        out.add("country", text(&own("country")?)?);
        let value = micros(own("revenue_micros")?.as_ref(), "revenue_micros")?;
        out.add("value_micros", Arc::new(Int64Array::from(value)));
        out.add("currency", text(&own("currency")?)?);
        out.add("person", uuid(&own("person")?)?);
        out.list("touch_id", uuid(&taken(table, "event_id", &touches)?)?, &offsets)?;
        out.list("touch_time", utc(self.times), &offsets)?;
        for (name, from) in TOUCH_COLUMNS {
            out.list(name, text(&taken(table, from, &touches)?)?, &offsets)?;
        }
        for (name, credit) in NAMES.iter().zip(&mut self.credit) {
            let credit: Float64Array = credit.finish();
            out.list(name, Arc::new(credit), &offsets)?;
        }
        out.batch()
    }
}

pub(super) fn taken(
    table: &RecordBatch,
    name: &str,
    rows: &UInt32Array,
) -> Result<ArrayRef, TableError> {
    Ok(take(find(table, name, "canonical columns")?, rows, None)?)
}

/// Any text column as plain UTF-8.
pub(super) fn text(array: &ArrayRef) -> Result<ArrayRef, TableError> {
    let texts = Bytes::text(array.as_ref(), "text")?;
    let value = |row| texts.get(row).map(String::from_utf8_lossy);
    Ok(Arc::new((0..array.len()).map(value).collect::<StringArray>()))
}

/// Any 16-byte column as fixed-size binary; other lengths are null.
fn uuid(array: &ArrayRef) -> Result<ArrayRef, TableError> {
    if matches!(array.data_type(), DataType::FixedSizeBinary(16)) {
        return Ok(array.clone());
    }
    let bytes =
        Bytes::new(array.as_ref()).map_or_else(|| Bytes::text(array.as_ref(), "uuid"), Ok)?;
    let values = (0..array.len()).map(|row| bytes.get(row).filter(|id| id.len() == 16));
    Ok(Arc::new(FixedSizeBinaryArray::try_from_sparse_iter_with_size(values, 16)?))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::cast::AsArray;
    use arrow_array::{ArrayRef, BinaryArray, FixedSizeBinaryArray};

    use super::uuid;

    #[test]
    fn sixteen_bytes_are_an_id_in_every_layout() {
        let [one, two] = [*b"abcdefghABCDEFGH", [7; 16]];
        let ids = FixedSizeBinaryArray::try_from_iter([one, two].into_iter()).unwrap();
        let fixed: ArrayRef = Arc::new(ids);
        assert_eq!(&uuid(&fixed).unwrap(), &fixed);
        let loose: ArrayRef =
            Arc::new(BinaryArray::from(vec![Some(&one[..]), None, Some(&one[1..]), Some(&two)]));
        let found = uuid(&loose).unwrap();
        let expected = [Some(&one[..]), None, None, Some(&two[..])];
        assert_eq!(found.as_fixed_size_binary().iter().collect::<Vec<_>>(), expected);
    }
}

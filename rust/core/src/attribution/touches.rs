//! Journeys and one model in, one row per touch out.

use std::sync::Arc;

use arrow_array::builder::{Float64Builder, StringBuilder, UInt32Builder};
use arrow_array::{ArrayRef, RecordBatch, UInt32Array};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use arrow_select::take::take;

use super::{Model, ModelError, Rule};
use crate::column::{NULL, TableError, narrow};
use crate::journey::{Effort, Journeys, Touch, UNATTRIBUTED};

/// Rows and bytes of channel names after which a new batch begins.
const BATCH_ROWS: usize = 1 << 18;
const BATCH_BYTES: usize = 1 << 30;

/// `conversion_id`, `touch_index`, `channel`, `credit`, and `value` and `currency` where the
/// journeys have them: conversions in input order, their touches in order.
///
/// # Errors
/// The model does not fit the journeys, the table is not canonical, or the effort was stopped.
pub fn attribute(
    journeys: &Journeys,
    model: &Model,
    effort: Effort<'_>,
) -> Result<(SchemaRef, Vec<RecordBatch>), ModelError> {
    let rule = Rule::new(model, journeys)?;
    let schema = schema(journeys);
    let mut batches = Vec::new();
    let mut out = Out::new(journeys);
    let mut weights = Vec::new();
    journeys.in_order(effort, |index, journey| {
        weights.resize(journey.touches.len(), 0.0);
        if journey.touches.is_empty() {
            out.push(index, None, 1.0);
        } else {
            rule.weigh(&journey, &mut weights);
        }
        for (position, (touch, weight)) in journey.touches.iter().zip(&weights).enumerate() {
            out.push(index, Some((narrow(position), touch)), *weight);
            if out.is_full() {
                batches.push(out.take(&schema)?);
                effort.go_on()?;
            }
        }
        Ok::<_, ModelError>(())
    })?;
    batches.push(out.take(&schema)?);
    Ok((schema, batches))
}

fn schema(journeys: &Journeys) -> SchemaRef {
    let conversions = journeys.conversions();
    let mut fields = vec![
        Field::new("conversion_id", conversions.ids.data_type().clone(), true),
        Field::new("touch_index", DataType::UInt32, true),
        Field::new("channel", DataType::Utf8, true),
        Field::new("credit", DataType::Float64, false),
    ];
    if conversions.values.is_some() {
        fields.push(Field::new("value", DataType::Float64, false));
    }
    if conversions.currencies.is_some() {
        fields.push(Field::new("currency", DataType::Utf8, true));
    }
    Arc::new(Schema::new(fields))
}

/// The rows of the batch being made.
struct Out<'a> {
    journeys: &'a Journeys,
    conversions: Vec<u32>,
    positions: UInt32Builder,
    channels: StringBuilder,
    credit: Float64Builder,
    values: Float64Builder,
    currencies: StringBuilder,
}

impl<'a> Out<'a> {
    fn new(journeys: &'a Journeys) -> Self {
        Self {
            journeys,
            conversions: Vec::new(),
            positions: UInt32Builder::new(),
            channels: StringBuilder::new(),
            credit: Float64Builder::new(),
            values: Float64Builder::new(),
            currencies: StringBuilder::new(),
        }
    }

    fn push(&mut self, index: usize, touch: Option<(u32, &Touch)>, share: f64) {
        let conversions = self.journeys.conversions();
        self.conversions.push(narrow(index));
        self.positions.append_option(touch.map(|(position, _)| position));
        match touch {
            None => self.channels.append_value(UNATTRIBUTED),
            Some((_, touch)) => self.channels.append_option(
                touch.channel().map(|id| &self.journeys.channels().names[id as usize]),
            ),
        }
        self.credit.append_value(share * self.journeys.weight(index));
        if let Some(values) = &conversions.values {
            self.values.append_value(share * values[index]);
        }
        if let Some((ids, names)) = &conversions.currencies {
            let id = ids[index];
            self.currencies.append_option((id != NULL).then(|| &names[id as usize]));
        }
    }

    fn is_full(&self) -> bool {
        self.conversions.len() >= BATCH_ROWS || self.channels.values_slice().len() >= BATCH_BYTES
    }

    fn take(&mut self, schema: &SchemaRef) -> Result<RecordBatch, TableError> {
        let conversions = self.journeys.conversions();
        let rows = UInt32Array::from(std::mem::take(&mut self.conversions));
        let mut columns: Vec<ArrayRef> = vec![
            take(&conversions.ids, &rows, None)?,
            Arc::new(self.positions.finish()),
            Arc::new(self.channels.finish()),
            Arc::new(self.credit.finish()),
        ];
        if conversions.values.is_some() {
            columns.push(Arc::new(self.values.finish()));
        }
        if conversions.currencies.is_some() {
            columns.push(Arc::new(self.currencies.finish()));
        }
        Ok(RecordBatch::try_new(schema.clone(), columns)?)
    }
}

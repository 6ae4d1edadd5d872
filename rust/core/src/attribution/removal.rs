//! Journeys and a chain in, one row per channel with its removal effect out.

use std::sync::Arc;

use arrow_array::{ArrayRef, Float64Array, RecordBatch, StringArray};
use arrow_schema::{DataType, Field, Schema};

use super::{Model, ModelError, Study};
use crate::column::TableError;
use crate::journey::{Effort, Journeys};

/// `channel, removal_effect`, channels ascending and the null channel last, and the probability
/// that a path converts.
///
/// # Errors
/// The model is no chain, or the effort was stopped.
pub fn removal_effects(
    journeys: &Journeys,
    model: &Model,
    effort: Effort<'_>,
) -> Result<(RecordBatch, f64), ModelError> {
    let found = Study::new(journeys, [model], effort)?.effects(model, effort)?;
    let names = journeys.channels().in_order().into_iter().map(|(_, name)| name);
    let fields = vec![
        Field::new("channel", DataType::Utf8, true),
        Field::new("removal_effect", DataType::Float64, false),
    ];
    let columns: Vec<ArrayRef> =
        vec![Arc::new(names.collect::<StringArray>()), Arc::new(Float64Array::from(found.effects))];
    let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns);
    Ok((batch.map_err(TableError::from)?, found.p_conversion))
}

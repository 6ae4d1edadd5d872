//! Columns one by one in, a table out.

use std::sync::Arc;

use arrow_array::{Array, ArrayRef, Float64Array, ListArray, RecordBatch};
use arrow_buffer::OffsetBuffer;
use arrow_schema::{ArrowError, DataType, Field, Schema};

use crate::column::TableError;

/// A table as it is put together.
#[derive(Default)]
pub(super) struct Columns {
    fields: Vec<Field>,
    columns: Vec<ArrayRef>,
}

impl Columns {
    pub(super) fn add(&mut self, name: &str, column: ArrayRef) {
        self.fields.push(Field::new(name, column.data_type().clone(), true));
        self.columns.push(column);
    }

    /// Numbers, none of them null.
    pub(super) fn floats(&mut self, name: &str, numbers: Vec<f64>) {
        self.fields.push(Field::new(name, DataType::Float64, false));
        self.columns.push(Arc::new(Float64Array::from(numbers)));
    }

    pub(super) fn list(
        &mut self,
        name: &str,
        items: ArrayRef,
        offsets: &OffsetBuffer<i32>,
    ) -> Result<(), ArrowError> {
        let item = Arc::new(Field::new("item", items.data_type().clone(), true));
        let list = ListArray::try_new(item, offsets.clone(), items, None)?;
        self.add(name, Arc::new(list));
        Ok(())
    }

    pub(super) fn batch(self) -> Result<RecordBatch, TableError> {
        Ok(RecordBatch::try_new(Arc::new(Schema::new(self.fields)), self.columns)?)
    }
}

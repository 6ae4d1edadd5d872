//! The event table as Python sees it.

use pyo3::prelude::*;
use unmogrowp_core::schema::{COLUMNS, Kind};

/// `(name, kind, bytes_max, doc)` of every column of an event, in stored order.
#[pyfunction]
pub(crate) fn schema() -> Vec<(&'static str, &'static str, usize, &'static str)> {
    COLUMNS.iter().map(|c| (c.name, kind(c.kind), c.bytes_max, c.doc)).collect()
}

fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Uuid => "uuid",
        Kind::Time => "time",
        Kind::Ip => "ip",
        Kind::Text => "text",
        Kind::Label => "label",
        Kind::Micros => "micros",
        Kind::Json => "json",
    }
}

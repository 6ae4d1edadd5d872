//! Rows of files that are not JSON in, a line of JSON for each out.
//!
//! So tables and CSV pass the same gate as bodies: what is wrong with a row is said by the parser,
//! with the row's number. What the platform itself exports comes in again as it was.

mod csv;
mod line;
mod table;

pub use csv::{CsvError, CsvLines};
pub use table::lines;

use crate::schema::{COLUMNS, at};

/// Whether a column is one that parsing makes, so that an import need not bring it.
fn is_made(name: &[u8]) -> bool {
    [at::CLIENT_TIMESTAMP, at::RECEIVED_AT].iter().any(|at| COLUMNS[*at].name.as_bytes() == name)
}

#[cfg(test)]
mod tests;

//! The event table in, the columns of the warehouse's table out.

use arrow_schema::{DataType, Field};

use crate::native::{NativeError, type_of};
use crate::schema::{COLUMNS, Kind};

/// One column of a `CREATE TABLE`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Definition {
    /// Name of the column.
    pub name: &'static str,
    /// Its ClickHouse type.
    pub kind: String,
    /// How its bytes are compressed, as written inside `CODEC(…)`.
    pub codec: &'static str,
}

/// The columns of `events`: those of the schema, then `identity` and `batch_id`.
///
/// # Errors
/// A column of the schema has no warehouse type, which a test rules out.
pub fn events() -> Result<Vec<Definition>, NativeError> {
    let of_schema = COLUMNS.iter().map(|c| (c.name, c.kind.arrow(), true, codec(c.kind)));
    let of_warehouse = [
        ("identity", DataType::FixedSizeBinary(16), false, "LZ4"),
        ("batch_id", DataType::UInt64, false, "Delta(8), ZSTD(1)"),
    ];
    of_schema
        .chain(of_warehouse)
        .map(|(name, arrow, is_nullable, codec)| {
            let kind = type_of(&Field::new(name, arrow, is_nullable))?;
            Ok(Definition { name, kind, codec })
        })
        .collect()
}

/// Neighbouring rows are close in time, so times are stored as steps. ZSTD for what is short or
/// random would make a row a tenth smaller, and an insert an eighth slower.
fn codec(kind: Kind) -> &'static str {
    match kind {
        Kind::Time => "Delta(8), ZSTD(1)",
        Kind::Text | Kind::Json => "ZSTD(1)",
        _ => "LZ4",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_column_of_the_schema_has_a_type() {
        let all = events().unwrap();
        assert_eq!(all.len(), COLUMNS.len() + 2);
        let kind = |name: &str| all.iter().find(|d| d.name == name).map(|d| d.kind.as_str());
        assert_eq!(kind("event_id"), Some("UUID"));
        assert_eq!(kind("ip"), Some("IPv6"));
        assert_eq!(kind("timestamp"), Some("DateTime64(6, 'UTC')"));
        assert_eq!(kind("sent_at"), Some("Nullable(DateTime64(6, 'UTC'))"));
        assert_eq!(kind("revenue_micros"), Some("Nullable(Int64)"));
        assert_eq!(kind("source"), Some("LowCardinality(String)"));
    }
}

//! A column that says whose each row is in, one key per row out.

use std::borrow::Cow;

use arrow_array::Array;
use arrow_array::cast::AsArray;
use arrow_array::types::{
    Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow_schema::DataType;

use super::row::{Digest, Key};
use crate::column::{TableError, dictionary_keys, first_null, wrong};
use crate::digest::Digester;

/// How people are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PersonKind {
    /// Numbers are their own keys.
    Integer,
    /// Texts and bytes are known by 128 bits.
    Bytes,
}

impl PersonKind {
    /// Refuse a column that cannot name a person.
    pub(super) fn of(array: &dyn Array, name: &str) -> Result<Self, TableError> {
        fn kind(of: &DataType) -> Option<PersonKind> {
            match of {
                of if of.is_integer() => Some(PersonKind::Integer),
                DataType::Dictionary(_, values) => kind(values),
                DataType::Null
                | DataType::Utf8
                | DataType::LargeUtf8
                | DataType::Utf8View
                | DataType::Binary
                | DataType::LargeBinary
                | DataType::BinaryView
                | DataType::FixedSizeBinary(_) => Some(PersonKind::Bytes),
                _ => None,
            }
        }
        kind(array.data_type()).ok_or_else(|| {
            wrong(name, array, "integer, text or a UUID", "cast it to integer or text")
        })
    }
}

/// Makes keys of one kind.
pub(super) trait Persons: Clone + Send + Sync + 'static {
    type Key: Key;

    /// One key per row of a chunk without nulls: equal where the values are equal.
    fn of<'a>(&self, array: &'a dyn Array) -> Cow<'a, [Self::Key]>;

    /// One key per row of a chunk; a null is an error that names the row.
    fn keys<'a>(
        &self,
        array: &'a dyn Array,
        name: &str,
        first_row: usize,
    ) -> Result<Cow<'a, [Self::Key]>, TableError> {
        match first_null(array) {
            Some(row) => Err(TableError::Null { name: name.to_owned(), row: first_row + row }),
            None => Ok(self.of(array)),
        }
    }
}

/// Integers of any width.
#[derive(Clone)]
pub(super) struct Integers;

impl Persons for Integers {
    type Key = u64;

    fn of<'a>(&self, array: &'a dyn Array) -> Cow<'a, [u64]> {
        macro_rules! wide {
            ($type:ty) => {{
                let values = array.as_primitive::<$type>().values().iter();
                values.map(|value| i64::from(*value).cast_unsigned()).collect()
            }};
        }
        match array.data_type() {
            DataType::Int8 => wide!(Int8Type),
            DataType::Int16 => wide!(Int16Type),
            DataType::Int32 => wide!(Int32Type),
            DataType::Int64 => wide!(Int64Type),
            DataType::UInt8 => wide!(UInt8Type),
            DataType::UInt16 => wide!(UInt16Type),
            DataType::UInt32 => wide!(UInt32Type),
            DataType::UInt64 => Cow::Borrowed(array.as_primitive::<UInt64Type>().values()),
            _ => by_value(array, |values| self.of(values).into_owned()),
        }
    }
}

/// Texts and bytes: 16 bytes are their own key, of others it is a digest under a salt, wide enough
/// that no two of a table's people share one.
#[derive(Clone)]
pub(super) struct Digests(Digester);

impl Digests {
    pub(super) fn new(salt: u64) -> Self {
        Self(Digester::new(salt))
    }

    fn digest(&self, bytes: &[u8]) -> Digest {
        Digest(self.0.digest(bytes))
    }
}

/// The 16 bytes as they are.
fn whole(bytes: &[u8]) -> Digest {
    let half = |bytes: &[u8]| bytes.try_into().map_or(0, u64::from_le_bytes);
    Digest(bytes.split_at_checked(8).map_or([0; 2], |(low, high)| [half(low), half(high)]))
}

impl Persons for Digests {
    type Key = Digest;

    fn of<'a>(&self, array: &'a dyn Array) -> Cow<'a, [Digest]> {
        let each = |value: &[u8]| self.digest(value);
        macro_rules! digests {
            ($array:expr) => {{
                let array = $array;
                (0..array.len()).map(|row| each(array.value(row).as_ref())).collect()
            }};
        }
        match array.data_type() {
            DataType::Utf8 => digests!(array.as_string::<i32>()),
            DataType::LargeUtf8 => digests!(array.as_string::<i64>()),
            DataType::Utf8View => digests!(array.as_string_view()),
            DataType::Binary => digests!(array.as_binary::<i32>()),
            DataType::LargeBinary => digests!(array.as_binary::<i64>()),
            DataType::BinaryView => digests!(array.as_binary_view()),
            DataType::FixedSizeBinary(16) => {
                let values = array.as_fixed_size_binary();
                (0..values.len()).map(|row| whole(values.value(row))).collect()
            }
            DataType::FixedSizeBinary(_) => digests!(array.as_fixed_size_binary()),
            DataType::Dictionary(_, _) => by_value(array, |values| self.of(values).into_owned()),
            _ => Cow::Owned(vec![Digest::default(); array.len()]),
        }
    }
}

/// Keys of a dictionary column from those of its values.
fn by_value<'a, K: Key>(
    array: &'a dyn Array,
    keys: impl FnOnce(&'a dyn Array) -> Vec<K>,
) -> Cow<'a, [K]> {
    let values = keys(array.as_any_dictionary().values().as_ref());
    let key = |position: u32| values.get(position as usize).copied().unwrap_or_default();
    Cow::Owned(dictionary_keys(array).into_iter().map(key).collect())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use std::sync::Arc;

    use arrow_array::types::Int8Type;
    use arrow_array::{
        ArrayRef, BinaryArray, BinaryViewArray, DictionaryArray, FixedSizeBinaryArray,
        Float64Array, Int8Array, Int16Array, Int32Array, Int64Array, LargeBinaryArray,
        LargeStringArray, StringArray, StringViewArray, UInt8Array, UInt16Array, UInt32Array,
        UInt64Array,
    };

    use super::*;

    #[test]
    fn texts_that_differ_only_in_length_are_different_people() {
        let texts: Vec<String> = (0..300).map(|length| "\0".repeat(length)).collect();
        let digests = Digests::new(7);
        let keys: BTreeSet<Digest> = texts.iter().map(|t| digests.digest(t.as_bytes())).collect();
        assert_eq!(keys.len(), texts.len());
    }

    #[test]
    fn a_text_is_the_same_person_in_every_layout() {
        let texts = ["a", "b", "a", "of more than twelve bytes"];
        let digests = Digests::new(7);
        let plain = StringArray::from(texts.to_vec());
        let expected = digests.of(&plain).into_owned();
        assert_eq!(digests.of(&StringViewArray::from(texts.to_vec())), expected);
        let keyed: DictionaryArray<Int8Type> = texts.into_iter().collect();
        assert_eq!(digests.of(&keyed), expected);
        let bytes = texts.map(str::as_bytes).to_vec();
        let others: [ArrayRef; 4] = [
            Arc::new(LargeStringArray::from(texts.to_vec())),
            Arc::new(BinaryArray::from(bytes.clone())),
            Arc::new(LargeBinaryArray::from(bytes.clone())),
            Arc::new(BinaryViewArray::from(bytes)),
        ];
        for array in others {
            assert_eq!(digests.of(&array), expected, "{}", array.data_type());
        }
        let fixed = FixedSizeBinaryArray::try_from_iter(["abc", "abd"].into_iter()).unwrap();
        let plain = StringArray::from(vec!["abc", "abd"]);
        assert_eq!(digests.of(&fixed), digests.of(&plain));
        assert_eq!(expected[0], expected[2]);
        assert_ne!(expected[0], expected[1]);
    }

    #[test]
    fn a_number_is_the_same_person_in_every_width() {
        let values: ArrayRef = Arc::new(Int32Array::from(vec![3, 0, 117]));
        let dictionary = DictionaryArray::<Int8Type>::new(vec![0, 1, 2, 0].into(), values);
        let arrays: [ArrayRef; 9] = [
            Arc::new(Int8Array::from(vec![3, 0, 117, 3])),
            Arc::new(Int16Array::from(vec![3, 0, 117, 3])),
            Arc::new(Int32Array::from(vec![3, 0, 117, 3])),
            Arc::new(Int64Array::from(vec![3, 0, 117, 3])),
            Arc::new(UInt8Array::from(vec![3, 0, 117, 3])),
            Arc::new(UInt16Array::from(vec![3, 0, 117, 3])),
            Arc::new(UInt32Array::from(vec![3, 0, 117, 3])),
            Arc::new(UInt64Array::from(vec![3, 0, 117, 3])),
            Arc::new(dictionary),
        ];
        for array in arrays {
            assert_eq!(PersonKind::of(&array, "user").unwrap(), PersonKind::Integer);
            assert_eq!(*Integers.of(&array), [3, 0, 117, 3], "{}", array.data_type());
        }
        assert_eq!(*Integers.of(&Int8Array::from(vec![-1])), [u64::MAX]);
    }

    #[test]
    fn only_what_names_somebody_is_taken() {
        let texts: ArrayRef = Arc::new(StringArray::from(vec!["a"]));
        let keyed: ArrayRef = Arc::new(DictionaryArray::<Int8Type>::new(vec![0].into(), texts));
        assert_eq!(PersonKind::of(&keyed, "user").unwrap(), PersonKind::Bytes);
        assert!(PersonKind::of(&Float64Array::from(vec![1.0]), "user").is_err());
    }

    #[test]
    fn a_null_is_named_by_its_row_among_all() {
        let array = Int64Array::from(vec![Some(1), None]);
        let refused = Integers.keys(&array, "user", 40).unwrap_err();
        assert!(matches!(refused, TableError::Null { row: 41, .. }), "{refused}");
    }

    #[test]
    fn sixteen_bytes_are_their_own_key() {
        let ids = [[7_u8; 16], [0; 16], *b"abcdefghABCDEFGH"];
        let array = FixedSizeBinaryArray::try_from_iter(ids.iter()).unwrap();
        let halves = |id: &[u8; 16]| {
            [&id[..8], &id[8..]].map(|half| u64::from_le_bytes(half.try_into().unwrap()))
        };
        assert_eq!(*Digests::new(7).of(&array), ids.map(|id| Digest(halves(&id))));
    }
}

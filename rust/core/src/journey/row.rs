//! One row as the kernel moves it: whose it is, when, and what it says, in as few bytes as may be.

use std::fmt::Debug;

use super::Tag;

/// Whose a row is: rows of equal keys are one person's.
pub(crate) trait Key: Copy + Debug + Default + Ord + Send + Sync + 'static {
    /// The key with its bits spread: another one for every other key, so that it stands for it.
    fn mixed(self) -> Self;
    /// Of a mixed key: bits of which the upper ones say where the person is filed.
    fn place(self) -> u64;
}

impl Key for u64 {
    /// An odd factor can be undone; every bit reaches those above it.
    fn mixed(self) -> Self {
        self.wrapping_mul(0x9E37_79B9_7F4A_7C15)
    }

    fn place(self) -> u64 {
        self
    }
}

/// 128 bits that stand for a text: its digest, or the 16 bytes it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Digest(pub(crate) [u64; 2]);

impl Key for Digest {
    fn mixed(self) -> Self {
        let [low, high] = self.0;
        Self([(low ^ high.rotate_left(32)).mixed(), high])
    }

    fn place(self) -> u64 {
        self.0[0]
    }
}

/// When a row is and what it says, without its person.
pub(crate) trait Word: Copy + Debug + Default + Send + Sync + 'static {
    /// Sorts by time, touches before conversions; rows alike in both keep the order of the input.
    type Order: Ord + Copy;

    /// None where it does not fit `layout`.
    fn pack(step: Step, layout: Layout) -> Option<Self>;
    /// What was packed.
    fn step(self, layout: Layout) -> Step;
    /// See [`Self::Order`].
    fn order(self, layout: Layout) -> Self::Order;
    /// Whether it is a conversion.
    fn is_conversion(self, layout: Layout) -> bool;
}

/// A touch or a conversion, of whomever.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Step {
    pub(crate) time: i64,
    /// Its row in the input, where the word has room for it.
    pub(crate) row: u32,
    pub(crate) tag: Tag,
}

/// How many bits of a narrow word are the time's: what the range of times needs. The rest is for
/// the tag.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layout {
    base: i64,
    time_bits: u32,
    tag_bits: u32,
}

impl Default for Layout {
    fn default() -> Self {
        Self::new(0, 0)
    }
}

impl Layout {
    /// Of times from `first` to `last`.
    pub(crate) fn new(first: i64, last: i64) -> Self {
        let time_bits = u64::BITS - last.abs_diff(first).leading_zeros();
        let tag_bits = u64::BITS.saturating_sub(time_bits + 1).min(u32::BITS - 1);
        Self { base: first, time_bits, tag_bits }
    }

    /// A step at the first time.
    pub(crate) fn first(self, tag: Tag) -> Step {
        Step { time: self.base, row: 0, tag }
    }
}

/// Time, class and the rest of the tag in 64 bits: enough for most tables.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Narrow(u64);

impl Word for Narrow {
    type Order = u64;

    fn pack(step: Step, layout: Layout) -> Option<Self> {
        let payload = u64::from(step.tag.payload());
        if payload >> layout.tag_bits != 0 || layout.time_bits >= u64::BITS {
            return None;
        }
        let time = step.time.wrapping_sub(layout.base).cast_unsigned();
        let class = u64::from(step.tag.is_conversion());
        Some(Self((time << 1 | class) << layout.tag_bits | payload))
    }

    fn step(self, layout: Layout) -> Step {
        let time = (self.order(layout) >> 1).cast_signed().wrapping_add(layout.base);
        let payload = self.0 & ((1 << layout.tag_bits) - 1);
        #[allow(clippy::cast_possible_truncation, reason = "a tag has at most 31 bits")]
        let tag = Tag::new(self.is_conversion(layout), payload as u32);
        Step { time, row: u32::MAX, tag }
    }

    fn order(self, layout: Layout) -> u64 {
        self.0 >> layout.tag_bits
    }

    fn is_conversion(self, layout: Layout) -> bool {
        self.order(layout) & 1 != 0
    }
}

/// Any time, any tag, and the row.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Wide(Step);

impl Word for Wide {
    type Order = (i64, bool);

    fn pack(step: Step, _: Layout) -> Option<Self> {
        Some(Self(step))
    }

    fn step(self, _: Layout) -> Step {
        self.0
    }

    fn order(self, _: Layout) -> (i64, bool) {
        (self.0.time, self.0.tag.is_conversion())
    }

    fn is_conversion(self, _: Layout) -> bool {
        self.0.tag.is_conversion()
    }
}

/// A row with its person.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Row<K, W> {
    pub(crate) key: K,
    pub(crate) word: W,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_narrow_word_gives_back_what_it_took(
            first in any::<i64>(), range in 0_i64..1 << 45, at in 0.0..1.0_f64,
            payload in 0_u32..1 << 20, is_conversion in any::<bool>(),
        ) {
            let last = first.saturating_add(range);
            #[allow(clippy::cast_possible_truncation, reason = "a place between the two")]
            let time = first + (last.abs_diff(first) as f64 * at) as i64;
            let layout = Layout::new(first, last);
            let step = Step { time, row: u32::MAX, tag: Tag::new(is_conversion, payload) };
            match Narrow::pack(step, layout) {
                Some(word) => prop_assert_eq!(word.step(layout), step),
                None => prop_assert!(payload >> layout.tag_bits != 0),
            }
        }
    }

    proptest! {
        #[test]
        fn other_keys_stay_other_keys(a in any::<[u64; 2]>(), b in any::<[u64; 2]>()) {
            prop_assert_eq!(a == b, Digest(a).mixed() == Digest(b).mixed());
            prop_assert_eq!(a[0] == b[0], a[0].mixed() == b[0].mixed());
        }
    }

    #[test]
    fn the_longest_range_is_too_wide_for_a_narrow_word() {
        let layout = Layout::new(i64::MIN, i64::MAX);
        assert!(Narrow::pack(Step::default(), layout).is_none());
    }
}

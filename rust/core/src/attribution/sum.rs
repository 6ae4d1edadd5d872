//! Floats in, their exact sum out, rounded once: the order of adding cannot show.

/// A sum kept as one wide fixed-point number in 32-bit steps, of which only the part in use is
/// held. Credit summed by any thread in any order gives the same bytes.
#[derive(Clone, Debug, Default)]
pub(crate) struct ExactSum {
    /// In units of 2^-62: the sum of what is neither tiny nor above 1, as shares are.
    shares: i128,
    /// Step number of `steps[0]`; step 0 holds the smallest float's bits.
    base: usize,
    /// Signed, so that 2^31 additions fit before carries must be moved up.
    steps: Vec<i64>,
    pending: u32,
}

const STEP_BITS: usize = 32;
/// The exponent of floats whose last digit is 2^-62, and how many more keep within 63 bits.
const LOWEST_SHARE: usize = 1013;
const SHARE_SHIFT_MAX: usize = 10;
const PENDING_MAX: u32 = 1 << 30;
/// Step 0 counts in units of 2^-1074.
const LOWEST_EXPONENT: i32 = -1074;

impl ExactSum {
    #[inline]
    pub(crate) fn add(&mut self, value: f64) {
        match Self::units(value) {
            Some(units) => self.add_units(units),
            None => self.add_any(value),
        }
    }

    /// A value as a share in units of 2^-62; none for what is tiny or above 2.
    #[inline]
    pub(crate) fn units(value: f64) -> Option<i64> {
        let bits = value.to_bits();
        let exponent = (bits >> 52) as usize & 0x7ff;
        let digits = (bits & ((1 << 52) - 1) | 1 << 52).cast_signed();
        let shift = exponent.checked_sub(LOWEST_SHARE).filter(|s| *s <= SHARE_SHIFT_MAX)?;
        let units = digits << shift;
        Some(if value.is_sign_negative() { -units } else { units })
    }

    /// Add what [`Self::units`] made.
    #[inline]
    pub(crate) fn add_units(&mut self, units: i64) {
        self.shares += i128::from(units);
    }

    fn add_any(&mut self, value: f64) {
        debug_assert!(value.is_finite());
        let bits = value.to_bits();
        let exponent = (bits >> 52) as usize & 0x7ff;
        let fraction = bits & ((1 << 52) - 1);
        let digits = if exponent == 0 { fraction } else { fraction | 1 << 52 };
        self.add_digits(exponent.max(1) - 1, digits, value.is_sign_negative());
    }

    /// Add `digits`, which stand `position` bits above the smallest float's.
    fn add_digits(&mut self, position: usize, digits: u64, is_negative: bool) {
        if digits == 0 {
            return;
        }
        let wide = u128::from(digits) << (position % STEP_BITS);
        let at = self.room(position / STEP_BITS);
        for (index, step) in self.steps[at..at + 3].iter_mut().enumerate() {
            let part = ((wide >> (index * STEP_BITS)) & 0xffff_ffff) as i64;
            *step += if is_negative { -part } else { part };
        }
        self.pending += 1;
        if self.pending == PENDING_MAX {
            self.carry();
        }
    }

    /// Add all that another sum holds.
    pub(crate) fn join(&mut self, mut other: Self) {
        self.shares += other.shares;
        other.carry();
        let Some(last) = other.steps.len().checked_sub(1) else { return };
        // One place more than needed at most: steps come in threes.
        let _ = self.room(other.base + last);
        let at = self.room(other.base);
        for (step, more) in self.steps[at..].iter_mut().zip(&other.steps) {
            *step += more;
        }
        self.pending += 1;
        if self.pending == PENDING_MAX {
            self.carry();
        }
    }

    /// Where step number `step` is held, with room for it and the two after it.
    fn room(&mut self, step: usize) -> usize {
        if self.steps.is_empty() {
            self.base = step;
        }
        if step < self.base {
            let missing = self.base - step;
            self.steps.splice(0..0, std::iter::repeat_n(0, missing));
            self.base = step;
        }
        let at = step - self.base;
        if self.steps.len() < at + 3 {
            self.steps.resize(at + 3, 0);
        }
        at
    }

    /// Move what exceeds a step up to the next; only the last step may stay negative.
    fn carry(&mut self) {
        self.pending = 0;
        let mut carry = 0;
        for step in &mut self.steps {
            let total = *step + carry;
            *step = total & 0xffff_ffff;
            carry = total >> STEP_BITS;
        }
        if carry != 0 {
            self.steps.push(carry);
        }
    }

    /// The nearest float.
    pub(crate) fn value(&self) -> f64 {
        let mut exact = self.clone();
        let shares = self.shares.unsigned_abs();
        for part in 0..4 {
            let digits = (shares >> (part * STEP_BITS)) & 0xffff_ffff;
            let position = LOWEST_SHARE - 1 + part * STEP_BITS;
            exact.add_digits(position, digits as u64, self.shares < 0);
        }
        exact.carry();
        let is_negative = exact.steps.last().is_some_and(|step| *step < 0);
        if is_negative {
            exact.steps.iter_mut().for_each(|step| *step = -*step);
            exact.carry();
        }
        let Some(top) = exact.steps.iter().rposition(|step| *step != 0) else { return 0.0 };
        let low = top.saturating_sub(2);
        let mut digits = 0_u128;
        for step in exact.steps[low..=top].iter().rev() {
            digits = digits << STEP_BITS | u128::from(step.unsigned_abs());
        }
        // Anything below the 65 or more bits at hand only says which way a tie falls.
        if exact.steps[..low].iter().any(|step| *step != 0) {
            digits |= 1;
        }
        let lowest = i32::try_from((exact.base + low) * STEP_BITS).unwrap_or(i32::MAX);
        let exponent = lowest.saturating_add(LOWEST_EXPONENT);
        // In two halves: one power of two alone may not be a normal float.
        let half = exponent / 2;
        let value = digits as f64 * 2_f64.powi(half) * 2_f64.powi(exponent - half);
        if is_negative { -value } else { value }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sum(values: &[f64]) -> f64 {
        let mut exact = ExactSum::default();
        for value in values {
            exact.add(*value);
        }
        exact.value()
    }

    #[test]
    fn known_sums_are_exact() {
        assert_eq!(sum(&[]).to_bits(), 0.0_f64.to_bits());
        assert_eq!(sum(&[0.1; 10]).to_bits(), 1.0_f64.to_bits());
        assert_eq!(sum(&[1e16, 1.0, -1e16]).to_bits(), 1.0_f64.to_bits());
        assert_eq!(sum(&[1e300, 1e-300, -1e300]).to_bits(), 1e-300_f64.to_bits());
        assert_eq!(sum(&[-0.1, -0.2]).to_bits(), (-0.300_000_000_000_000_04_f64).to_bits());
        assert_eq!(sum(&[5e-324, 5e-324]).to_bits(), 1e-323_f64.to_bits());
        assert_eq!(sum(&[1.0, -1.0]).to_bits(), 0.0_f64.to_bits());
    }

    #[test]
    fn what_is_far_below_breaks_a_tie() {
        let (large, tiny) = (2_f64.powi(53), 2_f64.powi(-60));
        assert_eq!(sum(&[large, 1.0]).to_bits(), large.to_bits());
        assert_eq!(sum(&[large, 1.0, tiny]).to_bits(), (large + 2.0).to_bits());
        assert_eq!(sum(&[large, 1.0, -tiny]).to_bits(), large.to_bits());
        assert_eq!(sum(&[large, 1.0, tiny, -tiny]).to_bits(), large.to_bits());
        assert_eq!(sum(&[large + 2.0, 1.0, -tiny]).to_bits(), (large + 2.0).to_bits());
    }

    proptest! {
        #[test]
        fn one_value_comes_back(value in prop::num::f64::NORMAL | prop::num::f64::SUBNORMAL) {
            prop_assert_eq!(sum(&[value]).to_bits(), value.to_bits());
        }

        #[test]
        fn two_values_round_as_the_machine_does(a in -1e9..1e9_f64, b in -1e-9..1e9_f64) {
            prop_assert_eq!(sum(&[a, b]).to_bits(), (a + b).to_bits());
        }

        #[test]
        fn order_cannot_show(mut values in prop::collection::vec(-1e12..1e12_f64, 0..50)) {
            let forward = sum(&values);
            values.reverse();
            prop_assert_eq!(forward.to_bits(), sum(&values).to_bits());
            values.sort_by(f64::total_cmp);
            prop_assert_eq!(forward.to_bits(), sum(&values).to_bits());
        }

        #[test]
        fn parts_join_into_the_whole(parts in prop::collection::vec(
            prop::collection::vec(prop_oneof![-1.0..1.0, -1e12..1e12, -1e-300..1e-300], 0..20),
            0..5,
        )) {
            let mut joined = ExactSum::default();
            for part in &parts {
                let mut own = ExactSum::default();
                for value in part {
                    own.add(*value);
                }
                joined.join(own);
            }
            prop_assert_eq!(joined.value().to_bits(), sum(&parts.concat()).to_bits());
        }

        #[test]
        fn integers_sum_as_integers(values in prop::collection::vec(-999_999_999..999_i64, 0..50)) {
            let floats: Vec<f64> = values.iter().map(|value| *value as f64).collect();
            let exact = values.iter().sum::<i64>() as f64;
            prop_assert!((sum(&floats) - exact).abs() == 0.0);
        }
    }
}

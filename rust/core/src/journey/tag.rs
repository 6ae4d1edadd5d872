//! What a row of a table is to journeys, in 32 bits.

use crate::column::TableError;

/// What a row is, in 32 bits: a conversion with its number, or a touch with its channel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tag(u32);

impl Tag {
    const CONVERSION: u32 = 1 << 31;
    const VIEW: u32 = 1;
    const KEY: u32 = 1 << 1;
    const FLAG_BITS: u32 = 2;
    /// Channel numbers are below this: 0 stands for the null channel, and there are two flags.
    pub(super) const CHANNELS_MAX: u32 = (1 << (31 - Self::FLAG_BITS)) - 1;

    pub(crate) fn new(is_conversion: bool, payload: u32) -> Self {
        debug_assert!(payload < Self::CONVERSION);
        Self(u32::from(is_conversion) << 31 | payload)
    }

    pub(crate) fn conversion(index: usize) -> Result<Self, TableError> {
        let max = Self::CONVERSION;
        match u32::try_from(index) {
            Ok(index) if index < max => Ok(Self::new(true, index)),
            _ => Err(TableError::TooMany { what: "conversions", max }),
        }
    }

    /// Of a channel whose number was found to fit, or of none.
    pub(crate) fn touch(channel: u32) -> Self {
        let channel = channel.wrapping_add(1);
        debug_assert!(channel <= Self::CHANNELS_MAX);
        Self(channel << Self::FLAG_BITS)
    }

    pub(crate) fn set_view(&mut self, is_view: bool) {
        self.0 |= u32::from(is_view) * Self::VIEW;
    }

    pub(crate) fn set_key(&mut self, is_key: bool) {
        self.0 |= u32::from(is_key) * Self::KEY;
    }

    pub(super) fn is_conversion(self) -> bool {
        self.0 & Self::CONVERSION != 0
    }

    pub(super) fn is_view(self) -> bool {
        self.0 & (Self::CONVERSION | Self::VIEW) == Self::VIEW
    }

    pub(super) fn is_key(self) -> bool {
        self.0 & (Self::CONVERSION | Self::KEY) == Self::KEY
    }

    /// A conversion's number; a touch's channel and flags.
    pub(super) fn payload(self) -> u32 {
        self.0 & !Self::CONVERSION
    }

    pub(crate) fn channel(self) -> Option<u32> {
        (self.payload() >> Self::FLAG_BITS).checked_sub(1)
    }

    /// A touch whose channel has another number.
    pub(super) fn with_channel(self, number: impl FnOnce(u32) -> u32) -> Self {
        let flags = self.0 & ((1 << Self::FLAG_BITS) - 1);
        let channel = self.channel().map_or(0, |channel| number(channel) + 1);
        Self(channel << Self::FLAG_BITS | flags)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conversions_are_numbered_as_far_as_there_are_bits() {
        let last = (1 << 31) - 1;
        assert_eq!(Tag::conversion(last).unwrap(), Tag::new(true, u32::try_from(last).unwrap()));
        assert!(Tag::conversion(last + 1).is_err());
        assert!(Tag::conversion(1 << 32).is_err());
    }

    #[test]
    fn a_touch_keeps_its_flags_and_its_channel_apart() {
        for channel in [u32::MAX, 0, 1, Tag::CHANNELS_MAX - 1] {
            for (is_view, is_key) in [(false, false), (true, false), (false, true), (true, true)] {
                let mut tag = Tag::touch(channel);
                tag.set_view(is_view);
                tag.set_key(is_key);
                assert!(!tag.is_conversion());
                assert_eq!((tag.is_view(), tag.is_key()), (is_view, is_key));
                assert_eq!(tag.channel(), (channel != u32::MAX).then_some(channel));
                let other = tag.with_channel(|channel| channel / 2);
                assert_eq!((other.is_view(), other.is_key()), (is_view, is_key));
                assert_eq!(other.channel(), tag.channel().map(|channel| channel / 2));
            }
        }
    }

    #[test]
    fn a_conversion_has_no_flags_whatever_its_number() {
        let tag = Tag::new(true, 0b1111);
        assert!(tag.is_conversion() && !tag.is_view() && !tag.is_key());
        assert_eq!(tag.payload(), 0b1111);
    }
}

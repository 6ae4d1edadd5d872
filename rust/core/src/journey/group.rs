//! Rows of all people in, rows of one person after the other out.
//!
//! Rows are moved, not indexed: a gather costs more than a row. While they are read they are filed
//! into drawers by the person, so that the rest happens inside the second-level cache:
//! there into runs of few people, which are short and sorted on the spot. Drawers without
//! conversions cost a glance.

use std::fmt::Debug;

use super::Tag;
use super::row::{Key, Layout, Row, Step, Wide, Word};
use super::walk::{Person, Walk};
use crate::column::narrow;

/// Rows of one drawer that stay in cache.
const DRAWER_ROWS: usize = 1 << 15;
const DRAWER_BITS_MAX: u32 = 10;
/// Rows of a drawer collected before they are moved there, so that memory is written in lines.
const STAGED_ROWS: usize = 16;
/// Rows of a drawer that lie together.
const BLOCK_ROWS: usize = 1 << 12;
/// Rows of people who share a run, about.
const RUN_ROWS: usize = 4;
/// Up to here a run is sorted by insertion.
const SHORT_ROWS: usize = 24;

/// How many upper bits of a key's place say its drawer in a table of so many rows.
pub(super) fn drawer_bits(rows: usize) -> u32 {
    (rows / DRAWER_ROWS + 1).ilog2().min(DRAWER_BITS_MAX)
}

/// Finds a number in some bits of a key's place.
#[derive(Clone, Copy)]
struct Slot {
    shift: u32,
    mask: u64,
}

impl Slot {
    /// The `bits` below the upper `skipped` ones.
    fn new(skipped: u32, bits: u32) -> Self {
        debug_assert!(skipped + bits < u64::BITS);
        // With no bits the shift is anything and the mask leaves nothing.
        Self { shift: (u64::BITS - skipped - bits).min(u64::BITS - 1), mask: (1 << bits) - 1 }
    }

    #[allow(clippy::cast_possible_truncation, reason = "the mask leaves few bits")]
    fn of(self, key: impl Key) -> usize {
        (key.place() >> self.shift & self.mask) as usize
    }
}

/// People whose rows are at hand, whatever their layout.
pub(super) trait People: Debug + Send + Sync {
    /// How many drawers they lie in.
    fn drawer_count(&self) -> usize;
    /// What is known of all rows.
    fn extent(&self) -> Extent;
    /// Call `take` with each person of the drawers that `next` names.
    fn each(
        &self,
        who: Who,
        next: &mut dyn FnMut() -> Option<usize>,
        walk: &mut Walk<'_>,
        take: &mut dyn FnMut(Person<'_>),
    );
}

/// Rows filed as they are read, by one thread.
pub(crate) struct Filing<K, W> {
    slot: Slot,
    layout: Layout,
    staged: Vec<[Row<K, W>; STAGED_ROWS]>,
    counts: Vec<u8>,
    drawers: Vec<Drawer<K, W>>,
    extent: Extent,
}

/// What is known of all rows without going through them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Extent {
    pub(super) touches: usize,
    pub(super) has_views: bool,
    /// Of the first and the last row: the wrong way round where there is none.
    pub(super) first_us: i64,
    pub(super) last_us: i64,
}

impl Extent {
    /// Reach as far as these times do.
    pub(super) fn reach(&mut self, times: &[i64]) {
        for time in times {
            self.first_us = self.first_us.min(*time);
            self.last_us = self.last_us.max(*time);
        }
    }
}

impl Default for Extent {
    fn default() -> Self {
        Self { touches: 0, has_views: false, first_us: i64::MAX, last_us: i64::MIN }
    }
}

impl Extent {
    fn add(&mut self, step: Step) {
        self.touches += usize::from(!step.tag.is_conversion());
        self.has_views |= step.tag.is_view();
        self.first_us = self.first_us.min(step.time);
        self.last_us = self.last_us.max(step.time);
    }

    /// Bits for the times between the first and the last.
    pub(super) fn layout(&self) -> Layout {
        if self.first_us <= self.last_us {
            Layout::new(self.first_us, self.last_us)
        } else {
            Layout::default()
        }
    }

    fn join(self, other: Self) -> Self {
        Self {
            touches: self.touches + other.touches,
            has_views: self.has_views | other.has_views,
            first_us: self.first_us.min(other.first_us),
            last_us: self.last_us.max(other.last_us),
        }
    }
}

/// Rows in the order they were filed.
#[derive(Clone, Debug)]
struct Drawer<K, W> {
    /// All but the last are full.
    blocks: Vec<Vec<Row<K, W>>>,
    /// Which conversions lie here: in a row's tag stands the place in this list.
    conversions: Vec<u32>,
}

/// A row that does not fit the layout.
#[derive(Debug)]
pub(crate) struct Unfit;

impl<K: Key, W: Word> Filing<K, W> {
    pub(super) fn new(bits: u32, layout: Layout) -> Self {
        let count = 1 << bits;
        Self {
            slot: Slot::new(0, bits),
            layout,
            staged: vec![[Row::default(); STAGED_ROWS]; count],
            counts: vec![0; count],
            drawers: vec![Drawer::new(); count],
            extent: Extent::default(),
        }
    }

    /// File one row of a person known by a mixed key.
    pub(super) fn push(&mut self, key: K, mut step: Step) -> Result<(), Unfit> {
        let at = self.slot.of(key);
        if step.tag.is_conversion() {
            let conversions = &mut self.drawers[at].conversions;
            let place = narrow(conversions.len());
            conversions.push(step.tag.payload());
            step.tag = Tag::new(true, place);
        }
        let word = W::pack(step, self.layout).ok_or(Unfit)?;
        let count = usize::from(self.counts[at]) % STAGED_ROWS;
        self.staged[at][count] = Row { key, word };
        self.counts[at] = self.counts[at].wrapping_add(1);
        if count == STAGED_ROWS - 1 {
            self.drawers[at].put(&self.staged[at]);
            self.counts[at] = 0;
        }
        Ok(())
    }

    /// Note what is known of rows that were or will be filed.
    pub(super) fn extend(&mut self, extent: Extent) {
        self.extent = self.extent.join(extent);
    }

    /// Move what is still staged.
    fn finish(&mut self) {
        let staged = self.staged.iter().zip(&self.counts);
        for (drawer, (rows, count)) in self.drawers.iter_mut().zip(staged) {
            drawer.put(&rows[..usize::from(*count)]);
        }
    }
}

impl Filing<u64, Wide> {
    /// For so many rows, read by one thread.
    pub(crate) fn for_rows(rows: usize) -> Self {
        Self::new(drawer_bits(rows), Layout::default())
    }

    pub(crate) fn file(&mut self, key: u64, step: Step) {
        self.extent.add(step);
        let filed = self.push(key.mixed(), step);
        debug_assert!(filed.is_ok(), "a wide word has room for any step");
    }

    pub(crate) fn filed(self) -> Filed<u64, Wide> {
        let mut filed = Filed::new(self.slot.mask.count_ones(), self.layout);
        let added = filed.add(self, 0, Vec::new());
        debug_assert!(added.is_ok(), "a wide word has room for any step");
        filed
    }
}

impl<K: Key, W: Word> Drawer<K, W> {
    fn new() -> Self {
        Self { blocks: Vec::new(), conversions: Vec::new() }
    }

    fn len(&self) -> usize {
        self.blocks.iter().map(Vec::len).sum()
    }

    /// Add a few rows: as many as are staged, or the last.
    fn put(&mut self, rows: &[Row<K, W>]) {
        match self.blocks.last_mut() {
            Some(block) if block.len() < BLOCK_ROWS => block.extend_from_slice(rows),
            _ => self.open(rows),
        }
    }

    #[cold]
    fn open(&mut self, rows: &[Row<K, W>]) {
        let mut block = Vec::with_capacity(BLOCK_ROWS);
        block.extend_from_slice(rows);
        self.blocks.push(block);
    }

    fn each(&self, mut take: impl FnMut(Row<K, W>)) {
        for block in &self.blocks {
            for row in block {
                take(*row);
            }
        }
    }
}

/// What one thread filed, and how its numbers become those of all.
#[derive(Debug)]
struct Part<K, W> {
    drawers: Vec<Drawer<K, W>>,
    /// By drawer: how many conversions the parts before have there.
    conversions_before: Vec<u32>,
    /// Number of each of its channels among all.
    channels: Vec<u32>,
    /// Whether its numbers are those of all.
    is_first: bool,
}

/// The rows of all threads, in the order of the input within each drawer.
#[derive(Debug)]
pub(crate) struct Filed<K, W> {
    bits: u32,
    layout: Layout,
    parts: Vec<Part<K, W>>,
    /// By drawer: the conversions that lie there.
    conversions: Vec<Vec<u32>>,
    extent: Extent,
}

/// Whose rows are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Who {
    /// Everybody's.
    All,
    /// At least everybody's who converted.
    Converting,
}

impl<K: Key, W: Word> Filed<K, W> {
    pub(super) fn new(bits: u32, layout: Layout) -> Self {
        let conversions = vec![Vec::new(); 1 << bits];
        Self { bits, layout, parts: Vec::new(), conversions, extent: Extent::default() }
    }

    /// Note what is known of the rows.
    pub(super) fn extend(&mut self, extent: Extent) {
        self.extent = self.extent.join(extent);
    }

    /// Add what the next thread filed. Its conversions are numbered from `first_conversion` on,
    /// its channels as `channels` says.
    pub(super) fn add(
        &mut self,
        mut filing: Filing<K, W>,
        first_conversion: u32,
        channels: Vec<u32>,
    ) -> Result<(), Unfit> {
        filing.finish();
        self.extent = self.extent.join(filing.extent);
        let mut conversions_before = Vec::new();
        for (all, drawer) in self.conversions.iter_mut().zip(&mut filing.drawers) {
            conversions_before.push(narrow(all.len()));
            let own = std::mem::take(&mut drawer.conversions);
            all.extend(own.into_iter().map(|index| index + first_conversion));
        }
        let is_first = self.parts.is_empty();
        let Filing { drawers, .. } = filing;
        let conversions = self.conversions.iter().map(Vec::len).max().map(narrow);
        let channel = channels.iter().max().copied();
        self.parts.push(Part { drawers, conversions_before, channels, is_first });
        // What was packed with the numbers of one thread must have room for those of all.
        let tags = [conversions.map(|count| Tag::new(true, count)), channel.map(Tag::touch)];
        let fits = |tag: Tag| W::pack(self.layout.first(tag), self.layout).is_some();
        if tags.into_iter().flatten().all(fits) { Ok(()) } else { Err(Unfit) }
    }

    /// Call `take` with each person of a drawer.
    fn people(
        &self,
        drawer: usize,
        table: &mut Table<K, W>,
        walk: &mut Walk<'_>,
        take: &mut dyn FnMut(Person<'_>),
    ) {
        let conversions = &self.conversions[drawer];
        let step = |row: &Row<K, W>| {
            let mut step = row.word.step(self.layout);
            if step.tag.is_conversion() {
                step.tag = Tag::new(true, conversions[step.tag.payload() as usize]);
            }
            step
        };
        let mut start = 0;
        for end in table.ends.iter().filter_map(|end| end.wanted()) {
            let run = &mut table.rows[start..end];
            start = end;
            sort(run, self.layout);
            for person in run.chunk_by(|a, b| a.key == b.key) {
                take(walk.person(person.iter().map(step)));
            }
        }
    }

    /// Move the rows of a drawer into runs of few people.
    fn sort_into_runs(&self, drawer: usize, who: Who, table: &mut Table<K, W>) {
        let count: usize = self.parts.iter().map(|part| part.drawers[drawer].len()).sum();
        let bits = (count / RUN_ROWS).max(1).next_power_of_two().ilog2();
        let slot = Slot::new(self.bits, bits);
        table.ends.clear();
        table.ends.resize(1 << bits, Run::new(who == Who::All));
        for part in &self.parts {
            part.drawers[drawer].each(|row| {
                table.ends[slot.of(row.key)].count(row.word.is_conversion(self.layout));
            });
        }
        let mut total = 0;
        for run in &mut table.ends {
            total = run.start_at(total);
        }
        table.rows.clear();
        table.rows.resize(total as usize, Row::default());
        for part in &self.parts {
            part.drawers[drawer].each(|row| {
                if let Some(at) = table.ends[slot.of(row.key)].next() {
                    table.rows[at] = self.renumbered(part, drawer, row);
                }
            });
        }
    }

    /// The row with its conversion or channel numbered as among all parts.
    fn renumbered(&self, part: &Part<K, W>, drawer: usize, row: Row<K, W>) -> Row<K, W> {
        if part.is_first {
            return row;
        }
        let mut step = row.word.step(self.layout);
        step.tag = if step.tag.is_conversion() {
            Tag::new(true, step.tag.payload() + part.conversions_before[drawer])
        } else {
            step.tag.with_channel(|channel| part.channels[channel as usize])
        };
        // The numbers of all parts were found to fit when the parts were put together.
        Row { key: row.key, word: W::pack(step, self.layout).unwrap_or(row.word) }
    }
}

impl<K: Key, W: Word> People for Filed<K, W> {
    fn drawer_count(&self) -> usize {
        self.conversions.len()
    }

    fn extent(&self) -> Extent {
        self.extent
    }

    fn each(
        &self,
        who: Who,
        next: &mut dyn FnMut() -> Option<usize>,
        walk: &mut Walk<'_>,
        take: &mut dyn FnMut(Person<'_>),
    ) {
        let mut table = Table { ends: Vec::new(), rows: Vec::new() };
        while let Some(drawer) = next() {
            self.sort_into_runs(drawer, who, &mut table);
            self.people(drawer, &mut table, walk, take);
        }
    }
}

/// Where the rows of one drawer are put in order; keeps its memory between drawers.
struct Table<K, W> {
    ends: Vec<Run>,
    rows: Vec<Row<K, W>>,
}

/// First the number of rows of a run, then where the next one goes; the top bit says whether the
/// run is wanted.
#[derive(Clone, Copy)]
struct Run(u32);

impl Run {
    const WANTED: u32 = 1 << 31;

    fn new(is_wanted: bool) -> Self {
        Self(if is_wanted { Self::WANTED } else { 0 })
    }

    fn count(&mut self, is_wanted: bool) {
        self.0 = (self.0 + 1) | u32::from(is_wanted) << 31;
    }

    /// Becomes the place `start`; returns that of the next run.
    fn start_at(&mut self, start: u32) -> u32 {
        if self.0 & Self::WANTED == 0 {
            return start;
        }
        let count = self.0 & !Self::WANTED;
        self.0 = start | Self::WANTED;
        start + count
    }

    /// The place of the next row; none in a run that is not wanted.
    fn next(&mut self) -> Option<usize> {
        let place = self.wanted()?;
        self.0 += 1;
        Some(place)
    }

    fn wanted(self) -> Option<usize> {
        (self.0 & Self::WANTED != 0).then_some((self.0 & !Self::WANTED) as usize)
    }
}

/// By person, then by time, touches before conversions; rows alike in all keep their order.
fn sort<K: Key, W: Word>(run: &mut [Row<K, W>], layout: Layout) {
    let order = |row: &Row<K, W>| (row.key, row.word.order(layout));
    if run.len() > SHORT_ROWS {
        run.sort_by_key(order);
        return;
    }
    for index in 1..run.len() {
        let row = run[index];
        let place = order(&row);
        let mut at = index;
        while at > 0 && order(&run[at - 1]) > place {
            run[at] = run[at - 1];
            at -= 1;
        }
        run[at] = row;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::super::{Lens, Policy, Settings};
    use super::*;
    use crate::journey::row::Narrow;

    /// Times and channels of each person's touches, in order; people are told by their channel.
    type Rows = BTreeMap<u32, Vec<(i64, u32)>>;

    /// Rows of `(person, time)` whose channel is the person.
    fn filed<W: Word>(rows: &[(u64, i64)], shift: u32) -> Filed<u64, W> {
        let times = || rows.iter().map(|(_, time)| *time);
        let layout = times()
            .min()
            .zip(times().max())
            .map_or_else(Layout::default, |(a, b)| Layout::new(a, b));
        let bits = drawer_bits(rows.len());
        let mut all = Filed::new(bits, layout);
        let mut filing = Filing::new(bits, layout);
        for (person, time) in rows {
            let tag = Tag::touch(u32::try_from(*person).unwrap());
            filing.push((person << shift).mixed(), Step { time: *time, row: 0, tag }).unwrap();
        }
        all.add(filing, 0, Vec::new()).unwrap();
        all
    }

    /// Call `take` with each person of all drawers.
    fn walked<W: Word>(rows: &Filed<u64, W>, who: Who, take: &mut dyn FnMut(Person<'_>)) {
        let mut walk = Walk::new(&[], &Lens::new(Settings::default(), false), Policy::Partition);
        let mut drawers = 0..rows.drawer_count();
        rows.each(who, &mut || drawers.next(), &mut walk, take);
    }

    fn found<W: Word>(rows: &Filed<u64, W>) -> Rows {
        let mut people = Rows::new();
        walked(rows, Who::All, &mut |person| {
            let own: Vec<_> =
                person.touches.iter().map(|t| (t.time(), t.channel().unwrap())).collect();
            assert!(own.iter().all(|(_, who)| *who == own[0].1), "two people are one");
            assert!(people.insert(own[0].1, own).is_none(), "a person comes twice");
        });
        people
    }

    fn expected(rows: &[(u64, i64)]) -> Rows {
        let mut people = Rows::new();
        for (person, time) in rows {
            let who = u32::try_from(*person).unwrap();
            people.entry(who).or_default().push((*time, who));
        }
        for rows in people.values_mut() {
            rows.sort_unstable();
        }
        people
    }

    proptest! {
        #[test]
        fn every_person_has_its_rows_in_order(
            rows in prop::collection::vec((0..9_u64, -3..3_i64), 0..60), shift in 0..60_u32,
        ) {
            prop_assert_eq!(found(&filed::<Narrow>(&rows, shift)), expected(&rows));
            prop_assert_eq!(found(&filed::<Wide>(&rows, shift)), expected(&rows));
        }
    }

    /// A conversion, or a touch of a channel.
    type Deed = (u64, i64, Option<u32>);

    /// By person, in any order: times and channels of touches; number, time and touches of each
    /// conversion.
    type Story = (Vec<(i64, Option<u32>)>, Vec<(u32, i64, u32, u32)>);

    /// What so many threads file, each with numbers of its own for channels and conversions.
    fn filed_by<W: Word>(deeds: &[Deed], threads: usize) -> Filed<u64, W> {
        let times = || deeds.iter().map(|(_, time, _)| *time);
        let layout = Layout::new(times().min().unwrap(), times().max().unwrap());
        let mut all = Filed::new(2, layout);
        let mut first_conversion = 0;
        for part in deeds.chunks(deeds.len().div_ceil(threads)) {
            let mut filing = Filing::new(2, layout);
            let (mut channels, mut conversions) = (Vec::new(), 0);
            for (person, time, channel) in part {
                let tag = match channel {
                    None => {
                        conversions += 1;
                        Tag::new(true, conversions - 1)
                    }
                    Some(channel) => {
                        let known = channels.iter().position(|known| known == channel);
                        Tag::touch(narrow(known.unwrap_or_else(|| {
                            channels.push(*channel);
                            channels.len() - 1
                        })))
                    }
                };
                filing.push(person.mixed(), Step { time: *time, row: 0, tag }).unwrap();
            }
            all.add(filing, first_conversion, channels).unwrap();
            first_conversion += conversions;
        }
        all
    }

    fn stories<W: Word>(rows: &Filed<u64, W>, who: Who) -> Vec<Story> {
        let mut stories = Vec::new();
        walked(rows, who, &mut |person| {
            let touches = person.touches.iter().map(|t| (t.time(), t.channel()));
            let spans = person.spans.iter().map(|s| (s.index, s.time, s.start, s.stop));
            stories.push((touches.collect(), spans.collect()));
        });
        stories.sort_unstable();
        stories
    }

    proptest! {
        #[test]
        fn threads_file_what_one_would(
            deeds in prop::collection::vec(
                (0..6_u64, -3..3_i64, prop::option::of(0..5_u32)), 1..80,
            ),
            threads in 2..5_usize,
        ) {
            // Numbers of channels are given in order of appearance.
            let mut order = Vec::new();
            for channel in deeds.iter().filter_map(|(.., channel)| *channel) {
                if !order.contains(&channel) {
                    order.push(channel);
                }
            }
            let number = |channel: u32| narrow(order.iter().position(|c| *c == channel).unwrap());
            let deeds: Vec<Deed> = deeds
                .into_iter()
                .map(|(person, time, channel)| (person, time, channel.map(number)))
                .collect();
            let (wide, narrow) =
                (filed_by::<Wide>(&deeds, threads), filed_by::<Narrow>(&deeds, threads));
            let alone = stories(&filed_by::<Wide>(&deeds, 1), Who::All);
            prop_assert_eq!(&stories(&wide, Who::All), &alone);
            prop_assert_eq!(&stories(&narrow, Who::All), &alone);
            let converted = |stories: Vec<Story>| -> Vec<Story> {
                stories.into_iter().filter(|(_, spans)| !spans.is_empty()).collect()
            };
            let alone = converted(alone);
            prop_assert_eq!(&converted(stories(&wide, Who::Converting)), &alone);
            prop_assert_eq!(&converted(stories(&narrow, Who::Converting)), &alone);
        }
    }

    #[test]
    fn what_is_filed_row_by_row_is_there_and_counted() {
        let rows = [(3, 5, false), (1, -2, true), (3, 4, false)];
        let mut filing = Filing::for_rows(rows.len());
        for (person, time, is_view) in rows {
            let mut tag = Tag::touch(u32::try_from(person).unwrap());
            tag.set_view(is_view);
            filing.file(person, Step { time, row: 0, tag });
        }
        filing.file(1, Step { time: 9, row: 0, tag: Tag::new(true, 0) });
        let mut filed = filing.filed();
        assert_eq!(found(&filed), Rows::from([(1, vec![(-2, 1)]), (3, vec![(4, 3), (5, 3)])]));
        let told =
            |extent: Extent| (extent.touches, extent.has_views, extent.first_us, extent.last_us);
        assert_eq!(told(filed.extent()), (3, true, -2, 9));
        filed.extend(Extent { touches: 4, has_views: false, first_us: -7, last_us: 8 });
        assert_eq!(told(filed.extent()), (7, true, -7, 9));
    }

    #[test]
    fn a_row_without_views_has_none() {
        let mut filing = Filing::for_rows(1);
        filing.file(1, Step { time: 0, row: 0, tag: Tag::touch(0) });
        assert!(!filing.filed().extent().has_views);
    }

    #[test]
    fn many_drawers_lose_nobody() {
        for shift in [0, 20, 44] {
            let rows: Vec<_> =
                (0..200_000_i64).map(|row| (row.unsigned_abs() % 30_011, -(row % 7))).collect();
            assert!(drawer_bits(rows.len()) > 1);
            assert_eq!(found(&filed::<Narrow>(&rows, shift)), expected(&rows));
        }
    }
}

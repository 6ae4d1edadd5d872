//! A system of equations solved in place: what the effects of order 1 need of an inverse.

use std::ops::Range;
use std::thread;

use crate::column::TableError;
use crate::journey::Effort;

/// `A` and a right side `r`, row by row.
#[derive(Debug)]
pub(super) struct System {
    size: usize,
    /// Cells of a row: those of `A` up to a whole number of tiles, and a tile for `r`.
    stride: usize,
    cells: Vec<f64>,
}

impl System {
    /// Of so many unknowns, with nothing on the right side and nothing else on the left but zeros.
    pub(super) fn zero(size: usize) -> Self {
        let padded = size.next_multiple_of(TILE);
        let stride = padded + TILE;
        let mut cells = vec![0.0; padded * stride];
        // Rows that only fill up are solved already.
        for row in size..padded {
            cells[row * stride + row] = 1.0;
        }
        Self { size, stride, cells }
    }

    /// A row of `A`.
    pub(super) fn row_mut(&mut self, row: usize) -> &mut [f64] {
        &mut self.cells[row * self.stride..][..self.size]
    }

    pub(super) fn right_mut(&mut self, row: usize) -> &mut f64 {
        let right = self.stride - TILE;
        &mut self.cells[row * self.stride + right]
    }

    /// Eliminate as Gauss and Jordan do, without exchanging rows: those of what a chain of paths
    /// leaves, `I − Q`, are dominated by their diagonals, which keeps every pivot away from zero.
    ///
    /// Of the inverse only its first row and its diagonal are wanted. What they do not need is
    /// left out, a third of the work: cells that lie above a pivot's row and left of its column.
    /// Pivots are taken a panel at a time, so that a row is read once per panel, and rows are
    /// shared among threads; what is computed for a row does not depend on who does it.
    pub(super) fn solve(mut self, effort: Effort<'_>) -> Result<Solution, TableError> {
        let padded = self.cells.len() / self.stride;
        for first in (0..padded).step_by(PANEL) {
            effort.go_on()?;
            self.eliminate(first..(first + PANEL).min(padded), effort.threads);
        }
        let Self { size, stride, cells } = self;
        let row = |row: usize| &cells[row * stride..(row + 1) * stride];
        Ok(Solution {
            unknowns: (0..size).map(|at| row(at)[stride - TILE]).collect(),
            first_row: row(0)[..size].to_vec(),
            diagonal: (0..size).map(|at| row(at)[at]).collect(),
        })
    }

    fn eliminate(&mut self, pivots: Range<usize>, threads: usize) {
        let stride = self.stride;
        let (above, rest) = self.cells.split_at_mut(pivots.start * stride);
        let (own, below) = rest.split_at_mut(pivots.len() * stride);
        solve_panel(own, stride, &pivots);
        let panel = Panel::new(own, stride, pivots);
        let end = panel.pivots.end;
        let tiles = |first: usize, is_above, cells| {
            let tile = move |(at, cells)| Rows { first: first + at * TILE, is_above, cells };
            <[f64]>::chunks_exact_mut(cells, TILE * stride).enumerate().map(tile)
        };
        let threads = if self.size < LARGE { 1 } else { threads };
        let mut parts: Vec<Vec<Rows<'_>>> = (0..threads).map(|_| Vec::new()).collect();
        let all = tiles(0, true, above).chain(tiles(end, false, below));
        for (index, rows) in all.enumerate() {
            parts[index % threads].push(rows);
        }
        thread::scope(|scope| {
            let first = parts.pop().unwrap_or_default();
            for part in parts {
                scope.spawn(|| panel.leave(part));
            }
            panel.leave(first);
        });
    }
}

/// What came out.
#[derive(Debug)]
pub(super) struct Solution {
    /// `A⁻¹ r`.
    pub(super) unknowns: Vec<f64>,
    /// Of `A⁻¹`.
    pub(super) first_row: Vec<f64>,
    /// Of `A⁻¹`.
    pub(super) diagonal: Vec<f64>,
}

/// Rows and columns taken at once: as many sums as there are registers for on any machine.
const TILE: usize = 4;
/// Pivots taken at once: a whole number of tiles, whose rows stay in the second-level cache.
const PANEL: usize = 12 * TILE;
/// Unknowns from which a second thread pays.
const LARGE: usize = 256;

/// As many columns of the pivots' rows.
type Strip = [[f64; TILE]; PANEL];

/// The rows of some pivots, solved among themselves.
struct Panel {
    pivots: Range<usize>,
    stride: usize,
    /// By tile of columns.
    strips: Vec<Strip>,
}

/// Neighbours, none of which is a pivot's.
struct Rows<'a> {
    first: usize,
    is_above: bool,
    cells: &'a mut [f64],
}

impl Panel {
    fn new(rows: &[f64], stride: usize, pivots: Range<usize>) -> Self {
        let mut strips = vec![[[0.0; TILE]; PANEL]; stride / TILE];
        for (index, row) in rows.chunks_exact(stride).enumerate() {
            for (strip, cells) in strips.iter_mut().zip(row.chunks_exact(TILE)) {
                strip[index].copy_from_slice(cells);
            }
        }
        Self { pivots, stride, strips }
    }

    /// Make rows independent of the pivots.
    fn leave(&self, all: Vec<Rows<'_>>) {
        for Rows { first, is_above, cells } in all {
            let mut factors = [[0.0; TILE]; PANEL];
            for (lane, row) in cells.chunks_exact_mut(self.stride).enumerate() {
                for (factors, cell) in factors.iter_mut().zip(&mut row[self.pivots.clone()]) {
                    factors[lane] = std::mem::take(cell);
                }
            }
            if factors.iter().flatten().all(|factor| *factor == 0.0) {
                continue;
            }
            let all = 0..self.strips.len();
            if is_above && first > 0 {
                self.subtract(cells, first / TILE, &factors);
                (self.pivots.start / TILE..all.end)
                    .for_each(|at| self.subtract(cells, at, &factors));
            } else {
                all.for_each(|at| self.subtract(cells, at, &factors));
            }
        }
    }

    /// Take the pivots' rows, as often as the factors say, off a tile.
    fn subtract(&self, cells: &mut [f64], column: usize, factors: &[[f64; TILE]; PANEL]) {
        let mut sums = [[0.0; TILE]; TILE];
        for (factors, above) in factors.iter().zip(&self.strips[column]) {
            for (sums, factor) in sums.iter_mut().zip(factors) {
                for (sum, above) in sums.iter_mut().zip(above) {
                    *sum += factor * above;
                }
            }
        }
        for (row, sums) in cells.chunks_exact_mut(self.stride).zip(&sums) {
            for (cell, sum) in row[column * TILE..][..TILE].iter_mut().zip(sums) {
                *cell -= sum;
            }
        }
    }
}

/// Gauss and Jordan among the rows of a panel: their square becomes its inverse.
fn solve_panel(rows: &mut [f64], stride: usize, pivots: &Range<usize>) {
    let mut pivot_row = vec![0.0; stride];
    for (index, pivot) in pivots.clone().enumerate() {
        let row = &mut rows[index * stride..(index + 1) * stride];
        let scale = 1.0 / row[pivot];
        row[pivot] = 1.0;
        for cell in row.iter_mut() {
            *cell *= scale;
        }
        pivot_row.copy_from_slice(row);
        for (other, row) in rows.chunks_exact_mut(stride).enumerate() {
            if other != index {
                let factor = std::mem::take(&mut row[pivot]);
                for (cell, above) in row.iter_mut().zip(&pivot_row) {
                    *cell -= factor * above;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use super::*;

    #[test]
    fn what_comes_out_solves_what_went_in() {
        [1, 3, 4, 47, 48, 49, 300].into_iter().for_each(solution_of);
    }

    fn solution_of(size: usize) {
        let off = |row: usize, column: usize| {
            -(((row * 31 + column * 17) % 10) as f64) / (10 * size) as f64
        };
        let cell =
            |row: usize, column: usize| off(row, column) + f64::from(u8::from(row == column));
        let right = |row: usize| ((row * 7) % 5) as f64;
        let solved = |threads| {
            let mut system = System::zero(size);
            for row in 0..size {
                for (column, own) in system.row_mut(row).iter_mut().enumerate() {
                    *own = cell(row, column);
                }
                *system.right_mut(row) = right(row);
            }
            let stop = AtomicBool::new(false);
            system.solve(Effort { threads, ..Effort::alone(&stop) }).unwrap()
        };
        let (one, two) = (solved(1), solved(2));
        assert_eq!((&one.unknowns, &one.diagonal), (&two.unknowns, &two.diagonal));
        let is = |found: f64, expected: f64| assert!((found - expected).abs() < 1e-12, "{size}");
        for row in 0..size {
            is((0..size).map(|k| cell(row, k) * one.unknowns[k]).sum(), right(row));
            // The first row of the inverse times A is the first row of 1.
            let product: f64 = (0..size).map(|k| one.first_row[k] * cell(k, row)).sum();
            is(product, f64::from(u8::from(row == 0)));
        }
        let inverse = inverse(size, cell);
        for (at, own) in one.diagonal.iter().enumerate() {
            is(*own, inverse[at][at]);
        }
    }

    /// As schools teach it.
    fn inverse(size: usize, cell: impl Fn(usize, usize) -> f64) -> Vec<Vec<f64>> {
        let one = |row: usize, column: usize| f64::from(u8::from(row == column));
        let mut rows: Vec<Vec<f64>> = (0..size)
            .map(|row| {
                let left = (0..size).map(|column| cell(row, column));
                left.chain((0..size).map(|column| one(row, column))).collect()
            })
            .collect();
        for pivot in 0..size {
            let scale = rows[pivot][pivot];
            rows[pivot].iter_mut().for_each(|cell| *cell /= scale);
            let own = rows[pivot].clone();
            for (_, row) in rows.iter_mut().enumerate().filter(|(at, _)| *at != pivot) {
                let factor = row[pivot];
                row.iter_mut().zip(&own).for_each(|(cell, own)| *cell -= factor * own);
            }
        }
        rows.into_iter().map(|row| row[size..].to_vec()).collect()
    }
}

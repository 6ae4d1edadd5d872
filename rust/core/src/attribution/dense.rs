//! A square matrix and its inverse.

use std::ops::Range;
use std::thread;

use crate::column::TableError;
use crate::journey::Effort;

/// Cells row by row.
#[derive(Clone, Debug)]
pub(super) struct Matrix {
    size: usize,
    cells: Vec<f64>,
}

impl Matrix {
    pub(super) fn zero(size: usize) -> Self {
        Self { size, cells: vec![0.0; size * size] }
    }

    pub(super) fn at(&mut self, row: usize, column: usize) -> &mut f64 {
        &mut self.cells[row * self.size + column]
    }

    pub(super) fn row(&self, row: usize) -> &[f64] {
        &self.cells[row * self.size..(row + 1) * self.size]
    }

    pub(super) fn row_mut(&mut self, row: usize) -> &mut [f64] {
        &mut self.cells[row * self.size..(row + 1) * self.size]
    }

    /// Replace it by its inverse, by Gauss and Jordan without exchanging rows: the rows of what a
    /// chain of paths leaves, `I − Q`, are dominated by their diagonals, which keeps every pivot
    /// away from zero.
    ///
    /// Pivots are taken a panel at a time, so that a row is read once per panel, and rows are
    /// shared among threads; what is computed for a row does not depend on who does it.
    pub(super) fn invert(&mut self, effort: Effort<'_>) -> Result<(), TableError> {
        for first in (0..self.size).step_by(PANEL) {
            effort.go_on()?;
            self.eliminate(first..(first + PANEL).min(self.size), effort.threads);
        }
        Ok(())
    }

    fn eliminate(&mut self, panel: Range<usize>, threads: usize) {
        let size = self.size;
        let (above, rest) = self.cells.split_at_mut(panel.start * size);
        let (own, below) = rest.split_at_mut(panel.len() * size);
        solve_panel(own, size, &panel);
        let own = &*own;
        let rows = above.chunks_exact_mut(size).chain(below.chunks_exact_mut(size));
        let threads = if size < LARGE { 1 } else { threads };
        let mut parts: Vec<Vec<&mut [f64]>> = (0..threads).map(|_| Vec::new()).collect();
        for (index, row) in rows.enumerate() {
            parts[index % threads].push(row);
        }
        let update = |rows: Vec<&mut [f64]>| {
            for row in rows {
                subtract_panel(row, own, &panel);
            }
        };
        thread::scope(|scope| {
            let first = parts.pop().unwrap_or_default();
            for part in parts {
                scope.spawn(move || update(part));
            }
            update(first);
        });
    }
}

/// Pivots taken at once: their rows stay in the second-level cache.
const PANEL: usize = 32;
/// Rows of a panel subtracted in one go over a row.
const LANES: usize = 4;
/// Rows from which a second thread pays.
const LARGE: usize = 256;

/// Gauss and Jordan among the rows of a panel: their square becomes its inverse.
fn solve_panel(rows: &mut [f64], size: usize, panel: &Range<usize>) {
    let mut pivot_row = vec![0.0; size];
    for (index, pivot) in panel.clone().enumerate() {
        let row = &mut rows[index * size..(index + 1) * size];
        let scale = 1.0 / row[pivot];
        row[pivot] = 1.0;
        for cell in row.iter_mut() {
            *cell *= scale;
        }
        pivot_row.copy_from_slice(row);
        for (other, row) in rows.chunks_exact_mut(size).enumerate() {
            if other != index {
                let factor = std::mem::replace(&mut row[pivot], 0.0);
                for (cell, above) in row.iter_mut().zip(&pivot_row) {
                    *cell -= factor * above;
                }
            }
        }
    }
}

/// Take the rows of a solved panel off another row, so that it no longer depends on their pivots.
fn subtract_panel(row: &mut [f64], rows: &[f64], panel: &Range<usize>) {
    let size = row.len();
    let mut factors = [0.0; PANEL];
    for (factor, pivot) in factors.iter_mut().zip(panel.clone()) {
        *factor = std::mem::replace(&mut row[pivot], 0.0);
    }
    if factors.iter().all(|factor| *factor == 0.0) {
        return;
    }
    let lanes = LANES * size;
    let whole = panel.len() / LANES;
    for (factors, rows) in factors.chunks_exact(LANES).zip(rows.chunks_exact(lanes)).take(whole) {
        let (first, others) = rows.split_at(size);
        let (second, others) = others.split_at(size);
        let (third, fourth) = others.split_at(size);
        let four = first.iter().zip(second).zip(third.iter().zip(fourth));
        for (cell, ((a, b), (c, d))) in row.iter_mut().zip(four) {
            *cell -= factors[0] * a + factors[1] * b + (factors[2] * c + factors[3] * d);
        }
    }
    for index in whole * LANES..panel.len() {
        for (cell, other) in row.iter_mut().zip(&rows[index * size..(index + 1) * size]) {
            *cell -= factors[index] * other;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use super::*;

    #[test]
    fn a_matrix_times_its_inverse_is_one() {
        [1, 3, 31, 32, 33, 300].into_iter().for_each(inverse_of);
    }

    fn inverse_of(size: usize) {
        let mut matrix = Matrix::zero(size);
        for row in 0..size {
            for column in 0..size {
                *matrix.at(row, column) =
                    -(((row * 31 + column * 17) % 10) as f64) / (10 * size) as f64;
            }
            *matrix.at(row, row) += 1.0;
        }
        let mut inverse = matrix.clone();
        let stop = AtomicBool::new(false);
        inverse.invert(Effort { threads: 2, ..Effort::alone(&stop) }).unwrap();
        let mut alone = matrix.clone();
        alone.invert(Effort::alone(&stop)).unwrap();
        assert_eq!(alone.cells, inverse.cells);
        for row in 0..size {
            for column in 0..size {
                let product: f64 =
                    (0..size).map(|k| matrix.row(row)[k] * inverse.row(k)[column]).sum();
                let expected = f64::from(u8::from(row == column));
                assert!((product - expected).abs() < 1e-12, "{row} {column}: {product}");
            }
        }
    }
}

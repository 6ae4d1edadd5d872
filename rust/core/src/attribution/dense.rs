//! A square matrix and its inverse.

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
    pub(super) fn invert(&mut self, effort: Effort<'_>) -> Result<(), TableError> {
        let size = self.size;
        let mut pivot_row = vec![0.0; size];
        for pivot in 0..size {
            effort.go_on()?;
            let row = self.row_mut(pivot);
            let scale = 1.0 / row[pivot];
            row[pivot] = 1.0;
            for cell in row.iter_mut() {
                *cell *= scale;
            }
            pivot_row.copy_from_slice(row);
            for (index, row) in self.cells.chunks_exact_mut(size).enumerate() {
                let factor = row[pivot];
                if index == pivot || factor == 0.0 {
                    continue;
                }
                row[pivot] = 0.0;
                for (cell, above) in row.iter_mut().zip(&pivot_row) {
                    *cell -= factor * above;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use super::*;

    #[test]
    fn a_matrix_times_its_inverse_is_one() {
        let size = 30;
        let mut matrix = Matrix::zero(size);
        for row in 0..size {
            for column in 0..size {
                *matrix.at(row, column) = -(((row * 31 + column * 17) % 10) as f64) / 300.0;
            }
            *matrix.at(row, row) += 1.0;
        }
        let mut inverse = matrix.clone();
        let stop = AtomicBool::new(false);
        inverse.invert(Effort::alone(&stop)).unwrap();
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

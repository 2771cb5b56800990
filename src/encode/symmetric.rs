//! Symmetric matrices of [`DIMENSIONS`] rows: what whitening and contrast are made of.

use super::static_vectors::DIMENSIONS;

/// A matrix, row by row.
pub(super) type Matrix = Vec<[f64; DIMENSIONS]>;

/// The inverse of a positive definite matrix, both as the lower triangle, row by row.
#[expect(clippy::cast_possible_truncation, reason = "kept in single precision")]
pub(crate) fn inverse_of_positive(triangle: &[f32]) -> Vec<f32> {
    let mut matrix = vec![[0.0; DIMENSIONS]; DIMENSIONS];
    let mut values = triangle.iter().map(|value| f64::from(*value));
    for (row, entries) in matrix.iter_mut().enumerate() {
        entries[..=row].iter_mut().zip(values.by_ref()).for_each(|(entry, value)| *entry = value);
    }
    let inverse = inverse_of_lower(&cholesky(&matrix));
    let mut product: Matrix = vec![[0.0; DIMENSIONS]; DIMENSIONS];
    for factor in &inverse {
        for (row, entries) in product.iter_mut().enumerate() {
            entries[..=row].iter_mut().zip(factor).for_each(|(entry, value)| *entry += factor[row] * value);
        }
    }
    product.iter().enumerate().flat_map(|(row, entries)| &entries[..=row]).map(|value| *value as f32).collect()
}

/// The lower Cholesky factor of a positive definite matrix, of which the lower triangle is read.
pub(super) fn cholesky(matrix: &Matrix) -> Matrix {
    let mut lower = vec![[0.0; DIMENSIONS]; DIMENSIONS];
    for row in 0..DIMENSIONS {
        for column in 0..=row {
            let known: f64 = (0..column).map(|place| lower[row][place] * lower[column][place]).sum();
            let rest = matrix[row][column] - known;
            lower[row][column] = if row == column { rest.sqrt() } else { rest / lower[column][column] };
        }
    }
    lower
}

/// The inverse of a lower triangle.
pub(super) fn inverse_of_lower(lower: &Matrix) -> Matrix {
    let mut inverse = vec![[0.0; DIMENSIONS]; DIMENSIONS];
    for column in 0..DIMENSIONS {
        inverse[column][column] = 1.0 / lower[column][column];
        for row in column + 1..DIMENSIONS {
            let sum: f64 = (column..row).map(|place| lower[row][place] * inverse[place][column]).sum();
            inverse[row][column] = -sum / lower[row][row];
        }
    }
    inverse
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_matrix_times_its_inverse_is_one() {
        // Diagonally dominant, so positive definite.
        let entry = |row: usize, column: usize| {
            if row == column { 3.0 } else { 0.5_f32.powi(i32::try_from(row - column).unwrap()) }
        };
        let at = |triangle: &[f32], row: usize, column: usize| {
            let (row, column) = (row.max(column), row.min(column));
            f64::from(triangle[row * (row + 1) / 2 + column])
        };
        let triangle: Vec<f32> =
            (0..DIMENSIONS).flat_map(|row| (0..=row).map(move |column| entry(row, column))).collect();
        let inverse = inverse_of_positive(&triangle);
        for row in (0..DIMENSIONS).step_by(17) {
            for column in (0..DIMENSIONS).step_by(13) {
                let product: f64 =
                    (0..DIMENSIONS).map(|place| at(&triangle, row, place) * at(&inverse, place, column)).sum();
                let expected = if row == column { 1.0 } else { 0.0 };
                assert!((product - expected).abs() < 1e-5, "{row} {column}: {product}");
            }
        }
    }
}

//! Products with weights in eight bits: of each output the weights are multiples of one step, and of each row the
//! inputs, so that sums are of whole numbers. A quarter of the memory to read and of the multiplications.

#![expect(clippy::inline_always, reason = "a function that is not inlined does not take its caller's instructions")]

use super::{
    dots::{Dots, Order, Quads},
    kernel::{Rows, RowsMut, Then, blocks, pack, prefetch, share, with_tile},
    lanes::{LANES, Lanes, ROUND, gelu},
};

/// Largest absolute value of a weight.
const MOST: f32 = 127.0;
/// Steps of an input.
const STEPS: f32 = 255.0;
/// Sums of more products could overflow.
pub(super) const MAX_INPUTS: usize = 1 << 16;

/// A matrix in panels as those of `kernel::Linear`, four inputs at a time.
pub(super) struct Int8Linear {
    panels: Vec<Quads>,
    columns: Vec<Column>,
    inputs: usize,
}

/// What belongs to sixteen outputs.
struct Column {
    bias: Lanes,
    /// One step of the weights.
    step: Lanes,
    /// All weights of an output together: what an input of one step everywhere would give.
    sum: [i32; LANES],
}

impl Int8Linear {
    /// As `kernel::Linear::new`; the number of inputs is a multiple of sixteen, at most `MAX_INPUTS`.
    pub(super) fn new(weights: &[f32], bias: &[f32], (group, order): (usize, Order)) -> Self {
        let inputs = weights.len() / bias.len();
        let mut panels = vec![Quads::ZERO; weights.len() / LANES / 4];
        let mut columns: Vec<_> =
            pack(bias).into_iter().map(|bias| Column { bias, step: Lanes::ZERO, sum: [0; LANES] }).collect();
        let rows = weights.chunks(group * inputs * LANES);
        for ((panels, rows), columns) in panels.chunks_mut(group * inputs / 4).zip(rows).zip(columns.chunks_mut(group))
        {
            let width = columns.len();
            for (output, row) in rows.chunks_exact(inputs).enumerate() {
                let (column, lane) = (output / LANES, output % LANES);
                let largest = row.iter().fold(0.0_f32, |largest, weight| largest.max(weight.abs()));
                let step = if largest > 0.0 { largest / MOST } else { 1.0 };
                columns[column].step.0[lane] = step;
                for (quads, weights) in panels.chunks_exact_mut(width).zip(row.as_chunks::<4>().0) {
                    #[expect(clippy::cast_possible_truncation, reason = "from -127 to 127 by the choice of the step")]
                    let quad = weights.map(|weight| (weight / step).round() as i8);
                    quads[column].set(order, lane, quad);
                    columns[column].sum[lane] += quad.map(i32::from).iter().sum::<i32>();
                }
            }
        }
        Self { panels, columns, inputs }
    }

    fn outputs(&self) -> usize {
        self.columns.len() * LANES
    }
}

/// Rows as whole numbers, and what they are multiples of.
#[derive(Default)]
pub(super) struct Int8Rows {
    quads: Vec<[u8; 4]>,
    scales: Vec<Scale>,
}

#[derive(Clone, Copy, Default)]
struct Scale {
    step: f32,
    /// The number that stands for nothing.
    zero: i32,
}

impl Scale {
    /// The products that sums of whole numbers stand for, with the bias.
    #[inline(always)]
    fn apply(self, sums: &[i32; LANES], column: &Column) -> Lanes {
        let mut products = [0.0; LANES];
        for ((product, sum), of_one) in products.iter_mut().zip(sums).zip(&column.sum) {
            #[expect(clippy::cast_precision_loss, reason = "what is lost is far below a step of an input")]
            let number = (sum - self.zero * of_one) as f32;
            *product = number * self.step;
        }
        Lanes(products).times(column.step).plus(column.bias)
    }
}

/// As `kernel::multiply`.
#[inline(always)]
pub(super) fn multiply<D: Dots, const FUSED: bool, const ROWS: usize, const PANELS: usize>(
    linear: &Int8Linear,
    input: &[f32],
    scratch: &mut Int8Rows,
    then: Then,
    output: &mut [f32],
) {
    let outputs = linear.outputs();
    let quads = linear.inputs / 4;
    let rows = input.len() / linear.inputs;
    scratch.quads.resize(input.len() / 4, [0; 4]);
    scratch.scales.resize(rows, Scale::default());
    let quantised = scratch.quads.chunks_exact_mut(quads).zip(&mut scratch.scales);
    for (row, (numbers, scale)) in input.chunks_exact(linear.inputs).zip(quantised) {
        *scale = quantise(row, numbers.as_flattened_mut());
    }
    let mut rest = linear.panels.as_slice();
    for (group, columns) in linear.columns.chunks(PANELS).enumerate() {
        let (panels, after) = rest.split_at(quads * columns.len());
        rest = after;
        let mut ahead = after[..after.len().min(panels.len())].chunks(share(panels.len(), rows.div_ceil(ROWS)));
        for block in blocks(rows, ROWS) {
            let ahead = ahead.next().unwrap_or_default();
            let input = Rows { values: &scratch.quads[block.start * quads..], stride: quads };
            let scales = &scratch.scales[block.clone()];
            let column = group * PANELS * LANES;
            let output = &mut RowsMut { values: &mut output[block.start * outputs + column..], stride: outputs };
            let weights = Weights { panels, columns, ahead };
            with_tile!(
                block.len(),
                columns.len(),
                PANELS,
                multiply_tile::<D, FUSED>(weights, input, scales, then, output)
            );
        }
    }
}

#[derive(Clone, Copy)]
struct Weights<'a> {
    panels: &'a [Quads],
    columns: &'a [Column],
    ahead: &'a [Quads],
}

#[inline(always)]
fn multiply_tile<D: Dots, const FUSED: bool, const M: usize, const N: usize>(
    weights: Weights<'_>,
    input: Rows<'_, [u8; 4]>,
    scales: &[Scale],
    then: Then,
    output: &mut RowsMut<'_>,
) {
    let panels = weights.panels.as_chunks::<N>().0;
    // With one length for all, the loop needs no check of bounds.
    let rows: [&[[u8; 4]]; M] = std::array::from_fn(|row| &input.values[row * input.stride..][..panels.len()]);
    let mut ahead = weights.ahead.chunks(share(weights.ahead.len(), panels.len()));
    // Loops over constants are unrolled, so that sums stay in registers.
    let mut sums = [[D::zero(); N]; M];
    for (input, panels) in panels.iter().enumerate() {
        for quads in ahead.next().unwrap_or_default() {
            prefetch(quads);
        }
        for row in 0..M {
            for panel in 0..N {
                sums[row][panel] = sums[row][panel].plus(rows[row][input], &panels[panel]);
            }
        }
    }
    // Apart from what follows, which is not unrolled.
    let mut whole = [[[0; LANES]; N]; M];
    for row in 0..M {
        for panel in 0..N {
            whole[row][panel] = sums[row][panel].sums();
        }
    }
    for ((sums, scale), output) in whole.iter().zip(scales).zip(output.values.chunks_mut(output.stride)) {
        for ((sums, column), output) in sums.iter().zip(weights.columns).zip(output.as_chunks_mut().0) {
            let product = scale.apply(sums, column);
            *output = if then == Then::Add { product.plus(Lanes(*output)).0 } else { product.0 };
        }
    }
    if then == Then::Gelu {
        for row in output.values.chunks_mut(output.stride).take(M) {
            for output in &mut row[..N * LANES] {
                *output = gelu::<FUSED>(*output);
            }
        }
    }
}

/// A row as multiples of a step, from the smallest value or nothing to the largest or nothing. Not fused, so that the
/// same row gives the same numbers on every processor.
#[inline(always)]
fn quantise(row: &[f32], numbers: &mut [u8]) -> Scale {
    let mut low = Lanes::ZERO;
    let mut high = Lanes::ZERO;
    for values in row.as_chunks().0 {
        low = low.zip(Lanes(*values), |a, b| if b < a { b } else { a });
        high = high.zip(Lanes(*values), |a, b| if b > a { b } else { a });
    }
    let low = -low.map(|value| -value).max();
    let step = (high.max() - low) / STEPS;
    let inverse = if step.is_normal() { 1.0 / step } else { 0.0 };
    let zero = (-low * inverse + ROUND) - ROUND;
    for (value, number) in row.iter().zip(numbers) {
        let steps = value * inverse + zero;
        let steps = if steps > STEPS { STEPS } else { steps };
        let steps = if steps > 0.0 { steps } else { 0.0 };
        #[expect(clippy::cast_possible_truncation, reason = "the lowest bits are the number")]
        let lowest = (steps + ROUND).to_bits() as u8;
        *number = lowest;
    }
    #[expect(clippy::cast_possible_truncation, reason = "a whole number from 0 to 255")]
    let zero = zero as i32;
    Scale { step, zero }
}

#[cfg(test)]
mod tests {
    use super::{super::cpu::Cpu, *};

    fn numbers(count: usize) -> Vec<f32> {
        (0..count).map(|n| f32::from(u16::try_from(n * 7_919 % 2_003).unwrap()) / 1_000.0 - 1.0).collect()
    }

    fn multiply(cpu: Cpu, weights: &[f32], bias: &[f32], input: &[f32]) -> Vec<f32> {
        let linear = Int8Linear::new(weights, bias, cpu.int8_packing());
        let mut output = vec![7.0; input.len() / (weights.len() / bias.len()) * bias.len()];
        cpu.multiply_int8(&linear, input, &mut Int8Rows::default(), Then::Store, &mut output);
        let mut added = vec![2.0; output.len()];
        cpu.multiply_int8(&linear, input, &mut Int8Rows::default(), Then::Add, &mut added);
        assert!(
            added
                .iter()
                .zip(&output)
                .all(|(added, output)| (added - output - 2.0).abs() <= 1e-5 * output.abs().max(10.0))
        );
        output
    }

    #[test]
    fn products_are_close_to_those_of_the_rows_and_the_same_on_every_processor() {
        for (outputs, inputs) in [(16, 16), (32, 304), (80, 128), (48, 32)] {
            let (weights, bias) = (numbers(outputs * inputs), numbers(outputs));
            for rows in 1..=19 {
                let input = numbers(rows * inputs);
                let products = multiply(Cpu::Portable, &weights, &bias, &input);
                for (place, product) in products.iter().enumerate() {
                    let (row, output) = (place / outputs, place % outputs);
                    let factors = input[row * inputs..].iter().zip(&weights[output * inputs..][..inputs]);
                    let expected = bias[output] + factors.map(|(a, b)| a * b).sum::<f32>();
                    assert!((product - expected).abs() < 0.3, "{product} for {expected}");
                }
                for cpu in Cpu::available() {
                    assert_eq!(multiply(cpu, &weights, &bias, &input), products, "{cpu:?} {outputs}x{inputs}");
                }
            }
        }
    }

    #[test]
    fn the_largest_sums_are_exact() {
        // Every input is 255 steps and every weight 127, so that sums are the largest there can be.
        let inputs = MAX_INPUTS;
        let mut weights = vec![127.0; 16 * inputs];
        weights[..inputs].fill(-127.0);
        for cpu in Cpu::available() {
            let products = multiply(cpu, &weights, &[0.0; 16], &vec![255.0; inputs]);
            assert_eq!(products[..2], [-127.0 * 255.0 * 65_536.0, 127.0 * 255.0 * 65_536.0], "{cpu:?}");
        }
    }

    #[test]
    fn rows_become_multiples_of_their_step() {
        for (row, expected) in [
            (vec![0.0; 16], 0..=0),
            (vec![-1.0; 16], 0..=0),
            (vec![3.0; 16], 255..=255),
            ((0..16).map(|n| if n == 0 { -1.0 } else { 1.0 }).collect(), 0..=255),
        ] {
            let mut quantised = [9; 16];
            let scale = quantise(&row, &mut quantised);
            assert!(quantised.iter().all(|number| expected.contains(number)), "{quantised:?}");
            for (value, number) in row.iter().zip(quantised) {
                let zero = f32::from(u8::try_from(scale.zero).unwrap());
                assert!((value - (f32::from(number) - zero) * scale.step).abs() <= scale.step, "{row:?}");
            }
        }
    }
}

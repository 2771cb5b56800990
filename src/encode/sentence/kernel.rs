//! Products and norms of rows, as loops over lanes that the compiler turns into the vector instructions
//! of whatever processor the caller is compiled for (`cpu.rs`). `ROWS` and `PANELS` say how many sums that one keeps in
//! registers.
//!
//! Weights are packed once, into panels of sixteen outputs: multiplying reads them in order, and 16 tokens take half
//! the time that they take where a matrix product packs its operand at each call.

#![expect(clippy::inline_always, reason = "a function that is not inlined does not take its caller's instructions")]

use std::ops::Range;

use super::lanes::{LANES, Lanes, gelu, times_plus};

/// Of so many inputs at a time products are added up, so that their panels stay in the nearest cache for all rows.
const INPUTS_A_CHUNK: usize = 128;

/// A matrix in panels, and what is added to its products.
pub(super) struct Linear {
    /// Group by group of panels, and in each for every input the weights of the group's outputs.
    panels: Vec<Lanes>,
    bias: Vec<Lanes>,
    inputs: usize,
}

impl Linear {
    /// Of rows of weights, one for each output, as many as there are biases; a multiple of sixteen. `group` is the
    /// number of panels that the kernel will go through at once.
    pub(super) fn new(weights: &[f32], bias: &[f32], group: usize) -> Self {
        let inputs = weights.len() / bias.len();
        let mut panels = vec![Lanes::ZERO; weights.len() / LANES];
        for (group_panels, rows) in panels.chunks_mut(group * inputs).zip(weights.chunks(group * inputs * LANES)) {
            let width = group_panels.len() / inputs;
            for (output, row) in rows.chunks_exact(inputs).enumerate() {
                for (lanes, weight) in group_panels.chunks_exact_mut(width).zip(row) {
                    lanes[output / LANES].0[output % LANES] = *weight;
                }
            }
        }
        Self { panels, bias: pack(bias), inputs }
    }

    fn outputs(&self) -> usize {
        self.bias.len() * LANES
    }
}

/// What becomes of a product.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Then {
    Store,
    Gelu,
    /// It is added to what is there.
    Add,
}

/// Calls `$function` with the numbers of rows and panels as constants, which is what lets sums stay in registers.
macro_rules! with_tile {
    ($rows:expr, $panels:expr, $most:ident, $function:ident::<$($kind:ident),+>$arguments:tt) => {
        match $panels {
            3 if $most >= 3 => with_tile!(@rows $rows, $function, ($($kind),+), 3, $arguments),
            2 if $most >= 2 => with_tile!(@rows $rows, $function, ($($kind),+), 2, $arguments),
            _ => with_tile!(@rows $rows, $function, ($($kind),+), 1, $arguments),
        }
    };
    (@rows $rows:expr, $function:ident, $kind:tt, $panels:literal, $arguments:tt) => {
        match $rows {
            1 => with_tile!(@call $function, $kind, 1, $panels, $arguments),
            2 => with_tile!(@call $function, $kind, 2, $panels, $arguments),
            3 => with_tile!(@call $function, $kind, 3, $panels, $arguments),
            4 => with_tile!(@call $function, $kind, 4, $panels, $arguments),
            5 => with_tile!(@call $function, $kind, 5, $panels, $arguments),
            6 => with_tile!(@call $function, $kind, 6, $panels, $arguments),
            7 => with_tile!(@call $function, $kind, 7, $panels, $arguments),
            _ => with_tile!(@call $function, $kind, 8, $panels, $arguments),
        }
    };
    (@call $function:ident, ($($kind:ident),+), $rows:literal, $panels:literal, $arguments:tt) => {
        $function::<$($kind,)+ $rows, $panels> $arguments
    };
}
pub(super) use with_tile;

/// Rows of numbers that begin `stride` apart.
#[derive(Clone, Copy)]
pub(super) struct Rows<'a, T = f32> {
    pub(super) values: &'a [T],
    pub(super) stride: usize,
}

pub(super) struct RowsMut<'a> {
    pub(super) values: &'a mut [f32],
    pub(super) stride: usize,
}

/// Every row of `input` times the matrix, into the rows of `output`.
#[inline(always)]
pub(super) fn multiply<const FUSED: bool, const ROWS: usize, const PANELS: usize>(
    linear: &Linear,
    input: &[f32],
    then: Then,
    output: &mut [f32],
) {
    let (inputs, outputs) = (linear.inputs, linear.outputs());
    let rows = input.len() / inputs;
    let mut rest = linear.panels.as_slice();
    for (group, bias) in linear.bias.chunks(PANELS).enumerate() {
        let width = bias.len();
        let column = group * PANELS * LANES;
        for row in output.chunks_exact_mut(outputs) {
            for (output, bias) in row[column..].as_chunks_mut().0.iter_mut().zip(bias) {
                *output = if then == Then::Add { bias.plus(Lanes(*output)).0 } else { bias.0 };
            }
        }
        for first in (0..inputs).step_by(INPUTS_A_CHUNK) {
            let (panels, after) = rest.split_at(INPUTS_A_CHUNK.min(inputs - first) * width);
            rest = after;
            // Every block of rows fetches its share of the next chunk: what the processor fetches ahead by itself ends
            // with a page of memory. It makes 16 tokens twice as fast.
            let mut ahead = after[..after.len().min(panels.len())].chunks(share(panels.len(), rows.div_ceil(ROWS)));
            for block in blocks(rows, ROWS) {
                let input = Rows { values: &input[block.start * inputs + first..], stride: inputs };
                let output = &mut RowsMut { values: &mut output[block.start * outputs + column..], stride: outputs };
                let ahead = ahead.next().unwrap_or_default();
                with_tile!(block.len(), width, PANELS, add_products::<FUSED>(input, panels, ahead, output));
            }
        }
        if then == Then::Gelu {
            for row in output.chunks_exact_mut(outputs) {
                for output in &mut row[column..][..width * LANES] {
                    *output = gelu::<FUSED>(*output);
                }
            }
        }
    }
}

/// Adds the products of `M` rows and `N` panels to `output`, each in the order of the inputs, and fetches `ahead`.
#[inline(always)]
#[expect(clippy::needless_range_loop, reason = "loops over constants are unrolled, so that sums stay in registers")]
pub(super) fn add_products<const FUSED: bool, const M: usize, const N: usize>(
    input: Rows<'_>,
    panels: &[Lanes],
    ahead: &[Lanes],
    output: &mut RowsMut<'_>,
) {
    let panels = panels.as_chunks::<N>().0;
    // With one length for all, the loop needs no check of bounds.
    let rows: [&[f32]; M] = std::array::from_fn(|row| &input.values[row * input.stride..][..panels.len()]);
    let mut ahead = ahead.chunks(share(ahead.len(), panels.len()));
    let mut sums = [[Lanes::ZERO; N]; M];
    for (input, panels) in panels.iter().enumerate() {
        for lanes in ahead.next().unwrap_or_default() {
            prefetch(lanes);
        }
        for row in 0..M {
            let factor = Lanes::splat(rows[row][input]);
            for panel in 0..N {
                sums[row][panel] = factor.times_plus::<FUSED>(panels[panel], sums[row][panel]);
            }
        }
    }
    for row in 0..M {
        for panel in 0..N {
            let output = &mut output.values[row * output.stride + panel * LANES..][..LANES];
            let sum = sums[row][panel];
            for (output, sum) in output.iter_mut().zip(sum.0) {
                *output += sum;
            }
        }
    }
}

/// Of `count` things, what each of `parts` takes at most; never nothing.
pub(super) fn share(count: usize, parts: usize) -> usize {
    count.div_ceil(parts.max(1)).max(1)
}

/// What rows are brought to: mean nothing and variance one, then times `weight` and plus `bias`.
pub(super) struct Norm {
    weight: Vec<f32>,
    bias: Vec<f32>,
    /// One over the length of a row.
    share: f32,
    epsilon: f32,
}

impl Norm {
    #[expect(clippy::cast_precision_loss, reason = "a row has at most 2^20 values, which is exact")]
    pub(super) fn new(weight: &[f32], bias: &[f32], epsilon: f32) -> Self {
        let share = 1.0 / weight.len() as f32;
        Self { weight: weight.to_vec(), bias: bias.to_vec(), share, epsilon }
    }
}

/// Normalises rows where they are.
#[inline(always)]
pub(super) fn normalise<const FUSED: bool, const ROWS: usize, const PANELS: usize>(norm: &Norm, rows: &mut [f32]) {
    let width = norm.weight.len();
    let (weight, bias) = (norm.weight.as_slice(), norm.bias.as_slice());
    for row in rows.chunks_exact_mut(width) {
        let mean = sum(row) * norm.share;
        let squares = row.as_chunks().0.iter().fold(Lanes::ZERO, |sum, values| {
            let distance = Lanes(*values).map(|value| value - mean);
            distance.times_plus::<FUSED>(distance, sum)
        });
        let scale = 1.0 / (squares.sum() * norm.share + norm.epsilon).sqrt();
        for ((value, weight), bias) in row.iter_mut().zip(weight).zip(bias) {
            *value = times_plus::<FUSED>((*value - mean) * scale, *weight, *bias);
        }
    }
}

/// In sixteen sums, so that the order of the additions is the same on every processor.
#[inline(always)]
pub(super) fn sum(values: &[f32]) -> f32 {
    values.as_chunks().0.iter().fold(Lanes::ZERO, |sum, values| sum.plus(Lanes(*values))).sum()
}

/// `count` rows in blocks of `most` at most, as even as can be: a block of one row takes as long as one of four.
pub(super) fn blocks(count: usize, most: usize) -> impl Iterator<Item = Range<usize>> {
    let blocks = count.div_ceil(most);
    (0..blocks).map(move |block| block * count / blocks..(block + 1) * count / blocks)
}

pub(super) fn pack(values: &[f32]) -> Vec<Lanes> {
    values.as_chunks().0.iter().map(|values| Lanes(*values)).collect()
}

#[inline(always)]
#[cfg_attr(not(target_arch = "x86_64"), expect(unused_variables, reason = "other processors have no stable way"))]
pub(super) fn prefetch<T>(lanes: &T) {
    #[cfg(target_arch = "x86_64")]
    #[expect(unsafe_code, reason = "fetching ahead changes nothing that a program can see, whatever the address")]
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T1, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T1>(std::ptr::from_ref(lanes).cast());
    }
}

#[cfg(test)]
mod tests {
    use super::{super::cpu::Cpu, *};

    fn numbers(count: usize) -> Vec<f32> {
        (0..count).map(|n| f32::from(u16::try_from(n * 7_919 % 2_003).unwrap()) / 1_000.0 - 1.0).collect()
    }

    #[test]
    fn products_are_those_of_the_rows_for_every_shape() {
        for cpu in Cpu::available() {
            for (outputs, inputs) in [(16, 16), (32, 300), (80, 128), (48, 1)] {
                let (weights, bias) = (numbers(outputs * inputs), numbers(outputs));
                let linear = Linear::new(&weights, &bias, cpu.panels());
                for rows in 1..=19 {
                    let input = numbers(rows * inputs);
                    let before = numbers(rows * outputs);
                    let mut stored = before.clone();
                    cpu.multiply(&linear, &input, Then::Store, &mut stored);
                    let mut added = before.clone();
                    cpu.multiply(&linear, &input, Then::Add, &mut added);
                    for (place, (&stored, &added)) in stored.iter().zip(&added).enumerate() {
                        let (row, output) = (place / outputs, place % outputs);
                        let factors = input[row * inputs..].iter().zip(&weights[output * inputs..][..inputs]);
                        let expected = bias[output] + factors.map(|(a, b)| a * b).sum::<f32>();
                        assert!((stored - expected).abs() < 1e-3, "{cpu:?} {outputs}x{inputs}, {rows} rows");
                        assert!((added - stored - before[place]).abs() < 1e-4, "{cpu:?} {outputs}x{inputs}");
                    }
                }
            }
        }
    }

    #[test]
    fn blocks_cover_all_rows_and_differ_by_one_at_most() {
        for count in 0..100 {
            let blocks: Vec<_> = blocks(count, 8).collect();
            assert!(blocks.iter().flat_map(Clone::clone).eq(0..count));
            let lengths = || blocks.iter().map(Range::len);
            assert!(lengths().max().unwrap_or(0) <= 8);
            assert!(lengths().max().unwrap_or(0) <= lengths().min().unwrap_or(0) + 1, "{count}");
        }
    }
}

//! The three steps that a layer consists of, as loops over lanes that the compiler turns into the vector instructions
//! of whatever processor the caller is compiled for (`cpu.rs`). `ROWS` and `PANELS` say how many sums that one keeps in
//! registers.
//!
//! Weights are packed once, into panels of sixteen outputs: multiplying reads them in order, and 16 tokens take half
//! the time that they take where a matrix product packs its operand at each call.

#![expect(clippy::inline_always, reason = "a function that is not inlined does not take its caller's instructions")]

use std::ops::Range;

use super::lanes::{LANES, Lanes};

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
    ($rows:expr, $panels:expr, $most:ident, $function:ident::<$fused:ident>$arguments:tt) => {
        match $panels {
            3 if $most >= 3 => with_tile!($rows, $function, $fused, 3, $arguments),
            2 if $most >= 2 => with_tile!($rows, $function, $fused, 2, $arguments),
            _ => with_tile!($rows, $function, $fused, 1, $arguments),
        }
    };
    ($rows:expr, $function:ident, $fused:ident, $panels:literal, $arguments:tt) => {
        match $rows {
            1 => $function::<$fused, 1, $panels> $arguments,
            2 => $function::<$fused, 2, $panels> $arguments,
            3 => $function::<$fused, 3, $panels> $arguments,
            4 => $function::<$fused, 4, $panels> $arguments,
            5 => $function::<$fused, 5, $panels> $arguments,
            6 => $function::<$fused, 6, $panels> $arguments,
            7 => $function::<$fused, 7, $panels> $arguments,
            _ => $function::<$fused, 8, $panels> $arguments,
        }
    };
}

/// Rows of numbers that begin `stride` apart.
#[derive(Clone, Copy)]
struct Rows<'a> {
    values: &'a [f32],
    stride: usize,
}

struct RowsMut<'a> {
    values: &'a mut [f32],
    stride: usize,
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
                for output in &mut row[column..].as_chunks_mut().0[..width] {
                    *output = Lanes(*output).gelu::<FUSED>().0;
                }
            }
        }
    }
}

/// Adds the products of `M` rows and `N` panels to `output`, each in the order of the inputs, and fetches `ahead`.
#[inline(always)]
#[expect(clippy::needless_range_loop, reason = "loops over constants are unrolled, so that sums stay in registers")]
fn add_products<const FUSED: bool, const M: usize, const N: usize>(
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
fn share(count: usize, parts: usize) -> usize {
    count.div_ceil(parts.max(1)).max(1)
}

/// How a row is divided among the heads of attention.
#[derive(Debug, Clone, Copy)]
pub(super) struct Heads {
    pub(super) count: usize,
    /// A multiple of sixteen.
    pub(super) width: usize,
}

impl Heads {
    pub(super) fn hidden(self) -> usize {
        self.count * self.width
    }

    /// By what the product of a query and a key is divided.
    #[expect(clippy::cast_precision_loss, reason = "a row has at most 2^20 values, which is exact")]
    pub(super) fn scale(self) -> f32 {
        (self.width as f32).sqrt()
    }
}

/// What attention needs of one head at a time.
#[derive(Default)]
pub(super) struct HeadScratch {
    keys: Vec<Lanes>,
    values: Vec<Lanes>,
    scores: Vec<f32>,
}

/// Of rows of queries, keys and values, for every token and head the mean of the values, each weighed by how well its
/// key suits the token's query, into the rows of `context`. Queries come scaled.
#[inline(always)]
pub(super) fn attend<const FUSED: bool, const ROWS: usize, const PANELS: usize>(
    heads: Heads,
    qkv: &[f32],
    scratch: &mut HeadScratch,
    context: &mut [f32],
) {
    let Heads { count, width } = heads;
    let hidden = heads.hidden();
    let tokens = qkv.len() / (3 * hidden);
    let stride = tokens.next_multiple_of(LANES);
    let HeadScratch { keys, values, scores } = scratch;
    keys.clear();
    keys.resize(stride / LANES * width, Lanes::ZERO);
    values.resize(tokens * width / LANES, Lanes::ZERO);
    scores.resize(ROWS * stride, 0.0);
    context.fill(0.0);
    for head in 0..count {
        pack_head::<PANELS>(heads, head, qkv, keys, values);
        for block in blocks(tokens, ROWS) {
            let scores = &mut scores[..block.len() * stride];
            scores.fill(0.0);
            let queries = Rows { values: &qkv[block.start * 3 * hidden + head * width..], stride: 3 * hidden };
            for (group, keys) in keys.chunks(PANELS * width).enumerate() {
                let scores = &mut RowsMut { values: &mut scores[group * PANELS * LANES..], stride };
                let panels = keys.len() / width;
                with_tile!(block.len(), panels, PANELS, add_products::<FUSED>(queries, keys, &[], scores));
            }
            for scores in scores.chunks_exact_mut(stride) {
                soften::<FUSED>(scores, tokens);
            }
            let weights = Rows { values: scores, stride };
            for (group, values) in values.chunks(PANELS * tokens).enumerate() {
                let column = head * width + group * PANELS * LANES;
                let context = &mut RowsMut { values: &mut context[block.start * hidden + column..], stride: hidden };
                let panels = values.len() / tokens;
                with_tile!(block.len(), panels, PANELS, add_products::<FUSED>(weights, values, &[], context));
            }
        }
    }
}

/// Keys of sixteen tokens to a panel, and values of sixteen columns, in groups as a `Linear` has them.
#[inline(always)]
fn pack_head<const PANELS: usize>(heads: Heads, head: usize, qkv: &[f32], keys: &mut [Lanes], values: &mut [Lanes]) {
    let width = heads.width;
    let hidden = heads.hidden();
    let tokens = qkv.len() / (3 * hidden);
    let rows = || qkv.chunks_exact(3 * hidden).map(|row| &row[head * width..]);
    let tokens_a_group = PANELS * LANES;
    for (token, row) in rows().enumerate() {
        let group = &mut keys[token / tokens_a_group * PANELS * width..];
        let panels = PANELS.min(group.len() / width);
        let (panel, lane) = (token % tokens_a_group / LANES, token % LANES);
        for (key, lanes) in row[hidden..][..width].iter().zip(group.chunks_exact_mut(panels)) {
            lanes[panel].0[lane] = *key;
        }
    }
    for (group, values) in values.chunks_mut(PANELS * tokens).enumerate() {
        let panels = values.len() / tokens;
        for (row, values) in rows().zip(values.chunks_exact_mut(panels)) {
            let row = &row[2 * hidden + group * PANELS * LANES..];
            for (value, lanes) in row.as_chunks().0.iter().zip(values) {
                *lanes = Lanes(*value);
            }
        }
    }
}

/// Makes scores weights that add up to one: exponentials of their distance to the largest, divided by their sum.
#[inline(always)]
fn soften<const FUSED: bool>(scores: &mut [f32], tokens: usize) {
    // The last panel has keys of no token.
    scores[tokens..].fill(f32::NEG_INFINITY);
    let scores = scores.as_chunks_mut().0;
    let mut largest = Lanes::splat(f32::NEG_INFINITY);
    for scores in &*scores {
        largest = largest.zip(Lanes(*scores), |a, b| if a > b { a } else { b });
    }
    let largest = largest.max();
    let mut sum = Lanes::ZERO;
    for scores in &mut *scores {
        // Below -87 a weight is taken as e^-87, which cannot be told from nothing beside the largest, which is 1.
        let weights = Lanes(*scores).map(|score| score - largest).exp::<FUSED>();
        sum = sum.plus(weights);
        *scores = weights.0;
    }
    let share = Lanes::splat(1.0 / sum.sum());
    for weights in scores {
        *weights = Lanes(*weights).times(share).0;
    }
}

/// What rows are brought to: mean nothing and variance one, then times `weight` and plus `bias`.
pub(super) struct Norm {
    weight: Vec<Lanes>,
    bias: Vec<Lanes>,
    /// One over the length of a row.
    share: f32,
    epsilon: f32,
}

impl Norm {
    #[expect(clippy::cast_precision_loss, reason = "a row has at most 2^20 values, which is exact")]
    pub(super) fn new(weight: &[f32], bias: &[f32], epsilon: f32) -> Self {
        let share = 1.0 / weight.len() as f32;
        Self { weight: pack(weight), bias: pack(bias), share, epsilon }
    }
}

/// Normalises rows where they are.
#[inline(always)]
pub(super) fn normalise<const FUSED: bool, const ROWS: usize, const PANELS: usize>(norm: &Norm, rows: &mut [f32]) {
    let width = norm.weight.len() * LANES;
    for row in rows.chunks_exact_mut(width) {
        let row = row.as_chunks_mut().0;
        let mean = row.iter().fold(Lanes::ZERO, |sum, values| sum.plus(Lanes(*values))).sum() * norm.share;
        let squares = row.iter().fold(Lanes::ZERO, |sum, values| {
            let distance = Lanes(*values).map(|value| value - mean);
            distance.times_plus::<FUSED>(distance, sum)
        });
        let scale = 1.0 / (squares.sum() * norm.share + norm.epsilon).sqrt();
        for ((values, weight), bias) in row.iter_mut().zip(&norm.weight).zip(&norm.bias) {
            let normal = Lanes(*values).map(|value| (value - mean) * scale);
            *values = normal.times_plus::<FUSED>(*weight, *bias).0;
        }
    }
}

/// `count` rows in blocks of `most` at most, as even as can be: a block of one row takes as long as one of four.
fn blocks(count: usize, most: usize) -> impl Iterator<Item = Range<usize>> {
    let blocks = count.div_ceil(most);
    (0..blocks).map(move |block| block * count / blocks..(block + 1) * count / blocks)
}

fn pack(values: &[f32]) -> Vec<Lanes> {
    values.as_chunks().0.iter().map(|values| Lanes(*values)).collect()
}

#[inline(always)]
#[cfg_attr(not(target_arch = "x86_64"), expect(unused_variables, reason = "other processors have no stable way"))]
fn prefetch(lanes: &Lanes) {
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

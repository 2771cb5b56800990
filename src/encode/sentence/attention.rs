//! Attention of one text's tokens to each other, head by head, with the tiles of `kernel.rs`: keys and values of a head
//! are packed as weights are, and the scores of a few tokens at a time stay near the processor.

#![expect(clippy::inline_always, reason = "a function that is not inlined does not take its caller's instructions")]

use super::{
    kernel::{Rows, RowsMut, add_products, blocks, sum, with_tile},
    lanes::{LANES, Lanes, exp},
};

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
            let mut shares = [0.0; ROWS];
            for (scores, share) in scores.chunks_exact_mut(stride).zip(&mut shares) {
                *share = soften::<FUSED>(scores, tokens);
            }
            let weights = Rows { values: scores, stride };
            for (group, values) in values.chunks(PANELS * tokens).enumerate() {
                let column = head * width + group * PANELS * LANES;
                let context = &mut RowsMut { values: &mut context[block.start * hidden + column..], stride: hidden };
                let panels = values.len() / tokens;
                with_tile!(block.len(), panels, PANELS, add_products::<FUSED>(weights, values, &[], context));
            }
            for (context, share) in context[block.start * hidden..].chunks_exact_mut(hidden).zip(&shares[..block.len()])
            {
                for value in &mut context[head * width..][..width] {
                    *value *= share;
                }
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

/// Makes scores weights: exponentials of their distance to the largest. Returns one over their sum.
#[inline(always)]
fn soften<const FUSED: bool>(scores: &mut [f32], tokens: usize) -> f32 {
    // The last panel has keys of no token.
    scores[tokens..].fill(f32::NEG_INFINITY);
    let mut largest = Lanes::splat(f32::NEG_INFINITY);
    for scores in scores.as_chunks().0 {
        largest = largest.zip(Lanes(*scores), |a, b| if a > b { a } else { b });
    }
    let largest = largest.max();
    for score in &mut *scores {
        // Below -87 a weight is taken as e^-87, which cannot be told from nothing beside the largest, which is 1.
        *score = exp::<FUSED>(*score - largest);
    }
    1.0 / sum(scores)
}

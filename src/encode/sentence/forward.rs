//! BERT's layers over one text: no padding, no mask, queries, keys and values in one product, and the caller asked
//! between two layers whether to go on.

use super::{
    cpu::Cpu,
    kernel::{HeadScratch, Heads, Linear, Norm, Then},
};

/// Of this many tokens at a time the wide middle of a layer is kept, which then stays near the processor.
const TOKENS_A_BLOCK: usize = 128;

pub(super) struct Layer {
    pub(super) qkv: Linear,
    pub(super) attention_output: Linear,
    pub(super) attention_norm: Norm,
    pub(super) widen: Linear,
    pub(super) narrow: Linear,
    pub(super) output_norm: Norm,
}

pub(super) struct Model {
    pub(super) cpu: Cpu,
    pub(super) heads: Heads,
    pub(super) intermediate: usize,
    /// A row for each token id.
    pub(super) words: Vec<f32>,
    /// A row for each place in the text, what is added for the first of two texts included.
    pub(super) positions: Vec<f32>,
    pub(super) embedding_norm: Norm,
    pub(super) layers: Vec<Layer>,
}

/// Buffers of a pass, for the next one to use again.
#[derive(Default)]
pub(super) struct Scratch {
    /// After a pass the last layer's rows, one a token.
    pub(super) rows: Vec<f32>,
    qkv: Vec<f32>,
    context: Vec<f32>,
    middle: Vec<f32>,
    head: HeadScratch,
}

impl Model {
    /// Fills `scratch.rows`, or returns `None` where `stop` said so. Ids are of the vocabulary, and no more than there
    /// are positions.
    pub(super) fn run(&self, ids: &[u32], scratch: &mut Scratch, stop: &dyn Fn() -> bool) -> Option<()> {
        let Scratch { rows, qkv, context, middle, head } = scratch;
        let hidden = self.heads.hidden();
        rows.clear();
        for (&id, position) in ids.iter().zip(self.positions.chunks_exact(hidden)) {
            let word = &self.words[id as usize * hidden..][..hidden];
            rows.extend(word.iter().zip(position).map(|(word, position)| word + position));
        }
        self.cpu.normalise(&self.embedding_norm, rows);
        // What is in these is written before it is read.
        qkv.resize(3 * rows.len(), 0.0);
        context.resize(rows.len(), 0.0);
        middle.resize(ids.len().min(TOKENS_A_BLOCK) * self.intermediate, 0.0);
        for layer in &self.layers {
            if stop() {
                return None;
            }
            self.cpu.multiply(&layer.qkv, rows, Then::Store, qkv);
            self.cpu.attend(self.heads, qkv, head, context);
            self.cpu.multiply(&layer.attention_output, context, Then::Add, rows);
            self.cpu.normalise(&layer.attention_norm, rows);
            for rows in rows.chunks_mut(TOKENS_A_BLOCK * hidden) {
                let middle = &mut middle[..rows.len() / hidden * self.intermediate];
                self.cpu.multiply(&layer.widen, rows, Then::Gelu, middle);
                self.cpu.multiply(&layer.narrow, middle, Then::Add, rows);
            }
            self.cpu.normalise(&layer.output_norm, rows);
        }
        Some(())
    }
}

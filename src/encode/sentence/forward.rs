//! BERT's layers over one text: no padding, no mask, queries, keys and values in one product, and the caller asked
//! between two layers whether to go on.

use super::{
    attention::{HeadScratch, Heads},
    cpu::Cpu,
    int8::{Int8Linear, Int8Rows},
    kernel::{Linear, Norm, Then},
};

/// Of this many tokens at a time the wide middle of a layer is kept, which then stays near the processor.
const TOKENS_A_BLOCK: usize = 128;

pub(super) enum Matrix {
    Float32(Linear),
    Int8(Int8Linear),
}

pub(super) struct Layer {
    pub(super) qkv: Matrix,
    pub(super) attention_output: Matrix,
    pub(super) attention_norm: Norm,
    pub(super) widen: Matrix,
    pub(super) narrow: Matrix,
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
    int8: Int8Rows,
}

impl Model {
    /// Fills `scratch.rows`, or returns `None` where `stop` said so. Ids are of the vocabulary, and no more than there
    /// are positions.
    pub(super) fn run(&self, ids: &[u32], scratch: &mut Scratch, stop: &dyn Fn() -> bool) -> Option<()> {
        let Scratch { rows, qkv, context, middle, head, int8 } = scratch;
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
            self.multiply(&layer.qkv, rows, int8, Then::Store, qkv);
            self.cpu.attend(self.heads, qkv, head, context);
            self.multiply(&layer.attention_output, context, int8, Then::Add, rows);
            self.cpu.normalise(&layer.attention_norm, rows);
            for rows in rows.chunks_mut(TOKENS_A_BLOCK * hidden) {
                let middle = &mut middle[..rows.len() / hidden * self.intermediate];
                self.multiply(&layer.widen, rows, int8, Then::Gelu, middle);
                self.multiply(&layer.narrow, middle, int8, Then::Add, rows);
            }
            self.cpu.normalise(&layer.output_norm, rows);
        }
        Some(())
    }

    fn multiply(&self, matrix: &Matrix, input: &[f32], scratch: &mut Int8Rows, then: Then, output: &mut [f32]) {
        match matrix {
            Matrix::Float32(linear) => self.cpu.multiply(linear, input, then, output),
            Matrix::Int8(linear) => self.cpu.multiply_int8(linear, input, scratch, then, output),
        }
    }
}

//! BERT as its paper has it, in 64-bit floats and without any care for time: what `forward.rs` is held against.

use std::{collections::HashMap, fs, path::Path};

use safetensors::SafeTensors;

pub(super) struct Naive {
    tensors: HashMap<String, Vec<f64>>,
    hidden: usize,
    heads: usize,
    layers: usize,
}

type Rows = Vec<Vec<f64>>;

impl Naive {
    pub(super) fn load(folder: &Path, hidden: usize, heads: usize, layers: usize) -> Self {
        let bytes = fs::read(folder.join("model.safetensors")).unwrap();
        let tensors = SafeTensors::deserialize(&bytes).unwrap();
        let wide = |data: &[u8]| data.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes).into()).collect();
        let tensors = tensors.iter().map(|(name, view)| (name.to_owned(), wide(view.data()))).collect();
        Self { tensors, hidden, heads, layers }
    }

    /// The last layer's rows.
    pub(super) fn rows(&self, ids: &[u32]) -> Rows {
        let row = |name: &str, row: usize| &self.tensors[name][row * self.hidden..][..self.hidden];
        let mut rows: Rows = ids
            .iter()
            .enumerate()
            .map(|(place, &id)| {
                let word = row("embeddings.word_embeddings.weight", id as usize);
                let position = row("embeddings.position_embeddings.weight", place);
                let kind = row("embeddings.token_type_embeddings.weight", 0);
                (0..self.hidden).map(|column| word[column] + position[column] + kind[column]).collect()
            })
            .collect();
        rows = self.norm("embeddings.LayerNorm", &rows);
        for layer in 0..self.layers {
            let name = |part: &str| format!("encoder.layer.{layer}.{part}");
            let [queries, keys, values] =
                ["query", "key", "value"].map(|part| self.linear(&name(&format!("attention.self.{part}")), &rows));
            let context = self.attention(&queries, &keys, &values);
            let attended = self.linear(&name("attention.output.dense"), &context);
            rows = self.norm(&name("attention.output.LayerNorm"), &sum(&rows, &attended));
            let mut middle = self.linear(&name("intermediate.dense"), &rows);
            for value in middle.iter_mut().flatten() {
                *value *= 0.5 * (1.0 + erf(*value / 2.0_f64.sqrt()));
            }
            let narrow = self.linear(&name("output.dense"), &middle);
            rows = self.norm(&name("output.LayerNorm"), &sum(&rows, &narrow));
        }
        rows
    }

    fn linear(&self, name: &str, rows: &Rows) -> Rows {
        let weights = &self.tensors[&format!("{name}.weight")];
        let bias = &self.tensors[&format!("{name}.bias")];
        let outputs = |row: &Vec<f64>| {
            weights.chunks_exact(row.len()).zip(bias).map(|(weights, bias)| dot(weights, row) + bias).collect()
        };
        rows.iter().map(outputs).collect()
    }

    fn norm(&self, name: &str, rows: &Rows) -> Rows {
        let weight = &self.tensors[&format!("{name}.weight")];
        let bias = &self.tensors[&format!("{name}.bias")];
        let count = f64::from(u32::try_from(self.hidden).unwrap());
        rows.iter()
            .map(|row| {
                let mean = row.iter().sum::<f64>() / count;
                let variance = row.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / count;
                let normal = row.iter().map(|value| (value - mean) / (variance + 1e-12).sqrt());
                normal.zip(weight).zip(bias).map(|((value, weight), bias)| value * weight + bias).collect()
            })
            .collect()
    }

    fn attention(&self, queries: &Rows, keys: &Rows, values: &Rows) -> Rows {
        let width = self.hidden / self.heads;
        let scale = f64::from(u32::try_from(width).unwrap()).sqrt();
        queries
            .iter()
            .map(|query| {
                (0..self.hidden)
                    .map(|column| {
                        let head = column / width * width..(column / width + 1) * width;
                        let weights: Vec<f64> = keys
                            .iter()
                            .map(|key| (dot(&query[head.clone()], &key[head.clone()]) / scale).exp())
                            .collect();
                        let weighed: f64 =
                            values.iter().zip(&weights).map(|(value, weight)| value[column] * weight).sum();
                        weighed / weights.iter().sum::<f64>()
                    })
                    .collect()
            })
            .collect()
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn sum(a: &Rows, b: &Rows) -> Rows {
    a.iter().zip(b).map(|(a, b)| a.iter().zip(b).map(|(a, b)| a + b).collect()).collect()
}

/// By its Taylor series, for arguments that are not large.
pub(super) fn erf(x: f64) -> f64 {
    let mut term = x;
    let mut sum = x;
    for n in 1..200 {
        term *= -x * x / f64::from(n);
        sum += term / f64::from(2 * n + 1);
    }
    sum * std::f64::consts::FRAC_2_SQRT_PI
}

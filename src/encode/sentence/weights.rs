//! `model.safetensors`: every tensor that the forward pass reads, checked and packed for it.

use std::path::Path;

use safetensors::{Dtype, SafeTensors};

use super::{
    Precision, SentenceEncoderError,
    config::Config,
    cpu::Cpu,
    forward::{Layer, Matrix, Model},
    int8::Int8Linear,
    kernel::{Linear, Norm},
};

/// Models that were published with a head for another task have everything below it.
const PREFIX: &str = "bert.";

struct Tensors<'a> {
    path: &'a Path,
    file: SafeTensors<'a>,
    prefix: &'static str,
    epsilon: f32,
    cpu: Cpu,
    precision: Precision,
}

impl Model {
    pub(super) fn read(
        path: &Path,
        bytes: &[u8],
        config: &Config,
        cpu: Cpu,
        precision: Precision,
    ) -> Result<Self, SentenceEncoderError> {
        let file = SafeTensors::deserialize(bytes)
            .map_err(|source| SentenceEncoderError::Weights { path: path.to_owned(), source })?;
        let prefixed = file.iter().any(|(name, _)| name.starts_with(PREFIX));
        let prefix = if prefixed { PREFIX } else { "" };
        let tensors = Tensors { path, file, prefix, epsilon: config.layer_norm_eps, cpu, precision };
        let hidden = config.hidden_size;
        let words = tensors.read("embeddings.word_embeddings.weight", &[config.vocab_size, hidden])?;
        let mut positions =
            tensors.read("embeddings.position_embeddings.weight", &[config.max_position_embeddings, hidden])?;
        let types = tensors.read("embeddings.token_type_embeddings.weight", &[config.type_vocab_size, hidden])?;
        for row in positions.chunks_exact_mut(hidden) {
            for (position, first) in row.iter_mut().zip(&types) {
                *position += first;
            }
        }
        let layers = (0..config.num_hidden_layers)
            .map(|layer| tensors.layer(&format!("encoder.layer.{layer}."), config))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            cpu,
            heads: config.heads(),
            intermediate: config.intermediate_size,
            words,
            positions,
            embedding_norm: tensors.norm("embeddings.LayerNorm", hidden)?,
            layers,
        })
    }
}

impl Tensors<'_> {
    fn layer(&self, name: &str, config: &Config) -> Result<Layer, SentenceEncoderError> {
        let (hidden, intermediate) = (config.hidden_size, config.intermediate_size);
        let (mut weights, mut bias) = self.linear(&format!("{name}attention.self.query"), hidden, hidden)?;
        let scale = 1.0 / config.heads().scale();
        for value in weights.iter_mut().chain(&mut bias) {
            *value *= scale;
        }
        for part in ["key", "value"] {
            let (part_weights, part_bias) = self.linear(&format!("{name}attention.self.{part}"), hidden, hidden)?;
            weights.extend(part_weights);
            bias.extend(part_bias);
        }
        let linear = |part: &str, outputs, inputs| {
            self.linear(&format!("{name}{part}"), outputs, inputs).map(|(weights, bias)| self.matrix(&weights, &bias))
        };
        Ok(Layer {
            qkv: self.matrix(&weights, &bias),
            attention_output: linear("attention.output.dense", hidden, hidden)?,
            attention_norm: self.norm(&format!("{name}attention.output.LayerNorm"), hidden)?,
            widen: linear("intermediate.dense", intermediate, hidden)?,
            narrow: linear("output.dense", hidden, intermediate)?,
            output_norm: self.norm(&format!("{name}output.LayerNorm"), hidden)?,
        })
    }

    fn matrix(&self, weights: &[f32], bias: &[f32]) -> Matrix {
        match self.precision {
            Precision::Float32 => Matrix::Float32(Linear::new(weights, bias, self.cpu.panels())),
            Precision::Int8 => Matrix::Int8(Int8Linear::new(weights, bias, self.cpu.int8_packing())),
        }
    }

    /// Weights, a row for each output, and biases.
    fn linear(&self, name: &str, outputs: usize, inputs: usize) -> Result<(Vec<f32>, Vec<f32>), SentenceEncoderError> {
        Ok((self.read(&format!("{name}.weight"), &[outputs, inputs])?, self.read(&format!("{name}.bias"), &[outputs])?))
    }

    fn norm(&self, name: &str, width: usize) -> Result<Norm, SentenceEncoderError> {
        let weight = self.read(&format!("{name}.weight"), &[width])?;
        Ok(Norm::new(&weight, &self.read(&format!("{name}.bias"), &[width])?, self.epsilon))
    }

    fn read(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, SentenceEncoderError> {
        let path = self.path.to_owned();
        let tensor = format!("{}{name}", self.prefix);
        let Ok(view) = self.file.tensor(&tensor) else {
            return Err(SentenceEncoderError::MissingTensor { path, tensor });
        };
        if view.dtype() != Dtype::F32 || view.shape() != shape {
            return Err(SentenceEncoderError::Tensor {
                path,
                tensor,
                found: format!("{:?} {:?}", view.dtype(), view.shape()),
                expected: format!("{:?} {shape:?}", Dtype::F32),
            });
        }
        let values: Vec<f32> = view.data().as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
        if values.iter().all(|value| value.is_finite()) {
            Ok(values)
        } else {
            Err(SentenceEncoderError::NotFinite { path, tensor })
        }
    }
}

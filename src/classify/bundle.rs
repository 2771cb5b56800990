//! A model as a folder: `manifest.toml`, `weights.safetensors`, `vectors.safetensors`, `vocab.txt` and
//! `golden.jsonl`. Read whole into owned memory, never mapped: hashes, shapes and numbers are checked and the
//! golden texts scored before anything is used. A folder that fails is refused with the reason.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};

use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use sha2::{Digest, Sha256};

use super::{
    heads::Planes,
    manifest::{Manifest, ManifestError},
};
use crate::encode::{DIMENSIONS, VectorsError};

pub(crate) const MANIFEST: &str = "manifest.toml";
pub(crate) const WEIGHTS: &str = "weights.safetensors";
pub(crate) const VECTORS: &str = "vectors.safetensors";
pub(crate) const VOCABULARY: &str = "vocab.txt";
pub(crate) const GOLDEN: &str = "golden.jsonl";
const DATA_FILES: [&str; 4] = [WEIGHTS, VECTORS, VOCABULARY, GOLDEN];

/// Why a bundle was refused.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    #[error("{}: cannot read {file}: {source}; is this a folder that `triage train` wrote?", folder.display())]
    Unreadable { folder: PathBuf, file: &'static str, source: io::Error },
    #[error("cannot write {}: {source}", path.display())]
    Unwritable { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    #[error("{0} is not the file that the manifest names: it was changed or cut off; copy the bundle again")]
    Changed(&'static str),
    #[error("weights.safetensors: {0}")]
    Weights(String),
    #[error("vectors.safetensors: {0}")]
    Vectors(#[from] VectorsError),
    #[error("vocab.txt has no [UNK]")]
    Vocabulary,
    #[error("golden.jsonl, line {line}: {problem}")]
    Golden { line: usize, problem: String },
}

/// The files of a bundle, by name.
pub(crate) type Files = BTreeMap<&'static str, Cow<'static, [u8]>>;

/// Reads every file of the folder.
pub(crate) fn read(folder: &Path) -> Result<Files, BundleError> {
    let read = |file: &'static str| {
        let unreadable = |source| BundleError::Unreadable { folder: folder.to_owned(), file, source };
        fs::read(folder.join(file)).map(|bytes| (file, Cow::Owned(bytes))).map_err(unreadable)
    };
    [MANIFEST].into_iter().chain(DATA_FILES).map(read).collect()
}

/// Writes every file, the manifest last, so that a folder written half is refused by its hashes.
pub(crate) fn write(folder: &Path, files: &Files) -> Result<(), BundleError> {
    let unwritable = |path: &Path| {
        let path = path.to_owned();
        move |source| BundleError::Unwritable { path, source }
    };
    fs::create_dir_all(folder).map_err(unwritable(folder))?;
    for file in DATA_FILES.into_iter().chain([MANIFEST]) {
        let path = folder.join(file);
        let bytes = files.get(file).map(Cow::as_ref).unwrap_or_default();
        replace(&path, bytes).map_err(unwritable(&path))?;
    }
    Ok(())
}

fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let unfinished = path.with_extension("unfinished");
    let mut file = File::create(&unfinished)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(unfinished, path)
}

/// The SHA-256 of each data file, as the manifest lists them.
pub(crate) fn hashes(files: &Files) -> BTreeMap<String, String> {
    DATA_FILES.iter().filter_map(|name| Some(((*name).to_owned(), sha256(files.get(name)?)))).collect()
}

/// Refuses files whose hash is not the manifest's.
pub(crate) fn check_hashes(manifest: &Manifest, files: &Files) -> Result<(), BundleError> {
    let found = hashes(files);
    match DATA_FILES.into_iter().find(|name| found.get(*name) != manifest.files.get(*name)) {
        Some(name) => Err(BundleError::Changed(name)),
        None => Ok(()),
    }
}

pub(crate) fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The planes as a safetensors file.
pub(crate) fn write_planes(planes: &Planes) -> Result<Vec<u8>, BundleError> {
    let weights_error = |error: safetensors::SafeTensorError| BundleError::Weights(error.to_string());
    let (features, columns) = (planes.keys.len(), planes.bias.len());
    let keys: Vec<u8> = planes.keys.iter().flat_map(|key| key.to_le_bytes()).collect();
    let floats = |values: &[f32]| values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>();
    let (idf, scales, dense, bias) =
        (floats(&planes.idf), floats(&planes.scales), floats(&planes.dense), floats(&planes.bias));
    let weights: Vec<u8> = planes.weights.iter().map(|weight| weight.cast_unsigned()).collect();
    let view = |dtype, shape, data| TensorView::new(dtype, shape, data).map_err(weights_error);
    let tensors = BTreeMap::from([
        ("keys", view(Dtype::U64, vec![features], &keys)?),
        ("idf", view(Dtype::F32, vec![features], &idf)?),
        ("scales", view(Dtype::F32, vec![features], &scales)?),
        ("weights", view(Dtype::I8, vec![features, columns], &weights)?),
        ("dense", view(Dtype::F32, vec![columns, DIMENSIONS], &dense)?),
        ("bias", view(Dtype::F32, vec![columns], &bias)?),
    ]);
    safetensors::serialize(tensors, None).map_err(weights_error)
}

/// Reads planes of `columns` columns; refuses other shapes and numbers that are not finite.
pub(crate) fn read_planes(file: &[u8], columns: usize) -> Result<Planes, BundleError> {
    let tensors = SafeTensors::deserialize(file).map_err(|error| BundleError::Weights(error.to_string()))?;
    let tensor = |name: &str, dtype: Dtype, shape: &[usize]| {
        let tensor = tensors.tensor(name).map_err(|error| BundleError::Weights(error.to_string()))?;
        if tensor.dtype() == dtype && tensor.shape() == shape {
            return Ok(tensor.data());
        }
        let found = format!("{:?} {:?}", tensor.dtype(), tensor.shape());
        Err(BundleError::Weights(format!("tensor `{name}` is {found}, expected {dtype:?} {shape:?}")))
    };
    let floats = |name: &str, shape: &[usize]| {
        let (values, _) = tensor(name, Dtype::F32, shape)?.as_chunks::<4>();
        let values: Vec<f32> = values.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
        if values.iter().all(|value| value.is_finite()) {
            return Ok(values);
        }
        Err(BundleError::Weights(format!("tensor `{name}` holds a number that is not finite")))
    };
    let features = tensors.tensor("keys").map_or(0, |keys| keys.shape().iter().product());
    let (keys, _) = tensor("keys", Dtype::U64, &[features])?.as_chunks::<8>();
    Ok(Planes {
        keys: keys.iter().map(|bytes| u64::from_le_bytes(*bytes)).collect(),
        idf: floats("idf", &[features])?,
        scales: floats("scales", &[features])?,
        weights: tensor("weights", Dtype::I8, &[features, columns])?.iter().map(|byte| byte.cast_signed()).collect(),
        dense: floats("dense", &[columns, DIMENSIONS])?,
        bias: floats("bias", &[columns])?,
    })
}

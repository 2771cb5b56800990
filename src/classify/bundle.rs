//! A model as a folder: `manifest.toml`, `weights.safetensors`, `vectors.safetensors`, `vocab.txt` and
//! `golden.jsonl`. Read whole into owned memory, never mapped: hashes, shapes and numbers are checked and the
//! golden texts scored before anything is used. A folder that fails is refused with the reason.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    fmt,
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};

use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use sha2::{Digest, Sha256};

use super::{
    heads::Planes,
    label_space::{self, LabelSpace},
    manifest::{Manifest, ManifestError},
};
use crate::encode::{DIMENSIONS, EncoderError, TextVector, VectorsError};

pub(crate) const MANIFEST: &str = "manifest.toml";
pub(crate) const WEIGHTS: &str = "weights.safetensors";
pub(crate) const VECTORS: &str = "vectors.safetensors";
pub(crate) const VOCABULARY: &str = "vocab.txt";
pub(crate) const GOLDEN: &str = "golden.jsonl";
/// Tensors of a later date than the others: a bundle may lack them.
const LABEL_MEANS: &str = "label_means";
const LABEL_CONTRAST: &str = "label_contrast";
/// Of bundles with a sentence encoder.
const SENTENCE: &str = "sentence_features";
const RETRAIN_SENTENCES: &str =
    "it has no planes over the features of sentences that this version reads: train the bundle again";
const DATA_FILES: [&str; 4] = [WEIGHTS, VECTORS, VOCABULARY, GOLDEN];
/// All files of a bundle.
pub(crate) const FILES: [&str; 5] = [WEIGHTS, VECTORS, VOCABULARY, GOLDEN, MANIFEST];

/// Why a bundle was refused.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    #[error("{}: cannot read {file}: {source}; is this a folder that `triage train` wrote?", folder.display())]
    Unreadable { folder: PathBuf, file: &'static str, source: io::Error },
    #[error("cannot write {}: {source}", path.display())]
    Unwritable { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    #[error(
        "{0} is not the file that the manifest names: it was changed or cut off, or the bundle is still being written; \
         copy or train the bundle again"
    )]
    Changed(&'static str),
    #[error("weights.safetensors: {0}")]
    Weights(String),
    #[error("vectors.safetensors: {0}")]
    Vectors(#[from] VectorsError),
    #[error("vocab.txt has no [UNK]")]
    Vocabulary,
    #[error("golden.jsonl, line {line}: {problem}")]
    Golden { line: usize, problem: String },
    #[error(transparent)]
    Encoder(#[from] EncoderError),
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

/// Reads a folder and says whether its files are what its manifest names.
pub(crate) fn check_folder(folder: &Path) -> Result<(), BundleError> {
    let files = read(folder)?;
    let manifest = Manifest::parse(files.get(MANIFEST).map(Cow::as_ref).unwrap_or_default())?;
    check_hashes(&manifest, &files)
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
    use fmt::Write as _;
    Sha256::digest(bytes).iter().fold(String::new(), |mut hex, byte| {
        // Writing into a string never fails.
        _ = write!(hex, "{byte:02x}");
        hex
    })
}

/// Planes and label space as a safetensors file.
pub(crate) fn write_weights(planes: &Planes, space: &LabelSpace) -> Result<Vec<u8>, BundleError> {
    let weights_error = |error: safetensors::SafeTensorError| BundleError::Weights(error.to_string());
    let (features, columns) = (planes.keys.len(), planes.bias.len());
    let keys: Vec<u8> = planes.keys.iter().flat_map(|key| key.to_le_bytes()).collect();
    let floats = |values: &[f32]| values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>();
    let (idf, scales, dense, bias) =
        (floats(&planes.idf), floats(&planes.scales), floats(&planes.dense), floats(&planes.bias));
    let weights: Vec<u8> = planes.weights.iter().map(|weight| weight.cast_unsigned()).collect();
    let means: Vec<u8> = space.means.iter().flat_map(TextVector::to_bytes).collect();
    let contrast = floats(&space.contrast);
    let view = |dtype, shape, data| TensorView::new(dtype, shape, data).map_err(weights_error);
    let mut tensors = BTreeMap::from([
        ("keys", view(Dtype::U64, vec![features], &keys)?),
        ("idf", view(Dtype::F32, vec![features], &idf)?),
        ("scales", view(Dtype::F32, vec![features], &scales)?),
        ("weights", view(Dtype::I8, vec![features, columns], &weights)?),
        ("dense", view(Dtype::F32, vec![columns, DIMENSIONS], &dense)?),
        ("bias", view(Dtype::F32, vec![columns], &bias)?),
    ]);
    let sentence = floats(&planes.sentence);
    if !sentence.is_empty() {
        tensors.insert(SENTENCE, view(Dtype::F32, vec![columns, planes.sentence.len() / columns.max(1)], &sentence)?);
    }
    if !means.is_empty() {
        tensors.insert(LABEL_MEANS, view(Dtype::I8, vec![space.means.len(), DIMENSIONS], &means)?);
        tensors.insert(LABEL_CONTRAST, view(Dtype::F32, vec![space.contrast.len()], &contrast)?);
    }
    safetensors::serialize(tensors, None).map_err(weights_error)
}

/// Reads planes of `columns` columns, with so many values for the features of sentences; refuses other shapes and numbers
/// that are not finite.
pub(crate) fn read_planes(
    file: &[u8],
    columns: usize,
    sentence_features: Option<usize>,
) -> Result<Planes, BundleError> {
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
    let of_sentences = |features: usize| {
        // Planes over the sentence's vector itself are of another version.
        let found =
            tensors.tensor(SENTENCE).map(|_| ()).map_err(|_| BundleError::Weights(RETRAIN_SENTENCES.to_owned()));
        found.and_then(|()| floats(SENTENCE, &[columns, features]))
    };
    let features = tensors.tensor("keys").map_or(0, |keys| keys.shape().iter().product());
    let (keys, _) = tensor("keys", Dtype::U64, &[features])?.as_chunks::<8>();
    Ok(Planes {
        keys: keys.iter().map(|bytes| u64::from_le_bytes(*bytes)).collect(),
        idf: floats("idf", &[features])?,
        scales: floats("scales", &[features])?,
        weights: tensor("weights", Dtype::I8, &[features, columns])?.iter().map(|byte| byte.cast_signed()).collect(),
        dense: floats("dense", &[columns, DIMENSIONS])?,
        sentence: sentence_features.map_or(Ok(Vec::new()), of_sentences)?,
        bias: floats("bias", &[columns])?,
    })
}

/// Reads the space of so many labels; an empty one of a bundle that was trained before there were any.
pub(crate) fn read_label_space(file: &[u8], labels: usize) -> Result<LabelSpace, BundleError> {
    let tensors = SafeTensors::deserialize(file).map_err(|error| BundleError::Weights(error.to_string()))?;
    let invalid = |name: &str| BundleError::Weights(format!("tensor `{name}` has another shape or type than expected"));
    let mut space = LabelSpace::default();
    if let Ok(tensor) = tensors.tensor(LABEL_MEANS) {
        if tensor.dtype() != Dtype::I8 || tensor.shape() != [labels, DIMENSIONS] {
            return Err(invalid(LABEL_MEANS));
        }
        space.means = tensor.data().chunks(DIMENSIONS).filter_map(TextVector::from_bytes).collect();
    }
    if let Ok(tensor) = tensors.tensor(LABEL_CONTRAST) {
        if tensor.dtype() != Dtype::F32 || !matches!(tensor.shape(), [0 | label_space::TRIANGLE]) {
            return Err(invalid(LABEL_CONTRAST));
        }
        let (values, _) = tensor.data().as_chunks::<4>();
        space.contrast = values.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
        if !space.contrast.iter().all(|value| value.is_finite()) {
            return Err(BundleError::Weights(format!("tensor `{LABEL_CONTRAST}` holds a number that is not finite")));
        }
    }
    Ok(space)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::classify::{Classifier, embedded};

    /// The default bundle with one file changed, and its hash put right.
    fn changed(file: &'static str, change: impl Fn(&mut Vec<u8>)) -> Files {
        let mut files = embedded::default_bundle();
        let mut bytes = files.get(file).unwrap().to_vec();
        change(&mut bytes);
        files.insert(file, bytes.into());
        if file != MANIFEST {
            let mut manifest = Manifest::parse(files.get(MANIFEST).unwrap()).unwrap();
            manifest.files = hashes(&files);
            files.insert(MANIFEST, manifest.write().unwrap().into());
        }
        files
    }

    fn replaced(from: &str, to: &str) -> impl Fn(&mut Vec<u8>) {
        move |bytes| *bytes = String::from_utf8(bytes.clone()).unwrap().replacen(from, to, 1).into_bytes()
    }

    fn check(files: &Files, reason: &str) {
        let error = Classifier::with_encoder(files, None).unwrap_err().to_string();
        assert!(error.contains(reason), "{error}");
    }

    #[test]
    fn a_damaged_bundle_is_refused_with_the_reason() {
        check(
            &changed(MANIFEST, replaced("format_version = 3", "format_version = 4")),
            "format version 4 is not the 3",
        );
        check(&changed(MANIFEST, replaced("feature_version = ", "feature_version = 9")), "feature version 9");
        check(&changed(MANIFEST, replaced("seed", "sead")), "sead");
        check(&changed(MANIFEST, Vec::clear), "manifest.toml cannot be read");
        check(&changed(WEIGHTS, |bytes| bytes.truncate(100_000)), "weights.safetensors");
        check(&changed(VECTORS, |bytes| bytes.truncate(100_000)), "vectors.safetensors");
        check(&changed(VOCABULARY, Vec::clear), "vocab.txt has no [UNK]");
        check(&changed(GOLDEN, replaced("confidence\":0.", "confidence\":1.")), "golden.jsonl, line 1");

        let mut files = embedded::default_bundle();
        files.insert(WEIGHTS, Cow::Borrowed(b"other"));
        check(&files, "weights.safetensors is not the file that the manifest names");
    }

    #[test]
    fn weights_of_other_shapes_or_without_numbers_are_refused() {
        let manifest = Manifest::parse(embedded::default_bundle().get(MANIFEST).unwrap()).unwrap();
        let file = embedded::default_bundle().get(WEIGHTS).unwrap().to_vec();
        let columns = manifest.columns();
        assert!(read_planes(&file, columns + 1, None).unwrap_err().to_string().contains("tensor"));
        let mut planes = read_planes(&file, columns, None).unwrap();
        let mut space = read_label_space(&file, columns - 1).unwrap();
        assert_eq!(write_weights(&planes, &space).unwrap(), file);
        let error = read_label_space(&file, columns).unwrap_err().to_string();
        assert!(error.contains("`label_means` has another shape"), "{error}");
        let before_there_were_any = write_weights(&planes, &LabelSpace::default()).unwrap();
        assert_eq!(read_label_space(&before_there_were_any, columns - 1).unwrap(), LabelSpace::default());
        planes.bias[0] = f32::NAN;
        let nan = read_planes(&write_weights(&planes, &space).unwrap(), columns, None).unwrap_err();
        assert!(nan.to_string().contains("`bias` holds a number that is not finite"), "{nan}");
        space.contrast[0] = f32::INFINITY;
        let infinite = read_label_space(&write_weights(&planes, &space).unwrap(), columns - 1).unwrap_err().to_string();
        assert!(infinite.contains("`label_contrast` holds a number that is not finite"), "{infinite}");
    }

    #[test]
    fn a_folder_read_while_it_is_written_is_never_a_mixture() {
        let bundle = |version: &'static str| {
            let mut files: Files =
                DATA_FILES.map(|name| (name, Cow::from(format!("{name} {version}").into_bytes()))).into();
            let mut manifest = Manifest::parse(embedded::default_bundle().get(MANIFEST).unwrap()).unwrap();
            manifest.files = hashes(&files);
            files.insert(MANIFEST, manifest.write().unwrap().into());
            files
        };
        let (old, new) = (bundle("old"), bundle("new"));
        let names: Vec<_> = old.keys().copied().collect();
        for mixture in 0..1_u32 << names.len() {
            let of_new = |name: usize| mixture & 1 << name != 0;
            let chosen =
                names.iter().enumerate().map(|(number, name)| (if of_new(number) { &new } else { &old }, *name));
            let files: Files = chosen.map(|(from, name)| (name, from.get(name).unwrap().clone())).collect();
            let whole = files == old || files == new;
            let checked = check_hashes(&Manifest::parse(files.get(MANIFEST).unwrap()).unwrap(), &files);
            assert_eq!(checked.is_ok(), whole, "{mixture:b}");
            assert!(whole || matches!(checked, Err(BundleError::Changed(_))), "{checked:?}");
        }
    }
}

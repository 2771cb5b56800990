//! The text of a file behind its packing: gzip taken off, the byte order mark too, with the place that reading is at.
//! What is wrong with the packing is named; UTF-16 is refused.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read, Seek, SeekFrom},
    path::Path,
};

use flate2::bufread::MultiGzDecoder;

use super::RowsError;

const UTF8_BOM: [u8; 3] = [0xEF, 0xBB, 0xBF];
const UTF16_BOMS: [[u8; 2]; 2] = [[0xFF, 0xFE], [0xFE, 0xFF]];
const BUFFER_BYTES: usize = 1 << 16;

/// The content of one file.
pub(super) struct Content {
    packing: Packing,
    /// What was read to find a byte order mark, and was none.
    start: Vec<u8>,
    bom_bytes: u64,
    position: u64,
    file_bytes: u64,
}

enum Packing {
    Plain(BufReader<File>),
    Gzip(Box<BufReader<Gunzip>>),
}

impl Content {
    pub(super) fn open(path: &Path, gzip: bool) -> Result<Self, RowsError> {
        let unreadable = |source| RowsError::unreadable(path, source);
        let file = File::open(path).map_err(unreadable)?;
        let file_bytes = file.metadata().map_err(unreadable)?.len();
        let packing = if gzip {
            Packing::Gzip(Box::new(BufReader::with_capacity(BUFFER_BYTES, Gunzip::new(file))))
        } else {
            Packing::Plain(BufReader::with_capacity(BUFFER_BYTES, file))
        };
        let mut content = Self { packing, start: Vec::new(), bom_bytes: 0, position: 0, file_bytes };
        let mut start = Vec::with_capacity(UTF8_BOM.len());
        content.by_ref().take(UTF8_BOM.len() as u64).read_to_end(&mut start).map_err(unreadable)?;
        if UTF16_BOMS.iter().any(|bom| start.starts_with(bom)) {
            return Err(RowsError::Utf16 { path: path.to_owned() });
        }
        if start == UTF8_BOM {
            content.bom_bytes = UTF8_BOM.len() as u64;
        } else {
            content.start = start;
        }
        content.position = 0;
        Ok(content)
    }

    /// Whether the content began with a byte order mark.
    pub(super) fn has_bom(&self) -> bool {
        self.bom_bytes > 0
    }

    /// Bytes consumed so far, the byte order mark left out.
    pub(super) fn position(&self) -> u64 {
        self.position
    }

    /// Bytes of the file itself that were read, and its size.
    pub(super) fn progress(&self) -> (u64, u64) {
        let read = match &self.packing {
            Packing::Plain(_) => self.bom_bytes + self.position,
            Packing::Gzip(reader) => reader.get_ref().decoder.get_ref().get_ref().read,
        };
        (read, self.file_bytes)
    }

    /// Goes forward to this position; false where the content ends before it.
    pub(super) fn skip_to(&mut self, position: u64) -> io::Result<bool> {
        if let Packing::Plain(reader) = &mut self.packing {
            let byte = self.bom_bytes + position;
            if byte > self.file_bytes {
                return Ok(false);
            }
            self.start.clear();
            reader.seek(SeekFrom::Start(byte))?;
            self.position = position;
        }
        while self.position < position {
            let found = self.fill_buf()?.len();
            if found == 0 {
                return Ok(false);
            }
            self.consume(usize::try_from(position - self.position).map_or(found, |left| left.min(found)));
        }
        Ok(true)
    }

    /// Skips line ends and thus empty lines; the number of line feeds among them.
    pub(super) fn skip_line_ends(&mut self) -> io::Result<u64> {
        let mut lines = 0;
        loop {
            let buffer = self.fill_buf()?;
            let all = buffer.len();
            let ends = buffer.iter().take_while(|byte| matches!(byte, b'\r' | b'\n'));
            let (count, feeds) =
                ends.fold((0, 0), |(count, feeds), byte| (count + 1, feeds + u64::from(*byte == b'\n')));
            lines += feeds;
            self.consume(count);
            if count < all || all == 0 {
                return Ok(lines);
            }
        }
    }
}

impl Read for Content {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let count = self.fill_buf()?.read(bytes)?;
        self.consume(count);
        Ok(count)
    }
}

impl BufRead for Content {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if !self.start.is_empty() {
            return Ok(&self.start);
        }
        match &mut self.packing {
            Packing::Plain(reader) => reader.fill_buf(),
            Packing::Gzip(reader) => reader.fill_buf(),
        }
    }

    fn consume(&mut self, count: usize) {
        self.position += count as u64;
        if !self.start.is_empty() {
            self.start.drain(..count);
            return;
        }
        match &mut self.packing {
            Packing::Plain(reader) => reader.consume(count),
            Packing::Gzip(reader) => reader.consume(count),
        }
    }
}

/// Unpacks all members of a gzip file.
struct Gunzip {
    decoder: MultiGzDecoder<BufReader<Counted>>,
    is_gzip: bool,
}

impl Gunzip {
    fn new(file: File) -> Self {
        let decoder = MultiGzDecoder::new(BufReader::with_capacity(BUFFER_BYTES, Counted { file, read: 0 }));
        let is_gzip = decoder.header().is_some();
        Self { decoder, is_gzip }
    }

    fn explained(&self, error: io::Error) -> io::Error {
        // Without a header the decoder stands before a member: the first, or what follows the last whole one.
        let in_member = self.decoder.header().is_some();
        let ended = error.kind() == io::ErrorKind::UnexpectedEof;
        let fault = if !ended && !matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData) {
            return error;
        } else if self.is_gzip && !in_member {
            GzipFault::Followed
        } else if ended {
            GzipFault::CutOff
        } else if !self.is_gzip {
            GzipFault::NotGzip
        } else {
            GzipFault::Damaged(error)
        };
        io::Error::new(io::ErrorKind::InvalidData, fault)
    }
}

impl Read for Gunzip {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.decoder.read(bytes).map_err(|error| self.explained(error))
    }
}

#[derive(Debug, thiserror::Error)]
enum GzipFault {
    #[error("not gzip, though its name ends with .gz: rename it, or fetch it again")]
    NotGzip,
    #[error("the gzip was cut off before its end: fetch or export the file again")]
    CutOff,
    #[error("behind the end of the gzip stands something else: was the file cut off, or added to? Fetch it again")]
    Followed,
    #[error("the gzip is damaged ({0}): fetch or export the file again")]
    Damaged(io::Error),
}

/// A file that counts the bytes read from it.
struct Counted {
    file: File,
    read: u64,
}

impl Read for Counted {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read(bytes)?;
        self.read += count as u64;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use crate::rows::{RowError, Rows};

    fn gzipped(content: &[u8]) -> Vec<u8> {
        let mut file = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        file.write_all(content).unwrap();
        file.finish().unwrap()
    }

    fn incompressible() -> String {
        let line = |number: u64| format!("{{\"a\": {}}}\n", number.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        (0..50_000).map(line).collect()
    }

    fn written(name: &str, content: &[u8]) -> (tempfile::TempDir, std::path::PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        (folder, path)
    }

    #[test]
    fn a_broken_archive_ends_the_file() {
        let packed = gzipped(incompressible().as_bytes());
        let (_folder, path) = written("a.jsonl.gz", &packed[..packed.len() / 2]);
        let fatal: Vec<_> =
            Rows::open(&path, &[]).unwrap().map(|row| row.as_ref().is_err_and(RowError::is_fatal)).collect();
        assert!(fatal.len() > 1_000);
        assert_eq!(fatal.iter().filter(|fatal| **fatal).count(), 1);
        assert_eq!(fatal.last(), Some(&true));
    }

    #[test]
    fn progress_counts_the_packed_bytes() {
        let content = incompressible();
        for (name, packed) in [("a.jsonl", content.clone().into_bytes()), ("a.jsonl.gz", gzipped(content.as_bytes()))] {
            let (_folder, path) = written(name, &packed);
            let size = packed.len() as u64;
            let mut rows = Rows::open(&path, &[]).unwrap();
            assert!(rows.by_ref().take(25_000).all(|row| row.is_ok()));
            let (read, whole) = rows.progress();
            assert_eq!(whole, size);
            assert!(read.abs_diff(size / 2) < size / 5, "{read} of {size}");
            let resumed = Rows::open_at(&path, &[], rows.position()).unwrap();
            assert!(resumed.progress().0.abs_diff(read) < size / 5);
            assert_eq!(rows.count(), 25_000);
        }
    }

    #[test]
    fn what_is_wrong_with_a_whole_file_is_said() {
        let json = "{\"a\": \"Some text\"}\n".repeat(3);
        let packed = gzipped(json.as_bytes());
        let cut = |bytes: usize| packed[..packed.len() - bytes].to_vec();
        let mut damaged = packed.clone();
        damaged[20] ^= 0x55;
        let utf16: Vec<u8> =
            [0xFF, 0xFE].into_iter().chain("a,b\n".encode_utf16().flat_map(u16::to_le_bytes)).collect();
        for (name, content, expected) in [
            ("a.csv", utf16.clone(), "a.csv: UTF-16, save the file as UTF-8"),
            ("a.jsonl.gz", gzipped(&[0xFE, 0xFF, 0, b'{']), "a.jsonl.gz: UTF-16, save the file as UTF-8"),
            (
                "a.csv",
                b"a,\"b\n1,2\n".to_vec(),
                "a quote that is not closed: all 2 lines to the end of the file are one row",
            ),
            ("a.csv", b"a,\xff\n".to_vec(), "not UTF-8, save the file as UTF-8"),
            ("a.csv.gz", b"id,text\n1,printer\n".to_vec(), "not gzip, though its name ends with .gz"),
            ("a.csv.gz", Vec::new(), "the gzip was cut off before its end"),
            ("a.jsonl.gz", cut(4), "the gzip was cut off before its end"),
            ("a.jsonl.gz", cut(12), "the gzip was cut off before its end"),
            (
                "a.jsonl.gz",
                [&packed[..], b"garbage that is no gzip"].concat(),
                "behind the end of the gzip stands something else",
            ),
            ("a.jsonl.gz", [&packed[..], b"x"].concat(), "behind the end of the gzip stands something else"),
            ("a.jsonl.gz", [&packed[..], &packed[..30]].concat(), "the gzip was cut off before its end"),
            ("a.jsonl.gz", damaged, "the gzip is damaged"),
        ] {
            let (_folder, path) = written(name, &content);
            let message = match Rows::open(&path, &[]) {
                Err(error) => error.to_string(),
                Ok(rows) => {
                    let errors: Vec<_> = rows.filter_map(Result::err).collect();
                    assert!(errors.len() == 1 && errors[0].is_fatal(), "{errors:?}");
                    errors[0].to_string()
                }
            };
            assert!(message.contains(expected), "{message} instead of {expected}");
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.csv");
        std::fs::create_dir(&path).unwrap();
        let message = Rows::open(&path, &[]).err().unwrap().to_string();
        assert!(message.ends_with("a.csv is a folder: name a file of rows"), "{message}");
    }
}

//! `triage redact`: takes out of texts and files what must not be kept, by the same rules as training and serving.

use std::{
    fmt::Write as _,
    fs::File,
    io::{self, BufRead, BufReader, BufWriter, Read, Write},
    path::{Path, PathBuf},
    time::Instant,
};

use anyhow::Context;
use serde_json::{Map, Value, json};

use super::{UsageError, output, progress::Progress};
use crate::{
    domain::steering,
    encode::redact::{Numbers, Redactor},
    rows::{RowWriter, Rows},
};

/// Longest line of a text, in bytes.
const MAX_LINE_BYTES: u64 = 64 << 20;
/// So many bytes of lines wait at most for the end of a key.
const MAX_HELD_BYTES: usize = 64 << 10;

/// Replaces e-mail addresses, telephone and card numbers, passwords, keys and the like by placeholders such as
/// `<email>`; prints the text, or with --out writes a file and prints what was replaced.
#[derive(Debug, clap::Args)]
pub(super) struct RedactArgs {
    /// Texts to read, in UTF-8; standard input where none is given
    #[arg(value_name = "FILE", conflicts_with = "input")]
    files: Vec<PathBuf>,
    /// Rows to read: .jsonl, .ndjson or .csv, each also with .gz; needs --text and --out
    #[arg(long, value_name = "FILE", requires = "text", requires = "out")]
    input: Option<PathBuf>,
    /// Columns of --input to redact; the others stay as they are
    #[arg(long, value_delimiter = ',', value_name = "COLUMN,…", requires = "input")]
    text: Vec<String>,
    /// File for the result: of rows, in the format of the input
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Print what was replaced as one JSON document; needs --out
    #[arg(long, requires = "out")]
    json: bool,
}

pub(super) fn run(args: &RedactArgs, redactor: &Redactor) -> anyhow::Result<()> {
    let started = Instant::now();
    let replaced = vec![0; redactor.names().len()];
    let mut done = Done { redactor, read: 0, changed: 0, failed: 0, replaced };
    match &args.input {
        Some(input) => redact_rows(input, args, &mut done)?,
        None => redact_texts(args, &mut done)?,
    }
    let Some(out) = &args.out else { return Ok(()) };
    let mut stdout = io::stdout().lock();
    let Done { read, changed, failed, .. } = done;
    if args.json {
        let replaced = done.by_name().map(|(name, count)| (name.to_owned(), count.into()));
        let replaced = replaced.collect::<Map<String, Value>>();
        let seconds = started.elapsed().as_secs_f64();
        let document = match &args.input {
            Some(_) => {
                json!({"rows": read, "changed": changed, "failed": failed, "replaced": replaced, "seconds": seconds})
            }
            None => json!({"lines": read, "replaced": replaced, "seconds": seconds}),
        };
        writeln!(stdout, "{document}")?;
    } else {
        let what =
            if args.input.is_some() { format!("{changed} of {read} rows changed") } else { format!("{read} lines") };
        writeln!(stdout, "{}: {what}; replaced {}", out.display(), done.kinds())?;
    }
    stdout.flush()?;
    let input = args.input.as_deref().unwrap_or(Path::new(""));
    anyhow::ensure!(done.failed == 0, "{} rows of {} could not be read and are left out", done.failed, input.display());
    Ok(())
}

/// What was replaced.
struct Done<'a> {
    redactor: &'a Redactor,
    /// Lines or rows.
    read: u64,
    /// Rows.
    changed: u64,
    failed: u64,
    /// By number of the placeholder's name.
    replaced: Vec<u64>,
}

impl Done<'_> {
    fn add(&mut self, numbers: &Numbers) {
        for (name, replaced) in self.replaced.iter_mut().enumerate() {
            *replaced += numbers.replaced(name);
        }
    }

    fn by_name(&self) -> impl Iterator<Item = (&str, u64)> {
        self.redactor
            .names()
            .iter()
            .map(String::as_str)
            .zip(self.replaced.iter().copied())
            .filter(|(_, count)| *count > 0)
    }

    fn kinds(&self) -> String {
        let mut kinds = String::new();
        for (place, (name, count)) in self.by_name().enumerate() {
            // Writing to a string cannot fail.
            write!(kinds, "{}{count} {name}", if place == 0 { "" } else { ", " }).ok();
        }
        if kinds.is_empty() { "nothing".to_owned() } else { kinds }
    }
}

fn redact_rows(input: &Path, args: &RedactArgs, done: &mut Done<'_>) -> anyhow::Result<()> {
    let Some(out) = &args.out else { return Err(UsageError("--input needs --out".to_owned()).into()) };
    output::check("--out", out, &[input.to_owned()])?;
    let rows = Rows::open(input, &[])?;
    if !rows.fit_into(out)? {
        let message =
            format!("--out {} has another format than {}: give it the same extension", out.display(), input.display());
        return Err(UsageError(message).into());
    }
    rows.require(&args.text.iter().map(String::as_str).collect::<Vec<_>>())?;
    let mut writer = RowWriter::create(out, rows.header())?;
    let bar = Progress::counting("rows");
    for row in rows {
        bar.step();
        let mut row = match row {
            Ok(row) => row,
            Err(error) if error.is_fatal() => return Err(error.into()),
            Err(error) => {
                done.failed += 1;
                bar.warn(format_args!("{error}; row left out"));
                continue;
            }
        };
        // The columns of a row are one text: the same value is the same placeholder in all of them.
        let mut numbers = Numbers::default();
        let changed =
            row.change(&args.text, |text| Some(done.redactor.read(&steering::without(text), &mut numbers).made?.0));
        done.read += 1;
        done.changed += u64::from(changed);
        done.add(&numbers);
        writer.write(&row).with_context(|| format!("cannot write {}", out.display()))?;
    }
    bar.finish();
    writer.finish().with_context(|| format!("cannot write {}", out.display()))
}

fn redact_texts(args: &RedactArgs, done: &mut Done<'_>) -> anyhow::Result<()> {
    let (mut sink, name): (Box<dyn Write>, _) = match &args.out {
        Some(out) => {
            output::check("--out", out, &args.files)?;
            let name = format!("cannot write {}", out.display());
            (Box::new(BufWriter::new(File::create(out).with_context(|| name.clone())?)), Some(name))
        }
        None => (Box::new(BufWriter::new(io::stdout().lock())), None),
    };
    let mut numbers = Numbers::default();
    let mut copy = |input: Box<dyn Read>, from: &str| {
        copy_redacted(BufReader::new(input), from, &mut sink, &mut numbers, done).map_err(|error| {
            match (&name, error) {
                // A reader that has gone is told by the bare error.
                (None, CopyError::Output(error)) => error.into(),
                (Some(name), CopyError::Output(error)) => anyhow::Error::new(error).context(name.clone()),
                (_, CopyError::Input(error)) => error,
            }
        })
    };
    if args.files.is_empty() {
        copy(Box::new(io::stdin().lock()), "standard input")?;
    }
    for path in &args.files {
        let from = path.display().to_string();
        let file = File::open(path).with_context(|| format!("cannot read {from}"))?;
        copy(Box::new(file), &from)?;
    }
    done.add(&numbers);
    Ok(())
}

enum CopyError {
    Input(anyhow::Error),
    Output(io::Error),
}

/// Copies a text line by line. Lines wait for those behind them while a key is open, or while a password may stand on
/// the next; what waits for input is written at once, so that the end of a growing file can be read through this.
fn copy_redacted(
    mut input: BufReader<Box<dyn Read>>,
    from: &str,
    sink: &mut dyn Write,
    numbers: &mut Numbers,
    done: &mut Done<'_>,
) -> Result<(), CopyError> {
    let mut held = String::new();
    let mut line = Vec::new();
    loop {
        line.clear();
        let refuse = |problem: &str, number: u64| anyhow::anyhow!("{from}, line {number}: {problem}");
        let read = input.by_ref().take(MAX_LINE_BYTES).read_until(b'\n', &mut line);
        let read = read.with_context(|| format!("cannot read {from}")).map_err(CopyError::Input)?;
        if line.len() as u64 == MAX_LINE_BYTES {
            return Err(CopyError::Input(refuse("longer than 64 MiB", done.read + 1)));
        }
        let text = std::str::from_utf8(&line);
        let text = text.map_err(|_| CopyError::Input(refuse("not UTF-8, save the file as UTF-8", done.read + 1)))?;
        held.push_str(text);
        if read > 0 && held.len() < MAX_HELD_BYTES && waits_for_more(&held) {
            done.read += 1;
            continue;
        }
        done.read += u64::from(read > 0);
        // What parts a word unseen must not hide it; it stays where there is nothing to hide.
        match done.redactor.read(&steering::without(&held), numbers).made {
            Some((made, _)) => {
                sink.write_all(made.as_bytes()).map_err(CopyError::Output)?;
            }
            None => sink.write_all(held.as_bytes()).map_err(CopyError::Output)?,
        }
        held.clear();
        if read == 0 {
            return sink.flush().map_err(CopyError::Output);
        }
        if !input.buffer().contains(&b'\n') {
            sink.flush().map_err(CopyError::Output)?;
        }
    }
}

/// Whether what stands on the next line may belong to these.
fn waits_for_more(held: &str) -> bool {
    const SHORTEST_KEY_LINE: usize = 24;
    let last = held.trim_end().rsplit('\n').next().unwrap_or_default().trim();
    let is_of_key = |byte: u8| byte.is_ascii_alphanumeric() || b"+/=".contains(&byte);
    let key_line = last.len() >= SHORTEST_KEY_LINE && last.bytes().all(is_of_key);
    let open_key = held.rfind("-----BEGIN ").is_some_and(|begin| !held[begin..].contains("-----END "));
    last.ends_with([':', '=']) || key_line || open_key
}

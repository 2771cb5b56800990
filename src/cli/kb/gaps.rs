//! `triage kb gaps`: what the knowledge base lacks, for people as a list to work off, for programs as one document.

use std::{
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
};

use anyhow::Context as _;
use clap::Args;
use serde_json::{Value, json};

use super::super::{
    DEFAULT_DATA_DIR, UsageError, block_on, data_dir,
    job::number,
    progress::Progress,
    render::{printable, shortened},
};
use crate::{
    config::Config,
    domain::{
        article::Day,
        decision::Versions,
        feedback::ArticleUsage,
        gaps::{
            ArticleFinding, ArticleFindings, ArticleName, GapCluster, GapExample, GapQuery, GapReport, Listed,
            LookedAt, NamedArticle, NearDuplicates, NearestArticle, Standing, TypicalLabel,
        },
    },
    feedback::Feedback,
    grpc::client::Client,
    knowledge,
    triage::{GapSearch, Suggester, percent},
};

/// Articles of each list that people are shown.
const SHOWN_ARTICLES: usize = 10;
const TITLE_CHARS: usize = 80;

#[derive(Debug, Args)]
pub(in super::super) struct GapsArgs {
    /// Folder with the knowledge base and the memory
    #[arg(long, value_name = "DIR", default_value = DEFAULT_DATA_DIR)]
    data_dir: PathBuf,
    /// Ask a running server
    #[arg(long, value_name = "ADDRESS", conflicts_with = "data_dir")]
    server: Option<String>,
    /// Look at tickets resolved from this day on, and at those of no known day; default 90 days ago
    #[arg(long, value_name = "YYYY-MM-DD", value_parser = day)]
    since: Option<Day>,
    /// Most clusters to show; default 20
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=GapQuery::MAX_TOP as i64))]
    top: Option<u32>,
    /// Most tickets to look at, those that changed last; default 20,000
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=GapQuery::MAX_TICKETS as i64))]
    max_tickets: Option<u32>,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

fn day(raw: &str) -> Result<Day, String> {
    Day::parse(raw).ok_or_else(|| "not a day, such as 2026-01-31".to_owned())
}

pub(super) fn run(args: &GapsArgs, config: &Config) -> anyhow::Result<ExitCode> {
    let today = knowledge::today().context("the system's clock shows no date")?;
    if args.since.is_some_and(|since| since > today) {
        return Err(UsageError(format!("--since must not be in the future; today is {today}")).into());
    }
    let report = match &args.server {
        Some(address) => block_on(async {
            Client::connect(address, &config.client).await?.gaps(args.since, args.top, args.max_tickets).await
        })?,
        None => search(args, config, today)?,
    };
    let mut out = io::stdout().lock();
    if args.json {
        writeln!(out, "{}", report_json(&report))?;
    } else {
        table(&mut out, &report)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn search(args: &GapsArgs, config: &Config, today: Day) -> anyhow::Result<GapReport> {
    let store = super::existing_store(&args.data_dir)?;
    let knowledge = data_dir::knowledge(&store, &args.data_dir, config)?;
    let memory = data_dir::memory(&store, &args.data_dir, config)?;
    let feedback = Feedback::open(store, memory.clone())?;
    let suggester = Suggester::new(knowledge, Some(memory), config.redactor.clone())?;
    let query = GapQuery {
        since: args.since.unwrap_or_else(|| knowledge::days_before(today, GapQuery::DEFAULT_DAYS)),
        top: args.top.map_or(GapQuery::DEFAULT_TOP, |top| top as usize),
        tickets: args.max_tickets.map_or(GapQuery::MAX_TICKETS, |most| most as usize),
    };
    let mut search = GapSearch::begin(&suggester, feedback, query, today)?;
    let bar = Progress::counting("steps of looking for gaps");
    while search.step()? {
        bar.step();
    }
    bar.finish();
    let (report, _) = search.finish(Versions::default())?;
    Ok(report)
}

fn table(out: &mut impl Write, report: &GapReport) -> io::Result<()> {
    let GapReport { since, tickets, clusters, clusters_total, articles } = report;
    summary(out, *since, tickets, *clusters_total)?;
    for (place, one) in (1_u64..).zip(clusters) {
        writeln!(out)?;
        cluster(out, place, one)?;
    }
    let shown = clusters.len() as u64;
    if *clusters_total > shown {
        writeln!(out, "\n… and {} smaller clusters (--top)", number(clusters_total - shown))?;
    }
    article_lists(out, articles, tickets.looked_at)
}

fn summary(out: &mut impl Write, since: Day, tickets: &LookedAt, clusters: u64) -> io::Result<()> {
    let LookedAt { looked_at, undated, unanswered, clustered, is_cut } = *tickets;
    if looked_at == 0 {
        return writeln!(
            out,
            "no confirmed ticket since {since}: fill the memory with `triage memory import`, or look further back with \
             --since"
        );
    }
    let undated = if undated > 0 { format!(", {} of no known day", number(undated)) } else { String::new() };
    let cut = if is_cut { "; there are more, these changed last" } else { "" };
    writeln!(out, "{} tickets since {since}{undated}{cut}", number(looked_at))?;
    let (open, within) = (number(unanswered), number(clustered));
    match (unanswered, clusters) {
        (0, _) => writeln!(out, "articles answer all of them"),
        (_, 0) => writeln!(out, "no article answers {open} of them, and no three of these are about one thing"),
        (_, 1) => writeln!(out, "no article answers {open} of them; {within} of these are in one cluster"),
        (_, all) => {
            writeln!(out, "no article answers {open} of them; {within} of these are in {} clusters", number(all))
        }
    }
}

fn cluster(out: &mut impl Write, place: u64, cluster: &GapCluster) -> io::Result<()> {
    let GapCluster { tickets, first_seen, last_seen, terms, examples, ticket_ids: _, nearest, named, labels, likeness } =
        cluster;
    let seen = match (first_seen, last_seen) {
        (Some(first), Some(last)) if first == last => format!(", {first}"),
        (Some(first), Some(last)) => format!(", {first} to {last}"),
        (_, _) => String::new(),
    };
    let terms: Vec<_> = terms.iter().map(|term| printable(term)).collect();
    let terms = if terms.is_empty() { "no words in common".to_owned() } else { terms.join(" · ") };
    writeln!(out, "{place:>3}  {terms}")?;
    writeln!(out, "     {} tickets{seen}, {} alike", number(*tickets), percent(*likeness))?;
    for GapExample { id, summary } in examples {
        writeln!(out, "       {}  {}", printable(id), shortened(summary, TITLE_CHARS))?;
    }
    for NamedArticle { id, title, standing, tickets } in named {
        let standing = match standing {
            Standing::Missing => "is not in the knowledge base",
            Standing::Draft => "is a draft",
            Standing::Retired => "is retired",
            Standing::Expired => "has expired",
        };
        writeln!(out, "     {} solved by {}, which {standing}", number(*tickets), named_article(id, title))?;
    }
    if let Some(NearestArticle { id, title, tickets: first }) = nearest {
        let (first, all) = (number(*first), number(*tickets));
        writeln!(out, "     near is {} (first suggestion for {first} of {all})", named_article(id, title))?;
    }
    for TypicalLabel { field, value, tickets, labelled } in labels {
        let field = field.replace('_', " ");
        writeln!(out, "     {field} {} ({} of {})", printable(value), number(*tickets), number(*labelled))?;
    }
    Ok(())
}

fn named_article(id: &str, title: &str) -> String {
    let title = shortened(title, TITLE_CHARS);
    let title = if title.is_empty() { String::new() } else { format!(" “{title}”") };
    format!("{}{title}", printable(id))
}

fn article_lists(out: &mut impl Write, findings: &ArticleFindings, tickets: u64) -> io::Result<()> {
    let ArticleFindings { articles, never_suggested, never_helpful, expired, near_duplicates, compared } = findings;
    if *articles == 0 {
        return writeln!(out, "\nthere is no article: fill the knowledge base with `triage kb import`");
    }
    let of_tickets = format!("Never suggested: among the first three for none of {} tickets", number(tickets));
    list(out, &of_tickets, never_suggested, |_| String::new())?;
    list(out, "Offered, and never helpful", never_helpful, |one| {
        let ArticleUsage { shown, clicked, helped: _, refused, solved_tickets: _ } = one.usage;
        let counts = [
            (refused, "refused"),
            (clicked, "opened"),
            (shown, "shown"),
            (one.passed_over, "others solved what it was suggested for"),
        ];
        let said: Vec<_> = counts
            .iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, what)| format!("{what} {}", number(*count)))
            .collect();
        format!(": {}", said.join(", "))
    })?;
    list(out, "Expired", expired, |one| {
        let last = one.valid_until.map(|day| format!(" {day}")).unwrap_or_default();
        format!(":{last}, solved {} tickets", number(one.usage.solved_tickets))
    })?;
    if near_duplicates.total > 0 {
        writeln!(
            out,
            "\nNearly the same text: {} pairs of {} articles",
            number(near_duplicates.total),
            number(*compared)
        )?;
        for NearDuplicates { first, second, similarity } in near_duplicates.first.iter().take(SHOWN_ARTICLES) {
            let [first, second] = [first, second].map(|ArticleName { id, title }| named_article(id, title));
            writeln!(out, "  {:>4}  {first} and {second}", percent(*similarity))?;
        }
        more(out, near_duplicates.total)?;
    }
    Ok(())
}

fn list(
    out: &mut impl Write,
    heading: &str,
    found: &Listed<ArticleFinding>,
    remark: impl Fn(&ArticleFinding) -> String,
) -> io::Result<()> {
    if found.total == 0 {
        return Ok(());
    }
    writeln!(out, "\n{heading}: {}", number(found.total))?;
    for one in found.first.iter().take(SHOWN_ARTICLES) {
        writeln!(out, "  {}{}", named_article(&one.id, &one.title), remark(one))?;
    }
    more(out, found.total)
}

fn more(out: &mut impl Write, total: u64) -> io::Result<()> {
    match total.saturating_sub(SHOWN_ARTICLES as u64) {
        0 => Ok(()),
        rest => writeln!(out, "  … and {} more (--json)", number(rest)),
    }
}

fn report_json(report: &GapReport) -> Value {
    let GapReport { since, tickets, clusters, clusters_total, articles } = report;
    let LookedAt { looked_at, undated, unanswered, clustered, is_cut } = tickets;
    let ArticleFindings { articles, never_suggested, never_helpful, expired, near_duplicates, compared } = articles;
    let list = |listed: &Listed<ArticleFinding>| listed.first.iter().map(finding_json).collect::<Vec<_>>();
    let pair = |NearDuplicates { first, second, similarity }: &NearDuplicates| {
        let [first, second] = [first, second].map(|ArticleName { id, title }| json!({"id": id, "title": title}));
        json!({"first": first, "second": second, "similarity": similarity})
    };
    json!({
        "since": since.to_string(),
        "tickets": {
            "looked_at": looked_at,
            "undated": undated,
            "unanswered": unanswered,
            "clustered": clustered,
            "cut": is_cut,
        },
        "clusters": clusters.iter().map(cluster_json).collect::<Vec<_>>(),
        "clusters_total": clusters_total,
        "articles": {
            "articles": articles,
            "never_suggested": list(never_suggested),
            "never_suggested_total": never_suggested.total,
            "never_helpful": list(never_helpful),
            "never_helpful_total": never_helpful.total,
            "expired": list(expired),
            "expired_total": expired.total,
            "near_duplicates": near_duplicates.first.iter().map(pair).collect::<Vec<_>>(),
            "near_duplicates_total": near_duplicates.total,
            "compared": compared,
        },
    })
}

fn cluster_json(cluster: &GapCluster) -> Value {
    let GapCluster { tickets, first_seen, last_seen, terms, examples, ticket_ids, nearest, named, labels, likeness } =
        cluster;
    let example = |GapExample { id, summary }: &GapExample| json!({"id": id, "summary": summary});
    let nearest = nearest
        .as_ref()
        .map(|NearestArticle { id, title, tickets }| json!({"id": id, "title": title, "tickets": tickets}));
    let named = named.iter().map(|NamedArticle { id, title, standing, tickets }| {
        json!({"id": id, "title": title, "standing": standing.as_str(), "tickets": tickets})
    });
    let labels = labels.iter().map(|TypicalLabel { field, value, tickets, labelled }| {
        json!({"field": field, "value": value, "tickets": tickets, "labelled": labelled})
    });
    json!({
        "tickets": tickets,
        "first_seen": first_seen.map(|day| day.to_string()),
        "last_seen": last_seen.map(|day| day.to_string()),
        "terms": terms,
        "examples": examples.iter().map(example).collect::<Vec<_>>(),
        "ticket_ids": ticket_ids,
        "nearest_article": nearest,
        "named_articles": named.collect::<Vec<_>>(),
        "labels": labels.collect::<Vec<_>>(),
        "likeness": likeness,
    })
}

fn finding_json(finding: &ArticleFinding) -> Value {
    let ArticleFinding { id, title, kind, valid_until, suggested, passed_over, usage } = finding;
    let ArticleUsage { shown, clicked, helped, refused, solved_tickets } = usage;
    json!({
        "id": id,
        "title": title,
        "kind": kind.as_str(),
        "valid_until": valid_until.map(|day| day.to_string()),
        "suggested": suggested,
        "passed_over": passed_over,
        "usage": {
            "shown": shown,
            "clicked": clicked,
            "helped": helped,
            "refused": refused,
            "solved_tickets": solved_tickets,
        },
    })
}

//! Which segments of an index are merged with each other behind a commit.

use tantivy::{
    index::{SegmentId, SegmentMeta},
    indexer::{LogMergePolicy, MergePolicy as _},
};

/// Where deleted documents may stay for a while, this many of a segment's documents in a hundred.
const TOLERATED_DELETIONS_PERCENT: u64 = 20;

/// What a commit asks of the merging behind it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Merging {
    /// It renewed most of the index, which is then merged as a whole.
    pub renews_most: bool,
    /// Deleted documents may stay for a while.
    pub tolerates_deletions: bool,
    pub max_documents: u32,
}

impl Merging {
    /// Groups of segments to merge, each into one. A segment with deletions too many stands in a group even alone:
    /// merging writes it anew without them.
    pub(super) fn groups(self, segments: &[SegmentMeta]) -> Vec<Vec<SegmentId>> {
        if self.renews_most {
            return self.within_size(segments);
        }
        let (to_clean, others): (Vec<_>, Vec<_>) =
            segments.iter().cloned().partition(|segment| self.must_clean(segment));
        let mut policy = LogMergePolicy::default();
        // A search looks up every term in every segment: few are better. Small ones merge among themselves, so that
        // single changes do not rewrite the whole index.
        policy.set_min_num_segments(4);
        policy.set_min_layer_size(100);
        policy.set_max_docs_before_merge(usize::try_from(self.max_documents / 2).unwrap_or(usize::MAX));
        let mut groups = Vec::new();
        for candidate in policy.compute_merge_candidates(&others) {
            let members: Vec<_> =
                others.iter().filter(|segment| candidate.0.contains(&segment.id())).cloned().collect();
            groups.extend(self.within_size(&members));
        }
        groups.extend(self.within_size(&to_clean));
        groups
    }

    fn must_clean(self, segment: &SegmentMeta) -> bool {
        let deleted = u64::from(segment.num_deleted_docs());
        let tolerated = if self.tolerates_deletions { TOLERATED_DELETIONS_PERCENT } else { 0 };
        deleted * 100 > u64::from(segment.max_doc()) * tolerated
    }

    /// The segments in groups that do not exceed the size, smallest first; no group of one that is clean already.
    fn within_size(self, segments: &[SegmentMeta]) -> Vec<Vec<SegmentId>> {
        let mut by_size = segments.to_vec();
        by_size.sort_by_key(SegmentMeta::num_docs);
        let mut groups: Vec<Vec<SegmentId>> = Vec::new();
        let mut documents = u32::MAX;
        for segment in by_size {
            documents = documents.saturating_add(segment.num_docs());
            match groups.last_mut() {
                Some(group) if documents <= self.max_documents => group.push(segment.id()),
                Some(_) | None => {
                    documents = segment.num_docs();
                    groups.push(vec![segment.id()]);
                }
            }
        }
        let is_clean = |id: &SegmentId| !segments.iter().any(|segment| segment.id() == *id && self.must_clean(segment));
        groups.retain(|group| group.len() > 1 || group.iter().any(|id| !is_clean(id)));
        groups
    }
}

#[cfg(test)]
mod tests {
    use crate::{
        domain::article::Article,
        knowledge::{index::DerivedIndex, schema::Fields},
        store::Store,
    };

    fn articles(count: usize) -> Vec<Article> {
        let body = "word ".repeat(2_000);
        (0..count)
            .map(|number| Article {
                id: number.to_string(),
                title: "T".into(),
                body: body.clone(),
                ..Article::default()
            })
            .collect()
    }

    #[test]
    fn many_changes_end_in_one_segment_and_single_ones_leave_it_alone() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        store.upsert_articles(&articles(3), 0).unwrap();
        let index: DerivedIndex<Fields> = DerivedIndex::open(&store, &folder.path().join("index"), None).unwrap();
        store.upsert_articles(&articles(1_000), 0).unwrap();
        index.catch_up(&store).unwrap();
        assert_eq!((index.snapshot().segments.len(), index.documents()), (1, 1_000));
        for number in 0..9 {
            let article = Article { id: format!("new {number}"), title: "T".into(), ..Article::default() };
            store.upsert_articles(&[article], 0).unwrap();
            index.catch_up(&store).unwrap();
            let documents: Vec<_> = index.snapshot().segments.iter().map(|segment| segment.documents).collect();
            assert!(documents.contains(&1_000) && documents.len() <= 4, "{documents:?}");
        }
    }
}

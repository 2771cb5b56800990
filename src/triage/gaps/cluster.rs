//! Which tickets are about one thing. Each ticket is compared with those that share its rarest words; the pairs that are
//! most alike on average are merged first (group-average agglomerative clustering, Manning, Raghavan and Schütze 2008,
//! chapter 17.3), along these neighbours only, so that the cost grows nearly with the number of tickets. Of the tree that
//! this leaves, the clusters are taken that hold together longest (excess of mass, Campello, Moulavi and Sander 2013):
//! a frequent topic may be tighter than a rare one, and no cut of the whole tree fits both. The same tickets, in the same
//! order, give the same clusters.

use std::{
    cmp::Reverse,
    collections::{BTreeSet, BinaryHeap},
    mem,
};

use super::text::Point;

/// Fewer tickets are no cluster.
pub(super) const MIN_TICKETS: usize = 3;
/// Less like tickets, or groups of them on average, are never put together. Chosen on public questions, as are all
/// numbers here.
pub(super) const MIN_LIKENESS: f32 = 0.1;
/// Tickets that each is compared with.
const CANDIDATES: usize = 60;
/// The nearest of them are its neighbours.
const NEIGHBOURS: usize = 30;
/// Groups that a group may be merged with; the least like are forgotten.
const MAX_EDGES: usize = 120;
/// Postings that are read for one ticket: with more of them words that half of the tickets hold decide nothing more.
const MAX_POSTINGS: usize = 20_000;

/// Tickets on their way to clusters.
pub(super) struct Clustering {
    tickets: usize,
    /// As long as they are compared.
    points: Vec<Point>,
    /// By the number of a word, the tickets that hold it with its weight.
    postings: Vec<Vec<(u32, f32)>>,
    /// Ticket that is compared next.
    next: usize,
    /// Sums of the points' likeness to each number of words, while they are compared.
    scores: Vec<f32>,
    groups: Vec<Option<Group>>,
    /// The group of number `tickets + n` came from the n-th merge.
    merges: Vec<Merge>,
    /// The likeness in bits, which order as positive numbers do, and the groups.
    queue: BinaryHeap<(u32, Reverse<(usize, usize)>)>,
    spread: Vec<f32>,
}

/// Tickets that were merged, not yet merged further.
struct Group {
    sum: Point,
    tickets: usize,
    /// Groups that it may be merged with.
    edges: BTreeSet<usize>,
}

#[derive(Debug, Clone, Copy)]
struct Merge {
    of: [usize; 2],
    likeness: f32,
    tickets: usize,
}

impl Clustering {
    pub(super) fn new(points: Vec<Point>) -> Self {
        let words = points.iter().flat_map(|point| point.words.iter().map(|(number, _)| *number as usize + 1));
        let words = words.max().unwrap_or(0);
        let mut postings = vec![Vec::new(); words];
        for (ticket, point) in (0_u32..).zip(&points) {
            for (number, weight) in &point.words {
                postings[*number as usize].push((ticket, *weight));
            }
        }
        let group = |point: &Point| Some(Group { sum: point.clone(), tickets: 1, edges: BTreeSet::new() });
        let groups = points.iter().map(group).collect();
        Self {
            tickets: points.len(),
            scores: vec![0.0; points.len()],
            groups,
            points,
            postings,
            next: 0,
            merges: Vec::new(),
            queue: BinaryHeap::new(),
            spread: vec![0.0; words],
        }
    }

    /// Compares some tickets or merges some groups; whether there is more to do.
    pub(super) fn step(&mut self, amount: usize) -> bool {
        for _ in 0..amount {
            if self.next < self.tickets {
                self.compare(self.next);
                self.next += 1;
                continue;
            }
            (self.points, self.postings) = (Vec::new(), Vec::new());
            if !self.merge() {
                return false;
            }
        }
        true
    }

    /// Finds the neighbours of a ticket.
    fn compare(&mut self, ticket: usize) {
        let point = &self.points[ticket];
        let mut words: Vec<(u32, f32)> = point.words.clone();
        words.sort_by(|(a, a_weight), (b, b_weight)| b_weight.total_cmp(a_weight).then(a.cmp(b)));
        let (mut touched, mut read) = (Vec::new(), 0);
        for (number, weight) in words {
            let postings = &self.postings[number as usize];
            read += postings.len();
            if read > MAX_POSTINGS && !touched.is_empty() {
                break;
            }
            for (other, their_weight) in postings {
                let score = &mut self.scores[*other as usize];
                if *score <= 0.0 {
                    touched.push(*other as usize);
                }
                *score += weight * their_weight;
            }
        }
        // Of many that are equally like, those that stand nearest: were they the same few for all, every copy of a text
        // would hang on these.
        let apart = |other: usize| {
            let steps = ticket.abs_diff(other);
            (steps.min(self.tickets - steps), other)
        };
        let mut candidates: Vec<(f32, (usize, usize))> = Vec::with_capacity(touched.len());
        for other in touched {
            let score = mem::take(&mut self.scores[other]);
            if other != ticket {
                candidates.push((score, apart(other)));
            }
        }
        keep_best(&mut candidates, CANDIDATES);
        let mut near: Vec<(f32, (usize, usize))> = candidates
            .into_iter()
            .map(|(_, (apart, other))| (point.likeness(&self.points[other]), (apart, other)))
            .collect();
        near.retain(|(likeness, _)| *likeness >= MIN_LIKENESS);
        keep_best(&mut near, NEIGHBOURS);
        for (likeness, (_, other)) in near {
            self.connect(ticket, other, likeness);
        }
    }

    fn connect(&mut self, one: usize, other: usize, likeness: f32) {
        for (from, to) in [(one, other), (other, one)] {
            if let Some(group) = &mut self.groups[from]
                && !group.edges.insert(to)
            {
                return;
            }
        }
        self.queue.push((likeness.to_bits(), Reverse((one.min(other), one.max(other)))));
    }

    /// Merges the two groups that are most alike; whether there were such.
    fn merge(&mut self) -> bool {
        while let Some((likeness, Reverse((first, second)))) = self.queue.pop() {
            if self.groups[first].is_none() || self.groups[second].is_none() {
                continue;
            }
            let (Some(mut group), Some(other)) = (self.groups[first].take(), self.groups[second].take()) else {
                continue;
            };
            let number = self.groups.len();
            group.sum.add(&other.sum);
            group.tickets += other.tickets;
            let around: BTreeSet<usize> = mem::take(&mut group.edges).into_iter().chain(other.edges).collect();
            self.merges.push(Merge { of: [first, second], likeness: f32::from_bits(likeness), tickets: group.tickets });
            let near = self.nearest(&group, around, [first, second]);
            self.groups.push(Some(group));
            for (likeness, other) in near {
                self.connect(number, other, likeness);
            }
            return true;
        }
        false
    }

    /// The groups around one that it may be merged with, most alike first; those of the numbers `gone` are no more.
    fn nearest(&mut self, group: &Group, around: BTreeSet<usize>, gone: [usize; 2]) -> Vec<(f32, usize)> {
        for (number, weight) in &group.sum.words {
            self.spread[*number as usize] = *weight;
        }
        let mut near = Vec::with_capacity(around.len());
        for other in around {
            let Some(theirs) = self.groups[other].as_mut() else { continue };
            for gone in &gone {
                theirs.edges.remove(gone);
            }
            let pairs = as_float(group.tickets * theirs.tickets);
            let likeness = theirs.sum.likeness_to(&self.spread, &group.sum.vector) / pairs;
            if likeness >= MIN_LIKENESS {
                near.push((likeness, other));
            }
        }
        for (number, _) in &group.sum.words {
            self.spread[*number as usize] = 0.0;
        }
        keep_best(&mut near, MAX_EDGES);
        near
    }

    /// The clusters, each with its tickets in order.
    pub(super) fn finish(self) -> Vec<Vec<usize>> {
        excess_of_mass(self.tickets, &self.merges)
    }
}

/// The best, best first; of equals the first.
fn keep_best<T: Ord>(found: &mut Vec<(f32, T)>, most: usize) {
    let order = |(a, a_number): &(f32, T), (b, b_number): &(f32, T)| b.total_cmp(a).then(a_number.cmp(b_number));
    if found.len() > most {
        found.select_nth_unstable_by(most, order);
        found.truncate(most);
    }
    found.sort_unstable_by(order);
}

/// What is known of a group of the tree when its parts are.
#[derive(Debug, Clone, Copy, Default)]
struct Mass {
    tickets: usize,
    /// How long the group holds together, times its tickets.
    own: f32,
    /// The same of the best clusters within it.
    best: f32,
    /// It is better as one cluster.
    is_whole: bool,
}

/// The clusters of a tree that have most mass together: a cluster's is the number of its tickets times by how much the
/// likeness falls before it is merged with another cluster. What joins it meanwhile without being one belongs to it.
fn excess_of_mass(tickets: usize, merges: &[Merge]) -> Vec<Vec<usize>> {
    let mut merged_at = vec![MIN_LIKENESS; tickets + merges.len()];
    let mut is_root = vec![true; tickets + merges.len()];
    for Merge { of, likeness, .. } in merges {
        for part in of {
            (merged_at[*part], is_root[*part]) = (*likeness, false);
        }
    }
    let mut masses = vec![Mass { tickets: 1, ..Mass::default() }; tickets];
    for (number, Merge { of, likeness, tickets }) in (tickets..).zip(merges) {
        let parts = of.map(|part| masses[part]);
        let best = parts[0].best + parts[1].best;
        let falls = (likeness - merged_at[number]).max(0.0);
        let mut mass = Mass { tickets: *tickets, own: 0.0, best, is_whole: false };
        if *tickets >= MIN_TICKETS {
            // Where only one of the parts is a cluster, this is the same one, grown.
            let clusters = parts.map(|part| part.tickets >= MIN_TICKETS);
            let before = match clusters {
                [true, false] => parts[0].own,
                [false, true] => parts[1].own,
                [true, true] | [false, false] => 0.0,
            };
            mass.own = before + as_float(*tickets) * falls;
            mass.is_whole = mass.own >= best;
            mass.best = mass.own.max(best);
        }
        masses.push(mass);
    }
    let mut clusters = Vec::new();
    let roots = (tickets..masses.len()).filter(|number| is_root[*number]);
    let mut open: Vec<usize> = roots.collect();
    while let Some(number) = open.pop() {
        if masses[number].is_whole {
            clusters.push(members(tickets, merges, number));
        } else if let Some(Merge { of, .. }) = number.checked_sub(tickets).and_then(|merge| merges.get(merge)) {
            open.extend(of);
        }
    }
    clusters.sort_unstable();
    clusters
}

/// The tickets of a group, in order.
fn members(tickets: usize, merges: &[Merge], group: usize) -> Vec<usize> {
    let (mut members, mut open) = (Vec::new(), vec![group]);
    while let Some(number) = open.pop() {
        match number.checked_sub(tickets).and_then(|merge| merges.get(merge)) {
            Some(Merge { of, .. }) => open.extend(of),
            None => members.push(number),
        }
    }
    members.sort_unstable();
    members
}

#[expect(clippy::cast_precision_loss, reason = "counts of tickets and of their pairs, as shares")]
pub(super) fn as_float(count: usize) -> f32 {
    count as f32
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{super::text::points_of, *};

    fn clusters(points: Vec<Point>) -> Vec<Vec<usize>> {
        let mut clustering = Clustering::new(points);
        while clustering.step(7) {}
        clustering.finish()
    }

    fn clusters_of(texts: &[(&str, &str)]) -> Vec<Vec<usize>> {
        clusters(points_of(texts))
    }

    #[test]
    fn tickets_about_one_thing_stand_together() {
        let texts = [
            ("badge reader at the north gate is dead", "the door stays shut"),
            ("scanner sends blank pages", "feeder of the scanner"),
            ("badge reader at the gate blinks red", "door does not open"),
            ("blank pages from the scanner", ""),
            ("gate: badge reader broken again", "I stand before the door"),
            ("how do I order a new mouse", ""),
            ("all pages that I scan are blank", "scanner on floor two"),
        ];
        assert_eq!(clusters_of(&texts), [vec![0, 2, 4], vec![1, 3, 6]]);
    }

    #[test]
    fn two_tickets_are_no_cluster_and_copies_are_one() {
        let copy = ("toner is empty", "");
        let many = vec![copy; 1_000];
        for (texts, expected) in [
            (&[][..], vec![]),
            (&[copy], vec![]),
            (&[copy, copy], vec![]),
            (&[copy; 3], vec![vec![0, 1, 2]]),
            (many.as_slice(), vec![(0..1_000).collect()]),
            (&[("", ""); 5], vec![]),
        ] {
            assert_eq!(clusters_of(texts), expected, "{} texts", texts.len());
        }
    }

    #[test]
    fn a_tree_is_cut_where_clusters_hold_together_longest() {
        // Two threes that are alike within, and hardly to each other.
        let merge = |of, likeness, tickets| Merge { of, likeness, tickets };
        let two = [
            merge([0, 1], 0.9, 2),
            merge([6, 2], 0.8, 3),
            merge([3, 4], 0.9, 2),
            merge([8, 5], 0.8, 3),
            merge([7, 9], 0.2, 6),
        ];
        assert_eq!(excess_of_mass(6, &two), [vec![0, 1, 2], vec![3, 4, 5]]);
        // Where they are nearly as alike to each other as within, they are one.
        let one = [two[0], two[1], two[2], two[3], merge([7, 9], 0.78, 6)];
        assert_eq!(excess_of_mass(6, &one), [vec![0, 1, 2, 3, 4, 5]]);
        assert!(excess_of_mass(2, &[merge([0, 1], 0.9, 2)]).is_empty());
    }

    proptest! {
        #[test]
        fn a_ticket_is_in_one_cluster_at_most_and_steps_change_nothing(
            texts in proptest::collection::vec("(badge|gate|toner|scan|vpn|mouse)( (badge|gate|toner|scan|vpn|mouse)){0,4}", 0..40),
            amount in 1_usize..50,
        ) {
            let texts: Vec<(&str, &str)> = texts.iter().map(|text| (text.as_str(), "")).collect();
            let points = points_of(&texts);
            let found = clusters(points.clone());
            let mut tickets: Vec<usize> = found.iter().flatten().copied().collect();
            prop_assert!(found.iter().all(|cluster| cluster.len() >= MIN_TICKETS && cluster.is_sorted()));
            tickets.sort_unstable();
            let all = tickets.len();
            tickets.dedup();
            prop_assert_eq!(tickets.len(), all);
            let mut clustering = Clustering::new(points);
            while clustering.step(amount) {}
            prop_assert_eq!(clustering.finish(), found);
        }
    }
}

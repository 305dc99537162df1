//! The order of steps as a graph: what comes before what, what goes round in circles, and how many may run
//! at once.

use std::collections::{BTreeMap, VecDeque};

use super::InlineStep;

/// Steps by their places, each as one bit.
pub(super) type Set = u128;

/// What each step runs after. Holds at most 128 steps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Graph(Vec<Set>);

/// A set of one.
pub(super) const fn one(step: usize) -> Set {
    1 << step
}

/// The steps of a set, in their order.
pub(super) fn members(set: Set) -> impl Iterator<Item = usize> {
    let mut rest = set;
    std::iter::from_fn(move || {
        (rest != 0).then(|| {
            let next = rest.trailing_zeros();
            rest &= rest - 1;
            next as usize
        })
    })
}

impl Graph {
    /// The graph with these direct predecessors.
    pub(super) const fn new(before: Vec<Set>) -> Self {
        Self(before)
    }

    /// The graph of checked steps.
    pub(super) fn of(steps: &[InlineStep]) -> Self {
        let places: BTreeMap<&str, usize> =
            steps.iter().enumerate().map(|(index, step)| (step.name.as_str(), index)).collect();
        let before = steps.iter().map(|step| {
            let places = step.depends_on.iter().filter_map(|name| places.get(name.as_str()));
            places.fold(0, |set, place| set | one(*place))
        });
        Self(before.collect())
    }

    /// How many steps there are.
    pub(super) const fn len(&self) -> usize {
        self.0.len()
    }

    /// What this step directly runs after.
    pub(super) fn before(&self, step: usize) -> Set {
        self.0.get(step).copied().unwrap_or_default()
    }

    /// Everything that each step runs after. Right for graphs with circles as well.
    pub(super) fn ancestors(&self) -> Vec<Set> {
        let mut reach = self.0.clone();
        for middle in 0..self.len() {
            let further = reach.get(middle).copied().unwrap_or_default();
            for set in &mut reach {
                if *set & one(middle) != 0 {
                    *set |= further;
                }
            }
        }
        reach
    }

    /// One circle through each group of steps that wait for each other: the shortest through its first
    /// step, which stands at both ends. A step that runs after itself alone is none.
    pub(super) fn circles(&self) -> Vec<Vec<usize>> {
        let ancestors = self.ancestors();
        let waits_for = |one_step: usize, other: usize| {
            ancestors.get(one_step).is_some_and(|set| set & one(other) != 0)
        };
        let mut told: Set = 0;
        let mut circles = Vec::new();
        for first in 0..self.len() {
            let group = (0..self.len())
                .filter(|other| waits_for(first, *other) && waits_for(*other, first))
                .fold(0, |set: Set, other| set | one(other));
            if told & one(first) != 0 || group.count_ones() < 2 {
                continue;
            }
            told |= group;
            circles.extend(self.circle_through(first));
        }
        circles
    }

    /// The shortest way from a step along what it runs after back to itself.
    fn circle_through(&self, first: usize) -> Option<Vec<usize>> {
        let mut came_from: BTreeMap<usize, usize> = BTreeMap::new();
        let mut next = VecDeque::from([first]);
        while let Some(step) = next.pop_front() {
            for before in members(self.before(step)).filter(|before| *before != step) {
                if before == first {
                    let back = std::iter::successors(Some(step), |at| came_from.get(at).copied());
                    let mut way: Vec<usize> = std::iter::once(first).chain(back).collect();
                    way.reverse();
                    return Some(way);
                }
                came_from.entry(before).or_insert_with(|| {
                    next.push_back(before);
                    step
                });
            }
        }
        None
    }

    /// How many steps could run at once. By Dilworth, so many chains are needed to hold all steps, which
    /// is the number of steps less the size of a greatest matching of steps with later ones.
    pub(super) fn width(&self) -> usize {
        let ancestors = self.ancestors();
        let mut matched: Vec<Option<usize>> = vec![None; self.len()];
        let found = (0..self.len())
            .filter(|later| {
                let mut seen = 0;
                augment(*later, &ancestors, &mut matched, &mut seen)
            })
            .count();
        self.len() - found
    }
}

/// Finds an earlier partner for `later`, and makes others change theirs for it.
fn augment(later: usize, earlier: &[Set], matched: &mut [Option<usize>], seen: &mut Set) -> bool {
    let partners = earlier.get(later).copied().unwrap_or_default();
    for partner in members(partners) {
        if *seen & one(partner) != 0 {
            continue;
        }
        *seen |= one(partner);
        let free = match matched.get(partner).copied().flatten() {
            None => true,
            Some(other) => augment(other, earlier, matched, seen),
        };
        if free {
            if let Some(slot) = matched.get_mut(partner) {
                *slot = Some(later);
            }
            return true;
        }
    }
    false
}

//! Lanes: how at most so many steps run at once, although Tekton starts whatever may start.
//!
//! The steps are laid onto as many lanes as may run at once, and each runs after the one before it in its
//! lane. Since each lane runs one step at a time, no more run at once, whatever each takes. A failed step
//! stops the run in any case, so that running after one more step keeps nothing from running that would
//! have run.

use super::graph::{Graph, Set, members, one};

/// After which step each step has to run as well. No step at all when no more than `limit` could run at
/// once anyway. The graph has no circles.
pub(super) fn lanes(graph: &Graph, limit: usize) -> Vec<Option<usize>> {
    let mut after = vec![None; graph.len()];
    if limit == 0 || graph.width() <= limit {
        return after;
    }
    let heights = heights(graph);
    let height = |step: &usize| heights.get(*step).copied().unwrap_or_default();
    // What each step runs after, with what the lanes add.
    let mut ancestors: Vec<Set> = vec![0; graph.len()];
    let mut lanes: Vec<Option<usize>> = vec![None; limit];
    let mut done: Set = 0;
    // In each round every lane takes one step, as if all steps took the same time. Those with the longest
    // way to the end go first.
    loop {
        let mut ready: Vec<usize> = (0..graph.len())
            .filter(|step| done & one(*step) == 0 && graph.before(*step) & !done == 0)
            .collect();
        if ready.is_empty() {
            return after;
        }
        ready.sort_by_key(|step| (std::cmp::Reverse(height(step)), *step));
        ready.truncate(limit);
        for step in &ready {
            let own = members(graph.before(*step)).fold(graph.before(*step), |set, before| {
                set | ancestors.get(before).copied().unwrap_or_default()
            });
            if let Some(set) = ancestors.get_mut(*step) {
                *set = own;
            }
        }
        let mut taken = vec![false; limit];
        // Who follows an ancestor waits for nothing new, nor who begins a lane.
        let follows = |step: usize, last: Option<usize>, ancestors: &[Set]| {
            last.is_none_or(|last| ancestors.get(step).is_some_and(|set| set & one(last) != 0))
        };
        for anything in [false, true] {
            ready.retain(|step| {
                let fits = |(lane, last): (usize, &Option<usize>)| {
                    (!taken.get(lane).copied().unwrap_or(true)
                        && (anything || follows(*step, *last, &ancestors)))
                    .then_some(lane)
                };
                // An ancestor's lane before an empty one, which others may need.
                let mut order: Vec<_> = lanes.iter().enumerate().collect();
                order.sort_by_key(|(lane, last)| (last.is_none(), *lane));
                let Some(lane) = order.into_iter().find_map(fits) else { return true };
                let last = lanes.get_mut(lane).and_then(|last| last.replace(*step));
                if let Some(taken) = taken.get_mut(lane) {
                    *taken = true;
                }
                if let Some(last) = last
                    && !follows(*step, Some(last), &ancestors)
                {
                    let further = one(last) | ancestors.get(last).copied().unwrap_or_default();
                    if let Some(set) = ancestors.get_mut(*step) {
                        *set |= further;
                    }
                    if let Some(after) = after.get_mut(*step) {
                        *after = Some(last);
                    }
                }
                done |= one(*step);
                false
            });
        }
    }
}

/// How many steps stand on the longest way from each step to the end.
fn heights(graph: &Graph) -> Vec<usize> {
    let mut heights = vec![1; graph.len()];
    // After as many rounds as there are steps the longest way is known.
    for _ in 0..graph.len() {
        for step in 0..graph.len() {
            let height = heights.get(step).copied().unwrap_or_default();
            for before in members(graph.before(step)) {
                if let Some(own) = heights.get_mut(before) {
                    *own = (*own).max(height + 1);
                }
            }
        }
    }
    heights
}

//! No more at once than wished, in an order that keeps what was asked for.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::{
    super::{InlineWorkflow, StepDraft, graph::Graph},
    mk_draft,
};

fn name(step: usize) -> String {
    format!("s{step}")
}

/// Up to 40 steps; each depends on some of those before it.
fn mk_drafts() -> impl Strategy<Value = Vec<StepDraft>> {
    (1_usize..40, 0.0_f64..0.6).prop_flat_map(|(count, density)| {
        let edges = prop::collection::vec(prop::bool::weighted(density), count * count);
        edges.prop_map(move |edges| {
            let steps = (0..count).map(|step| {
                let before = (0..step).filter(|before| edges[step * count + before]).map(name);
                StepDraft { depends_on: before.collect(), ..mk_draft(&name(step), &[]) }
            });
            // The order of the request says nothing.
            steps.rev().collect()
        })
    })
}

/// The graph of the compiled order.
fn compiled(steps: &InlineWorkflow) -> Graph {
    let places: BTreeMap<&str, usize> =
        steps.steps().iter().enumerate().map(|(place, step)| (step.name.as_str(), place)).collect();
    let before = steps.run_after().into_iter().map(|names| {
        names.into_iter().fold(0, |set, name| set | super::super::graph::one(places[name]))
    });
    Graph::new(before.collect())
}

/// The size of the largest set of steps of which none waits for another, by trying them all.
fn width_by_trying(graph: &Graph) -> usize {
    let ancestors = graph.ancestors();
    let apart = |set: u128| {
        (0..graph.len())
            .filter(|step| set & (1 << step) != 0)
            .all(|step| ancestors[step] & set == 0)
    };
    (0_u128..1 << graph.len())
        .filter(|set| apart(*set))
        .map(|set| set.count_ones() as usize)
        .max()
        .unwrap_or(0)
}

proptest! {
    #[test]
    fn no_more_could_run_at_once_than_wished(drafts in mk_drafts(), limit in 1_i32..12) {
        let steps = InlineWorkflow::new(drafts, limit).unwrap();
        let graph = compiled(&steps);
        prop_assert!(graph.circles().is_empty());
        prop_assert!(graph.width() <= steps.max_parallel() as usize);
    }

    #[test]
    fn what_was_asked_for_is_kept(drafts in mk_drafts(), limit in 1_i32..12) {
        let steps = InlineWorkflow::new(drafts, limit).unwrap();
        for (step, after) in steps.steps().iter().zip(steps.run_after()) {
            prop_assert!(after.len() <= step.depends_on.len() + 1);
            prop_assert!(after.iter().zip(&step.depends_on).all(|(one, other)| one == other));
        }
    }

    #[test]
    fn nothing_is_added_when_there_is_no_need(drafts in mk_drafts(), limit in 1_i32..40) {
        let steps = InlineWorkflow::new(drafts, limit).unwrap();
        let narrow = Graph::of(steps.steps()).width() <= steps.max_parallel() as usize;
        let added = steps.steps().iter().zip(steps.run_after())
            .any(|(step, after)| after.len() > step.depends_on.len());
        prop_assert_eq!(added, !narrow);
    }

    #[test]
    fn what_is_added_was_not_so_already(drafts in mk_drafts(), limit in 1_i32..12) {
        let steps = InlineWorkflow::new(drafts, limit).unwrap();
        let own = Graph::of(steps.steps()).ancestors();
        for (place, (step, after)) in steps.steps().iter().zip(steps.run_after()).enumerate() {
            for name in &after[step.depends_on.len()..] {
                let other = steps.steps().iter().position(|step| step.name == *name).unwrap();
                prop_assert_eq!(own[place] & (1 << other), 0);
            }
        }
    }

    #[test]
    fn the_same_steps_are_ordered_the_same_way(drafts in mk_drafts(), limit in 1_i32..12) {
        let once = InlineWorkflow::new(drafts.clone(), limit).unwrap();
        let again = InlineWorkflow::new(drafts, limit).unwrap();
        prop_assert_eq!(once.run_after(), again.run_after());
    }

    #[test]
    fn the_width_is_the_largest_set_that_could_run_at_once(
        edges in prop::collection::vec(any::<bool>(), 81),
    ) {
        let before = (0..9).map(|step| {
            (0..step).filter(|before| edges[step * 9 + before]).fold(0, |set, at| set | 1_u128 << at)
        });
        let graph = Graph::new(before.collect());
        prop_assert_eq!(graph.width(), width_by_trying(&graph));
    }
}

#[test]
fn a_wide_diamond_runs_two_steps_in_each_lane() {
    let middle: Vec<String> = (1..=8).map(|n| format!("m{n}")).collect();
    let mut drafts = vec![mk_draft("first", &[])];
    drafts.extend(middle.iter().map(|name| mk_draft(name, &["first"])));
    drafts.push(mk_draft("last", &middle.iter().map(String::as_str).collect::<Vec<_>>()));
    let steps = InlineWorkflow::new(drafts, 4).unwrap();
    let after: Vec<String> = steps.run_after().iter().map(|after| after.join(" ")).collect();
    assert_eq!(
        after,
        [
            "",
            "first",
            "first",
            "first",
            "first",
            "first m1",
            "first m2",
            "first m3",
            "first m4",
            "m1 m2 m3 m4 m5 m6 m7 m8"
        ]
    );
}

#[test]
fn one_at_a_time_is_a_chain() {
    let drafts = ["a", "b", "c"].map(|name| mk_draft(name, &[])).to_vec();
    let steps = InlineWorkflow::new(drafts, 1).unwrap();
    assert_eq!(steps.run_after(), [vec![], vec!["a"], vec!["b"]]);
}

#[test]
fn a_hundred_independent_steps_are_ordered_at_once() {
    let drafts = (0..100).map(|n| mk_draft(&name(n), &[])).collect();
    let steps = InlineWorkflow::new(drafts, 0).unwrap();
    assert_eq!(compiled(&steps).width(), 5);
}

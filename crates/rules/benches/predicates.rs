//! How long it takes to judge the largest sweep.

#![allow(missing_docs, reason = "criterion's macros expand to undocumented items")]

#[path = "../tests/all/common/mod.rs"]
mod common;

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};

fn predicates(criterion: &mut Criterion) {
    let kinds: Vec<_> = common::DEPOSIT_KINDS.into_iter().cycle().take(20).collect();
    let world = common::deposit_sweep(&kinds);
    criterion.bench_function("predicates of a 20-deposit sweep", |bencher| {
        bencher.iter(|| {
            let report = coxswain_rules::evaluate(black_box(&world.case), black_box(&world.snapshot));
            assert_eq!(report.expect("the snapshot is complete").first(), None);
        });
    });
}

criterion_group!(benches, predicates);
criterion_main!(benches);

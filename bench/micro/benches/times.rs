//! How long each operation takes: `cargo bench -p genesys-notifications-micro [-- part of a name]`.

use criterion::{BatchSize, Criterion, Throughput};
use genesys_notifications_micro::operations;

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    for operation in operations() {
        let mut group = criterion.benchmark_group(operation.name);
        // Shown as operations a second.
        group.throughput(Throughput::Elements(operation.times.into()));
        group.bench_function("run", |bencher| {
            bencher.iter_batched_ref(|| operation.prepare(), |run| run(), BatchSize::PerIteration);
        });
        group.finish();
    }
    criterion.final_summary();
}

//! Does one operation, for callgrind: `micro <name>`. Without a name it lists them all: how often, a tab, the name.
#![allow(clippy::print_stdout)]

use std::process::ExitCode;

use genesys_notifications_micro::operations;

fn main() -> ExitCode {
    let all = operations();
    let Some(wanted) = std::env::args().nth(1) else {
        for operation in all {
            println!("{}\t{}", operation.times, operation.name);
        }
        return ExitCode::SUCCESS;
    };
    let Some(operation) = all.iter().find(|operation| operation.name == wanted) else {
        eprintln!("no operation is named '{wanted}'");
        return ExitCode::FAILURE;
    };
    let mut run = operation.prepare();
    counted(&mut *run);
    ExitCode::SUCCESS
}

/// What callgrind counts, with everything that it calls: see `bench/counts.mjs`.
#[inline(never)]
fn counted(run: &mut dyn FnMut()) {
    run();
}

//! Threads for the keys of one batch.

use std::sync::LazyLock;

use rayon::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::core::machine::Workspace;

/// As many threads as Polars takes; they only ever work while one of Polars' own waits for them.
static POOL: LazyLock<Option<ThreadPool>> = LazyLock::new(|| {
    let threads = std::env::var("POLARS_MAX_THREADS")
        .ok()
        .and_then(|n| n.parse().ok())
        .or_else(|| std::thread::available_parallelism().ok().map(usize::from))
        .unwrap_or(1);
    // Without a pool the work is done where it is asked for: slower, never wrong.
    (threads > 1)
        .then(|| {
            ThreadPoolBuilder::new()
                .num_threads(threads)
                .thread_name(|i| format!("rangebar-{i}"))
                .build()
                .ok()
        })
        .flatten()
});

/// Runs `work` on every job, in parallel where there are threads for it.
pub fn for_each<J: Send>(jobs: &mut [J], work: &(impl Fn(&mut J, &mut Workspace) + Sync)) {
    match &*POOL {
        None => {
            let mut workspace = Workspace::default();
            for job in jobs {
                work(job, &mut workspace);
            }
        }
        Some(pool) => pool.install(|| {
            // Few, so that a workspace is made a few times only, but enough to even out.
            let size = jobs.len().div_ceil(pool.current_num_threads() * 4);
            jobs.par_chunks_mut(size).for_each(|jobs| {
                let mut workspace = Workspace::default();
                for job in jobs {
                    work(job, &mut workspace);
                }
            });
        }),
    }
}

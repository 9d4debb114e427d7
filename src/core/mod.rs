//! The range bar itself: pure Rust that knows neither Polars nor Python.
//!
//! Data flows one way through these files:
//!
//! ```text
//! trades (borrowed columns) -> block (a few cache lines of it, on the grid, with partial sums)
//!     -> machine (one key: where bars open, close and are cut) -> bar (what a bar knows)
//! ```
//!
//! `kernels` are the loops over a block, `simd` picks the instruction set they run on. `grid` is
//! what all of it computes on, `quotient` the way back to floats, `rule` what closes a bar, `cuts`
//! where bars are cut off (calendar periods, silences), `time` and `duration` what these are told by,
//! `checkpoint` the text a machine can be put into, `invariants` what must hold for one, `error` what can go wrong.

pub mod bar;
pub mod block;
pub mod checkpoint;
pub mod cuts;
pub mod duration;
pub mod error;
pub mod grid;
pub mod invariants;
pub mod kernels;
pub mod machine;
pub mod quotient;
pub mod rule;
pub mod simd;
pub mod time;
pub mod trades;

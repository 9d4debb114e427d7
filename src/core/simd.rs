//! One loop, compiled for several instruction sets, chosen while running.
//!
//! The wheel must run on plain x86-64 and on aarch64, and yet use what the machine has. The
//! bodies are ordinary safe Rust that the compiler vectorizes; all arithmetic in them is on
//! integers, or on floats whose every step is exact or rounded once, so each version computes
//! the same bits.

#[cfg(target_arch = "x86_64")]
use std::sync::OnceLock;

/// Defines `$name`, which runs `$body` (an `#[inline(always)]` function of the same signature)
/// as compiled for the widest instruction set that this processor has.
macro_rules! widest {
    ($(#[$doc:meta])* $vis:vis fn $name:ident($($arg:ident: $ty:ty),* $(,)?) -> $ret:ty = $body:ident) => {
        $(#[$doc])*
        #[inline]
        $vis fn $name($($arg: $ty),*) -> $ret {
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512bw,bmi1,bmi2,fma")]
                fn avx512($($arg: $ty),*) -> $ret {
                    $body($($arg),*)
                }
                #[target_feature(enable = "avx2,bmi1,bmi2,fma")]
                fn avx2($($arg: $ty),*) -> $ret {
                    $body($($arg),*)
                }
                match $crate::core::simd::level() {
                    // SAFETY: `level` says so only where the processor has all of these.
                    $crate::core::simd::Level::Avx512 => return unsafe { avx512($($arg),*) },
                    // SAFETY: as above.
                    $crate::core::simd::Level::Avx2 => return unsafe { avx2($($arg),*) },
                    $crate::core::simd::Level::Plain => {}
                }
            }
            $body($($arg),*)
        }
    };
}
pub(crate) use widest;

/// What the processor can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    Plain,
    Avx2,
    Avx512,
}

/// The widest level this processor has. Asked for with every block, so found out once.
#[cfg(target_arch = "x86_64")]
#[inline]
#[must_use]
pub fn level() -> Level {
    static LEVEL: OnceLock<Level> = OnceLock::new();
    *LEVEL.get_or_init(detect)
}

#[cfg(target_arch = "x86_64")]
fn detect() -> Level {
    if !(is_x86_feature_detected!("avx2")
        && is_x86_feature_detected!("bmi1")
        && is_x86_feature_detected!("bmi2")
        && is_x86_feature_detected!("fma"))
    {
        return Level::Plain;
    }
    if is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512dq")
        && is_x86_feature_detected!("avx512vl")
        && is_x86_feature_detected!("avx512bw")
    {
        Level::Avx512
    } else {
        Level::Avx2
    }
}

/// Asks for the cache line at `address` ahead of its use. Only a hint: of any address, and of none
/// on processors other than x86-64, for which stable Rust has no such instruction.
#[inline(always)]
#[allow(clippy::inline_always, reason = "one instruction")]
pub fn prefetch<T>(address: *const T) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: the instruction reads nothing that a program could see, and never faults.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(address.cast()) }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = address;
}

//! No panic crosses into the user's process: each becomes an error, which says that it is a bug.
//!
//! A panic that reaches Python is a `PanicException`, which `except Exception` does not catch, and
//! one under a lock leaves a state behind that nobody may use. So every door of the module goes
//! through [`caught`], and whatever changes a state catches its own panics, to undo them.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU8, Ordering};

use super::error::Error;

/// What `f` returns; an error if it panics.
///
/// What `f` was changing may be left half changed: whoever goes on with it undoes that.
///
/// # Errors
/// Those of `f`, and [`Error::Bug`].
pub fn caught<T>(f: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    catch_unwind(AssertUnwindSafe(f)).unwrap_or_else(|payload| Err(Error::Bug(text(&*payload))))
}

fn text(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic without a message".to_owned())
}

/// Where a test can ask for a panic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Place {
    /// On the way into a door, before anything has changed.
    Door = 1,
    /// Once the keys of a batch have their numbers.
    Keys,
    /// When a machine has taken on trades.
    Machine,
    /// Where a frame of bars is made.
    Frame,
    /// In a change of the state that cannot be undone.
    State,
}

impl Place {
    const ALL: [Self; 5] = [Self::Door, Self::Keys, Self::Machine, Self::Frame, Self::State];

    /// The place of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|place| format!("{place:?}").to_lowercase() == name)
    }
}

/// The place of the next panic; 0 for none.
static NEXT: AtomicU8 = AtomicU8::new(0);

/// Lets whoever next comes to `place` panic, on whatever thread. For tests: a panic on purpose is the
/// only way to see what becomes of one.
pub fn panic_next(place: Option<Place>) {
    NEXT.store(place.map_or(0, |place| place as u8), Ordering::Relaxed);
}

/// Panics if a test has asked for it; else costs a look at one byte.
#[inline]
pub fn point(place: Place) {
    if NEXT.load(Ordering::Relaxed) == place as u8 {
        asked_for(place);
    }
}

#[cold]
#[allow(clippy::panic, reason = "the one panic that is wanted")]
fn asked_for(place: Place) {
    panic_next(None);
    panic!("a panic that a test asked for ({place:?})");
}

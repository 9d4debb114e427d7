//! Bars that have ended and wait until a frame of them is worth making.

use crate::columns::output::Ended;

/// No more bars than this wait.
const MOST: usize = 4096;

/// A frame costs as much as hundreds of bars, most of it in Python. So bars wait until they are
/// an eighth of those given before: the first come at once, whoever stops after some bars has
/// read little more than these need, and a long run makes few frames.
#[derive(Default, Clone)]
pub struct Pending {
    bars: Vec<Ended>,
    given: usize,
}

impl Pending {
    /// Takes the bars out: to add to them and put them back, or for good.
    pub fn take(&mut self) -> Vec<Ended> {
        std::mem::take(&mut self.bars)
    }

    /// Whether these are worth a frame.
    pub fn enough(&self, bars: &[Ended]) -> bool {
        bars.len() >= (self.given / 8).clamp(1, MOST)
    }

    /// Puts the bars back, or, once they were `given` in a frame, the room for others: memory that
    /// is fresh for every frame would cost more than to write the bars.
    pub fn put_back(&mut self, mut bars: Vec<Ended>, given: bool) {
        if given {
            self.given += bars.len();
            bars.clear();
            bars.shrink_to(2 * MOST);
        }
        self.bars = bars;
    }
}

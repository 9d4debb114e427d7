//! Bars on their way out, held back until a frame of them is worth making.

use crate::columns::output::Ended;

/// No more bars than this are held back.
const MOST: usize = 4096;

/// A frame costs as much as hundreds of bars, most of it in Python. So bars wait until they are
/// an eighth of those given before: the first come at once, whoever stops after some bars has
/// read little more than these need, and a long run makes few frames.
#[derive(Default)]
pub struct Held {
    bars: Vec<Ended>,
    given: usize,
}

impl Held {
    /// Takes bars. Gives all there are once they are worth it, until then none.
    pub fn add(&mut self, mut bars: Vec<Ended>) -> Vec<Ended> {
        if self.bars.is_empty() {
            self.bars = bars;
        } else {
            self.bars.append(&mut bars);
        }
        let enough = (self.given / 8).clamp(1, MOST);
        if self.bars.len() >= enough { self.take() } else { Vec::new() }
    }

    /// Gives all there are.
    pub fn take(&mut self) -> Vec<Ended> {
        self.given += self.bars.len();
        std::mem::take(&mut self.bars)
    }
}

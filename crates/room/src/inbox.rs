//! A seat's inputs: each once, in order, of the present generation only.

use rally_protocol::{client::v1::Side, cluster::v1::InputRecord};
use smallvec::SmallVec;

use crate::{
    InputRefusal,
    limits::WAITING_INPUTS_MAX,
    save::{Reader, RestoreError, Writer},
};

/// The inputs of one seat that wait for the next tick, or for one before them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Inbox {
    generation: u16,
    /// The highest `n` handed out.
    applied: u32,
    /// The highest `seq` handed out.
    ack: u32,
    /// In order of `n`, each once, all above `applied`. Usually one or two.
    waiting: SmallVec<[InputRecord; 4]>,
}

impl Inbox {
    /// Of the present attachment; 0 before the first.
    pub(crate) fn generation(&self) -> u16 {
        self.generation
    }

    pub(crate) fn applied(&self) -> u32 {
        self.applied
    }

    /// The client's own number of the last input handed out. It does not fall within a generation, whatever an edge
    /// lets through.
    pub(crate) fn ack(&self) -> u32 {
        self.ack
    }

    pub(crate) fn save(&self, to: &mut Writer<'_>) {
        to.u16(self.generation);
        to.u32(self.applied);
        to.u32(self.ack);
        to.byte(self.waiting.len() as u8);
        self.waiting.iter().for_each(|input| to.bytes(&input.to_bytes()));
    }

    pub(crate) fn restore(from: &mut Reader<'_>, side: Side) -> Result<Self, RestoreError> {
        let mut inbox = Self { generation: from.u16()?, applied: from.u32()?, ack: from.u32()?, ..Self::default() };
        for _ in 0..from.byte("inputs", 0, WAITING_INPUTS_MAX as u8)? {
            let input = InputRecord::from_bytes(&from.take()?).ok_or(RestoreError::OutOfRange("input"))?;
            if input.side != side || input.generation != inbox.generation || inbox.offer(input).is_err() {
                return Err(RestoreError::OutOfRange("input"));
            }
        }
        Ok(inbox)
    }

    /// A new attachment begins, and with it the numbers. Returns how many inputs of the one before are lost.
    pub(crate) fn begin(&mut self, generation: u16) -> usize {
        let lost = self.waiting.len();
        *self = Self { generation, ..Self::default() };
        lost
    }

    /// Forgets what waits: its player has left.
    pub(crate) fn clear(&mut self) -> usize {
        let lost = self.waiting.len();
        self.waiting.clear();
        lost
    }

    pub(crate) fn offer(&mut self, input: InputRecord) -> Result<(), InputRefusal> {
        if input.n <= self.applied {
            return Err(InputRefusal::Duplicate);
        }
        if (input.n - self.applied) as usize > WAITING_INPUTS_MAX {
            return Err(InputRefusal::TooFarAhead);
        }
        match self.waiting.binary_search_by_key(&input.n, |waiting| waiting.n) {
            Ok(_) => Err(InputRefusal::Duplicate),
            Err(place) => {
                self.waiting.insert(place, input);
                Ok(())
            }
        }
    }

    /// The next input, if it is here.
    pub(crate) fn take(&mut self) -> Option<InputRecord> {
        let first = self.waiting.first()?;
        if first.n != self.applied + 1 {
            return None;
        }
        let input = self.waiting.remove(0);
        self.applied = input.n;
        self.ack = self.ack.max(input.seq);
        Some(input)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rally_protocol::client::v1::Dir;

    use super::*;

    fn input(n: u32) -> InputRecord {
        InputRecord { side: Side::Left, generation: 1, n, seq: n.wrapping_mul(10), dir: Dir::Up, press: false }
    }

    fn taken(inbox: &mut Inbox) -> Vec<u32> {
        std::iter::from_fn(|| inbox.take()).map(|input| input.n).collect()
    }

    #[test]
    fn what_comes_early_waits_and_what_comes_twice_is_refused() {
        let mut inbox = Inbox::default();
        inbox.begin(1);
        assert_eq!(inbox.offer(input(2)), Ok(()));
        assert_eq!(inbox.offer(input(2)), Err(InputRefusal::Duplicate));
        assert_eq!(taken(&mut inbox), [0; 0]);
        assert_eq!(inbox.offer(input(1)), Ok(()));
        assert_eq!(taken(&mut inbox), [1, 2]);
        assert_eq!(inbox.ack(), 20);
        assert_eq!(inbox.offer(input(1)), Err(InputRefusal::Duplicate));
    }

    #[test]
    fn waiting_is_bounded() {
        let mut inbox = Inbox::default();
        inbox.begin(1);
        for n in 2..=64 {
            assert_eq!(inbox.offer(input(n)), Ok(()));
        }
        assert_eq!(inbox.offer(input(65)), Err(InputRefusal::TooFarAhead));
        assert_eq!(inbox.offer(input(u32::MAX)), Err(InputRefusal::TooFarAhead));
        assert_eq!(inbox.offer(input(1)), Ok(()));
        assert_eq!(taken(&mut inbox).len(), 64);
        assert_eq!(inbox.offer(input(65)), Ok(()));
    }

    #[test]
    fn a_new_generation_begins_at_one() {
        let mut inbox = Inbox::default();
        inbox.begin(1);
        inbox.offer(input(1)).expect("first");
        inbox.take();
        inbox.offer(input(3)).expect("early");
        assert_eq!(inbox.begin(2), 1);
        assert_eq!((inbox.generation(), inbox.applied(), inbox.ack()), (2, 0, 0));
        inbox.offer(input(1)).expect("first again");
        assert_eq!(taken(&mut inbox), [1]);
    }

    proptest! {
        #[test]
        fn whatever_the_order_each_is_taken_once_and_in_order(
            mut offers in prop::collection::vec(1_u32..50, 0..300),
            drain_every in 1_usize..20,
        ) {
            // At the end everything is repeated, as an edge does until it is applied.
            offers.extend(1..50);
            let mut inbox = Inbox::default();
            inbox.begin(1);
            let mut all = Vec::new();
            for (i, n) in offers.into_iter().enumerate() {
                let _ = inbox.offer(input(n));
                if i % drain_every == 0 {
                    all.extend(taken(&mut inbox));
                }
            }
            all.extend(taken(&mut inbox));
            prop_assert_eq!(all, (1..50).collect::<Vec<_>>());
        }
    }
}

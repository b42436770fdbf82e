//! Whether this worker may speak for the matches that it hosts.
//!
//! It may while its lease holds. Once that has lapsed, others may have taken its matches: it says nothing more, and
//! before it goes on, asks Postgres which are still its own. A lapse that comes while it asks makes it ask again.

/// This worker's right to speak.
#[derive(Debug)]
pub(crate) struct Tenure {
    /// Lapses so far: an answer counts only for the last one.
    lapse: u64,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Held,
    Lapsed,
    Asking,
}

impl Tenure {
    /// Before the first lease.
    pub(crate) fn new() -> Self {
        Self { lapse: 0, state: State::Lapsed }
    }

    /// Takes note of the lease. `Some`: the lease is back after this lapse; ask, then call [`Self::confirmed`].
    pub(crate) fn look(&mut self, lease_holds: bool) -> Option<u64> {
        match (lease_holds, self.state) {
            (false, State::Held | State::Asking) => {
                self.lapse += 1;
                self.state = State::Lapsed;
                None
            }
            (true, State::Lapsed) => {
                self.state = State::Asking;
                Some(self.lapse)
            }
            (false, State::Lapsed) | (true, State::Held | State::Asking) => None,
        }
    }

    /// What was asked after this lapse is answered.
    pub(crate) fn confirmed(&mut self, lapse: u64) {
        if self.state == State::Asking && lapse == self.lapse {
            self.state = State::Held;
        }
    }

    pub(crate) fn speaks(&self) -> bool {
        self.state == State::Held
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_asks_once_after_each_lapse_and_takes_no_older_answer() {
        let mut tenure = Tenure::new();
        assert_eq!(tenure.look(false), None);
        let first = tenure.look(true).expect("before it ever speaks");
        assert_eq!(tenure.look(true), None, "once");
        assert!(!tenure.speaks());
        tenure.confirmed(first);
        assert!(tenure.speaks());

        assert_eq!(tenure.look(false), None);
        assert!(!tenure.speaks());
        let second = tenure.look(true).expect("after the lapse");
        assert_eq!(tenure.look(false), None);
        let third = tenure.look(true).expect("after another");
        tenure.confirmed(second);
        assert!(!tenure.speaks(), "the answer is older than the last lapse");
        tenure.confirmed(third);
        assert!(tenure.speaks());
    }
}

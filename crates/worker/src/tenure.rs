//! Whether this worker may speak for the matches that it hosts.
//!
//! It may while its lease holds. Once that has lapsed, others may have taken its matches: it says nothing more, and
//! before it goes on, asks Postgres which are still its own. A lapse that comes while it asks makes it ask again.

/// This worker's right to speak.
#[derive(Debug)]
pub(crate) struct Tenure {
    /// Lapses so far: an answer counts only for the last one.
    lapse: u64,
    /// Lapses of the lease that have been noted.
    noted: u64,
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
        Self { lapse: 0, noted: 0, state: State::Lapsed }
    }

    /// Takes note of the lease, and of how often it has lapsed so far. `Some`: the lease is back after this lapse; ask,
    /// then call [`Self::confirmed`].
    pub(crate) fn look(&mut self, lease_holds: bool, lapses: u64) -> Option<u64> {
        // It may have lapsed and come back unseen, while this process stood still.
        if std::mem::replace(&mut self.noted, lapses) != lapses && self.state != State::Lapsed {
            self.lapse += 1;
            self.state = State::Lapsed;
        }
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
        assert_eq!(tenure.look(false, 0), None);
        let first = tenure.look(true, 0).expect("before it ever speaks");
        assert_eq!(tenure.look(true, 0), None, "once");
        assert!(!tenure.speaks());
        tenure.confirmed(first);
        assert!(tenure.speaks());

        // Unseen, as after the process has stood still.
        let unseen = tenure.look(true, 1).expect("it did not hold meanwhile");
        assert!(!tenure.speaks());
        tenure.confirmed(unseen);
        assert!(tenure.speaks());

        assert_eq!(tenure.look(false, 1), None);
        assert!(!tenure.speaks());
        let second = tenure.look(true, 1).expect("after the lapse");
        assert_eq!(tenure.look(false, 1), None);
        let third = tenure.look(true, 1).expect("after another");
        tenure.confirmed(second);
        assert!(!tenure.speaks(), "the answer is older than the last lapse");
        tenure.confirmed(third);
        assert!(tenure.speaks());
    }
}

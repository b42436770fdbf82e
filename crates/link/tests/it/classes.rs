use std::collections::BTreeSet;

use rally_link::{CLASSES, MessageClass};
use rally_protocol::client::{codec::Messages as _, v1::ClientMessage};

#[test]
fn every_message_of_a_client_has_a_limit() {
    let sent: BTreeSet<&str> = ClientMessage::TABLE.iter().map(|shape| shape.name).collect();
    let limited: BTreeSet<&str> = CLASSES.iter().map(|(name, _)| *name).collect();
    assert_eq!(limited.len(), CLASSES.len(), "one has two");
    let without: Vec<_> = sent.difference(&limited).collect();
    assert!(without.is_empty(), "give these a class in link/src/classes.rs: {without:?}");
    let stale: Vec<_> = limited.difference(&sent).collect();
    assert!(stale.is_empty(), "nobody sends these: {stale:?}");
    for class in MessageClass::ALL {
        let (per_s, burst) = class.rate();
        assert!(per_s > 0 && burst >= per_s, "{class:?}");
        assert!(CLASSES.iter().any(|(_, of)| *of == class), "{class:?} limits nothing");
    }
}

//! What a node reads from a control entry.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rally_protocol::cluster::v1::Control;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(control) = Control::from_bytes(bytes) {
        assert_eq!(Control::from_bytes(&control.to_bytes()).expect("a control that was written"), control);
    }
});

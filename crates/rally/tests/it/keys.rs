//! What `rally keys --help` says of rolling keys.

use crate::support::process::{Vars, run, said};

#[test]
fn the_help_says_how() {
    let help = said(&run(&["keys", "--help"], &Vars::new()));
    for step in ["RALLY_CLUSTER_KEYS=OLD,NEW", "RALLY_CLUSTER_KEYS=NEW,OLD", "RALLY_CLUSTER_KEYS=NEW\n", "30 days"] {
        assert!(help.contains(step), "{step} is not in {help}");
    }
}

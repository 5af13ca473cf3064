//! Heartbeats: HB-1.

use coxswain_rules::{Reason, RuleId, Subject};

use crate::{
    common::heartbeat,
    rules::{assert_accepted, assert_rejected},
};

#[test]
fn hb_1_message() {
    let mut world = heartbeat();
    let mut set = |message: Vec<u8>| {
        let Subject::Heartbeat(proposal) = &mut world.case.subject else { unreachable!() };
        proposal.message = message;
        world.clone()
    };
    for length in [0, 7, 8, 15, 17, 80] {
        assert_rejected(&set(vec![0xff; length]), RuleId::Hb1, Reason::HeartbeatMessageInvalid);
    }
    for position in 0..16 {
        let mut message = vec![0xff; 16];
        message[position] = 0xfe;
        if position < 8 {
            assert_rejected(&set(message), RuleId::Hb1, Reason::HeartbeatMessageInvalid);
        } else {
            assert_accepted(&set(message));
        }
    }
}

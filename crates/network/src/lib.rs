//! The operators' network, byte for byte as the Go client speaks it: who an operator is, the handshake, the channels of a
//! wallet, and who is let in.
//!
//! Knows no chain: whether a stranger may come in is asked through [`Eligibility`]. What a channel accepts, and how much of
//! it, is asked through [`ChannelRules`].
//!
//! ```
//! use coxswain_network::{Identity, verify};
//!
//! // An operator's Ethereum key is its identity in the network, and signs all that it says.
//! let operator = Identity::from_secret([7; 32]).unwrap();
//! let signature = operator.sign(b"said in a window");
//! assert!(verify(operator.operator(), b"said in a window", &signature));
//! assert!(!verify(operator.operator(), b"said by nobody", &signature));
//! ```

pub mod acts;
mod address;
mod admission;
mod connections;
mod core;
mod direct;
mod driver;
mod fair_queue;
mod frame;
mod gate;
mod handler;
mod identity;
mod inbox;
mod memory;
mod message;
mod probe;
mod protobuf;
mod redial;
mod router;
mod rules;
mod status;
mod streams;
mod transport;

#[cfg(test)]
mod tests;

pub use crate::{
    address::{AddressError, DEFAULT_PORT, Host, PeerAddress},
    admission::{
        Admission, AdmissionError, AdmissionRule, Admitted, Eligibility, EligibilityError, RefusedError,
    },
    core::{Network, Receiver, SendError, Sender},
    direct::{DirectError, Finished, Session, SessionId, SessionTerms},
    driver::{Config, Dialer, DriveError, Driver, StartError},
    frame::{Frame, FrameReader, MAX_FRAME_BYTES},
    gate::Bounds,
    identity::{Identity, KeyError, verify},
    inbox::Heard,
    memory::{Hub, Link},
    message::{Message, MessageError, Rpc, RpcError, Subscription},
    probe::{Probe, ProbeError, probe},
    rules::{Channel, ChannelRules, ChannelVerdict, EnvelopeError, Open, Opened, Slot, open},
    status::{Counts, PeerStatus, Status},
    transport::{HandshakeError, HandshakeStep, LinkError},
};
pub use libp2p_core::Multiaddr;
pub use libp2p_identity::PeerId;

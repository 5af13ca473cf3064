//! Handshakes over real sockets, with peers that do one thing wrong.

use std::{future::pending, sync::Arc, time::Duration};

use futures_util::{AsyncReadExt, AsyncWriteExt, FutureExt, StreamExt, io::Cursor};
use libp2p_core::{
    Endpoint, Transport,
    transport::{DialOpts, PortUse, TransportError},
    upgrade::{InboundConnectionUpgrade, OutboundConnectionUpgrade},
};
use libp2p_swarm::{DialError, SwarmEvent, dial_opts};
use libp2p_tcp::tokio::TcpStream;
use multistream_select::{Negotiated, Version, dialer_select_proto, listener_select_proto};
use tokio::net::{TcpListener, TcpSocket};

use super::*;
use crate::{
    AdmissionRule, Bounds, Config, HandshakeError, LinkError,
    acts::{ActProblem, Initiator},
    address::multiaddr_of,
    admission::Admission,
    driver::swarm,
    gate::Gate,
    transport::{HandshakeStep, OperatorTransport, SECURITY, Shared, connect, initiate, respond},
};

type Tls = futures_rustls_stream::Stream;

/// The stream that libp2p's TLS gives, without naming its crate.
mod futures_rustls_stream {
    use super::*;

    pub(super) type Stream =
        <libp2p_tls::Config as InboundConnectionUpgradeOutput<Negotiated<TcpStream>>>::Stream;

    pub(super) trait InboundConnectionUpgradeOutput<C> {
        type Stream;
    }

    impl<C, S> InboundConnectionUpgradeOutput<C> for libp2p_tls::Config
    where
        Self: InboundConnectionUpgrade<C, Output = (libp2p_identity::PeerId, S)>,
    {
        type Stream = S;
    }
}

fn shared(me: &Identity, rule: AdmissionRule, timeout: Duration) -> Shared {
    let network = Hub::node(me.clone(), 1);
    let admission = Admission::new(rule, Default::default(), network.clone());
    let gate = Gate::new(Bounds { timeout, ..Bounds::default() });
    Shared::new(Arc::new(me.clone()), network, admission, gate).unwrap()
}

fn open_to_all(me: &Identity) -> Shared {
    shared(me, AdmissionRule::Any, Duration::from_secs(10))
}

/// Two ends of a connection: who dialled, and who was dialled.
async fn sockets() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let dialing = TcpSocket::new_v4().unwrap().connect(address);
    let (dialed, accepted) = tokio::join!(dialing, listener.accept());
    (TcpStream(dialed.unwrap()), TcpStream(accepted.unwrap().0))
}

/// TLS as the side that dialled, with this certificate.
async fn tls_out(socket: TcpStream, certificate: &Identity) -> (libp2p_identity::PeerId, Tls) {
    let (_, socket) = dialer_select_proto(socket, [SECURITY], Version::V1).await.unwrap();
    let tls = libp2p_tls::Config::new(certificate.keypair()).unwrap();
    tls.upgrade_outbound(socket, SECURITY).await.unwrap()
}

async fn tls_in(socket: TcpStream, certificate: &Identity) -> (libp2p_identity::PeerId, Tls) {
    let (_, socket) = listener_select_proto(socket, [SECURITY]).await.unwrap();
    let tls = libp2p_tls::Config::new(certificate.keypair()).unwrap();
    tls.upgrade_inbound(socket, SECURITY).await.unwrap()
}

#[tokio::test]
async fn two_operators_connect_and_know_each_other() {
    let (a, b) = (operator(1), operator(2));
    let (left, right) = sockets().await;
    let (shared_a, shared_b) = (open_to_all(&a), open_to_all(&b));
    let (to_b, to_a) = tokio::join!(
        connect(left, Endpoint::Dialer, &shared_a),
        connect(right, Endpoint::Listener, &shared_b)
    );
    assert_eq!((to_b.unwrap().0, to_a.unwrap().0), (b.peer_id(), a.peer_id()));
}

/// The lengths of the records of application data in a TLS stream, without what encryption adds.
fn records(mut stream: &[u8]) -> Vec<usize> {
    let mut lengths = Vec::new();
    while let [kind, 3, _, high, low, rest @ ..] = stream {
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        if *kind == 0x17 {
            lengths.push(length - 17);
        }
        stream = &rest[length..];
    }
    lengths
}

#[tokio::test]
async fn act_3_is_a_tls_record_of_its_own() {
    // Go throws away what comes behind act 3 in one record. A bare yamux ping would pass unnoticed, but here the muxer's
    // agreement follows.
    let (a, b) = (operator(1), operator(2));
    let (left, mut middle_left) = sockets().await;
    let (mut middle_right, right) = sockets().await;
    let middle = tokio::spawn(async move {
        let mut seen = Vec::new();
        let (mut from, mut to) = ([0; 4096], [0; 4096]);
        loop {
            tokio::select! {
                read = middle_left.read(&mut from) => {
                    let Ok(length @ 1..) = read else { return seen };
                    seen.extend_from_slice(&from[..length]);
                    middle_right.write_all(&from[..length]).await.unwrap();
                }
                read = middle_right.read(&mut to) => {
                    let Ok(length @ 1..) = read else { return seen };
                    if middle_left.write_all(&to[..length]).await.is_err() { return seen }
                }
            }
        }
    });
    let (shared_a, shared_b) = (open_to_all(&a), open_to_all(&b));
    let (to_b, to_a) = tokio::join!(
        connect(left, Endpoint::Dialer, &shared_a),
        connect(right, Endpoint::Listener, &shared_b)
    );
    to_a.unwrap();
    drop(to_b.unwrap());
    let seen = middle.await.unwrap();
    // What the multistream agreement before TLS takes isn't TLS.
    let start = seen.windows(3).position(|bytes| bytes == [0x16, 3, 1]).unwrap();
    let lengths = records(&seen[start..]);
    let act = |length: &usize| (128..=160).contains(length);
    let acts: Vec<_> = (0..lengths.len()).filter(|at| act(&lengths[*at])).collect();
    let [act1, act3] = acts[..] else { panic!("not two acts in records of {lengths:?}") };
    assert_eq!(act3, act1 + 1);
    // Multistream's header and offer, 20 and 15 bytes, in one record or two.
    assert!(lengths[act3 + 1] <= 40, "{lengths:?}");
}

#[tokio::test]
async fn what_comes_behind_act_3_in_its_record_is_the_muxers() {
    let (a, b) = (operator(1), operator(2));
    let (left, right) = sockets().await;
    let dialer = async {
        let (peer, mut stream) = tls_out(left, &a).await;
        let (initiator, act1) = Initiator::start(&a, [7; 8]);
        stream.write_all(&act1).await.unwrap();
        stream.flush().await.unwrap();
        let mut length = [0; 2];
        stream.read_exact(&mut length).await.unwrap();
        let mut act2 = vec![0; usize::from(length[0] & 0x7f) | usize::from(length[1]) << 7];
        stream.read_exact(&mut act2).await.unwrap();
        let mut behind = initiator.finish(&peer, &act2).unwrap();
        behind.extend_from_slice(b"\x13/multistream/1.0.0\n\x0d/yamux/1.0.0\n");
        stream.write_all(&behind).await.unwrap();
        stream.flush().await.unwrap();
        let mut answer = vec![0; 34];
        stream.read_exact(&mut answer).await.unwrap();
        answer
    };
    let shared_b = open_to_all(&b);
    let (answer, connected) = tokio::join!(dialer, connect(right, Endpoint::Listener, &shared_b));
    assert_eq!(answer, b"\x13/multistream/1.0.0\n\x0d/yamux/1.0.0\n");
    assert_eq!(connected.unwrap().0, a.peer_id());
}

#[tokio::test]
async fn an_impostor_with_another_certificate_than_its_acts_is_refused_in_both_roles() {
    let (a, b, impostor) = (operator(1), operator(2), operator(3));
    let problem = |error: HandshakeError| match error {
        HandshakeError::Act(error) => error.problem,
        other => panic!("{other}"),
    };
    // The acts are A's, as if passed on; the certificate is the impostor's own.
    let (left, right) = sockets().await;
    let shared_b = open_to_all(&b);
    let dialer = async {
        let (peer, mut stream) = tls_out(left, &impostor).await;
        let _ = initiate(&mut stream, &a, &peer, [7; 8]).await;
    };
    let (_, connected) = tokio::join!(dialer, connect(right, Endpoint::Listener, &shared_b));
    assert_eq!(problem(connected.map(|_| ()).unwrap_err()), ActProblem::OtherPeer);

    let (left, right) = sockets().await;
    let shared_b = open_to_all(&b);
    let listener = async {
        let (peer, mut stream) = tls_in(right, &impostor).await;
        let _ = respond(&mut stream, &a, &peer, [7; 8]).await;
    };
    let (_, connected) = tokio::join!(listener, connect(left, Endpoint::Dialer, &shared_b));
    assert_eq!(problem(connected.map(|_| ()).unwrap_err()), ActProblem::OtherPeer);
}

#[tokio::test]
async fn no_other_security_protocol_is_spoken() {
    let (left, right) = sockets().await;
    let shared = open_to_all(&operator(1));
    let dialer = dialer_select_proto(left, ["/tls/1.0.0", "/noise"], Version::V1);
    let (agreed, connected) = tokio::join!(dialer, connect(right, Endpoint::Listener, &shared));
    assert!(agreed.is_err());
    assert!(matches!(connected.map(|_| ()), Err(HandshakeError::Security(_))));
}

#[tokio::test]
async fn inc_44_a_handshake_ends_in_time_wherever_it_stops() {
    let (a, b) = (operator(1), operator(2));
    let late = |step| {
        let shared = shared(&b, AdmissionRule::Any, Duration::from_millis(400));
        let a = a.clone();
        async move {
            let (left, right) = sockets().await;
            let dialer = async {
                match step {
                    HandshakeStep::Security => {}
                    HandshakeStep::Tls => drop(dialer_select_proto(left, [SECURITY], Version::V1).await),
                    HandshakeStep::Acts => {
                        let kept = tls_out(left, &a).await;
                        pending::<()>().await;
                        drop(kept);
                        return;
                    }
                    HandshakeStep::Muxer | HandshakeStep::Admission => {
                        let (peer, mut stream) = tls_out(left, &a).await;
                        initiate(&mut stream, &a, &peer, [7; 8]).await.unwrap();
                        pending::<()>().await;
                        return;
                    }
                }
                pending::<()>().await;
            };
            tokio::select! {
                () = dialer => panic!("the handshake isn't given up"),
                connected = connect(right, Endpoint::Listener, &shared) => connected.map(|_| ()).unwrap_err(),
            }
        }
    };
    for step in [HandshakeStep::Acts, HandshakeStep::Muxer] {
        assert!(matches!(late(step).await, HandshakeError::TimedOut(at) if at == step), "{step}");
    }
    // Who closes its socket after the agreement has failed, not timed out.
    assert!(matches!(late(HandshakeStep::Tls).await, HandshakeError::Tls(_)));
    let (left, right) = sockets().await;
    let shared = shared(&b, AdmissionRule::Any, Duration::from_millis(100));
    let error = connect(right, Endpoint::Listener, &shared).await.map(|_| ()).unwrap_err();
    assert!(matches!(error, HandshakeError::TimedOut(HandshakeStep::Security)));
    drop(left);
}

#[tokio::test]
async fn a_refusal_shows_to_the_one_who_dialled_only_as_a_close() {
    let (a, b) = (operator(1), operator(2));
    let (left, right) = sockets().await;
    let (shared_a, shared_b) =
        (open_to_all(&a), shared(&b, AdmissionRule::list([]).unwrap(), Duration::from_secs(10)));
    let (to_b, to_a) = tokio::join!(connect(left, Endpoint::Dialer, &shared_a), async {
        connect(right, Endpoint::Listener, &shared_b).await.map(|_| ())
    });
    assert!(matches!(to_a, Err(HandshakeError::Refused(_))));
    assert!(matches!(to_b.map(|_| ()), Err(HandshakeError::Muxer(_))));
}

#[tokio::test]
async fn garbage_is_no_handshake() {
    for garbage in
        [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0xff; 4096], b"\x13/multistream/1.0.0\n\xff\xff\xff\xff"]
    {
        let (mut left, right) = sockets().await;
        let shared = open_to_all(&operator(1));
        let mut garbage = Cursor::new(garbage);
        let (_, connected) = tokio::join!(
            async {
                let _ = futures_util::io::copy(&mut garbage, &mut left).await;
                let _ = left.close().await;
            },
            connect(right, Endpoint::Listener, &shared)
        );
        assert!(connected.is_err());
    }
}

#[tokio::test]
async fn what_others_tell_of_is_dialled_only_if_it_is_global_and_what_is_configured_always() {
    let shared = Arc::new(open_to_all(&operator(1)));
    let mut transport = OperatorTransport::new(shared.clone());
    // A dial that isn't polled goes nowhere.
    let mut may_dial = |address: &str| {
        let options = DialOpts { role: Endpoint::Dialer, port_use: PortUse::New };
        match transport.dial(address.parse().unwrap(), options) {
            Ok(_) => true,
            Err(TransportError::Other(LinkError::NotGlobal(_))) => false,
            Err(other) => panic!("{address}: {other}"),
        }
    };
    let local = [
        "/ip4/127.0.0.1/tcp/3919",
        "/ip4/10.0.0.1/tcp/3919",
        "/ip4/192.168.1.1/tcp/3919",
        "/ip4/172.16.0.1/tcp/3919",
        "/ip4/169.254.169.254/tcp/80",
        "/ip4/100.64.0.1/tcp/3919",
        "/ip4/0.0.0.0/tcp/3919",
        "/ip6/::1/tcp/3919",
        "/ip6/fd00::1/tcp/3919",
        "/ip6/fe80::1/tcp/3919",
        "/ip6/::ffff:10.0.0.1/tcp/3919",
        // A name may lead anywhere.
        "/dns4/node.example/tcp/3919",
    ];
    for address in local {
        assert!(!may_dial(address), "{address}");
    }
    for address in ["/ip4/8.8.8.8/tcp/3919", "/ip6/2a01:4f8::1/tcp/3919"] {
        assert!(may_dial(address), "{address}");
    }
    // A configured peer's address is one socket: no other port of that machine.
    shared.configured(&["10.0.0.1:3919".parse().unwrap(), "[::1]:3919".parse().unwrap()]);
    assert!(may_dial("/ip4/10.0.0.1/tcp/3919") && may_dial("/ip6/::1/tcp/3919"));
    assert!(!may_dial("/ip4/10.0.0.1/tcp/22") && !may_dial("/ip4/10.0.0.2/tcp/3919"));
}

#[tokio::test]
async fn a_local_address_that_was_learned_is_never_connected_to() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let socket = listener.local_addr().unwrap();
    let config = Config::new(operator(1), std::time::SystemTime::UNIX_EPOCH);
    let (mut swarm, shared, _network) = swarm(&config).unwrap();
    let dial = || {
        let peer = dial_opts::DialOpts::peer_id(operator(2).peer_id());
        peer.addresses(vec![multiaddr_of(socket)]).build()
    };
    swarm.dial(dial()).unwrap();
    let error = loop {
        if let SwarmEvent::OutgoingConnectionError { error, .. } = swarm.select_next_some().await {
            break error;
        }
    };
    let DialError::Transport(errors) = error else { panic!("{error}") };
    let [(_, TransportError::Other(error))] = &errors[..] else { panic!("{errors:?}") };
    assert!(error.to_string().contains("is not a global address, and not configured"), "{error}");
    assert!(listener.accept().now_or_never().is_none(), "nobody came");
    // The same address as a configured peer's.
    shared.configured(&[socket]);
    swarm.dial(dial()).unwrap();
    tokio::select! {
        accepted = listener.accept() => drop(accepted.unwrap()),
        () = async { while swarm.next().await.is_some() {} } => {}
    }
}

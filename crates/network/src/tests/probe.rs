//! What a probe says where the handshake fails, at each step.

use std::time::{Duration, SystemTime};

use libp2p_core::upgrade::InboundConnectionUpgrade;
use libp2p_tcp::tokio::TcpStream;
use multistream_select::listener_select_proto;
use tokio::{io::AsyncWriteExt, net::TcpListener};

use super::*;
use crate::{
    AdmissionRule, Admitted, Bounds, Config, Driver, PeerAddress, ProbeError,
    acts::{Act, Responder},
    probe,
    transport::{HandshakeError, HandshakeStep, SECURITY},
};

/// Who probes, patient for half a second.
fn prober() -> Config {
    let mut config = Config::new(operator(1), SystemTime::now());
    config.bounds = Bounds { timeout: Duration::from_millis(500), ..Bounds::default() };
    config.admission = AdmissionRule::list([]).unwrap();
    config
}

fn at(listener: &TcpListener, who: &Identity) -> PeerAddress {
    let port = listener.local_addr().unwrap().port();
    format!("/ip4/127.0.0.1/tcp/{port}/p2p/{}", who.peer_id()).parse().unwrap()
}

/// What is said of a peer that does this with whoever comes.
async fn said_of<Done>(behave: impl FnOnce(tokio::net::TcpStream) -> Done) -> HandshakeError
where
    Done: Future<Output = ()>,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = at(&listener, &operator(2));
    let peer = async {
        behave(listener.accept().await.unwrap().0).await;
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = peer => unreachable!("it never ends"),
        said = probe(prober(), &address) => match said.unwrap_err() {
            ProbeError::Handshake(error) => error,
            other => panic!("{other}"),
        },
    }
}

#[tokio::test]
async fn each_step_that_fails_is_named() {
    let silent = said_of(|stream| async { std::mem::forget(stream) }).await;
    assert!(matches!(silent, HandshakeError::TimedOut(HandshakeStep::Security)));

    let garbage = said_of(|mut stream| async move { stream.write_all(&[0xff; 64]).await.unwrap() }).await;
    assert_eq!(garbage.step(), HandshakeStep::Security);

    let other = said_of(|stream| async {
        let _ = listener_select_proto(TcpStream(stream), ["/tls/1.0.0", "/noise"]).await;
    })
    .await;
    assert!(matches!(other, HandshakeError::Security(_)));

    let no_tls = said_of(|stream| async {
        let agreed = listener_select_proto(TcpStream(stream), [SECURITY]).await.unwrap();
        drop(agreed);
    })
    .await;
    assert_eq!(no_tls.step(), HandshakeStep::Tls);

    let tls = || libp2p_tls::Config::new(operator(2).keypair()).unwrap();
    let no_acts = said_of(|stream| async {
        let (_, socket) = listener_select_proto(TcpStream(stream), [SECURITY]).await.unwrap();
        drop(tls().upgrade_inbound(socket, SECURITY).await.unwrap());
    })
    .await;
    assert!(matches!(no_acts, HandshakeError::Ended(Act::Two, _)), "{no_acts}");

    let wrong_act = said_of(|stream| async {
        use futures_util::{AsyncReadExt, AsyncWriteExt};
        let (_, socket) = listener_select_proto(TcpStream(stream), [SECURITY]).await.unwrap();
        let (peer, mut stream) = tls().upgrade_inbound(socket, SECURITY).await.unwrap();
        let mut act1 = vec![0; 134];
        let length = stream.read(&mut act1).await.unwrap();
        // An answer to another nonce than was sent.
        let (_, mut act2) = Responder::answer(&operator(2), [3; 8], &peer, &act1[2..length]).unwrap();
        act2[20] ^= 1;
        stream.write_all(&act2).await.unwrap();
        stream.flush().await.unwrap();
        std::mem::forget(stream);
    })
    .await;
    assert!(matches!(wrong_act, HandshakeError::Act(error) if error.act == Act::Two), "{wrong_act}");
}

#[tokio::test]
async fn a_peer_that_answers_says_what_it_is_and_by_which_rule_we_would_let_it_in() {
    let mut config = Config::new(operator(2), SystemTime::now());
    config.listen = vec!["127.0.0.1:0".parse().unwrap()];
    config.admission = AdmissionRule::Any;
    let (_, driver) = Driver::bind(config).await.unwrap();
    let port = driver.listening().next().unwrap().port();
    tokio::spawn(driver.run(std::future::pending()));
    let address: PeerAddress =
        format!("/ip4/127.0.0.1/tcp/{port}/p2p/{}", operator(2).peer_id()).parse().unwrap();
    let mut config = Config::new(operator(1), SystemTime::now());
    config.admission = AdmissionRule::list([&operator(2).peer_id().to_base58()[..]]).unwrap();
    let answer = probe(config, &address).await.unwrap();
    assert_eq!(answer.operator, operator(2).operator().address());
    assert!(answer.agent.starts_with("coxswain/"));
    assert!(answer.protocols.contains("/floodsub/1.0.0"));
    assert_eq!(answer.admitted.unwrap(), Admitted::Listed);
    // Somebody else is there, or nobody.
    let other: PeerAddress =
        format!("/ip4/127.0.0.1/tcp/{port}/p2p/{}", operator(3).peer_id()).parse().unwrap();
    let error = probe(Config::new(operator(1), SystemTime::now()), &other).await.unwrap_err();
    assert!(matches!(error, ProbeError::OtherPeer(peer) if peer == operator(2).peer_id()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let nobody = at(&listener, &operator(3));
    drop(listener);
    let error = probe(Config::new(operator(1), SystemTime::now()), &nobody).await.unwrap_err();
    assert!(matches!(error, ProbeError::Tcp(_)));
}

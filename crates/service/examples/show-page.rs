//! Serves the status page over states that no test of a whole node brings about at once: a quiet window, then a fault, an alarm,
//! and peers that say what must not be believed. Prints its URL; each line on standard input brings the next state.

use std::{error::Error, io, sync::Arc, thread};

use coxswain_service::status::{Status, serve};
use serde_json::{
    Value, json,
    value::{RawValue, to_raw_value},
};
use tokio::{net::TcpListener, sync::watch};

const WALLET: &str = "0x8db50eb52063ea9d98b3eac91489a90f738986f6";
const LEADER: &str = "0x52908400098527886E0F7030069857D2E4169EE7";

fn window(index: u64, outcome: &str, action: Option<&str>, faults: &Value) -> Value {
    json!({ "index": index, "leader": LEADER, "action": action, "outcome": outcome, "faults": faults, "alarms": [] })
}

fn state(step: u64) -> Value {
    let bad = step > 0;
    let entry = |name: &str, subject: Option<&str>, state: &str, says: &str, remedy: &str| {
        let mut entry =
            json!({ "name": name, "state": state, "since": 1_790_000_000, "says": says, "remedy": remedy });
        if let (Some(subject), Some(fields)) = (subject, entry.as_object_mut()) {
            fields.insert("subject".to_owned(), subject.into());
        }
        entry
    };
    let mut health = vec![
        entry("ethereum", None, "ok", "block 24561010, named by 3 of 3 servers", ""),
        entry("ethereum_endpoint", Some("one.example:443"), "ok", "it answers", ""),
        entry("bitcoin", None, "ok", "2 of 2 servers answer, 2 are needed", ""),
        entry("bitcoin_endpoint", Some("electrum.example:50002"), "ok", "it answers", ""),
    ];
    let mut windows: Vec<_> = (0..49)
        .map(|back| {
            window(27_289 - back, "action: deposit-sweep; confirmed", Some("deposit-sweep"), &json!([]))
        })
        .collect();
    if bad {
        let says = "connection refused: <img src=x onerror=alert(1)>";
        let remedy = "start it again, or name another in bitcoin.urls";
        health.push(entry("bitcoin_endpoint", Some("second.example:50002"), "failed", says, remedy));
        let faults = json!([{ "kind": "leader mistake: RD-7 <script>alert(1)</script>", "culprit": LEADER }]);
        windows.insert(0, window(27_290, "leader mistake", None, &faults));
    }
    let busy = json!({
        "action": "redemption", "state": "broadcast", "since": 24_561_200_u64, "until": null
    });
    json!({
        "version": "0.1.0", "operator": LEADER, "chain": 1, "network": "mainnet", "observes": false,
        "time": 1_790_000_000, "block": if bad { 24_561_200 + step } else { 24_561_010 },
        "window": {
            "index": 27_290, "block": 24_561_000, "active_end": 24_561_080, "end": 24_561_100, "next": 24_561_900
        },
        "assurance": "Block 24561010 is decided on: 3 of 3 Ethereum servers name it.",
        "health": health,
        "wallets": [{
            "wallet": WALLET, "state": "Live", "busy": if bad { busy } else { Value::Null }, "windows": windows
        }],
        "operators": [
            { "address": LEADER, "connected": true, "wallets": [WALLET] },
            { "address": "0xde709f2102306220921060314715629080e2fb77", "connected": !bad, "wallets": [WALLET] },
        ],
    })
}

fn shown(step: u64) -> Result<Arc<RawValue>, serde_json::Error> {
    Ok(to_raw_value(&state(step))?.into())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let (show, page) = watch::channel(Some(shown(0)?));
    let status = Status::new();
    status.show_page(page, false);
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("http://{}/", listener.local_addr()?);
    thread::spawn(move || {
        let lines = io::stdin().lines().map_while(Result::ok);
        for (step, _) in (1..).zip(lines) {
            show.send_replace(Some(shown(step).expect("it has text keys only")));
        }
    });
    serve(listener, status, std::future::pending()).await?;
    Ok(())
}

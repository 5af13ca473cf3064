//! Moves the header on that mainnet's chain starts from: follows the chain of the servers given, and writes the first header of the
//! newest epoch that is a day deep. From the start of an epoch on, every target can be computed.

use std::{
    fs,
    path::Path,
    sync::Mutex,
    time::{Duration, SystemTime},
};

use bitcoin::consensus::encode::serialize_hex;
use coxswain_bitcoin::{
    Endpoint, Limits,
    chain::{HeaderChain, HeaderRules, Standing, Start},
    follow,
};
use coxswain_rules::units::Height;

/// How many blocks must stand on the new start.
const DEPTH: u32 = 144;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let urls: Vec<String> = std::env::args().skip(1).collect();
    if urls.is_empty() {
        return Err("give the URLs of Bitcoin servers: ssl://host:port, tcp://host:port, http://user:password@host:port".into());
    }
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs();
    let now = u32::try_from(now)?;
    let chain = Mutex::new(HeaderChain::new(Start::mainnet(), HeaderRules::MAINNET));
    let mut newest = Vec::new();
    for url in &urls {
        let endpoint = Endpoint::new(&url.parse()?, Limits::default())?;
        newest.push((endpoint.name().to_owned(), follow(&chain, &endpoint, now).await?));
    }
    let chain = chain.into_inner()?;
    for (name, tip) in newest {
        match chain.standing(tip) {
            Standing::Current => {}
            other => return Err(format!("{name} is not current: {other:?}").into()),
        }
    }
    chain.fresh(now)?;
    let deep = chain.height().saturating_sub(DEPTH);
    let height = Height(deep.0 - deep.0 % HeaderRules::MAINNET.interval.get());
    let Some(header) = chain.header(height).filter(|_| height > chain.start()) else {
        println!("the start at height {} is the newest that there is", chain.start());
        return Ok(());
    };
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/chain/mainnet-start.txt");
    fs::write(&path, format!("{height} {}\n", serialize_hex(header)))?;
    println!("from height {} to {height}, {}: {}", chain.start(), header.block_hash(), path.display());
    Ok(())
}

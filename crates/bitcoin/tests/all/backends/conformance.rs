//! What every server must answer alike, whoever serves it: an in-process server in `make test`, real ones in
//! `make test-peers`.

#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "shared by a test and a program; a case fails by panicking"
)]

use std::slice;

use coxswain_bitcoin::{
    Answers, BackendError, Coinbase, Cursor, Endpoint, Known, Mined, Output, Search, Server, Sighting,
    Spender,
};
use coxswain_testkit::Regtest;

use bitcoin::{
    Amount, FeeRate, Network, OutPoint, ScriptBuf, Sequence, Transaction, TxIn, TxOut, Txid, Witness,
    absolute, blockdata::constants::genesis_block, hashes::Hash, opcodes::OP_TRUE, opcodes::all::OP_DROP,
    script::Builder, transaction,
};
use coxswain_rules::units::{Confirmations, Height};

/// A chain, and an endpoint that serves it.
#[allow(async_fn_in_trait, reason = "used with the types at hand")]
pub trait Ground {
    fn chain(&self) -> &Regtest;
    fn endpoint(&self) -> &Endpoint;
    /// Brings the endpoint to where the chain is.
    async fn settle(&self);
    /// Whether a transaction is found whose output is spent.
    fn finds_spent(&self) -> bool {
        true
    }
    /// Whether a transaction that isn't there is told from one whose output is spent.
    fn tells_absent(&self) -> bool {
        true
    }
}

/// What unlocks the coins with this number: anyone can.
fn key(number: u32) -> ScriptBuf {
    Builder::new().push_int(number.into()).push_opcode(OP_DROP).push_opcode(OP_TRUE).into_script()
}

/// A coin that anyone can spend, at an address that each number has its own of.
pub fn coin(number: u32, satoshis: u64) -> TxOut {
    TxOut { value: Amount::from_sat(satoshis), script_pubkey: key(number).to_p2wsh() }
}

/// Spends the first output of the transaction, which has this number, for this coin.
pub fn spend(funding: &Transaction, number: u32, to: TxOut) -> Transaction {
    Transaction {
        version: transaction::Version::TWO,
        lock_time: absolute::LockTime::ZERO,
        input: vec![TxIn {
            previous_output: first_output(funding).outpoint,
            script_sig: ScriptBuf::new(),
            sequence: Sequence::MAX,
            witness: Witness::from_slice(&[key(number).as_bytes()]),
        }],
        output: vec![to],
    }
}

/// A transaction that pays this coin, in a block of its own.
pub fn mined(chain: &Regtest, number: u32, satoshis: u64) -> Transaction {
    let transaction = chain.pay(&[coin(number, satoshis)]).unwrap();
    chain.mine(slice::from_ref(&transaction)).unwrap();
    transaction
}

pub fn first_output(transaction: &Transaction) -> Output {
    Output {
        outpoint: OutPoint::new(transaction.compute_txid(), 0),
        script: transaction.output[0].script_pubkey.clone(),
    }
}

/// A transaction that nobody has.
fn absent() -> OutPoint {
    OutPoint::new(Txid::from_byte_array([0xab; 32]), 0)
}

/// What the server knows of each output's transaction, and how deep by the chain at hand.
async fn looked_up(ground: &impl Ground, outpoints: &[OutPoint]) -> Answers<Option<Known>> {
    let tip = ground.chain().height();
    let known = |Sighting { transaction, height }: Sighting| Known {
        transaction,
        confirmations: height.map_or(Confirmations::NONE, |height| height.confirmations(tip).unwrap()),
    };
    let sightings = ground.endpoint().sightings(outpoints).await.unwrap();
    sightings.into_iter().map(|answer| Ok(answer?.map(known))).collect()
}

async fn confirmations(ground: &impl Ground, transaction: &Transaction) -> Option<Confirmations> {
    let outpoints = [first_output(transaction).outpoint];
    let answers = looked_up(ground, &outpoints).await;
    let [answer] = answers.try_into().unwrap();
    let known = answer.unwrap()?;
    assert_eq!(known.transaction, *transaction);
    Some(known.confirmations)
}

pub async fn tells_the_tip_and_the_fee_rates(ground: &impl Ground) {
    ground.settle().await;
    let (tip, rates) = (ground.endpoint().tip().await.unwrap(), ground.endpoint().fee_rates().await.unwrap());
    let blocks = ground.chain().blocks_from(ground.chain().height());
    assert_eq!((tip.height, tip.header), (ground.chain().height(), blocks[0].header));
    assert_eq!(rates.relay_minimum, FeeRate::from_sat_per_kwu(250));
    assert_eq!(rates.next_block, None, "nobody has paid anything yet");

    ground.chain().mine_empty(2).unwrap();
    ground.settle().await;
    assert_eq!(ground.endpoint().tip().await.unwrap().height, tip.height.saturating_add(2));
}

pub async fn tells_headers_as_far_as_there_are_any(ground: &impl Ground) {
    ground.settle().await;
    let height = ground.chain().height();
    let expected: Vec<_> = ground.chain().blocks_from(Height(0)).iter().map(|block| block.header).collect();
    let headers = async |start, count| ground.endpoint().headers(start, count).await.unwrap();
    assert_eq!(headers(Height(0), height.0 + 1).await, expected);
    assert_eq!(headers(height.saturating_sub(2), 3).await, expected[expected.len() - 3..]);
    assert_eq!(headers(height, 5).await, expected[expected.len() - 1..], "the chain ends");
    assert_eq!(headers(height.next(), 5).await, []);
    assert_eq!(headers(Height(0), 0).await, []);
    let at = ground.endpoint().headers_at(&[height, Height(3), height.next()]).await.unwrap();
    assert_eq!(at[..2], [Ok(expected[expected.len() - 1]), Ok(expected[3])]);
    assert!(at[2].is_err(), "{at:?}");
    let genesis = genesis_block(Network::Regtest).block_hash();
    assert_eq!(ground.endpoint().genesis().await.unwrap(), genesis);
}

pub async fn finds_transactions_in_blocks_in_the_mempool_or_nowhere(ground: &impl Ground) {
    let chain = ground.chain();
    let deep = mined(chain, 1, 50_000);
    chain.mine_empty(4).unwrap();
    let new = mined(chain, 2, 50_000);
    let waiting = chain.pay(&[coin(3, 50_000)]).unwrap();
    chain.broadcast(&waiting).unwrap();
    ground.settle().await;

    let of = |transaction: &Transaction| first_output(transaction).outpoint;
    let asked = [of(&new), of(&waiting), of(&deep), of(&new)];
    let answers = looked_up(ground, &asked).await;
    let known = |transaction: &Transaction, confirmations| {
        let confirmations = Confirmations(confirmations);
        Ok(Some(Known { transaction: transaction.clone(), confirmations }))
    };
    assert_eq!(answers, [known(&new, 1), known(&waiting, 0), known(&deep, 6), known(&new, 1)]);

    let answers = looked_up(ground, &[absent(), of(&deep)]).await;
    assert_eq!(answers[1], known(&deep, 6), "one that is absent spoils nothing");
    if ground.tells_absent() {
        assert_eq!(answers[0], Ok(None));
    } else {
        assert!(matches!(answers[0], Err(BackendError::Unindexed { .. })), "{:?}", answers[0]);
    }
    assert_eq!(looked_up(ground, &[]).await, []);
}

pub async fn finds_transactions_whose_outputs_are_spent_where_it_can(ground: &impl Ground) {
    let chain = ground.chain();
    let funding = mined(chain, 4, 90_000);
    let spending = spend(&funding, 4, coin(5, 80_000));
    chain.mine(slice::from_ref(&spending)).unwrap();
    ground.settle().await;
    if ground.finds_spent() {
        assert_eq!(confirmations(ground, &funding).await, Some(Confirmations(2)));
    } else {
        let outpoint = first_output(&funding).outpoint;
        let answers = looked_up(ground, &[outpoint]).await;
        assert!(
            matches!(&answers[0], Err(BackendError::Unindexed { outpoint: named, .. }) if *named == outpoint),
            "{:?}",
            answers[0]
        );
    }
    assert_eq!(confirmations(ground, &spending).await, Some(Confirmations(1)));
}

pub async fn tells_unspent_from_spent_the_mempool_included(ground: &impl Ground) {
    let chain = ground.chain();
    let [kept, spent, claimed] = [6, 6, 7].map(|number| mined(chain, number, 50_000));
    let spending = spend(&spent, 6, coin(8, 40_000));
    chain.mine(slice::from_ref(&spending)).unwrap();
    let waiting = spend(&claimed, 7, coin(8, 40_000));
    chain.broadcast(&waiting).unwrap();
    ground.settle().await;

    let of = first_output;
    let kept_elsewhere = Output { script: coin(9, 0).script_pubkey, ..of(&kept) };
    let beyond = Output { outpoint: OutPoint::new(kept.compute_txid(), 9), ..of(&kept) };
    let nowhere = Output { outpoint: absent(), ..of(&kept) };
    let asked = [
        of(&kept),
        of(&spent),
        of(&claimed),
        of(&spending),
        of(&waiting),
        kept_elsewhere,
        beyond,
        nowhere,
        of(&kept),
    ];
    let answers = ground.endpoint().unspent(&asked).await.unwrap();
    let answers: Vec<bool> = answers.into_iter().map(Result::unwrap).collect();
    assert_eq!(answers, [true, false, false, true, true, false, false, false, true]);
    assert_eq!(ground.endpoint().unspent(&[]).await.unwrap(), []);
}

pub async fn forgets_what_a_reorganisation_undoes(ground: &impl Ground) {
    let chain = ground.chain();
    let funding = mined(chain, 10, 90_000);
    let [undone, instead] = [11, 12].map(|number| spend(&funding, 10, coin(number, 80_000)));
    chain.mine(slice::from_ref(&undone)).unwrap();
    chain.mine_empty(1).unwrap();
    ground.settle().await;
    assert_eq!(confirmations(ground, &undone).await, Some(Confirmations(2)));

    chain.reorganize(2, slice::from_ref(&instead)).unwrap();
    ground.settle().await;
    assert_eq!(confirmations(ground, &instead).await, Some(Confirmations(3)));
    let answers = looked_up(ground, &[first_output(&undone).outpoint]).await;
    match &answers[0] {
        Ok(None) => {}
        Err(BackendError::Unindexed { .. }) if !ground.finds_spent() => {}
        other => panic!("{other:?}"),
    }
    let asked = [first_output(&undone), first_output(&instead)];
    let answers = ground.endpoint().unspent(&asked).await.unwrap();
    assert_eq!(answers, [Ok(false), Ok(true)]);
}

pub async fn broadcasts_and_takes_again_what_it_has(ground: &impl Ground) {
    let chain = ground.chain();
    let funding = mined(chain, 13, 90_000);
    ground.settle().await;
    let [transaction, rival, mut forged] =
        [14, 15, 16].map(|number| spend(&funding, 13, coin(number, 80_000)));
    let broadcast = async |transaction| ground.endpoint().broadcast(transaction).await;
    broadcast(&transaction).await.unwrap();
    broadcast(&transaction).await.unwrap();
    assert_eq!(confirmations(ground, &transaction).await, Some(Confirmations(0)));

    let refusal = broadcast(&rival).await.unwrap_err();
    assert!(matches!(refusal, BackendError::Rpc { .. }) && !refusal.is_retryable(), "{refusal:?}");
    forged.input[0].previous_output = absent();
    let refusal = broadcast(&forged).await.unwrap_err();
    assert!(matches!(refusal, BackendError::Rpc { .. }), "{refusal:?}");

    chain.mine(slice::from_ref(&transaction)).unwrap();
    ground.settle().await;
    broadcast(&transaction).await.unwrap();
    assert_eq!(confirmations(ground, &transaction).await, Some(Confirmations(1)));
}

/// The funding transaction pays an address that was paid thousands of times.
pub async fn inc_9_confirmations_are_found_beside_an_address_with_a_huge_history(ground: &impl Ground) {
    let chain = ground.chain();
    let exchange = coin(20, 1_000);
    for _ in 0..5 {
        let payments = chain.pay(&vec![exchange.clone(); 2_000]).unwrap();
        chain.mine(&[payments]).unwrap();
    }
    let funding = chain.pay(&[coin(21, 50_000), exchange]).unwrap();
    chain.mine(slice::from_ref(&funding)).unwrap();
    chain.mine_empty(5).unwrap();
    ground.settle().await;
    assert_eq!(confirmations(ground, &funding).await, Some(Confirmations(6)));
}

/// Strangers have paid the wallet's own address thousands of times.
pub async fn inc_11_the_main_utxo_is_found_among_thousands_of_dust_payments(ground: &impl Ground) {
    let chain = ground.chain();
    let main = mined(chain, 22, 5_000_000);
    for _ in 0..3 {
        let dust = chain.pay(&vec![coin(22, 546); 1_000]).unwrap();
        chain.mine(&[dust]).unwrap();
    }
    ground.settle().await;
    let asked = [first_output(&main)];
    assert_eq!(ground.endpoint().unspent(&asked).await.unwrap(), [Ok(true)]);
    assert_eq!(confirmations(ground, &main).await, Some(Confirmations(4)));
    let spending = spend(&main, 22, coin(23, 4_000_000));
    chain.mine(&[spending]).unwrap();
    ground.settle().await;
    assert_eq!(ground.endpoint().unspent(&asked).await.unwrap(), [Ok(false)]);
}

/// More than one message's worth, and a transaction of a size that few have.
pub async fn answers_for_many_at_once(ground: &impl Ground) {
    let chain = ground.chain();
    let outputs: Vec<_> = (1_000..3_500).map(|number| coin(number, 1_000)).collect();
    let large = chain.pay(&outputs).unwrap();
    chain.mine(slice::from_ref(&large)).unwrap();
    ground.settle().await;
    assert_eq!(confirmations(ground, &large).await, Some(Confirmations(1)));
    let asked: Vec<_> = (0..)
        .zip(&outputs)
        .take(250)
        .map(|(vout, output)| Output {
            outpoint: OutPoint::new(large.compute_txid(), vout),
            script: output.script_pubkey.clone(),
        })
        .collect();
    assert_eq!(ground.endpoint().unspent(&asked).await.unwrap(), vec![Ok(true); 250]);
}

/// Every case, by its name, to be handed to a macro that runs one.
pub async fn proves_where_transactions_are_in_their_blocks(ground: &impl Ground) {
    let (chain, mut asked, mut proven) = (ground.chain(), Vec::new(), Vec::new());
    // Blocks of two to six transactions, the coinbase included.
    for count in 1..6_u32 {
        // Each spends the one before.
        let mut transactions = vec![chain.pay(&[coin(700, 50_000)]).unwrap()];
        for number in 1..count {
            let last = transactions.last().unwrap();
            let to = coin(700 + number, 50_000 - 1_000 * u64::from(number));
            transactions.push(spend(last, 699 + number, to));
        }
        let block = chain.mine(&transactions).unwrap();
        for transaction in block.txdata {
            asked.push(Mined { txid: transaction.compute_txid(), height: chain.height() });
            proven.push((transaction, block.header));
        }
    }
    ground.settle().await;
    let answers = ground.endpoint().branches(&asked).await.unwrap();
    assert_eq!(answers.len(), proven.len());
    for (answer, (transaction, header)) in answers.iter().zip(&proven) {
        assert_eq!(answer.as_ref().unwrap().prove(transaction, header), Ok(()));
    }
    // One that isn't in its block, one in no block, and a block that isn't there: each has an error, and the others stand.
    let Mined { txid, height } = asked[0];
    let asked = [
        Mined { txid, height: height.next() },
        Mined { txid: absent().txid, height },
        Mined { txid, height: chain.height().next() },
        Mined { txid, height },
    ];
    let answers = ground.endpoint().branches(&asked).await.unwrap();
    assert_eq!(answers.iter().map(Result::is_ok).collect::<Vec<_>>(), [false, false, false, true]);
}

pub async fn proves_which_coinbase_a_block_has(ground: &impl Ground) {
    let chain = ground.chain();
    let pays = chain.pay(&[coin(750, 50_000)]).unwrap();
    let next = spend(&pays, 750, coin(751, 40_000));
    let mut blocks = Vec::new();
    for transactions in [&[][..], &[pays], &[next]] {
        blocks.push((chain.height().next(), chain.mine(transactions).unwrap()));
    }
    ground.settle().await;
    for (height, block) in &blocks {
        let Coinbase { transaction, branch } = ground.endpoint().coinbase(*height).await.unwrap();
        assert_eq!((&transaction, branch.position), (&block.txdata[0], 0));
        assert_eq!(branch.prove(&transaction, &block.header), Ok(()));
        assert_eq!(branch.siblings.len(), block.txdata.len() - 1);
    }
    assert!(ground.endpoint().coinbase(chain.height().next()).await.is_err());
}

/// Searches from this block on to the end: what is found, where it ended, and in how many steps.
async fn search(ground: &impl Ground, spent: &Output, from: Cursor) -> (Option<Spender>, Cursor, usize) {
    let (mut cursor, mut steps) = (from, 1);
    loop {
        match ground.endpoint().spender(spent, cursor).await.unwrap() {
            Search::Found(spender) => return (Some(*spender), cursor, steps),
            Search::Ended(end) => return (None, end, steps),
            Search::More(next) => {
                assert!(next > cursor, "{next:?} after {cursor:?}");
                (cursor, steps) = (next, steps + 1);
            }
        }
    }
}

pub async fn inc_40_finds_who_spends_an_output_step_by_step(ground: &impl Ground) {
    let chain = ground.chain();
    let funding = mined(chain, 800, 50_000);
    let (spent, from) = (first_output(&funding), Cursor::at(chain.height()));
    // Others pay to the same address, and nobody spends the output.
    for _ in 0..120 {
        mined(chain, 800, 600);
    }
    ground.settle().await;
    let (found, end, steps) = search(ground, &spent, from).await;
    assert!(found.is_none() && steps > 1, "{steps} steps to {found:?}");

    // In the mempool; by a search that goes on, and by one that begins anew.
    let spender = spend(&funding, 800, coin(801, 40_000));
    ground.endpoint().broadcast(&spender).await.unwrap();
    chain.broadcast(&spender).ok();
    for from in [from, end] {
        let waiting = Some(Spender { transaction: spender.clone(), height: None });
        assert_eq!(search(ground, &spent, from).await.0, waiting);
    }
    chain.mine(slice::from_ref(&spender)).unwrap();
    ground.settle().await;
    for from in [from, end] {
        let buried = Some(Spender { transaction: spender.clone(), height: Some(chain.height()) });
        assert_eq!(search(ground, &spent, from).await.0, buried);
    }
    // Another output of the same address has no spender.
    let other = Output { outpoint: first_output(&spender).outpoint, ..spent };
    assert_eq!(search(ground, &other, from).await.0, None);
}

macro_rules! each_case {
    ($run:ident) => {
        $run!(tells_the_tip_and_the_fee_rates);
        $run!(tells_headers_as_far_as_there_are_any);
        $run!(finds_transactions_in_blocks_in_the_mempool_or_nowhere);
        $run!(finds_transactions_whose_outputs_are_spent_where_it_can);
        $run!(tells_unspent_from_spent_the_mempool_included);
        $run!(forgets_what_a_reorganisation_undoes);
        $run!(broadcasts_and_takes_again_what_it_has);
        $run!(inc_9_confirmations_are_found_beside_an_address_with_a_huge_history);
        $run!(inc_11_the_main_utxo_is_found_among_thousands_of_dust_payments);
        $run!(answers_for_many_at_once);
        $run!(proves_where_transactions_are_in_their_blocks);
        $run!(proves_which_coinbase_a_block_has);
        $run!(inc_40_finds_who_spends_an_output_step_by_step);
    };
}
pub(crate) use each_case;

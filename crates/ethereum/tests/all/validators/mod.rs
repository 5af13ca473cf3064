//! Asks two validators on the real Bridge about every rule: our contract and the one deployed on mainnet. Their verdicts
//! must be the same, and for a rejection the rule too.

use std::collections::BTreeSet;

use alloy::primitives::{Address, U256};
use coxswain_bindings::Bridge;
use coxswain_ethereum::{Block, BlockSelector, ContractVerdict, Endpoints, ProposalValidator};
use coxswain_rules::{
    Action, Amount, Case, Cause, KeyHash, Reason, RuleId, ScriptBuf,
    Subject::{DepositSweep, Heartbeat, MovedFundsSweep, MovingFunds, Redemption},
};
use coxswain_testkit::{DepositOutput, DepositSpec, Scene, deployed_validator, sweep};

const DAY: u64 = 24 * 3600;
pub(crate) const ANVIL: u64 = 31337;
const TOO_MUCH: Amount = Amount::from_sat(10_0000_0000);

/// Is told what is asked, and what was said: to ask somebody else the same.
pub(crate) trait Observer {
    async fn observe(
        &mut self,
        scene: &Scene,
        at: Block,
        asked: &ProposalValidator,
        case: &Case,
        said: &ContractVerdict,
    );
}

impl Observer for () {
    async fn observe(&mut self, _: &Scene, _: Block, _: &ProposalValidator, _: &Case, _: &ContractVerdict) {}
}

pub(crate) struct Validators<C> {
    pub(crate) scene: Scene,
    pub(crate) ours: ProposalValidator,
    pub(crate) deployed: ProposalValidator,
    pub(crate) observer: C,
    seen: BTreeSet<RuleId>,
}

impl<C: Observer> Validators<C> {
    pub(crate) async fn observed(observer: C) -> Self {
        Self::observed_in(observer, Scene::set(|_| ()).await.unwrap()).await
    }

    /// The validators, in a scene that is set already.
    pub(crate) async fn observed_in(observer: C, scene: Scene) -> Self {
        let endpoint = Endpoints::new(scene.world.chain.url()).unwrap();
        let ours = scene.world.validator;
        let deployed = scene.world.deploy_validator(&deployed_validator().unwrap()).await.unwrap();
        let validator = |address| ProposalValidator::new(endpoint.clone(), ANVIL, address);
        Self { ours: validator(ours), deployed: validator(deployed), scene, observer, seen: BTreeSet::new() }
    }

    pub(crate) fn case(&self, action: Action) -> Case {
        self.scene.case(action).unwrap()
    }

    pub(crate) async fn verdicts(&mut self, case: &Case) -> [ContractVerdict; 2] {
        let block = self.ours.block(BlockSelector::Latest).await.unwrap();
        let mut verdicts = Vec::new();
        for validator in [&self.ours, &self.deployed] {
            let verdict = validator.validate_at(case, block).await;
            self.observer.observe(&self.scene, block, validator, case, &verdict).await;
            verdicts.push(verdict);
        }
        verdicts.try_into().unwrap()
    }

    pub(crate) async fn valid(&mut self, case: Case) {
        assert_eq!(self.verdicts(&case).await, [ContractVerdict::Valid, ContractVerdict::Valid], "{case:?}");
    }

    /// Both reject the case by this rule; ours names the item, the deployed one only gives a text.
    async fn rejected(&mut self, rule: RuleId, item: Option<u64>, case: Case) -> Reason {
        let [ours, deployed] = self.verdicts(&case).await;
        let (ContractVerdict::Rejected(ours), ContractVerdict::Rejected(deployed)) = (&ours, &deployed)
        else {
            panic!("{rule}: {ours:?}, {deployed:?}");
        };
        assert_eq!((ours.rule, deployed.rule), (Some(rule), Some(rule)), "{ours} / {deployed}");
        assert_eq!(ours.item(), item.map(U256::from), "{ours}");
        assert!(matches!(deployed.cause, Cause::Text(_)), "{deployed}");
        let Cause::Reason(reason) = &ours.cause else { panic!("{ours}") };
        self.seen.insert(rule);
        reason.clone()
    }
}

/// Changes a sweep.
fn swept(
    mut case: Case,
    change: impl FnOnce(&mut coxswain_rules::DepositSweepProposal, &mut Vec<coxswain_rules::DepositExtraInfo>),
) -> Case {
    let DepositSweep { proposal, extra_info } = &mut case.subject else { panic!("{case:?}") };
    change(proposal, extra_info);
    case
}

/// Changes a redemption.
fn redeemed(mut case: Case, change: impl FnOnce(&mut coxswain_rules::RedemptionProposal)) -> Case {
    let Redemption(proposal) = &mut case.subject else { panic!("{case:?}") };
    change(proposal);
    case
}

/// Changes a move.
fn moved(
    mut case: Case,
    change: impl FnOnce(&mut coxswain_rules::MovingFundsProposal, &mut coxswain_rules::Utxo),
) -> Case {
    let MovingFunds { proposal, main_utxo } = &mut case.subject else { panic!("{case:?}") };
    change(proposal, main_utxo);
    case
}

/// Changes a moved funds sweep.
fn taken(mut case: Case, change: impl FnOnce(&mut coxswain_rules::MovedFundsSweepProposal)) -> Case {
    let MovedFundsSweep(proposal) = &mut case.subject else { panic!("{case:?}") };
    change(proposal);
    case
}

fn of(wallet: KeyHash, case: Case) -> Case {
    Case { wallet, ..case }
}

const NOBODY: KeyHash = KeyHash([9; 20]);

/// Asks everything that the rules can be asked: what each action's valid case is, and each way to break each rule.
pub(crate) async fn ask_everything(validators: &mut Validators<impl Observer>) {
    for action in Action::ALL {
        let case = validators.case(action);
        validators.valid(case).await;
    }
    heartbeats(validators).await;
    moves(validators).await;
    moved_funds_sweeps(validators).await;
    redemptions(validators).await;
    // These let time pass, so they are last.
    deposit_sweeps(validators).await;
    let all: BTreeSet<_> = RuleId::ALL.iter().copied().collect();
    assert_eq!(validators.seen, all);
}

async fn heartbeats(validators: &mut Validators<impl Observer>) {
    for message in [vec![], vec![0xff; 15], vec![0xff; 17], [vec![0xff; 7], vec![0xfe; 9]].concat()] {
        let mut case = validators.case(Action::Heartbeat);
        case.subject = Heartbeat(coxswain_rules::HeartbeatProposal { message });
        assert_eq!(validators.rejected(RuleId::Hb1, None, case).await, Reason::HeartbeatMessageInvalid);
    }
}

async fn deposit_sweeps(validators: &mut Validators<impl Observer>) {
    let case = || validators.scene.case(Action::DepositSweep).unwrap();
    let working = validators.scene.working.key_hash();

    let other = of(NOBODY, case());
    let empty = swept(case(), |p, e| (p.deposits.clear(), e.clear()).1);
    let large = swept(case(), |p, e| {
        p.deposits = p.deposits.iter().copied().cycle().take(21).collect();
        *e = e.iter().cloned().cycle().take(21).collect();
    });
    let short = swept(case(), |_, e| e.truncate(3));
    let free = swept(case(), |p, _| p.fee = Amount::ZERO);
    let dear = swept(case(), |p, _| p.fee = TOO_MUCH);
    let unknown = swept(case(), |p, _| p.deposits[2].outpoint.vout = 5);
    let swapped = swept(case(), |_, e| e[1].funding_transaction = e[0].funding_transaction.clone());
    let script = swept(case(), |_, e| e[3].blinding_factor = [0xee; 8]);
    let foreign = of(validators.scene.retiring.key_hash(), case());
    let repeated = swept(case(), |p, e| {
        p.deposits.push(p.deposits[1]);
        e.push(e[1].clone());
    });

    let reason = validators.rejected(RuleId::Ds1, None, other).await;
    assert_eq!(reason, Reason::WalletStateNotAllowed { wallet: NOBODY, state: 0 });
    assert_eq!(validators.rejected(RuleId::Ds2, None, empty).await, Reason::SweepEmpty);
    let reason = validators.rejected(RuleId::Ds3, None, large).await;
    assert_eq!(reason, Reason::SweepTooLarge { size: U256::from(21), max_size: U256::from(20) });
    let reason = validators.rejected(RuleId::Ds4, None, short).await;
    assert_eq!(
        reason,
        Reason::ExtraInfoCountMismatch { deposits: U256::from(4), extra_infos: U256::from(3) }
    );
    assert_eq!(validators.rejected(RuleId::Ds5, None, free).await, Reason::FeeZero);
    validators.rejected(RuleId::Ds6, None, dear).await;
    validators.rejected(RuleId::Ds7, Some(2), unknown).await;
    validators.rejected(RuleId::Ds10, Some(1), swapped).await;
    validators.rejected(RuleId::Ds11, Some(3), script).await;
    let reason = validators.rejected(RuleId::Ds13, Some(0), foreign).await;
    assert_eq!(reason, Reason::DepositOfOtherWallet { index: U256::ZERO, wallet: working });
    let reason = validators.rejected(RuleId::Ds15, Some(4), repeated).await;
    assert_eq!(reason, Reason::DepositDuplicated { index: U256::from(4), first_index: U256::ONE });

    // A deposit that is young, then old enough but for its vault, then swept.
    let Scene { world, working, deposits, .. } = &mut validators.scene;
    let (working, vault) = (working.clone(), world.vault);
    let call = Bridge::setVaultStatusCall { vault, isTrusted: true };
    world.govern(&call).await.unwrap();
    let spec = DepositSpec { vault, ..DepositSpec::default() };
    let vaulted = world.reveal(&working, spec).await.unwrap();
    let revealed_at = world.chain.now().await.unwrap();
    let with_vaulted =
        Case { wallet: working.key_hash(), subject: sweep(&[deposits[0].clone(), vaulted.clone()]) };
    let alone = Case { wallet: working.key_hash(), subject: sweep(std::slice::from_ref(&vaulted)) };
    let reason = validators.rejected(RuleId::Ds8, Some(1), with_vaulted.clone()).await;
    let eligible_after = U256::from(revealed_at + 2 * 3600);
    assert_eq!(reason, Reason::DepositTooYoung { index: U256::ONE, eligible_after });
    validators.scene.world.chain.advance(2 * 3600 + 60).await.unwrap();
    validators.valid(alone.clone()).await;
    let reason = validators.rejected(RuleId::Ds14, Some(1), with_vaulted).await;
    assert_eq!(reason, Reason::DepositVaultMismatch { index: U256::ONE, vault, expected: Address::ZERO });
    validators.scene.world.carry_out(&working, &alone.subject).await.unwrap();
    validators.rejected(RuleId::Ds9, Some(0), alone).await;

    // A deposit that can be refunded after 15 days and an hour, asked for before and after its margin begins.
    let now = validators.scene.world.chain.now().await.unwrap();
    let locktime = u32::try_from(now + 15 * DAY + 3600).unwrap();
    let spec = DepositSpec { refund_locktime: Some(locktime), ..DepositSpec::default() };
    let fleeting = validators.scene.world.reveal(&working, spec).await.unwrap();
    let fleeting = Case { wallet: working.key_hash(), subject: sweep(&[fleeting]) };
    validators.scene.world.chain.advance(13 * DAY).await.unwrap();
    validators.valid(fleeting.clone()).await;
    validators.scene.world.chain.advance(DAY + 2 * 3600).await.unwrap();
    let reason = validators.rejected(RuleId::Ds12, Some(0), fleeting).await;
    let sweepable_before = U256::from(u64::from(locktime) - DAY);
    assert_eq!(reason, Reason::DepositRefundTooClose { index: U256::ZERO, sweepable_before });
}

async fn redemptions(validators: &mut Validators<impl Observer>) {
    let case = || validators.scene.case(Action::Redemption).unwrap();
    let other = of(NOBODY, case());
    let empty = redeemed(case(), |p| p.scripts.clear());
    let large = redeemed(case(), |p| p.scripts = p.scripts.iter().cloned().cycle().take(21).collect());
    let free = redeemed(case(), |p| p.fee = Amount::ZERO);
    let dear = redeemed(case(), |p| p.fee = TOO_MUCH);
    let unknown = redeemed(case(), |p| p.scripts[1] = ScriptBuf::from_bytes(vec![0x51]));
    let young = redeemed(case(), |p| p.scripts.push(validators.scene.young_request.script.clone()));
    let repeated = redeemed(case(), |p| p.scripts[2] = p.scripts[0].clone());
    // Over the largest share of any one request, under the largest total.
    let heavy = redeemed(case(), |p| p.fee = Amount::from_sat(300_005));

    validators.rejected(RuleId::Rd1, None, other).await;
    assert_eq!(validators.rejected(RuleId::Rd2, None, empty).await, Reason::RedemptionEmpty);
    let reason = validators.rejected(RuleId::Rd3, None, large).await;
    assert_eq!(reason, Reason::RedemptionTooLarge { size: U256::from(21), max_size: U256::from(20) });
    assert_eq!(validators.rejected(RuleId::Rd4, None, free).await, Reason::FeeZero);
    validators.rejected(RuleId::Rd5, None, dear).await;
    validators.rejected(RuleId::Rd6, Some(1), unknown).await;
    validators.rejected(RuleId::Rd7, Some(3), young).await;
    let reason = validators.rejected(RuleId::Rd9, Some(0), heavy).await;
    let max_share = U256::from(100_000);
    assert_eq!(
        reason,
        Reason::RedemptionFeeShareTooHigh { index: U256::ZERO, share: U256::from(100_001), max_share }
    );
    let reason = validators.rejected(RuleId::Rd10, Some(2), repeated).await;
    assert_eq!(reason, Reason::RedemptionDuplicated { index: U256::from(2), first_index: U256::ZERO });

    let parameters = validators.scene.world.bridge.ask(&Bridge::redemptionParametersCall).await.unwrap();
    let timeout = u64::from(parameters.redemptionTimeout);
    let case = validators.case(Action::Redemption);
    // The requests are 2 h and a minute old by now.
    validators.scene.world.chain.advance(timeout - 5 * 3600).await.unwrap();
    validators.valid(case.clone()).await;
    validators.scene.world.chain.advance(3600).await.unwrap();
    validators.rejected(RuleId::Rd8, Some(0), case).await;
}

async fn moves(validators: &mut Validators<impl Observer>) {
    let case = || validators.scene.case(Action::MovingFunds).unwrap();
    let working = of(validators.scene.working.key_hash(), case());
    let elsewhere = moved(case(), |p, _| p.targets = vec![NOBODY]);
    let worth = moved(case(), |_, utxo| utxo.value = TOO_MUCH);
    let free = moved(case(), |p, _| p.fee = Amount::ZERO);
    let dear = moved(case(), |p, _| p.fee = TOO_MUCH);
    let normal = case();

    let reason = validators.rejected(RuleId::Mf1, None, working).await;
    assert_eq!(
        reason,
        Reason::WalletStateNotAllowed { wallet: validators.scene.working.key_hash(), state: 1 }
    );
    validators.rejected(RuleId::Mf3, None, elsewhere).await;
    validators.rejected(RuleId::Mf4, None, worth).await;
    assert_eq!(validators.rejected(RuleId::Mf6, None, free).await, Reason::FeeZero);
    validators.rejected(RuleId::Mf7, None, dear).await;

    let world = &mut validators.scene.world;
    let undecided = world.wallet(4).await.unwrap();
    let spec = DepositSpec { output: DepositOutput::P2sh, ..DepositSpec::default() };
    let deposit = world.reveal(&undecided, spec).await.unwrap();
    world.sweep(&undecided, &[deposit], Amount::from_sat(1000)).await.unwrap();
    world.retire(&undecided).await.unwrap();
    let uncommitted = of(undecided.key_hash(), normal.clone());
    assert_eq!(validators.rejected(RuleId::Mf2, None, uncommitted).await, Reason::TargetWalletsNotCommitted);

    let world = &validators.scene.world;
    let balance = world.main_utxo(&validators.scene.retiring).unwrap().value.to_sat();
    // The Bridge keeps the threshold under that of redemptions.
    world.change_redemptions(|call| call.redemptionDustThreshold = balance + 2).await.unwrap();
    world.change_moving_funds(|call| call.movingFundsDustThreshold = balance + 1).await.unwrap();
    let reason = validators.rejected(RuleId::Mf5, None, normal.clone()).await;
    let (balance_, dust_threshold) = (U256::from(balance), U256::from(balance + 1));
    assert_eq!(reason, Reason::BalanceBelowDust { balance: balance_, dust_threshold });
    let world = &validators.scene.world;
    world.change_moving_funds(|call| call.movingFundsDustThreshold = balance).await.unwrap();
    validators.valid(normal).await;
}

async fn moved_funds_sweeps(validators: &mut Validators<impl Observer>) {
    let case = || validators.scene.case(Action::MovedFundsSweep).unwrap();
    let other = of(NOBODY, case());
    let unknown = taken(case(), |p| p.outpoint.vout = 7);
    let foreign = of(validators.scene.retiring.key_hash(), case());
    let free = taken(case(), |p| p.fee = Amount::ZERO);
    let dear = taken(case(), |p| p.fee = TOO_MUCH);
    validators.rejected(RuleId::Ms1, None, other).await;
    assert_eq!(
        validators.rejected(RuleId::Ms2, None, unknown).await,
        Reason::SweepRequestNotPending { state: 0 }
    );
    let reason = validators.rejected(RuleId::Ms3, None, foreign).await;
    assert_eq!(reason, Reason::SweepRequestOfOtherWallet { wallet: validators.scene.working.key_hash() });
    assert_eq!(validators.rejected(RuleId::Ms4, None, free).await, Reason::FeeZero);
    validators.rejected(RuleId::Ms5, None, dear).await;
}

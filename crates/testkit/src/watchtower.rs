//! tBTC's redemption watchtower: it delays redemptions, the longer the more of its guardians object.

use alloy::{primitives::Address, sol};
use coxswain_bindings::Bridge;
use coxswain_rules::ScriptBuf;

use crate::{Contract, Error, Wallet, World, artifacts, bytecode, convert};

sol! {
    /// The watchtower that the Bridge asks, and a validator too.
    interface RedemptionWatchtower {
        /// Sets the Bridge, once.
        function initialize(address bridge) external;
        /// Sets who may object, once.
        function enableWatchtower(address manager, address[] calldata guardians) external;
        /// Objects to a request; the script carries its length prefix.
        function raiseObjection(bytes20 walletPubKeyHash, bytes calldata redeemerOutputScript) external;
        /// How long after a request it may be paid at the earliest, in seconds.
        function getRedemptionDelay(uint256 redemptionKey) external view returns (uint32 delay);
    }
}

/// A watchtower at work.
#[derive(Debug)]
pub struct Watchtower {
    /// The contract.
    pub contract: Contract,
    /// Who may object: the third objection forbids a redemption.
    pub guardians: [Address; 3],
}

impl World {
    /// Gives the Bridge a watchtower. Before, it has none.
    pub async fn enable_watchtower(&self) -> Result<Watchtower, Error> {
        let guardians = [self.chain.account(7)?, self.chain.account(8)?, self.chain.account(9)?];
        let code =
            artifacts::tbtc("bridge/RedemptionWatchtower.sol/RedemptionWatchtower")?.creation_code()?;
        let implementation = self.chain.deploy("watchtower", self.governance, code).await?;
        let address = self.chain.deploy("proxy", self.governance, bytecode::proxy(implementation)).await?;
        let bridge = self.bridge.address();
        self.chain.send(self.governance, address, &RedemptionWatchtower::initializeCall { bridge }).await?;
        self.govern(&Bridge::setRedemptionWatchtowerCall { redemptionWatchtower: address }).await?;
        let enable = RedemptionWatchtower::enableWatchtowerCall {
            manager: self.governance,
            guardians: guardians.to_vec(),
        };
        self.chain.send(self.governance, address, &enable).await?;
        let contract = Contract::new(self.chain.rpc().clone(), address);
        Ok(Watchtower { contract, guardians })
    }

    /// Objects to a pending redemption request, once per guardian.
    pub async fn object(
        &self,
        watchtower: &Watchtower,
        guardian: Address,
        wallet: &Wallet,
        script: &ScriptBuf,
    ) -> Result<(), Error> {
        let objection = RedemptionWatchtower::raiseObjectionCall {
            walletPubKeyHash: wallet.key_hash().into(),
            redeemerOutputScript: convert::length_prefixed(script),
        };
        self.chain.send(guardian, watchtower.contract.address(), &objection).await?;
        Ok(())
    }
}

//! The rules' stable IDs, and what each one says.

use crate::Action;

macro_rules! rules {
    ($($variant:ident $id:literal $action:ident $statement:literal)*) => {
        /// A validation rule, by its stable ID. Rules of one action are ordered as they are evaluated.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        pub enum RuleId {
            $(#[doc = $statement] #[serde(rename = $id)] $variant,)*
        }

        impl RuleId {
            /// Every rule, in order.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The ID as documents, tests and output write it, as in `DS-8`.
            pub const fn id(self) -> &'static str {
                match self { $(Self::$variant => $id),* }
            }

            /// The action whose proposals the rule is about.
            pub const fn action(self) -> Action {
                match self { $(Self::$variant => Action::$action),* }
            }

            /// When the rule holds, in one sentence.
            pub const fn statement(self) -> &'static str {
                match self { $(Self::$variant => $statement),* }
            }
        }
    };
}

rules! {
    Ds1 "DS-1" DepositSweep "the wallet is Live or MovingFunds"
    Ds2 "DS-2" DepositSweep "there is at least one deposit"
    Ds3 "DS-3" DepositSweep "there are at most DEPOSIT_SWEEP_MAX_SIZE deposits"
    Ds4 "DS-4" DepositSweep "there are as many extra infos as deposits"
    Ds5 "DS-5" DepositSweep "the fee is above zero"
    Ds6 "DS-6" DepositSweep "the largest fee share is at most the Bridge's depositTxMaxFee"
    Ds7 "DS-7" DepositSweep "the deposit is revealed"
    Ds8 "DS-8" DepositSweep "the deposit was revealed more than DEPOSIT_MIN_AGE ago"
    Ds9 "DS-9" DepositSweep "the deposit is not swept yet"
    Ds10 "DS-10" DepositSweep "the funding transaction hashes to the deposit's funding hash"
    Ds11 "DS-11" DepositSweep "the funding output is P2SH or P2WSH of exactly the deposit script"
    Ds12 "DS-12" DepositSweep "the refund is more than DEPOSIT_REFUND_SAFETY_MARGIN away"
    Ds13 "DS-13" DepositSweep "the deposit's script names the proposal's wallet"
    Ds14 "DS-14" DepositSweep "the deposit's vault is the first deposit's vault"
    Ds15 "DS-15" DepositSweep "the deposit has not occurred earlier in the proposal"
    Rd1 "RD-1" Redemption "the wallet is Live or MovingFunds"
    Rd2 "RD-2" Redemption "there is at least one request"
    Rd3 "RD-3" Redemption "there are at most REDEMPTION_MAX_SIZE requests"
    Rd4 "RD-4" Redemption "the fee is above zero"
    Rd5 "RD-5" Redemption "the fee is at most the Bridge's redemptionTxMaxTotalFee"
    Rd6 "RD-6" Redemption "the request is pending"
    Rd7 "RD-7" Redemption "the request is older than its minimum age and the watchtower's delay"
    Rd8 "RD-8" Redemption "the request's timeout is more than REDEMPTION_REQUEST_TIMEOUT_SAFETY_MARGIN away"
    Rd9 "RD-9" Redemption "the request's fee share is at most its txMaxFee"
    Rd10 "RD-10" Redemption "the request has not occurred earlier in the proposal"
    Hb1 "HB-1" Heartbeat "the message is 16 bytes, the first 8 of them ff"
    Mf1 "MF-1" MovingFunds "the wallet is MovingFunds"
    Mf2 "MF-2" MovingFunds "the wallet has committed to target wallets"
    Mf3 "MF-3" MovingFunds "the target wallets are those committed to"
    Mf4 "MF-4" MovingFunds "the main UTXO is the one that the Bridge knows"
    Mf5 "MF-5" MovingFunds "the balance is at least the Bridge's movingFundsDustThreshold"
    Mf6 "MF-6" MovingFunds "the fee is above zero"
    Mf7 "MF-7" MovingFunds "the fee is at most the Bridge's movingFundsTxMaxTotalFee"
    Ms1 "MS-1" MovedFundsSweep "the wallet is Live or MovingFunds"
    Ms2 "MS-2" MovedFundsSweep "the sweep request is pending"
    Ms3 "MS-3" MovedFundsSweep "the sweep request belongs to the wallet"
    Ms4 "MS-4" MovedFundsSweep "the fee is above zero"
    Ms5 "MS-5" MovedFundsSweep "the fee is at most the Bridge's movedFundsSweepTxMaxTotalFee"
}

impl std::fmt::Display for RuleId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.id())
    }
}

//! Two contracts small enough to be written in bytes.

use alloy::primitives::{Address, Bytes, hex};

/// A contract that answers every call with one word, 1, which is `true`: it stands in for the wallet registry
/// (`isWalletMember`, `closeWallet`, `seize`), the reimbursement pool (`refund`) and a vault
/// (`receiveBalanceIncrease`).
///
/// ```text
/// 6008 80 6009 5f 39 5f f3   return the 8 bytes from 9 on:
/// 6001 5f 52                 store 1 at 0
/// 6020 5f f3                 return 32 bytes from 0
/// ```
pub(crate) const YES: Bytes = Bytes::from_static(&hex!("6008 80 6009 5f 39 5f f3  6001 5f 52  6020 5f f3"));

/// An ERC-1967 proxy of `implementation`: what it is called with it delegates, and what comes back it passes on.
///
/// ```text
/// 73 <implementation> 7f <slot> 55   store the implementation in ERC-1967's slot
/// 603a 80 6040 5f 39 5f f3           return the 58 bytes from 64 on:
/// 36 5f 5f 37                        copy the call data to 0
/// 5f 5f 36 5f 7f <slot> 54 5a f4     delegate to the implementation with all gas
/// 3d 5f 5f 3e                        copy the answer to 0
/// 6036 57                            go to 54 if it succeeded
/// 3d 5f fd                           revert with the answer
/// 5b 3d 5f f3                        54: return the answer
/// ```
pub(crate) fn proxy(implementation: Address) -> Bytes {
    /// keccak256("eip1967.proxy.implementation") − 1.
    const SLOT: [u8; 32] = hex!("360894a13ba1a3210667c828492db98dca3e2076cc3735a920a3ca505d382bbc");
    [
        &hex!("73")[..],
        implementation.as_slice(),
        &hex!("7f"),
        &SLOT,
        &hex!("55  603a 80 6040 5f 39 5f f3  36 5f 5f 37  5f 5f 36 5f 7f"),
        &SLOT,
        &hex!("54 5a f4  3d 5f 5f 3e  6036 57  3d 5f fd  5b 3d 5f f3"),
    ]
    .concat()
    .into()
}

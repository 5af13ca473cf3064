//! An operator's Ethereum key, from the keystore file that Ethereum's clients write.

use std::{fmt, path::Path};

use alloy::{
    consensus::{SignableTransaction, TxEip1559},
    eips::eip2718::Encodable2718,
    primitives::{Address, B256, Bytes},
    signers::{
        SignerSync,
        local::{LocalSignerError, PrivateKeySigner},
    },
};
use coxswain_secrets::SecretError;

/// The largest file that is read as a keystore, in bytes: those are under a kilobyte.
const MAX_BYTES: u64 = 64 << 10;

/// An Ethereum key. Its bytes are shown nowhere.
#[derive(Clone)]
pub struct Account(PrivateKeySigner);

/// Why a file gives no key.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AccountError {
    /// It can't be read.
    #[error("the keystore file can't be read")]
    Read(#[from] std::io::Error),
    /// It can't be read, or others can read it as well.
    #[error("the keystore file is not used")]
    File(#[from] SecretError),
    /// It is far too long.
    #[error("the file is no keystore: it is {0} bytes long")]
    TooLong(u64),
    /// It is no keystore, or the password is wrong.
    #[error("the keystore can't be opened: the file is no keystore, or the password is another")]
    Open(#[source] LocalSignerError),
    /// It doesn't sign.
    #[error("the key does not sign")]
    Sign(#[source] alloy::signers::Error),
}

impl Account {
    /// The key in a keystore file (version 3), opened with its password. Takes a second: that is what protects it.
    ///
    /// # Errors
    /// If the file can't be read or opened, or others can read it.
    pub fn from_keystore(file: &Path, password: &str) -> Result<Self, AccountError> {
        // The library opens it by its path once more. Another file that is put there meanwhile needs the same password.
        let length = coxswain_secrets::open(file)?.metadata()?.len();
        if length > MAX_BYTES {
            return Err(AccountError::TooLong(length));
        }
        PrivateKeySigner::decrypt_keystore(file, password).map(Self).map_err(AccountError::Open)
    }

    /// The address.
    pub const fn address(&self) -> Address {
        self.0.address()
    }

    /// The transaction, signed: its hash, and its bytes as they are sent.
    ///
    /// # Errors
    /// If the key doesn't sign.
    pub fn sign(&self, transaction: TxEip1559) -> Result<(B256, Bytes), AccountError> {
        let signature = self.0.sign_hash_sync(&transaction.signature_hash()).map_err(AccountError::Sign)?;
        let signed = transaction.into_signed(signature);
        Ok((*signed.hash(), signed.encoded_2718().into()))
    }

    /// The private key, big-endian: it is the operator's network identity as well.
    pub fn secret(&self) -> [u8; 32] {
        self.0.to_bytes().0
    }
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Account({})", self.address())
    }
}

#[cfg(test)]
mod tests {
    use std::{os::unix::fs::PermissionsExt, path::PathBuf};

    use super::*;

    /// Private key 0x11…11, written by another library: scrypt with a small cost.
    const FILE: &str = include_str!("../tests/keystore.json");

    /// A keystore file with these permissions.
    fn written(folder: &Path, mode: u32) -> PathBuf {
        let file = folder.join("key.json");
        std::fs::write(&file, FILE).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
        file
    }

    #[test]
    fn a_keystore_that_others_can_read_is_not_opened() {
        let folder = tempfile::tempdir().unwrap();
        for mode in [0o644, 0o604] {
            let file = written(folder.path(), mode);
            let refused = Account::from_keystore(&file, "correct horse").unwrap_err();
            assert!(matches!(refused, AccountError::File(SecretError::Access { .. })), "{mode:o}: {refused}");
        }
        for mode in [0o600, 0o400] {
            assert!(Account::from_keystore(&written(folder.path(), mode), "correct horse").is_ok());
        }
    }

    #[test]
    fn a_keystore_is_opened_with_its_password_only() {
        let folder = tempfile::tempdir().unwrap();
        let file = written(folder.path(), 0o600);
        let account = Account::from_keystore(&file, "correct horse").unwrap();
        assert_eq!(account.secret(), [0x11; 32]);
        assert_eq!(account.address().to_string(), "0x19E7E376E7C213B7E7e7e46cc70A5dD086DAff2A");
        assert!(!format!("{account:?}").contains("1111"));
        assert!(matches!(Account::from_keystore(&file, "wrong"), Err(AccountError::Open(_))));
        std::fs::write(&file, "{}").unwrap();
        assert!(matches!(Account::from_keystore(&file, "correct horse"), Err(AccountError::Open(_))));
        std::fs::write(&file, vec![b' '; 1 << 17]).unwrap();
        assert!(matches!(Account::from_keystore(&file, "x"), Err(AccountError::TooLong(_))));
        assert!(matches!(
            Account::from_keystore(folder.path().join("none").as_path(), "x"),
            Err(AccountError::File(SecretError::Io { .. }))
        ));
    }
}
